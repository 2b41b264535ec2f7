"""The classes of the table's rows, and what several rows have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

REQUIRED: Final = "required"
WAITS: Final = ("saved", "stored", "delivered", "read")


@dataclass(frozen=True)
class Param:
    """One parameter of a method. kind: text, integer, number, flag or texts. choices: the allowed texts. default: None
    means that it may be null.
    """

    name: str
    kind: str
    doc: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        """Whether it may be omitted."""
        return self.default is None


@dataclass(frozen=True)
class Method:
    """One method. early: whether it is answered before the profile is unlocked and open."""

    name: str
    doc: str
    result: str
    params: tuple[Param, ...] = ()
    early: bool = False


@dataclass(frozen=True)
class Event:
    """One event that the node sends to subscribers."""

    name: str
    doc: str
    params: str


CONTACT = Param("contact", "text", "A contact: its id, a unique prefix of it, or its name.")
CHAT = Param(
    "chat", "text", "A chat: its id, a unique prefix of it, or the contact's name; `notes` is the chat with oneself."
)
TIMEOUT = Param("timeout", "number", "The maximum time to wait, in seconds.", default=30)
MESSAGE_ID = Param("id", "text", "A message: its id or a unique prefix of it.")

TIMES = "2026-11-20, 2026-11-20T14:00 (with Z or a zone, else local), 14:00, today, yesterday, 30m, 3h, 7d or 2w ago."

MESSAGE = (
    "{id, chat, from, sender, mine, text, kind, sent_at, received_at, state, route, late, reply_to, quote, edited_at, "
    "reactions, pinned, expires_in, expires_at, deleted}"
)
FIELDS = (
    "`mine`: the user wrote it; otherwise `sender` is the id of the contact who wrote it. `from` is the "
    "name to show, or `me`. `kind` is text, or timer for a line about the chat. `reply_to` is the id of "
    "the message that it replies to, and `quote` is the beginning of that message, {from, text, here, "
    "deleted, expires_in}; if the message is not `here`, the text is what the sender of the reply says it was. "
    "`reactions` is [{emoji, from, mine}]. `expires_in` is the number of seconds that it stays after it "
    "was read, or sent if it is one's own; `expires_at` is when that ends, null before. `deleted`: its "
    "sender deleted it for both, and its text is empty."
)
IN_CHAT = Param("chat", "text", "The chat it is in; null for the first message with that id.", default=None)
