"""The data of the conversation: chat, window, view, selection, and unread messages, without Textual.

While a page of messages is requested, events continue to arrive, and the answer may be older than they are. So they are
applied at once, and again when the page has arrived; every event may be applied twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from p2pchat.tui.model import CHANNEL, Chat, Message
from p2pchat.tui.widgets.paging import MessageSource, Page, first_page, next_page, wanted
from p2pchat.tui.widgets.rendering import Look
from p2pchat.tui.widgets.senders import Senders
from p2pchat.tui.widgets.unread import UnreadLine
from p2pchat.tui.widgets.viewport import Blocks, RowPosition, Viewport
from p2pchat.tui.widgets.window import Window

T = TypeVar("T")
_ABOVE_UNREAD = 2  # rows of read messages above the unread line, for context


class Feed:
    """One chat in a view. The methods return whether something on the screen may have changed."""

    def __init__(self, look: Look) -> None:
        self.chat: Chat | None = None
        self.window = Window()
        self.blocks = Blocks(self.window, look)
        self.view = Viewport(self.window, self.blocks)
        self.unread = UnreadLine()
        self._senders = Senders()
        self._selected: str | None = None
        self._source: MessageSource | None = None
        self._turn = 0  # counts the opened chats, so that an answer for an earlier one is ignored
        self._loads = 0
        self.opening = False  # whether the window still shows the previous chat
        self._late: list[Callable[[], object]] = []

    # ------------------------------------------------------------ what is shown

    @property
    def look(self) -> Look:
        """The layout parameters that all messages share."""
        return self.blocks.look

    def restyle(self, **changes: Any) -> None:
        """Change the look of all messages. If nothing differs, no message is laid out again."""
        if any(getattr(self.look, name) != value for name, value in changes.items()):
            self.blocks.look = replace(self.look, **changes)
        self.view.settle()

    @property
    def selected(self) -> Message | None:
        """The selected message."""
        index = self.window.index(self._selected)
        return None if index is None else self.window[index]

    def select(self, index: int | None) -> None:
        """Select a message, or none."""
        self._selected = None if index is None else self.window[index].id

    def needs_page(self, rows: Sequence[RowPosition], *, again: bool = False) -> bool:
        """Return whether `extend` has something to load; `rows` are those on the screen. again: also the page above the
        first post of a channel, though there was none: a relay may have it that was not reached then.
        """
        if again and self.chat is not None and self.chat.kind == CHANNEL:
            self.window.at_start = False
        return not self._loads and wanted(self.window, rows) is not None

    # ------------------------------------------------------------ what is read

    async def open(self, chat: Chat | None, source: MessageSource) -> bool:
        """Show a chat at its end, or at the unread line if the unread messages do not fit. Raises what the
        source does.
        """
        self._turn += 1
        self._late.clear()
        turn, self.chat, self._source = self._turn, chat, source
        page = Page([], True, True)
        try:
            if chat is not None:
                self.opening = True
                page = await self._asking(first_page(source, chat, None))
                unread = chat.first_unread
                if unread is not None and turn == self._turn and all(message.id != unread for message in page.messages):
                    page = await self._asking(first_page(source, chat, unread))
        finally:
            if turn == self._turn:  # after an error it is empty: better than the messages of another chat
                self.opening = False
                self._selected = None
                self.view.follow()
                self.unread = UnreadLine() if chat is None else UnreadLine(chat.first_unread, chat.unread)
                self.blocks.unread = (self.unread.first, self.unread.count)
                self._senders.begin(self.look.me)
                self.window.fill(page.messages, at_start=page.at_start, at_end=page.at_end)
                if chat is not None and chat.is_many:
                    self._senders.see(page.messages)
                self._look_anew()
                self._catch_up()
                self.show_unread()
        return turn == self._turn

    def show_unread(self) -> None:
        """Show the unread line if the messages below it do not fit, else the end."""
        first = self.window.index(self.unread.first)
        if first is None:
            self.view.follow()
        else:
            self.view.show(first, above=min(_ABOVE_UNREAD, self.view.height // 4))

    async def jump(self, id: str) -> bool:
        """Show a message, wherever in the chat it is, and select it. Raises what the source does (`NoSuchMessage`)."""
        if self.window.index(id) is None and not await self._fetch(id):
            return False
        index = self.window.index(id)
        if index is None:
            return False
        self._selected = id
        self.view.show(index, above=self.view.height // 3)
        return True

    async def newest(self) -> bool:
        """Show the end of the chat. Raises what the source does."""
        if not self.window.at_end and not await self._fetch(None):
            return False
        self.view.follow()
        self.unread.below = 0
        return True

    async def reread(self) -> bool:
        """Read the shown messages again, because events were lost or a message has moved between others.
        Nothing jumps.
        """
        place = None if self.view.following else self.window[self.view.top().item].id
        self.unread.waiting = True
        return await self._fetch(place)

    async def extend(self) -> bool:
        """Load the page above or below that will be needed next. Raises what the source does."""
        where, turn = wanted(self.window, self.view.rows()), self._turn
        if where is None or self._loads or self.chat is None or self._source is None:
            return False
        edge = self._edge(where)
        page = await self._asking(next_page(self.window, self._source, self.chat.id, where))
        if turn != self._turn or self._edge(where) != edge:
            return False
        if where == "above":
            self.window.above(page.messages, at_start=page.at_start)
        else:
            self.window.below(page.messages, at_end=page.at_end)
        self._see(page.messages)
        self._catch_up()
        return True

    def _edge(self, where: str) -> str | None:
        return self.window[0 if where == "above" else len(self.window) - 1].id if len(self.window) else None

    async def _fetch(self, id: str | None) -> bool:
        if self.chat is None or self._source is None:
            return False
        turn = self._turn
        page = await self._asking(first_page(self._source, self.chat, id))
        if turn != self._turn:
            return False
        self._fill(page)
        return True

    def _fill(self, page: Page) -> None:
        self.window.fill(page.messages, at_start=page.at_start, at_end=page.at_end)
        self._see(page.messages)
        self._catch_up()

    def _see(self, messages: Sequence[Message]) -> None:
        """Take over the names of who wrote these messages of a group."""
        if self.chat is not None and self.chat.is_many and self._senders.see(messages):
            self.restyle(labels=self._senders.labels)

    async def _asking(self, question: Awaitable[T]) -> T:
        self._loads += 1
        try:
            return await question
        finally:
            self._loads -= 1

    def _catch_up(self) -> None:
        for again in self._late:
            again()
        if not self._loads:
            self._late.clear()
        self.view.settle()

    # ------------------------------------------------------------ what happens

    def add(self, messages: Sequence[Message], seen: bool) -> bool:
        """Add messages that were just saved; those of other chats are ignored. seen: whether somebody looks at the
        screen.
        """
        chat = self.chat
        ours = [message for message in messages if chat is not None and message.chat == chat.id]
        if not ours:
            return False
        self._see(ours)
        if self._loads:
            self._late.append(lambda: self.window.live(ours, following=self.view.following))
        if self.opening:
            return False
        following = self.view.following
        new = self.window.live(ours, following=following)
        if self.unread.add(new, seen=seen, following=following):
            self.blocks.unread = (self.unread.first, self.unread.count)
            self.view.settle()
        return bool(new)

    def moved(self, id: str, state: str, route: str | None) -> bool:
        """Update the state of a message."""
        if self._loads:
            self._late.append(lambda: self.window.moved(id, state, route))
        index = self.window.moved(id, state, route)
        return index is not None and any(place.item == index for place in self.view.rows())

    def apply(self, change: Callable[[Window], int | None]) -> bool:
        """Change a message of the window: it was edited, reacted to, pinned, deleted for both, or its file moved on.
        change: returns its index, or None if nothing has changed.
        """
        if self._loads:
            self._late.append(lambda: change(self.window))
        if change(self.window) is None:
            return False
        self.view.settle()
        return True

    def removed(self, id: str) -> bool:
        """Remove a message that was deleted. If it was selected, the next one is."""
        if self._loads:
            self._late.append(lambda: self.window.remove(id))
        self.view.forget(id)
        index = self.window.remove(id)
        if index is None:
            return False
        if self._selected == id:
            self._selected = self.window[min(index, len(self.window) - 1)].id if len(self.window) else None
        self.view.settle()
        return True

    def update(self, chat: Chat) -> bool:
        """Update the shown chat, whose name or state has changed."""
        before = self.chat
        if before is None or before.id != chat.id:
            return False
        self.chat = chat
        self._look_anew()
        return (before.label, before.state) != (chat.label, chat.state)  # other fields change often in a flood

    def _look_anew(self) -> None:
        chat = self.chat
        self.restyle(
            chat="" if chat is None else chat.id,
            label="" if chat is None else chat.label,
            group=chat is not None and chat.is_many,
            channel=chat is not None and chat.kind == CHANNEL,
            labels=self._senders.labels,
        )


def reveal_selected(feed: Feed) -> None:
    """Scroll the selected message into view."""
    index = None if feed.selected is None else feed.window.index(feed.selected.id)
    if index is not None:
        feed.view.reveal(index)


def last_theirs(feed: Feed, rows: Sequence[RowPosition]) -> str | None:
    """Return the newest of their messages that is in these rows of the screen, or above them."""
    theirs = (feed.window[index] for index in range(rows[-1].item, -1, -1)) if rows else ()
    return next((message.id for message in theirs if not message.mine), None)
