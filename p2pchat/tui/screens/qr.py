"""A text as a QR code, on a screen of its own because it needs all the room there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.filter import LineFilter
from textual.screen import ModalScreen
from textual.widgets import Static

from p2pchat.tui.intents import SaveText
from p2pchat.tui.screens.panel import Hint, Hints
from p2pchat.tui.terminal import AsciiSigns

BORDER = 2
BLACK_ON_WHITE = "#000000 on #ffffff"
"""The colours of the code in every theme, because cameras look for dark on light."""

_FILE = "p2pchat-invite.svg"
_GLYPHS = " ▀▄█"


def half_blocks(matrix: Sequence[Sequence[int]]) -> list[str]:
    """Return the code as lines of two rows of dots each, with the border that readers need."""
    width = len(matrix[0]) + 2 * BORDER
    blank = [0] * width
    dots = [blank] * BORDER + [[0] * BORDER + [int(bool(dot)) for dot in row] + [0] * BORDER for row in matrix]
    dots += [blank] * (BORDER + (len(dots) + BORDER) % 2)
    return [
        "".join(_GLYPHS[upper + 2 * lower] for upper, lower in zip(dots[row], dots[row + 1], strict=True))
        for row in range(0, len(dots), 2)
    ]


class _Code(Static):
    """The code. ASCII cannot draw it, and fonts with few signs have those of `half_blocks`."""

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Leave its signs as they are."""
        return [each for each in super().get_line_filters() if not isinstance(each, AsciiSigns)]


class QrScreen(ModalScreen[None]):
    """Shows the code if the window is large enough, otherwise how large it has to be."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "save as a picture"),
        Binding("escape,q,enter,space", "close", "back"),
    ]
    DEFAULT_CSS = """
    QrScreen {
        align: center middle;
        background: $background;
        &:ansi { background: ansi_default; }
        overflow: hidden;
        #code { width: auto; height: auto; max-width: 100%; }
        #code.-small { padding: 0 2; }
        Hints { dock: bottom; padding: 0 1; max-height: 1; }
    }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        import segno

        self._code = segno.make(text, micro=False)
        self._lines = half_blocks(self._code.matrix)

    def compose(self) -> ComposeResult:
        yield _Code("", id="code", markup=False)
        yield Hints()

    def on_mount(self) -> None:
        """Show the keys of this screen."""
        self.query_one(Hints).show([Hint("s", "save as a picture", "save"), Hint("Esc", "back", "close")])

    def on_resize(self, event: events.Resize) -> None:
        """Show the code again, as far as it fits now."""
        width, height = len(self._lines[0]), len(self._lines)
        code = self.query_one("#code", Static)
        # One line is for the keys; if only that is missing, the code takes it.
        self.query_one(Hints).display = event.size.height > height or event.size.height < height
        fits = event.size.width >= width and event.size.height >= height
        code.set_class(not fits, "-small")
        if fits:
            code.update(Text("\n".join(self._lines), style=BLACK_ON_WHITE, no_wrap=True))
        else:
            code.update(
                Content(
                    f"The QR code needs a window of {width} by {height} characters; this one has {event.size.width} by "
                    f"{event.size.height}. Enlarge the window, use a smaller font, or press s to save the code "
                    "as a picture."
                )
            )

    def on_click(self) -> None:
        """Close the screen at a click anywhere."""
        self.action_close()

    def action_save(self) -> None:
        """Write the code to a plain file, if the window is too small for it."""
        picture = self._code.svg_inline(scale=8, border=2 * BORDER, dark="#000", light="#fff", omitsize=False)
        self.post_message(SaveText(picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1), _FILE))

    def action_close(self) -> None:
        """Close the screen."""
        self.dismiss(None)
