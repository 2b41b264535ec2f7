"""What is remembered of networks: what freezes, what answers, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from p2pchat.lib.times import DAY_MS
from p2pchat.net.allowance import MAX_SHORT_BYTES, MAX_SHORT_PACKETS, Allowance, Traffic
from p2pchat.net.network_memory import (
    AGAIN_SECONDS,
    ANSWERED,
    FREEZING,
    MAX_NETWORKS,
    MAX_SAVED_BYTES,
    MAX_WAYS,
    NETWORK_HOURS,
    UNKNOWN,
    NetworkMemory,
    WayName,
)
from p2pchat.net.network_watch import Exit
from tests.conftest import run

HOME = Exit("192.168.1.1", "02:00:00:00:00:01", "192.168.1.0/24")
CAFE = Exit("192.168.1.1", "02:00:00:00:00:02", "192.168.1.0/24")
WAY, BESIDE, OTHER = ("192.0.2.7", 4001, "tcp"), ("192.0.2.7", 443, "wss"), ("192.0.2.8", 4001, "tcp")
FROZEN = Traffic(14_000, 18, 3_000, 15)
FROZEN_BY_PACKETS = Traffic(4_000, 25, 4_000, 24)


@dataclass
class Somebody:
    """A memory, on a network and at a time that the test sets."""

    at: Exit | None = HOME
    now: int = 1_800_000_000_000
    saved: bytes = b""
    memory: NetworkMemory = field(init=False)

    def __post_init__(self) -> None:
        self.memory = NetworkMemory(self.saved, lambda: self.now, bytes, lambda: self.at)

    def goes(self, network: Exit | None) -> None:
        self.at = network
        self.memory.network_changed()

    def freezes(self, way: WayName = WAY, carried: Traffic = FROZEN, times: int = 1) -> None:
        """A connection goes silent, and the next one begins."""
        for _ in range(times):
            self.memory.began(way).ended(carried, silent=True)
            self.memory.began(way)


def _run(test: Callable[[], object]) -> None:
    async def main() -> None:
        test()

    run(main, MockClock(autojump_threshold=0))


def test_a_way_that_froze_twice_is_freezing_for_a_day_and_then_at_once_again() -> None:
    def main() -> None:
        for carried in (FROZEN, Traffic(3_000, 15, 14_000, 18), FROZEN_BY_PACKETS):
            me = Somebody()
            me.freezes(carried=carried)
            assert (me.memory.rank(WAY), me.memory.began(WAY).freezing) == (UNKNOWN, False)
            me.freezes(carried=carried)
            assert (me.memory.rank(WAY), me.memory.began(WAY).freezing) == (FREEZING, True)
            assert me.memory.freezing() == 1
            assert (me.memory.rank(BESIDE), me.memory.rank(OTHER)) == (FREEZING, UNKNOWN)
            me.freezes(OTHER)  # once is enough where others freeze
            assert me.memory.rank(OTHER) == FREEZING
            assert me.memory.freezing() == 2
            me.now += DAY_MS
            assert me.memory.rank(WAY) == UNKNOWN
            assert me.memory.freezing() == 0
            me.freezes(carried=carried)
            assert me.memory.rank(WAY) == FREEZING

    _run(main)


def test_two_hosts_with_whom_one_connection_froze_are_both_freezing() -> None:
    def main() -> None:
        me = Somebody()
        me.freezes(WAY)
        me.freezes(OTHER)
        assert (me.memory.rank(WAY), me.memory.rank(OTHER)) == (FREEZING, FREEZING)

    _run(main)


def test_only_a_silence_after_which_the_way_answers_again_counts() -> None:
    async def main() -> None:
        me = Somebody()
        for carried, silent in (
            (FROZEN, False),
            (Traffic(2_000, 9, 2_000, 9), True),
            (Traffic(60_000, 60, 3_000, 40), True),
        ):
            for _ in range(3):
                me.memory.began(WAY).ended(carried, silent=silent)
            assert me.memory.rank(WAY) == UNKNOWN
        for _ in range(3):  # the line was cut for longer
            me.memory.began(WAY).ended(FROZEN, silent=True)
            await trio.sleep(AGAIN_SECONDS + 1)
        for _ in range(3):  # this machine is somewhere else
            passage = me.memory.began(WAY)
            me.memory.network_changed()
            passage.ended(FROZEN, silent=True)
        for _ in range(3):  # a quiet connection that a router has forgotten
            passage = me.memory.began(WAY)
            await trio.sleep(3_601)
            passage.ended(FROZEN, silent=True)
        for _ in range(3):  # meanwhile no connection could be made,
            me.memory.began(WAY).ended(FROZEN, silent=True)
            me.memory.failed(BESIDE)
        for _ in range(3):  # or only with packets that were lost
            me.memory.began(WAY, cleanly=False).ended(FROZEN, silent=True)
        assert not me.memory.is_doubtful
        assert me.memory.began(WAY, cleanly=False).freezing is False
        me.freezes()
        assert me.memory.is_doubtful
        me.memory.began(WAY).ended(Traffic(200_000, 200, 9_000, 90), silent=False)  # it carries more after all
        me.freezes()
        assert me.memory.rank(WAY) == UNKNOWN

    run(main, MockClock(autojump_threshold=0))


def test_what_answered_on_a_network_is_known_there_and_nowhere_else() -> None:
    async def main() -> None:
        me = Somebody()
        me.memory.began(WAY).answered()
        assert (me.memory.rank(WAY), me.memory.rank(BESIDE)) == (ANSWERED, UNKNOWN)
        me.goes(CAFE)
        assert me.memory.rank(WAY) == UNKNOWN
        me.freezes(times=2)
        me.goes(None)
        assert me.memory.rank(WAY) == UNKNOWN
        me.memory.began(WAY).answered()  # nothing is learnt where there is no network
        me.goes(Exit(HOME.gateway, "", HOME.prefix))  # the kernel does not know the router yet
        assert me.memory.rank(WAY) == FREEZING  # as where a router at this address was used last
        me.at = HOME
        await trio.sleep(1)
        assert me.memory.rank(WAY) == ANSWERED

    run(main, MockClock(autojump_threshold=0))


def test_it_is_saved_without_an_address_bounded_and_forgotten() -> None:
    def main() -> None:
        me = Somebody()
        for number in range(MAX_NETWORKS + 3):
            me.goes(Exit("192.168.1.1", f"02:00:00:00:00:{number:02x}", "192.168.1.0/24"))
            for way in range(MAX_WAYS + 3):
                me.memory.began((f"192.0.2.{way}", 1, "tcp")).answered()
        me.goes(HOME)
        me.freezes(times=2)
        saved = me.memory.dump()
        assert len(saved) <= MAX_SAVED_BYTES
        assert not any(word.encode() in saved for word in (HOME.gateway, HOME.hardware, "192.0.2.7"))
        again = Somebody(saved=saved)
        assert again.memory.rank(WAY) == FREEZING
        assert again.memory.dump() == saved
        again.now += NETWORK_HOURS // 24 * DAY_MS + DAY_MS
        assert len(again.memory.dump()) < 50
        for damaged in (b"", saved[:-1], saved + b"\0", b"\x93\x02\xc4\x00\x90"):
            assert Somebody(saved=damaged).memory.rank(WAY) == UNKNOWN

    _run(main)


def test_what_is_learnt_is_saved_soon_and_only_then() -> None:
    async def main() -> None:
        me = Somebody()
        saved: list[bytes] = []

        async def save(learnt: bytes) -> None:
            await trio.lowlevel.checkpoint()
            saved.append(learnt)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(me.memory.run, save)
            await trio.sleep(60)
            assert saved == []
            me.memory.began(WAY).answered()
            await trio.sleep(60)
            me.memory.began(WAY).answered()  # it is known for today
            await trio.sleep(60)
            assert saved == [me.memory.dump()]
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def test_a_short_connection_has_room_for_so_much_in_each_direction() -> None:
    carried = [Traffic(9_000, 4, 800, 4)]
    room = Allowance(lambda: carried[0])
    assert room.fits(4_000, 4)
    assert not room.fits(MAX_SHORT_BYTES - 9_000, 4)  # the headers of packets count
    assert not room.fits(100, MAX_SHORT_PACKETS - 3)
    carried[0] = Traffic(800, 4, 9_000, MAX_SHORT_PACKETS)
    assert not room.fits(0, 1)
