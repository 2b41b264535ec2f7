"""The screen's connection: batches, cleaning, the node's death and return."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.locations import Profile
from p2pchat.tui.node_client import (
    BATCH_INTERVAL,
    FLOOD_INTERVAL,
    GONE,
    LOCKED,
    READY,
    Away,
    Event,
    Gatherer,
    NodeClient,
    cleaned,
)
from tests.support.processes import PATIENCE, place
from tests.tui.conftest import run
from tests.tui.fakes import FakeNode

HOSTILE = "\x1b]52;c;aGk=\x07\x9b2J‮evil\U000e0041"  # noqa: PLE2502


class Time:
    """A clock that stands still, and what is to be done later."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, what))

    def go_on(self) -> None:
        """To the next thing that is due."""
        at, what = self.due.pop(0)
        self.now = max(self.now, at)
        what()


def test_the_first_event_goes_on_at_once_and_a_flood_in_batches() -> None:
    time, batches = Time(), list[tuple[float, int]]()
    gatherer = Gatherer(lambda events: batches.append((time.now, len(events))), lambda: time.now, time.later)
    gatherer.put({"event": "one"})
    time.go_on()
    assert batches == [(100.0, 1)]
    for _ in range(500):
        gatherer.put({"event": "more"})
    assert len(time.due) == 1
    time.go_on()
    assert batches[1] == (100.0 + BATCH_INTERVAL, 500)
    gatherer.put({"event": "more"})
    time.go_on()
    assert [batches[2][0], batches[2][1]] == [pytest.approx(100.0 + BATCH_INTERVAL + FLOOD_INTERVAL), 1]
    time.now += 10
    gatherer.put({"event": "late"})
    time.go_on()
    assert batches[3] == (time.now, 1)
    assert time.due == []


def test_every_string_is_cleaned_and_only_texts_keep_their_lines() -> None:
    found = cleaned(
        {
            "name": "a\nb" + HOSTILE,
            "text": "a\nb" + HOSTILE,
            "last": {"draft": "x\ny", "from": "x\ny"},
            "list": ["p\nq"],
        }
    )
    assert found["name"].startswith("a b")
    assert found["text"].startswith("a\nb")
    assert found["last"] == {"draft": "x\ny", "from": "x y"}
    assert found["list"] == ["p q"]
    for value in (found["name"], found["text"]):
        assert not set(value) & set("\x1b\x07\x9b‮\U000e0041")  # noqa: PLE2502
    assert cleaned({"n": 1, "b": True, "z": None}) == {"n": 1, "b": True, "z": None}


def test_results_events_and_errors_come_clean(tmp_path: Path) -> None:
    node = FakeNode()
    bob = node.friend("Bob" + HOSTILE)
    batches: list[list[Event]] = []

    async def main() -> None:
        client = NodeClient(Profile(tmp_path), node.open)
        arrived = asyncio.Event()

        def take(batch: list[Event]) -> None:
            batches.append(batch)
            if any(event["event"] == "message" for event in batch):
                arrived.set()

        client.on_batch = take
        await client.start()
        chats = await client.call("chats")
        assert "\x1b" not in chats[0]["name"]
        node.says(bob, "hi" + HOSTILE)
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        node.fail["log"] = errors.AmbiguousName("x" + HOSTILE, candidates=["y" + HOSTILE], hint="z" + HOSTILE)
        with pytest.raises(errors.AmbiguousName) as caught:
            await client.call("log", chat=bob)
        assert "\x1b" not in caught.value.line() + str(caught.value)
        await client.close()

    run(main())
    assert "\x1b" not in repr([event for batch in batches for event in batch]).replace("\\x1b", "\x1b")


def test_a_node_that_dies_is_got_back_and_what_was_missed_is_told(tmp_path: Path) -> None:
    node = FakeNode()
    states: list[str] = []
    batches: list[Event] = []

    async def main() -> None:
        client = NodeClient(Profile(tmp_path), node.open)
        back, lagged = asyncio.Event(), asyncio.Event()

        def state() -> None:
            states.append(client.state)
            if states[-2:] == [GONE, READY]:
                back.set()

        def take(batch: list[Event]) -> None:
            batches.extend(batch)
            if [event["event"] for event in batches] == ["lagged", "lagged"]:
                lagged.set()

        client.on_state, client.on_batch = state, take
        await client.start()
        call = asyncio.create_task(client.call("status"))
        await asyncio.sleep(0)
        node.die()
        with pytest.raises(errors.NodeGone):
            await call
        await asyncio.wait_for(back.wait(), PATIENCE)
        await asyncio.wait_for(lagged.wait(), PATIENCE)
        assert (await client.call("status"))["running"]
        await client.close()

    run(main())
    assert states == [READY, GONE, READY]
    assert node.opened == 2


def test_without_a_node_a_call_is_not_made(tmp_path: Path) -> None:
    node = FakeNode()

    async def main() -> None:
        client = NodeClient(Profile(tmp_path), node.open)
        gone, tried = asyncio.Event(), asyncio.Event()
        client.on_state = lambda: (gone if client.trouble is None else tried).set() if client.state == GONE else None
        await client.start()
        node.die(for_good=True)
        await asyncio.wait_for(gone.wait(), PATIENCE)
        await asyncio.wait_for(tried.wait(), PATIENCE)
        assert client.trouble is not None
        assert "could not start" in client.trouble.message
        before = len(node.calls)
        with pytest.raises(Away):
            await client.call("send", chat="x", text="y")
        assert len(node.calls) == before
        await client.close()

    run(main())


def test_what_hinders_the_first_start_is_raised(tmp_path: Path) -> None:
    node = FakeNode()
    node.die(for_good=True)
    with pytest.raises(errors.NodeError, match="could not start"):
        run(NodeClient(Profile(tmp_path), node.open).start())


def test_events_of_a_locked_profile_come_after_the_passphrase(tmp_path: Path) -> None:
    node = FakeNode(passphrase="open")

    async def main() -> None:
        client = NodeClient(Profile(tmp_path), node.open)
        await client.start()
        assert client.state == LOCKED
        assert node.named("subscribe") == []
        with pytest.raises(errors.WrongPassphrase):
            await client.unlock("shut")
        assert client.state == LOCKED
        await client.unlock("open")
        assert client.state == READY
        assert len(node.named("subscribe")) == 1
        await client.close()

    run(main())


def test_a_real_node_killed_under_the_seam_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with place() as here:
        for name, value in here.environment().items():
            monkeypatch.setenv(name, value)
        assert here.run("me", "init", "--name", "Alice", "--no-passphrase").code == 0
        profile = Profile(here.folder / "me")

        async def main() -> None:
            client = NodeClient(profile)
            again = asyncio.Event()
            seen: list[str] = []

            def state() -> None:
                seen.append(client.state)
                if seen[-2:] == [GONE, READY]:
                    again.set()

            client.on_state = state
            await client.start()
            first = await client.call("status")
            assert first["name"] == "Alice"
            os.kill(first["pid"], signal.SIGKILL)
            await asyncio.wait_for(again.wait(), PATIENCE)
            second = await client.call("status")
            assert second["pid"] != first["pid"]
            assert seen == [READY, GONE, READY]
            await client.close()

        run(main())
        client = Client.running(profile)
        assert client is not None
        with client:
            client.call("stop")
            assert client.wait_for_end(PATIENCE)
