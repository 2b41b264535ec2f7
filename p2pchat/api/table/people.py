"""The methods about contacts, requests and invites."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CONTACT,
    TIMEOUT,
    Method,
    Param,
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "invite",
        "Makes an invite, an offer to become contacts. `reachable`: it leads here; `relayed`: also through a "
        "relay; `relays`: how many relays hold it, so that it works while this node is off.",
        "{id, invite, expires_at, reachable, relayed, relays, notice}",
        (
            Param("reusable", "flag", "Many people can use it; the user is asked about each.", default=False),
            Param("ask", "flag", "Ask before whoever uses a one-time invite becomes a contact.", default=False),
            Param("expires", "integer", "Seconds until it expires.", default=604_800),
            Param("hide", "flag", "Whoever uses it never learns this node's network address.", default=False),
            Param("label", "text", "Its name in the list of invites; nobody else sees it.", default=""),
        ),
    ),
    Method(
        "invites",
        "Lists the invites made here, newest first, after revoking one if that is asked for; anyone who uses "
        "it later is told that it is no longer valid. `state` is open, used, expired or revoked, `kind` is "
        "one-time, reusable or group. `uses` is how many people used it, `used_by` those of them who are contacts or "
        "have a request open. `invite` is its text while it is open, otherwise null. An invite is listed "
        "until 30 days after its expiry.",
        "[{id, kind, label, state, created, expires, uses, used_by: [{id, name}], ask, hidden, invite}]",
        (Param("revoke", "text", "Revoke this one: its id, a unique prefix of it, or its label.", default=None),),
    ),
    Method(
        "add",
        "Uses an invite: asks its maker to become contacts. A maker who already is a contact is asked to "
        "begin anew (`anew`); everything continues as before until they accept. An invite to a group (`group`) asks to "
        "join it: it appears among the chats then, and its maker does not become a contact. The link of a channel "
        "follows that, at once.",
        "{id, name, state, anew, group}; `state` is waiting, contact or channel",
        (
            Param("invite", "text", "The text of the invite."),
            Param("name", "text", "The name to give the contact.", default=None),
            Param(
                "wait",
                "text",
                "Wait until the inviter has the request, or has accepted it.",
                default=None,
                choices=("sent", "accepted"),
            ),
            TIMEOUT,
            Param("hide", "flag", "The maker never learns this node's network address.", default=False),
            Param("words", "text", "To a group: what whoever decides about the user is told.", default=""),
        ),
    ),
    Method(
        "contacts",
        "Lists the contacts. `route` is how a message would travel now: `direct`, `lan`, `punched` or `circuit` over a "
        "link; `mailbox` if there is no link but a relay that stores messages for them and, as far as is known, "
        "answers; null if a message would wait here. `hidden`: they never learn this node's network address. "
        "`profile_name` is what they call themselves, `note` the user's note about them.",
        "[{id, name, state, verified, route, hidden, profile_name, note}]; `state` is contact, waiting or blocked",
    ),
    Method(
        "requests",
        "Lists the contact requests. `known`: it comes from a contact who begins anew, without their history "
        "or on another machine; the safety number is unchanged, the eight words are new.",
        "[{id, name, since, sas, known}]",
    ),
    Method("accept", "Accepts a request.", "{id, name, state}", (CONTACT,)),
    Method("decline", "Declines a request; the other side is not told.", "{id}", (CONTACT,)),
    Method(
        "block",
        "Blocks a contact: nothing is received from them any more, and messages not delivered yet fail. They "
        "are not told. The history stays. `unblock` ends it.",
        "{id, name, state}",
        (CONTACT,),
    ),
    Method(
        "unblock",
        "Unblocks a contact: messages go both ways again. What they wrote meanwhile arrives if their node "
        "still has it. Somebody who had only asked to become a contact is in `requests` again.",
        "{id, name, state}",
        (CONTACT,),
    ),
    Method(
        "rename",
        "Gives a contact another name on this profile only, whatever they call themselves.",
        "{id, name, state}",
        (CONTACT, Param("name", "text", "The new name; null for the name they chose.", default=None)),
    ),
    Method(
        "note",
        "Returns the user's note about a contact, after changing it if a text is given. Nobody else sees it.",
        "{id, name, note}",
        (CONTACT, Param("text", "text", 'At most 2,000 characters; "" deletes it.', default=None)),
    ),
    Method(
        "forget",
        "Deletes a contact: their keys, sessions, queues, the messages waiting for them, the draft, and the "
        "note about them. Without `history` the chat stays under their name and can only be read. They are "
        "not told; messages at relays expire there. If they use an invite again, they appear as a new "
        "contact. A channel is not followed or written any more.",
        "{id, name, history}",
        (
            Param("contact", "text", "A contact as elsewhere, the chat of a contact who was forgotten, or a channel."),
            Param("history", "flag", "Delete the chat too.", default=False),
        ),
    ),
    Method(
        "hide",
        "Stops telling a contact this node's network address, or tells it again. They are told where to reach "
        "this node from now on: for a hidden contact, only through its relays. `notice` says what is missing "
        "for that, or is empty.",
        "{id, name, state, hidden, notice}",
        (CONTACT, Param("hidden", "flag", "False tells it again.", default=True)),
    ),
    Method(
        "verify",
        "Returns the safety number to compare with a contact.",
        "{safety_number, verified, sas}",
        (
            CONTACT,
            Param("set", "flag", "Mark the contact as verified: the user compared it and it matched.", default=False),
        ),
    ),
)
