"""A flood of a kind, from so many connections: `python -m benchmarks.strangers`, which `benchmarks.attack` starts."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from benchmarks.lean import (
    DATA,
    MULTISTREAM,
    PING,
    RST,
    SYN,
    UPDATE,
    Closed,
    Conn,
    Mail,
    data_frame,
    head,
    mail_frame,
    named,
    push,
    tcp,
    websocket,
)
from p2pchat.core import logs, mailbox
from p2pchat.core.channels import frames
from p2pchat.core.channels.frames import NEWEST, FeedGet, FeedPut
from p2pchat.core.channels.posts import FeedHead, encode_head, make_head, own_feed
from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.logs import LogKeys, LogRead, LogRole, OpenLog
from p2pchat.core.names import FEED
from p2pchat.core.primitives import sign_public


def _masked(data: bytes, first: int = 0x82) -> bytes:
    """A short WebSocket frame of a client whose mask is zeros."""
    return bytes((first, 0x80 | len(data), 0, 0, 0, 0)) + data


def heads(count: int) -> Iterator[tuple[bytes, FeedHead]]:
    """Heads of so many channels that were made up, each with the seed of its channel."""
    for _ in range(count):
        seed = os.urandom(32)
        yield seed, make_head(seed, own_feed(sign_public(seed)), 0, bytes(32), 1)


KEYS = LogKeys(bytes(32), bytes(32), bytes(32))
MADE_UP = KEYS.log
"""A log that the attacker has made up."""
WEB = {
    "ws-empty": _masked(b"") * 10_000,
    "ws-ping": _masked(b"", 0x89) * 10_000,
    "ws-bytes": _masked(b"\0") * 9_000,
}
"""Over WebSocket, before any handshake."""
PLAIN = {
    "window": head(UPDATE, 0, 1001, 1) * 5_400,
    "data-empty": head(DATA, 0, 1001, 0) * 5_400,
    "data-bytes": data_frame(1001, b"x") * 5_000,
    "yamux-ping": head(PING, SYN, 0, 7) * 5_400,
    "big": data_frame(1001, bytes(64_000)),
}
"""The same again and again, after the handshake."""
ONE_STREAM = {
    "ls": b"\x03ls\n" * 8_000,
    "mail-ping": mail_frame(mailbox.PING, b"") * 10_000,
    "mail-fetch": mail_frame(mailbox.FETCH, mailbox.encode_fetch(1, 512, [(0, 0)])) * 500,
    "file-have": mail_frame(mailbox.HAVE, bytes(6 + 256 * 16)) * 12,
    "log-open": b"".join(
        mail_frame(mailbox.OPEN_LOG, logs.encode_open_log(OpenLog(handle, LogRole.READ, MADE_UP, bytes(64))))
        for handle in range(2, mailbox.MAX_HANDLES)
    ),
    "log-read": b"".join(
        mail_frame(mailbox.READ, logs.encode_read(LogRead(1, 1, want, bool(want), 0))) for want in (512, 0)
    )
    * 1_000,
    "feed-get": b"".join(
        mail_frame(frames.GET, frames.encode_get(FeedGet(1, own_feed(os.urandom(32)), NEWEST, 256, watch=True)))
        for _ in range(500)
    ),
    "feed-head": b"".join(
        mail_frame(frames.PUT_HEAD, frames.encode_put(FeedPut(1, own_feed(sign_public(seed)), encode_head(head))))
        for seed, head in heads(200)
    ),
}
"""On one stream, as fast as it is taken."""
HANDSHAKES = ("connect", "half", "full")
RELAY = [*WEB, "noise-empty", *PLAIN, "syn-rst", *ONE_STREAM, "file-put", *HANDSHAKES]
NODE = ["noise-empty", *PLAIN, "syn-rst", "ls", "half", "full"]
SHORT_RELAY = ["ws-empty", "noise-empty", "window", "mail-ping", "file-put"]
SHORT_NODE = ["window"]


def attack(kind: str, port: int, source: str, until: float) -> None:
    """One connection's flood until then; made anew whenever it ends."""
    while time.monotonic() < until:
        with suppress(Closed, OSError, AssertionError):
            _flood(kind, port, source, until)
        time.sleep(0.01)


def _flood(kind: str, port: int, source: str, until: float) -> None:
    if kind in ("connect", "half", *WEB):
        _flood_without_handshake(kind, port, source, until)
        return
    conn = Conn(port, source)
    try:
        if kind == "full":
            return
        if kind == "file-put":
            box = Mail(conn, mailbox.TO_PUT, mailbox.FILES)
            while time.monotonic() < until:
                box.put(BLOB_BYTES)
            return
        stream = _stream_for(kind, conn)
        number = 1001
        while time.monotonic() < until:
            if kind == "noise-empty":
                push(conn.sock, b"".join(conn.sealed(b"") for _ in range(50)), until)
            elif kind == "syn-rst":
                numbers = range(number, number + 4_000, 2)
                number += 4_000
                flood = b"".join(head(UPDATE, SYN, one, 0) + head(UPDATE, RST, one, 0) for one in numbers)
                push(conn.sock, conn.sealed(flood), until)
            else:
                flood = PLAIN[kind] if kind in PLAIN else data_frame(stream, ONE_STREAM[kind])
                push(conn.sock, conn.sealed(flood), until)
    finally:
        conn.close()


def _stream_for(kind: str, conn: Conn) -> int:
    if kind == "file-have":
        box = Mail(conn, mailbox.TO_PUT, mailbox.FILES)
        box.put(BLOB_BYTES)
        return box.stream
    if kind.startswith("log"):
        mail = Mail(conn, mailbox.TO_FETCH)
        mail.read_log(KEYS)
        return mail.stream
    if kind.startswith("feed"):
        return conn.open(FEED)
    if kind.startswith("mail"):
        return Mail(conn, mailbox.TO_FETCH).stream
    return conn.open() if kind in ONE_STREAM else 0


def _flood_without_handshake(kind: str, port: int, source: str, until: float) -> None:
    sock = websocket(port, source) if kind in WEB else tcp(port, source)
    try:
        if kind == "half":  # the other end computes and signs; this one does nothing
            sock.sendall(MULTISTREAM + named("/noise") + b"\0\x20" + os.urandom(32))
            got = 0
            while got < 200 and (some := sock.recv(4096)):
                got += len(some)
        while kind in WEB and time.monotonic() < until:
            push(sock, WEB[kind], until)
    finally:
        sock.close()


def main() -> None:
    """KIND PORT SOURCE CONNECTIONS SECONDS: say `flooding` when it begins."""
    kind, port, source, count, seconds = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    threads = [
        threading.Thread(target=attack, args=(kind, int(port), source, until), daemon=True) for _ in range(int(count))
    ]
    for thread in threads:
        thread.start()
    print("flooding", flush=True)
    for thread in threads:
        thread.join(max(0.0, until + 1 - time.monotonic()))


if __name__ == "__main__":
    main()
