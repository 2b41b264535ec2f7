"""The door: joining when the inviter cannot save."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.errors import DiskFull, NotReached
from tests.support.world import World, run_world


def test_an_inviter_whose_disk_is_full_only_delays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        commit = alice.db.commit

        def full() -> None:
            raise DiskFull

        alice.db.commit = full  # type: ignore[method-assign]
        with pytest.raises(NotReached):
            await bob.call("add", invite=invite, name="alice", timeout=30)
        alice.db.commit = commit  # type: ignore[method-assign]
        await trio.sleep(60)
        assert (await bob.call("add", invite=invite, wait="accepted", timeout=600))["state"] == "contact"
        assert len(await alice.call("contacts")) == 1

    run_world(tmp_path, main)
