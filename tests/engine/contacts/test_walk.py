"""What concerns every contact is done a few at a time: no start waits for it, and no transaction holds up the
others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core import primitives
from p2pchat.core.ids import ContactId, PeerKey, first_device
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.engine.contacts import reaching, walk
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store import contacts as store_contacts
from p2pchat.store import queues as store_queues
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.queues import TheirQueueRow
from tests.conftest import run
from tests.support.asking import events_of
from tests.support.databases import new_database
from tests.support.world import World, WorldNode, run_world

CROWD = 5 * walk.SLICE


async def crowd(node: WorldNode) -> list[ContactId]:
    """Contacts with a queue each, the one heard of last first."""

    def add(tx: Transaction) -> list[ContactId]:
        ids = []
        for number in range(CROWD):
            keys = (tx.random(KEY_BYTES), tx.random(KEY_BYTES))
            heard = tx.now - 1000 * number
            known = Contact(
                ContactId(tx.random(8)), str(number), False, ContactState.CONTACT, *keys, None, False, heard, heard
            )
            store_contacts.add(tx.db, known)
            row = TheirQueueRow(
                first_device(known.id), None, PeerKey(bytes(KEY_BYTES)), b"", b"", *keys, flags=0, until=tx.now * 2
            )
            store_queues.deposit_in(tx.db, row)
            ids.append(known.id)
        return ids

    return await node.engine.committer.submit(add)


def test_a_start_takes_up_the_latest_first_and_the_others_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        ids = await crowd(alice)
        await alice.stop()
        resumed: list[list[bytes]] = []
        real = reaching.resume

        def counted(tx: Transaction, contact_ids: Any) -> None:
            resumed.append(list(contact_ids))
            real(tx, contact_ids)

        monkeypatch.setattr(reaching, "resume", counted)
        alice = await world.start("alice")
        assert resumed == [ids[: walk.SLICE]]
        assert alice.engine.mailbox_handler.sender.known() == set(map(first_device, ids[: walk.SLICE]))
        await trio.sleep(5 * walk.PAUSE_SECONDS + 0.1)
        assert [one for some in resumed for one in some] == ids
        assert max(map(len, resumed)) == walk.SLICE
        assert alice.engine.mailbox_handler.sender.known() == set(map(first_device, ids))
        assert all(alice.engine.link_handler.pairs(ContactId(one)) for one in ids)

    run_world(tmp_path, main)


def test_new_addresses_are_told_a_few_contacts_in_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await crowd(alice)
        told: list[Transaction] = []
        real = outbound.queue

        def counted(tx: Transaction, *args: Any) -> None:
            told.append(tx)
            real(tx, *args)

        monkeypatch.setattr(outbound, "queue", counted)
        world.move("alice")
        alice.engine.upkeep.address_updates.changed()
        await trio.sleep(10)
        assert len(told) == CROWD
        assert all(sum(one is tx for one in told) <= walk.SLICE for tx in told[:: walk.SLICE])

    run_world(tmp_path, main)


def test_what_could_not_be_saved_is_tried_again() -> None:
    done: list[int] = []

    async def main() -> None:
        full = [True]

        async def submit(function: object, ids: list[bytes]) -> None:
            await trio.lowlevel.checkpoint()
            if len(done) == 1 and full:
                full.clear()
                raise DiskFull
            done.append(len(ids))

        await walk.in_slices(
            [[ContactId(b"1")], [ContactId(b"2")] * 2, [ContactId(b"3")] * 3], submit, lambda tx, ids: None
        )

    run(main, MockClock(autojump_threshold=0))
    assert done == [1, 2, 3]


def test_the_order_is_read_by_its_index(tmp_path: Path) -> None:
    db = new_database(tmp_path / "p")
    steps = [step for *_, step in db.query("EXPLAIN QUERY PLAN " + store_contacts._LATEST_FIRST)]
    assert any("contacts_by_latest" in step for step in steps), steps
    assert walk.order(db) == [[]]
    db.close()


def test_no_turn_waits_for_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost 45 ms of Argon2id for each first message, and anybody with an invite can send some."""
    in_turn: list[bool] = []
    real = primitives.argon2id

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")

        def counted(*args: Any) -> bytes:
            in_turn.append(
                alice.engine.committer._one_at_a_time.locked() or bob.engine.committer._one_at_a_time.locked()
            )
            return real(*args)

        monkeypatch.setattr(primitives, "argon2id", counted)
        invite = (await alice.call("invite", ask=True))["invite"]
        await bob.call("add", invite=invite, name="alice")
        (asked,) = await alice.call("requests")
        assert [one["sas"] for one in events_of(alice, "request")] == [asked["sas"]]
        await alice.call("accept", contact="bob")
        assert (await alice.call("verify", contact="bob"))["sas"] == asked["sas"]
        assert in_turn
        assert not any(in_turn)

    run_world(tmp_path, main)
