"""Text marked with the mouse: which characters are copied, and that it stays where it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from textual.events import MouseMove
from textual.pilot import Pilot
from textual.widget import Widget

from p2pchat.tui.intents import CopyText
from tests.tui.conftest import run
from tests.tui.conversing import message, messages
from tests.tui.conversing_app import Shown, shown

Spot = tuple[int, int]


async def drag(pilot: Pilot[None], widget: Widget, *spots: Spot) -> None:
    """Press the mouse at the first spot, move over the others, release it at the last."""
    await pilot.mouse_down(widget, offset=spots[0])
    for spot in spots[1:]:
        # `hover` is a mouse that nobody presses.
        await pilot._post_mouse_events([MouseMove], widget, spot, button=1)
    await pilot.mouse_up(widget, offset=spots[-1])
    await pilot.pause()


def find(it: Shown, words: str) -> Spot:
    for y, row in enumerate(it.rows()):
        if words in row:
            return cell_len(row[: row.index(words)]), y
    raise AssertionError(it.rows())


def marked(texts: Sequence[str], begin: str, end: str, size: tuple[int, int] = (60, 21), more: int = 0) -> str:
    """What is marked from the beginning of some words to `more` cells behind the beginning of others."""

    async def main() -> str:
        async with shown([message(number, text) for number, text in enumerate(texts)], size=size) as it:
            (x, y), (right, below) = find(it, begin), find(it, end)
            await drag(it.pilot, it.conversation, (x, y), (right + more, below))
            return it.conversation.marks.text

    return run(main())


LONG = "one two three four five six seven eight nine ten eleven twelve"


@pytest.mark.parametrize(
    ("texts", "begin", "end", "more", "text"),
    [
        (["hello there"], "ello", "there", 1, "ello th"),
        (["hello there"], "there", "ello", 0, "ello t"),
        ([LONG], "two", "twelve", 5, LONG[4:]),
        (["a\tb\n\n  c"], "a", "c", 0, "a   b\n\n  c"),
        (["first", "second", "third"], "irst", "thi", 2, "irst\nsecond\nthi"),
        (["see **bold** and `code` here"], "bold", "code", 9, "bold and code here"),
        (["run:\n```sh\nls -l\n```\ndone"], "un", "done", 3, "un:\nls -l\ndone"),
        (["run:\n```sh\nls -l\n```\ndone"], "s -l", "s -l", 2, "s -"),
        (["> quoted\nanswer"], "uoted", "answer", 1, "uoted\nan"),
        (["漢字かな交じり文"], "字", "り", 0, "字かな交じり"),
    ],
)
def test_what_is_marked_is_the_text_as_it_was_written(
    texts: list[str], begin: str, end: str, more: int, text: str
) -> None:
    assert marked(texts, begin, end, more=more) == text


def test_right_to_left_lines_are_marked_whole_and_copied_as_written() -> None:
    persian = "سلام دنیا"

    async def main() -> None:
        async with shown([message(0, persian)]) as it:
            y = next(y for y, row in enumerate(it.rows()) if "ﻼ" in row or "ﻡ" in row or "م" in row)
            row = it.rows()[y]
            await drag(it.pilot, it.conversation, (len(row) - 4, y), (len(row) - 2, y))
            assert it.conversation.marks.text == persian

    run(main())


def test_marks_can_be_seen_copied_and_given_up() -> None:
    async def main() -> None:
        async with shown([message(0, "hello there")]) as it:
            conversation = it.conversation
            x, y = find(it, "hello")
            await drag(it.pilot, conversation, (x, y), (x + 2, y), (x + 4, y))
            strip = conversation.render_line(find(it, "hello")[1])
            seen = "".join(part.text for part in strip if part.style is not None and part.style.reverse)
            assert seen == "hello"
            assert conversation.selected is None, "a mark is no click"
            assert it.rows()[-1].startswith(" Ctrl+C copy the text")
            await it.pilot.click(conversation, offset=(9, len(it.rows()) - 1))
            await it.settled()
            assert it.told(CopyText) == [CopyText("hello")]
            assert conversation.marks.text == ""
            await drag(it.pilot, conversation, (x, y), (x + 2, y))
            assert conversation.marks.text == "hel"
            await it.pilot.click(conversation, offset=(x, y - 1))
            assert conversation.marks.text == ""
            assert [conversation.selected] == [message(0, "hello there")]

    run(main())


def test_what_is_marked_stays_when_messages_come_and_the_width_changes() -> None:
    async def main() -> None:
        async with shown(messages(5)) as it:
            x, y = find(it, "message 3")
            await drag(it.pilot, it.conversation, (x, y), (x + 8, y + 1))
            before = it.conversation.marks.text
            assert before == "message 3\nmessage 4"
            it.conversation.add([message(5), message(6)])
            await it.pilot.resize_terminal(44, 12)
            await it.settled()
            assert it.conversation.marks.text == before
            it.conversation.removed(message(3).id)
            assert it.conversation.marks.text == ""

    run(main())
