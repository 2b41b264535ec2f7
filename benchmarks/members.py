"""A group of 5,000 on the screen, over a real encrypted store: `python -m benchmarks.members`.

`list_ms`    from the key that opens the list of members until it is painted: the store's query, JSON, cleaning, the
             screen with its field, Textual's own drawing into a headless screen of 100x40.
`empty_ms`   the same in a group of one.
`search_ms`  from the last letter of a name until what was found is painted.
`again_ms`   from emptying the field until all 5,000 are listed again and painted.
`open_ms`    from `Conversation.open` of a chat of 100,000 messages of 5,000 members until its end is painted.

There is no socket and no terminal in it, and as in the program the list of members is not read to open the chat.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult

from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, GroupId, MemberId, MessageId, sender_of
from p2pchat.engine.runtime import naming, views
from p2pchat.store import chats, messages, partners
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from p2pchat.tui.groups import GroupInfo, group_of
from p2pchat.tui.model import GROUP, Chat, Message, message_of
from p2pchat.tui.node_client import cleaned
from p2pchat.tui.screens.members import MembersScreen
from p2pchat.tui.screens.panel import Field
from p2pchat.tui.widgets.conversation import Conversation

PATIENCE = 10.0
MEMBERS = 5_000
MESSAGES = 100_000
NOW = 1_700_000_000_000
LARGE, SMALL = ChatId(b"large   "), ChatId(b"small   ")
_NAMES = ("Anna", "Boris", "Chiara", "Dörte", "Eva", "Farid", "Мария", "سارا", "李明", "Zoë")
_WORDS = ("river", "morning", "letter", "garden", "window", "bread", "station", "winter", "paper", "music")


@dataclass(frozen=True)
class Numbers:
    """Milliseconds, one for each time it was done."""

    list_ms: list[float]
    empty_ms: list[float]
    search_ms: list[float]
    again_ms: list[float]
    open_ms: list[float]


def member_id(number: int) -> MemberId:
    """The id of the member with that number."""
    return MemberId((number + 1).to_bytes(8, "big"))


def fill(db: Database) -> None:
    """A group of 5,000 who have said 100,000 things, and a group of one."""
    chance = random.Random(1)
    with db.transaction():
        for chat, count in ((LARGE, MEMBERS), (SMALL, 1)):
            chats.add(db, ChatRow(chat, ChatKind.GROUP, NOW, name="a group"))
            store_groups.add(
                db,
                GroupRow(
                    chat,
                    GroupId(chat * 4),
                    member_id(0),
                    bytes(32),
                    bytes(32),
                    None,
                    "me",
                    Role.OWNER,
                    b"\x80",
                    b"",
                    None,
                    NOW,
                ),
            )
            rows = [
                MemberRow(
                    member_id(number),
                    f"{_NAMES[number % len(_NAMES)]} {number}",
                    Role.OWNER if number == 0 else Role.ADMIN if number < 10 else Role.MEMBER,
                    bytes(32),
                    bytes(32),
                    None,
                )
                for number in range(count)
            ]
            store_members.put(db, chat, rows)
        for number in range(MESSAGES):
            text = " ".join(chance.choices(_WORDS, k=chance.randint(2, 14)))
            messages.insert(db, _message(number, f"@me {text}" if number % 10 == 0 else text))


def _message(number: int, text: str) -> messages.MessageRow:
    at = NOW + 60_000 * number
    return messages.MessageRow(
        id=MessageId(number.to_bytes(16, "big")),
        chat=LARGE,
        sender=sender_of(member_id(1 + number * 7919 % (MEMBERS - 1))),
        kind=0,
        seq=number + 1,
        text=text,
        sent_at=at,
        received_at=at,
        state=DeliveryState.RECEIVED,
        route=Route.DIRECT,
    )


class StoreNode:
    """Answers as a node does, from the store, in this process."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def call(self, method: str, **params: Any) -> Any:
        """The answer to `group` or `group_members`, through JSON and clean."""
        answer = self._group(params) if method == "group" else self._members(params)
        return cleaned(json.loads(json.dumps(answer)))

    def group(self, chat: ChatId) -> GroupInfo:
        """What the screen knows of a group."""
        return group_of(self._group({"chat": chat.hex()}))

    def _group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        chat = ChatId(bytes.fromhex(params["chat"]))
        return {
            "chat": params["chat"],
            "name": "a group",
            "role": "owner",
            "members": store_members.count(self._db, chat),
        }

    def _members(self, params: Mapping[str, Any]) -> dict[str, Any]:
        chat = ChatId(bytes.fromhex(params["chat"]))
        total, page = store_members.page(self._db, chat, params["limit"], params["offset"], params["search"])
        rows = [
            {
                "id": member.id.hex(),
                "name": member.name,
                "role": Role(member.role).name.lower(),
                "me": member.id == member_id(0),
                "contact": member.contact_name,
                "verified": member.verified,
            }
            for member in page
        ]
        return {"total": total, "members": rows}

    # --- as a source of messages

    async def newest(self, chat_id: str, limit: int) -> list[Message]:
        return self._told(messages.page(self._db, ChatId(bytes.fromhex(chat_id)), limit))

    async def before(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        found = messages.find_in(self._db, LARGE, message_id)
        return self._told(messages.page(self._db, LARGE, limit, found.pk))

    async def after(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        raise NotImplementedError

    async def around(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        raise NotImplementedError

    def _told(self, rows: list[messages.MessageRow]) -> list[Message]:
        partner = partners.of(self._db, LARGE)
        assert partner is not None
        names = naming.of(self._db, partner, rows, {})
        return [message_of(cleaned(json.loads(json.dumps(views.message(row, names))))) for row in rows]


class Host(App[None]):
    """Nothing but a conversation, over which the list of members is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation()

    def compose(self) -> ComposeResult:
        yield self.conversation

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, and is on the screen."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - each turn of the loop is measured
                await asyncio.sleep(0)
        await self.painted()

    async def painted(self) -> None:
        """What changed is on the screen."""
        done = asyncio.Event()
        self.screen.call_after_refresh(done.set)
        await done.wait()


async def _listed(host: Host, node: StoreNode, chat: ChatId) -> tuple[float, MembersScreen]:
    """Open the list of members of a group; return the milliseconds until it is painted."""
    page, began = MembersScreen(node, node.group(chat)), time.perf_counter()
    host.push_screen(page)
    await host.until(lambda: page.is_mounted and page.listed.chosen is not None)
    return (time.perf_counter() - began) * 1000, page


async def _measure(db: Database, runs: int) -> Numbers:
    numbers, node = Numbers([], [], [], [], []), StoreNode(db)
    chat = Chat(LARGE.hex(), "a group", "a group", "group", False, None, 0, None, None, "", kind=GROUP)
    for _ in range(runs + 1):  # the first one imports
        host = Host()
        async with host.run_test(size=(100, 40)) as pilot:
            await pilot.pause()
            began = time.perf_counter()
            await host.conversation.open(chat, node)
            await host.painted()
            numbers.open_ms.append((time.perf_counter() - began) * 1000)
            for of, values in ((SMALL, numbers.empty_ms), (LARGE, numbers.list_ms)):
                took, page = await _listed(host, node, of)
                values.append(took)
                if of == LARGE:
                    numbers.search_ms.append(await _searched(host, page))
                    numbers.again_ms.append(await _typed(host, page, ""))
                await host.pop_screen()
                await pilot.pause()
    for values in vars(numbers).values():
        del values[0]
    return numbers


async def _searched(host: Host, page: MembersScreen) -> float:
    """Search for `zoë 499`; return the milliseconds from its last letter until what was found is painted."""
    await _typed(host, page, "zoë 49")
    return await _typed(host, page, "zoë 499")


async def _typed(host: Host, page: MembersScreen, words: str) -> float:
    """Search for these words; return the milliseconds until the list is another one, and painted."""
    await host.workers.wait_for_complete()
    await host.painted()
    before, began = page.listed.total, time.perf_counter()
    page.query_one(Field).value = words
    await host.until(lambda: page.listed.total != before)
    return (time.perf_counter() - began) * 1000


def measure(runs: int) -> Numbers:
    """Fill a store, then open and search `runs` times, each in an app of its own."""
    with tempfile.TemporaryDirectory() as place:
        db = Database.create(Path(place) / "store.db", os.urandom(32))
        fill(db)
        try:
            return asyncio.run(_measure(db, runs))
        finally:
            db.close()


if __name__ == "__main__":  # run with TEXTUAL_FPS=240, as the program does
    for name, values in vars(measure(5)).items():
        print(f"{name:10} median {statistics.median(values):7.2f}  least {min(values):7.2f}  most {max(values):7.2f}")
