"""What a log says to somebody who knows certain of its events: tables that follow it event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from p2pchat.core.groups import strength
from p2pchat.core.groups.ancestry import (
    Ancestry,
    LogEntry,
    closes_invites,
    concerned,
    is_granted,
    makes_epoch,
    newcomers,
    opens,
)
from p2pchat.core.groups.events import (
    AddMembers,
    ChangeSetting,
    ConfirmRecovery,
    Found,
    HandOver,
    LeaveGroup,
    MergeEpochs,
    MuteMember,
    NameSuccessor,
    Newcomer,
    RecoverOwner,
    RemoveMembers,
    RotateEpoch,
    SetRole,
    UpdateMember,
)
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import INVITES, RECOVERY, RecoveryRule
from p2pchat.core.ids import MemberId


class LogView:
    """The tables of the events in `known`, which always contains all ancestors of what it contains.

    added: everybody who was ever added, and by what. roles: of everybody who is or was a member. gone: who was removed,
    or left as an admin or moderator, and by what. heads: events that no other knew. epochs: those that count, make an
    epoch, and were known to no other such. changed: members of whom something has changed since somebody emptied it;
    None: all may have.
    """

    def __init__(self, log: Ancestry) -> None:
        self._log = log
        self.known = 0
        self.void = 0
        self._clear()

    def _clear(self) -> None:
        self.added: dict[MemberId, tuple[LogEntry, Newcomer]] = {}
        self.roles: dict[MemberId, Role] = {}
        self.gone: dict[MemberId, LogEntry] = {}
        self.values: dict[str, LogEntry] = {}
        self.muted: dict[MemberId, LogEntry] = {}
        self.successor: LogEntry | None = None
        self.heads: tuple[LogEntry, ...] = ()
        self.epochs: tuple[LogEntry, ...] = ()
        self.changed: set[MemberId] | None = None

    @classmethod
    def of(cls, log: Ancestry, known: int) -> LogView:
        """Return the view of somebody who knows these, from scratch."""
        view = cls(log)
        view.known = known
        view.void = strength.void_bits(log, known)
        view._tabulate()
        return view

    @property
    def counted(self) -> int:
        """The bits of the events that count."""
        return self.known & ~self.void

    def is_member(self, member: MemberId) -> bool:
        """Tell whether somebody is a member."""
        return member in self.added and member not in self.gone

    def members(self) -> Iterator[MemberId]:
        """Iterate over the members, in no order."""
        return (member for member in self.added if member not in self.gone)

    def count(self) -> int:
        """Return the number of members."""
        return len(self.added) - sum(member in self.added for member in self.gone)

    def newest(self, count: int, author: MemberId | None = None) -> tuple[LogEntry, ...]:
        """Return the heads that the next event should name, at most `count`: those that count before those that do not,
        of these the deepest first. author: of that event, whose own last one it must know.
        """
        own = self._log.authored.get(author, 0) & self.counted if author else 0
        last = self._log.entries[own.bit_length() - 1] if own else None
        ranked = sorted(
            self.heads,
            key=lambda head: (
                last is not None and not (head is last or head.knew(last)),
                self._is_void(head),
                -head.depth,
                head.event.id,
            ),
        )
        return tuple(ranked[:count])

    def settings(self) -> dict[str, Any]:
        """Return all settings, as written."""
        return {key: _value(entry, key) for key, entry in self.values.items()}

    def recovery(self) -> RecoveryRule | None:
        """Return who may replace a lost owner."""
        entry = self.values.get(RECOVERY.key)
        return None if entry is None else RECOVERY.read({RECOVERY.key: _value(entry, RECOVERY.key)})

    def members_add(self) -> bool:
        """Tell whether members add people too, and not only admins and the owner."""
        entry = self.values.get(INVITES.key)
        return entry is not None and opens(_value(entry, INVITES.key))

    # --- following the log ---------------------------------------------------------------------------------------

    def follow(self, entry: LogEntry, void: int) -> None:
        """Take one more event, whose ancestors are all here. What it makes void, or has count again, changes.

        void: the bits of those that are void to somebody who knows what the event knew.
        """
        before = self.known
        self.known |= entry.bit
        if self._decides_about_others(entry, before, void):
            void = strength.void_bits(self._log, self.known)
            changed, self.void = void ^ self.void, void
            if changed & ~entry.bit:
                self._tabulate()
                return
        self._take(entry)

    def _decides_about_others(self, entry: LogEntry, before: int, void: int) -> bool:
        """Tell whether the event may make others void, or be void itself, or end that: only then is there anything to
        evaluate. Most events know all others, and most of the rest concern nobody who did something meanwhile. And
        their rights are what they were, if what they knew counts here as it did for them.
        """
        log, author = self._log, entry.event.author_id
        members = concerned(entry)
        if log.forks and (author in log.forks or any(member in log.forks for member in members)):
            return True
        concurrent = before & ~entry.ancestors
        if not concurrent:
            return False
        if self.void & entry.ancestors != void:
            return True
        if entry.level is Role.OWNER and any(before >> past.index & 1 for past in log.recoveries):
            return True
        if any(concurrent >> other.index & 1 for other in log.about.get(author, ())):
            return True
        if closes_invites(entry) and log.granted & concurrent:
            return True
        if is_granted(entry) and any(concurrent >> rule.index & 1 for rule in log.invites):
            return True
        return any(log.authored.get(member, 0) & concurrent for member in members)

    def _tabulate(self) -> None:
        self._clear()
        self._log.effort += len(self._log)
        for entry in self._log.entries:
            if self.known >> entry.index & 1:
                self._take(entry)

    def _take(self, entry: LogEntry) -> None:
        self._log.effort += len(self.heads)
        self.heads = (*(head for head in self.heads if not entry.knew(head)), entry)
        if self._is_void(entry):
            self._prefer(entry)
            return
        event = entry.event
        action = event.action
        if makes_epoch(event):
            self.epochs = (*(epoch for epoch in self.epochs if not entry.knew(epoch)), entry)
        match action:
            case Found():
                self._add(entry)
                self.values = {key: entry for key, _ in action.settings}
            case AddMembers():
                self._add(entry)
            case RemoveMembers():
                for member in action.members:
                    self._end(member, entry)
            case LeaveGroup():
                self._end(event.author_id, entry)
            case SetRole() | HandOver() | ConfirmRecovery():
                for member in concerned(entry):
                    self._endorse(member)
                    self._find_role(member)
            case ChangeSetting():
                self.values[action.key] = _later(self.values.get(action.key), entry)
            case MuteMember():
                self.muted[action.member] = _later(self.muted.get(action.member), entry)
            case NameSuccessor():
                self.successor = _later(self.successor, entry)
            case RotateEpoch() | MergeEpochs() | RecoverOwner() | UpdateMember():
                pass

    def _add(self, entry: LogEntry) -> None:
        for newcomer in newcomers(entry.event):
            self._note(newcomer.id)
            before = self.added.get(newcomer.id)
            if before is None or self._is_void(before[0]) or entry.order < before[0].order:
                self.added[newcomer.id] = entry, newcomer
                self.roles[newcomer.id] = newcomer.role
            if newcomer.id in self._log.about:
                self._find_role(newcomer.id)

    def _end(self, member: MemberId, entry: LogEntry) -> None:
        self._note(member)
        before = self.gone.get(member)
        if before is None or entry.order < before.order:
            self.gone[member] = entry

    def _find_role(self, member: MemberId) -> None:
        self._note(member)
        level = strength.level_of(self._log, member, self.counted)
        if level != strength.NOBODY:
            self.roles[member] = Role(level)

    def _endorse(self, member: MemberId) -> None:
        """Keep somebody to whom a role was given, though what added it may be void."""
        if member not in self.added:
            entries = [entry for entry in self._log.added[member] if self.known >> entry.index & 1]
            entry = min(entries, key=lambda entry: entry.order)
            self.added[member] = entry, next(new for new in newcomers(entry.event) if new.id == member)

    def _prefer(self, entry: LogEntry) -> None:
        """Of several void events that add somebody who is kept, the first one says the keys."""
        for newcomer in newcomers(entry.event):
            before = self.added.get(newcomer.id)
            if before is not None and self._is_void(before[0]) and entry.order < before[0].order:
                self.added[newcomer.id] = entry, newcomer
                self._note(newcomer.id)

    def _note(self, member: MemberId) -> None:
        if self.changed is not None:
            self.changed.add(member)

    def _is_void(self, entry: LogEntry) -> bool:
        return bool(self.void >> entry.index & 1)


def _later(before: LogEntry | None, entry: LogEntry) -> LogEntry:
    return entry if before is None or entry.order > before.order else before


def _value(entry: LogEntry, key: str) -> Any:
    action = entry.event.action
    return action.value if isinstance(action, ChangeSetting) else dict(_first_settings(entry))[key]


def _first_settings(entry: LogEntry) -> tuple[tuple[str, Any], ...]:
    action = entry.event.action
    return action.settings if isinstance(action, Found) else ()
