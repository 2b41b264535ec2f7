"""The list of chats."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from p2pchat.tui import intents
from p2pchat.tui.intents import Intent
from p2pchat.tui.model import AwaitedGroup, Chat
from p2pchat.tui.widgets import chatlist
from p2pchat.tui.widgets.chatlist import ChatList
from tests.tui.conftest import run
from tests.tui.conversing import NOW, message


def chat(ident: str, name: str = "", **more: Any) -> Chat:
    values: dict[str, Any] = {"state": "contact", "verified": False, "route": "direct", "unread": 0} | more
    return Chat(id=ident, name=name or ident, label=name or ident, first_unread=None, last=None, draft="", **values)


class Desk(App[None]):
    """A list, and what it posts."""

    CSS = "ChatList { width: 100%; border: none; }"

    def __init__(self) -> None:
        super().__init__()
        self.chats = ChatList(lambda: NOW)
        self.posted: list[Intent] = []

    def compose(self) -> ComposeResult:
        yield self.chats

    def on_open_chat(self, event: intents.OpenChat) -> None:
        self.posted.append(event)

    def on_run_command(self, event: intents.RunCommand) -> None:
        self.posted.append(event)

    def on_chat_list_left(self, event: ChatList.Left) -> None:
        self.posted.append(event)

    def on_chat_list_awaited_chosen(self, event: ChatList.AwaitedChosen) -> None:
        self.posted.append(event)

    def lines(self) -> list[str]:
        return [self.chats.render_line(y).text for y in range(self.chats.size.height)]

    def opened(self) -> list[str]:
        return [each.chat for each in self.posted if isinstance(each, intents.OpenChat)]


Steps = Callable[[Desk, Pilot[None]], Coroutine[Any, Any, None]]


def at(steps: Steps, size: tuple[int, int] = (24, 8)) -> None:
    async def main() -> None:
        desk = Desk()
        async with desk.run_test(size=size) as pilot:
            await steps(desk, pilot)

    run(main())


def test_a_line_says_presence_name_verified_and_unread() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show(
            [
                chat("a", "Ann", verified=True, unread=2),
                chat("b", "Bob", route=None),
                chat("c", "Carol", state="waiting", route=None),
                chat("d", "Dave", state="blocked", route=None),
                chat("e", "Eve", unread=5000),
            ],
            "a",
        )
        assert desk.lines()[:6] == [
            "▎1 ● Ann ✓           2  ",
            " 2 ○ Bob                ",
            " 3 … Carol              ",
            " 4 ✗ Dave               ",
            " 5 ● Eve          999+  ",
            "                        ",
        ]

    at(steps)


@pytest.mark.parametrize(
    "name", ["x" * 64, "名" * 40, "سلام" * 16, "👨‍👩‍👧" * 20, "\u0300" * 64, "[@click=app.quit]x[/]"]
)
@pytest.mark.parametrize("width", [3, 9, 24])
def test_no_name_breaks_a_line(name: str, width: int) -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat("a", name, unread=3, verified=True)], "a")
        strip = desk.chats.render_line(0)
        assert strip.cell_length == width
        assert not any(segment.style and segment.style.meta for segment in strip)

    at(steps, (width, 4))


def test_a_long_name_ends_in_dots_and_keeps_the_count() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat("a", "n" * 40, unread=12)], None)
        assert desk.lines()[0] == " 1 ● " + "n" * 12 + "…  12  "

    at(steps)


def test_two_lines_say_when_and_what_was_said_last() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.set_lines(2)
        last = message(0, "Trams stop\nat eight", at=NOW)
        desk.chats.show(
            [
                chat("a", "Ann", unread=2)._replace(last=last),
                chat("b", "Bob", route="circuit")._replace(last=message(0, "yes", mine=True, at=NOW.replace(day=20))),
                chat("c", "Carol", state="waiting", route=None),
                chat("d", "Dave")._replace(draft="I wanted to"),
                chat("e", "Eve", state="blocked", route=None)._replace(last=last),
            ],
            "d",
        )
        assert desk.lines() == [
            " 1 ● Ann          10:30 ",
            "     Trams stop at…  2  ",
            " 2 ◐ Bob            Fri ",
            "     you: yes        ✓✓ ",
            " 3 … Carol              ",
            "     has not accepted…  ",
            "▎4 ● Dave               ",
            "▎    draft: I wanted to ",
            " 5 ✗ Eve          10:30 ",
            "     blocked            ",
        ]
        await pilot.click(ChatList, offset=(5, 3))
        assert desk.opened() == ["b"]

    at(steps, (24, 10))


def test_the_list_follows_the_chat_that_is_shown() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.set_lines(2)
        desk.set_focus(None)
        chats = [chat(str(number)) for number in range(50)]
        desk.chats.show(chats, "0", 1)
        await pilot.pause()
        desk.chats.show(chats, "30", 1)
        await pilot.pause()
        lines = desk.lines()
        assert any("● 30 " in line for line in lines[:-1]), "not below the line of the requests"
        assert lines[-1].startswith(" + 1 request ")

    at(steps)


def test_keys_go_through_it_and_open() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat(name) for name in "abc"], "b")
        desk.chats.focus()
        await pilot.press("down", "enter", "k", "k", "k", "enter", "end", "enter", "escape")
        assert desk.opened() == ["c", "a", "c"]
        assert isinstance(desk.posted[-1], ChatList.Left)

    at(steps)


def test_requests_stand_below_and_can_be_opened() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat("a")], "a", 2)
        assert desk.lines()[7] == " + 2 requests    Ctrl+R "
        desk.chats.focus()
        await pilot.press("end", "enter")
        [posted] = desk.posted
        assert isinstance(posted, intents.RunCommand)
        assert posted.name == "requests"

    at(steps)


def test_a_click_opens_what_it_is_on() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat(name) for name in "abc"], "a", 1)
        await pilot.click(ChatList, offset=(5, 1))
        await pilot.click(ChatList, offset=(5, 4))  # nothing is there
        assert len(desk.posted) == 1
        await pilot.click(ChatList, offset=(5, 7))
        assert desk.opened() == ["b"]
        assert isinstance(desk.posted[-1], intents.RunCommand)

    at(steps)


def test_the_cursor_stays_on_its_chat_when_the_order_changes() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat(name) for name in "abc"], "a")
        desk.chats.focus()
        await pilot.press("down")
        desk.chats.show([chat(name) for name in "cab"], "a")
        await pilot.press("enter")
        assert desk.opened() == ["b"]

    at(steps)


def test_a_thousand_chats_scroll() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat(str(number)) for number in range(1000)], "0")
        desk.chats.focus()
        await pilot.press("end")
        await pilot.pause()
        assert any(" 999 " in line for line in desk.lines())
        await pilot.press("enter")
        assert desk.opened() == ["999"]

    at(steps)


def test_of_a_thousand_chats_those_in_sight_are_drawn_anew_where_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, drawn = list[str](), list[int]()
    chats = [chat(f"{number}") for number in range(1000)]

    def order(looked_at: Chat, now: datetime) -> str:
        looked.append(looked_at.id)
        return ""

    monkeypatch.setattr(chatlist, "order", order)

    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show(chats, "0")
        desk.chats.scroll_to(y=500, animate=False, force=True)
        await pilot.pause()
        monkeypatch.setattr(desk.chats, "refresh_line", drawn.append)
        looked.clear()
        chats[100] = chats[100]._replace(unread=1)
        chats[503] = chats[503]._replace(unread=1)
        desk.chats.show(chats, "0")
        assert set(looked) == {f"{number}" for number in range(500, 508)}
        assert drawn == [503]

    at(steps)


@pytest.mark.parametrize("two", [True, False])
def test_a_group_that_is_waited_for_stands_behind_the_chats(two: bool) -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.set_lines(2 if two else 1)
        desk.chats.show([chat("a", "anna")], "a", awaited=[AwaitedGroup("climbers"), AwaitedGroup("x" * 50)])
        lines = desk.lines()
        if two:
            assert lines[2:6] == [
                f"   … {'climbers':24} ",
                f"     {'waiting for an admin':24} ",
                f"   … {'x' * 23}… ",
                lines[3],
            ]
        else:
            assert lines[1:3] == [f"   … {'climbers':13} not in yet ", f"   … {'x' * 12}… not in yet "]
        desk.chats.focus()
        await pilot.press("down", "enter")
        assert desk.posted == [ChatList.AwaitedChosen("climbers")]
        desk.chats.show([chat("a", "anna")], "a")
        assert "climbers" not in "".join(desk.lines())

    at(steps, (30, 8))


def test_a_group_says_how_many_ask_to_join_it() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.chats.show([chat("a", "friends", kind="group", state="group", requests=2, unread=3)], "a")
        assert desk.lines()[0].endswith(" +2  3  ")
        desk.chats.show([chat("a", "friends", kind="group", state="group", unread=3)], "a")
        assert "+" not in desk.lines()[0]

    at(steps)
