"""A look at the file that is going to be sent, with room for a caption."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from p2pchat.received import content
from p2pchat.tui import file_words, paths
from p2pchat.tui.screens.panel import Field, Panel
from p2pchat.tui.text import displayable_line
from p2pchat.tui.themes import MUTED

MAX_CAPTION = 1_000
"""Characters of a caption; a longer text is a message."""

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})
"""Endings of files that are sent as pictures; the node looks at what is in them."""

_ENCODED_AGAIN = frozenset({"a JPEG picture", "a PNG picture", "a GIF picture", "a WebP picture"})
_NAME = 54
_HOW = {
    True: "Sent as it is, with what it says about its camera, place and time.",
    False: "Sent as a picture, without what it says about its camera, place and time.",
}


class Sending(NamedTuple):
    """What to send a file with."""

    caption: str
    as_is: bool


class SendFileScreen(Panel[Sending]):
    """Dismisses with a `Sending`, or None: the file is not sent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "send"),
        Binding("alt+o", "as_is", "as it is"),
    ]
    AUTO_FOCUS = "Field"

    def __init__(
        self, path: Path, to: str, *, home: Path | None = None, before: Sending | None = None, problem: str = ""
    ) -> None:
        """to: the label of the chat. home: the folder that `~` stands for. before: what it could not be sent with, and
        why not.
        """
        super().__init__()
        self._before = before or Sending("", False)
        self._problem = problem
        self._path = path
        self._to = to
        self._home = home
        self._is_picture = path.suffix.lower() in PICTURES
        self._as_is = self._before.as_is
        self._warning = ""
        """What to say of a file that may tell of its camera, and is never encoded again."""

    def body(self) -> ComposeResult:
        yield Static("", id="file", classes="para", markup=False)
        yield Static("", id="how", classes="note", markup=False)
        if self._problem:
            yield Static(displayable_line(self._problem), classes="warn", markup=False)
        yield Field(self._before.caption, placeholder="Caption, or nothing", max_length=MAX_CAPTION)

    def on_mount(self) -> None:
        """Show the file, and whom it is for."""
        self.set_heading(f"Send this file to {self.drawn(self._to)}?")
        self._show()

    def _show(self) -> None:
        try:
            size = self._path.stat().st_size
            kind = content.kind_of_file(self._path, follow=True)
            self._warning = "" if kind.what in _ENCODED_AGAIN else content.may_tell(kind)
        except OSError as exc:
            size = 0
            self.say(f"It cannot be read: {exc.strerror}", "problem")
        name = self.drawn(file_words.shortened(self._path.name, _NAME))
        folder = self.drawn(file_words.shortened(paths.shown(self._path.parent, self._home), _NAME))
        words = Content.assemble((name, "bold"), f"  {file_words.size(size)}", "\n", (folder, MUTED))
        self.query_one("#file", Static).update(words)
        said = _HOW[self._as_is] if self._is_picture and not self._warning else self._warning
        how = self.query_one("#how", Static)
        how.set_class(not said, "hidden")
        how.update(Content(said))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "as_is" or self._is_picture

    def worded(self, binding: Binding) -> str:
        if binding.action == "as_is":
            return "as a picture" if self._as_is else "as it is"
        return binding.description

    def action_as_is(self) -> None:
        """Send a picture byte for byte, or encoded again."""
        self._as_is = not self._as_is
        self._show()
        self.show_keys()

    @on(Input.Submitted)
    def action_send(self) -> None:
        """Send it."""
        self.dismiss(Sending(self.query_one(Field).value.strip(), self._as_is))
