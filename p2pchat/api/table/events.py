"""The events that the node sends to subscribers."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.groups import GROUP
from p2pchat.api.table.shape import (
    MESSAGE,
    Event,
)

EVENTS: Final[tuple[Event, ...]] = (
    Event(
        "message",
        "A message was saved, one's own or a contact's. There is none of an earlier page of a channel.",
        MESSAGE,
    ),
    Event(
        "changed",
        "A message was edited, got or lost a reaction, was pinned or unpinned, was deleted for both or hidden: "
        "`what` is edit, reaction, pin, deleted or hide; or it is seen, where one more member of a group has read it; "
        "or group, where a line about what is missing there says something else now. `notify`: somebody reacted to "
        "one's own message.",
        f"{MESSAGE[:-1]}, what, notify}}",
    ),
    Event(
        "typing", "A contact is typing, or has stopped. Without another event it is valid for 10 s.", "{chat, typing}"
    ),
    Event(
        "state",
        "The state of one's own message changed, or a message was deleted here, by hand or by its timer.",
        "{id, chat, state, route, at}",
    ),
    Event(
        "file",
        "A file moved on or changed its state; at most four a second for one file. `file` is that of its message.",
        "{id, chat, file}",
    ),
    Event(
        "contact",
        "A contact was added or changed, or their link came up or went down: without a link, `route` is "
        "`mailbox` or null. If a link keeps changing, about one event a second is sent.",
        "{id, name, state, verified, route, hidden, profile_name, note}",
    ),
    Event(
        "joined",
        "Somebody became a contact with an invite made here, without asking the user. `label` is the invite's.",
        "{id, name, invite, label}",
    ),
    Event(
        "forgotten",
        "A contact was forgotten. With `history` the chat is deleted too; otherwise it can only be read.",
        "{id, history}",
    ),
    Event("cleared", "All messages of a chat were deleted here.", "{chat}"),
    Event(
        "chat",
        "The unread messages of a chat changed because a message arrived, was read or was deleted, or its "
        "timer changed. If the chat was pinned, archived or muted, or that ended, the three fields about it "
        "are present too. `mentions` is present of a group. If its draft has come to the end that the timer gave it, "
        "`draft` is present, and empty.",
        "{id, unread, first_unread, mentions, timer, archived, pinned, muted_until, draft}",
    ),
    Event(
        "group",
        "A group changed: who is in it, somebody's role, a setting, or its keys. The fields are those of the method "
        "`group`.",
        GROUP,
    ),
    Event(
        "channel",
        "Something about a channel itself changed: it has forked, or posts of it are missing. `channel` says more.",
        "{chat, forked, missing}",
    ),
    Event("request", "Somebody asks to become a contact, or to begin anew.", "{id, name, since, sas, known}"),
    Event("node", "Something the user should know, in `warning`.", "{warning}"),
    Event(
        "lagged",
        "The client read too slowly and events were dropped; read again from the store (`messages {since}`). "
        "Sent to every subscriber, whatever it subscribed to.",
        "{}",
    ),
)
