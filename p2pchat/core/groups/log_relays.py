"""Which relays have the logs of a group, and the admins' key to them: a setting of the group (docs/protocol/logs.md).

The seed of that key is sealed to the leaf of each admin. Whoever is no admin knows the public half alone, and cannot
use the room that a log keeps for admins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.codec import array, binary, binary_upto, listing
from p2pchat.core.groups.epochs import Leaf, LeafKeys
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.groups.settings import GroupSetting
from p2pchat.core.ids import GroupId, MemberId, PeerKey
from p2pchat.errors import CannotOpen

MAX_LOG_RELAYS = 3
MAX_SEALS = 48
"""Admins to whom the seed is sealed; further ones append as members do."""
MAX_ADDRESS = 128
MAX_TOKEN = 64
_SEALED_BYTES = prim.KEY_BYTES + prim.TAG_BYTES
_ONLY_NONCE = bytes(12)
"""Zeros: the key of a seal seals nothing else."""


class LogRelay(NamedTuple):
    """A relay with a log of the group: its transport key, a packed address, and its token or b""."""

    peer: PeerKey
    address: bytes
    token: bytes


@dataclass(frozen=True, slots=True)
class LogRelays:
    """The relays, and the public half of the admins' key. ephemeral, seals: its seed, sealed to each admin."""

    relays: tuple[LogRelay, ...]
    admin: bytes
    ephemeral: bytes
    seals: tuple[tuple[MemberId, bytes], ...]

    def value(self) -> list[Any]:
        """Return the value of the setting."""
        relays = [list(relay) for relay in self.relays]
        return [relays, self.admin, self.ephemeral, [list(seal) for seal in self.seals]]


_RELAY = array(binary(prim.KEY_BYTES), binary_upto(MAX_ADDRESS, 1), binary_upto(MAX_TOKEN))
_SEAL = array(binary(MEMBER_ID_BYTES), binary(_SEALED_BYTES))
_SHAPE = array(
    listing(_RELAY, MAX_LOG_RELAYS), binary(prim.KEY_BYTES), binary(prim.KEY_BYTES), listing(_SEAL, MAX_SEALS)
)


def _read(value: Any) -> LogRelays:
    relays, admin, ephemeral, seals = _SHAPE(value)
    read = tuple(LogRelay(PeerKey(peer), address, token) for peer, address, token in relays)
    if len({relay.peer for relay in read}) < len(read):
        raise CannotOpen
    return LogRelays(read, admin, ephemeral, tuple((MemberId(member), sealed) for member, sealed in seals))


LOGS: GroupSetting[LogRelays | None] = GroupSetting("logs", _read, None)
"""Which relays carry the group; None: none does."""


def make_log_relays(
    group: GroupId, relays: Sequence[LogRelay], admins: Sequence[Leaf], random: prim.Random
) -> LogRelays:
    """Draw a new key for the admins, and seal its seed to each of their leaves. A seal to a leaf that is no valid key
    does not open.
    """
    seed, private = random(prim.KEY_BYTES), random(prim.KEY_BYTES)
    admin, ephemeral = prim.sign_public(seed), prim.x25519_public(private)
    seals = []
    for leaf in sorted(admins, key=lambda leaf: leaf.member)[:MAX_SEALS]:
        try:
            shared = prim.x25519(private, leaf.key)
        except CannotOpen:  # it opens for nobody, and all see that this one was not forgotten
            seals.append((leaf.member, random(_SEALED_BYTES)))
            continue
        seals.append((leaf.member, _cipher(group, leaf, admin, ephemeral, shared).encrypt(_ONLY_NONCE, seed, b"")))
    return LogRelays(tuple(relays[:MAX_LOG_RELAYS]), admin, ephemeral, tuple(seals))


def open_admin_seed(log_relays: LogRelays, group: GroupId, mine: LeafKeys) -> bytes:
    """Return the seed of the admins' key, if it is sealed to us; else b""."""
    for member, sealed in log_relays.seals:
        if member == mine.member:
            try:
                shared = prim.x25519(mine.private, log_relays.ephemeral)
                cipher = _cipher(group, mine.leaf, log_relays.admin, log_relays.ephemeral, shared)
                seed: bytes = cipher.decrypt(_ONLY_NONCE, sealed, b"")
            except CannotOpen:
                return b""
            return seed if prim.sign_public(seed) == log_relays.admin else b""
    return b""


def _cipher(group: GroupId, leaf: Leaf, admin: bytes, ephemeral: bytes, shared: bytes) -> prim.ShortNonceCipher:
    context = group + leaf.member + leaf.key + admin + ephemeral
    return prim.ShortNonceCipher(prim.hkdf(shared, "grp log admin", prim.KEY_BYTES, context=context))
