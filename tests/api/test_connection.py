"""The client with an asyncio loop: many calls at once, events in their order, a node that ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat import errors
from p2pchat.api import connection as connections
from p2pchat.api import starting
from p2pchat.api.client import Client, NoNode
from p2pchat.api.connection import Connection
from p2pchat.locations import Profile
from tests.cli.node import FakeNode
from tests.support.processes import PATIENCE


@pytest.fixture
def profile(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    made = Profile(tmp_path / "profile")
    made.make_folder()
    made.database.touch()
    return made


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, PATIENCE))


def test_calls_run_at_the_same_time_and_each_gets_its_own_answer(profile: Profile) -> None:
    async def main() -> None:
        connection = await Connection.open(profile)
        assert connection.greeting["state"] == "ready"
        answers = await asyncio.gather(
            connection.call("delete", id="1"), connection.call("why", id="2"), connection.call("delete", id="3")
        )
        assert list(answers) == [{"id": "1"}, {"reason": "2"}, {"id": "3"}]
        await connection.close()

    with FakeNode(profile) as node:
        node.answers["delete"] = lambda id, **_: {"id": id}
        node.answers["why"] = lambda id: {"reason": id}
        run(main())


def test_an_error_is_the_one_that_the_node_raised(profile: Profile) -> None:
    async def main() -> None:
        connection = await Connection.open(profile)
        with pytest.raises(errors.AmbiguousName) as caught:
            await connection.call("why", id="1")
        assert caught.value.candidates == ("a", "b")
        with pytest.raises(errors.TextTooLong):
            await connection.call("send", chat="b", text="x" * 2_000_000)
        with pytest.raises(errors.UsageError, match="UTF-8"):
            await connection.call("send", chat="b", text="\ud800")
        assert await connection.call("contacts")  # none of them has harmed the connection
        await connection.close()

    with FakeNode(profile) as node:
        node.answers["why"] = errors.AmbiguousName("x", candidates=["a", "b"])
        run(main())
        assert [name for name, _ in node.calls] == ["why", "contacts"]


@pytest.mark.parametrize("answer", [b'{"id": [1], "result": 1}\n', b'{"id": [1], "error": {}}\n', b"[]\n"])
def test_an_answer_that_no_node_gives_ends_the_connection(profile: Profile, answer: bytes) -> None:
    async def main() -> None:
        connection = await Connection.open(profile)
        transport = connection._transport
        assert isinstance(transport, asyncio.Transport)
        lines = transport.get_protocol()
        assert isinstance(lines, asyncio.Protocol)
        lines.data_received(answer)
        await connection.closed()

    with FakeNode(profile):
        run(main())


def test_events_come_in_their_order(profile: Profile) -> None:
    async def main(node: FakeNode) -> None:
        connection = await Connection.open(profile)
        await connection.call("subscribe")
        await asyncio.to_thread(node.publish, *({"event": "state", "id": str(number)} for number in range(5)))
        found = []
        async for event in connection.events():
            found.append(event)
            if len(found) == 5:
                break
        assert found == [{"event": "state", "id": str(number)} for number in range(5)]
        await connection.close()

    with FakeNode(profile) as node:
        run(main(node))


def test_a_function_gets_events_and_may_fail(profile: Profile) -> None:
    async def main(node: FakeNode) -> None:
        found: list[str] = []
        told: list[Any] = []
        both = asyncio.Event()

        def hear(event: dict[str, Any]) -> None:
            found.append(event["id"])
            if len(found) == 2:
                both.set()
            raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
        connection = await Connection.open(profile)
        connection.on_event = hear
        await connection.call("subscribe")
        await asyncio.to_thread(node.publish, {"event": "state", "id": "1"}, {"event": "state", "id": "2"})
        await both.wait()
        assert found == ["1", "2"]
        assert await connection.call("contacts")
        assert [type(one) for one in told] == [ZeroDivisionError] * 2
        await connection.close()

    with FakeNode(profile) as node:
        run(main(node))


def test_events_that_nobody_reads_do_not_pile_up(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_EVENTS", 3)

    async def main(node: FakeNode) -> None:
        connection = await Connection.open(profile)
        await connection.call("subscribe")
        await asyncio.to_thread(node.publish, *({"event": "state", "id": str(number)} for number in range(5)))
        while len(connection._events) != 2 or connection._events[0] != {"event": "lagged"}:
            await connection.call("contacts")  # each answer comes behind events that came before it
        events = connection.events()
        assert [await anext(events), await anext(events)] == [{"event": "lagged"}, {"event": "state", "id": "4"}]
        await connection.close()

    with FakeNode(profile) as node:
        run(main(node))


def test_a_node_that_ends_is_told_to_everybody_who_waits(profile: Profile) -> None:
    async def main(node: FakeNode) -> None:
        connection = await Connection.open(profile)

        async def next_event() -> Any:
            return await anext(connection.events())

        reader = asyncio.create_task(next_event())
        with pytest.raises(errors.NodeGone):
            await connection.call("why", id="1")
        with pytest.raises(errors.NodeGone):
            await reader
        await connection.closed()
        with pytest.raises(errors.NodeGone):
            await connection.call("contacts")
        await connection.close()

    with FakeNode(profile) as node:
        node.answers["why"] = lambda id: node.drop()
        run(main(node))


def test_closing_ends_the_events_quietly_and_what_waits_with_an_error(profile: Profile) -> None:
    async def main() -> None:
        connection = await Connection.open(profile)

        async def all_events() -> list[Any]:
            return [event async for event in connection.events()]

        reader = asyncio.create_task(all_events())
        waiting = asyncio.create_task(connection.call("why", id="1"))
        await asyncio.sleep(0)  # it has begun
        await connection.call("contacts")  # the node has begun with `why`
        await connection.close()
        assert await reader == []
        with pytest.raises(errors.NodeGone):
            await waiting
        with pytest.raises(errors.NodeGone):
            await connection.call("contacts")

    released = trio.Event()
    with FakeNode(profile) as node:
        node.answers["why"] = lambda id: released.wait()
        run(main())


def test_a_wait_that_was_cancelled_leaves_the_others_alone(profile: Profile) -> None:
    async def main() -> None:
        connection = await Connection.open(profile)
        waiting = asyncio.create_task(connection.call("why", id="1"))
        await asyncio.sleep(0)  # it has begun
        await connection.call("contacts")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await connection.call("delete", id="1")
        assert await connection.call("contacts")  # the late answer to `why` met nobody
        await connection.close()

    released = trio.Event()
    with FakeNode(profile) as node:
        node.answers["why"] = lambda id: released.wait()
        node.answers["delete"] = lambda id, **_: released.set()
        run(main())
        assert [name for name, _ in node.calls] == ["why", "contacts", "delete", "contacts"]


def test_without_a_node_and_without_a_profile(profile: Profile, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(NoNode):
            await Connection.open(profile, start_node=False)
        with pytest.raises(errors.NoProfile):
            await Connection.open(Profile(tmp_path / "nowhere"))

    run(main())


def test_who_gives_up_while_a_node_starts_leaves_no_connection(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_now, go_on, gone, node = threading.Event(), threading.Event(), threading.Event(), FakeNode(profile)

    def start(_profile: Profile) -> bool:
        starting_now.set()
        go_on.wait(PATIENCE)
        node.__enter__()
        return True

    def close(client: Client) -> None:
        client.socket.close()
        gone.set()

    async def main() -> None:
        opening = asyncio.create_task(Connection.open(profile))
        await asyncio.to_thread(starting_now.wait, PATIENCE)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        assert await asyncio.to_thread(gone.wait, PATIENCE)

    monkeypatch.setattr(starting, "start", start)
    monkeypatch.setattr(Client, "close", close)
    run(main())
    node.__exit__()


def test_it_imports_nothing_that_the_node_needs() -> None:
    heavy = ("trio", "libp2p", "multiaddr", "nacl", "cryptography", "sqlcipher3", "msgpack", "segno", "textual")
    code = f"import sys, p2pchat.api.connection; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
