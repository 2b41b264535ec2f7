"""What is said of an event besides what was done: whether it counts, and why not."""

from __future__ import annotations

from enum import StrEnum

from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.ids import EventId


class EventStanding(StrEnum):
    """Whether an event counts.

    Void: a senior had taken away its author's rights, or what the author had them from is void. Suspended: its author
    signed two events with one number, so told different people different things, and no senior has decided about that.
    """

    COUNTS = "counts"
    VOID = "void"
    SUSPENDED = "suspended"


def standing(log: MembershipLog, event: EventId) -> EventStanding:
    """Return whether an event counts, as of everything that is known."""
    if log.counts(event):
        return EventStanding.COUNTS
    return EventStanding.SUSPENDED if log.author(event) in log.state.suspended else EventStanding.VOID


def shows_a_fork(log: MembershipLog, event: EventId) -> bool:
    """Tell whether by this event its author has become somebody who signed two events with one number: whoever has
    both can show that to anybody. Of one author this holds for the first two of them.
    """
    forks = log.forks(log.author(event))
    return len(forks) == 1 and len(forks[0]) == 2 and event in forks[0]
