"""An emoji for a message: by its number, by the arrows, or by a click."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from p2pchat.tui.model import Message
from p2pchat.tui.screens.panel import Panel

OFFERED = ("👍", "👎", "😀", "😮", "😢", "🙏", "🎉", "🔥")
NONE = "take mine away"


class ReactScreen(Panel[str]):
    """Dismisses with the emoji, or "" to take one's own away. Any other is put there by /react."""

    HEADING = "React"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "put it there"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        *(Binding(str(digit), f"pick({digit})", show=False) for digit in range(1, len(OFFERED) + 2)),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = "ReactScreen .panel { max-width: 40; }"

    def __init__(self, message: Message) -> None:
        super().__init__()
        mine = any(reaction.mine for reaction in message.reactions)
        self._offered = [*OFFERED, *([NONE] if mine else [])]

    def body(self) -> ComposeResult:
        yield OptionList(
            *(Option(Content.assemble((f"{number} ", "bold"), each)) for number, each in enumerate(self._offered, 1))
        )

    def on_mount(self) -> None:
        """Begin at the first."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = 0

    def action_move(self, lines: int) -> None:
        """Highlight another one."""
        listed = self.query_one(OptionList)
        listed.highlighted = ((listed.highlighted or 0) + lines) % len(self._offered)

    def action_pick(self, number: int) -> None:
        """Take the one with that number."""
        if number <= len(self._offered):
            chosen = self._offered[number - 1]
            self.dismiss("" if chosen == NONE else chosen)

    def action_go(self) -> None:
        """Take the one that is highlighted."""
        self.action_pick((self.query_one(OptionList).highlighted or 0) + 1)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.action_pick(event.option_index + 1)
