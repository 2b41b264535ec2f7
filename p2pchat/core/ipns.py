"""IPNS records: what the holder of a key says, signed, numbered, and with an end (docs/protocol/ipns.md).

A record is a standard one (https://specs.ipfs.tech/ipns/ipns-record/), so that servers which know nothing of us check
it, keep it and hand it out. Only the form without the fields of V1 is written and read. Its value is the empty file;
what we have to say is sealed, in a field of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U64
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import MINUTE_MS, SECOND_MS

MAX_RECORD_BYTES = 10 * 1024
"""Of a whole record, as the specification says."""
MAX_SEALED_BYTES = 9 * 1024
ROUTING_KEY_BYTES = 44
TTL_NS = 5 * MINUTE_MS * 1_000_000
"""How long a resolver may cache one of our records, in nanoseconds: what go and js write by default."""
EMPTY_FILE = b"/ipfs/bafkqaaa"
"""The value of our records: a path that every resolver reads."""
SEALED_FIELD = "_d"

_PREFIX = b"/ipns/" + bytes.fromhex("002408011220")  # an identity multihash of the protobuf of an Ed25519 key
_SIGNED = b"ipns-signature:"
_SIGNATURE, _DATA = b"\x42\x40", b"\x4a"  # protobuf: field 8, of 64 bytes; field 9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_FIELDS = 16
_UINT, _BYTES, _TEXT, _MAP = 0, 2, 3, 5  # major types of CBOR
_TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")

Field = int | bytes | str


@dataclass(frozen=True, slots=True)
class IpnsRecord:
    """A record whose signature is valid.

    public: the 32-byte key that signed it. expires_at: milliseconds. sealed: the content of our own field, b"" in the
    records of others. raw: the record's bytes.
    """

    public: bytes
    sequence: int
    expires_at: int
    ttl_ns: int
    value: bytes
    sealed: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def routing_key(self) -> bytes:
        """The 44-byte key under which servers keep the record."""
        return routing_key(self.public)


def routing_key(public: bytes) -> bytes:
    """Return the binary routing key of a 32-byte Ed25519 public key."""
    return _PREFIX + public


def public_key(routing: bytes) -> bytes:
    """Return the 32-byte public key in a routing key. Raises CannotOpen for any other key than of Ed25519."""
    if len(routing) != ROUTING_KEY_BYTES or not routing.startswith(_PREFIX):
        raise CannotOpen
    return routing[len(_PREFIX) :]


def make(seed: bytes, sequence: int, expires_at: int, sealed: bytes, *, ttl_ns: int = TTL_NS) -> IpnsRecord:
    """Return a new record, signed with a 32-byte Ed25519 seed.

    sequence: above that of every earlier record of this key, 1 at least. expires_at: milliseconds. Raises ValueError
    for a number that does not fit, and for more than `MAX_SEALED_BYTES`.
    """
    if not (1 <= sequence <= U64 and 1 <= ttl_ns <= U64) or len(sealed) > MAX_SEALED_BYTES:
        raise ValueError("this does not fit into an IPNS record")
    data = bytes([_MAP << 5 | 6]) + b"".join(
        _encode(name) + _encode(value)
        for name, value in (  # in the order of DAG-CBOR: shorter names first
            (SEALED_FIELD, sealed),
            ("TTL", ttl_ns),
            ("Value", EMPTY_FILE),
            ("Sequence", sequence),
            ("Validity", _written_time(expires_at)),
            ("ValidityType", 0),
        )
    )
    raw = _SIGNATURE + prim.sign_plain(seed, _SIGNED + data) + _DATA + _varint(len(data)) + data
    return IpnsRecord(prim.sign_public(seed), sequence, expires_at, ttl_ns, EMPTY_FILE, sealed, raw)


def read(routing: bytes, raw: bytes, now: int) -> IpnsRecord:
    """Return the record in `raw`, which was kept under `routing`. Raises CannotOpen if it is not well-formed, is signed
    with another key, or has expired at `now`, in milliseconds.
    """
    public = public_key(routing)
    if len(raw) > MAX_RECORD_BYTES:
        raise CannotOpen
    signature, data = _parts(raw)
    fields = _read_map(data)
    if fields.get("ValidityType") != 0:
        raise CannotOpen
    value, sealed, validity = (fields.get(name, b"") for name in ("Value", SEALED_FIELD, "Validity"))
    sequence, ttl_ns = fields.get("Sequence"), fields.get("TTL")
    if not (isinstance(value, bytes) and isinstance(sealed, bytes) and isinstance(validity, bytes)):
        raise CannotOpen
    if not (isinstance(sequence, int) and isinstance(ttl_ns, int) and value.startswith(b"/")):
        raise CannotOpen
    expires_at = _read_time(validity)
    if expires_at <= now:
        raise CannotOpen
    prim.verify_plain(public, _SIGNED + data, signature)
    return IpnsRecord(public, sequence, expires_at, ttl_ns, value, sealed, raw)


def best(records: Iterable[IpnsRecord]) -> IpnsRecord | None:
    """Return which of several valid records of one key counts: that with the highest sequence; of these, the one that
    lasts longest; and so that everybody chooses the same, the one whose bytes are greatest. None if there is none.
    """
    return max(records, key=lambda record: (record.sequence, record.expires_at, record.raw), default=None)


# --- protobuf ----------------------------------------------------------------------------------------------------


def _parts(raw: bytes) -> tuple[bytes, bytes]:
    """Return the signature and the signed data of a record that has these two fields and no others."""
    start = len(_SIGNATURE) + prim.SIGNATURE
    if not raw.startswith(_SIGNATURE) or raw[start : start + 1] != _DATA:
        raise CannotOpen
    for length_bytes in (1, 2):  # 16,383 bytes at most, which is more than a record has
        data = raw[start + 1 + length_bytes :]
        if raw[start + 1 : start + 1 + length_bytes] == _varint(len(data)):
            return raw[len(_SIGNATURE) : start], data
    raise CannotOpen


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


# --- DAG-CBOR: one map of text to numbers and bytes --------------------------------------------------------------


def _encode(value: Field) -> bytes:
    if isinstance(value, int):
        return _encoded_head(_UINT, value)
    raw = value if isinstance(value, bytes) else value.encode()
    return _encoded_head(_BYTES if isinstance(value, bytes) else _TEXT, len(raw)) + raw


def _encoded_head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    return bytes([major << 5 | 23 + size.bit_length()]) + argument.to_bytes(size, "big")


def _read_map(data: bytes) -> dict[str, Field]:
    """Read a map that is the whole of `data`. Raises CannotOpen for one that is not canonical, or that has other values
    than unsigned numbers, bytes and text.
    """
    major, count, at = _read_head(data, 0)
    if major != _MAP or count > _MAX_FIELDS:
        raise CannotOpen
    fields: dict[str, Field] = {}
    before = (-1, b"")
    for _ in range(count):
        name, at = _read_value(data, at)
        if not isinstance(name, str) or (order := (len(name.encode()), name.encode())) <= before:
            raise CannotOpen
        fields[name], at = _read_value(data, at)
        before = order
    if at != len(data):
        raise CannotOpen
    return fields


def _read_value(data: bytes, at: int) -> tuple[Field, int]:
    major, argument, at = _read_head(data, at)
    if major == _UINT:
        return argument, at
    if major not in (_BYTES, _TEXT) or argument > len(data) - at:
        raise CannotOpen
    raw = data[at : at + argument]
    try:
        return (raw if major == _BYTES else raw.decode()), at + argument
    except UnicodeDecodeError:
        raise CannotOpen from None


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return a major type, its argument in its shortest form, and where what follows begins."""
    if at >= len(data):
        raise CannotOpen
    major, argument, end = data[at] >> 5, data[at] & 0x1F, at + 1
    if argument >= 24:
        if argument > 27:
            raise CannotOpen
        end += 1 << (argument - 24)
        argument = int.from_bytes(data[at + 1 : end], "big")
        if end > len(data) or _encoded_head(major, argument) != data[at:end]:
            raise CannotOpen
    return major, argument, end


# --- times: RFC 3339, in UTC -------------------------------------------------------------------------------------


def _written_time(at: int) -> bytes:
    try:
        written = _EPOCH + timedelta(milliseconds=at)
    except OverflowError:
        raise ValueError("this does not fit into an IPNS record") from None
    if at < 0:
        raise ValueError("this does not fit into an IPNS record")
    return f"{written:%Y-%m-%dT%H:%M:%S}.{at % SECOND_MS:03}000000Z".encode()


def _read_time(text: bytes) -> int:
    """Return milliseconds, rounded down. Raises CannotOpen."""
    if _TIME.fullmatch(text) is None:  # datetime reads other forms as well
        raise CannotOpen
    try:
        elapsed = datetime.fromisoformat(text.decode()) - _EPOCH
    except ValueError:  # the 30th of February
        raise CannotOpen from None
    if elapsed < timedelta():
        raise CannotOpen
    return elapsed // timedelta(milliseconds=1)
