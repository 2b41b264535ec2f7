"""Messages of a group that somebody senior hides for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.remarks import remarks
from p2pchat.core.contents import Hide, Payload, Text
from p2pchat.core.ids import MemberId, MessageId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotAllowed, UsageError
from tests.support.group_worlds import found, has_members, reads, talk
from tests.support.world import World, WorldNode, run_world, until


async def moderated(world: World) -> list[WorldNode]:
    """A group of alice, who founded it, of carol, a moderator, and of bob and dave."""
    alice, bob, carol, dave = await found(world, "alice", "bob", "carol", "dave")
    await alice.call("set_role", chat="hikers", member="carol", role="moderator")
    for node in (alice, bob, carol, dave):
        await has_role(node, "carol", "moderator")
    return [alice, bob, carol, dave]


async def has_role(node: WorldNode, member: str, role: str) -> None:
    async def there() -> bool:
        members = (await node.call("group_members", chat="hikers"))["members"]
        return any(each["name"] == member and each["role"] == role for each in members)

    await until(there)


async def one(node: WorldNode, id: str) -> dict[str, Any]:
    """A message of the group, as a node shows it."""
    (message,) = [each for each in await talk(node, "hikers") if each["id"] == id]
    return message


async def shows(node: WorldNode, id: str, *words: str) -> None:
    """Wait until a message is there and hidden, with these words beside it."""

    async def there() -> bool:
        found = [each for each in await talk(node, "hikers") if each["id"] == id]
        return [remarks(each) for each in found] == [list(words)]

    await until(there)


async def say(node: WorldNode, payload: Payload, id: MessageId | None = None, seq: int = 0) -> None:
    """Send a content to the group, whatever a node that keeps to the rules would do."""

    def send(tx: Transaction) -> None:
        outbound.queue(tx, tx.partner("hikers"), payload, message_id=id, seq=seq)

    await node.engine.committer.submit(send)


async def member(node: WorldNode, name: str) -> MemberId:
    members = (await node.call("group_members", chat="hikers"))["members"]
    (id,) = [each["id"] for each in members if each["name"] == name]
    return MemberId(bytes.fromhex(id))


def test_a_moderator_hides_a_message_for_all_and_says_why(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        sent = await bob.call("send", chat="hikers", text="buy cheap boots")
        for node in (alice, carol, dave):
            await reads(node, "hikers", "buy cheap boots")
        await dave.call("react", id=sent["id"], emoji="👍")
        hidden = await carol.call("hide_message", id=sent["id"], reason="spam\x1b[2J")
        assert (hidden["text"], hidden["deleted"], hidden["hidden"]["by"]) == ("", True, "me")
        for node in (alice, bob, dave):
            await shows(node, sent["id"], "(hidden by carol: spam[2J)")
            assert (await one(node, sent["id"]))["text"] == ""
            assert await node.call("search", query="boots") == []
        assert (await one(alice, sent["id"]))["reactions"] == []
        with pytest.raises(UsageError, match="deleted"):
            await carol.call("hide_message", id=sent["id"], reason="again")

    run_world(tmp_path, main)


def test_only_what_a_junior_wrote_is_hidden_and_only_by_moderators(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        by_alice = await alice.call("send", chat="hikers", text="from alice")
        by_bob = await bob.call("send", chat="hikers", text="from bob")
        for node in (carol, dave):
            await reads(node, "hikers", "from alice", "from bob")
        await alice.call("set_role", chat="hikers", member="bob", role="observer")  # whose senior a member is
        for node in (bob, carol, dave):
            await has_role(node, "bob", "observer")
        with pytest.raises(NotAllowed, match="Only the owner, admins and moderators can hide messages"):
            await dave.call("hide_message", id=by_bob["id"])
        with pytest.raises(
            NotAllowed, match="alice is the owner, and you can do that only to members whose role is be"
        ):
            await carol.call("hide_message", id=by_alice["id"])
        with pytest.raises(UsageError, match="yourself"):
            await alice.call("hide_message", id=by_alice["id"])
        with pytest.raises(UsageError, match="at most 256 bytes"):
            await carol.call("hide_message", id=by_bob["id"], reason="x" * 257)
        notes = await alice.call("send", chat="bob", text="to bob alone")
        with pytest.raises(UsageError, match="groups"):
            await alice.call("hide_message", id=notes["id"])
        # Nodes that do not ask.
        await say(dave, Hide(MessageId(bytes.fromhex(by_bob["id"])), await member(dave, "bob"), "because"))
        await say(carol, Hide(MessageId(bytes.fromhex(by_alice["id"])), await member(carol, "alice"), "because"))
        await say(dave, Hide(MessageId(bytes.fromhex(by_bob["id"])), await member(dave, "alice"), "because"))
        await dave.call("send", chat="hikers", text="done")
        await carol.call("send", chat="hikers", text="done")
        await reads(alice, "hikers", "from bob", "done", "done")
        await reads(bob, "hikers", "from alice", "done", "done")
        for node in (alice, bob):
            assert [each["id"] for each in await talk(node, "hikers") if each["hidden"] or each["deleted"]] == []

    run_world(tmp_path, main)


def test_what_a_removed_member_wrote_is_hidden_too_and_not_shown_to_who_gets_it_later(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        world.cut(alice, dave)  # who knows nobody else
        sent = await bob.call("send", chat="hikers", text="spam")
        await reads(carol, "hikers", "spam")
        await alice.call("remove_member", chat="hikers", member="bob")
        await has_members(carol, "hikers", 3)
        await carol.call("hide_message", id=sent["id"], reason="spam")
        await shows(alice, sent["id"], "(hidden by carol: spam)")
        world.mend(alice, dave)
        await has_members(dave, "hikers", 3)
        await shows(dave, sent["id"], "(hidden by carol: spam)")

    run_world(tmp_path, main)


def test_a_hiding_that_comes_first_waits_for_its_message(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        hidden, shown = MessageId(bytes(15) + b"\1"), MessageId(bytes(15) + b"\2")
        await say(carol, Hide(hidden, await member(carol, "bob"), "early"))
        await say(dave, Hide(shown, await member(dave, "bob"), "early"))
        await carol.call("send", chat="hikers", text="said")
        await dave.call("send", chat="hikers", text="said")
        await reads(alice, "hikers", "said", "said")
        await say(bob, Text("one"), hidden, seq=1)
        await say(bob, Text("two"), shown, seq=2)
        await shows(alice, shown.hex())
        await shows(alice, hidden.hex(), "(hidden by carol: early)")
        assert (await one(alice, shown.hex()))["text"] == "two"
        assert await alice.call("search", query="one") == []

    run_world(tmp_path, main)


def test_of_two_hidings_the_newer_counts_and_a_delete_by_the_author_stands_above_both(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        sent, early = await bob.call("send", chat="hikers", text="gone soon"), MessageId(bytes(16))
        for node in (alice, carol, dave):
            await reads(node, "hikers", "gone soon")
        await carol.call("hide_message", id=sent["id"], reason="late")
        await shows(dave, sent["id"], "(hidden by carol: late)")
        hide = Hide(MessageId(bytes.fromhex(sent["id"])), await member(alice, "bob"), "")
        await say(alice, hide, early)
        await alice.call("send", chat="hikers", text="said")
        await reads(bob, "hikers", "said")
        await shows(bob, sent["id"], "(hidden by carol: late)")
        await say(alice, hide)
        await shows(bob, sent["id"], "(hidden by alice)")
        await shows(carol, sent["id"], "(hidden by alice)")
        await bob.call("delete", id=sent["id"], for_both=True)
        for node in (alice, bob, carol, dave):
            await shows(node, sent["id"], "(deleted)")
        await say(alice, hide)
        await alice.call("send", chat="hikers", text="more")
        await reads(bob, "hikers", "said", "more")
        await shows(bob, sent["id"], "(deleted)")

    run_world(tmp_path, main)
