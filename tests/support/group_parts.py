"""Joining parts in a test that has no database; the program joins them in `store.groups.items`."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core.groups.parts import Part


def joined(parts: Iterable[Part]) -> bytes:
    """The whole of which these are all parts, in any order."""
    found = {part.which: part for part in parts}
    assert len({part.whole for part in found.values()}) == 1
    assert sorted(found) == list(range(len(found[0].hashes)))
    return b"".join(found[which].data for which in sorted(found))
