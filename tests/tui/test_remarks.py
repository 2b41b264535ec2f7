"""Answers, edits, reactions, pins, timers, and who is writing: by keys, by the mouse, by commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from p2pchat.errors import NotNow
from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.delete import DeleteScreen
from p2pchat.tui.screens.react import OFFERED, ReactScreen
from p2pchat.tui.screens.versions import VersionsScreen
from p2pchat.tui.widgets.statusline import ChatTitle
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take

Steps = Callable[[ChatApp, "Pilot[Any]", FakeNode, str], Coroutine[Any, Any, None]]


def with_bob(folder: Path, steps: Steps) -> None:
    """A chat in which bob has asked and we have answered."""

    async def main() -> None:
        node = FakeNode()
        bob = node.friend("Bob")
        node.says(bob, "are we on for tonight?")
        node.said(bob, "yes, at eight")
        async with opened(node, folder) as (app, pilot):
            await until(pilot, lambda: "yes, at eight" in take(app).shown)
            await steps(app, pilot, node, bob)

    run(main())


async def click_on(app: ChatApp, pilot: Pilot[Any], words: str) -> None:
    for y, line in enumerate(take(app).text):
        if words in line:
            await pilot.click(offset=(line.index(words), y))
            return
    raise AssertionError(take(app).shown)


def test_an_answer_shows_what_it_answers_and_a_click_goes_there(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        asked = node.history[bob][0]["id"]
        await pilot.press("ctrl+up", "up", "r", *"sure", "enter")
        await until(pilot, lambda: len(node.history[bob]) == 3)
        assert node.named("send") == [{"chat": bob, "text": "sure", "reply_to": asked}]
        await until(pilot, lambda: "┃ Bob  are we on for tonight?" in take(app).shown)
        await pilot.press(*"later", "enter")
        await until(pilot, lambda: len(node.named("send")) == 2)
        assert "reply_to" not in node.named("send")[1], "only the next one is an answer"
        await click_on(app, pilot, "┃ Bob  are")
        await pilot.pause()
        await click_on(app, pilot, "Bob  are we on")
        await until(pilot, lambda: (chosen := app.main.conversation.selected) and chosen.id == asked)

    with_bob(tmp_path, steps)


def test_esc_gives_up_an_answer_and_each_chat_has_its_own(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press(*"/reply", "enter")
        await until(pilot, lambda: "reply to you" in take(app).shown)
        await pilot.press("escape", *"hi", "enter")
        await until(pilot, lambda: node.named("send"))
        assert node.named("send") == [{"chat": bob, "text": "hi"}]
        assert "reply to" not in take(app).shown

    with_bob(tmp_path, steps)


def test_an_edit_begins_with_the_text_and_its_history_can_be_read(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        mine = node.history[bob][1]["id"]
        await pilot.press(*"/edit", "enter")
        await until(pilot, lambda: app.main.composer.text == "yes, at eight")
        await pilot.press("ctrl+w", *"nine", "enter")
        await until(pilot, lambda: node.named("edit"))
        assert node.named("edit") == [{"id": mine, "text": "yes, at nine", "chat": bob}]
        await until(pilot, lambda: "edited" in take(app).shown)
        await pilot.press("ctrl+up", "v")
        await until(pilot, lambda: isinstance(app.screen, VersionsScreen))
        await until(pilot, lambda: "yes, at eight" in take(app).shown)

    with_bob(tmp_path, steps)


def test_an_edit_that_is_refused_comes_back_as_an_edit(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        node.fail["edit"] = NotNow("It is older than 48 hours")
        await pilot.press("ctrl+up", "e", *"!", "enter")
        await until(pilot, lambda: app.main.composer.text == "yes, at eight!")
        assert "edit  yes, at eight" in take(app).shown
        await pilot.press("ctrl+up", "up", "e")
        await pilot.pause()
        assert node.named("edit") == [{"id": node.history[bob][1]["id"], "text": "yes, at eight!", "chat": bob}]

    with_bob(tmp_path, steps)


@pytest.mark.parametrize(
    ("keys", "shown"), [("r", "reply to you"), ("e", "edit  yes, at eight"), ("w", "This message")]
)
def test_what_is_gone_is_not_shown_where_it_is_answered_edited_or_looked_at(
    tmp_path: Path, keys: str, shown: str
) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        mine = node.history[bob][1]["id"]
        await pilot.press("ctrl+up", keys)
        await until(pilot, lambda: shown in take(app).shown and "yes, at eight" in take(app).shown)
        node.moves(mine, "deleted")
        node.history[bob].pop()
        await until(pilot, lambda: "yes, at eight" not in take(app).shown)
        assert shown not in take(app).shown
        assert app.main.composer.text == ""

    with_bob(tmp_path, steps)


def test_an_edit_left_in_another_chat_goes_with_its_message(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "e")
        await until(pilot, lambda: app.main.composer.text == "yes, at eight")
        await pilot.press("!")
        await until(pilot, lambda: node.drafts.get(bob) == "yes, at eight!")
        await app.talk.open(None)
        node.moves(node.history[bob][1]["id"], "deleted")
        node.history[bob].pop()
        await until(pilot, lambda: node.drafts.get(bob) == "")
        assert [chat.draft for chat in app.state.chats if chat.id == bob] == [""]

    with_bob(tmp_path, steps)


def test_a_reaction_by_key_and_by_mouse(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        asked = node.history[bob][0]["id"]
        node.reacts(asked, "🔥", "Bob")
        await until(pilot, lambda: "🔥 1" in take(app).shown)
        await pilot.press("ctrl+up", "up", "plus")
        await until(pilot, lambda: isinstance(app.screen, ReactScreen))
        await pilot.press("1")
        await until(pilot, lambda: f"{OFFERED[0]} 1" in take(app).shown)
        await click_on(app, pilot, "🔥 1")
        await until(pilot, lambda: "🔥 2" in take(app).shown)
        await click_on(app, pilot, "🔥 2")
        await until(pilot, lambda: "🔥 1" in take(app).shown)
        assert [call["emoji"] for call in node.named("react")] == [OFFERED[0], "🔥", ""]
        app.main.composer.put("/react :tada:")
        await pilot.press("enter")
        await until(pilot, lambda: "🎉 1" in take(app).shown)

    with_bob(tmp_path, steps)


@pytest.mark.parametrize(("key", "gone", "both"), [("d", True, {}), ("b", False, {"for_both": True})])
def test_deleting_here_or_for_both(tmp_path: Path, key: str, gone: bool, both: dict[str, bool]) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        mine = node.history[bob][1]["id"]
        await pilot.press("ctrl+up", "d")
        await until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        await pilot.press(key)
        await until(pilot, lambda: "yes, at eight" not in take(app).shown)
        assert node.named("delete") == [{"id": mine, **both}]
        await until(pilot, lambda: ("you deleted this for both" in take(app).shown) is not gone)

    with_bob(tmp_path, steps)


def test_a_message_that_leaves_while_its_deletion_is_asked_about_is_asked_about_again(tmp_path: Path) -> None:
    """The question says that it will not be sent."""

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        waiting = node.said(bob, "not sent yet", "saved")["id"]
        await until(pilot, lambda: "not sent yet" in take(app).shown)
        await pilot.press("ctrl+up", "d")
        await until(pilot, lambda: "will not be sent" in take(app).shown)
        node.moves(waiting, "delivered")
        await until(pilot, lambda: (picked := app.main.conversation.selected) and picked.state == "delivered")
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, DeleteScreen))
        assert node.named("delete") == []

    with_bob(tmp_path, steps)


def test_a_pin_a_timer_and_who_is_writing(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "p")
        await until(pilot, lambda: "pinned" in take(app).shown)
        await pilot.press("escape", *"/timer 1h", "enter")
        await until(pilot, lambda: "disappearing: 1 hour" in str(app.main.query_one(ChatTitle).render()))
        assert node.named("timer") == [{"chat": bob, "seconds": 3600}]
        assert "No relay stores them" not in " ".join(each.message for each in app._notifications)
        await pilot.press(*"/timer 59m", "enter")
        await until(pilot, lambda: "No relay stores them" in " ".join(each.message for each in app._notifications))
        node.emit("typing", chat=bob, typing=True)
        await until(pilot, lambda: "is writing…" in take(app).shown)
        node.says(bob, "done")
        await until(pilot, lambda: "is writing…" not in take(app).shown)

    with_bob(tmp_path, steps)


def test_that_one_writes_is_told_and_not_with_every_key(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app.talk._told_typing = -100.0
        await pilot.press(*"hello there")
        await until(pilot, lambda: node.named("typing"))
        await pilot.press("ctrl+u", *"/help")
        await pilot.pause()
        assert node.named("typing") == [{"chat": bob}]

    with_bob(tmp_path, steps)
