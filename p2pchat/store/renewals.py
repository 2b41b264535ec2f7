"""The state of renewing the session with each device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from p2pchat.core.ids import DeviceId
from p2pchat.store.database import Database


@dataclass(frozen=True, slots=True, repr=False)
class RenewalRow:
    """The state of renewal with one device. All times are in ms; None means never, or settled.

    wanted_at      since when we know that no session can go on
    unread_at      since when something lay in our queue for the contact that could not be opened
    asked_at       when we asked over a link, while there is no answer; `said_at`: when we said it last
    requested_at   when we left a request at relays last
    asks_until, answers_until   how far what we ask and what we answer has used up what it may (see `renewal.allowed`)
    offered_at, offered   when the bundle we made for the device was sent last, and its number
    replaced       the session that was renewed last and the one in its place, one behind the other; or empty
    began_anew     the sessions that we began by fresh invites, one behind the other, until something has come in one
    lately         the times of the last renewals, 8 bytes each, oldest first
    told_at        when a person was told that the session breaks again and again
    """

    device: DeviceId
    wanted_at: int | None = None
    unread_at: int | None = None
    asked_at: int | None = None
    said_at: int | None = None
    requested_at: int | None = None
    asks_until: int = 0
    answers_until: int = 0
    offered_at: int | None = None
    offered: int | None = None
    replaced: bytes = b""
    began_anew: bytes = b""
    lately: bytes = b""
    told_at: int | None = None


_NAMES = tuple(field.name for field in fields(RenewalRow))
_values = attrgetter(*_NAMES)
_PUT = f"INSERT OR REPLACE INTO renewals ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"


def get(db: Database, device: DeviceId) -> RenewalRow:
    """Return the state of a device; a default row if nothing is known."""
    row = db.query_one(f"SELECT {', '.join(_NAMES)} FROM renewals WHERE device = ?", (device,))
    return RenewalRow(device) if row is None else RenewalRow(*row)


def put(db: Database, row: RenewalRow) -> None:
    """Save the state of a device."""
    db.execute(_PUT, _values(row))


def due(db: Database) -> list[DeviceId]:
    """Return the devices with which a new session is needed, or may be."""
    rows = db.query("SELECT device FROM renewals WHERE wanted_at IS NOT NULL OR unread_at IS NOT NULL")
    return [device for (device,) in rows]
