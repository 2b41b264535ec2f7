"""Finds which of many secrets a protocol name was derived from (docs/protocol/names.md), in one look-up.

A stranger can ask for names all day, so an answer must not cost more with more contacts. Names are derived when
somebody first asks on a day, a few at a time, and after that only for entries that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

import trio

AT_ONCE = 64
"""Entries whose names are derived before others get a turn: some 0.3 ms."""

T = TypeVar("T")


class NameBook(Generic[T]):
    """Entries by the name that each has on a day. `derive`: (entry, day) → its name."""

    def __init__(self, derive: Callable[[T, int], str]) -> None:
        self._derive = derive
        self._entries: dict[bytes, Sequence[T]] = {}
        self._names: dict[int, dict[str, T]] = {}
        self._missing: dict[int, dict[bytes, None]] = {}

    def put(self, owner: bytes, entries: Sequence[T]) -> None:
        """Set the entries of `owner` (any id), in place of earlier ones."""
        old = self._entries.pop(owner, ())
        if entries:
            self._entries[owner] = entries
        for day, names in self._names.items():
            for entry in old:
                names.pop(self._derive(entry, day), None)
            if entries:
                self._missing[day][owner] = None

    async def find(self, name: str, days: Sequence[int]) -> T | None:
        """Return the entry that has this name on one of these days, or None. Names of other days are dropped."""
        for day in self._names.keys() - set(days):
            del self._names[day], self._missing[day]
        for day in days:
            if day not in self._names:
                self._names[day], self._missing[day] = {}, dict.fromkeys(self._entries)
        for day in days:
            while missing := self._missing.get(day):
                self._write(day, missing)
                await trio.lowlevel.checkpoint()
        return next((names[name] for day in days if name in (names := self._names.get(day, {}))), None)

    def _write(self, day: int, missing: dict[bytes, None]) -> None:
        names = self._names[day]
        for owner in list(islice(missing, AT_ONCE)):
            del missing[owner]
            for entry in self._entries.get(owner, ()):
                names[self._derive(entry, day)] = entry
