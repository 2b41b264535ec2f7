"""Secures a connection: multistream-select, Noise XX, multistream-select, as in libp2p.

(Specifications: libp2p connections/README.md, noise/README.md; the Noise Protocol Framework, revision 34, §5 and §7.5.)

libp2p's own implementation takes four fifths of what a returning client costs a relay: objects and layers for every
message, a signature that is made again each time, keys that are serialised and parsed a dozen times. This module
produces the same bytes in a few lines; tests compare it with unmodified libp2p. Every message has one size or a small
bound, whoever connects speaks first, and every failure raises CannotOpen or the connection's own error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from libp2p.crypto.keys import KeyPair
from libp2p.security.noise.pb.noise_pb2 import NoiseHandshakePayload
from libp2p.utils.varint import encode_uvarint

from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import CountingCipher, hmac_sha256, system_entropy, verify_plain, x25519, x25519_public
from p2pchat.errors import CannotOpen, NotServed
from p2pchat.net.admission import budget
from p2pchat.net.admission.budget import Account

NOISE, YAMUX = b"/noise", b"/yamux/1.0.0"
_MULTISTREAM = b"/multistream/1.0.0"
_NOT_AVAILABLE, _LIST = b"na", b"ls"
MAX_PROPOSALS = 64
"""Protocols that the other end may propose before one that we support; each is also charged to its connection."""
_MAX_LINE = 1024  # bytes of a line of multistream-select; ours are below 80
_MAX_SHORT_LINE = 0x80  # bytes of one whose length is one byte, with that
_NEWLINE = 0x0A
_PROTOCOL = b"Noise_XX_25519_ChaChaPoly_SHA256"
_SIGNED = b"noise-libp2p-static-key:"
_ED25519 = b"\x08\x01\x12\x20"  # a PublicKey protobuf of this kind, before its 32 bytes
_KEY, _TAG = 32, 16
_MAX_PAYLOAD = 1024  # of a handshake message; ours have 104 bytes, and extensions are a few names
_MAX_MESSAGE = 2 * _KEY + 2 * _TAG + _MAX_PAYLOAD + 2  # a handshake message with its length
_PLAIN_PAYLOAD = re.compile(rb"\x0a\x24\x08\x01\x12\x20(.{32})\x12\x40(.{64})", re.DOTALL)
"""A payload of only an Ed25519 key and a signature, as nearly all are: its protobuf encoding."""


Chosen = TypeVar("Chosen")


class Channel(Protocol):
    """What a negotiation runs on: a connection before or after Noise, or a stream. `waiting`: bytes that have arrived
    and were not read. `account`: what the other end's messages are charged to. A message that has arrived completely
    is parsed in place, without the two reads that a line or message of unknown size otherwise takes.
    """

    @property
    def waiting(self) -> int:
        """The number of bytes that have arrived and were not read."""
        ...

    @property
    def account(self) -> Account:
        """What the other end's messages are charged to."""
        ...

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or the end."""
        ...

    def peek(self, n: int) -> bytes:
        """Return up to `n` bytes of what waits, and leave them there."""
        ...

    def skip(self, n: int) -> None:
        """Drop `n` bytes, which `peek` has returned."""
        ...

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly `n` bytes, or fewer at the end of the connection."""
        ...

    async def write(self, data: bytes) -> None:
        """Write all of `data`."""
        ...


# --- multistream-select -------------------------------------------------------------------------------------------


def line(word: bytes) -> bytes:
    """Return a word as multistream-select writes it: a varint of its length, the word, a newline."""
    return encode_uvarint(len(word) + 1) + word + b"\n"


GREETING = line(_MULTISTREAM)
"""The first message of whoever opened the connection."""


async def propose(channel: Channel, protocol: bytes, more: bytes = b"") -> None:
    """Agree on one protocol with a peer to which we connected. more: bytes to send after it, before the answer.

    Raises NotServed if the peer does not support it, CannotOpen for an invalid answer, and whatever the channel raises.
    """
    await channel.write(line(_MULTISTREAM) + line(protocol) + more)
    if await _line(channel) != _MULTISTREAM:
        raise CannotOpen("no multistream-select")
    if await _line(channel) != protocol:
        raise NotServed("the peer does not speak this protocol")


async def answer(channel: Channel, protocol: bytes) -> bytes:
    """Agree on one protocol with a peer that connected to us; every other is refused. Raises CannotOpen.

    Return the bytes to be written before anything else: b"", or the answer if the other end continued without waiting
    for it.
    """

    async def look_up(word: bytes) -> bool | None:
        return True if word == protocol else None

    _, said = await choose(channel, look_up)
    if said and not channel.waiting:
        await channel.write(said)
        said = b""
    return said


def proposed(channel: Channel) -> bytes:
    """Return what the other end proposes, where its greeting and a short proposal have come whole: `accepted` takes
    them. b"" where it is not so: `choose` waits, or says what is wrong."""
    said = channel.peek(len(GREETING) + _MAX_SHORT_LINE)
    start = len(GREETING)
    size = said[start] if len(said) > start and said.startswith(GREETING) else 0
    end = start + 1 + size
    if not 1 < size < _MAX_SHORT_LINE or len(said) < end or said[end - 1] != _NEWLINE:
        return b""
    return said[start + 1 : end - 1]


def accepted(channel: Channel, word: bytes) -> bytes:
    """Consume what `proposed` has returned, and return the bytes that answer it."""
    said = line(word)
    channel.skip(len(GREETING) + len(said))
    channel.account.charge(budget.ROUND)
    return GREETING + said


async def choose(
    channel: Channel,
    look_up: Callable[[bytes], Awaitable[Chosen | None]],
    listed: Sequence[str] = (),
    *,
    greet: bool = False,
) -> tuple[Chosen, bytes]:
    """Agree on a protocol with a peer that connected to us; `look_up` maps a name to a result.

    Return that result, and the bytes to be written before anything else. listed: the names given to a peer that asks
    for a list. greet: speak first if nothing has arrived yet, as py-libp2p does on a stream. Raises CannotOpen for
    anything that is not multistream-select, and after `MAX_PROPOSALS`.
    """
    said = line(_MULTISTREAM)
    if greet and not channel.waiting:
        await channel.write(said)
        said = b""
    if await _line(channel, linger=greet) != _MULTISTREAM:
        raise CannotOpen("no multistream-select")
    for _ in range(MAX_PROPOSALS):
        if said and not channel.waiting:  # who proposes only when it was answered
            await channel.write(said)
            said = b""
        word = await _line(channel, linger=greet)
        channel.account.charge(budget.ROUND)
        if channel.account.due:
            await channel.account.settle()
        if word == _LIST:
            said += line("\n".join(listed).encode() + b"\n")
        elif (chosen := await look_up(word)) is not None:
            return chosen, said + line(word)
        else:
            said += line(_NOT_AVAILABLE)
    raise CannotOpen("the other end speaks nothing that we speak")


async def _line(channel: Channel, *, linger: bool = False) -> bytes:
    """One line. linger: refuse an empty one only when more has come, as py-libp2p does on a stream."""
    if not channel.waiting:
        await channel.wait_readable()
    if (word := _short_line(channel)) is not None:
        return word
    length, shift = 0, 0
    while True:  # a varint of two bytes at most
        byte = await channel.read(1)
        if not byte or shift > 7:
            raise CannotOpen("no line of multistream-select")
        length |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
        shift += 7
    if linger and not length:
        await channel.read(1)
    if not 0 < length <= _MAX_LINE:
        raise CannotOpen("no line of multistream-select")
    read = await channel.read(length)
    if len(read) < length or not read.endswith(b"\n"):
        raise CannotOpen("no line of multistream-select")
    return read[:-1]


def _short_line(channel: Channel) -> bytes | None:
    """Consume a line whose length is one byte, if it has arrived completely; otherwise consume nothing and
    return None.
    """
    data = channel.peek(_MAX_SHORT_LINE)
    size = data[0] if data else 0
    if not 0 < size < _MAX_SHORT_LINE or len(data) <= size or data[size] != _NEWLINE:
        return None
    channel.skip(size + 1)
    return data[1:size]


# --- Noise --------------------------------------------------------------------------------------------------------


class Identity:
    """Our identity in every handshake of one run: the static Noise key, and our signature of it, made once."""

    def __init__(self, pair: KeyPair, static: bytes) -> None:
        self.peer = pair.public_key.to_bytes()
        self.static = static
        self.public = x25519_public(static)
        signature = pair.private_key.sign(_SIGNED + self.public)
        self.payload = b"\x0a\x24" + _ED25519 + self.peer + b"\x12\x40" + signature


class _Symmetric:
    """The state of a handshake: hash, chaining key and cipher (Noise §5.2)."""

    __slots__ = ("_chaining", "_cipher", "_hash")

    def __init__(self) -> None:
        self._hash = self._chaining = _PROTOCOL  # whose name has the length of a hash
        self._cipher: CountingCipher | None = None
        self.mix_hash(b"")  # the prologue

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining, key = self._two(secret)
        self._cipher = CountingCipher(key)

    def seal(self, data: bytes) -> bytes:
        sealed = data if self._cipher is None else self._cipher.encrypt(data, self._hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        data = sealed if self._cipher is None else self._cipher.decrypt(sealed, self._hash)
        self.mix_hash(sealed)
        return data

    def split(self) -> tuple[CountingCipher, CountingCipher]:
        """Return the initiator's cipher and the responder's."""
        first, other = self._two(b"")
        return CountingCipher(first), CountingCipher(other)

    def _two(self, secret: bytes) -> tuple[bytes, bytes]:
        pseudo = hmac_sha256(self._chaining, secret)
        first = hmac_sha256(pseudo, b"\x01")
        return first, hmac_sha256(pseudo, first + b"\x02")


class Initiator:
    """Our side of Noise XX if we connected: `first`, then `last`."""

    def __init__(self, identity: Identity, ephemeral: bytes) -> None:
        self._identity = identity
        self._ephemeral = ephemeral
        self._state = _Symmetric()

    def first(self) -> bytes:
        """Return the first handshake message, which holds our ephemeral key."""
        return _ephemeral(self._state, self._ephemeral)

    def last(self, second: bytes) -> tuple[bytes, PeerKey, CountingCipher, CountingCipher]:
        """Return (the last message, the peer at the other end, the cipher to send with, the one to receive with) for
        the second message. Raises CannotOpen.
        """
        state, identity = self._state, self._identity
        theirs = _theirs(state, second)
        state.mix_key(x25519(self._ephemeral, theirs))
        static = state.open(second[_KEY : 2 * _KEY + _TAG])
        state.mix_key(x25519(self._ephemeral, static))
        peer = _proven(state.open(second[2 * _KEY + _TAG :]), static)
        last = state.seal(identity.public)
        state.mix_key(x25519(identity.static, theirs))
        last += state.seal(identity.payload)
        return last, peer, *state.split()


class Responder:
    """Our side of Noise XX if the peer connected: `second`, then `finish`."""

    def __init__(self, identity: Identity, ephemeral: bytes) -> None:
        self._identity = identity
        self._ephemeral = ephemeral
        self._state = _Symmetric()

    def second(self, first: bytes) -> bytes:
        """Return the answer to the first message. Raises CannotOpen."""
        state, identity = self._state, self._identity
        theirs = _theirs(state, first)
        state.open(first[_KEY:])
        second = x25519_public(self._ephemeral)
        state.mix_hash(second)
        state.mix_key(x25519(self._ephemeral, theirs))
        second += state.seal(identity.public)
        state.mix_key(x25519(identity.static, theirs))
        return second + state.seal(identity.payload)

    def finish(self, last: bytes) -> tuple[PeerKey, CountingCipher, CountingCipher]:
        """Return (the peer at the other end, the cipher to send with, the one to receive with) for the last message.
        Raises CannotOpen.
        """
        state = self._state
        static = state.open(last[: _KEY + _TAG])
        state.mix_key(x25519(self._ephemeral, static))
        peer = _proven(state.open(last[_KEY + _TAG :]), static)
        receive, send = state.split()
        return peer, send, receive


def _ephemeral(state: _Symmetric, private: bytes) -> bytes:
    public = x25519_public(private)
    state.mix_hash(public)
    state.mix_hash(b"")  # an empty payload, in the clear
    return public


def _theirs(state: _Symmetric, message: bytes) -> bytes:
    if not _KEY <= len(message) <= 2 * _KEY + 2 * _TAG + _MAX_PAYLOAD:
        raise CannotOpen("no handshake message")
    state.mix_hash(message[:_KEY])
    return message[:_KEY]


def _proven(payload: bytes, static: bytes) -> PeerKey:
    """Return the 32-byte key that has signed this static key. Raises CannotOpen for any but Ed25519: others cost
    seconds, and none of our peers has one.
    """
    if len(payload) > _MAX_PAYLOAD:
        raise CannotOpen("too long a proof")
    if plain := _PLAIN_PAYLOAD.fullmatch(payload):
        key, signature = plain.groups()
    else:
        key, signature = _parsed(payload)
    verify_plain(key, _SIGNED + static, signature)
    return PeerKey(key)


def _parsed(payload: bytes) -> tuple[bytes, bytes]:
    """Return (32-byte key, signature) of a payload with extensions, or written in another way. Raises CannotOpen."""
    try:
        proof = NoiseHandshakePayload.FromString(payload)
    except Exception:  # noqa: BLE001 - protobuf's own, which its types do not name
        raise CannotOpen("no proof") from None
    key = proof.identity_key
    if len(key) != len(_ED25519) + _KEY or not key.startswith(_ED25519):
        raise CannotOpen("an identity of another kind")
    return key[len(_ED25519) :], proof.identity_sig


async def secure_outbound(
    channel: Channel, identity: Identity, expected: PeerKey
) -> tuple[CountingCipher, CountingCipher]:
    """Shake hands with the peer `expected`, to which we connected. Return (sending cipher, receiving cipher).

    Raises CannotOpen if somebody else answers, who does not learn who we are: only the last message says that.
    """
    ours = Initiator(identity, system_entropy().random(_KEY))
    await propose(channel, NOISE, _framed(ours.first()))
    last, peer, send, receive = ours.last(await _read(channel))
    if peer != expected:
        raise CannotOpen("somebody else answers there")
    await channel.write(_framed(last))
    return send, receive


async def secure_inbound(
    channel: Channel, identity: Identity, turn: Callable[[], Awaitable[None]]
) -> tuple[PeerKey, CountingCipher, CountingCipher]:
    """Shake hands with a peer that connected to us. Return (peer, sending cipher, receiving cipher). turn: awaited
    before any computation.
    """
    said = await answer(channel, NOISE)
    first = await _read(channel)
    await turn()
    ours = Responder(identity, system_entropy().random(_KEY))
    await channel.write(said + _framed(ours.second(first)))
    last = await _read(channel)
    await turn()
    return ours.finish(last)


async def _read(channel: Channel) -> bytes:
    if not channel.waiting:
        await channel.wait_readable()
    waiting = channel.peek(_MAX_MESSAGE)
    size = int.from_bytes(waiting[:2], "big")
    if size and len(waiting) >= 2 + size:
        channel.skip(2 + size)
        return waiting[2 : 2 + size]
    length = await channel.read(2)
    size = int.from_bytes(length, "big")
    message = await channel.read(size) if len(length) == 2 else b""
    if len(message) < size or not size:
        raise CannotOpen("no handshake message")
    return message


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
