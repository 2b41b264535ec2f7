"""A relay's numbers: `python -m benchmarks.relay`. A real process, real clients in two others, on this machine's cores.

relay_deposits_per_s        4,096-byte blobs persisted, then pushed to a client that deletes them; 8 busy senders
relay_deposits_per_s_1000   the same with 1,000 clients connected, each sending and each watching
relay_kb_per_client         resident memory a connected client, over 1,000
relay_clients_512mb         how many were connected when the relay had 512 MB, of at most `--most`
relay_collect_10k_s         one client fetches and deletes 10,000 blobs of one queue
"""

from __future__ import annotations

import argparse
import gc
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
from p2pchat.core.mailbox import TO_FETCH, TO_PUT

SETTINGS = """
connections = 20000
connections_per_address = 20000
address_bytes = 1099511627776
puts_a_second = 1000000
puts_burst = 1000000
"""


@dataclass
class Relay:
    """A relay process."""

    process: subprocess.Popen[str]
    address: str

    @property
    def mb(self) -> float:
        return resident_mb(self.process.pid)

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)


@contextmanager
def relay() -> Iterator[Relay]:
    """A fresh relay."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as place:
        file = Path(place) / "relay.toml"
        file.write_text(SETTINGS)
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
        process = subprocess.Popen([sys.executable, "-m", "p2pchat", *words], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield Relay(process, json.loads(process.stdout.readline())["addresses"][0])
        finally:
            process.terminate()
            process.wait()


class Crowd:
    """Clients in a process of their own."""

    def __init__(self, at: Relay, role: int, names: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.mail"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.tell(relay=at.address, role=role, names=names)

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
            raise RuntimeError("a crowd of clients ended")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def deposits(count: int, each: int, window: int) -> dict[str, float]:
    """`count` senders, each to a watcher of its own."""
    with relay() as at, ExitStack() as stack:
        names = [f"queue {number}" for number in range(count)]
        base = at.mb
        crowds = [Crowd(at, role, names) for role in (TO_FETCH, TO_PUT)]
        for crowd in crowds:
            stack.callback(crowd.close)
        for crowd in crowds:
            crowd.hear()
        gc.collect()
        connected = at.mb
        cpu, began = at.cpu, time.perf_counter()
        crowds[0].tell(do="take", each=each)
        crowds[1].tell(do="deposit", each=each, window=window)
        for crowd in crowds:
            crowd.hear()
        took, total = time.perf_counter() - began, count * each
        return {
            "per_s": total / took,
            "relay_us": (at.cpu - cpu) / total * 1e6,
            "kb": (connected - base) * 1000 / (2 * count),
            "mb_after": at.mb,
        }


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


def clients(most: int, step: int = 500) -> tuple[int, float]:
    """(how many were connected within 512 MB, MB of the relay then)."""
    with relay() as at, ExitStack() as stack:
        connected, megabytes = 0, at.mb
        while connected < most:
            names = [f"queue {connected + number}" for number in range(step)]
            crowd = Crowd(at, TO_FETCH, names)
            stack.callback(crowd.close)
            crowd.hear()
            if at.mb > 512 * 1.048576:
                break
            connected, megabytes = connected + step, at.mb
        return connected, megabytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--most", type=int, default=4000, help="clients to connect at most (4000)")
    parser.add_argument("--only", choices=("few", "many", "collect", "clients"), help="measure one thing only")
    args = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    if args.only in (None, "few"):
        few = deposits(8, 4000, 128)
        print(f"relay_deposits_per_s       {few['per_s']:8.0f} /s   relay CPU {few['relay_us']:.0f} us each")
    if args.only in (None, "many"):
        many = deposits(500, 40, 8)
        print(f"relay_deposits_per_s_1000  {many['per_s']:8.0f} /s   relay CPU {many['relay_us']:.0f} us each")
        print(f"relay_kb_per_client        {many['kb']:8.1f} KB   {many['mb_after']:.0f} MB in all after the load")
    if args.only in (None, "collect"):
        print(f"relay_collect_10k_s        {collect(10_000):8.2f} s")
    if args.only in (None, "clients"):
        count, megabytes = clients(args.most)
        print(f"relay_clients_512mb        {count:8d}      {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
