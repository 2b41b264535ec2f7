"""The shared state of two devices: one ratchet, and the rules by which sessions begin, meet and end.

Several sessions with one contact can be alive: both sides may have begun one at the same time, or one was renewed.
* For sending both sides take, among those not ending, the one with the smallest `session_id`: no flip-flop, no
  negotiation. Until something has come back in it, a session of our own making stands behind those that came from the
  other side.
* An ending session is kept for receiving for `LINGER_MS` and then deleted, but never before a later one is confirmed.
* A session that cannot go on is renewed, over a verified stream (`renew_key`) or by relays alone (`standing_root`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from p2pchat.core import envelope, ratchet
from p2pchat.core import primitives as prim
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, PeerKey, SessionId
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS

LINGER_MS = 14 * DAY_MS
HELLO = 16
STANDING = SessionId(bytes(prim.KEY_BYTES))
"""Takes the place of a `session_id` where two people meet by their standing root. No session has it."""


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A session. confirmed: whether something from the other side was opened in it. ends_at: it is only for receiving,
    until then (ms).
    """

    session_id: SessionId
    initiator: bool
    pair_root: bytes
    sas: bytes
    ratchet: ratchet.Ratchet
    confirmed: bool
    ends_at: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """The result of opening an envelope: the new session, the content, the keys that were skipped, and the skipped key
    that was used.
    """

    session: Session
    content: bytes
    skipped: tuple[tuple[int, int, bytes], ...]
    used: tuple[int, int] | None


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """The result of sealing: the envelope, the new session, and the seal to make the same envelope again."""

    session: Session
    envelope: bytes
    message_seal: ratchet.MessageSeal


def seal(session: Session, content: bytes, random: prim.Random) -> Sealed:
    """Seal a `content` of at most `envelope.MAX_CONTENT` bytes."""
    state, message_seal = ratchet.next_seal(session.ratchet, random)
    chain = ratchet.sending_chain(session.ratchet)
    sealed = same_envelope(session.session_id, chain, message_seal, content)
    return Sealed(_after(session, state, session.confirmed), sealed, message_seal)


def same_envelope(
    session_id: SessionId, chain: ratchet.SendingChain, message_seal: ratchet.MessageSeal, content: bytes
) -> bytes:
    """Return the envelope that `seal` made from this content again, byte for byte, however the session has changed
    since.
    """
    return ratchet.seal_with(chain, message_seal, envelope.padded(content), session_id)


def open_envelope(
    session: Session,
    sealed: bytes,
    find: ratchet.FindSkipped,
    entropy: prim.Entropy,
    may_skip: ratchet.MaySkip = ratchet.as_many_as_it_takes,
) -> Received:
    """Open an envelope in this session. Raises CannotOpen, with nothing changed."""
    if len(sealed) not in envelope.BUCKETS:
        raise CannotOpen
    opened = ratchet.decrypt(session.ratchet, sealed, session.session_id, find, entropy, may_skip)
    content = prim.unpad(opened.plaintext)
    return Received(_after(session, opened.state, True), content, opened.skipped, opened.used)


def _after(session: Session, state: ratchet.Ratchet, confirmed: bool) -> Session:
    return Session(
        session_id=session.session_id,
        initiator=session.initiator,
        pair_root=session.pair_root,
        sas=session.sas,
        ratchet=state,
        confirmed=confirmed,
        ends_at=session.ends_at,
    )


def for_sending(sessions: Iterable[Session]) -> Session | None:
    """Return the session both sides agree to send in, or None. One that the other side may not have yet comes last."""
    usable = [session for session in sessions if session.ends_at is None and ratchet.can_send(session.ratchet)]
    certain = [session for session in usable if session.confirmed]
    return min(certain or usable, key=lambda session: session.session_id, default=None)


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """What the first frame of a stream is checked against: a contact, a session, and the hello key of each side."""

    contact: ContactId
    session_id: SessionId
    ours: bytes
    theirs: bytes


def pair(contact: ContactId, session_id: SessionId, pair_root: bytes, mine: bytes, theirs: bytes) -> Pair:
    """Return the hello keys of a session between the identities `mine` and `theirs`; each side proves itself with its
    own key.
    """
    keys = [prim.hkdf(pair_root, "presence", prim.KEY_BYTES, context=side) for side in (b"\0", b"\1")]
    first = mine < theirs
    return Pair(contact, session_id, keys[0 if first else 1], keys[1 if first else 0])


def hello_tag(key: bytes, peer: PeerKey, other_peer: PeerKey, day: int) -> bytes:
    """Return the 16 bytes by which one side of a stream proves the pair's secret, without a name or an identity key.

    `peer` and `other_peer` are the transport keys of the connection, in any order; `day` is UTC days since the epoch. A
    tag is good for one pair of hosts, one side and one day.
    """
    return _tag(key, b"hello", peer, other_peer, day)


def file_tag(key: bytes, peer: PeerKey, other_peer: PeerKey, day: int) -> bytes:
    """Return the 16 bytes that prove the same on a stream for files; the arguments are those of `hello_tag`."""
    return _tag(key, b"file", peer, other_peer, day)


def _tag(key: bytes, what: bytes, peer: PeerKey, other_peer: PeerKey, day: int) -> bytes:
    ends = b"".join(sorted((peer, other_peer)))
    return prim.hmac_sha256(key, what + ends + day.to_bytes(4, "big"))[:HELLO]


def hello_days(now: int) -> tuple[int, int, int]:
    """Return today, yesterday and tomorrow as UTC days since the epoch, because clocks may be wrong by up to a day.
    now: ms.
    """
    today = max(now // DAY_MS, 1)  # a machine without a clock starts in 1970
    return today, today - 1, today + 1


@lru_cache(maxsize=10_000)
def standing_root(me: Device, identity: bytes, device: bytes) -> bytes:
    """Return the 32-byte pair root that two people keep whatever happens to their sessions, from the device keys that
    each has pinned.

    By it they recognise a node that was restored from an old copy and knows none of the current sessions, and renew the
    session with it.
    """
    sides = b"".join(sorted((me.identity, identity)))
    return prim.hkdf(prim.x25519(me.device_private, device), "standing", prim.KEY_BYTES, context=sides)


def renew_key(pair_root: bytes) -> bytes:
    """Return the 32-byte key that seals everything that renews a session: a bundle, a request for a new session, an
    InitialMessage.
    """
    return prim.hkdf(pair_root, "renew", prim.KEY_BYTES)
