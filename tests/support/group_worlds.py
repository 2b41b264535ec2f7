"""Groups in a world of nodes: founded, and what each node has of them."""

from __future__ import annotations

from typing import Any

from tests.support.world import World, WorldNode, befriend, until


async def members(node: WorldNode, chat: str) -> set[str]:
    """The names of the members, as a node has them."""
    page = await node.call("group_members", chat=chat, limit=1000)
    return {"me" if one["me"] else one["contact"] or one["name"] for one in page["members"]}


async def has_members(node: WorldNode, chat: str, count: int) -> None:
    """Wait until a node is in a group with so many members."""

    async def there() -> bool:
        if not any(one["name"] == chat for one in await node.call("chats")):
            return False
        return bool((await node.call("group", chat=chat))["members"] == count)

    await until(there)


async def said(node: WorldNode, chat: str) -> list[str]:
    """What others wrote, without lines about what was done."""
    log = await node.call("log", chat=chat, limit=1000)
    return [one["text"] for one in log if one["kind"] == "text" and not one["mine"]]


async def talk(node: WorldNode, chat: str) -> list[dict[str, Any]]:
    """What was written, without lines about what was done."""
    return [one for one in await node.call("log", chat=chat, limit=1000) if one["kind"] == "text"]


async def reads(node: WorldNode, chat: str, *texts: str) -> None:
    """Wait until exactly these texts of others have come, in any order of their authors."""

    async def there() -> bool:
        return len(await said(node, chat)) >= len(texts)

    await until(there)
    assert sorted(await said(node, chat)) == sorted(texts)


async def found(world: World, *names: str, chat: str = "hikers") -> list[WorldNode]:
    """A group of the first, who knows all others; they do not know each other."""
    founder, *others = [await world.start(name) for name in names]
    for other in others:
        await befriend(founder, other)
    await founder.call("create_group", name=chat, contacts=list(names[1:]))
    for node in (founder, *others):
        await has_members(node, chat, len(names))
    return [founder, *others]
