"""What goes wrong, as a user meets it: one clear line, the exit code of the contract, and nothing lost.

Everything here runs as real processes on real sockets, but for the clocks: the program has no seam for a wrong clock,
so those run in the fake world. Each failure mode and where it is proven ("everyday" is test_everyday, "process" is
test_node_process); what is proven elsewhere is not repeated here:

    wrong passphrase                   here (send); process (unlock, node, verbs); cli/test_verbs (files that hold none)
    locked                             here (send, add, log, tail, why, invite); process (contacts); test_node
    profile in use, with the pid       process; two started at once: here
    corrupt, truncated, newer database here (left as it is, put back); process; every damage: store/test_database
    key file missing                   here; damaged: store/test_keys
    full disk                          here (sending, receiving, joining); store/test_database; test_delivery
    read-only folder                   here
    invite damaged, empty, own, known  here; core/test_invite, test_invites
    invite expired, used twice         here (its maker is told); every order of events: test_invites
    clock a day off, three days off    here
    contact unreachable                here (send, add); test_scenarios
    deep profile path                  process, test_locations
    node killed in mid-call            here (send), process (tail), cli/test_verbs; under traffic: test_kill
    stale socket                       process, api/test_client, api/test_server
    no profile                         here (verbs of the node); cli/test_verbs (every other verb)
    settings with a mistake            process
    ambiguous, unknown                 everyday; cli/test_verbs (tail)
    text too long, empty, not UTF-8    everyday (48,000 bytes arrive); cli/test_verbs (each way of giving one)
    stdin, stdout closed or full       everyday
    blocked, declined                  everyday, here; test_invites
    search with syntax in it           everyday; store/test_messages
    hostile names and texts            everyday; cli/test_verbs, test_clean, core/test_text
    what was saved, with --json        here (exit 3 of send and add); cli/test_verbs
    tail that lagged                   cli/test_verbs, api/test_server
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.errors import NotReached
from p2pchat.store import keys, meta
from p2pchat.store.database import Database
from tests.support.processes import PATIENCE, Done, Place, Running, place
from tests.support.steps import (
    DAY_S,
    befriended,
    failed,
    fine,
    following,
    foreign_invite,
    hear_state,
    make,
    new_invite,
    send,
    start,
    texts,
    why,
    without_link,
)
from tests.support.world import World, befriend, run_world, until


@pytest.fixture(scope="module")
def pair() -> Iterator[Place]:
    """Alice and bob, contacts, their nodes running, two messages from bob to alice; shared by what changes neither."""
    with place() as made:
        make(made, "alice", "bob")
        start(made, "alice", "bob")
        befriended(made, "alice", "bob")
        for text in ("one", "two"):
            send(made, "bob", "alice", text)
        yield made


# --- locked ----------------------------------------------------------------------------------------


def test_nothing_can_be_done_on_a_locked_profile_and_nothing_is_lost(here: Place) -> None:
    (here.folder / "pw").write_text("correct horse\n")
    (here.folder / "wrong").write_text("battery staple\n")
    right = ("--passphrase-file", str(here.folder / "pw"))
    assert here.run("alice", "init", "--name", "alice", *right).code == 0
    failed(here.run("alice", "add", foreign_invite(), "--name", "bob", "--timeout", "0.1s", *right), 3, "queued")
    text = here.run("alice", "send", "bob", "kept", *right)
    assert text.code == 0
    assert here.run("alice", "lock").code == 0
    node = here.node("alice")
    assert node.hear() == {"event": "locked"}
    for words in (["send", "bob", "hi"], ["add", "P2PCHAT:X"], ["log", "bob"], ["tail"], ["why", "ab"], ["invite"]):
        failed(here.run("alice", *words), 4, "locked", "--passphrase-file")
    failed(here.run("alice", "send", "bob", "hi", "--passphrase-file", str(here.folder / "wrong")), 4, "passphrase")
    assert fine(here.run("alice", "log", "bob", "--json", *right))[0]["text"] == "kept"
    assert node.hear()["event"] == "ready"


# --- the profile -----------------------------------------------------------------------------------


def test_two_nodes_started_at_once_are_one(here: Place) -> None:
    make(here, "alice")
    nodes = [here.node("alice") for _ in range(2)]
    ended = [node for node in nodes if _refused(node)]
    (loser,) = ended
    (winner,) = (node for node in nodes if node is not loser)
    failed(loser.wait(), 4, str(winner.pid), "node stop")
    assert fine(here.run("alice", "node", "status", "--json"))[0]["pid"] == winner.pid


def _refused(node: Running) -> bool:
    try:
        return bool(node.hear()["event"] != "ready")
    except EOFError:
        return True


def newer(path: Path) -> None:
    db = Database.open(path, keys.open_keys(path.parent, None))
    db.execute("PRAGMA user_version = 99")
    db.close()


def test_a_database_that_cannot_be_used_is_left_alone(here: Place) -> None:
    make(here, "alice")
    path = here.folder / "alice" / "profile.db"
    failed(here.run("alice", "add", foreign_invite(), "--name", "bob", "--timeout", "0.1s"), 3)
    assert here.run("alice", "send", "bob", "kept").code == 0
    assert here.run("alice", "node", "stop").code == 0
    whole = path.read_bytes()
    middle = len(whole) // 2
    damages: list[tuple[str, Callable[[], object]]] = [
        ("damaged", lambda: path.write_bytes(whole[:middle])),
        ("damaged", lambda: path.write_bytes(b"")),
        ("damaged", lambda: path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])),
        ("newer", lambda: newer(path)),
    ]
    for word, damage in damages:
        path.write_bytes(whole)
        damage()
        left = path.read_bytes()
        failed(here.run("alice", "log", "bob"), 1, word, "nothing was changed")
        assert path.read_bytes() == left
    failed(here.run("alice", "node"), 1, word, "nothing was changed")
    path.write_bytes(whole)
    assert texts(here, "alice", "bob") == ["kept"]


def test_a_key_file_that_is_missing_is_not_a_missing_profile(here: Place) -> None:
    make(here, "alice")
    key = here.folder / "alice" / "key"
    key.rename(here.folder / "kept")
    for words in (["contacts"], ["node"]):
        failed(here.run("alice", *words), 1, "key file", "backup")
    failed(here.run("alice", "init", "--name", "x", "--no-passphrase"), 1, "already")
    (here.folder / "kept").rename(key)
    assert here.run("alice", "contacts").code == 0


def test_no_profile(here: Place) -> None:
    for words in (["node"], ["node", "status"], ["node", "stop"], ["lock"], ["send", "bob", "hi"]):
        failed(here.run("none", *words), 1, "p2pchat init")
    assert not (here.folder / "none").exists()
    (here.folder / "file").write_text("x")
    failed(here.run("file", "contacts"), 1, "p2pchat init")
    failed(here.run("file", "init", "--name", "x", "--no-passphrase"), 1, "Not a directory")


def test_a_folder_that_may_not_be_written(here: Place) -> None:
    make(here, "alice")
    folder = here.folder / "alice"

    def without_override() -> None:
        # root writes where it likes, unless it may not gain CAP_DAC_OVERRIDE (1) at the exec; others cannot anyway
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)

    def run(*words: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "p2pchat", "--profile", str(folder), *words],
            env=here.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            preexec_fn=without_override,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    for _ in range(2):  # never run before, and with what a run leaves
        folder.chmod(0o500)
        for words in (["contacts"], ["node"]):
            failed(run(*words), 1, "ermission")
        folder.chmod(0o700)
        assert run("contacts").code == 0
        assert run("node", "stop").code == 0


# --- a full disk -----------------------------------------------------------------------------------


@contextmanager
def full_disk(node: Running) -> Iterator[None]:
    """No file of this process can grow, as on a full disk; its sockets work on."""
    before = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing_on_either_side(here: Place) -> None:
    make(here, "alice", "bob")
    alice, _ = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    for text in ("first", "second"):
        send(here, "bob", "alice", text)
    tail = following(here, "bob", "alice", "--events")
    with full_disk(alice):
        failed(here.run("alice", "send", "bob", "not sent"), 1, "disk", "nothing was sent")
        failed(here.run("alice", "invite"), 1, "disk")
        alice.until_said("DiskFull")
        waited = here.run("bob", "send", "alice", "delayed", "--wait", "delivered", "--timeout", "1s", "--json")
        delayed = json.loads(waited.out)
        assert (waited.code, delayed["state"]) == (3, "saved")
        alice.until_said("DiskFull")
        assert texts(here, "alice", "bob") == ["first", "second"]  # what is there can be read
        why = fine(here.run("bob", "why", delayed["id"], "--json"))[0]
        assert "Tried until" in why["next"]
    send(here, "alice", "bob", "room again")  # and with it goes what could not be taken before
    hear_state(tail, delayed["id"], "delivered")
    assert sorted(texts(here, "alice", "bob")) == ["delayed", "first", "room again", "second"]
    assert texts(here, "bob", "alice").count("not sent") == 0


def test_a_disk_that_is_full_when_the_inviter_answers_only_delays(here: Place) -> None:
    make(here, "alice", "bob")
    (alice,) = start(here, "alice")
    invite = new_invite(here, "alice")
    alice.end()
    (bob,) = start(here, "bob")
    failed(here.run("bob", "add", invite, "--name", "alice", "--timeout", "0.1s"), 3, "queued")
    with full_disk(bob):
        start(here, "alice")
        bob.until_said("DiskFull")
        assert fine(here.run("bob", "contacts", "--json"))[0]["state"] == "waiting"
    assert here.run("bob", "add", invite, "--wait", "accepted", "--timeout", "60s").code == 0
    send(here, "bob", "alice", "here I am")


# --- invites ---------------------------------------------------------------------------------------


def test_damaged_invites_change_nothing(pair: Place) -> None:
    before = pair.run("bob", "contacts", "--json").out
    invite = new_invite(pair, "alice")
    for n in (20, len(invite) // 2, len(invite) - 3):
        letter = "A" if invite[n] != "A" else "B"
        failed(pair.run("bob", "add", invite[:n] + letter + invite[n + 1 :]), 2, "complete invite", "P2PCHAT:")
    for text in (invite[:-1], invite[:-9], invite[5:], "P2PCHAT:", "https://example.org/i#x", "\x1b[2J"):
        failed(pair.run("bob", "add", text), 2, "complete invite")
    for text in ("", " \n"):
        failed(pair.run("bob", "add", text), 2, "No invite")
        failed(pair.run("bob", "add", "-", stdin=text), 2, "No invite")
    failed(pair.run("bob", "add", "--json", invite[:-1]), 2, "complete invite")
    assert pair.run("bob", "contacts", "--json").out == before


def test_invites_of_oneself_and_of_a_contact(pair: Place) -> None:
    invite = new_invite(pair, "alice")
    failed(pair.run("alice", "add", invite), 2, "your own")
    asked = pair.run("bob", "add", invite)
    assert asked.code == 0
    assert "begin anew" in asked.out
    assert [one["name"] for one in fine(pair.run("bob", "contacts", "--json"))] == ["alice"]
    send(pair, "bob", "alice", "still here")


def test_a_used_invite_is_refused_and_its_maker_is_told(here: Place) -> None:
    make(here, "alice", "bob", "carol")
    start(here, "alice", "bob", "carol")
    invite = new_invite(here, "alice")
    assert here.run("bob", "add", invite, "--wait", "accepted").code == 0
    for _ in range(2):
        send(here, "bob", "alice" if _ else fine(here.run("bob", "contacts", "--json"))[0]["id"], "hi")
    tail = following(here, "alice", "bob", "--events")
    failed(here.run("carol", "add", invite), 5, "already used", "Ask for a new one")
    while (event := tail.hear()).get("event") != "node":
        pass
    assert "leaked" in event["warning"]
    assert fine(here.run("carol", "contacts", "--json")) == []
    assert here.run("carol", "add", new_invite(here, "alice"), "--wait", "accepted").code == 0
    assert here.run("bob", "add", invite).code == 0  # who used it may say it again


def test_an_expired_invite(here: Place) -> None:
    make(here, "alice", "bob")
    alice, _ = start(here, "alice", "bob")
    invite = new_invite(here, "alice")
    failed(here.run("bob", "add", foreign_invite(expires_in=-2 * DAY_S)), 5, "expired", "Ask for a new one")
    alice.end()
    path = here.folder / "alice" / "profile.db"
    db = Database.open(path, keys.open_keys(path.parent, None))
    # For her the time has passed, by a clock that she has seen agree for an hour.
    db.execute("UPDATE invites SET expires_at = expires_at - ?", (8 * DAY_S * 1000,))
    meta.put_int(db, "clock_seen", int(time.time() * 1000) - 2 * 3_600_000)
    db.close()
    start(here, "alice")
    failed(here.run("bob", "add", invite), 5, "expired", "Ask for a new one")
    assert fine(here.run("bob", "contacts", "--json")) == fine(here.run("alice", "contacts", "--json")) == []
    befriended(here, "alice", "bob")


def test_a_declined_request_is_silence(pair: Place) -> None:
    make(pair, "dave")
    start(pair, "dave")
    asked = fine(pair.run("dave", "add", new_invite(pair, "bob", "--ask"), "--name", "bob", "--json"))[0]
    assert asked["state"] == "waiting"
    (request,) = fine(pair.run("bob", "requests", "--json"))
    failed(pair.run("bob", "send", request["id"], "hi"), 2, "not a contact")
    waited = pair.run("dave", "send", "bob", "please", "--wait", "delivered", "--timeout", "0.1s", "--json")
    message = json.loads(waited.out)
    assert waited.code == 3
    assert why(pair, "dave", message["id"]) == "bob has not accepted yet."
    assert pair.run("bob", "decline", request["id"]).code == 0
    failed(pair.run("bob", "accept", request["id"]), 2, "no contact")
    assert fine(pair.run("bob", "requests", "--json")) == []
    assert why(pair, "dave", message["id"]) == "bob has not accepted yet."
    assert texts(pair, "dave", "bob") == ["please"]


# --- clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_a_day_off_is_no_hindrance(tmp_path: Path, hours: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        bob.skew = hours * 3_600_000
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="to bob", wait="delivered")
        await bob.stop()
        bob = await world.start("bob", lambda node: setattr(node, "skew", hours * 3_600_000))
        await bob.call("send", chat="alice", text="to alice", wait="delivered", timeout=60)
        await befriend_back(world, bob)

    async def befriend_back(world: World, bob: Any) -> None:
        carol = await world.start("carol")
        await befriend(bob, carol)  # the wrong clock may be the inviter's too
        await carol.call("send", chat="bob", text="hello", wait="delivered", timeout=60)

    run_world(tmp_path, main)


def test_with_a_clock_three_days_off_messages_wait_until_it_is_set(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await bob.stop()
        bob = await world.start("bob", lambda node: setattr(node, "skew", 3 * DAY_S * 1000))
        with pytest.raises(NotReached):
            await bob.call("send", chat="alice", text="from the future", wait="delivered", timeout=600)
        with pytest.raises(NotReached):
            await alice.call("send", chat="bob", text="from the past", wait="delivered", timeout=600)
        bob.skew = 0
        await until(lambda: arrived(alice, "bob", "from the future"))
        await until(lambda: arrived(bob, "alice", "from the past"))

    async def arrived(node: Any, chat: str, text: str) -> bool:
        await trio.lowlevel.checkpoint()
        return bool(await node.texts(chat) == [text])

    run_world(tmp_path, main)


# --- contacts that are away ------------------------------------------------------------------------


def test_who_is_away_gets_everything_when_they_come(here: Place) -> None:
    make(here, "alice", "bob")
    (alice,) = start(here, "alice")
    invite = new_invite(here, "alice")
    alice.end()
    start(here, "bob")
    asked = here.run("bob", "add", invite, "--name", "alice", "--timeout", "0.1s", "--json")
    assert (asked.code, asked.err.count("\n"), asked.object()["state"]) == (3, 1, "waiting")
    queued = here.run("bob", "send", "alice", "early", "--wait", "delivered", "--timeout", "0.1s", "--json")
    assert (queued.code, queued.err.count("\n"), queued.object()["state"]) == (3, 1, "saved")
    message = queued.object()["id"]
    failed(
        here.run("bob", "add", invite, "--timeout", "0.1s"), 3, "stays queued", "Leave the node running"
    )  # once more, and still one contact
    assert "has not been reached" in why(here, "bob", message)
    send_more = here.run("bob", "send", "alice", "more")
    assert (send_more.code, send_more.out) == (0, send_more.out.strip() + "\n")
    tail = following(here, "bob", "alice", "--events")
    (alice,) = start(here, "alice")
    hear_state(tail, message, "delivered")
    assert why(here, "bob", message) == "It was delivered, as their node confirmed."
    send(here, "bob", "alice", "now")
    assert texts(here, "alice", "bob") == ["early", "more", "now"]
    assert "received" in why(here, "alice", message)
    alice.end()
    without_link(here, "bob")
    gone = here.run("bob", "send", "alice", "gone again", "--wait", "delivered", "--timeout", "0.1s")
    failed(gone, 3, "saved here and will be sent as soon as", "p2pchat why", out=gone.out)
    assert "There is no link" in why(here, "bob", gone.out.strip())
    start(here, "alice")
    hear_state(tail, gone.out.strip(), "delivered")


def test_a_node_killed_during_a_call_lost_nothing_of_it(here: Place) -> None:
    make(here, "alice")
    (node,) = start(here, "alice")
    for name in ("bob", "carol"):
        failed(here.run("alice", "add", foreign_invite(), "--name", name, "--timeout", "0.1s"), 3)
    for text in ("a", "b"):
        assert here.run("alice", "send", "bob", text).code == 0
    tail = following(here, "alice", "bob")
    sending = here.start("alice", "send", "carol", "kept", "--wait", "delivered", "--timeout", "60s")
    assert tail.hear()["text"] == "kept"  # it is saved, and the call waits on
    node.end(signal.SIGKILL)
    failed(sending.wait(), 1, "ended", "p2pchat log")
    assert here.processes() == [tail.pid]  # it waits, and starts no node
    assert texts(here, "alice", "carol") == ["kept"]
    assert here.run("alice", "send", "bob", "afterwards").code == 0
    assert tail.hear()["text"] == "afterwards"
