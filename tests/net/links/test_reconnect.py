"""Reach: when and whom it dials, on a made-up clock and made-up links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, cast

import trio
from trio.testing import MockClock

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.lib.backoff import jittered
from p2pchat.net.links.reconnect import (
    FIRST_ROUND_SECONDS,
    IMPROVE_SECONDS,
    KEY_STAGGER,
    LATER_ROUND_SECONDS,
    ROUNDS_AT_ONCE,
    Reconnector,
)
from tests.conftest import run

CONTACT, OTHER = ContactId(b"contact!"), ContactId(b"another!")
HOME, WORK = PeerKey(bytes(32)), PeerKey(bytes([1]) * 32)


class Link:
    """Stands for a link, of which only the route counts; it is its own stream."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.stream = self


class Links:
    """Stands for `direct.Links`: every dial is written down; `up` says who answers, and for how long."""

    def __init__(self) -> None:
        self.dials: list[tuple[float, bytes, bytes, tuple[str, ...], int]] = []
        self.up: dict[bytes, float] = {}
        self.looks: list[tuple[float, str]] = []
        self.routes: dict[bytes, Route] = {}
        self.came: Callable[[bytes], None] = lambda contact: None
        self.there: set[bytes] = set()
        self.stalled: set[bytes] = set()
        self.silent: set[bytes] = set()
        self.given_up: list[bytes] = []
        self.besides: list[float] = []
        self.ended = 0.0

    def best(self, contact: ContactId) -> object | None:
        return Link(self.routes.get(contact, Route.DIRECT)) if contact in self.there else None

    def moves(self, contact: ContactId) -> bool:
        return contact in self.there - self.stalled

    def tell_of_links(self, came: Callable[[bytes], None], stuck: Callable[[bytes], None]) -> None:
        self.came, self.stuck = came, stuck

    async def dial(
        self,
        contact: ContactId,
        peer: PeerKey,
        addresses: Sequence[str],
        attempt: int,
        started: Callable[[], None],
        only: Route | None = None,
        *,
        afresh: bool = False,
    ) -> None:
        if afresh:
            self.besides.append(trio.current_time())
        elif only is not None:
            self.looks.append((trio.current_time(), only))
        else:
            self.dials.append((trio.current_time(), contact, peer, tuple(addresses), attempt))
        await trio.lowlevel.checkpoint()
        if peer in self.silent:
            try:
                await trio.sleep_forever()
            finally:
                self.given_up.append(peer)
        if peer not in self.up:
            raise Unreachable if len(self.dials) % 2 else LinkLost
        started()
        self.there.add(contact)
        self.stalled.discard(contact)
        await trio.sleep(self.up[peer])
        self.there.discard(contact)
        self.ended = trio.current_time()

    def times(self) -> list[float]:
        return [at for at, *_ in self.dials]

    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times())]


def play(main: Callable[[Links, Reconnector], Awaitable[None]], seed: int = 1) -> None:
    async def inside() -> None:
        links = Links()
        async with trio.open_nursery() as nursery:
            await main(links, Reconnector(cast(Any, links), nursery, Random(seed).randbytes))
            nursery.cancel_scope.cancel()

    run(inside, MockClock(autojump_threshold=0))


def test_the_waits_grow_to_five_minutes_with_jitter() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(24 * 3600)
        waits = links.waits()
        assert 1 <= waits[0] <= 2
        for number, wait in enumerate(waits[:8]):
            assert 2**number / 2 <= wait <= 2**number + 1
        late = waits[12:]
        assert all(150 <= wait <= 301 for wait in late)
        assert max(late) - min(late) > 75
        assert len(links.dials) < 24 * 3600 / 150 + 20

    play(main)


def test_two_nodes_do_not_dial_in_step() -> None:
    found = []
    for seed in (1, 2):

        async def main(links: Links, reach: Reconnector) -> None:
            reach.want(CONTACT, [(HOME, "a")])
            await trio.sleep(3600)
            found.append(links.times())

        play(main, seed)
    assert not set(found[0][2:]) & set(found[1][2:])


def test_jitter_is_between_half_and_whole() -> None:
    assert jittered(10, bytes) == 5
    assert 9.99 < jittered(10, lambda size: b"\xff" * size) < 10


def test_after_a_link_it_begins_with_the_shortest_wait() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(2 * 3600)
        links.up[HOME] = 1000.0
        await trio.sleep(400)
        assert links.there
        before = len(links.dials)
        del links.up[HOME]
        await trio.sleep(1000)  # it ends somewhere in here
        after = [at - links.ended for at in links.times()[before:]]
        assert 1 <= after[0] <= 2
        assert after[1] <= 2 + 3
        assert after[2] <= 2 + 3 + 5

    play(main)


def test_a_link_the_other_side_made_is_enough_until_it_ends() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        links.there.add(CONTACT)
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(3600)
        assert links.dials == []
        links.there.clear()
        reach.again(CONTACT)
        await trio.sleep(2.1)
        assert len(links.dials) >= 1

    play(main)


def test_a_nudge_ends_the_wait_and_not_more_than_once_a_second() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(3 * 3600)
        before = len(links.dials)
        reach.nudge(CONTACT)
        await trio.sleep(1.1)
        assert len(links.dials) > before
        before = len(links.dials)
        for _ in range(1000):  # a thousand messages in ten seconds
            reach.nudge(CONTACT)
            await trio.sleep(0.01)
        assert len(links.dials) - before <= 21
        waits = links.waits()
        await trio.sleep(3600)
        assert max(links.waits()[len(waits) :]) > 100  # and the back-off was not forgotten by that

    play(main)


def test_every_host_is_tried_with_all_its_addresses_newest_first() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(WORK, "w1"), (HOME, "h1"), (WORK, "w2")])
        await trio.sleep(0.1)
        assert [dial[2:4] for dial in links.dials] == [(WORK, ("w1", "w2")), (HOME, ("h1",))]
        links.up[HOME] = 10_000.0
        await trio.sleep(2)
        assert CONTACT in links.there
        assert [attempt for *_, attempt in links.dials] == [0, 0, 1, 1]

    play(main)


def test_new_ways_are_tried_at_once() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "old")])
        await trio.sleep(3600)
        before = len(links.dials)
        reach.want(CONTACT, [(HOME, "new")])
        await trio.sleep(1.1)
        assert [dial[3] for dial in links.dials[before:]][:1] == [("new",)]

    play(main)


def test_the_forgotten_is_not_dialled_and_the_others_are() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        reach.want(OTHER, [(WORK, "b")])
        await trio.sleep(100)
        reach.forget(CONTACT)
        reach.forget(CONTACT)
        before = len(links.dials)
        await trio.sleep(3600)
        assert {dial[1] for dial in links.dials[before:]} == {OTHER}
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(1)
        assert links.dials[-1][1] == CONTACT

    play(main)


def test_while_on_a_circuit_it_looks_for_a_direct_way_and_not_all_the_time() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(1)
        links.there.add(CONTACT)
        links.routes[CONTACT] = Route.CIRCUIT
        await trio.sleep(1)
        assert links.looks == []  # it was told of no link
        links.came(CONTACT)
        await trio.sleep(1.1)
        assert [only for _, only in links.looks] == ["direct"]
        await trio.sleep(IMPROVE_SECONDS / 2 - 10)
        assert len(links.looks) == 1
        await trio.sleep(10 * IMPROVE_SECONDS)
        assert 10 <= len(links.looks) <= 22
        before = len(links.looks)
        reach.want(CONTACT, [(HOME, "b")])
        await trio.sleep(2)
        assert len(links.looks) == before + 1
        links.routes[CONTACT] = Route.DIRECT
        reach.want(CONTACT, [(HOME, "c")])
        links.came(CONTACT)
        await trio.sleep(10 * IMPROVE_SECONDS)
        assert len(links.looks) == before + 1

    play(main)


def test_one_who_ends_direct_links_at_once_is_dialled_once_a_second_at_most() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        links.there.add(CONTACT)
        links.routes[CONTACT] = Route.CIRCUIT
        links.up[HOME] = 0.0

        async def come() -> None:
            while True:
                links.there.add(CONTACT)
                links.came(CONTACT)
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        assert 10 < len(links.looks) <= 121

    play(main)


def test_the_forgotten_is_not_looked_for() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        reach.want(CONTACT, [(HOME, "a")])
        await trio.sleep(1)
        reach.forget(CONTACT)
        links.there.add(CONTACT)
        links.routes[CONTACT] = Route.CIRCUIT
        assert not reach.wants(CONTACT)
        links.came(CONTACT)
        await trio.sleep(3 * IMPROVE_SECONDS)
        assert links.looks == []

    play(main)


def test_a_crowd_is_dialled_in_order_at_a_pace_and_a_nudge_waits_for_nobody() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        crowd = [number.to_bytes(8, "big") for number in range(400)]
        for contact in crowd:
            reach.want(ContactId(contact), [(HOME, "a")])
        await trio.sleep(0.01)
        assert sorted(dial[1] for dial in links.dials) == crowd[:ROUNDS_AT_ONCE]
        reach.nudge(ContactId(crowd[-1]))
        await trio.sleep(0.01)
        assert links.dials[-1][1] == crowd[-1]
        await trio.sleep((len(crowd) - ROUNDS_AT_ONCE) * FIRST_ROUND_SECONDS)
        first = list(dict.fromkeys(dial[1] for dial in links.dials))
        assert first[ROUNDS_AT_ONCE + 1 : 200] == crowd[ROUNDS_AT_ONCE:199]
        assert len(first) == len(crowd)
        for minute in range(1, 10):  # and then it costs little
            await trio.sleep_until(60 * minute)
            assert len(links.dials) <= 1 + len(crowd) + ROUNDS_AT_ONCE + 60 * minute / LATER_ROUND_SECONDS
        await trio.sleep(1800)  # and nobody is left out
        counts = [sum(dial[1] == contact for dial in links.dials) for contact in crowd[::40]]
        assert min(counts) > max(counts) / 2

    play(main)


def test_when_the_network_changes_again_only_the_last_change_has_everybody_dialled() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        crowd = [ContactId(number.to_bytes(8, "big")) for number in range(400)]
        for contact in crowd:
            reach.want(contact, [(HOME, "a")])
        await trio.sleep(100)
        asked: list[tuple[float, ContactId]] = []
        reach.again = lambda contact: asked.append((trio.current_time(), contact))  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(reach.all_again)
                await trio.sleep(10 * FIRST_ROUND_SECONDS)
        assert [contact for _, contact in asked[-len(crowd) :]] == crowd
        waits = [later[0] - earlier[0] for earlier, later in pairwise(asked[-len(crowd) :])]
        assert min(waits) >= FIRST_ROUND_SECONDS * 0.99
        assert len(asked) <= len(crowd) + 2 * 11

    play(main)


def test_a_key_that_does_not_answer_holds_up_no_other() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        links.silent.add(WORK)
        links.up[HOME] = 100.0
        reach.want(CONTACT, [(WORK, "w"), (HOME, "h")])
        await trio.sleep(KEY_STAGGER + 0.1)
        assert CONTACT in links.there
        assert links.given_up == [WORK]

    play(main)


def test_beside_a_link_that_stalls_another_is_made_until_one_moves() -> None:
    async def main(links: Links, reach: Reconnector) -> None:
        links.there.add(CONTACT)
        reach.want(CONTACT, [(HOME, "h")])
        links.stalled.add(CONTACT)
        links.stuck(CONTACT)
        links.stuck(CONTACT)
        await trio.sleep(60)
        assert 4 <= len(links.besides) <= 8
        links.up[HOME] = 1000.0
        await trio.sleep(60)
        assert CONTACT not in links.stalled
        before = len(links.besides)
        await trio.sleep(900)
        assert len(links.besides) == before
        links.stuck(OTHER)  # nobody whom we dial

    play(main)
