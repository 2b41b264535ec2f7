"""A picture on a screen of its own, as large as the window, with the one before and the next of the chat."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from p2pchat.errors import P2PChatError
from p2pchat.tui import file_words, half_blocks, kitty
from p2pchat.tui.half_blocks import Rgb
from p2pchat.tui.model import Message, message_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import drawn
from p2pchat.tui.screens.panel import Hint, Hints, said
from p2pchat.tui.text import cut, displayable_line

MAX_PIXELS = 200_000
"""The most pixels in one answer of the node."""

_PAGE = 200
"""Files of the chat among which the pictures before and after are looked for."""


class PictureView(Widget):
    """Draws a picture in the middle of the room that there is: in half blocks, or in full by what stands for it."""

    DEFAULT_CSS = "PictureView { width: 100%; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Strip] = []

    def show(self, picture: Rgb | None) -> None:
        """Show a picture in half blocks; None for nothing."""
        rows = [] if picture is None else half_blocks.rows(picture)
        self._rows = [Strip(half_blocks.segments(colours)) for colours in rows]
        self.refresh()

    def show_in_full(self, columns: int, rows: int) -> None:
        """Show the picture that the terminal was handed, in so many cells."""
        style = Style(color=Color.from_rgb(*kitty.COLOUR))
        self._rows = [Strip([Segment(kitty.placeholders(row, columns), style)]) for row in range(rows)]
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a region."""
        strips = [self._line(y) for y in crop.line_range]
        return [strip.crop(crop.x, crop.right) for strip in strips]

    def _line(self, y: int) -> Strip:
        width, ground = self.size.width, self.rich_style
        at = y - (self.size.height - len(self._rows)) // 2
        if not 0 <= at < len(self._rows):
            return Strip.blank(width, ground)
        row = self._rows[at]
        left = max(0, (width - row.cell_length) // 2)
        return Strip.join([Strip.blank(left, ground), row]).adjust_cell_length(width, ground)


class PictureScreen(ModalScreen[Message]):
    """Dismisses with the message whose picture is to be saved, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "save"),
        Binding("left,p,pageup", "step(-1)", "previous"),
        Binding("right,n,pagedown", "step(1)", "next"),
        Binding("escape,q,enter,space", "back", "back"),
    ]
    DEFAULT_CSS = """
    PictureScreen {
        background: $background;
        &:ansi { background: ansi_default; }
        overflow: hidden;
        .name { height: 1; padding: 0 1; color: $text-muted; }
        .why { width: 100%; height: auto; padding: 1 2; text-align: center; }
        .hidden { display: none; }
        Hints { dock: bottom; padding: 0 1; max-height: 1; }
    }
    """

    def __init__(
        self, node: ApiCaller, message: Message, *, why: str = "", graphics: kitty.Graphics | None = None
    ) -> None:
        """why: why no picture is drawn in this terminal; "" if they are. graphics: draws them in full, if the terminal
        knows how.
        """
        super().__init__()
        self._node = node
        self._message = message
        self._why = why
        self._graphics = graphics
        self._turn = 0
        """Counts the pictures that were asked for, so that an answer for an earlier one is ignored."""
        self._handed = False
        """Whether the terminal has a picture."""
        self._others: list[Message] = [message]
        # Kept, since an answer may come when the screen is closed and nothing can be found in it any more.
        self._title_line = Static("", classes="name", markup=False)
        self._line = Static("", classes="why hidden", markup=False)
        self._view = PictureView()
        self._hints = Hints()

    def compose(self) -> ComposeResult:
        yield self._title_line
        yield self._line
        yield self._view
        yield self._hints

    def on_mount(self) -> None:
        """Show the picture, and find the others of the chat."""
        self._hint()
        self._begin()
        self.run_worker(self._find())

    def on_resize(self, event: events.Resize) -> None:
        """Fit the picture to the window."""
        if self.is_mounted:
            self._begin()

    def on_unmount(self) -> None:
        """Have the terminal forget the picture."""
        self._forget()

    def _forget(self) -> None:
        if self._graphics is not None and self._handed:
            self._handed = False
            self._graphics.remove()

    async def _find(self) -> None:
        try:
            page = await self._node.call("files", chat=self._message.chat, limit=_PAGE)
        except P2PChatError:
            return  # this picture is there without the others
        pictures = [each for each in map(message_of, page) if each.file and each.file.form == file_words.PICTURE]
        if any(each.id == self._message.id for each in pictures):
            self._others = [each for each in pictures if not each.deleted]
            self._hint()

    def _hint(self) -> None:
        hints = [Hint("s", "save", "save")]
        if len(self._others) > 1:
            hints += [Hint("←", "previous", "step(-1)"), Hint("→", "next", "step(1)")]
        self._hints.show([*hints, Hint("Esc", "back", "back")])

    # --- the picture

    def _begin(self) -> None:
        self._turn += 1
        self.run_worker(self._show(self._turn))

    async def _show(self, turn: int) -> None:
        file = self._message.file
        assert file is not None
        turned = getattr(self.app, "turns_text", True)
        place = f"  {self._place() + 1} of {len(self._others)}" if len(self._others) > 1 else ""
        name = drawn(file_words.shortened(file.name, max(12, self.size.width - 30)), turned)
        self._title_line.update(Content(f"{name}  {file_words.size(file.size)}{place}"))
        if self._why:
            self._say(self._why)
            return
        in_full = self._graphics is not None and await self._graphics.known()
        columns, rows = self._room(in_full=in_full)
        is_here = file.state == file_words.HERE or self._message.mine
        try:
            answer = await self._ask(columns, rows, full=is_here)
        except P2PChatError as exc:
            if turn == self._turn:
                self._say(said(exc))
            return
        if turn != self._turn:
            return  # it is about another picture or size by now
        picture = half_blocks.decoded(answer, columns, rows)
        self._say("" if picture else "This picture could not be read.")
        if picture is not None and in_full and self._graphics is not None and self.is_attached:
            cells = kitty.size_in_cells(picture, *self._cells(), file.width or picture.width)
            self._graphics.show(picture, *cells)
            self._handed = True
            self._view.show_in_full(*cells)
        else:
            self._view.show(picture)

    def _room(self, *, in_full: bool) -> tuple[int, int]:
        """Return the most pixels that the window shows: (columns, rows)."""
        columns, rows = self._cells()
        if in_full:
            return kitty.room(columns, rows, MAX_PIXELS)
        return columns, min(2 * rows, MAX_PIXELS // columns)

    def _cells(self) -> tuple[int, int]:
        """Return the cells of the window beside the lines of text: (columns, rows)."""
        return max(1, self.size.width), max(1, self.size.height - 2)

    async def _ask(self, columns: int, rows: int, *, full: bool) -> Any:
        return await self._node.call("picture", id=self._message.id, columns=columns, rows=rows, full=full)

    def _say(self, why: str) -> None:
        self._line.update(Content(cut(displayable_line(why), 300)))
        self._line.set_class(not why, "hidden")
        if why:
            self._view.show(None)

    def _place(self) -> int:
        ids = [each.id for each in self._others]
        return ids.index(self._message.id) if self._message.id in ids else 0

    def action_step(self, step: int) -> None:
        """Show the next picture of the chat, or the one before."""
        at = max(0, min(len(self._others) - 1, self._place() + step))
        if self._others[at].id != self._message.id:
            self._message = self._others[at]
            self._begin()

    def action_save(self) -> None:
        """Save the picture."""
        self.dismiss(self._message)

    def action_back(self) -> None:
        """Leave the picture."""
        self.dismiss(None)
