"""Joining parts in a test that has no database; the program joins them in `store.groups.items`."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core.groups.parts import Part


class PartsOfWholes:
    """Parts of wholes of which others are still to come."""

    def __init__(self) -> None:
        self._found: dict[bytes, dict[int, bytes]] = {}

    def add(self, part: Part) -> bytes | None:
        """The whole that this part completes, or None."""
        pieces = self._found.setdefault(part.whole, {})
        pieces[part.which] = part.data
        if len(pieces) < len(part.hashes):
            return None
        del self._found[part.whole]
        return b"".join(pieces[which] for which in sorted(pieces))


def joined(parts: Iterable[Part]) -> bytes:
    """The whole of which these are all parts, in any order."""
    waiting = PartsOfWholes()
    (whole,) = (whole for part in parts if (whole := waiting.add(part)) is not None)
    return whole
