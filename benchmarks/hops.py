"""What a second hop costs: `python -m benchmarks.hops` opens a mailbox and deposits in it by one hop and by two, by
turns, at two relays on loopback of which the second has named the first, and prints medians in ms and their ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from p2pchat.core.descriptors import open_descriptor
from p2pchat.core.mailbox import TO_PUT
from p2pchat.core.names import MAILBOX
from p2pchat.net import multiaddrs
from p2pchat.net.relays.lists import ask_list
from p2pchat.net.relays.reservations import RelayAccess
from tests.support.boxes import Keys, MailClient, blob
from tests.support.programs import LOOPBACK, host

TURNS = 30
DEPOSITS = 10


def _relay(folder: Path, others: str) -> tuple[subprocess.Popen[str], str]:
    """Start a relay; return it with its address."""
    folder.mkdir()
    settings = folder / "relay.toml"
    settings.write_text(f"others = [{others}]\n")
    words = ["relay", "--data", str(folder), "--listen", LOOPBACK, "--config", str(settings)]
    program = [sys.executable, "-m", "p2pchat", "--json", *words]
    running = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    return running, json.loads(running.stdout.readline())["addresses"][0]


async def _measure(first: str, second: str) -> None:
    (near, where), (far, direct) = multiaddrs.parse_full(first), multiaddrs.parse_full(second)
    listed: set[bytes] = set()
    while far not in listed:
        async with host() as asking:
            listed = {open_descriptor(raw).relay for raw in await ask_list(asking, near, RelayAccess((where,)))}
    ways = {1: direct, 2: multiaddrs.circuit(where, near)}
    opened: dict[int, list[float]] = {1: [], 2: []}
    deposited: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(TURNS):
        for hops, way in ways.items():
            async with host() as client:
                began = time.perf_counter()
                box = await MailClient(await client.open(far, [way], MAILBOX)).greeted()
                opened[hops].append(time.perf_counter() - began)
                await box.open(0, TO_PUT, Keys(f"{turn} {hops}"))
                for number in range(DEPOSITS):
                    began = time.perf_counter()
                    await box.put(0, blob(f"{turn} {hops} {number}"))
                    deposited[hops].append(time.perf_counter() - began)
    for what, took in (("open", opened), ("deposit", deposited)):
        one, two = (1000 * statistics.median(took[hops]) for hops in (1, 2))
        print(f"{what}: {one:.2f} ms by one hop, {two:.2f} by two: {two / one:.2f}")


def main() -> None:
    """Start both relays, measure, and end them."""
    with tempfile.TemporaryDirectory() as folder:
        first, near = _relay(Path(folder) / "first", "")
        second, far = _relay(Path(folder) / "second", json.dumps(near))
        try:
            trio.run(_measure, near, far)
        finally:
            for running in (first, second):
                running.terminate()
                running.wait()


if __name__ == "__main__":
    main()
