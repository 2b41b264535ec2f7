"""The list of chats: one line each, drawn line by line, so that a thousand contacts cost what twenty do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from p2pchat.tui.intents import Intent, OpenChat, RunCommand
from p2pchat.tui.keys import LIST, bindings
from p2pchat.tui.model import Chat
from p2pchat.tui.rtl import drawn
from p2pchat.tui.wording import VERIFIED, mark

MAX_COUNTED = 999


class ChatList(ScrollView, can_focus=True):
    """Chats in the order given, requests below them. Posts `OpenChat`, `RunCommand` for the requests, `Left` at Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(LIST)]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chats--online",
        "chats--quiet",
        "chats--current",
        "chats--cursor",
        "chats--unread",
        "chats--verified",
        "chats--requests",
    }
    DEFAULT_CSS = """
    ChatList {
        width: 26;
        height: 1fr;
        background: $surface;
        color: $foreground;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        border-right: solid $boost;
        & > .chats--online { color: $success; }
        & > .chats--quiet { color: $secondary; }
        & > .chats--current { background: $panel; text-style: bold; }
        & > .chats--cursor { background: $primary-muted; }
        & > .chats--unread { color: $accent; text-style: bold; }
        & > .chats--verified { color: $success; }
        & > .chats--requests { color: $warning; text-style: bold; }
        &:ansi > .chats--cursor { text-style: reverse; }
        &:ansi > .chats--current { text-style: bold underline; }
    }
    """

    class Left(Intent):
        """Esc: the focus can go back to the composer."""

    def __init__(self) -> None:
        super().__init__()
        self._chats: list[Chat] = []
        self._current: str | None = None
        self._requests = 0
        self._cursor = 0
        self._styles: dict[str, Style] = {}

    def show(self, chats: Sequence[Chat], current: str | None, requests: int = 0) -> None:
        """Show these chats and the number of contact requests."""
        at, before = self._cursor_id(), self._looks()
        self._chats, self._current, self._requests = list(chats), current, requests
        ids = [chat.id for chat in self._chats]
        if self.has_focus and at in ids:
            self._cursor = ids.index(at)  # it stays on its chat, wherever that moved
        elif current in ids:
            self._cursor = ids.index(current)
        self._cursor = max(0, min(self._cursor, self._rows() - 1))
        self.on_resize()
        self._refresh_changed(before, self._looks())

    def on_resize(self) -> None:
        """As wide as the widget; nothing is scrolled sideways."""
        size = Size(self.size.width, self._rows())
        if size != self.virtual_size:
            self.virtual_size = size

    def on_focus(self) -> None:
        """The cursor begins at the chat shown."""
        ids = [chat.id for chat in self._chats]
        if self._current in ids:
            self._cursor = ids.index(self._current)
        self._follow()

    def on_blur(self) -> None:
        """Without the focus there is no cursor."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked."""
        row = event.y + self.scroll_offset.y
        if row < self._rows():
            self._cursor = row
            self.action_open()

    def action_move(self, step: int) -> None:
        """Move the cursor by `step` rows."""
        self._cursor = max(0, min(self._rows() - 1, self._cursor + step))
        self._follow()

    def action_open(self) -> None:
        """Open what the cursor is on."""
        if self._cursor < len(self._chats):
            self.post_message(OpenChat(self._chats[self._cursor].id))
        elif self._requests:
            self.post_message(RunCommand("requests"))

    def action_leave(self) -> None:
        """Tell the screen that the person wants to write again."""
        self.post_message(self.Left())

    # --- drawing

    def notify_style_update(self) -> None:
        """Draw the list again in the new theme."""
        super().notify_style_update()
        self._styles.clear()

    def _looks(self) -> list[object]:
        """For each row, all that its looks depend on."""
        looks: list[object] = [
            (chat.label, chat.verified, chat.online, chat.state, chat.unread, chat.id == self._current)
            for chat in self._chats
        ]
        if self._requests:
            looks += [None, self._requests]
        if self._cursor < len(looks):
            looks[self._cursor] = (looks[self._cursor], self.has_focus)
        return looks

    def _refresh_changed(self, before: list[object], now: list[object]) -> None:
        """What looks as it did is not drawn again: in a flood that is all of it."""
        if len(before) != len(now):
            self.refresh()
            return
        for row, (old, new) in enumerate(zip(before, now, strict=True)):
            if old != new:
                self.refresh_line(row)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        row = y + self.scroll_offset.y
        base = self._part("")
        if row < len(self._chats) and self._chats[row].id == self._current:
            base = base + self._part("current")
        if self.has_focus and row == self._cursor and row < self._rows():
            base = base + self._part("cursor")
        if row < len(self._chats):
            strip = self._chat_line(self._chats[row], width, base)
        elif self._requests and row == self._rows() - 1:
            style = base + self._part("requests")
            strip = Strip([Segment(set_cell_size(f" + requests ({self._requests})", width), style)], width)
        else:
            strip = Strip([Segment(" " * width, base)], width)
        return strip

    def _chat_line(self, chat: Chat, width: int, base: Style) -> Strip:
        quiet = base + self._part("quiet")
        count = "" if not chat.unread else f"{min(chat.unread, MAX_COUNTED)}{'+' * (chat.unread > MAX_COUNTED)}"
        right = f" {count} " if count else " "
        checked = f" {VERIFIED}" if chat.verified else ""
        room = max(1, width - 3 - cell_len(right) - cell_len(checked))
        name = drawn(chat.label, getattr(self.app, "turns_text", True), room)
        gap = max(0, room - cell_len(name))
        named = base + self._part("unread") if chat.unread else (base if chat.state == "contact" else quiet)
        segments = [
            Segment(" ", base),
            Segment(mark(chat), base + self._part("online" if chat.online else "quiet")),
            Segment(" ", base),
            Segment(name, named),
            Segment(checked, base + self._part("verified")),
            Segment(" " * gap, base),
            Segment(right, base + self._part("unread")),
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _part(self, name: str) -> Style:
        """The style of a component class, "" for that of the list; worked out once a theme."""
        if name not in self._styles:
            parts = self.get_component_rich_style(f"chats--{name}", partial=True) if name else self.rich_style
            self._styles[name] = parts
        return self._styles[name]

    def _rows(self) -> int:
        # An empty line stands between the chats and the requests.
        return len(self._chats) + (2 if self._requests else 0)

    def _cursor_id(self) -> str | None:
        return self._chats[self._cursor].id if self._cursor < len(self._chats) else None

    def _follow(self) -> None:
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False, force=True)
        self.refresh()
