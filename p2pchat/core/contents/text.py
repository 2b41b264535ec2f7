"""A text: a message that a person wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents import mention
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.text import MAX_QUOTE, MAX_TEXT_BYTES

MAX_QUOTE_BYTES = 4 * MAX_QUOTE
_SHORT = codec.array(codec.text(MAX_TEXT_BYTES), open_end=True)
_WITH_QUOTE = codec.array(codec.text(MAX_TEXT_BYTES), codec.text(MAX_QUOTE_BYTES), open_end=True)


@dataclass(frozen=True, slots=True, repr=False)
class Text(Payload):
    """written: at most 48,000 bytes of UTF-8, kept byte for byte and cleaned when it is shown. quote: in a reply, the
    beginning of the message that it answers, for a reader who does not have that one; at most 480 bytes. mentions: in
    a group, whom it mentions.
    """

    KIND = Kind(0, "text", visible=True, in_group=True)
    written: str
    quote: str = ""
    mentions: tuple[MentionedMember, ...] = ()

    def encode(self) -> list[object]:
        """Return [text], [text, quote], or [text, quote, mentions]."""
        if self.mentions:
            return [self.written, self.quote, mention.written(self.mentions)]
        return [self.written, self.quote] if self.quote else [self.written]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [text], [text, quote], or [text, quote, mentions]. Raises CannotOpen."""
        quoting = isinstance(value, list) and len(value) > 1
        written, *more = (_WITH_QUOTE if quoting else _SHORT)(value)
        mentions = mention.read(value[2]) if len(value) > 2 else ()
        return cls(written, more[0] if more else "", mentions)

    def text(self) -> str:
        """Return what was written."""
        return self.written

    def quoted(self) -> str:
        """Return the quote."""
        return self.quote
