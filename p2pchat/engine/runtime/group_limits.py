"""How much a member of a group may have us do for nothing: refuse events, replace keys, derive keys of messages, go to
relays, make new keys, look for contacts.

What members write is on their account in `storage_limits`, and what counts of the membership log has the log's own
bounds. The rest would be without end: an event that its author has no right to is verified and judged each time, new
keys of a member take the place of those before, and whoever is in a group can make up a message of anybody there that
says that thousands before it were lost, for which as many keys are derived before it turns out not to open.

It is kept in memory, as `skip_budget` is, and spent also where a transaction is undone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from p2pchat.core.ids import ChatId, MemberId
from p2pchat.lib.times import DAY_MS, MINUTE_MS


class _Allowance(NamedTuple):
    """`burst` at once, and as much again in each `span_ms`."""

    burst: int
    span_ms: int


ERRORS = _Allowance(64, DAY_MS)
"""Events of one author that are refused after they were verified. An honest node makes none."""
UPDATES = _Allowance(8, DAY_MS)
"""Times that a member replaces keys or name. An honest node does so about once a month."""
RELAYS = _Allowance(30, DAY_MS)
"""Relays that a group has us go to where we did not go before: its three change ten times. Few change in a year."""
LOSSES = _Allowance(4, DAY_MS)
"""Times that a member has new keys made for all. An honest node asks for them daily at most."""
MEETS = _Allowance(8, DAY_MS)
"""Times that a member's marks are compared with those of all contacts. An honest node sends them when it joins."""
FREE_KEYS = 64
"""Keys that may be derived for any message: about as much work as to open it."""
KEYS = _Allowance(20_000, 20 * MINUTE_MS)
"""Keys that are derived for messages said to be of one member."""
KEYS_OF_GROUP = _Allowance(100_000, 20 * MINUTE_MS)
"""The same for all members together: a quarter of a second of work."""


class GroupLimits:
    """What is left to each member of each group. Times are in ms."""

    def __init__(self) -> None:
        self._left: dict[tuple[Hashable, ...], tuple[float, int]] = {}

    def may_err(self, chat: ChatId, author: MemberId, now: int) -> bool:
        """Return whether one more event of this author may be verified and judged."""
        return self._room(ERRORS, ("errors", chat, author), now) >= 1

    def erred(self, chat: ChatId, author: MemberId, now: int) -> None:
        """Book an event that this author signed and had no right to."""
        self._spend(ERRORS, ("errors", chat, author), 1, now)

    def may_update(self, chat: ChatId, author: MemberId, now: int) -> bool:
        """Return whether a member may replace keys or name once more."""
        return self._room(UPDATES, ("updates", chat, author), now) >= 1

    def updated(self, chat: ChatId, author: MemberId, now: int) -> None:
        """Book that a member has done so."""
        self._spend(UPDATES, ("updates", chat, author), 1, now)

    def may_move(self, chat: ChatId, now: int) -> bool:
        """Return whether we may go to one more relay for a group, and book it."""
        return self._take_one(RELAYS, ("relays", chat), now)

    def may_lose(self, chat: ChatId, member: MemberId, now: int) -> bool:
        """Return whether a member may have new keys made once more, and book it."""
        return self._take_one(LOSSES, ("losses", chat, member), now)

    def may_meet(self, chat: ChatId, member: MemberId, now: int) -> bool:
        """Return whether a member's marks may be looked at once more, and book it."""
        return self._take_one(MEETS, ("meets", chat, member), now)

    def may_skip(self, chat: ChatId, author: MemberId, count: int, now: int) -> bool:
        """Return whether `count` keys may be derived for a message that is said to be of this member, and book them."""
        if count <= FREE_KEYS:
            return True
        if self._room(KEYS, ("keys", chat, author), now) < count or self._room(KEYS_OF_GROUP, (chat,), now) < count:
            return False
        self._spend(KEYS, ("keys", chat, author), count, now)
        self._spend(KEYS_OF_GROUP, (chat,), count, now)
        return True

    def _take_one(self, allowance: _Allowance, account: tuple[Hashable, ...], now: int) -> bool:
        if self._room(allowance, account, now) < 1:
            return False
        self._spend(allowance, account, 1, now)
        return True

    def _room(self, allowance: _Allowance, account: tuple[Hashable, ...], now: int) -> float:
        left, at = self._left.get(account, (float(allowance.burst), now))
        gained = max(0, now - at) * allowance.burst / allowance.span_ms  # a clock that was set back gives nothing
        return min(float(allowance.burst), left + gained)

    def _spend(self, allowance: _Allowance, account: tuple[Hashable, ...], count: int, now: int) -> None:
        self._left[account] = max(0.0, self._room(allowance, account, now) - count), now
