"""Real relays and real nodes: a channel that is written, followed, mirrored by two relays, and refused by one; and one
that moves, is talked about, and outlives all relays of its owner.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from p2pchat.relay.folder import Folder
from tests.support.persons import Person, Relay, gathered, people, relays
from tests.support.processes import PATIENCE, Place
from tests.support.steps import failed, until

LOOK = 0.25
"""Seconds until one looks again where no event comes."""


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


def shows(person: Person, *texts: str) -> bool:
    """Whether somebody sees exactly these posts now, a withdrawn one without a text."""
    return [one["text"] for one in person.call("log", chat="news")] == list(texts)


def wait(person: Person, check: Callable[[], bool]) -> None:
    """Look again at every event of somebody's node, and a few times a second for what no event tells."""
    assert person.client is not None
    deadline, events = time.monotonic() + PATIENCE, person.client.events()
    while not check():
        assert time.monotonic() < deadline, f"{person.name} waited in vain"
        if person.client.pending or select.select([person.client.socket], [], [], LOOK)[0]:
            next(events)


def test_a_channel_moves_is_talked_about_and_outlives_the_relays_of_its_owner(here: Place) -> None:
    first, second, third = relays(here, "first", "second", "third")
    alice, bob, carol, dan = people(here, "alice", "bob", "carol", "dan")
    alice.start()
    alice.use(first, third)  # a node dials no loopback address that others name
    alice.call("create_channel", name="news")
    alice.call("channel_relays", chat="news", remove=third.address)
    link = alice.call("channel_invite", chat="news")["text"]
    ids = [alice.say("news", text)["id"] for text in ("one", "two", "three")]
    bob.start()
    bob.use(first, second, third)
    carol.start()
    carol.use(first, third)
    for reader in (bob, carol):
        reader.call("add", invite=link)
        reader.hears("news", "one", "two", "three")

    # What the owner says later about a post reaches the readers, also at their own relays.
    assert bob.call("channel_mirror", chat="news", mirrors=True)["mirrors"]
    alice.call("edit", id=ids[0], text="first")
    alice.call("delete", id=ids[1], for_both=True)
    for person in (alice, bob, carol):
        wait(person, partial(shows, person, "first", "", "three"))
    edited, withdrawn, _ = bob.call("log", chat="news")
    assert edited["edited_at"] is not None
    assert withdrawn["deleted"]

    # Readers join the group that talks about it by the invite in the channel.
    group = alice.call("create_group", name="talk")["id"]
    alice.call("channel_comments", chat="news", group=group)
    wait(bob, lambda: bob.call("channel_comments", chat="news")["comments"] is not None)
    linked = bob.call("channel_comments", chat="news")["comments"]
    assert (linked["name"], linked["chat"]) == ("talk", None)
    bob.call("add", invite=linked["text"], words="I read it every day", timeout=PATIENCE)
    wait(alice, lambda: bool(alice.call("group_requests", chat=group)))
    (request,) = alice.call("group_requests", chat=group)
    assert (request["name"], request["words"]) == ("bob", "I read it every day")
    alice.call("answer_request", chat=group, id=request["id"], accept=True)
    wait(bob, lambda: bob.call("channel_comments", chat="news")["comments"]["chat"] is not None)
    talk = bob.call("channel_comments", chat="news")["comments"]["chat"]
    bob.say(talk, "what about the second one?", wait="saved")
    wait(alice, lambda: "what about the second one?" in alice.texts(group))
    alice.say(group, "it was wrong", wait="saved")
    wait(bob, lambda: "it was wrong" in bob.texts(talk))

    # The owner moves: whoever was away finds the new relay at the old one.
    carol.end()
    alice.call("channel_relays", chat="news", add=third.address)
    moved = alice.call("channel_relays", chat="news", remove=first.address)
    assert moved["relays"] == [third.address]
    wait(alice, lambda: not alice.call("channel_relays", chat="news")["leaving"])
    alice.say("news", "four")
    carol.start()
    wait(carol, partial(shows, carol, "first", "", "three", "four"))
    assert carol.call("channel_relays", chat="news")["relays"] == [third.address]

    # All relays of the owner end: who has the link that a reader passes on reads everything.
    wait(bob, partial(shows, bob, "first", "", "three", "four"))
    wait(bob, lambda: mirrored(second) == 6)
    passed_on = bob.call("channel_invite", chat="news")["text"]
    alice.end()
    for relay in (first, third):
        relay.end(signal.SIGKILL)
    dan.start()
    dan.use(second)
    dan.call("add", invite=passed_on)
    wait(dan, partial(shows, dan, "first", "three", "four"))
    assert {second.address, third.address} <= set(dan.call("channel_relays", chat="news")["relays"])
    assert dan.call("channel", chat="news")["problem"] == ""
