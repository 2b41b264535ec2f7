"""The question how to delete one's own message: here, or for both."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.tui.screens.panel import Panel

HERE, BOTH = "here", "both"
_CHOICES = ((HERE, "d", "Delete it here only"), (BOTH, "b", "Delete it for {}"), ("", "Esc", "Keep it"))


class DeleteScreen(Panel[str]):
    """Dismisses with `here` or `both`, or with None to keep the message."""

    HEADING = "Delete this message?"
    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "choose"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("d", f"pick('{HERE}')", show=False),
        Binding("b", f"pick('{BOTH}')", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    DeleteScreen {
        .panel { max-width: 60; }
        OptionList { margin: 0 0 1 0; }
        &.-low OptionList, &.-tiny OptionList { margin: 0; }
    }
    """

    def __init__(self, *, group: bool = False) -> None:
        """group: it is a message of a group."""
        super().__init__()
        self._whom = "all" if group else "both"

    def body(self) -> ComposeResult:
        for_whom = [(key, says.format(self._whom)) for _, key, says in _CHOICES]
        yield OptionList(*(Option(Content.assemble((f"{key:4}", "bold"), says)) for key, says in for_whom))
        yield Static(
            f"For {self._whom}: their program is asked to delete it, and shows that you did. It cannot take back what "
            "somebody has read or copied.",
            classes="note last",
            markup=False,
        )

    def on_mount(self) -> None:
        """Highlight the choice that loses nothing."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = len(_CHOICES) - 1

    def action_move(self, lines: int) -> None:
        """Highlight another choice."""
        listed = self.query_one(OptionList)
        listed.highlighted = max(0, min(len(_CHOICES) - 1, (listed.highlighted or 0) + lines))

    def action_pick(self, choice: str) -> None:
        """Take a choice; "" keeps the message."""
        self.dismiss(choice or None)

    def action_go(self) -> None:
        """Take the choice that is highlighted."""
        self.action_pick(_CHOICES[self.query_one(OptionList).highlighted or 0][0])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.action_pick(_CHOICES[event.option_index][0])
