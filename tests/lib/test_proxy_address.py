"""How a person writes a proxy."""

from __future__ import annotations

import pytest

from p2pchat.lib.proxy_address import ProxyAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("socks5://127.0.0.1:9050", ProxyAddress("127.0.0.1", 9050)),
        ("socks5h://localhost:1080/", ProxyAddress("127.0.0.1", 1080)),
        ("socks5://[::1]:9050", ProxyAddress("::1", 9050)),
        ("socks5://me:p%40ss@10.0.0.1:1", ProxyAddress("10.0.0.1", 1, "me", "p@ss")),
    ],
)
def test_a_proxy_is_read(text: str, address: ProxyAddress) -> None:
    assert ProxyAddress.parse(text) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must look like"),
        ("127.0.0.1:9050", "must look like"),
        ("http://127.0.0.1:9050", "must look like"),
        ("socks5://127.0.0.1", "must look like"),
        ("socks5://127.0.0.1:0", "must look like"),
        ("socks5://127.0.0.1:70000", "must look like"),
        ("socks5://127.0.0.1:9050/path", "must look like"),
        ("socks5://[::1:9050", "must look like"),
        ("socks5://proxy.example:9050", "IP address"),
        ("socks5://:9050", "IP address"),
        ("socks5://me@127.0.0.1:9050", "or neither"),
        (f"socks5://{'u' * 256}:p@127.0.0.1:9050", "255"),
        ("socks5://m%C3%A9:p@127.0.0.1:9050", "ASCII"),
    ],
)
def test_what_is_no_proxy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ProxyAddress.parse(text)


def test_a_password_is_shown_nowhere() -> None:
    address = ProxyAddress.parse("socks5://me:secret@[::1]:9050")
    assert str(address) == "[::1]:9050"
    assert "secret" not in repr(address)
