"""A queue in which every place on the network has the same share, however many wait there from one of them.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996), over the tree of networks that
`places` describes. Every network has a virtual time at which what it was given so far ends; whoever waits begins at the
latest of those of its networks, or now. The place that begins first is served next. So somebody from a place that was
given nothing lately is served before all of a crowd from one place, and before all of one network's; nobody starves,
since the time goes on with everything that is given, as if `MAX_SHARES` places waited.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

from p2pchat.net.admission import places

Item = TypeVar("Item")
MAX_SHARES = 256
"""Who was given something waits for no more than about so many who come for the first time."""
_MIN_SWEEP = 64  # networks that are remembered before it is looked for those that need not be


class FairQueue(Generic[Item]):
    """Items by place; those of one place by their order, then as they came. Nothing is kept once it is empty."""

    def __init__(self) -> None:
        self._now = 0.0  # virtual: when what was served last began, or later
        self._ends: dict[str, float] = {}  # by network: when what it was given ends, where that is later than now
        self._waiting: dict[str, list[tuple[int, int, Item]]] = {}  # by place: a heap by order and number
        self._bounds: dict[str, tuple[tuple[str, float], ...]] = {}  # `places.bounds` of those who wait
        self._first: list[tuple[float, int, str]] = []  # a heap of the places that wait, by when they begin
        self._numbers = count()
        self._size = 0
        self._sweep_at = _MIN_SWEEP

    def __len__(self) -> int:
        return self._size

    def put(self, place: str, item: Item, order: int = 0) -> None:
        """Let `item` wait with those of its place, of whom the one with the lowest `order` is taken first."""
        number = next(self._numbers)
        if place not in self._waiting:
            self._waiting[place] = []
            self._bounds[place] = places.bounds(place, 1.0)
            heapq.heappush(self._first, (self._start(place), number, place))
        heapq.heappush(self._waiting[place], (order, number, item))
        self._size += 1

    @property
    def first(self) -> str:
        """The place that is served next. Raises IndexError where nothing waits."""
        start, number, place = self._first[0]
        while (later := self._end(place)) > start:  # others of its network were served meanwhile
            heapq.heapreplace(self._first, (later, number, place))
            start, number, place = self._first[0]
        return place

    def take(self, units: float = 1.0) -> Item:
        """Take the next item out. units: what it costs its place, in whatever all of them are counted in. Raises
        IndexError where nothing waits.
        """
        place = self.first
        start, _, _ = heapq.heappop(self._first)
        waiting = self._waiting[place]
        item = heapq.heappop(waiting)[2]
        self._size -= 1
        now = self._now + units / MAX_SHARES
        self._now = start if start > now else now
        ends = self._ends
        for network, factor in self._bounds[place]:
            end = ends.get(network, 0.0)
            ends[network] = (start if start > end else end) + units / factor
        if waiting:
            heapq.heappush(self._first, (self._start(place), next(self._numbers), place))
        else:
            del self._waiting[place], self._bounds[place]
        self._forget()
        return item

    def _start(self, place: str) -> float:
        end = self._end(place)
        return end if end > self._now else self._now

    def _end(self, place: str) -> float:
        latest, ends = 0.0, self._ends
        if ends:  # loops instead of `max`: everybody who waits for a turn comes by here a dozen times
            for network, _ in self._bounds[place]:
                if network in ends and ends[network] > latest:
                    latest = ends[network]
        return latest

    def _forget(self) -> None:
        if not self._size:
            self._now = 0.0
            self._ends.clear()
        elif len(self._ends) > self._sweep_at:
            self._ends = {network: end for network, end in self._ends.items() if end > self._now}
            self._sweep_at = max(_MIN_SWEEP, 2 * len(self._ends))
