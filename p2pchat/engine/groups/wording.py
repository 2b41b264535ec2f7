"""Events of a membership log as sentences for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from p2pchat.core.groups.events import (
    AddMembers,
    ChangeSetting,
    ConfirmRecovery,
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
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.groups.settings import INVITES, RECOVERY
from p2pchat.core.ids import ContactId, MemberId, sender_of
from p2pchat.core.text import clean_name
from p2pchat.engine.runtime import views
from p2pchat.lib.english import counted, with_article
from p2pchat.lib.times import format_duration

MAX_NAMED = 5
_SETTINGS = {
    "logs": "the relays that carry the group",
    "name": "the name",
    "description": "the description",
    "locked": "the lock",
}


_NUMBERS: Mapping[str, tuple[Callable[[int], str], str]] = {
    "slow_mode": (
        lambda seconds: f"set slow mode: each member can write once every {format_duration(seconds)}",
        "ended slow mode",
    ),
    "newcomers": (
        lambda hours: f"let newcomers send links and files only after {counted(hours, 'hour')}",
        "let newcomers send links and files at once",
    ),
    "timer": (
        lambda seconds: f"set messages to disappear {format_duration(seconds)} after they are read",
        "let messages stay until they are deleted",
    ),
    "history": (
        lambda number: f"let newcomers read the last {counted(number, 'text')} from before they join",
        "let newcomers read nothing from before they join",
    ),
}
"""Settings with numbers: what is said of a number, and of 0."""


def role(given: Role) -> str:
    """Return a role behind its article."""
    return with_article(given.name.lower())


def named_in(event: GroupEvent) -> set[ContactId]:
    """Return the members whose names a sentence needs."""
    action = event.action
    members: tuple[MemberId, ...] = (event.author_id,)
    if isinstance(action, AddMembers):
        members += tuple(member_id(newcomer.sign) for newcomer in action.newcomers)
    elif isinstance(action, RemoveMembers):
        members += action.members
    elif isinstance(action, SetRole | HandOver | MuteMember | RecoverOwner | ConfirmRecovery):
        members += (action.member,)
    elif isinstance(action, ChangeSetting):
        rule = RECOVERY.read({action.key: action.value})
        members += () if rule is None else tuple(rule.named)
    return {sender_of(member) for member in members}


def sentence(event: GroupEvent, me: MemberId, names: Mapping[ContactId, str]) -> str:
    """Return what an event says, as one sentence without its end. me: our own id, who is "you"."""

    def called(member: MemberId) -> str:
        return "you" if member == me else names[sender_of(member)]

    who = called(event.author_id)
    said = _predicate(event.action, called)
    return f"{who[:1].upper() + who[1:] if who == 'you' else who} {said}"


def suspicion(event: GroupEvent, me: MemberId, names: Mapping[ContactId, str]) -> str:
    """Return what is said of an author who signed two events with one number."""
    if event.author_id == me:
        return (
            "You have changed this group in two ways that exclude each other, perhaps from a copy of this profile: "
            "what you change does not count until somebody senior gives you a role again."
        )
    who = names[sender_of(event.author_id)]
    return (
        f"{who} has told members of this group different things: what {who} changes does not count until somebody "
        f"senior gives {who} a role again."
    )


def _predicate(action: Any, called: Any) -> str:
    match action:
        case Found():
            return "founded the group"
        case AddMembers():
            return f"added {listed([called(member_id(newcomer.sign)) for newcomer in action.newcomers])}"
        case RemoveMembers():
            because = f": {clean_name(action.reason, None)}" if action.reason else ""
            how = "banned" if action.ban else "removed"
            return f"{how} {listed([called(member) for member in action.members])}{because}"
        case SetRole():
            return f"made {called(action.member)} {role(action.role)}"
        case LeaveGroup():
            return "left"
        case UpdateMember():
            return "renewed their keys"
        case ChangeSetting():
            return _changed(action.key, action.value, called)
        case RotateEpoch():
            return "renewed the keys"
        case MergeEpochs():
            return "renewed the keys after changes that were made at the same time"
        case HandOver():
            return f"made {called(action.member)} the owner"
        case NameSuccessor():
            return "named another group that takes the place of this one"
        case MuteMember():
            who = called(action.member)
            return f"muted {who} until {views.timestamp(action.until)}" if action.until else f"unmuted {who}"
        case RecoverOwner():
            return f"asked to make {called(action.member)} the owner"
        case ConfirmRecovery():
            who = called(action.member)
            return f"confirmed that {who} {'become' if who == 'you' else 'becomes'} the owner"
    return "changed something that this version does not know"


def _changed(key: str, value: object, called: Any) -> str:
    if key == "name" and isinstance(value, str):
        return f"named the group {clean_name(value)}"
    if key == "topic" and isinstance(value, str):
        return f"set the topic: {clean_name(value, None)}" if clean_name(value, None) else "removed the topic"
    if key == "locked":
        return "locked the group" if value is True else "unlocked the group"
    if key == INVITES.key:
        return "let members add people" if value == "members" else "let only the owner and admins add people"
    if key == RECOVERY.key:
        rule = RECOVERY.read({key: value})
        if rule is None:
            return "let nobody replace a lost owner"
        named = listed(sorted((called(member) for member in rule.named), key=lambda name: (name != "you", name)))
        return (
            f"let {rule.needed} of {named} replace a lost owner"
            if len(rule.named) > 1
            else f"let {named} replace a lost owner"
        )
    if isinstance(value, int) and key in _NUMBERS:
        some, none = _NUMBERS[key]
        return some(value) if value else none
    return f"changed {_SETTINGS.get(key, 'a setting')}"


def listed(names: list[str]) -> str:
    """Return names as one says them, `anna, ben and carol`, at most five."""
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {counted(len(names) - MAX_NAMED, 'other')}"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
