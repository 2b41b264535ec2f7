"""Calls somebody who does not look: the bell, and a notice by the terminal or the desktop.

Once a chat, until they look again. Nobody is called for a chat that is muted, in quiet hours or while they do not want
to be disturbed. A notice is read by whoever stands behind, so by default it names nobody; what disappears is never in
one. What peers wrote is cleaned, and can be neither an option of a program nor markup nor another sequence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from p2pchat.tui import desktop, preferences, terminal
from p2pchat.tui.model import Chat
from p2pchat.tui.state import News
from p2pchat.tui.text import clock, cut, displayable_line

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp

MAX_TITLE = 40
MAX_BODY = 120
"""Cells of a notice."""

MAX_AT_ONCE = 3
"""Notices of one moment; after a night there may be many chats."""

_FOR_777 = ("rxvt", "foot")
"""Terminals, by the beginning of TERM, that know OSC 777 and not OSC 9."""


class Notice(NamedTuple):
    """What is shown."""

    title: str
    body: str


ANYTHING = Notice("p2pchat", "a new message")


def notice_of(chat: Chat | None, content: str, *, reacted: bool) -> Notice:
    """The notice for a chat, as much of it as `content` allows; with no chat, for somebody who asks to be a contact."""
    if content == preferences.NOTHING or chat is None:
        return ANYTHING if chat is not None else Notice("p2pchat", "somebody wants to become a contact")
    name = _plain(chat.label, MAX_TITLE)
    if reacted:
        return Notice(name, "reacted to one of your messages")
    message = chat.last
    if content == preferences.NAME or message is None or message.mine or message.deleted or message.kind != "text":
        return Notice(name, "wrote to you")
    if message.expires_in or chat.timer:
        return Notice(name, "wrote a disappearing message")
    return Notice(name, _plain(message.text, MAX_BODY))


def _plain(text: str, cells: int) -> str:
    # A semicolon ends a field of OSC 777.
    return cut(" ".join(displayable_line(text[: 4 * MAX_BODY]).split()), cells).replace(";", ",")


def sequence(notice: Notice, environment: Mapping[str, str]) -> str:
    """What the terminal is sent for a notice. Our name comes first: to some terminals, OSC 9 with a number is more."""
    if environment.get("TERM", "").startswith(_FOR_777) or environment.get("VTE_VERSION"):
        return f"\x1b]777;notify;{notice.title};{notice.body}\x1b\\"
    words = notice.body if notice.title == ANYTHING.title else f"{notice.title}: {notice.body}"
    return f"\x1b]9;p2pchat: {words}\x1b\\"


def within(at: datetime, hours: str) -> bool:
    """Whether a moment is in the quiet hours; they may go over midnight."""
    both = preferences.hours(hours)
    if both is None:
        return False
    begin, end = both
    now = at.time().replace(tzinfo=None)
    return begin <= now < end if begin <= end else now >= begin or now < end


class Notifier:
    """Decides who is called for, and how."""

    def __init__(self, app: BaseApp, looks: Callable[[], bool]) -> None:
        """`looks`: whether somebody looks at the screen now."""
        self._app = app
        self._looks = looks
        self._told: set[str] = set()
        """Chats and requests with a notification since the person last looked."""
        self._hushed_until: datetime | None = None

    def hear(self, news: News) -> None:
        """Something came: call, if nobody looks."""
        if self._looks():
            self._told.clear()
            return
        chats = {ident for ident in news.incoming() if not self._is_muted(ident)}
        fresh = (chats | {request.id for request in news.asked}) - self._told
        if not fresh or self.hushed:
            return
        self._told |= fresh
        wishes = self._app.preferences
        notices = dict.fromkeys(
            notice_of(self._app.state.chat(ident), wishes.notification_content, reacted=self._only_reacted(ident, news))
            for ident in sorted(fresh)
        )
        self._call(list(notices)[:MAX_AT_ONCE], ring=wishes.bell)

    def _is_muted(self, ident: str) -> bool:
        chat = self._app.state.chat(ident)
        return chat is not None and chat.muted_until is not None and self._app.now() < chat.muted_until

    def _only_reacted(self, ident: str, news: News) -> bool:
        return ident in news.touched and all(each.chat != ident or each.mine for each in news.arrived)

    def _call(self, notices: Iterable[Notice], *, ring: bool) -> None:
        bell = terminal.BELL if ring else ""
        tool = self._tool()
        if tool is not None:
            if bell:
                self._app.write_to_terminal(bell)
            for notice in notices:
                self._app.begin(self._show(tool, notice))
            return
        if self._app.preferences.notifications != preferences.OFF:
            bell += "".join(sequence(notice, os.environ) for notice in notices)
        if bell:
            self._app.write_to_terminal(bell)

    def _tool(self) -> desktop.Tool | None:
        wanted = self._app.preferences.notifications
        if wanted not in (preferences.AUTO, preferences.DESKTOP):
            return None
        return desktop.notifier(os.environ)

    async def _show(self, tool: desktop.Tool, notice: Notice) -> None:
        if not await desktop.notify(tool, notice.title, notice.body):
            self._app.write_to_terminal(sequence(notice, os.environ))

    # --- when nobody wants to be called

    @property
    def hushed(self) -> bool:
        """Whether nobody is called now, whatever comes."""
        wishes, now = self._app.preferences, self._app.now()
        if self._hushed_until is not None and now >= self._hushed_until:
            self._hushed_until = None
        return self._hushed_until is not None or wishes.do_not_disturb or within(now, wishes.quiet_hours)

    @property
    def says(self) -> str:
        """A word for the status line while somebody does not want to be disturbed, else ""."""
        if not self.hushed:
            return ""
        if self._hushed_until is not None:
            return f"silent until {clock(self._hushed_until, self._app.twelve_hours)}"
        return "do not disturb" if self._app.preferences.do_not_disturb else "quiet hours"

    def hush(self, seconds: float | None) -> None:
        """Call nobody for so long; None ends that."""
        self._hushed_until = None if seconds is None else self._app.now() + timedelta(seconds=seconds)
