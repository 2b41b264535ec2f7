"""Methods about relays."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import trio

from p2pchat.core.descriptors import MAILBOX
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.relays import own_relay
from p2pchat.engine.contacts import contact_relays, known_relays, names, own_relays
from p2pchat.engine.delivery import queues
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import settings, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NoSuchContact
from p2pchat.ports import Relay, RelayHealth
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import relays as store_relays
from p2pchat.store.database import Database
from p2pchat.store.relays import RelayRow

ANSWERS_WITHIN = 10.0
POLL_SECONDS = 0.05
"""Seconds that a relay which was just added has to answer its caller, and between two looks whether it has."""


async def list_relays(
    engine: Engine, *, add: str | None = None, remove: str | None = None, replace: bool = False, all: bool = False
) -> list[Json]:
    """Return the relays of this profile with their health, and those that contacts offer, and if `all` those that
    others have told of; first one may be removed or forgotten, and one added.
    """
    added: Relay | None = None
    if remove is not None:
        await engine.committer.submit(_remove, engine.net.mailboxes.relay_at(remove).peer)
    if add is not None:
        added = await _add_relay(engine, add, replace)
        is_used = added.peer in await engine.committer.submit(_used_relays)
        with trio.move_on_after(ANSWERS_WITHIN if is_used else 0):
            while health(engine, added.peer).state == "connecting":  # noqa: ASYNC110 - a first failure is told nobody
                await trio.sleep(POLL_SECONDS)

    in_use = relays_in_use(engine) if all else frozenset()

    def all_of_them(tx: Transaction) -> list[Json]:
        used = _used_relays(tx)
        rows, offers = store_relays.all(tx.db), contact_relays.offers(tx.db)
        whose = {known.relay.peer: contact.name for contact, known in offers if known.taken}
        listed = [
            {
                **_relay(engine, row, used=row.peer in used),
                "contact": whose.get(row.peer),
                "added": added is not None and row.peer == added.peer,
            }
            for row in rows
        ]
        peers = {row.peer for row in rows}
        for contact, known in offers:
            if known.relay.peer not in peers:
                address = engine.net.mailboxes.address_of(known.relay)
                listed.append({**_OFFERED, "address": address, "contact": contact.name})
        return [*listed, *(_told(tx, engine, in_use) if all else ())]

    return await engine.committer.submit(all_of_them)


def _remove(tx: Transaction, peer: PeerKey) -> None:
    """Stop using a relay of ours, or forget one that others have told of, until they do again."""
    if any(row.relay == peer for row in known_relays.others(tx.db)):
        store_known_relays.remove(tx.db, [peer])
        own_relays.tell_net(tx)
    else:
        contact_relays.leave(tx, peer)


def relays_in_use(engine: Engine) -> frozenset[bytes]:
    """Return the transport keys of the relays with which there is a connection now, whoever chose them."""
    health = engine.net.mailboxes.relay_health()
    mail = {name[:KEY_BYTES] for name, relay in health.items() if relay.family}
    return frozenset(mail.union(engine.view.state().circuits))


def _told(tx: Transaction, engine: Engine, in_use: Collection[bytes]) -> list[Json]:
    """Return the relays that others have told of: those that have worked, the latest first, then the newest."""
    boxes, called = engine.net.mailboxes, names.labels(tx.db)
    places = {row.peer: Relay(row.peer, row.addresses) for row in store_relays.all(tx.db)}
    others = known_relays.others(tx.db)
    places |= {row.relay: Relay(row.relay, row.addresses) for row in others}

    def source(by: bytes) -> str | None:
        if len(by) == KEY_BYTES:
            return boxes.address_of(places.get(PeerKey(by), Relay(PeerKey(by), (b"",))))
        return called.get(ContactId(by))

    return [
        {
            "address": boxes.address_of(places[row.relay]),
            "state": "told",
            "since": views.timestamp(row.heard_at),
            "problem": "",
            "used": False,
            "kept": False,
            "contact": None,
            "added": False,
            "told_by": "relay" if row.by_relay else "contact",
            "source": source(row.told_by),
            "worked": views.timestamp(row.worked_at or None),
            "in_use": row.relay in in_use,
            "stores": bool(row.descriptor.flags & MAILBOX),
        }
        for row in sorted(others, key=lambda row: (-row.worked_at, -row.heard_at))
    ]


def _used_relays(tx: Transaction) -> set[PeerKey]:
    return {relay.peer for relay in queues.ours(tx)}


async def _add_relay(engine: Engine, named: str, replace: bool) -> Relay:
    """Use the relay that the user names by its address, or by the contact who offers it."""
    if not named.startswith("/"):
        with suppress(NoSuchContact):
            taken: Relay = await engine.committer.submit(lambda tx: contact_relays.take(tx, tx.find(named)))
            return taken
    relay = engine.net.mailboxes.relay_at(named)
    known = engine.net.mailboxes.relay_health().get(own_relay(relay.peer))
    await engine.committer.submit(lambda tx: own_relays.add(tx, relay, known, replace=replace))
    return relay


_OFFERED: Json = {"state": "offered", "since": None, "problem": "", "used": False, "kept": False, "added": False}


def health(engine: Engine, peer: PeerKey) -> RelayHealth:
    """Return how it stands with a relay, as far as anything is known."""
    return engine.net.mailboxes.relay_health().get(own_relay(peer), RelayHealth("connecting", engine.clock()))


def _relay(engine: Engine, row: RelayRow, *, used: bool) -> Json:
    health_now = health(engine, row.peer)
    return {
        "address": engine.net.mailboxes.address_of(Relay(row.peer, row.addresses, row.token)),
        "state": health_now.state,
        "since": views.timestamp(health_now.since),
        "problem": health_now.problem,
        "used": used,
        "kept": row.kept,
    }


async def offer(engine: Engine, *, answer: bool | None = None) -> Json:
    """Return whether this node is a relay for its contacts, after applying the user's answer if there is one."""
    if answer is not None:
        await engine.committer.submit(contact_relays.answered, engine.relay_offer, answer)

    def said(db: Database) -> Json:
        answer, reachable = settings.relay_for_contacts(db), contact_relays.reachable(db)
        return {"relay": answer, "reachable": reachable, "notice": contact_relays.notice(db)}

    return await engine.committer.read(said)
