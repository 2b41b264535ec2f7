"""A relay's port answers HTTP as a small web server does, whatever is asked of it."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest
import trio
import trio.testing

from p2pchat.net.transport import web
from tests.conftest import run

PATH = "/kb5lvhh6jh5ju2qbmp3v3f4xye"
UPGRADE = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"


def served(*said: bytes, path: str = PATH) -> tuple[bytes, str | None]:
    """(everything that is answered, path of the WebSocket request that ended it) to these pieces."""
    heard: list[tuple[bytes, str | None]] = []

    async def main() -> None:
        client, server = trio.testing.memory_stream_pair()

        async def ask() -> None:
            for piece in said:
                await client.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
            await client.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            asked = await web.until_upgrade(server, b"", path)
            await server.send_eof()
            answer = b""
            while some := await client.receive_some():
                answer += some
            heard.append((answer, None if asked is None else asked[0].path))

    run(main)
    return heard[0]


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]


def test_a_page_has_the_headers_of_a_web_server() -> None:
    answer, _ = served(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, page = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 404 Not Found"
    named = dict(header.split(": ", 1) for header in headers)
    assert list(named) == ["Server", "Date", "Content-Type", "Content-Length", "Connection"]
    assert (named["Server"], named["Content-Type"], named["Connection"]) == ("nginx", "text/html", "close")
    assert named["Date"].endswith(" GMT")
    assert parsedate_to_datetime(named["Date"])
    assert int(named["Content-Length"]) == len(page) == 146  # as nginx's own


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3, [404, 404, 404]),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" * 2, [404]),
        ("GET / HTTP/1.0\r\n\r\n" * 2, [404]),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, [404, 404]),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [404, 404]),
        (
            "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPUT / HTTP/1.1\r\nHost: a\r\n\r\n",
            [404, 404],
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [404]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", [501]),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", [413]),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", [400]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400]),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", [405]),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [404]),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", [404]),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", [404]),
        ("GET / HTTP/1.1\r\n\r\n", [400]),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", [505]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
        ("GET /\r\n", [400]),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("SSH-2.0-x\r\n", [400]),
        ("\x16\x03\x01\x02\x00", [400]),
        ("GET /" + "a" * 9000, [414]),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "x: y\r\n" * 3000, [400]),
        (f"GET / HTTP/1.1\r\n{UPGRADE}\r\n", [404]),
        (f"GET {PATH}/ HTTP/1.1\r\n{UPGRADE}\r\n", [404]),
        (f"GET {PATH} HTTP/1.1\r\nHost: a\r\n\r\n", [404]),
        (f"POST {PATH} HTTP/1.1\r\n{UPGRADE}\r\n", [404]),
        ("GET / HTTP/1.1\r\nHost", []),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200, [404] * web.MAX_REQUESTS),
        ("\r\n\r\n", []),
    ],
)
def test_whatever_is_asked_there_is_an_answer(said: str, expected: list[int]) -> None:
    data = said.encode("latin-1")
    answer, path = served(data)
    assert (statuses(answer), path) == (expected, None)
    if len(data) < 300:  # and in pieces the same
        assert statuses(served(*[data[at : at + 1] for at in range(len(data))])[0]) == expected


def test_the_websocket_is_at_its_path_or_without_one_at_any() -> None:
    asked = f"GET {PATH}?a=b HTTP/1.1\r\n{UPGRADE}\r\n".encode()
    assert served(asked) == (b"", f"{PATH}?a=b")
    answer, path = served(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + asked)
    assert (statuses(answer), path) == ([404], f"{PATH}?a=b")
    assert served(asked, path="/") == (b"", f"{PATH}?a=b")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n\r\nmore", ("192.0.2.1", "192.0.2.2")),
        ("GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 1\r\nX-FORWARDED-FOR: , 2 ,\r\n\r\n", ("1", "2")),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n", ()),  # there may be more to come
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ()),
        ("GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", ()),  # no request, without a Host
        ("nonsense\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", ()),
        ("", ()),
    ],
)
def test_a_head_says_for_whom_it_was_forwarded(head: str, expected: tuple[str, ...]) -> None:
    assert web.forwarded_for(head.encode()) == expected
