"""A transaction that fails, before and after its commit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import frames
from p2pchat.core.ids import ChatId
from p2pchat.core.primitives import system_entropy
from p2pchat.core.ratchet import OLD_CHAINS
from p2pchat.engine.contacts import profile
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import withholding
from p2pchat.engine.runtime.transaction import NOTED, Transaction
from p2pchat.errors import CannotOpen, DatabaseDamaged, DiskFull, NodeError, NoSuchContact, NotNow, P2PChatError
from p2pchat.ports import Net, NetView
from p2pchat.store import invites as store_invites
from p2pchat.store.database import Database
from tests.conftest import run
from tests.support.databases import new_database
from tests.support.meddler import Meddler
from tests.support.virtual_time import patience
from tests.support.world import World, befriend, run_world


def test_what_was_committed_is_never_told_to_have_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hellos and join tags are checked against is read in the transaction: if that fails, nothing was
    committed.
    """

    async def main(world: World) -> None:
        alice = await world.start("alice")
        looked = store_invites.all

        def broken(db: Database) -> list[store_invites.InviteRow]:
            raise DatabaseDamaged

        monkeypatch.setattr(store_invites, "all", broken)
        with pytest.raises(DatabaseDamaged):
            await alice.call("invite")
        monkeypatch.setattr(store_invites, "all", looked)
        assert await alice.engine.committer.read(looked) == []
        await alice.call("invite")
        (invite,) = await alice.engine.committer.read(looked)
        assert alice.engine.invite_handler.offer(invite.id) is not None

    run_world(tmp_path, main)


def test_what_a_failed_turn_knew_of_people_is_read_again(tmp_path: Path) -> None:
    def rename_and_fail(tx: Transaction) -> None:
        tx.change(tx.find("bob").id, name="Robert")
        raise ValueError

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        sent = await alice.call("send", chat="bob", text="one", wait="delivered")
        with pytest.raises(NodeError):
            await alice.engine.committer.submit(rename_and_fail)
        assert (await alice.call("contacts"))[0]["name"] == "bob"
        await alice.engine.committer.submit(lambda tx: tx.find("bob"))
        with pytest.raises(NoSuchContact):
            await alice.engine.committer.submit(lambda tx: tx.find("Robert"))
        again = await alice.call("send", chat="bob", text="two", wait="delivered")
        assert sent["id"] != again["id"]
        assert await bob.texts("alice") == ["one", "two"]

    run_world(tmp_path, main)


def test_a_failed_transaction_spends_and_withholds_nothing(tmp_path: Path) -> None:
    def store_and_fail(tx: Transaction) -> None:
        bob = tx.find("bob")
        tx.storage_limits.spend(bob.id, 30 * 2**20, tx.now, unread=True)
        withholding.withhold(tx, bob, linked=False)
        raise ValueError

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        for _ in range(3):
            with pytest.raises(NodeError):
                await alice.engine.committer.submit(store_and_fail)
        assert not alice.engine.committer.storage_limits.withheld
        await bob.call("send", chat="alice", text="there is room", wait="delivered", timeout=60)

    run_world(tmp_path, main)


def test_two_who_wait_for_one_contact_both_hear(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        await alice.stop()
        added: list[str] = []

        async def add() -> None:
            added.append((await bob.call("add", invite=invite, wait="accepted", timeout=3000))["state"])

        async with trio.open_nursery() as faces:
            for _ in range(5):
                faces.start_soon(add)
            await trio.sleep(10)
            await world.start("alice")
        assert added == ["contact"] * 5

    run_world(tmp_path, main)


def test_a_fault_in_one_input_costs_the_others_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        ran: list[int] = []

        def faulty(tx: object) -> None:
            raise ZeroDivisionError

        async def one() -> None:
            with pytest.raises(NodeError):
                await alice.engine.committer.submit(faulty)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            for number in range(3):
                nursery.start_soon(alice.engine.committer.submit, lambda tx, number=number: ran.append(number))
        assert set(ran) == {0, 1, 2}

    run_world(tmp_path, main)


@pytest.mark.parametrize(("error", "told"), [(CannotOpen(), NodeError), (NotNow("there is no room"), NotNow)])
def test_an_error_at_the_end_of_a_transaction_costs_its_cause_alone(
    tmp_path: Path, error: P2PChatError, told: type[P2PChatError]
) -> None:
    """What follows of all inputs together is done there, as of groups; it is no fault of the disk."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        committer, ran, guilty = alice.engine.committer, list[int](), list[Transaction]()

        def follow(tx: Transaction) -> None:
            if tx in guilty:
                raise error

        committer.before_writing = [*committer.before_writing, follow]

        async def fails() -> None:
            with pytest.raises(told):
                await committer.submit(guilty.append)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            for number in range(3):
                nursery.start_soon(committer.submit, lambda tx, number=number: ran.append(number))
        assert set(ran) == {0, 1, 2}

    run_world(tmp_path, main)


def test_what_a_failed_transaction_noted_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the commit: what was done, and what is to be done, is in memory as it was. All else that is
    in memory is empty, so that it is read again.
    """
    known, new = ChatId(b"a chat"), ChatId(b"another")

    async def main(world: World) -> None:
        alice = await world.start("alice")
        committer = alice.engine.committer
        memory: dict[str, dict[object, object]] = {
            name: kept for name, kept in vars(committer.memory).items() if isinstance(kept, dict) and name[0] != "_"
        }

        def note(tx: Transaction) -> None:
            for kept in memory.values():
                kept[known] = 1

        def change(tx: Transaction) -> None:
            for kept in memory.values():
                kept[known] = kept[new] = 2

        def drop(tx: Transaction) -> None:
            for kept in memory.values():
                kept.clear()

        def full() -> None:
            raise DiskFull

        assert memory.keys() >= set(NOTED)
        await committer.submit(note)
        for fails in (change, drop):
            with monkeypatch.context() as patched:
                patched.setattr(alice.db, "commit", full)
                with pytest.raises(DiskFull):
                    await committer.submit(fails)
            for name, kept in memory.items():
                assert kept == ({known: 1} if name in NOTED else {}), name

    run_world(tmp_path, main)


def test_the_database_is_closed_after_the_reading_in_progress(tmp_path: Path) -> None:
    """A face may be reading, in a thread of its own, when the node ends."""
    db = new_database(tmp_path / "p2pchat.db")
    profile.write_identity(db, "alice", system_entropy())
    engine = Engine(db, lambda: 0, system_entropy(), cast(Net, None), cast(NetView, None))
    reading, go_on = trio.Event(), threading.Event()
    rows: list[object] = []

    def slow(db: Database) -> None:
        trio.from_thread.run_sync(reading.set)
        go_on.wait()
        rows.append(db.query_one("SELECT 1"))

    async def main() -> None:
        async with trio.open_nursery() as faces:
            faces.start_soon(engine.committer.read, slow)
            await reading.wait()
            faces.start_soon(engine.committer.close)
            await wait_all_tasks_blocked()
            go_on.set()
        assert rows == [(1,)]
        assert db.closed

    run(main)


def test_a_disk_that_hangs_stops_no_transaction(tmp_path: Path) -> None:
    """Files that are sent may lie on a network file system whose server is gone."""
    db = new_database(tmp_path / "p2pchat.db")
    profile.write_identity(db, "alice", system_entropy())
    engine = Engine(db, lambda: 0, system_entropy(), cast(Net, None), cast(NetView, None))
    go_on = threading.Event()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.committer.run)
            for _ in range(50):
                nursery.start_soon(engine.committer.beside, go_on.wait)
            await wait_all_tasks_blocked()
            try:
                with patience():
                    assert await engine.committer.submit(lambda tx: 7) == 7
            finally:
                go_on.set()
            nursery.cancel_scope.cancel()

    run(main)


def test_a_skipped_key_whose_header_key_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Nothing can be opened with it any more, but by somebody with a recording and this database."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        meddler = Meddler(world)
        meddler.drop(frames.ENVELOPE, sender=bob, times=1)
        await bob.call("send", chat="alice", text="lost")

        async def turn_around() -> None:
            await bob.call("send", chat="alice", text="b", wait="delivered")
            await alice.call("send", chat="bob", text="a", wait="delivered")

        await turn_around()
        assert await alice.engine.committer.read(kept_keys) == 1
        for _ in range(OLD_CHAINS + 1):
            await turn_around()
        assert await alice.engine.committer.read(kept_keys) == 0

    run_world(tmp_path, main)


def kept_keys(db: Database) -> int:
    return len(db.query("SELECT 1 FROM skipped_keys"))
