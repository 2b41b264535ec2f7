"""Our handshake has the bytes of libp2p: held against its own Noise, in both roles, and against what is hostile."""

from __future__ import annotations

import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.peer.id import ID
from libp2p.security.noise.messages import NoiseHandshakePayload
from libp2p.security.noise.patterns import PatternXX

from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen
from p2pchat.net.admission.budget import Account
from p2pchat.net.libp2p import handshake
from p2pchat.net.libp2p.handshake import Identity, Initiator, Responder
from tests.conftest import run

OURS, THEIRS = create_new_key_pair(bytes([1]) * 32), create_new_key_pair(bytes([2]) * 32)


def ours() -> Identity:
    return Identity(OURS, bytes([3]) * 32)


def libp2ps() -> PatternXX:
    return PatternXX(ID.from_pubkey(THEIRS.public_key), THEIRS.private_key, create_noise_key_pair().private_key)


def test_libp2p_answers_us() -> None:
    pattern, us = libp2ps(), Initiator(ours(), bytes([4]) * 32)
    noise = pattern.create_noise_state()
    noise.set_as_responder()
    noise.start_handshake()
    noise.read_message(us.first())
    last, peer, send, receive = us.last(bytes(noise.write_message(pattern.make_handshake_payload().serialize())))
    said = NoiseHandshakePayload.deserialize(bytes(noise.read_message(last)))
    assert peer == THEIRS.public_key.to_bytes()
    assert said.id_pubkey.to_bytes() == OURS.public_key.to_bytes()
    for number in range(3):
        assert noise.decrypt(send.encrypt(b"%d" % number)) == b"%d" % number
        assert receive.decrypt(noise.encrypt(b"%d" % number)) == b"%d" % number


def test_we_answer_libp2p() -> None:
    pattern, us = libp2ps(), Responder(ours(), bytes([4]) * 32)
    noise = pattern.create_noise_state()
    noise.set_as_initiator()
    noise.start_handshake()
    said = NoiseHandshakePayload.deserialize(bytes(noise.read_message(us.second(bytes(noise.write_message(b""))))))
    assert said.id_pubkey.to_bytes() == OURS.public_key.to_bytes()
    peer, send, receive = us.finish(bytes(noise.write_message(pattern.make_handshake_payload().serialize())))
    assert peer == THEIRS.public_key.to_bytes()
    assert noise.decrypt(send.encrypt(b"there")) == b"there"
    assert receive.decrypt(noise.encrypt(b"and back")) == b"and back"


def _messages() -> tuple[bytes, bytes, bytes]:
    initiator, responder = Initiator(Identity(THEIRS, bytes([5]) * 32), bytes([6]) * 32), Responder(ours(), bytes(32))
    first = initiator.first()
    second = responder.second(first)
    return first, second, initiator.last(second)[0]


@pytest.mark.parametrize("at", [0, 31, 32, 79, 80, 100, 200])
def test_a_bit_that_was_changed_ends_it(at: int) -> None:
    first, second, last = _messages()
    broken = bytes(byte ^ (place == at % len(last)) for place, byte in enumerate(last))
    responder = Responder(ours(), bytes(32))
    assert responder.second(first) == second
    with pytest.raises(CannotOpen):
        responder.finish(broken)
    with pytest.raises(CannotOpen):
        Initiator(Identity(THEIRS, bytes([5]) * 32), bytes([6]) * 32).last(
            bytes(byte ^ (place == at % len(second)) for place, byte in enumerate(second))
        )


@pytest.mark.parametrize("message", [b"", bytes(31), bytes(32), bytes(70_000)])
def test_what_is_no_handshake_message_ends_it(message: bytes) -> None:
    with pytest.raises(CannotOpen):
        Responder(ours(), bytes(32)).second(message)
    first, _, _ = _messages()
    responder = Responder(ours(), bytes(32))
    responder.second(first)
    with pytest.raises(CannotOpen):
        responder.finish(message)


class Said:
    """A channel on which everything has come already."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.written = b""
        self.account = Account()

    @property
    def waiting(self) -> int:
        return len(self._said)

    async def wait_readable(self) -> None:
        pass

    def peek(self, n: int) -> bytes:
        return self._said[:n]

    def skip(self, n: int) -> None:
        self._said = self._said[n:]

    async def read(self, n: int | None = None) -> bytes:
        read, self._said = self._said[:n], self._said[n or 0 :]
        return read

    async def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00",
        b"\x13/multistream/9.0.0\n",
        b"\x13/multistream/1.0.0",
        b"\x13/multistream/1.0.0\n\xff\xff\xff",
        b"\x13/multistream/1.0.0\n" + b"\x03no\n" * 200,
    ],
)
def test_a_negotiation_of_any_kind_is_bounded(said: bytes) -> None:
    async def main() -> None:
        channel = Said(said)
        with pytest.raises(CannotOpen):
            await handshake.answer(channel, handshake.NOISE)
        assert channel.written.count(b"na\n") <= handshake.MAX_PROPOSALS

    run(main)


class Answering(Said):
    """A channel at whose other end somebody takes part in the handshake, and keeps what is written after that."""

    async def write(self, data: bytes) -> None:
        if not self.written:
            second = Responder(Identity(THEIRS, bytes(32)), bytes([6]) * 32).second(data[-32:])
            agreed = handshake.line(b"/multistream/1.0.0") + handshake.line(handshake.NOISE)
            self._said = agreed + len(second).to_bytes(2, "big") + second
        self.written += data


def test_somebody_else_who_answers_does_not_learn_who_has_dialled() -> None:
    async def main() -> None:
        theirs, nobodys = (PeerKey(pair.public_key.to_bytes()) for pair in (THEIRS, OURS))
        meant, mistaken = Answering(b""), Answering(b"")
        await handshake.secure_outbound(meant, ours(), theirs)
        with pytest.raises(CannotOpen):
            await handshake.secure_outbound(mistaken, ours(), nobodys)
        first = 2 + 32
        assert mistaken.written[:-first] == meant.written[: len(mistaken.written) - first]
        assert len(mistaken.written) < len(meant.written), "the message that says who we are was not sent"

    run(main)
