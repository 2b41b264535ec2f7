"""What is inside an envelope: each type's shape, and room for types to come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.codec import U32, U64, encode
from p2pchat.core.content import MESSAGE_ID, Content, decode_content, encode_content, new_message_id
from p2pchat.core.contents import (
    KINDS,
    Addresses,
    ContactProfile,
    ContactRelay,
    Delete,
    Edit,
    File,
    NewBundle,
    Pin,
    Queues,
    Reaction,
    Receipt,
    RenewalRequest,
    Reset,
    Text,
    Timer,
    Transfer,
    Typing,
    Unknown,
    kind_of,
)
from p2pchat.core.contents.addresses import MAX_OWN_WAYS
from p2pchat.core.contents.file import (
    MAX_CAPTION_BYTES,
    MAX_MEDIA_BYTES,
    MAX_NAME_BYTES,
    MAX_PREVIEW_BYTES,
    PEAKS,
    FileForm,
)
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.contents.queues import MAX_QUEUES, AnnouncedQueue
from p2pchat.core.contents.receipt import DELIVERED
from p2pchat.core.contents.relay import NO_RELAY
from p2pchat.core.contents.target import OURS, THEIRS
from p2pchat.core.contents.text import MAX_QUOTE_BYTES
from p2pchat.core.contents.timer import MAX_TIMER_SECONDS
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.envelope import MAX_CONTENT
from p2pchat.core.file_boxes import MAX_ADDRESS, MAX_TOKEN, NOWHERE, BoxRelay, SharedBoxes
from p2pchat.core.files import MAX_FILE_BYTES
from p2pchat.core.ids import MemberId, MessageId, PeerKey, SessionId
from p2pchat.core.relays import Relay
from p2pchat.core.text import MAX_TEXT_BYTES
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import format_duration
from tests.core.contents.test_groups import PAYLOADS as ABOUT_GROUPS
from tests.core.people import NOW, Chance

ID = MessageId(bytes(range(MESSAGE_ID)))
WAY = (PeerKey(bytes(32)), b"\x04\x7f\0\0\1\x06\x0f\xa1")
QUEUE = (*WAY, b"a token", b"f" * 32, b"p" * 32, NOW)
ANNOUNCED = AnnouncedQueue(*QUEUE)
TEXT, RECEIPT, BUNDLE, RESET = (kind.KIND.number for kind in (Text, Receipt, NewBundle, Reset))
PROFILE, REQUEST, QUEUES = (kind.KIND.number for kind in (ContactProfile, RenewalRequest, Queues))
ADDRESSES, RELAY = Addresses.KIND.number, ContactRelay.KIND.number
EDIT, DELETE, REACTION, PIN = (kind.KIND.number for kind in (Edit, Delete, Reaction, Pin))
TYPING, TIMER = Typing.KIND.number, Timer.KIND.number
FILE, TRANSFER = File.KIND.number, Transfer.KIND.number
PHOTO = File(FileForm.PICTURE, "a.png", "image/png", 70_000, b"k" * 32, b"r" * 32, 640, 480, 0, b"\xff\xd8", "a heron")
SAID = Content(Text("سلام 👩‍💻\0\n"), ID, 1, NOW)
PAYLOADS = {
    "receipt": Receipt(DELIVERED, (ID,) * 64),
    "bundle": NewBundle(bytes(3000)),
    "reset": Reset(SessionId(bytes(32))),
    "profile": ContactProfile("Alice", True, (WAY,) * 4, (ANNOUNCED,)),
    "introduction": ContactProfile("Alice", True, (WAY,) * 4, (ANNOUNCED,), b"m" * 32),
    "request": RenewalRequest(bytes(3000), (ANNOUNCED,)),
    "queues": Queues((ANNOUNCED,) * MAX_QUEUES),
    "no queues": Queues(()),
    "addresses": Addresses((WAY,)),
    "addresses and the next key": Addresses((WAY,), PeerKey(b"\7" * 32)),
    "relay": ContactRelay(Relay(PeerKey(bytes(32)), (b"somewhere",) * MAX_OWN_WAYS, b"word")),
    "no relay": ContactRelay(NO_RELAY),
    "edit": Edit(ID, "€" * (MAX_TEXT_BYTES // 3)),
    "delete": Delete(ID, 1 << 53),
    "reaction": Reaction(ID, OURS, "👩🏻‍❤️‍💋‍👩🏽"),
    "no reaction": Reaction(ID, THEIRS, ""),
    "reaction to somebody else's": Reaction(ID, 255, "👍"),
    "pin": Pin(ID, OURS, True),
    "typing": Typing(True),
    "transfer": Transfer(ID, TransferNews.WITHDRAWN),
    "transfer of a newer client": Transfer(ID, 255),
}
EXAMPLES = {
    "text": SAID,
    "empty text": replace(SAID, payload=Text("")),
    "longest text": replace(SAID, payload=Text("€" * (MAX_TEXT_BYTES // 3))),
    "reply that expires": replace(SAID, reply_to=ID, expire_s=U32, heads=(b"12345678",) * 4),
    "reply with the longest text and quote": replace(
        SAID,
        payload=Text("€" * (MAX_TEXT_BYTES // 3), "👍" * (MAX_QUOTE_BYTES // 4)),
        reply_to=ID,
        heads=(b"12345678",) * 4,
    ),
    "timer": replace(SAID, payload=Timer(MAX_TIMER_SECONDS)),
    "no timer": replace(SAID, payload=Timer(0)),
    "picture": replace(SAID, payload=PHOTO),
    "picture in a group": replace(
        SAID,
        payload=replace(
            PHOTO, boxes=SharedBoxes(b"p" * 32, (BoxRelay(PeerKey(b"r" * 32), b"a" * MAX_ADDRESS, b"t" * MAX_TOKEN),))
        ),
    ),
    "file in a group at no relay": replace(SAID, payload=replace(PHOTO, boxes=NOWHERE)),
    "file in a group for somebody": replace(
        SAID, payload=replace(PHOTO, boxes=NOWHERE, mentions=(MentionedMember(MemberId(b"m" * 8), "anna"),))
    ),
    "voice note in reply": replace(
        SAID, payload=File(FileForm.VOICE, "v.opus", "", 1, b"k" * 32, b"r" * 32, 0, 0, 1, bytes(PEAKS)), reply_to=ID
    ),
    "empty file of a newer form": replace(SAID, payload=replace(PHOTO, form=255, size=0, preview=b"", caption="")),
    "largest file": replace(
        SAID,
        payload=File(
            FileForm.FILE,
            "€" * (MAX_NAME_BYTES // 3),
            "m" * MAX_MEDIA_BYTES,
            MAX_FILE_BYTES,
            *(b"k" * 32, b"r" * 32, 65_535, 65_535, U32),
            b"p" * MAX_PREVIEW_BYTES,
            "👍" * (MAX_CAPTION_BYTES // 4),
        ),
    ),
    **{case: Content(payload, ID, 0, NOW) for case, payload in PAYLOADS.items()},
    **{
        f"{type(payload).__name__} {place}": Content(payload, ID, int(payload.KIND.visible), NOW)
        for place, payload in enumerate(ABOUT_GROUPS)
    },
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_what_is_written_is_read(case: str) -> None:
    one = EXAMPLES[case]
    data = encode_content(one)
    assert decode_content(data) == one
    assert len(data) <= MAX_CONTENT


@given(st.text(max_size=2000), st.integers(1, 1 << 53), st.integers(0, 1 << 53))
def test_text_is_kept_byte_for_byte(written: str, seq: int, sent_at: int) -> None:
    one = Content(Text(written), ID, seq, sent_at)
    back = decode_content(encode_content(one))
    assert back.payload == Text(written)
    assert (back.seq, back.sent_at) == (seq, sent_at)


NEXT_HAS_A_MEANING = (
    *("profile", "addresses", "text", "empty text", "longest text", "reply that expires"),
    *("queues", "no queues", "reply with the longest text and quote", "edit"),
    *("picture", "voice note in reply", "empty file of a newer form", "largest file"),
    *("picture in a group", "file in a group at no relay"),
)
"""The next field is the mark, the next transport key, the quote, who is mentioned, descriptors of relays, or where a
file lies."""


@pytest.mark.parametrize("case", [case for case in EXAMPLES if case not in NEXT_HAS_A_MEANING])
def test_later_versions_may_append(case: str) -> None:
    one = EXAMPLES[case]
    fields = [1, one.type, one.message_id, one.seq, one.sent_at, one.reply_to, one.expire_s]
    data = encode([*fields, [*one.payload.encode(), "more"], list(one.heads), "and", ["more"]])
    if len(data) <= MAX_CONTENT:
        assert decode_content(data) == one


@pytest.mark.parametrize("seq", [0, 7])
@pytest.mark.parametrize("kind", [8, 13, 200, 255])
def test_a_type_of_a_newer_client_breaks_nothing(kind: int, seq: int) -> None:
    one = decode_content(encode_content(Content(Unknown(kind, ("file", [1, 2])), ID, seq, NOW)))
    assert (one.type, one.seq, one.payload) == (kind, seq, Unknown(kind))


def fields(**changes: Any) -> list[Any]:
    one: dict[str, Any] = {
        "version": 1,
        "type": TEXT,
        "id": ID,
        "seq": 1,
        "sent_at": NOW,
        "reply_to": None,
        "expire_s": 0,
        "payload": ["hi"],
        "heads": [],
    }
    return list((one | changes).values())


WRONG: dict[str, list[Any]] = {
    "version 2": fields(version=2),
    "type 256": fields(type=256),
    "short id": fields(id=ID[:-1]),
    "visible without seq": fields(seq=0),
    "invisible with seq": fields(type=RECEIPT, payload=[0, []]),
    "seq beyond what a reader of JSON holds": fields(seq=(1 << 53) + 1),
    "time beyond any calendar": fields(sent_at=(1 << 53) + 1),
    "largest time": fields(sent_at=U64),
    "short reply": fields(reply_to=b""),
    "expiry too large": fields(expire_s=U32 + 1),
    "five heads": fields(heads=[bytes(8)] * 5),
    "short head": fields(heads=[bytes(7)]),
    "text too long": fields(payload=["x" * (MAX_TEXT_BYTES + 1)]),
    "text too long in bytes": fields(payload=["€" * (MAX_TEXT_BYTES // 3 + 1)]),
    "text in bytes": fields(payload=[b"hi"]),
    "no text": fields(payload=[]),
    "payload that is no list": fields(payload="hi"),
    "payload missing": fields(payload=None),
    "quote in bytes": fields(payload=["hi", b"hi"]),
    "quote of a number": fields(payload=["hi", 1]),
    "quote too long": fields(payload=["hi", "x" * (MAX_QUOTE_BYTES + 1)]),
    "quote too long in bytes": fields(payload=["hi", "€" * (MAX_QUOTE_BYTES // 3 + 1)]),
    "edit of a short id": fields(type=EDIT, seq=0, payload=[ID[:-1], "hi"]),
    "edit with seq": fields(type=EDIT, payload=[ID, "hi"]),
    "edit without text": fields(type=EDIT, seq=0, payload=[ID]),
    "edit in bytes": fields(type=EDIT, seq=0, payload=[ID, b"hi"]),
    "edit too long": fields(type=EDIT, seq=0, payload=[ID, "x" * (MAX_TEXT_BYTES + 1)]),
    "delete without a number": fields(type=DELETE, seq=0, payload=[ID]),
    "delete of number 0": fields(type=DELETE, seq=0, payload=[ID, 0]),
    "delete of a number too large": fields(type=DELETE, seq=0, payload=[ID, (1 << 53) + 1]),
    "delete of a short id": fields(type=DELETE, seq=0, payload=[b"", 1]),
    "reaction without an author": fields(type=REACTION, seq=0, payload=[ID, "👍"]),
    "reaction to author 256": fields(type=REACTION, seq=0, payload=[ID, 256, "👍"]),
    "reaction of a word": fields(type=REACTION, seq=0, payload=[ID, 0, "yes"]),
    "reaction of two emoji": fields(type=REACTION, seq=0, payload=[ID, 0, "👍👍"]),
    "reaction in bytes": fields(type=REACTION, seq=0, payload=[ID, 0, "👍".encode()]),
    "reaction of a text without end": fields(type=REACTION, seq=0, payload=[ID, 0, "👍" * 12_000]),
    "pin with 1 for true": fields(type=PIN, seq=0, payload=[ID, 0, 1]),
    "pin of a short id": fields(type=PIN, seq=0, payload=[ID[1:], 0, True]),
    "typing with 1 for true": fields(type=TYPING, seq=0, payload=[1]),
    "typing with seq": fields(type=TYPING, payload=[True]),
    "timer without seq": fields(type=TIMER, seq=0, payload=[60]),
    "timer for longer than a year": fields(type=TIMER, payload=[MAX_TIMER_SECONDS + 1]),
    "timer of a boolean": fields(type=TIMER, payload=[True]),
    "65 receipts": fields(type=RECEIPT, seq=0, payload=[0, [ID] * 65]),
    "receipt for a short id": fields(type=RECEIPT, seq=0, payload=[0, [b"x"]]),
    "bundle too long": fields(type=BUNDLE, seq=0, payload=[bytes(4001)]),
    "short reset": fields(type=RESET, seq=0, payload=[bytes(31)]),
    "profile with five ways": fields(type=PROFILE, seq=0, payload=["A", True, [list(WAY)] * 5]),
    "profile with 1 for true": fields(type=PROFILE, seq=0, payload=["A", 1, []]),
    "profile with a long name": fields(type=PROFILE, seq=0, payload=["A" * 1025, True, []]),
    "profile with a text for queues": fields(type=PROFILE, seq=0, payload=["A", True, [], "queues"]),
    "profile with half a queue": fields(type=PROFILE, seq=0, payload=["A", True, [], [list(WAY)]]),
    "profile with half a mark": fields(type=PROFILE, seq=0, payload=["A", True, [], [], bytes(16)]),
    "request without queues": fields(type=REQUEST, seq=0, payload=[bytes(3000)]),
    "five queues": fields(type=QUEUES, seq=0, payload=[[list(QUEUE)] * 5]),
    "a queue with a field too many": fields(type=QUEUES, seq=0, payload=[[[*QUEUE, 0]]]),
    "a queue with a long token": fields(type=QUEUES, seq=0, payload=[[[*WAY, bytes(65), *QUEUE[3:]]]]),
    "a queue without an address": fields(type=QUEUES, seq=0, payload=[[[bytes(32), b"", *QUEUE[2:]]]]),
    "a queue for ever": fields(type=QUEUES, seq=0, payload=[[[*QUEUE[:-1], (1 << 53) + 1]]]),
    "address without bytes": fields(type=ADDRESSES, seq=0, payload=[[[bytes(32), b""]]]),
    "relay with an address without bytes": fields(type=RELAY, seq=0, payload=[bytes(32), [b""], b""]),
    "relay with five addresses": fields(type=RELAY, seq=0, payload=[bytes(32), [b"somewhere"] * 5, b""]),
    "relay with a long token": fields(type=RELAY, seq=0, payload=[bytes(32), [], bytes(65)]),
    "relay with a short key": fields(type=RELAY, seq=0, payload=[bytes(31), [], b""]),
    **{
        f"file with {about}": fields(type=FILE, payload=[*PHOTO.encode()[:at], value, *PHOTO.encode()[at + 1 :]])
        for about, at, value in (
            ("form 256", 0, 256),
            ("no name", 1, ""),
            ("a name of 256 bytes", 1, "€" * 85 + "x"),
            ("a name in bytes", 1, b"a.png"),
            ("a media type of 81 bytes", 2, "m" * 81),
            ("a size too large", 3, MAX_FILE_BYTES + 1),
            ("a size below 0", 3, -1),
            ("a key of 31 bytes", 4, b"k" * 31),
            ("a root of 16 bytes", 5, b"r" * 16),
            ("a width of 65,536", 6, 65_536),
            ("a height of nothing", 7, None),
            ("a duration of a fraction", 8, 1.5),
            ("a preview of 6,145 bytes", 9, bytes(6_145)),
            ("a caption of 4,097 bytes", 10, "x" * 4_097),
        )
    },
    "file without seq": fields(type=FILE, seq=0, payload=PHOTO.encode()),
    "file without a caption": fields(type=FILE, payload=PHOTO.encode()[:-1]),
    "transfer without a state": fields(type=TRANSFER, seq=0, payload=[ID]),
    "transfer of a short id": fields(type=TRANSFER, seq=0, payload=[ID[1:], 0]),
    "transfer of state 256": fields(type=TRANSFER, seq=0, payload=[ID, 256]),
    "transfer with seq": fields(type=TRANSFER, payload=[ID, 0]),
    "one field less": fields()[:-1],
    "nothing": [],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_contents_are_refused(case: str) -> None:
    with pytest.raises(CannotOpen):
        decode_content(encode(WRONG[case]))


def test_the_cases_above_fail_for_their_own_reason() -> None:
    assert decode_content(encode(fields())).payload == Text("hi")


def test_what_is_larger_than_an_envelope_is_refused() -> None:
    with pytest.raises(CannotOpen):
        decode_content(encode([*fields(), bytes(MAX_CONTENT)]))


def test_message_ids_grow_with_time() -> None:
    chance = Chance("ids")
    ids = [new_message_id(NOW + step, chance.random) for step in range(100)]
    assert ids == sorted(ids)
    assert len({one[6:] for one in ids}) == 100
    assert all(len(one) == MESSAGE_ID for one in ids)


def read(payload: ContactProfile | Queues | Receipt) -> Any:
    """The payload as its recipient reads it."""
    return decode_content(encode_content(Content(payload, ID, 0, NOW))).payload


@pytest.mark.parametrize("queues", [None, (), (ANNOUNCED,) * 4])
def test_a_profile_may_tell_queues(queues: tuple[AnnouncedQueue, ...] | None) -> None:
    profile = ContactProfile("Alice", True, (WAY,), queues)
    assert read(profile) == profile


def test_a_profile_with_a_mark_tells_queues() -> None:
    assert read(ContactProfile("Alice", True, (WAY,), mark=b"m" * 32)).queues == ()


def test_at_most_four_queues_are_told() -> None:
    said = tuple(replace(ANNOUNCED, until=number) for number in range(6))
    assert read(Queues(said)).queues == said[:4]
    assert repr(said[0].put_seed) not in repr(said[0])


def test_a_profile_tells_at_most_four_ways() -> None:
    assert read(ContactProfile("Alice", True, (WAY,) * 6)).ways == (WAY,) * 4


@pytest.mark.parametrize(("written", "name"), [("\x1b[2JA\u202eb", "[2JAb"), ("\u3164", "nameless"), ("", "nameless")])
def test_the_name_in_a_profile_is_cleaned(written: str, name: str) -> None:
    assert read(ContactProfile(written, True, ())).name == name


def test_a_content_does_not_show_its_text() -> None:
    for payload in (Text("secret plan"), replace(PHOTO, name="secret plan", caption="secret plan")):
        said = replace(SAID, payload=payload)
        assert "secret plan" not in f"{said!r} {said.payload!r}"


def test_every_kind_has_a_row_and_an_example() -> None:
    assert set(KINDS) == {one.type for one in EXAMPLES.values()}
    assert [kind.KIND.name for kind in KINDS.values() if kind.KIND.visible] == ["text", "file", "timer"]
    assert [kind.KIND.name for kind in KINDS.values() if kind.KIND.fleeting] == ["typing"]
    assert kind_of(77) == Unknown.KIND


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "5 seconds"),
        (60, "1 minute"),
        (5400, "1 hour 30 minutes"),
        (7 * 86_400, "1 week"),
        (8 * 86_400, "1 week 1 day"),
    ],
)
def test_a_timer_is_told_in_words(seconds: int, words: str) -> None:
    assert format_duration(seconds) == words
    assert words in Timer(seconds).text()
