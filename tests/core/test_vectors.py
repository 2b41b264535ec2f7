"""The frozen vectors in tests/vectors: each opens to what it says, or is refused."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2pchat.core import (
    descriptors,
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
    session,
)
from p2pchat.core import primitives as prim
from p2pchat.core.channels import bodies, details, links, posts
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import Text, Unknown
from p2pchat.core.envelope import BUCKETS, open_blob, seal_blob
from p2pchat.core.file_boxes import SharedBoxes, box_to_read
from p2pchat.core.files import CHUNK_BYTES, BlobCipher, BlobPlace, blob_name, file_id, list_data
from p2pchat.core.identity import Device, safety_number, sas_words, verify_device
from p2pchat.core.ids import ContactId, GroupId, MessageId, PeerKey, QueueId, SessionId, WriterKey
from p2pchat.core.invite import Invite, InviteWay, encode_invite, join_tag, read_invite, to_text
from p2pchat.core.prekeys import bundle_digest, load_set, make_set, open_bundle
from p2pchat.core.session import Session, file_tag, hello_tag, pair, renew_key
from p2pchat.errors import BadInvite, CannotOpen
from p2pchat.lib.times import HOUR_MS
from tests.core.groups.vector_checks import CHECKS as GROUP_CHECKS
from tests.core.people import meet, nothing
from tests.vectors import generate
from tests.vectors.making import Vector, shown

FILES = {path.stem: path for path in sorted(Path(generate.__file__).parent.glob("*.json"))}


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def read(name: str) -> Vector:
    one: Vector = json.loads(FILES[name].read_text(encoding="utf-8"))
    return one


class Recorded:
    """Gives out again what was drawn when the vector was made."""

    def __init__(self, one: Vector) -> None:
        self._random = deque(map(unhex, one["random"]))
        self._encapsulations = deque(one.get("encapsulations", []))
        self.entropy = prim.Entropy(self.random, self.encapsulate)

    def random(self, size: int) -> bytes:
        value = self._random.popleft()
        assert len(value) == size
        return value

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ciphertext, secret = map(unhex, self._encapsulations.popleft())
        return ciphertext, secret

    def is_used_up(self) -> bool:
        return not self._random and not self._encapsulations


def identity(one: Vector) -> None:
    device = Device.from_seeds(unhex(one["identity_seed"]), unhex(one["device_private"]))
    assert device.identity.hex() == one["identity"]
    assert device.device.hex() == one["device"]
    assert device.certificate.hex() == one["certificate"]
    verify_device(device.identity, 1, device.device, device.certificate)
    assert safety_number(device.identity, unhex(one["other"])) == one["safety_number"]
    assert safety_number(unhex(one["other"]), device.identity) == one["safety_number"]


def tags(one: Vector) -> None:
    secret, here, there = unhex(one["secret"]), unhex(one["here"]), unhex(one["there"])
    assert invite.blob_key(secret).hex() == one["invite_key"]
    assert invite.hello_key(secret).hex() == one["invite_hello"]
    for role in ("join", "offer"):
        assert join_tag(unhex(one["invite_hello"]), role, PeerKey(here), PeerKey(there)).hex() == one[role]
    hello = pair(ContactId(b""), SessionId(bytes(32)), secret, unhex(one["mine"]), unhex(one["theirs"]))
    assert hello_tag(hello.ours, PeerKey(here), PeerKey(there), 20_000).hex() == one["hello_mine"]
    assert hello_tag(hello.theirs, PeerKey(here), PeerKey(there), 20_000).hex() == one["hello_theirs"]
    assert file_tag(hello.ours, PeerKey(here), PeerKey(there), 20_000).hex() == one["file_mine"]
    assert file_tag(hello.theirs, PeerKey(here), PeerKey(there), 20_000).hex() == one["file_theirs"]
    assert renew_key(secret).hex() == one["renew"]
    assert sas_words(secret) == one["words"]


def some_names(one: Vector) -> None:
    there, secret, token = unhex(one["there"]), unhex(one["secret"]), one["token"].encode()
    hello = pair(ContactId(b""), SessionId(bytes(32)), secret, unhex(one["mine"]), unhex(one["theirs"]))
    assert names.link_name(hello.ours, there, 20_000) == one["link_mine"]
    assert names.link_name(hello.theirs, there, 20_000) == one["link_theirs"]
    assert names.file_name(hello.ours, there, 20_000) == one["file_mine"]
    assert names.file_name(hello.theirs, there, 20_000) == one["file_theirs"]
    assert names.join_name(invite.hello_key(secret), there) == one["join"]
    assert names.mailbox_name(there, token) == one["mailbox"]
    assert names.relay_pass(there, token).hex() == one["relay_pass"]
    assert names.hop_name(unhex(one["relay_pass"])) == one["hop"]
    assert names.web_path(unhex(one["relay_pass"])) == one["path"]


def an_announcement(one: Vector) -> None:
    """An announcement that is not for us is no error; here it counts as refused."""
    answering = lan.opened(lan.read(unhex(one["packet"])), unhex(one["source"]), [unhex(one["key"])])
    if answering is None:
        raise CannotOpen
    assert (answering.port, answering.peer.hex()) == (one["port"], one["peer"])


def a_presence(one: Vector) -> None:
    slot = presence.slot(unhex(one["key"]), one["day"])
    said = presence.read(slot, unhex(one["record"]), unhex(one["identity"]), one["now"])
    assert (slot.public.hex(), slot.key.hex(), said.id.hex()) == (one["public"], one["seal_key"], one["id"])
    assert said.ways == ((unhex(one["peer"]), unhex(one["address"])),)


def a_parcel(one: Vector) -> None:
    header = parcel.read_header(unhex(one["header"]))
    assert (header.salt.hex(), list(header.counts), header.file_bytes) == (one["salt"], one["counts"], one["bytes"])
    key = parcel.tag_key(unhex(one["key"]), header.salt)
    assert [parcel.tag(key, number).hex() for number in (0, 1)] == [one["first"], one["second"]]


def an_ipns_record(one: Vector) -> None:
    record = ipns.read(unhex(one["key"]), unhex(one["record"]), one["now"])
    said = (record.sequence, record.expires_at, record.ttl_ns, record.value.hex(), record.sealed.hex())
    assert said == (one["sequence"], one["expires_at"], one["ttl_ns"], one["value"], one["sealed"])
    assert record.routing_key.hex() == one["key"]
    if "seed" in one:
        assert ipns.make(unhex(one["seed"]), one["sequence"], one["expires_at"], record.sealed) == record


def an_invite(one: Vector) -> None:
    read_one, data = read_invite(one["text"])
    assert data.hex() == one["bytes"]
    ways = tuple(
        InviteWay(PeerKey(unhex(peer)), unhex(address), role, *map(unhex, token))
        for peer, address, role, *token in one["ways"]
    )
    writer = None if one["writer"] is None else unhex(one["writer"])
    expected = Invite(
        one["kind"], unhex(one["digest"]), unhex(one["secret"]), one["expires_at"], ways, one["name"], writer
    )
    assert read_one == expected
    assert to_text(encode_invite(expected)) == one["text"]


def bundle(one: Vector) -> None:
    opened = open_bundle(unhex(one["bundle"]))
    device = Device.from_seeds(unhex(one["identity_seed"]), unhex(one["device_private"]))
    recorded = Recorded(one)
    again = make_set(device, one["not_after"], one_time=one["one_time"], random=recorded.random)
    assert again.bundle.hex() == one["bundle"]
    assert recorded.is_used_up()
    assert bundle_digest(again.bundle).hex() == one["digest"]
    assert (opened.identity, opened.device) == (device.identity, device.device)


def initial(one: Vector) -> None:
    receiver = Device.from_seeds(*map(unhex, one["receiver"]))
    prekeys = load_set(unhex(one["prekeys"]))
    parsed = handshake.parse(unhex(one["message"]))
    opened, content = handshake.respond(receiver, prekeys, parsed, prim.system_entropy())
    assert content.hex() == one["content"]
    for name in ("session_id", "pair_root", "sas"):
        assert getattr(opened, name).hex() == one[name]
    assert sas_words(opened.sas) == one["words"]
    recorded = Recorded(one)
    initiator = Device.from_seeds(*map(unhex, one["initiator"]))
    made, message = handshake.initiate(initiator, open_bundle(prekeys.bundle), content, one["now"], recorded.entropy)
    assert message.hex() == one["message"]
    assert recorded.is_used_up()
    assert ratchet.dump(made.ratchet).hex() == one["state"]


def blob(one: Vector) -> None:
    content = open_blob(unhex(one["key"]), unhex(one["blob"]))
    assert content.hex() == one["content"]
    assert seal_blob(unhex(one["key"]), content, Recorded(one).random).hex() == one["blob"]


def find(skipped: dict[tuple[int, int], bytes], chain: int, number: int) -> bytes | None:
    return skipped.get((chain, number))


def conversation(one: Vector) -> None:
    recorded, ad = Recorded(one), unhex(one["ad"])
    states = {name: ratchet.load(unhex(state)) for name, state in one["start"].items()}
    skipped: dict[str, dict[tuple[int, int], bytes]] = {"alice": {}, "bob": {}}
    sent: list[bytes] = []
    for step in one["steps"]:
        who = step["by"]
        if "send" in step:
            states[who], sealed = ratchet.encrypt(states[who], step["send"].encode(), ad, recorded.random)
            assert sealed.hex() == step["sealed"]
            sent.append(sealed)
        else:
            opened = ratchet.decrypt(
                states[who],
                sent[step["open"]],
                ad,
                partial(find, skipped[who]),
                recorded.entropy,
            )
            assert opened.plaintext.decode() == step["text"]
            states[who] = opened.state
            skipped[who].update({(chain, number): key for chain, number, key in opened.skipped})
    assert recorded.is_used_up()
    assert {name: ratchet.dump(state).hex() for name, state in states.items()} == one["end"]


def an_envelope(one: Vector) -> None:
    state = ratchet.load(unhex(one["state"]))
    live = Session(SessionId(unhex(one["session_id"])), False, bytes(32), bytes(32), state, confirmed=True)
    received = session.open_envelope(live, unhex(one["envelope"]), nothing, prim.system_entropy())
    assert received.content.hex() == one["content"]


def a_content(one: Vector) -> None:
    read_one = decode_content(unhex(one["bytes"]))
    reply_to = None if one["reply_to"] is None else MessageId(unhex(one["reply_to"]))
    heads = tuple(map(unhex, one["heads"]))
    expected = Content(
        read_one.payload,
        MessageId(unhex(one["message_id"])),
        one["seq"],
        one["sent_at"],
        reply_to,
        one["expire_s"],
        heads,
    )
    assert read_one == expected
    assert read_one.type == one["type"]
    if one["payload"] is None:
        assert read_one.payload == Unknown(one["type"])
    else:
        assert shown(read_one.payload.encode()) == one["payload"]
        assert encode_content(read_one).hex() == one["bytes"]


def a_file(one: Vector) -> None:
    key, size, pattern = unhex(one["key"]), one["size"], unhex(one["pattern"])
    cipher, data = BlobCipher(key, size), (pattern * (size // len(pattern) + 1))[:size]
    level = [data[at : at + CHUNK_BYTES] for at in range(0, max(1, size), CHUNK_BYTES)]
    for height, of_level in enumerate(one["names"]):
        made = []
        for number, (part, name) in enumerate(zip(level, map(unhex, of_level), strict=True)):
            place = BlobPlace(height, number)
            blob = cipher.seal(place, part)
            assert cipher.open(place, name, blob) == part
            made.append(blob_name(blob))
        level = list_data(made)
    assert made == [unhex(one["root"])]
    assert file_id(key, made[0]).hex() == one["file"]


def a_blob_of_a_file(one: Vector) -> None:
    cipher, place = BlobCipher(unhex(one["key"]), one["size"]), BlobPlace(one["level"], one["number"])
    assert cipher.open(place, unhex(one["name"]), generate.sealed_blob(one)) == unhex(one["data"])


def queue(one: Vector) -> None:
    for kind in ("fetch", "put"):
        assert prim.sign_public(unhex(one[f"{kind}_seed"])).hex() == one[kind]
    keys = unhex(one["fetch"]), unhex(one["put"])
    assert [mailbox.Queue(*keys, flags).id.hex() for flags in (0, mailbox.BOX, mailbox.STAMPED, mailbox.FILES)] == one[
        "qid"
    ]
    secret = unhex(one["secret"])
    assert mailbox.invite_box(secret).hex() == one["box_fetch_seed"]
    assert mailbox.invite_put(secret).hex() == one["put_seed_of_invite"]


def box(one: Vector) -> None:
    invite.check_box(*(unhex(one[name]) for name in ("identity", "invite", "bundle", "fetch", "signature")))


def closed(one: Vector) -> None:
    invite.check_closed(unhex(one["writer"]), unhex(one["invite"]), one["reason"], unhex(one["signature"]))


def opening(one: Vector) -> None:
    hello = mailbox.decode_hello(unhex(one["hello"]))
    opened = mailbox.decode_open(unhex(one["body"]))
    mailbox.check_open(opened, hello)
    signature = mailbox.sign_open(unhex(one["seed"]), opened.role, hello, opened.queue)
    assert mailbox.encode_open(opened._replace(signature=signature)).hex() == one["body"]
    assert mailbox.encode_hello(hello).hex() == one["hello"]


def stamp(one: Vector) -> None:
    where = PeerKey(unhex(one["relay"])), QueueId(unhex(one["qid"])), unhex(one["blob"])
    if not mailbox.stamp_holds(*where, one["now"], one["bits"], one["stamp"]):
        raise CannotOpen
    made = mailbox.make_stamp(*where, one["now"] // HOUR_MS * HOUR_MS, one["bits"])
    assert "later" in one["about"] or made == one["stamp"]


def _fetch(value: mailbox.Fetch) -> bytes:
    return mailbox.encode_fetch(value.number, value.want, value.queues, value.push, small=value.small)


# a value that came over the wire, and the body made of it again
FRAMES: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "hello": (mailbox.decode_hello, mailbox.encode_hello),
    "open": (mailbox.decode_open, mailbox.encode_open),
    "opened": (mailbox.decode_opened, lambda value: mailbox.encode_opened(*value)),
    "put": (mailbox.decode_put, mailbox.encode_put),
    "results": (mailbox.decode_results, mailbox.encode_results),
    "fetch": (mailbox.decode_fetch, _fetch),
    "watch": (mailbox.decode_fetch, _fetch),
    "blob": (mailbox.decode_blob, mailbox.encode_blob),
    "end": (mailbox.decode_end, mailbox.encode_end),
    "delete": (mailbox.decode_delete, mailbox.encode_delete),
    "forget": (mailbox.decode_forget, mailbox.encode_forget),
    "have": (mailbox.decode_have, mailbox.encode_have),
    "had": (mailbox.decode_had, lambda value: mailbox.encode_had(value.number, value.code, value.held)),
    "get": (mailbox.decode_get, mailbox.encode_get),
    "read": (logs.decode_read, logs.encode_read),
    "items": (logs.decode_items, lambda value: logs.encode_items(*value)[0]),
    "behind": (logs.decode_handle, logs.encode_handle),
    "append": (mailbox.decode_put, mailbox.encode_put),
    "put-record": (record_frames.decode_put, record_frames.encode_put),
    "get-record": (record_frames.decode_get, record_frames.encode_get),
    "record": (record_frames.decode_answer, record_frames.encode_answer),
}


def a_frame(one: Vector) -> None:
    read_it, make_it = FRAMES[one["name"]]
    value = read_it(unhex(one["body"]))
    values = list(generate.vars_of(value)) if one["name"] == "hello" else value
    assert shown(values) == one["values"]
    assert make_it(value).hex() == one["body"]


def a_log(one: Vector) -> None:
    admin_seed = unhex(one["admin_seed"])
    keys = logs.log_keys(unhex(one["topic"]), PeerKey(unhex(one["relay"])), prim.sign_public(admin_seed), admin_seed)
    assert [keys.fetch_seed.hex(), keys.put_seed.hex()] == [one["fetch_seed"], one["put_seed"]]
    assert [key.hex() for key in keys.log[:3]] == one["keys"]
    assert keys.log.id.hex() == one["id"]


def a_shared_box(one: Vector) -> None:
    boxes = SharedBoxes(unhex(one["put"]))
    box = box_to_read(unhex(one["key"]), boxes, PeerKey(unhex(one["relay"])))
    assert (box.fetch_seed.hex(), box.queue.id.hex()) == (one["fetch_seed"], one["id"])


def opening_a_log(one: Vector) -> None:
    relay, challenge = PeerKey(unhex(one["relay"])), unhex(one["challenge"])
    opened = logs.decode_open_log(unhex(one["body"]))
    assert logs.check_open_log(opened, relay, challenge) == opened.log.id
    signature = logs.sign_open_log(unhex(one["seed"]), opened.role, relay, challenge, opened.log)
    assert logs.encode_open_log(opened._replace(signature=signature)).hex() == one["body"]


def a_descriptor(one: Vector) -> None:
    raw = unhex(one["descriptor"])
    opened = descriptors.open_descriptor(raw)
    told = [opened.relay.hex(), opened.sequence, opened.made, opened.until, opened.flags, list(opened.addresses)]
    assert told == [one[name] for name in ("relay", "sequence", "made", "until", "flags", "addresses")]
    assert descriptors.sign_descriptor(unhex(one["seed"]), opened) == raw
    assert descriptors.decode_list(unhex(one["list"])) == (raw,)


def a_punch(one: Vector) -> None:
    said = punch.decode(unhex(one["body"]))
    assert shown([said.step.value, said.attempt, said.held, said.addresses]) == one["values"]
    assert punch.encode(said).hex() == one["body"]


def feed_of(one: Vector) -> posts.FeedName:
    return posts.FeedName(unhex(one["channel"]), WriterKey(unhex(one["writer"])))


def a_channel_post(one: Vector) -> None:
    feed = feed_of(one)
    post = posts.decode_post(feed, unhex(one["post"]))
    header = post.header
    assert shown(list(generate.vars_of(header))) == one["values"]
    assert (header.hash.hex(), bodies.message_id(post).hex()) == (one["hash"], one["message"])
    assert post.body is not None
    assert bodies.decode_body(post.body) == Text(one["text"])
    again = posts.make_post(unhex(one["seed"]), feed, header.seq, header.prev, header.at, post.body, header.checkpoint)
    assert posts.encode_post(again).hex() == one["post"]


def a_channel_head(one: Vector) -> None:
    feed = feed_of(one)
    head = posts.decode_head(feed, unhex(one["head"]))
    assert shown(list(generate.vars_of(head))) == one["values"]
    again = posts.make_head(
        unhex(one["seed"]), feed, head.count, head.last, head.at, head.name, head.writers, head.details
    )
    assert posts.encode_head(again).hex() == one["head"]
    if head.details is not None:
        secret = None if one["secret"] is None else unhex(one["secret"])
        known = details.decode_details(head.details, feed.channel, secret)
        assert shown([list(generate.vars_of(way)) for way in known.ways]) == one["ways"]
        assert known.comments is not None
        assert known.comments.hex() == one["comments"]
        assert known.group == details.group_mark(feed.channel, GroupId(bytes(range(32)))) == unhex(one["group"])


def a_fork(one: Vector) -> None:
    assert posts.encode_fork(posts.decode_fork(unhex(one["fork"]))).hex() == one["fork"]


def a_sealed_body(one: Vector) -> None:
    secret, feed = unhex(one["secret"]), feed_of(one)
    assert bodies.open_body(secret, feed, one["seq"], unhex(one["body"])) == Text(one["text"])
    body = bodies.encode_body(Text(one["text"]))
    assert bodies.seal_body(secret, feed, one["seq"], body, Recorded(one).random).hex() == one["body"]


def a_channel_link(one: Vector) -> None:
    link = links.decode_link(invite.from_text(one["link"]))
    assert shown(list(generate.vars_of_link(link))) == one["values"]
    assert to_text(links.encode_link(link)) == one["link"]


CHECKS: dict[str, Callable[[Vector], None]] = {
    "identity": identity,
    "tags": tags,
    "names": some_names,
    "lan": an_announcement,
    "presence": a_presence,
    "parcel": a_parcel,
    "ipns": an_ipns_record,
    "invite": an_invite,
    "bundle": bundle,
    "initial": initial,
    "blob": blob,
    "conversation": conversation,
    "envelope": an_envelope,
    "content": a_content,
    "file": a_file,
    "file-blob": a_blob_of_a_file,
    "queue": queue,
    "shared-box": a_shared_box,
    "log": a_log,
    "log-opening": opening_a_log,
    "box": box,
    "closed": closed,
    "opening": opening,
    "stamp": stamp,
    "frame": a_frame,
    "descriptor": a_descriptor,
    "punch": a_punch,
    **GROUP_CHECKS,
    "post": a_channel_post,
    "head": a_channel_head,
    "fork": a_fork,
    "body": a_sealed_body,
    "link": a_channel_link,
}


@pytest.mark.parametrize("name", FILES)
def test_vector(name: str) -> None:
    one = read(name)
    check = CHECKS[one["object"]]
    if "refused" not in one:
        check(one)
        return
    with pytest.raises((BadInvite, CannotOpen)) as caught:
        check(one)
    assert caught.type is (BadInvite if one["object"] == "invite" else CannotOpen)


def test_the_generator_makes_these_files_and_no_others() -> None:
    made = generate.everything()
    assert set(made) == set(FILES)
    for name, one in made.items():
        assert read(name) == json.loads(json.dumps(one)), name


_OF_CHANNELS = ("post", "head", "fork", "body", "link")


def test_there_is_something_refused_of_everything_that_is_read() -> None:
    seen = [(one["object"], "refused" in one) for one in map(read, FILES)]
    sealed = ("invite", "bundle", "initial", "blob", "envelope")
    for kind in (
        *sealed,
        "content",
        "file-blob",
        "opening",
        "stamp",
        "frame",
        "descriptor",
        "punch",
        *_OF_CHANNELS,
        *(kind for kind in GROUP_CHECKS if kind not in ("group-epoch", "membership")),
    ):
        assert (kind, False) in seen
        assert (kind, True) in seen


def test_the_envelopes_that_are_refused_would_open_but_for_one_thing() -> None:
    """The same people as the generator's: its good envelope opens in the state that refuses the bad ones."""
    both = meet("vector message", frozen=True)
    assert ratchet.dump(both.bob.live.ratchet).hex() == read("envelope-ok")["state"]
    assert len(unhex(read("envelope-ok")["envelope"])) == BUCKETS[0]
    for name in ("header", "body", "parts", "size", "padding", "jump", "transcript"):
        assert read(f"envelope-bad-{name}")["state"] == read("envelope-ok")["state"]
