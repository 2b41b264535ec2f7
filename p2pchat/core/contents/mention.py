"""Whom a text of a group, or a caption, mentions: members, by their ids, with the words that stand for each behind an
`@`.

A name is no proof of who is meant: two members may have one, and may choose another. So the id says who, and the words
only where in the text; whoever is not named in the text is not mentioned.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core import codec
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId

MAX_MENTIONS = 16
MAX_WORDS_BYTES = 160
"""A name of 64 bytes as its contact may have given it, and digits of an id."""
SHAPE = codec.listing(codec.array(codec.binary(MEMBER_ID_BYTES), codec.text(MAX_WORDS_BYTES)), MAX_MENTIONS)


class MentionedMember(NamedTuple):
    """A member, and the words behind the `@` in the text."""

    member: MemberId
    words: str


def read(value: object) -> tuple[MentionedMember, ...]:
    """Read [[member, words] …]. Raises CannotOpen."""
    return tuple(MentionedMember(MemberId(member), words) for member, words in SHAPE(value))


def written(mentions: tuple[MentionedMember, ...]) -> list[object]:
    """Return [[member, words] …]."""
    return [[each.member, each.words] for each in mentions]
