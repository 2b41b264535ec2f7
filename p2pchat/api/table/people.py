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
        "Makes an invite: an offer to become contacts. `reachable`: it leads here; `relayed`: by a relay too; "
        "`relays`: how many hold it, so that it works while this node is off.",
        "{id, invite, expires_at, reachable, relayed, relays, notice}",
        (
            Param("reusable", "flag", "Many people may use it; each is asked about.", default=False),
            Param("ask", "flag", "Ask before whoever uses a one-time invite becomes a contact.", default=False),
            Param("expires", "integer", "Seconds until it expires.", default=604_800),
            Param("hide", "flag", "Who uses it never learns this node's network address.", default=False),
            Param("label", "text", "What it is called in the list of invites, here only.", default=""),
        ),
    ),
    Method(
        "invites",
        "The invites made here, the newest first; one may be ended first, and who comes with it later hears that it is "
        "no longer valid. `state` is open, used, expired or revoked, `kind` one-time or reusable. `uses`: how many "
        "came by it, `used_by`: those of them who are contacts, or ask. `invite` is its text while it is open, else "
        "null. It is listed until 30 days after its time.",
        "[{id, kind, label, state, created, expires, uses, used_by: [{id, name}], ask, hidden, invite}]",
        (Param("revoke", "text", "End this one: its id, a unique prefix of it, or its label.", default=None),),
    ),
    Method(
        "add",
        "Takes an invite: asks its maker to become contacts. Where its maker is a contact already, they are asked to "
        "begin anew (`anew`); what is there goes on until they accept.",
        "{id, name, state, anew}; `state` is waiting or contact",
        (
            Param("invite", "text", "The text of the invite."),
            Param("name", "text", "What to call the contact.", default=None),
            Param(
                "wait", "text", "Until the inviter has it, or accepted it.", default=None, choices=("sent", "accepted")
            ),
            TIMEOUT,
            Param("hide", "flag", "Its maker never learns this node's network address.", default=False),
        ),
    ),
    Method(
        "contacts",
        "The contacts. `route` is how a message would travel now: `direct`, `circuit` or another kind of link, "
        "`mailbox` where there is no link but a relay that keeps it for them, null where it would wait here. `hidden`: "
        "they never learn this node's network address. `profile_name`: what they call themselves, `note`: what was "
        "noted about them here.",
        "[{id, name, state, verified, route, hidden, profile_name, note}]; `state` is contact, waiting or blocked",
    ),
    Method(
        "requests",
        "Contact requests. `known`: it is somebody in the list already who begins anew, without their "
        "history or on another machine; the safety number stays theirs, the eight words are new.",
        "[{id, name, since, sas, known}]",
    ),
    Method("accept", "Accepts a request.", "{id, name, state}", (CONTACT,)),
    Method("decline", "Declines a request, without a word to the other side.", "{id}", (CONTACT,)),
    Method(
        "block",
        "Blocks a contact: nothing of theirs is taken any more, and what was still to be delivered to them has failed. "
        "They are not told. The history stays. `unblock` ends it.",
        "{id, name, state}",
        (CONTACT,),
    ),
    Method(
        "unblock",
        "Ends a block: messages go both ways again. What they wrote meanwhile comes if their node still has it. One "
        "who had only asked to become a contact is in `requests` again.",
        "{id, name, state}",
        (CONTACT,),
    ),
    Method(
        "rename",
        "Gives a contact another name, here only, whatever they call themselves.",
        "{id, name, state}",
        (CONTACT, Param("name", "text", "The new name; null for what they call themselves.", default=None)),
    ),
    Method(
        "note",
        "What was noted about a contact, here only; a text that is given becomes it first.",
        "{id, name, note}",
        (CONTACT, Param("text", "text", 'At most 2,000 characters; "" forgets it.', default=None)),
    ),
    Method(
        "forget",
        "Forgets a contact: their keys, sessions, queues, what waits for them, the draft, and what was said about them "
        "here. Without `history` the chat goes on under their name, and can only be read. They are not told; what lies "
        "at relays ends there by itself. If they use an invite again, they come as somebody new.",
        "{id, name, history}",
        (
            Param("contact", "text", "As anywhere; or the chat of one who was forgotten."),
            Param("history", "flag", "Delete what was said too.", default=False),
        ),
    ),
    Method(
        "hide",
        "Never shows a contact this node's network address, from now on; or shows it again. They are told where they "
        "reach this node then: for hidden contacts by its relays only. `notice` says what is missing for that, or is "
        "empty.",
        "{id, name, state, hidden, notice}",
        (CONTACT, Param("hidden", "flag", "False shows it again.", default=True)),
    ),
    Method(
        "verify",
        "The safety number to compare with a contact.",
        "{safety_number, verified, sas}",
        (CONTACT, Param("set", "flag", "Note that you compared it and it was the same.", default=False)),
    ),
)
