"""Delivery in the fake world: once, in order, whatever the network does to envelopes, acks and receipts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core.codec import encode
from p2pchat.core.content import new_message_id
from p2pchat.core.contents import Receipt, Text
from p2pchat.core.contents.receipt import DELIVERED, READ
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import ACKS, ENVELOPE, INITIAL, PING, PONG, REFUSED, RENEW, Frame, acks
from p2pchat.core.ids import ContactId, MessageId, direct_chat, first_device
from p2pchat.engine.delivery import outbound
from p2pchat.engine.delivery.link_sender import WINDOW
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull, TextTooLong, UsageError
from p2pchat.net.links.link import LAST_UNACKED
from p2pchat.net.network import Network
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.database import Database
from tests.support.asking import has
from tests.support.meddler import Meddler, flipped
from tests.support.world import World, WorldNode, befriend, run_world, until

DAY_S = 86_400

TEXT, RECEIPT = Text.KIND.number, Receipt.KIND.number


async def friends(world: World) -> tuple[WorldNode, WorldNode]:
    """Contacts with nothing under way between them."""
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await alice.call("send", chat="bob", text="begin", wait="delivered")
    await trio.sleep(1)
    return alice, bob


async def states(node: WorldNode, chat: str) -> list[str]:
    return [one["state"] for one in await node.call("log", chat=chat, limit=1000) if one["from"] == "me"]


async def all_delivered(node: WorldNode, chat: str) -> bool:
    return set(await states(node, chat)) == {"delivered"}


async def owed(node: WorldNode) -> list[store_outbox.OutboxRow]:
    """What the node still has to deliver."""

    def rows(db: Database) -> list[store_outbox.OutboxRow]:
        return [row for recipient in store_outbox.counts(db) for row in store_outbox.for_recipient(db, recipient)]

    return await node.engine.committer.read(rows)


# --- loss, repetition, order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", [ENVELOPE, ACKS])
def test_what_is_lost_with_a_link_comes_again_on_the_next(tmp_path: Path, type: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        for sender, receiver in ((alice, bob), (bob, alice)):
            meddler.break_at(type, sender, receiver, times=2)
        for number in range(10):
            await alice.call("send", chat="bob", text=f"a{number}")
            await bob.call("send", chat="alice", text=f"b{number}")
        await until(lambda: all_delivered(alice, "bob"), 60)
        await until(lambda: all_delivered(bob, "alice"), 60)
        assert await bob.texts("alice") == ["begin", *(f"a{number}" for number in range(10))]
        assert await alice.texts("bob") == [f"b{number}" for number in range(10)]
        await until(lambda: nothing_owed(alice), 60)
        await until(lambda: nothing_owed(bob), 60)

    run_world(tmp_path, main)


def test_lost_acks_cost_a_repetition_and_no_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(ACKS, sender=bob)
        meddler.drop(ENVELOPE, sender=bob)  # his receipts too
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(3600)
        assert await states(alice, "bob") == ["delivered", "saved"]
        meddler.clear()
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        sent = meddler.of(ENVELOPE, alice)
        assert len(sent) >= 2
        assert len(set(sent)) == 1  # the same bytes: never sealed twice
        assert await bob.texts("alice") == ["begin", "one"]

    run_world(tmp_path, main)


def test_a_lost_receipt_is_given_again_at_most_hourly(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(ENVELOPE, sender=bob, times=1)
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(60)
        assert await states(alice, "bob") == ["delivered", "stored"]
        envelope = meddler.of(ENVELOPE, alice)[0]
        contact = await alice.id_of("bob")
        for _ in range(20):  # alice insists
            alice.engine.net.send(contact, [Frame(ENVELOPE, envelope)])
            await trio.sleep(60)
        await trio.sleep(60)
        receipts = meddler.of(ENVELOPE, bob)
        assert len(set(receipts)) == 1  # only the first, which was lost
        assert await states(alice, "bob") == ["delivered", "stored"]
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        assert await bob.texts("alice") == ["begin", "one"]

    run_world(tmp_path, main)


def test_everything_twice_is_shown_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.repeat(ENVELOPE, ACKS, PING, PONG)
        for number in range(40):
            await alice.call("send", chat="bob", text=f"a{number}")
            await bob.call("send", chat="alice", text=f"b{number}")
        await until(lambda: all_delivered(alice, "bob"), 60)
        await until(lambda: all_delivered(bob, "alice"), 60)
        assert await bob.texts("alice") == ["begin", *(f"a{number}" for number in range(40))]
        assert await alice.texts("bob") == [f"b{number}" for number in range(40)]
        shown = [one["text"] for one in bob.heard if one["event"] == "message" and one["from"] != "me"]
        assert shown == ["begin", *(f"a{number}" for number in range(40))]
        assert meddler.of(REFUSED) == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("seed", range(4))
def test_envelopes_in_any_order_stand_as_they_were_written(tmp_path: Path, seed: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        random = Random(seed)
        said: list[str] = []
        for round in range(4):
            meddler.keep(ENVELOPE, sender=alice)
            for number in range(12):
                said.append(f"{round} {number}")
                await alice.call("send", chat="bob", text=said[-1])
                if number % 4 == 0:  # so that the ratchet turns in the middle
                    await bob.call("send", chat="alice", text=f"b{round} {number}")
            await trio.sleep(0.5)
            meddler.clear()
            await meddler.release(random.shuffle)
            await trio.sleep(0.5)
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert await bob.texts("alice") == ["begin", *said]
        assert meddler.of(REFUSED) == []
        skipped = await bob.engine.committer.read(lambda db: db.query("SELECT count(*) FROM skipped_keys"))
        assert skipped[0][0] == 0  # every key that was put aside has been used, and is gone

    run_world(tmp_path, main)


def test_what_comes_late_stands_where_it_was_written(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.keep(ENVELOPE, sender=alice, times=2)
        for text in ("two", "three", "four"):
            await alice.call("send", chat="bob", text=text)
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin", "four"]
        await meddler.release()
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin", "two", "three", "four"]

    run_world(tmp_path, main)


def test_a_changed_bit_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        before = await session_bytes(bob)
        meddler.change(ENVELOPE, to=flipped, sender=alice, times=1)
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(1)
        assert len(meddler.of(REFUSED, bob)) == 1
        assert await session_bytes(bob) == before
        assert await bob.texts("alice") == ["begin"]
        await alice.call("send", chat="bob", text="two", wait="delivered")  # no standing in the way
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        assert await bob.texts("alice") == ["begin", "one", "two"]

    run_world(tmp_path, main)


async def session_bytes(node: WorldNode) -> list[Any]:
    return await node.engine.committer.read(
        lambda db: db.query("SELECT session_id, state, confirmed FROM sessions ORDER BY session_id")
    )


@pytest.mark.parametrize("after_s", [10, 2 * 3600, 20 * DAY_S])
def test_a_recorded_envelope_is_no_message(tmp_path: Path, after_s: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await alice.call("send", chat="bob", text="pay him 10", wait="delivered")
        await trio.sleep(5)
        recorded = meddler.of(ENVELOPE, alice)
        if after_s < DAY_S:
            await trio.sleep(after_s)
        else:
            await world.sleep_days(after_s // DAY_S)
        meddler.seen.clear()
        contact = await alice.id_of("bob")
        for envelope in recorded * 5:
            alice.engine.net.send(contact, [Frame(ENVELOPE, envelope)])
        await trio.sleep(5)
        assert len(b"".join(meddler.of(ACKS, bob))) >= 16 * len(recorded)
        assert meddler.of(REFUSED) == []
        receipts = meddler.of(ENVELOPE, bob)
        assert len(receipts) == (0 if after_s < 3600 else 1)  # hourly at most, and five together are one
        assert await bob.texts("alice") == ["begin", "pay him 10"]

    run_world(tmp_path, main)


# --- the window -----------------------------------------------------------------------------------------------------


def test_more_than_two_windows_each_way_go_through_the_window(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        most = {"alice": 0, "bob": 0}

        def look(stream: Any, frame: Frame) -> None:
            node = alice if stream.here.name == "alice" else bob
            links = node.engine.net._open.links._links  # type: ignore[attr-defined]
            waiting = sum(len(link.queue) for group in links.values() for link in group)
            most[node.name] = max(most[node.name], waiting)

        meddler.watch(look)
        await bob.stop()
        await flood(alice, "bob", 600)
        bob = await world.start("bob")
        await flood(bob, "alice", 600)
        await until(lambda: nothing_owed(alice), 300)
        await until(lambda: nothing_owed(bob), 300)
        for node, chat, first in ((bob, "alice", ["begin"]), (alice, "bob", [])):
            contact = await node.id_of(chat)
            rows = await node.engine.committer.read(lambda db, contact=contact: store_messages.page(db, contact, 3000))
            received = [row.text for row in rows if row.sender]
            assert received == [*first, *(f"{number}" for number in range(600))]
        # beside the window there are acks, and one receipt for many
        assert max(most.values()) <= 2 * WINDOW

    run_world(tmp_path, main)


async def flood(node: WorldNode, chat: str, count: int) -> None:
    contact = await node.id_of(chat)

    def send_some(tx: Transaction, start: int) -> None:
        known = tx.contact(contact)
        assert known is not None
        for number in range(start, min(start + 100, count)):
            outbound.send_text(tx, known, f"{number}")

    for start in range(0, count, 100):
        await node.engine.committer.submit(send_some, start)


async def nothing_owed(node: WorldNode) -> bool:
    return await owed(node) == []


def test_at_most_a_window_is_under_way(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(ACKS, ENVELOPE, sender=bob)
        network = alice.engine.net
        assert isinstance(network, Network)
        link = network._best(await alice.id_of("bob"))
        assert link is not None
        link.allowed = LAST_UNACKED  # as once that many have been acked
        await flood(alice, "bob", 3 * WINDOW)
        await trio.sleep(5)
        assert len(meddler.of(ENVELOPE, alice)) == WINDOW

    run_world(tmp_path, main)


def test_envelopes_that_cannot_be_opened_do_not_fill_the_window(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(RENEW)
        contact = await alice.id_of("bob")
        session = alice.engine.committer.sessions.sending(first_device(contact))
        assert session is not None
        header_key = session.ratchet.header_out
        await alice.engine.committer.submit(set_header_key, contact, bytes(32))
        await flood(alice, "bob", 2 * WINDOW)
        await alice.engine.committer.submit(set_header_key, contact, header_key)
        for number in range(2 * WINDOW, 3 * WINDOW):
            await alice.call("send", chat="bob", text=f"{number}")
        await trio.sleep(5)
        assert len(await bob.texts("alice")) == 1 + WINDOW
        meddler.clear()
        await trio.sleep(2 * 3600)
        assert await bob.texts("alice") == ["begin", *(f"{number}" for number in range(3 * WINDOW))]

    run_world(tmp_path, main)


def set_header_key(tx: Transaction, contact: ContactId, key: bytes) -> None:
    session = tx.sessions.sending(first_device(contact))
    assert session is not None
    tx.sessions.put(first_device(contact), replace(session, ratchet=replace(session.ratchet, header_out=key)))


def test_a_full_disk_on_the_other_side_only_delays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        commit = bob.db.commit

        def full() -> None:
            raise DiskFull

        bob.db.commit = full  # type: ignore[method-assign]
        await flood(alice, "bob", 100)
        await trio.sleep(600)
        assert await bob.texts("alice") == ["begin"]
        with pytest.raises(DiskFull):
            await bob.call("send", chat="alice", text="cannot be saved")
        bob.db.commit = commit  # type: ignore[method-assign]
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        assert await bob.texts("alice") == ["begin", *(f"{number}" for number in range(100))]
        assert await alice.texts("bob") == []

    run_world(tmp_path, main)


def test_what_is_deleted_while_it_waits_for_the_window_is_not_sent(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.keep(ACKS, ENVELOPE, sender=bob)
        await flood(alice, "bob", 2 * WINDOW)
        await alice.call("send", chat="bob", text="second thoughts")
        await trio.sleep(5)
        newest = (await alice.call("log", chat="bob", limit=1))[0]
        await alice.call("delete", id=newest["id"])
        meddler.clear()
        await meddler.release()
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert await bob.texts("alice") == ["begin", *(f"{number}" for number in range(2 * WINDOW))]

    run_world(tmp_path, main)


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "bucket"), [(1, 4096), (1600, 4096), (1700, 16384), (14_000, 65536), (48_000, 65536)])
def test_texts_of_every_size(tmp_path: Path, size: int, bucket: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        text = ("é" * (size // 2) + "x" * (size % 2)) if size > 1 else "x"
        assert len(text.encode()) == size
        await alice.call("send", chat="bob", text=text, wait="delivered")
        assert (await bob.texts("alice"))[-1] == text
        assert len(meddler.of(ENVELOPE, alice)[0]) == bucket
        assert bucket in BUCKETS

    run_world(tmp_path, main)


def test_texts_that_are_refused_are_not_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        for text, error in (("x" * 48_001, TextTooLong), ("", UsageError), ("\ud800", UsageError)):
            with pytest.raises(error):
                await alice.call("send", chat="bob", text=text)
        assert await alice.texts("bob", mine=True) == ["begin"]
        await alice.call("send", chat="bob", text="next", wait="delivered")
        contact = await bob.id_of("alice")
        rows = await bob.engine.committer.read(lambda db: store_messages.page(db, direct_chat(contact), 9))
        assert [row.seq for row in rows if row.sender == contact] == [1, 2]

    run_world(tmp_path, main)


# --- states ---------------------------------------------------------------------------------------------------------


def test_after_thirty_days_a_message_has_failed_and_a_late_receipt_still_counts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.keep(ENVELOPE, sender=bob)  # the receipt
        sent = await alice.call("send", chat="bob", text="one", wait="stored")
        await bob.stop()
        unsent = await alice.call("send", chat="bob", text="two")
        await world.sleep_days(29)
        assert await states(alice, "bob") == ["delivered", "stored", "saved"]
        await world.sleep_days(1)
        assert await states(alice, "bob") == ["delivered", "failed", "failed"]
        assert [row for row in await owed(alice) if row.kind == TEXT] == []
        assert "confirmed in time" in (await alice.call("why", id=sent["id"]))["reason"]
        meddler.clear()
        # bob's receipt has waited in his outbox all the time: it is just not thirty days old by his clock
        bob = await world.start("bob", lambda node: set_skew(node, -DAY_S))
        await until(lambda: has_states(alice, "bob", ["delivered", "delivered", "failed"]), 600)
        await trio.sleep(3700)
        assert await bob.texts("alice") == ["begin", "one"]
        assert [one["state"] for one in alice.heard if one.get("id") == unsent["id"]][-1] == "failed"

    run_world(tmp_path, main)


def set_skew(node: WorldNode, seconds: int) -> None:
    node.skew = seconds * 1000


async def has_states(node: WorldNode, chat: str, wanted: list[str]) -> bool:
    return await states(node, chat) == wanted


def test_a_receipt_before_the_ack_is_enough(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(ACKS, sender=bob)
        sent = await alice.call("send", chat="bob", text="one", wait="delivered")
        assert sent["state"] == "delivered"
        assert await owed(alice) == []
        later = [one["state"] for one in alice.heard if one.get("id") == sent["id"] and one["event"] == "state"]
        assert later == ["delivered"]

    run_world(tmp_path, main)


def test_a_contact_cannot_speak_for_another(tmp_path: Path) -> None:
    """Carol knows everything about a message to bob, and still neither acks nor receipts it."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await carol.call("send", chat="alice", text="hi", wait="delivered")
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="for bob")
        row = next(row for row in await owed(alice) if row.msg_id == bytes.fromhex(sent["id"]))
        assert row.envelope_id is not None
        await say(carol, "alice", RECEIPT, [DELIVERED, [row.msg_id]])
        await say(carol, "alice", RECEIPT, [READ, [row.msg_id]])
        carol.engine.net.send(await carol.id_of("alice"), acks([row.envelope_id]))
        await trio.sleep(60)
        assert (await states(alice, "bob"))[-1] == "saved"
        assert row in await owed(alice)
        bob = await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 60)

    run_world(tmp_path, main)


async def say(node: WorldNode, chat: str, kind: int, payload: object, **fields: Any) -> bytes:
    """Seal and send a content as a changed program could; its message id."""
    contact = await node.id_of(chat)
    message_id: MessageId = fields.pop("message_id", None) or new_message_id(node.clock(), node.world.entropy.random)

    def seal(tx: Transaction) -> None:
        session = tx.sessions.sending(first_device(contact))
        assert session is not None
        content = encode([1, kind, message_id, fields.get("seq", 0), node.clock(), None, 0, payload, []])
        envelope = tx.sessions.seal(first_device(contact), session, content, tx.entropy).envelope
        tx.after(tx.net.send, contact, [Frame(ENVELOPE, envelope)])

    await node.engine.committer.submit(seal)
    return message_id


def test_a_replay_by_another_contact_is_neither_acked_nor_receipted(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        meddler = Meddler(world)
        await bob.call("send", chat="alice", text="from bob", wait="delivered")
        await trio.sleep(3700)
        recorded = meddler.of(ENVELOPE, bob)
        meddler.seen.clear()
        for envelope in recorded:
            frames = [Frame(ENVELOPE, envelope), Frame(INITIAL, envelope)]
            carol.engine.net.send(await carol.id_of("alice"), frames)
        await trio.sleep(60)
        to_carol = {frame.type for who, whom, frame in meddler.seen if (who, whom) == ("alice", "carol")}
        assert to_carol - {PING, PONG} == {REFUSED}

    run_world(tmp_path, main)


def test_what_a_newer_program_says_is_taken_and_receipted(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await say(alice, "bob", 77, ["unknown", 1])
        await trio.sleep(5)
        assert len(meddler.of(ACKS, bob)) == 1
        assert len(meddler.of(ENVELOPE, bob)) == 1
        assert await bob.texts("alice") == ["begin"]
        await say(alice, "bob", TEXT, ["x", "and a field of the future"], seq=2)
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin", "x"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("wrong", [[b"bytes"], ["x" * 48_001], [], "text", [["nested"]]])
def test_a_known_type_in_another_shape_is_taken_and_dropped(tmp_path: Path, wrong: object) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await say(alice, "bob", TEXT, wrong, seq=2)
        await trio.sleep(60)
        # nothing that would make it come again, or a session be renewed; and no receipt, for nothing was delivered
        assert len(meddler.of(ACKS, bob)) == 1
        assert meddler.of(REFUSED) == meddler.of(ENVELOPE, bob) == []
        assert await bob.texts("alice") == ["begin"]
        await alice.call("send", chat="bob", text="still fine", wait="delivered")

    run_world(tmp_path, main)


def test_one_id_from_two_contacts_is_two_messages(tmp_path: Path) -> None:
    """Whoever guesses the id of what another is about to say cannot take its place."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(bob, carol)
        message_id = await say(carol, "bob", TEXT, ["from carol"], seq=1)
        await until(lambda: has(bob, "carol", ["from carol"]), 10)
        await say(alice, "bob", TEXT, ["from alice"], seq=2, message_id=message_id)
        await until(lambda: has(bob, "alice", ["begin", "from alice"]), 10)
        assert await bob.texts("carol") == ["from carol"]

    run_world(tmp_path, main)


def test_one_id_twice_is_one_message(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        message_id = await say(alice, "bob", TEXT, ["first"], seq=2)
        await say(alice, "bob", TEXT, ["second, under the same id"], seq=2, message_id=message_id)
        await say(alice, "bob", TEXT, ["third, under the same id"], seq=3, message_id=message_id)
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin", "first"]
        shown = await bob.call("log", chat="alice")
        await bob.call("delete", id=shown[-1]["id"])
        await say(alice, "bob", TEXT, ["first"], seq=2, message_id=message_id)
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin"]  # what was deleted here does not come back

    run_world(tmp_path, main)


def test_a_direct_message_costs_no_statement_for_groups_or_further_devices(tmp_path: Path) -> None:
    """What is sent, received and receipted reads and writes no table that is there for chats of several devices."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="the first reads who that is", wait="delivered")
        said: list[str] = []
        for node in (alice, bob):
            node.db._connection.set_trace_callback(said.append)
        await alice.call("send", chat="bob", text="the second", wait="delivered")
        assert any("INSERT OR IGNORE INTO messages" in sql for sql in said)
        tables = ("deliveries", "devices", "chat_members", "contact_facts")
        assert [sql for sql in said if any(table in sql for table in tables)] == []
        assert len(said) <= 42

    run_world(tmp_path, main)
