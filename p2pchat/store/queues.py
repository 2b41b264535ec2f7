"""Queues at relays: our own, from which we collect, and others', in which we deposit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from p2pchat.core.ids import NO_DEVICE, DeviceId, InviteId, MailOwner, PeerKey, QueueId
from p2pchat.core.mailbox import Queue
from p2pchat.core.primitives import sign_public
from p2pchat.store import relays
from p2pchat.store.database import Database


@dataclass(frozen=True, slots=True, repr=False)
class OwnQueueRow:
    """A queue of ours at one relay, for a `device` or of an `invite`. put_seed: is sent to the device; None for an
    invite's queue, where it follows from the secret. read_until: set once it is not announced any more. chosen: whether
    the user chose the relay; otherwise the contact named it.
    """

    device: DeviceId | None
    invite: InviteId | None
    relay: PeerKey
    addresses: tuple[bytes, ...]
    token: bytes
    fetch_seed: bytes
    put: bytes
    put_seed: bytes | None
    flags: int
    made_at: int
    read_until: int | None = None
    chosen: bool = True

    @property
    def fetch(self) -> bytes:
        """The queue's public key for fetching."""
        return sign_public(self.fetch_seed)

    @property
    def qid(self) -> QueueId:
        """The queue's id at the relay."""
        return Queue(self.fetch, self.put, self.flags).id


@dataclass(frozen=True, slots=True, repr=False)
class TheirQueueRow:
    """A queue that we deposit in: of a `device`, or the box of an `invite` of ours. until: the last time (ms) for a
    deposit. id: set by `deposit_in`.
    """

    device: DeviceId | None
    invite: InviteId | None
    relay: PeerKey
    address: bytes
    token: bytes
    fetch: bytes
    put_seed: bytes
    flags: int
    until: int
    id: int = 0

    @property
    def owner(self) -> MailOwner:
        """The owner of the outbox rows that are deposited there: the device, or the invite."""
        return self.device or self.invite or NO_DEVICE


_OWN = (
    "SELECT device, invite, relay, addresses, token, fetch_seed, put, put_seed, flags, made_at, read_until, chosen"
    " FROM own_queues "
)
_ADD_OWN = (
    "INSERT INTO own_queues (qid, device, invite, relay, addresses, token, fetch_seed, put, put_seed, flags, made_at,"
    " read_until, chosen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_THEIRS = "SELECT device, invite, relay, address, token, fetch, put_seed, flags, until, id FROM their_queues "
_ADD_THEIRS = (
    "INSERT INTO their_queues (device, invite, relay, address, token, fetch, put_seed, flags, until)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHANGE_THEIRS = (
    "UPDATE their_queues SET address = ?, token = ?, until = ?"
    " WHERE device IS ? AND invite IS ? AND relay = ? AND fetch = ? AND put_seed = ? AND flags = ?"
)


# --- ours -----------------------------------------------------------------------------------------------------------


def collect_from(db: Database, row: OwnQueueRow) -> None:
    """Save a new queue of ours."""
    db.execute(
        _ADD_OWN,
        (
            row.qid,
            row.device,
            row.invite,
            row.relay,
            relays.pack(row.addresses),
            row.token,
            row.fetch_seed,
            row.put,
            row.put_seed,
            row.flags,
            row.made_at,
            row.read_until,
            row.chosen,
        ),
    )


def own(db: Database, owner: MailOwner | None = None) -> list[tuple[QueueId, OwnQueueRow]]:
    """Return every queue that we collect from, with its id; or those for a device, or of an invite."""
    of, values = ("", ()) if owner is None else ("WHERE device = ?1 OR invite = ?1 ", (owner,))
    rows = db.query(_OWN.replace("SELECT", "SELECT qid,") + of + "ORDER BY made_at, qid", values)
    return [(qid, _own(row)) for qid, *row in rows]


def own_counts(db: Database) -> dict[PeerKey, int]:
    """Return how many queues in use we have at each relay."""
    return dict(db.query("SELECT relay, count(*) FROM own_queues WHERE read_until IS NULL GROUP BY relay"))


def announced(db: Database, device: DeviceId) -> list[OwnQueueRow]:
    """Return the queues that are announced to a device, oldest first."""
    rows = db.query(_OWN + "WHERE device = ? AND read_until IS NULL ORDER BY made_at, qid", (device,))
    return [_own(row) for row in rows]


def retire(db: Database, row: OwnQueueRow, read_until: int) -> None:
    """Keep reading a queue that is not announced any more until `read_until` (ms)."""
    db.execute("UPDATE own_queues SET read_until = ? WHERE relay = ? AND qid = ?", (read_until, row.relay, row.qid))


def move(db: Database, row: OwnQueueRow, addresses: tuple[bytes, ...], token: bytes, *, chosen: bool) -> None:
    """Change the addresses and the token of the relay of a queue of ours, and whether it was chosen here."""
    values = (relays.pack(addresses), token, chosen, row.relay, row.qid)
    db.execute("UPDATE own_queues SET addresses = ?, token = ?, chosen = ? WHERE relay = ? AND qid = ?", values)


def collect_no_more(db: Database, *, device: DeviceId | None = None, invite: InviteId | None = None) -> bool:
    """Delete our queues for a device, or of an invite. Return whether there were any."""
    return db.execute("DELETE FROM own_queues WHERE device = ? OR invite = ?", (device, invite)) > 0


# --- others' --------------------------------------------------------------------------------------------------------


def theirs(db: Database, owner: MailOwner | None = None) -> list[TheirQueueRow]:
    """Return every queue that we deposit in, or those of a device, or the boxes of an invite."""
    of, values = ("", ()) if owner is None else ("WHERE device = ?1 OR invite = ?1 ", (owner,))
    return [TheirQueueRow(*row) for row in db.query(_THEIRS + of + "ORDER BY id", values)]


def owners_at(db: Database, relay: PeerKey) -> list[MailOwner]:
    """Return whose queues we deposit in at a relay."""
    rows = db.query("SELECT DISTINCT coalesce(device, invite) FROM their_queues WHERE relay = ?", (relay,))
    return [owner for (owner,) in rows]


def deposit_in(db: Database, row: TheirQueueRow) -> None:
    """Add a queue to deposit in. An existing one keeps its id, and so the record of what is in it."""
    known = (row.device, row.invite, row.relay, row.fetch, row.put_seed, row.flags)
    if not db.execute(_CHANGE_THEIRS, (row.address, row.token, row.until, *known)):
        db.execute(_ADD_THEIRS, (row.device, row.invite, row.relay, row.address, row.token, *known[3:], row.until))


def deposit_no_more(db: Database, device: DeviceId, flags: int, but: Collection[TheirQueueRow] = ()) -> bool:
    """Delete a device's queues with these flags, except some. Return whether there were others. The record of what is
    in them is deleted too, so it is deposited elsewhere again.
    """
    kept = {(row.relay, row.fetch, row.put_seed) for row in but}
    gone = [
        row.id for row in theirs(db, device) if row.flags == flags and (row.relay, row.fetch, row.put_seed) not in kept
    ]
    db.executemany("DELETE FROM their_queues WHERE id = ?", [(id,) for id in gone])
    return bool(gone)


def has_queue(db: Database, invite: InviteId) -> bool:
    """Return whether we collect from a queue of this invite of ours."""
    return db.query_one("SELECT 1 FROM own_queues WHERE invite = ?", (invite,)) is not None


def leave_box(db: Database, invite: InviteId) -> None:
    """Delete the boxes of one of our invites."""
    db.execute("DELETE FROM their_queues WHERE invite = ?", (invite,))


def expire(db: Database, now: int) -> set[MailOwner]:
    """Delete the queues that have expired, and return their owners. now: ms."""
    owners: set[MailOwner] = set()
    for queues in ("own_queues WHERE read_until <= ?", "their_queues WHERE until <= ?"):
        owners.update(owner for (owner,) in db.query("SELECT coalesce(device, invite) FROM " + queues, (now,)))
        db.execute("DELETE FROM " + queues, (now,))
    return owners


def retired(db: Database, device: DeviceId, *, chosen: bool) -> list[tuple[PeerKey, QueueId]]:
    """Return (relay, id) of the retired queues for a device at relays that were `chosen` here, or were not, newest
    first.
    """
    rows = db.query(
        "SELECT relay, qid FROM own_queues WHERE device = ? AND read_until IS NOT NULL AND chosen = ?"
        " ORDER BY read_until DESC, made_at DESC, qid",
        (device, chosen),
    )
    return [(relay, qid) for relay, qid in rows]


def drop(db: Database, queues: Collection[tuple[PeerKey, QueueId]]) -> None:
    """Delete these queues of ours, by (relay, id)."""
    db.executemany("DELETE FROM own_queues WHERE relay = ? AND qid = ?", queues)


def _own(row: Sequence[Any]) -> OwnQueueRow:
    device, invite, relay, addresses, *rest = row
    rest[-1] = bool(rest[-1])
    return OwnQueueRow(device, invite, relay, relays.unpack(addresses), *rest)
