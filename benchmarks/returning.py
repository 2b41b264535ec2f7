"""A crowd that comes back to a relay: `python benchmarks/returning.py [--clients 400] [--seconds 10] [--ws]`.

So many clients come to a relay, each with a mailbox stream on which it opens, reads and then watches eight queues. All
are cut off at once, and come back at once. Printed is one line of JSON: the CPU of the relay for each client that came
and came back, how long it took until all were there, and how many attempts a client made; a client gives up an attempt
after `--seconds`, 0: never.

It runs with whatever p2pchat its Python has installed, and needs nothing else of it than the words of the mailbox, so
that two checkouts can be compared in the same minutes: CHECKOUT/.venv/bin/python benchmarks/returning.py
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import base58
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.signing import SigningKey

from p2pchat.core import mailbox
from p2pchat.core.primitives import sign_public

SETTINGS = """
connections = 20000
connections_per_address = 20000
reservations = 20000
"""
QUEUES = 8
_MAILBOX = "/p2pchat/mailbox/1"  # of a relay without a token
_MULTISTREAM = b"\x13/multistream/1.0.0\n"
_NOISE = b"Noise_XX_25519_ChaChaPoly_SHA256"
_GATHER = 0.01
_STREAM = b"\0\0\0\1"


def _named(name: str) -> bytes:
    return bytes([len(name) + 1]) + name.encode() + b"\n"


class _Cipher:
    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def _nonce(self) -> bytes:
        self._count += 1
        return bytes(4) + (self._count - 1).to_bytes(8, "little")

    def seal(self, data: bytes, ad: bytes = b"") -> bytes:
        return self._aead.encrypt(self._nonce(), data, ad)

    def open(self, data: bytes, ad: bytes = b"") -> bytes:
        return self._aead.decrypt(self._nonce(), data, ad)


def _hkdf(chaining: bytes, secret: bytes) -> tuple[bytes, bytes]:
    pseudo = hmac.digest(chaining, secret, hashlib.sha256)
    one = hmac.digest(pseudo, b"\x01", hashlib.sha256)
    return one, hmac.digest(pseudo, one + b"\x02", hashlib.sha256)


class Client:
    """A libp2p client without libp2p, as far as a mailbox stream needs one. Nothing it is told is checked."""

    def __init__(self, number: int, relay: bytes) -> None:
        self._relay = relay
        self._identity = SigningKey(number.to_bytes(32, "big"))
        self._static = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"static %d" % number).digest())
        self._seeds = [hashlib.sha256(b"%d %d" % (number, each)).digest() for each in range(QUEUES)]
        self._queues = [mailbox.Queue(sign_public(seed), sign_public(seed[::-1])) for seed in self._seeds]
        self._socket: trio.SocketStream | None = None

    async def come(self, host: str, port: int, web: bool) -> None:
        """Connect, and watch the queues."""
        self._buffer, self._plain = bytearray(), bytearray()
        self._web = web
        self._socket = await trio.open_tcp_stream(host, port)
        if web:
            head = f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            await self._socket.send_all(head.encode())
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += await self._more()
            del self._buffer[: self._buffer.index(b"\r\n\r\n") + 4]
            self._wire, self._buffer = self._buffer, bytearray()
        await self._shake_hands()
        await self._watch()

    def leave(self) -> None:
        """Cut the connection."""
        if self._socket is not None:
            self._socket.socket.close()

    async def _more(self) -> bytes:
        assert self._socket is not None
        data = await self._socket.receive_some(65536)
        if not data:
            raise ConnectionError
        return bytes(data)

    async def _send(self, data: bytes) -> None:
        assert self._socket is not None
        if self._web:
            size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
            data = b"\x82" + size + bytes(4) + data  # a mask of zeros
        await self._socket.send_all(data)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if self._web:
                self._unframe(await self._more())
            else:
                self._buffer += await self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _unframe(self, data: bytes) -> None:
        self._wire += data
        while len(self._wire) >= 4:
            length, start = self._wire[1], 2
            if length == 126:
                length, start = int.from_bytes(self._wire[2:4], "big"), 4
            if len(self._wire) < start + length:
                return
            self._buffer += self._wire[start : start + length]
            del self._wire[: start + length]

    async def _shake_hands(self) -> None:
        await self._send(_MULTISTREAM + _named("/noise"))
        await self._take(len(_MULTISTREAM) + len(_named("/noise")))
        state = chaining = _NOISE

        def mix(data: bytes) -> bytes:
            return hashlib.sha256(state + data).digest()

        state = mix(b"")
        ours = X25519PrivateKey.generate()
        public = ours.public_key().public_bytes_raw()
        state = mix(public)
        state = mix(b"")
        await self._send(len(public).to_bytes(2, "big") + public)
        answer = await self._take(int.from_bytes(await self._take(2), "big"))
        theirs = X25519PublicKey.from_public_bytes(answer[:32])
        state = mix(answer[:32])
        chaining, key = _hkdf(chaining, ours.exchange(theirs))
        cipher = _Cipher(key)
        static = X25519PublicKey.from_public_bytes(cipher.open(answer[32:80], state))
        state = mix(answer[32:80])
        chaining, key = _hkdf(chaining, ours.exchange(static))
        cipher = _Cipher(key)
        cipher.open(answer[80:], state)
        state = mix(answer[80:])
        mine = self._static.public_key().public_bytes_raw()
        sealed = cipher.seal(mine, state)  # with the key of the message before, whose count goes on
        state = mix(sealed)
        chaining, key = _hkdf(chaining, self._static.exchange(theirs))
        signature = self._identity.sign(b"noise-libp2p-static-key:" + mine).signature
        payload = b"\x0a\x24\x08\x01\x12\x20" + bytes(self._identity.verify_key) + b"\x12\x40" + signature
        sealed += _Cipher(key).seal(payload, state)
        await self._send(len(sealed).to_bytes(2, "big") + sealed)
        out, into = _hkdf(chaining, b"")
        self._out, self._into = _Cipher(out), _Cipher(into)
        await self._say(_MULTISTREAM + _named("/yamux/1.0.0"))
        await self._hear(len(_MULTISTREAM) + len(_named("/yamux/1.0.0")))

    async def _say(self, data: bytes) -> None:
        sealed = self._out.seal(data)
        await self._send(len(sealed).to_bytes(2, "big") + sealed)

    async def _hear(self, size: int) -> bytes:
        while len(self._plain) < size:
            self._plain += self._into.open(await self._take(int.from_bytes(await self._take(2), "big")))
        heard = bytes(self._plain[:size])
        del self._plain[:size]
        return heard

    # --- Yamux, one stream, whose window is never used up

    async def _write(self, data: bytes, flags: int = 0) -> None:
        await self._say(bytes([0, 0]) + flags.to_bytes(2, "big") + _STREAM + len(data).to_bytes(4, "big") + data)

    async def _read(self, size: int) -> bytes:
        while len(self._stream) < size:
            head = await self._hear(12)
            length = int.from_bytes(head[8:], "big")
            if head[1] == 0:
                data = await self._hear(length)
                self._stream += data if head[4:8] == _STREAM else b""  # a host may ask who we are, on another stream
            elif head[1] == 2 and head[3] == 1:
                await self._say(b"\0\2\0\2\0\0\0\0" + head[8:])
        read = bytes(self._stream[:size])
        del self._stream[:size]
        return read

    async def _frame(self) -> tuple[int, bytes]:
        body = await self._read(int.from_bytes(await self._read(4), "big"))
        return body[0], body[1:]

    async def _until(self, kind: int) -> bytes:
        while True:
            found, body = await self._frame()
            if found == kind:
                return body

    async def _watch(self) -> None:
        self._stream = bytearray()
        await self._write(_MULTISTREAM + _named(_MAILBOX), flags=1)
        await self._read(len(_MULTISTREAM) + len(_named(_MAILBOX)))
        hello = mailbox.decode_hello(await self._until(mailbox.HELLO))
        assert hello.relay == self._relay
        said = b""
        for handle, (seed, queue) in enumerate(zip(self._seeds, self._queues, strict=True)):
            signature = mailbox.sign_open(seed, mailbox.TO_FETCH, hello, queue)
            said += _frame_of(
                mailbox.OPEN, mailbox.encode_open(mailbox.Open(handle, mailbox.TO_FETCH, queue, signature))
            )
        pairs = [(handle, 0) for handle in range(QUEUES)]
        await self._write(said + _frame_of(mailbox.FETCH, mailbox.encode_fetch(1, 512, pairs)))
        await self._until(mailbox.END)
        await self._write(_frame_of(mailbox.FETCH, mailbox.encode_fetch(2, 0, pairs)))
        await self._until(mailbox.END)


def _frame_of(kind: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body


async def _all_come(clients: list[Client], host: str, port: int, web: bool, seconds: float) -> tuple[float, int]:
    """How many seconds it took until all were there, and how many attempts that were."""
    attempts = 0

    async def come(client: Client) -> None:
        nonlocal attempts
        while True:
            attempts += 1
            with trio.move_on_after(seconds or math.inf):
                try:
                    await client.come(host, port, web)
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    await trio.sleep(_GATHER)
                else:
                    return
            client.leave()

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(come, client)
    return trio.current_time() - began, attempts


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _relay() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    with tempfile.TemporaryDirectory(prefix="p2pchat-returning-") as place:
        settings = Path(place) / "relay.toml"
        settings.write_text(SETTINGS)
        folder = ["--data", f"{place}/data", "--config", str(settings), "--listen", "/ip4/127.0.0.1/tcp/0"]
        command = [sys.executable, "-P", "-m", "p2pchat", "--json", "relay", *folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["addresses"][0].split("/")
        finally:
            process.kill()
            process.wait()


async def measure(count: int, seconds: float, web: bool) -> dict[str, object]:
    """Everything, as it is printed."""
    with _relay() as (process, address):
        host, port, relay = address[2], int(address[4]), base58.b58decode(address[6])[6:]
        clients = [Client(number, relay) for number in range(count)]
        found: dict[str, object] = {"clients": count}
        for name in ("first", "back"):
            before = _cpu(process.pid)
            took, attempts = await _all_come(clients, host, port, web, seconds)
            cpu = _cpu(process.pid) - before
            found |= {f"{name}_ms_each": round(1000 * cpu / count, 2), f"{name}_s": round(took, 2)}
            found |= {f"{name}_attempts": round(attempts / count, 3)}
            if name == "first":
                before = _cpu(process.pid)
                for client in clients:
                    client.leave()
                await _until_quiet(process.pid)
                found["cut_ms_each"] = round(1000 * (_cpu(process.pid) - before) / count, 2)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = await trio.to_thread.run_sync(process.wait)
        return found | {"sigterm_s": round(time.monotonic() - began, 2), "exit_code": code}


async def _until_quiet(pid: int) -> None:
    recent = [_cpu(pid)]
    while len(recent) < 4 or statistics.pvariance(recent[-4:]) > 0.0002:
        await trio.sleep(0.25)
        recent.append(_cpu(pid))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0, help="after which a client tries again; 0: never")
    parser.add_argument("--ws", action="store_true", help="by WebSocket")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(trio.run(measure, given.clients, given.seconds, given.ws)), flush=True)


if __name__ == "__main__":
    main()
