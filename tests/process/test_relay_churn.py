"""An hour of coming and going in little time: whatever people do and however they leave, the relay is as it was."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import trio
from libp2p.peer.id import ID

from p2pchat.core.mailbox import DONE, TO_FETCH, TO_PUT
from p2pchat.core.names import MAILBOX
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import circuit_messages, connections
from p2pchat.net.libp2p.circuit_messages import HopMessage, StopMessage
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.ports import Stream
from tests.support.boxes import Keys, MailClient, blob
from tests.support.hosts import echo
from tests.support.ports import free_port
from tests.support.processes import Place
from tests.support.programs import get, host, start
from tests.support.relays import ask, echoes

MEETINGS = int(os.environ.get("P2PCHAT_CHURN_MEETINGS", "90"))
AT_ONCE = 6
PATIENCE = 60.0 + MEETINGS
SETTLING = 30.0
"""Seconds in which the relay must be rid of those who left."""
FLAT = (
    *("p2pchat_relay_" + name for name in ("connections", "clients", "watched", "reservations", "circuits", "tasks")),
    *("p2pchat_relay_" + name for name in ("waiting_bytes", "queues", "blobs", "bytes")),
    "process_open_fds",
)
GROWTH = 6e6
"""Bytes by which the process may be larger after the second half than after the first."""


class Numbers:
    """What a relay says of itself."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def now(self) -> dict[str, float]:
        text = await trio.to_thread.run_sync(get, self._port, "/metrics")
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}

    async def settled(self, before: dict[str, float]) -> dict[str, float]:
        """The numbers when everybody is gone: those that tell of people and what they hold must be as they were."""
        now: dict[str, float] = {}
        with trio.move_on_after(SETTLING):
            while not now or _flat(now) != _flat(before):
                now = await self.now()
        assert _flat(now) == _flat(before)
        return now


def _flat(numbers: dict[str, float]) -> dict[str, float]:
    return {name: numbers[name] for name in FLAT}


async def accept(stream: Stream) -> None:
    """Take a circuit as somebody who has reserved does."""
    message = await circuit_messages.read_message(stream, StopMessage)
    assert message.type == StopMessage.CONNECT
    await circuit_messages.write_message(stream, StopMessage(type=StopMessage.STATUS, status=circuit_messages.OK))
    await echo(stream)


class Town:
    """People who meet at one relay, over and over."""

    def __init__(self, address: str) -> None:
        self._relay, self._where = multiaddrs.parse_full(address)

    async def meet(self, number: int) -> None:
        """Two who were never here connect, reserve, write, read, delete, are joined, and leave in one of four ways."""
        keys = Keys(f"queue {number}")
        over = "/ws" if number % 4 == 3 else ""
        async with host() as alice, host() as bob:
            bob.handle(circuit_messages.STOP, accept)
            reserving = await bob.open(self._relay, [self._where + over], circuit_messages.HOP)
            assert await ask(reserving, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.OK
            read = await self._mail(bob, TO_FETCH, keys)
            await read.watch((0, 0))
            write = await self._mail(alice, TO_PUT, keys)
            assert await write.put(0, *(blob(f"{number} {one}") for one in range(3))) == [DONE] * 3
            pushed = [await read.next_pushed() for _ in range(3)]
            assert await read.delete(0, pushed[-1].place) == DONE
            joined = await alice.open(self._relay, [self._where], circuit_messages.HOP)
            await circuit_messages.connect(joined, bob.peer)
            assert await echoes(joined)
            if number % 4 == 0:
                for stream in (joined, reserving, write.stream, read.stream):
                    await stream.close()
            elif number % 4 == 1:
                await write.stream.write(b"\xff" * 99)
                assert await write.has_ended()
            elif number % 4 == 2:
                for one in (alice, bob):
                    self._muxer(one).abandon()

    async def _mail(self, by: LibP2PHost, role: int, keys: Keys) -> MailClient:
        client = await MailClient(await by.open(self._relay, [self._where], MAILBOX)).greeted()
        assert await client.open(0, role, keys) == DONE
        return client

    def _muxer(self, one: LibP2PHost) -> GuardedYamux:
        assert one._running is not None
        (conn,) = connections.live(one._running.swarm, ID(multiaddrs.multihash(self._relay)))
        assert isinstance(conn.muxed_conn, GuardedYamux)
        return conn.muxed_conn

    async def gather(self, numbers: range) -> None:
        """So many meetings, some at the same time."""
        at_once = trio.CapacityLimiter(AT_ONCE)

        async def one(number: int) -> None:
            async with at_once:
                await self.meet(number)

        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(one, number)


@pytest.mark.churn
def test_after_an_hour_of_coming_and_going_all_is_as_before(here: Place) -> None:
    port = free_port()
    _, address = start(here, "--metrics", f"127.0.0.1:{port}", "--config", str(settings(here)))
    numbers, town = Numbers(port), Town(address)

    async def main() -> None:
        with trio.fail_after(PATIENCE):
            before = await numbers.now()
            await town.gather(range(MEETINGS // 2))
            between = await numbers.settled(before)
            await town.gather(range(MEETINGS // 2, MEETINGS))
            after = await numbers.settled(before)
        assert after["p2pchat_relay_deposits_total"] == 3 * MEETINGS
        assert after["p2pchat_relay_pushed_total"] == 3 * MEETINGS
        assert after["p2pchat_relay_reserved_total"] == after["p2pchat_relay_circuits_joined_total"] == MEETINGS
        grown = after["process_resident_memory_bytes"] - between["process_resident_memory_bytes"]
        assert grown < GROWTH, f"{grown / 1e6:.1f} MB more after the second half"

    trio.run(main)


def settings(here: Place) -> Path:
    """Everybody comes from one address."""
    file = here.folder / "relay.toml"
    file.write_text("connections_per_address = 1000\n")
    return file
