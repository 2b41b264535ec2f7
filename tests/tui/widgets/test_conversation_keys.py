"""The conversation: what keys and mouse do to it."""

from __future__ import annotations

from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input

from p2pchat.tui.intents import CopyText, DeleteMessage, ExplainMessage
from p2pchat.tui.widgets.conversation import Conversation
from tests.tui.conftest import run
from tests.tui.conversing import message, messages
from tests.tui.conversing_app import shown


def test_selecting_copying_deleting_explaining() -> None:
    async def main() -> None:
        async with shown(messages(50)) as it:
            it.conversation.focus()
            await it.settled()
            assert it.conversation.selected == message(49)
            await it.press("k", "up", "y")
            assert it.told(CopyText) == [CopyText("message 47")]
            assert it.rows()[-1].startswith(" r reply  y copy  + react  w why  d delete  p pin  Esc back")
            assert it.rows()[-1].endswith("16:50")
            await it.press("d", "j", "enter")
            assert it.told(DeleteMessage) == [DeleteMessage(message(47))]
            assert it.told(ExplainMessage) == [ExplainMessage(message(48))]
            await it.press("escape")
            assert it.conversation.selected is None
            assert len(it.told(Conversation.Closed)) == 1

    run(main())


def test_the_selected_one_has_a_marker_that_needs_no_colour() -> None:
    async def main() -> None:
        async with shown([message(0, "one\ntwo")]) as it:
            it.conversation.focus()
            await it.settled()
            assert [row[0] for row in it.rows()[-3:-1]] == ["▌", "▌"]

    run(main())


def test_pages_home_and_end() -> None:
    async def main() -> None:
        async with shown(messages(300)) as it:
            it.conversation.focus()
            await it.settled()
            await it.press("pageup")
            assert it.conversation.selected is not None
            assert it.conversation.selected.text in it.texts()[0]
            for _ in range(4):
                await it.press("home")
            assert it.conversation.selected == message(0)
            await it.press("end")
            assert it.conversation.selected == message(299)

    run(main())


def test_a_long_message_is_read_to_its_end_before_the_next() -> None:
    async def main() -> None:
        held = [message(0), message(1, "word " * 600), message(2)]
        async with shown(held) as it:
            it.conversation.focus()
            await it.settled()
            await it.press("up")
            first = it.rows()
            await it.press("down")
            assert it.conversation.selected == held[1]
            assert it.rows() != first
            for _ in range(5):
                await it.press("down")
            assert it.conversation.selected == held[2]

    run(main())


def test_the_one_below_is_selected_when_the_selected_one_is_deleted() -> None:
    async def main() -> None:
        async with shown(messages(5)) as it:
            it.conversation.focus()
            await it.settled()
            await it.press("up")
            it.conversation.removed(message(3).id)
            assert it.conversation.selected == message(4)
            it.conversation.removed(message(4).id)
            assert it.conversation.selected == message(2)

    run(main())


def test_the_selection_outlives_a_look_at_another_window() -> None:
    async def main() -> None:
        async with shown(messages(50)) as it:
            it.conversation.focus()
            await it.settled()
            await it.press("up")
            it.host.app_focus = False
            await it.settled()
            it.host.app_focus = True
            await it.settled()
            assert it.conversation.selected == message(48)
            it.host.query_one(Input).focus()
            await it.settled()
            assert it.conversation.selected is None

    run(main())


def test_a_narrow_screen_says_what_it_has_room_for() -> None:
    async def main() -> None:
        held = [message(0, mine=True, route="circuit")]
        for size, bar in [
            ((140, 12), "delivered · through a relay · Friday 20 November 09:00"),
            ((100, 12), "delivered · 09:00"),
            ((40, 12), "Esc back"),
        ]:
            async with shown(held, size=size) as it:
                it.conversation.focus()
                await it.settled()
                assert it.rows()[-1].endswith(bar)
                assert it.rows()[-1].startswith(" r ")

    run(main())


def test_copied_is_what_was_written() -> None:
    async def main() -> None:
        text = "سلام، می\u200cخواهم 👨\u200d👩\u200d👧"
        async with shown([message(0, text)]) as it:
            it.conversation.focus()
            await it.settled()
            await it.press("y")
            assert it.told(CopyText) == [CopyText(text)]

    run(main())


def test_mouse() -> None:
    async def main() -> None:
        async with shown(messages(100)) as it:
            await it.pilot.click(Conversation, offset=(30, 17))
            await it.settled()
            assert it.conversation.selected == message(97)
            assert it.conversation.has_focus
            await it.pilot.click(Conversation, offset=(30, 5), times=2)
            await it.settled()
            assert it.told(CopyText) == [CopyText(it.conversation.selected.text)]

    run(main())


def test_the_wheel_scrolls_and_leaves_the_focus() -> None:
    async def main() -> None:
        async with shown(messages(100)) as it:
            await it.pilot._post_mouse_events([MouseScrollUp], Conversation, (10, 10))
            await it.settled()
            assert "↓ newest" in it.rows()[-1]
            assert it.host.query_one(Input).has_focus
            await it.pilot._post_mouse_events([MouseScrollDown], Conversation, (10, 10))
            assert it.texts()[-1] == "message 99"

    run(main())


def test_an_empty_chat_gives_the_focus_back() -> None:
    async def main() -> None:
        async with shown([]) as it:
            it.conversation.focus()
            await it.settled()
            assert len(it.told(Conversation.Closed)) == 1

    run(main())
