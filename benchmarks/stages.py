"""What each stage of a message costs at both nodes, and a deposited one at its relay: `python -m benchmarks.stages`.

The nodes run with a stopwatch round the functions of each stage (`benchmarks.staged`): CPU time of a stage is without
that of the stages within it, and what is left of the process's own is the loop with everything else. The stopwatch
costs something itself, so the shares say more than the times; what a message costs without it says `benchmarks.beside`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from benchmarks import relayed
from benchmarks.measures import flood
from benchmarks.people import THIS, Line, Person, Program, befriend, people

STAGED = Program(module="benchmarks.staged")
WITHIN_SECONDS = 10.0


@dataclass
class Spent:
    """What a process has used: CPU in µs, bytes and calls of write, and by stage (calls, CPU in µs)."""

    cpu: float = 0.0
    written: int = 0
    writes: int = 0
    stages: dict[str, tuple[int, float]] = field(default_factory=dict)

    def since(self, before: Spent) -> Spent:
        """What was used between two of them."""
        stages = {}
        for name, (calls, took) in self.stages.items():
            calls_before, took_before = before.stages.get(name, (0, 0.0))
            stages[name] = calls - calls_before, took - took_before
        return Spent(self.cpu - before.cpu, self.written - before.written, self.writes - before.writes, stages)


def spent(person: Person) -> Spent:
    """Ask a node for what it has used so far."""
    assert person.process is not None
    file = Path(person.environment["P2PCHAT_STAGES"])
    file.unlink(missing_ok=True)
    os.kill(person.process.pid, signal.SIGUSR1)
    until = time.monotonic() + WITHIN_SECONDS
    while not file.exists():
        if time.monotonic() > until:
            raise TimeoutError("the node does not answer")
        time.sleep(0.01)
    said: dict[str, Any] = json.loads(file.read_text())
    stages = {name: (calls, took / 1000) for name, (calls, took) in said["stages"].items()}
    return Spent(said["cpu"] / 1000, *_written(person.process.pid), stages)


def _written(pid: int) -> tuple[int, int]:
    """Bytes and calls of write of a process, to disk and sockets (Linux: proc(5))."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    said = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return said["wchar"], said["syscw"]


def round_trips(bob: Person, count: int) -> None:
    """`count` messages to alice, one at a time."""
    with Line(bob) as line:
        for number in range(count):
            line.call("send", chat="alice", text=f"message {number}", wait="delivered")


def show(title: str, count: int, used: Spent) -> None:
    """Print a table for one message of `count`."""
    print(
        f"\n{title}: {used.cpu / count:.0f} us, {used.written / count / 1000:.1f} kB, {used.writes / count:.1f} writes"
    )
    rest = used.cpu - sum(took for _, took in used.stages.values())
    rows = [(name, calls, took) for name, (calls, took) in used.stages.items() if took > 0]
    rows.append(("the loop, and everything else", 0, rest))
    print(f"| {'stage':34} |   µs | calls | share |\n|{'-' * 36}|---:|---:|---:|")
    for name, calls, took in rows:
        times = f"{calls / count:5.1f}" if calls else "     "
        print(f"| {name:34} | {took / count:4.0f} | {times} | {100 * took / used.cpu:3.0f} % |")


def direct(trips: int, flooded: int) -> None:
    """Measure round trips and a flood over a direct link."""
    with people("alice", "bob", program=STAGED) as (alice, bob):
        befriend(alice, bob)
        round_trips(bob, 30)
        pair = {"sender": bob, "receiver": alice}
        for title, count, run in (("round trip", trips, round_trips), ("flood", flooded, flood)):
            before = {name: spent(person) for name, person in pair.items()}
            run(bob, count)
            time.sleep(1)  # what rides on a later commit
            for name, person in pair.items():
                show(f"{title}, {name}", count, spent(person).since(before[name]))


def deposited() -> None:
    """Measure what a message costs the relay that keeps it."""
    with relayed.two_with_relays(1, THIS) as (alice, bob, (relay,)):
        relayed.meet(alice, bob)
        alice.stop()
        pid = relay.process.pid
        before, (written, writes) = relay.cpu, _written(pid)
        trio.run(relayed._deposit, bob, [f"waiting {number}" for number in range(relayed.MESSAGES)])
        used = (relay.cpu - before) * 1e6
        after = _written(pid)
        show("deposit, relay", relayed.MESSAGES, Spent(used, after[0] - written, after[1] - writes))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--trips", type=int, default=300)
    parser.add_argument("--flood", type=int, default=3000)
    parser.add_argument("--relay", action="store_true", help="a deposited message too")
    given = parser.parse_args()
    with ExitStack() as stack:
        stack.callback(print)
        direct(given.trips, given.flood)
        if given.relay:
            deposited()


if __name__ == "__main__":
    main()
