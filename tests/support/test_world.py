"""The world itself, where a test would not fail but hang."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from tests.support.world import World, run_world, until


def test_what_goes_round_without_letting_time_pass_fails(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        with trio.fail_after(1):
            while True:
                await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match=r"no time passed\nwaited at .*test_world\.py.*checkpoint"):
        run_world(tmp_path, main)


def test_a_story_that_waits_for_ever_says_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.MAX_STORY_SECONDS", 10)

    async def main(world: World) -> None:
        async def never() -> bool:
            return False

        await until(never)

    with pytest.raises(trio.TooSlowError) as caught:
        run_world(tmp_path, main)
    (said,) = caught.value.__notes__
    assert re.match(r"waited at support/world\.py:\d+ `await .*`, in support/test_world\.py:\d+ `await until", said)


def test_what_lets_time_pass_may_go_on_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.MAX_AT_ONCE", 100)

    async def main(world: World) -> None:
        for _ in range(1000):
            await trio.sleep(1)

    run_world(tmp_path, main)
