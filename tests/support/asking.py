"""What a test asks a node, in a word."""

from __future__ import annotations

from typing import Any

from p2pchat.core.ids import first_device
from p2pchat.core.session import Session
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import outbox as store_outbox
from tests.support.world import WorldNode


def events_of(node: WorldNode, kind: str) -> list[dict[str, Any]]:
    """Everything a face was told of one kind."""
    return [one for one in node.heard if one["event"] == kind]


async def linked(node: WorldNode, name: str) -> bool:
    """Whether a message to this contact could leave now."""
    return next(one for one in await node.call("contacts") if one["name"] == name)["route"] is not None


async def names(node: WorldNode) -> dict[str, str]:
    """The states of contacts by their names."""
    return {one["name"]: one["state"] for one in await node.call("contacts")}


async def has(node: WorldNode, name: str, texts: list[str]) -> bool:
    """Whether exactly these came from a contact."""
    return await node.texts(name) == texts


async def sessions_of(node: WorldNode, name: str) -> list[Session]:
    """Every session with a contact that may be used."""
    contact = await node.id_of(name)
    return await node.engine.committer.read(lambda db: node.engine.committer.sessions.all(first_device(contact)))


async def waiting_envelopes(node: WorldNode, kind: int | None = None) -> list[bytes]:
    """What waits for others and is sealed, as it leaves, the oldest first; all of it, or the contents of one kind."""

    def again(tx: Transaction) -> list[bytes]:
        rows = store_outbox.due(tx.db, tx.now + (1 << 50))
        return [one.frame.body for one in outbound.ready(tx, rows) if kind in (None, one.kind)]

    return await node.engine.committer.submit(again)
