"""The world itself, where a test would not fail but hang."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.world import World, run_world


def test_what_goes_round_without_letting_time_pass_fails(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        with trio.fail_after(1):
            while True:
                await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="no time passed"):
        run_world(tmp_path, main)


def test_what_lets_time_pass_may_go_on_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.MAX_AT_ONCE", 100)

    async def main(world: World) -> None:
        for _ in range(1000):
            await trio.sleep(1)

    run_world(tmp_path, main)
