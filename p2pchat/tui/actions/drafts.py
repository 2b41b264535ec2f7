"""What is written and not sent yet: the node keeps it, a moment after the last key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pchat import errors

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp
    from p2pchat.tui.state import News

DRAFT_PAUSE = 0.4
"""Seconds after a key until a draft is kept."""


class Drafts:
    """The drafts on their way to the node. `is_sending`: whether a text of that chat is being sent."""

    def __init__(self, app: BaseApp, is_sending: Callable[[str], bool]) -> None:
        self._app = app
        self._is_sending = is_sending
        self._waiting: dict[str, str] = {}
        self._saving: dict[str, str] = {}
        self._newer: dict[str, str] = {}
        self._planned = False
        self._ended: set[str] = set()

    def write(self, chat: str, text: str) -> None:
        """Keep what the composer holds now, soon."""
        self._app.state.keep_draft(chat, text)
        self._ended.discard(chat)
        self._waiting[chat] = self._newer[chat] = text
        self.keep_soon()

    def give_back(self, chat: str | None, text: str) -> None:
        """Put a text that was not sent back into the composer, or into the draft of its chat if another is shown."""
        if not self._app.main.composer.give_back(chat, text) and chat is not None:
            now = self._app.state.chat(chat)
            self.write(chat, f"{text}\n{now.draft}" if now is not None and now.draft.strip() else text)

    def follow(self, news: News) -> None:
        """Keep nothing of what the node has deleted, and nothing at all where nobody knows what that was."""
        for chat in news.ended_drafts:
            self._end(chat)
        for chat in news.emptied:
            self._app.main.composer.forget(chat)
        if news.lagged:
            self._app.main.composer.forget()

    def _end(self, chat: str) -> None:
        """Note that the node has deleted a draft whose time is over. What is in the composer stays there: it is being
        written, whoever set the timer.
        """
        if chat == self._app.state.current:
            self._ended.add(chat)
        elif chat not in self._waiting and chat not in self._saving:
            self._app.state.keep_draft(chat, "")

    def left(self, chat: str | None) -> None:
        """Keep anew what is in the composer, which goes to another chat, if the node has deleted it meanwhile."""
        if chat in self._ended:
            self.write(chat, self._app.main.composer.written)

    def before_reading(self) -> None:
        """Note that the chats are read from the node now: what is not saved yet is newer than its answer will be."""
        self._newer = {**self._saving, **self._waiting}

    def overlay(self) -> None:
        """Show what is newer than what the node has just answered: what it did not have when it was asked."""
        for chat, text in self._newer.items():
            self._app.state.keep_draft(chat, text)

    def keep_soon(self) -> None:
        """Give the node what it does not have, a moment from now."""
        if self._waiting and not self._planned:
            self._planned = True
            self._app.set_timer(DRAFT_PAUSE, self._due)  # which ends with the app; what waits then, its leave keeps

    def _due(self) -> None:
        self._planned = False
        self._app.begin(self.keep())

    async def keep(self) -> None:
        """Give the node the drafts it does not have. One that is being sent is kept until it is: better twice there
        than nowhere.
        """
        for chat in [chat for chat in self._waiting if not self._is_sending(chat)]:
            text = self._saving[chat] = self._waiting.pop(chat)
            try:
                await self._app.node.call("draft", chat=chat, text=text)
            except errors.NodeGone:
                self._waiting.setdefault(chat, text)
                return
            except errors.P2PChatError:
                continue  # the chat is gone, or the node has no room: the composer holds it still
            finally:
                if self._saving.get(chat) == text:
                    del self._saving[chat]
