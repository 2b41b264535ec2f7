"""Reads one answer in HTTP/1.1 (RFC 9112), strictly: no redirection, no second answer, nothing compressed."""

from __future__ import annotations

import re
from typing import NamedTuple

from p2pchat.net.mapping.markup import MAX_BYTES

MAX_HEAD_BYTES = 16 * 1024
MAX_READ_BYTES = 2 * (MAX_HEAD_BYTES + MAX_BYTES)
"""Bytes of one answer, with the sizes of its chunks."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([2-5][0-9][0-9])(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)")
_LENGTH = re.compile(rb"[0-9]{1,7}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,5})[ \t]*(?:;[^\r\n]*)?\r\n")


class BadHttp(ValueError):
    """This is not HTTP, or more than this program reads."""


class HttpAnswer(NamedTuple):
    """An answer: its status, 200 to 599, and its body."""

    status: int
    body: bytes


def read_answer(said: bytes, *, ended: bool) -> HttpAnswer | None:
    """Return the answer with which `said` begins; None while it is not all there. ended: nothing more comes. Raises
    BadHttp.
    """
    head, separator, body = said.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD_BYTES or len(said) > MAX_READ_BYTES:
        raise BadHttp("too long")
    answer = _read(head, body, ended) if separator else None
    if answer is None and ended:
        raise BadHttp("cut off")
    return answer


def _read(head: bytes, body: bytes, ended: bool) -> HttpAnswer | None:
    line, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(line)
    headers = _headers(lines)
    if status is None:
        raise BadHttp("no status")
    code, length, coding = int(status[1]), headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if code in (204, 304):
        return HttpAnswer(code, b"")
    if coding is not None:
        if coding.lower() != b"chunked" or length is not None:
            raise BadHttp("an unknown coding")
        joined = _joined(body)
        return None if joined is None else HttpAnswer(code, joined)
    if length is not None:
        if not _LENGTH.fullmatch(length) or int(length) > MAX_BYTES:
            raise BadHttp("too long a body, or none")
        return HttpAnswer(code, body[: int(length)]) if len(body) >= int(length) else None
    if len(body) > MAX_BYTES:
        raise BadHttp("too long a body")
    return HttpAnswer(code, body) if ended else None


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadHttp("a header that is none")
        name, value = found[1].lower(), found[2].strip(b" \t")
        if name in _FRAMING and headers.get(name, value) != value:
            raise BadHttp("two headers that disagree")
        headers[name] = value
    return headers


_FRAMING = (b"content-length", b"transfer-encoding")


def _joined(body: bytes) -> bytes | None:
    """Return the body that these chunks make; None while the last one is missing."""
    pieces: list[bytes] = []
    at = length = 0
    while True:
        found = _CHUNK.match(body, at)
        if found is None:
            if len(body) - at > MAX_HEAD_BYTES or b"\r\n" in body[at:]:
                raise BadHttp("no chunk")
            return None
        size = int(found[1], 16)
        if not size:
            return b"".join(pieces)
        length += size
        if length > MAX_BYTES:
            raise BadHttp("too long a body")
        end = found.end() + size
        if len(body) < end + 2:
            return None
        if body[end : end + 2] != b"\r\n":
            raise BadHttp("no end of a chunk")
        pieces.append(body[found.end() : end])
        at = end + 2
