"""Vectors of docs/protocol/group-messages.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import (
    GroupAsk,
    GroupHistory,
    GroupItem,
    GroupJoin,
    GroupMember,
    GroupOffer,
    GroupRefusal,
    GroupSeen,
    GroupWant,
    GroupWelcome,
    Text,
)
from p2pchat.core.contents.group_want import MessagePlace
from p2pchat.core.groups import chains, epochs, items, messages, parts, welcome
from p2pchat.core.groups.epochs import EpochSecrets, Leaf, LeafKeys
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.groups.messages import SeenMessage
from p2pchat.core.groups.roles import member_id
from p2pchat.core.groups.welcome import Welcome
from p2pchat.core.ids import EpochId, EventId, GroupId, MessageId
from tests.core.people import NOW, Chance, flipped
from tests.vectors.making import Recorder, Vector, refused, shown, vector

GROUP = GroupId(bytes(range(32)))
EPOCH = EpochId(b"E" * 32)
CORE_HASH = b"C" * 32
SECRET = bytes(range(32, 64))
SECRETS = epochs.derive(SECRET)
SEEDS = [bytes([number]) * 32 for number in (1, 2, 3)]
LEAVES = [
    LeafKeys(
        member_id(prim.sign_public(seed)),
        bytes([number]) * 32,
        None if number == 12 else prim.KemKey(bytes([number]) * 64),
    )
    for seed, number in zip(SEEDS, (11, 12, 13), strict=True)
]
CONTENT = encode_content(Content(Text("سلام"), MessageId(bytes(range(16))), 1, NOW, heads=(bytes(8),)))


def secrets() -> Iterator[tuple[str, Vector]]:
    members = [keys.member for keys in LEAVES]
    heads = chains.chain_heads(SECRET, members)
    yield (
        "group-epoch-ok",
        vector(
            "group-epoch",
            "what is derived from a secret, and the secret of the epoch after it by an advance",
            secret=SECRET,
            header=SECRETS.header,
            join=SECRETS.join,
            exporter=SECRETS.exporter,
            topic=SECRETS.topic,
            tag=SECRETS.tag,
            confirm=epochs.confirmation(SECRET),
            chains=[[member.hex(), head.key.hex()] for member, head in heads.items()],
            keys=[_chain_key(heads[members[0]], number).hex() for number in (0, 1, 2)],
            core_hash=CORE_HASH,
            advanced=epochs.advance(SECRETS.join, CORE_HASH),
        ),
    )
    chance = Recorder("vector rekey")
    leaves = [keys.leaf for keys in LEAVES]
    made = epochs.make_rekey(GROUP, CORE_HASH, SECRETS.exporter, leaves, chance.entropy)
    good = vector(
        "group-rekey",
        "three members in the order of their ids, of whom one has no ML-KEM key",
        group=GROUP,
        core_hash=CORE_HASH,
        exporter=SECRETS.exporter,
        members=[_shown_leaf(keys) for keys in sorted(LEAVES, key=lambda keys: keys.member)],
        random=chance.drawn,
        encapsulations=chance.encapsulations,
        rekey=made.rekey,
        secret=made.secret,
        confirm=epochs.confirmation(made.secret),
    )
    yield "group-rekey-ok", good
    public, entries, ciphertexts = decode(made.rekey, epochs.MAX_REKEY)
    for name, about, changed in (
        ("entry", "a bit of the first entry is wrong", [public, flipped(entries, 5), ciphertexts]),
        ("few", "an entry is missing", [public, entries[48:], ciphertexts]),
        ("kem", "a ciphertext is missing", [public, entries, ciphertexts[1088:]]),
        ("classical", "no ciphertexts", [public, entries, None]),
        ("ephemeral", "a public key of small order", [bytes(32), entries, ciphertexts]),
        ("more", "a field too many", [public, entries, ciphertexts, 0]),
    ):
        yield f"group-rekey-bad-{name}", {**good, "about": about, "refused": True, "rekey": encode(changed).hex()}
    yield "group-rekey-bad-event", {**good, "about": "of another event", "refused": True, "core_hash": bytes(32).hex()}
    yield "group-rekey-bad-confirm", {**good, "about": "confirms another", "refused": True, "confirm": "00" * 32}


def _chain_key(chain: chains.Chain, number: int) -> bytes:
    return chains.seek(chain, number, lambda _: None).key


def _shown_leaf(keys: LeafKeys) -> list[str | None]:
    return [keys.member.hex(), keys.private.hex(), None if keys.kem is None else keys.kem.seed.hex()]


def messages_of_a_group() -> Iterator[tuple[str, Vector]]:
    chance = Recorder("vector group message")
    member, head = LEAVES[0].member, chains.Chain(b"k" * 32)
    number = 2
    chain = chains.seek(head, 1, lambda _: None).chain
    log_heads = [EventId(b"L" * 32), EventId(b"M" * 32)]
    seen = [
        SeenMessage(0, LEAVES[1].member, 5, b"a head 1"),
        SeenMessage(1, LEAVES[2].member, 2**32 - 1, b"a head 2"),
    ]
    written = messages.write(GROUP, EPOCH, member, SEEDS[0], chain, log_heads, seen, CONTENT, chance.random)
    message = written.message
    good = vector(
        "group-message",
        "message 2 of a chain",
        group=GROUP,
        epoch=EPOCH,
        member=member,
        seed=SEEDS[0],
        sign=prim.sign_public(SEEDS[0]),
        chain=head.key,
        number=number,
        log_heads=list(map(bytes.hex, log_heads)),
        seen=[[one.back, one.member.hex(), one.number, one.head.hex()] for one in seen],
        content=CONTENT,
        random=chance.drawn,
        body=written.body,
        digest=message.digest,
        record=messages.encode_record(message),
    )
    yield "group-message-ok", good
    key = _chain_key(head, number)
    place = EPOCH + member + number.to_bytes(4, "big")

    def sealed(*fields: object) -> str:
        return prim.seal(key, encode(list(fields)), place, bytes(24)).hex()

    heads, signature = list(message.log_heads), message.signature
    listed = [list(one) for one in message.seen]
    for name, about, body in (
        ("signature", "signed for another number", sealed(CONTENT, heads, listed, _signed_elsewhere())),
        ("content", "another content than was signed", sealed(CONTENT + b"!", heads, listed, signature)),
        ("heads", "nine heads", sealed(CONTENT, [bytes(32)] * 9, listed, signature)),
        ("seen", "another message was seen than was signed", sealed(CONTENT, heads, listed[:1], signature)),
        ("seen-more", "five messages were seen", sealed(CONTENT, heads, listed[:1] * 5, signature)),
        ("seen-back", "a message of two epochs ago was seen", sealed(CONTENT, heads, [[2, *listed[0][1:]]], signature)),
        ("more", "a field too many", sealed(CONTENT, heads, listed, signature, 0)),
        ("body", "a bit is wrong", flipped(written.body, 200).hex()),
    ):
        yield f"group-message-bad-{name}", {**good, "about": about, "refused": True, "body": body}
    yield "group-message-bad-epoch", {**good, "about": "in another epoch", "refused": True, "epoch": "00" * 32}
    yield "group-message-bad-author", {**good, "about": "of somebody else", "refused": True, "sign": "11" * 32}
    yield "group-message-bad-used", {**good, "about": "its key is used", "refused": True, "from": 3}


def _signed_elsewhere() -> bytes:
    head = chains.Chain(b"k" * 32, 1)
    return messages.write(
        GROUP, EPOCH, LEAVES[0].member, SEEDS[0], head, [], [], CONTENT, Chance("elsewhere").random
    ).message.signature


def items_of_a_group() -> Iterator[tuple[str, Vector]]:
    chance = Recorder("vector item")
    small = MessageItem(LEAVES[0].member, 7, b"body")
    long = EventItem(bytes(range(256)) * 100)
    for name, about, item, smallest in (
        ("message", "a message in the smallest size", small, 1024),
        ("padded", "the same in the second", small, 4096),
        ("parts", "an event in two parts", long, 1024),
    ):
        chance.drawn.clear()
        sealed = items.seal_items(item, EPOCH, SECRETS, smallest, chance.random)
        yield (
            f"group-item-{name}-ok",
            vector(
                "group-item",
                about,
                epoch=EPOCH,
                secret=SECRET,
                plain=item.encode(),
                smallest=smallest,
                random=list(chance.drawn),
                items=[one.hex() for one in sealed],
                ids=[items.item_id(one).hex() for one in sealed],
            ),
        )
    (sealed_one,) = items.seal_items(small, EPOCH, SECRETS, 1024, chance.random)
    first, second = parts.cut(long.encode(), 15_000)
    for name, about, data in (
        ("tag", "another tag", flipped(sealed_one, 3)),
        ("bit", "a bit is wrong", flipped(sealed_one, 800)),
        ("size", "a size that is none", sealed_one + bytes(1024)),
        ("padding", "no padding", _sealed(small.encode().ljust(976, b"\0"))),
        ("kind", "kind 3", _sealed(prim.pad(encode([3, b""]), 976))),
        ("more", "a field too many", _sealed(prim.pad(encode([1, b"", 0]), 976))),
        ("part", "data of another part", _sealed(prim.pad(encode([2, list(first.hashes), 0, second.data]), 16_336))),
        (
            "place",
            "a part beyond its whole",
            _sealed(prim.pad(encode([2, list(first.hashes), 2, second.data]), 16_336)),
        ),
    ):
        yield f"group-item-bad-{name}", refused("group-item", about, epoch=EPOCH, secret=SECRET, items=[data.hex()])
    nested = encode([2, *first.fields()])
    cut = parts.cut(nested, 10_000)
    sealed = tuple(_sealed(prim.pad(encode([2, *part.fields()]), 16_336)) for part in cut)
    yield (
        "group-item-bad-nested",
        refused("group-item", "parts of a part", epoch=EPOCH, secret=SECRET, items=[one.hex() for one in sealed]),
    )


def _sealed(padded: bytes, secrets: EpochSecrets = SECRETS) -> bytes:
    return secrets.tag + prim.seal(secrets.header, padded, secrets.tag + EPOCH, bytes(24))


def newcomers() -> Iterator[tuple[str, Vector]]:
    leaf = LEAVES[0].leaf
    pair = b"P" * 32
    keys = welcome.make_join_keys(GROUP, SEEDS[0], leaf, "Dan", pair)
    said = {"group": GROUP, "name": keys.name, "sign": keys.sign, "leaf": keys.leaf, "kem": keys.kem, "pair": pair}
    yield "group-join-ok", vector("group-join", "keys, and the proof", seed=SEEDS[0], **said, proof=keys.proof)
    for name, about, changed in (
        ("name", "another name", {**said, "name": "Eve"}),
        ("group", "for another group", {**said, "group": bytes(32)}),
        ("proof", "the key of somebody else", {**said, "sign": prim.sign_public(SEEDS[1])}),
        ("pair", "sent on by somebody else", {**said, "pair": bytes(32)}),
    ):
        yield f"group-join-bad-{name}", refused("group-join", about, **changed, proof=keys.proof)
    for name, about, broken in (
        ("leaf", "a leaf of small order", Leaf(leaf.member, bytes(32), leaf.kem)),
        ("kem", "an ML-KEM key that is not canonical", leaf._replace(kem=b"\xff" * prim.KEM_PUBLIC)),
    ):
        bad = welcome.make_join_keys(GROUP, SEEDS[0], broken, "Dan", pair)
        fields = {**said, "leaf": bad.leaf, "kem": bad.kem}
        yield f"group-join-bad-{name}", refused("group-join", about, **fields, proof=bad.proof)
    proof = welcome.prove_member(GROUP, SEEDS[0], pair)
    who = {"group": GROUP, "sign": keys.sign}
    yield (
        "group-member-ok",
        vector("group-member", "which member a contact is", **who, seed=SEEDS[0], pair=pair, proof=proof),
    )
    yield "group-member-bad-pair", refused("group-member", "shown to another", **who, pair=bytes(32), proof=proof)
    made = Welcome(GROUP, leaf.member, EPOCH, SECRET, (b"first", b"", b"third"))
    cut = welcome.cut_welcome(made)
    fields = decode(cut[0].data, 1000)
    values = shown([made.group, made.member, made.epoch, made.secret, made.log])
    yield "group-welcome-ok", vector("group-welcome", "in one part", whole=cut[0].data, values=values)
    for name, about, other in (
        ("length", "an event that ends too late", [*fields[:5], b"\0\0\0\6first"]),
        ("version", "version 2", [2, *fields[1:]]),
    ):
        yield f"group-welcome-bad-{name}", refused("group-welcome", about, whole=encode(other))
    yield from _contents(keys, parts.cut(cut[0].data, 100)[1], proof)


def _contents(keys: welcome.JoinKeys, part: parts.Part, proof: bytes) -> Iterator[tuple[str, Vector]]:
    number = MessageId(bytes(range(16)))
    (sealed,) = items.seal_items(EventItem(b"event"), EPOCH, SECRETS, 1024, Chance("content").random)
    place = MessagePlace(EPOCH, LEAVES[0].member, 7)
    for name, payload in (
        ("group-offer", GroupOffer(GROUP, "The group", 9, True, 12)),
        ("group-join", GroupJoin(GROUP, keys, "I am Dan")),
        ("group-welcome", GroupWelcome(part)),
        ("group-item", GroupItem(GROUP, sealed)),
        ("group-member", GroupMember(GROUP, LEAVES[0].member, proof)),
        ("group-history", GroupHistory(part)),
        ("group-refusal", GroupRefusal(GROUP, 1)),
        ("group-ask", GroupAsk(bytes(range(32)))),
        ("group-seen", GroupSeen(GROUP, 2, 3)),
        ("group-want", GroupWant(GROUP, (place, place._replace(number=2**32 - 1)))),
    ):
        one = Content(payload, number, 0, NOW)
        yield (
            f"content-{name}-ok",
            vector(
                "content",
                name,
                message_id=number,
                type=one.type,
                seq=one.seq,
                sent_at=one.sent_at,
                reply_to=None,
                expire_s=0,
                payload=shown(payload.encode()),
                heads=[],
                bytes=encode_content(one),
            ),
        )
    bad_part = replace(part, data=part.data + b"!")
    for name, payload in (
        ("part", GroupWelcome(bad_part)),
        ("item", GroupItem(GROUP, sealed[:-1])),
        ("long-name", GroupOffer(GROUP, "n" * 257, 9, True, 12)),
        ("seen", GroupSeen(GROUP, 3, 2)),
        ("want", GroupWant(GROUP, (place,) * 65)),
    ):
        raw = encode_content(Content(payload, number, 0, NOW))
        yield f"content-bad-group-{name}", refused("content", f"a group's {name.replace('-', ' ')}", bytes=raw)
