"""Notifies a user who is not looking: the bell, and a notification by the terminal or the desktop.

It happens once per chat until they look again, and not for a muted chat, in quiet hours or while do-not-disturb is on.
People nearby may read a notification, so by default it names nobody; it never contains a disappearing message. What
peers wrote is cleaned, and cannot act as a program's option, as markup or as a control sequence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from p2pchat.tui import preferences, terminal
from p2pchat.tui.model import Chat
from p2pchat.tui.state import News
from p2pchat.tui.text import clock, cut, displayable_line
from p2pchat.tui.wording import preview

if TYPE_CHECKING:
    from p2pchat.tui import desktop
    from p2pchat.tui.base import BaseApp

MAX_TITLE = 40
MAX_BODY = 120
"""The most terminal cells in a notification."""

MAX_AT_ONCE = 3
"""The most notifications at one moment; after a night there may be many chats."""

_FOR_777 = ("rxvt", "foot")
"""Terminals, by the beginning of TERM, that support OSC 777 but not OSC 9."""


class Notice(NamedTuple):
    """A notification."""

    title: str
    body: str


ANYTHING = Notice("p2pchat", "a new message")


def notice_of(chat: Chat | None, content: str, *, reacted: bool) -> Notice:
    """Return the notification for a chat, showing as much as `content` allows; without a chat, for a
    contact request.
    """
    if content == preferences.NOTHING or chat is None:
        return ANYTHING if chat is not None else Notice("p2pchat", "somebody wants to become a contact")
    name = _plain(chat.label, MAX_TITLE)
    if reacted:
        return Notice(name, "reacted to one of your messages")
    message = chat.last
    if chat.is_many:
        return _of_group(chat, name, content)
    if content == preferences.NAME or message is None or message.mine or message.deleted:
        return Notice(name, "wrote to you")
    if message.kind != "text" and message.file is None:
        return Notice(name, "wrote to you")
    if message.expires_in or chat.timer:
        return Notice(name, "wrote a disappearing message")
    if message.file is not None:
        from p2pchat.tui import file_words  # not before the first picture

        return Notice(name, _plain(file_words.summary(message.file, message.text), MAX_BODY))
    return Notice(name, _plain(message.text, MAX_BODY))


def _of_group(chat: Chat, name: str, content: str) -> Notice:
    """Return the notification for a group of this name."""
    if content == preferences.NAME or chat.last is None or chat.last.mine or chat.last.expires_in or chat.timer:
        return Notice(name, "somebody mentioned you" if chat.mentions else "new messages")
    return Notice(name, _plain(preview(chat._replace(draft="")), MAX_BODY))


def _plain(text: str, cells: int) -> str:
    # A semicolon ends a field of OSC 777.
    return cut(" ".join(displayable_line(text[: 4 * MAX_BODY]).split()), cells).replace(";", ",")


def sequence(notice: Notice, environment: Mapping[str, str]) -> str:
    """Return the control sequence for a notification. Our name comes first, because some terminals interpret OSC 9 with
    a number.
    """
    if environment.get("TERM", "").startswith(_FOR_777) or environment.get("VTE_VERSION"):
        return f"\x1b]777;notify;{notice.title};{notice.body}\x1b\\"
    words = notice.body if notice.title == ANYTHING.title else f"{notice.title}: {notice.body}"
    return f"\x1b]9;p2pchat: {words}\x1b\\"


def within(at: datetime, hours: str) -> bool:
    """Return whether a time is in the quiet hours, which may extend over midnight."""
    both = preferences.hours(hours)
    if both is None:
        return False
    begin, end = both
    now = at.time().replace(tzinfo=None)
    return begin <= now < end if begin <= end else now >= begin or now < end


class Notifier:
    """Decides when to notify, and how."""

    def __init__(self, app: BaseApp, looks: Callable[[], bool]) -> None:
        """`looks`: returns whether the user is looking at the screen now."""
        self._app = app
        self._looks = looks
        self._told: set[str] = set()
        """Chats and requests with a notification since the person last looked."""
        self._silent_until: datetime | None = None

    def hear(self, news: News) -> None:
        """Handle a new message or request: notify if the user is not looking."""
        if self._looks():
            self._told.clear()
            return
        chats = {ident for ident in news.incoming() if not self._is_muted(ident)}
        fresh = (chats | {request.id for request in news.asked}) - self._told
        if not fresh or self.silenced:
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
        from p2pchat.tui import desktop  # not before the first picture

        return desktop.notifier(os.environ)

    async def _show(self, tool: desktop.Tool, notice: Notice) -> None:
        from p2pchat.tui import desktop

        if not await desktop.notify(tool, notice.title, notice.body):
            self._app.write_to_terminal(sequence(notice, os.environ))

    # --- when nobody wants to be called

    @property
    def silenced(self) -> bool:
        """Whether all notifications are silenced now."""
        wishes, now = self._app.preferences, self._app.now()
        if self._silent_until is not None and now >= self._silent_until:
            self._silent_until = None
        return self._silent_until is not None or wishes.do_not_disturb or within(now, wishes.quiet_hours)

    @property
    def says(self) -> str:
        """The text for the status line while notifications are silenced, else ""."""
        if not self.silenced:
            return ""
        if self._silent_until is not None:
            return f"silent until {clock(self._silent_until, self._app.twelve_hours)}"
        return "do not disturb" if self._app.preferences.do_not_disturb else "quiet hours"

    def silence(self, seconds: float | None) -> None:
        """Silence notifications for so long; None ends that."""
        self._silent_until = None if seconds is None else self._app.now() + timedelta(seconds=seconds)
