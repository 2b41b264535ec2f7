"""What a newcomer and the member who adds it tell each other, pairwise, before the newcomer can read the group.

The newcomer sends a `JoinKeys`; whoever adds it makes the event and answers with a `Welcome`: the secret of the epoch
that the event made, and the whole membership log, which the newcomer verifies from its beginning. A history has earlier
messages, each with its author's signature (docs/protocol/group-messages.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.codec import array, binary, binary_upto, decode, encode, exactly
from p2pchat.core.groups import parts
from p2pchat.core.groups.epochs import SECRET_BYTES, Leaf
from p2pchat.core.groups.messages import GroupMessage, open_record
from p2pchat.core.groups.parts import MAX_WHOLE, Part
from p2pchat.core.ids import EpochId, GroupId, MemberId
from p2pchat.errors import CannotOpen

MAX_NAME = 64
"""Bytes of UTF-8 of the name that a newcomer chooses for a group."""
MAX_WORDS = 512
"""Bytes of UTF-8 that a newcomer says to whoever decides about it."""
MAX_EVENTS = 100_000
MAX_RECORDS = 500
"""Messages in a history."""
MAX_HISTORY = 4_000_000
"""Bytes of a history."""
PART_ROOM = 62_000
"""Bytes of a part in a content."""


@dataclass(frozen=True, slots=True, repr=False)
class JoinKeys:
    """The public keys of a newcomer, made for one group. sign: Ed25519. leaf: X25519. kem: ML-KEM-768 or None. name: at
    most 64 bytes. proof: a signature that the newcomer, who is in this session, holds `sign`.
    """

    sign: bytes
    leaf: bytes
    kem: bytes | None
    name: str
    proof: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Welcome:
    """What a new member is sent. epoch, secret: of the epoch that its ADD made. log: the events of the whole membership
    log in an order in which parents come first, without rekeys.
    """

    group: GroupId
    member: MemberId
    epoch: EpochId
    secret: bytes
    log: tuple[bytes, ...]


def make_join_keys(group: GroupId, seed: bytes, leaf: Leaf, name: str, pair: bytes) -> JoinKeys:
    """Return the keys of a newcomer with this Ed25519 seed and this leaf, and the proof. pair: the 32-byte standing
    root of the newcomer and whoever adds it, which makes the proof theirs alone: nobody joins with the keys of another.
    """
    sign = prim.sign_public(seed)
    statement = _joining(group, sign, leaf.key, leaf.kem, name, pair)
    return JoinKeys(sign, leaf.key, leaf.kem, name, prim.sign(seed, "grp join", statement))


def check_join_keys(group: GroupId, keys: JoinKeys, pair: bytes) -> None:
    """Return if the newcomer, with whom we have this standing root, holds the key it will sign with, and its leaf can
    be sealed to. Raises CannotOpen.
    """
    statement = _joining(group, keys.sign, keys.leaf, keys.kem, keys.name, pair)
    prim.verify(keys.sign, "grp join", statement, keys.proof)
    prim.x25519(_ANY_PRIVATE, keys.leaf)
    if keys.kem is not None:
        prim.kem_encapsulate(keys.kem)


_ANY_PRIVATE = bytes(range(1, 33))
"""For a product that is not used: only whether the other key is of small order."""


def fits(events: int, log_bytes: int) -> bool:
    """Return whether so many events, of so many bytes together, can be sent to a newcomer."""
    try:
        parts.part_room(PART_ROOM, log_bytes + 4 * events + _AROUND_LOG)
    except ValueError:
        return False
    return events <= MAX_EVENTS


_AROUND_LOG = 256
"""Bytes of a welcome that are not its log, at most."""


def cut_welcome(welcome: Welcome) -> tuple[Part, ...]:
    """Return the parts of a welcome, each for one content. Raises ValueError for a log that is too long."""
    whole = encode(
        [1, welcome.group, welcome.member, welcome.epoch, welcome.secret, join_lengths(welcome.log, MAX_EVENTS)]
    )
    return parts.cut(whole, parts.part_room(PART_ROOM, len(whole)))


_WELCOME = array(exactly(1), binary(32), binary(8), binary(32), binary(SECRET_BYTES), binary_upto(MAX_WHOLE))


def open_welcome(whole: bytes) -> Welcome:
    """Return the welcome whose parts are joined. Nothing of it is verified yet. Raises CannotOpen."""
    _, group, member, epoch, secret, log = _WELCOME(decode(whole, MAX_WHOLE))
    return Welcome(group, member, epoch, secret, split_lengths(log, MAX_EVENTS))


# --- what was written before -------------------------------------------------------------------------------------


def cut_history(group: GroupId, records: Sequence[bytes]) -> tuple[Part, ...]:
    """Return the parts of a history, each for one content: messages as `messages.encode_record` gives them, oldest
    first. The oldest are left out where all would be too long.
    """
    records = records[-MAX_RECORDS:]
    while sum(len(record) + 4 for record in records) > MAX_HISTORY:
        records = records[1:]
    whole = encode([1, group, join_lengths(records, MAX_RECORDS)])
    return parts.cut(whole, parts.part_room(PART_ROOM, len(whole)))


_HISTORY = array(exactly(1), binary(32), binary_upto(MAX_WHOLE))


def open_history(whole: bytes) -> tuple[GroupId, tuple[GroupMessage, ...]]:
    """Return a group and the messages of its history, none of them verified yet. Raises CannotOpen."""
    _, group, records = _HISTORY(decode(whole, MAX_WHOLE))
    return group, tuple(open_record(record, group) for record in split_lengths(records, MAX_RECORDS))


# --- which member somebody is ------------------------------------------------------------------------------------


def prove_member(group: GroupId, seed: bytes, pair: bytes) -> bytes:
    """Return the 64 bytes by which we prove to one contact which member of a group we are. seed: what we sign with
    there. pair: the 32-byte standing root of the two, which nobody else has, and which so makes the proof theirs alone.
    """
    return prim.sign(seed, "grp member", _member_statement(group, pair))


def check_member(group: GroupId, sign_key: bytes, pair: bytes, proof: bytes) -> None:
    """Return if a contact is the member with this 32-byte public key; arguments as for `prove_member`. Raises
    CannotOpen.
    """
    prim.verify(sign_key, "grp member", _member_statement(group, pair), proof)


def _member_statement(group: GroupId, pair: bytes) -> bytes:
    return group + prim.hkdf(pair, "grp member", prim.KEY_BYTES, context=group)


# --- lists of bytes ----------------------------------------------------------------------------------------------


def join_lengths(items: Sequence[bytes], most: int) -> bytes:
    """Return the items one behind the other, each as `u32 length || bytes`. Raises ValueError for more than `most`."""
    if len(items) > most:
        raise ValueError("too many items")
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def split_lengths(data: bytes, most: int) -> tuple[bytes, ...]:
    """Return the items of `join_lengths`, at most `most`. Raises CannotOpen."""
    items: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data) or start + 4 > len(data) or len(items) == most:
            raise CannotOpen
        items.append(data[start + 4 : end])
        start = end
    return tuple(items)


def _joining(group: GroupId, sign: bytes, leaf: bytes, kem: bytes | None, name: str, pair: bytes) -> bytes:
    bound = prim.hkdf(pair, "grp join", prim.KEY_BYTES, context=group)
    return encode([group, sign, leaf, kem, name, bound])
