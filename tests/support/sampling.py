"""What `make check` tries a sample of, another one in each run, and `make soak` (P2PCHAT_SAMPLE=all) tries whole.

A run that failed ends with its seed; P2PCHAT_SEED takes that seed again. All processes of a run have the same one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("P2PCHAT_SAMPLE") == "all"
SEED = os.environ.setdefault("P2PCHAT_SEED", secrets.token_hex(4))


def chosen(length: int, count: int, *story: object) -> list[int]:
    """Indices of `length` things: all of them, or one by chance from each of `count` parts of equal length."""
    return list(range(length)) if WHOLE else sample(length, count, f"{SEED} {story}")


def sampled(cases: Sequence[T], count: int, *story: object) -> list[T]:
    """All of the cases, or one by chance from each of `count` parts of equal length."""
    return [cases[index] for index in chosen(len(cases), count, *story)]


def sample(length: int, count: int, seed: str) -> list[int]:
    """One index by chance from each of `count` parts of equal length; all indices where there are fewer."""
    rng, parts = Random(seed), min(count, length)
    return [rng.randrange(start, end) for start, end in pairwise(length * part // parts for part in range(parts + 1))]
