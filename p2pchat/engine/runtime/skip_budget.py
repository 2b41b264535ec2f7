"""How much work with skipped messages a contact may give us.

One envelope can say that 20,000 others before it were lost, and then as many message keys have to be derived and kept:
half a second in which the node does nothing else. Once that is right (a relay has lost what it kept), again and again
it is a flood. So each contact has a budget of skipped keys, which fills up slowly. What goes beyond it is refused like
anything that cannot be opened: an honest sender renews the session, in which nothing is missing, or sends it again
within the hour, when the budget is full again.

It is kept in memory: nobody but its owner can start a node anew, and what that gives away is one more burst. It is
spent when the keys are about to be derived, so a body that then does not open, or a transaction that is undone, is paid
for.
"""

from __future__ import annotations

from p2pchat.core.ids import ContactId
from p2pchat.core.ratchet import MAX_SKIPPED

BURST = MAX_SKIPPED
"""What a chain may skip, once: a contact whose whole backlog was lost on its way is still read."""
REFILL_PER_MINUTE = 1_000
"""The burst is back after 20 minutes. At 25 µs a key that is half a thousandth of one core."""
MAX_PER_TRANSACTION = MAX_SKIPPED
"""Keys derived in one transaction, for all contacts together. An envelope that finds this used up waits for the next
transaction.
"""
MAX_PER_BRIEF_TRANSACTION = 100
"""The same in a turn that stops the loop. What needs more goes into a turn of the worker's thread."""


class SkipBudget:
    """What is left of each contact's budget."""

    def __init__(self) -> None:
        self._left: dict[ContactId, tuple[int, int]] = {}  # (60,000ths of a key, when)

    def left(self, contact: ContactId, now: int) -> int:
        """Return how many keys the contact may make us derive now (`now` in ms)."""
        return self._units(contact, now) // 60_000

    def spend(self, contact: ContactId, count: int, now: int) -> None:
        """Book `count` keys that are about to be derived; `now` in ms."""
        self._left[contact] = max(0, self._units(contact, now) - count * 60_000), now

    def _units(self, contact: ContactId, now: int) -> int:
        full = BURST * 60_000
        left, at = self._left.get(contact, (full, now))
        return min(full, left + max(0, now - at) * REFILL_PER_MINUTE)  # a clock that was set back gives nothing
