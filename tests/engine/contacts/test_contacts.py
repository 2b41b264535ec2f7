"""People: what a contact may not make us believe, and clocks that go wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.contents import Addresses, ContactProfile, NewBundle
from p2pchat.engine.contacts import invites, joining
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, NotReached
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from tests.support.asking import has
from tests.support.world import World, WorldNode, befriend, run_world, until


async def call_oneself(node: WorldNode, name: str) -> None:
    await node.engine.committer.submit(lambda tx: meta.put(tx.db, "name", name.encode()))


async def tell_profile(node: WorldNode, to: str) -> None:
    def queue(tx: Transaction) -> None:
        outbound.queue_profile(tx, tx.find(to))

    await node.engine.committer.submit(queue)


@pytest.mark.parametrize("name", ["me", "Me", "\u200bME"])
def test_nobody_else_is_me(tmp_path: Path, name: str) -> None:
    """ "from": "me" means us, to people and to bots: a contact of that name could put words into our mouth."""

    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(who) for who in ("alice", "bob", "carol")]
        await call_oneself(bob, name)
        await befriend(alice, bob)
        await befriend(alice, carol)
        await call_oneself(carol, name)
        await tell_profile(carol, "alice")
        await bob.call("send", chat="alice", text="I owe bob everything", wait="delivered")
        await carol.call("send", chat="alice", text="and carol the rest", wait="delivered")
        everything = await alice.call("messages", limit=10)
        assert len(everything) == 2
        assert [one for one in everything if one["from"].casefold() == "me"] == []
        assert [one for one in await alice.call("contacts") if one["name"].casefold() == "me"] == []

    run_world(tmp_path, main)


def test_one_whose_clock_was_years_ahead_is_believed_again_within_a_day(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        bob.skew = 3 * 365 * DAY_MS
        await call_oneself(bob, "bob of the future")
        await tell_profile(bob, "alice")
        await trio.sleep(60)
        assert [one["name"] for one in await alice.call("contacts")] == ["bob of the future"]
        bob.skew = 0
        world.slept += 2 * DAY_MS
        await call_oneself(bob, "bob of today")
        await tell_profile(bob, "alice")
        await trio.sleep(60)
        assert [one["name"] for one in await alice.call("contacts")] == ["bob of today"]

    run_world(tmp_path, main)


def test_a_link_that_was_just_verified_does_not_survive_the_block(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        bob_id = await alice.id_of("bob")
        gate = alice.engine.link_handler
        judged = gate._pairs
        await alice.call("block", contact="bob")
        blocked, gate._pairs = gate._pairs, judged  # bob's hello is judged before the block is saved

        async def linked() -> bool:
            return alice.engine.net.route(bob_id) is not None

        await until(linked, 60)
        gate._pairs = blocked
        await trio.sleep(1)
        assert not await linked()

    run_world(tmp_path, main)


def test_what_a_blocked_contact_had_not_got_has_failed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await bob.stop()
        await alice.call("send", chat="bob", text="are you there?")
        await alice.call("timer", chat="bob", seconds=60)
        await alice.call("block", contact="bob")
        assert [one["state"] for one in await alice.call("log", chat="bob")] == ["failed", "failed"]

    run_world(tmp_path, main)


def test_after_a_block_messages_go_both_ways_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        with pytest.raises(NotNow, match="is not blocked"):
            await alice.call("unblock", contact="bob")
        await alice.call("block", contact="bob")
        await bob.call("send", chat="alice", text="meanwhile")
        await trio.sleep(3600)
        assert await alice.texts("bob") == []
        assert (await alice.call("unblock", contact="bob"))["state"] == "contact"
        await alice.call("send", chat="bob", text="again", wait="delivered", timeout=3600)
        await bob.call("send", chat="alice", text="thanks", wait="delivered", timeout=3600)
        assert await alice.texts("bob") == ["meanwhile", "thanks"]
        assert await bob.texts("alice") == ["again"]
        await alice.call("block", contact="bob")
        await alice.stop()
        alice = await world.start("alice")
        await alice.call("unblock", contact="bob")
        await alice.call("send", chat="bob", text="once more", wait="delivered", timeout=3600)

    run_world(tmp_path, main)


def test_one_who_only_asked_is_asked_about_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"], name="alice")
        await alice.call("block", contact="bob")
        assert await alice.call("requests") == []
        assert (await alice.call("unblock", contact="bob"))["state"] == "request"
        assert [one["name"] for one in await alice.call("requests")] == ["bob"]
        await alice.call("accept", contact="bob")
        await alice.call("send", chat="bob", text="hello", wait="delivered", timeout=3600)

    run_world(tmp_path, main)


def test_requests_by_a_reusable_invite_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds such an invite can make any number of identities; the disk is ours."""
    monkeypatch.setattr(invites, "MAX_REQUESTS", 2)

    async def main(world: World) -> None:
        alice = await world.start("alice")
        invite = (await alice.call("invite", reusable=True))["invite"]
        for name in ("bob", "carol", "dave"):
            joiner = await world.start(name)
            with suppress(NotReached):
                await joiner.call("add", invite=invite, timeout=60)
        assert sorted(one["name"] for one in await alice.call("requests")) == ["bob", "carol"]
        await alice.call("decline", contact="bob")

        async def dave_is_in() -> bool:
            return "dave" in [one["name"] for one in await alice.call("requests")]

        await until(dave_is_in)

    run_world(tmp_path, main)


def test_nobody_is_behind_a_dead_invite_and_nobody_is_verified(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"], name="alice")
        await bob.call("verify", contact="alice", set=True)
        await bob.call("send", chat="alice", text="hello")
        await bob.engine.committer.submit(lambda tx: joining.give_up_invite(tx, tx.find("alice"), frames.USED))
        (left,) = await bob.call("contacts")
        assert (left["name"], left["state"], left["verified"]) == ("alice", "waiting", False)

    run_world(tmp_path, main)


def test_what_a_newer_one_says_too_is_not_kept_for_who_is_away(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await trio.sleep(60)
        await bob.stop()
        for week in range(3):
            await world.sleep_days(8)  # new prekeys each time
            await call_oneself(alice, f"alice {week}")
            await tell_profile(alice, "bob")
            await alice.call("send", chat="bob", text=f"{week}")
        rows = await alice.engine.committer.read(lambda db: db.query("SELECT kind FROM outbox ORDER BY kind"))
        assert [kind for (kind,) in rows] == sorted(
            [0, 0, 0, *[kind.KIND.number for kind in (NewBundle, ContactProfile, Addresses)]]
        )
        bob = await world.start("bob")
        await trio.sleep(3600)
        assert await has(bob, "alice 2", ["0", "1", "2"])

    run_world(tmp_path, main)
