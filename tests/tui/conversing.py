"""Messages and a source of them, for the tests of the conversation and its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from p2pchat.errors import NoSuchMessage
from p2pchat.tui.model import ME, Chat, Message

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
CHAT = "c" * 64


def message(
    number: int,
    text: str | None = None,
    *,
    mine: bool = False,
    state: str | None = None,
    route: str | None = "direct",
    at: datetime | None = None,
    kind: str = "text",
    chat: str = CHAT,
) -> Message:
    """The message with that number; ten minutes after the one before, so that none of them are one group."""
    sender = ME if mine else "bob"
    return Message(
        f"{number:032x}",
        chat,
        sender,
        f"message {number}" if text is None else text,
        kind,
        START + timedelta(minutes=10) * number if at is None else at,
        state or ("delivered" if mine else "received"),
        route,
    )


def messages(count: int, first: int = 0) -> list[Message]:
    """So many, of bob's."""
    return [message(number) for number in range(first, first + count)]


def chat(
    state: str = "contact", *, label: str = "bob", unread: int = 0, first_unread: str | None = None, id: str = CHAT
) -> Chat:
    """A chat."""
    return Chat(id, label, label, state, True, "direct", unread, first_unread, None, "")


class ListSource:
    """A source over a list. `hold`: each question waits for it, then answers what was there when it was asked."""

    def __init__(self, held: Sequence[Message]) -> None:
        self.held = list(held)
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None
        self.fail: Exception | None = None

    async def newest(self, chat_id: str, limit: int) -> list[Message]:
        return await self._answer("newest", self.held[-limit:])

    async def before(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        place = self._place(message_id)
        return await self._answer("before", self.held[max(0, place - limit) : place])

    async def after(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        place = self._place(message_id) + 1
        return await self._answer("after", self.held[place : place + limit])

    async def around(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        place = max(0, self._place(message_id) - limit // 2)
        return await self._answer("around", self.held[place : place + limit])

    def _place(self, id: str) -> int:
        for place, message in enumerate(self.held):
            if message.id == id:
                return place
        raise NoSuchMessage

    async def _answer(self, what: str, page: list[Message]) -> list[Message]:
        self.asked.append(what)
        if self.fail is not None:
            raise self.fail
        page = list(page)
        if self.hold is not None:
            await self.hold.wait()
        return page
