"""Presence records at a relay, as a node puts and gets them: each request from a host of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import trio

from p2pchat.core import ipns, mailbox, record_frames
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import DONE, NOT_ALLOWED
from p2pchat.core.record_frames import RecordAnswer
from p2pchat.errors import LinkLost
from p2pchat.lib.times import DAY_MS
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.net.mailbox.records import EXCHANGE_TIMEOUT, RecordExchange
from tests.support.boxes import NOW, RELAY, Pipe, PipeStream, relay, run
from tests.support.mails import AT_RELAY, WHERE, Letters, Liar, Lines, unreachable

OLD, NEW = (ipns.make(b"s" * 32, number, NOW + DAY_MS, bytes(1024)) for number in (1, 2))


class Hosts:
    """Makes hosts whose streams lead `there`, and remembers them."""

    def __init__(self, there: Callable[[], PipeStream]) -> None:
        self.made: list[Lines] = []
        self.open = 0
        self._there = there

    @asynccontextmanager
    async def new(self) -> AsyncIterator[Lines]:
        self.made.append(Lines(self._there))
        self.open += 1
        try:
            yield self.made[-1]
        finally:
            self.open -= 1


def test_each_request_is_made_from_a_host_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            hosts = Hosts(at.stream)
            exchange = RecordExchange(hosts.new, lambda peer: False)
            assert await exchange.get(AT_RELAY, NEW.public) == b""
            assert await exchange.put(AT_RELAY, NEW.public, NEW.raw) == DONE
            assert await exchange.put(AT_RELAY, OLD.public, OLD.raw) == NOT_ALLOWED
            assert await exchange.get(AT_RELAY, NEW.public) == NEW.raw
            assert (len(hosts.made), hosts.open) == (4, 0)
            assert [len(host.streams) for host in hosts.made] == [1] * 4

    run(main)


def test_no_relay_delays_or_breaks_anything_by_what_it_says() -> None:
    async def silent(liar: Liar) -> None:
        await liar.greet()
        await trio.sleep_forever()

    async def mute(liar: Liar) -> None:
        await trio.sleep_forever()

    async def another_number(liar: Liar) -> None:
        await liar.greet()
        answers: dict[int, tuple[int, bytes]] = {
            mailbox.PUT_RECORD: (mailbox.RESULTS, mailbox.encode_results([(99, DONE)])),
            mailbox.GET_RECORD: (mailbox.RECORD, record_frames.encode_answer(RecordAnswer(99, b""))),
        }
        await liar.say(answers[(await _first(liar)).type])

    async def another_frame(liar: Liar) -> None:
        await liar.greet()
        await liar.end(1)

    async def pings(liar: Liar) -> None:
        await liar.greet()
        while True:
            await liar.say((mailbox.PING, b""))
            await trio.sleep(1)

    async def gone(liar: Liar) -> None:
        await liar.greet()
        await liar.stream.close()

    async def main() -> None:
        for script in (silent, mute, another_number, another_frame, pings, gone):
            async with trio.open_nursery() as nursery:
                hosts = Hosts(lambda script=script: _lies(script, nursery))  # type: ignore[misc]
                exchange = RecordExchange(hosts.new, lambda peer: False)
                began = trio.current_time()
                assert await exchange.put(AT_RELAY, NEW.public, NEW.raw) is None, script.__name__
                assert await exchange.get(AT_RELAY, NEW.public) == b"", script.__name__
                assert trio.current_time() - began <= 2 * EXCHANGE_TIMEOUT, script.__name__
                assert hosts.open == 0
                nursery.cancel_scope.cancel()

    run(main)


def test_who_opens_no_mailbox_directly_puts_and_gets_no_record_directly(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at, trio.open_nursery() as nursery:
            for first_hops in ([(PeerKey(b"\xcc" * 32), ("/ip4/10.0.0.8/tcp/4001",))], []):
                hosts = Hosts(at.stream)
                pool = MailboxPool(
                    Lines(at.stream), Letters(), nursery, lambda: NOW, bytes, hosts.new, first_hops.copy, hops=2
                )
                put = await pool.records.put(AT_RELAY, NEW.public, NEW.raw)
                got = await pool.records.get(AT_RELAY, NEW.public)
                assert (put, got) == ((DONE, NEW.raw) if first_hops else (None, b""))
                tried = [address for host in hosts.made for address in host.addresses_tried]
                assert len(tried) == 2 * len(first_hops)
                assert all("/p2p-circuit" in address for address in tried)

    run(main)


def test_a_relay_that_one_of_ours_leads_to_sees_that_one_come_and_is_asked_directly_if_it_does_not(
    tmp_path: Path,
) -> None:
    ours, other = PeerKey(b"\xcc" * 32), PeerKey(b"\xdd" * 32)

    async def ways(first: PeerKey, there: Callable[[], PipeStream]) -> list[list[str]]:
        """The addresses by which each host goes that is made for one request, if the relay names this first hop."""
        hosts = Hosts(there)
        async with trio.open_nursery() as nursery:
            at_ours = [(ours, ("/ip4/10.0.0.8/tcp/4001",))]
            pool = MailboxPool(
                Lines(there),
                Letters(),
                nursery,
                lambda: NOW,
                bytes,
                hosts.new,
                lambda: at_ours,
                named=lambda _: {first},
            )
            assert await pool.records.put(AT_RELAY, NEW.public, NEW.raw) == DONE
        return [host.addresses_tried for host in hosts.made]

    async def main() -> None:
        async with relay(tmp_path) as at:
            by_ours, direct = [multiaddrs.circuit("/ip4/10.0.0.8/tcp/4001", ours)], [WHERE, f"{WHERE}/ws"]
            answers = iter([unreachable, at.stream])

            def first_not() -> PipeStream:
                return next(answers)()

            assert await ways(ours, at.stream) == [by_ours]
            assert await ways(ours, first_not) == [by_ours, direct], "by another host with another key"
            assert await ways(other, at.stream) == [direct], "whoever names it could be it"

    run(main)


def test_nobody_is_asked_where_there_is_nobody_to_ask() -> None:
    async def main() -> None:
        hosts = Hosts(unreachable)
        assert await RecordExchange(hosts.new, lambda peer: False).get(AT_RELAY, NEW.public) == b""
        assert len(hosts.made) == 1
        assert await RecordExchange(hosts.new, lambda peer: True).put(AT_RELAY, NEW.public, NEW.raw) is None
        nowhere = replace(AT_RELAY, addresses=(b"of a kind that is not known here",))
        assert await RecordExchange(hosts.new, lambda peer: False).get(nowhere, NEW.public) == b""
        assert await RecordExchange(None, lambda peer: False).get(AT_RELAY, NEW.public) == b""
        assert len(hosts.made) == 1

    run(main)


async def _first(liar: Liar) -> Frame:
    """The first frame of the client."""
    parser = liar._parser
    while not (frames := parser.feed(await liar.stream.read(65_536))):
        pass
    return frames[0]


def _lies(script: Callable[[Liar], Awaitable[None]], nursery: trio.Nursery) -> PipeStream:
    forth, back = Pipe(1 << 18), Pipe(1 << 18)

    async def follow() -> None:
        stream = PipeStream(PeerKey(b"\xbb" * 32), forth, back, True)
        with suppress(LinkLost):
            await script(Liar(stream))
        await stream.close()

    nursery.start_soon(follow)
    return PipeStream(RELAY, back, forth, False)
