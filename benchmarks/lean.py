"""A lean libp2p client by blocking sockets: multistream, Noise XX, Yamux, and the mailbox's frames, as fast as it gets.

An attacker needs no more, and an honest user measured with it is not measured with the program's own cost.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from noise.connection import Keypair, NoiseConnection

from p2pchat.core import logs, mailbox
from p2pchat.core.logs import LogKeys
from p2pchat.core.names import MAILBOX
from p2pchat.core.primitives import sign_public

MULTISTREAM = b"\x13/multistream/1.0.0\n"
DATA, UPDATE, PING = 0, 1, 2
SYN, RST = 1, 8
MAX_PLAIN = 65_000
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Closed(Exception):
    """The other end hung up."""


def named(protocol: str) -> bytes:
    """A message of multistream-select."""
    text = protocol.encode() + b"\n"
    return bytes((len(text),)) + text


def head(kind: int, flags: int, stream: int, length: int) -> bytes:
    """The head of a Yamux frame."""
    return struct.pack(">BBHII", 0, kind, flags, stream, length)


def data_frame(stream: int, data: bytes) -> bytes:
    """A Yamux frame with data."""
    return head(DATA, 0, stream, len(data)) + data


def mail_frame(kind: int, body: bytes) -> bytes:
    """A frame of the mailbox."""
    return (len(body) + 1).to_bytes(4, "big") + bytes((kind,)) + body


def tcp(port: int, source: str) -> socket.socket:
    """A connection to a port of this machine from one of its addresses, 10 s for each step."""
    sock = socket.socket()
    sock.settimeout(10)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def websocket(port: int, source: str) -> socket.socket:
    """The same, upgraded to a WebSocket."""
    sock, answer = tcp(port, source), b""
    sock.sendall(_UPGRADE)
    while b"\r\n\r\n" not in answer:
        some = sock.recv(4096)
        if not some:
            raise Closed
        answer += some
    return sock


def push(sock: socket.socket, data: bytes, until: float) -> None:
    """Write as much as the other end takes before `until`, and throw away what it says. Raises Closed, OSError."""
    left = memoryview(data)
    sock.setblocking(False)
    while left and time.monotonic() < until:
        readable, writable, _ = select.select([sock], [sock], [], 0.2)
        if readable and not sock.recv(1 << 16):
            raise Closed
        if writable:
            left = left[sock.send(left) :]


class Conn:
    """A connection over which Yamux is spoken. Raises Closed, OSError."""

    def __init__(self, port: int, source: str) -> None:
        self.sock = tcp(port, source)
        self._plain = b""
        self._raw = b""
        self._streams: dict[int, bytes] = {}
        self._next = 1
        try:
            self._shake_hands()
        except BaseException:
            self.sock.close()
            raise

    def close(self) -> None:
        """End it."""
        self.sock.close()

    def _shake_hands(self) -> None:
        self.sock.sendall(MULTISTREAM + named("/noise"))
        self._agreed(self._read_raw, "/noise")
        noise = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
        noise.set_as_initiator()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, os.urandom(32))
        noise.start_handshake()
        self._write_raw(bytes(noise.write_message()))
        noise.read_message(self._read_message())
        key = Ed25519PrivateKey.generate()
        static = noise.noise_protocol.keypairs["s"].public_bytes
        identity = b"\x08\x01\x12\x20" + key.public_key().public_bytes_raw()
        signature = key.sign(b"noise-libp2p-static-key:" + static)
        self._write_raw(bytes(noise.write_message(b"\x0a\x24" + identity + b"\x12\x40" + signature)))
        self._noise = noise
        self.send(MULTISTREAM + named("/yamux/1.0.0"))
        self._agreed(self._read_plain, "/yamux/1.0.0")

    def _agreed(self, read: object, protocol: str) -> None:
        assert callable(read)
        for expected in (MULTISTREAM, named(protocol)):
            if read(len(expected)) != expected:
                raise Closed

    def _write_raw(self, message: bytes) -> None:
        self.sock.sendall(len(message).to_bytes(2, "big") + message)

    def _read_raw(self, size: int) -> bytes:
        while len(self._raw) < size:
            some = self.sock.recv(1 << 16)
            if not some:
                raise Closed
            self._raw += some
        data, self._raw = self._raw[:size], self._raw[size:]
        return data

    def _read_message(self) -> bytes:
        return self._read_raw(int.from_bytes(self._read_raw(2), "big"))

    def _read_plain(self, size: int) -> bytes:
        while len(self._plain) < size:
            self._plain += self._noise.decrypt(self._read_message())
        data, self._plain = self._plain[:size], self._plain[size:]
        return data

    def sealed(self, data: bytes) -> bytes:
        """Noise messages that hold `data`, each with its length; one that holds nothing for nothing."""
        pieces = [data[start : start + MAX_PLAIN] for start in range(0, len(data), MAX_PLAIN)] or [b""]
        made = [self._noise.encrypt(piece) for piece in pieces]
        return b"".join(len(one).to_bytes(2, "big") + one for one in made)

    def send(self, data: bytes) -> None:
        """Seal and write all of it."""
        self.sock.sendall(self.sealed(data))

    def open(self, protocol: str = "") -> int:
        """Begin a stream and agree on a protocol, or on none."""
        stream = self._next
        self._next += 2
        self._streams[stream] = b""
        asked = MULTISTREAM + (named(protocol) if protocol else b"")
        self.send(head(UPDATE, SYN, stream, 0) + data_frame(stream, asked))
        if protocol:
            self._agreed(lambda size: self.read(stream, size), protocol)
        return stream

    def read(self, stream: int, size: int) -> bytes:
        """So many bytes of a stream."""
        while len(self._streams[stream]) < size:
            _, kind, _, number, length = struct.unpack(">BBHII", self._read_plain(12))
            data = self._read_plain(length) if kind == DATA else b""
            self._streams[number] = self._streams.get(number, b"") + data
        data, self._streams[stream] = self._streams[stream][:size], self._streams[stream][size:]
        return data


class Mail:
    """A stream of the mailbox, with one queue, or a file box by its `flags`, opened under the handle 0."""

    def __init__(self, conn: Conn, role: int, flags: int = 0) -> None:
        self.conn = conn
        self.stream = conn.open(MAILBOX)
        self._number = 0
        kind, body = self._frame()
        assert kind == mailbox.HELLO
        self.hello = hello = mailbox.decode_hello(body)
        fetch, put = os.urandom(32), os.urandom(32)
        queue = mailbox.Queue(sign_public(fetch), sign_public(put), flags)
        signature = mailbox.sign_open(put if role == mailbox.TO_PUT else fetch, role, hello, queue)
        self._say(mailbox.OPEN, mailbox.encode_open(mailbox.Open(0, role, queue, signature)))
        while self._frame()[0] != mailbox.OPENED:
            pass

    def read_log(self, keys: LogKeys) -> None:
        """Open a log to read it, under the handle 1."""
        challenge = logs.sign_open_log(
            keys.fetch_seed, logs.LogRole.READ, self.hello.relay, self.hello.challenge, keys.log
        )
        self._say(mailbox.OPEN_LOG, logs.encode_open_log(logs.OpenLog(1, logs.LogRole.READ, keys.log, challenge)))
        while self._frame()[0] != mailbox.OPENED:
            pass

    def put(self, size: int = 4096) -> int:
        """Deposit so many bytes and wait for the result."""
        self._number += 1
        self._say(mailbox.PUT, mailbox.encode_put(mailbox.Put(self._number, 0, 1, 0, os.urandom(size))))
        while True:
            kind, body = self._frame()
            if kind == mailbox.RESULTS:
                return mailbox.decode_results(body)[0][1]

    def _say(self, kind: int, body: bytes) -> None:
        self.conn.send(data_frame(self.stream, mail_frame(kind, body)))

    def _frame(self) -> tuple[int, bytes]:
        size = int.from_bytes(self.conn.read(self.stream, 4), "big")
        body = self.conn.read(self.stream, size)
        return body[0], body[1:]
