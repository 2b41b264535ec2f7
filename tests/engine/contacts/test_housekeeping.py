"""What the hourly run takes up."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.store import meta, search_backlog
from tests.support.world import World, befriend, run_world


def test_the_search_index_catches_up_after_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade, when all messages wait for it: a few in each transaction, and no search waits for all."""
    monkeypatch.setattr(search_backlog, "MAX_AT_ONCE", 2)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        for number in range(5):
            await alice.call("send", chat="bob", text=f"text {number}")
        await alice.stop()
        alice = await world.start("alice")
        await trio.sleep(10)
        (newest,) = await alice.engine.committer.read(lambda db: db.query_one("SELECT max(pk) FROM messages"))
        assert await alice.engine.committer.read(lambda db: meta.get_int(db, search_backlog.INDEXED_TO)) == newest

    run_world(tmp_path, main)
