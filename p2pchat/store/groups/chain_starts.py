"""The chains of an epoch that nobody has used yet, 64 in a row: in a large group most members write nothing in most
epochs, and a row for each of them would take longer than all else that an epoch costs.

A chain that is used is deleted here in the same transaction, and has a row of its own from then on (`epochs`).
"""

from __future__ import annotations

from collections.abc import Mapping
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
_CHANGE = "UPDATE group_chain_starts SET chains = ? WHERE epoch = ? AND first = ?"


class _Found(NamedTuple):
    """A row that has a member's chain. place: of its entry, in bytes."""

    first: bytes
    chains: bytes
    place: int


def add(db: Database, epoch: int, chains: Mapping[MemberId, Chain]) -> None:
    """Save the beginnings of all chains of the epoch with this pk."""
    ordered = [member + chains[member].key for member in sorted(chains)]
    cut = [ordered[start : start + IN_A_ROW] for start in range(0, len(ordered), IN_A_ROW)]
    db.executemany(_ADD, [(epoch, entries[0][:MEMBER_ID_BYTES], b"".join(entries)) for entries in cut])


def get(db: Database, epoch: int, member: MemberId) -> Chain | None:
    """Return a member's chain in an epoch, if it was not used, or None."""
    found = _find(db, epoch, member)
    return None if found is None else Chain(found.chains[found.place :][MEMBER_ID_BYTES:ENTRY_BYTES])


def remove(db: Database, epoch: int, member: MemberId) -> None:
    """Delete a member's chain in an epoch from here, if it is here."""
    found = _find(db, epoch, member)
    if found is not None:
        left = found.chains[: found.place] + found.chains[found.place + ENTRY_BYTES :]
        db.execute(_CHANGE, (left, epoch, found.first))


def clear(db: Database, epoch: int) -> None:
    """Delete all chains of an epoch that are here."""
    db.execute("DELETE FROM group_chain_starts WHERE epoch = ?", (epoch,))


def _find(db: Database, epoch: int, member: MemberId) -> _Found | None:
    row = db.query_one(_ROW, (epoch, member))
    if row is None:
        return None
    first, chains = bytes(row[0]), bytes(row[1])
    low, high = 0, len(chains) // ENTRY_BYTES
    while low < high:
        middle = (low + high) // 2
        if chains[middle * ENTRY_BYTES :][:MEMBER_ID_BYTES] < member:
            low = middle + 1
        else:
            high = middle
    place = low * ENTRY_BYTES
    return _Found(first, chains, place) if chains[place : place + MEMBER_ID_BYTES] == member else None
