"""What is on the screen: nothing jumps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.tui.widgets.rendering import Block, Look
from p2pchat.tui.widgets.viewport import Blocks, RowPosition, Viewport
from p2pchat.tui.widgets.window import Window
from tests.tui.conversing import NOW, START, message, messages


def view(count: int, height: int = 10, cells: int = 80, *, text: str | None = None, first: int = 0) -> Viewport:
    window = Window()
    at = (START + timedelta(minutes=minute) for minute in range(first, first + count))
    window.fill(
        [message(number, text, at=next(at)) for number in range(first, first + count)], at_start=True, at_end=True
    )
    made = Viewport(window, Blocks(window, Look(cells, "bob", "", NOW.date())))
    made.height = height
    return made


def ids(made: Viewport) -> list[tuple[str, int]]:
    """What the rows show: message and row below its name and date."""
    window, block = made._window, made._block
    return [(window[place.item].id, place.row - block(place.item).lead) for place in made.rows()]


def test_the_end_is_followed() -> None:
    made = view(50)
    assert [place.item for place in made.rows()] == list(range(40, 50))
    made._window.live(messages(3, 50), following=made.following)
    assert made.rows()[-1].item == 52


def test_little_is_shown_whole() -> None:
    made = view(2)
    assert len(made.rows()) == 4  # a date, a space, two messages
    assert not made.scroll(-5)
    assert made.following
    assert view(0).rows() == []


def test_scrolling_up_leaves_the_end_and_down_finds_it_again() -> None:
    made = view(50)
    assert made.scroll(-3)
    assert not made.following
    assert made.rows()[0].item == 37
    assert made.scroll(2)
    assert not made.following
    assert made.scroll(1)
    assert made.following


def test_nothing_moves_when_something_comes() -> None:
    made = view(50)
    made.scroll(-20)
    before = ids(made)
    made._window.live(messages(30, 50), following=made.following)
    made.settle()
    assert ids(made) == before


def test_nothing_moves_when_older_ones_are_read() -> None:
    made = view(50, first=100)
    made.scroll(-1000)
    made.scroll(3)  # below the date, which goes when there is something above it
    before = ids(made)
    made._window.above(messages(100), at_start=True)
    made.settle()
    assert ids(made) == before


def test_the_top_is_kept_when_the_width_changes() -> None:
    made = view(20, text="one two three four five six seven eight nine ten " * 12)
    made.scroll(-33)
    index, row = made.top()
    block = made._block(index)
    assert isinstance(made._block, Blocks)
    start = block.starts[row - block.lead]
    for cells in (40, 120, 25, 80):
        made._block.look = Look(cells, "bob", "", NOW.date())
        made.settle()
        now, line = made.top()
        starts = made._block(now).starts
        at = line - made._block(now).lead
        assert now == index
        assert starts[at] <= start
        assert at + 1 == len(starts) or starts[at + 1] > start
    assert made.top() == RowPosition(index, row), "there and back"


def test_the_next_one_is_at_the_top_when_the_first_is_deleted() -> None:
    made = view(50)
    made.scroll(-20)
    shown = ids(made)
    made.forget(shown[0][0])
    made._window.remove(shown[0][0])
    made.settle()
    assert ids(made)[:8] == shown[1:9]


def test_a_message_is_revealed_with_the_least_movement() -> None:
    made = view(50)
    made.reveal(45)
    assert made.following, "it was there"
    made.reveal(30)
    assert made.rows()[0].item in (29, 30)
    made.reveal(45)
    assert made.rows()[-1].item == 45
    made.reveal(49)
    assert made.following


def test_a_message_larger_than_the_screen_is_revealed_at_its_beginning() -> None:
    made = view(3, text="word " * 400)
    made.reveal(1)
    assert made.rows()[0] == RowPosition(1, 0)
    assert made.hidden_below(1)
    assert not made.hidden_above(1)
    made.scroll(4)
    assert made.hidden_above(1)


def test_only_what_fits_is_laid_out() -> None:
    laid = []

    def block(index: int) -> Block:
        laid.append(index)
        return blocks(index)

    window = Window()
    window.fill(messages(300), at_start=True, at_end=True)
    blocks = Blocks(window, Look(80, "bob", "", NOW.date()))
    made = Viewport(window, block)
    made.height = 20
    made.rows()
    assert set(laid) <= set(range(279, 300))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("scroll"), st.integers(-40, 40)),
        st.tuples(st.just("height"), st.integers(1, 40)),
        st.tuples(st.just("cells"), st.sampled_from([10, 20, 39, 60, 80, 200])),
        st.tuples(st.just("come"), st.integers(1, 60)),
        st.tuples(st.just("above"), st.integers(0, 60)),
        st.tuples(st.just("reveal"), st.integers(0, 500)),
        st.tuples(st.just("show"), st.integers(0, 500)),
    ),
    max_size=30,
)


@given(steps, st.sampled_from(["", "word " * 30, "x" * 300]))
def test_the_screen_is_full_and_in_order_whatever_happens(done: list[tuple[str, int]], text: str) -> None:
    made = view(30, first=1000, text=text)
    window, oldest, newest = made._window, 1000, 1030
    assert isinstance(made._block, Blocks)
    for what, number in done:
        before = (made.following, ids(made)) if what in ("come", "above") else None
        if what == "scroll":
            made.scroll(number)
        elif what == "height":
            made.height = number
        elif what == "cells":
            made._block.look = Look(number, "bob", "", NOW.date())
        elif what == "come":
            window.live(messages(number, newest), following=made.following)
            newest += number
        elif what == "above":
            if oldest - number < 0:
                continue
            window.above(messages(number, oldest - number), at_start=False)
            oldest -= number
        elif what == "reveal":
            made.reveal(number % len(window))
        else:
            made.show(number % len(window))
        made.settle()
        rows = made.rows()
        assert rows == sorted(rows)
        assert len(set(rows)) == len(rows)
        total = sum(len(made._block(index).rows) for index in range(len(window)))
        assert len(rows) == min(made.height, total)
        if made.following and window.at_end:
            last = len(window) - 1
            assert rows[-1] == RowPosition(last, len(made._block(last).rows) - 1)
        if before and not before[0] and window.index(before[1][0][0]) is not None and before[1][0][1] >= 0:
            assert ids(made)[0] == before[1][0], "what was at the top stays there"
        if what == "reveal":
            index = number % len(window)
            lead, count = made._block(index).lead, len(made._block(index).rows)
            shown = {place.row for place in rows if place.item == index}
            assert lead in shown or count - lead > made.height, "its beginning"
            assert shown & set(range(lead, count))


@pytest.mark.parametrize("cells", [1, 2, 5, 10])
def test_no_width_is_too_small(cells: int) -> None:
    made = view(10, cells=cells, text="hello world 👍👍 سلام")
    assert made.rows()
