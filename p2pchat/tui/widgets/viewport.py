"""The rows of the window that are on the screen.

The position is kept as a message and an offset in its text, never as a number of lines, so nothing jumps when messages
arrive, when older ones are loaded above, or when the width changes. Only what fits on the screen is laid out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from p2pchat.tui.model import Message
from p2pchat.tui.widgets.file_rows import Media
from p2pchat.tui.widgets.rendering import Block, Look, lay_out
from p2pchat.tui.widgets.window import Window

_MAX_KEPT = 300


class RowPosition(NamedTuple):
    """A row of a message: its index in the window, and the row in its block."""

    item: int
    row: int


class _LaidOut(NamedTuple):
    message: Message
    previous: Message | None
    look: Look
    unread: int | None
    media: Media | None
    block: Block


class Blocks:
    """The blocks of a window's messages, cached while the message, the one above it and the look stay the same."""

    def __init__(self, window: Window, look: Look) -> None:
        self._window = window
        self._kept: dict[str, _LaidOut] = {}
        self.look = look
        self.unread: tuple[str | None, int] = (None, 0)
        """The message with the unread line above it, and its number. No other block depends on it."""
        self.media: dict[str, Media] = {}
        """What is known of the files of messages, by the message."""

    def __call__(self, index: int) -> Block:
        message = self._window[index]
        previous = self._window[index - 1] if index else None
        kept = self._kept.get(message.id)
        unread = self.unread[1] if message.id == self.unread[0] else None
        media = self.media.get(message.id) if message.file is not None else None
        if (
            kept is None
            or kept.message is not message
            or kept.previous is not previous
            or kept.look is not self.look
            or kept.unread != unread
            or kept.media is not media
        ):
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            block = lay_out(message, previous, self.look, unread, media)
            kept = self._kept[message.id] = _LaidOut(message, previous, self.look, unread, media, block)
        return kept.block


class Viewport:
    """A view of `height` rows on a window. following: it shows the end, and stays there."""

    def __init__(self, window: Window, block: Callable[[int], Block]) -> None:
        self._window = window
        self._block = block
        self.height = 1
        self._anchor: tuple[str, int] | None = None

    @property
    def following(self) -> bool:
        """Whether the end is shown, and stays shown when messages arrive."""
        return self._anchor is None

    def follow(self) -> None:
        """Show the end of the chat and stay there."""
        self._anchor = None

    def top(self) -> RowPosition:
        """The first visible row; (0, 0) if there is none."""
        last = self._last_top()
        if self._anchor is None:
            return last
        index = self._window.index(self._anchor[0])
        if index is None:
            return last
        return min(RowPosition(index, self._block(index).row(self._anchor[1])), last)

    def rows(self) -> list[RowPosition]:
        """Return the visible rows from the top; fewer than `height` if there are no more."""
        if not len(self._window):
            return []
        index, row = self.top()
        shown: list[RowPosition] = []
        while len(shown) < self.height and index < len(self._window):
            count = len(self._block(index).rows)
            shown += [RowPosition(index, line) for line in range(row, min(count, row + self.height - len(shown)))]
            index, row = index + 1, 0
        return shown

    def scroll(self, rows: int) -> bool:
        """Scroll down by so many rows, up if negative; return False if nothing moved."""
        if not len(self._window):
            return False
        before, followed = self.top(), self.following
        self._set(self._walk(before, rows))
        return (self.top(), self.following) != (before, followed)

    def show(self, index: int, above: int = 0) -> None:
        """Bring a message to the top, with so many rows above it."""
        self._set(self._walk(RowPosition(index, 0), -above))

    def reveal(self, index: int) -> None:
        """Scroll no further than needed for a message to be on the screen; its beginning, if it is too long."""
        top, count = self.top(), len(self._block(index).rows)
        if RowPosition(index, self._block(index).lead) < top:
            self._set(self._walk(RowPosition(index, self._block(index).lead), 0 if count >= self.height else -1))
        elif self._distance(top, RowPosition(index, count - 1), self.height) >= self.height:
            first = self._walk(RowPosition(index, count - 1), 1 - self.height)
            self._set(min(first, RowPosition(index, self._block(index).lead)))

    def hidden_above(self, index: int) -> bool:
        """Return whether the beginning of a message is above the screen."""
        return RowPosition(index, self._block(index).lead) < self.top()

    def hidden_below(self, index: int) -> bool:
        """Return whether the end of a message is below the screen."""
        return (
            self._distance(self.top(), RowPosition(index, len(self._block(index).rows) - 1), self.height) >= self.height
        )

    def forget(self, id: str) -> None:
        """Prepare for the removal of a message: if the view begins at it, let it begin at the next one."""
        if self._anchor is None or self._anchor[0] != id:
            return
        index = self._window.index(id)
        if index is None or index + 1 >= len(self._window):
            self._anchor = None
        else:
            self._anchor = (self._window[index + 1].id, 0)

    def settle(self) -> None:
        """Adapt to added or removed messages, or to another size: a view that shows the end follows it."""
        if self._anchor is not None and self._window.index(self._anchor[0]) is None:
            self._anchor = None
        if self._anchor is not None and self._window.at_end and self._touches_end():
            self._anchor = None

    def _touches_end(self) -> bool:
        assert self._anchor is not None
        index = self._window.index(self._anchor[0])
        return index is not None and RowPosition(index, self._block(index).row(self._anchor[1])) >= self._last_top()

    def _set(self, place: RowPosition) -> None:
        """Set the first row; follow if that shows the end of the chat."""
        last = self._last_top()
        if place >= last and self._window.at_end:
            self._anchor = None
        else:
            index, row = min(place, last)
            self._anchor = (self._window[index].id, self._block(index).place(row))

    def _last_top(self) -> RowPosition:
        """Return the first row if the last row is at the bottom."""
        if not len(self._window):
            return RowPosition(0, 0)
        last = len(self._window) - 1
        return self._walk(RowPosition(last, len(self._block(last).rows) - 1), 1 - self.height)

    def _walk(self, place: RowPosition, rows: int) -> RowPosition:
        """Return the row so many rows down or up, as far as there are any."""
        index, row = place.item, place.row + rows
        while row < 0 and index > 0:
            index -= 1
            row += len(self._block(index).rows)
        while row >= len(self._block(index).rows):
            if index == len(self._window) - 1:
                return RowPosition(index, len(self._block(index).rows) - 1)
            row -= len(self._block(index).rows)
            index += 1
        return RowPosition(index, max(0, row))

    def _distance(self, start: RowPosition, end: RowPosition, most: int) -> int:
        """Return the number of rows from one row down to another, at most `most`; 0 if it is above."""
        if end <= start:
            return 0
        rows, index = end.row - start.row, start.item
        while index < end.item and rows < most + len(self._block(end.item).rows):
            rows += len(self._block(index).rows)
            index += 1
        return min(rows, most) if index == end.item else most
