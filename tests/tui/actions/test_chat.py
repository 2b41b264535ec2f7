"""Sending from the composer, also while the node is away: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.tui.intents import Submitted
from p2pchat.tui.node_client import GONE, READY
from tests.tui.app_helpers import notices, said, sent, story
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode


def test_enter_sends_to_the_chat_that_is_shown(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"hi Bob", "enter")
            await until(pilot, lambda: sent(node))
            await pilot.press("alt+2")
            await until(pilot, lambda: app.state.current == carol)
            await pilot.press(*"//hi", "enter")
            await until(pilot, lambda: len(sent(node)) == 2)
        assert sent(node) == [(bob, "hi Bob"), (carol, "/hi")]

    run(main())


@pytest.mark.parametrize("line", ["/msg Carol  good morning", "/me waves", "good morning"])
def test_a_text_is_forgotten_with_its_message_however_it_was_sent(tmp_path: Path, line: str) -> None:
    node = FakeNode()
    story(node)

    def has_said_more(count: int) -> bool:
        return len(said(node)) > count

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            for text in ("stays", line):
                known = len(said(node))
                app.main.composer.put(text)
                await pilot.press("enter")
                await until(pilot, partial(has_said_more, known))
            message = max(said(node), key=lambda row: str(row["id"]))
            node.emit("state", id=message["id"], chat=message["chat"], state="deleted", route=None, at=None)
            node.warns("That was all.")
            await until(pilot, lambda: "That was all." in notices(app))  # what comes later than the end of the message
            await pilot.press("alt+p")
            await until(pilot, lambda: app.main.composer.text == "stays")

    run(main())


def test_a_mistyped_command_is_not_sent_and_comes_back(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/delte", "enter")
            await until(pilot, lambda: "no command /delte" in notices(app))
            assert "/delete?" in notices(app)
            assert app.main.composer.text == "/delte"
        assert sent(node) == []

    run(main())


def test_a_text_is_for_one_name_only(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)
    node.friend("Bob yes")
    strasse = node.friend("Straße")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/msg bob yes I will pay", "enter")
            await until(pilot, lambda: "Nothing was sent. That could be for " in notices(app))
            assert all(words in notices(app) for words in ("Bob yes", "/chat"))
            assert app.main.composer.text == "/msg bob yes I will pay"
            app.main.composer.text = "/msg STRASSE hi"  # the same when folded, but not as long
            await pilot.press("enter")
            await until(pilot, lambda: "/msg takes a whole name" in notices(app))
            assert sent(node) == []
            app.main.composer.text = "/msg sTRAßE hi"
            await pilot.press("enter")
            await until(pilot, lambda: sent(node) == [(strasse, "hi")])

    run(main())


@pytest.mark.parametrize("line", ["/msg carol hi", "/me waves"])
def test_a_command_that_sends_a_text_gives_it_back_while_the_node_is_away(tmp_path: Path, line: str) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.die(for_good=True)
            await until(pilot, lambda: app.node.state != READY)
            app.main.composer.put(line)
            await pilot.press("enter")
            await until(pilot, lambda: "needs the node" in notices(app))
            await until(pilot, lambda: app.main.composer.written == line)

    run(main())


def test_a_command_that_sends_a_text_gives_it_back_under_another_screen(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("f1")
            await until(pilot, lambda: app.screen is not app.main)
            app.post_message(Submitted("/me waves", bob))
            await until(pilot, lambda: app.main.composer.written == "/me waves")
            app.post_message(Submitted("/me sleeps", carol))  # whose chat is not the one shown: it becomes a draft
            await until(pilot, lambda: node.drafts.get(carol) == "/me sleeps")
        assert sent(node) == []

    run(main())


def test_what_the_node_refuses_comes_back(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.fail["send"] = errors.DiskFull()
            await pilot.press(*"hello", "enter")
            await until(pilot, lambda: app.main.composer.text == "hello")
            assert "disk is full" in notices(app)
            await pilot.press("enter")
            await until(pilot, lambda: len(sent(node)) == 2)
            assert app.main.composer.text == ""

    run(main())


def test_a_text_for_a_chat_left_meanwhile_becomes_its_draft(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.hold["send"] = asyncio.Event()
            await pilot.press(*"hello", "enter")
            await until(pilot, lambda: sent(node))
            await pilot.press("alt+2")
            await until(pilot, lambda: app.state.current == carol)
            node.fail["send"] = errors.Busy()
            node.hold["send"].set()
            await until(pilot, lambda: node.drafts.get(bob) == "hello")
            assert app.main.composer.text == ""
            await pilot.press("alt+1")
            await until(pilot, lambda: app.state.current == bob)
            assert app.main.composer.text == "hello"

    run(main())


def test_its_death_is_shown_and_mended(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.die(for_good=True)
            await until(pilot, lambda: app.node.state == GONE)
            await until(pilot, lambda: app.main.status.said.startswith("node ended, restarting…"))
            assert app.main.status.wrong
            node.says(bob, "said while we were away")
            node.revive()
            await until(pilot, lambda: app.node.state == READY)
            await until(
                pilot, lambda: app.state.chats[0].last and app.state.chats[0].last.text.startswith("said while")
            )
            await until(pilot, lambda: app.main.status.said.startswith("● 1 direct"))
            assert not app.main.status.wrong

    run(main())


def test_what_is_sent_while_it_is_away_comes_back_at_once(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.die(for_good=True)
            await until(pilot, lambda: app.node.state == GONE)
            await pilot.press(*"hello", "enter")
            await until(pilot, lambda: app.main.composer.text == "hello")
            assert "press Enter to send it again" in notices(app)
            node.revive()
            await until(pilot, lambda: app.node.state == READY)
            await pilot.pause()
            assert sent(node) == []  # nothing goes by itself
            await pilot.press("enter")
            await until(pilot, lambda: sent(node))
        assert [message["text"] for message in node.history[node.named("send")[0]["chat"]]][-1] == "hello"

    run(main())


@pytest.mark.parametrize("saved", [True, False])
def test_what_was_under_way_is_looked_for_never_sent_twice_never_lost(tmp_path: Path, saved: bool) -> None:
    node = FakeNode()
    bob, _ = story(node)
    node.said(bob, "same")  # an older one of the same words is not it

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.now = node.now.replace(hour=node.now.hour + 1)
            node.hold["send"] = asyncio.Event()
            await pilot.press(*"same", "enter")
            await until(pilot, lambda: sent(node))
            if saved:
                node.said(bob, "same", "saved")
            node.die()
            node.hold.pop("send").set()
            await until(pilot, lambda: node.opened == 2 and app.node.state == READY)
            await until(pilot, lambda: app.main.composer.text == ("" if saved else "same"))
            await until(pilot, lambda: len(node.named("log")) >= 3)
            await pilot.pause()
            assert app.main.composer.text == ("" if saved else "same")
        assert len(sent(node)) == 1

    run(main())


def test_two_of_the_same_words_are_two(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"ok", "enter")
            await until(pilot, lambda: len(sent(node)) == 1)
            node.hold["send"] = asyncio.Event()
            await pilot.press(*"ok", "enter")
            await until(pilot, lambda: len(sent(node)) == 2)
            node.die()
            node.hold.pop("send").set()
            # The first one was answered for: it cannot stand for the second.
            await until(pilot, lambda: app.main.composer.text == "ok")

    run(main())
