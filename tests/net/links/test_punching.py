"""Punching: who says what when, and what nobody can make the other side do; on a made-up clock, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core import punch
from p2pchat.core.delivery import Route
from p2pchat.core.frames import PUNCH, Frame
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.punch import Punch, PunchAddress, PunchStep
from p2pchat.errors import CannotOpen
from p2pchat.net import multiaddrs
from p2pchat.net.links.punching import (
    ANSWER_TIMEOUT,
    FIRST_PAUSE_SECONDS,
    HEAD_START_SECONDS,
    MAX_ATTEMPTS,
    MAX_TRIES,
    MIN_PAUSE_SECONDS,
    Punching,
    allowed,
    observers_of,
)
from p2pchat.net.ports import Observer
from tests.conftest import run

CONTACT = ContactId(b"contact!")
HERE, THERE = PunchAddress(bytes((11, 0, 3, 2)), 4001), PunchAddress(bytes((11, 0, 4, 2)), 4002)
HALF_TRIP, LOOK_SECONDS = 0.1, 0.25


class Side:
    """One side: the link over a circuit, the links, the host and the holes that `Punching` is given, in one."""

    def __init__(self, peer: int, address: PunchAddress, nursery: trio.Nursery) -> None:
        self.peer = PeerKey(bytes([peer]) * 32)
        self.other: Side
        self.link: Arrived
        self.nursery = nursery
        self.contact = CONTACT
        self.stream = self
        self.route = Route.CIRCUIT
        self.seen_at: tuple[PunchAddress, ...] = (address,)
        self.hides = False
        self.opens = True
        self.deaf = False
        self.looks = 0
        self.said: list[Punch] = []
        self.punches: list[tuple[float, bool, Sequence[PunchAddress]]] = []
        self.dialled: list[tuple[float, int, Route | None]] = []
        self.link_is = Route.CIRCUIT
        self.loses = False
        self.punching = Punching(
            cast(Any, Host(self)), cast(Any, self), cast(Any, self), nursery, Random(peer).randbytes, lambda contact: ()
        )

    # what it is as a link, whose stream leads to the other side

    async def _arrive(self, frame: Frame) -> None:
        await trio.sleep(HALF_TRIP)
        if not self.other.deaf:
            self.other.take(frame.body)

    def take(self, body: bytes) -> None:
        """A frame has come from the other side."""
        self.on_punch(Arrived(self), Frame(PUNCH, body))

    def post(self, frames: Sequence[Frame]) -> bool:
        for frame in frames:
            self.said.append(punch.decode(frame.body))
            if self.loses:  # with the link, which ends just then
                self.loses, self.link = False, Arrived(self)
                self.other.link = Arrived(self.other)
                continue
            self.nursery.start_soon(self._arrive, frame)
        return True

    # as the links

    def tell_of_punching(self, new: Callable[[Any], None], came: Callable[[Any, Frame], None]) -> None:
        self.on_new, self.on_punch = new, came

    def best(self, contact: ContactId) -> Any:
        if self.link.route != self.link_is:
            self.link = Arrived(self, self.link_is)
        return self.link

    async def dial(
        self, contact: ContactId, peer: PeerKey, known: Sequence[str], attempt: int, started: Any, only: Route | None
    ) -> None:
        self.dialled.append((trio.current_time(), attempt, only))
        self.link_is = self.other.link_is = Route.DIRECT
        started()
        await trio.sleep_forever()

    # as the callbacks

    def hidden(self, contact: ContactId) -> bool:
        return self.hides

    # as the holes

    @asynccontextmanager
    async def seen(self, observers: object) -> AsyncIterator[tuple[PunchAddress, ...]]:
        self.looks += 1
        await trio.sleep(LOOK_SECONDS)
        yield self.seen_at

    async def punch(self, peer: PeerKey, addresses: Sequence[PunchAddress], *, leads: bool, seconds: float) -> bool:
        self.punches.append((trio.current_time(), leads, addresses))
        await trio.sleep(0.05 if self.opens else seconds)
        return self.opens

    def steps(self) -> list[PunchStep]:
        """What it has said."""
        return [said.step for said in self.said]


class Host:
    """The host of a side."""

    def __init__(self, side: Side) -> None:
        self.peer = side.peer
        self.holes: Side | None = side


class Arrived:
    """A side's link to the other one."""

    def __init__(self, side: Side, route: Route = Route.CIRCUIT) -> None:
        self.contact = CONTACT
        self.stream = self
        self.peer = side.other.peer
        self.route = route
        self.post = side.post


Play = Callable[[Side, Side], Awaitable[None]]


def play(main: Play) -> None:
    """Run `main` with the leader and the follower, who have just got a link over a circuit."""

    async def inside() -> None:
        async with trio.open_nursery() as nursery:
            leader, follower = Side(1, HERE, nursery), Side(2, THERE, nursery)
            leader.other, follower.other = follower, leader
            for side in (leader, follower):
                side.link = Arrived(side)
            for side in (leader, follower):
                side.on_new(Arrived(side))
            await main(leader, follower)
            nursery.cancel_scope.cancel()

    run(inside, MockClock(autojump_threshold=0))


def test_relays_that_say_nothing_delay_no_later_attempt() -> None:
    """They say nothing about these two networks, so the pause between two attempts stays the same."""

    async def main(leader: Side, follower: Side) -> None:
        seen_at, leader.seen_at = leader.seen_at, ()
        await trio.sleep(6 * 3600)
        assert leader.said == []
        leader.seen_at = seen_at
        await trio.sleep(FIRST_PAUSE_SECONDS + 2 * MIN_PAUSE_SECONDS + 5)
        assert len(leader.dialled) == 1

    play(main)


def test_both_connect_at_the_same_moment_and_the_leader_makes_the_link() -> None:
    async def main(leader: Side, follower: Side) -> None:
        await trio.sleep(5)
        assert leader.steps() == [PunchStep.OFFER, PunchStep.GO]
        assert follower.steps() == [PunchStep.ANSWER]
        ((at_one, leads, there),) = leader.punches
        ((at_other, follows, here),) = follower.punches
        assert abs(at_one - at_other) < 0.01, "the follower's time to answer is no part of the round trip"
        assert (leads, follows) == (True, False)
        assert (tuple(there), tuple(here)) == ((THERE,), (HERE,))
        assert at_one < HEAD_START_SECONDS + 1
        ((_, _, only),) = leader.dialled
        assert only == Route.DIRECT
        assert follower.dialled == []
        await trio.sleep(24 * 3600)
        assert len(leader.punches) == len(leader.dialled) == 1

    play(main)


def test_networks_that_let_nothing_through_are_left_alone_for_longer_and_longer() -> None:
    async def main(leader: Side, follower: Side) -> None:
        leader.opens = follower.opens = False
        await trio.sleep(60)
        assert len(leader.punches) == len(follower.punches) == MAX_TRIES
        assert leader.punching.has_failed(CONTACT)
        for _ in range(5):  # new circuits between the same networks: they are compared, no more
            leader.on_new(Arrived(leader))
            await trio.sleep(60)
        assert len(leader.punches) == MAX_TRIES
        said = len(leader.said)
        assert said > 2 * MAX_TRIES
        await trio.sleep(FIRST_PAUSE_SECONDS + 60)
        assert len(leader.punches) == 2 * MAX_TRIES
        await trio.sleep(FIRST_PAUSE_SECONDS / 2)
        assert len(leader.punches) == 2 * MAX_TRIES
        # the other one is in another network now, which a new link brings to light
        follower.seen_at, leader.opens = (THERE._replace(ip=bytes((11, 0, 9, 2))),), True
        leader.on_new(Arrived(leader))
        await trio.sleep(2 * MIN_PAUSE_SECONDS + 5)
        assert len(leader.dialled) == 1

    play(main)


def test_another_network_here_is_tried_without_waiting() -> None:
    async def main(leader: Side, follower: Side) -> None:
        leader.opens = False
        await trio.sleep(60)
        assert leader.dialled == []
        leader.opens = True
        leader.punching.network_changed()
        await trio.sleep(2 * MIN_PAUSE_SECONDS + 5)
        assert len(leader.dialled) == 1

    play(main)


@pytest.mark.parametrize("loses", ["leader", "follower"])
def test_what_was_lost_with_the_link_that_carried_it_is_said_again(loses: str) -> None:
    async def main(leader: Side, follower: Side) -> None:
        (leader if loses == "leader" else follower).loses = True
        await trio.sleep(5)
        assert len(leader.dialled) == 1
        assert len(leader.punches) == len(follower.punches) == 1

    play(main)


def test_who_does_not_answer_is_not_connected_to() -> None:
    async def main(leader: Side, follower: Side) -> None:
        follower.deaf = True
        await trio.sleep(MAX_TRIES * (ANSWER_TIMEOUT + 2))
        assert (leader.steps(), leader.punches) == ([PunchStep.OFFER] * MAX_TRIES, [])
        leader.deaf, follower.deaf = True, False
        await trio.sleep(1000)
        assert follower.steps()[:1] == [PunchStep.ANSWER]
        assert follower.punches == [], "nobody has said go"

    play(main)


def test_nothing_is_offered_on_a_link_where_the_other_side_leads_by_its_next_transport_key() -> None:
    async def main(leader: Side, follower: Side) -> None:
        follower.peer = PeerKey(bytes(32))
        leader.link = Arrived(leader)
        await trio.sleep(100)
        assert leader.said == []

    play(main)


def test_who_has_nothing_to_connect_to_waits_for_no_go() -> None:
    async def main(leader: Side, follower: Side) -> None:
        leader.hides, follower.seen_at = True, ()  # the leader does not lead: we say what we like
        for number in range(2):
            follower.take(punch.encode(Punch(PunchStep.OFFER, bytes([number]) * 8, addresses=(HERE,))))
            await trio.sleep(2 * LOOK_SECONDS)
        assert [said.addresses for said in follower.said] == [(), ()]

    play(main)


def test_who_hides_after_their_answer_does_not_connect() -> None:
    async def main(leader: Side, follower: Side) -> None:
        await trio.sleep(HEAD_START_SECONDS + 2 * LOOK_SECONDS + 1.5 * HALF_TRIP)
        assert follower.steps() == [PunchStep.ANSWER]
        follower.hides = True
        await trio.sleep(100)
        assert follower.punches == []

    play(main)


@pytest.mark.parametrize("hides", ["leader", "follower", "leader, meanwhile", "follower, meanwhile"])
def test_who_hides_says_nothing_and_connects_to_nobody(hides: str) -> None:
    async def main(leader: Side, follower: Side) -> None:
        who, other = (leader, follower) if hides.startswith("leader") else (follower, leader)
        if hides.endswith("meanwhile"):
            await trio.sleep(HEAD_START_SECONDS + 0.2)  # the leader asks where it is seen
            if who is follower:
                await trio.sleep(0.25)
        who.hides = True
        await trio.sleep(100)
        assert (who.said, who.punches) == ([], [])
        assert who.looks == hides.endswith("meanwhile"), "relays are not asked for nothing"
        assert other.punches == []

    play(main)


def test_a_circuit_is_left_alone_where_nobody_listens_or_there_is_a_direct_link() -> None:
    async def main(leader: Side, follower: Side) -> None:
        follower.punching._host.holes = None  # type: ignore[misc]
        await trio.sleep(20)
        (answer,) = follower.said
        assert answer.addresses == ()
        assert leader.punches == []
        leader.link_is = Route.DIRECT
        leader.said.clear()
        leader.punching.network_changed()
        await trio.sleep(1000)
        assert leader.said == []

    play(main)


LIES = [
    PunchAddress(bytes((192, 168, 1, 1)), 4001),
    PunchAddress(bytes((127, 0, 0, 1)), 4001),
    PunchAddress(bytes((100, 64, 0, 1)), 4001),
    PunchAddress(bytes((169, 254, 0, 1)), 4001),
    PunchAddress(bytes((224, 0, 0, 1)), 4001),
    PunchAddress(THERE.ip, 443),
    PunchAddress(HERE.ip, 4003),  # a port of our own router
    PunchAddress(bytes.fromhex("fe80" + 14 * "01"), 4001),
    PunchAddress(bytes.fromhex("2002c0a80101" + 10 * "00"), 4001),  # 6to4 of 192.168.1.1
    PunchAddress(bytes.fromhex("0064ff9b" + 8 * "00" + "c0a80101"), 4001),  # NAT64 of the same
    PunchAddress(bytes.fromhex("2a00" + 14 * "01"), 4001),  # good, but we have no IPv6 there
]


def test_what_they_say_leads_to_no_place_but_a_public_one_at_a_high_port() -> None:
    assert allowed([THERE], [HERE]) == (THERE,)
    assert allowed(LIES, [HERE]) == ()
    own = PunchAddress(bytes.fromhex("2a00" + 14 * "02"), 1)
    assert allowed(LIES, [own]) == (LIES[-1],)

    async def main(leader: Side, follower: Side) -> None:
        follower.seen_at = (LIES[0],)
        await trio.sleep(20)
        assert (leader.steps(), leader.punches) == ([PunchStep.OFFER], [])

    play(main)


def test_our_own_relays_are_asked_before_those_of_the_contact() -> None:
    ours, theirs, contact = (PeerKey(bytes([number]) * 32) for number in (3, 4, 5))
    first, second = "/ip4/11.0.1.2/tcp/4001", "/ip4/11.0.2.2/tcp/4001"
    ways = [(contact, multiaddrs.circuit(way, relay)) for way, relay in ((second, theirs), (second, ours))]
    assert observers_of([(ours, [first])], [(contact, first), *ways]) == [
        Observer(ours, [first]),
        Observer(theirs, [second], chosen=False),
    ]


def test_a_contact_gets_few_connections_by_asking_often() -> None:
    async def main(leader: Side, follower: Side) -> None:
        leader.hides = True  # it does not lead: we say what we like
        follower.opens = False
        for number in range(200):
            offer = Punch(PunchStep.OFFER, bytes([number]) * 8, addresses=(HERE._replace(port=2000 + number),))
            follower.take(punch.encode(offer))
            follower.take(punch.encode(offer))  # one at a time
            await trio.sleep(1)
            follower.take(punch.encode(Punch(PunchStep.GO, bytes([number]) * 8)))
            await trio.sleep(4)
        assert MAX_ATTEMPTS <= len(follower.punches) <= MAX_ATTEMPTS * (1 + 1000 / 3600) + 1

    play(main)


def test_what_is_said_at_the_wrong_time_changes_nothing_and_nonsense_ends_the_link() -> None:
    async def main(leader: Side, follower: Side) -> None:
        for step in (PunchStep.ANSWER, PunchStep.GO):
            for side in (leader, follower):
                side.take(punch.encode(Punch(step, bytes(8))))
        leader.take(punch.encode(Punch(PunchStep.OFFER, bytes(8), addresses=(THERE,))))  # it leads itself
        await trio.sleep(0.5)
        assert leader.said == follower.said == []
        with pytest.raises(CannotOpen):
            leader.take(bytes(punch.PUNCH_BYTES))
        await trio.sleep(5)
        assert len(leader.dialled) == 1

    play(main)
