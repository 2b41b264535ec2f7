"""The life of a node, with small parts in place of keys, database, network and engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2pchat import errors, node, parts
from p2pchat.api.codec import API_VERSION, JsonObject
from p2pchat.api.service import ProfileService, Then
from p2pchat.config import Settings
from p2pchat.core.primitives import system_entropy
from p2pchat.engine.runtime.events import EventHub, Subscription
from p2pchat.locations import Profile, ProfileGuard, noted_socket, socket_path
from p2pchat.node import Node
from p2pchat.parts import Options, Parts
from tests.api.test_server import Peer, request
from tests.conftest import run


class World:
    """A node and what it is made of; `told` is what it announced, `log` what happened in order."""

    def __init__(self, folder: Path, passphrase: str | None = None, **options: Any) -> None:
        self.profile = Profile(folder)
        self.passphrase = passphrase
        self.keep = False
        self.has_proxy = False
        self.answered: bool | None = None
        self.told: list[JsonObject] = []
        self.log: list[str] = []
        self.opening: Exception | None = None
        self.gate: trio.Event | None = None
        self.hub = EventHub()
        parts = Parts(lambda: self.passphrase is not None, self.unlock, self.change, self.open, lambda: None)
        keep_receiving = options.pop("keep_receiving", None)
        made = Options(self.profile, **{"foreground": True, **options})
        self.node = Node(made, parts, self.told.append, keep_receiving)

    def unlock(self, given: str | None) -> bytes:
        if given != self.passphrase:
            raise errors.WrongPassphrase()
        return b"key"

    def change(self, key: bytes, new: str | None) -> None:
        assert key == b"key"
        self.passphrase = new

    @asynccontextmanager
    async def open(self, key: bytes) -> AsyncIterator[ProfileService]:
        assert key == b"key"
        if self.gate is not None:
            await self.gate.wait()
        if self.opening is not None:
            raise self.opening
        self.log.append("open")
        try:
            yield self
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.log.append("closed")

    # what an open profile answers

    def subscribe(self) -> Subscription:
        return self.hub.subscribe()

    def addresses(self) -> list[str]:
        return ["/ip4/127.0.0.1/tcp/1/p2p/x"]

    def keeps_running(self) -> bool:
        return self.keep

    def keep_receiving(self) -> bool | None:
        return self.answered

    def check_settings(self, changes: Mapping[str, Any]) -> None:
        if self.has_proxy and changes["lan"] is not None:
            raise errors.NotNow("With a proxy")

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        return False

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        await trio.lowlevel.checkpoint()
        if method == "doctor":
            await trio.sleep_forever()
        if method == "settings":
            self.log.append("settings")
            if arguments["keep_receiving"] is not None:
                self.answered = arguments["keep_receiving"]
            return {"keep_receiving": self.answered, "read_receipts": arguments["read_receipts"] is not False}
        return {"name": "alice"} if method == "status" else [method]


@pytest.fixture(autouse=True)
def _runtime(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setattr(
        node, "PROFILE_CHECK_SECONDS", 500.0
    )  # hours pass here, and each look costs a virtual clock a real moment


async def connect(world: World) -> Peer:
    peer = Peer(await trio.open_unix_socket(str(socket_path(world.profile.folder))))
    answer = await peer.ask("hello", version=API_VERSION)
    assert answer["result"]["pid"] == os.getpid()
    return peer


def live(world: World, test: Callable[[Peer], Awaitable[None]], clock: trio.abc.Clock | None = None) -> None:
    """Run the node; `test` talks to it, and when it returns the node is ended if it has not."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            ended = trio.Event()

            async def whole_life() -> None:
                try:
                    await world.node.run()
                finally:
                    ended.set()

            nursery.start_soon(whole_life)
            await trio.testing.wait_all_tasks_blocked()
            peer = await connect(world)
            await test(peer)
            await peer.stream.aclose()
            world.node.end()
            await ended.wait()

    _unwrapped(lambda: run(main, clock))


def names(told: list[JsonObject]) -> list[object]:
    return [event["event"] for event in told]


def test_an_unprotected_profile_opens_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def test(peer: Peer) -> None:
        assert (await peer.ask("contacts"))["result"] == ["contacts"]
        status = (await peer.ask("status"))["result"]
        assert (status["state"], status["name"], status["has_passphrase"]) == ("ready", "alice", False)
        assert status["addresses"] == ["/ip4/127.0.0.1/tcp/1/p2p/x"]

    live(world, test)
    assert world.told == [
        {"event": "listening"},
        {"event": "ready", "addresses": ["/ip4/127.0.0.1/tcp/1/p2p/x"]},
    ]
    assert world.log == ["open", "closed"]
    assert not socket_path(tmp_path).exists()


def test_a_locked_node_answers_three_methods_until_it_is_unlocked(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw")

    async def test(peer: Peer) -> None:
        for method, params in (
            ("contacts", {}),
            ("send", {"chat": "b", "text": "x"}),
            ("subscribe", {}),
            ("lock", {}),
            ("passphrase", {"new": "x"}),
        ):
            assert (await peer.ask(method, **params))["error"]["data"]["error"] == "Locked", method
        assert (await peer.ask("status"))["result"]["state"] == "locked"
        assert (await peer.ask("hello", version=API_VERSION))["result"]["state"] == "locked"
        assert (await peer.ask("unlock", passphrase="no"))["error"]["data"] == {
            "exit": 4,
            "error": "WrongPassphrase",
            "hint": errors.WrongPassphrase.hint,
        }
        assert names(world.told) == ["listening", "locked"]
        assert (await peer.ask("unlock", passphrase="pw"))["result"]["locked"] is False
        assert names(world.told) == ["listening", "locked", "ready"]
        assert (await peer.ask("contacts"))["result"] == ["contacts"]
        assert (await peer.ask("unlock", passphrase="whatever"))["result"]["locked"] is False

    live(world, test)


def test_two_unlocks_at_once_open_one_profile(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw")

    async def test(peer: Peer) -> None:
        await peer.say(request("unlock", ident=1, passphrase="pw"), request("unlock", ident=2, passphrase="pw"))
        assert {(await peer.hear())["id"], (await peer.hear())["id"]} == {1, 2}

    live(world, test)
    assert world.log == ["open", "closed"]


def test_a_given_passphrase_unlocks_at_the_start(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw")
    world.node = Node(Options(world.profile, foreground=True, passphrase="pw"), world.node._parts, world.told.append)

    async def test(peer: Peer) -> None:
        assert (await peer.ask("contacts"))["result"] == ["contacts"]

    live(world, test)
    assert names(world.told) == ["listening", "ready"]


def test_a_wrong_given_passphrase_ends_the_node(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw")
    made = Node(Options(world.profile, foreground=True, passphrase="no"), world.node._parts, world.told.append)
    with pytest.raises(errors.WrongPassphrase):
        run(made.run)
    assert not socket_path(tmp_path).exists()


def test_calls_wait_while_the_profile_opens(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def main() -> None:
        world.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.node.run)
            await trio.testing.wait_all_tasks_blocked()
            peer = await connect(world)
            await peer.say(request("contacts", ident="early"))
            assert (await peer.ask("status"))["result"]["state"] == "starting"
            world.gate.set()
            assert (await peer.hear())["result"] == ["contacts"]
            await peer.stream.aclose()
            world.node.end()

    run(main)


@pytest.mark.parametrize(
    ("trouble", "told", "raised"),
    [
        (errors.DatabaseDamaged(), "DatabaseDamaged", errors.DatabaseDamaged),
        (ExceptionGroup("x", [ExceptionGroup("y", [errors.DatabaseNewer()])]), "DatabaseNewer", errors.DatabaseNewer),
        (ValueError("a secret"), "NodeError", errors.NodeError),
    ],
)
def test_a_profile_that_cannot_be_opened_is_told_to_the_caller_and_ends_the_node(
    tmp_path: Path, trouble: Exception, told: str, raised: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, passphrase="pw")
    world.opening = trouble

    async def test(peer: Peer) -> None:
        await peer.say(request("unlock", passphrase="pw"))
        answer = await peer.hear()
        assert answer["error"]["data"]["error"] == told
        assert "secret" not in str(answer)

    with pytest.raises(raised):
        live(world, test)
    assert not socket_path(tmp_path).exists()


def test_lock_ends_the_process_that_holds_the_keys(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw")

    async def test(peer: Peer) -> None:
        await peer.ask("unlock", passphrase="pw")
        assert (await peer.ask("lock"))["result"] == {"locked": True, "pid": os.getpid()}
        with pytest.raises(EOFError):
            await peer.hear()

    live(world, test)
    assert world.log == ["open", "closed"]


def test_there_is_nothing_to_lock_without_a_passphrase(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def test(peer: Peer) -> None:
        answer = await peer.ask("lock")
        assert answer["error"]["data"]["error"] == "NotNow"
        assert (await peer.ask("passphrase", new=""))["error"]["data"]["exit"] == 2
        assert (await peer.ask("passphrase", new="pw"))["result"] == {"passphrase": True}
        assert world.passphrase == "pw"
        assert "result" in await peer.ask("lock")

    live(world, test)


def test_stop_answers_then_ends_whatever_is_under_way(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def test(peer: Peer) -> None:
        await peer.say(request("doctor", ident="waits for ever"), request("stop", ident="stop"))
        assert (await peer.hear())["id"] == "stop"
        with pytest.raises(EOFError):
            await peer.hear()

    live(world, test)
    assert world.log == ["open", "closed"]


def test_whoever_comes_while_it_ends_finds_no_node(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def test(peer: Peer) -> None:
        await peer.ask("stop")
        with pytest.raises(OSError, match=r"No such file|refused"):
            await trio.open_unix_socket(str(socket_path(tmp_path)))

    live(world, test)


def _life(world: World, script: Callable[[], Awaitable[None]]) -> float:
    """Virtual seconds from the start of a node to its end."""

    async def main() -> float:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script)
            await world.node.run()
            nursery.cancel_scope.cancel()
        return trio.current_time() - start

    return run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


def test_a_detached_node_ends_when_unused(tmp_path: Path) -> None:
    assert _life(World(tmp_path, foreground=False), _nothing) == pytest.approx(node.LINGER_SECONDS)


def test_a_locked_detached_node_ends_when_unused(tmp_path: Path) -> None:
    world = World(tmp_path, passphrase="pw", foreground=False)
    assert _life(world, _nothing) == pytest.approx(node.LINGER_SECONDS)
    assert world.log == []


def test_a_client_keeps_a_detached_node(tmp_path: Path) -> None:
    world = World(tmp_path, foreground=False)

    async def stay() -> None:
        await trio.testing.wait_all_tasks_blocked()
        peer = await connect(world)
        await trio.sleep(100)
        await peer.stream.aclose()

    assert _life(world, stay) == pytest.approx(100 + node.LINGER_SECONDS, abs=1)


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_node_with_a_reason_goes_on(tmp_path: Path, by_setting: bool) -> None:
    world = World(tmp_path, foreground=False, keep_receiving=by_setting)
    world.keep = not by_setting

    async def end_the_reason() -> None:
        await trio.sleep(1000)
        world.keep = False
        if by_setting:
            world.node.end()

    lasted = _life(world, end_the_reason)
    assert 1000 <= lasted <= 1000 + node.LINGER_SECONDS


def test_what_was_answered_counts_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, foreground=False)
    status: list[object] = []

    async def answer_and_take_back() -> None:
        await trio.testing.wait_all_tasks_blocked()
        for wanted, stays in ((True, 1000), (False, 0)):
            peer = await connect(world)
            status.append((await peer.ask("status"))["result"]["keep_receiving"])
            answer = await peer.ask("settings", keep_receiving=wanted)
            assert answer["result"] == {"keep_receiving": wanted, "read_receipts": True}
            status.append((await peer.ask("status"))["result"]["keep_receiving"])
            await peer.stream.aclose()
            await trio.sleep(stays)

    assert _life(world, answer_and_take_back) == pytest.approx(1000 + node.LINGER_SECONDS, abs=1)
    assert status == [None, True, True, False]


@pytest.mark.parametrize("written", [True, False])
def test_what_config_toml_says_goes_before_the_answer(tmp_path: Path, written: bool) -> None:
    world = World(tmp_path, foreground=False, keep_receiving=written)
    world.answered = not written

    async def ask() -> None:
        await trio.testing.wait_all_tasks_blocked()
        peer = await connect(world)
        assert (await peer.ask("status"))["result"]["keep_receiving"] is written
        refused = await peer.ask("settings", keep_receiving=not written)
        assert refused["error"]["data"]["error"] == "NotNow"
        for params in ({}, {"keep_receiving": written}, {"read_receipts": False}):
            assert (await peer.ask("settings", **params))["result"]["keep_receiving"] is written
        await peer.stream.aclose()
        await trio.sleep(1000)
        world.node.end()

    assert _life(world, ask) == pytest.approx(1000 if written else node.LINGER_SECONDS, abs=1)


def test_a_setting_that_cannot_be_kept_does_not_take_effect(tmp_path: Path) -> None:
    world = World(tmp_path)
    file = world.profile.folder / "config.toml"

    async def test(peer: Peer) -> None:
        file.mkdir()
        refused = await peer.ask("settings", lan="off", port_mapping=False)
        assert refused["error"]["data"]["error"] == "BadConfig"
        file.rmdir()
        odd = 'lan = "on"\n"port_mapping" = true\n'
        file.write_text(odd)
        refused = await peer.ask("settings", lan="off", port_mapping=False)
        assert refused["error"]["data"]["error"] == "BadConfig"
        assert file.read_text() == odd, "neither is changed"
        assert "settings" not in world.log
        file.unlink()
        assert "result" in await peer.ask("settings", lan="off", port_mapping=False)
        assert file.read_text() == 'lan = "off"\nport_mapping = false\n'

    live(world, test)


def test_a_setting_that_is_refused_is_not_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.has_proxy = True

    async def test(peer: Peer) -> None:
        refused = await peer.ask("settings", lan="off")
        assert refused["error"]["data"]["error"] == "NotNow"
        assert not (world.profile.folder / "config.toml").exists()

    live(world, test)


def test_a_node_in_the_foreground_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def end() -> None:
        await trio.sleep(10_000)
        world.node.end()

    assert _life(world, end) == pytest.approx(10_000, abs=1)


def test_a_socket_that_is_gone_is_made_anew_and_found(tmp_path: Path, short: Path) -> None:
    world = World(tmp_path)
    places: list[Path | None] = []

    async def lose_it() -> None:
        await trio.testing.wait_all_tasks_blocked()
        before = await connect(world)
        for folder_too in (False, True):
            if folder_too:
                shutil.rmtree(short)
            else:
                socket_path(tmp_path).unlink()
            await trio.sleep(node.PROFILE_CHECK_SECONDS + 1)
            path = noted_socket(world.profile, os.getpid())
            assert path is not None
            places.append(path)
            peer = Peer(await trio.open_unix_socket(str(path)))
            assert "result" in await peer.ask("hello", version=API_VERSION)
            await peer.stream.aclose()
        assert "result" in await before.ask("status")  # who was connected is served on
        world.node.end()

    first = socket_path(tmp_path)
    _life(world, lose_it)
    assert places[0] == first
    assert places[1] != first
    assert not any(path is not None and path.exists() for path in places)
    assert noted_socket(world.profile, os.getpid()) is None


def test_a_socket_of_the_next_node_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def be_replaced() -> None:
        await trio.testing.wait_all_tasks_blocked()
        socket_path(tmp_path).unlink()
        socket_path(tmp_path).touch()
        world.node.end()

    _life(world, be_replaced)
    assert socket_path(tmp_path).exists()


def test_a_node_whose_profile_is_gone_refuses_everything_and_ends(tmp_path: Path) -> None:
    guard, world = ProfileGuard(), World(tmp_path)
    world.profile.database.touch()
    guard.keep(world.profile.database)
    world.node = Node(Options(world.profile, foreground=True), world.node._parts, world.told.append, guard=guard)
    answers: list[Any] = []

    async def delete_it() -> None:
        await trio.testing.wait_all_tasks_blocked()
        peer = await connect(world)
        assert "result" in await peer.ask("contacts")
        world.profile.database.unlink()
        await trio.sleep(node.PROFILE_CHECK_SECONDS + 1)
        answers.append((await peer.ask("contacts"))["error"]["data"]["error"])
        await peer.stream.aclose()

    with pytest.raises(errors.ProfileGone):
        _unwrapped(lambda: _life(world, delete_it))
    assert answers == ["ProfileGone"]
    assert world.log == ["open", "closed"]


def _unwrapped(run_it: Callable[[], object]) -> None:
    try:
        run_it()
    except BaseExceptionGroup as group:
        only, *more = group.exceptions
        raise (group if more else only) from None


@pytest.mark.parametrize(
    ("dht", "hops", "asked"), [("relays", 1, True), ("relays", 2, False), ("public", 2, True), ("off", 1, False)]
)
def test_with_two_hops_no_server_of_a_relay_is_asked(dht: str, hops: int, asked: bool) -> None:
    """They would be reached directly."""
    made = parts._records(Settings(dht=dht, hops=hops), None, system_entropy())
    assert (made is not None) == asked
