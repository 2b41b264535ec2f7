"""Admission: who may have one of a bounded number of slots, and who goes when there is none.

A slot belongs to a connection (or a circuit) from a place (`places`). It is *unproven* until its owner has done what a
stranger cannot do, or what costs a stranger something: a verified link, a queue opened with its key.

| when                                              | then                                                         |
|---------------------------------------------------|--------------------------------------------------------------|
| somebody comes, and a network or the pool is full | the oldest unproven slot of the greediest place in it ends   |
| the same, and all there are proven                | the newcomer is refused                                      |
| somebody proves something, and there is room      | it is proven: only another proven one can end it             |
| the same, and there is none                       | the oldest proven slot of a place that has more of them ends |
| the same, and no place has more                   | it stays unproven                                            |

Unproven ones have at most three quarters of the slots, so that there is always room for proven clients;
proven ones leave one in sixteen, in all and in each network, so that everybody can come in and show who they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping

from p2pchat.core.primitives import hmac_sha256, system_entropy
from p2pchat.net.admission.places import PlaceSums, networks

_UNPROVEN_SHARE = 4  # one in so many slots is kept from the unproven
_NEWCOMERS_SHARE = 16  # one in so many slots is kept from the proven
MAX_REMEMBERED = 65_536

PLACE_FULL, POOL_FULL = "place full", "full"
REFUSALS = (PLACE_FULL, POOL_FULL)
"""Why somebody may be refused, as the metrics say it."""


class Slot:
    """What a connection or a circuit holds of a pool. `end` is called, once, when it has to make room for another: it
    must not wait."""

    __slots__ = ("end", "place", "proven", "released")

    def __init__(self, place: str, end: Callable[[], None]) -> None:
        self.place = place
        self.end = end
        self.proven = False
        self.released = False


class Pool:
    """total: how many slots there are. place_bound: how many of them one place may have, and in proportion its networks
    (`places.bounds`). more: what a place may have besides.
    """

    def __init__(self, total: int, place_bound: int, more: Mapping[str, int] | None = None) -> None:
        self._all, self._proven_sums = PlaceSums(total, place_bound, more), PlaceSums(total, place_bound, more)
        self.resize(total, place_bound)
        self._unproven = _Tree()
        self._proven = _Tree()
        self.refused = dict.fromkeys(REFUSALS, 0)
        self.evicted = 0

    def resize(self, total: int, place_bound: int) -> None:
        """Change how many slots there are, and how many one place may have; whoever has one keeps it."""
        self._all.resize(total, place_bound)
        self._proven_sums.resize(total - total // _NEWCOMERS_SHARE, place_bound - place_bound // _NEWCOMERS_SHARE)
        self._max_unproven = total - total // _UNPROVEN_SHARE

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return self._all.taken

    @property
    def proven(self) -> int:
        """How many of them are proven."""
        return self._proven.count("")

    def held(self, network: str) -> int:
        """Return how many slots a place or network has."""
        return self._all.held(network)

    def admit(self, slot: Slot) -> bool:
        """Take a newcomer in, unproven; False where there is no room. Others may end for it."""
        place = slot.place
        while (full := self._without_room(place)) is not None:
            victim = self._unproven.choose_victim(full)
            if victim is None:
                self.refused[PLACE_FULL if full else POOL_FULL] += 1
                return False
            self.evict(victim)
        self._all.add(place)
        self._unproven.add(slot)
        return True

    def prove(self, slot: Slot) -> bool:
        """Note that the owner of a slot has proven something; returns whether the slot is proven now. Others may end
        for it.
        """
        if slot.proven or slot.released:
            return slot.proven
        while (full := self._proven_sums.full(slot.place)) is not None:
            victim = self._proven.choose_victim(full)
            if victim is None or not self._proven.has_more(victim.place, slot.place):
                return False
            self.evict(victim)
        slot.proven = True
        self._unproven.remove(slot)
        self._proven.add(slot)
        self._proven_sums.add(slot.place)
        return True

    def evict(self, slot: Slot) -> None:
        """End a slot to make room."""
        self.evicted += 1
        self.release(slot)
        slot.end()

    def release(self, slot: Slot) -> None:
        """Free a slot; nothing happens where it is free already."""
        if slot.released:
            return
        slot.released = True
        self._all.give(slot.place)
        if slot.proven:
            self._proven.remove(slot)
            self._proven_sums.give(slot.place)
        else:
            self._unproven.remove(slot)

    def _without_room(self, place: str) -> str | None:
        """Return the network that has no room for one more from `place`, "" for the whole pool, None where there is
        room.
        """
        if self._unproven.count("") >= self._max_unproven:
            return ""
        return self._all.full(place)


class _Tree:
    """Slots by place within network within network, each in the order in which they came. "" is the root."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._slots: dict[str, dict[Slot, None]] = {}

    def count(self, network: str) -> int:
        """How many slots there are in a network or place."""
        return self._counts.get(network, 0)

    def add(self, slot: Slot) -> None:
        """Put a slot behind those of its place."""
        self._slots.setdefault(slot.place, {})[slot] = None
        inner = ""
        for network in (*networks(slot.place), ""):
            self._counts[network] = self._counts.get(network, 0) + 1
            if inner:
                self._children.setdefault(network, {})[inner] = None
            inner = network

    def remove(self, slot: Slot) -> None:
        """Take a slot out, and with it what it leaves empty."""
        del self._slots[slot.place][slot]
        if not self._slots[slot.place]:
            del self._slots[slot.place]
        inner = ""
        for network in (*networks(slot.place), ""):
            self._counts[network] -= 1
            if inner and inner not in self._counts:
                del self._children[network][inner]
            if not self._counts[network]:
                del self._counts[network]
                self._children.pop(network, None)
            inner = network

    def choose_victim(self, network: str) -> Slot | None:
        """Return the oldest slot of the place that has most, in the network within `network` that has most; None where
        it is empty.
        """
        while children := self._children.get(network):
            network = max(children, key=self._counts.__getitem__)
        return next(iter(self._slots.get(network, ())), None)

    def has_more(self, place: str, other: str) -> bool:
        """Whether `place` would still have as many as `other` if the one lost a slot and the other got it. Where they
        first differ, from the widest network down, it is counted."""
        for mine, theirs in zip(reversed(networks(place)), reversed(networks(other)), strict=False):
            if mine != theirs:
                return self.count(mine) > self.count(theirs) + 1
        return False


def choose_victim(slots: Collection[Slot], place: str) -> Slot | None:
    """Choose which of a few slots makes room for a newcomer from `place`.

    It is the oldest unproven one of the place that has most of these; where all are proven, one of a place that keeps
    as many as the newcomer's gets; else None. slots: in the order in which they came.
    """
    tree = _Tree()
    unproven = [slot for slot in slots if not slot.proven]
    for slot in unproven or slots:
        tree.add(slot)
    victim = tree.choose_victim("")
    if victim is not None and (unproven or tree.has_more(victim.place, place)):
        return victim
    return None


class Remembered:
    """Who has proven something before: in memory only, by a keyed hash, and the longest unused is forgotten first."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._key = system_entropy().random(32)
        self._names: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, *parts: bytes) -> None:
        """Remember that `parts` were seen."""
        name = self._name(parts)
        self._names[name] = None
        self._names.move_to_end(name)
        if len(self._names) > self._most:
            self._names.popitem(last=False)

    def has(self, *parts: bytes) -> bool:
        """Return whether `parts` are remembered."""
        return self._name(parts) in self._names

    def forget(self, *parts: bytes) -> None:
        """Forget `parts`, if they are remembered."""
        self._names.pop(self._name(parts), None)

    def _name(self, parts: Iterable[bytes]) -> bytes:
        return hmac_sha256(self._key, b"".join(parts))[:16]
