"""The method doctor: checks what works and what does not, one line per check."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, MailOwner, PeerKey, first_device
from p2pchat.core.relays import own_relay
from p2pchat.engine.contacts import contact_relays, copies, renewal
from p2pchat.engine.methods import message_status
from p2pchat.engine.runtime import views, withholding
from p2pchat.engine.runtime.clock_hints import format_difference
from p2pchat.lib.times import HOUR_MS
from p2pchat.ports import DhtMode, LanMode, Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database

if TYPE_CHECKING:
    from p2pchat.engine.engine import Engine

MIN_HOURS_APART = 2
"""Relays send only their hour, so two clocks that differ by one hour may be a minute apart."""
_LITTLE_ROOM_BYTES = 100 * 2**20
_EARLIEST = 1_760_000_000_000  # 2025-10-09: a clock before this program was written is wrong

_LATEST = 1000 * 2**32  # 2106-02-07: invites and bundles hold seconds in 32 bits
_SET_CLOCK = (
    "Set the clock: links need it to be right within a day. Nothing fails for being too old until it "
    "has been right for an hour."
)
_OF_YOUR_OWN = "Use a relay of your own: `p2pchat relays add`. Then all your contacts leave messages there."

Check = dict[str, Any]


async def checks(engine: Engine) -> list[Check]:
    """Return every check, in the order in which things depend on each other."""
    return [
        await _store(engine),
        _clock(engine, [row.peer for row in await engine.committer.read(store_relays.all)]),
        *await engine.committer.read(_copies, engine),
        *await _proxy(engine),
        _listening(engine),
        _reachable(engine),
        _lan(engine),
        *await engine.committer.read(_relays, engine),
        *await _dht(engine),
        *_foreign(engine),
        await engine.committer.read(_offer),
        *await _contacts(engine),
    ]


def _line(check: str, ok: bool, detail: str, hint: str = "") -> Check:
    return {"check": check, "ok": ok, "detail": detail, "hint": "" if ok else hint}


async def _store(engine: Engine) -> Check:
    damaged = await engine.committer.beside(engine.db.damaged_pages)
    if damaged:
        pages = "one page of the database is" if damaged == 1 else f"{damaged:,} pages of the database are"
        hint = "Stop the node, then `p2pchat salvage` makes a new database of everything that can be read."
        return _line("store", False, f"{pages} damaged, and their content cannot be read", hint)
    room = shutil.disk_usage(engine.db.path.parent).free
    detail = f"every page of the database verifies; {room // 2**20:,} MiB are free on its disk"
    return _line(
        "store", room >= _LITTLE_ROOM_BYTES, detail, "Free some space: without it nothing can be sent or received."
    )


def _way(apart: int) -> str:
    return "behind" if apart > 0 else "ahead of"


def _hours_ahead(engine: Engine, relay: PeerKey) -> int:
    """Return by how many hours the clock of one of our relays is ahead of ours, as it claims; 0 if it does not say."""
    health = engine.net.mailboxes.relay_health().get(own_relay(relay))
    return 0 if health is None else health.hours_ahead or 0


def _most_relays_say(engine: Engine, relays: Sequence[PeerKey]) -> int:
    """Return by how many ms the clocks of relays are ahead of ours, if at least two say so and fewer say otherwise. A
    single relay may lie or be wrong.
    """
    from statistics import median_low  # takes a while to import, and the doctor is asked rarely

    hours = [_hours_ahead(engine, relay) for relay in relays]
    apart = [hour for hour in hours if abs(hour) >= MIN_HOURS_APART]
    agreeing = [hour for hour in apart if abs(hour - median_low(apart)) < MIN_HOURS_APART]
    return median_low(agreeing) * HOUR_MS if len(agreeing) >= 2 and 2 * len(agreeing) > len(hours) else 0


def _clock(engine: Engine, relays: Sequence[PeerKey]) -> Check:
    now, watch = engine.clock(), engine.clock_watch
    detail, right = f"{views.timestamp(now)}", _EARLIEST < now < _LATEST
    if watch.behind:
        detail, right = f"{detail}: {format_difference(watch.behind)} behind what it said before", False
    elif watch.jump is not None and abs(watch.jump.by) > HOUR_MS:
        way = "ahead" if watch.jump.by > 0 else "back"
        detail, right = f"{detail}: it jumped {way} by {format_difference(watch.jump.by)} within the last hour", False
    elif abs(apart := engine.committer.clock_hints.median()) > HOUR_MS:
        detail, right = f"{detail}: {format_difference(apart)} {_way(apart)} your contacts'", False
    elif abs(apart := _most_relays_say(engine, relays)) > HOUR_MS:
        detail, right = f"{detail}: {format_difference(apart)} {_way(apart)} what most of your relays say", False
    return _line("clock", right, detail, _SET_CLOCK)


def _copies(db: Database, engine: Engine) -> list[Check]:
    """Check whether this profile was restored from a copy, until every contact has been told; and whether sessions
    break again and again.
    """
    lines, now = [], engine.clock()
    renewals = [(contact.name, store_renewals.get(db, first_device(contact.id))) for contact in _contacts_of(db)]
    waiting = [name for name, state in renewals if state.wanted_at is not None]
    if copies.restored_at(db) and waiting:
        who = f"{len(waiting)} contacts" if len(waiting) > 1 else waiting[0]
        detail = f"this profile was restored from a copy ({views.day(copies.restored_at(db))}); {who} still to be told"
        hint = "New sessions are made automatically, over a link or through relays. Do not run the other copy."
        lines.append(_line("copy", False, detail, hint))
    for name, state in renewals:
        if renewal.breaks(now, state):
            detail = renewal.BREAKS.format(name=name)
            lines.append(_line("copy", False, detail, "A profile works in one place at a time."))
    return lines


def _contacts_of(db: Database) -> list[store_contacts.Contact]:
    return [contact for contact in store_contacts.all(db) if contact.state == ContactState.CONTACT]


async def _proxy(engine: Engine) -> list[Check]:
    if engine.ask_proxy is None:
        return []
    health = await engine.ask_proxy()
    detail = f"everything leaves through the SOCKS5 proxy at {health.address}"
    if health.problem:
        detail = f"nothing leaves this machine: the proxy at {health.address} does not work, {health.problem}"
    hint = "Start the proxy, or name another with `p2pchat node --proxy`. Nothing goes past it meanwhile."
    return [_line("proxy", not health.problem, detail, hint)]


def _listening(engine: Engine) -> Check:
    addresses = engine.net.listening()
    detail = f"at {len(addresses)} addresses, the first {addresses[0]}" if addresses else "nowhere"
    if engine.ask_proxy is not None and not addresses:
        return _line("listening", True, "nowhere: with a proxy, others reach this node through relays")
    return _line("listening", bool(addresses), detail, "Is the port in use? Try `p2pchat node --listen`.")


def _reachable(engine: Engine) -> Check:
    ways, relayed = engine.net.ways(), engine.net.relayed()
    detail = "this node has an address to give to others" if ways else "this node has no address to give to others"
    if relayed:
        detail = "this node has addresses to give to others, some of them through relays"
    elif relayed is not None:
        detail += "; no relay of yours answers"
    hint = "Others cannot dial this node; you can still dial them. A relay makes it reachable: `p2pchat relays add`."
    return _line("reachability", bool(ways), detail, hint)


def _lan(engine: Engine) -> Check:
    health = engine.ask_lan()
    if engine.ask_proxy is not None:
        detail = "contacts are not looked for on this network: everything goes through the proxy"
    elif health.looking:
        found = f"{health.found} found" if health.found else "none found yet"
        detail = f"contacts are looked for on this network, {found}; others on it can tell that p2pchat runs here"
    elif health.mode == LanMode.AUTO:
        found = f"; {health.found} found that announced themselves" if health.found else ""
        detail = f"contacts will be looked for on this network if no relay answers{found}"
    elif health.mode == LanMode.ON:
        detail = "contacts are not looked for: there is no local network"
    else:
        detail = "contacts are not looked for on this network. `p2pchat node --lan auto` changes that"
    return _line("lan", True, detail)


async def _dht(engine: Engine) -> list[Check]:
    """Check that somebody keeps records by which people find each other."""
    if engine.ask_dht is None:
        return []
    health = await engine.ask_dht()
    where = "your relays" if health.mode == DhtMode.RELAYS else "the public network and your relays"
    if health.mode == DhtMode.OFF:
        detail = "no DHT server is asked where contacts are; `dht` in config.toml changes that"
    elif health.servers:
        many = f"{health.servers} DHT servers of {where} answer"
        detail = f"1 DHT server of {where} answers" if health.servers == 1 else many
    else:
        detail = f"no DHT server of {where} answers"
    hint = "Are the addresses in `dht_bootstrap` right? Contacts are found by relays meanwhile."
    return [_line("dht", health.mode != DhtMode.PUBLIC or health.servers > 0, detail, hint)]


def _relays(db: Database, engine: Engine) -> list[Check]:
    rows = store_relays.all(db)
    if not rows:
        detail = "none: messages wait here until both sides are online. `p2pchat relays add` adds one"
        return [_line("relays", True, detail)]
    lines = []
    for row in rows:
        relay = Relay(row.peer, row.addresses, row.token)
        health = engine.net.mailboxes.relay_health().get(own_relay(row.peer))
        hidden = engine.net.mailboxes.relay_health().get(replace(relay, hidden=True).mailbox)
        unwatched = sum(known.unwatched for known in (health, hidden) if known is not None)
        state = "connecting" if health is None else health.state
        problem = "" if health is None or not health.problem else f": {health.problem}"
        detail = f"{engine.net.mailboxes.address_of(relay)} {state}{problem}"
        hint = "Messages stored for you there wait; with a second relay, they arrive through that one."
        hours = _hours_ahead(engine, row.peer)
        if abs(hours) >= MIN_HOURS_APART:
            way = "ahead of" if hours > 0 else "behind"
            detail += f"; its clock is {format_difference(hours * HOUR_MS)} {way} yours"
        if unwatched:
            detail += (
                f"; {unwatched:,} of your contacts' queues there are not watched but only checked from time to time"
            )
            hint = "It allows you too few streams: with another relay, each holds fewer queues."
        lines.append(_line("relay", state == "connected" and not unwatched, detail, hint))
    return lines


def _foreign(engine: Engine) -> list[Check]:
    """For users without a relay, report that we collect at contacts' relays."""
    waiting = engine.mailbox_handler.in_turn
    detail = f"you fetch from so many relays of your contacts that {waiting} take turns, ten minutes each"
    return [_line("relays", False, detail, _OF_YOUR_OWN)] if waiting else []


def _offer(db: Database) -> Check:
    more = " `p2pchat offer` says more." if contact_relays.is_asked(db) else ""
    return _line("offer", True, contact_relays.state(db) + more)


async def _contacts(engine: Engine) -> list[Check]:
    everybody, waiting, apart = await engine.committer.read(_people)
    lines = []
    for contact in everybody:
        link, count = engine.net.route(contact.id), waiting.get(first_device(contact.id), 0)
        owed = f"; {count} waiting to be delivered" if count else ""
        by = "direct, on this network" if link == Route.LAN else link
        way = f"linked, {by}" if link else "no link, through a mailbox" if engine.route(contact.id) else "no link"
        hint = (
            "Their node may be off, or neither side can dial the other; with a relay, messages can wait for them there."
        )
        if contact.id in engine.committer.storage_limits.withheld:
            detail = withholding.NO_ROOM.format(name=contact.name)
            lines.append(_line("storage", False, detail, "Read the chat, or block them. config.toml sets the limits."))
        if contact.id in apart:
            way += apart[contact.id]
            hint = (
                "Messages of contacts you hide from go through your own relays only: `p2pchat relays add` one that "
                "they use."
            )
        good = engine.route(contact.id) is not None
        lines.append(_line("contact", good, f"{contact.name}: {way}{owed}", hint))
    return lines


def _people(db: Database) -> tuple[list[store_contacts.Contact], dict[MailOwner, int], dict[ContactId, str]]:
    everybody = _contacts_of(db)
    return (
        everybody,
        store_outbox.counts(db),
        {contact.id: _apart(db, contact) for contact in everybody if contact.hidden},
    )


def _apart(db: Database, contact: store_contacts.Contact) -> str:
    """Return what mail cannot do for a hidden contact."""
    cannot = []
    if message_status.is_out_of_reach(db, contact):
        cannot.append("nothing can be left at their relays")
    if not store_queues.announced(db, first_device(contact.id)):
        cannot.append("nothing can be left for you")
    return f"; you hide your address from them, so {' and '.join(cannot)}" if cannot else ""
