"""The earlier texts of an edited message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from p2pchat.tui.model import Message, time_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import drawn_within
from p2pchat.tui.screens.panel import Panel
from p2pchat.tui.text import displayable
from p2pchat.tui.themes import MUTED


class VersionsScreen(Panel[None]):
    """Shows all texts of a message, the first one first."""

    HEADING = "What it said"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "back", show=False)]

    def __init__(self, node: ApiCaller, message: Message) -> None:
        super().__init__()
        self._node = node
        self._message = message

    def body(self) -> ComposeResult:
        yield Static("", id="versions", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Read the texts from the node."""
        self.begin(self._read(), "")

    async def _read(self) -> None:
        self._show(await self._node.call("history", id=self._message.id, chat=self._message.chat))

    def _show(self, versions: Sequence[Mapping[str, Any]]) -> None:
        turned = getattr(self.app, "turns_text", True)
        shown: list[Content] = []
        for version in versions:
            at = time_of(version["at"])
            lines = displayable(version["text"]).split("\n")
            text = "\n".join(drawn_within(line, turned) for line in lines)
            shown.append(Content.assemble((f"{at.day} {at:%B} {self.clock(at)}", MUTED), "\n", text))
        self.query_one("#versions", Static).update(Content("\n\n").join(shown))
