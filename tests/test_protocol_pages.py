"""A second implementation, written from `docs/protocol/` alone, meets the program.

It knows ours of p2pchat.core but what it is handed: bytes. If a page is wrong or leaves something out, or the code
leaves the page, the two cannot read each other. It is written for reading beside the pages, not for use: it skips no
messages and refuses ours politely.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import msgpack
import nacl.bindings as sodium
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import CryptoError

from p2pchat.core import (
    content,
    contents,
    envelope,
    file_frames,
    files,
    frames,
    handshake,
    identity,
    invite,
    ipns,
    lan,
    logs,
    mailbox,
    names,
    parcel,
    prekeys,
    primitives,
    punch,
    session,
)
from p2pchat.core.channels import bodies, details, links, posts
from p2pchat.core.channels import feed as feeds
from p2pchat.core.channels import frames as feed_frames
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.files import BlobPlace
from p2pchat.core.groups import membership
from p2pchat.core.ids import ContactId, EnvelopeId, FileId, GroupId, MessageId, PeerKey, SessionId, WriterKey
from p2pchat.errors import CannotOpen
from p2pchat.net import multiaddrs
from p2pchat.net.lan import sockets
from p2pchat.store import file_blobs
from p2pchat.store.file_blobs import BlobMaker, BytesSource
from p2pchat.store.file_space import FileSpace
from tests.core.groups import oracle

NOW = 1_700_000_000_000
VECTORS = Path(__file__).parent / "vectors"
ENTROPY = primitives.system_entropy()

# --- encoding.md -------------------------------------------------------------------------------------------------


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def h(person: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, person=person.encode().ljust(16, b"\0")).digest()


def hkdf(ikm: bytes, label: str, size: int, salt: bytes = bytes(32), context: bytes = b"") -> bytes:
    return HKDF(hashes.SHA256(), size, salt, b"p2pchat/1 " + label.encode() + context).derive(ikm)


def tag(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def seal(key: bytes, plain: bytes, ad: bytes) -> bytes:
    nonce = os.urandom(24)
    return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, ad, nonce, key)


def unseal(key: bytes, sealed: bytes, ad: bytes) -> bytes:
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[24:], ad, sealed[:24], key)


def sign(seed: bytes, label: str, data: bytes) -> bytes:
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    return sodium.crypto_sign(b"p2pchat/1 " + label.encode() + b"\0" + data, secret)[:64]


def check(public: bytes, label: str, data: bytes, signature: bytes) -> None:
    sodium.crypto_sign_open(signature + b"p2pchat/1 " + label.encode() + b"\0" + data, public)


def pad(data: bytes, size: int) -> bytes:
    assert len(data) < size
    return data + b"\x80" + b"\0" * (size - len(data) - 1)


def unpad(data: bytes) -> bytes:
    end = data.rindex(b"\x80")
    assert not any(data[end + 1 :])
    return data[:end]


def bucket(length: int, overhead: int) -> int:
    return next(size for size in (4096, 16384, 65536) if length + overhead + 1 <= size)


def x25519(private: bytes, public: bytes) -> bytes:
    return sodium.crypto_scalarmult(private, public)


# --- ratchet.md --------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """One side of a ratchet that receives everything in order."""

    session_id: SessionId
    root: bytes
    private: bytes
    header_next_in: bytes
    header_next_out: bytes
    kem: MLKEM768PrivateKey | None = None
    ciphertext: bytes | None = None
    header_in: bytes | None = None
    header_out: bytes | None = None
    chain_in: bytes = b""
    chain_out: bytes = b""
    sent: int = 0
    sent_before: int = 0

    def turn(self, theirs: bytes, secret: bytes) -> tuple[bytes, bytes]:
        keys = hkdf(x25519(self.private, theirs) + secret, "dr root", 96, salt=self.root)
        self.root = keys[:32]
        return keys[32:64], keys[64:]

    def new_pairs(self) -> None:
        self.private, self.kem = os.urandom(32), MLKEM768PrivateKey.generate()

    def encrypt(self, plaintext: bytes) -> bytes:
        assert self.header_out is not None
        assert self.kem is not None
        key, self.chain_out = tag(self.chain_out, b"\x01"), tag(self.chain_out, b"\x02")
        public = sodium.crypto_scalarmult_base(self.private)
        kem_public = self.kem.public_key().public_bytes_raw()
        plain = pack([public, self.sent_before, self.sent, kem_public, self.ciphertext]).ljust(2350, b"\0")
        self.sent += 1
        header = seal(self.header_out, plain, self.session_id)
        return header + seal(hkdf(key, "dr msg", 32), plaintext, self.session_id + header)

    def decrypt(self, message: bytes) -> bytes:
        header, body = message[:2390], message[2390:]
        try:
            assert self.header_in is not None
            unseal(self.header_in, header, self.session_id)
        except (AssertionError, CryptoError):
            self.receive_turn(unseal(self.header_next_in, header, self.session_id))
        key, self.chain_in = tag(self.chain_in, b"\x01"), tag(self.chain_in, b"\x02")
        return unseal(hkdf(key, "dr msg", 32), body, self.session_id + header)

    def receive_turn(self, plain: bytes) -> None:
        unpacker = msgpack.Unpacker(raw=False)
        unpacker.feed(plain)
        public, _, number, kem_public, ciphertext = unpacker.unpack()
        assert number == 0
        assert not any(plain[unpacker.tell() :])
        assert (ciphertext is None) == (self.kem is None)
        secret = bytes(32) if self.kem is None else self.kem.decapsulate(ciphertext)
        self.header_in, self.header_out = self.header_next_in, self.header_next_out
        self.chain_in, self.header_next_in = self.turn(public, secret)
        self.new_pairs()
        fresh, self.ciphertext = MLKEM768PublicKey.from_public_bytes(kem_public).encapsulate()
        self.chain_out, self.header_next_out = self.turn(public, fresh)
        self.sent_before, self.sent = self.sent, 0


# --- handshake.md ------------------------------------------------------------------------------------------------


class Person:
    """Identity and device, and at most one bundle."""

    def __init__(self) -> None:
        self.seed, self.device_private = os.urandom(32), os.urandom(32)
        self.identity = sodium.crypto_sign_seed_keypair(self.seed)[0]
        self.device = sodium.crypto_scalarmult_base(self.device_private)
        self.certificate = sign(self.seed, "devcert", pack([self.identity, 1, self.device]))

    def make_bundle(self) -> bytes:
        self.spk, self.opk = os.urandom(32), os.urandom(32)
        self.kpk, self.okpk = MLKEM768PrivateKey.generate(), MLKEM768PrivateKey.generate()
        body = pack(
            [
                *(1, [1], self.identity, self.device, self.certificate, 1),
                *(7, sodium.crypto_scalarmult_base(self.spk), 7, self.kpk.public_key().public_bytes_raw()),
                [7, sodium.crypto_scalarmult_base(self.opk)],
                [7, self.okpk.public_key().public_bytes_raw()],
                *(NOW // 1000 + 60, 1),
            ]
        )
        self.bundle = pack([body, sign(self.seed, "bundle", body)])
        return self.bundle

    def respond(self, message: bytes) -> tuple[Side, bytes, bytes]:
        """(ratchet, pair root, content) of an InitialMessage to our bundle."""
        fields = msgpack.unpackb(message, raw=False)
        version, suite, their_identity, their_device, certificate, device_id, ek, ct, *rest = fields
        spk_id, kpk_id, opk_id, okpk_id, header, body = rest
        assert (version, suite, spk_id, kpk_id, opk_id, okpk_id) == (1, 1, 7, 7, 7, 7)
        check(their_identity, "devcert", pack([their_identity, device_id, their_device]), certificate)
        agreements = (
            x25519(self.spk, their_device)
            + x25519(self.device_private, ek)
            + x25519(self.spk, ek)
            + x25519(self.opk, ek)
        )
        digest = h("p2pchat1 bundle", self.bundle)
        session_id = h("p2pchat1 x3dh th", pack([1, 1, their_identity, their_device, ek, ct, 7, 7, digest, [0, 1]]))
        sk = derive(SessionId(session_id), agreements, self.okpk.decapsulate(ct))
        side = Side(SessionId(session_id), sk[0:32], self.spk, header_next_in=sk[32:64], header_next_out=sk[64:96])
        return side, sk[96:128], side.decrypt(header + body)

    def initiate(self, bundle: bytes, content: bytes) -> tuple[Side, bytes, bytes]:
        """(ratchet, pair root, InitialMessage) against a bundle without one-time prekeys."""
        body, signature = msgpack.unpackb(bundle, raw=False)
        fields: list[Any] = msgpack.unpackb(body, raw=False)
        _, _, ik, dk, certificate, device_id, spk_id, spk, kpk_id, kpk, opk, okpk, _, _ = fields
        check(ik, "bundle", body, signature)
        check(ik, "devcert", pack([ik, device_id, dk]), certificate)
        assert opk is None
        assert okpk is None
        ephemeral = os.urandom(32)
        ek = sodium.crypto_scalarmult_base(ephemeral)
        secret, ct = MLKEM768PublicKey.from_public_bytes(kpk).encapsulate()
        agreements = x25519(self.device_private, spk) + x25519(ephemeral, dk) + x25519(ephemeral, spk)
        digest = h("p2pchat1 bundle", bundle)
        session_id = h("p2pchat1 x3dh th", pack([1, 1, self.identity, self.device, ek, ct, None, None, digest, [0, 1]]))
        sk = derive(SessionId(session_id), agreements, secret)
        side = Side(
            SessionId(session_id), sk[0:32], b"", header_next_in=sk[64:96], header_next_out=b"", header_out=sk[32:64]
        )
        side.new_pairs()
        side.chain_out, side.header_next_out = side.turn(spk, bytes(32))
        first = side.encrypt(content)
        head = [1, 1, self.identity, self.device, self.certificate, 1, ek, ct, spk_id, kpk_id, None, None]
        return side, sk[96:128], pack([*head, first[:2390], first[2390:]])


def derive(session_id: SessionId, agreements: bytes, secret: bytes) -> bytes:
    return hkdf(b"\xff" * 32 + agreements + secret, "x3dh", 160, context=session_id)


def envelope_of(side: Side, content: bytes) -> bytes:
    size = bucket(len(content), 2430)
    return side.encrypt(pad(content, size - 2430))


def converse(side: Side, ours: session.Session) -> None:
    """Several turns both ways, several messages a chain, in every bucket."""
    for turn, length in enumerate((1, 1665, 1666, 13953, 13954, 63105)):
        for number in range(3):
            said = bytes([turn, number]) + os.urandom(max(0, length - 2))
            sealed = session.seal(ours, said, ENTROPY.random)
            ours, sent = sealed.session, sealed.envelope
            assert len(sent) in (4096, 16384, 65536)
            assert unpad(side.decrypt(sent)) == said
        for _ in range(2):
            said = os.urandom(length)
            opened = session.open_envelope(ours, envelope_of(side, said), lambda chain, n: None, ENTROPY)
            assert opened.content == said
            ours = opened.session


def test_pages_answer_the_programs_first_message() -> None:
    bob, alice = Person(), identity.Device.fresh(ENTROPY.random)
    ours, message = handshake.initiate(alice, prekeys.open_bundle(bob.make_bundle()), b"hello bob", NOW, ENTROPY)
    side, pair_root, content = bob.respond(message)
    assert content == b"hello bob"
    assert (side.session_id, pair_root) == (ours.session_id, ours.pair_root)
    answer = envelope_of(side, b"hello alice")
    opened = session.open_envelope(ours, answer, lambda chain, n: None, ENTROPY)
    assert opened.content == b"hello alice"
    converse(side, opened.session)


def test_program_answers_the_pages_first_message() -> None:
    alice, bob = Person(), identity.Device.fresh(ENTROPY.random)
    kept = prekeys.make_set(bob, NOW // 1000 + 60, one_time=False, random=ENTROPY.random)
    side, pair_root, message = alice.initiate(kept.bundle, b"hello bob")
    ours, content = handshake.respond(bob, kept, handshake.parse(message), ENTROPY)
    assert content == b"hello bob"
    assert (side.session_id, pair_root) == (ours.session_id, ours.pair_root)
    converse(side, ours)


# --- the smaller pages -------------------------------------------------------------------------------------------


def test_invite_page() -> None:
    fields = [1, 0, os.urandom(32), os.urandom(16), NOW // 1000, [[os.urandom(32), bytes(8), 0]], None, bytes(4)]
    unchecked = pack(fields)[:-4]
    data = unchecked + h("p2pchat1 invite", unchecked)[:4]
    text = "P2PCHAT:" + base64.b32encode(data).decode().rstrip("=")
    read, encoded = invite.read_invite(f"  {text[:40].lower()}\n{text[40:]}\n")
    assert encoded == data
    assert (read.digest, read.secret) == (fields[2], fields[3])
    assert (len(data), len(text)) == (114, 191)
    ik, dk = os.urandom(32), os.urandom(32)
    assert prekeys.person_digest(ik, dk) == h("p2pchat1 person", ik + dk)


def test_joining_page() -> None:
    secret, joiner, inviter = os.urandom(16), os.urandom(32), os.urandom(32)
    peers = b"".join(sorted((joiner, inviter)))
    key = hkdf(secret, "inv hello", 32)
    assert invite.hello_key(secret) == key
    for role in ("join", "offer"):
        assert invite.join_tag(key, role, PeerKey(joiner), PeerKey(inviter)) == tag(key, role.encode() + peers)[:16]
    data = os.urandom(4055)
    blob = envelope.seal_blob(invite.blob_key(secret), data, ENTROPY.random)
    assert len(blob) == 4096
    assert unpad(unseal(hkdf(secret, "inv key", 32), blob, b"")) == data
    assert len(envelope.seal_blob(invite.blob_key(secret), data + b"!", ENTROPY.random)) == 16384


def test_direct_page() -> None:
    root, mine, theirs, peer, other = (os.urandom(32) for _ in range(5))
    pair = session.pair(ContactId(b"contact!"), SessionId(b"th"), root, mine, theirs)
    sides = [hkdf(root, "presence", 32, context=bytes([side])) for side in (0, 1)]
    own = 0 if mine < theirs else 1
    assert (pair.ours, pair.theirs) == (sides[own], sides[1 - own])
    day = NOW // 86_400_000
    made = tag(sides[own], b"hello" + b"".join(sorted((peer, other))) + day.to_bytes(4, "big"))[:16]
    assert session.hello_tag(pair.ours, PeerKey(peer), PeerKey(other), day) == made
    made = tag(sides[own], b"file" + b"".join(sorted((peer, other))) + day.to_bytes(4, "big"))[:16]
    assert session.file_tag(pair.ours, PeerKey(peer), PeerKey(other), day) == made
    assert set(session.hello_days(NOW)) == {day - 1, day, day + 1}
    assert session.renew_key(root) == hkdf(root, "renew", 32)
    assert frames.pack(frames.Frame(frames.ACKS, bytes(16))) == (17).to_bytes(4, "big") + b"\x02" + bytes(16)


def test_files_page_frames() -> None:
    file = os.urandom(16)
    body = (7).to_bytes(4, "big") + file + b"\x02" + (99).to_bytes(8, "big") + b"\x10"
    get = file_frames.Get(7, FileId(file), BlobPlace(2, 99), 16)
    assert (file_frames.encode_get(get), file_frames.decode_get(body)) == (body, get)
    assert file_frames.encode_none(7, 3) == (7).to_bytes(4, "big") + b"\x03"
    assert file_frames.decode_none(bytes(5)) == (0, 0)
    for kind, size in ((0, 16), (32, 30), (33, 65_540), (34, 5)):
        sizes = {**file_frames.FROM_RECIPIENT, **file_frames.FROM_SENDER}[kind]
        assert [number for number in range(70_000) if number in sizes] == [size]
    for count in (0, 17):
        with pytest.raises(CannotOpen):
            file_frames.decode_get(body[:-1] + bytes([count]))


def test_mailbox_page_file_boxes() -> None:
    fetch, put, blob = os.urandom(32), os.urandom(32), os.urandom(65_536)
    assert mailbox.Queue(fetch, put, 4).id == h("p2pchat1 qid", fetch + put + b"\x04")
    name = files.blob_name(blob)[:16]
    assert name == h("p2pchat1 env", blob)[:16]
    start = (9).to_bytes(4, "big") + (7).to_bytes(2, "big")
    names = tuple(EnvelopeId(os.urandom(16)) for _ in range(256))
    have, get = mailbox.Having(9, 7, names), mailbox.Getting(9, 7, names[:16])
    assert pack_frame(18, start + b"".join(names)) == frames.pack(frames.Frame(18, mailbox.encode_have(have)))
    assert pack_frame(20, start + b"".join(names[:16])) == frames.pack(frames.Frame(20, mailbox.encode_get(get)))
    assert mailbox.decode_get(start + b"".join(names[:16])) == get
    bits = 1 << 255 | 1 << 252 | 1  # of the first name, the fourth and the last
    had = mailbox.decode_had((9).to_bytes(4, "big") + b"\0" + bits.to_bytes(32, "big"))
    assert [place for place, there in enumerate(had.held) if there] == [0, 3, 255]
    for table, kind, size in (
        (mailbox.FROM_CLIENT, 18, 4102),
        (mailbox.FROM_CLIENT, 20, 262),
        (mailbox.FROM_RELAY, 19, 37),
    ):
        assert [number for number in range(5000) if number in table[kind]] == [size]
    said = [1, fetch, put, 18, 720, 16_384, 1 << 26, False, 0, 0, True, True]
    assert mailbox.decode_hello(pack(said)).file_bytes == 0
    hello = mailbox.decode_hello(pack([*said, 1 << 29, 168]))
    assert (hello.file_bytes, hello.file_hours) == (1 << 29, 168)


def test_logs_page() -> None:
    topic, relay, challenge, admin = (os.urandom(32) for _ in range(4))
    seeds = hkdf(topic, "log keys", 64, context=relay)
    public = [sodium.crypto_sign_seed_keypair(seed)[0] for seed in (seeds[:32], seeds[32:], admin)]
    keys = logs.log_keys(topic, PeerKey(relay), public[2], admin)
    name = h("p2pchat1 log", b"".join(public) + b"\x08")
    assert (list(keys.log[:3]), keys.log.id) == (public, name)
    for role, (seed, label) in enumerate(((seeds[32:], "put"), (seeds[:32], "read"), (admin, "admin"))):
        secret = sodium.crypto_sign_seed_keypair(seed)[1]
        signed = b"p2pchat/1 log " + label.encode() + b"\0" + relay + challenge + name
        signature = sodium.crypto_sign(signed, secret)[:64]
        opening = logs.decode_open_log(b"\0\7" + bytes([role, 8]) + b"".join(public) + signature)
        assert logs.check_open_log(opening, PeerKey(relay), challenge) == name
    read = logs.LogRead(9, 7, 512, True, 5)
    assert logs.encode_read(read) == (9).to_bytes(4, "big") + b"\0\7\2\0\1" + (5).to_bytes(8, "big")
    small, large = os.urandom(1024), os.urandom(65_536)
    items = b"\0\7" + (5).to_bytes(8, "big") + b"\0\1" + small + (9).to_bytes(8, "big") + b"\0\1" + small
    assert logs.decode_items(items) == logs.Items(7, ((5, small), (9, small)))
    assert [len(body) for body in logs.encode_items(7, [(5, large), *((6 + n, small) for n in range(63))])] == [
        65_548,
        2 + 63 * 1034,
    ]
    sizes = mailbox.FROM_RELAY[23]
    assert 65_548 in sizes
    assert 65_549 not in sizes
    said = [1, relay, challenge, 18, 720, 16_384, 1 << 26, False, 0, 0, True, True, 0, 0]
    assert mailbox.decode_hello(pack(said)).log_bytes == 0
    hello = mailbox.decode_hello(pack([*said, 1 << 26, 336]))
    assert (hello.log_bytes, hello.log_hours) == (1 << 26, 336)


def pack_frame(kind: int, body: bytes) -> bytes:
    return (1 + len(body)).to_bytes(4, "big") + bytes([kind]) + body


def cut(key: bytes, data: bytes) -> tuple[list[list[bytes]], bytes]:
    """The blobs of a file by level, chunks first, and the name of the root."""
    aead = ChaCha20Poly1305(hkdf(key, "file blob", 32))
    level = [data[at : at + 65_519] for at in range(0, len(data), 65_519)] or [b""]
    levels: list[list[bytes]] = []
    while True:
        heads = [bytes([len(levels), 0, 0, 0]) + number.to_bytes(8, "big") for number in range(len(level))]
        ad = len(data).to_bytes(8, "big")
        levels.append([aead.encrypt(head, pad(part, 65_520), ad) for head, part in zip(heads, level, strict=True)])
        named = [h("p2pchat1 env", blob) for blob in levels[-1]]
        if len(named) == 1:
            return levels, named[0]
        level = [b"".join(named[at : at + 2_047]) for at in range(0, len(named), 2_047)]


def test_files_page_blobs() -> None:
    """Cut as the page says it and opened by the program, and the other way round."""
    for size in (0, 1, 65_519, 65_520, 3 * 65_519 + 7):
        key, data = os.urandom(32), os.urandom(size)
        levels, root = cut(key, data)
        cipher, source = files.BlobCipher(key, size), BytesSource(data)
        assert cipher.layout.counts == tuple(map(len, levels))
        names = {cipher.layout.root: root}
        for place in cipher.layout.lists():
            listed = files.names_in(cipher.open(place, names[place], levels[place.level][place.number]))
            names |= {BlobPlace(place.level - 1, number): each for number, each in enumerate(listed)}
        chunks = [BlobPlace(0, number) for number in range(len(levels[0]))]
        assert b"".join(cipher.open(place, names[place], levels[0][place.number]) for place in chunks) == data
        with tempfile.TemporaryDirectory() as folder:
            made = file_blobs.cut(FileSpace(Path(folder) / "files"), source, key, keep=False)
            assert made.root == root
            maker = BlobMaker(source, made.sealed, key, made.root)
            assert [maker.blobs(BlobPlace(level, 0), 99) for level in range(len(levels))] == levels
            maker.close()
        assert files.file_id(key, root) == h("p2pchat1 file", key + root)[:16]


def test_files_page_contents() -> None:
    key, root, about = os.urandom(32), os.urandom(32), os.urandom(16)
    fields = [1, "a/b.png", "image/png", 5, key, root, 640, 480, 0, b"jpeg", "look"]
    raw = pack([1, 4, about, 1, NOW, None, 0, fields, []])
    read = content.decode_content(raw)
    assert read.payload == contents.File(*fields)  # type: ignore[arg-type]
    assert content.encode_content(read) == raw
    raw = pack([1, 20, about, 0, NOW, None, 0, [about, 3], []])
    assert content.decode_content(raw).payload == contents.Transfer(MessageId(about), 3)
    assert list(TransferNews) == [0, 1, 2, 3]


def name(key: bytes, what: bytes) -> str:
    return "/" + base64.b32encode(tag(key, what)[:16]).decode().rstrip("=").lower()


def test_names_page() -> None:
    key, host, token = os.urandom(32), os.urandom(32), b"friends.only"
    assert names.link_name(key, host, 20_000) == name(key, b"link" + host + (20_000).to_bytes(4, "big"))
    assert names.file_name(key, host, 20_000) == name(key, b"file" + host + (20_000).to_bytes(4, "big"))
    assert names.join_name(key, host) == name(key, b"name" + host)
    of_token = hkdf(token, "relay token", 32, context=host)
    assert names.mailbox_name(host, token) == name(of_token, b"mailbox")
    assert names.feed_name(host, token) == name(of_token, b"feed")
    assert names.feed_name(host, b"") == "/p2pchat/feed/1"
    opened = tag(of_token, b"pass")[:10]
    assert names.relay_pass(host, token) == opened
    assert names.hop_name(opened) == name(opened, b"hop")
    assert names.web_path(opened) == name(opened, b"web")
    assert len(name(key, b"")) == 27
    text = f"/ip4/192.0.2.7/tcp/4001/wss/pass/{base64.b32encode(opened).decode().lower()}"
    packed = bytes.fromhex("04c0000207060fa1de038180c001") + opened
    assert (multiaddrs.pack(text), multiaddrs.unpack(packed)) == (packed, text)
    assert (names.mailbox_name(host, b""), names.hop_name(b"")) == (
        "/p2pchat/mailbox/1",
        "/libp2p/circuit/relay/0.2.0/hop",
    )


def test_lan_page() -> None:
    """Written as the page says it, and read by the program."""
    key, salt, peer = os.urandom(32), os.urandom(16), os.urandom(32)
    source, moved = bytes(10) + b"\xff\xff\xc0\xa8\1\5", bytes(10) + b"\xff\xff\xc0\xa8\1\6"
    day_key = tag(key, b"lan" + (20_000).to_bytes(4, "big"))
    cipher = ChaCha20Poly1305(tag(day_key, b"seal" + salt + source))
    slot = tag(day_key, b"name" + salt + source)[:8] + cipher.encrypt(bytes(12), b"\x0f\xa1" + peer, b"")
    packet = salt + b"".join(sorted([slot, *(os.urandom(58) for _ in range(19))]))
    assert len(packet) == lan.ANNOUNCEMENT_BYTES == 1176
    keys = [os.urandom(32), lan.day_key(key, 20_000)]
    assert lan.opened(lan.read(packet), source, keys) == lan.Answering(4001, PeerKey(peer))
    assert lan.opened(lan.read(packet), moved, keys) is None
    assert (sockets.PORT, sockets.GROUPS) == (24150, {4: "224.0.0.1", 6: "ff02::1"})


def test_punching_page() -> None:
    attempt, ipv4, ipv6 = os.urandom(8), bytes((203, 0, 113, 5)), bytes.fromhex("20010db8") + os.urandom(12)
    body = b"\2" + attempt + b"\0\xfa" + ipv4 + b"\x0f\xa1" + ipv6 + b"\x0f\xa2"
    said = punch.decode(frames.FrameParser().feed(b"\0\0\0\x24\x0c" + body)[0].body)
    assert (said.step, said.attempt, said.held) == (punch.PunchStep.ANSWER, attempt, 250)
    assert said.addresses == ((ipv4, 4001), (ipv6, 4002))
    assert punch.encode(punch.Punch(punch.PunchStep.GO, attempt)) == b"\3" + attempt + bytes(26)


def test_parcel_page() -> None:
    key, salt = os.urandom(32), os.urandom(16)
    tags = tag(key, b"parcel" + salt)
    envelopes = [os.urandom(size) for size in (4096, 65536, 4096, *[16384] * 3)]
    raw = b"".join(parcel.packed(salt, {key: envelopes, os.urandom(32): [os.urandom(4096)]}, os.urandom))
    assert raw.startswith(b"p2pchat parcel 1" + salt + b"\0\4\0\4\0\1")
    assert len(raw) == 38 + 4 * 4112 + 4 * 16400 + 65552
    for number, blob in enumerate(envelopes):
        assert raw.count(tag(tags, number.to_bytes(4, "big"))[:16] + blob) == 1
    assert tag(tags, len(envelopes).to_bytes(4, "big"))[:16] not in raw
    header = parcel.read_header(raw[:38])
    assert (header.salt, header.counts, header.file_bytes) == (salt, (4, 4, 1), len(raw))


def test_ipns_page() -> None:
    """Written as the page says it, with another encoder of CBOR, and read by the program; and the same as it writes."""
    public, secret = sodium.crypto_sign_seed_keypair(bytes(range(32)))
    sealed = os.urandom(1024)
    said = {"_d": sealed, "TTL": 300 * 10**9, "Value": b"/ipfs/bafkqaaa", "Sequence": 1 << 40, "ValidityType": 0}
    data = cbor2.dumps(said | {"Validity": b"2028-02-29T23:59:58.700000000Z"}, canonical=True)
    signature = sodium.crypto_sign(b"ipns-signature:" + data, secret)[:64]
    raw = b"\x42\x40" + signature + b"\x4a" + bytes((len(data) & 0x7F | 0x80, len(data) >> 7)) + data
    record = ipns.read(b"/ipns/\0\x24\x08\1\x12\x20" + public, raw, NOW)
    assert (record.sealed, record.sequence, record.expires_at) == (sealed, 1 << 40, 1_835_481_598_700)
    assert ipns.make(bytes(range(32)), 1 << 40, record.expires_at, sealed) == record


class PageChannel:
    """A channel as channels.md describes it: its writer, and its reader."""

    def __init__(self, seed: bytes) -> None:
        self.seed, self.key = seed, sodium.crypto_sign_seed_keypair(seed)[0]
        self.id = h("p2pchat1 channel", self.key)
        self.posts: list[list[Any]] = []

    def hash(self, seq: int) -> bytes:
        return h("p2pchat1 ch post", self.posts[seq][0])

    def root(self, first: int) -> bytes:
        level = [h("p2pchat1 ch tree", b"\0" + self.hash(seq)) for seq in range(first, first + 256)]
        while len(level) > 1:
            level = [h("p2pchat1 ch tree", b"\1" + level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        return level[0]

    def write(self, body: bytes) -> None:
        seq = len(self.posts)
        prev = self.hash(seq - 1) if seq else bytes(32)
        mark = [self.root(seq - 256), self.hash(seq - 256)] if seq and seq % 256 == 0 else None
        digest = h("p2pchat1 ch body", body)
        header = pack([1, self.id, self.key, seq, prev, NOW, digest, len(body), mark])
        self.posts.append([header, sign(self.seed, "chan post", header), body])

    def head(self, writers: list[list[Any]]) -> bytes:
        last = self.hash(len(self.posts) - 1) if self.posts else bytes(32)
        head = pack([1, self.id, self.key, len(self.posts), last, NOW, "news", writers, None])
        return pack([head, sign(self.seed, "chan head", head)])


def test_channels_page() -> None:
    page = PageChannel(bytes(range(32)))
    feed = posts.own_feed(page.key)
    ours: list[posts.Post] = []
    state = feeds.Feed(feed)
    for number in range(258):
        page.write(pack([0, [f"post {number}"]]))
        ours.append(posts.decode_post(feed, pack(page.posts[-1])))
        state = feeds.take_post(state, ours[-1], lambda seq: ours[seq])
    head = posts.decode_head(feed, page.head([[bytes(32), "bob", 3]]))
    assert feeds.take_head(state, head, lambda seq: ours[seq]).withheld == 0
    assert (head.name, head.writers) == ("news", (posts.ChannelWriter(WriterKey(bytes(32)), "bob", 3),))
    assert bodies.decode_body(ours[5].body or b"") == contents.Text("post 5")

    program = posts.make_post(page.seed, feed, 258, state.last, NOW, b"\x92\x00\x91\xa2hi")
    page.write(pack([0, ["hi"]]))
    assert posts.encode_post(program) == pack(page.posts[-1])
    assert posts.encode_head(posts.make_head(page.seed, feed, 0, bytes(32), NOW, "news")) == PageChannel(
        page.seed
    ).head([])

    secret = bytes(32)
    sealed = bodies.seal_body(secret, feed, 7, pack([0, ["hi"]]), ENTROPY.random)
    key = hkdf(secret, "chan read", 32, context=page.id)
    place = page.id + page.key + (7).to_bytes(8, "big")
    assert len(sealed) == 1024
    assert unpad(unseal(key, sealed, place)) == pack([0, ["hi"]])
    theirs = seal(key, pad(pack([0, ["ho"]]), 1024 - 40), place)
    assert bodies.open_body(secret, feed, 7, theirs) == contents.Text("ho")

    key = hkdf(secret, "chan details", 32, context=page.id)
    mark = h("p2pchat1 ch grp", page.key + bytes(range(32)))
    told = seal(key, pad(pack([[[bytes(32), b"\4", 1, b"token"]], None, mark, "later"]), 2304 - 40), page.id)
    known = details.decode_details(told, page.key, secret)
    assert known.group == details.group_mark(page.key, GroupId(bytes(range(32))))
    assert [(way.address, way.token) for way in known.ways] == [(b"\4", b"token")]

    way = [bytes(32), b"\4", 1]
    unchecked = pack([1, 3, page.key, None, [way], "news", bytes(4)])[:-4]
    link = unchecked + h("p2pchat1 invite", unchecked)[:4]
    assert links.decode_link(link).key == page.key
    assert links.encode_link(links.decode_link(link)) == link
    get = (1).to_bytes(4, "big") + page.key * 2 + (1 << 53).to_bytes(8, "big") + b"\0\x32" + b"\1"
    assert feed_frames.encode_get(feed_frames.FeedGet(1, feed, feed_frames.NEWEST, 50, watch=True)) == get
    end = (1).to_bytes(4, "big") + b"\0\1" + (2).to_bytes(8, "big") + (9).to_bytes(8, "big")
    assert feed_frames.decode_end(end) == (1, 0, True, 2, 9)
    assert feed_frames.encode_terms(feed_frames.FeedTerms(5, 6, 7, new=True)) == pack([1, 5, 6, 7, True])


@pytest.mark.parametrize("path", sorted(VECTORS.glob("event-*.json")), ids=lambda path: path.stem)
def test_groups_page_events(path: Path) -> None:
    one = json.loads(path.read_text())
    if "refused" in one:
        with pytest.raises((ValueError, CryptoError)):
            oracle.read(bytes.fromhex(one["raw"]))
        return
    event = oracle.read(bytes.fromhex(one["raw"]))
    assert (event.id.hex(), event.by.hex(), event.seq, event.op) == (one["id"], one["member"], one["seq"], one["op"])


@pytest.mark.parametrize("path", sorted(VECTORS.glob("membership-*.json")), ids=lambda path: path.stem)
def test_groups_page_log(path: Path) -> None:
    one = json.loads(path.read_text())
    log = oracle.Log(bytes.fromhex(raw) for raw in one["events"])
    view = log.view()
    levels = {who.hex(): level for who, (level, _) in view.members.items() if who not in log.leaves}
    assert levels == {who: level for who, (level, _) in one["members"].items()}
    assert {key: value for key, value in view.settings.items() if key != "recovery"} == one["settings"]
    assert {who.hex(): until for who, until in view.muted.items() if who in view.members} == one["muted"]
    assert {head.hex() for head in view.epochs} == {head for head, _, _ in one["epochs"]}


def test_groups_page_is_understood() -> None:
    """What is written by the page alone is an event to the program."""
    seed, leaf, secret = os.urandom(32), os.urandom(32), os.urandom(32)
    public = sodium.crypto_sign_seed_keypair(seed)[0]
    core = pack([1, None, [], 0, public, 0, [[["name", "us"]], leaf, None, "alice"], 2, None])
    statement = pack([h("p2pchat1 grpcore", core), secret, None])
    first = pack([core, secret, None, sign(seed, "grp ev", statement), None])
    group = h("p2pchat1 grp ev", statement)
    log = membership.MembershipLog(GroupId(group))
    assert log.add(first).answer is membership.LogAnswer.TAKEN
    assert [(member.id, member.name) for member in log.state.members.values()] == [(oracle.member(public), "alice")]
    core = pack([1, group, [group], 1, public, 7, [], 2, group])
    statement = pack([h("p2pchat1 grpcore", core), secret, h("p2pchat1 rekey", b"sealed")])
    log.add(pack([core, secret, h("p2pchat1 rekey", b"sealed"), sign(seed, "grp ev", statement), b"sealed"]))
    assert log.state.sending == h("p2pchat1 grp ev", statement)


def test_identity_page() -> None:
    one, other = os.urandom(32), os.urandom(32)

    def half(key: bytes) -> str:
        digest = b"\0\0" + key + key
        for _ in range(5200):
            digest = hashlib.sha512(digest + key).digest()
        return "".join(f"{int.from_bytes(digest[at : at + 5], 'big') % 100_000:05d}" for at in range(0, 30, 5))

    digits = "".join(sorted((half(one), half(other))))
    shown = identity.safety_number(one, other)
    assert shown == identity.safety_number(other, one)
    assert shown.replace(" ", "") == digits
    assert [len(group) for group in shown.split(" ")] == [5] * 12


def test_envelope_page() -> None:
    sealed = os.urandom(4096)
    assert envelope.envelope_id(sealed) == h("p2pchat1 env", sealed)[:16]
