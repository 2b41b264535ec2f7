"""The same measure of this program and of another checkout's, by turns: `python -m benchmarks.beside CHECKOUT`.

Both have two nodes that run all the time, on loopback; the two programs take turns every few seconds, so whatever else
the machine does falls on both alike. CPU time says most where it is not quiet. CHECKOUT is a checkout, or a `git
worktree`, with a `.venv` of its own (`make .venv/run.stamp`).

round_trip_ms      `send` to its receipt on the sender's disk, one at a time: the median of each turn
round_trip_p99     the same, the slowest but one in a hundred
round_trip_cpu_ms  what both nodes burn for one
flood_per_s        messages a second, one way, with their receipts
flood_cpu_us       what both nodes burn for one message of those
ready_cpu_ms       what a node burns until it is ready (`--starts`, and the next)
idle_mb            its memory three seconds later
first_contact_ms   from an invite that is used to the receipt of the first message
first_contact_cpu  what both nodes burn for that, in ms
collect_s          10,000 that waited at a relay, from a node that is ready until all are there (`--collect`)
deposits_N_per_s   blobs a relay takes and hands on where N clients send or watch (`--relay`, and the next)
deposits_N_cpu_us  what the relay burns for one of them
deposits_N_kb      its memory for each client
returning_cpu_ms   what a relay burns for a client that comes back: the mean of a crowd of 300
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import cpu_seconds, percentile, resident_mb
from benchmarks.measures import Piece, Table, flood
from benchmarks.people import THIS, Line, Person, Program, befriend, people
from benchmarks.relay import crowded
from benchmarks.relayed import collect, meet, two_with_relays

IDLE_AFTER_SECONDS = 3.0
CROWDS = ((16, 1500, 128), (1000, 20, 8), (4000, 10, 8))
Values = dict[str, list[float]]
Pair = tuple[Person, Person]


def round_trips(pair: Pair, count: int) -> dict[str, float]:
    """`count` messages from bob to alice, one at a time."""
    with Line(pair[1]) as line:
        cpu, took = _cpu(pair), []
        for number in range(count):
            began = time.perf_counter()
            line.call("send", chat="alice", text=f"message {number}", wait="delivered")
            took.append((time.perf_counter() - began) * 1000)
    return {
        "round_trip_ms": statistics.median(took),
        "round_trip_p99": percentile(took, 0.99),
        "round_trip_cpu_ms": (_cpu(pair) - cpu) / count * 1000,
    }


def floods(pair: Pair, count: int) -> dict[str, float]:
    """`count` messages from bob to alice, as fast as they go."""
    cpu = _cpu(pair)
    rate = flood(pair[1], count)
    return {"flood_per_s": rate, "flood_cpu_us": (_cpu(pair) - cpu) / count * 1e6}


def alternate(programs: list[Program], rounds: int, trips: int, flooded: int) -> list[Values]:
    """Round trips and floods of each program, `rounds` times by turns."""
    values: list[Values] = [{} for _ in programs]
    with ExitStack() as stack:
        pairs: list[Pair] = []
        for program in programs:
            alice, bob = stack.enter_context(people("alice", "bob", program=program))
            befriend(alice, bob)
            round_trips((alice, bob), 20)
            pairs.append((alice, bob))
        for measure, count in ((round_trips, trips), (floods, flooded)):
            _take_turns(values, pairs, measure, count, rounds if count else 0)
    return values


def starts(programs: list[Program], rounds: int) -> list[Values]:
    """How two nodes start, idle and meet, with each program `rounds` times by turns."""
    values: list[Values] = [{} for _ in programs]
    for turn in range(rounds):
        for number in _order(turn, len(programs)):
            for name, value in _start(programs[number]).items():
                values[number].setdefault(name, []).append(value)
    return values


def _start(program: Program) -> dict[str, float]:
    with people("alice", "bob", program=program) as (alice, bob):
        time.sleep(IDLE_AFTER_SECONDS)
        both = [person.process.pid for person in (alice, bob) if person.process]
        idle, cpu = statistics.mean(map(resident_mb, both)), _cpu((alice, bob))
        with Line(alice) as one, Line(bob) as two:
            invite = one.call("invite")["invite"]
            began = time.perf_counter()
            two.call("add", invite=invite, name="alice")
            two.call("send", chat="alice", text="hello", wait="delivered")
            took = time.perf_counter() - began
        return {
            "ready_cpu_ms": statistics.mean((alice.ready_cpu_s, bob.ready_cpu_s)) * 1000,
            "idle_mb": idle,
            "first_contact_ms": took * 1000,
            "first_contact_cpu": (_cpu((alice, bob)) - cpu) * 1000,
        }


def _take_turns(
    values: list[Values], pairs: list[Pair], measure: Callable[[Pair, int], dict[str, float]], count: int, rounds: int
) -> None:
    for turn in range(rounds):
        for number in _order(turn, len(pairs)):
            for name, value in measure(pairs[number], count).items():
                values[number].setdefault(name, []).append(value)


def collected(programs: list[Program], rounds: int) -> list[Values]:
    """`collect_s` of each program, `rounds` times by turns."""
    values: list[Values] = [{"collect_s": []} for _ in programs]
    for turn in range(rounds):
        for program, kept in zip(programs, values, strict=True):
            with two_with_relays(program=program) as (alice, bob, _):
                meet(alice, bob)
                kept["collect_s"].append(collect(alice, bob, turn))
    return values


def at_relays(programs: list[Program], rounds: int) -> list[Values]:
    """What relays of each program do, by turns."""
    values: list[Values] = [{} for _ in programs]
    for part in (*(deposited(programs, rounds, crowd) for crowd in CROWDS), returned(programs, rounds)):
        for kept, more in zip(values, part, strict=True):
            kept.update(more)
    return values


def deposited(programs: list[Program], rounds: int, crowd: tuple[int, int, int]) -> list[Values]:
    """Deposits of a crowd, by turns: clients, deposits of each sender, and of these under way.

    Both relays have their clients all the time: connecting thousands takes far longer than what they deposit.
    """
    values: list[Values] = [{} for _ in programs]
    clients, each, window = crowd
    with ExitStack() as stack:
        relays = [stack.enter_context(crowded(clients, program)) for program in programs]
        for there in relays:
            there.burst(each, window)  # what is looked up and compiled once
        for turn in range(rounds):
            for number in _order(turn, len(programs)):
                burst, kept = relays[number].burst(each, window), values[number]
                for name, value in (("per_s", burst.per_s), ("cpu_us", burst.cpu_us), ("kb", relays[number].kb)):
                    kept.setdefault(f"deposits_{clients}_{name}", []).append(value)
    return values


def returned(programs: list[Program], rounds: int) -> list[Values]:
    """`returning_cpu_ms` of each program, by turns."""
    values: list[Values] = [{} for _ in programs]
    for turn in range(rounds):
        for number in _order(turn, len(programs)):
            values[number].setdefault("returning_cpu_ms", []).append(returning(programs[number]))
    return values


def _order(turn: int, programs: int) -> list[int]:
    """Who goes first changes with each turn."""
    numbers = list(range(programs))
    return numbers if turn % 2 == 0 else numbers[::-1]


def returning(program: Program, clients: int = 300) -> float:
    """`returning_cpu_ms`. (The crowd is that of this checkout for both; it needs nothing but the mailbox's words.)"""
    command = [program.command[0], str(Path(__file__).with_name("returning.py")), "--clients", str(clients)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        command, cwd=program.folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return float(json.loads(run.stdout)["back_ms_each"])


def _cpu(pair: Pair) -> float:
    return sum(cpu_seconds(person.process.pid) for person in pair if person.process is not None)


def pieces(checkout: Path) -> dict[str, Piece]:
    """Return what `python -m benchmarks` can measure beside a checkout, piece by piece."""
    programs = [THIS, Program(checkout.resolve())]

    def talks(table: Table, runs: int) -> None:
        _add(table, *alternate(programs, 2 * runs + 1, 150, 3000))

    def relays(table: Table, runs: int) -> None:
        for crowd in CROWDS:
            _add(table, *deposited(programs, runs, crowd))

    def comers(table: Table, runs: int) -> None:
        _add(table, *returned(programs, max(1, runs - 1)))

    def collecting(table: Table, runs: int) -> None:
        _add(table, *collected(programs, max(1, runs - 1)))

    def starting(table: Table, runs: int) -> None:
        _add(table, *starts(programs, runs))

    return {
        "beside-talks": Piece(talks, 150),
        "beside-relays": Piece(relays, 300),
        "beside-returning": Piece(comers, 120),
        "beside-collect": Piece(collecting, 180),
        "beside-starts": Piece(starting, 120),
    }


def _add(table: Table, ours: Values, theirs: Values) -> None:
    for name, mine in ours.items():
        ratios = [round(one / other, 3) for one, other in zip(mine, theirs[name], strict=True)]
        there = f"the other checkout: {statistics.median(theirs[name]):.4g}"
        row = {"name": f"beside_{name}", "value": round(statistics.median(mine), 3), "unit": _unit(name)}
        table.rows.append(row | {"baseline": there, "ratio": round(statistics.median(ratios), 3), "runs": ratios})


def _unit(name: str) -> str:
    words = name.split("_")
    known = [word for word in words if word in ("ms", "us", "kb", "mb")]
    if known:
        return {"kb": "kB", "mb": "MB"}.get(known[0], known[0])
    return "1/s" if words[-2:] == ["per", "s"] else "ms" if words[-1] in ("p99", "cpu") else words[-1]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("checkout", type=Path, help="the other checkout, with a .venv")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--trips", type=int, default=150, help="round trips in a turn, 0 for none")
    parser.add_argument("--flood", type=int, default=3000, help="messages of a flood in a turn, 0 for none")
    parser.add_argument("--starts", type=int, default=0, metavar="ROUNDS", help="start two nodes so often, by turns")
    parser.add_argument("--collect", type=int, default=0, metavar="ROUNDS", help="collect 10,000 so often, by turns")
    parser.add_argument("--relay", type=int, default=0, metavar="ROUNDS", help="measure relays so often, by turns")
    given = parser.parse_args()
    programs = [THIS, Program(given.checkout.resolve())]
    ours, theirs = alternate(programs, given.rounds, given.trips, given.flood) if given.rounds else ({}, {})
    for measure, times in ((starts, given.starts), (collected, given.collect), (at_relays, given.relay)):
        for kept, more in zip((ours, theirs), measure(programs, times) if times else ({}, {}), strict=True):
            kept.update(more)
    print(f"{'':18} {'here':>10} {'there':>10} {'ratio':>7}   by turns")
    for name, values in ours.items():
        ratios = sorted(one / other for one, other in zip(values, theirs[name], strict=True))
        medians = [statistics.median(some) for some in (values, theirs[name], ratios)]
        print("{:18} {:10.4g} {:10.4g} {:7.3f}   {:.3f} … {:.3f}".format(name, *medians, ratios[0], ratios[-1]))


if __name__ == "__main__":
    main()
