"""What is sent again is byte for byte what was sent first, whatever became of its session since, and by a node that has
just started.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core.envelope import envelope_id
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.session_cache import SessionCache
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import outbox as store_outbox
from p2pchat.store import sending_chains
from p2pchat.store.database import PAGE_BYTES, Database
from tests.support.asking import has
from tests.support.sampling import SEED
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_renewal import all_delivered, friends

STEPS = 25
FRAME_HEADER_BYTES = 24  # of the write-ahead log


class Kept:
    """Before each COMMIT of a node: seals again all that waits, from what is on disk with it and from nothing else.

    `wrong`: rows that could not be sealed again, or became other bytes. `seen`: how many rows there were, by their kind
    and by where their chain was: "in use", "ended", or that they hold their "envelope".
    """

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.seen: Counter[tuple[int | None, str]] = Counter()

    def watch(self, node: WorldNode) -> None:
        node.engine.committer.before_commit.append(self._look)

    def _look(self, tx: Transaction) -> None:
        rows = store_outbox.due(tx.db, tx.now + (1 << 50))
        restarted = replace(tx, sessions=SessionCache(tx.db))
        again = {one.pk: one for one in outbound.ready(restarted, rows)}
        for row in rows:
            if row.pk not in again or envelope_id(again[row.pk].frame.body) != row.envelope_id:
                self.wrong.append(f"{row.form} {row.kind} of chain {row.chain}")
            self.seen[row.kind, self._where(tx.db, row)] += 1

    def _where(self, db: Database, row: store_outbox.OutboxRow) -> str:
        if row.envelope is not None or row.session_id is None or row.chain is None:
            return "envelope"
        return "in use" if sending_chains.get(db, row.session_id, row.chain) is None else "ended"


def test_what_waits_is_sealed_again_as_the_same_bytes(tmp_path: Path) -> None:
    """In a conversation by chance: over links that break and by a relay, with restarts, receipts and reactions."""
    kept, rng = Kept(), Random(SEED)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice", kept.watch), await world.start("bob", kept.watch)
        relay = world.mailbox("relay")
        for node in (alice, bob):
            await node.call("relays", add=relay.address)
        invite = (await alice.call("invite"))["invite"]
        await bob.call("add", invite=invite, name="alice")
        await bob.call("send", chat="alice", text="hello", wait="delivered")
        people = {"alice": alice, "bob": bob}

        async def say(name: str, other: str, text: str) -> None:
            await trio.sleep(rng.random() / 50)
            said = await people[name].call("send", chat=other, text=text)
            if rng.random() < 0.2:
                await people[name].call("react", id=said["id"], emoji="👍")

        async def both_talk(number: int) -> None:
            async with trio.open_nursery() as nursery:
                for turn in range(rng.randrange(1, 8)):
                    name, other = rng.choice([("alice", "bob"), ("bob", "alice")])
                    nursery.start_soon(say, name, other, f"{number}.{turn} " + "x" * rng.choice([1, 3000]))

        for number in range(STEPS):
            await both_talk(number)
            match rng.choice(["cut", "mend", "restart", "wait", "go on", "go on"]):
                case "cut":
                    world.cut(people["alice"], people["bob"])
                case "mend":
                    world.mend(people["alice"], people["bob"])
                case "restart":
                    name = rng.choice(["alice", "bob"])
                    await people[name].crash()
                    people[name] = await world.start(name, kept.watch)
                case "wait":
                    await trio.sleep(rng.choice([1, 100, 2 * 3600]))
        world.mend(people["alice"], people["bob"])
        await until(lambda: all_delivered(people["alice"], "bob"), 4 * 3600)
        await until(lambda: all_delivered(people["bob"], "alice"), 4 * 3600)

    run_world(tmp_path, main)
    assert kept.wrong == [], f"P2PCHAT_SEED={SEED} repeats it"
    where = Counter(place for (_, place), count in kept.seen.items() for _ in range(count))
    assert {"in use", "ended", "envelope"} <= where.keys()


@pytest.mark.parametrize("damage", ["chain = chain + 1000", "seal = zeroblob(length(seal))"], ids=["lost", "other"])
def test_what_can_be_sealed_again_no_more_is_sealed_in_the_session_that_is_used(tmp_path: Path, damage: str) -> None:
    """Its chain is lost, or other bytes would come out."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        await alice.call("send", chat="bob", text="old")
        lost = await alice.engine.committer.submit(lambda tx: tx.db.execute(f"UPDATE outbox SET {damage}"))
        assert lost == 1
        await alice.stop()
        alice, bob = await world.start("alice"), await world.start("bob")
        await until(lambda: has(bob, "alice", ["a0", "old"]), 60)
        await until(lambda: all_delivered(alice, "bob"), 60)

    run_world(tmp_path, main)


def test_an_envelope_that_an_older_version_kept_leaves_as_it_is(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        await alice.call("send", chat="bob", text="old")

        def as_it_was(tx: Transaction) -> bytes:
            (row,) = store_outbox.due(tx.db, tx.now)
            (outgoing,) = outbound.ready(tx, [row])
            store_outbox.update(tx.db, row.pk, envelope=outgoing.frame.body, chain=None, seal=None)
            return outgoing.frame.body

        envelope = await alice.engine.committer.submit(as_it_was)
        await alice.stop()
        alice, bob = await world.start("alice"), await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert await bob.texts("alice") == ["a0", "old"]
        assert any(envelope in data for _, _, data in world.traffic)

    run_world(tmp_path, main)


def test_a_round_trip_is_few_statements_and_pages_and_keeps_no_chain(tmp_path: Path) -> None:
    """Of the sender, who saves the message and its receipt, and of the reader; what is indexed later not counted."""
    trips = 20

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        counts = {node.name: Counter[str]() for node in (alice, bob)}
        for node in (alice, bob):
            node.db.query("PRAGMA wal_checkpoint(TRUNCATE)")
            node.db.execute("PRAGMA wal_autocheckpoint = 0")
            for method in ("execute", "insert", "executemany", "query", "query_one"):
                counted(node, method, counts[node.name])
        for number in range(trips):
            await alice.call("send", chat="bob", text=f"{number}", wait="delivered")
        for node, statements, pages in ((alice, 12, 20), (bob, 10, 14)):
            # one trip more, since at first nobody has counted what waits
            assert counts[node.name]["statements"] <= (trips + 1) * statements
            assert counts[node.name]["kept"] == 0
            log = node.db.path.with_name(node.db.path.name + "-wal").stat().st_size
            assert log / (PAGE_BYTES + FRAME_HEADER_BYTES) <= trips * pages

    run_world(tmp_path, main)


def counted(node: WorldNode, method: str, counts: Counter[str]) -> None:
    real = getattr(node.db, method)

    def count(sql: str, *values: Any) -> Any:
        counts["statements"] += 1
        result = real(sql, *values)
        counts["kept"] += "INTO sending_chains" in sql and result
        return result

    setattr(node.db, method, count)
