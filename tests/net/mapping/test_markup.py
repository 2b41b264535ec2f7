"""XML that is read, and XML that is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.mapping import markup
from p2pchat.net.mapping.markup import BadMarkup, parse

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


def test_a_document_is_names_and_texts() -> None:
    root = parse(
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<u:a xmlns:u="x" y="z"><b> one &amp; two </b><b>three</b></u:a>\n\0'
    )
    assert [each.name for each in root.walk()] == ["a", "b", "b"]
    assert root.word("b") == "one & two"
    assert root.word("c") == ""


def test_what_is_not_utf_8_is_replaced_whatever_the_document_claims() -> None:
    assert parse(b'<?xml version="1.0" encoding="rot13"?><a>caf\xe9</a>').text == "caf�"


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE a><a/>",
        '<!DOCTYPE a SYSTEM "http://192.168.1.1/a.dtd"><a/>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]><a>&a9;</a>',
        '<!DOCTYPE a [<!ENTITY % b "c"> %b;]><a/>',
        "<a>&b;</a>",
        "",
        "<a>",
        "<a></b>",
        "text",
        "<a/><b/>",
        "<a>" * (markup.MAX_DEPTH + 1) + "</a>" * (markup.MAX_DEPTH + 1),
        f"<a>{'<b/>' * markup.MAX_ELEMENTS}</a>",
        f"<a>{'b' * markup.MAX_BYTES}</a>",
    ],
)
def test_what_could_do_harm_is_refused(document: str) -> None:
    with pytest.raises(BadMarkup):
        parse(document.encode())


@given(st.binary(max_size=200) | st.text("<>/ab&;![]\"'?-", max_size=60).map(str.encode))
def test_arbitrary_bytes_do_no_harm(document: bytes) -> None:
    with suppress(BadMarkup):
        parse(document)
