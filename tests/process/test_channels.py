"""Real relays and real nodes: a channel that is written, followed, mirrored by two relays, and refused by one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from p2pchat.relay.folder import Folder
from tests.support.persons import Relay, gathered, people, relays
from tests.support.processes import Place
from tests.support.steps import failed, until


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered(monkeypatch) as made:
        yield made


def mirrored(relay: Relay) -> int:
    """How many posts are at a relay."""
    posts: int = Folder(relay.data).ask()["feed_posts"]
    return posts


def test_a_channel_reaches_who_was_away_by_the_relay_that_is_left(here: Place) -> None:
    first, second = used = relays(here, "first", "second")
    alice, bob, carol = people(here, "alice", "bob", "carol")
    alice.start()
    alice.use(*used)
    assert here.run("alice", "channel", "create", "news").code == 0
    link = here.run("alice", "channel", "invite", "news").out.strip()
    assert link.startswith("P2PCHAT:")
    assert alice.say("news", "good morning")["state"] == "stored"

    bob.start()
    bob.use(first)  # a node dials no loopback address that others name
    assert "You follow news" in here.run("bob", "add", link).out
    carol.start()
    carol.use(second)
    assert carol.call("add", invite=link)["state"] == "channel"
    for reader in (bob, carol):
        reader.hears("news", "good morning")
    assert "good morning" in here.run("bob", "log", "news").out
    failed(here.run("bob", "send", "news", "me too"), 2, "writers")

    carol.end()
    alice.say("news", "at noon", "in the evening")
    bob.hears("news", "good morning", "at noon", "in the evening")

    id = bob.call("channel_report", chat="news")["id"]
    assert id in here.run("bob", "channel", "report", "news").out
    until(lambda: mirrored(first) == mirrored(second) == 3)
    done = here.run("unused", "relay", "channels", "refuse", id, "--data", str(first.data), "--remark", "reported")
    assert (done.code, done.out.split()) == (0, [id, "reported"])
    os.kill(Folder(first.data).ask()["pid"], signal.SIGHUP)
    until(lambda: mirrored(first) == 0)
    alice.end()
    carol.start()
    carol.hears("news", "good morning", "at noon", "in the evening")
    until(lambda: carol.call("channel", chat="news")["problem"] == "")
