"""A pluggable transport for tests, in a process of its own: every byte XOR a key, which is an argument for clients.

python -m tests.support.pluggable [FAULT]

It speaks the language of managed transports (pt-spec), as client or as server. What it is asked to dial it writes to
`asked` in its folder, a JSON object a line. Without arguments it behaves; FAULTS says what else it can do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

KEY = 0x5A
NAME = "xor"
FAULTS: dict[str, bytes] = {
    "silent": b"",
    "dies": b"VERSION 1\n",
    "garbage": b"VERSION 1\n\xff\xfe\x00 \x1b[2J\n",
    "endless": b"VERSION 1\nCMETHOD " + b"x" * 100_000,
    "chatty": b"LOG SEVERITY=debug MESSAGE=hello\n" * 1000,
    "unversioned": b"CMETHOD xor socks5 127.0.0.1:9\nCMETHODS DONE\n",
    "version": b"VERSION 2\n",
    "no-version": b"VERSION-ERROR no-version\n",
    "environment": b"VERSION 1\nENV-ERROR no \x1b[2Jcolours\n",
    "refuses": b"VERSION 1\nCMETHOD-ERROR xor no rocks available\n",
    "other": b"VERSION 1\nCMETHOD rot13 socks5 127.0.0.1:9\nCMETHODS DONE\n",
    "socks4": b"VERSION 1\nCMETHOD xor socks4 127.0.0.1:9\nCMETHODS DONE\n",
    "public": b"VERSION 1\nCMETHOD xor socks5 192.0.2.1:9\nCMETHODS DONE\n",
    "named": b"VERSION 1\nCMETHOD xor socks5 localhost:9\nCMETHODS DONE\n",
    "no-port": b"VERSION 1\nCMETHOD xor socks5 127.0.0.1:0\nCMETHODS DONE\n",
    "proxy": b"VERSION 1\nPROXY-ERROR unsupported\n",
}
"""What it says in place of the truth; it then waits for its end, or ends if it `dies`."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def pump(source: socket.socket, target: socket.socket, key: int) -> None:
    table = bytes(byte ^ key for byte in range(256))
    try:
        while data := source.recv(65536):
            target.sendall(data.translate(table))
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def join(one: socket.socket, other: socket.socket, key: int) -> None:
    threading.Thread(target=pump, args=(one, other, key), daemon=True).start()
    pump(other, one, key)


def dial(client: socket.socket) -> None:
    """Serve one client of the SOCKS5 proxy."""
    exactly(client, exactly(client, 2)[1])
    client.sendall(b"\x05\x02")
    _, size = exactly(client, 2)
    user = exactly(client, size).decode()
    password = exactly(client, exactly(client, 1)[0]).decode()
    client.sendall(b"\x01\x00")
    kind = exactly(client, 4)[3]
    host = socket.inet_ntop(
        *((socket.AF_INET, exactly(client, 4)) if kind == 1 else (socket.AF_INET6, exactly(client, 16)))
    )
    port = int.from_bytes(exactly(client, 2), "big")
    asked = {"host": host, "port": port, "user": user, "password": password, "proxy": os.environ.get("TOR_PT_PROXY")}
    with (Path(os.environ["TOR_PT_STATE_LOCATION"]) / "asked").open("a") as file:
        file.write(json.dumps(asked) + "\n")
    key = user.partition(";")[0].removeprefix("key=")
    with socket.create_connection((host, port)) as there:
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        join(client, there, int(key, 16))


def serve(client: socket.socket) -> None:
    """Pass what one client says on to the program behind."""
    host, _, port = os.environ["TOR_PT_ORPORT"].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port))) as there:
        join(client, there, KEY)


def accept(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    def handled(client: socket.socket) -> None:
        with client:
            try:
                handle(client)
            except (OSError, EOFError, KeyError, ValueError):
                return

    while True:
        client, _ = listener.accept()
        threading.Thread(target=handled, args=(client,), daemon=True).start()


def main(fault: str = "") -> None:
    state = Path(os.environ["TOR_PT_STATE_LOCATION"])
    with (state / "started").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if fault in FAULTS:
        sys.stdout.buffer.write(FAULTS[fault])
        sys.stdout.buffer.flush()
        if fault != "dies":
            sys.stdin.read()
        return
    server = os.environ.get("TOR_PT_SERVER_TRANSPORTS") == NAME
    if not server:
        assert os.environ["TOR_PT_CLIENT_TRANSPORTS"] == NAME
    assert os.environ["TOR_PT_MANAGED_TRANSPORT_VER"] == os.environ["TOR_PT_EXIT_ON_STDIN_CLOSE"] == "1"
    if fault == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("VERSION 1")
    say("NOISE that nobody knows")
    if os.environ.get("TOR_PT_PROXY") and fault != "past-proxy":
        say("PROXY DONE")
    host, port = "127.0.0.1", 0
    if server:
        where = os.environ["TOR_PT_SERVER_BINDADDR"].removeprefix(f"{NAME}-")
        host, port = where.rpartition(":")[0], int(where.rpartition(":")[2])
    listener = socket.create_server((host, port))
    at = "{}:{}".format(*listener.getsockname())
    say(f"SMETHOD {NAME} {at} ARGS:key={KEY:x}" if server else f"CMETHOD {NAME} socks5 {at}")
    say("SMETHODS DONE" if server else "CMETHODS DONE")
    threading.Thread(target=accept, args=(listener, serve if server else dial), daemon=True).start()
    if fault == "stubborn":
        while True:
            signal.pause()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
