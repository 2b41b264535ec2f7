"""People who start their node again after a power cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from p2pchat.errors import NotReached
from tests.support.power_cuts import Person
from tests.support.world import World, WorldNode, run_world


def test_a_question_is_asked_again_if_the_power_is_cut_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[WorldNode] = []

    async def question(alice: Person) -> None:
        async def contacts(node: WorldNode) -> int:
            asked.append(node)
            if len(asked) == 1:
                with monkeypatch.context() as only_this_node:
                    only_this_node.setattr(node.db, "commit", node.cut_power)
                    await node.call("invite")
            return len(await node.call("contacts"))

        assert await alice.ask(contacts) == 0

    _alone(tmp_path, question)
    first, second = asked
    assert first is not second


def test_what_a_node_refuses_is_tried_again(tmp_path: Path) -> None:
    tried: list[WorldNode] = []

    async def tries(alice: Person) -> None:
        async def act(node: WorldNode) -> None:
            await trio.lowlevel.checkpoint()
            tried.append(node)
            if len(tried) == 1:
                raise NotReached

        async def done(node: WorldNode) -> bool:
            await trio.lowlevel.checkpoint()
            return len(tried) == 2

        await alice.do(act, done)

    _alone(tmp_path, tries)


def _alone(folder: Path, story: Callable[[Person], Awaitable[None]]) -> None:
    async def main(world: World) -> None:
        alice = Person(world, "alice", None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.live)
            await story(alice)
            nursery.cancel_scope.cancel()

    run_world(folder, main)
