"""What of a file is still missing, and which of it is to be asked for next.

Lists come first, root first, because they name all others; then chunks, in order. What was asked on one way is not
asked on another until it is given back, or has failed to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from p2pchat.core.files import NAME_BYTES, NAMES_IN_LIST, BlobPlace, Layout
from p2pchat.core.ids import BlobName


class Bits:
    """A set of numbers from 0 to below `size`, one bit each, the lowest bit of a byte first."""

    __slots__ = ("_bytes", "count", "size")

    def __init__(self, size: int, members: Iterable[int] = ()) -> None:
        self.size = size
        self._bytes = bytearray(-(-size // 8))
        self.count = 0
        for number in members:
            self.add(number)

    def __contains__(self, number: int) -> bool:
        return bool(self._bytes[number >> 3] >> (number & 7) & 1)

    def add(self, number: int) -> None:
        """Add a number."""
        if number not in self:
            self._bytes[number >> 3] |= 1 << (number & 7)
            self.count += 1

    def discard(self, number: int) -> None:
        """Remove a number, if it is there."""
        if number in self:
            self._bytes[number >> 3] &= ~(1 << (number & 7))
            self.count -= 1

    def clear(self) -> None:
        """Remove all numbers."""
        self._bytes = bytearray(len(self._bytes))
        self.count = 0

    def absent(self, start: int = 0, end: int | None = None) -> Iterator[int]:
        """Yield the numbers that are not in the set, from `start` on and below `end`."""
        number, end = start, self.size if end is None else end
        while number < end:
            byte = self._bytes[number >> 3]
            if byte == 0xFF:
                number = (number | 7) + 1
                continue
            if not byte >> (number & 7) & 1:
                yield number
            number += 1

    @property
    def full(self) -> bool:
        """Whether it has all numbers."""
        return self.count == self.size


@dataclass(eq=False)
class BlobWay:
    """One way by which blobs come. absent: the slots of what cannot be had there now."""

    absent: Bits
    start: int = 0
    """No chunk in a slot before this can be asked for on this way, until something is given back."""

    def ask_anew(self) -> None:
        """Forget what was absent: something may have been put there."""
        self.absent.clear()
        self.start = 0


class Plan:
    """The blobs of one file: which are here, which are asked for, which come next. Blobs go by their slot
    (`core.files.Layout.slot`): lists first, root first, then chunks.

    here: the slots of the blobs that are here; a list among them counts once `take_list` has its data.
    """

    def __init__(self, layout: Layout, root: BlobName, here: Bits) -> None:
        self.layout, self.here = layout, here
        self.first_chunk = layout.slot_of_first_chunk
        self._root, self._root_place = root, layout.root
        self._lists: dict[BlobPlace, bytes] = {}
        self._asked: set[int] = set()
        self._ways: list[BlobWay] = []

    @property
    def whole(self) -> bool:
        """Whether every blob is here."""
        return self.here.full

    @property
    def is_asked(self) -> bool:
        """Whether anything is asked for now, on any way."""
        return bool(self._asked)

    @property
    def chunks(self) -> int:
        """How many chunks are here."""
        return self.here.count - self.lists

    @property
    def lists(self) -> int:
        """How many lists are here."""
        return sum(slot in self.here for slot in range(self.first_chunk))

    def way(self) -> BlobWay:
        """Return a further way to ask on."""
        way = BlobWay(Bits(self.layout.blobs))
        self._ways.append(way)
        return way

    def name(self, place: BlobPlace) -> BlobName | None:
        """Return the name that the blob at a place must have; None while the list that has it is not here."""
        if place == self._root_place:
            return self._root
        above, position = self.layout.named_by(place)
        data = self._lists.get(above)
        if data is None:
            return None
        return BlobName(data[position * NAME_BYTES : (position + 1) * NAME_BYTES])

    def take(self, place: BlobPlace, data: bytes | None = None) -> None:
        """Note that a blob is here. data: that of a list."""
        self.here.add(self.layout.slot(place))
        if data is not None:
            self._lists[place] = data

    def ask(self, way: BlobWay, at_most: int, *, adjacent: bool = False) -> list[BlobPlace]:
        """Return blobs to ask for on this way, at most so many, and note that they are asked for. adjacent: only such
        that follow each other on one level.
        """
        chosen: list[BlobPlace] = []
        for place in self._askable(way):
            if adjacent and chosen and place != BlobPlace(chosen[-1].level, chosen[-1].number + 1):
                break
            chosen.append(place)
            if len(chosen) == at_most:
                break
        self._asked.update(map(self.layout.slot, chosen))
        return chosen

    def done(self, places: Iterable[BlobPlace]) -> None:
        """Note that these are no longer asked for: what is not here now may be asked for again, on any way."""
        for place in places:
            slot = self.layout.slot(place)
            self._asked.discard(slot)
            if slot not in self.here:
                for way in self._ways:
                    way.start = min(way.start, slot)

    def lacks(self, way: BlobWay, places: Iterable[BlobPlace]) -> None:
        """Note that these cannot be had on this way now."""
        for place in places:
            way.absent.add(self.layout.slot(place))

    def _askable(self, way: BlobWay) -> Iterator[BlobPlace]:
        """Yield what is missing, not asked for, not absent on this way, and has a known name."""
        for slot in range(self.first_chunk):
            if slot not in self.here and self._may_ask(way, slot):
                place = self.layout.place(slot)
                if self.name(place) is not None:
                    yield place
        first = True
        for start, end, named in self._chunk_runs(max(way.start, self.first_chunk)):
            if not named:  # not one by one: there may be a million of them
                if first:
                    way.start, first = start, False
                continue
            for slot in self.here.absent(start, end):
                if not self._may_ask(way, slot):
                    continue
                if first:
                    way.start, first = slot, False
                yield BlobPlace(0, slot - self.first_chunk)
        if first:
            way.start = self.layout.blobs

    def _chunk_runs(self, start: int) -> Iterator[tuple[int, int, bool]]:
        """Yield the slots of chunks from `start` on, as those that one list names: (first, end, whether it is here)."""
        while start < self.layout.blobs:
            index = (start - self.first_chunk) // NAMES_IN_LIST
            end = min(self.layout.blobs, self.first_chunk + (index + 1) * NAMES_IN_LIST)
            yield start, end, not self.first_chunk or BlobPlace(1, index) in self._lists
            start = end

    def _may_ask(self, way: BlobWay, slot: int) -> bool:
        return slot not in self._asked and slot not in way.absent
