"""How much one contact may have us store: so many bytes a day, and so many unread; beyond that their mail waits.

What an accepted contact writes is kept. Without a bound one of them fills the disk, and then nothing can be received
from anybody. What becomes of mail that there is no room for: see `withholding`.

What was stored today is counted in memory: nobody but its owner can start a node anew, and what that gives away is one
more day's worth.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from p2pchat.core.ids import ContactId, direct_chat
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store import chats as store_chats
from p2pchat.store.database import Database

ROW_BYTES = 512
"""What any content costs beside its own bytes: its row, those of its envelope and its receipt, and its indices."""
SCARCE_DISK_BYTES = 256 * 2**20
MAX_UNREAD_BYTES_WHERE_SCARCE = 16 * 2**20
"""Where fewer bytes than those are free, only contacts with less than this may add to it: unread, or of what nobody has
to read (edits, timers, deletes) and came since.
"""
BELIEVE_FULL_FOR_MS = 2 * HOUR_MS
"""A contact's node that is still full says so again within the hour."""


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """What one contact may have us store, in bytes; 0 for as much as they like."""

    daily: int = 64 * 2**20
    unread: int = 1024 * 2**20


DEFAULT_LIMITS = ContactLimits()


@dataclass
class _Account:
    """What one contact has used. left: bytes of the day's, at the time `at`; unread: bytes, None where not read yet;
    unseen: bytes of what nobody has to read and came while the disk was nearly full.
    """

    left: float
    at: int
    unread: int | None = None
    unseen: int = 0


@dataclass
class StorageLimits:
    """The accounts of all contacts. Only in transactions, but for `withheld` and `is_told_full`, which any thread may
    ask.
    """

    limits: ContactLimits = DEFAULT_LIMITS
    withheld: set[ContactId] = field(default_factory=set)
    """Contacts whose mail waits for room here."""
    scarce: bool = False
    """The disk was nearly full in the last hourly run."""
    _accounts: dict[ContactId, _Account] = field(default_factory=dict)
    said: dict[ContactId, int] = field(default_factory=dict)
    warned: dict[ContactId, int] = field(default_factory=dict)
    """When each contact was told so last, and when a person was told of it; see `withholding`."""
    _told: dict[ContactId, int] = field(default_factory=dict)
    _spent: list[tuple[_Account, int, int]] = field(default_factory=list)
    _before: tuple[set[ContactId], dict[ContactId, int], dict[ContactId, int]] | None = None
    """What this transaction has spent, and `withheld`, `said` and `warned` as it found them, where it changed them."""

    def has_room(self, db: Database, contact: ContactId, size: int, now: int, unread: int | None = None) -> bool:
        """Return whether a content of `size` bytes of this contact may be stored now. unread: bytes of theirs, where
        that is known: 0 for a member, whose messages are in no chat of their own.
        """
        account = self._account(contact, now)
        if self.limits.daily and account.left < size + ROW_BYTES:
            return False
        most = self._max_unread()
        if not most:
            return True
        if account.unread is None:
            read = store_chats.unread_bytes
            account.unread = read(db, direct_chat(contact), ROW_BYTES) if unread is None else unread
        return account.unread + account.unseen + size + ROW_BYTES <= most

    def spend(self, contact: ContactId, size: int, now: int, *, unread: bool, kept: bool = True) -> None:
        """Book a content of `size` bytes that is being stored. unread: whether it is one that a person has to read;
        kept: whether anything of it stays.
        """
        account = self._account(contact, now)
        account.left -= size + ROW_BYTES
        unseen = size + ROW_BYTES if self.scarce and kept and not unread else 0
        account.unseen += unseen
        self._spent.append((account, size + ROW_BYTES, unseen))
        if unread and account.unread is not None:
            account.unread += size + ROW_BYTES

    def recount(self, contact: ContactId) -> None:
        """Count anew what is unread of a contact: something was read or deleted."""
        if contact in self._accounts:
            self._accounts[contact].unread = None

    def withhold(self, contact: ContactId) -> None:
        """Let this contact's mail wait for room."""
        self._keep()
        self.withheld.add(contact)

    def take_again(self, contact: ContactId) -> None:
        """Take this contact's mail again."""
        self._keep()
        self.withheld.discard(contact)

    def settle(self) -> None:
        """Let what the transaction changed stay: it is on the disk."""
        self._spent.clear()
        self._before = None

    def forget(self) -> None:
        """Take back what a transaction that failed spent, withheld and let in, and count anew what is unread."""
        for account, size, unseen in self._spent:
            account.left += size
            account.unseen -= unseen
        if self._before is not None:
            self.withheld, self.said, self.warned = self._before
        for account in self._accounts.values():
            account.unread = None
        self.settle()

    def _keep(self) -> None:
        """Remember what there is, before it changes."""
        if self._before is None:
            self._before = set(self.withheld), dict(self.said), dict(self.warned)

    def told_full(self, contact: ContactId, now: int) -> None:
        """Note that the contact's node has no room for more of ours, at `now` (ms)."""
        self._told[contact] = now

    def is_told_full(self, contact: ContactId, now: int) -> bool:
        """Return whether it said so lately; `now` in ms."""
        at = self._told.get(contact)
        return at is not None and at <= now < at + BELIEVE_FULL_FOR_MS

    def check_disk(self, db: Database) -> None:
        """See whether the disk is nearly full."""
        self.scarce = shutil.disk_usage(db.path.parent).free < SCARCE_DISK_BYTES
        if not self.scarce:
            for account in self._accounts.values():
                account.unseen = 0

    def _max_unread(self) -> int:
        most = self.limits.unread
        if not self.scarce:
            return most
        return min(most or MAX_UNREAD_BYTES_WHERE_SCARCE, MAX_UNREAD_BYTES_WHERE_SCARCE)

    def _account(self, contact: ContactId, now: int) -> _Account:
        account = self._accounts.get(contact)
        if account is None:
            account = self._accounts[contact] = _Account(self.limits.daily, now)
        if now != account.at:  # within a transaction it is the same; a clock that was set back gives nothing
            gained = max(0, now - account.at) * self.limits.daily / DAY_MS
            account.left, account.at = min(self.limits.daily, account.left + gained), now
        return account
