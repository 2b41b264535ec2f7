"""What hellos are checked against: read anew for those who changed, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.core.ids import DeviceId
from p2pchat.store import sessions as store_sessions
from p2pchat.store.database import Database
from p2pchat.store.sessions import SessionRow
from tests.support.asking import has
from tests.support.world import World, befriend, run_world, until


def test_one_change_reads_the_sessions_of_one_contact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = store_sessions.for_device

    def counted(db: Database, device: DeviceId) -> list[SessionRow]:
        read.append(device)
        return real(db, device)

    async def main(world: World) -> None:
        alice = await world.start("alice")
        bob, carol, dave = [await world.start(name) for name in ("bob", "carol", "dave")]
        for one in (bob, carol, dave):
            await befriend(alice, one)
        known = await alice.id_of("bob")
        monkeypatch.setattr(store_sessions, "for_device", counted)
        await alice.call("hide", contact="bob", hidden=True)
        assert set(read) == {known}
        assert alice.engine.link_handler.hidden(known)
        await alice.call("hide", contact="bob", hidden=False)
        await alice.call("block", contact="bob")
        assert alice.engine.link_handler.pairs(known) == ()
        await alice.call("send", chat="carol", text="still here")
        await until(lambda: has(carol, "alice", ["still here"]), 30)

    run_world(tmp_path, main)
