"""How a state is made of the tables of a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from p2pchat.core.groups import rights, strength
from p2pchat.core.groups.ancestry import Ancestry, LogEntry, newcomers
from p2pchat.core.groups.events import (
    MAX_PARENTS,
    Action,
    AddMembers,
    ConfirmRecovery,
    EpochMode,
    LeaveGroup,
    MuteMember,
    NameSuccessor,
    Newcomer,
    RecoverOwner,
    RemoveMembers,
    UpdateMember,
)
from p2pchat.core.groups.personal import PersonalEvents
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.state import EpochHead, GroupState, Member, OpenRecovery
from p2pchat.core.groups.view import LogView
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId

MAX_HOLDERS = 16
MAX_UNTIL = 1 << 53
"""Of a mute, in ms: far beyond any calendar, and what a database holds."""


class Summary:
    """Makes states, and remembers what the last one was made of."""

    def __init__(self, group: GroupId, log: Ancestry) -> None:
        self._group = group
        self._log = log
        self._members: dict[MemberId, Member] = {}
        self._holders: dict[EventId, frozenset[MemberId]] = {}

    def state(self, view: LogView, personal: PersonalEvents) -> GroupState:
        """Return the state that a view of everything shows."""
        left = frozenset(member for member in personal.leaves if self._left(view, personal, member))
        members = self._follow(view, personal, left)
        epochs = tuple(self._epoch(entry, view, members, left) for entry in sorted(view.epochs, key=epoch_order))
        successor = view.successor
        action = successor.event.action if successor else None
        return GroupState(
            group=self._group,
            members=members,
            settings=view.settings(),
            muted={member: until for member, until in _mutes(view) if member in members},
            suspended=frozenset(self._suspended(view)),
            left=left,
            heads=tuple(entry.event.id for entry in view.newest(MAX_PARENTS)),
            epoch_heads=epochs,
            sending=next((epoch.id for epoch in epochs if not epoch.outsiders), None),
            successor=(action.group, successor.event.author_id)
            if isinstance(action, NameSuccessor) and successor
            else None,
            recoveries=self._recoveries(view),
        )

    def members_after(
        self, view: LogView, action: Action, personal: PersonalEvents, made: Mapping[MemberId, Member]
    ) -> tuple[Member, ...]:
        """Return the members once an action is done, in the order of their ids; new ones as if added by nobody.

        made: what is returned for those who are the same.
        """
        removed = set(action.members) if isinstance(action, RemoveMembers) else set()
        members = {
            member: made.get(member) or member_of(view, personal, member)
            for member in view.members()
            if member not in removed
        }
        for newcomer in action.newcomers if isinstance(action, AddMembers) else ():
            if newcomer.id not in view.added:
                members[newcomer.id] = _new(newcomer)
        return tuple(members[member] for member in sorted(members))

    # --- members -------------------------------------------------------------------------------------------------

    def _left(self, view: LogView, personal: PersonalEvents, member: MemberId) -> bool:
        added = view.added.get(member)
        return added is not None and member not in view.gone and added[1].sign == personal.leaves[member].author

    def _follow(self, view: LogView, personal: PersonalEvents, left: frozenset[MemberId]) -> dict[MemberId, Member]:
        """Return the members, those of the last time where nothing has changed since."""
        changed = None if view.changed is None else view.changed | personal.changed
        members, unordered = {} if changed is None else dict(self._members), changed is None
        for member in view.added if changed is None else changed:
            if view.is_member(member) and member not in left:
                unordered = unordered or member not in members
                members[member] = member_of(view, personal, member)
            else:
                members.pop(member, None)
        if unordered:
            members = {member: members[member] for member in sorted(members)}
        view.changed, personal.changed = set(), set()
        self._members = members
        return members

    def _suspended(self, view: LogView) -> Iterable[MemberId]:
        for author in self._log.forks:
            if view.is_member(author) and view.roles[author] is not Role.OWNER:
                number = self._log.next_seq(author, view.known)
                if not strength.is_settled(self._log, author, view.roles[author], number, view.known, view.counted):
                    yield author

    def _recoveries(self, view: LogView) -> tuple[OpenRecovery, ...]:
        rule = view.recovery()
        if rule is None or not self._log.requests:
            return ()
        cases = []
        for member in sorted({entry.event.action.member for entry in self._log.requests}):  # type: ignore[union-attr]
            if not view.is_member(member) or view.roles[member] is Role.OWNER:
                continue
            requests = rights.open_requests(self._log, view, member, rule)
            asking = [entry for entry in requests if isinstance(entry.event.action, RecoverOwner)]
            confirming = [entry for entry in requests if isinstance(entry.event.action, ConfirmRecovery)]
            first = dict[MemberId, LogEntry]()  # whoever asks twice counts once, since the first time
            for entry in sorted(asking, key=lambda entry: entry.order):
                first.setdefault(entry.event.author_id, entry)
            if asking:
                cases.append(
                    OpenRecovery(
                        member=member,
                        needed=rule.needed,
                        asked=frozenset(first),
                        confirmed=frozenset(entry.event.author_id for entry in confirming),
                        requests=tuple(sorted(entry.event.id for entry in first.values())),
                    )
                )
        return tuple(cases)

    # --- epochs --------------------------------------------------------------------------------------------------

    def _epoch(
        self, entry: LogEntry, view: LogView, members: dict[MemberId, Member], left: frozenset[MemberId]
    ) -> EpochHead:
        others = self.holders(entry, view) - members.keys()
        went = {member for member in others if member in left or has_left(view, member)}
        return EpochHead(EpochId(entry.event.id), entry.epoch or 0, frozenset(others - went), frozenset(went))

    def holders(self, entry: LogEntry, view: LogView) -> frozenset[MemberId]:
        """Return everybody who can have the secret of an epoch. view: of everything.

        A fresh secret is sealed to the members as of its event. One that was computed from the one before is also known
        to whoever had that.
        """
        added, step = set[MemberId](), entry
        while step.event.id not in self._holders and step.event.mode == EpochMode.ADVANCE:
            added.update(newcomer.id for newcomer in newcomers(step.event))
            assert step.event.prev_epoch is not None
            step = self._log.by_id[step.event.prev_epoch]
        held = self._holders.get(step.event.id)
        if held is None:
            known = step.ancestors | step.bit
            then = view if known == view.known else LogView.of(self._log, known)
            held = frozenset(then.added.keys() - then.gone.keys())  # as `members`, for thousands in a tenth of the time
        held |= added
        self._holders[entry.event.id] = held
        while len(self._holders) > MAX_HOLDERS:
            del self._holders[next(iter(self._holders))]
        return held


def epoch_order(entry: LogEntry) -> tuple[int, EventId]:
    """Return what orders epochs: the one with the most epochs before it comes first."""
    return -(entry.epoch or 0), entry.event.id


def member_of(view: LogView, personal: PersonalEvents, member: MemberId) -> Member:
    """Return a member as a view shows it, with its newest keys and name. An update cannot say that there is a KEM key,
    or that there is none: for whom a rekey has a ciphertext is a matter of who is a member.
    """
    entry, newcomer = view.added[member]
    update = personal.updates.get(member)
    own: Newcomer | UpdateMember = newcomer
    if update is not None and update.author == newcomer.sign and isinstance(update.action, UpdateMember):
        own = update.action if (update.action.kem is None) == (newcomer.kem is None) else newcomer
    return Member(
        id=member,
        sign=newcomer.sign,
        leaf=own.leaf,
        kem=own.kem,
        role=view.roles[member],
        name=own.name,
        added_by=entry.event.author_id,
        added_in=entry.event.id,
    )


def has_left(view: LogView, member: MemberId) -> bool:
    """Tell whether somebody has left as an admin or a moderator."""
    entry = view.gone.get(member)
    return entry is not None and isinstance(entry.event.action, LeaveGroup)


def _mutes(view: LogView) -> Iterable[tuple[MemberId, int]]:
    for member, entry in view.muted.items():
        if isinstance(entry.event.action, MuteMember) and entry.event.action.until:
            yield member, min(entry.event.action.until, MAX_UNTIL)


def _new(newcomer: Newcomer) -> Member:
    return Member(
        id=newcomer.id,
        sign=newcomer.sign,
        leaf=newcomer.leaf,
        kem=newcomer.kem,
        role=newcomer.role,
        name=newcomer.name,
        added_by=MemberId(b""),
        added_in=EventId(b""),
    )
