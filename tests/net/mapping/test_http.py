"""Answers in HTTP that are read, and those that are refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.mapping import http
from p2pchat.net.mapping.http import BadHttp, HttpAnswer, read_answer
from p2pchat.net.mapping.markup import MAX_BYTES

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (OK + b"Content-Length: 3\r\n\r\n<a>", HttpAnswer(200, b"<a>")),
        (OK + b"Content-Length: 3\r\ncontent-length:3\r\nX: 1\r\nX: 2\r\n\r\n<a>and more", HttpAnswer(200, b"<a>")),
        (CHUNKED + b"2\r\n<a\r\n01;x=y\r\n>\r\n0\r\n\r\n", HttpAnswer(200, b"<a>")),
        (b"HTTP/1.0 500\r\nContent-Length: 0\r\n\r\n", HttpAnswer(500, b"")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", HttpAnswer(302, b"")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", HttpAnswer(204, b"")),
    ],
)
def test_an_answer_is_read_as_soon_as_it_is_there(said: bytes, answer: HttpAnswer) -> None:
    assert read_answer(said, ended=False) == answer
    for length in range(said.index(b"\r\n\r\n") + 3):
        assert read_answer(said[:length], ended=False) is None
        with pytest.raises(BadHttp):
            read_answer(said[:length], ended=True)


def test_one_without_a_length_ends_with_the_connection() -> None:
    assert read_answer(OK + b"\r\n<a>", ended=False) is None
    assert read_answer(OK + b"\r\n<a>", ended=True) == HttpAnswer(200, b"<a>")


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        OK + b"no header\r\n\r\n",
        OK + b"X : y\r\n\r\n",
        OK + b"X: y\r\n folded\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n<a>x",
        OK + b"Content-Length: 99999999999\r\n\r\n",
        OK + b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1),
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<a>\r\n0\r\n\r\n",
        OK + b"X: " + b"y" * http.MAX_HEAD_BYTES + b"\r\n\r\n",
        OK + b"\r\n" + b"y" * (MAX_BYTES + 1),
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"3\r\n<a>xx",
        CHUNKED + b"fffff\r\n",
        CHUNKED + b"1" * (http.MAX_HEAD_BYTES + 1),
        CHUNKED + b"1\r\ny\r\n" * (MAX_BYTES + 1),
        b"y" * (http.MAX_READ_BYTES + 1),
    ],
)
def test_what_is_too_long_or_not_http_is_refused(said: bytes) -> None:
    with pytest.raises(BadHttp):
        read_answer(said, ended=False)


@given(st.binary(max_size=60), st.sampled_from([b"", OK, CHUNKED, OK + b"Content-Length: 3\r\n\r\n"]), st.booleans())
def test_arbitrary_bytes_do_no_harm(said: bytes, before: bytes, ended: bool) -> None:
    with suppress(BadHttp):
        answer = read_answer(before + said, ended=ended)
        assert answer is None or len(answer.body) <= MAX_BYTES


@pytest.mark.parametrize("value", [b" " * 16_000 + b"\0", b" x" + b" " * 16_000 + b"\0"])
def test_a_header_of_blanks_takes_no_longer_than_another(value: bytes) -> None:
    """With a pattern that tries every division of the blanks, it would take hours."""
    with pytest.raises(BadHttp):
        read_answer(OK + b"a:" + value + b"\r\n\r\n", ended=True)
