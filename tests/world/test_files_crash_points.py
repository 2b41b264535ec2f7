"""Power cuts at every boundary of a transfer, on each side: see `tests/world/test_crash_points.py`.

Besides the boundaries of that story there is one before and after each write and each sync of a sealed file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core.files import CHUNK_BYTES, Layout
from p2pchat.core.ids import ContactId
from p2pchat.engine.files import progress
from p2pchat.engine.files.fetch import CHUNKS_A_REQUEST, MAX_REQUESTS, MAX_UNSAVED
from p2pchat.ports import BlobRange, Blobs
from tests.support.mailboxes import MailRelay
from tests.support.power_cuts import Person, befriend, cut_each, is_contact, lose, nothing, played, two_people
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends
from tests.world.test_files import is_here, new_file, saved

POINTS = 3
SIZE = 200_000


async def story(world: World, source: Path, victim: str, cut_at: int | None, relays: Sequence[MailRelay]) -> int:
    """alice sends bob a file, over a link or by relays. How many boundaries the victim's node passed."""
    async with two_people(world, victim, cut_at) as (alice, bob):
        for relay in relays:
            await alice.use(relay)
            await bob.use(relay)
        await befriend(alice, bob)
        await alice.do(nothing, is_contact)
        if relays:
            await trio.sleep(60)
            world.cut(alice, bob)
        await send(alice, source)
        await bob.do(nothing, arrived)
        await alice.do(nothing, delivered)
        assert (
            await bob.ask(lambda node: saved(node, "alice", source.parent / "saved"))
            == await trio.Path(source).read_bytes()
        )
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

    cut_each(tmp_path, run, POINTS, victim, relays, least=30)


@pytest.mark.parametrize("power", [False, True])
def test_a_kill_costs_no_chunk_that_came_and_a_power_cut_a_bounded_number(tmp_path: Path, power: bool) -> None:
    """At the worst moment: nothing was synced, and as much has come as may come then."""
    source = new_file(tmp_path, 200 * CHUNK_BYTES)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        given: list[int] = []
        honest = alice.engine.files.giver.blobs

        async def counted(contact: ContactId, wanted: BlobRange) -> Blobs:
            answer = await honest(contact, wanted)
            first = Layout.of(200 * CHUNK_BYTES).slot(wanted.first)
            given.extend(range(first, first + len(answer.blobs)))
            return answer

        with (
            mock.patch.object(alice.engine.files.giver, "blobs", counted),
            mock.patch.object(progress.Progress, "_save", held),
        ):
            await alice.call("send_file", chat="bob", path=str(source))
            await trio.sleep(60)
            (task,) = bob.engine.files.fetcher._tasks.values()
            assert task.fetch is not None
            came = set(task.fetch.unsaved)
            assert MAX_UNSAVED <= len(came) < MAX_UNSAVED + MAX_REQUESTS * CHUNKS_A_REQUEST
            await bob.crash()
        if power:
            lose(bob.folder / "files" / str(task.row.space), came)
        with mock.patch.object(alice.engine.files.giver, "blobs", counted):
            before, bob = len(given), await world.start("bob")
            await until(lambda: is_here(bob, "alice"), 120)
        again = came.intersection(given[before:])
        assert again == (came if power else set())
        assert len(given) <= 201 + len(again) + MAX_REQUESTS * CHUNKS_A_REQUEST
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


async def held(*args: object) -> None:
    """Save nothing."""
