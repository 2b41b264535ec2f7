"""A second implementation of the membership log, written from docs/protocol/groups.md alone.

It computes everything anew, with sets of ids, and knows nothing of p2pchat: raw events in, plain values out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgpack
import nacl.bindings as sodium

FOUND, ADD, REMOVE, ROLE, LEAVE, UPDATE, SET, ROTATE, MERGE, HAND_OVER, SUCCESSOR, MUTE, RECOVER, CONFIRM = range(14)
Ids = frozenset[bytes]


def h(person: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, person=person.encode().ljust(16, b"\0")).digest()


def member(key: bytes) -> bytes:
    return h("p2pchat1 member", key)[:8]


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


@dataclass(frozen=True)
class Event:
    id: bytes
    group: bytes | None
    parents: tuple[bytes, ...]
    seq: int
    author: bytes
    op: int
    args: list[Any]
    mode: int
    prev: bytes | None

    @cached_property
    def by(self) -> bytes:
        return member(self.author)

    @property
    def added(self) -> dict[bytes, list[Any]]:
        """Id → [gS, gL, gK, level, name] of everybody it adds."""
        if self.op == FOUND:
            return {self.by: [self.author, *self.args[1:3], 0, self.args[3]]}
        return {member(new[0]): new for new in self.args[0]} if self.op == ADD else {}

    @property
    def graph(self) -> bool:
        return self.op != UPDATE


def read(raw: bytes) -> Event:
    """Raises ValueError or CryptoError for what is not an event."""
    core, confirm, rekey_hash, signature, rekey = msgpack.unpackb(raw, max_array_len=4096)
    statement = pack([h("p2pchat1 grpcore", core), confirm, rekey_hash])
    version, group, parents, seq, author, op, args, mode, prev = msgpack.unpackb(core, max_array_len=4096)
    sodium.crypto_sign_open(signature + b"p2pchat/1 grp ev\0" + statement, author)
    if rekey is not None and h("p2pchat1 rekey", rekey) != rekey_hash:
        raise ValueError("rekey")
    wanted = {FOUND: 2, ADD: 1, REMOVE: 2, ROTATE: 2, MERGE: 2}.get(op, 0)
    first = op == FOUND
    fits = version == 1 and mode == wanted and parents == sorted(set(parents)) and len(parents) <= 8
    fits &= (group is None) == first == (not parents) and (not first or seq == 0)
    fits &= (confirm is not None) == (mode > 0) and (prev is not None) == (mode > 0 and not first)
    fits &= (rekey_hash is not None) == (mode == 2 and not first)
    fits &= op <= CONFIRM and (op != ROLE or args[1] in (1, 2, 9, 10))
    listed = args[0] if op == REMOVE else [member(new[0]) for new in args[0]] if op == ADD else [b""]
    fits &= bool(listed) and len(listed) <= 256 and listed == sorted(set(listed))
    if not fits or pack([core, confirm, rekey_hash, signature, rekey]) != raw:
        raise ValueError("form")
    return Event(h("p2pchat1 grp ev", statement), group, tuple(parents), seq, author, op, args, mode, prev)


@dataclass(frozen=True)
class View:
    """The state of some events. epochs: heads, as (number, id)."""

    members: dict[bytes, tuple[int, bytes]]
    everybody: Ids
    settings: dict[str, Any]
    muted: dict[bytes, int]
    epochs: Ids
    successor: bytes | None


class Log:
    """Events of one group, taken in any order."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        self.events: dict[bytes, Event] = {}
        self.ancestors: dict[bytes, Ids] = {}
        self.level: dict[bytes, int] = {}
        self.completes: dict[bytes, Ids] = {}
        """Confirmation that completes a recovery → owners that it replaces."""
        self.strong: set[bytes] = set()
        self.updates: dict[bytes, Event] = {}
        self.leaves: dict[bytes, Event] = {}
        self._views: dict[Ids, View] = {}
        self._counted: dict[Ids, Ids] = {}
        waiting = [read(raw) for raw in raws]
        while True:
            ready = [event for event in waiting if set(event.parents) <= self.events.keys()]
            if not ready:
                break
            waiting = [event for event in waiting if event not in ready]
            for event in ready:
                self._take(event)

    # --- the graph and rights ------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        known = frozenset(event.parents).union(*(self.ancestors[parent] for parent in event.parents))
        if event.op == UPDATE:
            if any(self.events[e].added.get(event.by, [None])[0] == event.author for e in known):
                before = self.updates.get(event.by)
                if before is None or (-before.seq, before.id) > (-event.seq, event.id):
                    self.updates[event.by] = event
            return
        if event.op != FOUND:
            here = self.view(known)
            if here.members.get(event.by, (None, b""))[1] != event.author:
                return
            level = here.members[event.by][0]
            if event.op == LEAVE and level > 2:
                before = self.leaves.get(event.by)
                if before is None or before.id > event.id:
                    self.leaves[event.by] = event
                return
            if not self._right(event, known, here, level):
                return
            self.level[event.id] = level
        else:
            self.level[event.id] = 0
        self.ancestors[event.id] = known
        self.events[event.id] = event
        self._views.clear()
        self._counted.clear()

    def _right(self, event: Event, known: Ids, here: View, level: int) -> bool:
        own = [self.events[e].seq for e in known if self.events[e].by == event.by]
        if event.seq != max(own, default=-1) + 1 or self._suspended(event.by, level, event.seq, known, None):
            return False
        if event.mode and (event.prev not in here.epochs or (event.mode == 1 and len(here.epochs) > 1)):
            return False
        levels = {who: place[0] for who, place in here.members.items()}
        owner_only = event.op == HAND_OVER or (event.op == SET and event.args[0] == "recovery")
        needed = 0 if owner_only else 2 if event.op == MUTE else 10 if event.op == LEAVE else 1
        if event.op == ADD and level in (2, 9) and here.settings.get("invites") == "members":
            return all(new[3] in (9, 10) for new in event.added.values())
        if level > needed:
            return False
        if event.op == ADD:
            return all(new[3] > level for new in event.added.values())
        if event.op == REMOVE:
            self.strong.add(event.id)
            return all(who in here.everybody and levels.get(who, 99) > level for who in event.args[0])
        if event.op == ROLE:
            who, given = event.args
            if given > levels.get(who, 99):
                self.strong.add(event.id)
            return given > level and levels.get(who, -1) > level
        if event.op == MUTE:
            return levels.get(event.args[0], -1) > level
        if event.op == LEAVE:
            return level > 0
        if event.op == HAND_OVER:
            return levels.get(event.args[0], 0) > 0
        if event.op in (RECOVER, CONFIRM):
            return self._recovers(event, known, here, levels)
        return True

    def _recovers(self, event: Event, known: Ids, here: View, levels: dict[bytes, int]) -> bool:
        who = event.args[0]
        needed, named = self._rule(here)
        if event.by not in named or levels.get(who, 0) == 0:
            return False
        if event.op == RECOVER:
            return True
        spoken = {e for e in known if self.level[e] == 0}
        standing = [
            self.events[e]
            for e in self.counted(known)
            if self.events[e].op in (RECOVER, CONFIRM)
            and self.events[e].args[0] == who
            and self.events[e].by in named
            and levels.get(self.events[e].by) == 1
            and spoken <= self.ancestors[e]
        ]
        if len({e.by for e in standing if e.op == RECOVER}) < needed:
            return False
        if len({e.by for e in standing if e.op == CONFIRM} | {event.by}) >= needed:
            self.completes[event.id] = frozenset(one for one, level in levels.items() if level == 0)
        return True

    @staticmethod
    def _rule(here: View) -> tuple[int, set[bytes]]:
        try:
            needed, named = here.settings["recovery"]
            return (needed, set(named)) if 1 <= needed <= len(set(named)) <= 16 else (1, set())
        except (KeyError, TypeError, ValueError):
            return 1, set()

    # --- which events count --------------------------------------------------------------------------------------

    def _concurrent(self, one: bytes, other: bytes) -> bool:
        return one != other and one not in self.ancestors[other] and other not in self.ancestors[one]

    def counted(self, known: Ids) -> Ids:
        if known in self._counted:
            return self._counted[known]
        void: set[bytes] = set()
        in_order = sorted(known, key=lambda e: (self.depth(e), e))
        for e in in_order:
            if e in self.completes:
                spoken = {o for o in known if self.level[o] == 0 and self.events[o].by in self.completes[e]}
                if spoken - self.ancestors[e] or self.ancestors[e] & void & self.completes.keys():
                    void.add(e)
        judged = {e for e in in_order if e in self.completes or self.events[e].op == FOUND}
        for level, handover in ((0, True), (0, False), (1, False), (2, False), (9, False)):
            for e in in_order:
                is_handover = self.events[e].op == HAND_OVER
                if self.level[e] == level and is_handover == handover and e not in judged:
                    if self._void(self.events[e], level, known, judged - void):
                        void.add(e)
                    judged.add(e)
        self._counted[known] = frozenset(known - void)
        return self._counted[known]

    def _void(self, event: Event, level: int, known: Ids, counted: set[bytes]) -> bool:
        if event.op == FOUND:
            return False
        there = frozenset(counted & self.ancestors[event.id])
        if self.role(event.by, there) > level:
            return True
        concerned = event.args[0] if event.op == REMOVE else event.args[:1] if event.op in (ROLE, MUTE) else []
        if any(self.role(who, there) <= level for who in concerned):
            return True
        against = [self.events[e] for e in counted if self._concurrent(e, event.id)]
        if level == 0:
            return event.op != HAND_OVER and any(e.op == HAND_OVER and e.by == event.by for e in against)
        for other in against:
            strong = other.id in self.strong and event.op != LEAVE
            if strong and self.level[other.id] < level and self._about(other, event.by):
                return True
        if event.op == ADD and level > 1:
            if any(e.op == SET and e.args[0] == "invites" and e.args[1] != "members" for e in against):
                return True
            if self._invites(there) != "members":
                return True
        return self._suspended(event.by, level, event.seq, known, event, counted)

    def _invites(self, counted: Ids) -> Any:
        in_order = sorted((self.events[e] for e in counted), key=lambda e: (e.op != FOUND, self.depth(e.id), e.id))
        rules = [e.args for e in in_order if e.op == SET and e.args[0] == "invites"]
        first = [dict(e.args[0]).get("invites") for e in in_order if e.op == FOUND]
        return rules[-1][1] if rules else first[0] if first else None

    @staticmethod
    def _about(event: Event, who: bytes) -> bool:
        return (event.op == REMOVE and who in event.args[0]) or (event.op == ROLE and event.args[0] == who)

    def _suspended(
        self, who: bytes, level: int, seq: int, known: Ids, event: Event | None, counted: Iterable[bytes] | None = None
    ) -> bool:
        if level == 0:
            return False
        counted = self.counted(known) if counted is None else counted
        decisions = [
            e
            for e in counted
            if self._changes(self.events[e], who) and self._rank(e) < level and self.events[e].by != who
        ]
        numbers: dict[int, set[bytes]] = {}
        for e in known:
            if self.events[e].by == who and self.events[e].seq <= seq:
                numbers.setdefault(self.events[e].seq, set()).add(e)
        for fork in numbers.values():
            past = event is not None and any(event.id in self.ancestors[d] for d in decisions)
            after = [d for d in decisions if event is None or d in self.ancestors[event.id]]
            if len(fork) > 1 and not past and not any(fork <= self.ancestors[d] for d in after):
                return True
        return False

    # --- state ---------------------------------------------------------------------------------------------------

    def depth(self, e: bytes) -> int:
        return 1 + max((self.depth(parent) for parent in self.events[e].parents), default=-1)

    def role(self, who: bytes, counted: Ids) -> int:
        """The level of somebody by events that count, 99 if they are no member."""
        about = [self.events[e] for e in counted if self._changes(self.events[e], who)]
        if any(e.op == REMOVE for e in about):
            return 99
        newest = [e for e in about if not any(e.id in self.ancestors[other.id] for other in about)]
        if newest:
            rank = min(self._rank(e.id) for e in newest)
            return max(self._gives(e, who) for e in newest if self._rank(e.id) == rank)
        first = min((e for e in counted if who in self.events[e].added), key=lambda e: (self.depth(e), e), default=None)
        return self.events[first].added[who][3] if first else 99

    def _rank(self, e: bytes) -> int:
        return -1 if e in self.completes else self.level[e]

    def _changes(self, event: Event, who: bytes) -> bool:
        if event.op == HAND_OVER:
            return who in (event.args[0], event.by)
        if event.id in self.completes:
            return who == event.args[0] or who in self.completes[event.id]
        return self._about(event, who)

    def _gives(self, event: Event, who: bytes) -> int:
        if event.op == ROLE:
            level: int = event.args[1]
            return level
        if who in self.completes.get(event.id, ()):
            return 9
        return 1 if event.op == HAND_OVER and who != event.args[0] else 0

    def view(self, known: Ids | None = None) -> View:
        """The state of some events; of all by default."""
        known = frozenset(self.events) if known is None else known
        if known in self._views:
            return self._views[known]
        counted = self.counted(known)
        in_order = sorted((self.events[e] for e in counted), key=lambda e: (self.depth(e.id), e.id))
        everybody = frozenset(who for e in known for who in self.events[e].added)
        members, there, left = {}, set(), {e.by for e in in_order if e.op == LEAVE}
        for who in everybody:
            level = self.role(who, counted)
            given = any(self._changes(e, who) and e.op != REMOVE for e in in_order)
            adds = [e for e in in_order if who in e.added] or [
                self.events[e] for e in known if who in self.events[e].added and given
            ]
            if not adds:
                continue
            there.add(who)
            first = min(adds, key=lambda e: (self.depth(e.id), e.id))
            if level != 99 and who not in left:
                members[who] = level, first.added[who][0]
        settings, muted, successor = {}, {}, None
        for event in in_order:
            if event.op == FOUND:
                settings.update(dict(event.args[0]))
            if event.op == SET:
                settings[event.args[0]] = event.args[1]
            if event.op == MUTE:
                muted[event.args[0]] = event.args[1]
            if event.op == SUCCESSOR:
                successor = event.args[0]
        makers = {e.id for e in in_order if e.mode}
        epochs = frozenset(e for e in makers if not any(e in self.ancestors[other] for other in makers))
        self._views[known] = View(members, frozenset(there), settings, muted, epochs, successor)
        return self._views[known]
