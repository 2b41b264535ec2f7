"""What the app does about one message, the picked one or the newest: copy, delete, explain; and finding another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat.tui.actions.chat import LOOK_BACK, NodeSource
from p2pchat.tui.intents import CopyText, DeleteMessage, ExplainMessage
from p2pchat.tui.model import Message

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp


class MessageActions:
    """The app's hands for a message."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._source = NodeSource(app.node)

    def picked(self) -> Message | None:
        """The message a command means: the picked one."""
        return self._app.main.conversation.selected

    async def newest(self, *, mine: bool) -> Message | None:
        """The message a command means where none is picked: the newest, or our newest."""
        chat = self._app.state.shown
        if chat is None:
            return None
        messages = await self._source.newest(chat.id, LOOK_BACK)
        return next((each for each in reversed(messages) if each.mine or not mine), None)

    async def copy(self, _rest: str) -> None:
        """Run /copy: copy the selected message, or the newest."""
        message = self.picked() or await self.newest(mine=False)
        if message is None:
            self._app.say("There is no message to copy.")
        else:
            self._app.copy(CopyText(message.text))

    async def delete_picked(self, _rest: str) -> None:
        """Run /delete: delete the selected message, or our newest, after a question."""
        message = self.picked() or await self.newest(mine=True)
        if message is None:
            self._app.say("There is no message of yours to delete.")
        else:
            await self.delete(DeleteMessage(message))

    async def delete(self, intent: DeleteMessage) -> None:
        """Delete a message here, after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen

        under_way = intent.message.mine and intent.message.state == "saved"
        more = "It has not been sent yet, and will not be." if under_way else "Others keep their copies."
        if await self._app.ask(ConfirmScreen("Delete this message here?", "Delete", "Keep", more)):
            await self._app.node.call("delete", id=intent.message.id)

    async def why(self, _rest: str) -> None:
        """Run /why: explain where the selected message is, or our newest."""
        message = self.picked() or await self.newest(mine=True)
        if message is None:
            self._app.say("There is no message of yours here.")
        else:
            await self.explain(ExplainMessage(message))

    async def explain(self, intent: ExplainMessage) -> None:
        """Say where a message is."""
        from p2pchat.tui.screens.explain import ExplainScreen

        await self._app.ask(ExplainScreen(self._app.node, intent.message))

    async def search(self, words: str) -> None:
        """/search: find a message and go to it."""
        from p2pchat.tui.screens.find import FindScreen

        chat = self._app.state.shown
        if chat is None:
            self._app.say("Open a chat first.")
            return
        found = await self._app.ask(FindScreen(self._app.node, chat, words))
        if found is not None:
            await self._app.main.conversation.jump(found)
