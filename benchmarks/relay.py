"""A relay's numbers: `python -m benchmarks.relay`. A real process, real clients in others, on this machine's cores.

relay_deposits_per_s        4,096-byte blobs persisted, then pushed to a client that deletes them; 8 busy senders
the table                   the same with 100, 1,000 and 4,000 clients, each of whom sends or watches
relay_clients_512mb         how many were connected when the relay had 512 MiB, of at most `--most`
relay_collect_10k_s         one client fetches and deletes 10,000 blobs of one queue

On a machine that does other work too, the CPU a deposit says more than deposits a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import cpu_seconds, resident_mb
from benchmarks.people import THIS, Program
from p2pchat.core.mailbox import TO_FETCH, TO_PUT

SETTINGS = """
connections = 20000
connections_per_address = 20000
address_bytes = 1099511627776
puts_a_second = 1000000
puts_burst = 1000000
"""


A_CROWD = 500
"""Clients in one process."""
WITHIN_MB = 512 * 1.048576


@dataclass
class Relay:
    """A relay process, with its folder."""

    process: subprocess.Popen[str]
    address: str
    data: str
    program: Program = THIS

    @property
    def stages(self) -> Path:
        """Where `benchmarks.staged` writes what it has spent."""
        return Path(self.data).with_name("stages")

    @property
    def mb(self) -> float:
        return resident_mb(self.process.pid)

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)

    def status(self) -> dict[str, Any]:
        """What `relay status` says."""
        words = [sys.executable, "-m", "p2pchat", "--json", "relay", "status", "--data", self.data]
        said: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        return said


@contextmanager
def relay(settings: str = SETTINGS, program: Program = THIS) -> Iterator[Relay]:
    """A fresh relay."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as place:
        file = Path(place) / "relay.toml"
        file.write_text(settings)
        words = [
            "relay",
            "--json",
            "--data",
            f"{place}/data",
            "--config",
            str(file),
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ]
        process = subprocess.Popen(
            [*program.command, *words],
            cwd=program.folder,
            env={**os.environ, "P2PCHAT_STAGES": f"{place}/stages"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            yield Relay(process, json.loads(process.stdout.readline())["addresses"][0], f"{place}/data", program)
        finally:
            process.terminate()
            process.wait()


class Helpers:
    """A process of `program` that runs a module of the measurements, and does what it is told."""

    def __init__(self, program: Program, module: str, **order: Any) -> None:
        self.process = subprocess.Popen(
            [program.command[0], "-m", module],
            cwd=program.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell(**order)

    def tell(self, **order: Any) -> None:
        """Write one order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for what it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the measurement ended")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Crowd(Helpers):
    """Clients in a process of their own, of the relay's checkout."""

    def __init__(self, at: Relay, role: int, names: list[str]) -> None:
        super().__init__(at.program, "benchmarks.mail", relay=at.address, role=role, names=names)


@dataclass(frozen=True)
class Load:
    """What so many clients cost. `mb`: resident after all of them sent at once, and `settled_mb` half a minute later;
    `idle_percent`: of a core, while nothing happens; `connect_ms`: CPU each."""

    clients: int
    per_s: float
    cpu_us: float
    kb: float
    mb: float
    settled_mb: float
    connect_ms: float
    idle_percent: float


@dataclass(frozen=True)
class Burst:
    """What happened while every sender deposited so many blobs: deposits a second, and the relay's CPU for each."""

    per_s: float
    cpu_us: float


@dataclass
class Crowded:
    """A relay with its clients connected. kb: its memory for each of them; connect_ms: its CPU."""

    at: Relay
    clients: int
    crowds: list[tuple[Crowd, Crowd]]
    kb: float
    connect_ms: float

    def burst(self, each: int, window: int) -> Burst:
        """Have every sender deposit `each` blobs with at most `window` under way, and every watcher take them."""
        cpu, began = self.at.cpu, time.perf_counter()
        for watchers, senders in self.crowds:
            watchers.tell(do="take", each=each)
            senders.tell(do="deposit", each=each, window=window)
        for crowd in (crowd for pair in self.crowds for crowd in pair):
            crowd.hear()
        total = self.clients // 2 * each
        return Burst(total / (time.perf_counter() - began), (self.at.cpu - cpu) / total * 1e6)


@contextmanager
def crowded(count: int, program: Program = THIS) -> Iterator[Crowded]:
    """A fresh relay with `count` clients, half of them senders, each to a watcher of its own."""
    with relay(program=program) as at, ExitStack() as stack:
        base, cpu = at.mb, at.cpu
        crowds = []
        for start in range(0, count // 2, A_CROWD):
            names = [f"queue {number}" for number in range(start, min(start + A_CROWD, count // 2))]
            pair = Crowd(at, TO_FETCH, names), Crowd(at, TO_PUT, names)
            for crowd in pair:
                stack.callback(crowd.close)
            for crowd in pair:
                crowd.hear()
            crowds.append(pair)
        yield Crowded(at, count, crowds, (at.mb - base) * 1000 / count, (at.cpu - cpu) / count * 1000)


def deposits(count: int, each: int, window: int, idle: float = 0.0, program: Program = THIS) -> Load:
    """Measure `count` clients. `idle`: seconds to watch them do nothing."""
    with crowded(count, program) as there:
        at = there.at
        time.sleep(idle)
        cpu, began = at.cpu, time.perf_counter()
        time.sleep(idle)
        idled = (at.cpu - cpu) / (time.perf_counter() - began)
        burst, loaded = there.burst(each, window), at.mb
        time.sleep(3.5 * idle)
        return Load(count, burst.per_s, burst.cpu_us, there.kb, loaded, at.mb, there.connect_ms, 100 * idled)


def collect(count: int) -> float:
    """Seconds until one client has fetched and deleted so many blobs."""
    with relay() as at, ExitStack() as stack:
        sender, reader = Crowd(at, TO_PUT, ["queue"]), Crowd(at, TO_PUT, ["another"])
        stack.callback(sender.close)
        stack.callback(reader.close)
        sender.hear()
        sender.tell(do="deposit", each=count, window=256)
        sender.hear()
        fetcher = Crowd(at, TO_FETCH, ["queue"])
        stack.callback(fetcher.close)
        fetcher.hear()
        fetcher.tell(do="collect", count=count)
        return float(fetcher.hear()["seconds"])


def clients(most: int) -> tuple[int, float]:
    """(how many were connected within 512 MiB, MB of the relay then); each has watched or sent ten blobs."""
    with relay() as at, ExitStack() as stack:
        connected, megabytes = 0, at.mb
        while connected < most:
            names = [f"queue {connected + number}" for number in range(A_CROWD // 2)]
            pair = [Crowd(at, role, names) for role in (TO_FETCH, TO_PUT)]
            for crowd in pair:
                stack.callback(crowd.close)
            for crowd in pair:
                crowd.hear()
            pair[0].tell(do="take", each=10)
            pair[1].tell(do="deposit", each=10, window=8)
            for crowd in pair:
                crowd.hear()
            if at.mb > WITHIN_MB:
                break
            connected, megabytes = connected + A_CROWD, at.mb
        return connected, megabytes


FEW = 16
CROWDS = ((100, 200), (1000, 40), (4000, 20))
"""Clients, and deposits of each."""
MOST = 6000


@dataclass(frozen=True)
class Relays:
    """The values of each run; those of the crowds are measured once."""

    few: list[Load]
    crowds: list[Load]


def measure(runs: int) -> Relays:
    """Deposits of few clients and of many."""
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    few = [deposits(FEW, 4000, 128) for _ in range(runs)]
    return Relays(few, [deposits(count, each, 8) for count, each in CROWDS])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--most", type=int, default=MOST, help=f"clients to connect at most ({MOST})")
    parser.add_argument("--only", choices=("few", "many", "collect", "clients"), help="measure one thing only")
    args = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    if args.only in (None, "few"):
        few = deposits(FEW, 4000, 128)
        print(f"relay_deposits_per_s       {few.per_s:8.0f} /s   relay CPU {few.cpu_us:.0f} us each", flush=True)
    if args.only in (None, "many"):
        print("clients  deposits/s  CPU a deposit  CPU a connect  KB a client  MB after the load, later  CPU idle")
        for count, each in CROWDS:
            load = deposits(count, each, 8, idle=10.0)
            print(
                f"{load.clients:7d} {load.per_s:11.0f} {load.cpu_us:11.0f} us {load.connect_ms:11.1f} ms"
                f" {load.kb:12.1f} {load.mb:18.0f} {load.settled_mb:6.0f} {load.idle_percent:8.1f} %",
                flush=True,
            )
    if args.only in (None, "collect"):
        print(f"relay_collect_10k_s        {collect(10_000):8.2f} s", flush=True)
    if args.only in (None, "clients"):
        count, megabytes = clients(args.most)
        print(f"relay_clients_512mb        {count:8d}      {megabytes:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
