"""The members who wrote what is in the window of a group: the label and the colour of each, and how a mention looks.

A colour depends on the member's id alone, so it is the same tomorrow and on another computer. Only those who wrote
something in the window are known here: a group of thousands is opened without its list of members.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from p2pchat.lib import lookalikes
from p2pchat.lib.mentions import ALL, Mention, mentions
from p2pchat.tui.formatting import Part, Span
from p2pchat.tui.model import Author, Mentioned, Message

COLOURS, OF_TWO = 6, 4
"""Roles `name-0` to `name-5`, for members; a chat of two needs fewer, and none that means something else beside it."""

_MAX_WORDS = 64
"""Mentions of others in a part of a text that are marked."""

MAX_KNOWN = 1_000
"""Members that are remembered; then it begins anew with those of the window."""

_WORD = re.compile(r"(?<!\w)@\w[\w\u200c.'-]{0,63}(?<![.'-])")
"""A mention of somebody who wrote nothing in the window."""


def role(id: str, colours: int = COLOURS) -> str:
    """Return the role of the name of a member, or of a contact by the id of their chat: one of so many colours."""
    return f"name-{zlib.crc32(id.encode()) % colours}"


class Senders:
    """The labels of members by their ids. Two that look alike differ in them, also from what the user is called."""

    def __init__(self) -> None:
        self.labels: Mapping[str, str] = {}
        self._names: dict[str, str] = {}
        self._me = ""

    def begin(self, me: str = "") -> None:
        """Forget all, for another chat, in which the user is called `me`."""
        self.labels, self._names, self._me = {}, {}, me

    def see(self, messages: Iterable[Message]) -> bool:
        """Note who wrote these messages; return whether a label is new or another one."""
        told = {author.id: author.name for message in messages for author in _authors(message)}
        new = {id: name for id, name in told.items() if self._names.get(id) != name}
        if not new:
            return False
        if len(self._names) > MAX_KNOWN:
            self._names.clear()
        self._names |= told
        named = [(name, id) for id, name in self._names.items()]
        # Nobody passes for the user. Their own label is not shown, so it needs no digits.
        *labels, _ = lookalikes.labels([*named, (self._me or "you", "")])
        before, self.labels = self.labels, dict(zip(self._names, labels, strict=True))
        return before != self.labels


def _authors(message: Message) -> Iterable[Author]:
    if message.member is not None:
        yield message.member
    if message.quote is not None and message.quote.member is not None:
        yield message.quote.member


def with_mentions(
    part: Part, labels: Mapping[str, str], me: str, *, mentions_me: bool, by_id: Sequence[Mentioned] = ()
) -> Sequence[Span]:
    """Return the spans of a part of a text, those of mentions among them. me: what the user is called in the group.
    mentions_me: the node says that the message mentions the user, so `@all` does. by_id: whom the author says that they
    mean; then a name alone means nobody.
    """
    if part.kind == "code" or "@" not in part.text:
        return part.spans
    own = {*(() if by_id else (me.casefold(),)), *({ALL} if mentions_me else ())} - {""}
    ours = {each.words.casefold(): each.me for each in by_id}

    def here(mention: Mention) -> bool:
        return mentions_me or not mention.digits  # whose digits they are, the node knows

    said = [
        Span(each.start, each.end, "mention-me" if ours[each.name.casefold()] else "mention")
        for each in mentions(part.text, [each.words for each in by_id])
    ]
    found = [
        Span(each.start, each.end, "mention-me" if each.name.casefold() in own and here(each) else "mention")
        for each in mentions(part.text, [*labels.values(), me, ALL])
    ]
    others = [Span(*match.span(), "mention") for match in islice(_WORD.finditer(part.text), _MAX_WORDS)]
    return _apart([*part.spans, *said, *found, *others])


def _apart(spans: Sequence[Span]) -> list[Span]:
    """Return spans in the order of the text, without those that overlap one that was named before them."""
    kept: list[Span] = []
    taken: set[int] = set()
    for span in spans:
        letters = range(span.start, span.end)
        if taken.isdisjoint(letters):
            taken.update(letters)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)
