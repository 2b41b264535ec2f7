"""Channels in a world of nodes: relays that mirror them, one that is founded there, and what a follower reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from p2pchat.core import names
from p2pchat.net import multiaddrs
from tests.support.feeds import FeedRelay, feed_relay
from tests.support.world import FakeHost, World, WorldNode


class Mirror:
    """A relay that mirrors channels, as a host of the world."""

    def __init__(self, world: World, name: str, at: FeedRelay) -> None:
        self.at = at
        self.world = world
        self.host: FakeHost = world.outsider(name)
        self.host.handle(names.FEED, at.server.serve)
        self.line = multiaddrs.full(self.host.peer, world.address(name))

    def vanish(self) -> None:
        """Be there for nobody any more."""
        self.world.listening.pop(self.host.peer, None)
        for stream in list(self.host.streams):
            stream.end()

    def come_back(self) -> None:
        self.world.listening[self.host.peer] = self.host


@asynccontextmanager
async def mirrors(world: World, folder: Path, *names: str) -> AsyncIterator[list[Mirror]]:
    async with AsyncExitStack() as stack:
        made = []
        for name in names:
            (folder / name).mkdir()
            made.append(Mirror(world, name, await stack.enter_async_context(feed_relay(folder / name))))
        yield made


async def founded(world: World, relays: list[Mirror], **options: Any) -> tuple[WorldNode, str]:
    """Start a node that founds a channel at these relays; the node, and the channel's link."""
    alice = await world.start("alice")
    for relay in relays:
        await alice.call("relays", add=relay.line)
    created = await alice.call("create_channel", name="news", **options)
    assert (created["name"], created["mine"], created["posts"]) == ("news", True, 0)
    return alice, (await alice.call("channel_invite", chat="news"))["text"]


def reads(node: WorldNode, *texts: str) -> Any:
    async def check() -> bool:
        return await node.texts("news") == list(texts)

    return check
