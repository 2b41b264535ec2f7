"""What a membership log says at one time: the members, the settings and the epochs of a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    sign, leaf: its public keys in this group, Ed25519 and X25519. kem: its public ML-KEM-768 key, if it has one.
    name: as it chose it, not cleaned. added_by: the member who added it, the founder itself for the founder.
    added_in: the event that did.
    """

    id: MemberId
    sign: bytes
    leaf: bytes
    kem: bytes | None
    role: Role
    name: str
    added_by: MemberId
    added_in: EventId


@dataclass(frozen=True, slots=True)
class EpochHead:
    """An epoch that no other succeeds as yet.

    number: how many epochs led to it, from 0. outsiders: who holds its secret but has been removed since, or was never
    validly added; while there is anyone, nobody may send under it. left: who holds its secret but left of their own
    accord.
    """

    id: EpochId
    number: int
    outsiders: frozenset[MemberId]
    left: frozenset[MemberId]


@dataclass(frozen=True, slots=True)
class OpenRecovery:
    """A request to replace a lost owner, of which no owner has spoken since.

    member: who is to be the owner. needed: how many admins have to ask for it, and then to confirm it. asked,
    confirmed: who did. requests: the first event of each that asks, whose age is what is confirmed.
    """

    member: MemberId
    needed: int
    asked: frozenset[MemberId]
    confirmed: frozenset[MemberId]
    requests: tuple[EventId, ...]


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group as all valid events that are known make it; the same for everybody who knows the same events.

    members: in the order of their ids. settings: key → value, as written (see `settings`); of those that this program
    does not know, too. muted: until when, in ms since the epoch. suspended: who signed two events with one number, so
    that what they do does not count until a senior decides. left: who left and still has the secret, until an admin
    removes them. heads: what the next event should know, at most 8 events. epoch_heads: more than one calls for a
    merge; the one with the highest number first. sending: the epoch to send under; None while there is none that only
    members can read. successor: the group that takes this one's place, and who says so.
    """

    group: GroupId
    members: Mapping[MemberId, Member]
    settings: Mapping[str, Any]
    muted: Mapping[MemberId, int]
    suspended: frozenset[MemberId]
    left: frozenset[MemberId]
    heads: tuple[EventId, ...]
    epoch_heads: tuple[EpochHead, ...]
    sending: EpochId | None
    successor: tuple[GroupId, MemberId] | None
    recoveries: tuple[OpenRecovery, ...]
