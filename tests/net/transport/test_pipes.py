"""What a TCP connection receives at once, and what a meter reads of it."""

from __future__ import annotations

import socket
import struct

import trio

from p2pchat.net.allowance import Traffic
from p2pchat.net.transport.pipes import CHUNK, WIDE_CHUNK, Meter, TcpPipe
from tests.conftest import run


def test_a_meter_counts_what_the_kernel_has_seen_acknowledged() -> None:
    async def main() -> None:
        listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
        one = await trio.open_tcp_stream("127.0.0.1", listener[0].socket.getsockname()[1])
        other = await listener[0].accept()
        async with one, other, listener[0]:
            meter = Meter(one.socket)
            await one.send_all(bytes(3_000))
            await other.send_all(bytes(200))
            while meter.read().bytes_in < 200 or meter.read().bytes_out < 3_000:
                await trio.lowlevel.checkpoint()
            carried = meter.read()
            # the SYN counts as a byte that was acknowledged
            assert (carried.bytes_in, carried.bytes_out - 3_000) in ((200, 0), (200, 1))
            assert carried.packets_in >= 2
            assert carried.packets_out >= 2
            assert (meter.stuck, meter.resent) == (False, 0)
        assert meter.read() == carried

    run(main)


def test_a_connection_that_brings_files_is_read_in_larger_pieces() -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        for each in (one, other):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * WIDE_CHUNK)
        pipe = TcpPipe(other)
        with one:
            assert one.send(bytes(3 * CHUNK)) == 3 * CHUNK
            assert len(await pipe.receive(10)) == 10
            assert len(await pipe.receive()) == CHUNK
            pipe.widen()
            assert len(await pipe.receive()) == 2 * CHUNK - 10
            await pipe.close()

    run(main)


class Mute:
    """A socket of whose connection the kernel says that its packets are not acknowledged."""

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        info = bytearray(size)
        info[2] = 2  # tcpi_retransmits
        struct.pack_into("@I", info, 100, 5)  # tcpi_total_retrans
        struct.pack_into("@QQII", info, 120, 14_000, 900, 20, 7)
        return bytes(info)


def test_a_connection_is_stuck_where_nothing_is_acknowledged() -> None:
    meter = Meter(Mute())  # type: ignore[arg-type]
    assert meter.read() == Traffic(900, 7, 14_000, 20)
    assert (meter.stuck, meter.resent) == (True, 5)
