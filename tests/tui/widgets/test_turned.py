"""Right-to-left text while it is written: in the order in which it is read, with the cursor at its letter."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from p2pchat.tui.rtl import visual_line
from p2pchat.tui.widgets.turned import TurnedArea
from tests.tui.conftest import run
from tests.tui.pictures import take

PERSIAN = "کتاب خوب"
CELLS = 20


class Page(App[None]):
    """One text area. `turns_text` is what the real app says where p2pchat turns right-to-left text."""

    CSS = "TurnedArea { border: none; padding: 0; width: 20; height: 4; scrollbar-size-vertical: 0; }"
    turns_text = True

    def __init__(self) -> None:
        super().__init__()
        self.area = TurnedArea()
        self.area.cursor_blink = False

    def compose(self) -> ComposeResult:
        yield self.area

    @property
    def rows(self) -> list[str]:
        return [row.ljust(CELLS)[:CELLS] for row in take(self).text]

    def reversed(self, row: int = 0) -> list[int]:
        """The cells of a row that look otherwise than most of it: the cursor."""
        letters = take(self).letters[row][:CELLS]
        usual = max(set(letters), key=letters.count)
        return [cell for cell, letter in enumerate(letters) if letter != usual]


def on(steps: Callable[[Page, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        page = Page()
        async with page.run_test(size=(30, 8)) as pilot:
            page.area.focus()
            await steps(page, pilot)

    run(main())


def test_it_stands_at_the_right_joined_and_in_drawing_order() -> None:
    async def steps(page: Page, pilot: Pilot[None]) -> None:
        await pilot.press(*("space" if letter == " " else letter for letter in PERSIAN))
        assert page.area.text == PERSIAN
        assert page.rows[0] == visual_line(PERSIAN).rjust(CELLS)
        assert page.reversed() == [CELLS - 1 - len(PERSIAN)], "the cursor is behind the last letter: at its left"
        await pilot.press("right")
        assert page.area.cursor_location == (0, len(PERSIAN) - 1)
        assert page.reversed() == [CELLS - len(PERSIAN)]
        await pilot.press("left")
        assert page.area.cursor_location == (0, len(PERSIAN))
        page.turns_text = False
        await pilot.press("!")
        assert page.rows[0].strip() == PERSIAN + "!", "the terminal turns it"

    on(steps)


def test_a_line_from_left_to_right_keeps_its_side() -> None:
    async def steps(page: Page, pilot: Pilot[None]) -> None:
        page.area.text = f"see {PERSIAN}"
        page.area.move_cursor(page.area.document.end)
        await pilot.pause()
        assert page.rows[0] == f"see {visual_line(PERSIAN)}".ljust(CELLS)
        assert page.reversed() == [4 + len(PERSIAN)]
        await pilot.press("left")
        assert page.area.cursor_location == (0, 3 + len(PERSIAN))

    on(steps)


def test_a_click_goes_to_the_letter_that_is_drawn_there() -> None:
    async def steps(page: Page, pilot: Pilot[None]) -> None:
        page.area.text = PERSIAN
        await pilot.pause()
        await pilot.click(offset=(CELLS - 1, 0))
        assert page.area.cursor_location == (0, 0)
        await pilot.click(offset=(CELLS - 3, 0))
        assert page.area.cursor_location == (0, 2)
        await pilot.click(offset=(2, 0))
        assert page.area.cursor_location == (0, len(PERSIAN))

    on(steps)


def test_letters_that_are_drawn_as_one_have_the_cursor_at_their_first() -> None:
    async def steps(page: Page, pilot: Pilot[None]) -> None:
        page.area.text = "سلام"
        for column, cell in ((1, CELLS - 2), (2, CELLS - 2), (3, CELLS - 3)):
            page.area.move_cursor((0, column))
            await pilot.pause()
            assert page.reversed() == [cell]

    on(steps)


def test_wrapped_rows_are_turned_one_by_one() -> None:
    async def steps(page: Page, pilot: Pilot[None]) -> None:
        page.area.text = f"{PERSIAN} {PERSIAN} {PERSIAN}"
        page.area.move_cursor((0, 0))
        await pilot.pause()
        first, second = (row.strip() for row in page.rows[:2])
        assert first == visual_line(f"{PERSIAN} {PERSIAN}")
        assert second == visual_line(PERSIAN)
        assert page.reversed() == [CELLS - 1]

    on(steps)
