"""Sender chains: in each epoch every member has a chain of keys, one for each message that it sends.

All chains come from the epoch's secret, so nobody has to hand out any. The secret is dropped once the keys of its 64
branches are there; from the key of a branch come the chains of the members whose ids begin with its six bits, and it is
dropped when the first of these is used. So a key that was used cannot be computed again, and an epoch of thousands in
which few write costs few keys (as the secret tree of RFC 9420 §9, with two levels).

State is a frozen value: a step returns a new one, and whoever fails to open a message keeps the old
(docs/protocol/group-messages.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U32
from p2pchat.core.ids import MemberId
from p2pchat.errors import CannotOpen

BRANCH_BITS = 6
MAX_JUMP = 5_000
"""How many keys are skipped at once at most; an epoch should have no more messages than that."""
COPY_JUMP = 1_000
"""Numbers of its chains that a node leaves out that was started from a copy: the other copy may have used them."""
MAX_SKIPPED_SENDER = 2_000
MAX_SKIPPED_GROUP = 20_000
MAX_NUMBER = U32 - 1
_STEPS = (b"\x01", b"\x02")
"""What is hashed under a chain key: for the message's key, and for the chain key after it."""

FindSkipped = Callable[[int], bytes | None]
"""Looks up the key of a skipped message of this chain, by number."""
MaySkip = Callable[[int], bool]
"""Called with the number of keys to be derived; if it returns False, the message cannot be opened."""


class Chain(NamedTuple):
    """The place in a member's chain. key: 32 bytes. next: the number of the next message, from 0."""

    key: bytes
    next: int = 0

    def __repr__(self) -> str:
        """Return nothing of the key."""
        return f"Chain(next={self.next})"


@dataclass(frozen=True, slots=True, repr=False)
class SoughtKey:
    """The result of `seek`: the key of one message, and what changes if the message opens with it.

    chain: the chain afterwards. skipped: the new keys of messages that were passed over, oldest first. used: the key
    was a skipped one, and is to be deleted.
    """

    key: bytes
    chain: Chain
    skipped: tuple[tuple[int, bytes], ...] = ()
    used: bool = False


def branch_of(member: MemberId) -> int:
    """Return the number of the branch from which the chains of a member come, from 0 to 63."""
    return member[0] >> (8 - BRANCH_BITS)


def branch_keys(secret: bytes) -> list[bytes]:
    """Return the keys of all branches of the epoch with this 32-byte secret, in order of their numbers."""
    return prim.hmac_sha256_each(secret, [b"branch" + bytes([number]) for number in range(1 << BRANCH_BITS)])


def by_branch(branches: Sequence[bytes], members: Iterable[MemberId]) -> Iterator[tuple[bytes, list[MemberId]]]:
    """Yield the key of each branch that has some of these members, with them, all in order."""
    ordered, end = sorted(members), 0
    while end < len(ordered):
        begin, number = end, branch_of(ordered[end])
        end = bisect_right(ordered, number, begin, key=branch_of)
        yield branches[number], ordered[begin:end]


def head_keys(branch: bytes, members: Iterable[MemberId]) -> list[bytes]:
    """Return the keys with which the chains of these members begin. branch: the key of their branch."""
    return prim.hmac_sha256_each(branch, [b"chain" + member for member in members])


def chain_heads(secret: bytes, members: Iterable[MemberId]) -> dict[MemberId, Chain]:
    """Return the beginning of the chain of each of these members in the epoch with this 32-byte secret."""
    heads = dict[MemberId, Chain]()
    for branch, owners in by_branch(branch_keys(secret), members):
        heads |= {member: Chain(key) for member, key in zip(owners, head_keys(branch, owners), strict=True)}
    return heads


def advance_chain(chain: Chain) -> tuple[bytes, Chain]:
    """Return the key of the next message, 32 bytes, and the chain after it. Raises ValueError at the chain's end."""
    if chain.next > MAX_NUMBER:
        raise ValueError("the chain has no more keys")
    key, following = prim.hmac_sha256_each(chain.key, _STEPS)
    return key, Chain(following, chain.next + 1)


def as_many_as_it_takes(count: int) -> bool:
    """Allow any number of skipped keys; `MAX_JUMP` still holds."""
    return True


def none_skipped(number: int) -> None:
    """Find no key of a skipped message."""


def seek(chain: Chain, number: int, find: FindSkipped, may_skip: MaySkip = as_many_as_it_takes) -> SoughtKey:
    """Return the key of message `number`. Raises CannotOpen, with nothing changed, if it was used or is too far ahead.

    Only the newest `MAX_SKIPPED_SENDER` keys that are passed over are returned.
    """
    if number < chain.next:
        key = find(number)
        if key is None:
            raise CannotOpen
        return SoughtKey(key, chain, used=True)
    jump = number - chain.next
    if jump > MAX_JUMP or number > MAX_NUMBER or (jump and not may_skip(jump)):
        raise CannotOpen
    skipped = []
    for passed in range(chain.next, number):
        key, chain = advance_chain(chain)
        skipped.append((passed, key))
    key, chain = advance_chain(chain)
    return SoughtKey(key, chain, tuple(skipped[-MAX_SKIPPED_SENDER:]))


def surplus(of_sender: int, of_group: int) -> tuple[int, int]:
    """Return how many skipped keys to delete, oldest first: of this sender, and then of the group.

    of_sender, of_group: how many are kept with those that `seek` returned; a sender is a member in all epochs.
    """
    from_sender = max(0, of_sender - MAX_SKIPPED_SENDER)
    return from_sender, max(0, of_group - from_sender - MAX_SKIPPED_GROUP)
