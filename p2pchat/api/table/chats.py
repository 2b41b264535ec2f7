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
        "Lists the chats as a face shows them: the pinned ones first, then the others by newest activity. "
        "`unread` counts up to 1,000, `mentions` those of them that mention the user in a group, "
        "`requests` those who ask to join it, if the user decides. "
        "`frozen`: the writer of a channel has signed two different posts with one number (`channel`). "
        "`first_unread` is the id of the first unread message in the chat's "
        "order, `last` is its last message or null, `draft` is its unsent text, `timer` is the number of "
        "seconds after which messages disappear, or null.",
        "[{id, name, state, verified, route, hidden, profile_name, note, kind, unread, first_unread, mentions, "
        "requests, frozen, last, draft, archived, pinned, muted_until, timer}]; `state` is contact, waiting, blocked, "
        "forgotten (only the chat is left), notes, group, left (a group that the user is not in any more) or channel, "
        "`kind` is direct, notes, group or channel. The chat with oneself, `notes`, is listed once it has a message",
        (Param("limit", "integer", "How many, from the top of the list; null for all.", default=None),),
    ),
    Method(
        "read",
        "Marks messages of the contact as read, up to one in the order of `log`. The contact is told if "
        "`read_receipts` is on.",
        "{unread, first_unread}",
        (CHAT, Param("upto", "text", "The last message that was read (its id); null for all.", default=None)),
    ),
    Method(
        "draft",
        "Saves the unsent text of a chat.",
        "{}",
        (CHAT, Param("text", "text", 'The unsent text; "" deletes it.')),
    ),
    Method(
        "clear",
        "Deletes all messages of a chat and its draft, on this device only. Messages not sent yet are not "
        "sent any more.",
        "{id, name}",
        (CHAT,),
    ),
    Method(
        "pin_chat",
        "Pins a chat to the top of the list, in the order of pinning, or unpins it.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("pinned", "flag", "False unpins it.", default=True)),
    ),
    Method(
        "archive",
        "Archives a chat, or takes it out of the archive. This only affects how faces show it; an archived "
        "chat stays archived when a message arrives.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("archived", "flag", "False takes it out of the archive.", default=True)),
    ),
    Method(
        "mute",
        "Mutes a chat for a time: faces show no notifications of new messages in it. Nothing else changes, "
        "and nobody else is told.",
        "{id, archived, pinned, muted_until}",
        (CHAT, Param("seconds", "integer", "How long; null for no end, 0 unmutes.", default=None)),
    ),
    Method(
        "timer",
        "Returns, and optionally sets, the number of seconds after which the messages of a chat disappear "
        "(null for never), and who set it when. A new timer applies to messages that either side writes from "
        "then on. The time begins when a message is read, for one's own messages when they are sent. The "
        "other side's program is asked to delete them too; that cannot prevent copies.",
        "{chat, timer, by, at}",
        (
            CHAT,
            Param(
                "seconds",
                "integer",
                "5 to 31,622,400, or 0 for never; null and the present value change nothing.",
                default=None,
            ),
        ),
    ),
    Method(
        "typing",
        "Tells a contact that the user is typing; call it as often as you like while they do. The "
        "notification goes only over an existing link, at most every five seconds, and only if the setting "
        "`typing` is on.",
        "{told}",
        (CHAT, Param("writing", "flag", "False: the user has stopped.", default=True)),
    ),
)
