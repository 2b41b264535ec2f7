"""Writes the frozen vectors beside this file: `python -m tests.vectors.generate`.

They pin version 1 of what goes over the wire: a change that makes a test of them fail is another protocol. One file
holds one object; a file with `"refused": true` holds one that must not open, wrong in one way only. Bytes are
hexadecimal. Every random value is drawn from a seeded stream, ML-KEM's by the reference in `tests/core`; what a reader
needs to compute the same (random values in the order drawn, encapsulations) is in the files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from p2pchat.core import descriptors as relays
from p2pchat.core import (
    handshake,
    invite,
    ipns,
    lan,
    logs,
    mailbox,
    names,
    parcel,
    presence,
    punch,
    ratchet,
    record_frames,
)
from p2pchat.core import primitives as prim
from p2pchat.core.channels import bodies, details, links, posts
from p2pchat.core.codec import decode, encode
from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import (
    ContactProfile,
    Delete,
    Edit,
    File,
    Hide,
    Pin,
    Queues,
    Reaction,
    Receipt,
    Report,
    Text,
    Timer,
    Transfer,
    Typing,
    Unknown,
)
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.contents.queues import AnnouncedQueue
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.envelope import BUCKETS, HEADER_BYTES, envelope_id, padded, seal_blob
from p2pchat.core.file_boxes import BoxRelay, SharedBoxes, box_to_read
from p2pchat.core.files import CHUNK_BYTES, MAX_FILE_BYTES, BlobCipher, BlobPlace, blob_name, file_id, list_data
from p2pchat.core.identity import DEVICE_ID, Device, safety_number, sas_words
from p2pchat.core.ids import ContactId, GroupId, MemberId, MessageId, PeerKey, SessionId, WriterKey
from p2pchat.core.invite import Invite, InviteWay, encode_invite, join_tag, to_text
from p2pchat.core.prekeys import PrekeySet, dump_set, make_set, open_bundle
from p2pchat.core.session import file_tag, hello_tag, pair, renew_key
from p2pchat.lib.times import DAY_MS, HOUR_MS
from tests.core.people import LATER, NOW, Chance, flipped, meet, nothing, person
from tests.vectors import groups, membership
from tests.vectors.making import Recorder, Vector, refused, shown, vector

FOLDER = Path(__file__).parent
IPV4 = bytes.fromhex("04c0000201060fa1")  # /ip4/192.0.2.1/tcp/4001


# --- people ------------------------------------------------------------------------------------------------------


def identities() -> Iterator[tuple[str, Vector]]:
    alice, bob = person("vector alice").device, person("vector bob").device
    yield (
        "identity-ok",
        vector(
            "identity",
            "seeds, what they make public, the certificate, and the safety number with another person",
            identity_seed=alice.identity_seed,
            device_private=alice.device_private,
            identity=alice.identity,
            device=alice.device,
            certificate=alice.certificate,
            other=bob.identity,
            safety_number=safety_number(alice.identity, bob.identity),
        ),
    )
    secret = bytes(range(32))
    here, there = PeerKey(b"\x01" * 32), PeerKey(b"\x02" * 32)
    hello = pair(ContactId(b""), SessionId(bytes(32)), secret, alice.identity, bob.identity)
    yield (
        "tags-ok",
        vector(
            "tags",
            "what is derived from an invite's secret and a pair's root (here the same 32 bytes), on day 20,000",
            secret=secret,
            here=here,
            there=there,
            mine=alice.identity,
            theirs=bob.identity,
            invite_key=invite.blob_key(secret),
            invite_hello=invite.hello_key(secret),
            join=join_tag(invite.hello_key(secret), "join", here, there),
            offer=join_tag(invite.hello_key(secret), "offer", here, there),
            hello_mine=hello_tag(hello.ours, here, there, 20_000),
            hello_theirs=hello_tag(hello.theirs, here, there, 20_000),
            file_mine=file_tag(hello.ours, here, there, 20_000),
            file_theirs=file_tag(hello.theirs, here, there, 20_000),
            renew=renew_key(secret),
            words=sas_words(secret),
        ),
    )
    opened = names.relay_pass(there, b"let-me.in")
    yield (
        "names-ok",
        vector(
            "names",
            "the names by which one asks `there`, with the same secrets, on day 20,000, and of a relay with a token",
            secret=secret,
            there=there,
            mine=alice.identity,
            theirs=bob.identity,
            link_mine=names.link_name(hello.ours, there, 20_000),
            link_theirs=names.link_name(hello.theirs, there, 20_000),
            file_mine=names.file_name(hello.ours, there, 20_000),
            file_theirs=names.file_name(hello.theirs, there, 20_000),
            join=names.join_name(invite.hello_key(secret), there),
            token="let-me.in",
            mailbox=names.mailbox_name(there, b"let-me.in"),
            relay_pass=opened,
            hop=names.hop_name(opened),
            path=names.web_path(opened),
        ),
    )
    source = bytes(10) + b"\xff\xff" + bytes([192, 168, 1, 5])
    key, salt = lan.day_key(hello.ours, 20_000), bytes(range(lan.SALT))
    packet = lan.announce(salt, source, [key], lan.Answering(4001, there), Recorder("vector lan").random)
    announced: Vector = {"source": source, "key": key, "port": 4001, "peer": there, "packet": packet}
    yield "lan-ok", vector("lan", "an announcement from 192.168.1.5, and what is in its only slot", **announced)
    repeated, cut = {"source": source[:-1] + b"\6"}, {"packet": packet[1:]}
    yield "lan-bad-source", refused("lan", "sent again from another address", **announced | repeated)
    yield "lan-bad-size", refused("lan", "one byte too short", **announced | cut)
    slot = presence.slot(hello.ours, 20_000)
    said = presence.Whereabouts(MessageId(bytes(range(16))), ((there, IPV4),), None)
    recorder = Recorder("vector presence")
    record = presence.make(slot, said, alice.identity_seed, 40_000, recorder.random)
    meeting: Vector = {"key": hello.ours, "day": 20_000, "identity": alice.identity, "now": 20_000 * DAY_MS}
    told: Vector = {"public": slot.public, "seal_key": slot.key, "id": said.id, "peer": there, "address": IPV4}
    yield (
        "presence-ok",
        vector("presence", "where one is, on day 20,000", **meeting, **told, record=record.raw),
    )
    by_other = presence.make(slot, said, bob.identity_seed, 40_000, Recorder("vector presence").random)
    for name, about, changes in (
        ("signer", "signed by the other of the two", {"record": by_other.raw}),
        ("day", "looked for on another day", {"day": 20_001}),
        ("late", "two days later", {"now": 20_002 * DAY_MS}),
    ):
        yield f"presence-bad-{name}", refused("presence", about, **meeting | told | {"record": record.raw} | changes)
    envelope = Recorder("vector parcel").random(BUCKETS[0])
    whole = b"".join(parcel.packed(salt, {hello.ours: [envelope]}, Recorder("vector parcel decoys").random))
    head, tags = whole[: parcel.HEADER_BYTES], parcel.tag_key(hello.ours, salt)
    one = {"salt": salt, "key": hello.ours, "header": head, "counts": [4, 0, 0], "bytes": len(whole)}
    names_in_it = {"first": parcel.tag(tags, 0), "second": parcel.tag(tags, 1)}
    yield (
        "parcel-ok",
        vector("parcel", "a parcel with one small envelope: its header, and two tags", **one, **names_in_it),
    )
    for name, about, bad in (
        ("magic", "another first letter", b"P" + head[1:]),
        ("count", "five entries, which is no power of two", head[:32] + b"\0\5" + head[34:]),
        ("few", "two entries", head[:32] + b"\0\2" + head[34:]),
        ("large", "more than 64 MiB", head[:36] + b"\x10\0"),
    ):
        yield f"parcel-bad-{name}", refused("parcel", about, **one | {"header": bad}, **names_in_it)


# --- IPNS records ------------------------------------------------------------------------------------------------

# written by ipns 10.1.6 of js, with the same seed: createIPNSRecord(key, "/ipfs/bafkqaaa", 7n, 86400000)
OF_JS = (
    "42405a99ef6a4500c447a1dcf89205e1c8873882a5bf023f23ddc3ebb16a30a88605c7e6a0a2d10706ee73da24a29944843812545ad58b84"
    "3c835dd08ecc5cb0820a4a64a56354544c1b00000045d964b8006556616c75654e2f697066732f6261666b716161616853657175656e6365"
    "076856616c6964697479581e323032362d31312d33305432313a33333a30372e3634303030303030305a6c56616c69646974795479706500"
)


def ipns_records() -> Iterator[tuple[str, Vector]]:
    seed = bytes(range(32))
    end = NOW + 2 * DAY_MS
    made = ipns.make(seed, 7, end, b"sealed" * 4)
    said: Vector = {"key": made.routing_key, "now": NOW, "sequence": 7}
    ours: Vector = said | {"expires_at": end, "ttl_ns": 300_000_000_000, "value": made.value, "sealed": made.sealed}
    fields = {"seed": seed, "record": made.raw} | ours
    yield "ipns-ok", vector("ipns", "the record with the sequence 7 of a key", **fields)
    theirs = bytes.fromhex(OF_JS)
    of_js: Vector = {"record": theirs, "sealed": b"", "now": 1_796_000_000_000, "expires_at": 1_796_074_387_640}
    yield "ipns-js-ok", vector("ipns", "a record that another implementation wrote", **ours | of_js)
    data = made.raw[69:]

    def signed(changed: bytes) -> bytes:
        signature = prim.sign_plain(seed, b"ipns-signature:" + changed)
        return b"\x42\x40" + signature + b"\x4a" + bytes([0x80 | len(changed) & 0x7F, len(changed) >> 7]) + changed

    assert signed(data) == made.raw
    ttl = data[data.index(b"cTTL") : data.index(b"eValue")]
    for name, about, change in (
        ("signature", "another signature", {"record": flipped(made.raw, 10)}),
        ("key", "of another key", {"key": ipns.routing_key(prim.sign_public(b"\1" * 32))}),
        ("key-kind", "under a key that is not an Ed25519 key's", {"key": b"/ipns/" + b"\x12\x20" + bytes(36)}),
        ("expired", "when it ends", {"now": end}),
        ("v1", "with a field of V1", {"record": made.raw + b"\x28\7"}),
        ("order", "TTL after Value", {"record": signed(data.replace(ttl, b"").replace(b"hSeq", ttl + b"hSeq"))}),
        ("twice", "a field twice", {"record": signed(b"\xa7" + data[1:].replace(ttl, ttl + ttl))}),
        ("long", "a number in a longer form", {"record": signed(data.replace(b"Sequence\7", b"Sequence\x18\7"))}),
        ("more", "a byte after the map", {"record": signed(data + b"\0")}),
        ("type", "a validity of another type", {"record": signed(data[:-1] + b"\1")}),
        ("date", "ends on the 30th of February", {"record": signed(data.replace(b"2027-01-17", b"2027-02-30"))}),
        ("none", "without a sequence", {"record": signed(b"\xa5" + data[1:].replace(b"hSequence\7", b""))}),
    ):
        yield f"ipns-bad-{name}", refused("ipns", about, **fields | change)


# --- invites -----------------------------------------------------------------------------------------------------


def invites() -> Iterator[tuple[str, Vector]]:
    one = Invite(0, b"\xaa" * 32, b"\xbb" * 16, LATER, (InviteWay(PeerKey(bytes(range(32))), IPV4, 0),), None)
    lasting = replace(
        one, kind=1, secret=b"\xcc" * 32, name="مریم", ways=(*one.ways, InviteWay(PeerKey(b"\1" * 32), IPV4, 1))
    )
    lasting = replace(lasting, writer=b"\xdd" * 32)
    by_relay = replace(
        one,
        writer=b"\xee" * 32,
        ways=(InviteWay(PeerKey(b"\1" * 32), IPV4, 1, b"let me in"), InviteWay(PeerKey(b"\2" * 32), IPV4, 1)),
    )
    for name, about, which in (
        ("ok", "one-time, one way, no name", one),
        ("reusable-ok", "reusable, two ways, a name", lasting),
        ("group-ok", "to a group, named as that", replace(lasting, kind=2, name="The group")),
        ("relays-ok", "one-time, by two relays, of which one wants a token", by_relay),
    ):
        data = encode_invite(which)
        yield (
            f"invite-{name}",
            vector(
                "invite",
                about,
                text=to_text(data),
                bytes=data,
                kind=which.kind,
                digest=which.digest,
                secret=which.secret,
                expires_at=which.expires_at,
                ways=[
                    [way.peer.hex(), way.address.hex(), way.role, *([way.token.hex()] if way.token else [])]
                    for way in which.ways
                ],
                name=which.name,
                writer=which.writer,
            ),
        )
    good = encode_invite(one)
    fields = decode(good, invite.MAX_INVITE)[:-1]
    text = to_text(good)

    def checked(*changed: object) -> str:
        unchecked = encode([*changed, bytes(4)])[:-4]
        return to_text(unchecked + invite.check_bytes(unchecked))

    longer = good[:3].replace(b"\x98\x01\x00", b"\x98\x01\xcc") + b"\0" + good[3:-4]
    assert longer[2:4] == b"\xcc\0"
    yield "invite-bad-checksum", refused("invite", "the checksum is of other bytes", text=to_text(flipped(good, -1)))
    yield "invite-bad-letter", refused("invite", "one letter of the text is another", text=text[:99] + "7" + text[100:])
    yield "invite-bad-end", refused("invite", "the last letter is missing", text=text[:-1])
    yield "invite-bad-version", refused("invite", "version 2", text=checked(2, *fields[1:]))
    yield "invite-bad-kind", refused("invite", "kind 4", text=checked(1, 4, *fields[2:]))
    yield "invite-bad-secret", refused("invite", "a reusable one with 16 bytes", text=checked(1, 1, *fields[2:]))
    for name, about, way in (
        ("token", "a token for the inviter's node", [b"\1" * 32, IPV4, 0, b"let me in"]),
        ("no-token", "an empty token", [b"\1" * 32, IPV4, 1, b""]),
        ("long-token", "a token of 65 bytes", [b"\1" * 32, IPV4, 1, bytes(65)]),
        ("way", "a way with a field too many", [b"\1" * 32, IPV4, 1, b"let me in", 0]),
    ):
        yield f"invite-bad-{name}", refused("invite", about, text=checked(*fields[:5], [way], *fields[6:]))
    yield "invite-bad-more", refused("invite", "a field too many", text=checked(*fields, 0))
    yield (
        "invite-bad-writer",
        refused("invite", "the writer of a box where no way is a relay", text=checked(*fields, b"\xee" * 32)),
    )
    yield (
        "invite-bad-canonical",
        refused("invite", "kind 0 written in two bytes", text=to_text(longer + invite.check_bytes(longer))),
    )


# --- bundles and first messages ----------------------------------------------------------------------------------


def bundles() -> Iterator[tuple[str, Vector]]:
    bob, eve = person("vector bob").device, person("vector eve").device
    for name, one_time in (("one-time", True), ("lasting", False)):
        recorder = Recorder(f"vector {name} bundle")
        prekeys = make_set(bob, LATER, one_time=one_time, random=recorder.random)
        yield (
            f"bundle-{name}-ok",
            vector(
                "bundle",
                f"a {name} bundle, and the random values it was made of",
                identity_seed=bob.identity_seed,
                device_private=bob.device_private,
                not_after=LATER,
                one_time=one_time,
                random=recorder.drawn,
                bundle=prekeys.bundle,
                digest=open_bundle(prekeys.bundle).digest,
            ),
        )
    body, signature = decode(prekeys.bundle, 4000)
    fields = decode(body, 4000)

    def signed(changes: dict[int, Any], by: Device = bob, *more: object) -> bytes:
        packed = encode([changes.get(at, value) for at, value in enumerate(fields)] + list(more))
        return encode([packed, prim.sign(by.identity_seed, "bundle", packed)])

    yield "bundle-bad-signature", refused("bundle", "a bit", bundle=encode([body, flipped(signature, 100)]))
    yield "bundle-bad-signer", refused("bundle", "signed by another", bundle=signed({}, eve))
    yield "bundle-bad-certificate", refused("bundle", "another's device", bundle=signed({3: eve.device}))
    yield "bundle-bad-version", refused("bundle", "version 2", bundle=signed({0: 2}))
    yield "bundle-bad-suite", refused("bundle", "suite 2 only", bundle=signed({1: [2]}))
    yield "bundle-bad-kem", refused("bundle", "no ML-KEM key", bundle=signed({9: None}))
    yield "bundle-bad-client", refused("bundle", "for a newer program", bundle=signed({13: 2}))
    yield "bundle-bad-more", refused("bundle", "a field too many", bundle=signed({}, bob, 0))


def initials() -> Iterator[tuple[str, Vector]]:
    made: dict[bool, tuple[Device, Device, PrekeySet, bytes]] = {}
    for name, one_time in (("one-time", True), ("lasting", False)):
        alice, bob = person("vector alice").device, person("vector bob").device
        prekeys = make_set(bob, LATER, one_time=one_time, random=Chance(f"vector {name} set").random)
        recorder = Recorder(f"vector {name} initial")
        opened, message = handshake.initiate(alice, open_bundle(prekeys.bundle), b"hello", NOW, recorder.entropy)
        made[one_time] = (alice, bob, prekeys, message)
        yield (
            f"initial-{name}-ok",
            vector(
                "initial",
                f"a first message to a {name} bundle, and the random values it was made of",
                initiator=[alice.identity_seed.hex(), alice.device_private.hex()],
                receiver=[bob.identity_seed.hex(), bob.device_private.hex()],
                prekeys=dump_set(prekeys),
                random=recorder.drawn,
                encapsulations=recorder.encapsulations,
                now=NOW,
                message=message,
                content=b"hello",
                session_id=opened.session_id,
                pair_root=opened.pair_root,
                sas=opened.sas,
                words=sas_words(opened.sas),
                state=ratchet.dump(opened.ratchet),
            ),
        )
    alice, bob, prekeys, message = made[True]
    eve = person("vector eve").device
    fields = decode(message, BUCKETS[-1])
    low = prim.sign(alice.identity_seed, "devcert", encode([alice.identity, DEVICE_ID, bytes(32)]))
    eves = prim.sign(eve.identity_seed, "devcert", encode([eve.identity, DEVICE_ID, alice.device]))
    for name, about, changes in (
        ("version", "version 2", {0: 2}),
        ("suite", "suite 2", {1: 2}),
        ("certificate", "a bit of the certificate", {4: flipped(fields[4], 9)}),
        ("device", "a device key of small order, rightly certified", {3: bytes(32), 4: low}),
        ("identity", "another's identity, which certified the device as its own", {2: eve.identity, 4: eves}),
        ("ephemeral", "an ephemeral key of small order", {6: bytes(32)}),
        ("kem", "a bit of the ciphertext", {7: flipped(fields[7], 9)}),
        ("downgrade", "both one-time keys left out", {10: None, 11: None}),
        ("classical", "the one-time ML-KEM key left out", {11: None}),
        ("header", "a bit of the header", {12: flipped(fields[12], 999)}),
        ("body", "a bit of the body", {13: flipped(fields[13], 300)}),
    ):
        changed = encode([changes.get(at, value) for at, value in enumerate(fields)])
        yield (
            f"initial-bad-{name}",
            refused(
                "initial",
                about,
                receiver=[bob.identity_seed.hex(), bob.device_private.hex()],
                prekeys=dump_set(prekeys),
                message=changed,
            ),
        )


# --- envelopes ---------------------------------------------------------------------------------------------------


def blobs() -> Iterator[tuple[str, Vector]]:
    key = bytes(range(32))
    recorder = Recorder("vector blob")
    blob = seal_blob(key, b"content", recorder.random)
    yield "blob-ok", vector("blob", "a sealed bucket", key=key, random=recorder.drawn, content=b"content", blob=blob)
    bare = BUCKETS[0] - prim.NONCE_BYTES - prim.TAG_BYTES
    short = prim.seal(key, prim.pad(b"content", bare - 1), b"", bytes(24))
    yield "blob-bad-tag", refused("blob", "a bit", key=key, blob=flipped(blob, -1))
    yield "blob-bad-key", refused("blob", "another key", key=flipped(key, 0), blob=blob)
    yield "blob-bad-size", refused("blob", "a byte short of a bucket, rightly sealed", key=key, blob=short)
    yield "blob-bad-padding", refused("blob", "no padding", key=key, blob=prim.seal(key, bytes(bare), b"", bytes(24)))


def conversation() -> Iterator[tuple[str, Vector]]:
    both = meet("vector conversation", frozen=True)
    recorder = Recorder("vector conversation")
    ad = both.alice.live.session_id
    states = {"alice": both.alice.live.ratchet, "bob": both.bob.live.ratchet}
    skipped: dict[str, dict[tuple[int, int], bytes]] = {"alice": {}, "bob": {}}
    steps: list[Vector] = []
    envelopes: list[bytes] = []
    start = {name: ratchet.dump(state).hex() for name, state in states.items()}
    script = "bob 0, alice 1, alice 2, alice 3, >0 alice, >3 bob, >1 bob, alice 4, bob 5, >4 bob, bob 6, >5 alice, "
    script += "alice 7, >7 bob, >2 bob, bob 8, >8 alice, >6 alice"
    for step in script.split(", "):
        first, second = step.split(" ")
        if first.startswith(">"):
            found = ratchet.decrypt(
                states[second],
                envelopes[int(first[1:])],
                ad,
                lambda *which, who=second: skipped[who].get(which),
                recorder.entropy,
            )
            states[second] = found.state
            skipped[second].update({(chain, number): key for chain, number, key in found.skipped})
            steps.append({"open": int(first[1:]), "by": second, "text": found.plaintext.decode()})
        else:
            text = f"message {second}"
            states[first], sealed = ratchet.encrypt(states[first], text.encode(), ad, recorder.random)
            envelopes.append(sealed)
            steps.append({"send": text, "by": first, "sealed": sealed.hex()})
    yield (
        "ratchet-conversation",
        vector(
            "conversation",
            "header || body of nine messages, in both directions, one late by two chains; the text is not padded",
            ad=ad,
            start=start,
            steps=steps,
            end={name: ratchet.dump(state).hex() for name, state in states.items()},
            random=recorder.drawn,
            encapsulations=recorder.encapsulations,
        ),
    )


def messages() -> Iterator[tuple[str, Vector]]:
    both = meet("vector message", frozen=True)
    envelope = both.alice.seal(b"content")
    fields = {"session_id": both.alice.live.session_id, "state": ratchet.dump(both.bob.live.ratchet)}
    yield "envelope-ok", vector("envelope", "a whole envelope", **fields, envelope=envelope, content=b"content")

    def bad(name: str, about: str, sealed: bytes) -> tuple[str, Vector]:
        return f"envelope-bad-{name}", refused("envelope", about, **fields, envelope=sealed)

    state = both.alice.live.ratchet
    far = replace(state, sent=ratchet.MAX_SKIPPED + 2)
    again = both.alice.seal(b"other")
    body = padded(b"content")
    random = Chance("vector bad").random
    yield bad("header", "a bit of the header", flipped(envelope, 5000))
    yield bad("body", "a bit of the body", flipped(envelope, 8 * 4000))
    yield bad("parts", "header of one, body of another", envelope[:HEADER_BYTES] + again[HEADER_BYTES:])
    yield bad(
        "size",
        "a byte short of a bucket, rightly sealed",
        ratchet.encrypt(state, body[:-1], fields["session_id"], random)[1],
    )
    yield bad("padding", "no padding", ratchet.encrypt(state, bytes(len(body)), fields["session_id"], random)[1])
    yield bad("jump", "a number 20,001 ahead", ratchet.encrypt(far, body, fields["session_id"], random)[1])
    yield bad("transcript", "another transcript", ratchet.encrypt(state, body, bytes(32), random)[1])
    opened = ratchet.decrypt(both.bob.live.ratchet, envelope, fields["session_id"], nothing, both.bob.chance.entropy)
    fields["state"] = ratchet.dump(opened.state)
    yield bad("replay", "it was opened before", envelope)
    fields["state"] = ratchet.dump(state)
    yield bad("mirror", "it comes back to its sender", envelope)


# --- contents ----------------------------------------------------------------------------------------------------


def contents() -> Iterator[tuple[str, Vector]]:
    number, other = MessageId(bytes(range(16))), MessageId(bytes(16))
    said = Content(Text("سلام 👩‍💻\n"), number, 1, NOW, reply_to=MessageId(bytes(16)), expire_s=60, heads=(bytes(8),))
    receipt = Content(Receipt(0, (number, MessageId(bytes(16)))), number, 0, NOW)
    profile = Content(ContactProfile("Alice", True, ((PeerKey(bytes(32)), IPV4),)), number, 0, NOW)
    queues = (
        AnnouncedQueue(PeerKey(b"\1" * 32), IPV4, b"let me in", b"\2" * 32, b"\3" * 32, LATER * 1000),
        AnnouncedQueue(PeerKey(b"\4" * 32), IPV4, b"", b"\5" * 32, b"\6" * 32, LATER * 1000),
    )
    told = Content(Queues(queues), number, 0, NOW)
    described = Content(Queues(queues[:1], (b"\x92 a descriptor, which is checked later",)), number, 0, NOW)
    whole = ContactProfile("Alice", True, ((PeerKey(bytes(32)), IPV4),), queues)
    answer = Content(Text("ja", "سلام"), number, 2, NOW, reply_to=other)
    anna = MentionedMember(MemberId(bytes(range(8))), "anna")
    edit = Content(Edit(number, "سلام 👩‍💻"), other, 0, NOW, expire_s=60)
    photo = File(1, "a.png", "image/png", 70_000, bytes(range(32)), b"r" * 32, 640, 480, 0, b"\xff\xd8\xff\xd9", "🦆")
    voice = File(2, "note.opus", "", 1, bytes(range(32)), b"r" * 32, 0, 0, 1_500, bytes(range(64)))
    shared = SharedBoxes(b"p" * 32, (BoxRelay(PeerKey(b"\1" * 32), IPV4, b"let me in"),))
    later = Content(Unknown(200, ("of a newer client",)), number, 7, NOW)
    for name, one in (
        ("text", said),
        ("receipt", receipt),
        ("profile", profile),
        ("queues", told),
        ("queues-relays", described),
        ("profile-queues", replace(profile, payload=whole)),
        ("newer", later),
        ("reply", answer),
        ("edit", edit),
        ("text-mentions", Content(Text("@anna hi", "", (anna,)), other, 3, NOW)),
        ("edit-mentions", Content(Edit(number, "@anna hi", (anna,)), other, 0, NOW)),
        ("delete", Content(Delete(number, 1), other, 0, NOW)),
        ("reaction", Content(Reaction(number, 0, "👩🏻‍❤️‍💋‍👩🏽"), other, 0, NOW)),
        ("reaction-none", Content(Reaction(number, 1, ""), other, 0, NOW)),
        ("typing", Content(Typing(True), other, 0, NOW)),
        ("timer", Content(Timer(3600), other, 3, NOW)),
        ("pin", Content(Pin(number, 0, True), other, 0, NOW)),
        ("hide", Content(Hide(number, MemberId(bytes(range(8))), "spam €"), other, 0, NOW)),
        ("report", Content(Report(bytes(range(32)), ((MemberId(bytes(range(8))), bytes(360)),)), other, 0, NOW)),
        ("file", Content(photo, other, 4, NOW, reply_to=number, expire_s=60)),
        ("file-voice", Content(voice, other, 5, NOW)),
        ("file-group", Content(replace(photo, boxes=shared), other, 6, NOW)),
        ("file-mentions", Content(replace(photo, caption="@anna", boxes=shared, mentions=(anna,)), other, 6, NOW)),
        ("file-newer", Content(replace(photo, form=255, size=MAX_FILE_BYTES), other, 6, NOW)),
        ("transfer", Content(Transfer(number, TransferNews.WITHDRAWN), other, 0, NOW)),
        ("transfer-newer", Content(Transfer(number, 255), other, 0, NOW)),
    ):
        payload = None if one is later else shown(one.payload.encode())
        yield (
            f"content-{name}-ok",
            vector(
                "content",
                f"type {one.type}",
                bytes=encode_content(one),
                type=one.type,
                message_id=one.message_id,
                seq=one.seq,
                sent_at=one.sent_at,
                reply_to=None if one.reply_to is None else one.reply_to.hex(),
                expire_s=one.expire_s,
                heads=[head.hex() for head in one.heads],
                payload=payload,
            ),
        )
    fields = [1, Text.KIND.number, number, 1, NOW, None, 0, ["hi"], []]
    for name, about, at, value in (
        ("version", "version 2", 0, 2),
        ("id", "an id of 15 bytes", 2, number[:15]),
        ("seq", "a text without a place in the chat", 3, 0),
        ("time", "a time beyond any calendar", 4, (1 << 53) + 1),
        ("text", "a text of 48,001 bytes", 7, ["x" * 48_001]),
        ("payload", "bytes for a text", 7, [b"hi"]),
        ("heads", "five heads", 8, [bytes(8)] * 5),
        ("map", "a map", 7, [{}]),
    ):
        changed = encode([value if at == place else field for place, field in enumerate(fields)])
        yield f"content-bad-{name}", refused("content", about, bytes=changed)
    way = [bytes(32), IPV4]
    queue = [*way, b"", b"\2" * 32, b"\3" * 32, NOW]
    for name, about, kind, payload in (
        ("queue", "a queue without a time", Queues.KIND.number, [[queue[:-1]]]),
        ("queue-more", "a queue with a field too many", Queues.KIND.number, [[[*queue, 0]]]),
        ("queue-token", "a token of 65 bytes", Queues.KIND.number, [[[*way, bytes(65), *queue[3:]]]]),
        ("queue-time", "a queue that is read for ever", Queues.KIND.number, [[[*queue[:-1], (1 << 53) + 1]]]),
        ("queues", "five queues", Queues.KIND.number, [[queue] * 5]),
        ("queues-relays", "a descriptor of 1,025 bytes", Queues.KIND.number, [[queue], [bytes(1025)]]),
        ("text-mention", "a mention without words", Text.KIND.number, ["@anna", "", [[bytes(8)]]]),
        ("text-mentions", "17 mentions", Text.KIND.number, ["@a", "", [[bytes(8), "a"]] * 17]),
        ("edit-mention", "words of 161 bytes", Edit.KIND.number, [number, "@a", [[bytes(8), "a" * 161]]]),
        ("edit", "an edit without a text", Edit.KIND.number, [number]),
        ("delete", "a delete of number 0", Delete.KIND.number, [number, 0]),
        ("reaction", "two emoji", Reaction.KIND.number, [number, 0, "👍👍"]),
        ("reaction-word", "a letter", Reaction.KIND.number, [number, 0, "a"]),
        ("reaction-flag", "a flag of hidden letters", Reaction.KIND.number, [number, 0, "🏴\U000e0061\U000e007f"]),
        ("typing", "a number for a boolean", Typing.KIND.number, [1]),
        ("timer", "a timer without a place in the chat", Timer.KIND.number, [60]),
        ("hide", "a reason of 257 bytes", Hide.KIND.number, [number, bytes(8), "x" * 257]),
        ("hide-member", "a member of 7 bytes", Hide.KIND.number, [number, bytes(7), ""]),
        ("report-box", "a box of 359 bytes", Report.KIND.number, [bytes(32), [[bytes(8), bytes(359)]]]),
        ("report-many", "for 17 members", Report.KIND.number, [bytes(32), [[bytes(8), bytes(360)]] * 17]),
        ("pin", "a pin without an author", Pin.KIND.number, [number, True]),
        ("transfer", "a transfer without a state", Transfer.KIND.number, [number]),
        ("transfer-state", "a transfer with state 256", Transfer.KIND.number, [number, 256]),
        ("file-seq", "a file without a place in the chat", File.KIND.number, photo.encode()),
        (
            "profile-queues",
            "a profile with a text for queues",
            ContactProfile.KIND.number,
            ["Alice", True, [way], "queues"],
        ),
    ):
        changed = encode([1, kind, number, 0, *fields[4:7], payload, []])
        yield f"content-bad-{name}", refused("content", about, bytes=changed)
    wrong: tuple[tuple[str, str, int, Any], ...] = (
        ("form", "a form of 256", 0, 256),
        ("name", "no name", 1, ""),
        ("long-name", "a name of 256 bytes", 1, "€" * 85 + "x"),
        ("media", "a media type of 81 bytes", 2, "m" * 81),
        ("size", "more than 2^36 bytes", 3, MAX_FILE_BYTES + 1),
        ("key", "a key of 31 bytes", 4, bytes(31)),
        ("root", "a root of 16 bytes", 5, bytes(16)),
        ("width", "a width of 17 bits", 6, 1 << 16),
        ("duration", "a duration of 33 bits", 8, 1 << 32),
        ("preview", "a preview of 6,145 bytes", 9, bytes(6_145)),
        ("caption", "a caption of 4,097 bytes", 10, "x" * 4_097),
        ("missing", "nothing for the caption", 10, None),
    )
    for name, about, at, value in wrong:
        payload = [value if at == place else field for place, field in enumerate(photo.encode())]
        changed = encode([1, File.KIND.number, number, 4, NOW, None, 0, payload, []])
        yield f"content-bad-file-{name}", refused("content", about, bytes=changed)
    for name, about, boxes in (
        ("boxes", "one relay twice", replace(shared, relays=shared.relays * 2)),
        ("boxes-put", "a put key of 31 bytes", replace(shared, put=bytes(31))),
    ):
        changed = encode([1, File.KIND.number, number, 4, NOW, None, 0, replace(photo, boxes=boxes).encode(), []])
        yield f"content-bad-file-{name}", refused("content", about, bytes=changed)
    unnamed = [*photo.encode(), None, [[bytes(8)]]]
    changed = encode([1, File.KIND.number, number, 4, NOW, None, 0, unnamed, []])
    yield "content-bad-file-mention", refused("content", "a mention without words", bytes=changed)
    good = encode(fields)
    yield "content-bad-end", refused("content", "a byte too many", bytes=good + b"\0")
    yield "content-bad-canonical", refused("content", "type 0 in two bytes", bytes=good[:2] + b"\xcc" + good[2:])


# --- files -------------------------------------------------------------------------------------------------------


def files() -> Iterator[tuple[str, Vector]]:
    """Blobs are too long to be here: a vector says what is sealed, and the name that the result has."""
    key, pattern = bytes(range(32)), bytes(range(251))
    for name, about, size in (
        ("ok", "two chunks and the list that is their root", CHUNK_BYTES + 10),
        ("one-ok", "one chunk, which is full and is the root", CHUNK_BYTES),
        ("empty-ok", "an empty file has one chunk without data", 0),
    ):
        cipher, data = BlobCipher(key, size), (pattern * (size // 251 + 1))[:size]
        level = [data[at : at + CHUNK_BYTES] for at in range(0, max(1, size), CHUNK_BYTES)]
        names = []
        for height in range(len(cipher.layout.counts)):
            blobs = [cipher.seal(BlobPlace(height, number), part) for number, part in enumerate(level)]
            names.append([blob_name(blob) for blob in blobs])
            level = list_data(names[-1])
        yield (
            f"file-{name}",
            vector(
                "file",
                f"{about}; the file is the pattern, repeated",
                key=key,
                size=size,
                pattern=pattern,
                names=[[each.hex() for each in of_level] for of_level in names],
                root=names[-1][0],
                file=file_id(key, names[-1][0]),
            ),
        )
    size = 2 * CHUNK_BYTES + 10
    good = {"level": 0, "number": 2, "data": pattern[:10], "end": b"\x80", "sealed_at": [0, 2], "size": size}
    for name, about, changed in (
        ("blob-ok", "the last chunk: data, the end, zeros up to 65,520 bytes", {}),
        ("bad-place", "it is another chunk of this file", {"sealed_at": [0, 1]}),
        ("bad-level", "it is a list", {"sealed_at": [1, 2]}),
        ("bad-size", "it is of a file of another size", {"size_sealed": size + 1}),
        ("bad-key", "it is of a file with another key", {"key_sealed": bytes(32)}),
        ("bad-padding", "its padding has no end", {"end": b""}),
        ("bad-padding-more", "something is behind its end", {"end": b"\x80\x01"}),
        ("bad-short", "a byte of its data is missing", {"data": pattern[:9]}),
        ("bad-long", "it has a byte too many", {"data": pattern[:11]}),
        ("bad-name", "it has another name", {"name": bytes(32)}),
        ("bad-tag", "its tag is wrong", {"flip": 65_535}),
        ("bad-beyond", "the file has no such chunk", {"number": 3, "sealed_at": [0, 3]}),
    ):
        fields = {**good, "key": key, "key_sealed": key, "size_sealed": size, "flip": None, "name": b"", **changed}
        fields["name"] = fields["name"] or blob_name(sealed_blob(fields))
        yield f"file-{name}", (refused if name.startswith("bad") else vector)("file-blob", about, **fields)


def sealed_blob(fields: Vector) -> bytes:
    """Return the 65,536 bytes that a vector of a blob describes, right or wrong."""
    key, data, end = (raw(fields[name]) for name in ("key_sealed", "data", "end"))
    level, number = fields["sealed_at"]
    nonce = bytes([level, 0, 0, 0]) + number.to_bytes(8, "big")
    padded_data = (data + end).ljust(CHUNK_BYTES + 1, b"\0")
    cipher = prim.ShortNonceCipher(prim.hkdf(key, "file blob", 32))
    blob = bytearray(cipher.encrypt(nonce, padded_data, fields["size_sealed"].to_bytes(8, "big")))
    if fields["flip"] is not None:
        blob[fields["flip"]] ^= 1
    return bytes(blob)


def raw(value: bytes | str) -> bytes:
    """A value of a vector, as it is here or as the file has it."""
    return bytes.fromhex(value) if isinstance(value, str) else value


# --- mailboxes ---------------------------------------------------------------------------------------------------


def mailboxes() -> Iterator[tuple[str, Vector]]:
    fetch, put, secret = (bytes((value,)) * 32 for value in (1, 2, 3))
    keys = prim.sign_public(fetch), prim.sign_public(put)
    queue, box, invited, files = (
        mailbox.Queue(*keys, flags) for flags in (0, mailbox.BOX, mailbox.STAMPED, mailbox.FILES)
    )
    hello = mailbox.Hello(
        PeerKey(b"\xaa" * 32),
        b"\xbb" * 32,
        8,
        720,
        16_384,
        1 << 26,
        forgets=True,
        file_bytes=1 << 29,
        file_hours=168,
        log_bytes=1 << 26,
        log_hours=336,
    )
    yield (
        "queue-ok",
        vector(
            "queue",
            "the names of a queue, a box, an open queue and a file box with the same keys; the seeds of an invite's",
            fetch_seed=fetch,
            put_seed=put,
            fetch=queue.fetch,
            put=queue.put,
            qid=[one.id.hex() for one in (queue, box, invited, files)],
            secret=secret,
            box_fetch_seed=mailbox.invite_box(secret),
            put_seed_of_invite=mailbox.invite_put(secret),
        ),
    )
    for name, about, whose in (
        ("ok", "what lies in the box of an invite", b"an invite"),
        ("bad-invite", "of another", b"!"),
    ):
        signature = invite.sign_box(secret, b"an invite", b"a bundle", queue.fetch)
        fields = {"identity": prim.sign_public(secret), "invite": whose, "bundle": b"a bundle", "fetch": queue.fetch}
        make = vector if name == "ok" else refused
        yield f"box-{name}", make("box", about, signature=signature, **fields)
    for name, about, reason in (("ok", "in the box of a revoked invite", 2), ("bad-reason", "for another reason", 1)):
        signature = invite.sign_closed(put, b"an invite", 2)
        made = (vector if name == "ok" else refused)("closed", about, writer=queue.put, invite=b"an invite")
        yield f"closed-{name}", {**made, "reason": reason, "signature": signature.hex()}
    said = mailbox.encode_hello(hello)
    opens = {
        role: mailbox.Open(7, role, queue, mailbox.sign_open(seed, role, hello, queue))
        for role, seed in ((mailbox.TO_PUT, put), (mailbox.TO_FETCH, fetch))
    }
    for role, opening in opens.items():
        body = mailbox.encode_open(opening)
        about = "to fetch" if role else "to deposit"
        yield f"opening-{role}-ok", vector("opening", about, hello=said, seed=fetch if role else put, body=body)
    one = opens[mailbox.TO_PUT]
    other = mailbox.encode_hello(replace(hello, challenge=bytes(32)))
    for name, about, heard, changed in (
        ("role", "signed to deposit, opened to fetch", said, one._replace(role=mailbox.TO_FETCH)),
        ("key", "signed with the other key", said, opens[mailbox.TO_FETCH]._replace(role=mailbox.TO_PUT)),
        ("flags", "signed for a queue, opened as a box", said, one._replace(queue=box)),
        ("flag", "a flag that means nothing", said, one._replace(queue=queue._replace(flags=8))),
        ("files", "signed for a queue, opened as a file box", said, one._replace(queue=files)),
        ("mixed", "a file box that is open", said, one._replace(queue=queue._replace(flags=6))),
        ("number", "role 2", said, one._replace(role=2)),
        ("challenge", "signed on another stream", other, one),
        ("relay", "signed for another relay", mailbox.encode_hello(replace(hello, relay=PeerKey(bytes(32)))), one),
        ("version", "the hello has version 2", encode([2, *decode(said, 256)[1:]]), one),
        ("bits", "a stamp of 41 bits", mailbox.encode_hello(replace(hello, stamp_bits=41)), one),
    ):
        body = mailbox.encode_open(changed)
        yield f"opening-bad-{name}", refused("opening", about, hello=heard, seed=put, body=body)
    blob = bytes(BUCKETS[0])
    many = [blob[:-1] + bytes((number,)) for number in range(mailbox.NAMES_A_FORGET)]
    stamp = mailbox.make_stamp(hello.relay, invited.id, blob, NOW, 8)
    ours: Vector = {"relay": hello.relay.hex(), "qid": invited.id.hex(), "bits": 8, "stamp": stamp}
    yield "stamp-ok", vector("stamp", "for 4,096 zeros", **ours, now=NOW, blob=blob)
    late = NOW + HOUR_MS
    yield "stamp-late-ok", vector("stamp", "the same an hour later", **ours, now=late, blob=blob)
    for name, about, changes in (
        ("hour", "two hours later", {"now": NOW + 2 * HOUR_MS}),
        ("soon", "an hour too early", {"now": NOW - HOUR_MS}),
        ("queue", "in another queue", {"qid": queue.id.hex()}),
        ("relay", "at another relay", {"relay": bytes(32).hex()}),
        ("blob", "for another blob", {"blob": (b"\1" + blob[1:]).hex()}),
        ("bits", "where 24 bits are asked", {"bits": 24}),
    ):
        yield f"stamp-bad-{name}", refused("stamp", about, **{**ours, "now": NOW, "blob": blob.hex(), **changes})
    frames: dict[str, tuple[int, bytes, Any]] = {
        "hello": (mailbox.HELLO, said, list(vars_of(hello))),
        "opened": (mailbox.OPENED, mailbox.encode_opened(7, mailbox.NOT_ALLOWED), [7, 4]),
        "put": (mailbox.PUT, mailbox.encode_put(mailbox.Put(9, 7, 720, stamp, blob)), [9, 7, 720, stamp, blob]),
        "results": (mailbox.RESULTS, mailbox.encode_results([(9, 0), (10, 1)]), [[9, 0], [10, 1]]),
        "fetch": (
            mailbox.FETCH,
            mailbox.encode_fetch(11, 512, [(7, 1 << 63), (8, 0)]),
            [11, 512, 0, False, [[7, 1 << 63], [8, 0]]],
        ),
        "watch": (
            mailbox.FETCH,
            mailbox.encode_fetch(11, 0, [(7, 1 << 63)], 1, small=True),
            [11, 0, 1, True, [[7, 1 << 63]]],
        ),
        "blob": (mailbox.BLOB, mailbox.encode_blob(mailbox.Blob(7, 1 << 40, blob)), [7, 1 << 40, blob]),
        "end": (mailbox.END, mailbox.encode_end(mailbox.End(11, 0, more=True)), [11, 0, True]),
        "delete": (mailbox.DELETE, mailbox.encode_delete(mailbox.Deletion(12, 7, 1 << 40)), [12, 7, 1 << 40]),
        "forget": (
            mailbox.FORGET,
            mailbox.encode_forget(mailbox.Forgetting(13, 7, tuple(map(envelope_id, many)))),
            [13, 7, [envelope_id(one) for one in many]],
        ),
        "put-record": (
            mailbox.PUT_RECORD,
            record_frames.encode_put(record_frames.RecordPut(14, queue.fetch, b"record")),
            [14, queue.fetch, b"record"],
        ),
        "get-record": (
            mailbox.GET_RECORD,
            record_frames.encode_get(record_frames.RecordGet(15, queue.fetch)),
            [15, queue.fetch],
        ),
        "record": (
            mailbox.RECORD,
            record_frames.encode_answer(record_frames.RecordAnswer(15, b"record")),
            [15, b"record"],
        ),
        "have": (
            mailbox.HAVE,
            mailbox.encode_have(mailbox.Having(16, 7, tuple(map(envelope_id, many)))),
            [16, 7, [envelope_id(one) for one in many]],
        ),
        "had": (
            mailbox.HAD,
            mailbox.encode_had(16, 0, [True, False, False, True, *[False] * 251, True]),
            [16, 0, b"\x90" + bytes(30) + b"\1"],
        ),
        "get": (
            mailbox.GET,
            mailbox.encode_get(mailbox.Getting(17, 7, tuple(map(envelope_id, many[: mailbox.NAMES_A_GET])))),
            [17, 7, [envelope_id(one) for one in many[: mailbox.NAMES_A_GET]]],
        ),
    }
    for name, (kind, body, values) in frames.items():
        frame = {"name": name, "type": kind}
        yield f"frame-{name}-ok", vector("frame", f"type {kind}", **frame, body=body, values=shown(values))
    for name, about, body in (
        ("fetch", "more wanted than may be", mailbox.encode_fetch(1, 513, [])),
        ("watch", "more pushed than may be", mailbox.encode_fetch(1, 0, [], 257)),
        ("end", "more is 2", mailbox.encode_end(mailbox.End(1, 0, more=False))[:-1] + b"\2"),
        ("put", "a blob of 4,095 bytes", mailbox.encode_put(mailbox.Put(1, 7, 1, 0, blob[1:]))),
        ("blob", "a blob of 4,097 bytes", mailbox.encode_blob(mailbox.Blob(7, 1, blob + b"\0"))),
        ("results", "none", b""),
        ("opened", "a byte too many", mailbox.encode_opened(7, 0) + b"\0"),
        ("delete", "a byte too few", mailbox.encode_delete(mailbox.Deletion(1, 7, 1))[1:]),
        ("forget", "255 names", mailbox.encode_forget(mailbox.Forgetting(1, 7, (envelope_id(blob),) * 255))),
        ("have", "255 names", mailbox.encode_have(mailbox.Having(1, 7, (envelope_id(blob),) * 255))),
        ("had", "a code that does not exist", mailbox.encode_had(1, 8)),
        ("get", "17 names", mailbox.encode_get(mailbox.Getting(1, 7, (envelope_id(blob),) * 17))),
        ("put-record", "something behind the record", frames["put-record"][1][:-1] + b"\1"),
        ("get-record", "a byte too few", frames["get-record"][1][1:]),
        ("record", "longer than can be", frames["record"][1][:4] + b"\6\1" + bytes(1536)),
    ):
        yield f"frame-bad-{name}", refused("frame", about, name=name, type=frames[name][0], body=body)


def shared_boxes() -> Iterator[tuple[str, Vector]]:
    key, relay, put = bytes(range(32)), PeerKey(b"\xaa" * 32), prim.sign_public(b"\5" * 32)
    box = box_to_read(key, SharedBoxes(put), relay)
    about = "the box of a group's file at a relay"
    yield (
        "shared-box-ok",
        vector("shared-box", about, key=key, relay=relay, put=put, fetch_seed=box.fetch_seed, id=box.queue.id),
    )


def logs_at_relays() -> Iterator[tuple[str, Vector]]:
    topic, relay, challenge, admin_seed = (bytes((value,)) * 32 for value in (4, 0xAA, 0xBB, 5))
    keys = logs.log_keys(topic, PeerKey(relay), prim.sign_public(admin_seed), admin_seed)
    log, said = keys.log, {"relay": relay, "challenge": challenge}
    fields = {"topic": topic, "fetch_seed": keys.fetch_seed, "put_seed": keys.put_seed, "admin_seed": admin_seed}
    about = "the keys of an epoch's log at a relay, and its name"
    yield "log-ok", vector("log", about, relay=relay, **fields, keys=list(map(bytes.hex, log[:3])), id=log.id)
    opens = {
        role: logs.OpenLog(7, role, log, logs.sign_open_log(keys.seed(role), role, PeerKey(relay), challenge, log))
        for role in logs.LogRole
    }
    for role, opening in opens.items():
        name = f"log-opening-{role.value}-ok"
        body = logs.encode_open_log(opening)
        yield name, vector("log-opening", role.name.lower(), **said, seed=keys.seed(role), body=body)
    one = opens[logs.LogRole.APPEND]
    for name, about, changed in (
        ("role", "signed to append, opened to read", one._replace(role=logs.LogRole.READ)),
        ("admin", "signed to append, opened as an admin", one._replace(role=logs.LogRole.APPEND_AS_ADMIN)),
        ("number", "role 3", one._replace(role=3)),
        ("key", "with another admins' key", one._replace(log=log._replace(admin=log.put))),
        ("flags", "flags that are not a log's", one._replace(log=log._replace(flags=12))),
        ("queue", "flags of a queue", one._replace(log=log._replace(flags=0))),
    ):
        yield f"log-opening-bad-{name}", refused("log-opening", about, **said, body=logs.encode_open_log(changed))
    elsewhere = {"relay": relay, "challenge": bytes(32)}
    about = "signed on another stream"
    yield "log-opening-bad-challenge", refused("log-opening", about, **elsewhere, body=logs.encode_open_log(one))
    small, larger = bytes(range(256)) * 4, bytes(BUCKETS[0])
    read = logs.LogRead(18, 7, 512, True, 1 << 62)
    (items,) = logs.encode_items(7, [(5, small), (1 << 40, larger)])
    frames: dict[str, tuple[int, bytes, Any]] = {
        "read": (mailbox.READ, logs.encode_read(read), list(read)),
        "items": (mailbox.ITEMS, items, [7, [[5, small], [1 << 40, larger]]]),
        "behind": (mailbox.BEHIND, logs.encode_handle(7), 7),
        "append": (mailbox.PUT, mailbox.encode_put(mailbox.Put(19, 7, 336, 0, small)), [19, 7, 336, 0, small]),
    }
    for name, (kind, body, values) in frames.items():
        about = f"type {kind}" + (", into a log" if name == "append" else "")
        yield f"frame-{name}-ok", vector("frame", about, name=name, type=kind, body=body, values=shown(values))
    for name, end, about, body in (
        ("read", "", "more wanted than may be", logs.encode_read(read._replace(want=513))),
        ("read", "-nothing", "follows and wants nothing", logs.encode_read(read._replace(want=0))),
        ("items", "", "a place that does not grow", logs.encode_items(7, [(5, small), (5, larger)])[0]),
        ("items", "-place", "a place of 64 bits", logs.encode_items(7, [(1 << 63, small)])[0]),
        ("items", "-size", "a blob of 2,048 bytes", logs.encode_items(7, [(5, small + small)])[0]),
        ("items", "-short", "a byte too few", items[:-1]),
        ("behind", "", "a byte too many", b"\0\0\7"),
    ):
        yield f"frame-bad-{name}{end}", refused("frame", about, name=name, type=frames[name][0], body=body)


def descriptors() -> Iterator[tuple[str, Vector]]:
    seed = bytes(range(32))
    relay = PeerKey(prim.sign_public(seed))
    ways = ("/ip4/192.0.2.1/tcp/4001", "/dns/relay.example/tcp/443/wss", f"/dns/{'a' * 56}.onion/tcp/80")
    made = NOW // 1000
    flags = relays.MAILBOX | relays.CIRCUITS
    good = relays.Descriptor(relay, 7, made, made + relays.LIFE_SECONDS, flags, ways)
    fields = [1, relay, 7, made, good.until, int(flags), list(ways)]

    def signed(*changed: object, label: str = "relay descriptor") -> bytes:
        body = encode(list(changed))
        return encode([body, prim.sign(seed, label, body)])

    raw = relays.sign_descriptor(seed, good)
    assert raw == signed(*fields)
    listed = relays.encode_list([raw])
    values = {"relay": relay, "sequence": 7, "made": made, "until": good.until, "flags": int(flags)}
    yield (
        "descriptor-ok",
        vector("descriptor", "a relay's", seed=seed, **values, addresses=list(ways), descriptor=raw, list=listed),
    )

    def bad(name: str, about: str, data: bytes) -> tuple[str, Vector]:
        return f"descriptor-bad-{name}", refused("descriptor", about, descriptor=data)

    yield bad("signature", "a bit", flipped(raw, -1))
    yield bad("label", "signed as something else", signed(*fields, label="bundle"))
    yield bad("version", "version 2", signed(2, *fields[1:]))
    yield bad("life", "for 91 days", signed(*fields[:4], made + 91 * 86_400, *fields[5:]))
    yield bad("nowhere", "no address", signed(*fields[:6], []))
    yield bad("many", "seven addresses", signed(*fields[:6], list(ways[:1]) * 7))
    yield bad("address", "a space in an address", signed(*fields[:6], ["/ip4/192.0.2.1/tcp/ 1"]))
    yield bad("more", "a field too many", signed(*fields, 0))


def punches() -> Iterator[tuple[str, Vector]]:
    ipv4 = punch.PunchAddress(bytes((203, 0, 113, 5)), 4001)
    ipv6 = punch.PunchAddress(bytes.fromhex("20010db8" + 11 * "00" + "05"), 4002)
    said = punch.Punch(punch.PunchStep.ANSWER, bytes(range(punch.ATTEMPT)), 250, (ipv4, ipv6))
    body = punch.encode(said)
    values = [said.step.value, said.attempt, said.held, said.addresses]
    yield "punch-ok", vector("punch", "an answer after 250 ms, with both addresses", body=body, values=shown(values))
    for name, about, bad in (
        ("step", "step 4", b"\4" + body[1:]),
        ("size", "a byte too many", body + b"\0"),
        ("held", "an offer that was held", b"\1" + body[1:]),
        ("go", "a go with addresses", b"\3" + body[1:9] + bytes(2) + body[11:]),
        ("port", "an address without a port", body[:-2] + bytes(2)),
        ("address", "a port without an address", body[:17] + bytes(16) + body[-2:]),
    ):
        yield f"punch-bad-{name}", refused("punch", about, body=bad)


def channels() -> Iterator[tuple[str, Vector]]:
    seed, other_seed = bytes(range(32)), bytes(range(1, 33))
    feed = posts.own_feed(prim.sign_public(seed))
    first = posts.make_post(seed, feed, 0, posts.NOTHING, NOW, bodies.encode_body(Text("hello")))
    second = posts.make_post(seed, feed, 1, first.header.hash, NOW + 1, bodies.encode_body(Text("again")))
    other = posts.make_post(seed, feed, 1, first.header.hash, NOW + 1, bodies.encode_body(Text("differently")))
    writer = posts.ChannelWriter(WriterKey(prim.sign_public(other_seed)), "bob", 9)
    head = posts.make_head(seed, feed, 2, second.header.hash, NOW + 2, "news", (writer,))
    yield (
        "post-ok",
        vector(
            "post",
            "the second of a channel's own feed",
            seed=seed,
            channel=feed.channel,
            writer=feed.writer,
            post=posts.encode_post(second),
            values=shown(list(vars_of(second.header))),
            hash=second.header.hash,
            message=bodies.message_id(second),
            text="again",
        ),
    )
    yield (
        "head-ok",
        vector(
            "head",
            "with a writer",
            seed=seed,
            channel=feed.channel,
            writer=feed.writer,
            head=posts.encode_head(head),
            values=shown(list(vars_of(head))),
        ),
    )
    way = InviteWay(PeerKey(bytes(32)), IPV4, 1, b"token")
    group = invite.Invite(invite.GROUP, bytes(32), bytes(32), 1_900_000_000, (way,), "talk", bytes(32))
    mark = details.group_mark(feed.channel, GroupId(bytes(range(32))))
    known = details.ChannelDetails((way,), invite.encode_invite(group), mark)
    sealing = Recorder("vector channel details")
    for name, secret in (("open", None), ("sealed", bytes(32))):
        raw = details.encode_details(known, feed.channel, secret, sealing.random)
        told = posts.make_head(seed, feed, 2, second.header.hash, NOW + 2, None, (), raw)
        yield (
            f"head-details-{name}-ok",
            vector(
                "head",
                f"with details, {name}",
                seed=seed,
                channel=feed.channel,
                writer=feed.writer,
                head=posts.encode_head(told),
                values=shown(list(vars_of(told))),
                secret=secret,
                ways=shown([list(vars_of(way))]),
                comments=known.comments,
                group=mark,
            ),
        )
    fork = posts.Fork(feed, posts.statement(second), posts.statement(other))
    yield "fork-ok", vector("fork", "two second posts", fork=posts.encode_fork(fork))
    chance = Recorder("vector channel")
    body = bodies.seal_body(bytes(32), feed, 1, bodies.encode_body(Text("sealed")), chance.random)
    sealed = {"secret": bytes(32), "channel": feed.channel, "writer": feed.writer, "seq": 1}
    yield "body-ok", vector("body", "sealed", **sealed, body=body, text="sealed", random=chance.drawn)
    link = links.ChannelLink(feed.channel, bytes(32), (InviteWay(PeerKey(bytes(32)), IPV4, 1, b"token"),), "news")
    text = to_text(links.encode_link(link))
    yield "link-ok", vector("link", "to a private channel", link=text, values=shown(list(vars_of_link(link))))

    for_writer = links.ChannelLink(feed.channel, None, (), "news", other_seed)
    text = to_text(links.encode_link(for_writer))
    yield "link-writer-ok", vector("link", "for a writer", link=text, values=shown(list(vars_of_link(for_writer))))

    def signed(label: str, *fields: object) -> bytes:
        raw = encode(list(fields))
        return encode([raw, prim.sign(seed, label, raw)])

    def bad(kind: str, name: str, about: str, data: bytes) -> tuple[str, Vector]:
        named = {"channel": feed.channel, "writer": feed.writer, kind: data}
        return f"{kind}-bad-{name}", refused(kind, about, **named)

    header = list(decode(second.header.raw, 512))
    wrong = {
        "version": ("version 2", [2, *header[1:]]),
        "channel": ("another channel", [1, bytes(32), *header[2:]]),
        "first": ("number 0 behind another", [*header[:3], 0, *header[4:]]),
        "mark": ("a checkpoint where none is due", [*header[:8], [bytes(32), bytes(32)]]),
        "unmarked": ("no checkpoint where one is due", [*header[:3], 256, *header[4:]]),
        "size": ("the size of another body", [*header[:7], 5, None]),
        "more": ("a field too many", [*header, 0]),
    }
    for name, (about, fields) in wrong.items():
        raw = encode(fields)
        yield bad("post", name, about, encode([raw, prim.sign(seed, "chan post", raw), second.body]))
    yield bad("post", "body", "the body of another post", encode([second.header.raw, second.signature, first.body]))
    forged = prim.sign(other_seed, "chan post", second.header.raw)
    yield bad("post", "signer", "signed by somebody else", encode([second.header.raw, forged, second.body]))
    said = list(decode(head.raw, 4_096))
    yield bad("head", "signature", "a bit", flipped(posts.encode_head(head), -1))
    yield bad("head", "label", "signed as a post", signed("chan post", *said))
    yield bad("head", "empty", "no posts, and a last one", signed("chan head", *said[:3], 0, *said[4:]))
    yield bad("head", "writers", "17 writers", signed("chan head", *said[:7], said[7] * 17, None))
    yield bad("head", "details", "2,305 bytes of details", signed("chan head", *said[:8], bytes(2_305)))
    agreed = posts.Fork(feed, posts.statement(first), posts.statement(second))
    yield "fork-bad-agreed", refused("fork", "a post and the next", fork=posts.encode_fork(agreed))
    unsigned = posts.Fork(feed, fork.first, fork.second._replace(signature=fork.first.signature))
    yield "fork-bad-signature", refused("fork", "one is not signed", fork=posts.encode_fork(unsigned))
    yield "body-bad-place", refused("body", "sealed for another number", **{**sealed, "seq": 2}, body=body)
    node = encode([1, 3, feed.channel, None, [[bytes(32), IPV4, 0]], "", bytes(4)])[:-4]
    text = to_text(node + invite.check_bytes(node))
    yield "link-bad-way", refused("link", "by somebody's node", link=text)


def vars_of_link(link: links.ChannelLink) -> Iterator[Any]:
    """The fields of a link, each way as a list."""
    return iter([link.key, link.secret, [list(vars_of(way)) for way in link.ways], link.name, link.seed])


def vars_of(value: Any) -> Iterator[Any]:
    """The fields of a dataclass, in order."""
    return (getattr(value, field.name) for field in dataclasses.fields(value))


SOURCES = (
    identities,
    ipns_records,
    invites,
    bundles,
    initials,
    blobs,
    conversation,
    messages,
    contents,
    files,
    mailboxes,
    shared_boxes,
    logs_at_relays,
    descriptors,
    punches,
    groups.secrets,
    groups.messages_of_a_group,
    groups.items_of_a_group,
    groups.newcomers,
    membership.single_events,
    membership.logs_of_events,
    channels,
)


def everything() -> dict[str, Vector]:
    """All vectors by file name (without .json)."""
    made: dict[str, Vector] = {}
    for source in SOURCES:
        for name, one in source():
            assert name not in made
            made[name] = one
    return made


def main() -> None:
    for name, one in everything().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(one, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
