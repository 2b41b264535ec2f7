"""Connections through a SOCKS5 proxy such as Tor's. Everything that a host dials goes through it, including the look-up
of names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import trio

from p2pchat.errors import Unreachable
from p2pchat.lib.proxy_address import ProxyAddress
from p2pchat.ports import ProxyHealth

REACH_SECONDS = 30.0
"""Seconds that a connection may take: Tor first builds a circuit for it."""
CHECK_SECONDS = 3.0
_REFUSED = "it refuses our user name and password"


class Proxy:
    """A SOCKS5 proxy (RFC 1928, RFC 1929).

    Unless the proxy's address has a user name, each peer is dialled with a user name and a password of its own, which
    are random and reveal nothing. Tor never uses one circuit for two of them (`IsolateSOCKSAuth`, its default), so an
    exit, or a relay behind it, does not see which peers are dialled by the same person; a proxy without authentication
    ignores them. They differ in each run.
    """

    def __init__(self, address: ProxyAddress, random: Callable[[int], bytes]) -> None:
        self.address = address
        self._key = random(32)

    async def connect(self, host: str, port: int, peer: bytes) -> trio.SocketStream:
        """Return a connection with `host`, a name or an IP address, for dialling `peer`. Raises Unreachable."""
        from python_socks import ProxyError, ProxyType  # imported only if a proxy is used
        from python_socks.async_.trio import Proxy as Client

        username, password = self._user(peer)
        client = Client(ProxyType.SOCKS5, self.address.host, self.address.port, username, password, rdns=True)
        try:
            return trio.SocketStream(await client.connect(host, port, timeout=REACH_SECONDS))
        except (OSError, ProxyError, ValueError) as error:  # ValueError for an invalid answer or name
            raise Unreachable("the proxy made no connection") from error

    def url(self, peer: bytes) -> str:
        """Return the proxy's address with the user for dialling `peer`, for programs that use it too."""
        username, password = (quote(word, safe="") for word in self._user(peer))
        return f"socks5://{username}:{password}@{self.address}"

    async def health(self) -> ProxyHealth:
        """Check whether the proxy accepts connections from us."""
        return ProxyHealth(str(self.address), await self._problem())

    async def _problem(self) -> str:
        """Return what is wrong with the proxy, in words for a report, or ""."""
        with trio.move_on_after(CHECK_SECONDS), suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(self.address.host, self.address.port) as stream:
                await stream.send_all(b"\x05\x02\x00\x02")
                version, method = (await stream.receive_some(2)).ljust(2, b"\0")
                if version != 5:
                    return "what answers is no SOCKS5 proxy"
                if method != 2:
                    return "" if method == 0 else _REFUSED
                username, password = (text.encode() for text in self._user(b""))
                await stream.send_all(b"\x01%c%b%c%b" % (len(username), username, len(password), password))
                return "" if await stream.receive_some(2) == b"\x01\0" else _REFUSED
        return "it does not answer"

    def _user(self, peer: bytes) -> tuple[str, str]:
        """Return the user name and password for a connection with a peer."""
        if self.address.username:
            return self.address.username, self.address.password
        mark = hashlib.blake2b(peer, key=self._key, digest_size=16).hexdigest()
        return mark[:16], mark[16:]
