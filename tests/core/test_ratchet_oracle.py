"""Our ratchet beside the `doubleratchet` library, message by message.

The library has clear headers and no KEM. It is given our key schedule (computed here a second time, from HMAC), our
private keys as we draw them, and each KEM secret as part of the Diffie-Hellman result it belongs to; it is told the
contents of our headers, which it cannot open. Then both must agree on every header and every message key: of each
message the body is sealed by the one and opened by the other, with loss, reordering and repetition in both directions.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from doubleratchet import AEAD, KDF, DiffieHellmanRatchet, DoubleRatchet, DuplicateMessageException, EncryptedMessage
from doubleratchet.types import Header

from p2pchat.core import primitives as prim
from p2pchat.core import ratchet
from p2pchat.core.codec import decode
from p2pchat.core.envelope import HEADER_BYTES
from p2pchat.core.ratchet import Ratchet
from p2pchat.errors import CannotOpen
from tests.core.people import Chance
from tests.core.test_primitives import hkdf_by_definition

AD = b"the transcript"
T = TypeVar("T")


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of one of the library's coroutines, none of which ever waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waited")


class RootKDF(KDF):
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return hkdf_by_definition(data, key, b"p2pchat/1 dr root", 96)[:length]


class ChainKDF(KDF):
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return (prim.hmac_sha256(key, b"\x02") + prim.hmac_sha256(key, b"\x01"))[:length]


class Bare(AEAD):
    """The ciphertext is nonce || XChaCha20-Poly1305 under the HKDF of the message key, as ours."""

    @staticmethod
    def key(message_key: bytes) -> bytes:
        return hkdf_by_definition(message_key, bytes(32), b"p2pchat/1 dr msg", 32)

    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return key  # the caller seals: our associated data holds the sealed header, which the library has not

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        sealed_header, body = ciphertext[:HEADER_BYTES], ciphertext[HEADER_BYTES:]
        return prim.open_sealed(Bare.key(key), body, AD + sealed_header)


class Pairs(DiffieHellmanRatchet):
    """X25519 by OpenSSL, then the KEM secret of this pair of keys. The private keys come from our side."""

    drawn: deque[bytes]
    kem_secrets: dict[frozenset[bytes], bytes]

    @classmethod
    def _generate_priv(cls) -> bytes:
        return cls.drawn.popleft()

    @staticmethod
    def _derive_pub(priv: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(priv).public_key().public_bytes_raw()

    @classmethod
    def _perform_diffie_hellman(cls, own_priv: bytes, other_pub: bytes) -> bytes:
        shared = X25519PrivateKey.from_private_bytes(own_priv).exchange(X25519PublicKey.from_public_bytes(other_pub))
        return shared + cls.kem_secrets[frozenset({cls._derive_pub(own_priv), other_pub})]


class Library(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return b""


@dataclass
class Mail:
    """A message on its way: our header with our body, our header with the library's body, and the clear header."""

    ours: bytes
    theirs: bytes
    header: Header
    text: bytes
    delivered: bool = False


@dataclass
class Side:
    """Our ratchet and the library's, in step."""

    state: Ratchet
    chance: Chance
    pairs: type[Pairs]
    library: DoubleRatchet | None = None
    skipped: dict[tuple[int, int], bytes] = field(default_factory=dict)
    out: list[Mail] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        return {
            "diffie_hellman_ratchet_class": self.pairs,
            "root_chain_kdf": RootKDF,
            "message_chain_kdf": ChainKDF,
            "message_chain_constant": b"",
            "dos_protection_threshold": 1000,
            "max_num_skipped_message_keys": 1000,
            "aead": Bare,
            "associated_data": AD,
        }


class Conversation:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        chance = Chance(f"oracle {seed}")
        self.secrets: dict[frozenset[bytes], bytes] = {}
        self.fresh: list[bytes] = []
        root, header, next_header, self.prekey = (chance.random(32) for _ in range(4))
        self.root, self.prekey_public = root, prim.x25519_public(self.prekey)
        entropy = prim.Entropy(chance.random, self.encapsulate)
        self.entropy = entropy
        sides = []
        for state in (
            ratchet.initiate(root, header, next_header, self.prekey_public, entropy),
            ratchet.respond(root, header, next_header, self.prekey),
        ):
            pairs = type("Mine", (Pairs,), {"drawn": deque(), "kem_secrets": self.secrets})
            sides.append(Side(state, chance, pairs))
        self.alice, self.bob = sides
        self.secrets[frozenset({self.alice.state.public, self.prekey_public})] = bytes(32)
        self.alice.pairs.drawn.append(self.alice.state.private)
        self.count = 0

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ciphertext, secret = prim.kem_encapsulate(public)
        self.fresh.append(secret)
        return ciphertext, secret

    def send(self, side: Side) -> None:
        text = f"message {self.count}".encode()
        self.count += 1
        header_key = side.state.header_out
        assert header_key is not None
        side.state, sealed = ratchet.encrypt(side.state, text, AD, side.chance.random)
        if side.library is None:
            side.library, encrypted = done(
                Library.encrypt_initial_message(
                    shared_secret=self.root, recipient_ratchet_pub=self.prekey_public, message=text, **side.settings()
                )
            )
        else:
            encrypted = done(side.library.encrypt_message(text, AD))
        sealed_header = sealed[:HEADER_BYTES]
        public, before, number = decode_header(header_key, sealed_header)
        assert encrypted.header == Header(public, before, number)
        body = prim.seal(Bare.key(encrypted.ciphertext), text, AD + sealed_header, side.chance.random(24))
        side.out.append(Mail(sealed, sealed_header + body, encrypted.header, text))

    def deliver(self, mail: Mail, to: Side) -> None:
        """We open what the library sealed; it opens what we sealed. A message that was delivered is refused by both."""
        if mail.delivered:
            for body in (mail.ours, mail.theirs):
                with pytest.raises(CannotOpen):
                    self.open(body, to)
            assert to.library is not None
            with pytest.raises(DuplicateMessageException):
                done(to.library.decrypt_message(EncryptedMessage(mail.header, mail.ours), AD))
            return
        mail.delivered = True
        before = to.state.public
        opened = self.open(mail.theirs, to)
        assert opened.plaintext == mail.text
        to.state = opened.state
        if opened.used is not None:
            del to.skipped[opened.used]
        to.skipped.update({(chain, number): key for chain, number, key in opened.skipped})
        if to.state.public != before:
            assert to.state.theirs is not None
            to.pairs.drawn.append(to.state.private)
            self.secrets[frozenset({to.state.public, to.state.theirs})] = self.fresh[-1]
        encrypted = EncryptedMessage(mail.header, mail.ours)
        if to.library is None:
            to.library, text = done(
                Library.decrypt_initial_message(
                    shared_secret=self.root, own_ratchet_priv=self.prekey, message=encrypted, **to.settings()
                )
            )
        else:
            text = done(to.library.decrypt_message(encrypted, AD))
        assert text == mail.text
        assert not to.pairs.drawn, "both turned, or neither"
        library_skipped = {
            (one.ratchet_pub, one.index): one.message_key for one in to.library.model.skipped_message_keys
        }
        assert sorted(to.skipped.values()) == sorted(library_skipped.values())

    def open(self, sealed: bytes, to: Side) -> ratchet.Decrypted:
        return ratchet.decrypt(to.state, sealed, AD, lambda *which: to.skipped.get(which), self.entropy)

    def step(self) -> None:
        sender, receiver = self.dice.choice([(self.alice, self.bob), (self.bob, self.alice)])
        kind = self.dice.random()
        if kind < 0.45:
            if ratchet.can_send(sender.state):
                self.send(sender)
        elif sender.out:
            # mostly the oldest, sometimes any: what a chain or more has passed by must still be within reach
            near = sender.out[-12:]
            waiting = [mail for mail in near if not mail.delivered]
            if kind < 0.75 and waiting:
                self.deliver(waiting[0], receiver)
            elif kind < 0.95 and waiting:
                self.deliver(self.dice.choice(waiting), receiver)
            elif within_reach(mail := self.dice.choice(near), receiver):
                self.deliver(mail, receiver)


def within_reach(mail: Mail, to: Side) -> bool:
    """The library keeps no chains apart, and cannot tell a repetition from an old chain: only try the newest."""
    return mail.delivered and mail.header.ratchet_pub == to.state.theirs


def decode_header(key: bytes, sealed: bytes) -> tuple[bytes, int, int]:
    """The library's part of one of our headers: as the protocol has it, read here a second time."""
    plain = prim.open_sealed(key, sealed, AD)
    packed = plain.rstrip(b"\0")
    for end in range(len(packed), len(plain) + 1):
        try:
            public, before, number, _, _ = decode(plain[:end], len(plain))
        except CannotOpen:
            continue
        return public, before, number
    raise AssertionError("no header")


@pytest.mark.parametrize("seed", range(60))
def test_both_agree(seed: int) -> None:
    conversation = Conversation(seed)
    conversation.send(conversation.alice)
    for _ in range(150):
        conversation.step()
    delivered = [mail for side in (conversation.alice, conversation.bob) for mail in side.out if mail.delivered]
    assert len(delivered) >= 10
    assert conversation.alice.state.chain >= 2
