"""What members, those who were removed, and whoever seizes a device get out of a group."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core.groups import items
from p2pchat.core.groups.items import MessageItem
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import carriage, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from tests.support.databases import KEY
from tests.support.group_worlds import found, has_members, reads, said
from tests.support.world import World, WorldNode, run_world, until

CHAT = "hikers"


def recorded(patch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that is carried from now on, as an adversary records it."""
    kept: list[bytes] = []
    carry = pairwise.carry

    def record(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, *more: object, **rest: object) -> None:
        kept.append(sealed)
        carry(tx, row, epoch, sealed, *more, **rest)  # type: ignore[arg-type]

    patch.setattr(pairwise, "carry", record)
    return kept


def opened(db: Database, sealed: bytes) -> bool:
    """Whether all that is in a profile opens a recorded message."""
    for (chat,) in db.query("SELECT chat FROM groups"):
        for epoch in store_epochs.with_tag(db, chat, items.tag_of(sealed)):
            item = items.open_item(sealed, epoch.id, carriage.secrets_of(epoch))
            if isinstance(item, MessageItem):
                chain = store_epochs.chain(db, epoch.pk, item.member)
                if chain is not None and item.number >= chain.next:
                    return True
                if store_epochs.skipped(db, epoch.pk, item.member, item.number) is not None:
                    return True
    return False


def test_a_seized_profile_opens_nothing_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        kept = recorded(monkeypatch)
        await alice.call("send", chat=CHAT, text="before the removal")
        await reads(bob, CHAT, "before the removal")
        await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        await alice.call("send", chat=CHAT, text="after it")
        await reads(bob, CHAT, "before the removal", "after it")
        messages = [sealed for sealed in kept if len(sealed) == items.SIZES[0]]
        assert len(messages) >= 2
        for moment in ("at once", "in two days", "in a month"):
            shutil.copytree(bob.folder, tmp_path / moment)
            db = Database.open(tmp_path / moment / "p2pchat.db", KEY)
            assert not any(opened(db, sealed) for sealed in messages)
            exporters = db.query("SELECT exporter IS NULL, join_key IS NULL FROM group_epochs ORDER BY pk")
            if moment == "in two days":  # so recorded rekeys lead nowhere either
                assert set(exporters[:-1]) == {(1, 1)}
            db.close()
            await world.sleep_days(2 if moment == "at once" else 31)
            await trio.sleep(3700)

    (tmp_path / "world").mkdir()
    run_world(tmp_path / "world", main)


def test_who_was_removed_cannot_write_and_opens_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        kept = recorded(monkeypatch)
        copy = carol.copy()
        await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        await carol.stop()
        world.cut(alice, carol)
        world.put_back(copy)  # their node of before, which has its keys and knows of no removal
        carol = await world.start("carol")
        await carol.call("send", chat=CHAT, text="still here")
        await alice.call("send", chat=CHAT, text="among us")
        await reads(bob, CHAT, "among us")
        assert not opened(carol.db, kept[-1])
        world.mend(alice, carol)
        await trio.sleep(600)
        for node in (alice, bob):
            assert "still here" not in await said(node, CHAT)

    run_world(tmp_path, main)


def test_a_member_who_floods_is_stopped_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        for node in (alice, carol):
            limits = node.engine.committer.storage_limits
            limits.limits = replace(limits.limits, daily=4 * 2**20)
        for number in range(60):
            await bob.call("send", chat=CHAT, text=f"{number} " + "x" * 40_000)
        await trio.sleep(600)
        assert 10 < len(await said(alice, CHAT)) < 30
        assert len(await said(carol, CHAT)) <= len(await said(alice, CHAT))
        await carol.call("send", chat=CHAT, text="too much, bob")
        await heard(alice, "too much, bob")
        await alice.call("send", chat=CHAT, text="indeed")
        await heard(carol, "indeed")

    run_world(tmp_path, main)


async def heard(node: WorldNode, text: str) -> None:
    """Wait until a text has come."""

    async def there() -> bool:
        return text in await said(node, CHAT)

    await until(there)


def test_an_observer_whose_node_lies_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat=CHAT, member="bob", role="observer")
        for node in (bob, carol):

            async def told(node: WorldNode = node) -> bool:
                page = await node.call("group_members", chat=CHAT)
                return [one["role"] for one in page["members"]].count("observer") == 1

            await until(told)
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)
        await bob.call("send", chat=CHAT, text="I post all the same")
        await carol.call("send", chat=CHAT, text="hello")
        await heard(bob, "hello")
        await trio.sleep(300)
        assert await said(alice, CHAT) == ["hello"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("rule", ["muted", "locked"])
def test_who_may_not_write_is_refused_here_and_by_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")

        async def forbid(forbidden: bool) -> None:
            if rule == "muted":
                await alice.call("mute_member", chat=CHAT, member="bob", seconds=86_400 if forbidden else 0)
            else:
                await alice.call("set_group", chat=CHAT, key="locked", value="yes" if forbidden else "no")
            await alice.call("send", chat=CHAT, text=f"now {forbidden}")
            for node in (bob, carol):
                await heard(node, f"now {forbidden}")

        await forbid(True)
        with pytest.raises(NotNow, match=rule):
            await bob.call("send", chat=CHAT, text="refused here")
        with monkeypatch.context() as lying:
            lying.setattr(group_rules, "check_post", lambda *_: None)
            await bob.call("send", chat=CHAT, text="refused by readers")
        await trio.sleep(300)
        await forbid(False)
        await bob.call("send", chat=CHAT, text="let again")
        for node in (alice, carol):
            await heard(node, "let again")
            assert not {"refused here", "refused by readers"} & set(await said(node, CHAT))

    run_world(tmp_path, main)


def test_a_pin_of_somebody_who_may_not_pin_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        sent = await alice.call("send", chat=CHAT, text="not to be pinned")
        await heard(bob, "not to be pinned")
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)
        await bob.call("pin", id=sent["id"])
        await bob.call("react", id=sent["id"], emoji="👍")

        async def reacted() -> bool:
            return any(one["reactions"] for one in await alice.call("log", chat=CHAT))

        await until(reacted)
        await trio.sleep(300)
        assert not any(one["pinned"] for one in await alice.call("log", chat=CHAT))

    run_world(tmp_path, main)
