"""Methods about relays."""

from __future__ import annotations

from contextlib import suppress

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.core.relays import own_relay
from p2pchat.engine.contacts import contact_relays, own_relays
from p2pchat.engine.delivery import queues
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import settings, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NoSuchContact
from p2pchat.ports import Relay, RelayHealth
from p2pchat.store import relays as store_relays
from p2pchat.store.database import Database
from p2pchat.store.relays import RelayRow

ANSWERS_WITHIN = 10.0
POLL_SECONDS = 0.05
"""Seconds that a relay which was just added has to answer its caller, and between two looks whether it has."""


async def list_relays(
    engine: Engine, *, add: str | None = None, remove: str | None = None, replace: bool = False
) -> list[Json]:
    """Return the relays of this profile with their health, and those that contacts offer; first one may be removed, and
    one added.
    """
    added: Relay | None = None
    if remove is not None:
        await engine.committer.submit(contact_relays.leave, engine.net.mailboxes.relay_at(remove).peer)
    if add is not None:
        added = await _add_relay(engine, add, replace)
        is_used = added.peer in await engine.committer.submit(_used_relays)
        with trio.move_on_after(ANSWERS_WITHIN if is_used else 0):
            while health(engine, added.peer).state == "connecting":  # noqa: ASYNC110 - a first failure is told nobody
                await trio.sleep(POLL_SECONDS)

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
        return listed

    return await engine.committer.submit(all_of_them)


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
