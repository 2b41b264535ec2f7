"""What waited for a contact is sealed in parts: in order, each once, and on from there after a crash or a full disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.envelope import BUCKETS
from p2pchat.engine.delivery import link_sender
from p2pchat.engine.runtime import transaction as turns
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store import facts
from p2pchat.store import outbox as store_outbox
from p2pchat.store.facts import Fact
from tests.support.asking import has, waiting_envelopes
from tests.support.meddler import Meddler
from tests.support.power_cuts import Person
from tests.support.sampling import SEED, chosen
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_renewal import all_delivered, broken, change_session, friends, renewals

A_PART = 3


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_SEALED_BYTES", A_PART * BUCKETS[0])


class Watched:
    """`sealed` and `more`: for every transaction from now on, how many envelopes were made of what waited, and how many
    inputs it left for later transactions. `begun`: there was one.
    """

    def __init__(self, node: WorldNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sealed: list[int] = []
        self.more: list[int] = []
        self.begun = trio.Event()
        transaction = node.engine.committer._transaction

        def watched(batch: Sequence[Any], brief: bool) -> Transaction:
            tx = transaction(batch, brief)
            self.sealed.append(A_PART - tx.sealable // BUCKETS[0])
            self.more.append(len(tx.following))
            if tx.following:
                self.begun.set()
            return tx

        monkeypatch.setattr(node.engine.committer, "_transaction", watched)


def heard_texts(node: WorldNode) -> list[str]:
    """The texts of others in the order in which they came."""
    return [one["text"] for one in node.heard if one["event"] == "message" and one["from"] != "me"]


async def with_a_backlog(world: World, texts: Sequence[str]) -> tuple[WorldNode, WorldNode]:
    """Alice has written to bob, who is away, in a session that cannot go on."""
    alice, bob = await friends(world)
    await bob.stop()
    await change_session(alice, "bob", broken)
    for text in texts:
        await alice.call("send", chat="bob", text=text)
    return alice, bob


def test_a_backlog_is_sealed_anew_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is written meanwhile stands behind it."""
    monkeypatch.setattr(link_sender, "WINDOW", 8)
    monkeypatch.setattr(link_sender, "REFILL", 4)
    texts = [f"{number}" for number in range(60)]

    async def main(world: World) -> None:
        alice, _ = await with_a_backlog(world, texts)
        watched = Watched(alice, monkeypatch)
        watched = Watched(alice, monkeypatch)
        bob = await world.start("bob")
        await watched.begun.wait()
        for number in range(5):
            await alice.call("send", chat="bob", text=f"new {number}")
        assert await in_progress(alice)
        await until(lambda: all_delivered(alice, "bob"), 60)
        expected = [*texts, *(f"new {number}" for number in range(5))]
        assert heard_texts(bob) == expected
        assert max(watched.sealed) == A_PART
        assert sum(watched.sealed) == len(expected)
        assert renewals(alice) == 1
        assert await alice.engine.committer.read(lambda db: facts.of_all(db, Fact.SEALING)) == []

    run_world(tmp_path, main)


async def in_progress(node: WorldNode) -> bool:
    return bool(await node.engine.committer.read(lambda db: facts.of_all(db, Fact.SEALING)))


def test_what_waited_for_a_yes_is_sealed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number}" for number in range(60)]

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", ask=True))["invite"]
        await bob.call("add", invite=invite, name="alice")
        for text in texts:
            await bob.call("send", chat="alice", text=text)
        watched = Watched(bob, monkeypatch)
        await alice.call("accept", contact="bob")
        await watched.begun.wait()
        await bob.call("send", chat="alice", text="new")
        await until(lambda: has(alice, "bob", [*texts, "new"]), 60)
        assert heard_texts(alice) == [*texts, "new"]
        assert max(watched.sealed) == A_PART
        assert sum(watched.sealed) == 60 + 2  # "new", and a receipt for what alice said about herself

    run_world(tmp_path, main)


def test_links_that_come_up_meanwhile_make_it_no_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what is still sealed in the old session leave on them."""

    async def main(world: World) -> None:
        alice, _ = await with_a_backlog(world, [f"{number}" for number in range(60)])
        old = set(await waiting_envelopes(alice))
        meddler = Meddler(world)
        watched = Watched(alice, monkeypatch)
        bob = await world.start("bob")
        await watched.begun.wait()
        contact = await alice.id_of("bob")
        session_id = alice.engine.link_handler.pairs(contact)[0].session_id
        for _ in range(20):
            alice.engine.link_handler.link_up(contact, session_id)
        until_then = len(meddler.seen)
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert (max(watched.sealed), sum(watched.sealed)) == (A_PART, 60)
        assert max(watched.more) == 1
        assert [frame for _, _, frame in meddler.seen[until_then:] if frame.body in old] == []
        assert heard_texts(bob) == [f"{number}" for number in range(60)]

    run_world(tmp_path, main)


def test_a_message_that_is_deleted_meanwhile_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_a_backlog(world, [f"{number}" for number in range(60)])
        watched = Watched(alice, monkeypatch)
        bob = await world.start("bob")
        await watched.begun.wait()
        log = await alice.call("log", chat="bob", limit=100)
        last = next(one["id"] for one in log if one["text"] == "59")
        await alice.call("delete", id=last)
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert heard_texts(bob) == [f"{number}" for number in range(59)]

    run_world(tmp_path, main)


def test_a_block_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_a_backlog(world, [f"{number}" for number in range(60)])
        watched = Watched(alice, monkeypatch)
        await world.start("bob")
        await watched.begun.wait()
        await alice.call("block", contact="bob")
        await trio.sleep(3700)
        assert await alice.engine.committer.read(store_outbox.counts) == {}
        assert not await in_progress(alice)

    run_world(tmp_path, main)


def test_it_goes_on_when_the_disk_has_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_a_backlog(world, [f"{number}" for number in range(60)])
        commit = alice.db.commit
        watched = Watched(alice, monkeypatch)
        bob = await world.start("bob")
        await watched.begun.wait()

        def full() -> None:
            raise DiskFull

        alice.db.commit = full  # type: ignore[method-assign]
        await trio.sleep(60)
        assert await in_progress(alice)
        alice.db.commit = commit  # type: ignore[method-assign]
        await until(lambda: all_delivered(alice, "bob"), 300)
        assert heard_texts(bob) == [f"{number}" for number in range(60)]

    run_world(tmp_path, main)


def test_a_power_cut_at_a_boundary_of_a_renewal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_SEALED_BYTES", 2 * BUCKETS[0])
    boundaries = renewed(tmp_path / "count", None)
    assert boundaries > 30
    for cut_at in chosen(boundaries, 6, "renewal"):
        try:
            renewed(tmp_path / f"{cut_at}", cut_at)
        except BaseException as error:
            raise AssertionError(f"cut at boundary {cut_at} of {boundaries}; P2PCHAT_SEED={SEED} repeats it") from error


def renewed(folder: Path, cut_at: int | None) -> int:
    """Alice's node comes up beside bob's, renews the session and seals her backlog; how many boundaries it passed."""
    passed = 0

    async def main(world: World) -> None:
        nonlocal passed
        texts = [f"{number}" for number in range(3)]
        alice, _ = await with_a_backlog(world, texts)
        await alice.stop()
        bob = await world.start("bob")
        person = Person(world, "alice", cut_at)

        async def done(node: WorldNode) -> bool:
            return await all_delivered(node, "bob")

        async def wait(node: WorldNode) -> None:
            await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(person.live)
            with trio.fail_after(4 * 3600):
                await person.say("bob", "last")
                await person.do(wait, done)
            nursery.cancel_scope.cancel()
        passed = person.boundaries
        assert heard_texts(bob) == [*texts, "last"]
        assert await bob.texts("alice") == ["a0", *texts, "last"]

    folder.mkdir()
    run_world(folder, main)
    return passed
