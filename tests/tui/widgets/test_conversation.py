"""The conversation in an app: what is drawn, what keys and mouse do, what it tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rich.cells import cell_len

from p2pchat.errors import NodeGone, NoSuchMessage
from p2pchat.tui.intents import Seen
from p2pchat.tui.model import CHANNEL, Message
from p2pchat.tui.widgets import rendering, viewport
from p2pchat.tui.widgets.conversation import Conversation
from p2pchat.tui.widgets.rendering import Block
from p2pchat.tui.widgets.window import MAX
from tests.tui.conftest import run
from tests.tui.conversing import ListSource, chat, message, messages
from tests.tui.conversing_app import shown
from tests.tui.test_text import HOSTILE


def test_it_opens_at_the_end() -> None:
    async def main() -> None:
        async with shown(messages(500)) as it:
            assert it.texts()[-1] == "message 499"
            assert len(it.rows()) == 20
            assert it.source.asked[0] == "newest"

    run(main())


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 6), (5, 3), (200, 60)])
def test_every_row_fits_every_size(size: tuple[int, int]) -> None:
    async def main() -> None:
        held = [message(number, text, mine=number % 2 == 0) for number, text in enumerate(HOSTILE)]
        held += [message(100, "שלום"), message(101, "你好" * 50), message(102, "👍" * 200)]
        async with shown(held, chat(label="Алиса\x1b[2J 👍"), size) as it:
            for _ in range(30):
                for y in range(it.conversation.size.height):
                    strip = it.conversation.render_line(y)
                    assert strip.cell_length == size[0]
                    assert cell_len(strip.text) == size[0]
                    for segment in strip:
                        assert not segment.control
                        assert segment.style is None or (segment.style.link is None and not segment.style.meta)
                        assert all(ord(char) >= 32 and not 127 <= ord(char) < 160 for char in segment.text)
                        assert not set(segment.text) & set("\u202e\u2066\u2069")
                it.conversation.page(-1)

    run(main())


def test_who_orders_right_to_left_text_can_be_changed() -> None:
    async def main() -> None:
        async with shown([message(0, "שלום bob")]) as it:
            assert it.rows()[-1].endswith("bob םולש")
            it.conversation.restyle(rtl="terminal")
            assert it.rows()[-1].endswith("  שלום bob")

    run(main())


def test_markup_in_a_message_is_text() -> None:
    async def main() -> None:
        async with shown([message(0, "[bold]x[/bold] [@click=app.quit]y[/]")]) as it:
            assert it.rows()[-1].endswith("[bold]x[/bold] [@click=app.quit]y[/]")
            await it.pilot.click(Conversation, offset=(30, 19))
            await it.settled()
            assert it.conversation.selected is not None
            assert it.host.is_running

    run(main())


def test_what_comes_is_followed_at_the_end_and_leaves_the_view_alone_above() -> None:
    async def main() -> None:
        async with shown(messages(200)) as it:
            it.conversation.add([message(200)])
            assert it.texts()[-1] == "message 200"
            it.conversation.page(-1)
            before = it.texts()[:-1]
            it.conversation.add(messages(3, 201))
            assert it.texts()[: len(before)] == before
            assert "↓ 3 new" in it.rows()[-1]
            assert "Saturday" in it.rows()[-1] or "Yesterday" in it.rows()[-1], "the day one reads is said"
            await it.pilot.click(Conversation, offset=(40, 19))
            await it.settled()
            assert it.texts()[-1] == "message 203"
            assert "new" not in it.rows()[-1]

    run(main())


def test_older_pages_come_as_one_scrolls_and_nothing_jumps() -> None:
    async def main() -> None:
        held = messages(1000)
        async with shown(held) as it:
            seen: list[str] = []
            for _ in range(70):
                it.conversation.page(-1)
                at_once = it.texts()
                await it.settled()
                assert it.texts() == at_once, "what was read above moved nothing"
                seen += [text for text in reversed(at_once) if text not in seen]
            assert seen[-1] == "message 0"
            numbers = sorted(int(text.split()[1]) for text in seen)
            assert numbers == list(range(numbers[-1] + 1)), "none was passed over"
            for _ in range(90):
                it.conversation.page(1)
                await it.settled()
            assert it.texts()[-1] == "message 999"

    run(main())


def test_earlier_posts_of_a_channel_are_asked_for_again_that_no_relay_handed_out() -> None:
    async def main() -> None:
        held = messages(60)
        async with shown(held[30:], chat("channel")._replace(kind=CHANNEL)) as it:
            for _ in range(30):
                it.conversation.page(-1)
                await it.settled()
            assert it.texts()[0] == "message 30"
            asked = len(it.source.asked)
            it.source.held = held
            it.conversation.page(-1)
            await it.settled()
            assert len(it.source.asked) > asked
            it.conversation.page(-1)
            await it.settled()
            assert it.texts()[0] != "message 30"

    run(main())


def test_a_flood_is_held_in_a_small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[Message] = []

    def counted(message: Message, *rest: Any) -> Block:
        laid_out.append(message)
        return rendering.lay_out(message, *rest)

    async def main() -> None:
        async with shown(messages(10)) as it:
            monkeypatch.setattr(viewport, "lay_out", counted)
            for batch in range(100):
                it.conversation.add(messages(50, 10 + 50 * batch))
                it.conversation.update_chat(chat()._replace(unread=batch))
            assert it.texts()[-1] == "message 5009"
            assert len(it.conversation._feed.window) <= MAX
            assert len(laid_out) <= 101 * it.conversation.size.height, "each that is shown, once"

    run(main())


def test_other_chats_messages_are_passed_over() -> None:
    async def main() -> None:
        async with shown(messages(2)) as it:
            it.conversation.add([message(7, chat="d" * 64)])
            assert it.texts() == ["message 0", "message 1"]

    run(main())


def test_a_state_moves_on() -> None:
    async def main() -> None:
        async with shown([message(0, mine=True, state="saved")]) as it:
            assert it.rows()[-1].endswith("◷")
            it.conversation.moved(message(0).id, "delivered", "circuit")
            assert it.rows()[-1].endswith("through a relay ✓✓")

    run(main())


def test_what_happens_while_a_page_is_read_is_not_lost() -> None:
    async def main() -> None:
        async with shown(messages(3)) as it:
            other = "d" * 64
            source = ListSource([message(0, "own", mine=True, state="saved", chat=other), message(1, chat=other)])
            source.hold = asyncio.Event()
            opening = asyncio.create_task(it.conversation.open(chat(id=other), source))
            await it.pilot.pause()
            it.conversation.add([message(2, "came meanwhile", chat=other)])
            it.conversation.moved(message(0).id, "read", None)
            it.conversation.removed(message(1).id)
            source.hold.set()
            await opening
            assert [row.strip() for row in it.rows() if row][-2:] == [
                f"you  09:00  own{'✓✓':>63}",
                "bob  09:20  came meanwhile",
            ]

    run(main())


def test_the_last_chat_asked_for_is_shown() -> None:
    async def main() -> None:
        async with shown(messages(3)) as it:
            slow = ListSource([message(0, "slow", chat="e" * 64)])
            slow.hold = asyncio.Event()
            first = asyncio.create_task(it.conversation.open(chat(id="e" * 64), slow))
            await it.pilot.pause()
            await it.conversation.open(chat(id="f" * 64), ListSource([message(0, "quick", chat="f" * 64)]))
            slow.hold.set()
            await first
            assert it.rows()[-1].endswith("quick")

    run(main())


def test_a_page_of_the_chat_before_is_not_put_into_this_one() -> None:
    async def main() -> None:
        async with shown(messages(300)) as it:
            it.source.hold = asyncio.Event()
            it.conversation.page(-4)
            await it.pilot.pause()
            assert it.source.asked[-1] == "before"
            # Not even where the first message has the same id.
            same = [each._replace(chat="d" * 64, text="other") for each in messages(100, 200)]
            await it.conversation.open(chat(id="d" * 64), ListSource(same))
            it.source.hold.set()
            await it.settled()
            held = it.conversation._feed.window
            assert all(held[index].text == "other" for index in range(len(held)))

    run(main())


def test_an_error_shows_nothing_of_another_chat() -> None:
    async def main() -> None:
        async with shown(messages(3)) as it:
            source = ListSource([])
            source.fail = NodeGone()
            with pytest.raises(NodeGone):
                await it.conversation.open(chat(id="d" * 64, label="carol"), source)
            assert it.texts() == []

    run(main())


def test_a_node_that_goes_while_scrolling_ends_nothing() -> None:
    async def main() -> None:
        async with shown(messages(500)) as it:
            it.source.fail = NodeGone()
            for _ in range(20):
                it.conversation.page(-1)
                await it.settled()
            assert it.host.is_running
            it.source.fail = None
            it.conversation.page(1)
            await it.settled()
            assert it.source.asked[-1] == "before"

    run(main())


# ---------------------------------------------------------------- the unread line, and what was seen


def test_unread_ones_are_below_a_line() -> None:
    async def main() -> None:
        async with shown(messages(200), chat(unread=60, first_unread=message(140).id)) as it:
            rows = it.rows()
            assert " 60 new " in rows[2]
            assert rows[3].endswith("message 140"), "with a little of what was before"
            it.conversation.to_end()
            await it.settled()
            assert it.texts()[-1] == "message 199"

    run(main())


def test_more_unread_than_a_page_opens_where_they_begin() -> None:
    async def main() -> None:
        async with shown(messages(900), chat(unread=700, first_unread=message(200).id)) as it:
            assert it.source.asked[:2] == ["newest", "around"]
            assert " 700 new " in it.rows()[2]
            for _ in range(60):
                it.conversation.page(1)
                await it.settled()
            assert it.texts()[-1] == "message 899"

    run(main())


def test_what_is_on_the_screen_is_told_as_seen() -> None:
    async def main() -> None:
        async with shown(messages(5), chat(unread=2, first_unread=message(3).id)) as it:
            assert it.told(Seen) == [Seen(chat().id, message(4).id)]

    run(main())


def test_what_was_read_before_is_not_told_again() -> None:
    async def main() -> None:
        async with shown(messages(5)) as it:
            assert it.told(Seen) == []

    run(main())


def test_nothing_is_seen_while_the_terminal_has_not_the_focus() -> None:
    async def main() -> None:
        async with shown(messages(5)) as it:
            it.host.app_focus = False
            it.conversation.add(messages(2, 5))
            await it.settled()
            assert it.told(Seen) == []
            assert any(" 2 new " in row for row in it.rows())
            it.host.app_focus = True
            await it.settled()
            assert it.told(Seen) == [Seen(chat().id, message(6).id)]
            it.conversation.add([message(7, mine=True)])
            assert not any(" new " in row for row in it.rows()), "who answers has read"

    run(main())


def test_what_is_below_the_screen_is_not_seen() -> None:
    async def main() -> None:
        async with shown(messages(200)) as it:
            it.conversation.page(-2)
            it.conversation.add([message(200)])
            await it.settled()
            assert Seen(chat().id, message(200).id) not in it.told(Seen)

    run(main())


# ---------------------------------------------------------------- jumps, search, hints, size


def test_jumping_far_and_coming_back() -> None:
    async def main() -> None:
        async with shown(messages(2000)) as it:
            await it.conversation.jump(message(500).id)
            await it.settled()
            assert it.conversation.selected == message(500)
            assert "message 500" in it.texts()
            assert it.conversation.has_focus
            it.conversation.add([message(2000)])
            assert "message 500" in it.texts()
            it.source.held.append(message(2000))
            it.conversation.to_end()
            await it.settled()
            assert it.texts()[-1] == "message 2000"
            with pytest.raises(NoSuchMessage):
                await it.conversation.jump("f" * 32)
            assert it.texts()[-1] == "message 2000"

    run(main())


def test_what_came_late_takes_its_place_when_it_is_read_again() -> None:
    async def main() -> None:
        held = messages(200)
        async with shown([*held[:150], *held[151:]]) as it:
            it.conversation.page(-2)
            before = it.texts()[0]
            it.source.held = held
            await it.conversation.reread()
            await it.settled()
            assert it.texts()[0] == before
            assert it.conversation._feed.window.index(message(150).id) is not None

    run(main())


def test_search_words_are_marked() -> None:
    async def main() -> None:
        async with shown([message(0, "find the word here")]) as it:
            it.conversation.search_marks = "WORD"
            strip = it.conversation.render_line(19)
            (marked,) = [segment for segment in strip if segment.text == "word"]
            assert marked.style is not None
            assert marked.style.reverse

    run(main())


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("contact", ["Say hello to bob."]),
        ("waiting", ["bob has not answered yet.", "What you write waits here and is sent then."]),
        ("blocked", ["You have blocked bob.", "You receive nothing from them."]),
    ],
)
def test_an_empty_chat_says_what_to_do(state: str, words: list[str]) -> None:
    async def main() -> None:
        async with shown([], chat(state)) as it:
            assert [row.strip() for row in it.rows() if row.strip()] == words

    run(main())


def test_who_has_not_answered_is_said_until_they_have() -> None:
    async def main() -> None:
        async with shown([message(0, mine=True)], chat("waiting")) as it:
            assert it.rows()[-1] == " bob has not answered yet: what you write waits here"
            it.conversation.update_chat(chat()._replace(label="Robert"))
            assert it.rows()[-1].startswith(" you")
            it.conversation.add([message(1)])
            assert it.rows()[-1].startswith(" Robert")

    run(main())


def test_no_chat_shows_nothing() -> None:
    async def main() -> None:
        async with shown(messages(3)) as it:
            await it.conversation.open(None, it.source)
            assert not any(it.rows())

    run(main())


def test_another_width_keeps_what_one_reads() -> None:
    async def main() -> None:
        held = [message(number, f"message {number} " + "word " * 30) for number in range(300)]
        async with shown(held) as it:
            it.conversation.page(-5)
            await it.settled()
            top = it.conversation._feed.window[it.conversation._feed.view.top().item]
            before = it.rows()
            for size in [(40, 12), (120, 40), (80, 21)]:
                await it.pilot.resize_terminal(*size)
                await it.settled()
                assert it.conversation._feed.window[it.conversation._feed.view.top().item] == top
            assert it.rows() == before

    run(main())


def test_another_theme_paints_anew() -> None:
    async def main() -> None:
        async with shown([message(0)]) as it:
            dark = it.conversation.render_line(19)._segments[-1].style
            it.host.theme = "textual-light"
            await it.settled()
            assert it.conversation.render_line(19)._segments[-1].style != dark

    run(main())
