"""Presence records: by which two people find each other again (docs/protocol/presence.md).

For each direction of a pair and each day there is a *slot*: a signing key that only the pair can derive. What somebody
writes into it is an IPNS record whose content is sealed, always of one size, and signed by the writer's identity. To
everybody else a record shares nothing with those of other days and of other pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from p2pchat.core import ipns
from p2pchat.core import primitives as prim
from p2pchat.core.codec import array, binary, decode, encode, exactly, maybe
from p2pchat.core.content import MESSAGE_ID
from p2pchat.core.contents.addresses import WAYS_SHAPE, Ways, encode_ways
from p2pchat.core.contents.queues import QUEUES_SHAPE, AnnouncedQueue, decode_queues, encode_queues
from p2pchat.core.ids import MessageId, PeerKey
from p2pchat.core.ipns import IpnsRecord
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS

SEALED_BYTES = 1024
DAYS_KEPT = 2
"""A record ends with the day after its own: the same moment for everybody's."""
HALF_DAY_MS = DAY_MS // 2
NUMBERS = 64
"""How many numbers the first record of a half day may have: which it has is random, since how often somebody has moved
must not show which slots are theirs,"""
MAX_STEP = 8
"""and by how much a record is numbered above the one that it replaces, at most, is less than that."""
FIRST_DEVICE = 0
"""The number of the only device that a contact has as yet."""

_MAX_PLAIN = SEALED_BYTES - prim.NONCE_BYTES - prim.TAG_BYTES
_SHAPE = array(
    exactly(1),
    binary(MESSAGE_ID),
    WAYS_SHAPE,
    maybe(QUEUES_SHAPE),
    maybe(binary(prim.KEY_BYTES)),
    open_end=True,
)


@dataclass(frozen=True, slots=True)
class PresenceSlot:
    """The place for one side's record on one day: the 32-byte seed of its signing key, its public key, by which relays
    keep the record, the key that seals, and bytes by which the first records of either half of the day are numbered.
    """

    day: int
    seed: bytes = field(repr=False)
    public: bytes
    key: bytes = field(repr=False)
    drawn: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Whereabouts:
    """What somebody says about where they are: the id that orders it among all that they say, where they can be
    dialled, where to deposit for them (None: nothing is said about that), and their next transport key, if it is known.
    """

    id: MessageId
    ways: Ways
    queues: tuple[AnnouncedQueue, ...] | None
    next: PeerKey | None = None


def slot(side: bytes, day: int, device: int = FIRST_DEVICE) -> PresenceSlot:
    """Return the slot of one side of a pair on a day.

    side: that side's hello key of the standing pair (`session.pair`). day: UTC days since the epoch. device: the number
    of a device of that side.
    """
    which = day.to_bytes(4, "big") + bytes([device])
    seed = prim.hmac_sha256(side, b"presence" + which)
    key, drawn = (prim.hmac_sha256(side, label + which) for label in (b"presence seal", b"presence number"))
    return PresenceSlot(day, seed, prim.sign_public(seed), key, drawn)


def half_day(now: int) -> int:
    """Return the count of half days from the epoch until `now` (ms), 1 at least."""
    return max(1, now // HALF_DAY_MS)  # a machine without a clock starts in 1970


def first_number(here: PresenceSlot, now: int) -> int:
    """Return the sequence number of the first record that is written into a slot in the half day of `now` (ms), which
    is one of its day. It is the same after a restart.
    """
    half = half_day(now) % 2
    return 2 * here.day + NUMBERS * half + here.drawn[half] % NUMBERS


def next_number(number: int, random: prim.Random) -> int:
    """Return the sequence number of a record that replaces the one with `number`."""
    return number + 1 + random(1)[0] % MAX_STEP


def make(here: PresenceSlot, said: Whereabouts, identity_seed: bytes, number: int, random: prim.Random) -> IpnsRecord:
    """Return the record that says this, signed with the seed of the identity. number: see `first_number`.

    If everything together is too long, queues are left out, and then the last ways.
    """
    ways, queues = list(said.ways), said.queues
    while True:
        told = None if queues is None else encode_queues(queues)
        body = encode([1, said.id, encode_ways(ways), told, said.next])
        plain = prim.sign(identity_seed, "presence", here.public + body) + body
        if len(plain) < _MAX_PLAIN:
            break
        if queues is not None:
            queues = None
        else:
            ways.pop()
    sealed = prim.seal(here.key, prim.pad(plain, _MAX_PLAIN), b"", random(prim.NONCE_BYTES))
    return ipns.make(here.seed, number, expires_at(here.day), sealed)


def read(there: PresenceSlot, raw: bytes, identity: bytes, now: int) -> Whereabouts:
    """Return what a record says. identity: the public key that must have signed it. now: ms.

    Raises CannotOpen for a record that is not one of this slot, has expired, or is not signed by that identity: both
    members of a pair can seal, but neither can speak for the other.
    """
    record = ipns.read(ipns.routing_key(there.public), raw, now)
    if len(record.sealed) != SEALED_BYTES or record.expires_at != expires_at(there.day):
        raise CannotOpen
    plain = prim.unpad(prim.open_sealed(there.key, record.sealed, b""))
    signature, body = plain[: prim.SIGNATURE], plain[prim.SIGNATURE :]
    prim.verify(identity, "presence", there.public + body, signature)
    said: Any = _SHAPE(decode(body, _MAX_PLAIN))
    _, message_id, ways, queues, key = said[:5]
    told = None if queues is None else decode_queues(queues)
    return Whereabouts(MessageId(message_id), ways, told, key)


def decoy(here: PresenceSlot, number: int, random: prim.Random) -> IpnsRecord:
    """Return a record that nobody can open, and that nobody else can tell from the others of that day. here: a slot
    that nobody reads; as in any other, a later decoy of its day replaces the one before.
    """
    return ipns.make(here.seed, number, expires_at(here.day), random(SEALED_BYTES))


def expires_at(day: int) -> int:
    """Return when the records of a day end, in ms."""
    return (day + DAYS_KEPT) * DAY_MS
