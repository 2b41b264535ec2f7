"""Profiles that were restored from a copy, and copies that run at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.content import EPOCH
from p2pchat.core.ids import direct_chat
from p2pchat.engine.contacts import copies
from p2pchat.store import instance, messages
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_nothing_dies import HOUR, nothing_waits
from tests.world.test_renewal import all_delivered, friends

DAY_S = 24 * HOUR


async def put_back(world: World, node: WorldNode, copy: Path) -> WorldNode:
    """The node of a profile whose folder was restored from a copy."""
    await node.stop()
    world.put_back(copy)
    return await world.start(node.name)


async def say(node: WorldNode, chat: str, *texts: str) -> None:
    for text in texts:
        await node.call("send", chat=chat, text=text, wait="delivered", timeout=2 * HOUR)


def warnings(node: WorldNode) -> list[str]:
    return [one["warning"] for one in node.heard if "warning" in one]


async def problems(node: WorldNode) -> list[str]:
    return [one["detail"] for one in await node.call("doctor") if one["check"] == "copy" and not one["ok"]]


def test_new_messages_of_a_restored_profile_stand_behind_all_others(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = alice.copy()
        lost = [f"lost {number}" for number in range(4)]
        await say(alice, "bob", *lost)
        alice = await put_back(world, alice, copy)
        await say(alice, "bob", "new 1", "new 2")
        assert await bob.texts("alice") == ["a0", *lost, "new 1", "new 2"]
        contact = await bob.id_of("alice")
        rows = await bob.engine.committer.read(lambda db: messages.page(db, direct_chat(contact), 100))
        theirs = [row for row in rows if row.sender == contact]
        assert [row.seq // EPOCH > 0 for row in theirs] == [False] * 5 + [True] * 2
        assert warnings(alice) == [copies.RESTORED]

    run_world(tmp_path, main)


def test_one_who_counts_again_without_knowing_it_is_read_in_order_too(tmp_path: Path) -> None:
    """A whole machine was put back: nothing there tells that the profile is an old copy."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = alice.copy()
        await say(alice, "bob", "lost 1", "lost 2")
        await alice.stop()
        world.put_back(copy)
        alice = await world.start("alice", unaware)
        await say(alice, "bob", "new 1", "new 2", "new 3")
        assert warnings(alice) == []
        assert await bob.texts("alice") == ["a0", "lost 1", "lost 2", "new 1", "new 2", "new 3"]

    run_world(tmp_path, main)


def unaware(node: WorldNode) -> None:
    """Nothing of the copy shows."""
    node.engine.copies.check = lambda tx: None  # type: ignore[method-assign]


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_restored_profile_is_heard_and_hears_within_a_day_by_relays_alone(
    tmp_path: Path, who: str, aware: bool
) -> None:
    async def main(world: World) -> None:
        nodes = dict(zip(("alice", "bob"), await by_relay(world), strict=True))
        copy = nodes[who].copy()
        for node, chat in ((nodes["alice"], "bob"), (nodes["bob"], "alice")):
            await say(node, chat, "lost 1", "lost 2")
        await nodes[who].stop()
        world.put_back(copy)
        nodes[who] = await world.start(who, None if aware else unaware)
        for node, chat in ((nodes["alice"], "bob"), (nodes["bob"], "alice")):
            await node.call("send", chat=chat, text="are you there?")
        for node, chat in ((nodes["alice"], "bob"), (nodes["bob"], "alice")):
            await until(lambda node=node, chat=chat: all_delivered(node, chat), DAY_S)  # type: ignore[misc]
            assert (await node.texts(chat))[-1] == "are you there?"
        await until(lambda: nothing_waits(*nodes.values()), DAY_S)
        assert await problems(nodes[who]) == []

    run_world(tmp_path, main)


async def by_relay(world: World, relays: int = 1) -> tuple[WorldNode, WorldNode]:
    """Two who meet at relays only."""
    used: list[MailRelay] = [world.mailbox(f"relay {number}") for number in range(relays)]
    alice, bob = await world.start("alice"), await world.start("bob")
    world.cut(alice, bob)
    for relay in used:
        await alice.call("relays", add=relay.address)
    await befriend(alice, bob)
    await trio.sleep(600)
    return alice, bob


def test_a_second_restore_within_the_hour_heals_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = bob.copy()
        await say(bob, "alice", "lost")
        for number in range(3):
            bob = await put_back(world, bob, copy)
            await bob.call("send", chat="alice", text=f"from {number}")
            await alice.call("send", chat="bob", text=f"to {number}")
            await until(lambda: all_delivered(alice, "bob"), 120)
            await until(lambda bob=bob: all_delivered(bob, "alice"), 120)  # type: ignore[misc]
            await trio.sleep(120)
        assert (await alice.texts("bob"))[-3:] == ["from 0", "from 1", "from 2"]

    run_world(tmp_path, main)


def test_the_doctor_and_why_say_that_a_profile_was_put_back(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = alice.copy()
        await say(alice, "bob", "lost")
        await bob.stop()
        alice = await put_back(world, alice, copy)
        sent = await alice.call("send", chat="bob", text="new")
        assert "restored from a copy" in (await problems(alice))[0]
        assert "renewed" in (await alice.call("why", id=sent["id"]))["reason"]
        bob = await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"))
        assert await problems(alice) == []

    run_world(tmp_path, main)


def test_two_copies_at_once_are_told_and_what_waits_is_delivered_after_one_has_ended(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        twin_folder = alice.folder.with_name("twin")
        alice.copy().rename(twin_folder)
        twin = await world.start("twin")
        for number in range(16):  # a few signs a day come by chance, with some seeds late
            await alice.call("send", chat="bob", text=f"alice {number}")
            await twin.call("send", chat="bob", text=f"twin {number}")
            await bob.call("send", chat="alice", text=f"bob {number}")
            await trio.sleep(900)
        await twin.stop()
        await alice.call("send", chat="bob", text="only me")
        await until(lambda: all_delivered(alice, "bob"), 2 * HOUR)
        await until(lambda: all_delivered(bob, "alice"), 2 * HOUR)
        assert copies.RESTORED in warnings(twin)
        told = [one for node in (alice, twin, bob) for one in warnings(node) if "two places" in one]
        assert len(told) >= 1
        assert (await bob.texts("alice"))[-1] == "only me"

    run_world(tmp_path, main)


def test_a_power_cut_or_a_clean_end_is_no_copy(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        await trio.sleep(2 * HOUR)
        await alice.crash()
        alice = await world.start("alice")
        await alice.stop()
        alice = await world.start("alice")
        assert warnings(alice) == []
        await alice.crash()
        (alice.folder / instance.NAME).unlink()  # the database alone was put back
        alice = await world.start("alice")
        assert warnings(alice) == [copies.RESTORED]
        sent = await alice.call("send", chat="bob", text="in the next epoch", wait="delivered")
        rows = await alice.engine.committer.read(
            lambda db: db.query("SELECT seq FROM messages ORDER BY pk DESC LIMIT 1")
        )
        assert sent["state"] == "delivered"
        assert rows[0][0] % EPOCH == 1 < rows[0][0]

    run_world(tmp_path, main)


def test_a_relay_that_invents_makes_nobody_renew_more_than_daily(tmp_path: Path) -> None:
    """What does not open may be the relay's own: the answer comes in the hourly run, and once a day."""

    async def main(world: World) -> None:
        alice, bob = await by_relay(world)
        (relay,) = world.mailboxes.values()
        relay.lies.invents = 2
        for number in range(40):
            await alice.call("send", chat="bob", text=f"{number}")
            await trio.sleep(HOUR)
        await until(lambda: all_delivered(alice, "bob"), DAY_S)
        assert len(await bob.texts("alice")) == 40
        assert 1 <= sum(1 for one in alice.heard if one.get("renewed")) <= 4  # each of the two asked, on two days
        assert warnings(alice) == warnings(bob) == []

    run_world(tmp_path, main)
