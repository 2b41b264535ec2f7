"""The first message: X3DH with ML-KEM-768 mixed in (PQXDH revision 3), both sides bound into one hash.

The initiator needs only the other side's bundle; the receiver can be offline. The result is a `Session`: a ratchet and
the secrets that the pair shares (`pair_root` for hello tags, `sas` for the eight words). `session_id`, the transcript
hash, names the session and is the associated data of all its messages.

InitialMessage = [1, suite, IK, DK, device certificate, device id, EK, kem ciphertext, spk id, kpk id, opk id | nil,
okpk id | nil, ratchet header, ratchet body], sealed to a bucket under a key of the invite or of the pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core import ratchet
from p2pchat.core.codec import U8, U32, array, binary, binary_upto, decode, encode, exactly, maybe, uint
from p2pchat.core.envelope import BUCKETS, HEADER_BYTES
from p2pchat.core.identity import DEVICE_ID, Device, verify_device
from p2pchat.core.ids import SessionId
from p2pchat.core.prekeys import Bundle, PrekeySet, bundle_digest
from p2pchat.core.session import Session
from p2pchat.errors import CannotOpen

_KEY = binary(prim.KEY_BYTES)
_INITIAL = array(
    exactly(1),
    exactly(prim.SUITE),
    _KEY,
    _KEY,
    binary(prim.SIGNATURE),
    uint(U8),
    _KEY,
    binary(prim.KEM_CIPHERTEXT),
    uint(U32),
    uint(U32),
    maybe(uint(U32)),
    maybe(uint(U32)),
    binary(HEADER_BYTES),
    binary_upto(BUCKETS[-1], least=prim.NONCE_BYTES + prim.TAG_BYTES),
)


@dataclass(frozen=True, slots=True)
class Initial:
    """A parsed InitialMessage; nothing in it is proven until `respond` has opened its body."""

    identity: bytes
    device: bytes
    certificate: bytes
    device_id: int
    ephemeral: bytes
    kem_ciphertext: bytes
    spk_id: int
    kpk_id: int
    opk_id: int | None
    okpk_id: int | None
    header: bytes
    body: bytes


def initiate(me: Device, bundle: Bundle, content: bytes, now: int, entropy: prim.Entropy) -> tuple[Session, bytes]:
    """Return (session, InitialMessage) against a verified bundle (docs/protocol/handshake.md). now: in ms.

    Raises CannotOpen for an expired bundle, and for one of ourselves (reflection).
    """
    if bundle.not_after * 1000 <= now or bundle.identity == me.identity or bundle.device == me.device:
        raise CannotOpen
    ephemeral = entropy.random(prim.KEY_BYTES)
    public = prim.x25519_public(ephemeral)
    ciphertext, shared = entropy.encapsulate(bundle.kpk if bundle.okpk is None else bundle.okpk[1])
    secrets = [
        prim.x25519(me.device_private, bundle.spk),
        prim.x25519(ephemeral, bundle.device),
        prim.x25519(ephemeral, bundle.spk),
    ]
    if bundle.opk is not None:
        secrets.append(prim.x25519(ephemeral, bundle.opk[1]))
    opk_id = None if bundle.opk is None else bundle.opk[0]
    okpk_id = None if bundle.okpk is None else bundle.okpk[0]
    session_id = _transcript(me.identity, me.device, public, ciphertext, opk_id, okpk_id, bundle.digest)
    keys = _keys(session_id, secrets, shared)
    state = ratchet.initiate(keys.root, keys.header, keys.next_header, bundle.spk, entropy)
    state, sealed = ratchet.encrypt(state, content, session_id, entropy.random)
    message = encode(
        [
            1,
            prim.SUITE,
            me.identity,
            me.device,
            me.certificate,
            DEVICE_ID,
            public,
            ciphertext,
            bundle.spk_id,
            bundle.kpk_id,
            opk_id,
            okpk_id,
            sealed[:HEADER_BYTES],
            sealed[HEADER_BYTES:],
        ]
    )
    return keys.session(session_id, state, initiator=True), message


def parse(message: bytes) -> Initial:
    """Return the fields of an InitialMessage (already unsealed), its device certificate checked. Raises CannotOpen."""
    _, _, *fields = _INITIAL(decode(message, BUCKETS[-1]))
    initial = Initial(*fields)
    verify_device(initial.identity, initial.device_id, initial.device, initial.certificate)
    return initial


def transcript(initial: Initial, prekeys: PrekeySet) -> SessionId:
    """Return the `session_id` of a parsed message. If it is known, the message was received before."""
    return _transcript(
        initial.identity,
        initial.device,
        initial.ephemeral,
        initial.kem_ciphertext,
        initial.opk_id,
        initial.okpk_id,
        bundle_digest(prekeys.bundle),
    )


def respond(me: Device, prekeys: PrekeySet, initial: Initial, entropy: prim.Entropy) -> tuple[Session, bytes]:
    """Return (session, the content inside). Raises CannotOpen: only one who holds the device key of `initial` could
    make it.
    """
    if initial.identity == me.identity or initial.device == me.device:
        raise CannotOpen
    if initial.spk_id != prekeys.number or initial.kpk_id != prekeys.number:
        raise CannotOpen
    one_time = prekeys.number if prekeys.opk is not None else None
    if initial.opk_id != one_time or initial.okpk_id != one_time:  # omitting the one-time keys is a downgrade
        raise CannotOpen
    kem_seed = prekeys.kpk_seed if prekeys.okpk_seed is None else prekeys.okpk_seed
    shared = prim.KemKey(kem_seed).decapsulate(initial.kem_ciphertext)
    secrets = [
        prim.x25519(prekeys.spk, initial.device),
        prim.x25519(me.device_private, initial.ephemeral),
        prim.x25519(prekeys.spk, initial.ephemeral),
    ]
    if prekeys.opk is not None:
        secrets.append(prim.x25519(prekeys.opk, initial.ephemeral))
    session_id = transcript(initial, prekeys)
    keys = _keys(session_id, secrets, shared)
    state = ratchet.respond(keys.root, keys.header, keys.next_header, prekeys.spk)
    # it is the first of its chain, so nothing may be skipped: anybody with an invite can send one
    opened = ratchet.decrypt(
        state, initial.header + initial.body, session_id, _nothing_skipped, entropy, _nothing_to_skip
    )
    return keys.session(session_id, opened.state, initiator=False), opened.plaintext


def _nothing_skipped(chain: int, number: int) -> bytes | None:
    return None


def _nothing_to_skip(count: int) -> bool:
    return False


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    root: bytes
    header: bytes
    next_header: bytes
    pair_root: bytes
    sas: bytes

    def session(self, session_id: SessionId, state: ratchet.Ratchet, *, initiator: bool) -> Session:
        """Return the session that begins with this ratchet. For the responder it is already confirmed that the other
        side has it.
        """
        return Session(
            session_id=session_id,
            initiator=initiator,
            pair_root=self.pair_root,
            sas=self.sas,
            ratchet=state,
            confirmed=not initiator,
        )


def _keys(session_id: SessionId, secrets: list[bytes], shared: bytes) -> _Keys:
    ikm = b"\xff" * 32 + b"".join(secrets) + shared
    material = prim.hkdf(ikm, "x3dh", 160, context=session_id)
    return _Keys(*(material[start : start + 32] for start in range(0, 160, 32)))


def _transcript(
    identity: bytes,
    device: bytes,
    ephemeral: bytes,
    ciphertext: bytes,
    opk_id: int | None,
    okpk_id: int | None,
    bundle: bytes,
) -> SessionId:
    roles = [0, 1]  # the initiator's keys stand first, the receiver's are in the bundle
    fields = [1, prim.SUITE, identity, device, ephemeral, ciphertext, opk_id, okpk_id, bundle, roles]
    return SessionId(prim.blake2b(encode(fields), b"p2pchat1 x3dh th"))
