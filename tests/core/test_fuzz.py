"""Arbitrary and damaged bytes at every entrance: one kind of error, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pchat.core import handshake, invite, ipns, ratchet, session
from p2pchat.core import primitives as prim
from p2pchat.core.channels import bodies, links, posts
from p2pchat.core.channels import frames as feed_frames
from p2pchat.core.codec import decode, encode
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import ContactProfile, Edit, File, Reaction, Text, Transfer
from p2pchat.core.descriptors import Descriptor, decode_list, encode_list, open_descriptor, sign_descriptor
from p2pchat.core.envelope import BUCKETS, open_blob, seal_blob
from p2pchat.core.files import BlobCipher, BlobPlace, blob_name
from p2pchat.core.ids import MessageId, PeerKey
from p2pchat.core.invite import Invite, InviteWay, decode_invite, encode_invite, read_invite, to_text
from p2pchat.core.prekeys import dump_set, load_set, make_set, open_bundle
from p2pchat.errors import BadInvite, CannotOpen
from tests.core.channels.writing import FEED, FeedWriter
from tests.core.people import LATER, NOW, Chance, meet, nothing, person
from tests.support.examples import examples

KEY = PeerKey(bytes(range(32)))
DESCRIPTOR = sign_descriptor(
    bytes(KEY), Descriptor(PeerKey(prim.sign_public(KEY)), 1, 1_000, 2_000, 3, ("/ip4/192.0.2.1/tcp/4001",))
)
ALICE, BOB = person("alice").device, person("bob").device
SET = make_set(BOB, LATER, one_time=True, random=Chance("set").random)
MEETING = meet("fuzz")
SEALED = MEETING.alice.seal(b"content")
STATE = MEETING.bob.live
DUMPED = ratchet.dump(STATE.ratchet)
INVITE = encode_invite(Invite(0, KEY, bytes(16), LATER, (InviteWay(KEY, b"\x04" * 8, 0),), "Alice"))
CONTENT = encode_content(Content(Text("hello"), MessageId(bytes(16)), 1, NOW))
ABOUT = MessageId(bytes(range(16)))
REPLY = encode_content(Content(Text("yes", "are we on?"), MessageId(bytes(16)), 2, NOW, reply_to=ABOUT, expire_s=60))
EDIT = encode_content(Content(Edit(ABOUT, "hello, mended"), MessageId(bytes(16)), 0, NOW))
REACTION = encode_content(Content(Reaction(ABOUT, 0, "👍🏽"), MessageId(bytes(16)), 0, NOW))
FILE = encode_content(
    Content(File(1, "a.png", "image/png", 9, KEY, KEY, 4, 3, 0, b"small", "look"), MessageId(bytes(16)), 3, NOW)
)
TRANSFER = encode_content(Content(Transfer(ABOUT, 3), MessageId(bytes(16)), 0, NOW))
CIPHER, CHUNK = BlobCipher(KEY, 9), BlobPlace(0, 0)
RECORD = ipns.make(bytes(KEY), 1, NOW, b"sealed" * 20)
PROFILE = encode_content(
    Content(ContactProfile("Alice", True, ((PeerKey(bytes(32)), b"somewhere"),), ()), MessageId(bytes(16)), 0, NOW)
)
CHANNEL = FeedWriter()
CHANNEL.write("hello")
FORK = posts.Fork(FEED, posts.statement(CHANNEL.posts[0]), posts.statement(FeedWriter().write("other")))


def read_first_message(data: bytes) -> None:
    handshake.respond(MEETING.bob.device, MEETING.prekeys, handshake.parse(data), MEETING.bob.chance.entropy)


def open_ratchet(data: bytes) -> None:
    ratchet.decrypt(STATE.ratchet, data, STATE.session_id, nothing, MEETING.bob.chance.entropy)


def open_in_session(data: bytes) -> None:
    session.open_envelope(STATE, data, nothing, MEETING.bob.chance.entropy)


def load_and_use(data: bytes) -> None:
    """A state of any bytes is refused or works like one."""
    state = ratchet.load(data)
    assert ratchet.dump(state) == data
    ratchet.decrypt(state, SEALED, STATE.session_id, nothing, MEETING.bob.chance.entropy)


def read_header(data: bytes) -> None:
    """What an authenticated contact may put into a header."""
    ratchet._parse_header(data)


# each entrance, with bytes that it takes
ENTRANCES: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "decode": (lambda data: decode(data, 1000), encode([1, [b"x", None, "text"], True])),
    "invite": (decode_invite, INVITE),
    "bundle": (open_bundle, SET.bundle),
    "set": (load_set, dump_set(SET)),
    "first message": (read_first_message, MEETING.initial),
    "ratchet": (open_ratchet, SEALED),
    "session": (open_in_session, SEALED),
    "header": (read_header, encode([KEY, 0, 1, bytes(1184), bytes(1088)]).ljust(2350, b"\0")),
    "descriptor": (open_descriptor, DESCRIPTOR),
    "list": (decode_list, encode_list([DESCRIPTOR])),
    "record": (lambda data: ipns.read(RECORD.routing_key, data, 0), RECORD.raw),
    "fields of a record": (ipns._read_map, RECORD.raw[69:]),
    "content": (decode_content, CONTENT),
    "profile": (decode_content, PROFILE),
    "reply": (decode_content, REPLY),
    "edit": (decode_content, EDIT),
    "reaction": (decode_content, REACTION),
    "file": (decode_content, FILE),
    "transfer": (decode_content, TRANSFER),
    "blob of a file": (lambda data: CIPHER.open(CHUNK, blob_name(data), data), CIPHER.seal(CHUNK, b"ninebytes")),
    "blob": (lambda data: open_blob(KEY, data), seal_blob(KEY, b"content", Chance("blob").random)),
    "sealed": (lambda data: prim.open_sealed(KEY, data, b""), prim.seal(KEY, b"content", b"", bytes(24))),
    "padding": (prim.unpad, prim.pad(b"content", 100)),
    "point": (lambda data: prim.x25519(KEY, data), prim.x25519_public(KEY)),
    "signature": (lambda data: prim.verify(BOB.identity, "x", b"", data), prim.sign(BOB.identity_seed, "x", b"")),
    "signer": (lambda data: prim.verify(data, "x", b"", bytes(64)), BOB.identity),
    "KEM key": (prim.kem_encapsulate, prim.KemKey(bytes(64)).public),
    "KEM ciphertext": (prim.KemKey(bytes(64)).decapsulate, bytes(prim.KEM_CIPHERTEXT)),
    "state": (load_and_use, DUMPED),
    "post": (partial(posts.decode_post, FEED), posts.encode_post(CHANNEL.posts[0])),
    "head": (partial(posts.decode_head, FEED), posts.encode_head(CHANNEL.head())),
    "fork": (posts.decode_fork, posts.encode_fork(FORK)),
    "body": (bodies.decode_body, bodies.encode_body(Text("hello"))),
    "link": (links.decode_link, links.encode_link(links.ChannelLink(FEED.channel, None, (), "news"))),
    "get": (feed_frames.decode_get, feed_frames.encode_get(feed_frames.FeedGet(1, FEED, 0, 1, watch=True))),
}
TAKES_NOT_ITS_SAMPLE = {"signer"}


def quietly(take: Callable[[bytes], Any], data: bytes) -> None:
    """Taken, or refused in the one way; anything else fails the test."""
    before = ratchet.dump(STATE.ratchet)
    seen: list[CannotOpen] = []
    try:
        take(data)
    except CannotOpen as refusal:
        seen.append(refusal)
    for one in seen:
        assert (str(one), one.__cause__, one.candidates) == (
            "The bytes cannot be decoded, verified or decrypted.",
            None,
            (),
        )
    assert ratchet.dump(STATE.ratchet) == before


@pytest.mark.parametrize("name", ENTRANCES)
def test_the_samples_are_taken(name: str) -> None:
    take, sample = ENTRANCES[name]
    if name in TAKES_NOT_ITS_SAMPLE:
        with pytest.raises(CannotOpen):
            take(sample)
    else:
        take(sample)


@pytest.mark.parametrize("name", ENTRANCES)
@settings(max_examples=examples(20))
@given(data=st.binary(max_size=200) | st.binary(min_size=1000, max_size=5000))
@example(data=b"")
@example(data=bytes(4096))
@example(data=b"\xff" * 4096)
@example(data=b"\x91" * 4096)
def test_arbitrary_bytes(name: str, data: bytes) -> None:
    quietly(ENTRANCES[name][0], data)


@pytest.mark.parametrize("name", ENTRANCES)
@settings(max_examples=examples(40))
@given(chosen=st.data())
def test_damaged_bytes(name: str, chosen: st.DataObject) -> None:
    take, sample = ENTRANCES[name]
    at = chosen.draw(st.integers(0, len(sample)))
    cut = chosen.draw(st.integers(0, 8))
    put = chosen.draw(st.binary(max_size=8))
    quietly(take, sample[:at] + put + sample[at + cut :])


# the arrays of the wire, for values in wrong places under right encodings
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, (1 << 64) - 1)
    | st.sampled_from([b"", KEY, bytes(16), bytes(64), bytes(1088), bytes(1184), "text"]),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=10,
)


@pytest.mark.parametrize("name", ["invite", "bundle", "set", "first message", "content", "profile", "state"])
@settings(max_examples=examples(40))
@given(chosen=st.data())
def test_other_values_in_right_encodings(name: str, chosen: st.DataObject) -> None:
    take, sample = ENTRANCES[name]
    fields = decode(sample, len(sample))
    for _ in range(chosen.draw(st.integers(1, 2))):
        fields[chosen.draw(st.integers(0, len(fields) - 1))] = chosen.draw(VALUES)
    quietly(take, encode(fields))


@settings(max_examples=examples(80))
@given(chosen=st.data())
def test_a_signed_bundle_of_any_values(chosen: st.DataObject) -> None:
    """Whoever holds an identity can sign anything; it goes on to be written to."""
    body, _ = decode(SET.bundle, 4000)
    fields = decode(body, 4000)
    for _ in range(chosen.draw(st.integers(1, 2))):
        fields[chosen.draw(st.integers(0, len(fields) - 1))] = chosen.draw(VALUES)
    packed = encode(fields)
    data = encode([packed, prim.sign(BOB.identity_seed, "bundle", packed)])
    quietly(lambda data: handshake.initiate(ALICE, open_bundle(data), b"", NOW, Chance("x").entropy), data)


@settings(max_examples=examples(150))
@given(chosen=st.data())
def test_an_authenticated_header_of_any_bytes(chosen: st.DataObject) -> None:
    """A contact holds the header keys and can seal anything under them."""
    state = MEETING.alice.live.ratchet
    assert state.header_out is not None
    sample = ENTRANCES["header"][1]
    at = chosen.draw(st.integers(0, 60) | st.integers(1200, 1300) | st.integers(2300, 2350))
    plain = (sample[:at] + chosen.draw(st.binary(max_size=8)) + sample[at + chosen.draw(st.integers(0, 8)) :])[:2350]
    header = prim.seal(state.header_out, plain.ljust(2350, b"\0"), STATE.session_id, bytes(24))
    quietly(open_in_session, (header + bytes(4096))[:4096])


@given(st.text(max_size=300) | st.text(alphabet="P2CHATABCDEFGHIJKLMNOPQRSTUVWXYZ234567: \n", max_size=300))
@example("P2PCHAT:")
@example("P2PCHAT:" + "A" * 3000)
def test_pasted_text(written: str) -> None:
    for text in (written, "P2PCHAT:" + written):
        try:
            read_invite(text)
        except BadInvite:
            continue
        assert invite.from_text(text)


@given(st.integers(0), st.text(max_size=3), st.integers(0, 3))
def test_damaged_invites(at: int, put: str, cut: int) -> None:
    text = to_text(INVITE)
    at %= len(text)
    damaged = text[:at] + put + text[at + cut :]
    try:
        _, data = read_invite(damaged)
    except BadInvite:
        return
    assert data == INVITE, "whole, with something behind it"


@given(st.binary(max_size=300), st.sampled_from(BUCKETS))
def test_any_content_comes_through_a_blob(data: bytes, bucket: int) -> None:
    content = data + bytes(bucket - 400)
    blob = seal_blob(KEY, content, Chance("blob").random)
    assert len(blob) == bucket
    assert open_blob(KEY, blob) == content
