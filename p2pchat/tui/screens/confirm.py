"""A question with two answers."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from p2pchat.tui.screens.panel import Panel

YES, NO = "yes", "no"


class Question(Panel[bool]):
    """Two buttons below a text. Dismisses with True, False, or None if Esc left the question open."""

    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
        Binding("enter", "choose", "choose"),
        Binding("y", "answer(True)", show=False),
        Binding("n", "answer(False)", show=False),
    ]
    AUTO_FOCUS = "#no"

    DEFAULT_CSS = """
    Question {
        .panel { max-width: 64; }
        .buttons { height: auto; }
        Button.answer {
            width: auto;
            min-width: 8;
            height: auto;
            padding: 0 2;
            margin: 0 2 0 0;
            background: $panel;
            color: $foreground;
            text-style: none;
        }
        Button.answer:hover { background: $border-blurred; }
        Button.answer:focus { background: $primary; color: $background; text-style: bold; }
        Button.-danger:focus { background: $error; }
        Button.answer:ansi:focus { background: $background; color: $foreground; text-style: bold reverse; }
        &.-narrow .buttons { layout: vertical; }
    }
    """

    def __init__(
        self, heading: str, texts: tuple[str, ...], yes: str, no: str, *, danger: bool = False, spare: bool = False
    ) -> None:
        """spare: the text below the first one is left out if the answers would have no room."""
        super().__init__(heading)
        self._texts = texts
        self._spare = spare
        self._yes, self._no = yes, no
        self._danger = danger

    def body(self) -> ComposeResult:
        for number, text in enumerate(self._texts):
            yield Static(text, classes="para spare" if number and self._spare else "para", markup=False)
        with Horizontal(classes="buttons"):
            # The names of the answers may contain a peer's name: a button's label is markup unless it is Content.
            yield _button(self._yes, YES, "-danger" if self._danger else "")
            yield _button(self._no, NO)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == YES)

    def action_choose(self) -> None:
        """Press the focused button."""
        if isinstance(self.focused, Button):
            self.focused.press()

    def action_answer(self, yes: bool) -> None:
        """Choose an answer by its first letter."""
        self.dismiss(yes)


def _button(label: str, ident: str, classes: str = "") -> Button:
    return Button(Content(label), id=ident, classes=f"answer {classes}", compact=True)


class ConfirmScreen(Question):
    """Asks before something that cannot be undone; Esc, or Enter at once, leaves everything as it is."""

    def __init__(self, question: str, yes: str = "Yes", no: str = "No", more: str = "", *, danger: bool = True) -> None:
        texts = (question, more) if more else (question,)
        super().__init__("Sure?", texts, yes, no, danger=danger)

    def action_back(self) -> None:
        self.dismiss(False)
