"""The method keys: since when the transport keys are in use, when the next ones are, and making these now."""

from __future__ import annotations

from p2pchat.engine.contacts import transport_keys
from p2pchat.engine.contacts.transport_keys import KeysState
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.lib.times import format_duration


async def keys(engine: Engine, *, rotate: bool = False) -> Json:
    """Return how it stands with the transport keys; with `rotate`, after making the next ones and telling contacts."""

    def said(tx: Transaction) -> KeysState:
        if rotate:
            transport_keys.rotate(tx)
        return transport_keys.state(tx.db, tx.now)

    state: KeysState = await engine.committer.submit(said)
    if rotate:
        engine.upkeep.address_updates.changed()
    return {
        "since": views.timestamp(state.since or None),
        "next": views.timestamp(state.ready or None),
        "unheard": state.unheard,
        "invites": state.invites,
        "relay": state.is_relay,
        "notice": notice(state, engine.clock()),
    }


def notice(state: KeysState, now: int) -> str:
    """Return in words what the keys are for, and what happens to them. now: ms."""
    age = format_duration(max(0, now - state.since) // 1000, units=1) or "a moment"
    old = f" that is {age} old" if state.since else ""
    if state.is_relay:
        said = [
            "Contacts use this node as a relay and know it by its transport key, so that one stays. Contacts from whom "
            f"you hide know the node by another key{old}."
        ]
    else:
        said = [f"Relays, and whoever connects to this node, know it by a transport key{old}."]
    if not state.ready:
        return " ".join([*said, "It is replaced after a week or so, at a start of the node."])
    said.append("The next one is made, and contacts are told of it. The present one stays in use meanwhile.")
    said.append(f"The next one takes its place when the node starts after {views.timestamp(state.ready)}.")
    if state.unheard:
        said.append("It also waits until every contact has heard of it, for 30 days at most.")
    if state.invites:
        said.append(
            "It also waits, as long at most, for an open invite that names the present one; revoke it, or let it be "
            "used."
        )
    return " ".join(said)
