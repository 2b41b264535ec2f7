"""What the rules and roles of a group let its members write and change."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Timer
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.runtime.effects import GroupContent
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NoSuchMember, NotAGroup, NotNow
from p2pchat.lib.times import HOUR_MS, MINUTE_MS
from p2pchat.store.groups import groups as store_groups
from tests.support.group_worlds import found, has_members, reads, said, talk
from tests.support.world import World, WorldNode, befriend, run_world, until


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


def test_whose_clock_is_ahead_gets_no_further_in_slow_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message could be a day later than the one before, and all be written in one minute."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_group", chat="hikers", key="slow_mode", value="3600")

        async def told() -> bool:
            return bool((await bob.call("group", chat="hikers"))["settings"]["slow_mode"] == 3600)

        await until(told)
        await bob.call("send", chat="hikers", text="in time")
        await reads(alice, "hikers", "in time")
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)  # his node lets him
        for hours in (2, 4, 6):
            bob.skew = hours * HOUR_MS
            await bob.call("send", chat="hikers", text=f"{hours} hours from now")
        bob.skew = 0
        await alice.call("send", chat="hikers", text="what comes later was sent later")
        await bob.call("send", chat="alice", text="all sent", wait="delivered")
        await trio.sleep(60)
        assert await said(alice, "hikers") == ["in time"]

    run_world(tmp_path, main)


def test_whose_clock_goes_back_gets_no_further_in_slow_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message could be of a minute before the one that came before it, as if it had been under way for long."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_group", chat="hikers", key="slow_mode", value="30")

        async def told() -> bool:
            return bool((await bob.call("group", chat="hikers"))["settings"]["slow_mode"] == 30)

        await until(told)
        await trio.sleep(600)
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)  # his node lets him
        for minutes in range(4):
            bob.skew = -minutes * MINUTE_MS
            await bob.call("send", chat="hikers", text=f"{minutes} minutes ago")
        bob.skew = 0
        await bob.call("send", chat="alice", text="all sent", wait="delivered")
        await trio.sleep(60)
        assert await said(alice, "hikers") == ["0 minutes ago"]

    run_world(tmp_path, main)


def test_a_member_sets_no_timer_but_by_the_setting(tmp_path: Path) -> None:
    """Contents that are for two people do nothing in a group, whoever sends them there."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")

        def send(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            content = Content(Timer(60), tx.new_message_id(), 7, tx.now)
            tx.group_contents.append(GroupContent(chat, content.message_id, encode_content(content)))

        await bob.engine.committer.submit(send)
        await bob.call("send", chat="hikers", text="did you see that?")
        await reads(alice, "hikers", "did you see that?")
        assert (await alice.call("timer", chat="hikers"))["timer"] is None
        assert not [one for one in await alice.call("log", chat="hikers") if one["kind"] == "timer"]

    run_world(tmp_path, main)
