"""The chains of an epoch that nobody has used yet, 64 in a row: in a large group most members write nothing in most
epochs, and a row for each of them would take longer than all else that an epoch costs.

A chain that is used is deleted here in the same transaction, and has a row of its own from then on (`epochs`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.store.database import Database

IN_A_ROW = 64
ENTRY_BYTES = MEMBER_ID_BYTES + KEY_BYTES
_ADD = "INSERT INTO group_chain_starts (epoch, first, chains) VALUES (?, ?, ?)"
_ROW = "SELECT first, chains FROM group_chain_starts WHERE epoch = ? AND first <= ? ORDER BY first DESC LIMIT 1"
_ROWS = "SELECT first, chains FROM group_chain_starts WHERE epoch = ? ORDER BY first"
FEW = 4
"""Members whose rows are read one by one, and not all rows of the epoch."""
_CHANGE = "UPDATE group_chain_starts SET chains = ? WHERE epoch = ? AND first = ?"


class _StartsRow(NamedTuple):
    """A row. first: the member whose chain was the first one in it."""

    first: bytes
    chains: bytes


def add(db: Database, epoch: int, keys: Mapping[MemberId, bytes]) -> None:
    """Save the keys of all chains of the epoch with this pk at their beginnings."""
    ordered = [member + keys[member] for member in sorted(keys)]
    cut = [ordered[start : start + IN_A_ROW] for start in range(0, len(ordered), IN_A_ROW)]
    db.executemany(_ADD, [(epoch, entries[0][:MEMBER_ID_BYTES], b"".join(entries)) for entries in cut])


def get(db: Database, epoch: int, member: MemberId) -> Chain | None:
    """Return a member's chain in an epoch, if it was not used, or None."""
    return several(db, epoch, [member]).get(member)


def several(db: Database, epoch: int, members: Collection[MemberId]) -> dict[MemberId, Chain]:
    """Return the chains of those of these members who have not used theirs in an epoch."""
    found = {}
    for row, owners in _rows(db, epoch, members):
        for member in owners:
            place = _place(row.chains, member)
            if place is not None:
                found[member] = Chain(row.chains[place + MEMBER_ID_BYTES : place + ENTRY_BYTES])
    return found


def remove_all(db: Database, epoch: int, members: Collection[MemberId]) -> None:
    """Delete the chains of these members in an epoch from here, those that are here."""
    for row, owners in _rows(db, epoch, members):
        places = {_place(row.chains, member) for member in owners}
        entries = range(0, len(row.chains), ENTRY_BYTES)
        left = b"".join(row.chains[place : place + ENTRY_BYTES] for place in entries if place not in places)
        db.execute(_CHANGE, (left, epoch, row.first))


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


def _place(chains: bytes, member: MemberId) -> int | None:
    """Return where a member's entry is in a row, in bytes, or None."""
    low, high = 0, len(chains) // ENTRY_BYTES
    while low < high:
        middle = (low + high) // 2
        start = middle * ENTRY_BYTES
        if chains[start : start + MEMBER_ID_BYTES] < member:
            low = middle + 1
        else:
            high = middle
    place = low * ENTRY_BYTES
    return place if chains[place : place + MEMBER_ID_BYTES] == member else None
