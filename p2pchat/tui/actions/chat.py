"""What the app does about what is said: open a chat, send, keep drafts, mark as read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from p2pchat import errors
from p2pchat.sanitize import clean
from p2pchat.tui.intents import Seen
from p2pchat.tui.model import Message, message_of
from p2pchat.tui.node_client import READY, ApiCaller, Away

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp

DRAFT_PAUSE = 0.4
"""Seconds after a key until a draft is kept."""

DRAFT_DEADLINE = 2.0
"""Seconds that leaving may take for the drafts."""

_CLOCK_SLACK = timedelta(seconds=2)
LOOK_BACK = 50
"""Newest messages among which one is looked for that may have been saved as the node ended."""


class NodeSource:
    """A chat's messages, as the node has them."""

    def __init__(self, node: ApiCaller) -> None:
        self._node = node

    async def newest(self, chat_id: str, limit: int) -> list[Message]:
        """Read the newest `limit` messages of a chat."""
        return await self._log(chat=chat_id, limit=limit)

    async def before(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        """Read at most `limit` messages before `message_id`."""
        return await self._log(chat=chat_id, limit=limit, before=message_id)

    async def after(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        """Read at most `limit` messages after `message_id`."""
        return await self._log(chat=chat_id, limit=limit, after=message_id)

    async def around(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        """Those on both sides of one."""
        return await self._log(chat=chat_id, limit=limit, around=message_id)

    async def _log(self, **params: Any) -> list[Message]:
        return [message_of(each) for each in await self._node.call("log", **params)]


@dataclass(frozen=True)
class Unsure:
    """A text that was handed to a node which ended before it answered: it may be saved or not."""

    chat: str
    text: str
    at: datetime


class ChatActions:
    """The app's hands for chats and what is sent in them."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._source = NodeSource(app.node)
        self._drafts: dict[str, str] = {}
        """Drafts that the node does not have yet."""
        self._sending: dict[str, int] = {}
        self._unsure: list[Unsure] = []
        self._saved: set[str] = set()
        """Ids of what was sent from here and is saved for certain."""
        self._planned = False

    # --- the chat that is shown

    async def open(self, ident: str | None) -> None:
        """Show a chat: the composer at once, so that the next key goes where it is meant to, then its messages."""
        app = self._app
        app.state.current = ident
        chat = app.state.shown
        app.main.conversation.search_marks = ""
        app.main.write_in(chat)
        app.main.show_list()
        app.main.chosen()
        app.refresh_status()
        await app.main.conversation.open(chat, self._source)

    async def chat(self, name: str) -> None:
        """Run /chat NAME: show that chat."""
        chat = self._app.meant(name)
        if chat is not None:
            await self.open(chat.id)

    async def reread(self) -> None:
        """Events were missed: what is shown is read again."""
        chat = self._app.state.shown
        if chat is not None:
            self._app.main.conversation.update_chat(chat)
            await self._app.main.conversation.reread()

    async def seen(self, intent: Seen) -> None:
        """Somebody saw it; whoever cannot be told now is told the next time."""
        try:
            await self._app.node.call("read", chat=intent.chat, upto=intent.message)
        except errors.P2PChatError:
            return

    # --- sending

    async def send(self, chat: str, text: str) -> None:
        """Send a text. What is not saved comes back to the composer; what may be saved is looked for first."""
        app = self._app
        unsure = Unsure(chat, text, app.now())
        self._sending[chat] = self._sending.get(chat, 0) + 1
        try:
            sent = await app.node.call("send", chat=chat, text=text)
            self._saved.add(sent["id"])
        except Away:
            self._give_back(chat, text, "The node is being restarted. Your text is kept: Enter sends it again.")
        except errors.NodeGone:
            await self._settle(unsure)
        except errors.P2PChatError as exc:
            self._give_back(chat, text, app.said(exc))
        finally:
            self._sending[chat] -= 1
            self._plan()
        if chat == app.state.current:
            app.main.conversation.to_end()

    async def settle(self) -> None:
        """The node is back: find out about what was under way, and tell it the drafts."""
        unsure, self._unsure = self._unsure, []
        for each in unsure:
            await self._settle(each)
        await self.keep_drafts()

    async def _settle(self, unsure: Unsure) -> None:
        try:
            last = await self._app.node.call("log", chat=unsure.chat, limit=LOOK_BACK)
        except errors.NodeGone:
            self._unsure.append(unsure)
            return
        except errors.P2PChatError as exc:
            self._give_back(unsure.chat, unsure.text, self._app.said(exc))
            return
        found = self._found([message_of(each) for each in last], unsure)
        if found is not None:
            self._saved.add(found)
        else:
            self._give_back(unsure.chat, unsure.text, "The node ended before it had your text: Enter sends it again.")

    def _found(self, messages: Sequence[Message], unsure: Unsure) -> str | None:
        """The id of the message that an unsure text became. One that answers for another text does not count."""
        wanted, since = clean(unsure.text), unsure.at - _CLOCK_SLACK
        for message in messages:
            if message.mine and message.text == wanted and message.at >= since and message.id not in self._saved:
                return message.id
        return None

    def _give_back(self, chat: str, text: str, why: str) -> None:
        app = self._app
        if not app.main.composer.give_back(chat, text):
            now = app.state.chat(chat)
            draft = f"{text}\n{now.draft}" if now is not None and now.draft.strip() else text
            self.draft(chat, draft)
        app.say(why, "error")

    # --- drafts

    def draft(self, chat: str, text: str) -> None:
        """The composer holds something else: keep it, soon."""
        self._app.state.keep_draft(chat, text)
        self._drafts[chat] = text
        self._plan()

    def overlay_drafts(self) -> None:
        """What is written here is newer than what the node has just answered."""
        for chat, text in self._drafts.items():
            self._app.state.keep_draft(chat, text)

    def _plan(self) -> None:
        if self._drafts and not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_later(DRAFT_PAUSE, self._due)

    def _due(self) -> None:
        self._planned = False
        self._app.begin(self.keep_drafts())

    async def keep_drafts(self) -> None:
        """Give the node the drafts it does not have. One that is being sent is kept until it is: better twice there
        than nowhere.
        """
        for chat in [chat for chat in self._drafts if not self._sending.get(chat)]:
            text = self._drafts.pop(chat)
            try:
                await self._app.node.call("draft", chat=chat, text=text)
            except errors.NodeGone:
                self._drafts.setdefault(chat, text)
                return
            except errors.P2PChatError:
                continue  # the chat is gone, or the node has no room: the composer holds it still

    async def leave(self) -> None:
        """Before the end: all that was written is kept, if the node can be had in time."""
        for unsure in self._unsure:
            self._drafts[unsure.chat] = unsure.text
        self._sending.clear()
        if self._app.node.state == READY:
            try:
                await asyncio.wait_for(self.keep_drafts(), DRAFT_DEADLINE)
            except TimeoutError:
                return
