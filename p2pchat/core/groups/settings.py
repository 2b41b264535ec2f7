"""The settings of a group that this program knows, and what they are where nobody has set them.

A setting is a value in the membership log. Whether an event counts never depends on whether its value makes sense,
since programs of several versions have to agree about that: what makes no sense reads as if it was not set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from p2pchat.core.codec import U32, array, binary, boolean, listing, text, uint
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId
from p2pchat.errors import CannotOpen

_Value = TypeVar("_Value")
MAX_NAMED = 16
MAX_HOURS = 24 * 365


@dataclass(frozen=True, slots=True)
class GroupSetting(Generic[_Value]):
    """A setting: its key, the check of its value (see `codec`), and what it is by default."""

    key: str
    shape: Callable[[Any], _Value]
    default: _Value

    def read(self, values: Mapping[str, Any]) -> _Value:
        """Return the value among those of a log."""
        try:
            return self.shape(values[self.key])
        except (KeyError, CannotOpen):
            return self.default


@dataclass(frozen=True, slots=True)
class RecoveryRule:
    """Who may replace a lost owner: as many as `needed` of those named, who must be admins."""

    needed: int
    named: frozenset[MemberId]


def _choice(*values: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        for allowed in values:
            if type(value) is type(allowed) and value == allowed:
                return value
        raise CannotOpen

    return check


def _rule(value: Any) -> RecoveryRule:
    needed, named = array(uint(MAX_NAMED), listing(binary(MEMBER_ID_BYTES), MAX_NAMED))(value)
    if not 1 <= needed <= len(set(named)):
        raise CannotOpen
    return RecoveryRule(needed, frozenset(MemberId(member) for member in named))


NAME: GroupSetting[str] = GroupSetting("name", text(128), "")
TOPIC: GroupSetting[str] = GroupSetting("topic", text(256), "")
DESCRIPTION: GroupSetting[str] = GroupSetting("description", text(2_048), "")
SLOW_MODE: GroupSetting[int] = GroupSetting("slow_mode", uint(24 * 3_600), 0)
"""Seconds between two messages of one member."""
LOCKED: GroupSetting[bool] = GroupSetting("locked", boolean, False)
"""Only moderators and their seniors write."""
INVITES: GroupSetting[str] = GroupSetting("invites", _choice("admins", "members"), "admins")
"""Who adds people: admins and the owner, or members too."""
NEWCOMERS: GroupSetting[int] = GroupSetting("newcomers", uint(MAX_HOURS), 0)
"""Hours in which a newcomer sends no links and no files."""
HISTORY: GroupSetting[int] = GroupSetting("history", _choice(0, 50, 500), 0)
"""How many messages from before they joined newcomers get."""
TIMER: GroupSetting[int] = GroupSetting("timer", uint(U32), 0)
"""Seconds until messages disappear; 0: they stay."""
RECOVERY: GroupSetting[RecoveryRule | None] = GroupSetting("recovery", _rule, None)
"""Who may replace a lost owner; only an owner sets it."""
OWNER_KEYS = frozenset({RECOVERY.key})


def recovery_value(needed: int, named: frozenset[MemberId]) -> list[Any]:
    """Return the value of `RECOVERY` for a rule."""
    return [needed, sorted(named)]
