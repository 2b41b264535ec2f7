"""Measure everything, or some pieces, print a table, and write it into benchmarks/results.json.

A piece that is measured by itself replaces its own rows there, so a run may be divided into as many as one likes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import beside
from benchmarks.measures import PIECES, SHORT, Table, fsync_ms

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (the median counts)")
    parser.add_argument("--only", nargs="+", choices=(*PIECES, "beside"), help="measure these pieces")
    parser.add_argument("--short", action="store_true", help=f"measure {', '.join(SHORT)} once, and keep nothing")
    parser.add_argument("--beside", type=Path, help="a checkout to measure beside it, with a .venv")
    given = parser.parse_args()
    runs = 1 if given.short else given.runs
    names = given.only or (SHORT if given.short else [*PIECES, "beside"])
    print(f"fsync: {fsync_ms():.3f} ms; medians of {runs} runs, then the least and most")
    rows: list[dict[str, Any]] = []
    for name in names:
        if name == "beside" and not given.beside:
            continue
        began, table = time.monotonic(), Table()
        if name == "beside":
            table.rows += beside.rows(given.beside, runs)
        else:
            PIECES[name](table, runs)
        print(f"\n{name}, in {time.monotonic() - began:.0f} s:", flush=True)
        for row in table.rows:
            print(_line(row), flush=True)
        rows += table.rows
        if not given.short:
            _keep(rows, whole=not given.only)


def _line(row: dict[str, Any]) -> str:
    spread = f"{min(row['runs']):g} … {max(row['runs']):g}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:g} x"
    return f"{row['name']:28} {row['value']:>10g} {row['unit']:4} {spread:24} {ratio:>10}  {row['baseline']}"


def _keep(rows: list[dict[str, Any]], *, whole: bool) -> None:
    """Write these rows; not `whole`: over those of the same names."""
    before = [] if whole or not RESULTS.exists() else json.loads(RESULTS.read_text(encoding="utf-8"))
    kept = {row["name"]: row for row in (*before, *rows)}
    RESULTS.write_text(json.dumps(list(kept.values()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
