"""Finding contacts on the local network: who is found, who is not, what an observer sees, and what a flood costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from random import Random
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core import lan
from p2pchat.core.ids import ContactId, InviteId, PeerKey, SessionId
from p2pchat.core.session import STANDING, Pair
from p2pchat.lib.times import DAY_MS
from p2pchat.net.lan import discovery
from p2pchat.net.lan.discovery import CHECK_SECONDS, OPENING_SECONDS, Discovery
from p2pchat.ports import InviteOffer, LanHealth, LanMode
from tests.support.switch import Plug, Switch

NOON = 20_000 * DAY_MS + DAY_MS // 2
CHANCE = Random(1)


class Node:
    """A node as the discovery sees it: its contacts, a clock, relays, links; and the discovery."""

    def __init__(self, name: str, plug: Plug, mode: LanMode = LanMode.AUTO) -> None:
        self.name, self.peer = name, PeerKey(name[:1].encode() * 32)
        self.plug = plug
        self.pairs_of: dict[ContactId, list[Pair]] = {}
        self.hiding: set[ContactId] = set()
        self.relay: bool | None = None
        self.linked: set[ContactId] = set()
        self.skew = 0
        self.heard: list[ContactId] = []
        self.met: list[ContactId] = []
        self.offers: dict[InviteId, InviteOffer] = {}
        self.told_of_offers: list[Callable[[Iterable[InviteId]], None]] = []
        self.told: list[Callable[[Iterable[ContactId]], None]] = []
        self.discovery = Discovery(
            plug,
            mode,
            self.peer,
            cast(Any, self),
            cast(Any, self),
            CHANCE.randbytes,
            lambda: self.relay,
            lambda contact: contact in self.linked,
            self.heard.append,
            self.met.append,
        )

    def now(self) -> int:
        return NOON + round(trio.current_time() * 1000) + self.skew

    def hidden(self, contact: ContactId) -> bool:
        return contact in self.hiding

    def pairs(self, contact: ContactId) -> list[Pair]:
        return self.pairs_of.get(contact, [])

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        self.told.append(changed)

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        self.told_of_offers.append(changed)

    def offer(self, invite: InviteId) -> InviteOffer | None:
        return self.offers.get(invite)

    def offers_one(self, offer: InviteOffer) -> None:
        self.offers[offer.invite] = offer
        for told in self.told_of_offers:
            told([offer.invite])

    def knows(self, name: str, keys: tuple[bytes, bytes]) -> ContactId:
        """Have a contact of this name, with these keys of ours and theirs."""
        contact = ContactId(name.encode().ljust(8))
        self.pairs_of[contact] = [
            Pair(contact, SessionId(bytes([7]) * 32), *reversed(keys)),
            Pair(contact, STANDING, *keys),
        ]
        self.change(contact)
        return contact

    def change(self, contact: ContactId) -> None:
        for told in self.told:
            told([contact])

    def ways(self, contact: ContactId) -> list[tuple[PeerKey, str]]:
        return self.discovery.ways(contact)


def friends(switch: Switch) -> tuple[Node, Node, ContactId, ContactId]:
    """Alice and Bob, who know each other; and Bob and Alice as the other knows them."""
    alice, bob = Node("alice", switch.plug("192.168.1.5")), Node("bob", switch.plug("192.168.1.6", 5001))
    keys = (CHANCE.randbytes(32), CHANCE.randbytes(32))
    return alice, bob, alice.knows("bob", keys), bob.knows("alice", (keys[1], keys[0]))


def story(main: Callable[[trio.Nursery], Any]) -> None:
    async def inside() -> None:
        async with trio.open_nursery() as nursery:
            await main(nursery)
            nursery.cancel_scope.cancel()

    trio.run(inside, clock=MockClock(autojump_threshold=0))


def test_it_begins_and_ends_as_the_user_says() -> None:
    switch = Switch()
    alice, bob, to_bob, _ = friends(switch)

    async def main(nursery: trio.Nursery) -> None:
        for node in (alice, bob):
            node.discovery.use(LanMode.OFF)
            nursery.start_soon(node.discovery.run)
        await trio.sleep(600)
        assert (alice.discovery.announced, alice.ways(to_bob)) == (0, [])
        for node in (alice, bob):
            node.discovery.use(LanMode.ON)
        await trio.sleep(30)
        assert alice.ways(to_bob)
        alice.discovery.use(LanMode.OFF)
        await trio.sleep(1)
        announced = alice.discovery.announced
        await trio.sleep(3600)
        assert (alice.discovery.announced, alice.ways(to_bob)) == (announced, [])
        assert alice.discovery.health() == LanHealth(LanMode.OFF)

    story(main)


def test_two_who_know_each_other_are_found_without_any_server() -> None:
    switch = Switch()
    alice, bob, to_bob, to_alice = friends(switch)
    carol = Node("carol", switch.plug("192.168.1.7"))
    stranger = carol.knows("alice", (bytes(32), bytes([1]) * 32))

    async def main(nursery: trio.Nursery) -> None:
        for node in (alice, bob, carol):
            nursery.start_soon(node.discovery.run)
        await trio.sleep(3)
        assert alice.ways(to_bob) == [(bob.peer, "/ip4/192.168.1.6/tcp/5001")]
        assert bob.ways(to_alice) == [(alice.peer, "/ip4/192.168.1.5/tcp/4001")]
        assert carol.ways(stranger) == []
        assert (alice.heard, carol.heard) == ([to_bob], [])
        assert alice.discovery.health() == LanHealth(LanMode.AUTO, looking=True, found=1)
        await trio.sleep(3600)
        assert alice.heard == [to_bob], "told once"
        assert alice.ways(to_bob)

    story(main)


def test_an_address_that_cannot_be_used_yet_is_tried_again() -> None:
    """For a second or two IPv6 asks whether anybody else has it. One that never can be used is not tried for ever."""
    switch = Switch()
    alice, bob, to_bob, _ = friends(switch)
    alice.plug.usable_at, bob.plug.usable_at = 2.0, math.inf

    async def main(nursery: trio.Nursery) -> None:
        for node in (alice, bob):
            nursery.start_soon(node.discovery.run)
        await trio.sleep(OPENING_SECONDS + CHECK_SECONDS)
        bob.plug.usable_at = 0.0
        await trio.sleep(60)
        assert alice.plug in switch.plugged
        assert bob.plug not in switch.plugged
        bob.discovery.network_changed()
        await trio.sleep(3)
        assert alice.ways(to_bob)

    story(main)


def test_it_is_quiet_and_every_packet_is_new_random_bytes_of_one_size() -> None:
    """Two hours around midnight; how many contacts there are changes nothing that can be seen."""
    counts = []
    for contacts in (1, 3 * lan.SLOTS):
        switch = Switch()
        alice = Node("alice", switch.plug("192.168.1.5"))
        alice.skew = 11 * 3_600_000
        for number in range(contacts):
            alice.knows(f"c{number}", (CHANCE.randbytes(32), CHANCE.randbytes(32)))

        async def main(nursery: trio.Nursery, alice: Node = alice) -> None:
            nursery.start_soon(alice.discovery.run)
            await trio.sleep(2 * 3600)

        story(main)
        packets = [packet for _, _, packet in switch.sent]
        assert {len(packet) for packet in packets} == {lan.ANNOUNCEMENT_BYTES}
        pieces = [packet[at : at + 8] for packet in packets for at in range(lan.ANNOUNCEMENT_BYTES - 8)]
        assert len(set(pieces)) == len(pieces), "no eight bytes of any packet are in another"
        assert alice.peer[:8] not in pieces
        counts.append(len([at for at, *_ in switch.sent if at >= 3600]))
        assert len(packets) < 2 * 3600 / (discovery.LONGEST_PAUSE_SECONDS / 2) + 12
    assert min(counts) >= 12


def test_everybody_is_told_in_turn_and_nobody_with_a_direct_link() -> None:
    switch = Switch()
    alice = Node("alice", switch.plug("192.168.1.5"))
    friends_of = {}
    for number in range(2 * lan.SLOTS + 5):
        keys = (CHANCE.randbytes(32), CHANCE.randbytes(32))
        friends_of[alice.knows(f"c{number}", keys)] = keys[0]
    linked = next(iter(friends_of))
    alice.linked.add(linked)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        await trio.sleep(10)

    story(main)
    source = discovery.packed(ip_address("192.168.1.5"))
    heard = set()
    for _, _, packet in switch.sent[:3]:
        came = lan.read(packet)
        assert list(came.slots) == sorted(came.slots), "where a slot is says nothing about who else has one"
        heard |= {who for who, key in friends_of.items() if lan.opened(came, source, [lan.day_key(key, 20_000)])}
    assert heard == friends_of.keys() - {linked}


def test_whoever_repeats_an_announcement_reaches_nobody() -> None:
    """From another address it does not open, so nobody dials there; from the same one it is known."""
    switch = Switch()
    alice, bob, _, to_alice = friends(switch)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        await trio.sleep(0.2)
        (_, source, packet), *_ = switch.sent
        nursery.start_soon(bob.discovery.run)
        await wait_all_tasks_blocked()
        switch.pass_on(ip_address("192.168.1.66"), packet)
        await trio.sleep(0.1)
        assert bob.ways(to_alice) == []
        looked, opened = [], lan.opened

        def counted(*args: Any) -> Any:
            looked.append(args)
            return opened(*args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lan, "opened", counted)
            for _ in range(3):
                switch.pass_on(source, packet)
            await trio.sleep(0.1)
        assert (bob.heard, len(looked)) == ([to_alice], 1)

    story(main)


@pytest.mark.parametrize("days", [-1, 1])
def test_clocks_a_day_apart_still_meet_and_two_days_do_not(days: int) -> None:
    for apart, met in ((days, True), (2 * days, False)):
        switch = Switch()
        alice, bob, _, _ = friends(switch)
        bob.skew = apart * DAY_MS

        async def main(nursery: trio.Nursery, alice: Node = alice, bob: Node = bob) -> None:
            nursery.start_soon(alice.discovery.run)
            nursery.start_soon(bob.discovery.run)
            await trio.sleep(3)

        story(main)
        assert bool(alice.heard) == met


def test_who_is_hidden_from_is_neither_told_nor_heard() -> None:
    switch = Switch()
    alice, bob, to_bob, to_alice = friends(switch)
    alice.hiding.add(to_bob)
    alice.change(to_bob)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        nursery.start_soon(bob.discovery.run)
        await trio.sleep(60)
        assert (alice.heard, bob.heard) == ([], [])
        alice.hiding.clear()
        alice.change(to_bob)
        await trio.sleep(1)
        assert bob.heard == [to_alice]

    story(main)


def test_whoever_has_an_open_invite_finds_its_maker() -> None:
    """Neither a used invite nor one that hides its maker is announced, and whoever has joined listens no more."""
    switch = Switch()
    alice, bob = Node("alice", switch.plug("192.168.1.5")), Node("bob", switch.plug("192.168.1.6"))
    keys = [CHANCE.randbytes(32) for _ in range(3)]
    for number, (gone, hidden) in enumerate([(None, False), (1, False), (None, True)]):
        alice.offers_one(InviteOffer(InviteId(bytes([number])), keys[number], gone, hidden, doubtful=False))
    makers = [ContactId(bytes([number]) * 8) for number in range(3)]
    for maker, key in zip(makers, keys, strict=True):
        bob.discovery.join(maker, key)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        nursery.start_soon(bob.discovery.run)
        await trio.sleep(30)
        assert (bob.met, bob.heard, alice.heard) == ([makers[0]], [], [])
        assert bob.discovery.ways_to_join(makers[0]) == [(alice.peer, "/ip4/192.168.1.5/tcp/4001")]
        assert [bob.ways(maker) for maker in makers] == [[], [], []]
        bob.discovery.joined(makers[0])
        assert bob.discovery.ways_to_join(makers[0]) == []
        used = InviteOffer(InviteId(b"\0"), keys[0], 1, hidden=False, doubtful=False)
        alice.offers[used.invite] = used
        await trio.sleep(discovery.LONGEST_PAUSE_SECONDS)
        sent = len(switch.sent)
        await trio.sleep(3 * discovery.LONGEST_PAUSE_SECONDS)
        assert len(switch.sent) == sent, "there is nobody to be told"

    story(main)


def test_it_looks_while_no_relay_answers_and_only_then_unless_told_otherwise() -> None:
    async def sent(mode: LanMode, relay: bool | None, seconds: float) -> int:
        switch = Switch()
        alice = Node("alice", switch.plug("192.168.1.5"), mode)
        alice.knows("bob", (bytes(32), bytes([1]) * 32))
        alice.relay = relay
        with trio.move_on_after(seconds):
            await alice.discovery.run()
            await trio.sleep_forever()
        assert bool(switch.plugged) == (mode != LanMode.OFF)
        return len(switch.sent)

    async def main(nursery: trio.Nursery) -> None:
        assert await sent(LanMode.AUTO, None, 2)
        assert not await sent(LanMode.AUTO, False, discovery.PATIENCE_SECONDS - 1)
        assert await sent(LanMode.AUTO, False, discovery.PATIENCE_SECONDS + 10)
        assert not await sent(LanMode.AUTO, True, 3600)
        assert await sent(LanMode.ON, True, 2)
        assert not await sent(LanMode.OFF, None, 3600)

    story(main)


def test_one_who_has_a_relay_hears_one_who_has_not_and_says_nothing() -> None:
    switch = Switch()
    alice, bob, _, to_alice = friends(switch)
    bob.relay = True

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(bob.discovery.run)
        nursery.start_soon(alice.discovery.run)
        await trio.sleep(5)
        assert bob.heard == [to_alice]
        assert {source for _, source, _ in switch.sent} == {alice.plug.place.ip}

    story(main)


def test_relays_get_time_to_answer_on_another_network_and_when_one_goes() -> None:
    """On a network where p2pchat must not be seen, a relay that needs a few seconds is no reason to announce."""
    switch = Switch()
    alice = Node("alice", switch.plug("192.168.1.5"))
    alice.knows("bob", (bytes(32), bytes([1]) * 32))
    alice.relay = True

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        await trio.sleep(600)
        for has_moved in (False, True):
            alice.relay = False
            if has_moved:
                alice.discovery.network_changed()
            await trio.sleep(discovery.PATIENCE_SECONDS - discovery.CHECK_SECONDS - 1)
            alice.relay = True
            await trio.sleep(600)
            assert switch.sent == []
        alice.relay = False
        await trio.sleep(discovery.PATIENCE_SECONDS + 2 * discovery.CHECK_SECONDS)
        assert switch.sent
        alice.discovery.network_changed()
        before = len(switch.sent)
        await trio.sleep(discovery.PATIENCE_SECONDS - 1)
        assert len(switch.sent) == before
        alice.relay = None
        alice.discovery.network_changed()
        await trio.sleep(0.1)
        assert len(switch.sent) == before + 1, "without relays it begins again at once"

    story(main)


def test_another_network_is_noticed_within_seconds_and_what_was_found_is_forgotten() -> None:
    switch = Switch()
    alice, bob, to_bob, to_alice = friends(switch)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        nursery.start_soon(bob.discovery.run)
        await trio.sleep(1800)
        plug = alice.plug
        plug.there = False
        await trio.sleep(discovery.CHECK_SECONDS + 1)
        assert (alice.ways(to_bob), alice.discovery.health().looking) == ([], False)
        plug.there, plug.place = True, discovery.Place(ip_address("192.168.1.99"), 4001)
        await trio.sleep(discovery.CHECK_SECONDS + 1)
        assert bob.ways(to_alice)[0] == (alice.peer, "/ip4/192.168.1.99/tcp/4001")

    story(main)


def test_a_flood_is_read_at_a_bounded_rate_and_harms_nobody() -> None:
    switch = Switch()
    alice, bob, to_bob, _ = friends(switch)
    looked = 0
    opened = lan.opened

    def counted(*args: Any) -> Any:
        nonlocal looked
        looked += 1
        return opened(*args)

    async def main(nursery: trio.Nursery) -> None:
        nursery.start_soon(alice.discovery.run)
        await trio.sleep(20)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lan, "opened", counted)
            for number in range(2000):
                source = ip_address(f"192.168.{number % 250}.{number // 250}")
                junk = CHANCE.randbytes(lan.ANNOUNCEMENT_BYTES - number % 2)
                switch.pass_on(source, junk)
            await trio.sleep(10)
            assert looked <= 3 * (discovery.MAX_READ_BURST + 10 * discovery.MAX_READ_A_SECOND)
            assert len(alice.discovery._each) <= discovery.MAX_SOURCES
            alice.plug.came.clear()
            nursery.start_soon(bob.discovery.run)
            await trio.sleep(20)
        assert alice.heard == [to_bob]

    story(main)


def test_link_local_addresses_say_by_which_interface() -> None:
    assert discovery.address_of(ip_address("fe80::1%eth0"), 1) == "/ip6zone/eth0/ip6/fe80::1/tcp/1"
    assert discovery.packed(ip_address("fe80::1%eth0")) == ip_address("fe80::1").packed
