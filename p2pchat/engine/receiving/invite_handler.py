"""What comes of invites, ours and those that others gave us: `ports.InviteCallbacks`."""

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
    """Answers the joining dialogue, on both sides of it."""

    def __init__(self, committer: Committer, clock: Clock, clock_watch: ClockWatch) -> None:
        self._committer = committer
        self._clock = clock
        self._clock_watch = clock_watch
        self._rows: dict[InviteId, InviteRow] = {}
        self._followers: list[Callable[[Iterable[InviteId]], None]] = []
        self._told: set[InviteId] = set()

    def use(self, rows: Sequence[InviteRow]) -> None:
        """Answer for these invites of ours from now on, and no others."""
        old, self._rows = self._rows, {row.id: row for row in rows}
        changed = old.keys() ^ self._rows.keys()
        for told in self._followers:
            told(changed)

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        """Have `changed` told of the invites there are, by id, and from then on of those that came or went."""
        self._followers.append(changed)
        changed(self._rows)

    def offer(self, invite: InviteId) -> InviteOffer | None:
        """Return an invite of ours whose hello key is kept, a dead one too; or None. One that has ended only by a clock
        that may be wrong is doubtful: who was told that it has ended would give up.
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
        """Tell a person once that somebody without a first message of an earlier try holds an invite that is gone."""
        if invite not in self._told:
            self._told.add(invite)
            await self._committer.submit(invites.tried, invite, peer)

    async def admit(self, invite: InviteId, blob: bytes) -> bool:
        """Commit a first message of one bucket. Returns True if it is on disk, now or before."""
        return await self._committer.submit(invites.admit, invite, blob)

    async def pending(self, contact: ContactId) -> bytes | None:
        """Return the first message, one bucket, that was committed and is not acked; or None."""
        return await self._committer.read(store_outbox.initial, first_device(contact))

    async def answer_bundle(self, contact: ContactId, blob: bytes) -> bytes | None:
        """Make and commit the first message against the bundle offered, one bucket each. Returns None if it is not the
        invite's.
        """
        return await self._committer.submit(joining.answer, contact, blob)

    async def joined(self, contact: ContactId) -> None:
        """Note that the inviter has our first message on disk."""
        await self._committer.submit(reaching.joined, contact)

    async def refused(self, contact: ContactId, reason: int) -> None:
        """Give the invite up, which is used up or expired: `reason`, a number of `core.frames`."""
        await self._committer.submit(_refused, contact, reason)


def _gone_reason(row: InviteRow, now: int) -> int | None:
    if row.state == InviteState.USED:
        return frames.USED
    return frames.EXPIRED if row.state == InviteState.EXPIRED or row.expires_at <= now else None


def _refused(tx: Transaction, contact_id: ContactId, reason: int) -> None:
    contact = store_contacts.get(tx.db, contact_id)
    # a link may have shown meanwhile that it was our own first message that used the invite up
    if contact is not None and contact.state in ACCEPTED and contact.invite is not None:
        joining.give_up_invite(tx, contact, reason)
