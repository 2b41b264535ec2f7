"""The relay as a process: real connections, kills, drains, and what is left on its disk."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from p2pchat.core.mailbox import DONE, TO_FETCH, TO_PUT
from p2pchat.errors import P2PChatError
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.multiaddrs import parse_full, parse_relay
from tests.support.boxes import Keys, MailClient, blob
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Place, Running
from tests.support.programs import LOOPBACK, data, host, run, start
from tests.support.programs import opened as opened_by
from tests.support.steps import fine, make

BOB = Keys("bob")
ROUNDS = int(os.environ.get("P2PCHAT_KILL_ROUNDS", "10"))


async def opened(by: LibP2PHost, address: str, role: int) -> MailClient:
    return await opened_by(by, address, role, BOB)


def test_deposits_are_pushed_fetched_and_deleted_over_the_network(here: Place) -> None:
    _, address = start(here)

    async def main() -> None:
        async with host() as one, host() as two:
            alice, bob = await opened(one, address, TO_PUT), await opened(two, address, TO_FETCH)
            assert alice.hello.relay == parse_full(address)[0]
            assert await alice.put(0, blob(1), blob(2, 65_536)) == [DONE, DONE]
            found, _, end = await bob.fetch(512, (0, 0))
            assert [one.blob for one in found] == [blob(1), blob(2, 65_536)]
            assert not end.more
            await bob.watch((0, found[-1].place))
            assert await alice.put(0, blob(3)) == [DONE]
            pushed = await bob.next_pushed()
            assert pushed.blob == blob(3)
            assert await bob.delete(0, pushed.place) == DONE
            assert (await bob.fetch(512, (0, 0)))[0] == []

    run(main)


def test_a_kill_loses_no_deposit_that_was_acknowledged(here: Place) -> None:
    """The relay is killed with deposits under way; what was answered 0 is there afterwards, whole and in order."""
    acknowledged: list[bytes] = []

    async def load(address: str, name: int, killed: Callable[[], None]) -> None:
        async with host() as by:
            with suppress(P2PChatError):
                alice = await opened(by, address, TO_PUT)
                for batch in range(1000):
                    blobs = [blob(f"{name} {batch} {number}") for number in range(5)]
                    assert await alice.put(0, *blobs) == [DONE] * 5
                    acknowledged.extend(blobs)
                    if batch == 1 + name % 3:
                        for number in range(20):  # more, unanswered, while it dies
                            await alice.post(0, blob(f"{name} late {number}"))
                        killed()

    for name in range(ROUNDS):
        running, address = start(here)

        async def main(address: str = address, name: int = name, running: Running = running) -> None:
            await load(address, name, running.process.kill)

        run(main)
        assert running.wait().code == -signal.SIGKILL
    assert len(acknowledged) >= 10 * ROUNDS
    _, address = start(here)
    kept: list[bytes] = []

    async def collect() -> None:
        async with host() as by:
            bob, after, more = await opened(by, address, TO_FETCH), 0, True
            while more:
                found, _, end = await bob.fetch(512, (0, after))
                assert [one.place for one in found] == sorted(one.place for one in found)
                kept.extend(one.blob for one in found)
                after, more = found[-1].place if found else after, end.more

    run(collect)
    assert [one for one in kept if one in set(acknowledged)] == acknowledged
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_it(here: Place, how: signal.Signals) -> None:
    running, address = start(here)

    async def main() -> None:
        async with host() as by:
            alice = await opened(by, address, TO_PUT)
            assert await alice.put(0, blob(1)) == [DONE]
            began = time.monotonic()
            running.process.send_signal(how)
            assert await alice.has_ended()
            assert time.monotonic() - began < PATIENCE / 2

    run(main)
    done = running.wait()
    assert (done.code, done.err) == (0, "")
    assert not list(data(here).glob("*-wal"))
    again, _ = start(here)
    assert again.end().code == 0


def test_it_stays_the_same_relay(here: Place) -> None:
    running, first = start(here)
    running.end()
    _, second = start(here)
    assert parse_full(first)[0] == parse_full(second)[0]


def test_two_relays_cannot_share_a_folder(here: Place) -> None:
    running, _ = start(here)
    done = here.run("unused", "relay", "--data", str(data(here)), "--listen", LOOPBACK)
    assert (done.code, done.out) == (4, "")
    assert str(running.pid) in done.err
    assert done.err.count("\n") == 1


def test_its_status_is_told_to_its_operator(here: Place) -> None:
    words = ("relay", "status", "--data", str(data(here)))
    done = here.run("unused", *words)
    assert done.code == 1
    assert "No relay is running" in done.err
    running, address = start(here)
    status = here.run("unused", "--json", *words).object()
    assert (status["pid"], status["addresses"], status["healthy"]) == (running.pid, [address], 1)
    shown = here.run("unused", *words)
    assert shown.code == 0
    assert address in shown.out


def test_a_relay_runs_a_dht_server_which_those_who_use_it_find(here: Place) -> None:
    file = here.folder / "relay.toml"
    file.write_text(f'dht_listen = ["{LOOPBACK}"]\n')
    _, address = start(here, "--config", str(file))
    words = ("relay", "status", "--data", str(data(here)))
    (server,) = here.run("unused", "--json", *words).object()["dht"]
    assert parse_full(server)[0] != parse_full(address)[0]
    make(here, "alice")
    here.node("alice")
    assert here.run("alice", "relays", "add", address).code == 0
    found = [one for one in fine(here.run("alice", "doctor", "--json")) if one["check"] == "dht"]
    assert [one["detail"] for one in found] == ["1 DHT server of your relays answers"]
    shown = here.run("unused", *words).out
    assert "DHT server: 0 records, 0 other servers known, " in shown
    assert server in shown


def test_a_folder_deeper_than_a_sockets_path_works_too(here: Place) -> None:
    deep = here.folder / ("d" * 100) / "relay"
    deep.parent.mkdir()
    running = here.start("unused", "relay", "--data", str(deep), "--listen", LOOPBACK)
    running.hear()
    assert here.run("unused", "--json", "relay", "status", "--data", str(deep)).object()["pid"] == running.pid


def test_a_person_is_told_the_line_for_friends(here: Place) -> None:
    running, line = start(here)
    running.end()
    listen = f"/ip4/127.0.0.1/tcp/{free_port()}"
    address = f"{listen}/p2p/{line.partition('/p2p/')[2]}"
    plain = here.plain("relay", "--data", str(data(here)), "--listen", listen)
    assert plain.line() == b"ready"
    assert plain.line().decode() == address
    done = plain.end()
    assert done.code == 0
    assert f"p2pchat relays add {address}" in done.err


def test_the_token_is_part_of_the_line_for_friends(here: Place) -> None:
    token = here.folder / "token"
    token.write_text("let-me.in\n")
    file = here.folder / "relay.toml"
    file.write_text(f'token_file = "{token}"\n')
    words = ("relay", "--data", str(data(here)), "--listen", LOOPBACK, "--config", str(file))
    plain = here.plain(*words)
    assert plain.line() == b"ready"
    line = plain.line().decode()
    status = here.run("unused", "--json", "relay", "status", "--data", str(data(here))).object()
    assert parse_relay(line)[2] == b"let-me.in"
    assert status["lines"] == [line]
    assert status["addresses"] == [line.removesuffix("#let-me.in")]
    done = plain.end()
    assert f"p2pchat relays add {line}" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metrics", "nowhere"), "HOST:PORT"),
        (("--listen", "here"), "not an address"),
        (("--config", "/nonexistent/file"), "cannot be read"),
    ],
)
def test_what_it_cannot_use_it_says_in_one_line(here: Place, words: tuple[str, ...], said: str) -> None:
    done = here.run("unused", "relay", "--data", str(data(here)), *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1, done.err


def test_a_port_that_is_taken_is_said(here: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        done = here.run("unused", "relay", "--data", str(data(here)), "--listen", listen)
    assert done.code == 1
    assert done.err.count("\n") == 1, done.err


def test_the_key_and_the_store_are_for_their_owner_only(here: Place) -> None:
    start(here)
    assert data(here).stat().st_mode & 0o777 == 0o700
    for path in data(here).iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_example_of_its_settings_is_accepted(here: Place) -> None:
    example = here.run("unused", "relay", "--print-config")
    assert example.code == 0
    file = here.folder / "relay.toml"
    file.write_text(re.sub(r"^#(?=\w+ = )", "", example.out, flags=re.MULTILINE))
    running, _ = start(here, "--config", str(file))
    assert running.end().code == 0
