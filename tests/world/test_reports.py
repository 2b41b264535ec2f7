"""Messages of a group that a member reports to those who moderate it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2pchat.core.groups import reports
from p2pchat.core.groups.reports import SealedReport
from p2pchat.engine.contents import report
from p2pchat.errors import NotNow, UsageError
from tests.support.group_worlds import found, reads, said
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_group_updates import update
from tests.world.test_hidden_messages import has_role, moderated

TEXT = "buy my \x1b[2Jcoins"


async def lines(node: WorldNode) -> list[dict[str, Any]]:
    """The lines of the chat that speak of a report."""
    return [
        line for line in await node.call("log", chat="hikers") if line["kind"] == "group" and "report" in line["text"]
    ]


async def told(node: WorldNode, *texts: str) -> None:
    async def there() -> bool:
        return [line["text"] for line in await lines(node)] == list(texts)

    await until(there)


def test_those_who_moderate_read_what_is_reported_and_nobody_else(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        sent = await dave.call("send", chat="hikers", text=TEXT)
        for node in (alice, bob, carol):
            await reads(node, "hikers", TEXT)
        answer = await bob.call("report_message", id=sent["id"], reason="spam\x1b[2J")
        assert answer == {"readers": 2}
        what = "a message of dave, “buy my [2Jcoins”, to those who moderate the group: spam[2J"
        for node in (alice, carol):
            await told(node, f"bob reports {what}")
        await told(bob, f"You reported {what}")
        (line,) = await lines(alice)
        assert line["reply_to"] == sent["id"]
        assert line["quote"]["here"]
        # What comes after it has arrived everywhere, and the report has not been shown to whom it is about.
        await bob.call("send", chat="hikers", text="later")
        await reads(dave, "hikers", "later")
        assert await lines(dave) == []

    run_world(tmp_path, main)


def test_a_report_is_open_while_its_message_is_shown(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        sent = [await dave.call("send", chat="hikers", text=text) for text in ("one", "two", "three")]
        for node in (alice, bob, carol):
            await reads(node, "hikers", "one", "two", "three")
        for message in sent:
            await bob.call("report_message", id=message["id"], reason="spam")

        async def are_open(node: WorldNode, *places: int) -> bool:
            found = await node.call("group_reports", chat="hikers")
            return [line["reply_to"] for line in found] == [sent[place]["id"] for place in places]

        for node in (alice, carol):
            await until(partial(are_open, node, 0, 1, 2))
        assert await bob.call("group_reports", chat="hikers") == [], "what one reports is not for oneself to decide"
        await carol.call("hide_message", id=sent[1]["id"])
        await until(partial(are_open, alice, 0, 2))
        first = (await alice.call("group_reports", chat="hikers"))[0]
        assert (first["kind"], first["quote"]["text"]) == ("group", "one")
        await alice.call("delete", id=first["id"])
        assert await are_open(alice, 2), "a moderator who does not share the view"
        assert await are_open(carol, 0, 2)

    run_world(tmp_path, main)


def test_the_boxes_are_the_same_whoever_of_those_who_moderate_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, seal = list[SealedReport](), reports.seal

    def keep(*arguments: Any) -> SealedReport:
        made.append(seal(*arguments))
        return made[-1]

    monkeypatch.setattr(reports, "seal", keep)

    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        for node in (carol, dave):
            sent = await node.call("send", chat="hikers", text=f"of {node.name}")
            await until(partial(has_text, bob, f"of {node.name}"))
            await until(partial(has_text, alice, f"of {node.name}"))
            await bob.call("report_message", id=sent["id"])
        about_carol, about_dave = ([(id, len(box)) for id, box in report.boxes] for report in made)
        assert about_carol == about_dave
        assert len(about_carol) == 2
        await told(
            alice,
            "bob reports a message of carol, “of carol”, to those who moderate the group.",
            "bob reports a message of dave, “of dave”, to those who moderate the group.",
        )
        await told(carol, "bob reports a message of dave, “of dave”, to those who moderate the group.")

    run_world(tmp_path, main)


async def has_text(node: WorldNode, text: str) -> bool:
    return text in await said(node, "hikers")


def test_a_report_to_keys_that_were_just_replaced_is_read(tmp_path: Path) -> None:
    """Whoever reports was away, and does not know the present keys of the moderator."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        sent = await carol.call("send", chat="hikers", text="hi")
        await reads(bob, "hikers", "hi")
        await reads(alice, "hikers", "hi")
        world.cut(alice, bob)
        await update(alice)
        await bob.call("report_message", id=sent["id"], reason="spam")
        world.mend(alice, bob)
        await told(alice, "bob reports a message of carol, “hi”, to those who moderate the group: spam")

    run_world(tmp_path, main)


def test_a_line_about_a_report_does_not_outlive_what_was_to_disappear(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("timer", chat="hikers", seconds=3600)

        async def has_timer() -> bool:
            return bool((await carol.call("timer", chat="hikers"))["timer"] == 3600)

        await until(has_timer)
        sent = await carol.call("send", chat="hikers", text="not for long")
        await reads(alice, "hikers", "not for long")
        await reads(bob, "hikers", "not for long")
        await bob.call("report_message", id=sent["id"], reason="spam")
        what = "a message of carol to those who moderate the group: spam"
        await told(alice, f"bob reports {what}")
        await told(bob, f"You reported {what}")

    run_world(tmp_path, main)


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        own = await bob.call("send", chat="hikers", text="mine")
        sent = await alice.call("send", chat="hikers", text="of the owner")
        await reads(bob, "hikers", "of the owner")
        with pytest.raises(UsageError, match="You wrote that yourself"):
            await bob.call("report_message", id=own["id"])
        with pytest.raises(NotNow, match="Nobody else moderates this group"):
            await bob.call("report_message", id=sent["id"])
        with pytest.raises(UsageError, match="A reason has at most 256 bytes"):
            await bob.call("report_message", id=sent["id"], reason="x" * 257)
        alone = await bob.call("send", chat="alice", text="to alice alone")
        with pytest.raises(UsageError, match="Only messages of groups are reported"):
            await bob.call("report_message", id=alone["id"])

    run_world(tmp_path, main)


def test_one_member_floods_nobody_with_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_A_DAY", 1)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        sent = await carol.call("send", chat="hikers", text="hi")
        await reads(bob, "hikers", "hi")
        await bob.call("report_message", id=sent["id"], reason="once")
        await bob.call("report_message", id=sent["id"], reason="twice")
        await bob.call("send", chat="hikers", text="later")
        await reads(alice, "hikers", "hi", "later")
        assert [line["text"].rpartition(" ")[2] for line in await lines(alice)] == ["once"]

    run_world(tmp_path, main)


def test_who_moderates_no_more_is_told_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await moderated(world)
        sent = await dave.call("send", chat="hikers", text="hi")
        for node in (alice, bob, carol):
            await reads(node, "hikers", "hi")
        await alice.call("set_role", chat="hikers", member="carol", role="member")
        for node in (bob, carol):
            await has_role(node, "carol", "member")
        assert await bob.call("report_message", id=sent["id"]) == {"readers": 1}
        await bob.call("send", chat="hikers", text="later")
        await reads(carol, "hikers", "hi", "later")
        assert await lines(carol) == []

    run_world(tmp_path, main)
