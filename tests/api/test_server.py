"""The API's server over a real Unix socket, with a small backend behind it (attacks 39 and 41)."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2pchat import errors
from p2pchat.api import codec, server
from p2pchat.api.codec import JsonObject
from p2pchat.api.methods import EVENT_NAMES
from p2pchat.api.server import Server
from p2pchat.api.service import Then
from tests.conftest import run
from tests.support.counting import counted
from tests.support.virtual_time import patience


class Hub:
    """The smallest hub of events: a bounded channel for each subscriber, `lagged` where one was full."""

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self.subscribers: list[trio.MemorySendChannel[JsonObject]] = []
        self.dropped = 0

    def subscribe(self) -> trio.MemoryReceiveChannel[JsonObject]:
        sender, receiver = trio.open_memory_channel[JsonObject](self._capacity)
        self.subscribers.append(sender)
        return receiver

    def publish(self, event: JsonObject) -> None:
        for sender in tuple(self.subscribers):
            try:
                sender.send_nowait(event)
            except trio.WouldBlock:
                self.dropped += 1
            except trio.BrokenResourceError:
                self.subscribers.remove(sender)


class World:
    """A server on a socket, its backend's calls recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.hub = Hub()
        self.gates: dict[str, trio.Event] = {}
        self.running = 0
        self.most_running = 0
        self.asked: list[tuple[str, Then]] = []
        self.takes: str | None = None
        self.server = Server(self)

    def greeting(self) -> JsonObject:
        return {"program": "test", "pid": os.getpid(), "foreground": True, "state": "ready"}

    async def subscribe(self) -> trio.MemoryReceiveChannel[JsonObject]:
        await trio.lowlevel.checkpoint()
        return self.hub.subscribe()

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        if method != self.takes:
            return False
        self.asked.append((arguments["text"], then))
        return True

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        self.calls.append((method, arguments))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            if (gate := self.gates.get(str(arguments.get("text", method)))) is not None:
                await gate.wait()
            await trio.lowlevel.checkpoint()
        finally:
            self.running -= 1
        if method == "why":
            raise errors.NoSuchMessage()
        if method == "doctor":
            raise ZeroDivisionError("a secret text")
        if method == "requests":
            return object()
        if method == "log":
            return ["x" * 1000] * arguments["limit"]
        return {"method": method, "text": arguments.get("text")}


class Peer:
    """One raw connection of a client."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._splitter = codec.Splitter(codec.MAX_REPLY)
        self._lines: list[JsonObject] = []

    async def say(self, *messages: object) -> None:
        await self.stream.send_all(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def hear(self) -> JsonObject:
        with patience():
            while not self._lines:
                data = await self.stream.receive_some(65536)
                if not data:
                    raise EOFError
                self._lines += [codec.decode(line) for line in self._splitter.feed(data)]
            return self._lines.pop(0)

    async def ask(self, method: str, **params: Any) -> JsonObject:
        await self.say(request(method, **params))
        return await self.hear()


def request(method: str, ident: object = 1, **params: Any) -> JsonObject:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}


HELLO = request("hello", ident="hello", version=codec.API_VERSION)


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "s")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.serve, server.listen(made.path))
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def peer(of: World, hello: bool = True) -> AsyncIterator[Peer]:
    async with await trio.open_unix_socket(str(of.path)) as stream:
        made = Peer(stream)
        if hello:
            await made.say(HELLO)
            assert (await made.hear())["result"]["version"] == codec.API_VERSION
        yield made


def with_peer(tmp_path: Path, test: Callable[[World, Peer], Awaitable[None]], hello: bool = True) -> None:
    async def main() -> None:
        async with world(tmp_path) as made, peer(made, hello) as client:
            await test(made, client)

    run(main)


def test_a_call_gets_its_result_under_its_id(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        await client.say(request("send", ident="a", chat="bob", text="سلام 👋\n\x00"))
        assert await client.hear() == {
            "jsonrpc": "2.0",
            "id": "a",
            "result": {"method": "send", "text": "سلام 👋\n\x00"},
        }
        said = {"chat": "bob", "text": "سلام 👋\n\x00", "reply_to": None, "wait": "saved", "timeout": 30}
        assert made.calls == [("send", said)]

    with_peer(tmp_path, test)


def test_hello_comes_first(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        answer = await client.ask("contacts")
        assert "hello" in answer["error"]["message"]
        assert answer["error"]["data"]["exit"] == 2
        await client.say(HELLO, request("contacts"))  # in one write: the order holds
        assert (await client.hear())["id"] == "hello"
        assert (await client.hear())["result"]["method"] == "contacts"
        assert [name for name, _ in made.calls] == ["contacts"]

    with_peer(tmp_path, test, hello=False)


def test_another_version_may_only_ask_and_stop(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        answer = await client.ask("hello", version=codec.API_VERSION + 1)
        assert answer["result"]["version"] == codec.API_VERSION
        assert (await client.ask("contacts"))["error"]["data"]["error"] == "VersionMismatch"
        assert (await client.ask("subscribe"))["error"]["data"]["error"] == "VersionMismatch"
        assert "result" in await client.ask("status")
        assert "result" in await client.ask("stop")
        assert [name for name, _ in made.calls] == ["status", "stop"]

    with_peer(tmp_path, test, hello=False)


def test_errors_carry_code_hint_and_class(tmp_path: Path) -> None:
    async def test(_made: World, client: Peer) -> None:
        error = (await client.ask("why", id="12"))["error"]
        assert error["code"] == -32002
        assert error["data"] == {"exit": 2, "error": "NoSuchMessage", "hint": errors.NoSuchMessage.hint}
        assert (await client.ask("nothing"))["error"]["code"] == codec.METHOD_NOT_FOUND
        assert (await client.ask("send", chat="x"))["error"]["code"] == codec.INVALID_PARAMS

    with_peer(tmp_path, test)


def test_a_fault_in_one_call_ends_nothing_and_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(_made: World, client: Peer) -> None:
        for method in ("doctor", "requests"):  # raises; returns what is no JSON
            answer = await client.ask(method)
            assert answer["error"]["code"] == codec.INTERNAL_ERROR
            assert "secret" not in json.dumps(answer)
        assert "result" in await client.ask("contacts")

    with_peer(tmp_path, test)
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", codec.PARSE_ERROR),
        (b"[" * 10_000, codec.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"contacts","params":{"a":\xff}}', codec.PARSE_ERROR),
        (b'{"id":1,"method":"contacts"}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"contacts","params":[]}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"contacts"}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"contacts"}', codec.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"contacts"}', codec.INVALID_REQUEST),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_line_is_answered_and_the_next_one_served(tmp_path: Path, line: bytes, code: int) -> None:
    async def test(made: World, client: Peer) -> None:
        await client.stream.send_all(line + b"\n")
        assert (await client.hear())["error"]["code"] == code
        assert made.calls == []
        assert "result" in await client.ask("contacts")

    with_peer(tmp_path, test)


def test_an_endless_line_ends_that_client_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as made, peer(made) as good, peer(made) as bad:
            with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - it may break at any write
                while True:
                    await bad.stream.send_all(b"x" * 100_000)
            assert "result" in await good.ask("contacts")

    run(main)


def test_a_notification_is_done_and_not_answered(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        await client.say({"jsonrpc": "2.0", "method": "contacts"}, {"jsonrpc": "2.0", "method": "nothing"})
        assert (await client.ask("status"))["id"] == 1
        assert [name for name, _ in made.calls] == ["contacts", "status"]

    with_peer(tmp_path, test)


def test_a_waiting_call_blocks_no_other(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        made.gates["slow"] = trio.Event()
        await client.say(request("send", ident="slow", chat="b", text="slow"), request("contacts", ident="quick"))
        assert (await client.hear())["id"] == "quick"
        made.gates["slow"].set()
        assert (await client.hear())["id"] == "slow"

    with_peer(tmp_path, test)


def test_calls_start_in_the_order_they_came(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        wanted = [str(number) for number in range(300)]
        await client.say(*[request("send", ident=text, chat="b", text=text) for text in wanted])
        for _ in wanted:
            await client.hear()
        assert [arguments["text"] for _, arguments in made.calls] == wanted

    with_peer(tmp_path, test)


def test_calls_at_a_time_are_bounded(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        made.gates["x"] = trio.Event()
        await client.say(*[request("send", ident=i, chat="b", text="x") for i in range(server.MAX_CALLS + 50)])
        await trio.testing.wait_all_tasks_blocked()
        assert made.running == server.MAX_CALLS
        async with peer(made) as other:  # the bound is each client's own
            assert "result" in await other.ask("contacts")
        made.gates["x"].set()
        assert {(await client.hear())["id"] for _ in range(server.MAX_CALLS + 50)} == set(range(server.MAX_CALLS + 50))
        assert made.most_running <= server.MAX_CALLS + 1

    with_peer(tmp_path, test)


def test_a_call_that_needs_no_task_is_answered_when_it_is_done(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        made.takes = "send"
        total = server.MAX_CALLS + 50
        await client.say(*[request("send", ident=i, chat="b", text=str(i)) for i in range(total)])
        await trio.testing.wait_all_tasks_blocked()
        assert [text for text, _ in made.asked] == [str(i) for i in range(server.MAX_CALLS)]  # in order, and bounded
        assert not made.calls
        made.asked[0][1](None, errors.NoSuchContact())
        made.asked[1][1]({"state": "saved"}, None)
        made.asked[2][1](object(), None)
        assert (await client.hear())["error"]["data"]["error"] == "NoSuchContact"
        assert await client.hear() == {"jsonrpc": "2.0", "id": 1, "result": {"state": "saved"}}
        assert (await client.hear())["error"]["code"] == codec.INTERNAL_ERROR
        await trio.testing.wait_all_tasks_blocked()
        assert len(made.asked) == server.MAX_CALLS + 3  # there was room for three more
        made.takes = None
        for _, then in made.asked[3:]:
            then({}, None)
        assert {(await client.hear())["id"] for _ in range(3, total)} == set(range(3, total))

    with_peer(tmp_path, test)


def test_a_client_that_does_not_read_is_not_worked_for_without_end(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        total = 1_000
        with trio.move_on_after(120) as late:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.say, *[request("log", ident=i, chat="b", limit=100) for i in range(total)])
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert len(made.calls) < 500  # of 100 kB each: the socket's buffers, the bound, and the calls under way
                for _ in range(total):
                    await client.hear()
        assert not late.cancelled_caught

    with_peer(tmp_path, test)


def test_events_come_to_subscribers_only_and_as_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as made, peer(made) as all_of_them, peer(made) as some, peer(made) as none:
            assert (await all_of_them.ask("subscribe"))["result"] == {"events": [*EVENT_NAMES]}
            assert (await some.ask("subscribe", events=["state"]))["result"] == {"events": ["state"]}
            made.hub.publish({"event": "message", "id": "1", "text": "a"})
            made.hub.publish({"event": "state", "id": "1", "state": "read"})
            state = {"jsonrpc": "2.0", "method": "state", "params": {"id": "1", "state": "read"}}
            assert (await all_of_them.hear())["params"] == {"id": "1", "text": "a"}
            assert await all_of_them.hear() == state
            assert await some.hear() == state
            assert "result" in await none.ask("contacts")
            assert (await some.ask("subscribe", events=["nothing"]))["error"]["data"]["exit"] == 2

    run(main)


def test_a_second_subscription_replaces_the_first(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        await client.ask("subscribe")
        await client.ask("subscribe", events=["state"])
        await trio.testing.wait_all_tasks_blocked()
        made.hub.publish({"event": "message", "id": "1"})
        made.hub.publish({"event": "state", "id": "2"})
        assert (await client.hear())["params"] == {"id": "2"}
        assert len(made.hub.subscribers) == 1

    with_peer(tmp_path, test)


def test_lagged_always_comes(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        await client.ask("subscribe", events=["state"])
        made.hub.publish({"event": "lagged"})
        assert await client.hear() == {"jsonrpc": "2.0", "method": "lagged", "params": {}}

    with_peer(tmp_path, test)


def test_a_slow_subscriber_holds_up_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as made, peer(made) as slow, peer(made) as quick:
            await slow.ask("subscribe")
            for number in range(200):
                made.hub.publish({"event": "message", "id": str(number), "text": "x" * 50_000})
                await trio.testing.wait_all_tasks_blocked()
            assert made.hub.dropped > 100  # its own channel was full; the hub went on
            assert "result" in await quick.ask("contacts")

    run(main)


def test_a_client_gone_without_a_word_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as made:
            made.gates["x"] = trio.Event()
            async with peer(made) as client:
                await client.ask("subscribe")
                await client.say(request("send", chat="b", text="x"))
                await trio.testing.wait_all_tasks_blocked()
                assert made.running == 1
            with trio.fail_after(10):
                while made.server.clients:
                    made.hub.publish({"event": "message", "id": "1", "text": "x"})
                    await made.server.changed()
            assert made.running == 0

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))


def test_answers_still_come_after_the_client_closed_its_side(tmp_path: Path) -> None:
    async def test(made: World, client: Peer) -> None:
        made.gates["x"] = trio.Event()
        await client.say(request("send", chat="b", text="x"))
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        made.gates["x"].set()
        assert "result" in await client.hear()
        with pytest.raises(EOFError):
            await client.hear()

    with_peer(tmp_path, test)


def test_too_many_clients_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)

    async def main() -> None:
        async with world(tmp_path) as made, peer(made), peer(made), peer(made, hello=False) as third:
            assert (await third.hear())["error"]["data"]["error"] == "Busy"
            with pytest.raises(EOFError):
                await third.hear()

    run(main)


def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async def test(made: World, _client: Peer) -> None:
        await trio.lowlevel.checkpoint()
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600

    with_peer(tmp_path, test)


def test_another_users_process_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # the kernel names our real one: a stranger then

    async def main() -> None:
        async with world(tmp_path) as made, peer(made, hello=False) as client:
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await client.ask("hello", version=codec.API_VERSION)

    run(main)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()

    async def test(_made: World, client: Peer) -> None:
        assert "result" in await client.ask("contacts")

    with_peer(tmp_path, test)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "s").symlink_to(target)

    async def test(made: World, client: Peer) -> None:
        assert "result" in await client.ask("contacts")
        assert not made.path.is_symlink()

    with_peer(tmp_path, test)
    assert target.read_text() == "precious"


def test_something_else_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        with pytest.raises(errors.NodeError, match="where the node's socket has to be"):
            server.listen(tmp_path / "s")

    run(main)
    assert (tmp_path / "s").read_text() == "mine"


def test_the_kernel_tells_who_is_there() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        found = struct.unpack("3i", left.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert found[:2] == (os.getpid(), os.getuid())


# --- the end of an unused node -----------------------------------------------------------------


class Count:
    """A server as far as `until_unused` sees it."""

    def __init__(self) -> None:
        self.clients = 0
        self._changed = trio.Event()

    async def changed(self) -> None:
        await self._changed.wait()

    def set(self, clients: int) -> None:
        self.clients = clients
        self._changed.set()
        self._changed = trio.Event()


def unused_after(script: Callable[[Count], Awaitable[None]], keeps: Callable[[], bool] = lambda: False) -> float:
    async def main() -> float:
        count = Count()
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script, count)
            await server.until_unused(count, 30, keeps)
            nursery.cancel_scope.cancel()
        return trio.current_time() - start

    return run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_unused_node_ends_30_s_after_its_last_client() -> None:
    async def nobody(_count: Count) -> None:
        await trio.lowlevel.checkpoint()

    async def two(count: Count) -> None:
        await trio.sleep(20)
        count.set(1)
        await trio.sleep(100)
        count.set(2)
        await trio.sleep(5)
        count.set(1)
        count.set(0)
        await trio.sleep(29)
        count.set(1)
        count.set(0)

    assert unused_after(nobody) == pytest.approx(30)
    assert unused_after(two) == pytest.approx(20 + 100 + 5 + 29 + 30)


def test_a_node_that_is_kept_goes_on_until_it_is_not() -> None:
    async def nobody(_count: Count) -> None:
        await trio.lowlevel.checkpoint()

    kept = iter([True, True, True, False])
    assert unused_after(nobody, lambda: next(kept)) == pytest.approx(120)


def test_silent_programs_keep_nobody_out(tmp_path: Path) -> None:
    """As many as there may be connect and say nothing; who has said hello stays, whoever comes."""

    async def main() -> None:
        async with world(tmp_path) as made, peer(made) as first, AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(peer(made, hello=False)) for _ in range(2 * server.MAX_CLIENTS)]
            for face in [first, *[await stack.enter_async_context(peer(made)) for _ in range(3)]]:
                assert "result" in await face.ask("status")
            assert made.server.clients == server.MAX_CLIENTS
            await _until_ended(silent[0])

    run(main, trio.testing.MockClock())


def test_hello_has_a_time(tmp_path: Path) -> None:
    clock = trio.testing.MockClock()

    async def main() -> None:
        async with world(tmp_path) as made, peer(made, hello=False) as silent, peer(made) as face:
            while made.server.clients < 2:
                await trio.lowlevel.checkpoint()
            clock.jump(server.HELLO_TIMEOUT)
            await _until_ended(silent)
            clock.jump(10 * server.HELLO_TIMEOUT)
            assert "result" in await face.ask("status")

    run(main, clock)


def test_lines_are_taken_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(made: World, client: Peer) -> None:
        with counted(monkeypatch, codec, "decode") as steps:
            await client.stream.send_all(b"x\n" * 10_000)
            while steps.calls < 10_000:
                await client.stream.receive_some(1 << 20)
        assert steps.most <= 64

    with_peer(tmp_path, test)


async def _until_ended(client: Peer) -> None:
    with suppress(trio.BrokenResourceError):
        assert await client.stream.receive_some(1) == b""
