"""Who is mentioned in a group, through real engines."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from p2pchat.core.contents import Text
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.ids import MemberId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from tests.support.group_worlds import found, has_members
from tests.support.world import World, WorldNode, befriend, run_world, until


async def counted(node: WorldNode, what: str) -> int:
    """What a node counts in its group: unread messages, or mentions."""
    return sum(one[what] for one in await node.call("chats") if one["kind"] == "group")


def test_who_is_mentioned_is_told(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.call("send", chat="hikers", text="@carol bring a coat; @all too, though I am no moderator")

        async def have(unread: dict[WorldNode, int]) -> bool:
            return {node: await counted(node, "unread") for node in unread} == unread

        await until(lambda: have({carol: 1}))
        await alice.call("send", chat="hikers", text="@all at nine")
        await alice.call("send", chat="hikers", text="mail carol@example.org, @carolina")
        await until(lambda: have({bob: 2, carol: 3}))
        log = [one for one in await carol.call("log", chat="hikers") if one["kind"] == "text"]
        assert {one["text"][:6]: one["mentions_me"] for one in log} == {"@carol": True, "@all a": True, "mail c": False}
        assert await counted(carol, "mentions") == 2
        assert await counted(bob, "mentions") == 1, "all are meant by a moderator"
        first = (await carol.call("locate", chat="hikers", to="mention"))["id"]
        await carol.call("read", chat="hikers", upto=first)
        assert await counted(carol, "mentions") == 1
        await carol.call("read", chat="hikers")
        assert (await carol.call("locate", chat="hikers", to="mention"))["id"] is None
        sent = await carol.call("send", chat="hikers", text="no", reply_to=log[-1]["id"])
        [answer] = [one for one in await carol.call("log", chat="hikers") if one["id"] == sent["id"]]
        assert answer["quote"]["member"] == log[-1]["member"]
        assert answer["member"] is None

    run_world(tmp_path, main)


async def text_of(node: WorldNode, text: str) -> dict[str, Any]:
    """The message with this text, once it is there."""

    async def found() -> list[dict[str, Any]]:
        return [one for one in await node.call("log", chat="hikers") if one["text"] == text]

    async def there() -> bool:
        return bool(await found())

    await until(there)
    return (await found())[0]


async def members(node: WorldNode) -> dict[str, str]:
    """The ids of the members by the names of the nodes' users, as the founder knows them."""
    listed = (await node.call("group_members", chat="hikers"))["members"]
    return {each["contact"] or each["name"]: each["id"] for each in listed}


def test_a_mention_is_of_one_member_though_two_have_one_name(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, first, second = [await world.start(name) for name in ("alice", "anna", "Anna")]
        for node in (first, second):
            await befriend(alice, node)
        people = [contact["id"] for contact in await alice.call("contacts")]
        await alice.call("create_group", name="hikers", contacts=people)
        for node in (alice, first, second):
            await has_members(node, "hikers", 3)
        ids = await members(alice)
        label = f"anna ·{ids['anna'][:4]}"
        await alice.call("send", chat="hikers", text=f"@{label} only you")
        await alice.call("send", chat="hikers", text="@anna both")
        for node, only in ((first, True), (second, False)):
            alone = await text_of(node, f"@{label} only you")
            assert (alone["mentions_me"], alone["mentions"]) == (
                only,
                [{"id": ids["anna"], "words": label, "me": only}],
            )
            assert (await text_of(node, "@anna both"))["mentions_me"]

    run_world(tmp_path, main)


def test_whom_the_user_calls_otherwise_is_mentioned_by_that_name(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("rename", contact="bob", name="Боб из хижины")
        await alice.call("send", chat="hikers", text="@боб из хижины hi")
        assert (await text_of(bob, "@боб из хижины hi"))["mentions_me"]
        assert not (await text_of(carol, "@боб из хижины hi"))["mentions_me"]

    run_world(tmp_path, main)


def test_an_edit_mentions_others_and_a_deleted_text_nobody(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        sent = await alice.call("send", chat="hikers", text="@bob hi")
        assert (await text_of(bob, "@bob hi"))["mentions_me"]
        await alice.call("edit", id=sent["id"], text="@carol hi")
        assert not (await text_of(bob, "@carol hi"))["mentions_me"]
        assert (await text_of(carol, "@carol hi"))["mentions_me"]
        await alice.call("delete", id=sent["id"], for_both=True)

        async def gone() -> bool:
            return any(one["deleted"] for one in await carol.call("log", chat="hikers"))

        await until(gone)
        assert await counted(carol, "mentions") == 0
        assert carol.db.query("SELECT * FROM mentions") == []

    run_world(tmp_path, main)


def test_nobody_is_mentioned_by_words_that_do_not_stand_in_the_text(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        bobs = MemberId(bytes.fromhex((await members(alice))["bob"]))

        def ghost(words: str, text: str) -> Text:
            return Text(text, mentions=(MentionedMember(bobs, words),))

        def send(payload: Text, tx: Transaction) -> None:
            outbound.send(tx, tx.partner("hikers"), payload)

        for words, text in (("bob", "nothing here"), ("", "@ nothing"), ("bo", "@bobby"), ("friend", "@friend you")):
            await alice.engine.committer.submit(partial(send, ghost(words, text)))
        said = {text: (await text_of(bob, text))["mentions_me"] for text in ("nothing here", "@ nothing", "@bobby")}
        assert not any(said.values())
        assert (await text_of(bob, "@friend you"))["mentions_me"]

    run_world(tmp_path, main)


def test_a_caption_mentions_the_one_who_is_meant(tmp_path: Path) -> None:
    source = tmp_path / "map.txt"
    source.write_text("north")

    async def main(world: World) -> None:
        alice, first, second = [await world.start(name) for name in ("alice", "anna", "Anna")]
        for node in (first, second):
            await befriend(alice, node)
        people = [contact["id"] for contact in await alice.call("contacts")]
        await alice.call("create_group", name="hikers", contacts=people)
        for node in (alice, first, second):
            await has_members(node, "hikers", 3)
        ids = await members(alice)
        contact = next(each for each in await alice.call("contacts") if each["name"] == "anna")
        await alice.call("rename", contact=contact["id"], name="the climber")
        await alice.call("send_file", chat="hikers", path=str(source), caption="@the climber this is the way")
        for node, meant in ((first, True), (second, False)):
            shown = await text_of(node, "@the climber this is the way")
            assert (shown["kind"], shown["mentions_me"]) == ("file", meant)
            assert shown["mentions"] == [{"id": ids["anna"], "words": "the climber", "me": meant}]

    run_world(tmp_path, main)
