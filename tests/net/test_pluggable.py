"""The part of an address that names a pluggable transport: one spelling, bounded, and told without a mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net import pluggable
from p2pchat.net.pluggable import PluggableTransport, make_transport, read_transport

CERT = "Ab+/" * 12 + "A" * 22  # of the length of obfs4's, with a dozen of what has to be escaped, where one is usual


@pytest.mark.parametrize(
    ("written", "arguments", "login"),
    [
        ("-", (), ("", "")),
        ("key=5a", (("key", "5a"),), ("key=5a", "\0")),
        ("key=", (("key", ""),), ("key=", "\0")),
        ("cert=a%2Fb+c;iat-mode=0", (("cert", "a/b+c"), ("iat-mode", "0")), ("cert=a/b+c;iat-mode=0", "\0")),
        ("k=%3B%5C=", (("k", ";\\="),), ("k=\\;\\\\\\=", "\0")),
    ],
)
def test_arguments(written: str, arguments: tuple[tuple[str, str], ...], login: tuple[str, str]) -> None:
    transport = read_transport("obfs4", written)
    assert transport == PluggableTransport("obfs4", arguments)
    assert (transport.text(), transport.login()) == (written, login)


def test_those_of_obfs4_fit_with_room_to_spare() -> None:
    assert len(CERT) == 70
    assert len(make_transport("obfs4", [("cert", CERT), ("iat-mode", "0")]).text()) == pluggable.MAX_ARGUMENTS


def test_a_long_login_goes_on_in_the_password() -> None:
    transport = PluggableTransport("obfs4", (("k", "\\" * 200),))
    username, password = transport.login()
    assert (len(username), username + password) == (255, "k=" + "\\" * 400)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *(("Obfs4", "-"), ("4obfs", "-"), ("o" * 17, "-"), ("", "-"), ("ob-fs", "-"), ("obfs4", "")),
        *(("x", "k"), ("x", "=v"), ("x", "k=v;"), ("x", ";k=v"), ("x", "k=v;k=w"), ("x", "k=v;-"), ("x", "k k=v")),
        *(("x", "k=%2f"), ("x", "k=%41"), ("x", "k=%0A"), ("x", "k=%FF"), ("x", "k=%"), ("x", "k=a b"), ("x", "k=a/b")),
        *(("x", "k=a#b"), ("x", "k=ä"), ("x", "k=a\n"), ("x", "k=" + "v" * 109), ("x", "k" * 33 + "=v")),
    ],
)
def test_what_is_no_transport(name: str, written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says no more than that
        read_transport(name, written)


@given(st.text(max_size=30))
def test_any_text_is_a_transport_or_none(written: str) -> None:
    try:
        transport = read_transport("x", written)
    except ValueError:
        return
    assert transport.text() == written


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=4))
def test_what_a_server_says_becomes_an_address_or_an_error(arguments: list[tuple[str, str]]) -> None:
    try:
        transport = make_transport("x", arguments)
    except ValueError:
        return
    assert read_transport("x", transport.text()) == transport
