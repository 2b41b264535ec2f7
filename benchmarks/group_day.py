"""A day of a group of 5,000 members in one process: `python -m benchmarks.group_day`.

`tests.support.group_day` says what happens, what is whole and what is scripted, and what is checked at the end: nothing
is lost or shown twice, whoever was removed reads nothing further, tables and the relays' stores are bounded. Time is
virtual. It takes about an hour of one core, most of it for the engines, which each follow every event of the group.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from tests.support.group_day import Day, DayFigures, GroupDay
from tests.support.world import World, run_world

MEMBERS, ENGINES, HOURS, CHANGES, MESSAGES = 4_950, 10, 24, 50, 80


def live(plan: GroupDay) -> DayFigures:
    """Let a day pass, and say what was seen in it."""
    found = list[DayFigures]()
    with tempfile.TemporaryDirectory() as place:

        async def main(world: World) -> None:
            found.append(await Day(world, Path(place), plan, lambda line: print(line, flush=True)).run())

        run_world(Path(place), main, seed=plan.seed)
    return found[0]


def main() -> None:
    """Let a day pass and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.group_day", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "--members", type=int, default=MEMBERS, help="at the beginning; 5,000 is the most there is room for"
    )
    parser.add_argument("--engines", type=int, default=ENGINES, help="whole ones")
    parser.add_argument("--hours", type=int, default=HOURS)
    parser.add_argument("--changes", type=int, default=CHANGES, help="how many are removed, and join, an hour")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="an hour")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.INFO)
    plan = GroupDay(given.members, given.engines, given.hours, given.changes, given.messages, seed=given.seed)
    seen = live(plan)
    print(
        f"{seen.removed} removed, {seen.joined} joined; {seen.members} members and {seen.epochs} epochs at the end;"
        f" {seen.opened} entries of new keys opened by scripted members"
    )
    print(
        f"{seen.written} messages; {seen.engines} whole engines have {seen.shown} of them, each once;"
        f" {seen.missed_before_removal} did not reach somebody who was removed later"
    )
    print(f"{seen.seconds:.0f} s, {seen.cpu_seconds:.0f} s of CPU")
    print("memory of all, MB: " + ", ".join(f"{when} {mb:.0f}" for when, mb in seen.resident.items()))
    print("logs at the relays, MB: " + ", ".join(f"{name} {size / 1e6:.0f}" for name, size in seen.relays.items()))
    for name, rows in seen.rows.items():
        print(f"rows of {name}: " + ", ".join(f"{table} {count:,}" for table, count in sorted(rows.items())))


if __name__ == "__main__":
    main()
