"""Drafts: kept by the node, there again, and gone once their text is saved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from p2pchat.tui.actions.drafts import DRAFT_PAUSE
from p2pchat.tui.app import ChatApp
from p2pchat.tui.intents import Submitted
from p2pchat.tui.model import Chat
from p2pchat.tui.reader import FIRST_CHATS
from p2pchat.tui.screens.main import BOTH
from tests.tui.app_helpers import sent, story
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode


def test_a_draft_is_kept_and_is_there_again(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"unfinished")
            await pilot.press("alt+2")
            await until(pilot, lambda: app.state.current == carol)
            assert app.main.composer.text == ""
            await pilot.press("alt+1")
            await until(pilot, lambda: app.state.current == bob)
            assert app.main.composer.text == "unfinished"
            await until(pilot, lambda: node.drafts.get(bob) == "unfinished")
        async with opened(node, tmp_path) as (app, _pilot):
            assert app.main.composer.text == "unfinished"

    run(main())


def test_a_draft_ends_when_the_node_says_so_unless_it_is_being_written(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def end_of(app: ChatApp, pilot: Pilot[Any], chat: str) -> None:
        node.drafts[chat] = ""
        node.emit("chat", id=chat, unread=0, first_unread=None, timer=60, draft="")
        await until(pilot, lambda: (now := app.state.chat(chat)) is not None and now.timer == 60)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"begun")
            await until(pilot, lambda: node.drafts.get(bob) == "begun")
            await end_of(app, pilot, bob)
            assert app.main.composer.text == "begun"
            await pilot.press("alt+2")
            await until(pilot, lambda: app.state.current == carol and node.drafts[bob] == "begun")
            assert [chat.draft for chat in app.state.chats if chat.id == bob] == ["begun"]
            await end_of(app, pilot, bob)
            await until(pilot, lambda: [chat.draft for chat in app.state.chats if chat.id == bob] == [""])
            await pilot.press("alt+1")
            await until(pilot, lambda: app.state.current == bob)
            assert app.main.composer.text == ""
            await pilot.press(*"hello", "enter")
            assert sent(node) == [(bob, "hello")]
            await pilot.press("alt+p")
            assert app.main.composer.text == ""  # what disappears does not come back

    run(main())


def test_no_draft_is_on_its_way_after_the_end(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (_, pilot):
            await pilot.press("h", "i")
            before = list(node.calls)
        for _ in range(20):
            await asyncio.sleep(DRAFT_PAUSE / 10)
        assert node.calls == before

    run(main())


@pytest.mark.parametrize("columns", [BOTH, BOTH - 1])
def test_what_is_being_written_is_not_in_the_list_beside_it(tmp_path: Path, columns: int) -> None:
    """The list is drawn when something happens, and would show what stood in the composer then."""
    node = FakeNode()
    bob, carol = story(node)

    def row(app: ChatApp, chat: str) -> str:
        return next(row.draft for row in app.main.chat_list._rows if isinstance(row, Chat) and row.id == chat)

    async def main() -> None:
        async with opened(node, tmp_path, size=(columns, 40)) as (app, pilot):
            await pilot.press(*"later")
            await until(pilot, lambda: node.drafts.get(bob) == "later")
            node.emit("lagged")
            await until(pilot, lambda: app.settled)
            assert row(app, bob) == ""
            await pilot.press("f2")
            assert row(app, bob) == ("later" if columns < BOTH else "")
            await pilot.press("alt+2")
            await until(pilot, lambda: app.state.current == carol)
            assert row(app, bob) == "later"

    run(main())


def test_an_intent_takes_what_its_class_names() -> None:
    make: Any = Submitted
    submitted = make("hi", chat="bob")
    assert (submitted.text, submitted.chat, make("hi").chat) == ("hi", "bob", None)
    for values, named in (((), {}), (("a", "b", "c"), {}), (("a",), {"other": "b"})):
        with pytest.raises(TypeError):
            make(*values, **named)


def test_the_first_chats_are_shown_before_all_are_read(tmp_path: Path) -> None:
    node = FakeNode()
    ids = [node.friend(f"friend {number}") for number in range(60)]
    node.hold["requests"] = asyncio.Event()  # the chats are answered, and wait for these

    async def main() -> None:
        async with opened(node, tmp_path, ready=False) as (app, pilot):
            await until(pilot, lambda: ("requests", {}) in node.calls)
            assert len(app.main.chat_list._rows) == FIRST_CHATS
            assert app.state.current == app.state.chats[0].id
            unseen = next(chat for chat in ids if app.state.chat(chat) is None)
            node.says(unseen, "hello from below")
            await pilot.pause()
            node.hold["requests"].set()
            await until(pilot, lambda: app.settled)
            await until(pilot, lambda: app.state.chats[0].id == unseen)
            assert len(app.main.chat_list._rows) == 60
            assert [params for method, params in node.calls if method == "chats"] == [{"limit": FIRST_CHATS}, {}]

    run(main())


def test_a_draft_goes_when_its_text_is_saved_and_not_before(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"hello")
            await until(pilot, lambda: node.drafts.get(bob) == "hello")
            node.hold["send"] = asyncio.Event()
            await pilot.press("enter")
            await until(pilot, lambda: sent(node))
            await app.talk.drafts.keep()
            assert node.drafts[bob] == "hello"
            node.hold["send"].set()
            await until(pilot, lambda: node.drafts[bob] == "")

    run(main())


def test_what_is_read_meanwhile_brings_no_older_draft_back(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"refuse this")
            await until(pilot, lambda: node.drafts.get(bob) == "refuse this")
            node.hold["requests"] = asyncio.Event()  # the chats are answered, and wait for these
            node.emit("lagged")
            await until(pilot, lambda: not app.reader.settled)
            await pilot.press("ctrl+c")
            await until(pilot, lambda: node.drafts[bob] == "")
            node.hold["requests"].set()
            await until(pilot, lambda: app.settled)
            shown = app.state.chat(bob)
            assert shown is not None
            assert shown.draft == ""

    run(main())


def test_leaving_keeps_what_was_typed_last(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            app.main.composer.insert("at the last moment")
            app.leave_now()
            await until(pilot, lambda: not app.is_running)
        assert node.drafts[bob] == "at the last moment"

    run(main())
