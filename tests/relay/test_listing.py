"""The relays that a relay tells of."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from p2pchat.core.descriptors import MAX_DESCRIPTOR, PRIVATE, Descriptor, decode_list, open_descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.errors import CannotOpen
from p2pchat.relay import listing
from p2pchat.relay.listing import (
    FORGOTTEN_AFTER_MS,
    MAX_A_NETWORK,
    MAX_A_PLACE,
    MAX_ANNOUNCED,
    REPLACED_AFTER_MS,
    SIGN_AGAIN_MS,
    Announced,
    RelayListing,
)

NOBODY = PeerKey(bytes(32))


def at_once(waiting: Coroutine[Any, Any, Announced]) -> Descriptor:
    """Return the descriptor of what a coroutine returns that does not have to wait."""
    try:
        waiting.send(None)
    except StopIteration as over:
        result: Announced = over.value
        return result.descriptor
    raise AssertionError


@dataclass
class Clock:
    now: int = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class One:
    """A relay with its list."""

    folder: Path
    clock: Clock
    number: int
    where: list[str] = field(default_factory=list)
    private: bool = False

    def __post_init__(self) -> None:
        self.where = self.where or [f"/ip4/{1 + self.number // 200}.{self.number % 200}.0.1/tcp/4001"]
        self.seed = self.number.to_bytes(32, "big")
        self.peer = PeerKey(sign_public(self.seed))
        self.start()

    def start(self) -> None:
        path, random = self.folder / f"{self.number}", Random(1).randbytes
        self.listing = RelayListing(self.seed, path, lambda: self.where, self.clock, random, private=self.private)

    def announce(self, to: One, place: str = "") -> None:
        to.listing.answer(self.peer, place or str(self.number), self.listing.own())
        to.dial_back()

    def dial_back(self) -> None:
        """Take it that all who wait have answered at the IP address that they name first."""
        while self.listing._announced:
            descriptor = at_once(self.listing.announced())
            self.listing.proven(descriptor, [descriptor.addresses[0].split("/")[2]])

    def told(self) -> list[Descriptor]:
        return [open_descriptor(raw) for raw in decode_list(self.listing.answer(NOBODY, "", b""))]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_its_own_descriptor_grows_over_restarts_and_whatever_the_clock_does(tmp_path: Path, clock: Clock) -> None:
    relay = One(tmp_path, clock, 1)
    first = relay.listing.own()
    relay.start()
    assert relay.listing.own() == first
    relay.where = ["/ip4/9.9.9.9/tcp/1"]
    clock.now -= 10 * SIGN_AGAIN_MS
    relay.start()
    second = open_descriptor(relay.listing.own())
    assert second.sequence == open_descriptor(first).sequence + 1
    assert second.addresses == ("/ip4/9.9.9.9/tcp/1",)
    clock.now += 11 * SIGN_AGAIN_MS
    assert open_descriptor(relay.listing.own()).sequence > second.sequence
    relay.where = []
    assert relay.told() == []


def test_only_a_relay_itself_is_listed_and_not_for_ever(tmp_path: Path, clock: Clock) -> None:
    hub, other, eve = (One(tmp_path, clock, number) for number in (1, 2, 3))
    other.announce(hub)
    assert [row.relay for row in hub.told()] == [hub.peer, other.peer]
    nowhere = One(tmp_path, clock, 5, [f"/ip4/9.9.9.9/tcp/1/p2p/{'1' * 52}/p2p-circuit"])
    nowhere.announce(hub)
    assert len(hub.listing) == 1
    with pytest.raises(CannotOpen):
        hub.listing.answer(eve.peer, "", other.listing.own())
    hub.listing.told(eve.peer, [b"nonsense", eve.listing.own()])
    hub.dial_back()
    assert {row.relay for row in hub.told()} == {hub.peer, other.peer, eve.peer}
    clock.now += FORGOTTEN_AFTER_MS
    One(tmp_path, clock, 4).announce(hub)
    assert len(hub.told()) == len(hub.listing) + 1 == 2


def test_unlisted_relays_are_told_to_their_clients_and_listed_nowhere(tmp_path: Path, clock: Clock) -> None:
    hub, quiet = One(tmp_path, clock, 1), One(tmp_path, clock, 2, private=True)
    quiet.announce(hub)
    hub.listing.told(NOBODY, [quiet.listing.own()])
    assert [row.relay for row in hub.told()] == [hub.peer]
    assert [row.flags & PRIVATE for row in quiet.told()] == [PRIVATE]
    hub.listing.told(quiet.peer, [quiet.listing.own()])
    assert quiet.peer not in hub.listing.public  # so that the hub names it in no address of its own
    quiet.listing.told(hub.peer, [hub.listing.own()])
    assert hub.peer in quiet.listing.public


def test_relays_that_tell_each_other_forget_one_that_has_gone(tmp_path: Path, clock: Clock) -> None:
    one, two, gone = (One(tmp_path, clock, number) for number in (1, 2, 3))
    gone.announce(one)
    for _ in range(12):
        for hub, other in ((one, two), (two, one)):
            hub.listing.told(other.peer, decode_list(other.listing.answer(NOBODY, "", b"")))
            hub.dial_back()
        clock.now += FORGOTTEN_AFTER_MS // 2
    assert [len(hub.listing) for hub in (one, two)] == [1, 1]


def test_a_descriptor_has_room_for_whatever_its_operator_announces(tmp_path: Path, clock: Clock) -> None:
    long = [f"/dns4/{letter * 63}.{letter * 63}.{letter * 63}.example/tcp/443/wss" for letter in "abcdef"]
    relay = One(
        tmp_path, clock, 1, [f"/dns4/{'.'.join('g' * 63 for _ in range(4))}/tcp/1/ws", *long, "/ip4/1.2.3.4/tcp/1"]
    )
    (own,) = relay.told()
    assert len(relay.listing.own()) <= MAX_DESCRIPTOR
    assert own.addresses == (*long[:3], "/ip4/1.2.3.4/tcp/1")


def test_one_who_does_not_answer_is_told_to_nobody_and_does_not_stay(tmp_path: Path, clock: Clock) -> None:
    """A relay that names somebody else's address, and one that is listed and then goes or names another."""
    hub, eve, gone = (One(tmp_path, clock, number) for number in (1, 2, 3))
    hub.listing.answer(eve.peer, "2", eve.listing.own())
    assert [row.relay for row in hub.told()] == [hub.peer]
    hub.listing.proven(at_once(hub.listing.announced()), [])
    assert (len(hub.listing), hub.listing._announced) == (0, {})
    gone.announce(hub)
    first = gone.listing.own()
    gone.where = ["/ip4/9.9.9.9/tcp/53"]
    clock.now += SIGN_AGAIN_MS
    hub.listing.answer(gone.peer, "3", gone.listing.own())
    assert len(hub.listing._announced) == 1  # to be dialled back, because its address is another
    hub.listing.proven(at_once(hub.listing.announced()), [])
    assert decode_list(hub.listing.answer(NOBODY, "", b""))[1:] == (first,)
    clock.now += FORGOTTEN_AFTER_MS
    eve.announce(hub)
    assert [row.relay for row in hub.told()] == [hub.peer, eve.peer]


def test_who_announces_many_delays_nobody_else(tmp_path: Path, clock: Clock) -> None:
    hub = One(tmp_path, clock, 1)
    for number in range(2, 1200):
        flood = One(tmp_path, clock, number)
        hub.listing.answer(flood.peer, f"20.7.{number // 32}.{number % 32}", flood.listing.own())
    assert len(hub.listing._announced) == MAX_ANNOUNCED
    late = One(tmp_path, clock, 1300)
    hub.listing.answer(late.peer, "30.0.0.1", late.listing.own())
    assert len(hub.listing._announced) == MAX_ANNOUNCED
    assert late.peer in {at_once(hub.listing.announced()).relay for _ in range(2)}


def test_a_full_list_is_nobodys(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old full list lets newcomers in, and a flood of made-up relays does not push out what is there."""
    monkeypatch.setattr(listing, "MAX_LISTED", 20)
    hub = One(tmp_path, clock, 1)
    old = [One(tmp_path, clock, number, [f"/ip4/40.{number}.0.1/tcp/1"]) for number in range(2, 14)]
    for relay in old:
        relay.announce(hub)
    for number in range(100, 180):  # of two networks
        One(tmp_path, clock, number, [f"/ip4/50.{number % 2}.{number}.1/tcp/1"]).announce(hub, f"50.0.{number}.1")
    assert {relay.peer for relay in old} <= hub.listing._known.keys()
    assert len(hub.listing) == 20
    late = [One(tmp_path, clock, number, [f"/ip4/60.{number}.0.1/tcp/1"]) for number in range(200, 206)]
    for relay in late:
        relay.announce(hub)
    assert {relay.peer for relay in (*old, *late)} <= hub.listing._known.keys()
    for number in range(300, 500):  # each in a network of its own
        One(tmp_path, clock, number, [f"/ip4/{70 + number // 200}.{number % 200}.0.1/tcp/1"]).announce(hub)
    assert sum(relay.peer in hub.listing._known for relay in (*old, *late)) >= 17  # one an hour
    clock.now += REPLACED_AFTER_MS
    last = One(tmp_path, clock, 600)
    last.announce(hub)
    assert last.peer in hub.listing._known
    assert len(hub.listing) == 20


def test_networks_are_those_in_which_a_relay_has_answered(tmp_path: Path, clock: Clock) -> None:
    """Whoever claims addresses in the network of others takes none of their places."""
    hub = One(tmp_path, clock, 1)
    for number in range(2, 20):
        claims = One(tmp_path, clock, number, [f"/dns4/relay{number}.example/tcp/1", f"/ip4/77.77.{number}.1/tcp/1"])
        hub.listing.answer(claims.peer, f"20.{number}.0.1", claims.listing.own())
        hub.listing.proven(at_once(hub.listing.announced()), ["20.7.7.7"])
    assert len(hub.listing) <= MAX_A_NETWORK
    honest = One(tmp_path, clock, 30, ["/ip4/77.77.1.1/tcp/1"])
    honest.announce(hub)
    assert honest.peer in hub.listing._known


def test_places_and_networks_have_a_few_entries_each(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = One(tmp_path, clock, 1)
    for number in range(2, 8):
        One(tmp_path, clock, number).announce(hub, "one place")
    assert len(hub.listing) == MAX_A_PLACE
    for number in range(8, 16):  # anybody can come over circuits as often as they like, each time with another key
        One(tmp_path, clock, number).announce(hub, f"circuit {number:064x}")
    assert len(hub.listing) == 2 * MAX_A_PLACE
    monkeypatch.setattr(listing, "MAX_LISTED", 40)
    for number in range(100, 120):
        One(tmp_path, clock, number).announce(hub, f"20010db80000{number:04x}")
    assert len(hub.listing) == 4 * MAX_A_PLACE  # of one /56
    monkeypatch.setattr(listing, "MAX_LISTED", 36)
    for number in range(20, 30):
        One(tmp_path, clock, number, [f"/ip4/77.77.{number}.1/tcp/1"]).announce(hub)
    assert len(hub.listing) == 4 * MAX_A_PLACE + MAX_A_NETWORK
    for number in range(200, 220):
        One(tmp_path, clock, number).announce(hub)
    assert len(hub.listing) == 36
