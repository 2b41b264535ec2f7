"""What the app does about what is said: open a chat, send, keep drafts, mark as read."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from p2pchat import errors
from p2pchat.sanitize import clean
from p2pchat.tui import desktop
from p2pchat.tui.actions.drafts import Drafts
from p2pchat.tui.formatting import in_italics
from p2pchat.tui.intents import Seen
from p2pchat.tui.model import Chat, Message, message_of
from p2pchat.tui.node_client import READY, ApiCaller, Away
from p2pchat.tui.wording import said

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp

DRAFT_DEADLINE = 2.0
"""Seconds that leaving may take for the drafts."""

TYPING_PAUSE = 4.0
"""Seconds between two words to the node that one writes."""

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
    """A text that was handed to a node which ended before it answered: it may be saved or not. command: see
    `Composer.became`.
    """

    chat: str
    text: str
    at: datetime
    command: str = ""


class Meaning(NamedTuple):
    """What the text in the composer is going to be: an answer to a message, or another wording of it."""

    message: Message
    edits: bool


class ChatActions:
    """The app's hands for chats and what is sent in them."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._source = NodeSource(app.node)
        self._sending: dict[str, int] = {}
        self.drafts = Drafts(app, lambda chat: bool(self._sending.get(chat)))
        self._unsure: list[Unsure] = []
        self._saved: set[str] = set()
        """Ids of what was sent from here and is saved for certain."""
        self._meanings: dict[str, Meaning] = {}
        """What is written in a chat, where it is more than a message."""
        self._told_typing = 0.0
        self.after_opening: Callable[[Chat], Awaitable[None]] | None = None
        """What is done once the messages of a chat are on the screen."""

    # --- the chat that is shown

    async def open(self, ident: str | None) -> None:
        """Show a chat: the composer at once, so that the next key goes where it is meant to, then its messages."""
        app = self._app
        self.drafts.left(app.main.composer.chat)
        app.state.current = ident
        chat = app.state.shown
        app.main.conversation.jumped = ()
        app.main.conversation.search_marks = ""
        app.main.write_in(chat)
        self.show_meaning()
        app.main.show_list()
        app.main.chosen()
        app.reader.refresh_status()
        await app.main.conversation.open(chat, self._source)
        if chat is not None and self.after_opening is not None:
            await self.after_opening(chat)

    async def chat(self, name: str) -> None:
        """Run /chat NAME: show that chat."""
        chat = self._app.chat_named(name)
        if chat is not None:
            await self.open(chat.id)

    async def msg(self, rest: str) -> None:
        """Run /msg NAME TEXT: send a text to another chat. Its name has to be whole, so that nobody else gets it.

        Contacts choose their names. One who is called as another is, with the first words of a text behind that, must
        not get the rest of the text, so a line that two names begin is not sent.
        """
        named = [chat for chat in self._app.state.chats if _begins(rest, chat.label)]
        if len(named) != 1:
            self._app.main.composer.give_back(self._app.state.current, f"/msg {rest}".rstrip())
            why = "/msg takes a whole name, as the list shows it, and then the text."
            if named:
                why = f"That could be for {', '.join(chat.label for chat in named[:4])}. /chat opens one of them."
            self._app.say(f"Nothing was sent. {why}")
            return
        chat = named[0]
        if await self._send(chat.id, rest[len(chat.label) :].strip(), {}, command=rest):
            self._app.say(f"Sent to {chat.label}.")

    async def me(self, text: str) -> None:
        """Run /me TEXT: send what one does, in italics as everywhere."""
        chat = self._app.state.shown
        if chat is not None and text:
            await self.send(chat.id, in_italics(text), command=text)

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

    async def send(self, chat: str, text: str, *, command: str = "") -> None:
        """Send what was written in a chat: a message, an answer, or another wording of one. command: see
        `Composer.became`.
        """
        meaning = self._meanings.pop(chat, None)
        self.show_meaning()
        if meaning is not None and meaning.edits:
            await self._edit(meaning, text, command)
        else:
            answers = {} if meaning is None else {"reply_to": meaning.message.id}
            await self._send(chat, text, answers, command=command)

    async def _send(self, chat: str, text: str, answers: dict[str, str], *, command: str) -> bool:
        """Send a text; return whether it is surely saved. What is not saved comes back to the composer; what may be
        saved is looked for first.
        """
        app = self._app
        unsure = Unsure(chat, text, app.now(), command)
        is_saved = False
        self._sending[chat] = self._sending.get(chat, 0) + 1
        try:
            sent = await app.node.call("send", chat=chat, text=text, **answers)
            self._saved.add(sent["id"])
            app.main.composer.became(chat, text, sent["id"], command=command)
            is_saved = True
        except Away:
            self._give_back(
                chat, text, "The node is being restarted. Your text was kept; press Enter to send it again."
            )
        except errors.NodeGone:
            await self._settle(unsure)
        except errors.P2PChatError as exc:
            self._give_back(chat, text, app.said(exc))
        finally:
            self._sending[chat] -= 1
            self.drafts.keep_soon()
        if chat == app.state.current:
            app.main.conversation.to_end()
        return is_saved

    async def _edit(self, meaning: Meaning, text: str, command: str) -> None:
        message = meaning.message
        try:
            await self._app.node.call("edit", id=message.id, text=text, chat=message.chat)
            self._app.main.composer.became(message.chat, text, message.id, command=command)
        except errors.P2PChatError as exc:
            self._give_back(message.chat, text, self._app.said(exc))
            self._meanings[message.chat] = meaning
            self.show_meaning()

    def take_answer(self, chat: str) -> dict[str, str]:
        """Return what makes the next thing sent in a chat an answer, which is then no longer pending; an edit stays."""
        meaning = self._meanings.get(chat)
        if meaning is None or meaning.edits:
            return {}
        del self._meanings[chat]
        self.show_meaning()
        return {"reply_to": meaning.message.id}

    def write_about(self, message: Message, *, edits: bool) -> None:
        """Write an answer to a message, or another wording of it."""
        self._meanings[message.chat] = Meaning(message, edits)
        if edits:
            self._app.main.composer.put(message.text)
        else:
            self._app.main.composer.focus()
        self.show_meaning()

    def cancel(self, chat: str | None) -> None:
        """Write a message as any other again."""
        meaning = self._meanings.pop(chat or "", None)
        if meaning is not None and meaning.edits:
            self._app.main.composer.put("")
        self.show_meaning()

    def message_removed(self, chat: str, message: str) -> None:
        """A message was deleted, or its time is over: it is not answered or edited any more, and is shown nowhere."""
        self._app.main.composer.forget(chat, message)
        meaning = self._meanings.get(chat)
        if meaning is None or meaning.message.id != message:
            return
        if chat == self._app.state.current:
            self.cancel(chat)
        else:
            del self._meanings[chat]
        if meaning.edits:  # what was being written began with its text
            self.drafts.write(chat, "")
            self._app.main.show_list()
        self._app.say(f"The message that you were {'editing' if meaning.edits else 'answering'} is gone.")

    def show_meaning(self) -> None:
        """Say above the composer what its text is going to be."""
        chat = self._app.state.shown
        meaning = None if chat is None else self._meanings.get(chat.id)
        if meaning is None or chat is None:
            self._app.main.entry.say("", "")
            return
        who = "you" if meaning.message.mine else chat.label
        words = said(meaning.message) if meaning.message.file is not None else meaning.message.text
        self._app.main.entry.say("edit" if meaning.edits else f"reply to {who}", words)

    async def typing(self, chat: str, now: float) -> None:
        """Tell the contact that one writes; the node knows whether that is wanted."""
        if now - self._told_typing < TYPING_PAUSE:
            return
        self._told_typing = now
        with contextlib.suppress(errors.P2PChatError):
            await self._app.node.call("typing", chat=chat)

    async def settle(self) -> None:
        """The node is back: find out about what was under way, and tell it the drafts."""
        unsure, self._unsure = self._unsure, []
        for each in unsure:
            await self._settle(each)
        await self.drafts.keep()

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
            self._app.main.composer.became(unsure.chat, unsure.text, found, command=unsure.command)
        else:
            self._give_back(
                unsure.chat, unsure.text, "The node ended before it had your text; press Enter to send it again."
            )

    def _found(self, messages: Sequence[Message], unsure: Unsure) -> str | None:
        """The id of the message that an unsure text became. One that answers for another text does not count."""
        wanted, since = clean(unsure.text), unsure.at - _CLOCK_SLACK
        for message in messages:
            if message.mine and message.text == wanted and message.at >= since and message.id not in self._saved:
                return message.id
        return None

    def _give_back(self, chat: str, text: str, why: str) -> None:
        self.drafts.give_back(chat, text)
        self._app.say(why, "error")

    async def edit(self, _rest: str) -> None:
        """Run /editor: write the message in the person's editor. What they leave is in the composer, not sent."""
        app, composer = self._app, self._app.main.composer
        try:
            text = app.lend_terminal(partial(desktop.edit, os.environ, composer.written))
        except OSError as exc:
            app.say(f"Your editor could not be started: {exc.strerror}. $EDITOR names another one.", "error")
            return
        if text is None:
            app.say("Your editor ended with an error, so the text was not changed.", "warning")
        else:
            composer.put(clean(text).rstrip("\n"))

    async def leave(self) -> None:
        """Before the end: all that was written is kept, if the node can be had in time."""
        for unsure in self._unsure:
            self.drafts.write(unsure.chat, unsure.text)
        self._sending.clear()
        if self._app.node.state == READY:
            try:
                await asyncio.wait_for(self.drafts.keep(), DRAFT_DEADLINE)
            except TimeoutError:
                return


def _begins(rest: str, label: str) -> bool:
    """Return whether a line begins with this name and a space. A folded name may be longer (`Straße`, `STRASSE`), so it
    is the letters before the space that are compared: exactly those are cut off.
    """
    end = len(label)
    return rest[:end].casefold() == label.casefold() and rest[end : end + 1] == " "
