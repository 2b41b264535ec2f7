"""A channel between two homes that never meet: followed by somebody without a relay of their own, who was away while a
relay was killed and everything else was written; and by somebody whose network blocks its relay.
"""

from __future__ import annotations

import signal

from p2pchat.relay.folder import Folder
from tests.lab.town import RELAYS, Town
from tests.support.steps import make, until


def mirrored(town: Town, relay: str) -> int:
    """How many posts are at a relay."""
    return int(Folder(town.folder(relay)).ask()["feed_posts"])


def test_a_channel_reaches_a_home_by_the_relay_that_is_left(town: Town) -> None:
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice")
    make(town.lab.place, "bob")
    town.on("bob")
    town.verb("alice", "channel", "create", "news")
    (link,) = town.verb("alice", "channel", "invite", "news")
    town.say("alice", "news", "one", "stored")
    (followed,) = town.verb("bob", "add", link["text"])
    assert followed["state"] == "channel"
    town.until("bob", lambda client: [one["text"] for one in client.call("log", chat="news")] == ["one"])

    town.off("bob", signal.SIGKILL)
    until(lambda: mirrored(town, "relay1") == mirrored(town, "relay2") == 1)
    town.off("relay1", signal.SIGKILL)
    for text in ("two", "three"):
        town.say("alice", "news", text, "stored")
    town.off("alice")
    town.on("bob")
    everything = ["one", "two", "three"]
    town.until("bob", lambda client: [one["text"] for one in client.call("log", chat="news")] == everything)
    (shown,) = town.verb("bob", "channel", "show", "news")
    assert (shown["posts"], shown["missing"], shown["problem"]) == (3, 0, "")

    town.open("relay1")
    town.on("alice")
    until(lambda: mirrored(town, "relay1") == 3)
    homes = town.lab["alice"].seen_as, town.lab["bob"].seen_as
    assert not {homes, homes[::-1]} & town.lab["internet"].talked().keys(), "the two homes exchange no packet"


def test_whose_network_blocks_the_relay_of_a_channel_reads_where_another_reader_hands_it_on(town: Town) -> None:
    town.open("relay1")
    town.settle("alice")
    town.verb("alice", "channel", "create", "news")
    (link,) = town.verb("alice", "channel", "invite", "news")
    town.say("alice", "news", "one", "stored")
    town.open("relay2")
    town.lab.place.within["carol"] = town.lab["bob"].inside  # who lives with Bob, and was told by him
    make(town.lab.place, "bob", "carol")
    town.on("bob")
    town.verb("bob", "relays", "add", town.addresses["relay2"])
    town.verb("bob", "add", link["text"])
    town.verb("bob", "channel", "mirror", "news", "on")
    until(lambda: mirrored(town, "relay2") == 1)
    (passed_on,) = town.verb("bob", "channel", "invite", "news")

    town.lab.part("bob", "relay1")
    town.on("carol")
    town.verb("carol", "add", passed_on["text"])
    town.until("carol", lambda client: [one["text"] for one in client.call("log", chat="news")] == ["one"])
