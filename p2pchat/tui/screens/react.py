"""The choice of an emoji for a message, by its number, the arrows, or a click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat.tui.model import Message
from p2pchat.tui.screens.list_panel import ListPanel

OFFERED = ("👍", "👎", "😀", "😮", "😢", "🙏", "🎉", "🔥")
NONE = "remove mine"


class ReactScreen(ListPanel):
    """Dismisses with the emoji, or "" to remove one's own. Any other emoji can be set with /react."""

    HEADING = "React"
    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "react"),
        *(Binding(str(digit), f"pick({digit})", show=False) for digit in range(1, len(OFFERED) + 2)),
    ]
    DEFAULT_CSS = "ReactScreen .panel { max-width: 40; }"

    def __init__(self, message: Message) -> None:
        super().__init__()
        mine = any(reaction.mine for reaction in message.reactions)
        self._offered = [*OFFERED, *([NONE] if mine else [])]

    def options(self) -> Iterator[Option]:
        for number, emoji in enumerate(self._offered, 1):
            yield Option(Content.assemble((f"{number} ", "bold"), emoji))

    def choose(self, place: int) -> None:
        chosen = self._offered[place]
        self.dismiss("" if chosen == NONE else chosen)

    def action_pick(self, number: int) -> None:
        """Choose the emoji with that number."""
        if number <= len(self._offered):
            self.choose(number - 1)
