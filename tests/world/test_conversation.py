"""Replies, edits, deletes, reactions, pins: what both sides see of them, whatever order they come in."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core import frames as wire
from p2pchat.core.content import Content, new_message_id
from p2pchat.core.contents import Delete, Edit, Payload, Pin, Reaction, Text, Timer
from p2pchat.core.contents.edit import EDITABLE_FOR_MS
from p2pchat.core.contents.target import OURS, THEIRS
from p2pchat.core.delivery import Route
from p2pchat.core.ids import MessageId
from p2pchat.engine import contents
from p2pchat.engine.contents import edit
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.store import outbox as store_outbox
from p2pchat.store import waiting as store_waiting
from p2pchat.store.database import Database
from tests.support.asking import events_of
from tests.support.meddler import Meddler
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends, nothing_owed

BOTH = ("text", "kind", "quote", "edited_at", "pinned", "deleted")


async def log(node: WorldNode, chat: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await node.call("log", chat=chat, limit=1000)
    return found


async def last(node: WorldNode, chat: str) -> dict[str, Any]:
    return (await log(node, chat))[-1]


async def settled(*nodes: WorldNode) -> None:
    """Everything has arrived, and is receipted."""
    for node in nodes:
        await until(lambda node=node: nothing_owed(node), 3 * 3600)  # type: ignore[misc]


async def picture(node: WorldNode, chat: str, me: str) -> list[dict[str, Any]]:
    """What a chat shows, as both of its people should see it: names in place of `me`."""

    def name(said: str | None) -> str | None:
        return me if said == "me" else said

    shown = []
    for one in await log(node, chat):
        quote = one["quote"] and {**one["quote"], "from": name(one["quote"]["from"])}
        reactions = sorted((name(each["from"]), each["emoji"]) for each in one["reactions"])
        plain = {key: one[key] for key in BOTH}
        shown.append({**plain, "from": name(one["from"]), "quote": quote, "reactions": reactions})
    return shown


# --- what people do ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [False, True])
def test_both_see_the_same_conversation(tmp_path: Path, away: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        first = await last(bob, "alice")
        if away:
            await bob.stop()
        hello = await alice.call("send", chat="bob", text="helo bob")
        await alice.call("edit", id=hello["id"], text="hello bob")
        oops = await alice.call("send", chat="bob", text="for carol")
        await alice.call("delete", id=oops["id"], for_both=True)
        await alice.call("reply", id=first["id"], text="as I said")
        await alice.call("react", id=hello["id"], emoji="🎉")
        await alice.call("pin", id=hello["id"])
        if away:
            bob = await world.start("bob")
        await until(lambda: nothing_owed(alice), 600)
        await bob.call("react", id=hello["id"], emoji="👍")
        await bob.call("react", id=hello["id"], emoji="❤️")
        await bob.call("reply", id=hello["id"], text="hello alice")
        await settled(alice, bob)
        ours, theirs = await picture(alice, "bob", "alice"), await picture(bob, "alice", "bob")
        assert ours == theirs
        _begin, greeting, gone, said, answer = ours
        assert (greeting["text"], greeting["pinned"]) == ("hello bob", True)
        assert greeting["reactions"] == [("alice", "🎉"), ("bob", "❤️")]
        assert (gone["text"], gone["deleted"]) == ("", True)
        assert said["quote"] == {
            "from": "alice",
            "text": "begin",
            "here": True,
            "deleted": False,
            "expires_in": None,
            "file": None,
        }
        assert answer["quote"] == {**said["quote"], "text": "hello bob"}
        history = await bob.call("history", id=hello["id"])
        assert [one["text"] for one in history] == ["helo bob", "hello bob"]
        assert [one["id"] for one in await bob.call("pinned", chat="alice")] == [hello["id"]]
        assert [one["id"] for one in await bob.call("log", chat="alice", search="hello")] == [
            hello["id"],
            (await last(bob, "alice"))["id"],
        ]
        assert await bob.call("log", chat="alice", search="helo") == []

    run_world(tmp_path, main)


def test_a_reaction_is_replaced_and_taken_back(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = (await last(bob, "alice"))["id"]
        for emoji in ("👍", "👎", ""):
            await bob.call("react", id=id, emoji=emoji)
            await settled(alice, bob)
            expected = [emoji] if emoji else []
            assert [one["emoji"] for one in (await last(alice, "bob"))["reactions"]] == expected
        told = [(one["what"], one["notify"]) for one in events_of(alice, "changed")]
        assert told == [("reaction", True), ("reaction", True), ("reaction", False)]
        await bob.call("react", id=id, emoji="")  # again: there is nothing to say
        assert await nothing_owed(bob)

    run_world(tmp_path, main)


def test_only_the_newest_reaction_is_sent_to_somebody_who_is_offline(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = (await last(bob, "alice"))["id"]
        await alice.stop()
        for emoji in ("👍", "👎", "❤️"):
            await bob.call("react", id=id, emoji=emoji)
        assert sum((await bob.engine.committer.read(store_outbox.counts)).values()) == 1
        alice = await world.start("alice")
        await settled(bob)
        assert [one["emoji"] for one in (await last(alice, "bob"))["reactions"]] == ["❤️"]

    run_world(tmp_path, main)


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        theirs = (await last(bob, "alice"))["id"]
        for call in (
            bob.call("edit", id=theirs, text="I said so"),
            bob.call("delete", id=theirs, for_both=True),
            bob.call("react", id=theirs, emoji="yes"),
            bob.call("react", id=theirs, emoji="👍👍"),
            alice.call("edit", id=theirs, text=" "),
        ):
            with pytest.raises(UsageError):
                await call
        await world.sleep_days(2)
        with pytest.raises(NotNow):
            await alice.call("edit", id=theirs, text="too late")
        await alice.call("delete", id=theirs, for_both=True)
        with pytest.raises(UsageError):
            await alice.call("react", id=theirs, emoji="👍")

    run_world(tmp_path, main)


def test_typing_is_told_over_a_link_and_kept_nowhere(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        seen = await bob.engine.committer.read(_count_seen)
        for _ in range(3):
            assert await alice.call("typing", chat="bob") == {"told": _ == 0}
        await trio.sleep(6)
        assert await alice.call("typing", chat="bob") == {"told": True}
        assert await alice.call("typing", chat="bob", writing=False) == {"told": True}
        assert await alice.call("typing", chat="bob", writing=False) == {"told": False}
        await trio.sleep(1)
        assert [one["typing"] for one in events_of(bob, "typing")] == [True, True, False]
        assert await bob.engine.committer.read(_count_seen) == seen
        assert await nothing_owed(alice)
        await bob.call("settings", typing=False)
        assert await bob.call("typing", chat="alice") == {"told": False}
        await alice.call("typing", chat="bob")
        await trio.sleep(1)
        assert len(events_of(bob, "typing")) == 3
        await bob.stop()
        await trio.sleep(60)
        assert await alice.call("typing", chat="bob") == {"told": False}
        assert await nothing_owed(alice)
        bob = await world.start("bob")  # and the session works
        await alice.call("send", chat="bob", text="still here", wait="delivered")

    run_world(tmp_path, main)


def _count_seen(db: Database) -> int:
    row = db.query_one("SELECT count(*) FROM envelopes_seen")
    return row[0] if row else 0


# --- any order -----------------------------------------------------------------------------------------------------


def take(node: WorldNode, chat: str, *some: Content) -> Any:
    """Take contents as if they came from a contact."""

    def apply(tx: Transaction) -> None:
        for content in some:
            contents.apply(tx, tx.find(chat), content, Route.DIRECT)

    return node.engine.committer.submit(apply)


class Author:
    """Makes contents of one person, with growing ids and numbers."""

    def __init__(self, world: World) -> None:
        self.world, self.made, self.seq = world, 0, 1_000

    def say(self, payload: Payload, **fields: Any) -> Content:
        self.made += 1
        now = self.world.now() + self.made
        visible = payload.KIND.visible
        self.seq += visible
        return Content(
            payload, new_message_id(now, self.world.entropy.random), self.seq if visible else 0, now, **fields
        )


def story(author: Author, ours: MessageId) -> list[Content]:
    """Contents that are about each other; `ours` is a message of the reader's."""
    said = author.say(Text("one"))
    taken_back = author.say(Text("two"))
    answer = author.say(Text("three", "one"), reply_to=said.message_id)
    return [
        said,
        taken_back,
        answer,
        author.say(Edit(said.message_id, "one, mended")),
        author.say(Edit(taken_back.message_id, "two, mended")),
        author.say(Edit(said.message_id, "one, mended again")),
        author.say(Reaction(said.message_id, OURS, "👍")),
        author.say(Reaction(said.message_id, OURS, "🎉")),
        author.say(Reaction(ours, THEIRS, "❤️")),
        author.say(Reaction(ours, THEIRS, "")),
        author.say(Pin(said.message_id, OURS, True)),
        author.say(Pin(answer.message_id, OURS, True)),
        author.say(Pin(answer.message_id, OURS, False)),
        author.say(Delete(taken_back.message_id, taken_back.seq)),
        author.say(Timer(3600)),
        author.say(Timer(0)),
    ]


EXPECTED = [
    {"text": "one, mended again", "reactions": [("bob", "🎉")], "pinned": True, "deleted": False},
    {"text": "", "reactions": [], "pinned": False, "deleted": True},
    {"text": "three", "reactions": [], "pinned": False, "deleted": False},
]


def test_every_order_settles_to_the_same_picture(tmp_path: Path) -> None:
    """Sixty orders by chance, each with repetitions, of sixteen contents that are about each other."""

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        ours = MessageId(bytes.fromhex((await last(alice, "bob"))["id"]))
        author, rng = Author(world), Random(7)
        for turn in range(60):
            some = story(author, ours)
            order = rng.sample(some, len(some)) + rng.sample(some, 4)
            texts = {one.message_id.hex() for one in some if isinstance(one.payload, Text)}
            await take(alice, "bob", *order)
            shown = [one for one in await log(alice, "bob") if one["id"] in texts]
            assert [
                {
                    "text": one["text"],
                    "reactions": [(each["from"], each["emoji"]) for each in one["reactions"]],
                    "pinned": one["pinned"],
                    "deleted": one["deleted"],
                }
                for one in shown
            ] == EXPECTED, f"turn {turn}: {[type(one.payload).__name__ for one in order]}"
            history = [one["text"] for one in await alice.call("history", id=shown[0]["id"])]
            assert history == ["one", "one, mended", "one, mended again"]
            assert shown[2]["quote"]["text"] == "one, mended again"
            mine = next(one for one in await log(alice, "bob") if one["id"] == ours.hex())
            assert mine["reactions"] == []
            assert (await alice.call("timer", chat="bob"))["timer"] is None
            assert not await alice.engine.committer.read(store_waiting.any_for, await alice.id_of("bob"))

    run_world(tmp_path, main)


def test_two_timers_set_at_once_agree_in_every_order(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        world.cut(alice, bob)
        await alice.call("timer", chat="bob", seconds=60)
        await bob.call("timer", chat="alice", seconds=3600)
        await trio.sleep(60)
        world.mend(alice, bob)
        await settled(alice, bob)
        by_alice, by_bob = await alice.call("timer", chat="bob"), await bob.call("timer", chat="alice")
        assert by_alice["timer"] == by_bob["timer"]
        assert {by_alice["by"], by_bob["by"]} == {"me", "bob"} or {by_alice["by"], by_bob["by"]} == {"me", "alice"}
        lines = [
            [one["text"] for one in await log(node, chat) if one["kind"] == "timer"]
            for node, chat in ((alice, "bob"), (bob, "alice"))
        ]
        assert sorted(lines[0]) == sorted(lines[1])
        assert len(lines[0]) == 2

    run_world(tmp_path, main)


def test_whose_clock_is_behind_can_still_change_a_timer(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("timer", chat="bob", seconds=60)
        await settled(alice)
        bob.skew = -3_600_000
        await bob.call("timer", chat="alice", seconds=0)
        await settled(bob)
        assert (await alice.call("timer", chat="bob"))["timer"] is None
        assert (await bob.call("timer", chat="alice"))["timer"] is None

    run_world(tmp_path, main)


# --- what a contact may not do --------------------------------------------------------------------------------------


def test_only_the_author_edits_and_deletes_and_nobody_in_another_chat(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        ours = MessageId(bytes.fromhex((await last(alice, "bob"))["id"]))
        author = Author(world)
        await take(
            alice,
            "bob",
            author.say(Edit(ours, "I owe bob money")),
            author.say(Delete(ours, 1)),
            author.say(Reaction(ours, 7, "👍")),
        )
        row = next(one for one in await log(alice, "bob") if one["from"] == "me")
        assert (row["text"], row["deleted"], row["edited_at"], row["reactions"]) == ("begin", False, None, [])

    run_world(tmp_path, main)


def test_an_edit_after_48_hours_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        said = author.say(Text("true"))
        late = author.say(Edit(said.message_id, "false"))
        late = Content(late.payload, late.message_id, 0, said.sent_at + EDITABLE_FOR_MS + 1)
        for order in itertools.permutations((said, late)):
            await take(alice, "bob", *order)
        assert (await last(alice, "bob"))["text"] == "true"
        await world.sleep_days(34)
        await take(alice, "bob", author.say(Edit(said.message_id, "false")))  # of a clock that says it was in time
        back_dated = author.say(Edit(said.message_id, "false"))
        await take(alice, "bob", Content(back_dated.payload, back_dated.message_id, 0, said.sent_at + 1))
        assert (await last(alice, "bob"))["text"] == "true"

    run_world(tmp_path, main)


def test_what_waits_is_bounded_and_ends(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        for _ in range(store_waiting.MAX_WAITING + 10):
            await take(alice, "bob", author.say(Reaction(MessageId(world.entropy.random(16)), OURS, "👍")))
        unknown = MessageId(world.entropy.random(16))
        for emoji in ("👍", "❤️"):
            await take(alice, "bob", author.say(Reaction(unknown, OURS, emoji)))
        assert await alice.engine.committer.read(_count_waiting) == store_waiting.MAX_WAITING
        await world.sleep_days(31)
        assert await alice.engine.committer.read(_count_waiting) == 0

    run_world(tmp_path, main)


def _count_waiting(db: Database) -> int:
    row = db.query_one("SELECT count(*) FROM waiting")
    return row[0] if row else 0


def test_what_was_deleted_here_stays_so_whatever_is_said_about_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        said = author.say(Text("secret"))
        await take(alice, "bob", said)
        await alice.call("delete", id=said.message_id.hex())
        await take(
            alice,
            "bob",
            author.say(Delete(said.message_id, said.seq)),
            author.say(Edit(said.message_id, "secret again")),
            author.say(Reaction(said.message_id, OURS, "👍")),
            author.say(Text("about it", "secret"), reply_to=said.message_id),
        )
        assert [one["text"] for one in await log(alice, "bob")] == ["begin", "about it"]
        assert (await last(alice, "bob"))["quote"]["text"] == ""
        assert await alice.engine.committer.read(_count_waiting) == 0

    run_world(tmp_path, main)


def test_versions_are_bounded_and_the_first_one_is_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        said = author.say(Text("first"))
        edits = [author.say(Edit(said.message_id, f"version {number}")) for number in range(50)]
        await take(alice, "bob", said, *Random(3).sample(edits, len(edits)))
        history = [one["text"] for one in await alice.call("history", id=said.message_id.hex())]
        assert history == ["first", *(f"version {number}" for number in range(18, 50))]

    run_world(tmp_path, main)


def test_all_versions_of_a_contact_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, of whichever message; the first text of each stays, and what counts now is not touched."""
    monkeypatch.setattr(edit, "MAX_VERSION_BYTES", 8000)

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        mine = await alice.call("send", chat="bob", text="mine")
        for number in range(9):
            await alice.call("edit", id=mine["id"], text=f"mine {number} " + "m" * 1000)
        author = Author(world)
        said = [author.say(Text(f"first {number}")) for number in range(3)]
        await take(alice, "bob", *said)
        for number in range(27):
            text = f"{number} " + "x" * 1000
            await take(alice, "bob", author.say(Edit(said[number % 3].message_id, text)))
        kept = []
        for number, content in enumerate(said):
            first, *middle, newest = [one["text"] for one in await alice.call("history", id=content.message_id.hex())]
            assert (first, newest.split()[0]) == (f"first {number}", f"{24 + number}")
            kept += [int(text.split()[0]) for text in middle]
        assert 4 <= len(kept) <= 7
        assert sorted(kept) == list(range(24 - len(kept), 24))
        assert len(await alice.call("history", id=mine["id"])) == 10

    run_world(tmp_path, main)


def test_a_stranger_learns_nothing_and_changes_nothing(tmp_path: Path) -> None:
    """Somebody who was blocked reacts, edits and types: nothing is taken, and nothing goes back."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = (await last(alice, "bob"))["id"]
        await alice.call("block", contact="bob")
        await trio.sleep(10)
        meddler = Meddler(world)
        await bob.call("react", id=id, emoji="👍")
        await bob.call("typing", chat="alice")
        await trio.sleep(3600)
        assert (await last(alice, "bob"))["reactions"] == []
        assert meddler.of(wire.ENVELOPE, alice) == []
        assert events_of(alice, "typing") == []

    run_world(tmp_path, main)


def test_a_reply_shows_a_quote_only_where_the_message_is_not_here(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        said = author.say(Text("what I really said"))
        answer = author.say(Text("yes", "what I never said"), reply_to=said.message_id)
        await take(alice, "bob", answer)
        assert (await last(alice, "bob"))["quote"] == {
            "from": None,
            "text": "what I never said",
            "here": False,
            "deleted": False,
            "expires_in": None,
            "file": None,
        }
        await take(alice, "bob", said)
        shown = next(one for one in await log(alice, "bob") if one["text"] == "yes")
        kept = {"from": "bob", "here": True, "expires_in": None, "file": None}
        assert shown["quote"] == {**kept, "text": "what I really said", "deleted": False}
        await take(alice, "bob", author.say(Delete(said.message_id, said.seq)))
        shown = next(one for one in await log(alice, "bob") if one["text"] == "yes")
        assert shown["quote"] == {**kept, "text": "", "deleted": True}
        await alice.call("delete", id=said.message_id.hex())
        shown = next(one for one in await log(alice, "bob") if one["text"] == "yes")
        nothing = {"from": None, "text": "", "here": False, "deleted": False, "expires_in": None, "file": None}
        assert shown["quote"] == nothing

    run_world(tmp_path, main)
