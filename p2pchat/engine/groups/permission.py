"""Whether we may do something in a group, and in words who may: asked before an event is made.

The log decides what counts. This only says so first, and better: to the person who tries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from p2pchat.core.groups import rights
from p2pchat.core.groups.events import (
    Action,
    AddMembers,
    ChangeSetting,
    HandOver,
    LeaveGroup,
    MuteMember,
    RemoveMembers,
    SetRole,
)
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import INVITES
from p2pchat.core.groups.state import GroupState, Member
from p2pchat.core.ids import ChatId, MemberId, sender_of
from p2pchat.engine.groups import wording
from p2pchat.errors import NotAllowed
from p2pchat.store.database import Database
from p2pchat.store.groups import members as store_members

MAX_NAMED = 3
"""Members who are named as those to ask."""

_WHO = {
    Role.OWNER: "Only the owner",
    Role.ADMIN: "Only the owner and admins",
    Role.MODERATOR: "Only the owner, admins and moderators",
    Role.MEMBER: "Everybody but observers",
}

_WHAT: Mapping[type, str] = {
    AddMembers: "can add members",
    RemoveMembers: "can remove members",
    SetRole: "can change roles",
    ChangeSetting: "can change this setting",
    HandOver: "can make somebody else the owner",
    MuteMember: "can mute members",
}


def check(db: Database, chat: ChatId, state: GroupState, me: MemberId, action: Action) -> None:
    """Raise NotAllowed, with a sentence that says who may, if our role does not allow an action."""
    own = state.members[me].role if me in state.members else Role.OBSERVER
    if isinstance(action, LeaveGroup) and own is Role.OWNER:
        hint = "Make somebody else the owner first: `p2pchat group role CHAT M owner`."
        raise NotAllowed("You are the owner, and a group without one could not go on", hint=hint)
    needed = rights.lowest_role(action, members_add=INVITES.read(state.settings) == "members")
    _check(db, chat, state, me, needed, _WHAT.get(type(action), "can do that"), _targets(action, state))
    if isinstance(action, SetRole) and action.role <= own:
        raise NotAllowed(f"You can make nobody {wording.role(action.role)}: you give only roles below yours")


def check_admits(db: Database, chat: ChatId, state: GroupState, me: MemberId, what: str) -> None:
    """Raise NotAllowed, as `check`, if we do not decide about people who are no contacts. what: of that, in words."""
    _check(db, chat, state, me, Role.ADMIN, what, ())


def check_hide(db: Database, chat: ChatId, state: GroupState, me: MemberId, author: MemberId) -> None:
    """Raise NotAllowed, as `check`, if we may not hide what a member wrote. One who is gone has no role any more."""
    targets = [state.members[author]] if author in state.members else []
    _check(db, chat, state, me, Role.MODERATOR, "can hide messages", targets)


def _check(
    db: Database, chat: ChatId, state: GroupState, me: MemberId, needed: Role, what: str, targets: Iterable[Member]
) -> None:
    own = state.members[me].role if me in state.members else Role.OBSERVER
    if own > needed:
        whom = _listed(db, chat, [member for member in state.members.values() if member.role <= needed])
        raise NotAllowed(f"{_WHO[needed]} {what}, and you are {wording.role(own)}", hint=f"Ask {whom}.")
    for member in targets:
        if member.role <= own and member.id != me:
            name = store_members.shown_name(db, chat, member.id)
            raise NotAllowed(
                f"{name} is {wording.role(member.role)}, and you can do that only to members whose role is below yours"
            )


def _targets(action: Action, state: GroupState) -> Iterable[Member]:
    ids = action.members if isinstance(action, RemoveMembers) else ()
    if isinstance(action, SetRole | MuteMember):
        ids = (action.member,)
    return [state.members[id] for id in ids if id in state.members]


def _listed(db: Database, chat: ChatId, members: list[Member]) -> str:
    """Return the names of the most senior of these, `anna or ben`."""
    first = sorted(members, key=lambda member: (member.role, member.id))[:MAX_NAMED]
    names = store_members.names(db, chat, [sender_of(member.id) for member in first])
    return " or ".join(names[sender_of(member.id)] for member in first) or "the group's owner"
