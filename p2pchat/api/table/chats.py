"""The methods about whole chats."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    Method,
    Param,
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "chats",
        "The chats as a list shows them: the pinned ones, then the others by newest activity. "
        "`unread` counts to 1,000, `first_unread` is the id of the first such message "
        "in the chat's order, `last` its last message or null, `draft` what was begun there, "
        "`timer` for how many seconds messages stay, or null.",
        "[{id, name, state, verified, route, hidden, profile_name, note, kind, unread, first_unread, last, draft, "
        "archived, pinned, muted_until, timer}]; `state` is contact, waiting, blocked, forgotten (only the chat is "
        "left) or notes, `kind` direct or notes. The chat with oneself, `notes`, is listed once there is something in "
        "it",
    ),
    Method(
        "read",
        "A person has read what the contact wrote, up to a message in the order of `log`. What was unread is no more; "
        "the contact is told, if `read_receipts` is on.",
        "{unread, first_unread}",
        (CHAT, Param("upto", "text", "The last message read (its id); null for all.", default=None)),
    ),
    Method(
        "draft",
        "Keeps what was begun in a chat and not sent yet.",
        "{}",
        (CHAT, Param("text", "text", 'What was begun; "" forgets it.')),
    ),
    Method(
        "clear",
        "Deletes what was said in a chat, here only, with its draft. What was not sent yet is not sent any more.",
        "{id, name}",
        (CHAT,),
    ),
    Method(
        "pin_chat",
        "Keeps a chat above the others, in the order in which they were pinned; or no more.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("pinned", "flag", "False takes the pin away.", default=True)),
    ),
    Method(
        "archive",
        "Puts a chat away, or takes it out again. It is only a note for faces, and stays when a message comes.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("archived", "flag", "False takes it out again.", default=True)),
    ),
    Method(
        "mute",
        "Faces tell nobody of what comes in a chat, until a time. Nothing else changes, and nobody is told.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("seconds", "integer", "How long; null for ever, 0 ends it.", default=None)),
    ),
    Method(
        "timer",
        "How long the messages of a chat stay, in seconds, null for as long as anybody wants, and who set it when. A "
        "new timer is for what is written from now on, by both. It counts from reading, for one's own messages from "
        "sending. It asks the other side's program to delete; it cannot stop a copy.",
        "{chat, timer, by, at}",
        (CHAT, Param("seconds", "integer", "5 to 31,622,400, or 0 to end it; null only asks.", default=None)),
    ),
    Method(
        "typing",
        "Tells a contact that one is writing: to be called while somebody does, as often as one likes. It goes only "
        "over a link that is there, at most every five seconds, and if the setting `typing` is on.",
        "{told}",
        (CHAT, Param("writing", "flag", "False: one has stopped.", default=True)),
    ),
)
