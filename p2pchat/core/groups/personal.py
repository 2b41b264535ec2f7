"""Events that concern their author alone: new keys, and leaving as a member.

They name events and are never named. Only the newest of each author is needed, so that members who change their keys
every month do not make the log grow.
"""

from __future__ import annotations

from p2pchat.core.groups.ancestry import bare
from p2pchat.core.groups.events import GroupEvent, UpdateMember
from p2pchat.core.ids import EventId, MemberId


class PersonalEvents:
    """The newest update of each member, and who has left. Which one counts depends on nothing but the events: of
    updates the highest number and then the smallest id, of others the smallest id.
    """

    def __init__(self) -> None:
        self.updates: dict[MemberId, GroupEvent] = {}
        self.leaves: dict[MemberId, GroupEvent] = {}
        self.ids: set[EventId] = set()
        self.changed: set[MemberId] = set()
        """Authors of what was taken since somebody emptied it."""

    def take(self, event: GroupEvent) -> tuple[EventId, ...]:
        """Take an event. Returns those that are not needed any more; it may be among them."""
        newest = self.updates if isinstance(event.action, UpdateMember) else self.leaves
        before = newest.get(event.author_id)
        if before is not None and _order(before) <= _order(event):
            return (event.id,)
        newest[event.author_id] = bare(event)
        self.changed.add(event.author_id)
        self.ids.add(event.id)
        if before is None:
            return ()
        self.ids.discard(before.id)
        return (before.id,)

    def next_seq(self, author: MemberId) -> int:
        """Return the number of a member's next event of this kind."""
        return self.updates[author].seq + 1 if author in self.updates else 0


def _order(event: GroupEvent) -> tuple[int, EventId]:
    return (-event.seq if isinstance(event.action, UpdateMember) else 0, event.id)
