"""Search, help, why, the small questions, and what all screens share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.screen import Screen
from textual.widgets import Input, OptionList

from p2pchat.errors import NodeGone, NoSuchMessage, NotReached, P2PChatError
from p2pchat.tui.commands import COMMANDS
from p2pchat.tui.keys import KEYS
from p2pchat.tui.model import chat_of, message_of
from p2pchat.tui.screens.add import AddScreen
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.contact import ContactScreen
from p2pchat.tui.screens.explain import ExplainScreen, way
from p2pchat.tui.screens.find import LIMIT, FindScreen, matches
from p2pchat.tui.screens.help import HelpScreen
from p2pchat.tui.screens.invite import InviteScreen
from p2pchat.tui.screens.keep import KeepScreen
from p2pchat.tui.screens.panel import Field, Hint, flow, said
from p2pchat.tui.screens.qr import QrScreen
from p2pchat.tui.screens.requests import RequestsScreen
from p2pchat.tui.screens.unlock import UnlockScreen
from p2pchat.tui.screens.welcome import WelcomeScreen
from tests.support.sampling import sampled
from tests.tui.conftest import run, until
from tests.tui.fakes import INVITE, FakeNode
from tests.tui.staging import OPEN, SIZES, click_on, press, settled, stage, type_in

# --- search


def finder(node: FakeNode, words: str = "") -> FindScreen:
    """The search of the first chat."""
    return FindScreen(node, chat_of(node._chat(next(iter(node.people)))), words)


def talk() -> FakeNode:
    """A node with something to find."""
    node = FakeNode()
    bob = node.friend("bob")
    node.says(bob, "the garden gate is open")
    node.said(bob, "close the gate then")
    node.says(bob, "done")
    return node


def at(node: FakeNode, index: int) -> str:
    """The id of a message."""
    return str(next(iter(node.history.values()))[index]["id"])


@pytest.mark.parametrize("size", SIZES)
def test_it_finds_as_one_types_and_goes_there(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = talk()
        async with stage(finder(node), size) as (app, pilot):
            await type_in(pilot, "gate")
            await press(pilot, "enter")
            assert app.result == at(node, 1)  # the newest comes first

    run(main())


def test_arrows_choose_while_one_types_and_a_click_goes() -> None:
    async def main() -> None:
        node = talk()
        async with stage(finder(node)) as (app, pilot):
            await type_in(pilot, "gate")
            assert "2 found, newest first." in app.words
            await press(pilot, "down", "down", "down", "enter")
            assert app.result == at(node, 0)
        async with stage(finder(node, "gate")) as (app, pilot):
            await press(pilot, "down", "up", "up", "enter")
            assert app.result == at(node, 1)
        async with stage(finder(node, "gate")) as (app, pilot):
            await click_on(app, pilot, "the garden gate is open")
            assert app.result == at(node, 0)

    run(main())


def test_nothing_found_and_nothing_asked() -> None:
    async def main() -> None:
        node = talk()
        async with stage(finder(node)) as (app, pilot):
            assert node.named("log") == []
            await press(pilot, "enter")
            assert app.result is OPEN
            await type_in(pilot, "gatex")
            assert "Nothing found." in app.words
            await press(pilot, "backspace")
            assert "2 found" in app.words
            await press(pilot, "ctrl+u")
            assert "found" not in app.words
            assert app.screen.query_one(OptionList).option_count == 0
            await press(pilot, "enter", "escape")
            assert app.result is None

    run(main())


def test_only_the_latest_words_are_asked_when_the_node_is_slow() -> None:
    async def main() -> None:
        node = talk()
        node.hold["log"] = asyncio.Event()
        async with stage(finder(node)) as (app, pilot):
            await pilot.press("g", "a", "t", "e")
            await pilot.pause()
            assert [params["search"] for params in node.named("log")] == ["g"]
            await pilot.press("enter")  # nothing is shown yet that belongs to these words
            assert app.result is OPEN
            node.hold.pop("log").set()
            await settled(pilot)
            assert [params["search"] for params in node.named("log")] == ["g", "gate"]
            assert app.result == at(node, 1)

    run(main())


def test_an_error_is_said_and_the_next_letter_asks_again() -> None:
    async def main() -> None:
        node = talk()
        node.fail["log"] = NodeGone()
        async with stage(finder(node)) as (app, pilot):
            await type_in(pilot, "g")
            assert "The node ended" in app.words
            await type_in(pilot, "a")
            assert "2 found" in app.words

    run(main())


def test_more_than_it_shows_is_said() -> None:
    async def main() -> None:
        node = talk()
        for _ in range(LIMIT + 1):
            node.says(next(iter(node.people)), "gate")
        async with stage(finder(node, "gate")) as (app, _pilot):
            assert f"The newest {LIMIT} found" in app.words

    run(main())


def test_a_long_text_is_shown_round_the_match() -> None:
    async def main() -> None:
        node = talk()
        bob = next(iter(node.people))
        node.says(bob, "word " * 400 + "needle " + "word " * 400)
        node.says(bob, "[b]markup[/b] needle \x1b[2J")
        async with stage(finder(node, "needle")) as (app, _pilot):
            assert "…word" in app.text
            assert app.words.count("needle") == 3  # the field, and two found
            assert "[b]markup[/b] needle" in app.text
            assert "\x1b" not in app.text

    run(main())


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("the gate", "gate", [(4, 8)]),
        ("The Gateway", "gate", [(4, 8)]),
        ("agate", "gate", []),
        ("gate, gate", "GATE", [(0, 4), (6, 10)]),
        ("open gate", "gate open", [(0, 4), (5, 9)]),
        ("Ёлка", "елка", [(0, 4)]),
        ("ﬁnd it", "find", [(0, 3)]),
        ("a.b", "a.b", [(0, 3)]),
        ("axb", "a.b", []),
        ("anything", "", []),
    ],
)
def test_what_is_marked(text: str, words: str, found: list[tuple[int, int]]) -> None:
    assert matches(text, words) == found


def test_right_to_left_text_is_in_drawing_order_with_its_marks() -> None:
    async def main() -> None:
        node = talk()
        node.says(next(iter(node.people)), "سلام gate دوست")
        async with stage(finder(node, "gate")) as (app, _pilot):
            row = next(line for line in app.text.split("\n") if "gate" in line and "ﻡ" in line)
            assert row.index("gate") < row.index("ﻡ"), "the first word is on the right"
            app.turns_text = False
            await press(_pilot, "backspace", "e")
            assert "سلام gate" in app.text

    run(main())


# --- help


def test_help_has_every_key_and_command_that_is_told() -> None:
    async def main() -> None:
        async with stage(HelpScreen(KEYS, COMMANDS), (120, 260)) as (app, _pilot):
            seen = set(app.words.split())
            for key in KEYS:  # long ones are wrapped in their column
                assert not key.told or seen >= {*key.shown.split(), *key.says.split()}
            for command in COMMANDS:
                assert seen >= {*command.shown.split(), *command.says.split()}
            assert "read ✓✓ they have read it" in app.words

    run(main())


@pytest.mark.parametrize("size", SIZES)
def test_help_scrolls_by_keys_and_mouse_and_closes(size: tuple[int, int]) -> None:
    async def main() -> None:
        async with stage(HelpScreen(KEYS, COMMANDS), size) as (app, pilot):
            first = app.text
            await press(pilot, "pagedown")
            assert app.text != first
            await press(pilot, "home")
            assert app.text == first
            await press(pilot, "end")
            assert "read it" in app.words
            if size[0] >= 80:
                await click_on(app, pilot, "PgUp up")
                assert "read it" not in app.words
            await press(pilot, "q")
            assert app.result is None

    run(main())


# --- why


def explained(node: FakeNode, message: dict[str, Any]) -> ExplainScreen:
    """Why that message is where it is."""
    return ExplainScreen(node, message_of(message))


class Reasons(FakeNode):
    """A node that gives the real one's reasons."""

    def _do_why(self, id: str) -> dict[str, Any]:
        return super()._do_why(id) | {
            "reason": "There is no link with bob's node.",
            "next": "It is dialled again within 5 minutes. Tried until 2026-11-29T10:30:00.000Z.",
        }


@pytest.mark.parametrize("size", SIZES)
def test_why_a_message_waits(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = Reasons()
        message = node.said(node.friend("bob"), "are you there? [b]x[/b]", "saved")
        async with stage(explained(node, message), size) as (app, pilot):
            seen = app.words
            await press(pilot, "down", "down", "down")
            seen += app.words
            if size[0] >= 80:
                assert "are you there? [b]x[/b]" in seen
                assert "◷ Saved here, not sent yet." in seen
                assert "There is no link with bob's node." in seen
                assert "Tried until 29 November 2026" in seen
                assert "00Z" not in seen
            await press(pilot, "enter")
            assert app.result is None

    run(main())


def test_it_can_look_again_and_says_the_way() -> None:
    async def main() -> None:
        node = FakeNode()
        message = node.said(node.friend("bob"), "hello", "stored")
        async with stage(explained(node, message)) as (app, pilot):
            assert "✓ Sent. Their computer has not confirmed it yet." in app.words
            assert "It went straight from your computer to theirs." in app.words
            node.moves(message["id"], "read")
            await press(pilot, "r")
            assert "✓✓ They have read it." in app.words

    run(main())


def test_what_lies_at_relays_says_until_when() -> None:
    async def main() -> None:
        node = FakeNode()
        message = node.said(node.friend("bob", route=None), "hello")
        node.moves(message["id"], "stored", "mailbox")
        async with stage(explained(node, message)) as (app, _pilot):
            assert "✓ Sent. It waits at a relay for their computer." in app.words
            assert "It is stored at 2 relays until 21 Dec." in app.words
            assert "through a relay that stores them until they are fetched" in app.words

    run(main())


def test_a_message_of_theirs_and_one_that_is_gone() -> None:
    async def main() -> None:
        node = FakeNode()
        bob = node.friend("bob")
        message = node.says(bob, "hello")
        async with stage(explained(node, message)) as (app, _pilot):
            assert "It is on your computer." in app.words
            assert "It went straight from their computer to yours." in app.words
            assert "Received on 20 November 2026" in app.words
        node.fail["why"] = NoSuchMessage()
        async with stage(explained(node, message)) as (app, _pilot):
            assert "There is no message with that id." in app.words
            assert "p2pchat log" not in app.words

    run(main())


def test_routes_in_words() -> None:
    assert way("direct", mine=False) == "straight from their computer to yours"
    assert way("punched") == "straight from your computer to theirs, through both routers"
    assert way("tunnel{0.__class__}") == "through tunnel0.__class__"


# --- the small questions


@pytest.mark.parametrize(
    ("keys", "result", "size"),
    [
        (("enter",), False, SIZES[0]),
        (("escape",), False, SIZES[1]),
        (("y",), True, SIZES[2]),
        (("n",), False, SIZES[3]),
        (("left", "enter"), True, SIZES[0]),
        (("tab", "enter"), True, SIZES[2]),
        (("up", "down", "enter"), False, SIZES[3]),
    ],
)
def test_confirm(keys: tuple[str, ...], result: bool, size: tuple[int, int]) -> None:
    async def main() -> None:
        async with stage(ConfirmScreen("Delete [b]x[/b]?", "Delete [u]", "Keep"), size) as (app, pilot):
            assert "Keep" in app.text
            if size[0] >= 80:
                assert "Delete [b]x[/b]?" in app.text
                assert "Delete [u]" in app.text
            await press(pilot, *keys)
            assert app.result is result

    run(main())


def test_confirm_by_mouse() -> None:
    async def main() -> None:
        for word, result in (("Drop it", True), ("Keep", False)):
            async with stage(ConfirmScreen("Delete it?", "Drop it", "Keep")) as (app, pilot):
                await click_on(app, pilot, word)
                assert app.result is result

    run(main())


@pytest.mark.parametrize(("key", "result"), [("enter", True), ("n", False), ("escape", None)])
def test_keep_receiving(key: str, result: bool | None) -> None:
    async def main() -> None:
        async with stage(KeepScreen()) as (app, pilot):
            assert "Keep receiving messages when this window is closed?" in app.words
            assert "Esc decide later" in app.words
            await press(pilot, key)
            assert app.result is result

    run(main())


# --- what all share


async def _nothing(_name: str, _passphrase: str | None) -> None:
    await asyncio.sleep(0)


ALL: dict[str, Callable[[FakeNode], Screen[Any]]] = {
    "welcome": lambda _node: WelcomeScreen(_nothing, "alice"),
    "unlock": UnlockScreen,
    "invite": InviteScreen,
    "qr": lambda _node: QrScreen(INVITE),
    "add": lambda node: AddScreen(node, INVITE),
    "requests": RequestsScreen,
    "contact": lambda node: ContactScreen(node, chat_of(node._chat(next(iter(node.people))))),
    "find": lambda node: finder(node, "gate"),
    "help": lambda _node: HelpScreen(KEYS, COMMANDS),
    "explain": lambda node: explained(node, next(iter(node.history.values()))[-1]),
    "confirm": lambda _node: ConfirmScreen("Really?"),
    "keep": lambda _node: KeepScreen(),
}


@pytest.mark.parametrize("name", sampled(list(ALL), 3, "survives"))
def test_a_screen_survives_every_size_and_theme(name: str) -> None:
    async def main() -> None:
        node = talk()
        node.knocks("carol", known=True)
        async with stage(ALL[name](node)) as (app, pilot):
            for theme, size in (("light", (40, 12)), ("contrast", (20, 6)), ("mono", (1, 1)), ("dark", (80, 24))):
                app.theme = theme
                await pilot.resize_terminal(*size)
                await pilot.press("tab", "down", "pagedown")
                await pilot.pause()
            last = [line for line in app.text.split("\n") if "Esc" in line]
            assert last, "the way out is on the screen"
            await press(pilot, "escape")
            assert app.result is not OPEN

    run(main())


@pytest.mark.parametrize("size", [(40, 12), (20, 6)])
@pytest.mark.parametrize("name", ["welcome", "unlock", "add"])
def test_the_field_one_writes_in_is_in_sight(name: str, size: tuple[int, int]) -> None:
    async def main() -> None:
        async with stage(ALL[name](talk()), size) as (app, pilot):
            assert isinstance(app.focused, Input)
            app.focused.password = False
            await type_in(pilot, "zq")
            assert "zq" in app.text

    run(main())


def test_keys_wrap_between_them() -> None:
    hints = [Hint("a", "one", "a"), Hint("b", "two", "b"), Hint("Esc", "back", "back")]
    assert flow(hints, 100) == [hints]
    assert flow(hints, 13) == [hints[:2], hints[2:]]
    assert flow(hints, 12) == [[hint] for hint in hints]
    assert flow(hints, 1) == [[hint] for hint in hints]
    assert flow([], 10) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReached(), "Nobody answered in time; the message stays queued and is tried again. Leave the node running"),
        (NodeGone(), "The node ended during this request; it may or may not have been carried out."),
        (P2PChatError("Broken `p2pchat doctor`", hint="Run `p2pchat doctor`."), "Broken."),
        (P2PChatError("Which one?", hint="Any."), "Which one? Any."),
    ],
)
def test_an_error_names_no_command_line(error: P2PChatError, words: str) -> None:
    assert said(error).startswith(words)
    assert "`" not in said(error)


def test_a_paste_cannot_command_the_terminal() -> None:
    async def main() -> None:
        from textual import events

        for screen in (finder(talk()), AddScreen(FakeNode())):
            async with stage(screen) as (app, pilot):
                app.post_message(events.Paste("qq\x1b[2J\x9b1mrr"))
                await settled(pilot)
                assert "qq" in app.text
                assert "\x1b" not in app.text
                assert "\x9b" not in app.text

    run(main())


def test_a_line_takes_letters_that_nobody_sees_and_as_much_of_a_paste_as_fits() -> None:
    async def main() -> None:
        from textual import events
        from textual._xterm_parser import XTermParser

        async with stage(finder(talk())) as (app, pilot):
            field = app.screen.query_one(Field)
            for event in XTermParser().feed("می\u200cروم"):
                app.post_message(event)
            await settled(pilot)
            assert field.value == "می\u200cروم"
            field.max_length = 12
            app.post_message(events.Paste(" 👩\u200d👩\u200d👧 and more"))
            await settled(pilot)
            assert field.value == "می\u200cروم 👩👩👧 a"  # without joiners: nobody agrees on how wide those are

    run(main())


def test_what_is_left_out_of_a_paste_is_said() -> None:
    async def main() -> None:
        from textual import events

        async with stage(AddScreen(FakeNode())) as (app, pilot):
            field = app.screen.query_one(Field)
            field.focus()
            app.post_message(events.Paste("w" * 80))
            await settled(pilot)
            assert field.value == "w" * 64
            assert "At most 64 characters fit: the rest was left out." in app.words

    run(main())


def test_an_error_is_harmless_wherever_it_comes_from_and_no_flood() -> None:
    assert said(P2PChatError("No\x1b[2J\nway\x9b")) == "No\ufffd[2J way\ufffd."
    assert len(said(P2PChatError("w" * 48_000))) == 300


def test_an_answer_to_a_panel_that_was_closed_meanwhile_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts are taken away while its worker is on the way; the error of that ended the program."""
    node = FakeNode()
    node.friend("Bob")
    screen = finder(node)
    asked: list[str] = []

    async def call(method: str, **params: object) -> list[object]:
        asked.append(method)
        screen.dismiss(None)
        await screen.query_one(OptionList).remove()
        return []

    async def main() -> None:
        async with stage(screen) as (app, pilot):
            monkeypatch.setattr(screen._node, "call", call)
            await pilot.press("l")
            await until(pilot, lambda: asked and screen not in app.screen_stack)
            await pilot.pause()

    run(main())
