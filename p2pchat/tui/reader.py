"""Reads from the node what the screen shows: the chats, the requests, and how the node is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from p2pchat import errors
from p2pchat.tui import terminal, wording
from p2pchat.tui.node_client import READY

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.base import BaseApp


FIRST_CHATS = 50
"""Chats that are read and shown first; hardly any window is taller. All of a thousand take ten times as long."""


class Reader:
    """What the screen knows of the node, read anew when it has to be."""

    def __init__(self, app: BaseApp, talk: Callable[[], ChatActions]) -> None:
        self._app = app
        self._talk = talk
        self._facts: dict[str, Any] = {}
        """What `status` answered last."""
        self._reading: asyncio.Task[None] | None = None
        self._read_again = False
        self._offered = False
        self._titled = 0
        self._name = ""
        """What the user is called."""

    @property
    def settled(self) -> bool:
        """Whether everything was read, and nothing is being read again."""
        return bool(self._facts) and (self._reading is None or self._reading.done())

    async def reread(self) -> None:
        """Read everything again. Asked again meanwhile, it is done once more."""
        if self._reading is not None and not self._reading.done():
            self._read_again = True
            await asyncio.shield(self._reading)
            return
        self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        app, talk = self._app, self._talk()
        while True:
            self._read_again = False
            try:
                talk.drafts.before_reading()
                app.state.before_reading()
                listed = bool(app.state.chats)
                chats = [] if listed else await app.node.call("chats", limit=FIRST_CHATS)
                begun = len(chats) == FIRST_CHATS
                if begun:
                    await self._begin(chats)
                requests, awaited = await asyncio.gather(app.node.call("requests"), app.node.call("joining"))
                if begun or listed:
                    chats = await app.node.call("chats")
                before = app.state.current
                self._read_again |= app.state.load(chats, requests, awaited).stale
                talk.drafts.overlay()
                app.main.show_list()
                if app.state.shown is None:
                    await talk.open(app.state.chats[0].id if app.state.chats else None)
                elif before is not None and not begun:
                    app.main.write_in(app.state.shown)
                    await talk.reread()
                await self._status()
            except errors.P2PChatError as exc:
                app.state.not_read()
                if not isinstance(exc, errors.NodeGone):
                    app.say(app.said(exc), "error")
                return  # it is read when the node is back
            if not self._read_again:
                return

    async def _begin(self, first: list[dict[str, Any]]) -> None:
        """Show the first chats; all of them are read meanwhile."""
        app, talk = self._app, self._talk()
        app.state.begin(first)
        talk.drafts.overlay()
        app.main.show_list()
        if app.state.shown is None:
            await talk.open(app.state.chats[0].id)

    def ask_status(self) -> None:
        """Ask the node how it is."""
        if self._app.node.state == READY:
            self._app.begin(self._status())

    async def _status(self) -> None:
        app = self._app
        try:
            self._facts = await app.node.call("status")
        except errors.NodeGone:
            return
        name = str(self._facts.get("name") or "")
        app.main.side_title.show(name)
        if name != self._name:
            self._name = name
            app.main.conversation.restyle(me=name)
        self.refresh_status()
        if self._facts.get("could_relay") and not self._offered:
            self._offered = True
            app.say("Your contacts can reach this computer, so it could be a small relay for them: /offer says more.")

    def refresh_status(self) -> None:
        """Say how things are: in the status line, and unread messages in the window's title."""
        app = self._app
        trouble = "" if app.node.trouble is None else app.said(app.node.trouble)
        said, wrong = wording.status_line(app.node.state, trouble, app.state.chats, app.state.unsent(), self._facts)
        if app.notifier.says:
            said.append(app.notifier.says)
        app.main.show_status(said, wrong)
        unread = app.state.unread()
        if unread != self._titled:
            self._titled = unread
            app.write_to_terminal(terminal.title(unread))
