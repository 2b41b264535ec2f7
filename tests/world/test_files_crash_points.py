"""Power cuts at every boundary of a transfer, on each side: see `tests/world/test_crash_points.py`.

Besides the boundaries of that story there is one before and after each write and each sync of a sealed file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.mailboxes import MailRelay
from tests.support.power_cuts import Person, become_contacts, is_contact, nothing, played, two_people
from tests.support.sampling import chosen
from tests.support.world import World, WorldNode
from tests.world.test_files import is_here, new_file, saved

POINTS = 3
SIZE = 200_000


async def story(world: World, source: Path, victim: str, cut_at: int | None, relays: Sequence[MailRelay]) -> int:
    """alice sends bob a file, over a link or by relays. How many boundaries the victim's node passed."""
    async with two_people(world, victim, cut_at) as (alice, bob):
        for relay in relays:
            await alice.use(relay)
            await bob.use(relay)
        await become_contacts(alice, bob)
        await alice.do(nothing, is_contact)
        if relays:
            await trio.sleep(60)
            world.cut(alice, bob)
        await send(alice, source)
        await bob.do(nothing, arrived)
        await alice.do(nothing, delivered)
        node = await bob.node()
        assert await saved(node, "alice", source.parent / "saved") == await trio.Path(source).read_bytes()
        for person in (alice, bob):
            await person.do(nothing, keeps_one)
    return (alice if victim == "alice" else bob).boundaries


async def send(alice: Person, source: Path) -> None:
    told = False

    async def act(node: WorldNode) -> None:
        nonlocal told
        await node.call("send_file", chat="bob", path=str(source), as_is=True)
        told = True

    async def is_sent(node: WorldNode) -> bool:
        files = await node.call("files", chat="bob")
        assert files or not told, "a face was told of a file that is not on disk"
        return bool(files)

    await alice.do(act, is_sent)


async def arrived(node: WorldNode) -> bool:
    return await is_here(node, "alice")


async def delivered(node: WorldNode) -> bool:
    (message,) = await node.call("files", chat="bob")
    return bool(message["state"] == "delivered" and message["file"]["state"] == "here")


async def keeps_one(node: WorldNode) -> bool:
    """Whether a node has one file message, one sealed file, and nothing left over."""
    messages: list[Any] = await node.call("files", chat="bob" if node.name == "alice" else "alice")
    return len(messages) == 1 and len(list((node.folder / "files").iterdir())) == 1


@pytest.mark.parametrize("victim", ["alice", "bob"])
@pytest.mark.parametrize("relays", [0, 2])
def test_a_power_cut_in_a_transfer_costs_nothing_but_time(tmp_path: Path, victim: str, relays: int) -> None:
    source = new_file(tmp_path, SIZE)

    def run(folder: Path, cut_at: int | None) -> int:
        async def main(world: World) -> int:
            used = [world.mailbox(f"relay {number}") for number in range(relays)]
            return await story(world, source, victim, cut_at, used)

        return played(folder, cut_at, main)

    boundaries = run(tmp_path / "count", None)
    assert boundaries > 30
    for cut_at in chosen(boundaries, POINTS, victim, relays):
        run(tmp_path / str(cut_at), cut_at)
