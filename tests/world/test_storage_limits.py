"""One contact cannot fill the disk of another: beyond a limit mail waits, and is delivered when there is room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from p2pchat.engine.runtime import storage_limits
from p2pchat.engine.runtime.storage_limits import ContactLimits
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NodeError
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_nothing_dies import HOUR, nothing_waits

TEXT = "x" * 4000
"""As long as an envelope of the second size."""
ROOM = 80_000
TEXTS = [f"{number} {TEXT}" for number in range(30)]


def limited(limits: ContactLimits) -> Callable[[WorldNode], None]:
    def prepare(node: WorldNode) -> None:
        node.engine.committer.storage_limits.limits = limits

    return prepare


async def doctor(node: WorldNode) -> list[str]:
    return [one["detail"] for one in await node.call("doctor") if one["check"] == "storage"]


async def all_arrived(node: WorldNode) -> bool:
    log = await node.call("log", chat="alice", limit=1000)
    return all(one["state"] in ("delivered", "read") for one in log)


def warnings(node: WorldNode) -> list[str]:
    return [one["warning"] for one in node.heard if "warning" in one]


async def meet(world: World, limits: ContactLimits, *, linked: bool) -> tuple[WorldNode, WorldNode, WorldNode]:
    """Alice with limits, Bob who floods and Carol who does not; all collect at one relay."""
    relay = world.mailbox("relay")
    alice = await world.start("alice", limited(limits))
    bob, carol = await world.start("bob"), await world.start("carol")
    await alice.call("relays", add=relay.address)
    for other in (bob, carol):
        await befriend(alice, other)
    await trio.sleep(100)
    if not linked:
        world.cut(alice, bob)
        world.cut(alice, carol)
        await trio.sleep(100)
    return alice, bob, carol


async def flood(bob: WorldNode) -> None:
    for text in TEXTS:
        await bob.call("send", chat="alice", text=text)
    await trio.sleep(200)


@pytest.mark.parametrize("linked", sampled([True, False], 1, "mail beyond"))
def test_mail_beyond_what_may_be_unread_waits_and_others_are_heard(tmp_path: Path, linked: bool) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await meet(world, ContactLimits(0, ROOM), linked=linked)
        await flood(bob)
        taken = await alice.texts("bob")
        assert 1 <= len(taken) < len(TEXTS)
        assert taken == TEXTS[: len(taken)]
        await carol.call("send", chat="alice", text="and me?", wait="delivered", timeout=300)
        assert "bob has sent more" in (await doctor(alice))[0]
        assert len(warnings(alice)) == 1
        await trio.sleep(12 * HOUR)
        assert await alice.texts("bob") == taken
        if linked:
            last = (await bob.call("log", chat="alice", limit=1))[0]
            assert "has no room for more from you" in (await bob.call("why", id=last["id"]))["reason"]
        assert not [one for one in warnings(bob) if "two places" in one]
        for _ in TEXTS:
            await alice.call("read", chat="bob")
            await trio.sleep(300)
        assert await alice.texts("bob") == TEXTS
        await alice.call("read", chat="bob")
        await until(lambda: all_arrived(bob), 2 * HOUR)
        await until(lambda: nothing_waits(alice, bob), 2 * HOUR)
        assert await doctor(alice) == []
        assert not [one for node in (alice, bob) for one in node.heard if one.get("renewed")]

    run_world(tmp_path, main)


@pytest.mark.parametrize("linked", sampled([True, False], 1, "a day"))
def test_a_day_has_its_limit_and_what_is_beyond_comes_by_and_by(tmp_path: Path, linked: bool) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await meet(world, ContactLimits(120_000, 0), linked=linked)
        await flood(bob)
        taken = await alice.texts("bob")
        assert 1 <= len(taken) < len(TEXTS)
        await alice.call("read", chat="bob")
        await trio.sleep(60)
        assert len(await alice.texts("bob")) <= len(taken) + 1
        await until(lambda: all_arrived(bob), 5 * 24 * HOUR)
        assert await alice.texts("bob") == TEXTS

    run_world(tmp_path, main)


def test_a_restart_forgets_no_mail_that_waits(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await meet(world, ContactLimits(0, ROOM), linked=False)
        await flood(bob)
        await alice.crash()
        alice = await world.start("alice", limited(ContactLimits(0, ROOM)))
        await trio.sleep(600)
        assert 1 <= len(await alice.texts("bob")) < len(TEXTS)
        await alice.crash()
        alice = await world.start("alice")
        await until(lambda: all_arrived(bob), 2 * HOUR)
        assert await alice.texts("bob") == TEXTS

    run_world(tmp_path, main)


def test_a_nearly_full_disk_is_left_to_those_who_hold_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_limits, "SCARCE_DISK_BYTES", 1 << 62)
    monkeypatch.setattr(storage_limits, "MAX_UNREAD_BYTES_WHERE_SCARCE", ROOM)

    async def main(world: World) -> None:
        alice, bob, carol = await meet(world, storage_limits.DEFAULT_LIMITS, linked=True)
        await flood(bob)
        assert len(await alice.texts("bob")) < len(TEXTS)
        await carol.call("send", chat="alice", text="and me?", wait="delivered", timeout=300)

    run_world(tmp_path, main)


def test_a_nearly_full_disk_is_not_filled_with_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which nobody has to read, so that they never count as unread. What is written when there is room arrives."""
    monkeypatch.setattr(storage_limits, "SCARCE_DISK_BYTES", 1 << 62)
    monkeypatch.setattr(storage_limits, "MAX_UNREAD_BYTES_WHERE_SCARCE", ROOM)

    async def main(world: World) -> None:
        alice, bob, _ = await meet(world, storage_limits.DEFAULT_LIMITS, linked=True)
        sent = await bob.call("send", chat="alice", text="one", wait="delivered")
        await alice.call("read", chat="bob")
        for text in TEXTS:
            await bob.call("edit", id=sent["id"], text=text)
        await trio.sleep(200)
        assert 10 < len(await alice.call("history", id=sent["id"])) < len(TEXTS)
        monkeypatch.setattr(storage_limits, "SCARCE_DISK_BYTES", 0)
        await until(lambda: all_arrived(bob), 3 * HOUR)
        await until(lambda: nothing_waits(alice, bob), 3 * HOUR)
        assert await alice.texts("bob") == [TEXTS[-1]]

    run_world(tmp_path, main)


def test_what_a_failed_transaction_would_have_stored_does_not_count_as_unread(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice", limited(ContactLimits(daily=0, unread=ROOM)))
        await befriend(alice, await world.start("bob"))
        bob = await alice.id_of("bob")

        def has_room(tx: Transaction) -> bool:
            return tx.storage_limits.has_room(tx.db, bob, 1, tx.now)

        def fail(tx: Transaction) -> None:
            tx.storage_limits.spend(bob, ROOM, tx.now, unread=True)
            assert not has_room(tx)
            raise ZeroDivisionError

        assert await alice.engine.committer.submit(has_room)
        with pytest.raises(NodeError):
            await alice.engine.committer.submit(fail)
        assert await alice.engine.committer.submit(has_room)

    run_world(tmp_path, main)
