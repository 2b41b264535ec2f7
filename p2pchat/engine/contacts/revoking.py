"""Revoking an invite."""

from __future__ import annotations

from p2pchat.core.invite import ONE_TIME
from p2pchat.engine.contacts import invites
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import AmbiguousName, NoSuchInvite, NotNow
from p2pchat.store import invites as store_invites
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store.invites import InviteRow, InviteState


def revoke(tx: Transaction, named: str) -> None:
    """Revoke an open invite, by the beginning of its id or by its label: its secret and private keys are deleted, its
    boxes at relays are closed, and anyone who uses it later is told that it is no longer valid. Raises `NoSuchInvite`,
    `AmbiguousName` or `NotNow`.
    """
    row = _find_invite(tx, named)
    if row.state != InviteState.OPEN or row.expires_at <= tx.now:
        raise NotNow("That invite is no longer open", hint="`p2pchat invites` shows which ones are.")
    end(tx, row)


def end(tx: Transaction, row: InviteRow) -> None:
    """End an open invite before its time."""
    store_invites.end(tx.db, row.id, tx.now)
    if row.kind == ONE_TIME and row.opk_id is not None:
        store_prekeys.delete(tx.db, store_prekeys.ONE_TIME, row.opk_id)
    invites.close(tx, row)


def _find_invite(tx: Transaction, named: str) -> InviteRow:
    wanted = named.strip().casefold()
    everything = store_invites.all(tx.db) if wanted else []
    meant = [row for row in everything if row.label.casefold() == wanted and row.state == InviteState.OPEN]
    meant = meant or [row for row in everything if row.id.hex().startswith(wanted)]
    if not meant:
        raise NoSuchInvite
    if len(meant) > 1:
        raise AmbiguousName(candidates=[f"{row.label} ({row.id.hex()})".strip() for row in meant])
    return meant[0]
