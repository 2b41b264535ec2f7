"""Whose presence records a relay keeps, and which of them gives way when it keeps as many as it may."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.net.admission.shares import FairShares
from p2pchat.relay.holdings import Source

_BEFORE: Source = (b"before",)
"""Where records came from that were there when the relay started. They count as those of one network, so they give way
first: who still needs theirs brings it again within half a day, and counts for themselves from then on."""


class _Brought(NamedTuple):
    source: Source
    ends: int


class RecordShares:
    """The records by name, with the networks that brought them. Those of one place that end first give way first."""

    def __init__(self) -> None:
        self._shares = FairShares[bytes]()
        self._brought: dict[bytes, _Brought] = {}
        self._undo: list[tuple[bytes, _Brought | None]] = []

    def __len__(self) -> int:
        return len(self._shares)

    def put(self, name: bytes, source: Source, ends: int) -> None:
        """Note that `source` has brought a record, which ends at this hour."""
        self._set(name, _Brought(source or _BEFORE, ends))

    def drop(self, name: bytes) -> None:
        """Note that there is no record of this name, or no longer."""
        if name in self._brought:
            self._set(name, None)

    def giving_way(self, source: Source, ends: int) -> bytes | None:
        """Return the name of the record that gives way to a new one; None where the new one is refused."""
        return self._shares.giving_way(source or _BEFORE, rank=-ends)

    def mark(self) -> int:
        """Return a mark for `revert`."""
        return len(self._undo)

    def revert(self, mark: int) -> None:
        """Undo everything since a mark."""
        while len(self._undo) > mark:
            name, before = self._undo.pop()
            self._set(name, before)
            self._undo.pop()

    def commit(self) -> None:
        """Forget how to undo what was done: it is on the disk."""
        self._undo.clear()

    def _set(self, name: bytes, brought: _Brought | None) -> None:
        self._undo.append((name, self._brought.get(name)))
        if brought is None:
            self._shares.remove(name)
            del self._brought[name]
        else:
            self._shares.add(name, brought.source, rank=-brought.ends)
            self._brought[name] = brought
