"""Parts of sentences, for `network_words`."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.engine.methods.network_facts import NetworkFacts
from p2pchat.lib.times import format_duration

MAX_NAMED = 3
"""Contacts that a sentence names; the others are counted."""


def count(number: int, one: str, more: str = "") -> str:
    """Return a number of things: `1 relay`, `2 relays`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def over(facts: NetworkFacts, family: str) -> str:
    """Return by which family of addresses something goes. By a proxy, only that one knows."""
    return f" over {family}" if family and facts.proxy is None else ""


def named(names: Sequence[str]) -> str:
    """Return some names, and how many others there are."""
    each = list(dict.fromkeys(names))
    rest = len(each) - MAX_NAMED
    if rest > 0:
        return f"{', '.join(each[:MAX_NAMED])} and {count(rest, 'other')}"
    return " and ".join([", ".join(each[:-1]), each[-1]] if len(each) > 1 else each)


def age(now: int, since: int) -> str:
    """Return how long ago something began, both in ms."""
    return format_duration(max(0, now - since) // 1000, units=1) or "a moment"


def length(ms: int) -> str:
    """Return a length of time, in milliseconds below a second."""
    return f"{ms} ms" if ms < 1000 else format_duration(ms // 1000, units=1)
