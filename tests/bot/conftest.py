"""A bot in this process, on a fake node behind the real socket."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import pytest

from p2pchat.bot import Bot
from p2pchat.locations import Profile
from tests.cli.conftest import profile  # noqa: F401 - a fixture
from tests.cli.node import MESSAGE, FakeNode


@dataclass
class Store:
    """What the fake node answers to `messages` and `send`."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)

    def add(self, text: str, **fields: Any) -> dict[str, Any]:
        """Save a message of bob's; the event of it. By its time it came while the bot was there."""
        number = len(self.rows) + 1
        row = {**MESSAGE, "id": f"{number:032x}", "text": text, "received_at": "2999-01-01T00:00:00.000Z", **fields}
        self.rows.append({**row, "position": number * 10})
        return {"event": "message", **row}

    def messages(self, position: int | None, limit: int, **_: object) -> list[dict[str, Any]]:
        if position is None:
            return self.rows[-limit:]
        return [row for row in self.rows if row["position"] > position][:limit]

    def send(self, chat: str, text: str, **_: object) -> dict[str, Any]:
        self.sent.append((chat, text))
        return {"id": "bb" * 16, "state": "saved", "route": None, "stored_at": None}


DEADLINE = 60
"""Seconds for a bot that a failing test leaves waiting for ever."""


@pytest.fixture
def deadline() -> Iterator[None]:
    def fail(_number: int, _frame: FrameType | None) -> None:
        pytest.fail("the bot goes on waiting")  # no Exception: the bot does not take it for one of its author's

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(DEADLINE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def node(profile: Profile, store: Store, deadline: None) -> Iterator[FakeNode]:  # noqa: F811
    with FakeNode(profile) as made:
        made.answers.update(messages=store.messages, send=store.send, requests=[])
        yield made


@pytest.fixture
def bot(profile: Profile, deadline: None) -> Bot:  # noqa: F811
    return Bot(profile.folder)


Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def once_subscribed(node: FakeNode) -> Iterator[Meanwhile]:
    """Do something in a thread as soon as the bot is subscribed."""
    threads = []

    def do(what: Callable[[], object]) -> None:
        def wait() -> None:
            assert node.subscribed.wait(60)
            what()

        thread = threading.Thread(target=wait)
        threads.append(thread)
        thread.start()

    yield do
    for thread in threads:
        thread.join(60)
