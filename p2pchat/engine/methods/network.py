"""The method network: gathers what is known about the network, and says it as data and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from p2pchat.core.contents import KINDS, kind_of
from p2pchat.core.descriptors import PRIVATE
from p2pchat.core.ids import ContactId, PeerKey, first_device
from p2pchat.core.relays import own_relay
from p2pchat.engine.contacts import contact_relays, known_relays, names, transport_keys
from p2pchat.engine.delivery import queues
from p2pchat.engine.methods import clock_check, keys, message_status, network_words
from p2pchat.engine.methods.network_facts import NOTHING_WAITS, ContactFacts, NetworkFacts, OtherRelays, RelayFacts
from p2pchat.engine.methods.relays import relays_in_use
from p2pchat.engine.runtime import settings, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.ports import NetState, ProxyHealth, Relay, RelayHealth, Scope
from p2pchat.store import contacts as store_contacts
from p2pchat.store import deposits as store_deposits
from p2pchat.store import invites as store_invites
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.outbox import Waiting

if TYPE_CHECKING:
    from p2pchat.engine.engine import Engine

_MESSAGES = tuple(number for number in KINDS if kind_of(number).visible)


async def network(engine: Engine) -> Json:
    """Return where this node is, how every contact and relay is reached, and what follows from that, in words."""
    facts = await gather(engine)
    rows = network_words.rows(facts)
    return {
        **_data(facts),
        "rows": [row._asdict() for row in rows],
        "next": network_words.advice(facts, rows),
    }


async def gather(engine: Engine, *, thorough: bool = False) -> NetworkFacts:
    """Ask everybody who knows something. With a proxy, that may take some seconds. thorough: ask servers too that have
    nothing to do with us otherwise, which takes some more and shows them that somebody asks.
    """
    dht = await engine.ask_dht() if thorough and engine.ask_dht is not None else None
    proxy = None if engine.ask_proxy is None else await engine.ask_proxy()
    state = engine.view.state()
    facts: NetworkFacts = await engine.committer.submit(_read, engine, state)
    places = {relay.peer: relay.place for relay in facts.relays}
    contacts = tuple(_with_path(engine, contact, places) for contact in facts.contacts)
    return replace(
        facts,
        contacts=contacts,
        net=state,
        others=replace(facts.others, in_use=_others_in_use(engine, facts, contacts)),
        proxy=proxy,
        proxy_here=proxy is not None and _is_here(proxy),
        lan=engine.view.lan(),
        dht=dht,
        turns=engine.mailbox_handler.in_turn,
    )


async def trouble(engine: Engine) -> str:
    """Return what keeps this node from everybody, in a few words, or "". The proxy is asked only if nothing works."""
    peers, contacts = await engine.committer.read(_everybody)
    health = engine.net.mailboxes.relay_health()
    relays = (health.get(own_relay(peer)) for peer in peers)
    if any(relay is not None and relay.state == "connected" for relay in relays):
        return ""
    if any(engine.net.route(contact) is not None for contact in contacts):
        return ""
    if not engine.view.state().machine.connected:
        return network_words.NO_NETWORK
    if engine.ask_proxy is not None and (await engine.ask_proxy()).problem:
        return network_words.NO_PROXY
    return ""


def _everybody(db: Database) -> tuple[list[PeerKey], list[ContactId]]:
    return [row.peer for row in store_relays.all(db)], [contact.id for contact in store_contacts.all(db)]


def _is_here(proxy: ProxyHealth) -> bool:
    host = proxy.address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _others_in_use(engine: Engine, facts: NetworkFacts, contacts: Sequence[ContactFacts]) -> int:
    """Return how many relays that are none of ours are connected directly now: for mail, to be reached, or for a
    link.
    """
    links = {contact.path.relay for contact in contacts if contact.path.relay is not None}
    return len((relays_in_use(engine) | links) - {relay.peer for relay in facts.relays})


def _read(tx: Transaction, engine: Engine, state: NetState) -> NetworkFacts:
    """Read what the store knows, and beside it how relays are; in a thread, where the net cannot be asked for paths."""
    db, now = tx.db, engine.clock()
    peers = [row.peer for row in store_relays.all(db)]
    clock, right = clock_check.check(engine, peers)
    shown = names.labels(db)
    relays = _relays(tx, engine, state, shown)
    waiting = store_outbox.waiting(db, _MESSAGES)
    contacts = [
        _contact(db, engine, contact, waiting.get(first_device(contact.id), NOTHING_WAITS), shown[contact.id])
        for contact in store_contacts.all(db)
        if contact.state in ACCEPTED
    ]
    others = known_relays.others(db)
    return NetworkFacts(
        now,
        clock=clock,
        clock_right=right,
        reached=_is_reached(tx, state),
        is_relay=bool(settings.relay_for_contacts(db)),
        key=keys.notice(transport_keys.state(db, now), now),
        hides=bool(store_contacts.hidden(db)) or any(row.hidden for row in store_invites.open_invites(db)),
        relays=tuple(relays),
        others=OtherRelays(len(others), sum(bool(row.worked_at) for row in others)),
        contacts=tuple(contacts),
    )


def _is_reached(tx: Transaction, state: NetState) -> bool:
    """Return whether a contact has reached us from outside at an IP address that is ours now: on another network, or
    behind another router, it proves nothing.
    """
    ours = [own.address for own in state.addresses if own.scope == Scope.PUBLIC]
    if state.mapping.address:
        ours.append(state.mapping.address)
    found = contact_relays.found_at(tx)
    return bool(found) and _host(found) in {_host(address) for address in ours}


def _host(address: str) -> str:
    return address.split("/")[2]


def _relays(tx: Transaction, engine: Engine, state: NetState, shown: Mapping[ContactId, str]) -> list[RelayFacts]:
    db, boxes = tx.db, engine.net.mailboxes
    health, used = boxes.relay_health(), {relay.peer for relay in queues.ours(tx)}
    whose = {known.relay.peer: contact for contact, known in contact_relays.offers(db) if known.taken}
    held, stored = store_queues.own_counts(db), store_deposits.counts(db)
    described = {known.relay: known.descriptor for known in store_known_relays.all(db)}
    facts = []
    for row in store_relays.all(db):
        relay = Relay(row.peer, row.addresses, row.token)
        known = health.get(own_relay(row.peer))
        hidden = health.get(replace(relay, hidden=True).mailbox)
        address = boxes.address_of(relay)
        owner = whose.get(row.peer)
        facts.append(
            RelayFacts(
                row.peer,
                address,
                place_of(address),
                known or RelayHealth("connecting", engine.clock()),
                row.peer in used,
                "" if owner is None else owner.name,
                "" if owner is None else shown[owner.id],
                held.get(row.peer, 0),
                stored.get(row.peer, 0),
                row.peer in state.circuits,
                row.peer in state.hidden_circuits,
                sum(each.unwatched for each in (known, hidden) if each is not None),
                row.peer in described and bool(described[row.peer].flags & PRIVATE),
                disguise=state.disguised.get(row.peer, ""),
            )
        )
    return facts


def place_of(address: str) -> str:
    """Return the host and port in a relay's address."""
    parts = address.split("/")
    if parts[1:2] == ["onion3"]:
        return parts[2].replace(":", ".onion:")
    host = f"[{parts[2]}]" if parts[1:2] == ["ip6"] else parts[2] if len(parts) > 2 else ""
    return f"{host}:{parts[4]}" if len(parts) > 4 and parts[4].isdecimal() else address


def _contact(db: Database, engine: Engine, contact: Contact, waiting: Waiting, label: str) -> ContactFacts:
    device = first_device(contact.id)
    asked = message_status.first_message(db, contact) if contact.state == ContactState.WAITING else []
    return ContactFacts(
        contact.id,
        contact.name,
        label,
        contact.state,
        contact.hidden,
        relays=len({queue.relay for queue in store_queues.theirs(db, device) if queue.flags == 0}),
        waiting=waiting,
        cannot=_cannot(db, contact) if contact.hidden else "",
        asked=message_status.stored(asked) if asked else "",
        no_room=contact.id in engine.committer.storage_limits.withheld,
    )


def _with_path(engine: Engine, contact: ContactFacts, places: dict[PeerKey, str]) -> ContactFacts:
    path = engine.view.path(contact.id)
    relay = "" if path.relay is None else places.get(path.relay, "")
    return replace(contact, route=engine.route(contact.id), path=path, relay=relay)


def _cannot(db: Database, contact: Contact) -> str:
    """Return what mail cannot do for a hidden contact."""
    cannot = []
    if message_status.is_out_of_reach(db, contact):
        cannot.append("nothing can be left at their relays")
    if not store_queues.announced(db, first_device(contact.id)):
        cannot.append("nothing can be left for you")
    return " and ".join(cannot)


# --- as data ----------------------------------------------------------------------------------------------------------


def _data(facts: NetworkFacts) -> Json:
    machine, lan, others = facts.net.machine, facts.lan, facts.others
    return {
        "at": views.timestamp(facts.now),
        "families": list(machine.families),
        "public": list(machine.public),
        "default_route": machine.default_route,
        "addresses": [
            {"address": own.address, "family": own.family, "scope": own.scope} for own in facts.net.addresses
        ],
        "port_mapping": {
            "state": facts.net.mapping.state,
            "address": facts.net.mapping.address or None,
            "protocol": facts.net.mapping.protocol or None,
        },
        "reached": facts.reached,
        "proxy": None if facts.proxy is None else {"address": facts.proxy.address, "problem": facts.proxy.problem},
        "lan": {"mode": lan.mode, "looking": lan.looking, "found": lan.found},
        "transports": [
            {"name": each.name, "running": each.running, "problem": each.problem} for each in facts.net.transports
        ],
        "clock_right": facts.clock_right,
        "freezing": facts.net.freezing,
        "hops": facts.net.hops,
        "relays": [_relay_data(relay) for relay in facts.relays],
        "other_relays": {"known": others.known, "worked": others.worked, "in_use": others.in_use},
        "contacts": [_contact_data(contact) for contact in facts.contacts],
    }


def _relay_data(relay: RelayFacts) -> Json:
    health = relay.health
    return {
        "address": relay.address,
        "state": health.state,
        "since": views.timestamp(health.since),
        "problem": health.problem,
        "answer_ms": health.answer_ms,
        "used": relay.used,
        "contact": relay.contact or None,
        "queues": relay.queues,
        "stored": relay.stored,
        "keeps_hours": health.longest,
        "circuits": relay.circuits,
        "hours_ahead": health.hours_ahead,
        "unwatched": relay.unwatched,
        "family": health.family or None,
        "short": health.short,
        "unlisted": relay.unlisted,
        "transport": relay.disguise or None,
    }


def _contact_data(contact: ContactFacts) -> Json:
    path, waiting = contact.path, contact.waiting
    return {
        "id": contact.id.hex(),
        "name": contact.name,
        "label": contact.shown,
        "state": contact.state,
        "hidden": contact.hidden,
        "route": contact.route,
        "relay": contact.relay or None,
        "family": path.family or None,
        "link_seconds": None if path.route is None else path.seconds,
        "stalled": path.stalled,
        "ways": {"direct": path.direct, "circuit": path.circuits},
        "tried_seconds_ago": path.tried,
        "relays": contact.relays,
        "waiting": {"messages": waiting.messages, "at_relays": waiting.stored, "other": waiting.other},
    }
