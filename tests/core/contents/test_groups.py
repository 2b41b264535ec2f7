"""The contents about groups that travel between two people."""

from __future__ import annotations

import pytest

from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import (
    Edit,
    GroupAsk,
    GroupHistory,
    GroupItem,
    GroupJoin,
    GroupLost,
    GroupMeet,
    GroupMember,
    GroupOffer,
    GroupRefusal,
    GroupSeen,
    GroupWant,
    GroupWelcome,
    Hide,
    Payload,
    Report,
    Text,
)
from p2pchat.core.contents.group_refusal import JoinRefusal
from p2pchat.core.contents.group_want import MessagePlace
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.groups.parts import cut
from p2pchat.core.groups.welcome import PART_ROOM, make_join_keys
from p2pchat.core.ids import EpochId, MemberId, MessageId
from p2pchat.errors import CannotOpen
from tests.core.groups.members import GROUP, member
from tests.core.people import NOW

DAN = member("dan")
KEYS = make_join_keys(GROUP, DAN.seed, DAN.leaf.leaf, "Dan", b"p" * 32)
LONGEST = cut(bytes(PART_ROOM - 1728 - 16), PART_ROOM)[0]
PAYLOADS: tuple[Payload, ...] = (
    GroupOffer(GROUP, "é" * 128, 9, True, 4999),
    GroupJoin(GROUP, KEYS, "w" * 512),
    GroupWelcome(LONGEST),
    GroupItem(GROUP, bytes(16_384)),
    GroupItem(GROUP, bytes(1024), (MemberId(bytes(8)),) * 8),
    GroupMeet((bytes(8),) * 256),
    GroupLost(GROUP),
    GroupSeen(GROUP, 1, 2**53),
    GroupWant(GROUP, (MessagePlace(EpochId(bytes(32)), MemberId(bytes(8)), 2**32 - 1),) * 64),
    GroupMember(GROUP, MemberId(bytes(8)), bytes(64)),
    GroupHistory(LONGEST),
    GroupRefusal(GROUP, JoinRefusal.FULL),
    GroupRefusal(GROUP, 255),
    GroupAsk(bytes(32)),
    Hide(MessageId(bytes(16)), MemberId(bytes(8)), "r" * 256),
    Text("@anna", "q", (MentionedMember(MemberId(bytes(8)), "é" * 80),) * 16),
    Text("@anna", mentions=(MentionedMember(MemberId(bytes(8)), "anna"),)),
    Edit(MessageId(bytes(16)), "@anna", (MentionedMember(MemberId(bytes(8)), "anna"),)),
    Report(bytes(32), ((MemberId(bytes(8)), bytes(360)),) * 16),
)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
def test_a_content_about_a_group_opens_to_what_it_was(payload: Payload) -> None:
    content = Content(payload, MessageId(bytes(16)), int(payload.KIND.visible), NOW)
    assert decode_content(encode_content(content)) == content
    assert type(payload).decode([*payload.encode(), 0]) == payload  # a later version may say more


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (GroupOffer, [GROUP, "n" * 257, 9, True, 1]),
        (GroupOffer, [GROUP[:-1], "n", 9, True, 1]),
        (GroupOffer, [GROUP, "n", 256, True, 1]),
        (GroupJoin, [GROUP, KEYS.sign, KEYS.leaf, b"", "n", KEYS.proof, ""]),
        (GroupJoin, [GROUP, KEYS.sign, KEYS.leaf, None, "n" * 65, KEYS.proof, ""]),
        (GroupJoin, [GROUP, KEYS.sign, KEYS.leaf, None, "n", KEYS.proof, "w" * 513]),
        (GroupWelcome, [[bytes(16)], 0, b"x"]),
        (GroupItem, [GROUP, bytes(1000), []]),
        (GroupItem, [GROUP, bytes(1024)]),
        (GroupItem, [GROUP, bytes(1024), [bytes(8)] * 9]),
        (GroupMeet, [[bytes(8)] * 257]),
        (GroupItem, [GROUP, bytes(65_536), []]),
        (GroupMember, [GROUP, bytes(9), bytes(64)]),
        (GroupHistory, []),
        (GroupRefusal, [GROUP]),
        (GroupAsk, [bytes(16)]),
        (GroupLost, [bytes(16)]),
        (GroupSeen, [GROUP, 0, 1]),
        (GroupSeen, [GROUP, 2, 1]),
        (GroupSeen, [GROUP, 1, 2**53 + 1]),
        (GroupWant, [GROUP, [[bytes(32), bytes(8), 0]] * 65]),
        (GroupWant, [GROUP, [[bytes(32), bytes(8), 2**32]]]),
        (GroupWant, [GROUP, [[bytes(32), bytes(7), 0]]]),
    ],
)
def test_another_shape_is_refused(kind: type[Payload], fields: list[object]) -> None:
    with pytest.raises(CannotOpen):
        kind.decode(fields)
