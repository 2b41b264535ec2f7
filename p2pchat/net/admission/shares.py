"""Who gives way when something that all places share is full: whoever holds most (max-min fairness).

Places lie in networks (`places`), and these in wider ones. From the widest downwards, the one that holds most gives
something up, unless it is that of the newcomer, or holds no more than the newcomer's would: then the search goes on
inside the newcomer's. So one who has many addresses of a network shares with their neighbours, and not with everybody.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


@dataclass(eq=False, slots=True)
class _Share:
    """What one network holds. inside: the networks in it, `by_size` in the order of what they hold; `number` tells two
    of one size apart. held: of a place, (rank, number of the entry) in order.
    """

    number: int = 0
    size: int = 0
    inside: dict[Hashable, _Share] = field(default_factory=dict)
    by_size: list[tuple[int, int, _Share]] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: tuple[Hashable, ...]
    rank: int
    size: int
    number: int


class FairShares(Generic[Name]):
    """What places hold, by name. A path names the networks around a place, the widest first, and the place itself last;
    all paths that begin alike have one length.
    """

    def __init__(self) -> None:
        self._root = _Share()
        self._entries: dict[Name, _Entry] = {}
        self._names: dict[int, Name] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Name) -> bool:
        return name in self._entries

    def add(self, name: Name, path: Sequence[Hashable], size: int = 1, rank: int = 0) -> None:
        """Add something that a place holds, or replace what has this name. Of what one place holds, that with the
        highest rank gives way first, and of equal ranks the latest.
        """
        self.remove(name)
        self._count += 1
        entry = self._entries[name] = _Entry(tuple(path), rank, size, self._count)
        self._names[entry.number] = name
        insort(self._grown(entry, size).held, (rank, entry.number))

    def remove(self, name: Name) -> None:
        """Remove what has this name, if there is anything."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            del self._names[entry.number]
            place = self._grown(entry, -entry.size)
            del place.held[bisect_left(place.held, (entry.rank, entry.number))]

    def held(self, network: Hashable) -> int:
        """Return what one of the widest networks holds."""
        share = self._root.inside.get(network)
        return 0 if share is None else share.size

    def giving_way(self, path: Sequence[Hashable], size: int = 1, rank: int = 0) -> Name | None:
        """Return what gives way to something new of this size and rank; None where the newcomer does."""
        share = self._root
        for name in path:
            if not share.by_size:
                return None
            mine, largest = share.inside.get(name), share.by_size[-1][2]
            own = size + (0 if mine is None else mine.size)
            if largest is not mine and largest.size > own:
                while largest.by_size:
                    largest = largest.by_size[-1][2]
                return self._names[largest.held[-1][1]]
            if mine is None:
                return None
            share = mine
        highest, number = share.held[-1]
        return self._names[number] if highest > rank else None

    def _grown(self, entry: _Entry, by: int) -> _Share:
        """Let the networks of an entry hold so much more, and return its place."""
        share = self._root
        for name in entry.path:
            inner = share.inside.get(name)
            if inner is None:
                self._count += 1
                inner = share.inside[name] = _Share(self._count)
            else:
                del share.by_size[bisect_left(share.by_size, (inner.size, inner.number))]
            inner.size += by
            if inner.size:
                insort(share.by_size, (inner.size, inner.number, inner))
            else:
                del share.inside[name]
            share = inner
        return share
