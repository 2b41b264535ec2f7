"""Events: the signed entries of a membership log, as bytes and as values (docs/protocol/groups.md).

An event is made in this order: `encode_core`, then what it is encrypted with (from `core_hash`), then `sign_event`.
Whatever is read here is well-formed and signed by the key that it names; whether that author had the right to it is for
the resolver to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import (
    U32,
    U64,
    array,
    binary,
    binary_upto,
    boolean,
    decode,
    encode,
    exactly,
    listing,
    maybe,
    text,
    uint,
)
from p2pchat.core.groups.epochs import CONFIRM_BYTES, MAX_REKEY
from p2pchat.core.groups.roles import MEMBER_ID_BYTES, Role, member_id
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from p2pchat.errors import CannotOpen

MAX_ADDED = 256
MAX_REMOVED = 256
MAX_PARENTS = 8
MAX_NAME_BYTES = 64
MAX_REASON_BYTES = 256
MAX_KEY_BYTES = 32
MAX_VALUE_BYTES = 4_096
MAX_FIRST_SETTINGS = 32
MAX_CORE_BYTES = 400_000
MAX_EVENT_BYTES = MAX_CORE_BYTES + MAX_REKEY + 256
HASH_BYTES = 32
ID_BYTES = 32

_VERSION = 1
_LABEL = "grp ev"
_CORE_PERSON = b"p2pchat1 grpcore"
_REKEY_PERSON = b"p2pchat1 rekey"
_EVENT_PERSON = b"p2pchat1 grp ev"


class EpochMode(IntEnum):
    """What an event does to the epoch: nothing, a secret that every member computes, or a new random one."""

    NONE = 0
    ADVANCE = 1
    FRESH = 2


class EventOp(IntEnum):
    """The number of each action on the wire."""

    FOUND = 0
    ADD = 1
    REMOVE = 2
    SET_ROLE = 3
    LEAVE = 4
    UPDATE = 5
    SET = 6
    ROTATE = 7
    MERGE = 8
    HAND_OVER = 9
    SUCCESSOR = 10
    MUTE = 11
    RECOVER = 12
    CONFIRM_RECOVERY = 13


# --- actions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Newcomer:
    """Somebody who is added: public keys (see `Member`), role and name."""

    sign: bytes
    leaf: bytes
    kem: bytes | None
    role: Role
    name: str

    @cached_property
    def id(self) -> MemberId:
        """The id that the newcomer's key gives it."""
        return member_id(self.sign)


@dataclass(frozen=True, slots=True)
class Found:
    """The first event of a group. The founder, who signs it, is the owner."""

    settings: tuple[tuple[str, Any], ...]
    leaf: bytes
    kem: bytes | None
    name: str


@dataclass(frozen=True, slots=True)
class AddMembers:
    """Add members, in the order of their ids."""

    newcomers: tuple[Newcomer, ...]


@dataclass(frozen=True, slots=True)
class RemoveMembers:
    """Remove members for ever, in the order of their ids. ban: who they are should not be admitted again."""

    members: tuple[MemberId, ...]
    ban: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SetRole:
    """Give a member another role, or confirm the one it has."""

    member: MemberId
    role: Role


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """Leave the group."""


@dataclass(frozen=True, slots=True)
class UpdateMember:
    """Replace the author's own keys of encryption and name."""

    leaf: bytes
    kem: bytes | None
    name: str


@dataclass(frozen=True, slots=True)
class ChangeSetting:
    """Give a setting a value, which is whatever the encoding can hold."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class RotateEpoch:
    """Begin an epoch with a new random secret."""


@dataclass(frozen=True, slots=True)
class MergeEpochs:
    """Begin an epoch that succeeds all that its author knows of."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Make a member the owner; the author becomes an admin."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class NameSuccessor:
    """Name the group that takes the place of this one."""

    group: GroupId


@dataclass(frozen=True, slots=True)
class MuteMember:
    """Have what a member writes not shown until a time, in ms since the epoch; 0 ends it."""

    member: MemberId
    until: int


@dataclass(frozen=True, slots=True)
class RecoverOwner:
    """Ask, as somebody whom the owner has named for that, to make a member the owner in place of one who is lost."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class ConfirmRecovery:
    """Say that this recovery has been waiting for 14 days by the author's clock, and that the owner has not spoken."""

    member: MemberId


Action = (
    Found
    | AddMembers
    | RemoveMembers
    | SetRole
    | LeaveGroup
    | UpdateMember
    | ChangeSetting
    | RotateEpoch
    | MergeEpochs
    | HandOver
    | NameSuccessor
    | MuteMember
    | RecoverOwner
    | ConfirmRecovery
)


@dataclass(frozen=True, slots=True)
class GroupEvent:
    """One event, whose form and signature have been checked.

    id: the hash of what is signed. group: None in the first event, whose id is the group's. parents: what its author
    knew, as the newest events of the log. seq: how many events of the author precede it, of those that can be parents.
    author: the key that signed. prev_epoch: the epoch that this one's succeeds. confirm, rekey: see `epochs`; the rekey
    is None if this copy is without it. core: the bytes that say all the rest. raw: the whole event as it came.
    """

    id: EventId
    group: GroupId | None
    parents: tuple[EventId, ...]
    seq: int
    author: bytes
    author_id: MemberId
    op: EventOp
    action: Action
    mode: EpochMode
    prev_epoch: EpochId | None
    confirm: bytes | None
    rekey_hash: bytes | None
    rekey: bytes | None
    signature: bytes
    core: bytes
    raw: bytes


# --- shapes ------------------------------------------------------------------------------------------------------

_KEY = binary(prim.KEY_BYTES)
_KEM = maybe(binary(prim.KEM_PUBLIC))
_NAME = text(MAX_NAME_BYTES)
_MEMBER = binary(MEMBER_ID_BYTES)
_ID = binary(ID_BYTES)
_ROLES = {role.value: role for role in Role}


def _role(value: Any) -> Role:
    role = _ROLES.get(value) if type(value) is int else None
    if role is None or role is Role.OWNER:
        raise CannotOpen
    return role


def _setting_key(value: Any) -> str:
    key: str = text(MAX_KEY_BYTES)(value)
    if not key:
        raise CannotOpen
    return key


def _setting_value(value: Any) -> Any:
    if len(encode(value)) > MAX_VALUE_BYTES:
        raise CannotOpen
    return value


def _newcomer(value: Any) -> Newcomer:
    return Newcomer(*_NEWCOMER(value))


def _some(shape: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a check that a value passes `shape` and is not empty."""

    def check(value: Any) -> tuple[Any, ...]:
        items = shape(value)
        if not items:
            raise CannotOpen
        return items

    return check


def _ordered(shape: Callable[[Any], Any], most: int, order: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a check that a value is a list of at most `most` different values in order."""
    listed = listing(shape, most)

    def check(value: Any) -> tuple[Any, ...]:
        items: tuple[Any, ...] = listed(value)
        if any(first >= second for first, second in itertools.pairwise(map(order, items))):
            raise CannotOpen
        return items

    return check


_NEWCOMER = array(_KEY, _KEY, _KEM, _role, _NAME)
_SETTING = array(_setting_key, _setting_value)
_SHAPES: dict[EventOp, Callable[[Any], tuple[Any, ...]]] = {
    EventOp.FOUND: array(_ordered(_SETTING, MAX_FIRST_SETTINGS, lambda setting: setting[0]), _KEY, _KEM, _NAME),
    EventOp.ADD: array(_some(_ordered(_newcomer, MAX_ADDED, lambda newcomer: newcomer.id))),
    EventOp.REMOVE: array(_some(_ordered(_MEMBER, MAX_REMOVED, bytes)), boolean, text(MAX_REASON_BYTES)),
    EventOp.SET_ROLE: array(_MEMBER, _role),
    EventOp.LEAVE: array(),
    EventOp.UPDATE: array(_KEY, _KEM, _NAME),
    EventOp.SET: array(_setting_key, _setting_value),
    EventOp.ROTATE: array(),
    EventOp.MERGE: array(),
    EventOp.HAND_OVER: array(_MEMBER),
    EventOp.SUCCESSOR: array(_ID),
    EventOp.MUTE: array(_MEMBER, uint(U64)),
    EventOp.RECOVER: array(_MEMBER),
    EventOp.CONFIRM_RECOVERY: array(_MEMBER),
}
_ACTIONS: dict[EventOp, Callable[..., Action]] = {
    EventOp.FOUND: Found,
    EventOp.ADD: AddMembers,
    EventOp.REMOVE: RemoveMembers,
    EventOp.SET_ROLE: SetRole,
    EventOp.LEAVE: LeaveGroup,
    EventOp.UPDATE: UpdateMember,
    EventOp.SET: ChangeSetting,
    EventOp.ROTATE: RotateEpoch,
    EventOp.MERGE: MergeEpochs,
    EventOp.HAND_OVER: HandOver,
    EventOp.SUCCESSOR: NameSuccessor,
    EventOp.MUTE: MuteMember,
    EventOp.RECOVER: RecoverOwner,
    EventOp.CONFIRM_RECOVERY: ConfirmRecovery,
}
_OPS = {action: op for op, action in _ACTIONS.items()}
_MODES = {
    EventOp.FOUND: EpochMode.FRESH,
    EventOp.ADD: EpochMode.ADVANCE,
    EventOp.REMOVE: EpochMode.FRESH,
    EventOp.ROTATE: EpochMode.FRESH,
    EventOp.MERGE: EpochMode.FRESH,
}
"""How each action changes the epoch; what is not here does not."""

_CORE = array(
    exactly(_VERSION), maybe(_ID), _ordered(_ID, MAX_PARENTS, bytes), uint(U32), _KEY, uint(0xFF), lambda args: args,
    uint(EpochMode.FRESH), maybe(_ID)
)  # fmt: skip
_EVENT = array(
    binary_upto(MAX_CORE_BYTES),
    maybe(binary(CONFIRM_BYTES)),
    maybe(binary(HASH_BYTES)),
    binary(prim.SIGNATURE),
    maybe(binary_upto(MAX_REKEY)),
)


# --- writing -----------------------------------------------------------------------------------------------------


def mode_of(action: Action) -> EpochMode:
    """Return how an action changes the epoch."""
    return _MODES.get(_OPS[type(action)], EpochMode.NONE)


def encode_core(
    group: GroupId | None,
    parents: tuple[EventId, ...],
    seq: int,
    author: bytes,
    action: Action,
    prev_epoch: EpochId | None = None,
) -> bytes:
    """Return the core of an event: all but its signature and what it is encrypted with.

    group: None for the first event only. parents: in any order. author: its public Ed25519 key of this group.
    prev_epoch: the epoch that is succeeded, if the action makes one.
    """
    op = _OPS[type(action)]
    where = [_VERSION, group, sorted(parents), seq, author]
    return encode([*where, int(op), _arguments(action), int(mode_of(action)), prev_epoch])


def _arguments(action: Action) -> list[Any]:
    match action:
        case Found():
            return [
                [list(setting) for setting in sorted(action.settings, key=_key_of)],
                action.leaf,
                action.kem,
                action.name,
            ]
        case AddMembers():
            newcomers = sorted(action.newcomers, key=lambda newcomer: newcomer.id)
            return [[[new.sign, new.leaf, new.kem, int(new.role), new.name] for new in newcomers]]
        case RemoveMembers():
            return [sorted(action.members), action.ban, action.reason]
        case SetRole():
            return [action.member, int(action.role)]
        case UpdateMember():
            return [action.leaf, action.kem, action.name]
        case ChangeSetting():
            return [action.key, action.value]
        case NameSuccessor():
            return [action.group]
        case MuteMember():
            return [action.member, action.until]
        case HandOver() | RecoverOwner() | ConfirmRecovery():
            return [action.member]
        case LeaveGroup() | RotateEpoch() | MergeEpochs():
            return []


def _key_of(setting: tuple[str, Any]) -> str:
    return setting[0]


def core_hash(core: bytes) -> bytes:
    """Return the 32 bytes by which the secrets of an event's epoch are bound to its core."""
    return prim.blake2b(core, _CORE_PERSON)


def sign_event(core: bytes, confirm: bytes | None, rekey: bytes | None, seed: bytes) -> GroupEvent:
    """Return the finished event. seed: the author's private Ed25519 key of this group, 32 bytes.

    Raises CannotOpen if others would refuse it.
    """
    return decode_event(signed_bytes(core, confirm, rekey, seed))


def signed_bytes(core: bytes, confirm: bytes | None, rekey: bytes | None, seed: bytes) -> bytes:
    """Return the bytes of an event whatever its core is; see `sign_event`, which checks them."""
    rekey_hash = None if rekey is None else prim.blake2b(rekey, _REKEY_PERSON)
    signature = prim.sign(seed, _LABEL, _statement(core, confirm, rekey_hash))
    return encode([core, confirm, rekey_hash, signature, rekey])


def without_rekey(event: GroupEvent) -> bytes:
    """Return the bytes of an event without its rekey: as valid as before, but it opens no epoch. Logs are sent so to
    newcomers, who cannot open it anyway.
    """
    return encode([event.core, event.confirm, event.rekey_hash, event.signature, None])


def _statement(core: bytes, confirm: bytes | None, rekey_hash: bytes | None) -> bytes:
    return encode([core_hash(core), confirm, rekey_hash])


# --- reading -----------------------------------------------------------------------------------------------------


def decode_event(raw: bytes) -> GroupEvent:
    """Return the event in some bytes. Raises CannotOpen if they are not one, or are not signed by the author named."""
    event = decode_unverified(raw)
    verify_event(event)
    return event


def decode_verified(raw: bytes) -> GroupEvent:
    """Return the event in bytes whose signature has been verified before: those of one's own database."""
    return decode_unverified(raw)


def verify_event(event: GroupEvent) -> None:
    """Return if an event is signed by the author that it names. Raises CannotOpen."""
    statement = _statement(event.core, event.confirm, event.rekey_hash)
    prim.verify(event.author, _LABEL, statement, event.signature)


def unsigned(core: bytes) -> GroupEvent:
    """Return an event as far as its core says it, with nothing for an id. Raises CannotOpen."""
    _, group, parents, seq, author, number, args, mode, prev_epoch = _CORE(decode(core, MAX_CORE_BYTES))
    try:
        op = EventOp(number)
    except ValueError:
        raise CannotOpen from None
    action = _ACTIONS[op](*_SHAPES[op](args))
    first = op is EventOp.FOUND
    if mode != _MODES.get(op, EpochMode.NONE) or first != (group is None) or first != (not parents) or (first and seq):
        raise CannotOpen
    if (mode != EpochMode.NONE and not first) != (prev_epoch is not None):
        raise CannotOpen
    return GroupEvent(
        id=EventId(b""),
        group=group,
        parents=parents,
        seq=seq,
        author=author,
        author_id=member_id(author),
        op=op,
        action=action,
        mode=EpochMode(mode),
        prev_epoch=prev_epoch,
        confirm=None,
        rekey_hash=None,
        rekey=None,
        signature=b"",
        core=core,
        raw=b"",
    )


def decode_unverified(raw: bytes) -> GroupEvent:
    """Return the event in some bytes, whoever signed it: `verify_event` is yet to say. Its id and its rekey are those
    of what was signed. Raises CannotOpen.
    """
    core, confirm, rekey_hash, signature, rekey = _EVENT(decode(raw, MAX_EVENT_BYTES))
    if rekey is not None and (rekey_hash is None or prim.blake2b(rekey, _REKEY_PERSON) != rekey_hash):
        raise CannotOpen
    event = unsigned(core)
    distributes = event.mode == EpochMode.FRESH and event.op is not EventOp.FOUND
    if (event.mode != EpochMode.NONE) != (confirm is not None) or distributes != (rekey_hash is not None):
        raise CannotOpen
    return replace(
        event,
        id=EventId(prim.blake2b(_statement(core, confirm, rekey_hash), _EVENT_PERSON)),
        confirm=confirm,
        rekey_hash=rekey_hash,
        rekey=rekey,
        signature=signature,
        raw=raw,
    )
