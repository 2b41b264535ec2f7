"""Real kill -9 of real nodes under traffic in both directions: nothing that was saved is lost, nothing shows twice.

Three rounds in `make test`; `make soak` sets P2PCHAT_KILL_ROUNDS to 100. Rounds take turns: alice, bob, both together.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.locations import Profile
from tests.support.processes import PATIENCE, Place, Running, place

ROUNDS = int(os.environ.get("P2PCHAT_KILL_ROUNDS", "3"))
A_ROUND = 6
"""Messages each side saves between two kills."""


@dataclass
class Person:
    """One side: its node, and a thread that writes as long as the test lasts."""

    name: str
    other: str
    here: Place
    saved: list[str] = field(default_factory=list)
    up: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    progress: threading.Condition = field(default_factory=threading.Condition)
    node: Running | None = None

    def start(self) -> None:
        self.node = self.here.node(self.name)
        assert self.node.hear()["event"] == "ready"
        self.up.set()

    def kill(self) -> None:
        self.up.clear()
        assert self.node is not None
        self.node.end(signal.SIGKILL)

    def client(self) -> Client:
        return Client.connect(Profile(self.here.folder / self.name), start_node=False)

    def write(self) -> None:
        """Save message after message. One whose answer was lost is looked up, as a person would, not guessed."""
        unsure = False  # whether the message asked for last was saved: also at the stop it is not left open
        while unsure or not self.stop.is_set():
            assert self.up.wait(PATIENCE)
            try:
                with self.client() as client:
                    while unsure or not self.stop.is_set():
                        text = f"{self.name} {len(self.saved)}"
                        if not (unsure and text in self._mine(client)):
                            if self.stop.is_set():
                                return
                            unsure = True
                            client.call("send", chat=self.other, text=text)
                        unsure = False
                        with self.progress:
                            self.saved.append(text)
                            self.progress.notify_all()
            except (errors.NodeError, OSError):
                continue

    def wait_for(self, count: int) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.saved) >= count, PATIENCE), f"{self.name} is stuck"

    def _mine(self, client: Client) -> list[str]:
        """All of them: since an answer was lost the other side may have said any number of things."""
        return [one["text"] for one in self._all(client) if one["from"] == "me"]

    def wait_until_delivered(self) -> None:
        """What is sent last is delivered last on a link, but what was under way at a kill may take another turn."""
        with self.client() as events, self.client() as client:
            events.call("subscribe", events=["state"])
            while any(one["state"] != "delivered" for one in self._all(client) if one["from"] == "me"):
                alarm = threading.Timer(PATIENCE, events.close)
                alarm.start()
                try:
                    next(iter(events.events()))
                finally:
                    alarm.cancel()

    def _all(self, client: Client) -> list[dict[str, str]]:
        pages: list[dict[str, str]] = []
        before = None
        while page := client.call("log", chat=self.other, limit=1000, before=before):
            pages, before = page + pages, page[0]["id"]
        return pages

    def seen(self, *, mine: bool) -> list[str]:
        with self.client() as client:
            return self._mine(client) if mine else [one["text"] for one in self._all(client) if one["from"] != "me"]


@pytest.mark.kill
def test_kill_9_under_traffic_loses_nothing_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with place() as here:
        for variable in ("XDG_RUNTIME_DIR", "TMPDIR"):  # where this process, too, looks for the nodes' sockets
            monkeypatch.setenv(variable, here.environment()[variable])
        for name in ("alice", "bob"):
            assert here.run(name, "init", "--name", name, "--no-passphrase").code == 0
        alice, bob = Person("alice", "bob", here), Person("bob", "alice", here)
        _both(alice.start, bob.start)
        with alice.client() as one, bob.client() as two:
            two.call("add", invite=one.call("invite")["invite"], name="alice", wait="accepted", timeout=PATIENCE)
        with ThreadPoolExecutor(2) as pool:
            writing = [pool.submit(person.write) for person in (alice, bob)]
            try:
                for number in range(ROUNDS):
                    for person in (alice, bob):
                        person.wait_for(len(person.saved) + A_ROUND)
                    victims = ([alice], [bob], [alice, bob])[number % 3]
                    _both(*(victim.kill for victim in victims))
                    _both(*(victim.start for victim in victims))
            finally:
                for person in (alice, bob):
                    person.stop.set()
            for done in writing:
                done.result(PATIENCE)
        for person in (alice, bob):
            person.wait_until_delivered()
        for person, other in ((alice, bob), (bob, alice)):
            assert person.seen(mine=True) == person.saved
            assert other.seen(mine=False) == person.saved


def _both(*steps: Callable[[], None]) -> None:
    """At the same time, so that nodes go down and come up together."""
    with ThreadPoolExecutor(len(steps)) as pool:
        for done in [pool.submit(step) for step in steps]:
            done.result(PATIENCE)
