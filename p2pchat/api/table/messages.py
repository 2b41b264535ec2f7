"""The methods about messages."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    FIELDS,
    IN_CHAT,
    MESSAGE,
    MESSAGE_ID,
    TIMEOUT,
    TIMES,
    WAITS,
    Method,
    Param,
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "send",
        "Sends a text. When this returns, the text is on disk and will be delivered.",
        "{id, state, route, stored_at}",
        (
            CHAT,
            Param("text", "text", "At most 48,000 bytes of UTF-8, kept byte for byte."),
            Param("reply_to", "text", "The message in the same chat that it replies to (its id).", default=None),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            TIMEOUT,
        ),
    ),
    Method(
        "reply",
        "Sends a reply to a message, in that message's chat.",
        "{id, state, route, stored_at}",
        (
            MESSAGE_ID,
            Param("text", "text", "As in `send`."),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            TIMEOUT,
        ),
    ),
    Method(
        "edit",
        "Edits one's own text for both sides, within 48 hours of sending it. Earlier versions are kept.",
        MESSAGE,
        (MESSAGE_ID, Param("text", "text", "The new text, as in `send`."), IN_CHAT),
    ),
    Method(
        "history",
        "Returns the versions of an edited message, from the first text to the current one.",
        "[{text, at}]",
        (MESSAGE_ID, IN_CHAT),
    ),
    Method(
        "react",
        "Reacts to a message with an emoji, for both sides, replacing one's earlier reaction.",
        MESSAGE,
        (MESSAGE_ID, Param("emoji", "text", 'One emoji; "" removes the reaction.'), IN_CHAT),
    ),
    Method(
        "pin",
        "Pins a message to the top of its chat for both sides, or unpins it.",
        MESSAGE,
        (MESSAGE_ID, Param("pinned", "flag", "False unpins it.", default=True), IN_CHAT),
    ),
    Method("pinned", "Returns the last 100 pinned messages of a chat, in the chat's order.", f"[{MESSAGE}]", (CHAT,)),
    Method(
        "log",
        "Returns messages of a chat, newest last: its last ones, those next to a given message, or those of a "
        "period. With a start (`since`, `after`), returns the first ones from there. `search` and `around` "
        f"cannot be combined with others, nor `before` with `after`. {FIELDS}",
        f"[{MESSAGE}]",
        (
            CHAT,
            Param("limit", "integer", "The maximum number of messages.", default=50),
            Param(
                "search", "text", "Only messages with all these words; the last word may be incomplete.", default=None
            ),
            Param(
                "before",
                "text",
                "Only messages before this one (its id). Where a channel has not so many here, its relays are asked "
                "for earlier posts.",
                default=None,
            ),
            Param("after", "text", "The first messages after this one (its id).", default=None),
            Param("around", "text", "This message (its id) and the ones around it.", default=None),
            Param(
                "since",
                "text",
                f"Only messages from this time on, or `unread` for those from the first unread one on; {TIMES}",
                default=None,
            ),
            Param("until", "text", "Only messages before this time.", default=None),
        ),
    ),
    Method(
        "search",
        "Searches one chat or all; returns the messages that match a query, newest last. A query has words, "
        '`word*` for the beginning of a word (two letters or more), `"a phrase"`, `from:NAME` (`from:me`), '
        "`before:DATE`, `after:DATE` (that day or later) and `has:link`. A message has to match all of it; "
        "anything else is an error (BadQuery). `snippet` is the text around the first match, in parts; `hit` "
        "marks the parts that match. Pass `position` as `before` or `after` to get more hits, or with a "
        "`limit` of 1 the next one.",
        f"[{MESSAGE[:-1]}, position, chat_name, snippet: [{{text, hit}}]}}]",
        (
            Param("query", "text", "The query."),
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param("limit", "integer", "The maximum number of hits, up to 200.", default=50),
            Param("before", "integer", "Only hits before this position.", default=None),
            Param("after", "integer", "The first hits after this position.", default=None),
            Param("typing", "flag", "The last word may be incomplete, for searching as the user types.", default=False),
            Param("context", "integer", "Characters in a snippet; 0 for the whole text.", default=160),
        ),
    ),
    Method(
        "locate",
        "Returns the id of the first unread message of a chat, of the first unread one that mentions the user, or of "
        "its first message at or after a time; null if there is none. `log` with `around` shows it.",
        "{id}",
        (CHAT, Param("to", "text", f"`unread`, `mention`, or a time; {TIMES}")),
    ),
    Method(
        "messages",
        "Returns messages in the order in which they arrived in this profile, to catch up after `lagged`: "
        "those after `since` or after `position`, or the newest. Each has its position in that order, which "
        "only rises. Those with `route` history were written before and are no news.",
        f"[{MESSAGE[:-1]}, position}}]",
        (
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param(
                "since",
                "text",
                'Only messages that arrived after this one (its id); "" for all from the first.',
                default=None,
            ),
            Param(
                "position",
                "integer",
                "Only messages after this position; 0 for all from the first. Clients that store how far they have "
                "read should store a position: it stays valid even when its message has been deleted.",
                default=None,
            ),
            Param(
                "limit",
                "integer",
                "The maximum number, up to 1,000. Without `since`, `position` and this, none are returned.",
                default=None,
            ),
        ),
    ),
    Method(
        "delete",
        "Deletes a message on this device, or one's own on both sides: the other side's program is asked to delete it.",
        "{id}",
        (MESSAGE_ID, Param("for_both", "flag", "Delete it on the other side too.", default=False), IN_CHAT),
    ),
    Method(
        "why",
        "Explains why a message is not delivered yet, and what happens next. `relays` is the number of relays "
        "that store it, and `until` when the last one drops it.",
        "{id, state, reason, next, relays, until}",
        (MESSAGE_ID,),
    ),
)
