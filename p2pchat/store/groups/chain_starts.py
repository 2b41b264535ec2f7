"""The chains of an epoch that nobody has used yet: in a large group most members write nothing in most epochs, and a
row for each of them would take longer than all else that an epoch costs.

In a small epoch a row has 64 chains, each as the member's id and the key. In a large one a row has a branch that is
closed: its key, and the ids of its members. When the first of them uses a chain, the branch is opened: its key is
deleted, and the row has the chains of all the others. A chain that is used is deleted here in the same transaction, and
has a row of its own from then on (`epochs`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from p2pchat.core.groups import chains
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.store.database import Database

IN_A_ROW = 64
SMALL = 512
"""Members of an epoch up to which all its branches are opened at once."""
ENTRY_BYTES = MEMBER_ID_BYTES + KEY_BYTES
_ADD = "INSERT INTO group_chain_starts (epoch, first, branch, chains) VALUES (?, ?, ?, ?)"
_SELECT = "SELECT first, branch, chains FROM group_chain_starts WHERE epoch = ? "
_ROW = _SELECT + "AND first <= ? ORDER BY first DESC LIMIT 1"
_ROWS = _SELECT + "ORDER BY first"
FEW = 4
"""Members whose rows are read one by one, and not all rows of the epoch."""
_CHANGE = "UPDATE group_chain_starts SET branch = NULL, chains = ? WHERE epoch = ? AND first = ?"


class _StartsRow(NamedTuple):
    """A row. first: the member whose chain was the first one in it. branch: the key of a closed branch; None where
    `chains` has keys. chains: ids, or ids with keys, in order.
    """

    first: bytes
    branch: bytes | None
    chains: bytes

    @property
    def entry_bytes(self) -> int:
        """The size of an entry of `chains`."""
        return ENTRY_BYTES if self.branch is None else MEMBER_ID_BYTES

    def key(self, member: MemberId) -> bytes | None:
        """Return the key with which a member's chain begins, None if it is not here."""
        place = self.place(member)
        if place is None:
            return None
        if self.branch is not None:
            return chains.head_keys(self.branch, [member])[0]
        return self.chains[place + MEMBER_ID_BYTES : place + ENTRY_BYTES]

    def place(self, member: MemberId) -> int | None:
        """Return where a member's entry is, in bytes, or None."""
        low, high = 0, len(self.chains) // self.entry_bytes
        while low < high:
            middle = (low + high) // 2
            start = middle * self.entry_bytes
            if self.chains[start : start + MEMBER_ID_BYTES] < member:
                low = middle + 1
            else:
                high = middle
        place = low * self.entry_bytes
        return place if self.chains[place : place + MEMBER_ID_BYTES] == member else None

    def without(self, members: Collection[MemberId]) -> bytes:
        """Return the entries of all others, with their keys."""
        places = sorted({place for member in members if (place := self.place(member)) is not None})
        size = self.entry_bytes
        starts, ends = [0, *(place + size for place in places)], [*places, len(self.chains)]
        left = b"".join([self.chains[start:end] for start, end in zip(starts, ends, strict=True)])
        if self.branch is None:
            return left
        return _entries(self.branch, [MemberId(left[at : at + size]) for at in range(0, len(left), size)])


def add(db: Database, epoch: int, branches: Sequence[bytes], members: Collection[MemberId]) -> None:
    """Save what the chains of these members in the epoch with this pk come from. branches: `chains.branch_keys`."""
    by_branch = chains.by_branch(branches, members)
    if len(members) <= SMALL:
        joined = b"".join(_entries(branch, owners) for branch, owners in by_branch)
        step = IN_A_ROW * ENTRY_BYTES
        cut = [joined[start : start + step] for start in range(0, len(joined), step)]
        db.executemany(_ADD, [(epoch, entries[:MEMBER_ID_BYTES], None, entries) for entries in cut])
    else:
        db.executemany(_ADD, [(epoch, owners[0], branch, b"".join(owners)) for branch, owners in by_branch])


def _entries(branch: bytes, members: Sequence[MemberId]) -> bytes:
    keys = chains.head_keys(branch, members)
    return b"".join(id + key for id, key in zip(members, keys, strict=True))


def get(db: Database, epoch: int, member: MemberId) -> Chain | None:
    """Return a member's chain in an epoch, if it was not used, or None."""
    return several(db, epoch, [member]).get(member)


def several(db: Database, epoch: int, members: Collection[MemberId]) -> dict[MemberId, Chain]:
    """Return the chains of those of these members who have not used theirs in an epoch."""
    keys = ((member, row.key(member)) for row, owners in _rows(db, epoch, members) for member in owners)
    return {member: Chain(key) for member, key in keys if key is not None}


def remove_all(db: Database, epoch: int, members: Collection[MemberId]) -> None:
    """Delete the chains of these members in an epoch from here, those that are here, and what they come from."""
    used: dict[_StartsRow, list[MemberId]] = {}
    for row, owners in _rows(db, epoch, members):  # few members come one by one, and two may be of one row
        used.setdefault(row, []).extend(owners)
    if used:
        db.executemany(_CHANGE, [(row.without(owners), epoch, row.first) for row, owners in used.items()])


def remove(db: Database, epoch: int, member: MemberId) -> None:
    """Delete a member's chain in an epoch from here, if it is here."""
    remove_all(db, epoch, [member])


def count(db: Database, epoch: int) -> int:
    """Return how many chains of an epoch are here."""
    ((size,),) = db.query("SELECT total(length(chains)) FROM group_chain_starts WHERE epoch = ?", (epoch,))
    return int(size) // ENTRY_BYTES


def clear(db: Database, epoch: int) -> None:
    """Delete all chains of an epoch that are here."""
    db.execute("DELETE FROM group_chain_starts WHERE epoch = ?", (epoch,))


def _rows(db: Database, epoch: int, members: Collection[MemberId]) -> Iterator[tuple[_StartsRow, Collection[MemberId]]]:
    """Yield the rows in which the chains of these members are, if they are here, each with whose."""
    if len(members) <= FEW:
        for member in members:
            if (row := db.query_one(_ROW, (epoch, member))) is not None:
                yield _StartsRow(*row), [member]
        return
    rows = [_StartsRow(*row) for row in db.query(_ROWS, (epoch,))]
    firsts, owners = [row.first for row in rows], dict[int, list[MemberId]]()
    for member in members:
        owners.setdefault(bisect_right(firsts, member) - 1, []).append(member)
    for number, theirs in owners.items():
        if number >= 0:
            yield rows[number], theirs
