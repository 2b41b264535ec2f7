"""Methods about the node and its profile: status, settings, name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.engine.contacts import contact_relays, names
from p2pchat.engine.delivery import outbound
from p2pchat.engine.engine import Engine
from p2pchat.engine.methods import network
from p2pchat.engine.methods.relays import health
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.settings import Pictures
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NotNow, UsageError
from p2pchat.ports import LanMode, MappingState
from p2pchat.store import contacts as store_contacts
from p2pchat.store import meta
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import ACCEPTED, ContactState
from p2pchat.store.database import Database

MAX_FETCH_UP_TO = 65_536
"""Megabytes."""


async def status(engine: Engine) -> Json:
    """Return how this node does, as far as the engine knows."""
    name, contacts, peers, could_relay = await engine.committer.read(_status)
    linked = sum(1 for contact in contacts if engine.net.route(contact) is not None)
    return {
        "name": name,
        "addresses": engine.net.listening(),
        "contacts": len(contacts),
        "connected": linked,
        "relays": len(peers),
        "relays_connected": sum(1 for peer in peers if health(engine, peer).state == "connected"),
        "could_relay": could_relay,
        "trouble": await network.trouble(engine),
    }


def _status(db: Database) -> tuple[str, list[ContactId], list[PeerKey], bool]:
    name, relays = (meta.get(db, "name") or b"").decode(), [row.peer for row in store_relays.all(db)]
    return (
        name,
        [contact.id for contact in store_contacts.all(db) if contact.state == ContactState.CONTACT],
        relays,
        contact_relays.is_asked(db),
    )


def check_settings(engine: Engine, changes: Mapping[str, Any]) -> None:
    """Raise NotNow if one of these arguments of `change_settings` cannot take effect in this node."""
    if changes.get("port_mapping") is not None and engine.use_port_mapping is None:
        raise NotNow(
            "This node asks no router to open a port: it uses a proxy, or P2PCHAT_NO_PORT_MAPPING was set when it "
            "started"
        )
    if changes.get("lan") is not None and engine.use_lan is None:
        raise NotNow("With a proxy, contacts are not looked for on the local network")


async def change_settings(
    engine: Engine,
    *,
    keep_receiving: bool | None = None,
    read_receipts: bool | None = None,
    typing: bool | None = None,
    lan: str | None = None,
    port_mapping: bool | None = None,
    fetch_up_to: int | None = None,
    pictures: str | None = None,
) -> Json:
    """Return what was decided; each that is given is changed first. Raises NotNow, with nothing changed, for `lan` and
    `port_mapping` with a proxy, and UsageError for more megabytes than any file has.
    """
    if fetch_up_to is not None and fetch_up_to > MAX_FETCH_UP_TO:
        raise UsageError(f"No file has more than {MAX_FETCH_UP_TO:,} MB")
    check_settings(engine, {"lan": lan, "port_mapping": port_mapping})
    if port_mapping is not None and engine.use_port_mapping is not None:
        engine.use_port_mapping(port_mapping)
    if lan is not None and engine.use_lan is not None:
        engine.use_lan(LanMode(lan))

    def change(tx: Transaction) -> None:
        if keep_receiving is not None:
            settings.set_keep_receiving(tx.db, keep_receiving)
            tx.after(setattr, engine, "keep_receiving", keep_receiving)
        if read_receipts is not None and read_receipts != settings.read_receipts(tx.db):
            settings.set_read_receipts(tx.db, read_receipts)
            _tell_contacts(tx)
        if typing is not None:
            settings.set_typing(tx.db, typing)
        if fetch_up_to is not None:
            settings.set_fetch_up_to(tx.db, fetch_up_to)
        if pictures is not None:
            settings.set_pictures(tx.db, Pictures(pictures))

    if any(value is not None for value in (keep_receiving, read_receipts, typing, fetch_up_to, pictures)):
        await engine.committer.submit(change)
    kept: Json = await engine.committer.read(
        lambda db: {
            "keep_receiving": settings.keep_receiving(db),
            "read_receipts": settings.read_receipts(db),
            "typing": settings.typing(db),
            "fetch_up_to": settings.fetch_up_to(db),
            "pictures": settings.pictures(db),
        }
    )
    mapping = engine.view.state().mapping.state not in (MappingState.OFF, MappingState.FORBIDDEN)
    return {**kept, "lan": engine.view.lan().mode, "port_mapping": mapping}


async def name(engine: Engine, *, name: str | None = None) -> Json:
    """Return what contacts see as our name, after a change if one is given; they are told."""

    def change(tx: Transaction, new: str) -> None:
        if (meta.get(tx.db, "name") or b"").decode() != new:
            meta.put(tx.db, "name", new.encode())
            _tell_contacts(tx)

    if name is not None:
        await engine.committer.submit(change, names.name_of(name))
    return {"name": await engine.committer.read(lambda db: (meta.get(db, "name") or b"").decode())}


def _tell_contacts(tx: Transaction) -> None:
    """Send the profile to all contacts with whom we have a session."""
    for contact in store_contacts.all(tx.db):
        if contact.identity is not None and contact.state in ACCEPTED:
            outbound.queue_profile(tx, contact)
