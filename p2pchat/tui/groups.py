"""Groups as plain data: the group itself, its members, what was done in it, who asks to join; and what a role may do.

The rules are the log's; here they only decide what is offered. The node refuses whatever is not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from p2pchat.lib.mentions import MODERATING
from p2pchat.lib.moments import localized
from p2pchat.sanitize import clean_line
from p2pchat.tui.model import time_of

OWNER, ADMIN, MODERATOR, MEMBER, OBSERVER = "owner", "admin", "moderator", "member", "observer"
ROLES = (OWNER, ADMIN, MODERATOR, MEMBER, OBSERVER)
"""From the one who may do everything to those who only read and react."""

_ADMINISTERING = (OWNER, ADMIN)

VISIBLE = "Every member sees every other member."
"""What everybody should know who founds a group, joins one or invites to one."""

PAGE_MEMBERS = 100
"""Members that are read at a time."""


class GroupInfo(NamedTuple):
    """A group. `role`: the user's, "" if they are not a member any more. `members`: how many there are. `epoch`: how
    old the keys are, in a sentence. `problem`: what is wrong, in a sentence. `receipts`: the user tells contacts what
    they have read. `adding`: the contacts who become members once their nodes have answered.
    `muted_until`: None if the user is not muted. `requests`: how many ask to join, if the user decides about them.
    """

    chat: str
    name: str
    topic: str
    role: str
    members: int
    settings: Mapping[str, Any]
    epoch: str
    problem: str
    receipts: bool = False
    adding: tuple[str, ...] = ()
    muted_until: datetime | None = None
    requests: int = 0

    @property
    def moderates(self) -> bool:
        """Whether the user may act on others."""
        return self.role in MODERATING

    @property
    def administers(self) -> bool:
        """Whether the user may remove people and change the rules."""
        return self.role in _ADMINISTERING

    @property
    def adds(self) -> bool:
        """Whether the user may add contacts."""
        open_to_all = self.settings.get("invites") == "members"
        return self.administers or (open_to_all and self.role in (MODERATOR, MEMBER))

    @property
    def invites(self) -> bool:
        """Whether the user may make invites for people who are no contacts."""
        return self.administers


class Member(NamedTuple):
    """A member. `contact`: what the user calls the contact who this is; None if nobody is known to be it.
    `muted_until`: None for whoever is not muted.
    """

    id: str
    name: str
    role: str
    me: bool
    contact: str | None
    verified: bool
    muted_until: datetime | None = None


class Done(NamedTuple):
    """What was done in a group, in a sentence. `known_by`: how many members are known to have seen it. `at`: when this
    node learned of it.
    """

    id: str
    text: str
    by: str
    op: str
    known_by: int | None
    at: datetime | None = None


class Joining(NamedTuple):
    """Somebody asks to join. `words`: what they wrote. `via`: the invite that they used."""

    id: str
    name: str
    words: str
    at: datetime | None
    via: str


def offers(method: str) -> bool:
    """Return whether the node has a method; what it cannot do is not offered."""
    from p2pchat.api.methods import BY_NAME  # not before the first picture

    return method in BY_NAME


def group_of(params: Mapping[str, Any]) -> GroupInfo:
    """A group object of the API."""
    return GroupInfo(
        params["chat"],
        params["name"],
        params.get("topic") or "",
        params.get("role") or "",
        int(params["members"]),
        params.get("settings") or {},
        localized(params.get("epoch") or ""),
        localized(params.get("problem") or ""),
        bool(params.get("receipts")),
        tuple(params.get("adding") or ()),
        time_of(params["muted_until"]) if params.get("muted_until") else None,
        int(params.get("requests") or 0),
    )


def member_of(params: Mapping[str, Any]) -> Member:
    """A member object of the API."""
    return Member(
        params["id"],
        params["name"],
        params["role"],
        bool(params["me"]),
        params.get("contact") or None,
        bool(params.get("verified")),
        time_of(params["muted_until"]) if params.get("muted_until") else None,
    )


def done_of(params: Mapping[str, Any]) -> Done:
    """An event of the log of a group."""
    at = time_of(params["at"]) if params.get("at") else None
    by, op = params.get("by") or "", params.get("op") or ""
    return Done(params["id"], localized(params["text"]), by, op, params.get("known_by"), at)


def joining_of(params: Mapping[str, Any]) -> Joining:
    """A request to join."""
    at = params.get("at")
    return Joining(
        params["id"],
        params["name"],
        params.get("words") or "",
        time_of(at) if at else None,
        params.get("via") or "",
    )


def acts_on(mine: str, theirs: str) -> bool:
    """Return whether somebody of one role may act on a member of another: only on those below."""
    return mine in MODERATING and theirs in ROLES and ROLES.index(mine) < ROLES.index(theirs)


def can_recover(group: GroupInfo, me: str = "") -> bool:
    """Return whether the user may ask for another owner: an admin whom the owner named for that, if their own id in
    the group is known.
    """
    rule = group.settings.get("recovery")
    if group.role != ADMIN or not isinstance(rule, Mapping):
        return False
    return not me or any(str(named["id"]) == me for named in rule["members"])


def roles_to_give(mine: str, theirs: str) -> Sequence[str]:
    """Return the roles that somebody may give to a member who has another one: those below their own. An owner may
    also hand the group over.
    """
    if mine not in _ADMINISTERING or not acts_on(mine, theirs):
        return ()
    below = tuple(role for role in ROLES[ROLES.index(mine) + 1 :] if role != theirs)
    return (*below, OWNER) if mine == OWNER else below


REMOVAL = (
    "They are removed for everyone who has seen it, and read nothing that those write from then on. They keep what "
    "they have. /group log shows how many have seen it."
)
"""What removing somebody means, as it is asked before it."""


class Setting(NamedTuple):
    """A rule or a text of a group. `choices`: the values it can have, () for a text of at most `longest` characters."""

    name: str
    says: str
    choices: tuple[str, ...] = ()
    longest: int = 0


SETTINGS = (
    Setting("name", "what the group is called", longest=64),
    Setting("topic", "what it is about, in a line", longest=256),
    Setting("description", "its rules, for those who join", longest=2048),
    Setting("locked", "only moderators and above write", ("no", "yes")),
    Setting("slow_mode", "time between two messages of a member", ("0", "10", "30", "60", "300", "3600")),
    Setting("invites", "who adds people", ("admins", "members")),
    Setting("newcomers", "how long newcomers send no links or files", ("0", "1", "24", "168")),
    Setting("history", "earlier messages that newcomers get", ("0", "50", "500")),
    Setting("recovery", "which admins can replace a lost owner: 2 of bob, carol, dan; or off", longest=2048),
)
"""What `set_group` changes, in the order of the page."""

RECEIPTS = Setting("receipts", "your contacts here count what you read", ("no", "yes"))
"""What each member decides for themselves; `group_receipts` changes it."""

COUNTED = {True: "Your contacts in this group count you from now on.", False: "Nobody is told any more."}
"""What is so once the user has decided about receipts."""


def plain(value: object) -> str:
    """Return the value of a setting as `set_group` takes it."""
    if isinstance(value, Mapping):
        return f"{value['needed']} of {', '.join(clean_line(str(member['name'])) for member in value['members'])}"
    return ("yes" if value else "no") if isinstance(value, bool) else "" if value is None else str(value)


def worded(setting: Setting, value: object) -> str:
    """Return the value of a setting in words."""
    text = plain(value)
    if setting.name in ("slow_mode", "newcomers") and text.isdecimal():
        number = int(text)
        if not number:
            return "off"
        if setting.name == "newcomers":
            return f"{number // 24} days" if number % 24 == 0 and number > 24 else f"{number} h"
        return f"{number} s" if number < 60 else f"{number // 60} min" if number < 3600 else f"{number // 3600} h"
    return "none" if setting.name == "history" and text in ("", "0") else text
