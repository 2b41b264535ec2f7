"""Who may do what: whether an author had the right to an event, from what it knew alone (docs/protocol/groups.md)."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.groups import settings, strength
from p2pchat.core.groups.ancestry import Ancestry, LogEntry
from p2pchat.core.groups.epochs import MAX_MEMBERS
from p2pchat.core.groups.events import (
    Action,
    AddMembers,
    ChangeSetting,
    ConfirmRecovery,
    EpochMode,
    Found,
    GroupEvent,
    HandOver,
    LeaveGroup,
    MergeEpochs,
    MuteMember,
    NameSuccessor,
    RecoverOwner,
    RemoveMembers,
    RotateEpoch,
    SetRole,
    UpdateMember,
)
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.view import LogView
from p2pchat.core.ids import MemberId

MAX_SETTINGS = 64


@dataclass(frozen=True, slots=True)
class EventRight:
    """What makes an event right: its author's level, and what `LogEntry` says of it."""

    level: Role
    strong: bool = False
    displaced: frozenset[MemberId] = frozenset()


def right_to(log: Ancestry, view: LogView, event: GroupEvent) -> EventRight | str:
    """Return what gives the author of an event the right to it, or why there is none. view: of what the event knew."""
    author = event.author_id
    if isinstance(event.action, Found):
        return EventRight(Role.OWNER, strong=False)
    if not view.is_member(author) or view.added[author][1].sign != event.author:
        return "its author is no member"
    level = view.roles[author]
    if isinstance(event.action, LeaveGroup) and level >= Role.MEMBER:
        return EventRight(level)
    if event.seq != log.next_seq(author, view.known):
        return "its number is not the next one of its author"
    if not strength.is_settled(log, author, level, event.seq, view.known, view.counted):
        return "its author is suspended"
    wrong = _wrong_epoch(view, event) or _wrong_action(view, event, level)
    if wrong:
        return wrong
    return _right(log, view, event, level)


def _wrong_epoch(view: LogView, event: GroupEvent) -> str:
    if event.mode == EpochMode.NONE:
        return ""
    epochs = [entry.event.id for entry in view.epochs]
    if event.prev_epoch not in epochs:
        return "it succeeds another epoch than it should"
    return "epochs have to be merged before it" if event.mode == EpochMode.ADVANCE and len(epochs) > 1 else ""


def lowest_role(action: Action, *, members_add: bool) -> Role:
    """Return the lowest role that may do something. members_add: whether the setting `invites` lets members and
    moderators add people.
    """
    match action:
        case LeaveGroup() | UpdateMember():
            return Role.OBSERVER
        case MuteMember():
            return Role.MODERATOR
        case AddMembers():
            return Role.MEMBER if members_add else Role.ADMIN
        case ChangeSetting():
            return Role.OWNER if action.key in settings.OWNER_KEYS else Role.ADMIN
        case HandOver():
            return Role.OWNER
        case _:
            return Role.ADMIN


def _wrong_action(view: LogView, event: GroupEvent, level: Role) -> str:
    action = event.action
    if level > lowest_role(action, members_add=isinstance(action, AddMembers) and view.members_add()):
        return "its author's role does not allow it"
    match action:
        case AddMembers():
            # By right of the setting `invites`, a member makes members and observers.
            if any(newcomer.role <= min(level, Role.MODERATOR) for newcomer in action.newcomers):
                return "a role that is not junior to its author's"
            new = sum(newcomer.id not in view.added for newcomer in action.newcomers)
            return "the group is full" if view.count() + new > MAX_MEMBERS else ""
        case RemoveMembers():
            return _wrong_targets(view, action.members, level)
        case SetRole():
            junior = action.role > level
            return _wrong_member(view, action.member, level) if junior else "a role that is not junior to its author's"
        case MuteMember():
            return _wrong_member(view, action.member, level)
        case LeaveGroup():
            return "an owner hands the group over before leaving" if level is Role.OWNER else ""
        case HandOver() | RecoverOwner() | ConfirmRecovery():
            fit = view.is_member(action.member) and view.roles[action.member] is not Role.OWNER
            return "" if fit else "who is named cannot become the owner"
        case UpdateMember():
            return "an update is not part of the graph"
        case ChangeSetting():
            full = action.key not in view.values and len(view.values) >= MAX_SETTINGS
            return "there are too many settings" if full else ""
        case RotateEpoch() | MergeEpochs() | NameSuccessor() | Found():
            return ""


def _wrong_targets(view: LogView, members: tuple[MemberId, ...], level: Role) -> str:
    for member in members:
        if member not in view.added:
            return "somebody who was never added"
        if member not in view.gone and view.roles[member] <= level:
            return "somebody who is not junior to its author"
    return ""


def _wrong_member(view: LogView, member: MemberId, level: Role) -> str:
    if not view.is_member(member):
        return "somebody who is no member"
    return "" if view.roles[member] > level else "somebody who is not junior to its author"


def _right(log: Ancestry, view: LogView, event: GroupEvent, level: Role) -> EventRight | str:
    action = event.action
    match action:
        case RemoveMembers():
            return EventRight(level, strong=True)
        case SetRole():
            return EventRight(level, strong=action.role > view.roles[action.member])
        case RecoverOwner() | ConfirmRecovery():
            rule = view.recovery()
            if rule is None or event.author_id not in rule.named:
                return "its author was not named to recover the group"
            return EventRight(level) if isinstance(action, RecoverOwner) else _confirmed(log, view, event, rule)
        case _:
            return EventRight(level)


def _confirmed(log: Ancestry, view: LogView, event: GroupEvent, rule: settings.RecoveryRule) -> EventRight | str:
    action = event.action
    assert isinstance(action, ConfirmRecovery)
    requests = open_requests(log, view, action.member, rule)
    asked = {entry.event.author_id for entry in requests if isinstance(entry.event.action, RecoverOwner)}
    if len(asked) < rule.needed:
        return "too few have asked for that recovery since the owner spoke"
    confirmed = {entry.event.author_id for entry in requests if isinstance(entry.event.action, ConfirmRecovery)}
    if len(confirmed | {event.author_id}) < rule.needed:
        return EventRight(Role.ADMIN)
    owners = frozenset(member for member in view.members() if view.roles[member] is Role.OWNER)
    return EventRight(Role.ADMIN, displaced=owners)


def open_requests(log: Ancestry, view: LogView, candidate: MemberId, rule: settings.RecoveryRule) -> list[LogEntry]:
    """Return the requests for a recovery, and their confirmations, that stand: by admins who are named, and with
    knowledge of everything that an owner has said.
    """
    return [
        entry
        for entry in log.requests
        if view.counted >> entry.index & 1
        and entry.event.action.member == candidate  # type: ignore[union-attr]
        and entry.event.author_id in rule.named
        and view.is_member(entry.event.author_id)
        and view.roles[entry.event.author_id] is Role.ADMIN
        and not log.owners & view.known & ~entry.ancestors
    ]
