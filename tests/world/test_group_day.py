"""Hours of a group in which many are removed and join while all write: nothing is lost (`tests.support.group_day`).

`python -m benchmarks.group_day` lets a whole day of 5,000 members pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.engine.groups import log_carrier, logs
from tests.support.group_day import Day, GroupDay
from tests.support.world import World, run_world


def test_nothing_is_lost_in_a_group_that_changes_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BOTH", 16)  # as a group of thousands is carried
    monkeypatch.setattr(log_carrier, "MAX_READ_ALL", 16)
    plan = GroupDay(members=60, engines=6, hours=3, changes=6, messages=10)

    async def main(world: World) -> None:
        seen = await Day(world, tmp_path, plan, lambda line: None).run()
        assert (seen.members, seen.removed, seen.joined) == (60, 18, 18)
        assert seen.written == 30

    run_world(tmp_path, main)
