"""The question whether the node keeps running, asked when the window is closed for the first time."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from p2pchat.tui.screens.confirm import Question


class KeepScreen(Question):
    """Dismisses with True if the node is to keep running when the window is closed, and with None if that was not
    decided: it is then asked again the next time.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "decide later")]
    AUTO_FOCUS = "#yes"

    def __init__(self) -> None:
        super().__init__(
            "Before you go",
            (
                "Keep receiving messages when this window is closed?",
                "If yes, a small part of p2pchat stays in the background of this computer, and your friends' messages "
                "come in at any time. If no, they wait with your friends until you open p2pchat again.",
                "You are asked only once; /keep changes it later.",
            ),
            "Yes, keep receiving",
            "Only while it is open",
            spare=True,
        )
