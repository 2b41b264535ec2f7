"""Requests, and the page of a contact."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.widgets import Input

from p2pchat.errors import BadName, NodeGone, NotNow
from p2pchat.tui.model import Chat, chat_of
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.contact import ContactScreen, block_of
from p2pchat.tui.screens.requests import RequestsScreen
from tests.tui.conftest import run
from tests.tui.fakes import SAFETY_NUMBER, SAS, FakeNode
from tests.tui.staging import OPEN, SIZES, Stage, click_on, press, settled, stage

MARKUP = "[b]x[/b] [@click=app.quit]q[/]"


@pytest.mark.parametrize("size", SIZES)
def test_a_request_is_shown_with_its_words_and_accepted(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = FakeNode()
        carol = node.knocks("carol")
        async with stage(RequestsScreen(node), size) as (app, pilot):
            assert "carol" in app.words
            assert SAS.split()[0] in app.words
            await press(pilot, "a")
            assert app.result == carol
            assert node.people[carol]["state"] == "contact"

    run(main())


def test_how_to_compare_is_said() -> None:
    async def main() -> None:
        node = FakeNode()
        node.knocks("carol")
        async with stage(RequestsScreen(node)) as (app, _pilot):
            assert all(" ".join(row) in app.words for row in (SAS.split()[:4], SAS.split()[4:]))
            assert "Call them or meet, and ask for the eight words that their p2pchat shows on your page." in app.words
            assert "If they see a request from you too, somebody is intercepting: decline." in app.words
            assert "begin anew" not in app.words

    run(main())


def test_who_wants_to_begin_anew_is_marked() -> None:
    async def main() -> None:
        node = FakeNode()
        node.knocks("carol")
        node.knocks("bob", known=True)
        async with stage(RequestsScreen(node)) as (app, pilot):
            assert "bob wants to begin anew" in app.words
            assert "Compare the words again." not in app.words
            await press(pilot, "down")
            assert "Somebody who has stolen their keys could ask the same. Compare the words again." in app.words

    run(main())


def test_one_after_another() -> None:
    async def main() -> None:
        node = FakeNode()
        carol, dave = node.knocks("carol"), node.knocks("dave")
        async with stage(RequestsScreen(node)) as (app, pilot):
            await press(pilot, "down", "enter")
            assert "dave is your contact now." in app.words
            assert app.result is OPEN
            assert list(node.asking) == [carol]
            await press(pilot, "escape")
            assert app.result == dave

    run(main())


def test_a_click_chooses_and_accepts_nobody() -> None:
    async def main() -> None:
        node = FakeNode()
        node.knocks("carol")
        dave = node.knocks("dave")
        async with stage(RequestsScreen(node)) as (app, pilot):
            await click_on(app, pilot, "dave")
            assert "Is it really dave?" in app.words
            assert len(node.asking) == 2
            await click_on(app, pilot, "accept")
            assert dave in node.people

    run(main())


@pytest.mark.parametrize(
    ("key", "method", "left"), [("d", "decline", "Decline carol?"), ("b", "block", "Block carol?")]
)
def test_no_is_asked_about_first(key: str, method: str, left: str) -> None:
    async def main() -> None:
        node = FakeNode()
        carol = node.knocks("carol")
        async with stage(RequestsScreen(node)) as (app, pilot):
            for no in ("enter", "escape", "n"):  # what one presses without thinking changes nothing
                await press(pilot, key)
                assert left in app.words
                assert "not told" in app.words
                await press(pilot, no)
                assert node.named(method) == []
            await press(pilot, key)
            await press(pilot, "y")
            assert node.named(method) == [{"contact": carol}]
            assert "There are no contact requests." in app.words
            await press(pilot, "a", "d", "b")
            assert not isinstance(app.screen, ConfirmScreen)
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_who_comes_meanwhile_does_not_slip_under_the_finger() -> None:
    async def main() -> None:
        node = FakeNode()
        carol = node.knocks("carol")
        screen = RequestsScreen(node)
        async with stage(screen) as (app, pilot):
            node.asking = {}
            node.knocks("aaron")
            node.asking[carol] = {"id": carol, "name": "carol", "since": node._stamp(), "sas": SAS, "known": False}
            screen.news([{"event": "request"}])
            await settled(pilot)
            assert "aaron" in app.words
            assert "Is it really carol?" in app.words

    run(main())


def test_an_error_leaves_the_request_there() -> None:
    async def main() -> None:
        node = FakeNode()
        node.knocks("carol")
        node.fail["accept"] = NodeGone()
        async with stage(RequestsScreen(node)) as (app, pilot):
            await press(pilot, "a")
            assert "The node ended" in app.words
            await press(pilot, "a")
            assert app.result is not None

    run(main())


def test_names_are_no_markup_and_in_drawing_order() -> None:
    async def main() -> None:
        node = FakeNode()
        node.knocks(MARKUP)
        node.knocks("سارا")
        async with stage(RequestsScreen(node)) as (app, pilot):
            assert MARKUP in app.text
            assert f"Is it really {MARKUP}?" in app.words
            assert "ارﺎﺳ"[::-1] in app.text or "ﺍﺭﺎﺳ" in app.text
            await press(pilot, "d")
            assert f"Decline {MARKUP}?" in app.words

    run(main())


# --- the page of a contact


def page(node: FakeNode, ident: str) -> ContactScreen:
    """The page of a contact of the node."""
    return ContactScreen(node, chat(node, ident))


def chat(node: FakeNode, ident: str) -> Chat:
    return chat_of(node._chat(ident))


def tell(app: Stage, node: FakeNode, ident: str, **changes: Any) -> None:
    """The node's event about a contact."""
    node.people[ident].update(changes)
    screen = app.shown
    assert isinstance(screen, ContactScreen)
    screen.news([{"event": "contact", **node.people[ident]}])


def test_sixty_digits_in_three_lines_of_four_groups() -> None:
    lines = block_of(SAFETY_NUMBER).split("\n")
    assert [len(line.split("  ")) for line in lines] == [4, 4, 4]
    assert " ".join(" ".join(lines).split()) == SAFETY_NUMBER


@pytest.mark.parametrize("size", SIZES)
def test_the_number_is_shown_and_marked_as_compared(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob), size) as (app, pilot):
            seen = ""
            for _ in range(6):
                seen += app.words
                await press(pilot, "down", "down", "down", "down")
            for group in SAFETY_NUMBER.split():
                assert group in seen
            await press(pilot, "m")
            assert node.named("verify") == [{"contact": bob}]
            await press(pilot, "y")
            assert node.named("verify")[1:] == [{"contact": bob, "set": True}]
            assert "Marked as verified." in app.words
            await press(pilot, "m")
            assert not isinstance(app.screen, ConfirmScreen)
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_what_the_page_says() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob)) as (app, _pilot):
            assert "Not verified yet." in app.words
            assert "● Online. Messages go straight from your computer to theirs." in app.words
            assert "Call bob or meet, not in this chat, and read the digits to each other." in app.words
            assert all(" ".join(row) in app.words for row in (SAS.split()[:4], SAS.split()[4:]))
            assert "m mark as verified r rename h hide my address b block Esc back" in app.words
            tell(app, node, bob, route=None, verified=True)
            await _pilot.pause()
            assert "○ Offline." in app.words
            assert "✓ Verified: you compared the digits below." in app.words
            assert "mark as verified" not in app.words
            tell(app, node, bob, name="Robert")
            await _pilot.pause()
            assert "Call Robert" in app.words

    run(main())


@pytest.mark.parametrize("no", ["enter", "escape", "n"])
def test_not_compared_yet(no: str) -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob)) as (app, pilot):
            await click_on(app, pilot, "mark as verified")
            assert "read the sixty digits to each other" in app.words
            await press(pilot, no)
            assert "Not verified yet." in app.words
            assert node.named("verify") == [{"contact": bob}]

    run(main())


def test_who_has_not_answered_has_no_number_yet() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob", state="waiting", route=None)
        node.fail["verify"] = NotNow("bob has not answered yet", hint="There is nothing to compare until they do.")
        async with stage(page(node, bob)) as (app, pilot):
            assert "bob has not answered yet. There is nothing to compare until they do." in app.words
            assert "mark as verified" not in app.words
            tell(app, node, bob, state="contact", route="direct")
            await settled(pilot)
            assert SAFETY_NUMBER.split()[0] in app.words

    run(main())


def test_rename() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob)) as (app, pilot):
            await press(pilot, "r")
            field = app.screen.query_one("#name", Input)
            assert app.focused is field
            await press(pilot, "r", "m", "b", "enter")  # letters, not keys; the old name was selected
            assert node.named("rename") == [{"contact": bob, "name": "rmb"}]
            assert node.named("block") == []
            assert "Call rmb" in app.words
            node.fail["rename"] = BadName()
            await press(pilot, "r", "x", "enter")
            assert "A name has 1 to 64 visible characters." in app.words
            assert field.value == "x"
            await press(pilot, "escape")
            assert app.result is OPEN
            assert "visible characters" not in app.words
            await press(pilot, "r", "enter")  # unchanged
            assert len(node.named("rename")) == 2
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_block_says_what_it_does_first() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob)) as (app, pilot):
            await press(pilot, "b")
            assert "messages waiting to be sent to them fail" in app.words
            await press(pilot, "enter")
            assert node.people[bob]["state"] == "contact"
            await press(pilot, "b", "tab", "tab", "enter")
            assert node.people[bob]["state"] == "contact"
            await press(pilot, "b", "left", "enter")
            assert node.people[bob]["state"] == "blocked"
            assert "You have blocked them" in app.words
            assert "b block" not in app.words

    run(main())


def test_the_address_is_hidden_and_shown_again_after_a_question() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        async with stage(page(node, bob)) as (app, pilot):
            assert "never learn" not in app.words
            await press(pilot, "h")
            assert "They keep what they already know" in app.words
            await press(pilot, "escape")
            assert node.named("hide") == []
            await press(pilot, "h", "left", "enter")
            assert node.people[bob]["hidden"]
            assert "They never learn your network address." in app.words
            assert "h show my address" in app.words
            await press(pilot, "h", "left", "enter")
            assert not node.people[bob]["hidden"]
            assert "h hide my address" in app.words
            await press(pilot, "b", "left", "enter")
            assert "my address" not in app.words

    run(main())


def test_a_hostile_name_is_no_markup_anywhere() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend(MARKUP)
        async with stage(page(node, bob)) as (app, pilot):
            assert f"╭─ {MARKUP} ─" in app.text
            assert f"Call {MARKUP} or meet" in app.words
            await press(pilot, "b")
            assert f"Block {MARKUP}?" in app.words

    run(main())


def test_the_page_can_be_left_before_there_is_an_answer() -> None:
    async def main() -> None:
        node = FakeNode()
        node.hold["verify"] = asyncio.Event()
        async with stage(page(node, node.friend("bob")), held=True) as (app, pilot):
            assert "Online." in app.words
            await press(pilot, "escape")
            assert app.result is None

    run(main())
