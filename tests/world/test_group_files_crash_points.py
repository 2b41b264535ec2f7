"""Power cuts while a file is sent to a group: see `tests/world/test_files_crash_points.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from tests.support.mailboxes import MailRelay
from tests.support.power_cuts import Person, befriend, cut_each, is_contact, nothing, played, two_people
from tests.support.world import World, WorldNode, until
from tests.world.test_files import is_here, new_file, saved

POINTS = 3
SIZE = 200_000
CHAT = "crew"


async def story(world: World, source: Path, victim: str, cut_at: int | None, towers: Sequence[MailRelay]) -> int:
    """alice sends the group of her and bob a file by relays, and deletes it. How many boundaries the victim passed."""
    async with two_people(world, victim, cut_at) as (alice, bob):
        for tower in towers:
            await alice.use(tower)
            await bob.use(tower)
        await befriend(alice, bob)
        await alice.do(nothing, is_contact)
        await alice.do(found, has_chat)
        for person in (alice, bob):
            await person.do(nothing, knows_the_other)
        await trio.sleep(60)
        world.cut(alice, bob)
        await send(alice, source)
        await alice.do(nothing, is_left)
        await bob.do(nothing, arrived)
        assert (
            await bob.ask(lambda node: saved(node, CHAT, source.parent / "saved"))
            == await trio.Path(source).read_bytes()
        )
        for tower in towers:
            assert len(held(tower)) == 5, "all of it, and nothing else"
        await alice.do(delete, is_deleted)
        await bob.do(nothing, is_deleted)

        async def taken_back() -> bool:
            await trio.lowlevel.checkpoint()
            return not any(map(held, towers))

        await until(taken_back)
        for person in (alice, bob):
            await person.do(nothing, keeps_nothing)
    return (alice if victim == "alice" else bob).boundaries


def held(tower: MailRelay) -> list[bytes]:
    return [name for box in tower.boxes.values() for name in box]


async def found(node: WorldNode) -> None:
    await node.call("create_group", name=CHAT, contacts=["bob"])


async def has_chat(node: WorldNode) -> bool:
    return any(one["name"] == CHAT for one in await node.call("chats"))


async def knows_the_other(node: WorldNode) -> bool:
    if not await has_chat(node):
        return False
    page = await node.call("group_members", chat=CHAT)
    return [bool(one["contact"]) for one in page["members"] if not one["me"]] == [True]


async def send(alice: Person, source: Path) -> None:
    told = False

    async def act(node: WorldNode) -> None:
        nonlocal told
        await node.call("send_file", chat=CHAT, path=str(source), as_is=True)
        told = True

    async def is_sent(node: WorldNode) -> bool:
        files = await node.call("files", chat=CHAT)
        assert files or not told, "a face was told of a file that is not on disk"
        return bool(files)

    await alice.do(act, is_sent)


async def is_left(node: WorldNode) -> bool:
    (message,) = await node.call("files", chat=CHAT)
    return bool(message["file"]["stored"] == 1.0)


async def arrived(node: WorldNode) -> bool:
    return await is_here(node, CHAT)


async def delete(node: WorldNode) -> None:
    (message,) = await node.call("files", chat=CHAT)
    await node.call("delete", id=message["id"], for_both=True)


async def is_deleted(node: WorldNode) -> bool:
    return bool(await node.call("files", chat=CHAT) == [])


async def keeps_nothing(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return not any((node.folder / "files").iterdir())


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_a_group_is_sent_a_file_costs_nothing_but_time(tmp_path: Path, victim: str) -> None:
    source = new_file(tmp_path, SIZE)

    def run(folder: Path, cut_at: int | None) -> int:
        async def main(world: World) -> int:
            return await story(world, source, victim, cut_at, [world.mailbox(f"tower {number}") for number in range(2)])

        return played(folder, cut_at, main)

    cut_each(tmp_path, run, POINTS, victim, least=30)
