"""Making an invite, its QR code, and taking one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import segno
from rich.color import Color
from textual import events
from textual.widgets import Static

from p2pchat.errors import InviteUsed, NodeGone, NotReached
from p2pchat.tui.screens.add import AddScreen, InviteText, looks
from p2pchat.tui.screens.invite import InviteScreen
from p2pchat.tui.screens.qr import QrScreen, half_blocks
from p2pchat.tui.terminal import AsciiSigns
from tests.tui.conftest import run
from tests.tui.fakes import INVITE, FakeNode
from tests.tui.staging import OPEN, SIZES, Stage, click_on, press, settled, stage, type_in

ELSEWHERE = "/dns4/relay.example/tcp/443/p2p/12D3KooWAAAA"
NEARBY = "It works only on your relays' own network"


class Offerer(FakeNode):
    """A node whose invites differ, and that says what the real one says about them."""

    def _do_invite(self, reusable: bool = False, ask: bool = False, expires: int = 604_800) -> dict[str, Any]:
        made = super()._do_invite(reusable, ask, expires)
        return made | {"invite": f"P2PCHAT:{'MANY' if reusable else 'ONCE'}", "notice": "some notice"}


@pytest.mark.parametrize("size", SIZES)
def test_an_invite_is_made_and_copied(size: tuple[int, int]) -> None:
    async def main() -> None:
        async with stage(InviteScreen(Offerer()), size) as (app, pilot):
            assert "P2PCHAT:" in app.text
            await press(pilot, "c")
            assert app.copied == ["P2PCHAT:ONCE"]
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_what_an_invite_is_good_for_is_said() -> None:
    async def main() -> None:
        node = Offerer()
        async with stage(InviteScreen(node), (80, 30)) as (app, pilot):
            assert "It works once, for one person. Anyone who has it can become your contact" in app.words
            assert "It expires on 27 November." in app.words
            assert "while p2pchat runs here and your friend's computer can reach this one directly" in app.words
            node.reachable = False
            await press(pilot, "r")
            assert "No other computer can reach this one yet" in app.words
            assert "You are asked about each" in app.words
        node.relays = 2
        node.lends(ELSEWHERE)
        async with stage(InviteScreen(node), (80, 30)) as (app, pilot):
            assert "It works from anywhere, even while p2pchat is not running here" in app.words

    run(main())


def test_with_a_relay_an_invite_is_good_everywhere() -> None:
    async def main() -> None:
        node = Offerer()
        node.relayed = True
        node.lends(ELSEWHERE)
        async with stage(InviteScreen(node), (80, 30)) as (app, _pilot):
            assert "It works from anywhere, through your relays." in app.words
            assert "directly" not in app.words

    run(main())


@pytest.mark.parametrize(
    ("address", "state", "held", "said"),
    [
        (ELSEWHERE, "unreachable", 0, "None of your relays answers"),
        ("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWAAAA", "connected", 1, NEARBY),
        ("/ip4/192.168.1.7/tcp/4001/p2p/12D3KooWAAAA", "connected", 0, NEARBY),
    ],
)
def test_a_relay_that_leads_nowhere_else_is_not_said_to(address: str, state: str, held: int, said: str) -> None:
    async def main() -> None:
        node = Offerer()
        node.relayed, node.relays = True, held
        node.lends(address, state)
        async with stage(InviteScreen(node), (80, 30)) as (app, _pilot):
            assert said in app.words
            assert "anywhere" not in app.words

    run(main())


def test_for_many_and_back_makes_one_of_each() -> None:
    async def main() -> None:
        node = Offerer()
        async with stage(InviteScreen(node)) as (app, pilot):
            assert "for many people" in app.words
            await press(pilot, "r")
            assert "P2PCHAT:MANY" in app.text
            assert "for one person" in app.words
            await press(pilot, "c")
            await click_on(app, pilot, "for one person")
            assert "P2PCHAT:ONCE" in app.text
            await press(pilot, "c")
            await press(pilot, "r")
            assert app.copied == ["P2PCHAT:MANY", "P2PCHAT:ONCE"]
            assert [params["reusable"] for params in node.named("invite")] == [False, True]

    run(main())


def test_an_invite_that_could_not_be_made_can_be_tried_again() -> None:
    async def main() -> None:
        node = Offerer()
        node.fail["invite"] = NodeGone()
        async with stage(InviteScreen(node)) as (app, pilot):
            assert "The node ended" in app.words
            assert "copy" not in app.words
            await press(pilot, "c", "q")
            assert app.copied == []
            await press(pilot, "enter")
            assert "P2PCHAT:ONCE" in app.text
            node.fail["invite"] = NodeGone()
            await press(pilot, "r")
            assert "P2PCHAT:ONCE" in app.text
            assert "The node ended" in app.words
            await press(pilot, "r")
            assert "P2PCHAT:MANY" in app.text

    run(main())


def test_an_invite_under_way_can_be_left() -> None:
    async def main() -> None:
        node = Offerer()
        node.hold["invite"] = asyncio.Event()
        async with stage(InviteScreen(node), held=True) as (app, pilot):
            assert "Making an invite" in app.words
            await press(pilot, "escape")
            assert app.result is None

    run(main())


# --- the QR code


def _dots(lines: list[str]) -> list[list[int]]:
    """The dots of half blocks."""
    rows: list[list[int]] = []
    for line in lines:
        rows.append([int(char in "▀█") for char in line])
        rows.append([int(char in "▄█") for char in line])
    return rows


def _matrix(text: str) -> list[list[int]]:
    return [[int(bool(dot)) for dot in row] for row in segno.make(text, micro=False).matrix]


@pytest.mark.parametrize("text", ["P2PCHAT:A", INVITE, INVITE * 2])
def test_half_blocks_hold_the_whole_code_and_its_border(text: str) -> None:
    matrix = _matrix(text)
    dots = _dots(half_blocks(matrix))
    side = len(matrix)
    assert [row[2 : 2 + side] for row in dots[2 : 2 + side]] == matrix
    border = [*dots[:2], *dots[2 + side :], *([*row[:2], *row[2 + side :]] for row in dots)]
    assert len(dots) >= side + 4
    assert {len(row) for row in dots} == {side + 4}
    assert not any(dot for row in border for dot in row)


@pytest.mark.parametrize("theme", ["dark", "light", "contrast", "mono"])
def test_what_is_on_the_screen_is_the_code_black_on_white(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "get_line_filters", lambda _: [AsciiSigns()])  # which leaves the code as it is

    async def main() -> None:
        async with stage(QrScreen(INVITE)) as (app, pilot):
            app.theme = theme
            await settled(pilot)
            region = app.screen.query_one("#code").region
            shown = []
            for strip in app.screen._compositor.render_strips()[region.y : region.bottom]:
                piece = strip.crop(region.x, region.right)
                shown.append(piece.text)
                for segment in piece:
                    assert segment.style is not None
                    assert segment.style.bgcolor == Color.from_rgb(255, 255, 255)
                    assert segment.style.color == Color.from_rgb(0, 0, 0)
            matrix = _matrix(INVITE)
            side = len(matrix)
            assert [row[2 : 2 + side] for row in _dots(shown)[2 : 2 + side]] == matrix

    run(main())


def test_a_window_that_is_too_small_is_told_and_may_grow() -> None:
    async def main() -> None:
        lines = half_blocks(_matrix(INVITE))
        width, height = len(lines[0]), len(lines)
        async with stage(QrScreen(INVITE), (width, height - 1)) as (app, pilot):
            assert f"{width} by {height} characters; this one has {width} by {height - 1}" in app.words
            assert "█" not in app.text
            await pilot.resize_terminal(width, height)
            await settled(pilot)
            assert app.text.split("\n") == [line.rstrip() for line in lines]
            await pilot.resize_terminal(width - 1, height + 5)
            await settled(pilot)
            assert "█" not in app.text
            await press(pilot, "escape")
            assert app.result is None

    run(main())


@pytest.mark.parametrize("key", ["escape", "q", "enter", None])
def test_the_code_of_the_invite_is_shown_and_left(key: str | None) -> None:
    async def main() -> None:
        async with stage(InviteScreen(Offerer())) as (app, pilot):
            await press(pilot, "q")
            assert isinstance(app.screen, QrScreen)
            assert half_blocks(_matrix("P2PCHAT:ONCE"))[5].strip() in app.text
            if key is None:
                await pilot.click(offset=(40, 10))
                await settled(pilot)
            else:
                await press(pilot, key)
            assert isinstance(app.screen, InviteScreen)

    run(main())


def test_where_the_window_is_too_small_the_code_is_saved_as_a_picture() -> None:
    async def main() -> None:
        async with stage(QrScreen("P2PCHAT:" + "A" * 300), (40, 12)) as (app, pilot):
            assert "press s to save the code" in app.words
            await press(pilot, "s")
            [saved] = app.saved
            assert saved.name == "p2pchat-invite.svg"
            assert saved.text.startswith('<svg xmlns="http://www.w3.org/2000/svg" ')
            modules = len(_matrix("P2PCHAT:" + "A" * 300))
            assert f'd="M0 0h{modules + 8}v{modules + 8}h-{modules + 8}z"' in saved.text, "with the border readers need"

    run(main())


# --- taking one


@pytest.mark.parametrize(
    "text",
    [
        INVITE,
        f"  {INVITE}\n",
        f'"{INVITE}"',
        f"“{INVITE}”.",
        f"<{INVITE}>",
        INVITE.lower(),
        "\n".join(INVITE[start : start + 40] for start in range(0, len(INVITE), 40)),
        "\r\n".join("> " + INVITE[start : start + 40] for start in range(0, len(INVITE), 40)),
        f"Here is my invite:\n\n`{INVITE}`",
        "\ufeff" + "\u200b".join(INVITE[start : start + 7] for start in range(0, len(INVITE), 7)),
    ],
)
def test_what_looks_like_an_invite(text: str) -> None:
    assert looks(text).invite == INVITE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste all of it"),
        (" \n", "Paste all of it"),
        ("hello", "an invite begins with P2PCHAT:"),
        (INVITE[8:], "an invite begins with P2PCHAT:"),
        (INVITE[:60], "the rest is missing"),
        (INVITE[:105], "A character is missing"),
        (INVITE + INVITE[8:] * 30, "too long"),
        (INVITE[:50] + "1" + INVITE[51:], "cannot contain this: 1"),
        (INVITE[:50] + "\x1b[2J" + INVITE[50:], "cannot contain this: \ufffd"),
    ],
)
def test_what_does_not(text: str, words: str) -> None:
    seen = looks(text)
    assert seen.invite is None
    assert words in seen.words


class Invited(FakeNode):
    """A node that answers `add` with what it was told to, one after another."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    def _do_add(self, *_args: Any, **_params: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


BOB = {"id": "b0b", "name": "bob", "anew": False}
WAITING, CONTACT = BOB | {"state": "waiting"}, BOB | {"state": "contact"}
LATE = NotReached("bob was not reached within 30 s", result=WAITING)


async def paste(app: Stage, text: str) -> None:
    """A paste, as terminals send it."""
    app.post_message(events.Paste(text))
    await asyncio.sleep(0)


def test_the_link_of_a_channel_is_followed_and_nobody_is_asked() -> None:
    async def main() -> None:
        node = Invited(BOB | {"name": "news", "state": "channel"})
        async with stage(AddScreen(node), SIZES[0]) as (app, pilot):
            await paste(app, INVITE)
            await press(pilot, "enter")
            await press(pilot, "enter")
            assert [params["wait"] for params in node.named("add")] == ["sent"]
            assert "You follow news now." in app.words

    run(main())


def test_an_invite_to_a_group_makes_no_contact() -> None:
    async def main() -> None:
        node = Invited(BOB | {"state": "waiting", "group": True})
        async with stage(AddScreen(node), SIZES[0]) as (app, pilot):
            await paste(app, INVITE)
            await press(pilot, "enter")
            await press(pilot, "enter")
            assert [params["wait"] for params in node.named("add")] == ["sent"]
            assert "You asked to join the group." in app.words
            assert "Enter close" in app.words
            await press(pilot, "enter")
            assert app.result is None

    run(main())


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("size", SIZES)
def test_paste_enter_enter(size: tuple[int, int], end: str) -> None:
    async def main() -> None:
        node = Invited(WAITING, CONTACT)
        async with stage(AddScreen(node), size) as (app, pilot):
            await paste(app, f'"{INVITE[:70]}{end}{INVITE[70:]}"{end}')
            await settled(pilot)
            assert looks(app.screen.query_one(InviteText).text).invite == INVITE
            await press(pilot, "enter")
            assert node.named("add") == []
            await press(pilot, "enter")
            assert [params["wait"] for params in node.named("add")] == ["sent", "accepted"]
            assert {params["invite"] for params in node.named("add")} == {INVITE}
            assert {params["name"] for params in node.named("add")} == {None}
            assert "bob is your contact now." in app.words
            await press(pilot, "enter")
            assert app.result == "b0b"

    run(main())


def test_it_says_at_once_whether_it_looks_like_one_and_enter_keeps_what_is_there() -> None:
    async def main() -> None:
        async with stage(AddScreen(Invited())) as (app, pilot):
            assert "Paste all of it" in app.words
            await paste(app, "P2PCHAT:ABC")
            await settled(pilot)
            assert "the rest is missing" in app.words
            await press(pilot, "enter")
            assert app.focused is app.screen.query_one(InviteText)
            assert app.screen.query_one("#looks", Static).has_class("-problem")
            assert app.screen.query_one(InviteText).text == "P2PCHAT:ABC"
            await press(pilot, "ctrl+a", "x")
            assert not app.screen.query_one("#looks", Static).has_class("-problem")

    run(main())


def test_an_invite_that_came_along_and_a_name() -> None:
    async def main() -> None:
        node = Invited(CONTACT)
        node.hold["add"] = asyncio.Event()
        async with stage(AddScreen(node, INVITE)) as (app, pilot):
            assert "✓ This looks like an invite." in app.words
            await type_in(pilot, "Bob [b]")
            await pilot.press("enter")
            await pilot.pause()
            assert "Asking Bob [b]… You can close this; it continues in the background." in app.words
            node.hold.pop("add").set()
            await settled(pilot)
            assert node.named("add") == [{"invite": INVITE, "name": "Bob [b]", "wait": "sent", "timeout": 30}]
            await click_on(app, pilot, "open the chat")
            assert app.result == "b0b"

    run(main())


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((LATE,), "Their computer is offline."),
        ((WAITING, LATE), "They have your request but have not accepted it yet."),
        ((WAITING, WAITING), "They have your request but have not accepted it yet."),
    ],
)
def test_who_does_not_answer_in_time(answers: tuple[Any, ...], words: str) -> None:
    async def main() -> None:
        async with stage(AddScreen(Invited(*answers), INVITE)) as (app, pilot):
            await press(pilot, "enter")
            assert words in app.words
            assert app.result is OPEN
            await press(pilot, "enter")
            assert app.result == "b0b"

    run(main())


def test_an_error_brings_everything_back() -> None:
    async def main() -> None:
        async with stage(AddScreen(Invited(InviteUsed(), CONTACT), INVITE)) as (app, pilot):
            await type_in(pilot, "Bob")
            await press(pilot, "enter")
            assert "That invite was already used. Ask for a new one" in app.words
            assert "✓ This looks like an invite." in app.words
            await press(pilot, "enter", "enter")
            assert "bob is your contact now." in app.words

    run(main())


def test_it_can_be_closed_while_they_are_asked() -> None:
    async def main() -> None:
        node = Invited(WAITING)
        node.hold["add"] = asyncio.Event()
        async with stage(AddScreen(node, INVITE)) as (app, pilot):
            await pilot.press("enter")
            await pilot.pause()
            assert "Asking them" in app.words
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_an_invite_copied_with_the_frame_around_it_is_one() -> None:
    half = len(INVITE) // 2
    framed = f"│   {INVITE[:half]}   │\n│   {INVITE[half:]}   │\n╰────────╯"
    assert looks(framed).invite == INVITE


@pytest.mark.parametrize("behind", [" see you soon", "\n\nIt is for you, 08:30!", "\n-- \nAnna, 0123"])
def test_words_behind_an_invite_are_left_to_the_node(behind: str) -> None:
    found = looks(f"Paste this: {INVITE}{behind}").invite
    assert found is not None
    assert found.startswith(INVITE)
