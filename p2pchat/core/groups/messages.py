"""Messages of a group: signed by their author, sealed with the next key of the author's chain.

The signature is over the hash of the content and the message's place, and over no key: so whoever has the message can
show a newcomer later who wrote it (`encode_record`). docs/protocol/group-messages.md is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U32, array, binary, binary_upto, decode, encode, exactly, listing, uint
from p2pchat.core.envelope import MAX_CONTENT
from p2pchat.core.groups import chains
from p2pchat.core.groups.chains import Chain, FindSkipped, MaySkip, SoughtKey
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId

MAX_LOG_HEADS = 8
MAX_SEEN = 4
MAX_BODY = MAX_CONTENT + 512
MAX_RECORD = MAX_BODY + 512
TRANSCRIPT_HEAD = 8


class SeenMessage(NamedTuple):
    """A message that the author of another one had seen. back: 0 if it is of the same epoch, 1 if of the one before it.
    head: its `GroupMessage.transcript_head`, 8 bytes.
    """

    back: int
    member: MemberId
    number: int
    head: bytes


@dataclass(frozen=True, slots=True, repr=False)
class GroupMessage:
    """A signed message. number: in the member's chain of the epoch. log_heads: the newest events of the membership log
    that the author knew, at most 8. seen: the newest messages of others that the author had seen, at most 4. content:
    the bytes of a `Content`.
    """

    group: GroupId
    epoch: EpochId
    member: MemberId
    number: int
    log_heads: tuple[EventId, ...]
    seen: tuple[SeenMessage, ...]
    content: bytes
    signature: bytes
    signed: bytes = field(init=False)
    """The bytes that the signature is over."""

    def __post_init__(self) -> None:
        place = self.group, self.epoch, self.member, self.number
        object.__setattr__(self, "signed", _signed(*place, self.log_heads, self.seen, self.content))

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name the message to all members. Two of one member, epoch and number prove that its author
        has told members different things.
        """
        return prim.blake2b(self.signed, b"p2pchat1 grp msg")

    @property
    def transcript_head(self) -> bytes:
        """The 8 bytes by which later messages say that their authors have seen this one (`SeenMessage.head`)."""
        return self.digest[:TRANSCRIPT_HEAD]


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """The result of `write`: the message, the author's chain after it, and what goes into an item."""

    message: GroupMessage
    chain: Chain
    body: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ReadMessage:
    """The result of `read`: the message, and the changes of its chain and skipped keys."""

    message: GroupMessage
    found: SoughtKey


def write(
    group: GroupId,
    epoch: EpochId,
    member: MemberId,
    seed: bytes,
    chain: Chain,
    log_heads: Sequence[EventId],
    seen: Sequence[SeenMessage],
    content: bytes,
    random: prim.Random,
) -> Written:
    """Sign a content with our seed of this group and seal it with the next key of our chain. Raises ValueError for a
    content of more than `MAX_CONTENT` bytes, more than 8 heads, or more than 4 messages that were seen.
    """
    if len(content) > MAX_CONTENT or len(log_heads) > MAX_LOG_HEADS or len(seen) > MAX_SEEN:
        raise ValueError("too long for a message of a group")
    number, heads, before = chain.next, tuple(log_heads), tuple(seen)
    key, after = chains.advance_chain(chain)
    signature = prim.sign(seed, "grp msg", _signed(group, epoch, member, number, heads, before, content))
    plain = encode([content, list(heads), list(map(list, before)), signature])
    body = prim.seal(key, plain, _place(epoch, member, number), random(prim.NONCE_BYTES))
    return Written(GroupMessage(group, epoch, member, number, heads, before, content, signature), after, body)


_HEADS = listing(binary(32), MAX_LOG_HEADS)
_ONE_SEEN = array(uint(1), binary(MEMBER_ID_BYTES), uint(U32), binary(TRANSCRIPT_HEAD))


def _seen_message(value: Any) -> SeenMessage:
    return SeenMessage(*_ONE_SEEN(value))


_SEEN = listing(_seen_message, MAX_SEEN)
_BODY = array(binary_upto(MAX_CONTENT), _HEADS, _SEEN, binary(prim.SIGNATURE))


def read(
    group: GroupId,
    epoch: EpochId,
    member: MemberId,
    sign_key: bytes,
    chain: Chain,
    number: int,
    body: bytes,
    find: FindSkipped,
    may_skip: MaySkip = chains.as_many_as_it_takes,
) -> ReadMessage:
    """Open and verify message `number` of a member. chain: the member's, in this epoch. sign_key: the member's 32-byte
    public key. Raises CannotOpen, with nothing changed.
    """
    read = read_unverified(group, epoch, member, chain, number, body, find, may_skip)
    verify_message(read.message, sign_key)
    return read


def read_unverified(
    group: GroupId,
    epoch: EpochId,
    member: MemberId,
    chain: Chain,
    number: int,
    body: bytes,
    find: FindSkipped = chains.none_skipped,
    may_skip: MaySkip = chains.as_many_as_it_takes,
) -> ReadMessage:
    """Open a message as `read` does. Any member of the epoch can have made it: the caller calls `verify_message` before
    anything comes of it.
    """
    found = chains.seek(chain, number, find, may_skip)
    plain = prim.open_sealed(found.key, body, _place(epoch, member, number))
    content, heads, seen, signature = _BODY(decode(plain, MAX_BODY))
    return ReadMessage(GroupMessage(group, epoch, member, number, heads, seen, content, signature), found)


# --- messages as a newcomer gets them ----------------------------------------------------------------------------


def encode_record(message: GroupMessage) -> bytes:
    """Return a message without its group as bytes, for those who have no key of its epoch."""
    return encode(
        [
            1,
            message.epoch,
            message.member,
            message.number,
            list(message.log_heads),
            list(map(list, message.seen)),
            message.content,
            message.signature,
        ]
    )


_RECORD = array(
    exactly(1),
    binary(32),
    binary(MEMBER_ID_BYTES),
    uint(U32),
    _HEADS,
    _SEEN,
    binary_upto(MAX_CONTENT),
    binary(prim.SIGNATURE),
)


def open_record(record: bytes, group: GroupId) -> GroupMessage:
    """Return the message of `encode_record`. The caller finds its author's key and calls `verify_message`. Raises
    CannotOpen.
    """
    _, epoch, member, number, heads, seen, content, signature = _RECORD(decode(record, MAX_RECORD))
    return GroupMessage(group, epoch, member, number, heads, seen, content, signature)


def verify_message(message: GroupMessage, sign_key: bytes) -> None:
    """Return if the message is signed by the holder of this 32-byte public key. Raises CannotOpen."""
    prim.verify(sign_key, "grp msg", message.signed, message.signature)


def _signed(
    group: GroupId,
    epoch: EpochId,
    member: MemberId,
    number: int,
    log_heads: Sequence[EventId],
    seen: Sequence[SeenMessage],
    content: bytes,
) -> bytes:
    hashed = prim.blake2b(content, b"p2pchat1 grp cnt")
    return encode([group, epoch, member, number, list(log_heads), list(map(list, seen)), hashed])


def _place(epoch: EpochId, member: MemberId, number: int) -> bytes:
    return epoch + member + number.to_bytes(4, "big")
