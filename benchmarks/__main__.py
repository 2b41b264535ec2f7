"""Measure everything, print a table, write benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import beside
from benchmarks.measures import everything, fsync_ms


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (the median counts)")
    parser.add_argument("--beside", type=Path, help="a checkout to measure beside it, with a .venv")
    given = parser.parse_args()
    runs, before = given.runs, fsync_ms()
    results = everything(runs)
    if given.beside:
        results += beside.rows(given.beside, runs)
    print(
        f"fsync: {before:.3f} ms before, {fsync_ms():.3f} ms after; medians of {runs} runs, then the least and most\n"
    )
    for one in results:
        spread = f"{min(one['runs']):g} … {max(one['runs']):g}"
        ratio = "" if one["ratio"] is None else f"{one['ratio']:g} x"
        print(f"{one['name']:28} {one['value']:>10g} {one['unit']:4} {spread:24} {ratio:>10}  {one['baseline']}")
    target = Path(__file__).with_name("results.json")
    target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
