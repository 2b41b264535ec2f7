"""The list of chats, one or two lines each. Only visible lines are drawn, so a thousand contacts cost no more than
twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from p2pchat.tui.intents import Intent, OpenChat, RunCommand, ShowContact
from p2pchat.tui.keymap import keymap_of
from p2pchat.tui.keys import LIST, bindings
from p2pchat.tui.model import NOTES, Archive, AwaitedGroup, Chat
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import MARKS, brief, cut, displayable_line
from p2pchat.tui.wording import CLOSED, FROZEN, MENTIONED, NOTICES, OPENED, VERIFIED, WAITING, mark, order, preview

MAX_COUNTED = 999
MAX_NUMBERED = 9
"""Chats that Alt and a digit open."""

_TIMED = 36
"""The width in cells from which a chat of one line shows the time of its last message."""
_PILL = 6
"""Cells of the count of unread messages, so that the times are aligned."""

_LIVELY = ("contact", "group")
"""States of chats in which something can be said."""

_NOT_IN = " not in yet "
"""What stands behind a group that the user has asked to join."""

_LEFT = 5
"""Cells before a name: the bar, the number, a space, the mark, a space."""


def _now() -> datetime:
    return datetime.now().astimezone()


class ChatList(ScrollView, can_focus=True):
    """The chats in the given order, the archived ones behind a line of their own, and the requests in the last visible
    line. Posts `OpenChat`, `ArchiveToggled`, `RunCommand` for the requests, and `Left` at Esc.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(LIST)]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chats--online",
        "chats--relayed",
        "chats--quiet",
        "chats--pill",
        "chats--bar",
        "chats--current",
        "chats--cursor",
        "chats--unread",
        "chats--verified",
        "chats--mentioned",
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
        scrollbar-background: $surface;
        scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface;
        & > .chats--online { color: $success; }
        & > .chats--relayed { color: $primary; }
        & > .chats--quiet { color: $text-muted; }
        & > .chats--pill { color: $background; background: $accent; text-style: bold; }
        & > .chats--bar { color: $accent; }
        & > .chats--mentioned { color: $accent; text-style: bold; }
        & > .chats--current { background: $panel; text-style: bold; }
        & > .chats--cursor { background: $panel; text-style: underline; }
        & > .chats--unread { text-style: bold; }
        & > .chats--verified { color: $success; }
        & > .chats--requests { color: $warning; text-style: bold; }
        &:ansi > .chats--cursor { text-style: reverse; }
        &:ansi > .chats--current { text-style: bold; }
        &:ansi > .chats--pill { color: ansi_default; background: ansi_default; text-style: bold reverse; }
    }
    """

    class Left(Intent):
        """Esc was pressed: the focus can go back to the composer."""

    class AwaitedChosen(Intent):
        """A group that the user has asked to join was chosen: there is nothing in it to show yet."""

        name: str

    class ArchiveToggled(Intent):
        """The archived chats are to be shown, or hidden."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        super().__init__()
        self._now = now
        self._lines = 1
        """Lines of a chat: two if there is room, with its last message."""
        self._rows: list[Chat | AwaitedGroup | Archive] = []
        self._numbers: dict[str, int] = {}
        """The digits, from 1, of the chats that Alt and a digit open."""
        self._current: str | None = None
        self._requests = 0
        self._cursor = 0
        self._twelve = False
        self._styles: dict[str, Style] = {}

    def show(
        self,
        chats: Sequence[Chat],
        current: str | None,
        requests: int = 0,
        archive: Archive | None = None,
        awaited: Sequence[AwaitedGroup] = (),
    ) -> None:
        """Show these chats, the archived ones last, before them the groups that the user has asked to join, and the
        number of contact requests.
        """
        at, before = self._cursor_id(), self._looks()
        moved = current != self._current
        self._current, self._requests = current, requests
        self._rows = [*(chat for chat in chats if archive is None or not chat.archived), *awaited]
        if archive is not None:
            self._rows += [archive, *(chat for chat in chats if chat.archived)]
        self._numbers = {chat.id: number for number, chat in enumerate(chats[:MAX_NUMBERED], 1)}
        ids = [row.id for row in self._rows]
        if self.has_focus and at is not None:
            self._cursor = ids.index(at) if at in ids else self._cursor  # it stays on its chat, wherever that has moved
        elif current in ids:
            self._cursor = ids.index(current)
        self._cursor = max(0, min(self._cursor, self._items() - 1))
        self.on_resize()
        if moved and not self.has_focus:
            self._follow()
        self._refresh_changed(before, self._looks())

    def set_lines(self, lines: int) -> None:
        """Give every chat one line or two."""
        if lines != self._lines:
            self._lines = lines
            self.on_resize()
            self._follow()

    def use_twelve_hours(self, twelve: bool) -> None:
        """Write times of day with twelve hours, or with twenty-four."""
        self._twelve = twelve
        self.refresh()

    def on_resize(self) -> None:
        """Set the virtual size: the list is as wide as the widget."""
        # The line of the requests covers the last line, so there has to be one more to scroll to.
        size = Size(self.size.width, len(self._rows) * self._lines + (2 if self._requests else 0))
        if size != self.virtual_size:
            self.virtual_size = size

    def on_focus(self) -> None:
        """Put the cursor on the shown chat."""
        ids = [row.id for row in self._rows]
        if self._current in ids:
            self._cursor = ids.index(self._current)
        self._follow()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked, or with the right button the page of the contact."""
        if self._pinned(event.y):
            self.post_message(RunCommand("requests"))
            return
        place = (event.y + self.scroll_offset.y) // self._lines
        if place < len(self._rows):
            self._cursor = place
            row = self._rows[place]
            if event.button == 3 and isinstance(row, Chat):
                self.post_message(ShowContact(row))
            else:
                self.action_open()

    def action_move(self, step: int) -> None:
        """Move the cursor by `step` chats."""
        self._cursor = max(0, min(self._items() - 1, self._cursor + step))
        self._follow()

    def action_open(self) -> None:
        """Open the entry under the cursor."""
        if self._cursor < len(self._rows):
            row = self._rows[self._cursor]
            if isinstance(row, AwaitedGroup):
                self.post_message(self.AwaitedChosen(row.name))
            else:
                self.post_message(OpenChat(row.id) if isinstance(row, Chat) else self.ArchiveToggled())
        elif self._requests:
            self.post_message(RunCommand("requests"))

    def action_order(self, command: str) -> None:
        """Run a command for the chat under the cursor."""
        if self._cursor < len(self._rows) and isinstance(row := self._rows[self._cursor], Chat):
            self.post_message(RunCommand(command, row.id))

    def action_leave(self) -> None:
        """Tell the screen that the user wants to write again."""
        self.post_message(self.Left())

    # --- drawing

    def notify_style_update(self) -> None:
        """Draw the list again in the new theme."""
        super().notify_style_update()
        self._styles.clear()

    def _looks(self) -> list[object]:
        """Return everything that the visible lines depend on: first for the whole list, then for each row."""
        now, two, top = self._now(), self._lines == 2, self.scroll_offset.y
        first, end = top // self._lines, -(-(top + self.size.height) // self._lines)
        whole = (len(self._rows), self._requests, top, self.size.height)
        at = self._cursor if self.has_focus else None
        return [
            whole,
            *(
                (row, place == at)
                if not isinstance(row, Chat)
                else (
                    (row.label, row.verified, row.route, row.state, row.unread, row.mentions, row.requests, row.frozen),
                    row.id == self._current,
                    order(row, now),
                    two and (row.last, row.draft),
                    row.last and brief(row.last.at, now),
                    self._numbers.get(row.id),
                    place == at,
                )
                for place, row in enumerate(self._rows[first:end], first)
            ),
        ]

    def _refresh_changed(self, before: list[object], now: list[object]) -> None:
        """Draw only the lines that have changed; in a flood that is none."""
        if before[0] != now[0]:
            self.refresh()
            return
        first = self.scroll_offset.y // self._lines
        for place, (old, new) in enumerate(zip(before[1:], now[1:], strict=True), first):
            if old != new:
                for line in range(self._lines):
                    self.refresh_line(place * self._lines + line)

    def _pinned(self, y: int) -> bool:
        """Return whether that line is the one of the requests."""
        return bool(self._requests) and y == self.size.height - 1

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self._part("")
        if self._pinned(y):
            on_it = self.has_focus and self._cursor == len(self._rows)
            style = base + self._part("requests") + (self._part("cursor") if on_it else Style())
            return Strip(
                [Segment(_justified(self._requested(), f"{keymap_of(self.app).shown('requests')} ", width), style)],
                width,
            )
        place, line = divmod(y + self.scroll_offset.y, self._lines)
        if place >= len(self._rows):
            return Strip([Segment(" " * width, base)], width)
        row = self._rows[place]
        if row.id == self._current:
            base = base + self._part("current")
        if self.has_focus and place == self._cursor:
            base = base + self._part("cursor")
        if line:
            base = base + Style(bold=False, underline=False)
        if isinstance(row, Archive):
            segments = self._archive(row, line, width, base)
        elif isinstance(row, AwaitedGroup):
            segments = self._awaited(row, line, width, base)
        else:
            segments = (self._second_line if line else self._first_line)(row, width, base)
        return Strip(_told_by_words(segments)).adjust_cell_length(width, base)

    def _requested(self) -> str:
        return f" + {self._requests} request{'s' if self._requests > 1 else ''}"

    def _awaited(self, group: AwaitedGroup, line: int, width: int, base: Style) -> list[Segment]:
        """Return the line of a group that the user has asked to join; its second one, if there is one, says so."""
        quiet, turned = base + self._part("quiet"), getattr(self.app, "turns_text", True)
        end = " " if self._lines == 2 else _NOT_IN
        room = max(1, width - _LEFT - cell_len(end))
        words = cut("waiting for an admin", room) if line else drawn(displayable_line(group.name), turned, room)
        sign = " " if line else WAITING
        return [
            Segment(" " * (_LEFT - 2), base),
            Segment(f"{sign} {words}{' ' * max(0, room - cell_len(words))}{end}", quiet),
        ]

    def _archive(self, archive: Archive, line: int, width: int, base: Style) -> list[Segment]:
        """Return the line of the archived chats; if chats have two lines, its second one names them."""
        quiet = base + self._part("quiet")
        if line:
            words = "" if archive.open else archive.names
            right: list[Segment] = []
        else:
            words = f"Archived ({archive.chats})"
            right = self._told(archive, base)
        room = max(1, width - _LEFT - sum(segment.cell_length for segment in right))
        words = drawn(cut(words, room), getattr(self.app, "turns_text", True))
        sign = " " if line else OPENED if archive.open else CLOSED
        left = [Segment(" " * (_LEFT - 2), base), Segment(f"{sign} ", quiet)]
        return [*left, Segment(words + " " * max(0, room - cell_len(words)), quiet), *right]

    def _edge(self, chat: Chat, base: Style) -> Segment:
        here = chat.id == self._current
        return Segment("▎" if here else " ", base + self._part("bar"))

    def _first_line(self, chat: Chat, width: int, base: Style) -> list[Segment]:
        quiet = base + self._part("quiet")
        if self._lines == 2:
            right = [Segment(f" {brief(chat.last.at, self._now(), self._twelve)} " if chat.last else " ", quiet)]
        else:
            right = self._told(chat, base)
            if width >= _TIMED and chat.last is not None:
                before = " " * max(0, _PILL - sum(segment.cell_length for segment in right))
                right.insert(0, Segment(f" {brief(chat.last.at, self._now())}{before}", quiet))
        checked = f" {VERIFIED}" if chat.verified else ""
        kept = order(chat, self._now())
        room = width - _LEFT - sum(segment.cell_length for segment in right) - cell_len(checked) - cell_len(kept)
        room = max(1, room)
        name = drawn(chat.label, getattr(self.app, "turns_text", True), room)
        gap = max(0, room - cell_len(name))
        named = base + self._part("unread") if chat.unread else (base if chat.state in _LIVELY else quiet)
        way = "relayed" if chat.online and chat.route == "circuit" else "online" if chat.online else "quiet"
        return [
            self._edge(chat, base),
            Segment(str(self._numbers.get(chat.id, " ")), quiet),
            Segment(" ", base),
            Segment(mark(chat), base + self._part(way)),
            Segment(" ", base),
            Segment(name, named),
            Segment(checked, base + self._part("verified")),
            *([Segment(kept, quiet)] if kept else []),
            Segment(" " * gap, base),
            *right,
        ]

    def _second_line(self, chat: Chat, width: int, base: Style) -> list[Segment]:
        """Return the last message of a chat, with its delivery mark or the number of unread messages."""
        quiet = base + self._part("quiet")
        right = self._told(chat, base)
        said = chat.last is not None and chat.last.mine and chat.last.kind not in NOTICES
        if said and chat.last is not None and not chat.unread and not chat.draft and chat.id != NOTES:
            right = [Segment(f" {MARKS.get(chat.last.state, '')} ", quiet)]
        room = max(0, width - _LEFT - sum(segment.cell_length for segment in right))
        turned = getattr(self.app, "turns_text", True)
        words = drawn(cut(preview(chat), room), turned)
        gap = max(0, room - cell_len(words))
        return [self._edge(chat, base), Segment(" " * (_LEFT - 1), base), Segment(words + " " * gap, quiet), *right]

    def _told(self, chat: Chat | Archive, base: Style) -> list[Segment]:
        asking = chat.requests if isinstance(chat, Chat) else 0
        asked = [Segment(f" +{min(asking, MAX_COUNTED)}", base + self._part("requests"))] if asking else []
        frozen = isinstance(chat, Chat) and chat.frozen
        alarm = [Segment(f" {FROZEN}", base + self._part("requests"))] if frozen else []
        return [*alarm, *asked, *self._unread(chat, base)]

    def _unread(self, chat: Chat | Archive, base: Style) -> list[Segment]:
        if not chat.unread:
            return [Segment(" ", base)]
        count = f"{min(chat.unread, MAX_COUNTED)}{'+' * (chat.unread > MAX_COUNTED)}"
        pill = [Segment(" ", base), Segment(f" {count} ", base + self._part("pill")), Segment(" ", base)]
        mentioned = isinstance(chat, Chat) and chat.mentions > 0
        return [Segment(f" {MENTIONED}", base + self._part("mentioned")), *pill] if mentioned else pill

    def _part(self, name: str) -> Style:
        """Return the style of a component class, "" for that of the list; cached until the theme changes."""
        if name not in self._styles:
            parts = self.get_component_rich_style(f"chats--{name}", partial=True) if name else self.rich_style
            self._styles[name] = parts
        return self._styles[name]

    def _items(self) -> int:
        """Return the number of entries: the chats, the line of the archived ones, and that of the requests."""
        return len(self._rows) + bool(self._requests)

    def _cursor_id(self) -> str | None:
        return self._rows[self._cursor].id if self._cursor < len(self._rows) else None

    def _follow(self) -> None:
        if self._cursor < len(self._rows):
            height = self._lines + bool(self._requests)
            region = Region(0, self._cursor * self._lines, 1, height)
            self.scroll_to_region(region, animate=False, force=True)
        self.refresh()


def _told_by_words(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Take the line from below what is blank, and all colours but one from what is reversed, which would be patches."""
    for text, style, _ in segments:
        if style is None or not (style.underline or style.reverse):
            yield Segment(text, style)
        elif style.reverse:
            yield Segment(text, Style(reverse=True, bold=style.bold))
        else:
            words = text.rstrip(" ")
            blank = style + Style(underline=False)
            yield from (Segment(words, style if words.strip() else blank), Segment(text[len(words) :], blank))


def _justified(left: str, right: str, width: int) -> str:
    gap = width - cell_len(left) - cell_len(right)
    return left + " " * gap + right if gap > 0 else set_cell_size(left, width)
