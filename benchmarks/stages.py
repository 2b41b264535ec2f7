"""What each stage of a message costs at both nodes and at a relay: `python -m benchmarks.stages [NAME …]`.

round-trips  by a direct link, one at a time
flood        by a direct link, as fast as they go
circuit      round trips by a relay
mail         messages that are deposited at two relays, and then collected
file         MB of a file by a direct link, which is cut before

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import trio

from benchmarks import relayed
from benchmarks.files import made_file
from benchmarks.measures import flood
from benchmarks.people import Line, Person, Program, befriend, people
from benchmarks.relayed import wait_until

STAGED = Program(module="benchmarks.staged")
NAMES = ("round-trips", "flood", "circuit", "mail", "file")
WARM_UP = 30
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


def spent(process: Process) -> Spent:
    """Ask a process for what it has used so far."""
    process.file.unlink(missing_ok=True)
    os.kill(process.pid, signal.SIGUSR1)
    until = time.monotonic() + WITHIN_SECONDS
    while not process.file.exists():
        if time.monotonic() > until:
            raise TimeoutError("a process does not answer")
        time.sleep(0.01)
    said: dict[str, Any] = json.loads(process.file.read_text())
    stages = {name: (calls, took / 1000) for name, (calls, took) in said["stages"].items()}
    return Spent(said["cpu"] / 1000, *_written(process.pid), stages)


class Process(NamedTuple):
    """One that runs with the stopwatch, and the file that it writes."""

    pid: int
    file: Path


def node(person: Person) -> Process:
    """The process of somebody's node."""
    assert person.process is not None
    return Process(person.process.pid, Path(person.environment["P2PCHAT_STAGES"]))


def measure(title: str, count: int, processes: dict[str, Process], run: Callable[[], object]) -> None:
    """Print a table of what each of the processes spends on one message of `count` while `run` does all of them."""
    before = {name: spent(process) for name, process in processes.items()}
    run()
    time.sleep(1)  # what rides on a later commit
    for name, process in processes.items():
        show(f"{title}, {name}", count, spent(process).since(before[name]))


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


def direct(names: Sequence[str], count: int, flooded: int) -> None:
    """Measure round trips and a flood over a direct link, as far as they are named."""
    with people("alice", "bob", program=STAGED) as (alice, bob):
        befriend(alice, bob)
        round_trips(bob, WARM_UP)
        both = {"sender": node(bob), "receiver": node(alice)}
        if "round-trips" in names:
            measure("round trip", count, both, lambda: round_trips(bob, count))
        if "flood" in names:
            measure("flood", flooded, both, lambda: flood(bob, flooded))


def by_relay(names: Sequence[str], count: int, waiting: int) -> None:
    """Measure round trips over a circuit, and messages that are deposited and collected, as far as they are named."""
    relayed.MESSAGES = waiting
    with relayed.two_with_relays(2, STAGED) as (alice, bob, relays):
        relayed.meet(alice, bob)
        places = {f"relay {number}": Process(at.process.pid, at.stages) for number, at in enumerate(relays, 1)}
        if "circuit" in names:
            relayed.wait_for_route(bob, "circuit")
            round_trips(bob, WARM_UP)
            all_of_them = {"sender": node(bob), "receiver": node(alice), **places}
            measure("circuit", count, all_of_them, lambda: round_trips(bob, count))
        if "mail" in names:
            alice.stop()
            texts = [f"waiting {number}" for number in range(waiting)]
            measure(
                "deposited", waiting, {"sender": node(bob), **places}, lambda: trio.run(relayed.deposit, bob, texts)
            )
            bob.stop()
            alice.start()
            collector = {"receiver": node(alice), **places}
            measure("collected", waiting, collector, lambda: relayed.wait_for_last(alice, texts[-1]))


def file(megabytes: int) -> None:
    """Measure a file over a direct link."""
    with people("alice", "bob", program=STAGED) as (alice, bob), made_file(1_000_000 * megabytes) as folder:
        befriend(alice, bob)
        round_trips(bob, WARM_UP)
        with Line(alice) as one, Line(bob) as two:
            two.call("settings", fetch_up_to=0)
            one.call("send_file", chat="bob", path=str(folder / "source"))
            wait_until(lambda: bool(two.call("files", chat="alice", limit=1)))
            id = two.call("files", chat="alice", limit=1)[0]["id"]

            def fetch() -> None:
                two.call("fetch_file", id=id)
                wait_until(lambda: two.call("files", chat="alice", limit=1)[0]["file"]["state"] == "here", 0.1)

            measure("file, for a MB", megabytes, {"sender": node(alice), "recipient": node(bob)}, fetch)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all where none is given")
    parser.add_argument("--trips", type=int, default=300)
    parser.add_argument("--flood", type=int, default=3000)
    parser.add_argument("--waiting", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=300)
    given = parser.parse_args()
    names = given.names or NAMES
    if unknown := set(names).difference(NAMES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    if set(names) & {"round-trips", "flood"}:
        direct(names, given.trips, given.flood)
    if set(names) & {"circuit", "mail"}:
        by_relay(names, given.trips, given.waiting)
    if "file" in names:
        file(given.megabytes)


if __name__ == "__main__":
    main()
