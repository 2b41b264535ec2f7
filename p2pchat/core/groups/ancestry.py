"""The graph of a membership log: which event knew of which.

Only events that decide about others are in it. A log has a few thousand of them, so what an event knew is one integer
with a bit for each, and a question about ancestors is one operation on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from p2pchat.core.groups.events import (
    AddMembers,
    ChangeSetting,
    ConfirmRecovery,
    EpochMode,
    Found,
    GroupEvent,
    HandOver,
    Newcomer,
    RecoverOwner,
    RemoveMembers,
    SetRole,
)
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import INVITES
from p2pchat.core.ids import EventId, MemberId


@dataclass(frozen=True, slots=True, eq=False)
class LogEntry:
    """An event in the graph, with what depends on its ancestors alone, and so never changes.

    index: the number of its bit. ancestors: the bits of all events it knew. level: its author's, as of these. depth:
    the length of the longest way to the first event. epoch: how many epochs led to the one that it makes, if it makes
    one. strong: it takes rights from somebody. displaced: of a confirmation that completes a recovery, the owners whose
    place is taken; none for others. size: the bytes of its core.
    """

    event: GroupEvent
    index: int
    ancestors: int
    level: Role
    depth: int
    epoch: int | None
    strong: bool
    displaced: frozenset[MemberId]
    size: int

    @property
    def bit(self) -> int:
        """The entry's own bit."""
        return 1 << self.index

    @property
    def order(self) -> tuple[int, EventId]:
        """What orders entries of which neither knew the other, and agrees with the graph for all others."""
        return self.depth, self.event.id

    def knew(self, other: LogEntry) -> bool:
        """Tell whether the other one is an ancestor of this one."""
        return bool(self.ancestors >> other.index & 1)


def bare(event: GroupEvent) -> GroupEvent:
    """Return an event without the bytes that are not needed once it has been read: a rekey alone may have 240 kB."""
    return replace(event, core=b"", raw=b"", rekey=None)


def newcomers(event: GroupEvent) -> tuple[Newcomer, ...]:
    """Return whom an event makes members; of the first one, its founder."""
    action = event.action
    if isinstance(action, AddMembers):
        return action.newcomers
    if isinstance(action, Found):
        return (Newcomer(event.author, action.leaf, action.kem, Role.OWNER, action.name),)
    return ()


def subjects(event: GroupEvent) -> tuple[MemberId, ...]:
    """Return the members whose role or membership an event decides."""
    action = event.action
    if isinstance(action, RemoveMembers):
        return action.members
    if isinstance(action, SetRole | ConfirmRecovery):
        return (action.member,)
    if isinstance(action, HandOver):
        return (action.member, event.author_id)
    return ()


class Ancestry:
    """All events of the graph, in the order in which they came, and lists of those that are asked for.

    Parents come before their children, so every prefix is a log of its own.
    """

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.by_id: dict[EventId, LogEntry] = {}
        self.added: dict[MemberId, list[LogEntry]] = {}
        """The events that add a member, of which only one counts."""
        self.about: dict[MemberId, list[LogEntry]] = {}
        """The events that change a member's role, or remove it."""
        self.authored: dict[MemberId, int] = {}
        """The bits of each author's events."""
        self.numbered: dict[tuple[MemberId, int], int] = {}
        """The bits of the events that an author signed with one number; more than one is a fork."""
        self.forks: dict[MemberId, dict[int, int]] = {}
        """Of authors who signed several events with one number: number → their bits."""
        self.recoveries: list[LogEntry] = []
        self.requests: list[LogEntry] = []
        self.handovers: list[LogEntry] = []
        self.levels: dict[Role, list[LogEntry]] = {
            level: [] for level in (Role.OWNER, Role.ADMIN, Role.MODERATOR, Role.MEMBER)
        }
        """All others, by the level of their authors."""
        self.invites: list[LogEntry] = []
        """The events that set who adds people."""
        self.granted = 0
        """The bits of the events that add people, by right of that setting alone."""
        self.juniors = 0
        """How many events are of authors who do not manage the group."""
        self.juniors_size = 0
        """The bytes of their cores."""
        self.first = 1
        """The bit of the first event."""
        self.size = 0
        """The bytes of all cores."""
        self.owners = 0
        """The bits of all events of owners."""
        self.effort = 0
        """How many entries were looked at again because of events that did not know all others."""

    def __len__(self) -> int:
        return len(self.entries)

    def record(self, entry: LogEntry) -> None:
        """Take an entry, whose index is the number of those before it."""
        event = entry.event
        author = event.author_id
        self.entries.append(entry)
        self.size += entry.size
        self.by_id[event.id] = entry
        self.authored[author] = self.authored.get(author, 0) | entry.bit
        same = self.numbered[author, event.seq] = self.numbered.get((author, event.seq), 0) | entry.bit
        if same != entry.bit:
            self.forks.setdefault(author, {})[event.seq] = same
        if entry.level is Role.OWNER:
            self.owners |= entry.bit
        for newcomer in newcomers(event):
            self.added.setdefault(newcomer.id, []).append(entry)
        if entry.displaced:
            self.recoveries.append(entry)
        elif isinstance(event.action, HandOver):
            self.handovers.append(entry)
        elif entry.index:
            self.levels[entry.level].append(entry)
        if isinstance(event.action, RecoverOwner | ConfirmRecovery):
            self.requests.append(entry)
        if isinstance(event.action, ChangeSetting) and event.action.key == INVITES.key:
            self.invites.append(entry)
        if is_granted(entry):
            self.granted |= entry.bit
        if entry.level > Role.ADMIN:
            self.juniors += 1
            self.juniors_size += entry.size
        for subject in concerned(entry):
            self.about.setdefault(subject, []).append(entry)

    def of(self, bits: int) -> Iterator[LogEntry]:
        """Iterate over the entries of these bits, newest first."""
        while bits:
            index = bits.bit_length() - 1
            yield self.entries[index]
            bits ^= 1 << index

    def next_seq(self, author: MemberId, known: int) -> int:
        """Return the number of an author's next event that knows these."""
        bits = self.authored.get(author, 0) & known
        if author not in self.forks:  # the newest one has the highest
            return self.entries[bits.bit_length() - 1].event.seq + 1 if bits else 0
        return max((entry.event.seq + 1 for entry in self.of(bits)), default=0)


def is_granted(entry: LogEntry) -> bool:
    """Tell whether an entry adds people by right of the setting `invites`, and not of its author's role."""
    return isinstance(entry.event.action, AddMembers) and entry.level > Role.ADMIN


def closes_invites(entry: LogEntry) -> bool:
    """Tell whether an entry sets that only admins and the owner add people."""
    action = entry.event.action
    return isinstance(action, ChangeSetting) and action.key == INVITES.key and not opens(action.value)


def opens(value: object) -> bool:
    """Tell whether a value of the setting `invites` lets members add people."""
    return INVITES.read({INVITES.key: value}) == "members"


def concerned(entry: LogEntry) -> tuple[MemberId, ...]:
    """Return the members whose role or membership an entry decides if it counts."""
    if isinstance(entry.event.action, ConfirmRecovery) and not entry.displaced:
        return ()
    return (*subjects(entry.event), *entry.displaced)


def makes_epoch(event: GroupEvent) -> bool:
    """Tell whether an event begins an epoch."""
    return event.mode != EpochMode.NONE
