"""The pinned messages of a chat, to go to one of them."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat.tui import file_words
from p2pchat.tui.model import Chat, Message, message_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.list_panel import ListPanel
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.themes import MUTED

_BEGINNING = 300
"""Characters of a message that are used; its first line is shown."""

_FRAME = 12
"""Cells beside the words."""


class PinnedScreen(ListPanel):
    """Dismisses with the id of the message to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "go there")]

    def __init__(self, node: ApiCaller, chat: Chat) -> None:
        super().__init__()
        self._node = node
        self._chat = chat
        self._pinned: list[Message] = []

    def on_mount(self) -> None:
        """Read the pinned messages from the node."""
        self.set_heading(f"Pinned in the chat with {self.drawn(self._chat.label)}")
        self.begin(self._read(), "Asking…")

    async def _read(self) -> None:
        self._pinned = [message_of(each) for each in await self._node.call("pinned", chat=self._chat.id)]
        self._list(len(self._pinned) - 1 if self._pinned else None)
        key = "p on a message pins it, for both."
        self.say("" if self._pinned else f"Nothing is pinned here: {key}")

    def _list(self, highlighted: int | None) -> None:
        self.listed.set_options(Option(self._row(message)) for message in self._pinned)
        self.listed.highlighted = highlighted

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of each message as fits now."""
        super().on_resize(event)
        self._list(self.listed.highlighted)

    def _row(self, message: Message) -> Content:
        who = "you" if message.mine else self.drawn(self._chat.label)
        head = f"{who} · {self.when(message.at)}"
        text = message.text if message.file is None else file_words.summary(message.file, message.text)
        words = cut(displayable_line(" ".join(text[:_BEGINNING].split())), max(8, self.size.width - _FRAME))
        return Content.assemble((head, MUTED), "\n", self.drawn(words))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or bool(self._pinned)

    def choose(self, place: int) -> None:
        self.dismiss(self._pinned[place].id)
