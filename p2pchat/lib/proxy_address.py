"""Where a SOCKS5 proxy is: `socks5://[USER:PASSWORD@]HOST:PORT`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

_SCHEMES = ("socks5", "socks5h")
_FORM = "must look like socks5://127.0.0.1:9050 or socks5://USER:PASSWORD@127.0.0.1:9050"
_MAX_BYTES = 255  # of a user name and of a password (RFC 1929)


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A SOCKS5 proxy. host: an IP address. username, password: both or neither, at most 255 ASCII characters each."""

    host: str
    port: int
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the address without user name and password, for people and logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> ProxyAddress:
        """Read an address. Raises ValueError, which says what is wrong in words that may follow the name of a setting.

        The host is an IP address or `localhost`: a name would have to be looked up past the proxy.
        """
        from urllib.parse import unquote, urlsplit  # only those who use a proxy wait for it

        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(_FORM) from None
        if parts.scheme not in _SCHEMES or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(_FORM)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("must name the proxy by its IP address, or as localhost") from None
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(username) != bool(password):
            raise ValueError("must have a user name and a password, or neither")
        if not all(text.isascii() and len(text) <= _MAX_BYTES for text in (username, password)):
            raise ValueError("may have at most 255 ASCII characters in its user name, and as many in its password")
        return cls(str(ip), port, username, password)
