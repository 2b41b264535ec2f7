"""The server of a pluggable transport in front of a relay: what it is told, and what clients are told of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from p2pchat.errors import Unreachable
from p2pchat.net.multiaddrs import SocketAddress, parse
from p2pchat.net.transport import managed
from p2pchat.relay.addresses import Front
from p2pchat.relay.config import BadSetting
from p2pchat.relay.transport import RelayTransport, read_arguments
from tests.support.pluggable import KEY
from tests.support.ports import free_port
from tests.support.processes import SOURCE

PROGRAM = (sys.executable, str(SOURCE / "tests" / "support" / "pluggable.py"))
ADDRESS = "/ip4/203.0.113.5/tcp/443"


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        ("", []),
        ("key=5a", [("key", "5a")]),
        ("cert=a/b+c,iat-mode=0", [("cert", "a/b+c"), ("iat-mode", "0")]),
        (r"k=a\,b\\,l=\=", [("k", "a,b\\"), ("l", "=")]),
        ("k=a=b", [("k", "a=b")]),
        ("k=", [("k", "")]),
    ],
)
def test_arguments_as_servers_write_them(written: str, pairs: list[tuple[str, str]]) -> None:
    assert read_arguments(written) == pairs


@pytest.mark.parametrize("written", ["k", "k,", "k=v,l", ",k=v", "k=v,,l=w"])
def test_what_are_no_arguments(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says no more than that
        read_arguments(written)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(60):
            await main()

    trio.run(bounded)


def test_it_listens_and_passes_on_what_comes_in_disguise(tmp_path: Path) -> None:
    async def main() -> None:
        (behind,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        bound = parse(f"/ip4/0.0.0.0/tcp/{behind.socket.getsockname()[1]}")
        outside = free_port()
        front = Front("xor", (ADDRESS,), f"127.0.0.1:{outside}")
        transport = RelayTransport(PROGRAM, front, tmp_path, lambda: (bound,), os.urandom)
        assert transport.addresses() == []
        async with trio.open_nursery() as nursery:
            await nursery.start(transport.run)
            assert transport.addresses() == [f"{ADDRESS}/pt/xor/key={KEY:x}"]
            client = await trio.open_tcp_stream("127.0.0.1", outside)
            await client.send_all(bytes(byte ^ KEY for byte in b"hello"))
            inside = await behind.accept()
            assert await inside.receive_some(10) == b"hello"
            nursery.cancel_scope.cancel()
        assert transport.addresses() == []

    run(main)


def test_a_program_that_ends_while_the_host_restarts_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "FIRST_PAUSE", 0.01)

    async def main() -> None:
        bound: list[SocketAddress] = []
        front = Front("xor", (ADDRESS,), "127.0.0.1:0")
        program = RelayTransport(PROGRAM, front, tmp_path, lambda: bound, os.urandom)._program
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.run)
            with pytest.raises(Unreachable, match="the relay does not listen now"):
                await program.ready()
            bound.append(parse("/ip4/127.0.0.1/tcp/9"))
            while program.method is None:
                await program._changed.wait()
            assert program.problem == ""
            nursery.cancel_scope.cancel()

    run(main)


def test_a_program_that_cannot_be_named_to_the_system_ends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        front, bound = Front("xor", (ADDRESS,), "127.0.0.1:0"), parse("/ip4/127.0.0.1/tcp/9")
        program = RelayTransport(("a\0b",), front, tmp_path, lambda: (bound,), os.urandom)._program
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.run)
            with pytest.raises(Unreachable, match="does not start: embedded null byte"):
                await program.ready()
            nursery.cancel_scope.cancel()

    run(main)


@pytest.mark.parametrize("fault", ["dies", "refuses"])
def test_a_relay_does_not_start_with_one_that_does_not(tmp_path: Path, fault: str) -> None:
    async def main() -> None:
        front, bound = Front("xor", (ADDRESS,), "127.0.0.1:0"), parse("/ip4/127.0.0.1/tcp/9")
        transport = RelayTransport((*PROGRAM, fault), front, tmp_path, lambda: (bound,), os.urandom)
        with pytest.raises(BaseExceptionGroup) as failed:
            async with trio.open_nursery() as nursery:
                await nursery.start(transport.run)
        assert failed.group_contains(BadSetting, match="the pluggable transport xor does not work: ")

    run(main)
