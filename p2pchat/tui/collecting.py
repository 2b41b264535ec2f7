"""Garbage collection that nobody notices while typing."""

from __future__ import annotations

import gc


def tune_gc() -> None:
    """Exclude the objects made at the start from garbage collection, and collect little at a time: its pauses were all
    of the slowest key presses. A full collection runs when nobody types.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 5, 1_000)
    gc.enable()  # `launch` did without until here
