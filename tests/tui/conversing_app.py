"""An app with nothing but a conversation and a line to type into."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from p2pchat.tui.intents import CopyText, DeleteMessage, ExplainMessage, Intent, Seen
from p2pchat.tui.model import Chat, Message
from p2pchat.tui.widgets.conversation import Conversation
from tests.tui.conversing import NOW, ListSource, chat


class Host(App[None]):
    """A conversation and something else to type into."""

    AUTO_FOCUS = None

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(clock=lambda: NOW, compact=True)
        self.told: list[Intent] = []

    def compose(self) -> ComposeResult:
        yield self.conversation
        yield Input(compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_seen(self, intent: Seen) -> None:
        self.told.append(intent)

    def on_copy_text(self, intent: CopyText) -> None:
        self.told.append(intent)

    def on_delete_message(self, intent: DeleteMessage) -> None:
        self.told.append(intent)

    def on_explain_message(self, intent: ExplainMessage) -> None:
        self.told.append(intent)

    def on_conversation_closed(self, event: Conversation.Closed) -> None:
        self.told.append(event)


class Shown:
    """The host running, and what a test looks at."""

    def __init__(self, host: Host, pilot: Pilot[None], source: ListSource) -> None:
        self.host = host
        self.pilot = pilot
        self.source = source
        self.conversation = host.conversation

    def rows(self) -> list[str]:
        """What is on the screen."""
        return [self.conversation.render_line(y).text.rstrip() for y in range(self.conversation.size.height)]

    def texts(self) -> list[str]:
        """The rows that have messages of `messages`."""
        return [row[row.index("message ") :] for row in self.rows() if "message " in row]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settled()

    async def settled(self) -> None:
        """All pages that are wanted are read."""
        await self.host.workers.wait_for_complete()
        await self.pilot.pause()

    def told(self, kind: type[Intent]) -> list[Intent]:
        return [intent for intent in self.host.told if type(intent) is kind]


@asynccontextmanager
async def shown(
    held: list[Message], opened: Chat | None = None, size: tuple[int, int] = (80, 21)
) -> AsyncIterator[Shown]:
    """An app of that size with a chat of these messages open; the composer takes one row of it."""
    host, source = Host(), ListSource(held)
    async with host.run_test(size=size) as pilot:
        await host.conversation.open(chat() if opened is None else opened, source)
        made = Shown(host, pilot, source)
        await made.settled()
        yield made
