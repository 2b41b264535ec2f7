"""What an honest user notices while strangers flood a relay, or a person's node: `make attack`.

A real relay and a real node on this machine. The honest user comes from 127.0.0.1, the attacker from another address of
the same /24 for each flood, 127.0.0.2 and so on: the worst neighbour, but for one who shares the address itself
(`--same-address`). The peace is measured once, while nothing else has ever come; then every flood is measured against
that peace, from one connection and from many.

The target has a core of its own, and the attacker yields to the honest user on the other one: what is measured is what
the target does, and not how this machine shares its cores.

new      a new connection: to the relay with its first deposit, to the node with its first answer
put      a deposit on a connection that is there
health   the relay's /healthz; at the node: a call of a face

Bars: the median and the ninth decile of `new` are at most ten times what they are in peace, no new connection takes
more than a second, no health check or call more than 0.2 s; on a machine that needs more than a tenth of these in peace
ten times that. What misses a bar is measured again, and why is printed, since this machine may have had other work; the
command ends with 1 where a bar is missed five times in a row.
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

from benchmarks.figures import cpu_seconds, percentile
from benchmarks.lean import Closed, Conn, Mail
from benchmarks.people import people
from benchmarks.strangers import NODE, RELAY, SHORT_NODE, SHORT_RELAY
from p2pchat.core import mailbox

HONEST = "127.0.0.1"
MANY = 32
TRIES = 5
WARM_UP_SECONDS, PEACE_SECONDS = 1.0, 3.0
"""Before the peace is measured, and in which it is: about 45 new connections."""
SETTLE_SECONDS = 0.3
"""That a flood has before anything is measured."""
IDLE_SHARE, MAX_IDLE_WAIT_SECONDS = 0.05, 3.0
"""Of a core, below which a target has done with the flood before; and how long it may take for that."""
MAX_RATIO, MAX_NEW_SECONDS, MAX_HEALTH_SECONDS = 10.0, 1.0, 0.2
"""How much longer a new connection may take than in peace, and what it and a health check or call may take where they
need no more than a tenth of that in peace.
"""
YIELDING = 19
"""The attacker's niceness."""


@contextmanager
def attacker(kind: str, connections: int, port: int, source: str, seconds: float) -> Iterator[None]:
    """A process that floods for so long, or until the end of this context."""
    order = [kind, str(port), source, str(connections), str(seconds)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.strangers", *order], stdout=subprocess.PIPE)
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, YIELDING)
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def core_of_its_own(pid: int) -> Iterator[None]:
    """Give a process one core, and this one and what it starts the others; nothing where there is one core only."""
    cores = os.sched_getaffinity(0)
    first, *others = sorted(cores)
    if not others:
        yield
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


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

    def remark(self) -> str:
        """What it says of itself after all of it."""
        return ""

    def wait_until_idle(self) -> None:
        """Wait until it has done with what came before."""
        until = time.monotonic() + MAX_IDLE_WAIT_SECONDS
        while time.monotonic() < until:
            cpu, pause = cpu_seconds(self.pid), 0.2
            time.sleep(pause)
            if cpu_seconds(self.pid) - cpu <= IDLE_SHARE * pause:
                return

    def measure(self, seconds: float) -> Times:
        """Do these for so long, each in a thread of its own."""
        times, until = Times(), time.monotonic() + seconds
        began, cpu = time.perf_counter(), cpu_seconds(self.pid)

        def again(into: list[float], do: Callable[[], object], pause: float) -> None:
            while time.monotonic() < until:
                timed(into, do)
                time.sleep(pause)

        doing = [(times.new, self.come, 0.05), (times.put, self.put, 0.05), (times.health, self.health, 0.05)]
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
            assert Mail(conn, mailbox.TO_PUT).put() == mailbox.DONE
        finally:
            conn.close()

    def put(self) -> None:
        try:
            if self._mail is None:
                self._mail = Mail(Conn(self.port, HONEST), mailbox.TO_PUT)
            assert self._mail.put() == mailbox.DONE
        except BaseException:
            self._mail = None
            raise

    def health(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/healthz", timeout=20) as answer:
            assert answer.read() == b"ok\n"

    def remark(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=20) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        found = [float(line[1]) for line in lines if line[0] == "p2pchat_relay_longest_turn_seconds"]
        return f"the longest turn of its loop lately: {1000 * found[0]:.0f} ms" if found else ""


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
    """Which bars were missed, and by what."""
    found = []
    for name, part in (("p50", 0.5), ("p90", 0.9)):
        ratio = percentile(times.new, part) / percentile(quiet.new, part)
        if ratio > MAX_RATIO:
            found.append(f"new {name} {ratio:.1f} x")
    if max(times.new) > max(MAX_NEW_SECONDS, MAX_RATIO * percentile(quiet.new, 0.9)):
        found.append(f"new {_shown(max(times.new))} ms")
    if max(times.health) > max(MAX_HEALTH_SECONDS, MAX_RATIO * percentile(quiet.health, 0.9)):
        found.append(f"health {_shown(max(times.health))} ms")
    return found


def _line(what: str, times: Times, quiet: Times, missing: list[str]) -> str:
    columns = "".join(
        "".join(f"{_shown(value):>7}" for value in (percentile(one, 0.5), percentile(one, 0.9), max(one)))
        for one in (times.new, times.put, times.health)
    )
    ratios = "".join(f"{percentile(times.new, part) / percentile(quiet.new, part):6.1f}" for part in (0.5, 0.9))
    cpu = f"{100 * times.cpu / times.seconds:5.0f} %"
    return f"{what:17}{columns}{ratios}{cpu}  {', '.join(missing)}"


def floods(target: Target, kinds: list[str], counts: tuple[int, ...], seconds: float, source: str = "") -> bool:
    """Measure in peace, once, and then under each flood, and print a line each; whether every bar was met.

    source: where all floods come from; "": each from an address of its own.
    """
    good = True
    target.measure(WARM_UP_SECONDS)
    target.wait_until_idle()
    quiet = target.measure(PEACE_SECONDS)
    print(_line(f"{target.name}: peace", quiet, quiet, []), flush=True)
    sources = (source or f"127.0.0.{number}" for number in count(2))
    for connections, kind in product(counts, kinds):
        for attempt in range(TRIES):
            target.wait_until_idle()
            with attacker(kind, connections, target.port, next(sources), seconds + SETTLE_SECONDS + 5):
                time.sleep(SETTLE_SECONDS)
                times = target.measure(seconds)
            missing = missed(times, quiet)
            print(_line(f"{kind} x {connections}", times, quiet, missing), flush=True)
            if not missing:
                break
            if attempt + 1 < TRIES:
                print(f"  missed: {', '.join(missing)}; measured again", flush=True)
        good = good and not missing
    print(target.remark(), flush=True)
    return good


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few floods only")
    parser.add_argument(
        "--same-address", action="store_true", help="the attacker shares the honest user's address; no bar fails"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each flood is measured")
    parser.add_argument("--only", nargs="+", help="these floods only")
    given = parser.parse_args()

    def wanted(kinds: list[str]) -> list[str]:
        return [one for one in kinds if one in (given.only or kinds)]

    columns = "".join(f"{name + ' p50':>7}    p90    max" for name in ("new", "put", "hlth"))
    print(f"{'milliseconds':17}{columns}  x p50 p90    CPU  missed")
    counts = (MANY,) if given.short else (1, MANY)
    source = HONEST if given.same_address else ""
    with relay() as target, core_of_its_own(target.pid):
        good = floods(target, wanted(SHORT_RELAY if given.short else RELAY), counts, given.seconds, source)
    with node() as person, core_of_its_own(person.pid):
        good = floods(person, wanted(SHORT_NODE if given.short else NODE), counts, given.seconds, source) and good
    sys.exit(0 if good or given.same_address else 1)


if __name__ == "__main__":
    main()
