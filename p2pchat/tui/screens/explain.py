"""The status of a message: how far it has come, by which route, when, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from p2pchat.lib.moments import localized, when
from p2pchat.tui.model import MAILBOX, Message
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Panel
from p2pchat.tui.text import MARKS, cut
from p2pchat.tui.wording import said

_MAX_QUOTED = 200

_WAYS = {
    "direct": "straight from {one} computer to {other}",
    "lan": "straight from {one} computer to {other}, within the same network",
    "punched": "straight from {one} computer to {other}, through both routers",
    "circuit": "through a relay, which cannot read them",
    "mailbox": "through a relay that stores them until they are fetched, and cannot read them",
    "parcel": "in a file that somebody carried from {one} computer to {other}",
}
_STATES = {
    "saved": "Saved here, not sent yet.",
    "stored": "Sent. Their computer has not confirmed it yet.",
    "delivered": "It is on their computer.",
    "read": "They have read it.",
    "failed": "It was not sent.",
    "received": "It is on your computer.",
}
_AT_RELAYS = "Sent. It waits at a relay for their computer."


def way(route: str, *, mine: bool = True) -> str:
    """Return a route in words; an unknown one is returned as it is."""
    one, other = ("your", "theirs") if mine else ("their", "yours")
    return _WAYS.get(route, "through " + route.replace("{", "").replace("}", "")).format(one=one, other=other)


class ExplainScreen(Panel[None]):
    """Shows the node's explanation of one message."""

    HEADING = "This message"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "back", show=False),
        Binding("r", "again", "refresh"),
    ]
    DEFAULT_CSS = """
    ExplainScreen {
        #quoted { color: $text-muted; }
        #state { text-style: bold; }
    }
    """

    def __init__(self, node: ApiCaller, message: Message) -> None:
        super().__init__()
        self._node = node
        self._message = message

    def body(self) -> ComposeResult:
        words = self._message.text if self._message.file is None else said(self._message)
        quoted = cut(self.drawn(words[:_MAX_QUOTED]), _MAX_QUOTED // 2)
        yield Static(quoted, id="quoted", classes="box", markup=False)
        yield Static("", id="state", classes="para", markup=False)
        yield Static("", id="facts", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Ask the node about the message."""
        self._show(None)
        self.action_again()

    def action_again(self) -> None:
        """Ask the node about the message again."""
        if not self.busy:
            self.begin(self._read(), "")

    async def _read(self) -> None:
        self._show(await self._node.call("why", id=self._message.id))

    def _show(self, answer: Mapping[str, Any] | None) -> None:
        message = self._message
        state = message.state if answer is None else answer["state"]
        mark = f"{MARKS[state]} " if message.mine and state in MARKS else ""
        at_relays = state == "stored" and (message.route == MAILBOX if answer is None else bool(answer["relays"]))
        self.query_one("#state", Static).update(mark + (_AT_RELAYS if at_relays else _STATES.get(state, state)))
        lines = []
        if answer is not None and message.mine:
            lines += [self.drawn(localized(answer["reason"]))]
            if answer["next"] not in ("", "Nothing."):
                lines += [self.drawn(localized(answer["next"]))]
            lines += [""]
        lines += [f"{'Written' if message.mine else 'Received'} on {when(message.at)}."]
        if message.route is not None:
            lines += [f"{'It goes' if state == 'saved' else 'It went'} {way(message.route, mine=message.mine)}."]
        self.query_one("#facts", Static).update(Content("\n".join(lines)))
