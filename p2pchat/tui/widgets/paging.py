"""The source of a chat's messages, and which of its pages are requested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from p2pchat.tui.model import CHANNEL, Chat, Message
from p2pchat.tui.widgets.viewport import RowPosition
from p2pchat.tui.widgets.window import Window

PAGE_MESSAGES = 100
"""Messages in a page."""
NEAR_MESSAGES = 40
"""If fewer messages than this are between the screen and an end of the window, the next page is requested."""


class MessageSource(Protocol):
    """A source of a chat's messages in display order, oldest first, fewer than `limit` at the end of the chat. It may
    raise any `P2PChatError`.
    """

    async def newest(self, chat_id: str, limit: int) -> list[Message]: ...

    async def before(self, chat_id: str, message_id: str, limit: int) -> list[Message]: ...

    async def after(self, chat_id: str, message_id: str, limit: int) -> list[Message]: ...

    async def around(self, chat_id: str, message_id: str, limit: int) -> list[Message]: ...


class Page(NamedTuple):
    """A page of messages, and whether it is the beginning or the end of the chat."""

    messages: list[Message]
    at_start: bool
    at_end: bool


async def first_page(source: MessageSource, chat: Chat, message_id: str | None) -> Page:
    """Return the newest messages, or those around one. Raises what the source does."""
    chat_id = chat.id
    if message_id is None:
        messages = await source.newest(chat_id, PAGE_MESSAGES)
        ends = len(messages) < PAGE_MESSAGES and (chat.kind != CHANNEL or not messages)  # relays may have earlier posts
        return Page(messages, ends, True)
    messages = await source.around(chat_id, message_id, PAGE_MESSAGES)
    return Page(messages, not messages, not messages)  # later requests find the ends


def wanted(window: Window, rows: Sequence[RowPosition]) -> str | None:
    """Return the page that is needed next if these rows are shown: `above`, `below` or None."""
    if not rows:
        return None
    if not window.at_start and rows[0].item < NEAR_MESSAGES:
        return "above"
    if not window.at_end and rows[-1].item >= len(window) - NEAR_MESSAGES:
        return "below"
    return None


async def next_page(window: Window, source: MessageSource, chat_id: str, where: str) -> Page:
    """Return the page `above` or `below` the window. Raises what the source does."""
    if where == "above":
        messages = await source.before(chat_id, window[0].id, PAGE_MESSAGES)
        return Page(messages, len(messages) < PAGE_MESSAGES, window.at_end)
    messages = await source.after(chat_id, window[len(window) - 1].id, PAGE_MESSAGES)
    return Page(messages, window.at_start, len(messages) < PAGE_MESSAGES)
