"""Nothing ends, fails or is believed because a clock was wrong for a while; what is truly old ends."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import trio

from p2pchat.engine.delivery import outbound
from p2pchat.errors import NotReached, P2PChatError
from p2pchat.store import invites as store_invites
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store.database import Database
from tests.support.sampling import SEED, sampled
from tests.support.world import BEGAN, CLOCKS_COMPARED_SECONDS, World, WorldNode, befriend, run_world, until
from tests.world.test_circuits import known_ways

HOUR = 3_600_000
DAY = 24 * HOUR
YEAR_2106 = 2**32 * 1000 - BEGAN
TO_1970 = -BEGAN + HOUR


async def states(node: WorldNode, chat: str) -> list[str]:
    return [one["state"] for one in await node.call("log", chat=chat, limit=100) if one["from"] == "me"]


async def restart(world: World, node: WorldNode, skew: int) -> WorldNode:
    await node.stop()
    return await world.start(node.name, lambda fresh: setattr(fresh, "skew", skew))


async def clock_line(node: WorldNode) -> dict[str, object]:
    return next(line for line in await node.call("doctor") if line["check"] == "clock")


async def waiting_pair(world: World, seconds: int = 3700) -> tuple[WorldNode, WorldNode]:
    """Two contacts with a relay each way; one of them is gone, and two texts wait for it."""
    relay = world.mailbox("relay")
    alice, bob = await world.start("alice"), await world.start("bob")
    for node in (alice, bob):
        await node.call("relays", add=relay.address)
    await befriend(alice, bob)
    await trio.sleep(seconds)
    await bob.stop()
    relay.stop()
    for number in range(2):
        await alice.call("send", chat="bob", text=f"{number}")
    return alice, bob


async def all_arrive(world: World, alice: WorldNode, count: int) -> None:
    bob = await world.start("bob")
    await until(lambda: delivered(alice, count), 4 * 3600)
    assert await bob.texts("alice") == [f"{number}" for number in range(count)]


async def delivered(node: WorldNode, count: int) -> bool:
    return await states(node, "bob") == ["delivered"] * count


WRONG = list(
    itertools.product(("never", "before", "before and after"), (60, 4000), (40 * DAY, YEAR_2106, -40 * DAY, TO_1970))
)
"""When the node is started again, for how many seconds the clock is wrong, and by how many ms."""


@pytest.mark.parametrize("case", sampled(WRONG, 4, "clocks"))
def test_what_waits_outlives_a_wrong_clock(tmp_path: Path, case: tuple[str, int, int]) -> None:
    """One by chance of each four that differ in the clock alone; `make soak` tries all."""
    restarts, wrong_for, skew = case

    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world)
        invite = await alice.call("invite")
        if restarts == "never":
            alice.skew = skew
        else:
            alice = await restart(world, alice, skew)
        await alice.call("send", chat="bob", text="2")  # by the wrong clock
        await trio.sleep(wrong_for)
        if restarts == "before and after":
            alice = await restart(world, alice, 0)
        alice.skew = 0
        await trio.sleep(60)
        assert "failed" not in await states(alice, "bob")
        await trio.sleep(2 * 3600)
        assert await states(alice, "bob") == ["saved"] * 3
        if wrong_for == 60:
            carol = await world.start("carol")
            await carol.call("add", invite=invite["invite"], wait="accepted", timeout=3600)
        await all_arrive(world, alice, 3)

    try:
        run_world(tmp_path, main)
    except BaseException as error:
        raise AssertionError(f"{case}; P2PCHAT_SEED={SEED} repeats it") from error


def test_a_run_of_a_minute_is_enough_to_know_a_clock_that_is_behind(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world, 60)
        alice = await restart(world, alice, -31 * DAY)
        await alice.call("send", chat="bob", text="2")
        await trio.sleep(4000)
        alice = await restart(world, alice, 0)
        await trio.sleep(7200)
        assert await states(alice, "bob") == ["saved"] * 3

    run_world(tmp_path, main)


def test_the_first_run_after_an_update_believes_no_clock_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world)
        await alice.engine.committer.submit(lambda tx: tx.db.execute("DELETE FROM meta WHERE key LIKE 'clock_%'"))
        alice = await restart(world, alice, 40 * DAY)
        await trio.sleep(60)
        assert await states(alice, "bob") == ["saved"] * 2

    run_world(tmp_path, main)


def test_what_is_truly_old_fails_after_an_hour(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world)
        await alice.call("invite")
        await alice.stop()
        world.slept += 35 * DAY
        alice = await world.start("alice")
        await trio.sleep(1800)
        assert await states(alice, "bob") == ["saved"] * 2
        await trio.sleep(1900)
        assert await states(alice, "bob") == ["failed"] * 2
        assert {row.state for row in await alice.engine.committer.read(store_invites.all)} == {"used", "expired"}
        await trio.sleep(7200)
        assert await states(alice, "bob") == ["failed"] * 2  # nobody's clock was wrong

    run_world(tmp_path, main)


def test_short_runs_end_what_is_old_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world)
        for _ in range(3):  # nobody saw an hour pass, but the runs agree
            await alice.stop()
            world.slept += 17 * DAY
            alice = await world.start("alice")
            await trio.sleep(60)
        assert await states(alice, "bob") == ["failed"] * 2

    run_world(tmp_path, main)


def test_a_joiner_is_not_told_that_an_invite_has_ended_by_a_wrong_clock(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        alice = await restart(world, alice, 40 * DAY)
        with pytest.raises(NotReached):
            await bob.call("add", invite=invite, name="alice")
        await bob.call("send", chat="alice", text="hello")
        await trio.sleep(600)
        assert [(one["name"], one["state"]) for one in await bob.call("contacts")] == [("alice", "waiting")]
        alice.skew = 0
        await until(lambda: arrived(alice, "hello"), 7200)

    async def arrived(node: WorldNode, text: str) -> bool:
        return bool(await node.call("contacts")) and await node.texts("bob") == [text]

    run_world(tmp_path, main)


def test_a_jump_is_named_until_the_clock_agrees(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await trio.sleep(3700)
        assert (await clock_line(alice))["ok"]
        alice.skew = 40 * DAY
        await trio.sleep(CLOCKS_COMPARED_SECONDS + 1)
        line = await clock_line(alice)
        assert not line["ok"]
        assert "it jumped ahead by 40 days" in str(line["detail"])
        alice.skew = -3 * DAY
        await trio.sleep(CLOCKS_COMPARED_SECONDS + 1)
        assert "43 days behind what it said before" in str((await clock_line(alice))["detail"])
        await trio.sleep(3700)
        assert (await clock_line(alice))["ok"]
        alice = await restart(world, alice, YEAR_2106)
        assert not (await clock_line(alice))["ok"]

    run_world(tmp_path, main)


@pytest.mark.parametrize(("skew", "says"), [(-3 * DAY, "3 days behind"), (3 * DAY, "3 days ahead of")])
def test_doctor_and_why_compare_with_contacts(tmp_path: Path, skew: int, says: str) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        alice, bob = await world.start("alice", lambda node: setattr(node, "skew", skew)), await world.start("bob")
        for node in (alice, bob):
            await node.call("relays", add=relay.address)
        bob.skew = skew
        await befriend(alice, bob)
        await trio.sleep(3700)
        await bob.stop()
        bob = await world.start("bob")  # by the right clock: no link from now on
        await bob.call("send", chat="alice", text="hello")
        sent = await alice.call("send", chat="bob", text="hello", wait="delivered", timeout=7200)
        await trio.sleep(3700)
        assert says in str((await clock_line(alice))["detail"])
        relay.stop()
        sent = await alice.call("send", chat="bob", text="again")
        await trio.sleep(60)
        assert f"Your clock is {says} bob's" in (await alice.call("why", id=sent["id"]))["reason"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("skew", [-3 * DAY, 3 * DAY])
def test_doctor_believes_two_relays_and_not_one(tmp_path: Path, skew: int) -> None:
    """Nothing is done by what relays say."""

    async def main(world: World) -> None:
        relays = [world.mailbox(f"relay {number}") for number in range(3)]
        alice = await world.start("alice", lambda node: setattr(node, "skew", skew))
        relays[2].hours_wrong = skew // HOUR  # like Alice's
        says = f"3 days {'behind' if skew < 0 else 'ahead of'} what most of your relays say"
        for relay, shown in zip(relays[::-1], (False, False, True), strict=True):
            await alice.call("relays", add=relay.address)
            await trio.sleep(60)
            assert (says in str((await clock_line(alice))["detail"])) is shown
        lines = [str(line["detail"]) for line in await alice.call("doctor") if line["check"] == "relay"]
        assert sum("its clock is 3 days" in line for line in lines) == 2

    run_world(tmp_path, main)


def test_in_2106_an_invite_is_refused_with_a_reason(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice", lambda node: setattr(node, "skew", YEAR_2106))
        with pytest.raises(P2PChatError, match="clock says"):
            await alice.call("invite")
        alice.skew = 0
        await alice.call("invite")

    run_world(tmp_path, main)


def test_news_is_told_above_all_ids_of_a_clock_that_was_ahead(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice", lambda node: setattr(node, "skew", 20 * HOUR))
        bob = await world.start("bob")
        bob.host.walled = True
        await befriend(alice, bob)
        await trio.sleep(120)
        await alice.stop()
        world.move("alice")
        alice = await world.start("alice")
        bob.host.walled = False
        await trio.sleep(600)
        assert await known_ways(bob, "alice") == set(alice.host.addresses())

    run_world(tmp_path, main)


def test_prekeys_of_a_wrong_future_are_not_used_and_not_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice", lambda node: setattr(node, "skew", 365 * DAY))
        await trio.sleep(60)
        alice.skew = 0
        await trio.sleep(3700)

        def kept(db: Database) -> tuple[int, int]:
            newest = store_prekeys.newest(db, store_prekeys.ROTATION, alice.clock())
            assert newest is not None
            return newest.created_at, db.query("SELECT max(delete_at) FROM prekeys WHERE kind = 'rotation'")[0][0]

        assert (await alice.engine.committer.read(kept))[0] <= alice.clock()
        for _ in range(2):
            await world.sleep_days(2)
        assert (await alice.engine.committer.read(kept))[1] <= alice.clock() + 37 * DAY

    run_world(tmp_path, main)


def test_the_life_of_a_text_is_not_counted_from_a_clock_that_was_ahead(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await waiting_pair(world)
        alice.skew = YEAR_2106
        await alice.call("send", chat="bob", text="2")
        await trio.sleep(7300)
        alice.skew = 0
        for _ in range(2):
            await world.sleep_days(2)
        rows = await alice.engine.committer.read(lambda db: db.query("SELECT max(expires_at) FROM outbox"))
        assert rows[0][0] <= alice.clock() + outbound.RETRY_FOR_MS + DAY

    run_world(tmp_path, main)
