"""What a file costs in memory, and how soon it goes on after a kill: `python -m benchmarks.resumed`.

file_resume_s    the recipient's node is killed (SIGKILL) in the middle of 100 MB and started again: from when it is
                 ready until more has come than before; beside it, until a message of its own has its receipt
file_rss_mb      what the resident memory of a node rises by, at most, while a file of 600 MB goes; of both nodes the
                 one that rises by more

A real file would wear the disk, so the one for the memory is sparse.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import resident_mb
from benchmarks.people import Line, Person, befriend, two_people

RESUME_BYTES = 100_000_000
RSS_BYTES = 600_000_000
KILLED_AFTER = 0.2
"""The part of the file that has come when the node is killed."""
SAMPLE_SECONDS = 0.02
SECONDS_PER_GB = 100.0
"""More is no measurement any more."""


@dataclass
class Resumed:
    """What was measured. rss_before_mb: of the node that rose by more."""

    resume_s: list[float] = field(default_factory=list)
    message_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    rss_before_mb: list[float] = field(default_factory=list)


def measure(runs: int) -> Resumed:
    """Measure the going on so many times, and the memory once."""
    found = Resumed()
    with two_people() as (alice, bob), _sparse(RESUME_BYTES) as source:
        befriend(alice, bob)
        _fetch_all(bob)
        for _ in range(runs):
            found.resume_s.append(_resumed(alice, bob, source))
            found.message_s.append(_message_after_a_kill(bob))
    rise, before = memory(RSS_BYTES)
    found.rss_mb.append(rise)
    found.rss_before_mb.append(before)
    return found


def memory(size: int) -> tuple[float, float]:
    """What a node's memory rises by while a file of this size goes, and what it had before, both in MB."""
    with two_people() as (alice, bob), _sparse(size) as source:
        befriend(alice, bob)
        _fetch_all(bob)
        with Line(alice) as one, Line(bob) as two:
            one.call("send", chat="bob", text="is it warm there?", wait="delivered")
            pids = [person.process.pid for person in (alice, bob) if person.process is not None]
            before = [resident_mb(pid) for pid in pids]
            with _sampled(pids) as peaks:
                one.call("send_file", chat="bob", path=str(source))
                offered = _until(two, "offered", SECONDS_PER_GB, part=0)
                if offered["state"] == "offered":  # more than is fetched unasked
                    two.call("fetch_file", id=two.call("files", chat="alice", limit=1)[-1]["id"])
                _until(two, "here", SECONDS_PER_GB * max(1.0, size / 1e9))
    return max((peak - was, was) for peak, was in zip(peaks, before, strict=True))


@contextmanager
def _sampled(pids: list[int]) -> Iterator[list[float]]:
    """The highest resident memory of some processes in the block, in MB."""
    peaks, over = [0.0] * len(pids), threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            peaks[:] = [max(peak, resident_mb(pid)) for peak, pid in zip(peaks, pids, strict=True)]

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _resumed(alice: Person, bob: Person, source: Path) -> float:
    """Seconds from `ready` until more of the file has come."""
    with Line(alice) as one, Line(bob) as two:
        one.call("send_file", chat="bob", path=str(source))
        came = _until(two, "here", SECONDS_PER_GB, part=KILLED_AFTER)["progress"]
    if came == 1:
        raise RuntimeError("the file was whole before its recipient was killed")
    _kill(bob)
    began = time.perf_counter()
    with Line(bob) as two:
        _until(two, "here", SECONDS_PER_GB, part=came + 1e-9)
        took = time.perf_counter() - began
        _until(two, "here", SECONDS_PER_GB)
        two.call("cancel_file", id=two.call("files", chat="alice", limit=1)[-1]["id"])
    return took


def _message_after_a_kill(bob: Person) -> float:
    """Seconds from `ready` until a message has its receipt: what a link takes that is made anew."""
    _kill(bob)
    began = time.perf_counter()
    with Line(bob) as two:
        two.call("send", chat="alice", text="here again", wait="delivered")
    return time.perf_counter() - began


def _kill(bob: Person) -> None:
    """Kill his node, and start it again."""
    assert bob.process is not None
    bob.process.kill()
    bob.process.wait()
    bob.start()


def _fetch_all(bob: Person) -> None:
    with Line(bob) as two:
        two.call("settings", fetch_up_to=10_000)


def _until(two: Line, state: str, seconds: float, part: float = 1.0) -> Any:
    """Wait until the last file has this state, or so much of it has come; return its object."""
    until = time.monotonic() + seconds
    while True:
        rows = two.call("files", chat="alice", limit=1)
        if rows and (rows[-1]["file"]["state"] in (state, "here") or part <= rows[-1]["file"]["progress"] < 1):
            return rows[-1]["file"]
        if time.monotonic() > until:
            raise TimeoutError(f"the file has not come: {rows and rows[-1]}")
        time.sleep(0.01)


@contextmanager
def _sparse(size: int) -> Iterator[Path]:
    """A file of so many zeros that takes no room."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as place:
        source = Path(place) / "source"
        source.touch()
        os.truncate(source, size)
        yield source


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resumed", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gb", type=float, help="only the memory, while a file of so many GB goes")
    given = parser.parse_args()
    if given.gb:
        rise, before = memory(int(given.gb * 1e9))
        print(f"file_rss_mb: +{rise:.1f} MB, from {before:.1f} MB")
    else:
        print(measure(given.runs))


if __name__ == "__main__":
    main()
