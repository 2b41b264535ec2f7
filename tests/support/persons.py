"""People with real nodes and relays with real disks: what they do goes through the API, which is quick."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.client import Client
from p2pchat.locations import Profile
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Place, Running, place
from tests.support.steps import make, until

EVENTS = ["message", "state", "contact"]
MAX_SECONDS = 5 * PATIENCE
"""So long somebody waits at most while events come."""


@dataclass
class Person:
    """A profile, its node while there is one, and a face of it."""

    here: Place
    name: str
    node: Running | None = None
    client: Client | None = None

    @property
    def profile(self) -> Path:
        return self.here.folder / self.name

    def start(self, *words: str) -> None:
        """Start the node, and be told what happens."""
        self.node = self.here.node(self.name, *words)
        assert self.node.hear()["event"] == "ready"
        self.client = Client.connect(Profile(self.profile), start_node=False)
        self.client.socket.settimeout(PATIENCE)
        self.call("subscribe", events=EVENTS)

    def end(self, how: int = signal.SIGTERM) -> str:
        """End the node; what it had logged."""
        assert self.node is not None
        assert self.client is not None
        self.client.close()
        done = self.node.end(how)
        assert done.code == (0 if how == signal.SIGTERM else -how)
        return done.err

    def call(self, method: str, **params: Any) -> Any:
        assert self.client is not None
        answer = self.client.call(method, **params)
        self.here.answer(self.name, method, (params, answer))
        return answer

    def until(self, check: Callable[[], bool]) -> None:
        """Wait until events have made something so."""
        assert self.client is not None
        deadline, events = time.monotonic() + MAX_SECONDS, self.client.events()
        while not check():
            assert time.monotonic() < deadline, "waited in vain, though events came"
            next(events)

    def use(self, *relays: Relay) -> None:
        """Be reached by these too."""
        for relay in relays:
            self.call("relays", add=relay.address)
        until(lambda: {one["state"] for one in self.call("relays")} == {"connected"})

    def say(self, chat: str, *texts: str, wait: str = "stored") -> dict[str, Any]:
        """Send these; how it stands with the last."""
        for text in texts:
            sent: dict[str, Any] = self.call("send", chat=chat, text=text, wait=wait, timeout=PATIENCE)
        return sent

    def texts(self, chat: str) -> list[str]:
        """What came from a contact."""
        return [one["text"] for one in self.call("log", chat=chat, limit=1000) if one["from"] != "me"]

    def hears(self, chat: str, *texts: str) -> None:
        """Wait until exactly these have come, in this order, since the beginning."""
        self.until(lambda: len(self.texts(chat)) >= len(texts))
        assert self.texts(chat) == list(texts)

    def has(self, name: str, state: str = "contact") -> None:
        """Wait until a contact is in this state."""
        self.until(lambda: {"name": name, "state": state}.items() <= self._contact(name).items())

    def route(self, name: str) -> str | None:
        """How a message to a contact would travel."""
        found: str | None = self._contact(name)["route"]
        return found

    def _contact(self, name: str) -> dict[str, Any]:
        return next((one for one in self.call("contacts") if one["name"] == name), {})


@dataclass
class Relay:
    """A relay and its folder; the same port whenever it runs."""

    here: Place
    name: str
    listen: str = field(default_factory=lambda: f"/ip4/127.0.0.1/tcp/{free_port()}")
    address: str = ""
    running: Running | None = None

    @property
    def data(self) -> Path:
        return self.here.folder / self.name

    def start(self, *words: str) -> None:
        self.running = self.here.start("unused", "relay", "--data", str(self.data), "--listen", self.listen, *words)
        event = self.running.hear()
        assert event["event"] == "ready"
        (self.address,) = event["addresses"]

    def end(self, how: int = signal.SIGTERM) -> str:
        """End it; what it had logged."""
        assert self.running is not None
        done = self.running.end(how)
        assert done.code == (0 if how == signal.SIGTERM else -how)
        return done.err

    def blobs(self) -> int:
        """How many are on its disk."""
        return len(self.rows("SELECT qid FROM blobs"))

    def rows(self, query: str) -> list[Any]:
        """What its store answers."""
        with self._store() as db:
            return db.execute(query).fetchall()

    def back_up(self) -> Path:
        """A copy of its store, made while it runs."""
        copy = self.here.folder / f"{self.name}.backup"
        with self._store() as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        return copy

    def put_back(self, copy: Path) -> None:
        """Put the store back from a copy; it must not be running."""
        for file in self.data.glob("blobs.db*"):
            file.unlink()
        copy.rename(self.data / "blobs.db")

    @contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(f"file:{self.data / 'blobs.db'}?mode=ro", uri=True)
        try:
            yield db
        finally:
            db.close()


@contextmanager
def gathered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place whose nodes this process finds too."""
    with place() as here:
        for variable in ("XDG_RUNTIME_DIR", "TMPDIR"):
            monkeypatch.setenv(variable, here.environment()[variable])
        yield here


def people(here: Place, *names: str) -> list[Person]:
    """New profiles, no node of which runs yet."""
    make(here, *names)
    return [Person(here, name) for name in names]


def relays(here: Place, *names: str) -> list[Relay]:
    """Relays that run."""
    made = [Relay(here, name) for name in names]
    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(Relay.start, made))
    return made
