"""Groups of people with real engines: founded, talked in, changed by several at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupWelcome, Payload
from p2pchat.core.groups import epochs, upkeep
from p2pchat.core.groups.events import RotateEpoch
from p2pchat.core.ids import ContactId
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import changes
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull, NoSuchMember, NotAGroup, NotNow
from p2pchat.store.contacts import Contact
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, befriend, run_world, until


async def members(node: WorldNode, chat: str) -> set[str]:
    """The names of the members, as a node has them."""
    page = await node.call("group_members", chat=chat, limit=1000)
    return {"me" if one["me"] else one["contact"] or one["name"] for one in page["members"]}


async def has_members(node: WorldNode, chat: str, count: int) -> None:
    """Wait until a node is in a group with so many members."""

    async def there() -> bool:
        if not any(one["name"] == chat for one in await node.call("chats")):
            return False
        return bool((await node.call("group", chat=chat))["members"] == count)

    await until(there)


async def said(node: WorldNode, chat: str) -> list[str]:
    """What others wrote, without lines about what was done."""
    log = await node.call("log", chat=chat, limit=1000)
    return [one["text"] for one in log if one["kind"] == "text" and not one["mine"]]


async def talk(node: WorldNode, chat: str) -> list[dict[str, Any]]:
    """What was written, without lines about what was done."""
    return [one for one in await node.call("log", chat=chat, limit=1000) if one["kind"] == "text"]


async def reads(node: WorldNode, chat: str, *texts: str) -> None:
    """Wait until exactly these texts of others have come, in any order of their authors."""

    async def there() -> bool:
        return len(await said(node, chat)) >= len(texts)

    await until(there)
    assert sorted(await said(node, chat)) == sorted(texts)


def test_three_people_found_a_group_and_talk(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        await befriend(alice, carol)
        made = await alice.call("create_group", name="hikers", contacts=["bob", "carol"])
        assert made["kind"] == "group"
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)
            assert node.db.query("SELECT 1 FROM group_waiting") == []
        await alice.call("send", chat="hikers", text="hello")
        await bob.call("send", chat="hikers", text="hi from bob")
        await carol.call("send", chat="hikers", text="hi from carol")
        await reads(alice, "hikers", "hi from bob", "hi from carol")
        await reads(bob, "hikers", "hello", "hi from carol")
        await reads(carol, "hikers", "hello", "hi from bob")
        log = await talk(bob, "hikers")
        notices = [one["text"] for one in await bob.call("log", chat="hikers") if one["kind"] == "group"]
        assert notices[0].startswith("alice added ")
        assert "you" in notices[0]
        assert {one["from"] for one in log} == {"me", "alice", "carol"}
        assert {one["member"]["name"] for one in log if not one["mine"]} == {"alice", "carol"}

    run_world(tmp_path, main)


def test_what_overtakes_a_welcome_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent after the welcome, and comes before; the newcomer could not follow the group without it."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        dave = await world.start("dave")
        await befriend(alice, dave)
        welcomes, queue = list[tuple[ContactId, GroupWelcome]](), outbound.queue

        def hold(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
            if isinstance(payload, GroupWelcome):
                welcomes.append((contact.id, payload))
            else:
                queue(tx, contact, payload, **more)

        with monkeypatch.context() as patched:
            patched.setattr(outbound, "queue", hold)
            await alice.call("add_members", chat="hikers", contacts=["dave"])
            await has_members(alice, "hikers", 4)
            await alice.call("remove_member", chat="hikers", member="carol")
            await alice.call("send", chat="hikers", text="hello, dave")
            await reads(bob, "hikers", "hello, dave")
            await trio.sleep(30)

        def send(tx: Transaction) -> None:
            for id, payload in welcomes:
                contact = tx.contact(id)
                assert contact is not None
                queue(tx, contact, payload)
                outbound.nudge(tx, contact)

        await alice.engine.committer.submit(send)
        await has_members(dave, "hikers", 3)
        await reads(dave, "hikers", "hello, dave")
        assert dave.db.query("SELECT 1 FROM group_parts") == []

    run_world(tmp_path, main)


async def found(world: World, *names: str, chat: str = "hikers") -> list[WorldNode]:
    """A group of the first, who knows all others; they do not know each other."""
    founder, *others = [await world.start(name) for name in names]
    for other in others:
        await befriend(founder, other)
    await founder.call("create_group", name=chat, contacts=list(names[1:]))
    for node in (founder, *others):
        await has_members(node, chat, len(names))
    return [founder, *others]


def test_who_was_removed_reads_nothing_that_is_said_after(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="bob", reason="spam")
        await has_members(carol, "hikers", 2)
        await alice.call("send", chat="hikers", text="among us")
        await reads(carol, "hikers", "among us")
        await carol.call("send", chat="hikers", text="yes")
        await reads(alice, "hikers", "yes")
        await trio.sleep(3600)
        assert await said(bob, "hikers") == []
        (chat,) = [one for one in await bob.call("chats") if one["name"] == "hikers"]
        assert chat["state"] == "left"
        assert (await bob.call("group", chat="hikers"))["role"] is None
        with pytest.raises(NotNow):
            await bob.call("send", chat="hikers", text="hello?")
        assert [one["text"] for one in await carol.call("group_log", chat="hikers")][
            -1
        ] == "alice removed bob: spam; everybody has seen it."

    run_world(tmp_path, main)


def test_members_without_the_right_change_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        for method, fields in (
            ("remove_member", {"member": "carol"}),
            ("set_role", {"member": "carol", "role": "admin"}),
            ("set_group", {"key": "name", "value": "mine"}),
            ("add_members", {"contacts": ["alice"]}),
        ):
            with pytest.raises(NotNow):
                await bob.call(method, chat="hikers", **fields)
        with pytest.raises(NotAGroup):
            await bob.call("group", chat="alice")
        with pytest.raises(NoSuchMember):
            await alice.call("remove_member", chat="hikers", member="nobody")
        assert (await alice.call("group", chat="hikers"))["members"] == 3

    run_world(tmp_path, main)


def test_settings_and_roles_reach_everybody(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="moderator")
        await alice.call("set_role", chat="hikers", member="carol", role="observer")
        await alice.call("set_group", chat="hikers", key="name", value="walkers")
        await alice.call("set_group", chat="walkers", key="topic", value="up")

        async def told() -> bool:
            groups = [one for one in await carol.call("chats") if one["name"] == "walkers"]
            return bool(groups) and (await carol.call("group", chat="walkers"))["topic"] == "up"

        await until(told)
        assert (await carol.call("group", chat="walkers"))["role"] == "observer"
        with pytest.raises(NotNow):
            await carol.call("send", chat="walkers", text="may I?")
        sent = await alice.call("send", chat="walkers", text="look")
        await reads(carol, "walkers", "look")
        await carol.call("react", id=sent["id"], emoji="👍")

        async def reacted() -> bool:
            (message,) = await talk(bob, "walkers")
            return [(one["emoji"], one["from"]) for one in message["reactions"]] == [("👍", "carol")]

        await until(reacted)
        await alice.call("set_group", chat="walkers", key="locked", value="yes")
        await trio.sleep(60)
        await bob.call("send", chat="walkers", text="moderators still write")
        await reads(carol, "walkers", "look", "moderators still write")

    run_world(tmp_path, main)


def test_every_remark_works_in_a_group(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        sent = await bob.call("send", chat="hikers", text="frist")
        await reads(carol, "hikers", "frist")
        await reads(alice, "hikers", "frist")
        await bob.call("edit", id=sent["id"], text="first")
        await carol.call("reply", id=sent["id"], text="second")
        await alice.call("pin", id=sent["id"])
        with pytest.raises(NotNow):
            await carol.call("pin", id=sent["id"])
        await carol.call("react", id=sent["id"], emoji="👍")
        await alice.call("react", id=sent["id"], emoji="❤️")
        for node, author in ((alice, "bob"), (bob, "me"), (carol, "bob")):

            async def there(node: WorldNode = node) -> bool:
                log = await talk(node, "hikers")
                return (
                    len(log) == 2 and log[0]["pinned"] and len(log[0]["reactions"]) == 2 and log[0]["text"] == "first"
                )

            await until(there)
            _, reply = await talk(node, "hikers")
            assert reply["quote"]["from"] == author
            assert reply["quote"]["text"] == "first"
        await bob.call("delete", id=sent["id"], for_both=True)

        async def gone() -> bool:
            return bool((await talk(carol, "hikers"))[0]["deleted"])

        await until(gone)
        hits = await carol.call("search", query="second")
        assert [(one["from"], one["chat_name"]) for one in hits] == [("me", "hikers")]

    run_world(tmp_path, main)


def test_who_may_not_write_does_not_write_by_editing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        sent = await bob.call("send", chat="hikers", text="as a member")
        for node in (alice, carol):
            await reads(node, "hikers", "as a member")
        await alice.call("set_role", chat="hikers", member="bob", role="observer")
        await alice.call("send", chat="hikers", text="bob only reads now")
        await reads(bob, "hikers", "bob only reads now")
        with pytest.raises(NotNow):
            await bob.call("edit", id=sent["id"], text="as an observer")
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)  # his node lets him
        await bob.call("edit", id=sent["id"], text="as an observer")
        await bob.call("react", id=sent["id"], emoji="👍")
        for node in (alice, carol):

            async def has_reacted(node: WorldNode = node) -> bool:
                return any(one["reactions"] for one in await talk(node, "hikers"))

            await until(has_reacted)
            assert "as a member" in [one["text"] for one in await talk(node, "hikers")]

    run_world(tmp_path, main)


def test_a_member_leaves_and_is_followed_by_new_keys(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        assert (await bob.call("leave_group", chat="hikers"))["name"] == "hikers"
        await has_members(carol, "hikers", 2)
        await alice.call("send", chat="hikers", text="without bob")
        await reads(carol, "hikers", "without bob")
        await trio.sleep(600)
        assert await said(bob, "hikers") == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("seed", sampled(list(range(12)), 2, "partitions"))
def test_admins_who_act_at_once_agree_when_they_meet(tmp_path: Path, seed: int) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await found(world, "alice", "bob", "carol", "dave")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        await befriend(bob, await world.start("erin"))
        world.cut(alice, bob)
        await alice.call("remove_member", chat="hikers", member="dave")
        await bob.call("add_members", chat="hikers", contacts=["erin"])
        await has_members(world.nodes["erin"], "hikers", 5)
        await bob.call("set_group", chat="hikers", key="topic", value="bob's")
        await alice.call("send", chat="hikers", text="on this side")
        await bob.call("send", chat="hikers", text="on that side")
        await trio.sleep(60)
        world.mend(alice, bob)
        here = [alice, bob, carol, world.nodes["erin"]]
        for node in here:
            await has_members(node, "hikers", 4)
        await trio.sleep(300)
        for node in here:
            await node.call("send", chat="hikers", text=f"{node.name} is here")
        for node in here:

            async def complete(node: WorldNode = node) -> bool:
                texts = await said(node, "hikers")
                return {f"{other.name} is here" for other in here if other is not node} <= set(texts)

            await until(complete)
        assert (await carol.call("group", chat="hikers"))["topic"] == "bob's"
        assert "erin is here" not in await said(dave, "hikers")

    run_world(tmp_path, main, seed=seed)


def test_admins_who_add_more_than_there_is_room_for_can_remove_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "MAX_MEMBERS", 4)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        for admin, name in ((alice, "dave"), (bob, "erin")):
            await befriend(admin, await world.start(name))
        world.cut(alice, bob)
        for admin, name in ((alice, "dave"), (bob, "erin")):
            await admin.call("add_members", chat="hikers", contacts=[name])
            await has_members(admin, "hikers", 4)
        world.mend(alice, bob)
        here = [alice, bob, carol]
        for node in here:
            await has_members(node, "hikers", 5)
        await bob.call("set_group", chat="hikers", key="topic", value="too many")
        await alice.call("remove_member", chat="hikers", member="erin")
        for node in (*here, world.nodes["dave"]):
            await has_members(node, "hikers", 4)
        await bob.call("send", chat="hikers", text="all of us")
        await reads(world.nodes["dave"], "hikers", "all of us")

    run_world(tmp_path, main)


def test_what_somebody_did_who_was_removed_meanwhile_does_not_count(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        world.cut(alice, bob)
        world.cut(bob, carol)
        await alice.call("remove_member", chat="hikers", member="bob")
        await bob.call("set_group", chat="hikers", key="topic", value="mine")
        await trio.sleep(60)
        world.mend(alice, bob)

        async def told() -> bool:
            log = await alice.call("group_log", chat="hikers")
            return any(
                one["text"].endswith("it does not count, since the right to it had been taken away.") for one in log
            )

        await until(told)
        assert (await alice.call("group", chat="hikers"))["topic"] == ""
        assert not any("topic" in one["text"] for one in await alice.call("log", chat="hikers"))

    run_world(tmp_path, main)


def test_a_message_is_stored_once_somebody_has_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.stop()
        await carol.stop()
        sent = await alice.call("send", chat="hikers", text="anybody?")
        assert "bob, carol" in (await alice.call("why", id=sent["id"]))["reason"]
        bob = await world.start("bob")
        await reads(bob, "hikers", "anybody?")

        async def stored() -> bool:
            (message,) = await talk(alice, "hikers")
            return bool(message["state"] == "stored")

        await until(stored)
        assert "carol" in (await alice.call("why", id=sent["id"]))["reason"]

    run_world(tmp_path, main)


def test_the_chat_of_a_group_that_was_left_can_be_deleted_with_all_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat="hikers", text="hello")
        await reads(bob, "hikers", "hello")
        with pytest.raises(NotNow):
            await bob.call("forget", contact="hikers", history=True)
        await bob.call("clear", chat="hikers")
        assert await bob.call("log", chat="hikers") == []
        await bob.call("leave_group", chat="hikers")
        await trio.sleep(10)
        await bob.call("clear", chat="hikers")
        assert [one["name"] for one in await bob.call("chats")] == ["alice"]
        tables = bob.db.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'group%'")
        assert not any(bob.db.query(f"SELECT 1 FROM {table} LIMIT 1") for (table,) in tables)

    run_world(tmp_path, main)


def test_old_keys_are_deleted_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await world.sleep_days(2)
        keys = "SELECT exporter IS NULL, over_since IS NULL FROM group_epochs ORDER BY pk"
        *over, current = bob.db.query(keys)
        assert set(over) == {(1, 0)}
        assert current == (0, 1)
        assert alice.db.query(keys)[-1] == (0, 1)
        assert {first for first, last in alice.db.query(keys) if not last} == {1}
        await bob.stop()
        bob = await world.start("bob")
        await bob.call("send", chat="hikers", text="after the restart")
        await reads(alice, "hikers", "after the restart")
        before = bob.db.query("SELECT id FROM group_epochs")
        for _ in range(2):  # the keys are renewed first, so those before are over
            await world.sleep_days(31)
            await trio.sleep(3700)
        assert not set(before) & set(bob.db.query("SELECT id FROM group_epochs"))

    run_world(tmp_path, main)


def test_old_keys_are_deleted_by_an_admin_who_cannot_renew_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        monkeypatch.setattr(changes, "renew_keys", lambda tx, row, action: None)
        monkeypatch.setattr(upkeep, "renewal", lambda state, **_: RotateEpoch())
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await world.sleep_days(2)
        assert alice.engine.committer.memory.keys_due
        links = alice.db.query("SELECT exporter FROM group_epochs WHERE over_since IS NOT NULL")
        assert links
        assert set(links) == {(None,)}

    run_world(tmp_path, main)


def test_keys_are_renewed_once_a_week_by_the_most_senior(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def renewals() -> list[str]:
            return [one["by"] for one in await bob.call("group_log", chat="hikers") if one["op"] == "rotate"]

        async def renewed() -> bool:
            return bool(await renewals())

        await world.sleep_days(6)
        assert not await renewed()
        await world.sleep_days(1)
        await until(renewed)
        await trio.sleep(3700)
        assert await renewals() == ["alice"]
        await bob.call("send", chat="hikers", text="under new keys")
        await reads(alice, "hikers", "under new keys")

    run_world(tmp_path, main)


def test_contacts_find_each_other_in_a_group_and_need_nobody_between_them(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        await befriend(alice, carol)
        await befriend(bob, carol)
        await alice.call("create_group", name="hikers", contacts=["bob", "carol"])
        for node, others in ((bob, {"me", "alice", "carol"}), (carol, {"me", "alice", "bob"})):

            async def known(node: WorldNode = node, others: set[str] = others) -> bool:
                if not any(one["name"] == "hikers" for one in await node.call("chats")):
                    return False
                page = await node.call("group_members", chat="hikers")
                return {"me" if one["me"] else one["contact"] for one in page["members"]} == others

            await until(known)
        await alice.stop()
        await bob.call("send", chat="hikers", text="without alice")
        await reads(carol, "hikers", "without alice")
        sent = sum(len(data) for sender, there, data in world.traffic if (sender, there) == ("bob", "carol"))
        await carol.call("send", chat="hikers", text="yes")
        await reads(bob, "hikers", "yes")
        assert sent > 0

    run_world(tmp_path, main)


def test_eight_people_who_all_know_only_the_founder(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        names = ("ann", "bo", "cy", "dot", "ed", "flo", "gus", "hal")
        people = await found(world, *names)
        await people[3].stop()
        for node in (one for one in people if one is not people[3]):
            await node.call("send", chat="hikers", text=f"{node.name} was here")
        people[3] = await world.start("dot")
        await people[3].call("send", chat="hikers", text="dot was here")
        for node in people:

            async def complete(node: WorldNode = node) -> bool:
                return len(await said(node, "hikers")) >= 7

            await until(complete)
            assert sorted(await said(node, "hikers")) == [f"{name} was here" for name in names if name != node.name]
        await people[0].call("remove_member", chat="hikers", member="hal", ban=True)
        for node in people[:7]:
            await has_members(node, "hikers", 7)
        await people[1].call("send", chat="hikers", text="seven of us")
        for node in people[2:7]:

            async def heard(node: WorldNode = node) -> bool:
                return "seven of us" in await said(node, "hikers")

            await until(heard)
        assert "seven of us" not in await said(people[7], "hikers")

    run_world(tmp_path, main)


def test_what_is_repeated_on_the_way_shows_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        world.meddle = lambda stream, frame: [frame, frame]
        for node in (alice, bob, carol):
            for number in range(3):
                await node.call("send", chat="hikers", text=f"{node.name} {number}")
        await trio.sleep(120)
        for node, others in ((alice, "bob carol"), (bob, "alice carol"), (carol, "alice bob")):
            texts = await said(node, "hikers")
            for name in others.split():
                assert [text for text in texts if text.startswith(name)] == [f"{name} {n}" for n in range(3)]
            assert len(texts) == 6

    run_world(tmp_path, main)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        commit, refused = bob.db.commit, 0

        def full() -> None:
            nonlocal refused
            refused += 1
            if refused <= 3:
                raise DiskFull
            commit()

        bob.db.commit = full  # type: ignore[method-assign]
        with pytest.raises(DiskFull):
            await bob.call("send", chat="hikers", text="not saved")
        await alice.call("send", chat="hikers", text="saved later")
        await reads(bob, "hikers", "saved later")
        await bob.call("send", chat="hikers", text="and sent")
        await reads(alice, "hikers", "and sent")

    run_world(tmp_path, main)


def test_a_newcomer_reads_nothing_older_and_who_comes_back_reads_on(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat="hikers", text="before")
        await reads(bob, "hikers", "before")
        dave = await world.start("dave")
        await befriend(alice, dave)
        await alice.call("add_members", chat="hikers", contacts=["dave"])
        await has_members(dave, "hikers", 4)
        assert await said(dave, "hikers") == []
        await alice.call("remove_member", chat="hikers", member="bob")
        await has_members(dave, "hikers", 3)
        await alice.call("send", chat="hikers", text="without bob")
        await reads(dave, "hikers", "without bob")
        await alice.call("add_members", chat="hikers", contacts=["bob"])
        await has_members(dave, "hikers", 4)
        await bob.call("send", chat="hikers", text="back again")
        await reads(dave, "hikers", "without bob", "back again")
        assert await said(bob, "hikers") == ["before"]

    run_world(tmp_path, main)


def test_who_was_restored_from_a_copy_comes_back_into_the_group(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        copy = bob.copy()
        await bob.call("send", chat="hikers", text="of the time that is gone")
        await reads(alice, "hikers", "of the time that is gone")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        await trio.sleep(600)
        assert (await bob.call("group", chat="hikers"))["members"] == 3
        await alice.call("send", chat="hikers", text="where are you?")
        await has_members(bob, "hikers", 2)
        assert bob.db.query("SELECT 1 FROM group_waiting") == []
        await alice.call("send", chat="hikers", text="there")
        await reads(bob, "hikers", "there")
        await bob.call("send", chat="hikers", text="here again")
        await reads(alice, "hikers", "of the time that is gone", "here again")

    run_world(tmp_path, main)


def test_the_timer_of_a_group_is_a_setting_of_all(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        with pytest.raises(NotNow):
            await bob.call("timer", chat="hikers", seconds=60)
        assert (await alice.call("timer", chat="hikers", seconds=60))["timer"] == 60

        async def told() -> bool:
            return bool((await bob.call("timer", chat="hikers"))["timer"] == 60)

        await until(told)
        dave = await world.start("dave")
        await befriend(alice, dave)
        await alice.call("add_members", chat="hikers", contacts=["dave"])
        await has_members(dave, "hikers", 4)
        assert (await dave.call("timer", chat="hikers"))["timer"] == 60
        await bob.call("send", chat="hikers", text="for a minute")
        await reads(dave, "hikers", "for a minute")
        await dave.call("read", chat="hikers")
        await trio.sleep(120)
        assert await said(dave, "hikers") == []
        assert await talk(bob, "hikers") == []
        with pytest.raises(NotNow):
            await bob.call("send_file", chat="hikers", path=str(tmp_path / "nothing"))

    run_world(tmp_path, main)


def test_readers_apply_slow_mode_and_the_rule_for_newcomers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_group", chat="hikers", key="slow_mode", value="30")
        await alice.call("set_group", chat="hikers", key="newcomers", value="2")

        async def told() -> bool:
            return bool((await bob.call("group", chat="hikers"))["settings"]["newcomers"] == 2)

        await until(told)
        await bob.call("send", chat="hikers", text="one")
        with pytest.raises(NotNow):
            await bob.call("send", chat="hikers", text="two")
        await trio.sleep(31)
        with pytest.raises(NotNow):
            await bob.call("send", chat="hikers", text="see https://example.org")
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)  # a node that does not keep the rules
        await bob.call("send", chat="hikers", text="three")
        await bob.call("send", chat="hikers", text="four")
        await trio.sleep(31)
        await bob.call("send", chat="hikers", text="see https://example.org")
        await alice.call("send", chat="hikers", text="moderators may")
        await alice.call("send", chat="hikers", text="always")
        await reads(bob, "hikers", "moderators may", "always")
        assert await said(alice, "hikers") == ["one", "three"]
        await trio.sleep(3 * 3600)
        await bob.call("send", chat="hikers", text="see https://example.org now")
        await reads(alice, "hikers", "one", "three", "see https://example.org now")

    run_world(tmp_path, main)


def test_people_who_are_never_there_together_read_each_other_by_their_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("hill")
        nodes = {node.name: node for node in await found(world, "alice", "bob", "carol")}
        for node in nodes.values():
            await node.call("relays", add=relay.address)
        await trio.sleep(120)
        for node in nodes.values():
            await node.stop()

        async def visit(name: str, text: str, *expected: str) -> None:
            node = nodes[name] = await world.start(name)
            await reads(node, "hikers", *expected)
            await node.call("send", chat="hikers", text=text, wait="stored", timeout=600)
            await trio.sleep(300)
            await node.stop()

        await visit("alice", "alice was here")
        await visit("bob", "bob was here", "alice was here")
        await visit("carol", "carol was here", "alice was here")
        await visit("alice", "alice again", "bob was here", "carol was here")
        await visit("carol", "carol again", "alice was here", "bob was here", "alice again")
        await visit("bob", "bob again", "alice was here", "carol was here", "alice again")

    run_world(tmp_path, main)
