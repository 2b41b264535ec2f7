"""Programs that carry connections in disguise: what they say is read strictly, they end with us, and nothing is dialled
past them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.errors import Unreachable
from p2pchat.lib.proxy_address import ProxyAddress
from p2pchat.net.libp2p.host import LibP2PHost, disguised
from p2pchat.net.pluggable import PluggableTransport
from p2pchat.net.transport import managed
from p2pchat.net.transport.managed import Dialogue, ProxyMethod, TransportFailed, Transports
from p2pchat.net.transport.proxy import Proxy
from tests.support.hosts import ECHO, make, read_exactly, running
from tests.support.pluggable import FAULTS, KEY
from tests.support.processes import SOURCE

PROBLEMS = {
    "endless": "a line without an end",
    "chatty": "not the language",
    "garbage": "not the language",
    "silent": "not start in time",
    "environment": "ENV-ERROR",
    "missing": "no program /nowhere/at-all",
}
"""What a person is told, of some faults."""
XOR = PluggableTransport("xor", (("key", f"{KEY:x}"), ("odd", "a;b")))
PROGRAM = (sys.executable, str(SOURCE / "tests" / "support" / "pluggable.py"))


def run(main: Callable[[Transports], Awaitable[None]], state: Path, *words: str, proxy: Proxy | None = None) -> None:
    """Run `main` with a transport of the tests, which has ended afterwards."""

    async def bounded() -> None:
        transports = Transports({"xor": (*PROGRAM, *words)}, state, os.urandom, proxy)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(transports.run)
                await main(transports)
                nursery.cancel_scope.cancel()

    trio.run(bounded)
    for pid in started(state):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def started(state: Path) -> list[int]:
    """The processes that were started."""
    with suppress(FileNotFoundError):
        return [int(line) for line in (state / "xor" / "started").read_text().splitlines()]
    return []


def asked(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "xor" / "asked").read_text().splitlines()]


async def in_disguise() -> tuple[trio.SocketListener, str]:
    """A listener, and its address in disguise."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener, f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}/pt/xor/{XOR.text()}"


async def undisguise(bob: LibP2PHost, heard: bytearray, client: trio.SocketStream) -> None:
    """Take the disguise off what a client says, and pass it on to bob. heard: what goes over the wire."""
    table = bytes(byte ^ KEY for byte in range(256))

    async def pump(source: trio.SocketStream, target: trio.SocketStream, seen: bytearray) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                seen += data
                await target.send_all(bytes(data).translate(table))
            await target.send_eof()

    async with client, await trio.open_tcp_stream("127.0.0.1", bob.port) as there, trio.open_nursery() as nursery:
        nursery.start_soon(pump, client, there, heard)
        nursery.start_soon(pump, there, client, bytearray())


def test_a_peer_is_dialled_in_disguise_and_told_its_arguments(tmp_path: Path) -> None:
    heard = bytearray()

    async def main(transports: Transports) -> None:
        alice = LibP2PHost(bytes([9]) * 32, (), transports=transports)
        assert started(tmp_path) == [], "it is started when it is needed"
        async with running(bob := make(1), alice), trio.open_nursery() as nursery:
            listener, address = await in_disguise()
            nursery.start_soon(partial(trio.serve_listeners, partial(undisguise, bob, heard), [listener]))
            stream = await alice.open(bob.peer, [address], ECHO, chosen=True)
            await stream.write(b"hello")
            assert await read_exactly(stream, 5) == b"hello"
            assert disguised(alice) == {bob.peer: "xor"}
            assert [health.running for health in transports.health()] == [True]
            nursery.cancel_scope.cancel()
        port = int(address.split("/")[4])
        assert asked(tmp_path) == [
            {"host": "127.0.0.1", "port": port, "user": f"key={KEY:x};odd=a\\;b", "password": "\0", "proxy": None}
        ]

    run(main, tmp_path)
    assert heard
    assert b"multistream" not in heard
    assert b"noise" not in heard


@pytest.mark.parametrize("fault", [*FAULTS, "missing"])
def test_a_program_that_lies_or_fails_dials_nobody_and_ends_nothing(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "START_SECONDS", 0.3 if fault == "silent" else 20.0)

    async def main(transports: Transports) -> None:
        if fault == "missing":
            transports._programs["xor"]._command = ["/nowhere/at-all"]
        alice = LibP2PHost(bytes([9]) * 32, (), transports=transports)
        async with running(bob := make(1), alice):
            address = f"/ip4/127.0.0.1/tcp/{bob.port}/pt/xor/{XOR.text()}"
            with pytest.raises(Unreachable, match="pluggable transport xor does not work: ") as caught:
                await alice.open(bob.peer, [address], ECHO, chosen=True)
            assert bob.connected() == ()
            said = caught.value.line()
            assert PROBLEMS.get(fault, "") in said
            assert "\x1b" not in said
            assert len(said) < 250
            (health,) = transports.health()
            assert not health.running
            assert health.problem in said

    run(main, tmp_path, fault)


def test_a_program_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "END_SECONDS", 0.05)

    async def main(transports: Transports) -> None:
        await transports._programs["xor"].ready()

    run(main, tmp_path, "stubborn")
    assert len(started(tmp_path)) == 1


def test_a_program_that_died_is_started_again_after_a_pause(tmp_path: Path) -> None:
    async def main(transports: Transports) -> None:
        program = transports._programs["xor"]
        first = await program.ready()
        (pid,) = started(tmp_path)
        os.kill(pid, 9)
        while program.problem != "it has ended":
            await program._changed.wait()
        with pytest.raises(Unreachable, match="it has ended"):
            await transports.connect(XOR, "127.0.0.1", 9)
        while program.method is None:
            await program._changed.wait()
        assert program.problem == ""
        assert (first.host, len(started(tmp_path))) == ("127.0.0.1", 2)

    run(main, tmp_path)


def test_without_the_transport_an_address_is_not_dialled_bare() -> None:
    async def main() -> None:
        alice, bob, carol = LibP2PHost(bytes([9]) * 32, ()), make(1), make(2)
        async with running(alice, bob, carol):
            address = f"/ip4/127.0.0.1/tcp/{bob.port}/pt/xor/-"
            for way in (address, f"{address}/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit"):
                with pytest.raises(Unreachable, match="needs the pluggable transport xor, which is not set up"):
                    await alice.open(bob.peer, [way], ECHO, chosen=True)
            assert bob.connected() == ()
            stream = await alice.open(carol.peer, [address, *carol.addresses()], ECHO, chosen=True)
            await stream.close()
            assert bob.connected() == ()

    trio.run(main)


def test_with_a_proxy_the_program_has_to_use_it(tmp_path: Path) -> None:
    proxy = Proxy(ProxyAddress("127.0.0.1", 9050, "me", "a:b"), os.urandom)

    async def connects(transports: Transports) -> None:
        with pytest.raises(Unreachable):
            await transports.connect(XOR, "127.0.0.1", 9)
        assert asked(tmp_path / "good")[0]["proxy"] == "socks5://me:a%3Ab@127.0.0.1:9050"

    async def refuses(transports: Transports) -> None:
        with pytest.raises(Unreachable, match="does not use the proxy"):
            await transports.connect(XOR, "127.0.0.1", 9)
        assert not (tmp_path / "bad" / "xor" / "asked").exists()

    run(connects, tmp_path / "good", proxy=proxy)
    run(refuses, tmp_path / "bad", "past-proxy", proxy=proxy)


@pytest.mark.parametrize(
    ("lines", "method"),
    [
        (["VERSION 1", "CMETHOD xor socks5 127.0.0.1:9", "CMETHODS DONE"], ProxyMethod("127.0.0.1", 9)),
        (["VERSION 1", "CMETHOD xor socks5 [::1]:65535", "CMETHODS DONE"], ProxyMethod("::1", 65535)),
        (["STATUS x", "VERSION 1", "CMETHOD-ERROR rot13 no", "CMETHOD xor socks5 127.9.9.9:9", "CMETHODS DONE"],
         ProxyMethod("127.9.9.9", 9)),
    ],
)  # fmt: skip
def test_what_a_client_says(lines: list[str], method: ProxyMethod) -> None:
    dialogue = Dialogue("xor")
    assert [dialogue.take(line.encode()) for line in lines] == [False] * (len(lines) - 1) + [True]
    assert dialogue.method == method


def test_what_a_server_says() -> None:
    dialogue = Dialogue("obfs4", server=True)
    assert not dialogue.take(b"VERSION 1")
    assert not dialogue.take(b"CMETHOD obfs4 socks5 127.0.0.1:9")
    assert not dialogue.take(b"SMETHOD obfs4 0.0.0.0:443 ARGS:cert=a,iat-mode=0 MORE:x")
    assert dialogue.take(b"SMETHODS DONE")
    assert dialogue.method == ProxyMethod("0.0.0.0", 443, "cert=a,iat-mode=0")


@pytest.mark.parametrize(
    "line",
    [
        "", " ", " VERSION 1", "VERSION\t1", "VERSION: 1", "CMETHOD xor", "CMETHOD xor socks5", "CMETHOD xor socks5 9",
        "CMETHOD xor socks5 127.0.0.1:65536", "CMETHOD xor socks5 127.0.0.1:-1", "CMETHOD xor socks5 127.0.0.1:9 x",
        "CMETHOD xor socks5 0.0.0.0:9", "CMETHOD xor socks5 [::]:9", "CMETHOD xor http 127.0.0.1:9", "VERSION 1 2",
        "CMETHODS DONE",
    ],
)  # fmt: skip
def test_what_no_client_says(line: str) -> None:
    dialogue = Dialogue("xor")
    dialogue.take(b"VERSION 1")
    with pytest.raises(TransportFailed):
        dialogue.take(line.encode())
