"""The port rule: one kept port for every wish without one, on IPv4 and IPv6, and never a port shared by accident."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from p2pchat.errors import NodeError
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import listen
from p2pchat.net.libp2p.listen import Listening
from tests.conftest import run
from tests.support.ports import free_port


@contextmanager
def _listening(*wanted: str, kept_port: int = 0) -> Iterator[Listening]:
    opened = listen.open_listeners([multiaddrs.parse(text) for text in wanted], kept_port)
    try:
        yield opened
    finally:
        for listener in opened.listeners:
            listener.close()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_by_default_one_port_on_ipv4_and_ipv6() -> None:
    async def main() -> None:
        with _listening(*multiaddrs.DEFAULT_LISTEN) as opened:
            port = opened.port
            assert [endpoint.text() for endpoint in opened.endpoints] == [
                f"/ip4/0.0.0.0/tcp/{port}",
                f"/ip6/::/tcp/{port}",
            ]
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as sock:
                    sock.connect((host, port))
        with _listening(*multiaddrs.DEFAULT_LISTEN, kept_port=port) as opened:
            assert opened.port == port

    run(main)


def test_a_kept_port_that_is_taken_is_changed() -> None:
    async def main() -> None:
        with _listening("/ip4/127.0.0.1/tcp/0") as first:
            with _listening("/ip4/127.0.0.1/tcp/0", kept_port=first.port) as second:
                assert second.port not in (0, first.port)
            # Taken on IPv6 alone counts as well: it is one port.
            with _listening(*multiaddrs.DEFAULT_LISTEN, kept_port=first.port) as third:
                assert third.port not in (0, first.port)
                assert {endpoint.port for endpoint in third.endpoints} == {third.port}

    run(main)


def test_a_port_that_was_asked_for_is_not_changed() -> None:
    async def main() -> None:
        with (
            _listening("/ip4/127.0.0.1/tcp/0") as first,
            pytest.raises(NodeError, match=f"cannot listen on /ip4/127.0.0.1/tcp/{first.port}"),
            _listening(f"/ip4/127.0.0.1/tcp/{first.port}"),
        ):
            pass

    run(main)


def test_every_wish_without_a_port_gets_the_same() -> None:
    async def main() -> None:
        free = free_port("127.0.0.2")
        wanted = ("/ip4/127.0.0.1/tcp/0", f"/ip4/127.0.0.2/tcp/{free}", "/ip4/127.0.0.3/tcp/0", "/ip4/127.0.0.1/tcp/0")
        with _listening(*wanted) as opened:
            assert sorted(endpoint.text() for endpoint in opened.endpoints) == [
                f"/ip4/127.0.0.1/tcp/{opened.port}",
                f"/ip4/127.0.0.2/tcp/{free}",
                f"/ip4/127.0.0.3/tcp/{opened.port}",
            ]

    run(main)


def test_everywhere_covers_the_rest() -> None:
    async def main() -> None:
        with _listening("/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0") as opened:
            assert [endpoint.text() for endpoint in opened.endpoints] == [f"/ip4/0.0.0.0/tcp/{opened.port}"]

    run(main)


def test_without_ipv6_there_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = listen._open

    def no_ipv6(ip: multiaddrs.IP, port: int) -> socket.socket:
        if ip.version == 6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(ip, port)

    monkeypatch.setattr(listen, "_open", no_ipv6)

    async def main() -> None:
        with _listening(*multiaddrs.DEFAULT_LISTEN) as opened:
            assert [endpoint.ip.version for endpoint in opened.endpoints] == [4]
        for wanted in ("/ip6/::/tcp/0", "/ip6/::1/tcp/0"):
            with pytest.raises(NodeError), _listening(wanted):
                pass

    run(main)


def test_nothing_stays_open_where_one_fails() -> None:
    async def main() -> None:
        with _listening("/ip4/127.0.0.1/tcp/0") as first:
            free = free_port("127.0.0.2")
            wanted = (f"/ip4/127.0.0.2/tcp/{free}", f"/ip4/127.0.0.1/tcp/{first.port}")
            with pytest.raises(NodeError), _listening(*wanted):
                pass
            with socket.create_server(("127.0.0.2", free)):
                pass

    run(main)


def test_nothing_wanted_is_nothing_opened() -> None:
    async def main() -> None:
        with _listening() as listening:
            assert (listening.listeners, listening.endpoints, listening.port) == ((), (), 0)

    run(main)
