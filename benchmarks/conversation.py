"""The conversation widget by itself, over a real encrypted store: `python -m benchmarks.conversation`.

`open_ms`   from `Conversation.open` until the first page of a chat of 100,000 is painted: the store's query, its rows
            as API objects and as messages, layout, strips, Textual's own drawing into a headless screen of 100x40.
            There is no socket and no terminal in it: `benchmarks.screen` measures through those.
`page_ms`   a page up, with the store's next page where that is needed.
`add_ms`    a batch of 50 that comes while the end is followed, until it is painted: time of the processor, since
            Textual waits for its next picture (60 a second), and while it waits keys are answered.
`above_ms`  the same while one reads further up.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from textual.app import App, ComposeResult

from benchmarks.figures import percentile
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, MessageId, direct_contact
from p2pchat.engine.runtime import views
from p2pchat.store import messages as store
from p2pchat.store.database import Database
from p2pchat.tui.model import Chat, Message, message_of
from p2pchat.tui.widgets.conversation import Conversation

MANY = 100_000
BATCH = 50
_CHAT = ChatId(bytes(32))
_TEXTS = (
    "are we still on for tonight?",
    "Завтра вечером, как договорились? Я возьму билеты, ты бутерброды.",
    "a longer one, that needs two or three lines on a screen of usual width, as people write when they explain " * 2,
    "我们明天下午三点在图书馆见面吧 👍",
    "ok",
)


class StoreSource:
    """A source that asks the store as the node does, in this process."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def newest(self, chat_id: str, limit: int) -> list[Message]:
        return _told(store.page(self._db, _CHAT, limit))

    async def before(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        return _told(store.page(self._db, _CHAT, limit, self._row(message_id).pk))

    async def after(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        return _told(store.page_after(self._db, _CHAT, limit, self._row(message_id).pk))

    async def around(self, chat_id: str, message_id: str, limit: int) -> list[Message]:
        return _told(store.page_around(self._db, _CHAT, limit, self._row(message_id)))

    def _row(self, id: str) -> store.MessageRow:
        return store.find_in(self._db, _CHAT, id)


class Host(App[None]):
    """Nothing but the widget."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation()

    def compose(self) -> ComposeResult:
        yield self.conversation

    async def painted(self) -> None:
        """What changed is on the screen."""
        done = asyncio.Event()
        self.conversation.call_after_refresh(done.set)
        await done.wait()


@dataclass(frozen=True)
class Numbers:
    """Milliseconds, one for each time it was done."""

    open_ms: list[float]
    page_ms: list[float]
    add_ms: list[float]
    above_ms: list[float]


def row(number: int) -> store.MessageRow:
    """The message with that number, a minute after the one before."""
    mine, at = number % 3 == 0, 1_700_000_000_000 + 60_000 * number
    return store.MessageRow(
        id=MessageId(number.to_bytes(16, "big")),
        chat=_CHAT,
        sender=store.ME if mine else direct_contact(_CHAT),
        kind=0,
        seq=number + 1,
        text=f"{number} {_TEXTS[number % len(_TEXTS)]}",
        sent_at=at,
        state=DeliveryState.READ if mine else DeliveryState.RECEIVED,
        received_at=None if mine else at,
        route=Route.DIRECT,
    )


def _told(rows: list[store.MessageRow]) -> list[Message]:
    return [message_of(views.message(one, "bob") | {"kind": "text"}) for one in rows]


async def _measure(db: Database, runs: int) -> Numbers:
    opens: list[float] = []
    pages: list[float] = []
    adds: list[float] = []
    above: list[float] = []
    chat = Chat(_CHAT.hex(), "bob", "bob", "contact", True, "direct", 0, None, None, "")
    source, came = StoreSource(db), MANY

    for _ in range(runs):
        host = Host()
        async with host.run_test(size=(100, 40)) as pilot:
            await pilot.pause()

            async def batches(times: list[float], host: Host = host) -> None:
                nonlocal came
                for _ in range(20):
                    batch = _told([row(came + one) for one in range(BATCH)])
                    came += BATCH
                    began = time.thread_time()
                    host.conversation.add(batch)
                    await host.painted()
                    times.append((time.thread_time() - began) * 1000)

            began = time.perf_counter()
            await host.conversation.open(chat, source)
            await host.painted()
            opens.append((time.perf_counter() - began) * 1000)
            await batches(adds)
            await host.conversation.open(chat, source)
            for _ in range(30):
                began = time.perf_counter()
                host.conversation.page(-1)
                await host.painted()
                await host.workers.wait_for_complete()
                pages.append((time.perf_counter() - began) * 1000)
            await batches(above)
    return Numbers(opens, pages, adds, above)


def measure(runs: int) -> Numbers:
    """Fill a store, open its chat `runs` times, each in an app of its own."""
    with tempfile.TemporaryDirectory() as place:
        db = Database.create(Path(place) / "store.db", os.urandom(32))
        with db.transaction():
            for number in range(MANY):
                store.insert(db, row(number))
        try:
            return asyncio.run(_measure(db, runs))
        finally:
            db.close()


def chat_100k_open_ms(runs: int) -> list[float]:
    """Milliseconds from `open` to painted, a chat of 100,000; of the widget alone, see above."""
    return measure(runs).open_ms


if __name__ == "__main__":
    numbers = measure(5)
    for name, values in vars(numbers).items():
        print(
            f"{name:10} median {statistics.median(values):7.2f}  p99 {percentile(values, 0.99):7.2f}"
            f"  most {max(values):7.2f}"
        )
