"""The double ratchet with header encryption and an ML-KEM-768 secret in every turn.

Follows Signal, "The Double Ratchet Algorithm" revision 4, §4 (header encryption); the KEM as in SimpleX "PQDR" 1
(each chain carries the sender's encapsulation key and a ciphertext to the receiver's last one). Names:

* root key: feeds both chains, renewed by each turn          * chain key: one a direction, a step a message
* turn: a new key pair of the other side has arrived         * skipped key: of a message that has not arrived yet

The state is a frozen value. `encrypt` and `decrypt` return a new one and leave the old untouched, so a failure changes
nothing and a commit can come before any output is released.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U32, U64, array, binary, decode, encode, listing, maybe, uint
from p2pchat.core.envelope import HEADER_BYTES, HEADER_PLAIN
from p2pchat.errors import CannotOpen

MAX_SKIPPED = 20_000
OLD_CHAINS = 5
_CANNOT_SEND_YET = "this session cannot send before it has received"

FindSkipped = Callable[[int, int], bytes | None]
"""Looks up the key of a skipped message by (chain, number)."""
MaySkip = Callable[[int], bool]
"""Called once a header has authenticated, with the number of keys to be derived and kept; if it returns False, the
message cannot be opened."""


@dataclass(frozen=True, repr=False)
class Ratchet:
    """One side's state. Keys are 32 bytes unless said otherwise.

    `chain` counts receiving chains; `old_headers` are the (chain, header key) pairs of the last five before this one.
    `kem` is our own decapsulation key, `kem_ciphertext` what our current sending chain carries.
    """

    root: bytes
    private: bytes
    public: bytes
    kem: prim.KemKey | None
    kem_ciphertext: bytes | None
    theirs: bytes | None
    sending: bytes | None
    receiving: bytes | None
    sent: int
    received: int
    sent_before: int
    header_out: bytes | None
    header_in: bytes | None
    next_header_out: bytes
    next_header_in: bytes
    chain: int
    old_headers: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True, repr=False)
class SendingChain:
    """What all headers of one sending chain have in common, and the 32-byte key that they are sealed with. The ML-KEM
    parts are public: 1,184 bytes, and 1,088 bytes or none.
    """

    header_key: bytes
    public: bytes
    before: int
    kem_public: bytes
    kem_ciphertext: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class MessageSeal:
    """What one message is sealed with, besides its chain and its plaintext: the 32-byte key of its body, the two nonces
    of 24 bytes, and its number in the chain. With it the same bytes can be produced again.
    """

    body_key: bytes
    header_nonce: bytes
    body_nonce: bytes
    number: int


@dataclass(frozen=True, slots=True, repr=False)
class Decrypted:
    """The result of `decrypt`: the new state, the plaintext, and the changes of skipped keys."""

    state: Ratchet
    plaintext: bytes
    skipped: tuple[tuple[int, int, bytes], ...]
    used: tuple[int, int] | None


def initiate(
    root: bytes, header_out: bytes, next_header_in: bytes, their_prekey: bytes, entropy: prim.Entropy
) -> Ratchet:
    """Make the initiator's state: its first chain goes to the receiver's signed prekey, with no KEM secret yet. All
    keys have 32 bytes.
    """
    private, public, kem = entropy.keys()
    root, sending, next_header_out = _turn_keys(root, prim.x25519(private, their_prekey) + prim.ZERO_KEY)
    return Ratchet(
        root=root,
        private=private,
        public=public,
        kem=kem,
        kem_ciphertext=None,
        theirs=their_prekey,
        sending=sending,
        receiving=None,
        sent=0,
        received=0,
        sent_before=0,
        header_out=header_out,
        header_in=None,
        next_header_out=next_header_out,
        next_header_in=next_header_in,
        chain=0,
        old_headers=(),
    )


def respond(root: bytes, next_header_in: bytes, next_header_out: bytes, prekey: bytes) -> Ratchet:
    """Make the receiver's state: its signed prekey is its first ratchet key."""
    return Ratchet(
        root=root,
        private=prekey,
        public=prim.x25519_public(prekey),
        kem=None,
        kem_ciphertext=None,
        theirs=None,
        sending=None,
        receiving=None,
        sent=0,
        received=0,
        sent_before=0,
        header_out=None,
        header_in=None,
        next_header_out=next_header_out,
        next_header_in=next_header_in,
        chain=0,
        old_headers=(),
    )


def can_send(state: Ratchet) -> bool:
    """Return whether there is a sending chain: a receiver has none until the first message has arrived."""
    return state.sending is not None


def encrypt(state: Ratchet, plaintext: bytes, ad: bytes, random: prim.Random) -> tuple[Ratchet, bytes]:
    """Return (new state, header || body); the latter is `envelope.OVERHEAD` bytes longer than `plaintext`."""
    after, message_seal = next_seal(state, random)
    return after, seal_with(sending_chain(state), message_seal, plaintext, ad)


def next_seal(state: Ratchet, random: prim.Random) -> tuple[Ratchet, MessageSeal]:
    """Return (new state, the seal of the next message in the sending chain of `state`)."""
    if state.sending is None:
        raise ValueError(_CANNOT_SEND_YET)
    key, sending = _chain_step(state.sending)
    made = MessageSeal(_message_key(key), random(prim.NONCE_BYTES), random(prim.NONCE_BYTES), state.sent)
    return _changed(state, sending=sending, sent=state.sent + 1), made


def sending_chain(state: Ratchet) -> SendingChain:
    """Return what the headers of the current sending chain carry. Each turn begins another chain."""
    if state.header_out is None or state.kem is None:
        raise ValueError(_CANNOT_SEND_YET)
    return SendingChain(state.header_out, state.public, state.sent_before, state.kem.public, state.kem_ciphertext)


def seal_with(chain: SendingChain, message_seal: MessageSeal, plaintext: bytes, ad: bytes) -> bytes:
    """Seal header || body. The same arguments always give the same bytes."""
    fields = [chain.public, chain.before, message_seal.number, chain.kem_public, chain.kem_ciphertext]
    packed = encode(fields)
    plain = packed + bytes(HEADER_PLAIN - len(packed))
    header = prim.seal(chain.header_key, plain, ad, message_seal.header_nonce)
    return header + prim.seal(message_seal.body_key, plaintext, ad + header, message_seal.body_nonce)


def as_many_as_it_takes(count: int) -> bool:
    """Allow any number of skipped keys; `MAX_SKIPPED` for each chain still holds."""
    return True


def decrypt(
    state: Ratchet,
    data: bytes,
    ad: bytes,
    find: FindSkipped,
    entropy: prim.Entropy,
    may_skip: MaySkip = as_many_as_it_takes,
) -> Decrypted:
    """Open header || body, or raise `CannotOpen` with nothing changed.

    A key is only derived for a header that authenticated, so a stranger cannot cause work or skipping. The amount of
    work is known before it begins, so `may_skip` can refuse it to a peer who can.
    """
    sealed_header, body = data[:HEADER_BYTES], data[HEADER_BYTES:]
    if state.header_in is not None and (header := _try_header(state.header_in, sealed_header, ad)) is not None:
        if header.number < state.received:
            return _open_skipped(state, state.chain, header.number, sealed_header, body, ad, find)
        _ask(may_skip, _missing(state, header.number))
        return _open_next(state, header, (), sealed_header, body, ad)
    if (header := _try_header(state.next_header_in, sealed_header, ad)) is not None:
        _ask(may_skip, _missing(state, header.before) + header.number)
        turned, skipped = _turn(state, header, entropy)
        return _open_next(turned, header, skipped, sealed_header, body, ad)
    for chain, key in state.old_headers:
        if (header := _try_header(key, sealed_header, ad)) is not None:
            return _open_skipped(state, chain, header.number, sealed_header, body, ad, find)
    raise CannotOpen


@dataclass(frozen=True, slots=True)
class _Header:
    public: bytes
    before: int
    number: int
    kem_public: bytes
    kem_ciphertext: bytes | None


# msgpack: an array of 5; bytes by 8-bit and 16-bit length; nil; unsigned numbers by width, with the least that takes it
_BEFORE_KEY = bytes([0x95, 0xC4, prim.KEY_BYTES])
_BEFORE_KEM_PUBLIC = b"\xc5" + prim.KEM_PUBLIC.to_bytes(2, "big")
_BEFORE_CIPHERTEXT = b"\xc5" + prim.KEM_CIPHERTEXT.to_bytes(2, "big")
_NIL = 0xC0
_WIDTHS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16)}


def _try_header(key: bytes, sealed: bytes, ad: bytes) -> _Header | None:
    """Return the header if it was sealed with `key`, None if not. Raises CannotOpen if it was, and is invalid."""
    try:
        plain = prim.open_sealed(key, sealed, ad)
    except CannotOpen:
        return None
    return _parse_header(plain)


def _parse_header(plain: bytes) -> _Header:
    """Return the header that `encrypt` packs. It is as strict as `codec.decode`, in a third of the time. Raises
    CannotOpen.
    """
    if len(plain) != HEADER_PLAIN or plain[:3] != _BEFORE_KEY:
        raise CannotOpen
    public = plain[3 : 3 + prim.KEY_BYTES]
    before, at = _number(plain, 3 + prim.KEY_BYTES)
    number, at = _number(plain, at)
    kem_public = plain[at + 3 : at + 3 + prim.KEM_PUBLIC]
    kem_ciphertext = None
    if plain[at : at + 3] != _BEFORE_KEM_PUBLIC:
        raise CannotOpen
    at += 3 + prim.KEM_PUBLIC
    if plain[at] == _NIL:
        at += 1
    elif plain[at : at + 3] == _BEFORE_CIPHERTEXT:
        kem_ciphertext = plain[at + 3 : at + 3 + prim.KEM_CIPHERTEXT]
        at += 3 + prim.KEM_CIPHERTEXT
    else:
        raise CannotOpen
    if plain[at:] != bytes(HEADER_PLAIN - at):
        raise CannotOpen
    return _Header(public, before, number, kem_public, kem_ciphertext)


def _number(plain: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned number at `at`, which must be in its shortest form, and the position after it. Raises
    CannotOpen.
    """
    first = plain[at]
    if first < 0x80:
        return first, at + 1
    if first not in _WIDTHS:
        raise CannotOpen
    width, least = _WIDTHS[first]
    number = int.from_bytes(plain[at + 1 : at + 1 + width], "big")
    if number < least:
        raise CannotOpen
    return number, at + 1 + width


def _open_next(
    state: Ratchet,
    header: _Header,
    already: tuple[tuple[int, int, bytes], ...],
    sealed_header: bytes,
    body: bytes,
    ad: bytes,
) -> Decrypted:
    state, skipped = _skip(state, header.number)
    assert state.receiving is not None
    key, receiving = _chain_step(state.receiving)
    plaintext = prim.open_sealed(_message_key(key), body, ad + sealed_header)
    after = _changed(state, receiving=receiving, received=state.received + 1)
    return Decrypted(after, plaintext, already + skipped, None)


def _open_skipped(
    state: Ratchet, chain: int, number: int, sealed_header: bytes, body: bytes, ad: bytes, find: FindSkipped
) -> Decrypted:
    key = find(chain, number)
    if key is None:  # opened before, or too old
        raise CannotOpen
    plaintext = prim.open_sealed(_message_key(key), body, ad + sealed_header)
    return Decrypted(state, plaintext, (), (chain, number))


def _missing(state: Ratchet, until: int) -> int:
    """Return how many messages before number `until` of the current receiving chain are missing."""
    return 0 if state.receiving is None else max(0, until - state.received)


def _ask(may_skip: MaySkip, count: int) -> None:
    if count and not may_skip(count):
        raise CannotOpen


def _skip(state: Ratchet, until: int) -> tuple[Ratchet, tuple[tuple[int, int, bytes], ...]]:
    """Derive and keep the keys of missing messages before number `until` of the current receiving chain."""
    if state.receiving is None or until <= state.received:
        return state, ()
    if until - state.received > MAX_SKIPPED:
        raise CannotOpen
    skipped = []
    receiving = state.receiving
    for number in range(state.received, until):
        key, receiving = _chain_step(receiving)
        skipped.append((state.chain, number, key))
    return _changed(state, receiving=receiving, received=until), tuple(skipped)


def _changed(state: Ratchet, **fields: object) -> Ratchet:
    # `dataclasses.replace`, which would take as long as the step of the chain itself
    after = object.__new__(Ratchet)
    vars(after).update(vars(state), **fields)
    return after


def _turn(state: Ratchet, header: _Header, entropy: prim.Entropy) -> tuple[Ratchet, tuple[tuple[int, int, bytes], ...]]:
    """Take a turn, since the other side has a new key pair: finish its old chain, start its new one, and answer with a
    new pair of ours.
    """
    state, skipped = _skip(state, header.before)
    shared = prim.ZERO_KEY
    if header.kem_ciphertext is not None:
        if state.kem is None:
            raise CannotOpen
        shared = state.kem.decapsulate(header.kem_ciphertext)
    elif state.kem is not None:  # only a session's very first chain has no KEM secret
        raise CannotOpen
    root, receiving, next_header_in = _turn_keys(state.root, prim.x25519(state.private, header.public) + shared)
    private, public, kem = entropy.keys()
    ciphertext, fresh = entropy.encapsulate(header.kem_public)
    root, sending, next_header_out = _turn_keys(root, prim.x25519(private, header.public) + fresh)
    old = state.old_headers
    if state.header_in is not None:
        old = ((state.chain, state.header_in), *old)[:OLD_CHAINS]
    turned = Ratchet(
        root=root,
        private=private,
        public=public,
        kem=kem,
        kem_ciphertext=ciphertext,
        theirs=header.public,
        sending=sending,
        receiving=receiving,
        sent=0,
        received=0,
        sent_before=state.sent,
        header_out=state.next_header_out,
        header_in=state.next_header_in,
        next_header_out=next_header_out,
        next_header_in=next_header_in,
        chain=state.chain + 1,
        old_headers=old,
    )
    return turned, skipped


def _turn_keys(root: bytes, ikm: bytes) -> tuple[bytes, bytes, bytes]:
    keys = prim.hkdf(ikm, "dr root", 96, salt=root)
    return keys[:32], keys[32:64], keys[64:]


def _chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """Return (message key, next chain key)."""
    return prim.hmac_sha256(chain_key, b"\x01"), prim.hmac_sha256(chain_key, b"\x02")


def _message_key(key: bytes) -> bytes:
    return prim.hkdf(key, "dr msg", prim.KEY_BYTES)


# --- at rest -----------------------------------------------------------------------------------------------------

_KEY = binary(prim.KEY_BYTES)
_STATE_SHAPE = array(
    _KEY,
    _KEY,
    maybe(binary(prim.KEM_SEED)),
    maybe(binary(prim.KEM_CIPHERTEXT)),
    maybe(_KEY),
    maybe(_KEY),
    maybe(_KEY),
    uint(U32),
    uint(U32),
    uint(U32),
    maybe(_KEY),
    maybe(_KEY),
    _KEY,
    _KEY,
    uint(U64),
    listing(array(uint(U64), _KEY), OLD_CHAINS),
)

_CHAIN_SHAPE = array(_KEY, _KEY, uint(U32), binary(prim.KEM_PUBLIC), maybe(binary(prim.KEM_CIPHERTEXT)))
_NUMBER_BYTES = 4
SEAL_BYTES = prim.KEY_BYTES + 2 * prim.NONCE_BYTES + _NUMBER_BYTES


def dump(state: Ratchet) -> bytes:
    """Return the state as bytes for the store (about 1.6 kB). Never put it into a backup: an old state re-uses keys."""
    return encode(
        [
            state.root,
            state.private,
            None if state.kem is None else state.kem.seed,
            state.kem_ciphertext,
            state.theirs,
            state.sending,
            state.receiving,
            state.sent,
            state.received,
            state.sent_before,
            state.header_out,
            state.header_in,
            state.next_header_out,
            state.next_header_in,
            state.chain,
            [list(pair) for pair in state.old_headers],
        ]
    )


def dump_chain(chain: SendingChain) -> bytes:
    """Return a sending chain as bytes for the store (about 2.4 kB)."""
    return encode([chain.header_key, chain.public, chain.before, chain.kem_public, chain.kem_ciphertext])


def load_chain(data: bytes) -> SendingChain:
    """Return the chain that `dump_chain` wrote. Raises CannotOpen."""
    return SendingChain(*_CHAIN_SHAPE(decode(data, 4096)))


def dump_seal(message_seal: MessageSeal) -> bytes:
    """Return a seal as 84 bytes for the store."""
    number = message_seal.number.to_bytes(_NUMBER_BYTES, "big")
    return message_seal.body_key + message_seal.header_nonce + message_seal.body_nonce + number


def load_seal(data: bytes) -> MessageSeal:
    """Return what `dump_seal` wrote. Raises CannotOpen."""
    if len(data) != SEAL_BYTES:
        raise CannotOpen
    key, nonces = data[: prim.KEY_BYTES], data[prim.KEY_BYTES : -_NUMBER_BYTES]
    number = int.from_bytes(data[-_NUMBER_BYTES:], "big")
    return MessageSeal(key, nonces[: prim.NONCE_BYTES], nonces[prim.NONCE_BYTES :], number)


def load(data: bytes) -> Ratchet:
    """Return the state that `dump` wrote. Raises CannotOpen."""
    root, private, kem_seed, *rest = _STATE_SHAPE(decode(data, 8192))
    kem = None if kem_seed is None else prim.KemKey(kem_seed)
    state = Ratchet(root, private, prim.x25519_public(private), kem, *rest)
    for chain in ((state.sending, state.header_out, state.kem), (state.receiving, state.header_in)):
        if len({part is None for part in chain}) > 1:  # an incomplete chain
            raise CannotOpen
    return state
