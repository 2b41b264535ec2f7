"""Methods about contacts and requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from p2pchat.core import frames
from p2pchat.core.identity import safety_number, sas_words
from p2pchat.core.ids import ChatId, ContactId, first_device
from p2pchat.core.invite import GROUP, read_invite
from p2pchat.engine.channels import channels
from p2pchat.engine.contacts import contacts, forgetting, joining
from p2pchat.engine.engine import Engine
from p2pchat.engine.methods import message_status
from p2pchat.engine.methods.invites import hidden_ways
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import InviteExpired, InviteUsed, NotReached, UsageError
from p2pchat.store import clearing as store_clearing
from p2pchat.store import contacts as store_contacts
from p2pchat.store import partners
from p2pchat.store import renewals as store_renewals
from p2pchat.store import sessions as store_sessions
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database

_ONLY_OURS = (
    "Your address is hidden from them: they can be reached only through a relay that both of you use "
    "(`p2pchat relays add`)."
)
_UNREACHED = "They cannot reach this node until a relay of yours answers: `p2pchat relays add`."


async def add(
    engine: Engine,
    *,
    invite: str,
    name: str | None = None,
    wait: str | None = None,
    timeout: float = 30,  # noqa: ASYNC109 - the API's word
    hide: bool = False,
    words: str = "",
) -> Json:
    """Use an invite to become a contact. Wait up to `timeout` seconds until the inviter has our first message (or has
    accepted). Raises NotReached.
    """
    if channels.is_link(invite):
        followed: Json = await engine.committer.submit(_follow, invite, name)
        return followed
    contact: Contact = await engine.committer.submit(joining.add, invite, name, hide, words)
    to_group = read_invite(invite)[0].kind == GROUP  # of somebody who may be a contact already
    settled = _accepted if wait == "accepted" else _joined

    async def poll() -> Contact | int | None:
        now = await engine.committer.read(_who, contact)
        # why it was given up is noted before that is on disk, so it is known here once the contact is found changed
        for one in (contact, now):
            if one is not None and (reason := engine.committer.memory.refused.pop(one.id, None)) is not None:
                return reason
        if now is None:
            raise UsageError("That invite belongs to somebody you blocked, or you gave it up")
        return now if await engine.committer.read(settled, now) else None

    with trio.move_on_after(timeout):
        found = await engine.committer.watch(poll)
        if isinstance(found, Contact):
            return {**_brief(found), "group": to_group, "anew": await engine.committer.read(_begins_anew, found)}
        raise InviteExpired if found == frames.EXPIRED else InviteUsed
    contact = await engine.committer.read(_who, contact) or contact
    asked = await engine.committer.read(message_status.first_message, contact)
    result = {**_brief(contact), "group": to_group, "anew": await engine.committer.read(_begins_anew, contact)}
    if asked:
        raise NotReached(
            f"{contact.name} did not answer within {timeout:g} s; the request is {message_status.stored(asked)}",
            hint="They will see it when their node runs.",
            result=result,
        )
    raise NotReached(
        f"{contact.name} was not reached within {timeout:g} s; the request stays queued",
        hint=_ONLY_OURS if contact.hidden else "Leave the node running: it keeps trying.",
        result=result,
    )


def _follow(tx: Transaction, invite: str, name: str | None) -> Json:
    """Follow the channel of a link."""
    partner = partners.of(tx.db, channels.follow(tx, invite, name))
    assert partner is not None
    return {**_brief(partner), "anew": False}


def _who(db: Database, added: Contact) -> Contact | None:
    """Return who goes on with an invite that was added: another contact, if it turned out to be of somebody in the
    list.
    """
    contact = store_contacts.get(db, added.id)
    if contact is None or contact.invite_id != added.invite_id:
        contact = next((one for one in store_contacts.all(db) if one.invite_id == added.invite_id), None)
    return contact


def _joined(_: Database, contact: Contact) -> bool:
    return contact.invite is None and contact.identity is not None


def _accepted(db: Database, contact: Contact) -> bool:
    return _joined(db, contact) and contact.state == ContactState.CONTACT and not _begins_anew(db, contact)


def _begins_anew(db: Database, contact: Contact) -> bool:
    """Return whether a contact was asked to begin anew, and has not accepted."""
    return bool(store_renewals.get(db, first_device(contact.id)).began_anew)


def _brief(contact: Contact) -> Json:
    return {"id": contact.id.hex(), "name": contact.name, "state": contact.state, "group": contact.for_group}


async def list_contacts(engine: Engine) -> list[Json]:
    """Return contacts, those we wait for, and blocked ones."""
    everybody = await engine.committer.read(store_contacts.listed)
    return [
        views.contact(known, engine.route(known.id))
        for known in everybody
        if known.state != ContactState.REQUEST and not known.for_group
    ]


async def list_requests(engine: Engine) -> list[Json]:
    """Return who asks to become a contact, or to begin anew."""

    def asked_at(tx: Transaction, contact_id: ContactId) -> int:
        pending = (row for row in store_sessions.for_device(tx.db, first_device(contact_id)) if row.pending)
        return next((row.created_at for row in pending), tx.now)

    def asking(tx: Transaction) -> list[tuple[Contact, bytes | None, int]]:
        return [
            (one, contacts.words_secret(tx, one), asked_at(tx, one.id))
            for one in store_contacts.all(tx.db)
            if tx.sessions.pending(first_device(one.id)) is not None and one.state != ContactState.BLOCKED
        ]

    return [
        views.request(one, await _words(engine, secret), since)
        for one, secret, since in await engine.committer.submit(asking)
    ]


async def _words(engine: Engine, secret: bytes | None) -> str:
    return "" if secret is None else await engine.committer.beside(partial(sas_words, secret))


async def accept(engine: Engine, *, contact: str) -> Json:
    """Accept a request."""
    return _brief(await _on_contact(engine, contact, contacts.accept))


async def decline(engine: Engine, *, contact: str) -> Json:
    """Decline a request; nothing is sent back."""

    def act(tx: Transaction, one: Contact) -> Contact:
        contacts.decline(tx, one)
        return one

    return {"id": (await _on_contact(engine, contact, act)).id.hex()}


async def block(engine: Engine, *, contact: str) -> Json:
    """Block a contact: receive nothing more from them."""
    return _brief(await _on_contact(engine, contact, contacts.block))


async def unblock(engine: Engine, *, contact: str) -> Json:
    """Unblock a contact."""
    return _brief(await _on_contact(engine, contact, contacts.unblock))


async def forget(engine: Engine, *, contact: str, history: bool = False) -> Json:
    """Delete a contact, with or without the chat; a long chat goes in pieces, and others are served meanwhile."""

    def act(tx: Transaction) -> tuple[ChatId, Json]:
        partner = tx.partner(contact)
        forgetting.forget(tx, partner, history=history)
        return partner.chat, {"id": partner.id.hex(), "name": partner.name, "history": history}

    here, forgotten = await engine.committer.submit(act)

    async def poll() -> bool | None:
        return not history or await engine.committer.read(store_clearing.is_cleared, here) or None

    await engine.committer.watch(poll)
    return forgotten


async def note(engine: Engine, *, contact: str, text: str | None = None) -> Json:
    """Return what a person noted about a contact; noted first, if `text` is given."""
    if text is None:
        one: Contact = await engine.committer.read(store_contacts.find, contact)
    else:
        one = await _on_contact(engine, contact, lambda tx, who: contacts.note(tx, who, text))
    return {"id": one.id.hex(), "name": one.name, "note": one.note}


async def rename(engine: Engine, *, contact: str, name: str | None = None) -> Json:
    """Give a contact another name, or go back to the name they chose."""
    return _brief(await _on_contact(engine, contact, lambda tx, one: contacts.rename(tx, one, name)))


async def hide(engine: Engine, *, contact: str, hidden: bool = True) -> Json:
    """Stop telling a contact our network address, or tell it again."""
    one: Contact = await engine.committer.read(store_contacts.find, contact)
    reached = await hidden_ways(engine) if hidden and not one.hidden else True
    changed: Contact = await _on_contact(engine, one.id.hex(), lambda tx, one: contacts.hide(tx, one, hidden=hidden))
    return {**_brief(changed), "hidden": changed.hidden, "notice": "" if reached else _UNREACHED}


async def verify(engine: Engine, *, contact: str, set: bool = False) -> Json:
    """Return the safety number; `set` says that both people compared it."""

    identity, verified, secret = await _on_contact(engine, contact, partial(contacts.verify, compared=set))
    number = await engine.committer.beside(partial(safety_number, engine.me.identity, identity))
    return {"safety_number": number, "verified": verified, "sas": await _words(engine, secret)}


async def _on_contact(engine: Engine, named: str, act: Callable[[Transaction, Contact], Any]) -> Any:
    def run(tx: Transaction) -> Any:
        return act(tx, tx.find(named))

    return await engine.committer.submit(run)
