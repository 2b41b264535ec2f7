"""What a face may ask, by the names of the API's table; plain values go in and out, as `docs/api.md` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from p2pchat.core import delivery, wire
from p2pchat.core.identity import safety_number, sas_words
from p2pchat.core.invite import ROLE_RELAY, decode_invite
from p2pchat.engine import chats, doctoring, explaining, invites, offering, outbound, people, relay_commands, views
from p2pchat.engine.engine import Engine
from p2pchat.engine.turn import Turn
from p2pchat.errors import Busy, InviteExpired, InviteUsed, NotReached, P2PChatError, UsageError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import deposits as store_deposits
from p2pchat.store import messages as store_messages
from p2pchat.store import meta
from p2pchat.store import outbox as store_outbox
from p2pchat.store import relays as store_relays
from p2pchat.store import renewals as store_renewals
from p2pchat.store import sessions as store_sessions
from p2pchat.store.contacts import Contact
from p2pchat.store.database import Database
from p2pchat.store.invites import InviteRow

Json = dict[str, Any]
MOST_PAGE = 1000
_NO_WAY = (
    "This invite names no address: the node is not reachable from outside as far as it knows. "
    "Add a relay (`p2pchat relays add`), or start the node with --listen on an address others can dial; then make the "
    "invite anew."
)
_DIRECT_ONLY = (
    "This invite works while this node runs and can be dialled directly (same network, or a forwarded port). "
    "With a relay it works from everywhere, also while this node is off: `p2pchat relays add`. "
    "It tells its reader this node's address."
)
_BY_RELAY = "This invite works from everywhere, by your relays."
_TELLING = " It tells its reader this node's address."
_HIDING = " It does not tell its reader this node's address."
_ONLY_OURS = "Your address is hidden from them: only a relay that both of you use leads there (`p2pchat relays add`)."
_UNREACHED = "They cannot reach this node until a relay of yours answers: `p2pchat relays add`."
HIDING = 10.0
"""Seconds that relays have to take us in for a hidden contact."""
_BOXED_WITHIN = 5.0
"""Seconds in which relays take an invite's bundle, or its maker is told that they have not."""


async def call(engine: Engine, method: str, params: dict[str, Any]) -> object:
    """Run one method of the table with checked parameters."""
    return await METHODS[method](engine, **params)


def ask(
    engine: Engine, method: str, params: dict[str, Any], then: Callable[[object, BaseException | None], None]
) -> bool:
    """Do without a task what waits for nothing but its turn, a `send` that is only to be saved: many may come at once.

    `then` is told its result or its error. False if it is no such call, or cannot be taken now.
    """
    if method != "send" or params.get("wait", "saved") != "saved":
        return False
    try:
        engine.ask(_save, params["chat"], params["text"], then=lambda item: then(item.result, item.error), brief=True)
    except Busy:
        return False
    return True


# --- the profile ----------------------------------------------------------------------------------------------------


async def status(engine: Engine) -> Json:
    """How this node does, as far as the engine knows."""
    name, contacts, peers, could_relay = await engine.read(_status)
    linked = sum(1 for contact in contacts if engine.net.route(contact) is not None)
    return {
        "name": name,
        "addresses": engine.net.listening(),
        "contacts": len(contacts),
        "connected": linked,
        "relays": len(peers),
        "relays_connected": sum(1 for peer in peers if relay_commands.health(engine, peer).state == "connected"),
        "could_relay": could_relay,
    }


def _status(db: Database) -> tuple[str, list[bytes], list[bytes], bool]:
    name, relays = (meta.get(db, "name") or b"").decode(), [row.peer for row in store_relays.all(db)]
    return name, [one.id for one in store_contacts.all(db) if one.state == "contact"], relays, offering.is_asked(db)


async def doctor(engine: Engine) -> list[Json]:
    """What works from here and what does not."""
    return await doctoring.checks(engine)


# --- people ---------------------------------------------------------------------------------------------------------


async def invite(
    engine: Engine, *, reusable: bool = False, ask: bool = False, expires: int = 604_800, hide: bool = False
) -> Json:
    """A new invite."""

    def make(turn: Turn) -> InviteRow:
        return invites.make(turn, reusable=reusable, ask=ask, expires_s=expires, hidden=hide)

    if hide:
        await _hidden_ways(engine)
    row = await engine.submit(make)
    assert row.encoded is not None
    relays = len([way for way in decode_invite(row.encoded).ways if way.role == ROLE_RELAY])
    boxes = await _boxes(engine, row.id, relays)
    reachable, relayed = bool(engine.net.ways(hidden=hide)), hide or relays > 0 or bool(engine.net.relayed())
    if relayed:
        notice = (_by_relays(boxes, relays) if relays else _BY_RELAY) + (_HIDING if hide else _TELLING)
    else:
        notice = _DIRECT_ONLY if reachable else _NO_WAY
    return {
        "id": row.id.hex(),
        "invite": views.invite_text(row.encoded),
        "expires_at": views.timestamp(row.expires_at),
        "reachable": reachable or boxes > 0,
        "relayed": relayed,
        "relays": boxes,
        "notice": notice,
    }


async def _hidden_ways(engine: Engine) -> bool:
    """Wait until hidden contacts can reach us; False where no relay lets them in time."""
    engine.net.hide()
    with trio.move_on_after(0 if engine.net.relayed() is None else HIDING):
        while not engine.net.ways(hidden=True):
            await engine.whereabouts.moved()
    return bool(engine.net.ways(hidden=True))


async def _boxes(engine: Engine, invite_id: bytes, wanted: int) -> int:
    """At how many relays the bundle of an invite lies, as soon as it is all of them or patience ends."""
    found = 0

    def look(db: Database) -> int:
        return sum(len(store_deposits.of(db, row.pk)) for row in store_outbox.for_contact(db, invite_id))

    async def enough() -> bool | None:
        nonlocal found
        found = await engine.read(look)
        return True if found >= wanted else None

    with trio.move_on_after(_BOXED_WITHIN if wanted else 0):
        await engine.watch(enough)
    return found


def _by_relays(boxes: int, relays: int) -> str:
    count = "a relay" if boxes == 1 else f"{boxes} relays"
    if boxes == relays:
        return f"This invite works also while this node is off: {count} can be asked for it."
    if boxes:
        return f"This invite works also while this node is off, by {count}; another did not answer yet."
    return "None of your relays has taken this invite yet: leave this node running until one does, or they are reached."


async def add(
    engine: Engine,
    *,
    invite: str,
    name: str | None = None,
    wait: str | None = None,
    timeout: float = 30,  # noqa: ASYNC109 - the API's word
    hide: bool = False,
) -> Json:
    """Become a contact by an invite. Waits until the inviter has our first message (or has accepted)."""
    contact: Contact = await engine.submit(people.add, invite, name, hide)
    settled = _accepted if wait == "accepted" else _joined

    async def look() -> Contact | int | None:
        now = await engine.read(_who, contact)
        for one in (contact, now):
            if one is not None and (reason := engine.refusals.pop(one.id, None)) is not None:
                return reason
        return await engine.read(settled, contact)

    with trio.move_on_after(timeout):
        found = await engine.watch(look)
        if isinstance(found, Contact):
            return {**_brief(found), "anew": await engine.read(_begins_anew, found)}
        raise InviteExpired if found == wire.EXPIRED else InviteUsed
    contact = await engine.read(_who, contact) or contact
    asked = await engine.read(explaining.first_message, contact)
    result = {**_brief(contact), "anew": await engine.read(_begins_anew, contact)}
    if asked:
        raise NotReached(
            f"{contact.name} did not answer within {timeout:g} s; the request is {explaining.stored(asked)}",
            hint="They find it when their node runs.",
            result=result,
        )
    raise NotReached(
        f"{contact.name} was not reached within {timeout:g} s; the request stays queued",
        hint=_ONLY_OURS if contact.hidden else "Leave the node running: it keeps trying.",
        result=result,
    )


def _who(db: Database, added: Contact) -> Contact | None:
    """Who goes on with an invite that was added: another contact, if it turned out to be of somebody in the list."""
    contact = store_contacts.get(db, added.id)
    if contact is None or contact.invite_id != added.invite_id:
        contact = next((one for one in store_contacts.all(db) if one.invite_id == added.invite_id), None)
    return contact


def _joined(db: Database, added: Contact) -> Contact | None:
    contact = _who(db, added)
    if contact is None:
        raise UsageError("That invite is of somebody whom you blocked, or it was given up")
    return contact if contact.invite is None and contact.identity is not None else None


def _accepted(db: Database, added: Contact) -> Contact | None:
    contact = _joined(db, added)
    if contact is None or contact.state != "contact" or _begins_anew(db, contact):
        return None
    return contact


def _begins_anew(db: Database, contact: Contact) -> bool:
    """Whether a contact was asked to begin anew, and has not accepted."""
    return bool(store_renewals.get(db, contact.id).began_anew)


def _brief(contact: Contact) -> Json:
    return {"id": contact.id.hex(), "name": contact.name, "state": contact.state}


async def contacts(engine: Engine) -> list[Json]:
    """Contacts, those we wait for, and blocked ones."""
    everybody = await engine.read(store_contacts.all)
    return [views.contact(one, engine.route(one.id)) for one in everybody if one.state != "request"]


async def requests(engine: Engine) -> list[Json]:
    """Who asks to become a contact, or to begin anew."""

    def asked_at(turn: Turn, contact_id: bytes) -> int:
        pending = (row for row in store_sessions.for_contact(turn.db, contact_id) if row.pending)
        return next((row.created_at for row in pending), turn.now)

    def asking(turn: Turn) -> list[tuple[Contact, bytes | None, int]]:
        return [
            (one, people.words_secret(turn, one), asked_at(turn, one.id))
            for one in store_contacts.all(turn.db)
            if turn.sessions.pending(one.id) is not None and one.state != "blocked"
        ]

    return [
        views.request(one, await _words(engine, secret), since) for one, secret, since in await engine.submit(asking)
    ]


async def _words(engine: Engine, secret: bytes | None) -> str:
    return "" if secret is None else await engine.beside(partial(sas_words, secret))


async def accept(engine: Engine, *, contact: str) -> Json:
    """Say yes to a request."""
    return _brief(await _on_contact(engine, contact, people.accept))


async def decline(engine: Engine, *, contact: str) -> Json:
    """Say no to a request; nothing goes back."""

    def act(turn: Turn, one: Contact) -> Contact:
        people.decline(turn, one)
        return one

    return {"id": (await _on_contact(engine, contact, act)).id.hex()}


async def block(engine: Engine, *, contact: str) -> Json:
    """Take nothing of theirs any more."""
    return _brief(await _on_contact(engine, contact, people.block))


async def rename(engine: Engine, *, contact: str, name: str) -> Json:
    """Call a contact something else."""
    return _brief(await _on_contact(engine, contact, lambda turn, one: people.rename(turn, one, name)))


async def hide(engine: Engine, *, contact: str, hidden: bool = True) -> Json:
    """Never show a contact our network address, or show it again."""
    one: Contact = await engine.read(store_contacts.find, contact)
    reached = await _hidden_ways(engine) if hidden and not one.hidden else True
    changed: Contact = await _on_contact(engine, one.id.hex(), lambda turn, one: people.hide(turn, one, hidden=hidden))
    return {**_brief(changed), "hidden": changed.hidden, "notice": "" if reached else _UNREACHED}


async def verify(engine: Engine, *, contact: str, set: bool = False) -> Json:
    """The safety number; `set` says that both people compared it."""

    identity, verified, secret = await _on_contact(engine, contact, partial(people.verify, compared=set))
    number = await engine.beside(partial(safety_number, engine.me.identity, identity))
    return {"safety_number": number, "verified": verified, "sas": await _words(engine, secret)}


async def _on_contact(engine: Engine, named: str, act: Callable[[Turn, Contact], Any]) -> Any:
    def run(turn: Turn) -> Any:
        return act(turn, turn.find(named))

    return await engine.submit(run)


# --- messages -------------------------------------------------------------------------------------------------------


async def send(
    engine: Engine,
    *,
    chat: str,
    text: str,
    wait: str = "saved",
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Say something. Saved first; then wait as far as was asked."""

    message_id = engine.message_ids.new(engine.clock())
    with engine.follow(message_id) as following:
        sent: Json = await engine.submit(_save, chat, text, message_id, brief=True)
        with trio.move_on_after(timeout):
            while not delivery.reached(sent["state"] or "", wait):
                if sent["state"] == delivery.FAILED:
                    break
                await following.moved.wait()
                following.moved = trio.Event()
                assert following.newest is not None
                sent |= {key: following.newest[key] for key in ("state", "route")}
                if sent["state"] != delivery.FAILED:
                    sent["stored_at"] = sent["stored_at"] or following.newest["at"]
    if delivery.reached(sent["state"] or "", wait):
        return sent
    if sent["state"] == delivery.FAILED:
        raise P2PChatError(
            f"Message {message_id.hex()} failed: it cannot be delivered any more",
            hint=f"`p2pchat why {message_id.hex()[:12]}` says why.",
            result=sent,
        )
    raise NotReached(
        f"Message {message_id.hex()} was not {wait} within {timeout:g} s; {_SO_FAR[sent['state']]}",
        hint=f"`p2pchat why {message_id.hex()[:12]}` says why.",
        result=sent,
    )


_SO_FAR = {
    "saved": "it is saved here and sent as soon as it can be",
    "stored": "their relays have it, until their node fetches it",
    "delivered": "it was delivered, and nobody has read it yet",
}


def _save(turn: Turn, chat: str, text: str, message_id: bytes | None = None) -> Json:
    row = outbound.send_text(turn, turn.find(chat), text, message_id)
    return {"id": row.id.hex(), "state": row.state, "route": None, "stored_at": None}


async def log(
    engine: Engine,
    *,
    chat: str,
    limit: int = 50,
    search: str | None = None,
    before: str | None = None,
    after: str | None = None,
    around: str | None = None,
) -> list[Json]:
    """Messages of a chat, newest last; of `search`, `before`, `after` and `around` one at most."""
    if sum(one is not None for one in (search, before, after, around)) > 1:
        raise UsageError("`search`, `before`, `after` and `around` go one at a time")

    def look(db: Database) -> list[Json]:
        contact = store_contacts.find(db, chat)
        most = max(1, min(limit, MOST_PAGE))
        if search is not None:
            rows = store_messages.search(db, contact.id, search, most)
        elif after is not None:
            rows = store_messages.page_after(db, contact.id, most, store_messages.find_in(db, contact.id, after).pk)
        elif around is not None:
            rows = store_messages.page_around(db, contact.id, most, store_messages.find_in(db, contact.id, around))
        else:
            until = None if before is None else store_messages.find_in(db, contact.id, before).pk
            rows = store_messages.page(db, contact.id, most, until)
        return [views.message(row, contact.name) for row in rows]

    return await engine.read(look)


async def messages(
    engine: Engine,
    *,
    chat: str | None = None,
    since: str | None = None,
    position: int | None = None,
    limit: int | None = None,
) -> list[Json]:
    """Messages of one chat or of all in the order they were saved, each with its position in it.

    After the message `since` or after `position`, or else the newest `limit`. `since` "" and `position` 0 are before
    the first. Unlike an id, a position means one place for ever: a peer can repeat an id, and a message can be deleted.
    """

    def look(db: Database) -> list[Json]:
        wanted = None if chat is None else store_contacts.find(db, chat).id
        names = {one.id: one.name for one in store_contacts.all(db)}
        after = position
        if since is not None:
            after = store_messages.find(db, since).pk if since else 0
        if after is not None:
            rows = store_messages.since(db, wanted, after, min(limit or MOST_PAGE, MOST_PAGE))
        else:
            rows = store_messages.newest(db, wanted, min(limit or 0, MOST_PAGE))
        return [{**views.message(row, names.get(row.chat, "unknown")), "position": row.pk} for row in rows]

    return await engine.read(look)


async def delete(engine: Engine, *, id: str) -> Json:
    """Delete a message here; one of ours that is under way is not sent any more."""

    def erase(turn: Turn) -> bytes:
        row = store_messages.find(turn.db, id)
        store_messages.delete(turn.db, row.pk)
        if row.sender != store_messages.ME and row.read_at is None:
            turn.unread[row.chat] = None
        if row.sender == store_messages.ME:
            store_outbox.forget_messages(turn.db, row.chat, [row.id])
            turn.after(engine.flow.changed, row.chat)
        turn.event("state", id=row.id.hex(), chat=row.chat.hex(), state="deleted", route=None, at=None)
        return row.id

    erased: bytes = await engine.submit(erase)
    await engine.read(Database.checkpoint)  # only then the words are gone from the log of the database too
    return {"id": erased.hex()}


async def why(engine: Engine, *, id: str) -> Json:
    """Why a message is not delivered yet, and what happens next."""

    def look(db: Database) -> Json:
        row = store_messages.find(db, id)
        apart = engine.clock_hints.apart(row.chat)
        full = engine.storage_limits.is_told_full(row.chat, engine.clock())
        return explaining.why(db, row, store_contacts.get(db, row.chat), engine.net, apart, full=full)

    return await engine.read(look)


METHODS: dict[str, Callable[..., Awaitable[object]]] = {
    "status": status,
    "doctor": doctor,
    "invite": invite,
    "add": add,
    "contacts": contacts,
    "requests": requests,
    "accept": accept,
    "decline": decline,
    "block": block,
    "rename": rename,
    "hide": hide,
    "verify": verify,
    "send": send,
    "log": log,
    "messages": messages,
    "delete": delete,
    "why": why,
    **chats.METHODS,
    **relay_commands.METHODS,
}
