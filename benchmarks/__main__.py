"""Measure everything, or some pieces, print a table, and write it into benchmarks/results.json.

A piece that is measured by itself replaces its own rows there, so a run may be divided into as many as one likes. Each
has a time limit of its own; one that fails, or takes longer, is named at the end, and the others are measured all the
same. `crowds` and `many` take minutes and have no bar: they are measured only where they are named.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import beside
from benchmarks.bars import BARS, judged
from benchmarks.measures import PIECES, SHORT, Piece, Table, fsync_ms

RESULTS = Path(__file__).with_name("results.json")
NAMED_ONLY = ("crowds", "many")
CLEAN_UP_SECONDS = 20
"""Seconds in which a piece ends its processes, after its time is over."""


def main() -> None:
    """The command; its exit code is 1 where a piece failed. A bar that does not hold is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (the median counts)")
    parser.add_argument("--only", nargs="+", metavar="PIECE", help=f"measure these: {', '.join(PIECES)}, beside-…")
    parser.add_argument("--short", action="store_true", help=f"measure {', '.join(SHORT)} once, and keep nothing")
    parser.add_argument("--beside", type=Path, help="a checkout to measure beside it, with a .venv")
    given = parser.parse_args()
    runs = 1 if given.short else given.runs
    pieces = {**PIECES, **(beside.pieces(given.beside) if given.beside else {})}
    names = given.only or (SHORT if given.short else [name for name in pieces if name not in NAMED_ONLY])
    for name in names:
        if name not in pieces:
            parser.error(f"no piece {name}; there are {', '.join(pieces)}, and with --beside more")
    print(f"fsync: {fsync_ms():.3f} ms; medians of {runs} runs, then the least and most")
    began, rows, failed = time.monotonic(), list[dict[str, Any]](), dict[str, str]()
    for name in names:
        rows += _measure(name, pieces[name], runs, failed)
        if not given.short:
            _keep(rows, whole=not given.only)
    print(f"\nin {time.monotonic() - began:.0f} s")
    _print_bars(rows)
    for name, why in failed.items():
        print(f"{name} failed: {why}")
    sys.exit(bool(failed))


def _measure(name: str, piece: Piece, runs: int, failed: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a piece, those of one that fails up to there."""
    began, table = time.monotonic(), Table()
    try:
        with _limited(piece.limit_seconds):
            piece.measure(table, runs)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other pieces are measured
        traceback.print_exc()
        failed[name] = f"{type(error).__name__}: {error}"
    rows = [judged(row) for row in table.rows]
    print(f"\n{name}, in {time.monotonic() - began:.0f} s:", flush=True)
    for row in rows:
        print(_line(row), flush=True)
    return rows


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, and again for each step of its ending that takes long."""

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, CLEAN_UP_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _line(row: dict[str, Any]) -> str:
    spread = f"{min(row['runs']):g} … {max(row['runs']):g}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:g} x"
    bar = "" if row["bar"] is None else f"{'holds' if row['holds'] else 'MISSES'} {row['bar']}"
    return f"{row['name']:32} {row['value']:>10g} {row['unit']:4} {spread:24} {ratio:>10}  {bar:22} {row['baseline']}"


def _print_bars(rows: list[dict[str, Any]]) -> None:
    """Say which bars hold, which do not, and which were not measured."""
    held = {row["name"]: row["holds"] for row in rows if row["holds"] is not None}
    for title, names in (
        ("bars that hold", [name for name in BARS if held.get(name)]),
        ("bars that are MISSED", [name for name in BARS if held.get(name) is False]),
        ("bars that were not measured", [name for name in BARS if name not in held]),
    ):
        print(f"{title}: {', '.join(names) or 'none'}")


def _keep(rows: list[dict[str, Any]], *, whole: bool) -> None:
    """Write these rows; not `whole`: over those of the same names."""
    before = [] if whole or not RESULTS.exists() else json.loads(RESULTS.read_text(encoding="utf-8"))
    kept = {row["name"]: row for row in (*before, *rows)}
    RESULTS.write_text(json.dumps(list(kept.values()), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
