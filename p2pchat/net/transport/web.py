"""A relay's port as the web sees it: an ordinary small server, at one of whose paths there is a WebSocket.

Whoever does not know that path gets what a web server without a site says, with the headers, order and errors of nginx
as it comes, which is half of what answers in the internet. Nothing here knows what the WebSocket is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

MAX_HEAD = 8192
"""Bytes of a request's head; a browser's and a reverse proxy's are below 2,000."""
MAX_REQUESTS = 100
"""Requests on one connection."""
MAX_BODY = 2**20
"""Bytes of a request's body, which is read and forgotten."""

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
    """Where a request comes from, and its answer goes: a stream of trio's."""

    async def receive_some(self, max_bytes: int | None = None, /) -> bytes | bytearray:
        """Wait for some bytes, at least one; b"" at the end."""
        ...

    async def send_all(self, data: bytes, /) -> None:
        """Send all of it."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head, `raw` as it came; names of headers in lower case, those that came twice joined by commas."""

    method: str
    path: str
    version: int
    headers: dict[str, str]
    raw: bytes

    @property
    def upgrades(self) -> bool:
        """Whether it asks for a WebSocket (RFC 6455, section 4.2.1)."""
        asked = [part.strip().lower() for part in self.headers.get("connection", "").split(",")]
        return self.method == "GET" and "upgrade" in asked and self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def stays(self) -> bool:
        """Whether its connection takes another request afterwards."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish and (self.version > 0 or "keep-alive" in wish)


class _Wrong(Exception):
    """Answer with this status and close."""

    def __init__(self, status: int) -> None:
        self.status = status


async def until_upgrade(stream: RequestStream, head: bytes, path: str) -> tuple[Head, bytes] | None:
    """Answer what comes until somebody asks for the WebSocket. Returns the head of that request, and the bytes behind
    it.

    head: what was received already. path: the only one at which there is a WebSocket; "/": at any. Returns None where
    the connection is over: the answer to the last request has been sent. Has no deadline of its own.
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


async def _request(stream: RequestStream, head: bytes) -> tuple[Head | None, bytes]:
    """Read the next request's head and what came behind it; None at the end of the stream."""
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
            continue  # nginx passes over what is no header
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
    """Read and forget the request's body, and return what follows it."""
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
    """Return a page that says the HTTP `status`, as nginx writes it; `body` False: its head only. stays: another
    request may follow on the connection.
    """
    from email.utils import formatdate  # takes a while to import

    page = _PAGE.format(status, _REASONS[status]).encode("ascii")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: nginx\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: text/html\r\nContent-Length: {len(page)}\r\n"
        f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + (page if body else b"")
