"""What the node tells those who subscribed."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    MESSAGE,
    Event,
)

EVENTS: Final[tuple[Event, ...]] = (
    Event("message", "A message was saved: one's own or another's.", MESSAGE),
    Event(
        "changed",
        "A message was edited, reacted to, pinned, or deleted for both, in `what`: edit, reaction, pin or deleted. "
        "`notify`: somebody reacted to one's own.",
        f"{MESSAGE[:-1]}, what, notify}}",
    ),
    Event("typing", "A contact is writing, or has stopped; without another word it counts for 10 s.", "{chat, typing}"),
    Event(
        "state",
        "The state of one's own message changed, or a message was deleted here, or has ended.",
        "{id, chat, state, route, at}",
    ),
    Event(
        "contact",
        "A contact was added or changed, or their link came up or went down: `route` is `mailbox` or null without one. "
        "Of a link that does so again and again, no more than about one a second is told.",
        "{id, name, state, verified, route, hidden, profile_name, note}",
    ),
    Event(
        "joined",
        "Somebody became a contact by an invite made here, without being asked about. `label` is that of the invite.",
        "{id, name, invite, label}",
    ),
    Event(
        "forgotten",
        "A contact was forgotten; with `history` the chat is gone too, else it can only be read.",
        "{id, history}",
    ),
    Event("cleared", "What was said in a chat was deleted here.", "{chat}"),
    Event(
        "chat",
        "Something else is unread in a chat: a message came, was read or was deleted; or its timer is another one. "
        "Where it was pinned, archived or muted, or that ended, the three fields about these are there too.",
        "{id, unread, first_unread, timer, archived, pinned, muted_until}",
    ),
    Event("request", "Somebody asks to become a contact, or begins anew.", "{id, name, since, sas, known}"),
    Event("node", "Something a person should know, in `warning`.", "{warning}"),
    Event(
        "lagged",
        "The client read too slowly and events were dropped; read again from the store (`messages {since}`). "
        "Comes to every subscriber, asked for or not.",
        "{}",
    ),
)
