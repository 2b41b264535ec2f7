"""Flow: what is next on a link, when a transaction fails."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.errors import DiskFull
from tests.support.world import World, befriend, run_world, until


def test_a_link_that_comes_up_while_nothing_can_be_saved_is_used_later(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await trio.sleep(60)  # nothing is owed any more
        await bob.stop()
        await alice.call("send", chat="bob", text="hello")
        commit = alice.db.commit

        def full() -> None:
            raise DiskFull

        alice.db.commit = full  # type: ignore[method-assign]
        bob = await world.start("bob")

        async def linked() -> bool:
            return (await bob.call("contacts"))[0]["route"] is not None

        await until(linked, 600)
        alice.db.commit = commit  # type: ignore[method-assign]

        async def arrived() -> bool:
            return await bob.texts("alice") == ["hello"]

        await until(arrived, 120)

    run_world(tmp_path, main)
