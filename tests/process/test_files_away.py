"""A file waits at real relays, one of which is killed, and arrives while its sender is offline."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.persons import Relay, gathered, people, relays
from tests.support.processes import Place
from tests.support.steps import until

SIZE = 2_000_000
BLOBS = 32
"""31 chunks and a list."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered(monkeypatch) as made:
        yield made


def lying(relay: Relay) -> int:
    """How many blobs of files lie at a relay."""
    with closing(sqlite3.connect(f"file:{relay.data / 'files.db'}?mode=ro", uri=True)) as db:
        ((count,),) = db.execute("SELECT count(*) FROM boxed").fetchall()
    return int(count)


def test_a_file_arrives_while_its_sender_is_away(here: Place) -> None:
    first, second = used = relays(here, "first", "second")
    alice, bob = people(here, "alice", "bob")
    alice.start()
    bob.start()
    bob.use(*used)
    bob.call("add", invite=alice.call("invite")["invite"], name="alice", wait="accepted", timeout=60)
    alice.has("bob")
    bob.hears("alice")
    alice.say("bob", "your queues, please", wait="delivered")
    for person in (bob, alice):
        person.end()
    alice.start()
    source = here.folder / "heron.bin"
    source.write_bytes(os.urandom(SIZE))
    sent = alice.call("send_file", chat="bob", path=str(source), wait="stored", timeout=60)
    until(lambda: [lying(relay) for relay in used] == [BLOBS, BLOBS])
    alice.end()
    first.end(signal.SIGKILL)
    bob.start()
    saved = bob.call("save_file", id=sent["id"], to=str(here.folder / "bob"), timeout=60)
    assert (here.folder / "bob" / "heron.bin").read_bytes() == source.read_bytes(), saved
    until(lambda: lying(second) == 0)
    alice.start()
    until(lambda: alice.call("files", chat="bob")[-1]["state"] == "delivered")
