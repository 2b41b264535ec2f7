"""The announcement by which contacts find each other on a local network (docs/protocol/lan.md).

It has one size, and to everybody but those it is meant for it is random bytes, which share nothing with any other
announcement. Each slot is meant for one contact; those that are left over are random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen

SALT = 16
NAME = 8
SLOTS = 20
_SLOT = NAME + 2 + prim.KEY_BYTES + prim.TAG_BYTES
ANNOUNCEMENT_BYTES = SALT + SLOTS * _SLOT
"""1,176: with the headers of IPv6 and UDP it still fits into the smallest packet that every IPv6 network carries."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Where somebody answers: a TCP port of the host that the announcement came from, and the transport key there."""

    port: int
    peer: PeerKey


@dataclass(frozen=True, slots=True)
class Announcement:
    """An announcement as it came: its salt, and what is in each slot, by the slot's name."""

    salt: bytes
    slots: dict[bytes, bytes]


def day_key(key: bytes, day: int) -> bytes:
    """Return the 32 bytes by which one side announces itself to the other on a day.

    key: that side's hello key of the standing pair (`session.pair`). day: UTC days since the epoch.
    """
    return prim.hmac_sha256(key, b"lan" + day.to_bytes(4, "big"))


def announce(
    salt: bytes, source: bytes, keys: Sequence[bytes], here: Answering, random: Callable[[int], bytes]
) -> bytes:
    """Return an announcement for those with these day keys, of which at most `SLOTS` get a slot.

    salt: `SALT` bytes that are used once. source: the 16-byte address it is sent from (`packed`).
    """
    told = here.port.to_bytes(2, "big") + here.peer
    slots = [_name(key, salt, source) + _cipher(key, salt, source).encrypt(told) for key in keys[:SLOTS]]
    slots += [random(_SLOT) for _ in range(SLOTS - len(slots))]
    return salt + b"".join(sorted(slots))  # their order says nothing about how many are meant for somebody


def read(packet: bytes) -> Announcement:
    """Read what somebody on the network has sent. Raises CannotOpen for any other size than an announcement's."""
    if len(packet) != ANNOUNCEMENT_BYTES:
        raise CannotOpen
    slots = [packet[at : at + _SLOT] for at in range(SALT, ANNOUNCEMENT_BYTES, _SLOT)]
    return Announcement(packet[:SALT], {slot[:NAME]: slot[NAME:] for slot in slots})


def opened(came: Announcement, source: bytes, keys: Iterable[bytes]) -> Answering | None:
    """Return where the one answers who announces itself with one of these day keys; None if none of them is meant.

    source: the address it came from. What was sent from another address does not open, so that whoever repeats it from
    an address of their own reaches nobody.
    """
    for key in keys:
        sealed = came.slots.get(_name(key, came.salt, source))
        if sealed is not None:
            try:
                told = _cipher(key, came.salt, source).decrypt(sealed)
            except CannotOpen:
                continue
            port = int.from_bytes(told[:2], "big")
            return Answering(port, PeerKey(told[2:])) if port else None
    return None


def _name(key: bytes, salt: bytes, source: bytes) -> bytes:
    return prim.hmac_sha256(key, b"name" + salt + source)[:NAME]


def _cipher(key: bytes, salt: bytes, source: bytes) -> prim.CountingCipher:
    return prim.CountingCipher(prim.hmac_sha256(key, b"seal" + salt + source))
