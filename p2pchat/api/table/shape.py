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
    "chat",
    "text",
    "A chat: its id, a unique prefix of it, or the name of the contact or group; `notes` is the chat with oneself.",
)
TIMEOUT = Param("timeout", "number", "The maximum time to wait, in seconds.", default=30)
MESSAGE_ID = Param("id", "text", "A message: its id or a unique prefix of it.")

TIMES = "2026-11-20, 2026-11-20T14:00 (with Z or a zone, else local), 14:00, today, yesterday, 30m, 3h, 7d or 2w ago."

MESSAGE = (
    "{id, chat, from, sender, member, mentions_me, mentions, mine, text, kind, sent_at, received_at, state, route, "
    "late, reply_to, quote, edited_at, reactions, pinned, expires_in, expires_at, deleted, hidden, file, seen}"
)
FIELDS = (
    "`mine`: the user wrote it; otherwise `sender` is the id of the contact who wrote it. `from` is the "
    "name to show, or `me`. In a group, `member` is {id, name} of the member who wrote it, and `sender` their id; in "
    "a channel the same of the writer; "
    "elsewhere, and for one's own, `member` is null; `mentions_me`: it mentions the user, or all; "
    "`mentions` is [{id, words, me}] of the members whom it mentions by their ids, with the words behind the @. "
    "`route` history: it is no news, and signed by whoever wrote it: in a group it is from before the user joined, "
    "in a channel from a page before the first one, for which somebody has asked (`log`). "
    "`kind` is text, file, or timer for a line about the chat. `reply_to` is the id of "
    "the message that it replies to, and `quote` is the beginning of that message, {from, text, here, "
    "deleted, expires_in, file}, in a group with its `member`; if the message is not `here`, the text is what the "
    "sender of the reply says it was. "
    "`reactions` is [{emoji, from, mine}]. `expires_in` is the number of seconds that it stays after it "
    "was read, or sent if it is one's own; `expires_at` is when that ends, null before. `deleted`: its "
    "sender deleted it for both, or it was hidden, and its text is empty. `hidden` is {by, reason} of a message "
    "that a moderator, or somebody above, has hidden in a group, otherwise null. `file` is null for other kinds than "
    "file, whose `text` is the caption; `files` says what is in it. `seen` is how many members of a group have told "
    "that they read one's own message, null for nobody: only contacts do, if they choose to."
)
FILE = (
    "`file` is {name, size, type, form, state, progress, rate, stored, group, problem, path, width, height, duration, "
    "peaks, preview}. `name` is without anything that a terminal obeys, and never a path; `size` is in bytes; `type` "
    "is the media type that the sender says. `form` is file, picture or voice. `state` of a contact's file is offered "
    "(`fetch_file` fetches it), waiting (wanted, and nobody has it now), moving, here (whole on this disk), paused, "
    "failed or gone; of one's own it is waiting (nobody fetches it now), moving, here (whole on the other side), "
    "paused, failed or gone (withdrawn or deleted). `progress` is from 0 to 1, `rate` in bytes per second or null, "
    "`stored` is how much of one's own file, from 0 to 1, is or was at the relay of its recipient that got most of it: "
    "at 1 this node may stop before it is fetched; null if nothing is there, as far as this run of the node knows. "
    "`group`: it was sent to a group, whose relays keep it for seven days; nobody says who has it, so one's own is "
    "here when that time is over. "
    "`problem` is a sentence or empty, `path` is where one's own file is, or null. `width` and `height` are a "
    "picture's, in pixels; `duration` is a voice note's, in ms, and `peaks` its 64 levels from 0 to 255, or null. "
    "`preview`: `picture` has something to show before the picture is here."
)
IN_CHAT = Param("chat", "text", "The chat it is in; null for the first message with that id.", default=None)
