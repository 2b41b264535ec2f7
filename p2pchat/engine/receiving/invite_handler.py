"""Callbacks of the joining dialogue (`ports.InviteCallbacks`), for our own invites and for those that others
gave us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from p2pchat.core import frames
from p2pchat.core.ids import ContactId, InviteId, PeerKey, first_device
from p2pchat.engine.contacts import invites, joining, reaching
from p2pchat.engine.runtime.clock_watch import ClockWatch
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.ports import Clock, InviteOffer
from p2pchat.store import contacts as store_contacts
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import ACCEPTED
from p2pchat.store.invites import InviteRow, InviteState


class InviteHandler:
    """Answers the net's questions in the joining dialogue, on both sides of it."""

    def __init__(self, committer: Committer, clock: Clock, clock_watch: ClockWatch) -> None:
        self._committer = committer
        self._clock = clock
        self._clock_watch = clock_watch
        self._rows: dict[InviteId, InviteRow] = {}
        self._followers: list[Callable[[Iterable[InviteId]], None]] = []
        self._told: set[InviteId] = set()

    def use(self, rows: Sequence[InviteRow]) -> None:
        """Replace the set of our invites that are answered."""
        old, self._rows = self._rows, {row.id: row for row in rows}
        changed = old.keys() ^ self._rows.keys()
        for told in self._followers:
            told(changed)

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        """Call `changed` with the ids of all invites now, and later with those that are added or removed."""
        self._followers.append(changed)
        changed(self._rows)

    def offer(self, invite: InviteId) -> InviteOffer | None:
        """Return one of our invites whose hello key is kept, even if it has ended, or None. It is doubtful if it has
        ended only by a clock that may be wrong: a joiner who is told that it has ended gives up.
        """
        row, now, passed = self._rows.get(invite), self._clock(), self._clock_watch.passed
        if row is None:
            return None
        doubtful = row.state == InviteState.OPEN and passed < row.expires_at <= now
        return InviteOffer(row.id, row.hello, _gone_reason(row, now), row.hidden, doubtful)

    async def offer_bundle(self, invite: InviteId) -> bytes | None:
        """Return the sealed bundle of an open invite, one bucket; None where it is not open."""
        return await self._committer.submit(invites.offer, invite)

    async def tried(self, invite: InviteId, peer: PeerKey) -> None:
        """Warn the user, once for each invite, that a new joiner has tried an invite that cannot be used any more."""
        if invite not in self._told:
            self._told.add(invite)
            await self._committer.submit(invites.tried, invite, peer)

    async def admit(self, invite: InviteId, blob: bytes) -> bool:
        """Commit a first message of one bucket. Return True if it is on disk, now or from before."""
        return await self._committer.submit(invites.admit, invite, blob)

    async def pending(self, contact: ContactId) -> bytes | None:
        """Return the committed first message, one bucket, if it is not acked yet, else None."""
        return await self._committer.read(store_outbox.initial, first_device(contact))

    async def answer_bundle(self, contact: ContactId, blob: bytes) -> bytes | None:
        """Make and commit the first message for the bundle that was offered, one bucket each. Return None if the bundle
        is not the invite's.
        """
        return await self._committer.submit(joining.answer, contact, blob)

    async def joined(self, contact: ContactId) -> None:
        """Note that the inviter has our first message on disk."""
        await self._committer.submit(reaching.joined, contact)

    async def refused(self, contact: ContactId, reason: int) -> None:
        """Give up an invite that is used up or has expired. reason: a number of `core.frames`."""
        await self._committer.submit(_refused, contact, reason)


def _gone_reason(row: InviteRow, now: int) -> int | None:
    if row.state == InviteState.USED:
        return frames.USED
    return frames.EXPIRED if row.state == InviteState.EXPIRED or row.expires_at <= now else None


def _refused(tx: Transaction, contact_id: ContactId, reason: int) -> None:
    contact = store_contacts.get(tx.db, contact_id)
    # a link may have shown meanwhile that our own first message used up the invite
    if contact is not None and contact.state in ACCEPTED and contact.invite is not None:
        joining.give_up_invite(tx, contact, reason)
