"""The sockets of the search on the local network, with none of a real network."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import cast

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.lan import ANNOUNCEMENT_BYTES
from p2pchat.net.interfaces import Interface
from p2pchat.net.lan.sockets import IGNORED_SECONDS, Multicast
from tests.conftest import run

MACHINE = (Interface("eth0", ipaddress.ip_address("192.168.1.5"), 24),)
GOOD, SHORT = bytes(ANNOUNCEMENT_BYTES), bytes(ANNOUNCEMENT_BYTES - 1)


class Flooded:
    """A socket to which packets come without end; the one read after `ignored` others is an announcement."""

    def __init__(self, ignored: int, readable: socket.socket) -> None:
        self.reads = 0
        self.ignored = ignored
        self.fileno = readable.fileno

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        self.reads += 1
        if self.reads > self.ignored:
            return GOOD, ("192.168.1.6", 1)
        return (SHORT, ("192.168.1.6", 1)) if self.reads % 2 else (GOOD, ("203.0.113.9", 1))


def test_packets_that_are_no_announcements_of_ours_are_read_at_a_bounded_rate() -> None:
    async def main() -> None:
        medium = Multicast(tuple, lambda: MACHINE)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"there is always something to read")
            medium._readers = [cast(socket.socket, Flooded(1000, ours))]
            began = trio.current_time()
            assert await medium.receive() == (GOOD, ipaddress.ip_address("192.168.1.6"))
        assert trio.current_time() - began >= 999 * IGNORED_SECONDS

    run(main, MockClock(autojump_threshold=0))


def test_closing_just_before_the_wait_for_a_packet_begins_ends_nothing() -> None:
    async def main() -> None:
        medium = Multicast(tuple, lambda: MACHINE)
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        class Empty:
            """Nothing comes, and it is closed between the look for packets and the wait for them."""

            def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
                trio.lowlevel.current_trio_token().run_sync_soon(medium.close)
                raise BlockingIOError(errno.EAGAIN, "nothing")

            def fileno(self) -> int:
                return ours.fileno()

            def close(self) -> None:
                ours.close()

        with ours:
            for _ in range(20):  # trio starts tasks in any order
                ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                medium._readers = [cast(socket.socket, Empty())]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(medium.receive)
                    await wait_all_tasks_blocked()
                    assert medium._readers == []
                    nursery.cancel_scope.cancel()

    run(main)
