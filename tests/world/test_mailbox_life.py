"""Links and mailboxes side by side, receipts by relays, and queues that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.delivery import Route
from p2pchat.core.ids import first_device
from p2pchat.core.mailbox import DONE, QUEUE_FULL, Queue
from p2pchat.core.primitives import sign_public
from p2pchat.engine.receiving import inbound, mailbox_handler
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store.contacts import Contact
from p2pchat.store.queues import OwnQueueRow
from tests.support.asking import events_of, has, sessions_of
from tests.support.mail_worlds import all_in, apart, own_queues, their_queues
from tests.support.mailboxes import MailRelay
from tests.support.meddler import Meddler
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_delivery import all_delivered, flood, nothing_owed, states
from tests.world.test_renewal import broken, change_session

DAY_S = 86_400


async def together(world: World, count: int = 2) -> tuple[WorldNode, WorldNode, list[MailRelay]]:
    """alice and bob as `apart`, but linked."""
    alice, bob, relays = await apart(world, count)
    world.mend(alice, bob)
    await until(lambda: by_link(alice, "bob"), 600)
    await trio.sleep(60)
    for relay in relays:
        relay.given.clear()
    return alice, bob, relays


async def by_link(node: WorldNode, name: str) -> bool:
    return node.engine.net.route(await node.id_of(name)) is not None


# --- links --------------------------------------------------------------------------------------------------------


def test_what_goes_by_a_link_is_not_deposited(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, relays = await together(world)
        for number in range(20):
            sent = await alice.call("send", chat="bob", text=f"{number}", wait="delivered")
            assert sent["route"] == "direct"
        await trio.sleep(2 * 3600)
        assert [relay.given for relay in relays] == [[], []]

    run_world(tmp_path, main)


def test_a_link_that_acks_nothing_is_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await together(world)
        meddler = Meddler(world)
        meddler.drop(frames.ENVELOPE, frames.ACKS)  # it lives, by its pings
        sent = await alice.call(
            "send", chat="bob", text="one", wait="stored", timeout=mailbox_handler.ACK_TIMEOUT_SECONDS + 1
        )
        assert (sent["state"], sent["route"]) == ("stored", "mailbox")
        assert await by_link(alice, "bob")
        await until(lambda: has(bob, "alice", ["one"]), 1)
        await alice.call("send", chat="bob", text="two", wait="stored", timeout=1)
        meddler.clear()
        await until(lambda: all_delivered(alice, "bob"), 3700)
        await alice.call("send", chat="bob", text="three", wait="delivered")
        for relay in relays:
            relay.given.clear()
        await alice.call("send", chat="bob", text="four", wait="delivered")
        assert [relay.given for relay in relays] == [[], []]
        assert await bob.texts("alice") == ["one", "two", "three", "four"]

    run_world(tmp_path, main)


def test_what_was_under_way_on_a_link_that_ends_is_deposited(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await together(world)
        world.cut(alice, bob)  # nobody has noticed yet
        await alice.call("send", chat="bob", text="into the void")
        await bob.stop()
        await until(lambda: all_in(alice, "bob", "stored", 1), 60)
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", ["into the void"]), 10)

    run_world(tmp_path, main)


def test_a_link_waits_a_moment_with_what_lies_at_relays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await together(world)
        await bob.stop()
        for number in range(50):
            await alice.call("send", chat="bob", text=f"{number}")
        await until(lambda: all_in(alice, "bob", "stored", 50), 60)
        meddler = Meddler(world)
        bob = await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 700)
        await trio.sleep(2 * mailbox_handler.COLLECT_FIRST_SECONDS)
        assert meddler.of(frames.ENVELOPE, alice) == []
        assert await bob.texts("alice") == [f"{number}" for number in range(50)]

    run_world(tmp_path, main)


def test_a_link_brings_what_relays_have_lost(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await together(world)
        await bob.stop()
        for number in range(50):
            await alice.call("send", chat="bob", text=f"{number}", wait="stored")
        for relay in relays:
            relay.disk.queues.clear()
        bob = await world.start("bob")
        await until(lambda: by_link(bob, "alice"), 600)
        await until(
            lambda: has(bob, "alice", [f"{number}" for number in range(50)]), mailbox_handler.COLLECT_FIRST_SECONDS + 10
        )

    run_world(tmp_path, main)


def test_acks_of_a_link_count_for_what_came_by_a_relay(tmp_path: Path) -> None:
    """Whoever has a link besides is told over it that what lay at a relay has arrived."""

    async def main(world: World) -> None:
        alice, bob, relays = await together(world)
        meddler = Meddler(world)
        for relay in relays:
            relay.lies.withholds = True
        await bob.stop()
        await alice.call("send", chat="bob", text="one", wait="stored")
        bob = await world.start("bob")
        await until(lambda: by_link(bob, "alice"), 600)
        for relay in relays:
            relay.lies.withholds = False
            relay.change()
        await until(lambda: all_delivered(alice, "bob"), mailbox_handler.COLLECT_FIRST_SECONDS - 1)
        assert meddler.of(frames.ENVELOPE, alice) == []
        assert meddler.of(frames.ACKS, bob) != []

    run_world(tmp_path, main)


# --- receipts -----------------------------------------------------------------------------------------------------


def test_receipts_by_a_relay_wait_for_company(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, (first,) = await apart(world, 1)
        waits = []
        for batch in range(12):
            for number in range(10):
                await alice.call("send", chat="bob", text=f"{batch} {number}")
                await trio.sleep(0.01)
            came = trio.current_time()
            first.given.clear()

            async def answered() -> bool:
                return bool(first.deposited_by("bob"))

            await until(answered, 75)
            waits.append(trio.current_time() - came)
            await until(lambda: all_delivered(alice, "bob"), 1)
            assert len(first.deposited_by("bob")) == 1
            await trio.sleep(61)
        assert min(waits) >= mailbox_handler.MIN_RECEIPT_DELAY_SECONDS
        assert len({int(wait) for wait in waits}) > 4  # any time within the minute
        assert max(waits) > 30

    run_world(tmp_path, main)


def test_receipts_that_are_owed_survive_a_crash(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        await alice.call("send", chat="bob", text="hello")
        await until(lambda: has(bob, "alice", ["hello"]), 0.5)
        assert bob.engine.keeps_running()  # a node that nobody looks at stays for it
        await bob.crash()
        assert first.deposited_by("bob") == []
        bob = await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 75)
        assert not bob.engine.keeps_running()

    run_world(tmp_path, main)


def test_receipts_that_are_owed_go_by_a_link_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await apart(world, 1)
        for text in ("one", "two"):
            await alice.call("send", chat="bob", text=text)
        await until(lambda: has(bob, "alice", ["one", "two"]), 0.5)
        world.mend(alice, bob)
        contact = await alice.id_of("bob")
        alice.engine.net.reach(contact, [])
        alice.engine.net.nudge(contact)
        await until(lambda: by_link(alice, "bob"), 600)
        await until(lambda: all_delivered(alice, "bob"), 1)

    run_world(tmp_path, main)


def test_read_receipts_by_a_relay_wait_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        await alice.call("send", chat="bob", text="hello")
        await until(lambda: all_delivered(alice, "bob"), 75)
        await trio.sleep(61)
        first.given.clear()
        await bob.call("read", chat="alice")
        await trio.sleep(mailbox_handler.MIN_RECEIPT_DELAY_SECONDS / 2)
        assert first.deposited_by("bob") == []

        async def read() -> bool:
            return await states(alice, "bob") == ["read"]

        await until(read, 75)

    run_world(tmp_path, main)


def test_a_flood_by_a_relay_makes_few_receipts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        await bob.stop()
        await flood(alice, "bob", 640)
        await until(lambda: all_in(alice, "bob", "stored", 640), 60)
        first.given.clear()
        bob = await world.start("bob")
        await until(lambda: all_in(alice, "bob", "delivered", 640), 62)
        assert len(first.deposited_by("bob")) <= 10 + 2  # one for 64, and what a start tells
        await until(lambda: nothing_owed(bob), 60)

    run_world(tmp_path, main)


# --- queues -------------------------------------------------------------------------------------------------------


async def told(node: WorldNode) -> list[OwnQueueRow]:
    """The queues that others are told of."""
    return [row for row in await own_queues(node) if row.read_until is None]


def names(rows: Sequence[OwnQueueRow]) -> set[bytes]:
    return {row.qid for row in rows}


async def used(node: WorldNode) -> set[bytes]:
    """The names of the queues that are deposited in."""
    rows = await their_queues(node)
    return {Queue(row.fetch, sign_public(row.put_seed), row.flags).id for row in rows}


def test_each_tells_the_other_one_queue_a_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for node, other in ((alice, bob), (bob, alice)):
            ours = await told(node)
            assert sorted(row.relay for row in ours) == sorted(relay.peer for relay in relays)
            assert names(ours) == await used(other)
            assert len({row.fetch for row in ours}) == len({row.put for row in ours}) == 2

    run_world(tmp_path, main)


def test_queues_are_new_every_week_and_old_ones_are_read_for_two_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await apart(world)
        before = names(await told(bob))
        await world.sleep_days(8)
        await trio.sleep(120)
        after = names(await told(bob))
        assert len(after) == 2
        assert not before & after
        assert before | after <= names(await own_queues(bob))
        assert await used(alice) == after
        await alice.call("send", chat="bob", text="to the new ones", wait="delivered", timeout=70)
        for days in (7, 8):
            await world.sleep_days(days)
        assert not before & names(await own_queues(bob))

    run_world(tmp_path, main)


def test_what_lies_in_an_old_queue_is_still_collected(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        first.cut(alice)  # she does not hear of the new one
        await world.sleep_days(8)
        assert len(await own_queues(bob)) == 2
        await bob.stop()
        first.mend(alice)
        first.lies.withholds = True
        await alice.call("send", chat="bob", text="to the old one", wait="stored")
        first.lies.withholds = False
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", ["to the old one"]), 10)

    run_world(tmp_path, main)


def test_another_relay_is_told_and_what_was_not_delivered_goes_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        third = world.mailbox("third")
        second.cut(bob)
        first.answers = QUEUE_FULL
        await alice.call("send", chat="bob", text="at the second only", wait="stored", timeout=60)
        first.answers = DONE
        await trio.sleep(120)
        assert await bob.texts("alice") == []
        await bob.call("relays", add=third.address)  # before the others go, or he would use those of alice meanwhile
        for relay in (first, second):
            await bob.call("relays", remove=relay.address)
        await until(lambda: has(bob, "alice", ["at the second only"]), 120)
        assert "alice" in {who for who, _, _ in third.given}

        async def told() -> bool:
            return {row.relay for row in await their_queues(alice)} == {third.peer}

        await until(told, 120)
        await alice.call("send", chat="bob", text="to the third", wait="delivered", timeout=70)
        rows = await own_queues(bob)
        assert {row.relay for row in rows if row.read_until is not None} == {first.peer, second.peer}  # still read

    run_world(tmp_path, main)


def test_who_has_no_relay_uses_those_of_the_contact_for_them_alone(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        nodes = {name: await world.start(name) for name in ("alice", "bob", "carol")}
        alice, bob, carol = nodes.values()
        await alice.call("relays", add=relay.address)
        await befriend(alice, bob)
        await befriend(carol, bob)
        await trio.sleep(60)
        (queue,) = await own_queues(bob)
        assert (queue.relay, queue.device) == (relay.peer, first_device(await bob.id_of("alice")))
        assert await bob.call("relays") == []
        world.cut(alice, bob)
        world.cut(carol, bob)
        await trio.sleep(60)
        routes = {one["name"]: one["route"] for one in await bob.call("contacts")}
        assert routes == {"alice": "mailbox", "carol": None}
        await alice.call("send", chat="bob", text="one", wait="delivered", timeout=70)
        await bob.call("send", chat="alice", text="two", wait="delivered", timeout=70)

    run_world(tmp_path, main)


def test_two_of_several_relays_are_used_and_a_dead_one_is_passed_over(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second, third) = await apart(world, 3)
        assert {row.relay for row in await told(bob)} == {first.peer, second.peer}
        assert [one["used"] for one in await bob.call("relays")] == [True, True, False]
        first.stop()
        await trio.sleep(3 * 3600)
        assert [one["used"] for one in await bob.call("relays")] == [False, True, True]
        await trio.sleep(120)
        assert {row.relay for row in await their_queues(alice)} == {second.peer, third.peer}

    run_world(tmp_path, main)


def test_a_relay_wants_its_token(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay", token="let me in")
        alice, bob = await world.start("alice"), await world.start("bob")
        (refused,) = await alice.call("relays", add=relay.address.partition("#")[0])
        assert refused["state"] == "refused"
        (taken,) = await alice.call("relays", add=relay.address)
        assert taken["state"] == "connected"
        assert "let me in" not in str(taken)
        await befriend(alice, bob)  # who is told it with the queue
        await trio.sleep(60)
        world.cut(alice, bob)
        await trio.sleep(60)
        await bob.call("send", chat="alice", text="hello", wait="delivered", timeout=70)

    run_world(tmp_path, main)


def test_a_blocked_contact_has_no_queues(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.call("block", contact="alice")
        assert await own_queues(bob) == []
        assert await their_queues(bob) == []
        await alice.call("send", chat="bob", text="hello?", wait="stored")
        await trio.sleep(3600)
        assert await bob.texts("alice") == []
        assert [len(relay.blobs()) for relay in relays] == [1, 1]

    run_world(tmp_path, main)


# --- trouble ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_saved_stays_at_the_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        commit = bob.db.commit

        def full() -> None:
            raise DiskFull

        bob.db.commit = full  # type: ignore[method-assign]
        for number in range(30):
            await alice.call("send", chat="bob", text=f"{number}", wait="stored")
        await trio.sleep(120)
        assert len(first.blobs()) == 30
        bob.db.commit = commit  # type: ignore[method-assign]
        await until(lambda: has(bob, "alice", [f"{number}" for number in range(30)]), 60)
        assert first.blobs() == []

    run_world(tmp_path, main)


def test_a_session_that_broke_goes_on_with_the_next_link(tmp_path: Path) -> None:
    """What does not open is forgotten by relays and recipient; its sender still has it."""

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await change_session(alice, "bob", broken)
        for number in range(5):
            await alice.call("send", chat="bob", text=f"{number}", wait="stored")
        await trio.sleep(10)
        assert [relay.blobs() for relay in relays] == [[], []]
        assert await bob.texts("alice") == []
        world.mend(alice, bob)
        await until(lambda: all_delivered(alice, "bob"), 3 * 3600)
        assert await bob.texts("alice") == [f"{number}" for number in range(5)]
        assert [one for one in events_of(alice, "contact") if one.get("renewed")] != []

    run_world(tmp_path, main)


@pytest.mark.parametrize("lie", ["", "reorders"])
def test_a_renewal_that_lost_its_link_arrives_by_relays(tmp_path: Path, lie: str) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await together(world)
        for relay in relays:
            relay.lies.reorders = lie == "reorders"
        before = {one.session_id for one in await sessions_of(bob, "alice")}
        meddler = Meddler(world)
        meddler.break_at(frames.INITIAL, alice, bob, times=1)
        await change_session(alice, "bob", broken)
        world_cut = False

        def cut(stream: Any, frame: Any) -> None:
            nonlocal world_cut
            if frame.type == frames.INITIAL and not world_cut:
                world_cut = True
                world.cut(alice, bob)

        meddler.watch(cut)
        for number in range(5):
            await alice.call("send", chat="bob", text=f"{number}")
        await until(lambda: has(bob, "alice", [f"{number}" for number in range(5)]), 4 * 3600)
        assert world_cut
        assert {one.session_id for one in await sessions_of(bob, "alice")} - before != set()
        await until(lambda: all_delivered(alice, "bob"), 4 * 3600)
        await until(lambda: nothing_owed(alice), 4 * 3600)

    run_world(tmp_path, main)


def test_what_was_put_off_stays_at_the_relay_until_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes after one transaction has put off what came, and before the next has saved it."""

    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("relays", add=relay.address)
        await trio.sleep(60)
        await alice.stop()
        await bob.call("send", chat="alice", text="put off", wait="stored", timeout=600)
        await bob.stop()
        seen = 0

        def take(tx: Transaction, contact: Contact, route: Route, name: bytes, blob: bytes) -> inbound.Taken:
            nonlocal seen
            seen += 1
            if seen > 1:
                world.nodes["alice"].cut_power()
            return inbound.Taken.LATER

        with monkeypatch.context() as patched:
            patched.setattr(inbound, "_take_envelope", take)
            with suppress(RuntimeError):  # it may die before it has started
                await world.start("alice")
            await world.nodes["alice"].ended()
        put_off = relay.blobs()
        assert put_off != []
        alice = await world.start("alice")
        await trio.sleep(10)
        assert await alice.texts("bob") == ["put off"]
        assert not set(put_off) & set(relay.blobs()), "what is there now is the receipt"

    run_world(tmp_path, main)
