"""What a host gives away: to peers, to whoever knocks, and to the terminal."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.utils.varint import encode_uvarint

from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.log_filter import quiet
from tests.conftest import run
from tests.support.hosts import call, make, running, works
from tests.support.processes import PATIENCE

ROOT = Path(__file__).parents[2]


def test_what_is_pushed_is_forgotten() -> None:
    """A push would let anyone write what is believed about a peer."""

    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b, "/ipfs/id/push/1.0.0")
            said = Identify(public_key=a._pair.public_key.serialize(), listen_addrs=[b"\x04\x0a\0\0\x01\x06\0\x01"])
            await stream.write(encode_uvarint(said.ByteSize()) + said.SerializeToString())
            await stream.close()
            assert await works(a, b)
            assert b.connected() == (a.peer,)

    run(main)


def test_we_ask_nobody() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        asked = trio.Event()

        async def identify(stream: object) -> None:
            asked.set()

        b.handle(IDENTIFY, identify)
        async with running(a, b):
            for _ in range(3):
                assert await works(a, b)
                await a.disconnect(b.peer)
            assert not asked.is_set()

    run(main)


def test_no_logger_of_libp2p_is_left() -> None:
    before = list(logging.root.handlers)
    noisy = logging.getLogger("libp2p.transport.somewhere")
    noisy.addHandler(logging.StreamHandler())
    noisy.setLevel(logging.DEBUG)
    quiet()
    assert not noisy.isEnabledFor(logging.CRITICAL)
    assert not noisy.handlers
    assert not logging.getLogger("libp2p").propagate
    assert not logging.getLogger("libp2p.network.connection").isEnabledFor(logging.CRITICAL)
    assert logging.root.handlers == before


def test_loud_logs_have_no_peers_in_them(caplog: pytest.LogCaptureFixture) -> None:
    quiet(loud=True)
    try:
        with caplog.at_level(logging.WARNING, "p2pchat.libp2p"):
            logging.getLogger("libp2p.network.swarm").warning(
                "no answer from %s at %s or %s",
                "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB",
                "/ip4/203.0.113.7/tcp/1",
                "/ip6/2001:db8::7/tcp/1",
            )
    finally:
        quiet()
    assert caplog.messages == ["libp2p.network.swarm: no answer from … at /ip4/…/tcp/1 or /ip6/…/tcp/1"]


_PROGRAM = """
import logging, sys, trio
from p2pchat.net.libp2p.host import LibP2PHost

async def fail(stream):
    raise RuntimeError("a secret in an error")

async def main():
    host = LibP2PHost(bytes(range(32)), ["/ip4/127.0.0.1/tcp/0"])
    host.handle("/test/fail/1", fail)
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        print(host.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    assert not logging.root.handlers, logging.root.handlers

trio.run(main)
"""


def test_nothing_is_printed_whatever_arrives() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            bytes(200_000),
            b"\xff" * 1000,
            b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff" * 70_000,
            b"\x13/multistream/1.0.0\n" + b"\xff\xff\xff\xff\x7f" + b"x" * 1000,
            b"\x13/multistream/1.0.0\n\x03\xff\xff\n",
            b"",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as knock:
                try:
                    knock.sendall(garbage)
                    knock.shutdown(socket.SHUT_WR)
                    while knock.recv(65536):
                        pass
                except OSError:  # it may be gone before all is said
                    pass

        async def talk() -> None:
            a = make(1)
            peer, where = LibP2PHost(bytes(range(32))).peer, [f"/ip4/127.0.0.1/tcp/{port}"]
            async with running(a):
                for _ in range(2):
                    stream = await a.open(peer, where, "/test/fail/1")
                    with suppress(LinkLost):
                        assert await stream.read(1) == b""
                with pytest.raises(Unreachable):
                    await a.open(peer, where, "/test/unknown/1")

        run(talk)
        _, errors = process.communicate("", timeout=60)
        assert errors == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
