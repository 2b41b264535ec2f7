"""The conversation: a window on a chat of any length, drawn line by line.

Nothing jumps: what is on the screen stays there when messages arrive, when older ones are loaded, and when the width
changes. Only what fits is laid out and painted. Text becomes plain segments, never markup, and is cleaned once more.

The data is in `feed`, the visible rows in `viewport`, the layout of a message in `rendering`; here are the keys, the
mouse and the colours.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, ClassVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.strip import Strip

from p2pchat.errors import P2PChatError
from p2pchat.tui import keys
from p2pchat.tui.half_blocks import ROWS
from p2pchat.tui.intents import CopyText, Intent, MessageIntent, React, Seen
from p2pchat.tui.keymap import keymap_of
from p2pchat.tui.model import Chat, Message
from p2pchat.tui.text import MARKS, PLAIN_MARKS, day, width
from p2pchat.tui.widgets import bars
from p2pchat.tui.widgets.feed import Feed, last_theirs, reveal_selected
from p2pchat.tui.widgets.files_in_view import FilesInView
from p2pchat.tui.widgets.looks import CSS, ROLES
from p2pchat.tui.widgets.marking import Spot, TextMarks
from p2pchat.tui.widgets.message_keys import MessageKeys, copied
from p2pchat.tui.widgets.paging import MessageSource
from p2pchat.tui.widgets.painting import Painter
from p2pchat.tui.widgets.rendering import Look
from p2pchat.tui.widgets.spans import Row, TextSpan
from p2pchat.tui.widgets.viewport import RowPosition

__all__ = ["ROLES", "Conversation", "MessageSource"]

_WHEEL = 3
_ROOMY = 11
"""The height in rows from which there are empty lines between groups."""
_MIN_PICTURE = 4
"""The rows that a picture has at least, however low the window is."""
_SEEN_PAUSE = 0.25
_DAY_CHECK = 30.0


def _now() -> datetime:
    return datetime.now().astimezone()


class Conversation(MessageKeys, can_focus=True):
    """The messages of one chat. It has the focus while a message is selected; focusing it selects the newest.

    Posts `Seen`, `CopyText`, `DeleteMessage`, `ExplainMessage`, and `Conversation.Closed` when Esc leaves the messages.
    """

    ALLOW_SELECT = False  # Textual's own selection would copy names, times and marks as well; y copies a message
    FOCUS_ON_CLICK = False  # a click on a message selects it; one beside it does not take the focus from the composer

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"conversation--{role}" for role in ROLES}
    DEFAULT_CSS = CSS
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.MESSAGE)]

    class Closed(Intent):
        """No message is selected any more: the focus can go back to the composer."""

    def __init__(
        self,
        *,
        rtl: str = "auto",
        joined_emoji: bool = False,
        plain: bool = False,
        links: bool = True,
        compact: bool = False,
        pictures: str = "",
        clock: Callable[[], datetime] = _now,
        id: str | None = None,
    ) -> None:
        """rtl: the setting. joined_emoji: see `text.joins_emoji`. plain: use ASCII marks. links: tell the terminal
        where links lead. compact: a message takes one line if it fits. pictures: why no picture is drawn; "" if they
        are.
        """
        super().__init__(id=id)
        self._clock = clock
        self._plain = plain
        marks = PLAIN_MARKS if plain else MARKS
        today = clock().date()
        look = Look(
            80,
            "",
            "",
            today,
            rtl=rtl,
            joined=joined_emoji,
            marks=marks,
            compact=compact,
            plain=plain,
            pictures=pictures,
        )
        self._feed = Feed(look)
        self.marks = TextMarks(self._feed)
        self.files = FilesInView(self._feed, self._redraw, self._changed, self.post_message)
        self._painter = Painter(self._role_style, links=links)
        self._role_styles: dict[str, Style] = {}
        self.jumped: Sequence[str] = ()
        """The actions of `MessageKeys` that are offered after the jump that led here."""
        self._shown: list[RowPosition] | None = None
        self._seen: str | None = None
        self._pausing = False
        self._placed = False  # whether the size is known

    # ------------------------------------------------------------ what the app tells

    async def open(self, chat: Chat | None, source: MessageSource) -> None:
        """Show a chat at its end, or at the unread line if the unread messages do not fit. Raises what the
        source does.
        """
        self._seen = None
        self.marks.drop()
        self.files.forget_refusals()
        if await self._feed.open(chat, source):
            self._changed()

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages that were just saved, our own ones too. Those of other chats are ignored."""
        if self._feed.add(messages, self._looked_at()):
            self._changed(below=not self._feed.view.following)

    def moved(self, id: str, state: str, route: str | None) -> None:
        """Update the state of a message."""
        if self._feed.moved(id, state, route):
            self._changed()

    def changed(self, message: Message) -> None:
        """Update a message that was edited, reacted to, pinned, or deleted for both."""
        if self._feed.apply(lambda window: window.replace(message)):
            self._changed()

    def removed(self, id: str) -> None:
        """Remove a message that was deleted."""
        if self._feed.removed(id):
            self._changed()

    def update_chat(self, chat: Chat) -> None:
        """Update the shown chat, whose name or state has changed. Other chats are ignored."""
        before = self._feed.chat
        if self._feed.update(chat):
            self._changed()
        if before is not None and before.id == chat.id and before.verified != chat.verified:
            self.files.forget_pictures()

    async def jump(self, message_id: str) -> None:
        """Show a message, wherever it is in the chat, and select it. Raises what the source does (`NoSuchMessage`)."""
        if await self._feed.jump(message_id):
            self.focus()
            self._changed(reveal=True)

    async def reread(self) -> None:
        """Read the shown messages again, after `lagged` or a late message. Nothing jumps."""
        self.files.forget_refusals()
        if await self._feed.reread():
            self._changed()

    def to_end(self) -> None:
        """Show the newest message, and follow new ones."""
        self._work(self._feed.newest())

    def page(self, pages: int) -> None:
        """Scroll by pages, up if negative, while another widget has the focus."""
        self._scroll(pages * max(1, self._feed.view.height - 2))

    @property
    def selected(self) -> Message | None:
        """The selected message."""
        return self._feed.selected

    @property
    def search_marks(self) -> str:
        """The words to mark wherever they appear."""
        return self._feed.look.search

    @search_marks.setter
    def search_marks(self, words: str) -> None:
        self._feed.restyle(search=words)
        self._changed()

    def restyle(self, **changes: object) -> None:
        """Change parts of the look of all messages: `rtl`, `compact`, `marks`, `twelve`."""
        self._feed.restyle(**changes)
        self._changed()

    # ------------------------------------------------------------ keys

    def action_move(self, by: int) -> None:
        """Select the message above or below; a long one is scrolled through first."""
        feed, selected = self._feed, self._selected_index()
        if selected is None:
            return
        if by > 0 and feed.view.hidden_below(selected):
            self.page(1)
        elif by < 0 and feed.view.hidden_above(selected):
            self.page(-1)
        else:
            self._select(max(0, min(len(feed.window) - 1, selected + by)))

    def action_turn(self, pages: int) -> None:
        """Scroll by pages, and select the message at the edge."""
        self.page(pages)
        rows = self._shown_rows()
        if rows:
            self._select(rows[0 if pages < 0 else -1].item)

    def action_first(self) -> None:
        """Select the first message in memory; those above it are loaded meanwhile."""
        self._select(0)

    def action_last(self) -> None:
        """Select the newest message."""
        self._work(self._select_newest())

    def action_leave(self) -> None:
        """Select no message, and no text."""
        self.jumped = ()
        self.marks.drop()
        self._select(None)
        self.post_message(self.Closed())

    # ------------------------------------------------------------ mouse, focus, size

    def on_mouse_down(self, event: events.MouseDown) -> None:
        place = self._place_at(event.y)
        self.marks.dragged = False
        if event.button == 1 and place is not None and self.marks.press(Spot(place, event.x)):
            self._changed()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not self.marks.pressed:
            return
        if event.button != 1:
            self.on_mouse_up()
            return
        if not 0 <= event.y < self._feed.view.height:
            self._scroll(-1 if event.y < 0 else 1)
        place = self._place_at(min(max(event.y, 0), self._feed.view.height - 1))
        if place is not None and self.marks.drag(Spot(place, event.x)):
            self.capture_mouse()
            self._changed()

    def on_mouse_up(self) -> None:
        self.marks.pressed = False
        self.release_mouse()
        if self.marks.dragged:
            self._changed()

    def action_unmark(self) -> None:
        """Clear the marked text."""
        if self.marks.drop():
            self._changed()

    def action_copy_marked(self) -> None:
        """Copy the marked text."""
        self.post_message(CopyText(self.marks.text))
        self.action_unmark()

    def on_click(self, event: events.Click) -> None:
        if self.marks.dragged:
            self.marks.dragged = False
            return  # it ended a marking
        place = self._place_at(event.y)
        if place is None:
            if self._has_bar() and event.y == self.size.height - 1:
                self._bar_clicked(event.x)
            return
        message = self._feed.window[place.item]
        if (link := self._link_at(place, event.x)).startswith("react:"):
            self.post_message(React(message, link.removeprefix("react:")))
            return
        self._select(place.item)
        self.focus()
        if event.button == 3:
            self.post_message(MessageIntent(message, "menu"))
            return
        if link.startswith("action:"):
            self.call_later(self.run_action, link.removeprefix("action:"))
            return
        if event.chain == 2:
            self.post_message(CopyText(copied(message)))

    def _link_at(self, place: RowPosition, x: int) -> str:
        """Return the link of the piece of the row that was clicked, or ""."""
        for piece in self._feed.blocks(place.item).rows[place.row]:
            x -= width(piece.text)
            if x < 0:
                return piece.link
        return ""

    def _bar_clicked(self, x: int) -> None:
        """Run what was clicked in the bar: a key of the selected message, or the way to the newest."""
        if self.selected is None and not self.marks.done:
            self.to_end()
            return
        for piece in self._keys():
            x -= width(piece.text)
            if x < 0:
                if piece.link:
                    self.call_later(self.run_action, piece.link)
                return

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll(-_WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll(_WHEEL)

    def on_focus(self) -> None:
        """Select the newest visible message."""
        if self.selected is None:
            rows = self._shown_rows()
            self._select(rows[-1].item if rows else None)
            if not rows:
                self.post_message(self.Closed())

    def on_blur(self) -> None:
        """Clear the selection, unless the whole terminal lost the focus, which comes back."""
        if self.app.app_focus:
            self._select(None)

    def on_mount(self) -> None:
        self.set_interval(_DAY_CHECK, self._check_day)
        self.watch(self.app, "app_focus", self._report, init=False)
        self.app.screen_change_signal.subscribe(self, lambda _: self._report())

    def on_resize(self) -> None:
        self._painter.cells = self.size.width
        rows = max(_MIN_PICTURE, min(ROWS, self.size.height // 2))
        self._feed.restyle(cells=self.size.width, gap=self.size.height >= _ROOMY, picture_rows=rows)
        self._painter.forget()
        self._changed()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._role_styles.clear()
        self._painter.forget()

    # ------------------------------------------------------------ drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a region. Textual's implementation adds borders, padding and opacity to each, which are
        not used here: that was most of the cost of a flood.
        """
        strips = [self.render_line(y) for y in crop.line_range]
        _, ground = self.background_colors
        for each in self.get_line_filters():
            strips = [strip.apply_filter(each, ground) for strip in strips]
        left, right = crop.column_span
        return strips if (left, right) == (0, self.size.width) else [strip.crop(left, right) for strip in strips]

    def render_line(self, y: int) -> Strip:
        feed, height = self._feed, self.size.height
        if y == height - 1 and self._has_bar():
            return self._bar()
        if not len(feed.window):
            return self._hint_line(y)
        rows = self._shown_rows()
        index = y - (feed.view.height - len(rows))  # if there is less than a screen, it is at the bottom
        if not 0 <= index < len(rows):
            return Strip.blank(self._painter.cells, self._role_style("text"))
        place = rows[index]
        message = feed.window[place.item]
        chosen = feed.selected is message
        strip = self._painter.strip(message.id, feed.blocks(place.item), place.row, chosen)
        return self.marks.paint(strip, place) if self.marks else strip

    def _bar(self) -> Strip:
        feed = self._feed
        if self.marks.done:
            return self._painter.bar(self._keys(), ())
        if feed.selected is not None:
            shown = self._keys()
            room = self.size.width - sum(width(piece.text) for piece in shown)
            return self._painter.bar(shown, bars.details(feed.selected, feed.look, room))
        if not feed.view.following:
            top = feed.window[self._shown_rows()[0].item]
            when = TextSpan(" " + day(top.at.date(), feed.look.today), "bar")
            return self._painter.bar((when,), (), bars.pill(feed.unread.below, self._plain))
        note = bars.note(feed.chat, feed.look) if feed.chat else ""
        return self._painter.bar((TextSpan(" " + note, "note"),), ())

    def _keys(self) -> Row:
        if self.marks.done:
            return bars.marked(keymap_of(self.app))
        assert self.selected is not None
        return bars.keys(self.selected, self.size.width, keymap_of(self.app), self.jumped)

    def _hint_line(self, y: int) -> Strip:
        lines = bars.hint(self._feed.chat, self._feed.look)
        index = y - (self.size.height - len(lines)) // 2
        if not 0 <= index < len(lines):
            return Strip.blank(self._painter.cells, self._role_style("text"))
        pad = " " * ((self.size.width - width(lines[index])) // 2)
        return self._painter.paint((TextSpan(pad + lines[index], "hint"),))

    def _role_style(self, role: str) -> Style:
        if role not in self._role_styles:
            self._role_styles[role] = self.get_component_rich_style(f"conversation--{role}")
        return self._role_styles[role]

    def _has_bar(self) -> bool:
        """Return whether the last row shows a bar; it is then not part of the view, or covers a row of it."""
        feed = self._feed
        if not len(feed.window):
            return False
        return self.marks.done or feed.selected is not None or not feed.view.following or self._has_note()

    def _has_note(self) -> bool:
        return self._feed.chat is not None and bool(bars.note(self._feed.chat, self._feed.look))

    # ------------------------------------------------------------ inside

    def _changed(self, *, reveal: bool = False, below: bool = False) -> None:
        """Draw again, load what will be needed, and report what was seen, because something may have changed. reveal: a
        message was selected and has to be visible. below: only something below the screen has changed.
        """
        feed = self._feed
        # While nothing is selected the bar covers the last row instead of taking it, so that it can come and go
        # without anything moving.
        taken = 1 if len(feed.window) and (feed.selected is not None or self.marks.done or self._has_note()) else 0
        feed.view.height = max(1, self.size.height - taken)
        feed.view.settle()
        if reveal:
            reveal_selected(feed)
        if not self._placed and self.size.height:
            self._placed = True
            feed.show_unread()
        if feed.view.following:
            feed.unread.below = 0
        before, self._shown = self._shown, None
        rows = self._shown_rows()
        if below and before == rows:
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))
        else:
            self.refresh()
        if self.is_mounted and feed.needs_page(rows):
            self._work(feed.extend())
        if self.is_mounted:
            self.files.ask(rows)
        self._report()

    def _redraw(self, id: str) -> None:
        """Draw one message again, and nothing else if it has as many rows as before."""
        before, self._shown = self._shown, None
        rows, index = self._shown_rows(), self._feed.window.index(id)
        if rows != before or self._feed.selected is not None:
            self._changed()
            return
        top = self._feed.view.height - len(rows)
        lines = [top + line for line, place in enumerate(rows) if place.item == index]
        if lines:
            self.refresh(Region(0, lines[0], self.size.width, len(lines)))
            self.files.ask(rows)

    def _shown_rows(self) -> list[RowPosition]:
        if self._shown is None:
            self._shown = self._feed.view.rows()
        return self._shown

    def _place_at(self, y: int) -> RowPosition | None:
        rows = self._shown_rows()
        if y == self.size.height - 1 and self._has_bar():
            return None
        index = y - (self._feed.view.height - len(rows))
        return rows[index] if 0 <= index < len(rows) else None

    def _selected_index(self) -> int | None:
        return None if self.selected is None else self._feed.window.index(self.selected.id)

    def _select(self, index: int | None) -> None:
        self._feed.select(index if len(self._feed.window) else None)
        self._changed(reveal=True)

    async def _select_newest(self) -> bool:
        if not await self._feed.newest():
            return False
        self._feed.select(len(self._feed.window) - 1 if len(self._feed.window) else None)
        return True

    def _scroll(self, rows: int) -> None:
        shown = self._shown_rows()
        if self._feed.view.scroll(rows) or (rows < 0 and self._feed.needs_page(shown, again=True)):
            self._changed()

    def _work(self, step: Coroutine[Any, Any, bool]) -> None:
        async def work() -> None:
            try:
                changed = await step
            except P2PChatError:
                return  # the node has ended: the status line says so, and the next scrolling asks again
            if changed:
                self._changed()

        self.run_worker(work(), group="pages")

    def _check_day(self) -> None:
        today = self._clock().date()
        if today != self._feed.look.today:
            self._feed.restyle(today=today)
            self._changed()

    # ------------------------------------------------------------ what was seen

    def _looked_at(self) -> bool:
        return self.is_mounted and self.app.app_focus and self.app.screen is self.screen and self.size.height > 0

    def _report(self) -> None:
        """Report the newest visible message of theirs, a few times a second at most."""
        feed = self._feed
        if self._pausing or feed.opening or not feed.unread.waiting or feed.chat is None or not self._looked_at():
            return
        id = last_theirs(feed, self._shown_rows()[: self.size.height - self._has_bar()])  # a covered row is not seen
        if id is None:
            return
        if feed.view.following:
            feed.unread.all_seen()
        if id != self._seen:
            self._seen = id
            self._pausing = True
            self.set_timer(_SEEN_PAUSE, self._report_again)
            self.post_message(Seen(feed.chat.id, id))

    def _report_again(self) -> None:
        self._pausing = False
        self._report()
