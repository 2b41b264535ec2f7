"""A relay's port as an HTTP server: it looks like an ordinary small web server, with a WebSocket at one secret path.

Whoever does not know the path gets the answers of an empty web server, with the headers, their order and the error
pages of nginx in its default configuration, the most common server on the internet. This module does not know what the
WebSocket is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

MAX_HEAD = 8192
"""Bytes of a request's head. Those of browsers and reverse proxies are below 2,000."""
MAX_REQUESTS = 100
"""Requests on one connection."""
MAX_BODY = 2**20
"""Bytes of a request's body, which is read and dropped."""

_LINE = re.compile(rb"([A-Z_-]{1,32}) +(/\S*|\*|https?://\S+|\S+:\d+) +HTTP/(\d)\.(\d)\r?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00]*)")
_REASONS = {
    400: "Bad Request",
    404: "Not Found",
    405: "Not Allowed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}
_PAGE = (
    "<html>\r\n<head><title>{0} {1}</title></head>\r\n<body>\r\n<center><h1>{0} {1}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


class RequestStream(Protocol):
    """The part of trio's streams that is needed for requests and answers."""

    async def receive_some(self, max_bytes: int | None = None, /) -> bytes | bytearray:
        """Wait for some bytes, at least one; b"" at the end."""
        ...

    async def send_all(self, data: bytes, /) -> None:
        """Send all of it."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request. `raw`: as it was received. Header names are in lower case; repeated headers are joined by
    commas.
    """

    method: str
    path: str
    version: int
    headers: dict[str, str]
    raw: bytes

    @property
    def upgrades(self) -> bool:
        """Whether the request asks for a WebSocket (RFC 6455, section 4.2.1)."""
        asked = [part.strip().lower() for part in self.headers.get("connection", "").split(",")]
        return self.method == "GET" and "upgrade" in asked and self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def stays(self) -> bool:
        """Whether the connection stays open for another request."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish and (self.version > 0 or "keep-alive" in wish)

    @property
    def forwarded_for(self) -> tuple[str, ...]:
        """The addresses for which the request says that it was forwarded, nearest last."""
        parts = (part.strip() for part in self.headers.get("x-forwarded-for", "").split(","))
        return tuple(part for part in parts if part)


class _Wrong(Exception):
    """Answer with this status and close."""

    def __init__(self, status: int) -> None:
        self.status = status


async def until_upgrade(stream: RequestStream, head: bytes, path: str) -> tuple[Head, bytes] | None:
    """Answer requests until one asks for the WebSocket; return its head, and the bytes after it.

    head: bytes already received. path: the only path with a WebSocket; "/" means any. Returns None if the connection is
    finished: the answer to the last request has been sent. There is no deadline.
    """
    try:
        for left in reversed(range(MAX_REQUESTS)):
            request, rest = await _request(stream, head)
            if request is None:
                return None
            if request.upgrades and path in ("/", request.path.partition("?")[0]):
                return request, rest
            head = await _without_body(stream, request, rest)
            stays = request.stays and left > 0
            await stream.send_all(answer(404, stays=stays, body=request.method != "HEAD"))
            if not stays:
                break
    except _Wrong as wrong:
        await stream.send_all(answer(wrong.status, stays=False))
    return None


def forwarded_for(head: bytes) -> tuple[str, ...]:
    """Return `Head.forwarded_for` of the request that begins with `head`: nothing unless its whole head is there."""
    end = re.search(rb"\n\r?\n", head)
    if end is None or not _LINE.fullmatch(head.partition(b"\n")[0]):
        return ()
    try:
        return _parsed(head[: end.end()]).forwarded_for
    except _Wrong:
        return ()


async def _request(stream: RequestStream, head: bytes) -> tuple[Head | None, bytes]:
    """Return the head of the next request and the bytes after it; None at the end of the stream."""
    head = head.lstrip(b"\r\n")
    while True:
        if head and not (head[:1].isupper() or head[:1] in b"_-"):
            raise _Wrong(400)
        line, newline, _ = head.partition(b"\n")
        if newline and not _LINE.fullmatch(line):
            raise _Wrong(400)
        end = re.search(rb"\n\r?\n", head)
        if end is not None and end.end() <= MAX_HEAD:
            return _parsed(head[: end.end()]), head[end.end() :]
        if len(head) >= MAX_HEAD:
            raise _Wrong(400 if newline else 414)
        chunk = bytes(await stream.receive_some(MAX_HEAD - len(head)))
        if not chunk:
            return None, b""
        head = (head + chunk).lstrip(b"\r\n") if not head else head + chunk


def _parsed(raw: bytes) -> Head:
    line, *lines = raw.split(b"\n")
    matched = _LINE.fullmatch(line)
    assert matched is not None
    headers: dict[str, str] = {}
    for header in lines[:-2]:
        match = _HEADER.fullmatch(header)
        if match is None:
            continue  # nginx ignores lines that are not headers
        name, value = match[1].decode("ascii").lower(), match[2].strip(b" \t\r").decode("latin-1")
        if name in ("host", "content-length") and name in headers:
            raise _Wrong(400)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    major, minor = int(matched[3]), int(matched[4])
    if major != 1:
        raise _Wrong(505)
    if minor and not headers.get("host"):
        raise _Wrong(400)
    return Head(matched[1].decode("ascii"), matched[2].decode("latin-1"), minor, headers, raw)


async def _without_body(stream: RequestStream, request: Head, rest: bytes) -> bytes:
    """Read and drop the body of a request, and return the bytes after it."""
    if request.method == "TRACE":
        raise _Wrong(405)
    if "transfer-encoding" in request.headers:
        raise _Wrong(404 if request.headers["transfer-encoding"].lower() == "chunked" else 501)
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise _Wrong(400)
    left = int(length)
    if left > MAX_BODY:
        raise _Wrong(413)
    while left > len(rest):
        left -= len(rest)
        rest = bytes(await stream.receive_some(65536))
        if not rest:
            return b""
    return rest[left:]


def answer(status: int, *, stays: bool, body: bool = True) -> bytes:
    """Return the answer with the HTTP `status` and its page, as nginx writes it. body: False for the head only. stays:
    whether the connection stays open.
    """
    from email.utils import formatdate  # slow to import

    page = _PAGE.format(status, _REASONS[status]).encode("ascii")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: nginx\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: text/html\r\nContent-Length: {len(page)}\r\n"
        f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + (page if body else b"")
