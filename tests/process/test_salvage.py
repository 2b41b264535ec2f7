"""A damaged profile as a person meets it: refused with what to do, salvaged by one verb, and used again."""

from __future__ import annotations

from tests.support.processes import place

PAGE = 4096


def test_a_damaged_profile_says_how_it_is_saved_and_is_saved() -> None:
    with place() as here:
        assert here.run("alice", "init", "--name", "Alice", "--no-passphrase").code == 0
        whole = here.run("alice", "salvage", "--json")
        assert (whole.code, whole.object()["incomplete"], whole.object()["contacts"]) == (0, [], 0)
        database = here.folder / "alice" / "profile.db"
        data = bytearray(database.read_bytes())
        data[-3 * PAGE + 1000] ^= 1  # of a table; the last two pages are of the schema, without which nothing is found
        database.write_bytes(data)
        refused = here.run("alice", "doctor")
        assert refused.code == 1
        assert "p2pchat salvage" in refused.err
        done = here.run("alice", "salvage")
        assert done.code == 0
        assert "Saved 0 messages and 0 contacts" in done.out
        assert "profile.db.damaged-2" in done.err + done.out
        healthy = here.run("alice", "doctor")
        assert healthy.code == 0
        assert "every page of the database verifies" in healthy.out
        running = here.run("alice", "salvage")
        assert running.code == 4  # the node that doctor started has it open
        here.run("alice", "node", "stop")
