"""An edit: a new text for one of the sender's own messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents import mention
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.contents.target import TARGET
from p2pchat.core.ids import MessageId
from p2pchat.core.text import MAX_TEXT_BYTES
from p2pchat.lib.times import HOUR_MS

EDITABLE_FOR_MS = 48 * HOUR_MS
"""An edit that was written later than this after its message has no effect, by the clock of their author."""
_SHAPE = codec.array(TARGET, codec.text(MAX_TEXT_BYTES), open_end=True)


@dataclass(frozen=True, slots=True, repr=False)
class Edit(Payload):
    """message: the id of one of the sender's texts. written, mentions: the new
    text, as in `Text`."""

    KIND = Kind(1, "edit", in_group=True)
    message: MessageId
    written: str
    mentions: tuple[MentionedMember, ...] = ()

    def encode(self) -> list[object]:
        """Return [message id, text] or [message id, text, mentions]."""
        said = [self.message, self.written]
        return [*said, mention.written(self.mentions)] if self.mentions else [*said]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, text] or [message id, text, mentions]. Raises CannotOpen."""
        message, written = _SHAPE(value)
        return cls(message, written, mention.read(value[2]) if len(value) > 2 else ())
