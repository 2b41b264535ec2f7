"""What the rules of a group were when a message was written, for those who read it long after.

The log has no clock. What counts for a message is what its author says to have known of it, and at least what the event
of its epoch knew: an author who claims to have known less can only say what could have been said then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from p2pchat.core.groups import strength
from p2pchat.core.groups.ancestry import LogEntry
from p2pchat.core.groups.events import ChangeSetting, Found, MuteMember
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.messages import GroupMessage
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import MemberId


class RulesThen(NamedTuple):
    """What bound the author of a message. settings: as written. role: the author's. muted_until: in ms, 0 for never."""

    settings: Mapping[str, Any]
    role: Role
    muted_until: int


class PastRules:
    """The events of a log that say what may be written, as they count now; made once for many messages."""

    def __init__(self, log: MembershipLog) -> None:
        self._graph, self._counted = log.graph, log.view.counted
        self._settings: list[LogEntry] = []
        self._mutes: dict[MemberId, list[LogEntry]] = {}
        for entry in self._graph.of(self._counted):
            action = entry.event.action
            if isinstance(action, ChangeSetting | Found):
                self._settings.append(entry)
            elif isinstance(action, MuteMember):
                self._mutes.setdefault(action.member, []).append(entry)
        self._settings.sort(key=lambda entry: entry.order)

    def of(self, message: GroupMessage) -> RulesThen:
        """Return what bound the author of a message, whose epoch is here. Raises KeyError if it is not."""
        epoch = self._graph.by_id[message.epoch]
        heads = [self._graph.by_id[head] for head in message.log_heads if head in self._graph.by_id]
        known = 0
        for entry in (epoch, *heads):
            known |= entry.ancestors | entry.bit
        settings: dict[str, Any] = {}
        for entry in _known(self._settings, known):
            action = entry.event.action
            settings |= dict(action.settings) if isinstance(action, Found) else {}
            settings |= {action.key: action.value} if isinstance(action, ChangeSetting) else {}
        mutes = list(_known(self._mutes.get(message.member, ()), known))
        mute = max(mutes, key=lambda entry: entry.order).event.action if mutes else None
        level = strength.level_of(self._graph, message.member, known & self._counted)
        return RulesThen(
            settings=settings,
            role=Role(level) if level in set(Role) else Role.OBSERVER,
            muted_until=mute.until if isinstance(mute, MuteMember) else 0,
        )


def _known(entries: Iterable[LogEntry], known: int) -> Iterable[LogEntry]:
    return (entry for entry in entries if known >> entry.index & 1)
