"""The engine's inbox, transactions and waiters, on a node of the fake world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2pchat.core import frames
from p2pchat.core.frames import Frame
from p2pchat.engine.methods.service import EngineService
from p2pchat.engine.runtime.committer import HIGH_WATER_MARK, MAX_CALLS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NoSuchContact
from tests.support.world import World, WorldNode, befriend, run_world

PATIENCE = 5.0  # virtual seconds


def nothing(tx: Transaction) -> None:
    pass


def test_everybody_who_waits_for_room_gets_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for _ in range(10 * HIGH_WATER_MARK):
            alice.engine.committer.post(nothing)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as links:
                for _ in range(3):
                    links.start_soon(alice.engine.committer.room)

    run_world(tmp_path, main)


def test_the_committer_knows_when_a_message_moved_last(tmp_path: Path) -> None:
    """Files wait a little after that (`engine/files/precedence`)."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await trio.sleep(10)
        began, committer = trio.current_time(), alice.engine.committer
        await committer.submit(nothing)
        assert committer.messages_at < began, "what a face saves is none"
        committer.post(nothing, sender=await alice.id_of("bob"))
        await trio.testing.wait_all_tasks_blocked()
        assert committer.messages_at >= began, "something has come"
        await trio.sleep(10)
        began = trio.current_time()
        bob.engine.committer.post = lambda *_, **__: None  # type: ignore[method-assign]  # so nothing comes back
        await alice.call("send", chat="bob", text="hello", wait="saved")
        assert committer.messages_at >= began, "something goes"

    run_world(tmp_path, main)


@pytest.mark.parametrize("kind", [frames.RENEW, frames.ACKS, frames.REFUSED])
def test_a_flood_of_small_frames_waits_on_its_link(tmp_path: Path, kind: int) -> None:
    """One read of a link holds thousands of the smallest frames: they must not pile up before the committer."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        bob_id = await alice.id_of("bob")
        flood = [Frame(kind, b"" if kind == frames.RENEW else bytes(16))] * 10 * HIGH_WATER_MARK
        most = 0
        async with trio.open_nursery() as link:
            link.start_soon(alice.engine.link_handler.received, bob_id, bytes(32), "direct", flood)
            while link.child_tasks:
                most = max(most, alice.engine.committer.waiting)
                await trio.lowlevel.checkpoint()
        assert 0 < most <= HIGH_WATER_MARK

    run_world(tmp_path, main)


def test_a_send_that_is_only_to_be_saved_is_taken_without_a_task(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        told: list[object] = []
        service = EngineService(alice.engine, list)

        def ask(method: str, **params: object) -> bool:
            return service.ask(method, params, lambda result, error: told.append(error or result))

        assert ask("send", chat="bob", text="first")
        assert ask("send", chat="nobody", text="second")
        assert ask("send", chat="bob", text="third", wait="saved")
        assert not told  # not before it is on disk
        assert not ask("send", chat="bob", text="fourth", wait="stored")
        assert not ask("contacts")
        await trio.testing.wait_all_tasks_blocked()
        first, second, third = told
        assert isinstance(second, NoSuchContact)
        log = await alice.call("log", chat="bob")
        assert [one["id"] for one in log] == [one["id"] for one in (first, third) if isinstance(one, dict)]
        for _ in range(MAX_CALLS):
            alice.engine.committer.post(nothing)
        assert not ask("send", chat="bob", text="too busy")

    run_world(tmp_path, main)


def test_what_comes_of_the_last_transaction_is_let_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is ended while it commits has what it is told of the disk late, and then still says it."""

    async def main(world: World) -> None:
        inline = world.run_sync
        ended = trio.Event()

        def lingering(node: WorldNode) -> Callable[..., Awaitable[Any]]:
            run_sync = inline(node)

            async def late(function: Callable[..., Any], *args: object, brief: bool = False) -> Any:
                result = await run_sync(function, *args, brief=brief)
                if ended.is_set():
                    await trio.sleep(1)
                return result

            return late

        monkeypatch.setattr(world, "run_sync", lingering)
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        bob_id = await alice.id_of("bob")
        released = trio.Event()

        def reach(tx: Transaction) -> None:
            ended.set()
            tx.outputs += (partial(alice.engine.net.forget, bob_id), released.set)

        alice.engine.committer.post(reach)
        await ended.wait()
        await alice.stop()
        assert released.is_set()

    run_world(tmp_path, main)
