"""The membership log: takes events in any order, and says what the group is.

The state is a function of the set of events that are known, whatever their order. An event waits for those it names; it
is refused if its author had no right to it as of these, which is the same for everybody. What counts of the rest is for
`strength`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from p2pchat.core.groups.ancestry import Ancestry, LogEntry, bare, makes_epoch
from p2pchat.core.groups.events import (
    MAX_PARENTS,
    Action,
    EpochMode,
    GroupEvent,
    LeaveGroup,
    UpdateMember,
    decode_event,
    decode_verified,
    encode_core,
    mode_of,
    unsigned,
)
from p2pchat.core.groups.personal import PersonalEvents
from p2pchat.core.groups.rights import EventRight, right_to
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.groups.state import GroupState, Member
from p2pchat.core.groups.summary import Summary, epoch_order, has_left, member_of
from p2pchat.core.groups.view import LogView
from p2pchat.core.groups.waiting import WaitingEvents
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from p2pchat.errors import CannotOpen, NotAllowed

MAX_EVENTS = 32_768
MAX_CORES_BYTES = 64 * 1024 * 1024
"""A log of more has to go on as another group. It bounds memory: what events know of each other takes 64 MB then."""
MAX_VOID_EVENTS = 1_024
MAX_VOID_BYTES = 4 * 1024 * 1024
"""Of one author who has been removed, or has signed a number twice: it may sign events that name old ones for ever, all
of which are right and void; they must not fill the log."""
MAX_JUNIORS = 4_096
MAX_JUNIORS_BYTES = 2 * 1024 * 1024
"""Of events by which moderators mute, and members and moderators add people where a setting lets them: one of them, or
many that one has added, could fill the log, and nobody could remove them any more; or make it too long for newcomers,
who are sent all of it in 6 MB (`welcome.fits`)."""
FULL = "members and moderators have done too much in it"
MAX_REFUSED = 4_096
MAX_VIEWS = 4


class LogAnswer(StrEnum):
    """What became of an event."""

    TAKEN = "taken"
    KNOWN = "known"
    WAITING = "waiting"
    REFUSED = "refused"


class MemberStanding(StrEnum):
    """Whether somebody is or was a member. LEFT: of their own accord. REMOVED: or never validly added."""

    NEVER = "never"
    MEMBER = "member"
    LEFT = "left"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class LogResult:
    """What became of an event, and of those that waited for it.

    event: None if the bytes are none. missing: of a waiting one, the parents that are not here. reason: of a refused
    one, for the log of the program. taken: the events that are part of the log from now on, parents first; they are to
    be kept. replaced: events that need not be kept any more. dropped: waiting events that have made room.
    repeated: those of `taken` by which somebody leaves who had left before; they change nothing.
    """

    answer: LogAnswer
    event: GroupEvent | None = None
    missing: tuple[EventId, ...] = ()
    reason: str = ""
    taken: tuple[GroupEvent, ...] = ()
    replaced: tuple[EventId, ...] = ()
    dropped: tuple[EventId, ...] = ()
    repeated: frozenset[EventId] = frozenset()


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that its author may sign.

    core: its bytes so far (see `encode_core`). prev_epoch: the epoch that it succeeds, if it makes one. recipients: the
    members as of the event, in the order of their ids: those who are to have the secret of its epoch.
    """

    core: bytes
    prev_epoch: EpochId | None
    recipients: tuple[Member, ...]


class MembershipLog:
    """The log of one group. Nothing in it is secret. It holds no bytes: keep those of what is `taken`, and `restore`
    them in any order.
    """

    def __init__(self, group: GroupId) -> None:
        self.group = group
        self._log = Ancestry()
        self.added: Container[MemberId] = self._log.added
        """Everybody whom an event adds that is here, whether it counts or not."""
        self._now = LogView(self._log)
        self.graph, self.view = self._log, self._now
        """The events with all that never changes, and what all of them say together: to be read (`past_rules`)."""
        self._views: dict[int, LogView] = {}
        self._personal = PersonalEvents()
        self._waiting = WaitingEvents()
        self._refused: dict[EventId, None] = {}
        self._summary = Summary(group, self._log)
        self._state: GroupState | None = None

    @property
    def state(self) -> GroupState:
        """The group as of all events. Before the first one is here it has no members."""
        if self._state is None:
            self._state = self._summary.state(self._now, self._personal)
        return self._state

    @property
    def effort(self) -> int:
        """How much work the log has been: it grows with each event, but much where its events did not know each other,
        with the square of their number.
        """
        return self._log.effort

    def restore(self, stored: Iterable[bytes]) -> None:
        """Take events that were taken before, in any order, without verifying their signatures again."""
        for raw in stored:
            self._add(decode_verified(raw), bounded=False)

    def add(self, given: bytes | GroupEvent) -> LogResult:
        """Take the bytes of one event, from anybody, or one whose signature has been verified."""
        try:
            return self._add(decode_event(given) if isinstance(given, bytes) else given)
        except CannotOpen:
            return LogResult(LogAnswer.REFUSED, reason="not an event")

    def foresee(self, event: GroupEvent) -> LogAnswer | None:
        """Return what becomes of an event whatever its signature is, or None if that has to be verified first. It costs
        next to nothing: one that is here, or whose author was never added, is not worth more.
        """
        if self._is_unfit(event) or self._names_unfit(event):
            return LogAnswer.REFUSED
        if event.id in self._log.by_id or event.id in self._personal.ids:
            return LogAnswer.KNOWN
        stranger = event.parents and event.author_id not in self.added
        return LogAnswer.REFUSED if stranger and not self._missing(event) else None

    def draft(self, author: bytes, action: Action) -> EventDraft:
        """Return an event of a member that is to be signed now, and knows everything that is here.

        author: the member's public Ed25519 key. Raises NotAllowed with the reason.
        """
        me = member_id(author)
        if not self._now.is_member(me) or me in self.state.left:
            raise NotAllowed("Only members change a group")
        parents = self._now.newest(MAX_PARENTS, me)
        known = _known(parents)
        view = self._view(known)
        leaves = isinstance(action, LeaveGroup) and self._now.roles[me] >= Role.MEMBER
        apart = isinstance(action, UpdateMember) or leaves
        seq = self._personal.next_seq(me) if apart else self._log.next_seq(me, known)
        epochs = sorted(view.epochs, key=epoch_order)
        prev = EpochId(epochs[0].event.id) if epochs and mode_of(action) else None
        core = encode_core(self.group, tuple(entry.event.id for entry in parents), seq, author, action, prev)
        if not isinstance(action, UpdateMember):
            right = right_to(self._log, view, unsigned(core))
            if isinstance(right, EventRight) and self._is_too_much(right, action):
                right = FULL
            if not isinstance(right, EventRight):
                raise NotAllowed(f"The group would refuse that: {right}")
        made = self.state.members if view is self._now else {}
        return EventDraft(core, prev, self._summary.members_after(view, action, self._personal, made))

    def members_at(self, epoch: EpochId) -> Mapping[MemberId, Member]:
        """Return the members as of the event that made an epoch, with the keys and names that they have now, by id and
        in that order: those of `state`, where it knows everything that is here. Raises KeyError if its event is not
        here.
        """
        entry = self._log.by_id[epoch]
        view = self._view(entry.ancestors | entry.bit)
        made = self.state.members if view is self._now else {}
        if made and not self.state.left:
            return made
        return {id: made.get(id) or member_of(view, self._personal, id) for id in sorted(view.members())}

    def holders(self, epoch: EpochId) -> frozenset[MemberId]:
        """Return who had the secret of an epoch from the beginning, or computes it from the one before, with those who
        are gone since. Who was added beside it, and so has to be told it, is not among them. Raises KeyError if its
        event is not here.
        """
        return self._summary.holders(self._log.by_id[epoch], self._now)

    def beside(self, event: EventId) -> tuple[EventId, ...]:
        """Return the events that this one did not know, without itself, parents first: those made beside it or after
        it. Raises KeyError if it is not here.
        """
        entry = self._log.by_id[event]
        known = entry.ancestors | entry.bit
        return tuple(other.event.id for other in self._log.entries if not known >> other.index & 1)

    def advances(self, epoch: EventId) -> tuple[EventId, ...]:
        """Return the events whose epochs are computed from that of an event which is here."""
        later = self._log.entries[self._log.by_id[epoch].index + 1 :]
        advancing = (entry.event for entry in later if entry.event.mode == EpochMode.ADVANCE)
        return tuple(event.id for event in advancing if event.prev_epoch == epoch)

    def knew(self, heads: Iterable[EventId], event: EventId) -> bool:
        """Return whether somebody who knew these events as the newest knew this one. False for what is not here, and
        for what concerns its author alone.
        """
        entry = self._log.by_id.get(event)
        known = [self._log.by_id[head] for head in heads if head in self._log.by_id]
        return entry is not None and bool(_known(known) >> entry.index & 1)

    def member_standing(self, member: MemberId) -> MemberStanding:
        """Return whether somebody is or was a member. Whom any event adds that is here, no other adds again."""
        if member not in self._log.added:
            return MemberStanding.NEVER
        if member in self.state.left or has_left(self._now, member):
            return MemberStanding.LEFT
        return MemberStanding.MEMBER if self._now.is_member(member) else MemberStanding.REMOVED

    def out_of_reach(self, member: MemberId) -> frozenset[MemberId]:
        """Return those who have left and whom a member has no right to remove: they were given a role that it takes a
        senior to end, and signed that they leave as if they did not know of it.
        """
        level = self._now.roles[member]
        return frozenset(gone for gone in self.state.left if self._now.roles[gone] <= level)

    # --- what was done -------------------------------------------------------------------------------------------

    def counts(self, event: EventId) -> bool:
        """Tell whether an event counts. Of those that concern their author alone, what is here does."""
        entry = self._log.by_id.get(event)
        return event in self._personal.ids if entry is None else bool(self._now.counted >> entry.index & 1)

    def author(self, event: EventId) -> MemberId | None:
        """Return who signed an event of the graph; None if it is not there."""
        entry = self._log.by_id.get(event)
        return None if entry is None else entry.event.author_id

    def forks(self, author: MemberId | None) -> tuple[frozenset[EventId], ...]:
        """Return the events that somebody signed with one number, for each number with more than one."""
        numbers = {} if author is None else self._log.forks.get(author, {})
        return tuple(frozenset(entry.event.id for entry in self._log.of(bits)) for bits in numbers.values())

    # --- taking events -------------------------------------------------------------------------------------------

    def _add(self, event: GroupEvent, *, bounded: bool = True) -> LogResult:
        if event.id in self._log.by_id or event.id in self._personal.ids:
            return LogResult(LogAnswer.KNOWN, event)
        if self._is_unfit(event):
            return LogResult(LogAnswer.REFUSED, event, reason="of another group, or refused before")
        if self._names_unfit(event):
            return self._refuse(event, "it names one that cannot be named")
        missing = self._missing(event)
        if missing:
            dropped = self._waiting.keep(event, missing, bounded=bounded)
            return LogResult(LogAnswer.WAITING, event, missing, dropped=dropped)
        return self._settle(event)

    def _is_unfit(self, event: GroupEvent) -> bool:
        """Return whether an event is of another group, or was refused before."""
        return (event.id if event.group is None else event.group) != self.group or event.id in self._refused

    def _names_unfit(self, event: GroupEvent) -> bool:
        """Return whether an event names one that cannot be named."""
        return any(parent in self._refused or parent in self._personal.ids for parent in event.parents)

    def _missing(self, event: GroupEvent) -> tuple[EventId, ...]:
        """Return the parents of an event that are not here."""
        return tuple(parent for parent in event.parents if parent not in self._log.by_id)

    def _settle(self, first: GroupEvent) -> LogResult:
        """Take or refuse an event whose parents are here, and then all that waited for it."""
        ready, taken, replaced, refusal = [first], list[GroupEvent](), list[EventId](), ""
        repeated = set[EventId]()
        while ready:
            event = ready.pop()
            reason, old = self._take(event)
            replaced += old
            if reason:
                refusal = reason if event is first else refusal
                self._refuse(event, reason)
            else:
                taken.append(event)
                if old and isinstance(event.action, LeaveGroup):
                    repeated.add(event.id)
                ready += self._waiting.release(event.id)
        if not taken:
            return LogResult(LogAnswer.REFUSED, first, reason=refusal)
        self._state = None
        kept, old = tuple(taken), tuple(replaced)
        return LogResult(LogAnswer.TAKEN, first, taken=kept, replaced=old, repeated=frozenset(repeated))

    def _refuse(self, event: GroupEvent, reason: str) -> LogResult:
        """Refuse an event, and all that wait for it."""
        refused = [event]
        while refused:
            refused_id = refused.pop().id
            self._refused[refused_id] = None
            refused += self._waiting.abandon(refused_id)
        while len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        return LogResult(LogAnswer.REFUSED, event, reason=reason)

    def _take(self, event: GroupEvent) -> tuple[str, tuple[EventId, ...]]:
        """Take an event into the log. Returns why not, if so, and which events it replaces."""
        parents = [self._log.by_id[parent] for parent in event.parents]
        known = _known(parents)
        if isinstance(event.action, UpdateMember):
            added = self._log.added.get(event.author_id, ())
            if not any(known >> entry.index & 1 for entry in added):
                return "its author was never added", ()
            return "", self._personal.take(event)
        full = len(self._log) >= MAX_EVENTS or self._log.size + len(event.core) > MAX_CORES_BYTES
        if full and not isinstance(event.action, LeaveGroup):
            return "the log is full", ()
        if self._says_enough(event.author_id):
            return "its author has signed enough that is void", ()
        view = self._view(known)
        right = right_to(self._log, view, event)
        if not isinstance(right, EventRight):
            return right, ()
        if self._is_too_much(right, event.action):
            return FULL, ()
        if isinstance(event.action, LeaveGroup) and right.level >= Role.MEMBER:
            return "", self._personal.take(event)
        if full:
            return "the log is full", ()
        entry = LogEntry(
            event=bare(event),
            index=len(self._log),
            ancestors=known,
            level=right.level,
            depth=1 + max((parent.depth for parent in parents), default=-1),
            epoch=1 + max((epoch.epoch or 0 for epoch in view.epochs), default=-1) if makes_epoch(event) else None,
            strong=right.strong,
            displaced=right.displaced,
            size=len(event.core),
        )
        self._log.record(entry)
        void = view.void
        if view is not self._now:
            del self._views[known]
            view.follow(entry, void)
            self._keep_view(view)
        self._now.follow(entry, void)
        return "", ()

    def _says_enough(self, author: MemberId) -> bool:
        if author not in self._now.gone and author not in self._log.forks:
            return False
        void = self._now.void & self._log.authored.get(author, 0)
        size = sum(entry.size for entry in self._log.of(void))
        return void.bit_count() >= MAX_VOID_EVENTS or size > MAX_VOID_BYTES

    def _is_too_much(self, right: EventRight, action: Action) -> bool:
        """Tell whether those who do not manage the group have done so much that the rest of the log is for those who
        do.
        """
        if right.level <= Role.ADMIN or isinstance(action, LeaveGroup):
            return False
        return self._log.juniors >= MAX_JUNIORS or self._log.juniors_size >= MAX_JUNIORS_BYTES

    def _view(self, known: int) -> LogView:
        """Return the view of somebody who knows these events. One that is a step behind another is kept, so that what
        others did apart from us is followed step by step too.
        """
        if known == self._now.known:
            return self._now
        view = self._views.get(known)
        if view is None:
            view = LogView.of(self._log, known)
            self._keep_view(view)
        return view

    def _keep_view(self, view: LogView) -> None:
        self._views[view.known] = view
        while len(self._views) > MAX_VIEWS:
            del self._views[next(iter(self._views))]


def _known(parents: Iterable[LogEntry]) -> int:
    known = 0
    for parent in parents:
        known |= parent.ancestors | parent.bit
    return known
