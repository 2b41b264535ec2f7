"""Logs at relays: append-only queues that many read and nobody empties (docs/protocol/logs.md).

Whose log it is, and what lies in it, is known to those who have its keys; here are the keys, and the frames about it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.errors import CannotOpen

LOG = 8
"""The bit in a queue's flags that says that it is a log. It has no other."""
SMALL_BYTES = 1_024
"""The smallest size of a blob, which only logs have."""
LOG_SIZES = (SMALL_BYTES, *BUCKETS)
MAX_WANTED = 512
"""Blobs of one answer to a read."""
MAX_PAGE_BYTES = 256 << 10
"""Bytes of blobs of one answer to a read, unless the first alone is larger."""
MAX_PLACE = (1 << 63) - 1


class LogRole(IntEnum):
    """The purpose for which a log is opened. APPEND_AS_ADMIN may use the room that is kept for it."""

    APPEND = 0
    READ = 1
    APPEND_AS_ADMIN = 2


_LABELS: dict[int, str] = {LogRole.APPEND: "log put", LogRole.READ: "log read", LogRole.APPEND_AS_ADMIN: "log admin"}
_OPEN = struct.Struct(">HBB32s32s32s64s")
_READ = struct.Struct(">IHHBQ")
_HANDLE = struct.Struct(">H")
_ITEM = struct.Struct(">QH")
_MAX_ITEMS = _HANDLE.size + _ITEM.size + LOG_SIZES[-1]
OPEN_BYTES, READ_BYTES, BEHIND_BYTES = _OPEN.size, _READ.size, _HANDLE.size
ITEMS_BYTES = range(_HANDLE.size + _ITEM.size + SMALL_BYTES, _MAX_ITEMS + 1)
"""The sizes that the body of an ITEMS may have."""

Item = tuple[int, bytes]
"""A blob of a log with its place before it."""


class Log(NamedTuple):
    """A log, by its public keys."""

    fetch: bytes
    put: bytes
    admin: bytes
    flags: int = LOG

    @property
    def id(self) -> QueueId:
        """The 32-byte id of the log at any relay."""
        keys = self.fetch + self.put + self.admin
        return QueueId(prim.blake2b(keys + bytes((self.flags,)), b"p2pchat1 log"))


@dataclass(frozen=True)
class LogKeys:
    """What one has of a log: the seeds of its fetch key and its put key, the public key of its admins and, who is one,
    that key's seed; else b"".
    """

    fetch_seed: bytes = field(repr=False)
    put_seed: bytes = field(repr=False)
    admin: bytes
    admin_seed: bytes = field(default=b"", repr=False)

    @cached_property
    def log(self) -> Log:
        """By its public keys. Computed once, which takes a tenth of a millisecond."""
        return Log(prim.sign_public(self.fetch_seed), prim.sign_public(self.put_seed), self.admin)

    def seed(self, role: int) -> bytes:
        """Return the 32-byte seed of the key for a role; b"" where one has none."""
        return {LogRole.APPEND: self.put_seed, LogRole.READ: self.fetch_seed}.get(LogRole(role), self.admin_seed)


def log_keys(topic: bytes, relay: PeerKey, admin: bytes, admin_seed: bytes = b"") -> LogKeys:
    """Return the keys of an epoch's log at a relay. topic: the epoch's topic secret, 32 bytes. admin: the public key of
    the group's admins, whose seed must not follow from what every member has.
    """
    seeds = prim.hkdf(topic, "log keys", 2 * prim.KEY_BYTES, context=relay)
    return LogKeys(seeds[: prim.KEY_BYTES], seeds[prim.KEY_BYTES :], admin, admin_seed)


class OpenLog(NamedTuple):
    """A request to use a log on this stream."""

    handle: int
    role: int
    log: Log
    signature: bytes


class LogRead(NamedTuple):
    """A request for at most `want` blobs behind the place `after`. follow: once there are no more, new ones are pushed.
    With `want` 0 and `follow` False, that ends.
    """

    number: int
    handle: int
    want: int
    follow: bool
    after: int


class Items(NamedTuple):
    """Blobs of a log that was opened as `handle`, in order of place."""

    handle: int
    items: tuple[Item, ...]


# --- what is signed ------------------------------------------------------------------------------------------------


def sign_open_log(seed: bytes, role: int, relay: PeerKey, challenge: bytes, log: Log) -> bytes:
    """Return the 64-byte signature that opens a log on the stream with this challenge. seed: of the key for the
    role.
    """
    return prim.sign(seed, _LABELS[role], relay + challenge + log.id)


def check_open_log(opening: OpenLog, relay: PeerKey, challenge: bytes) -> QueueId:
    """Return the id of the log if the sender holds the private key for this role. Raises CannotOpen if not."""
    log, role = opening.log, opening.role
    if role not in _LABELS or log.flags != LOG:
        raise CannotOpen
    key = {LogRole.APPEND: log.put, LogRole.READ: log.fetch, LogRole.APPEND_AS_ADMIN: log.admin}[LogRole(role)]
    name = log.id
    prim.verify(key, _LABELS[role], relay + challenge + name, opening.signature)
    return name


# --- bodies --------------------------------------------------------------------------------------------------------


def encode_open_log(opening: OpenLog) -> bytes:
    """Encode an OPEN_LOG, frame type 21."""
    handle, role, log, signature = opening
    return _OPEN.pack(handle, role, log.flags, log.fetch, log.put, log.admin, signature)


def decode_open_log(body: bytes) -> OpenLog:
    """Decode an OPEN_LOG. Raises CannotOpen, as all that decode frames here."""
    if len(body) != _OPEN.size:
        raise CannotOpen
    handle, role, flags, fetch, put, admin, signature = _OPEN.unpack(body)
    return OpenLog(handle, role, Log(fetch, put, admin, flags), signature)


def encode_read(read: LogRead) -> bytes:
    """Encode a READ, frame type 22."""
    return _READ.pack(*read)


def decode_read(body: bytes) -> LogRead:
    """Decode a READ. Raises CannotOpen."""
    if len(body) != _READ.size:
        raise CannotOpen
    number, handle, want, follow, after = _READ.unpack(body)
    if want > MAX_WANTED or follow > 1 or (follow and not want):
        raise CannotOpen
    return LogRead(number, handle, want, bool(follow), after)


def encode_items(handle: int, items: Sequence[Item]) -> list[bytes]:
    """Encode blobs of a log, in order, as the bodies of as many ITEMS, frame type 23, as they need."""
    return [_HANDLE.pack(handle) + part for part in encode_parts(items)]


def encode_parts(items: Sequence[Item]) -> list[bytes]:
    """Return the bodies of `encode_items` without their handles, which are the same for all who follow a log."""
    parts: list[list[bytes]] = []
    left = 0
    for place, blob in items:
        size = _ITEM.size + len(blob)
        if size > left:
            parts.append([])
            left = _MAX_ITEMS - _HANDLE.size
        parts[-1] += _ITEM.pack(place, len(blob) // SMALL_BYTES), blob
        left -= size
    return [b"".join(part) for part in parts]


def encode_handle(handle: int) -> bytes:
    """Encode a BEHIND, frame type 24, or the handle before a part."""
    return _HANDLE.pack(handle)


def decode_items(body: bytes) -> Items:
    """Decode an ITEMS, whose places must grow. Raises CannotOpen."""
    if len(body) not in ITEMS_BYTES:
        raise CannotOpen
    (handle,) = _HANDLE.unpack_from(body)
    items: list[Item] = []
    at, last = _HANDLE.size, 0
    while at < len(body):
        if len(body) - at < _ITEM.size:
            raise CannotOpen
        place, units = _ITEM.unpack_from(body, at)
        begin, at = at + _ITEM.size, at + _ITEM.size + units * SMALL_BYTES
        if units * SMALL_BYTES not in LOG_SIZES or at > len(body) or not last < place <= MAX_PLACE:
            raise CannotOpen
        items.append((place, body[begin:at]))
        last = place
    return Items(handle, tuple(items))


def decode_handle(body: bytes) -> int:
    """Decode a BEHIND. Raises CannotOpen."""
    if len(body) != _HANDLE.size:
        raise CannotOpen
    handle: int = _HANDLE.unpack(body)[0]
    return handle
