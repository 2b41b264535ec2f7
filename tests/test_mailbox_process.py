"""Real relays and real nodes: two people who are never there at the same time, and relays that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Place, Running, place
from tests.steps import failed, fine, make, new_invite, start, texts, why

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


@pytest.fixture
def here() -> Iterator[Place]:
    with place() as made:
        yield made


def relay(here: Place, name: str, *words: str) -> tuple[Running, str]:
    """A relay that is ready, and its address."""
    running = here.start("unused", "relay", "--data", str(data(here, name)), "--listen", LOOPBACK, *words)
    event = running.hear()
    assert event["event"] == "ready"
    return running, event["addresses"][0]


def data(here: Place, name: str) -> Path:
    return here.folder / name


def blobs(here: Place, name: str) -> int:
    """How many a relay has on its disk."""
    with sqlite3.connect(f"file:{data(here, name) / 'blobs.db'}?mode=ro", uri=True) as db:
        return int(db.execute("SELECT count(*) FROM blobs").fetchone()[0])


def node(here: Place, name: str, *words: str) -> Running:
    running = here.node(name, *words)
    assert running.hear()["event"] == "ready"
    return running


def arrives(here: Place, name: str, chat: str, *expected: str) -> None:
    """Wait until these have come, in this order."""
    tail = here.start(name, "tail", chat, "--since", "", "--events")
    came: list[str] = []
    while came != list(expected):
        event = tail.hear()
        if event.get("from") not in (None, "me"):
            came.append(event["text"])
        assert came == list(expected[: len(came)])
    tail.end(signal.SIGINT)


def moves(here: Place, name: str, contact: str, state: str) -> None:
    """Wait until a contact is in that state."""
    tail = here.start(name, "tail", "--events")
    while True:
        if {one["name"]: one["state"] for one in fine(here.run(name, "contacts", "--json"))}.get(contact) == state:
            break
        tail.hear()
    tail.end(signal.SIGINT)


def test_from_an_invite_to_a_talk_with_one_of_them_always_away(here: Place) -> None:
    first, second = relay(here, "first"), relay(here, "second")
    make(here, "alice", "bob")
    alice = node(here, "alice")
    for _, address in (first, second):
        added = fine(here.run("alice", "relays", "add", address, "--json"))
    assert [one["state"] for one in added] == ["connected", "connected"]
    invite = new_invite(here, "alice")
    assert (blobs(here, "first"), blobs(here, "second")) == (1, 1)
    assert alice.end().code == 0

    bob = node(here, "bob")
    asked = here.run("bob", "add", invite, "--name", "alice", "--timeout", "5s")
    failed(asked, 3, "the request is stored at 2 relays until")
    early = here.run("bob", "send", "alice", "are you there?", "--json").object()
    assert "Your request to alice is stored at 2 relays" in why(here, "bob", early["id"])
    assert bob.end().code == 0

    alice = node(here, "alice")
    moves(here, "alice", "bob", "contact")
    sent = fine(here.run("alice", "send", "bob", "welcome, Боб", "--wait", "stored", "--json"))[0]
    assert (sent["state"], sent["route"]) == ("stored", "mailbox")
    assert "stored at 2 relays until" in why(here, "alice", sent["id"])
    assert fine(here.run("alice", "contacts", "--json"))[0]["route"] == "mailbox"
    assert alice.end().code == 0

    bob = node(here, "bob")
    moves(here, "bob", "alice", "contact")
    arrives(here, "bob", "alice", "welcome, Боб")
    more = [f"{number}" for number in range(20)]
    for text in more:
        fine(here.run("bob", "send", "alice", text, "--wait", "stored", "--json"))
    assert bob.end().code == 0

    # one relay is gone for good; the other has everything
    first[0].end(signal.SIGKILL)
    alice = node(here, "alice")
    arrives(here, "alice", "bob", "are you there?", *more)
    states = {one["state"] for one in fine(here.run("alice", "relays", "--json"))}
    assert states in ({"connected", "connecting"}, {"connected", "unreachable"})
    sent = fine(here.run("alice", "send", "bob", "by one relay", "--wait", "stored", "--json"))[0]
    assert sent["state"] == "stored"
    assert alice.end().code == 0
    bob = node(here, "bob")
    arrives(here, "bob", "alice", "welcome, Боб", "by one relay")
    assert bob.end().code == 0
    assert second[0].end().code == 0


def test_both_there_and_nothing_but_a_relay_between_them(here: Place) -> None:
    """Their nodes listen, but the invite names only the relay: it is made while nobody can dial its maker."""
    running, address = relay(here, "relay", "--config", str(with_token(here, "let-me.in")))
    make(here, "alice", "bob")
    failed(here.run("alice", "relays", "add", "nonsense"), 2, "nonsense")
    (refused,) = fine(here.run("alice", "relays", "add", address, "--json"))
    assert refused["state"] == "refused"
    start(here, "bob")
    assert here.run("alice", "node", "stop").code == 0
    alice = node(here, "alice", "--relay", f"{address}#let-me.in")
    (kept,) = fine(here.run("alice", "relays", "--json"))
    assert kept["kept"]
    invite = new_invite(here, "alice")
    added = fine(here.run("bob", "add", invite, "--name", "alice", "--wait", "accepted", "--json"))
    assert added[0]["state"] == "contact"
    assert alice.end().code == 0
    fine(here.run("bob", "send", "alice", "while you were out", "--wait", "stored", "--json"))
    node(here, "alice")
    arrives(here, "alice", "bob", "while you were out")
    assert texts(here, "bob", "alice") == ["while you were out"]
    assert running.end().code == 0


def with_token(here: Place, word: str) -> Path:
    config, token = here.folder / "relay.toml", here.folder / "token"
    token.write_text(word)
    os.chmod(token, 0o600)
    config.write_text(f'token_file = "{token}"\n')
    return config
