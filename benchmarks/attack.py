"""What an honest user notices while strangers flood a relay, or a person's node: `make attack`.

A real relay and a real node on this machine. The attacker comes from 127.0.0.2, the honest user from 127.0.0.1; each is
measured in peace and under every flood, from one connection and from many. Ends with 1 where a bar is missed.

new      a new connection: to the relay with its first deposit, to the node with its first answer
put      a deposit on a connection that is there
health   the relay's /healthz; at the node: a call of a face
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import cpu_seconds, percentile
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
from benchmarks.people import people
from p2pchat.core import mailbox as words

ATTACKER, HONEST = "127.0.0.2", "127.0.0.1"
MANY = 32
SETTLE = 0.3
"""Seconds a flood has before anything is measured."""
MAX_RATIO, MAX_NEW, MAX_HEALTH = 10.0, 1.0, 0.2
"""How much longer a new connection may take than in peace, and seconds that it and a health check or call may take."""

# --- the attacker -------------------------------------------------------------------------------------------------


def _masked(data: bytes, first: int = 0x82) -> bytes:
    """A short WebSocket frame of a client whose mask is zeros."""
    return bytes((first, 0x80 | len(data), 0, 0, 0, 0)) + data


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
    "mail-ping": mail_frame(words.PING, b"") * 10_000,
    "mail-fetch": mail_frame(words.FETCH, words.encode_fetch(1, 512, [(0, 0)])) * 500,
}
"""On one stream, as fast as it is taken."""
HANDSHAKES = ("connect", "half", "full")
RELAY = [*WEB, "noise-empty", *PLAIN, "syn-rst", *ONE_STREAM, *HANDSHAKES]
NODE = ["noise-empty", *PLAIN, "syn-rst", "ls", "half", "full"]
SHORT_RELAY = ["ws-empty", "noise-empty", "window", "mail-ping"]
SHORT_NODE = ["window"]


def attack(kind: str, port: int, until: float) -> None:
    """One connection's flood until then; made anew whenever it ends."""
    while time.monotonic() < until:
        with suppress(Closed, OSError, AssertionError):
            _flood(kind, port, until)
        time.sleep(0.01)


def _flood(kind: str, port: int, until: float) -> None:
    if kind in ("connect", "half", *WEB):
        _flood_without_handshake(kind, port, until)
        return
    conn = Conn(port, ATTACKER)
    try:
        if kind == "full":
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
    if kind.startswith("mail"):
        return Mail(conn, words.TO_FETCH).stream
    return conn.open() if kind in ONE_STREAM else 0


def _flood_without_handshake(kind: str, port: int, until: float) -> None:
    sock = websocket(port, ATTACKER) if kind in WEB else tcp(port, ATTACKER)
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


def _be_attacker(kind: str, port: int, count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=attack, args=(kind, port, until), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 1 - time.monotonic()))


@contextmanager
def attacker(kind: str, count: int, port: int, seconds: float) -> Iterator[None]:
    """A process that floods for so long, or until the end of this context."""
    order = [kind, str(port), str(count), str(seconds)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.attack", "--be-attacker", *order])
    try:
        yield
    finally:
        process.kill()
        process.wait()


# --- the honest user ----------------------------------------------------------------------------------------------


@dataclass
class Times:
    """Seconds that each try took; what failed took for ever."""

    new: list[float] = field(default_factory=list)
    put: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    cpu: float = 0.0
    seconds: float = 0.0


def timed(into: list[float], do: Callable[[], object]) -> None:
    """Do it and note how long it took."""
    began = time.perf_counter()
    try:
        do()
    except (Closed, OSError, AssertionError):
        into.append(float("inf"))
    else:
        into.append(time.perf_counter() - began)


class Target:
    """What is attacked: its port, its process, and what an honest user does there."""

    name = ""
    port: int
    pid: int

    def come(self) -> None:
        """Connect anew and get a first answer."""
        raise NotImplementedError

    def put(self) -> None:
        """Use a connection that is there."""
        raise NotImplementedError

    def health(self) -> None:
        """Ask whether it is well."""
        raise NotImplementedError

    def measure(self, seconds: float) -> Times:
        """Do these for so long, each in a thread of its own."""
        times, until = Times(), time.monotonic() + seconds
        began, cpu = time.perf_counter(), cpu_seconds(self.pid)

        def again(into: list[float], do: Callable[[], object], pause: float) -> None:
            while time.monotonic() < until:
                timed(into, do)
                time.sleep(pause)

        doing = [(times.new, self.come, 0.1), (times.put, self.put, 0.05), (times.health, self.health, 0.05)]
        threads = [threading.Thread(target=again, args=one) for one in doing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times.cpu, times.seconds = cpu_seconds(self.pid) - cpu, time.perf_counter() - began
        return times


class RelayTarget(Target):
    """A relay with its metrics."""

    name = "relay"

    def __init__(self, process: subprocess.Popen[str], port: int, metrics: int) -> None:
        self.pid, self.port, self._metrics = process.pid, port, metrics
        self._mail: Mail | None = None

    def come(self) -> None:
        conn = Conn(self.port, HONEST)
        try:
            assert Mail(conn, words.TO_PUT).put() == words.DONE
        finally:
            conn.close()

    def put(self) -> None:
        try:
            if self._mail is None:
                self._mail = Mail(Conn(self.port, HONEST), words.TO_PUT)
            assert self._mail.put() == words.DONE
        except BaseException:
            self._mail = None
            raise

    def health(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/healthz", timeout=20) as answer:
            assert answer.read() == b"ok\n"


class NodeTarget(Target):
    """A person's node."""

    name = "node"

    def __init__(self, pid: int, port: int, call: Callable[[], object]) -> None:
        self.pid, self.port, self._call = pid, port, call

    def come(self) -> None:
        conn = Conn(self.port, HONEST)
        try:
            conn.read(conn.open("/ipfs/id/1.0.0"), 10)
        finally:
            conn.close()

    def put(self) -> None:
        time.sleep(0.2)  # there is no mailbox

    def health(self) -> None:
        self._call()


@contextmanager
def relay() -> Iterator[RelayTarget]:
    """A fresh relay; ended at the end."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-attack-") as place, socket.create_server((HONEST, 0)) as free:
        metrics = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "p2pchat", "--json", "relay", "--data", f"{place}/data"]
        command += ["--listen", "/ip4/127.0.0.1/tcp/0", "--metrics", f"{HONEST}:{metrics}"]
        log = Path(place, "log")
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            try:
                assert process.stdout is not None
                address = json.loads(process.stdout.readline())["addresses"][0]
                yield RelayTarget(process, int(address.split("/")[4]), metrics)
            finally:
                process.terminate()
                process.wait()


@contextmanager
def node() -> Iterator[NodeTarget]:
    """A fresh profile's node; ended at the end."""
    with people("alice") as (alice,), alice.client() as client:
        assert alice.process is not None
        status = client.call("status")
        port = int(next(one for one in status["addresses"] if "/tcp/" in one).split("/")[4])
        yield NodeTarget(alice.process.pid, port, lambda: client.call("status"))


# --- the table ----------------------------------------------------------------------------------------------------


def _shown(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds * 1000:.0f}"


def missed(times: Times, quiet: Times) -> list[str]:
    """Which bars were missed. What counts is the ninth of ten tries: this machine has other work too."""
    new, health = percentile(times.new, 0.9), percentile(times.health, 0.9)
    found = []
    if new > MAX_NEW or percentile(times.new, 0.5) > MAX_RATIO * percentile(quiet.new, 0.5):
        found.append("new")
    if health > max(MAX_HEALTH, 3 * percentile(quiet.health, 0.9)):
        found.append("health")
    return found


def _line(what: str, times: Times, quiet: Times, missing: list[str]) -> str:
    ratio = percentile(times.new, 0.5) / percentile(quiet.new, 0.5)
    columns = "".join(
        f"{_shown(percentile(one, 0.5)):>14}{_shown(max(one)):>7}" for one in (times.new, times.put, times.health)
    )
    return f"{what:14}{columns}{ratio:9.1f} x{100 * times.cpu / times.seconds:6.0f} %  {' '.join(missing)}"


def floods(target: Target, kinds: list[str], counts: tuple[int, ...], seconds: float) -> bool:
    """Measure under each flood, and in peace just before it, and print a line each; whether every bar was met."""
    good = True
    target.measure(0.5)
    for number, kind in enumerate(kinds):
        quiet = target.measure(0.5)
        if not number:
            print(_line(f"{target.name}: peace", quiet, quiet, []), flush=True)
        for count in counts:
            with attacker(kind, count, target.port, seconds + SETTLE + 5):
                time.sleep(SETTLE)
                times = target.measure(seconds)
            missing = missed(times, quiet)
            good = good and not missing
            print(_line(f"{kind} x {count}", times, quiet, missing), flush=True)
            time.sleep(0.2)
    return good


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few floods only")
    parser.add_argument("--seconds", type=float, default=0.8, help="how long each flood is measured")
    parser.add_argument("--only", nargs="+", help="these floods only")
    parser.add_argument("--be-attacker", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be_attacker:
        kind, port, count, seconds = given.be_attacker
        _be_attacker(kind, int(port), int(count), float(seconds))
        return

    def wanted(kinds: list[str]) -> list[str]:
        return [one for one in kinds if one in (given.only or kinds)]

    columns = "".join(f"{name + ': p50':>14}{'max':>7}" for name in ("new", "put", "health"))
    print(f"{'milliseconds':14}{columns}  new/peace    CPU  missed")
    with relay() as target:
        good = floods(target, wanted(SHORT_RELAY if given.short else RELAY), (1, MANY), given.seconds)
    with node() as person:
        good = floods(person, wanted(SHORT_NODE if given.short else NODE), (1, MANY), given.seconds) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
