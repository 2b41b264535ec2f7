"""What people are told about a group, and find in it: names, mentions, why, who may do what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.errors import AmbiguousName, NoSuchContact, NoSuchMember, NotAllowed, NotNow, UsageError
from tests.support.group_worlds import found, has_members, reads
from tests.support.world import World, WorldNode, befriend, run_world, until

COPY = "\u0430nn\u0430"
"""Looks like anna, and is Cyrillic in part."""


async def hits(node: WorldNode, query: str, **asked: Any) -> list[str]:
    """The texts that a search finds."""
    return [hit["text"] for hit in await node.call("search", query=query, **asked)]


def test_from_finds_what_a_member_wrote_whether_they_are_a_contact_or_not(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.call("send", chat="alice", text="word to alice alone")
        await bob.call("send", chat="hikers", text="word from bob")
        await carol.call("send", chat="hikers", text="word from carol")
        await reads(alice, "hikers", "word from bob", "word from carol")
        await reads(bob, "hikers", "word from carol")
        assert sorted(await hits(alice, "from:bob")) == ["word from bob", "word to alice alone"]
        assert await hits(alice, "word from:bob", chat="hikers") == ["word from bob"]
        assert await hits(bob, "from:CAROL") == ["word from carol"]  # no contact of bob's
        await alice.call("rename", contact="bob", name="Robert")
        assert await hits(alice, "from:robert", chat="hikers") == ["word from bob"]
        with pytest.raises(NoSuchContact):
            await bob.call("search", query="from:dave")

    run_world(tmp_path, main)


async def authors(node: WorldNode, chat: str = "hikers") -> list[str]:
    """From whom the messages of a chat are, as a node shows them."""
    return [message["from"] for message in await said(node, chat)]


async def said(node: WorldNode, chat: str = "hikers") -> list[dict[str, Any]]:
    """The messages of a chat, without the lines about what was done."""
    return [message for message in await node.call("log", chat=chat) if message["kind"] == "text"]


def test_who_looks_like_another_or_like_the_user_is_shown_with_digits(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, anna, fake, me = await found(world, "alice", "anna", COPY, "You")
        for node in (anna, fake, me):
            await node.call("send", chat="hikers", text="hi")
        for node in (alice, anna):
            await reads(node, "hikers", *["hi"] * (3 if node is alice else 2))
        members = (await alice.call("group_members", chat="hikers"))["members"]
        labels = {each["name"]: f"{each['name']} ·{each['id'][:4]}" for each in members}
        assert set(await authors(alice)) == {labels["anna"], labels[COPY], labels["You"]}
        assert set(await authors(anna)) == {"me", labels[COPY], labels["You"]}
        # What the user calls a contact counts, not what the contact chose.
        await alice.call("rename", contact="anna", name="Anna of the hut")
        await alice.call("rename", contact="You", name="Mel")
        assert set(await authors(alice)) == {"Anna of the hut", COPY, "Mel"}
        await alice.call("rename", contact=COPY, name="MeI")
        looks = {f"MeI{labels[COPY][len(COPY) :]}", f"Mel{labels['You'][len('You') :]}"}
        assert set(await authors(alice)) == {"Anna of the hut", *looks}
        await alice.call("forget", contact="Mel", history=True)
        assert set(await authors(alice)) == {"Anna of the hut", "MeI", labels["You"]}

    run_world(tmp_path, main)


def test_who_looks_like_somebody_who_is_gone_is_shown_with_digits_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, anna, fake = await found(world, "alice", "anna", COPY)
        await anna.call("send", chat="hikers", text="hi")
        await reads(fake, "hikers", "hi")
        await alice.call("remove_member", chat="hikers", member="anna")
        await fake.call("send", chat="hikers", text="I am here again")
        await reads(alice, "hikers", "hi", "I am here again")
        assert all(" ·" in name for name in await authors(alice))

    run_world(tmp_path, main)


def test_who_may_not_is_told_who_may(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _carol = await found(world, "alice", "bob", "carol")

        async def told(node: WorldNode, method: str, **fields: Any) -> str:
            with pytest.raises(NotAllowed) as caught:
                await node.call(method, chat="hikers", **fields)
            return caught.value.line()

        admins = "Only the owner and admins can"
        assert await told(bob, "remove_member", member="carol") == (
            f"{admins} remove members, and you are a member. Ask alice."
        )
        assert await told(bob, "add_members", contacts=["alice"]) == (
            f"{admins} add members, and you are a member. Ask alice."
        )
        assert await told(bob, "set_group", key="topic", value="x") == (
            f"{admins} change this setting, and you are a member. Ask alice."
        )
        for name in ("bob", "carol"):
            await alice.call("set_role", chat="hikers", member=name, role="admin")

        async def are_admins() -> bool:
            members = (await bob.call("group_members", chat="hikers"))["members"]
            return [each["role"] for each in members] == ["owner", "admin", "admin"]

        await until(are_admins)
        below = "and you can do that only to members whose role is below yours."
        assert (await told(bob, "remove_member", member="carol")).startswith(f"carol is an admin, {below}")
        assert (await told(bob, "remove_member", member="alice")).startswith(f"alice is the owner, {below}")
        assert (await told(bob, "set_role", member="carol", role="owner")).startswith(
            "Only the owner can make somebody"
        )
        assert (await bob.call("group", chat="hikers"))["members"] == 3

    run_world(tmp_path, main)


def test_what_cannot_be_is_said_with_what_can(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")

        async def told(node: WorldNode, method: str, chat: str = "hikers", **fields: Any) -> str:
            with pytest.raises(UsageError) as caught:
                await node.call(method, chat=chat, **fields)
            return caught.value.line()

        assert (await told(alice, "set_role", member="alice", role="member")).startswith(
            "You cannot change your own role. `p2pchat group role CHAT M owner` makes somebody else the owner"
        )
        assert await told(bob, "set_role", member="bob", role="admin") == "You cannot change your own role."
        assert await told(alice, "add_members", contacts=["bob"]) == "bob is a member of hikers already."
        assert await told(alice, "group", chat="walkers") == (
            "There is no chat with that name or id. `p2pchat chats` lists them."
        )
        assert await told(bob, "group_invite") == (
            "Only the owner and admins can make invites, and you are a member. Ask alice."
        )
        for method, fields in (("group_requests", {}), ("answer_request", {"id": "1a2b"})):
            assert await told(bob, method, **fields) == (
                "Only the owner and admins can decide who joins, and you are a member. Ask alice."
            )
        assert await told(alice, "answer_request", id="1a2b") == (
            "Nobody with that id or name asks to join this group. `p2pchat group requests CHAT` lists who does."
        )
        await alice.call("set_group", chat="hikers", key="name", value="the hikers")
        assert (await told(alice, "remove_member", chat="the hikers", member="eve")).endswith(
            "`p2pchat group members 'the hikers'` lists them."
        )

    run_world(tmp_path, main)


def test_who_is_being_added_is_said_until_their_node_has_answered(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _bob = await found(world, "alice", "bob")
        dave = await world.start("dave")
        await befriend(alice, dave)
        await dave.stop()
        events = alice.engine.events.subscribe()
        shown = await alice.call("add_members", chat="hikers", contacts=["dave", "bob"])
        assert (shown["adding"], shown["members"]) == (["dave"], 2)
        while (event := await events.receive())["event"] != "group":
            pass
        assert event["adding"] == ["dave"]
        dave = await world.start("dave")
        await has_members(dave, "hikers", 3)
        await has_members(alice, "hikers", 3)
        assert (await alice.call("group", chat="hikers"))["adding"] == []

    run_world(tmp_path, main)


def test_the_log_says_when_and_the_chat_leaves_out_what_nodes_do_by_themselves(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        tower = world.mailbox("tower")
        alice, bob = await found(world, "alice", "bob")
        await alice.call("relays", add=tower.address)
        await alice.call("set_group", chat="hikers", key="description", value="be kind")

        async def ops(text: str) -> bool:
            return any(text in line["text"] for line in await bob.call("group_log", chat="hikers"))

        await until(lambda: ops("changed the relays that carry the group"))
        await alice.call("set_group", chat="hikers", key="topic", value="the hut")
        await alice.call("timer", chat="hikers", seconds=3600)
        await until(lambda: ops("set messages to disappear"))
        done = await bob.call("group_log", chat="hikers")
        assert [line["text"] for line in done[-2:]] == [
            "alice set the topic: the hut.",
            "alice set messages to disappear 1 hour after they are read.",
        ]
        assert [line["at"] for line in done] == sorted(line["at"] for line in done)
        assert done[0]["at"].endswith("Z")
        lines = [line["text"] for line in await bob.call("log", chat="hikers") if line["kind"] == "group"]
        assert "alice set the topic: the hut." in lines
        assert not any("relays" in line for line in lines)

    run_world(tmp_path, main)


def test_members_add_their_contacts_once_the_rule_says_so(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        dave, eve = await world.start("dave"), await world.start("eve")
        await befriend(bob, dave)
        await befriend(dave, eve)
        with pytest.raises(NotAllowed, match="Only the owner and admins can add members"):
            await bob.call("add_members", chat="hikers", contacts=["dave"])
        with pytest.raises(UsageError):
            await alice.call("set_group", chat="hikers", key="invites", value="everybody")
        shown = await alice.call("set_group", chat="hikers", key="invites", value="members")
        assert shown["settings"]["invites"] == "members"

        async def may() -> bool:
            rules = (await bob.call("group", chat="hikers"))["settings"]
            return bool(rules["invites"] == "members")

        await until(may)
        await bob.call("add_members", chat="hikers", contacts=["dave"])
        for node in (alice, bob, dave):
            await has_members(node, "hikers", 3)
        await dave.call("send", chat="hikers", text="thank you bob")
        await reads(bob, "hikers", "thank you bob")
        await reads(alice, "hikers", "thank you bob")
        await dave.call("add_members", chat="hikers", contacts=["eve"])
        await has_members(alice, "hikers", 4)
        await alice.call("set_group", chat="hikers", key="invites", value="admins")
        lines = [line["text"] for line in await alice.call("group_log", chat="hikers")]
        assert "You let members add people." in lines
        assert lines[-1] == "You let only the owner and admins add people."
        for key, value in (("slow_mode", "30"), ("slow_mode", "0"), ("newcomers", "1"), ("history", "50")):
            await alice.call("set_group", chat="hikers", key=key, value=value)
        assert [line["text"] for line in await alice.call("group_log", chat="hikers", limit=4)] == [
            "You set slow mode: each member can write once every 30 seconds.",
            "You ended slow mode.",
            "You let newcomers send links and files only after 1 hour.",
            "You let newcomers read the last 50 texts from before they join.",
        ]

    run_world(tmp_path, main)


def test_who_is_muted_is_told_until_when_and_is_shown_again_after_that(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")

        async def muted(node: WorldNode) -> list[str]:
            members = (await node.call("group_members", chat="hikers"))["members"]
            return [each["name"] for each in members if each["muted_until"] is not None]

        with pytest.raises(NotAllowed, match="Only the owner, admins and moderators can mute members"):
            await bob.call("mute_member", chat="hikers", member="carol", seconds=60)
        with pytest.raises(UsageError, match="yourself"):
            await alice.call("mute_member", chat="hikers", member="alice", seconds=60)
        with pytest.raises(UsageError, match="366 days"):
            await alice.call("mute_member", chat="hikers", member="bob", seconds=2**40)
        await alice.call("set_role", chat="hikers", member="carol", role="moderator")

        async def is_moderator() -> bool:
            return bool((await carol.call("group", chat="hikers"))["role"] == "moderator")

        await until(is_moderator)
        with pytest.raises(NotAllowed, match="alice is the owner"):
            await carol.call("mute_member", chat="hikers", member="alice", seconds=60)
        await carol.call("mute_member", chat="hikers", member="bob", seconds=3600)

        async def is_told() -> bool:
            return all([await muted(node) == ["bob"] for node in (alice, bob, carol)])

        await until(is_told)
        assert (await bob.call("group", chat="hikers"))["muted_until"] is not None
        assert (await alice.call("group", chat="hikers"))["muted_until"] is None
        line = (await bob.call("group_log", chat="hikers"))[-1]["text"]
        assert re.fullmatch(r"carol muted you until \d+-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z\.", line), line
        with pytest.raises(NotNow, match=r"You are muted in hikers until \d+-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z:"):
            await bob.call("send", chat="hikers", text="I am not to say this")
        await trio.sleep(3601)
        assert await muted(alice) == []
        assert (await bob.call("group", chat="hikers"))["muted_until"] is None
        await bob.call("send", chat="hikers", text="I am back")
        await reads(alice, "hikers", "I am back")
        await alice.call("mute_member", chat="hikers", member="bob", seconds=3600)
        await until(is_told)
        await carol.call("mute_member", chat="hikers", member="bob", seconds=0)
        await carol.call("mute_member", chat="hikers", member="bob", seconds=0)  # which says nothing again

        async def is_over() -> bool:
            return await muted(bob) == []

        await until(is_over)
        assert [each["text"] for each in await bob.call("group_log", chat="hikers")][-1] == "carol unmuted you."
        await bob.call("send", chat="hikers", text="and again")
        await reads(carol, "hikers", "I am back", "and again")

    run_world(tmp_path, main)


def test_a_member_is_named_by_name_by_id_and_as_they_are_shown(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _anna = await found(world, "alice", "anna")
        fake = await world.start("Anna")
        await befriend(alice, fake)
        (other,) = [each["id"] for each in await alice.call("contacts") if each["name"] != "anna"]
        await alice.call("add_members", chat="hikers", contacts=[other])
        await has_members(alice, "hikers", 3)
        members = (await alice.call("group_members", chat="hikers"))["members"]
        ids = {each["name"]: each["id"] for each in members}
        with pytest.raises(AmbiguousName) as caught:
            await fake.call("set_role", chat="hikers", member="anna", role="observer")
        assert set(caught.value.candidates) == {f"{name} ·{ids[name][:4]} ({ids[name]})" for name in ("anna", "Anna")}
        with pytest.raises(NoSuchMember) as missing:
            await alice.call("remove_member", chat="hikers", member="dave")
        assert missing.value.line() == "hikers has no member dave. `p2pchat group members hikers` lists them."
        for written in (ids["anna"], ids["anna"][:6].upper(), f"anna ·{ids['anna'][:4]}"):
            await alice.call("set_role", chat="hikers", member=written, role="observer")
            await alice.call("set_role", chat="hikers", member=written, role="member")
        await alice.call("remove_member", chat="hikers", member=f"Anna ·{ids['Anna'][:4]}")
        left = (await alice.call("group_members", chat="hikers"))["members"]
        assert {each["name"] for each in left} == {"alice", "anna"}

    run_world(tmp_path, main)


def test_what_one_wrote_is_stored_once_somebody_else_has_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        for other in (bob, carol):
            world.cut(alice, other)
        sent = await alice.call("send", chat="hikers", text="hello?")
        assert sent["state"] == "saved"
        world.mend(alice, bob)
        await reads(bob, "hikers", "hello?")

        async def state() -> bool:
            (message,) = await said(alice)
            return bool(message["state"] == "stored")

        await until(state)
        assert (await bob.call("send", chat="hikers", text="yes?", wait="stored"))["state"] == "stored"

    run_world(tmp_path, main)


def test_the_log_says_how_many_are_known_to_have_seen_a_removal(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, _dave = await found(world, "alice", "bob", "carol", "dave")
        await alice.call("remove_member", chat="hikers", member="dave", reason="spam")
        removal = (await alice.call("group_log", chat="hikers"))[-1]
        assert (removal["op"], removal["by"], removal["known_by"]) == ("remove", "me", 1)
        assert removal["text"] == "You removed dave: spam; 1 of 3 members has seen it."
        for node, count in ((bob, 2), (carol, 3)):
            await has_members(node, "hikers", 3)
            await node.call("send", chat="hikers", text="so be it")
            await reads(alice, "hikers", *["so be it"] * (count - 1))
            assert (await alice.call("group_log", chat="hikers"))[-1]["known_by"] == count
        assert removal["id"] == (await bob.call("group_log", chat="hikers"))[-1]["id"]

    run_world(tmp_path, main)


def test_an_owner_hands_over_before_leaving(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        with pytest.raises(NotAllowed, match="You are the owner") as caught:
            await alice.call("leave_group", chat="hikers")
        assert "role CHAT M owner" in caught.value.line()
        await alice.call("set_role", chat="hikers", member="bob", role="owner")
        await alice.call("leave_group", chat="hikers")
        await has_members(bob, "hikers", 1)
        assert (await bob.call("group", chat="hikers"))["role"] == "owner"

    run_world(tmp_path, main)


def test_who_is_mentioned_is_told_and_only_moderators_mention_all(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")

        async def mine(node: WorldNode) -> list[str]:
            return [each["text"] for each in await said(node) if each["mentions_me"]]

        async def counted(node: WorldNode) -> int:
            (chat,) = [each for each in await node.call("chats") if each["name"] == "hikers"]
            return int(chat["mentions"])

        members = (await alice.call("group_members", chat="hikers"))["members"]
        ids = {each["name"]: each["id"] for each in members}
        texts = [
            "hi @bob",
            "@Bob: and you?",
            f"@bob ·{ids['bob'][:4]}",
            f"@bob ·{ids['carol'][:4]}",
            "@bobby",
            "b@bob",
            "@all",
        ]
        for text in texts:
            await carol.call("send", chat="hikers", text=text)
        await reads(bob, "hikers", *texts)
        assert await mine(bob) == texts[:3]  # a member mentions not all
        assert (await counted(bob), await counted(alice)) == (3, 0)
        events = bob.engine.events.subscribe()
        await alice.call("send", chat="hikers", text="@all: dinner")
        await reads(bob, "hikers", *texts, "@all: dinner")
        assert await mine(bob) == [*texts[:3], "@all: dinner"]
        told = [event async for event in _until_chat(events)]
        assert told[-1]["mentions"] == 4
        await bob.call("read", chat="hikers")
        assert await counted(bob) == 0
        await bob.call("send", chat="hikers", text="@bob is me")
        assert len(await mine(bob)) == 4

    run_world(tmp_path, main)


async def _until_chat(events: Any) -> Any:
    """Events of a subscription, until one about a chat."""
    while True:
        event = await events.receive()
        yield event
        if event["event"] == "chat":
            return


def test_the_doctor_names_a_group_in_which_something_is_wrong(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _bob = await found(world, "alice", "bob")

        async def groups() -> list[str]:
            return [line["detail"] for line in await alice.call("doctor") if line["check"] == "group"]

        assert await groups() == []
        alice.db.execute("UPDATE groups SET problem = 'Its keys did not come.'")
        assert await groups() == ["hikers: Its keys did not come."]

    run_world(tmp_path, main)
