"""A node that is a relay for its contacts, as processes: offered, taken, used while somebody is away, ended."""

from __future__ import annotations

import json
from typing import Any

from tests.support.processes import Place, Running
from tests.support.steps import until


def node(here: Place, name: str) -> Running:
    running = here.node(name)
    while running.hear()["event"] != "ready":
        pass
    return running


def befriend(here: Place, inviter: str, joiner: str) -> None:
    invite = here.run(inviter, "--json", "invite").object()["invite"]
    assert here.run(joiner, "--json", "add", invite, "--wait", "accepted").object()["state"] == "contact"


def relays(here: Place, name: str) -> list[Any]:
    done = here.run(name, "--json", "relays")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_bob_takes_alice_as_his_relay_and_carol_writes_to_him_there(here: Place) -> None:
    for name in ("alice", "bob", "carol"):
        assert here.run(name, "init", "--name", name, "--no-passphrase").code == 0
    alice, bob, carol = (node(here, name) for name in ("alice", "bob", "carol"))
    befriend(here, "alice", "bob")
    befriend(here, "bob", "carol")
    assert "is a relay for your contacts" in here.run("alice", "offer", "yes").out
    until(lambda: [one["contact"] for one in relays(here, "bob")] == ["alice"])
    (taken,) = [here.run("bob", "--json", "relays", "add", "alice").object()]
    assert (taken["state"], taken["contact"], taken["used"]) == ("connected", "alice", True)
    # she hears of his queue there, and he goes
    until(lambda: here.run("carol", "--json", "send", "bob", "here", "--wait", "delivered").code == 0)
    bob.end()
    sent = here.run("carol", "--json", "send", "bob", "for later", "--wait", "stored").object()
    assert (sent["state"], sent["route"]) == ("stored", "mailbox")
    # it outlives alice's node, and nobody needs carol any more
    assert {path.suffix for path in (here.folder / "alice").glob("relay.*")} >= {".db", ".files", ".blobs"}
    carol.end()
    alice.end()
    alice = node(here, "alice")
    bob = node(here, "bob")
    until(lambda: "for later" in here.run("bob", "log", "carol").out)
    # one command ends it
    assert "not a relay" in here.run("alice", "offer", "no").out
    until(lambda: not list((here.folder / "alice").glob("relay*")))
    until(lambda: relays(here, "bob") == [])
    assert [alice.end().code, bob.end().code] == [0, 0]


def test_what_is_kept_for_others_may_be_broken_and_the_node_goes_on(here: Place) -> None:
    assert here.run("alice", "init", "--name", "alice", "--no-passphrase").code == 0
    alice, store = node(here, "alice"), here.folder / "alice" / "relay.db"
    assert here.run("alice", "offer", "yes").code == 0
    until(store.exists)
    alice.end()
    store.write_bytes(b"nonsense" * 1024)
    # a node that is ended while it makes the store leaves all of it in the log, from which SQLite would mend the file
    store.with_name("relay.db-wal").unlink(missing_ok=True)
    alice = node(here, "alice")
    alice.until_said("the relay for contacts failed: DatabaseDamaged")
    assert "is a relay" in here.run("alice", "offer").out
    assert here.run("alice", "doctor").code == 0
    assert here.run("alice", "offer", "no").code == 0
    until(lambda: not store.exists())
    assert here.run("alice", "offer", "yes").code == 0
    until(store.exists)
    assert alice.end().code == 0
