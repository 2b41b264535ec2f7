"""Dialling through a SOCKS5 proxy: everything goes there, and nothing anywhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from p2pchat.errors import Unreachable
from p2pchat.lib.proxy_address import ProxyAddress
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import dial
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.transport.lookups import Lookups
from p2pchat.net.transport.proxy import Proxy
from tests.support.hosts import ECHO, make, read_exactly, running
from tests.support.ports import free_port
from tests.support.socks import ANONYMOUS, BY_PASSWORD, NO_METHOD, Asked, SocksServer, socks_server

NAME = "nowhere.example"
GRANTED = bytes([5, 0, 0, 1]) + bytes(6)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(60):
            await main()

    trio.run(bounded)


def proxied(address: ProxyAddress, number: int = 9) -> LibP2PHost:
    """A host that dials through a proxy and listens nowhere."""
    return LibP2PHost(bytes([number]) * 32, (), proxy=Proxy(address, lambda size: bytes([number]) * size))


async def echoed(host: LibP2PHost, there: LibP2PHost, *addresses: str) -> bool:
    stream = await host.open(there.peer, addresses or there.addresses(), ECHO, chosen=True)
    await stream.write(b"hello")
    return await read_exactly(stream, 5) == b"hello"


def test_a_host_is_dialled_through_the_proxy_and_a_name_is_looked_up_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(self: Lookups, name: str, family: int) -> None:
        raise AssertionError("a name was looked up here")

    monkeypatch.setattr(Lookups, "addresses", resolved)

    async def main() -> None:
        bob, dave = make(1, web=True), make(2)
        async with socks_server(SocksServer({NAME: "127.0.0.1"})) as server, running(bob, dave):
            alice = proxied(server.address)
            async with running(alice):
                assert await echoed(alice, bob, f"/dns4/{NAME}/tcp/{bob.port}")
                assert await echoed(alice, dave)
        assert [(asked.host, asked.port) for asked in server.asked] == [(NAME, bob.port), ("127.0.0.1", dave.port)]

    run(main)


ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid"


def test_an_onion_service_is_dialled_through_the_proxy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its name is looked up nowhere, whoever dials and whatever else there is to dial."""

    def resolved(*asked: object, **also: object) -> None:
        raise AssertionError("a name was looked up here")

    async def main() -> None:
        bob, dave = make(1), make(2)
        where = f"/onion3/{ONION}:4001"
        async with socks_server() as server, running(bob, dave, direct := make(5)):
            server.names[f"{ONION}.onion"] = f"127.0.0.1:{bob.port}"
            monkeypatch.setattr(Lookups, "addresses", resolved)
            bob._running.inbound._tor = "onion"  # type: ignore[union-attr]
            for host in (proxied(server.address, 3), proxied(server.address, 4)):
                async with running(host):
                    assert await echoed(host, bob, where)
            asked = list(server.asked)
            assert [(each.host, each.port) for each in asked] == [(f"{ONION}.onion", 4001)] * 2
            assert len({each.user for each in asked}) == 2

            with pytest.raises(Unreachable, match="through Tor only"):
                await echoed(direct, bob, where)
            with pytest.raises(Unreachable, match="through Tor only"):
                await echoed(direct, bob, multiaddrs.circuit(where, dave.peer))
            assert await echoed(direct, dave, where, *dave.addresses())
            with pytest.raises(Unreachable, match="through Tor only"):
                await dial.resolve(multiaddrs.Name(multiaddrs.ONION, f"{ONION}.onion"), 4001, chosen=True)
            assert server.asked == asked

    run(main)


def test_nobody_at_a_proxy_sees_that_two_peers_are_dialled_by_one_person() -> None:
    """Tor puts no two users on one circuit. The user of a peer stays while we run, and is another next time."""

    async def main() -> None:
        async with socks_server() as server, running(bob := make(1), dave := make(2)):
            for number in (3, 4):
                alice = proxied(server.address, number)
                async with running(alice):
                    for there in (bob, dave, bob):
                        assert await echoed(alice, there)
                        await alice.disconnect(there.peer)
        users = [asked.user for asked in server.asked]
        assert users[0] == users[2]
        assert users[3] == users[5]
        assert len({*users}) == 4
        assert all(users)

    run(main)


def test_a_user_that_the_person_named_is_the_only_one() -> None:
    async def main() -> None:
        async with socks_server() as server, running(bob := make(1), dave := make(2)):
            where = server.address
            alice = proxied(ProxyAddress(where.host, where.port, "alice", "secret"))
            async with running(alice):
                assert await echoed(alice, bob)
                assert await echoed(alice, dave)
        assert [asked.user for asked in server.asked] == ["alice", "alice"]

    run(main)


def test_a_local_address_that_somebody_else_named_is_not_dialled() -> None:
    """The proxy stands in another network than ours, where nobody may have us try ports."""

    async def main() -> None:
        async with socks_server() as server, running(bob := make(1)):
            alice = proxied(server.address)
            async with running(alice):
                with pytest.raises(Unreachable):
                    await alice.open(bob.peer, bob.addresses(), ECHO)
        assert server.asked == []

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x04",
        bytes([5, 1, 0, 1]),
        bytes([5, 0, 1, 1]) + bytes(6),
        bytes([5, 0, 0, 9]) + bytes(6),
        bytes([5, 0, 0, 3, 255]) + b"\xff" * 257,
        bytes([5, 77, 0, 1]) + bytes(6),
    ],
)
def test_whatever_a_proxy_answers_is_at_worst_no_connection(answer: bytes) -> None:
    async def main() -> None:
        async with socks_server(SocksServer(answer=answer or b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
            with pytest.raises(Unreachable):
                await Proxy(server.address, bytes).connect(NAME, 4001, b"peer")

    run(main)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, f"{'a.' * 200}example", "\udcff"])
def test_a_name_that_can_be_none_is_no_connection(name: str) -> None:
    async def main() -> None:
        async with socks_server() as server:
            with pytest.raises(Unreachable):
                await Proxy(server.address, bytes).connect(name, 4001, b"peer")

    run(main)


def test_without_its_proxy_a_host_dials_nobody() -> None:
    async def main() -> None:
        alice = proxied(ProxyAddress("127.0.0.1", free_port()))
        async with running(alice, bob := make(1)):
            with pytest.raises(Unreachable):
                await echoed(alice, bob)
            assert bob.connected() == ()

    run(main)


async def _web(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await stream.receive_some()


def test_how_a_proxy_is() -> None:
    async def main() -> None:
        async def ask(method: int, user: str = "") -> str:
            async with socks_server(SocksServer(method=method)) as server:
                return (await Proxy(ProxyAddress("127.0.0.1", server.port, user, user), bytes).health()).problem

        assert await ask(ANONYMOUS) == ""
        assert await ask(BY_PASSWORD) == await ask(BY_PASSWORD, "alice") == ""
        assert await ask(BY_PASSWORD, "mallory") == await ask(NO_METHOD) == "it refuses our user name and password"
        async with trio.open_nursery() as nursery:
            listener, *_ = await nursery.start(partial(trio.serve_tcp, _web, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            assert (
                await Proxy(ProxyAddress("127.0.0.1", port), bytes).health()
            ).problem == "what answers is no SOCKS5 proxy"
            nursery.cancel_scope.cancel()
        assert (await Proxy(ProxyAddress("127.0.0.1", port), bytes).health()).problem == "it does not answer"

    run(main)


def test_the_proxy_of_these_tests_says_what_it_is_asked() -> None:
    async def main() -> None:
        async with socks_server(SocksServer(answer=GRANTED)) as server:
            await Proxy(server.address, bytes).connect("10.0.0.1", 4001, b"peer")
            assert server.asked == [Asked("10.0.0.1", 4001, server.asked[0].user)]

    run(main)
