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
        "Sends a text. It is on disk, and will be delivered, when this answers.",
        "{id, state, route, stored_at}",
        (
            CHAT,
            Param("text", "text", "At most 48,000 bytes of UTF-8, kept byte for byte."),
            Param("reply_to", "text", "The message of the chat that it answers (its id).", default=None),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            TIMEOUT,
        ),
    ),
    Method(
        "reply",
        "Sends a text that answers a message, into the chat of that one.",
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
        "Gives a text of one's own another wording, for both, within 48 hours. What it said before is kept.",
        MESSAGE,
        (MESSAGE_ID, Param("text", "text", "The new text, as in `send`."), IN_CHAT),
    ),
    Method(
        "history",
        "What a message said before it was edited, the first text first, and at the end what it says now.",
        "[{text, at}]",
        (MESSAGE_ID, IN_CHAT),
    ),
    Method(
        "react",
        "Puts an emoji under a message, for both, in place of the one that one put there before.",
        MESSAGE,
        (MESSAGE_ID, Param("emoji", "text", 'One emoji; "" takes it away.'), IN_CHAT),
    ),
    Method(
        "pin",
        "Pins a message to the top of its chat, for both, or takes the pin away.",
        MESSAGE,
        (MESSAGE_ID, Param("pinned", "flag", "False takes the pin away.", default=True), IN_CHAT),
    ),
    Method("pinned", "The pinned messages of a chat, in its order; the last 100.", f"[{MESSAGE}]", (CHAT,)),
    Method(
        "log",
        "A chat's last messages, or those next to one of them, or those of a time, newest last. Where a beginning is "
        "given (`since`, `after`), the first that follow it. `search` and `around` stand alone, and `before` excludes "
        f"`after`. {FIELDS}",
        f"[{MESSAGE}]",
        (
            CHAT,
            Param("limit", "integer", "How many at most.", default=50),
            Param("search", "text", "Only messages with all these words; the last may be a beginning.", default=None),
            Param("before", "text", "Only messages before this one (its id).", default=None),
            Param("after", "text", "Only messages after this one (its id), the first of them.", default=None),
            Param("around", "text", "This message (its id) and those round it.", default=None),
            Param("since", "text", f"Only messages from this time on, or from `unread` on; {TIMES}", default=None),
            Param("until", "text", "Only messages before this time.", default=None),
        ),
    ),
    Method(
        "search",
        "Messages that match a query, newest last, of one chat or of all. A query has words, `word*` for a beginning "
        'of two letters or more, `"a phrase"`, `from:NAME` (`from:me`), `before:DATE`, `after:DATE` (that day or '
        "later) and `has:link`; all of it has to be true, and anything else is an error (BadQuery). `snippet`: the "
        "text around the first match, in parts; `hit` marks what was looked for. `position` is the place for `before` "
        "and `after`, which lead to more hits, or to the next one with a `limit` of 1.",
        f"[{MESSAGE[:-1]}, position, chat_name, snippet: [{{text, hit}}]}}]",
        (
            Param("query", "text", "What to look for."),
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param("limit", "integer", "How many at most (200).", default=50),
            Param("before", "integer", "Only hits before this position.", default=None),
            Param("after", "integer", "Only hits after this position, the first of them.", default=None),
            Param("typing", "flag", "The last word may go on, as while a person types.", default=False),
            Param("context", "integer", "Characters of a snippet; 0 for the whole text.", default=160),
        ),
    ),
    Method(
        "locate",
        "Where a jump in a chat leads: the id of the first unread message, or of the first one at a time or later; "
        "null where there is none. `log` with `around` shows it.",
        "{id}",
        (CHAT, Param("to", "text", f"`unread`, or a time; {TIMES}")),
    ),
    Method(
        "messages",
        "Messages in the order they came to this profile, to catch up after `lagged`: those after `since` or after "
        "`position`, or the newest. Each has its position in that order, which only rises.",
        f"[{MESSAGE[:-1]}, position}}]",
        (
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param(
                "since",
                "text",
                'Only messages that came after this one (its id); "" for all from the first.',
                default=None,
            ),
            Param(
                "position",
                "integer",
                "Only messages after this position; 0 for all from the first. For who keeps the place: a position "
                "means the same for ever, also when its message was deleted.",
                default=None,
            ),
            Param(
                "limit",
                "integer",
                "How many at most (1,000). Without `since`, `position` and this there are none.",
                default=None,
            ),
        ),
    ),
    Method(
        "delete",
        "Deletes a message, here only, or one's own on both sides: the other side's program is asked to.",
        "{id}",
        (MESSAGE_ID, Param("for_both", "flag", "Delete it on the other side too.", default=False), IN_CHAT),
    ),
    Method(
        "why",
        "Why a message is not delivered yet, and what happens next. `relays`: at how many it lies, `until` when.",
        "{id, state, reason, next, relays, until}",
        (MESSAGE_ID,),
    ),
)
