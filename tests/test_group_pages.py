"""A second implementation of docs/protocol/group-messages.md, written from the page alone, meets the program.

It shares nothing with p2pchat.core but bytes, and the helpers that tests/test_protocol_pages.py wrote from encoding.md.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from typing import Any

import msgpack
import nacl.bindings as sodium
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pchat.core import primitives
from p2pchat.core.groups import chains, epochs, items, messages, parts, welcome
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import Leaf, LeafKeys
from p2pchat.core.groups.items import EventItem, MessageItem, PartItem
from p2pchat.core.groups.welcome import JoinKeys, Welcome
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from p2pchat.errors import CannotOpen
from tests.support.group_parts import joined
from tests.test_protocol_pages import check, h, hkdf, pack, pad, seal, sign, tag, unpad, unseal, x25519

GROUP, EPOCH, CORE_HASH = GroupId(b"g" * 32), EpochId(b"e" * 32), b"c" * 32
ENTROPY = primitives.system_entropy()


class Keys:
    """gS, gL and gK of a member."""

    def __init__(self, kem: bool = True) -> None:
        self.seed, self.private = os.urandom(32), os.urandom(32)
        self.sign = sodium.crypto_sign_seed_keypair(self.seed)[0]
        self.leaf = sodium.crypto_scalarmult_base(self.private)
        self.kem = MLKEM768PrivateKey.generate() if kem else None
        self.member = MemberId(h("p2pchat1 member", self.sign)[:8])

    @property
    def kem_public(self) -> bytes | None:
        return None if self.kem is None else self.kem.public_key().public_bytes_raw()

    @property
    def theirs(self) -> LeafKeys:
        return LeafKeys(
            self.member, self.private, None if self.kem is None else primitives.KemKey(self.kem.private_bytes_raw())
        )


def fresh(delivered: bytes, exporter: bytes) -> bytes:
    return hkdf(delivered, "grp fresh", 32, exporter, GROUP + CORE_HASH)


def entry_key(
    shared: bytes, exporter: bytes, member: bytes, leaf: bytes, public: bytes, ciphertext: bytes = b""
) -> ChaCha20Poly1305:
    context = GROUP + CORE_HASH + member + leaf + public + ciphertext
    return ChaCha20Poly1305(hkdf(shared, "grp rekey", 32, exporter, context))


def rekey(members: list[Keys], exporter: bytes) -> tuple[bytes, bytes]:
    delivered, ephemeral = os.urandom(32), os.urandom(32)
    public = sodium.crypto_scalarmult_base(ephemeral)
    entries, ciphertexts = b"", b""
    for keys in sorted(members, key=lambda keys: keys.member):
        shared, ciphertext = x25519(ephemeral, keys.leaf), b""
        if keys.kem_public is not None and len(members) <= 256:
            more, ciphertext = MLKEM768PublicKey.from_public_bytes(keys.kem_public).encapsulate()
            shared += more
        ciphertexts += ciphertext
        key = entry_key(shared, exporter, keys.member, keys.leaf, public, ciphertext)
        entries += key.encrypt(bytes(12), delivered, b"")
    return pack([public, entries, ciphertexts or None]), fresh(delivered, exporter)


def open_rekey(data: bytes, members: list[Keys], mine: Keys, exporter: bytes) -> bytes:
    public, entries, ciphertexts = msgpack.unpackb(data)
    ordered = sorted(members, key=lambda keys: keys.member)
    assert len(entries) == 48 * len(ordered)
    place = ordered.index(mine)
    shared, ciphertext = x25519(mine.private, public), b""
    if mine.kem is not None and len(ordered) <= 256:
        before = sum(keys.kem is not None for keys in ordered[:place])
        ciphertext = ciphertexts[1088 * before : 1088 * (before + 1)]
        shared += mine.kem.decapsulate(ciphertext)
    key = entry_key(shared, exporter, mine.member, mine.leaf, public, ciphertext)
    return fresh(key.decrypt(bytes(12), entries[48 * place : 48 * place + 48], b""), exporter)


def chain_key(secret: bytes, member: bytes, number: int) -> bytes:
    key = tag(tag(secret, b"branch" + bytes([member[0] // 4])), b"chain" + member)
    for _ in range(number):
        key = tag(key, b"\x02")
    return tag(key, b"\x01")


def item_of(secret: bytes, plain: list[Any], size: int) -> bytes:
    begin = tag(tag(secret, b"topic"), b"tag")[:8]
    return begin + seal(tag(secret, b"hdr"), pad(pack(plain), size - 48), begin + EPOCH)


def plain_of(secret: bytes, item: bytes) -> list[Any]:
    begin = tag(tag(secret, b"topic"), b"tag")[:8]
    assert item[:8] == begin
    plain: list[Any] = msgpack.unpackb(unpad(unseal(tag(secret, b"hdr"), item[8:], begin + EPOCH)))
    return plain


def part_hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, person=b"p2pchat1 part").digest()


def test_an_epoch_is_as_the_page_says() -> None:
    secret = os.urandom(32)
    ours = epochs.derive(secret)
    assert (ours.header, ours.join, ours.exporter, ours.topic) == tuple(
        tag(secret, name) for name in (b"hdr", b"join", b"exporter", b"topic")
    )
    assert epochs.confirmation(secret) == tag(secret, b"confirm")
    assert epochs.advance(ours.join, CORE_HASH) == hkdf(CORE_HASH, "grp adv", 32, tag(secret, b"join"))


@pytest.mark.parametrize("many", [False, True])
def test_a_rekey_of_either_opens_for_the_other(many: bool) -> None:
    exporter = os.urandom(32)
    members = [Keys(), Keys(kem=False), Keys()]
    if many:  # all but the first two have one leaf, which is quicker to make
        rest = [Keys(kem=False) for _ in range(255)]
        members = [*members[:2], *rest]
    leaves = [Leaf(keys.member, keys.leaf, keys.kem_public) for keys in members]
    data, secret = rekey(members, exporter)
    for keys in members[:3]:
        assert epochs.open_rekey(data, GROUP, CORE_HASH, exporter, leaves, keys.theirs) == secret
    made = epochs.make_rekey(GROUP, CORE_HASH, exporter, leaves, ENTROPY)
    for keys in members[:3]:
        assert open_rekey(made.rekey, members, keys, exporter) == made.secret


def test_a_message_of_either_opens_for_the_other() -> None:
    secret, keys = os.urandom(32), Keys()
    head = chains.chain_heads(secret, [keys.member])[keys.member]
    log_heads, seen = [EventId(os.urandom(32))], [[1, os.urandom(8), 5, os.urandom(8)]]
    for number in (0, 3):
        said = pack([GROUP, EPOCH, keys.member, number, log_heads, seen, h("p2pchat1 grp cnt", b"content")])
        place = EPOCH + keys.member + number.to_bytes(4, "big")
        signature = sign(keys.seed, "grp msg", said)
        body = seal(chain_key(secret, keys.member, number), pack([b"content", log_heads, seen, signature]), place)
        read = messages.read(GROUP, EPOCH, keys.member, keys.sign, head, number, body, lambda _: None)
        assert (read.message.content, read.message.log_heads) == (b"content", tuple(log_heads))
        assert [list(one) for one in read.message.seen] == seen
        assert read.message.digest == h("p2pchat1 grp msg", said)
        record = pack([1, EPOCH, keys.member, number, log_heads, seen, b"content", signature])
        assert messages.encode_record(read.message) == record

        before = head if number == 0 else chains.seek(head, number - 1, lambda _: None).chain
        written = messages.write(
            GROUP, EPOCH, keys.member, keys.seed, before, log_heads, read.message.seen, b"content", ENTROPY.random
        )
        opened = msgpack.unpackb(unseal(chain_key(secret, keys.member, number), written.body, place))
        assert opened[:-1] == [b"content", log_heads, seen]
        signature = opened[-1]
        check(keys.sign, "grp msg", said, signature)
        assert written.chain == Chain(chain_after(secret, keys.member, number + 1), number + 1)


def chain_after(secret: bytes, member: bytes, steps: int) -> bytes:
    key = tag(tag(secret, b"branch" + bytes([member[0] // 4])), b"chain" + member)
    for _ in range(steps):
        key = tag(key, b"\x02")
    return key


def test_items_of_either_open_for_the_other() -> None:
    secret = os.urandom(32)
    ours = epochs.derive(secret)
    member = MemberId(b"m" * 8)
    for size, plain, item in (
        (1024, [0, member, 7, b"body"], MessageItem(member, 7, b"body")),
        (4096, [1, b"event" * 300], EventItem(b"event" * 300)),
        (16384, [1, b"x"], EventItem(b"x")),
    ):
        assert items.open_item(item_of(secret, plain, size), EPOCH, ours) == item
        (sealed,) = items.seal_items(item, EPOCH, ours, size, ENTROPY.random)
        assert (len(sealed), plain_of(secret, sealed)) == (size, plain)
        assert items.item_id(sealed) == h("p2pchat1 item", sealed)


def test_parts_of_either_join_for_the_other() -> None:
    secret = os.urandom(32)
    ours = epochs.derive(secret)
    event = os.urandom(40_000)
    whole = pack([1, event])
    pieces = [whole[start : start + 15_000] for start in range(0, len(whole), 15_000)]
    hashes = list(map(part_hash, pieces))
    found = []
    for which, piece in enumerate(pieces):
        opened = items.open_item(item_of(secret, [2, hashes, which, piece], 16384), EPOCH, ours)
        assert isinstance(opened, PartItem)
        found.append(opened.part)
    assert items.open_whole(joined(found)) == EventItem(event)

    theirs = [plain_of(secret, item) for item in items.seal_items(EventItem(event), EPOCH, ours, 1024, ENTROPY.random)]
    assert [kind for kind, *_ in theirs] == [2] * len(theirs)
    assert all(first[1] == second[1] for first, second in itertools.pairwise(theirs))
    assert theirs[0][1] == [part_hash(data) for *_, data in theirs]
    assert b"".join(data for *_, data in theirs) == whole


def test_a_newcomer_of_either_is_taken_by_the_other() -> None:
    keys = Keys()
    root = os.urandom(32)
    bound = hkdf(root, "grp join", 32, context=GROUP)
    said = pack([GROUP, keys.sign, keys.leaf, keys.kem_public, "Dan", bound])
    proof = sign(keys.seed, "grp join", said)
    welcome.check_join_keys(GROUP, JoinKeys(keys.sign, keys.leaf, keys.kem_public, "Dan", proof), root)
    made = welcome.make_join_keys(GROUP, keys.seed, Leaf(keys.member, keys.leaf, keys.kem_public), "Dan", root)
    check(keys.sign, "grp join", said, made.proof)

    bound = GROUP + hkdf(root, "grp member", 32, context=GROUP)
    welcome.check_member(GROUP, keys.sign, root, sign(keys.seed, "grp member", bound))
    check(keys.sign, "grp member", bound, welcome.prove_member(GROUP, keys.seed, root))


def test_a_welcome_and_a_history_of_either_open_for_the_other() -> None:
    keys, secret = Keys(), os.urandom(32)
    log = [b"first event", b"second"]
    framed = b"".join(len(event).to_bytes(4, "big") + event for event in log)
    whole = pack([1, GROUP, keys.member, EPOCH, secret, framed])
    made = Welcome(GROUP, keys.member, EPOCH, secret, tuple(log))
    assert welcome.open_welcome(whole) == made
    (part,) = welcome.cut_welcome(made)
    assert part.fields() == [[part_hash(whole)], 0, whole]
    assert parts.read_part([[part_hash(whole)], 0, whole]) == part

    record = pack([1, EPOCH, keys.member, 0, [], [], b"content", bytes(64)])
    (part,) = welcome.cut_history(GROUP, [record])
    assert part.data == pack([1, GROUP, len(record).to_bytes(4, "big") + record])
    group, (message,) = welcome.open_history(part.data)
    assert (group, message.content) == (GROUP, b"content")
    with pytest.raises(CannotOpen):  # its signature is wrong
        messages.verify_message(message, keys.sign)
