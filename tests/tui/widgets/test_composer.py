"""The composer: keys, history, drafts, completion, paste."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from p2pchat.tui import intents
from p2pchat.tui.commands import Completion, completions
from p2pchat.tui.intents import Intent
from p2pchat.tui.widgets.composer import MAX_LINES, Composer, Entry
from p2pchat.tui.widgets.suggestions import Suggestions
from tests.tui.conftest import run


class Desk(App[None]):
    """A composer, and what it posts."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = Entry(self.complete)
        self.posted: list[Intent] = []

    @property
    def composer(self) -> Composer:
        return self.entry.composer

    def complete(self, line: str) -> Sequence[Completion]:
        return completions(line, ["Bob", "bobby"], ["Eve"])

    def compose(self) -> ComposeResult:
        yield self.entry

    def on_mount(self) -> None:
        self.composer.show("bob", "", "write")
        self.composer.focus()

    def on_submitted(self, event: intents.Submitted) -> None:
        self.posted.append(event)

    def on_draft_changed(self, event: intents.DraftChanged) -> None:
        self.posted.append(event)

    def on_copy_text(self, event: intents.CopyText) -> None:
        self.posted.append(event)

    def on_composer_upwards(self, event: Composer.Upwards) -> None:
        self.posted.append(event)

    def sent(self) -> list[tuple[str, str | None]]:
        return [(each.text, each.chat) for each in self.posted if isinstance(each, intents.Submitted)]

    def drafts(self) -> list[tuple[str, str]]:
        return [(each.chat, each.text) for each in self.posted if isinstance(each, intents.DraftChanged)]


Steps = Callable[[Desk, Pilot[None]], Coroutine[Any, Any, None]]


def at(steps: Steps, size: tuple[int, int] = (60, 20)) -> None:
    """Take these steps on a desk."""

    async def main() -> None:
        desk = Desk()
        async with desk.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(desk, pilot)

    run(main())


def test_the_name_of_an_emoji_becomes_it_with_its_last_colon() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        async def typed(text: str) -> str:
            await pilot.press(*({":": "colon", " ": "space", "\n": "ctrl+j"}.get(letter, letter) for letter in text))
            return desk.composer.text

        assert await typed("ok :tada:") == "ok 🎉"
        await pilot.press("ctrl+underscore")
        assert desk.composer.text == "ok :tada"  # undo brings the name back
        assert await typed(": :tada:") == "ok :tada: 🎉"  # and there it stays a name
        desk.composer.clear()
        assert await typed("` :tada:` :tada:") == "` :tada:` 🎉"  # in code, names stay names
        desk.composer.clear()
        assert await typed("1:30: :zz:") == "1:30: :zz:"
        desk.composer.clear()
        assert await typed(":tad") == ":tad"
        await pilot.press("tab")
        assert desk.composer.text == "🎉"
        assert await typed("\n:+1") == "🎉\n:+1"
        await pilot.press("home", "tab")  # what is completed is the end, so only from there
        assert desk.composer.text == "🎉\n:+1"

    at(steps)


def test_what_is_written_before_a_chat_is_open_goes_to_the_first_one() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.composer.show(None, "", "")
        await pilot.press(*"too")
        desk.composer.show("bob", "", "write")
        await pilot.press(*"early")
        assert desk.composer.text == "tooearly"
        assert desk.drafts()[-1] == ("bob", "tooearly")
        desk.composer.show("carol", "", "write")
        assert desk.composer.text == ""
        desk.composer.show(None, "", "")
        await pilot.press(*"more")
        desk.composer.show("bob", "a draft", "write")
        assert desk.composer.text == "a draft\nmore"

    at(steps)


async def paste(desk: Desk, pilot: Pilot[None], text: str) -> None:
    desk.composer.post_message(events.Paste(text))
    await pilot.pause()


def test_enter_sends_and_ctrl_j_makes_a_line() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("h", "i", "ctrl+j", "y", "o", "u", "enter")
        assert desk.sent() == [("hi\nyou", "bob")]
        assert desk.composer.text == ""
        await pilot.press("enter")
        await pilot.press("space", "enter")
        assert len(desk.sent()) == 1  # nothing, and nothing but a space, is no message

    at(steps)


def test_what_is_typed_right_after_enter_is_the_next_text() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        # All at once, as a terminal gives them to somebody quick: none waits until the app is done with the one before.
        for key in ("o", "n", "e", "enter", "t", "w", "o", "enter", "x"):
            desk.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        await pilot.pause()
        assert desk.sent() == [("one", "bob"), ("two", "bob")]
        assert desk.composer.text == "x"

    at(steps)


@pytest.mark.parametrize("key", ["alt+1", "alt+a", "ctrl+n", "ctrl+o"])
def test_a_key_of_somebody_else_writes_nothing(key: str) -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        # A terminal sends Alt+1 as Esc 1, and Textual gives the key the character 1.
        desk.post_message(events.Key(key, key[-1]))
        await pilot.pause()
        assert desk.composer.text == ""

    at(steps)


def test_a_paste_of_many_lines_is_one_text() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await paste(desk, pilot, "one\rtwo\r\nthree\n")
        assert desk.composer.text == "one\ntwo\nthree\n"
        assert desk.sent() == []

    at(steps)


def test_a_paste_cannot_command_the_terminal() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await paste(desk, pilot, "a\x1b]52;c;aGk=\x07\x9b2Jb")
        assert not set(desk.composer.text) & set("\x1b\x07\x9b")
        assert desk.composer.text.startswith("a")

    at(steps)


def test_letters_that_nobody_sees_are_letters() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        for event in XTermParser().feed("می\u200cروم\u200f"):
            desk.post_message(event)
        await pilot.pause()
        assert desk.composer.text == "می\u200cروم\u200f"

    at(steps)


def test_joined_emoji_are_shown_apart_and_sent_joined() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        family = "👩\u200d👩\u200d👧"
        desk.composer.show("eve", family, "write")
        assert cell_len(desk.composer.text) == 6  # as wide as a terminal draws it that does not join
        await paste(desk, pilot, family)
        assert desk.composer.written == 2 * family
        await pilot.press("enter")
        assert desk.sent() == [(2 * family, "eve")]
        assert desk.drafts()[0] == ("eve", 2 * family)
        desk.composer.give_back("eve", family)
        assert (cell_len(desk.composer.text), desk.composer.written) == (6, family)

    at(steps)


def test_it_grows_with_the_text_and_stops() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        heights = []
        for _ in range(MAX_LINES + 3):
            await pilot.pause()
            heights.append(desk.composer.size.height)
            await pilot.press("a", "ctrl+j")
        assert heights[:3] == [1, 2, 3]
        assert max(heights) == MAX_LINES

    at(steps)


def test_what_was_written_before_comes_back() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        for text in ("one", "two"):
            await pilot.press(*text, "enter")
        await pilot.press("n", "e", "w", "up")
        assert desk.composer.text == "two"
        await pilot.press("up", "up")
        assert desk.composer.text == "one"
        await pilot.press("down", "down")
        assert desk.composer.text == "new"  # what was being written is not lost
        await pilot.press("alt+p", "alt+p", "alt+n")
        assert desk.composer.text == "two"

    at(steps)


def test_the_history_of_a_chat_is_its_own() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"secret", "enter")
        desk.composer.show("carol", "", "write")
        await pilot.press("alt+p")
        assert desk.composer.text == ""
        desk.composer.show("bob", "", "write")
        await pilot.press("alt+p")
        assert desk.composer.text == "secret"

    at(steps)


def test_what_disappears_or_was_deleted_does_not_come_back() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        desk.composer.show("bob", "", "write", timed=True)
        await pilot.press(*"timed", "enter", *"begun", "ctrl+c", "alt+p")
        assert desk.composer.text == ""
        desk.composer.show("bob", "", "write")
        await pilot.press(*"one", "enter", *"//two", "enter", *"three", "enter")
        desk.composer.became("bob", "/two", "id of two")
        desk.composer.forget("bob", "id of two")
        await pilot.press("alt+p", "alt+p")
        assert desk.composer.text == "one"
        await pilot.press("alt+n", "alt+n")
        desk.composer.forget("bob")
        await pilot.press("alt+p")
        assert desk.composer.text == ""

    at(steps)


def test_up_moves_within_a_text_of_lines_first() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"old", "enter", "a", "ctrl+j", "b", "up", "x")
        assert desk.composer.text == "ax\nb"
        await pilot.press("up")
        assert desk.composer.text == "old"

    at(steps)


def test_up_in_an_empty_composer_leads_to_the_messages() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("up")
        assert [type(each) for each in desk.posted] == [Composer.Upwards]

    at(steps)


def test_drafts_are_told_for_the_chat_they_are_of() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("h", "i")
        assert desk.drafts() == [("bob", "h"), ("bob", "hi")]
        # The last key and the change of the chat come together: the key is still Bob's.
        desk.composer.insert("!")
        desk.composer.show("carol", "for carol", "write")
        await pilot.pause()
        assert desk.drafts()[2:] == [("bob", "hi!")]
        assert desk.composer.text == "for carol"
        await pilot.press("?")
        assert desk.drafts()[3:] == [("carol", "for carol?")]

    at(steps)


def test_showing_the_same_chat_again_leaves_the_text() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("h", "i")
        desk.composer.show("bob", "", "offline now")
        assert desk.composer.text == "hi"
        assert str(desk.composer.placeholder) == "offline now"

    at(steps)


def test_a_text_that_could_not_be_sent_stands_before_the_next() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"lost", "enter", *"next")
        assert desk.composer.give_back("bob", "lost")
        assert desk.composer.text == "lost\nnext"
        assert not desk.composer.give_back("carol", "hers")
        assert desk.composer.text == "lost\nnext"
        desk.composer.show("dave", "", "write")
        assert desk.composer.give_back("dave", "only")
        assert desk.composer.text == "only"

    at(steps)


def test_ctrl_c_copies_what_is_selected_and_else_clears() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"hello", "shift+left", "shift+left", "ctrl+c")
        [copied] = [each for each in desk.posted if isinstance(each, intents.CopyText)]
        assert copied.text == "lo"
        assert desk.composer.text == "hello"
        await pilot.press("end", "ctrl+c")
        assert desk.composer.text == ""
        await pilot.press("alt+p")
        assert desk.composer.text == "hello"

    at(steps)


def test_the_keys_of_readline() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"one two", "ctrl+w")
        assert desk.composer.text == "one "
        await pilot.press("ctrl+a", "x", "ctrl+e", "y")
        assert desk.composer.text == "xone y"
        await pilot.press("ctrl+u")
        assert desk.composer.text == ""
        await pilot.press(*"ab", "ctrl+a", "ctrl+k")
        assert desk.composer.text == ""
        await pilot.press("ctrl+underscore")
        assert desk.composer.text == "ab"

    at(steps)


def shown(desk: Desk) -> list[str]:
    return [line for box in desk.entry.query(Suggestions) if box.display for line in str(box.content).split("\n")]


def test_tab_completes_and_the_ways_to_go_on_are_shown() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("/", "v", "e")
        assert shown(desk) == ["/verify [NAME]  compare safety numbers with a contact"]
        await pilot.press("tab")
        assert desk.composer.text == "/verify "
        await pilot.press("b", "tab")
        assert desk.composer.text == "/verify Bob"
        assert [line.split()[0] for line in shown(desk)] == ["Bob", "bobby"]
        await pilot.press("tab")
        assert desk.composer.text == "/verify Bob"
        await pilot.press("tab")
        assert desk.composer.text == "/verify bobby"
        await pilot.press("tab")
        assert desk.composer.text == "/verify Bob"
        await pilot.press("enter")
        assert desk.sent() == [("/verify Bob", "bob")]
        assert shown(desk) == []

    at(steps)


def test_no_more_ways_are_shown_than_there_is_room() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press("/")
        assert len(shown(desk)) == 3
        assert shown(desk)[-1].split()[-1].startswith("+")

    at(steps, (40, 12))


def test_a_text_has_no_completion() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"hello", "tab")
        assert desk.composer.text == "hello"
        assert desk.composer.has_focus
        assert shown(desk) == []

    at(steps)


def test_undo_brings_back_what_was_cleared() -> None:
    async def steps(desk: Desk, pilot: Pilot[None]) -> None:
        await pilot.press(*"hello", "ctrl+c")
        assert desk.composer.text == ""
        await pilot.press("ctrl+underscore")
        assert desk.composer.text == "hello"

    at(steps)
