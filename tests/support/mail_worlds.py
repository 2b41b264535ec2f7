"""Worlds with relays: people who live apart, and their queues."""

from __future__ import annotations

import trio

from p2pchat.store import queues as store_queues
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend


async def apart(world: World, count: int = 2) -> tuple[WorldNode, WorldNode, list[MailRelay]]:
    """alice and bob, who are contacts and have no way to each other but so many relays, which both use."""
    relays = [world.mailbox(f"relay {number}") for number in range(count)]
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    for node in (alice, bob):
        for relay in relays:
            await node.call("relays", add=relay.address)
    await trio.sleep(60)  # nothing is owed any more
    world.cut(alice, bob)
    await trio.sleep(60)  # and nobody takes the old link for one
    for relay in relays:
        relay.given.clear()
    return alice, bob, relays


async def own_queues(node: WorldNode) -> list[OwnQueueRow]:
    return [row for _, row in await node.engine.committer.read(store_queues.own)]


async def their_queues(node: WorldNode) -> list[TheirQueueRow]:
    return await node.engine.committer.read(store_queues.theirs)


async def all_in(node: WorldNode, chat: str, state: str, count: int) -> bool:
    log = await node.engine.committer.read(
        lambda db: db.query("SELECT count(*) FROM messages WHERE state = ?", (state,))
    )
    return bool(log == [(count,)])
