"""Circuits by the relay as a process: two people who know nothing of each other's addresses meet at it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from p2pchat.core import names
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import TO_PUT
from p2pchat.errors import NotServed, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.circuit_messages import HopMessage
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.ports import Stream
from p2pchat.net.relays.reservations import RelayAccess
from tests.support.boxes import Keys, MailClient
from tests.support.hosts import ECHO, echo
from tests.support.ports import free_port
from tests.support.processes import Place
from tests.support.programs import data, get, host, opened, run, start
from tests.support.relays import Place as Guest
from tests.support.relays import ask, connect_to, echoes, ended


@dataclass
class Meeting:
    """Bob has reserved at the relay, which is at `where`; alice knows that."""

    alice: LibP2PHost
    bob: LibP2PHost
    relay: bytes
    where: str
    hop: str = names.HOP

    async def call(self) -> Stream:
        return await self.alice.open(self.bob.peer, [multiaddrs.circuit(self.where, PeerKey(self.relay))], ECHO)

    async def request(self, by: LibP2PHost, message: HopMessage) -> int:
        """What the relay answers."""
        return await ask(await by.open(PeerKey(self.relay), [self.where], self.hop), message)


@asynccontextmanager
async def meeting(address: str, over: str = "") -> AsyncIterator[Meeting]:
    relay, where = multiaddrs.parse_full(address)
    where += over
    async with trio.open_nursery() as nursery, host() as alice, host() as bob:
        bob.handle(ECHO, echo)
        guest = Guest(bob, nursery)
        guest.kept.want(relay, RelayAccess((where,)))
        await guest.until(relay)
        yield Meeting(alice, bob, relay, where)
        nursery.cancel_scope.cancel()


def status(here: Place) -> dict[str, Any]:
    told: dict[str, Any] = here.run("unused", "--json", "relay", "status", "--data", str(data(here))).object()
    return told


@pytest.mark.parametrize("over", ["", "/ws"])
def test_two_meet_by_it_over_tcp_and_websocket(here: Place, over: str) -> None:
    port = free_port()
    _, address = start(here, "--metrics", f"127.0.0.1:{port}")

    async def main() -> None:
        async with meeting(address, over) as there:
            stream = await there.call()
            assert stream.route == "circuit"
            assert await echoes(stream)
            now = await trio.to_thread.run_sync(status, here)
            assert (now["connections"], now["reservations"], now["circuits"]) == (2, 1, 1)
            assert (now["reserved"], now["circuits_joined"]) == (1, 1)
            assert now["circuit_bytes"] > 28
            metrics = await trio.to_thread.run_sync(get, port, "/metrics")
            assert "p2pchat_relay_circuits 1.0" in metrics

    run(main)
    shown = here.run("unused", "relay", "status", "--data", str(data(here))).out
    assert "1 reservations" in shown
    assert "relayed in 1" in shown


def test_what_it_turns_away_it_counts_by_reason(here: Place) -> None:
    port = free_port()
    file = here.folder / "relay.toml"
    file.write_text("circuits = 0\n")
    _, address = start(here, "--metrics", f"127.0.0.1:{port}", "--config", str(file))

    async def main() -> None:
        async with meeting(address) as there, host() as eve:
            assert await there.request(eve, connect_to(there.bob)) == circuit_messages.RESOURCE_LIMIT_EXCEEDED
            assert await there.request(eve, connect_to(there.alice)) == circuit_messages.NO_RESERVATION
            metrics = await trio.to_thread.run_sync(get, port, "/metrics")
            for reason in ("resource limit exceeded", "no reservation"):
                assert f'p2pchat_relay_circuits_refused_total{{reason="{reason}"}} 1.0' in metrics

    run(main)
    assert "2 turned away (resource limit exceeded 1, no reservation 1)" in (
        here.run("unused", "relay", "status", "--data", str(data(here))).out
    )


def test_a_relay_can_pass_nothing_on(here: Place) -> None:
    file = here.folder / "relay.toml"
    file.write_text("circuits = 0\n")
    _, address = start(here, "--config", str(file))

    async def main() -> None:
        async with meeting(address) as there:
            with pytest.raises(Unreachable):
                await there.call()

    run(main)


def test_where_a_token_is_asked_for_only_who_said_it_can_be_reached(here: Place) -> None:
    """A RESERVE has no room for it; so the mailbox is asked."""
    token = here.folder / "token"
    token.write_text("let-me.in\n")
    file = here.folder / "relay.toml"
    file.write_text(f'token_file = "{token}"\n')
    _, address = start(here, "--config", str(file))
    reserve = HopMessage(type=HopMessage.RESERVE)

    async def main() -> None:
        relay, where = multiaddrs.parse_full(address)
        async with host() as alice, host() as bob:
            bob.handle(ECHO, echo)
            there = Meeting(alice, bob, relay, where)
            there.hop = names.hop_name(names.relay_pass(relay, b"let-me.in"))
            assert await there.request(bob, reserve) == circuit_messages.RESERVATION_REFUSED
            stream = await bob.open(relay, [where], names.mailbox_name(relay, b"let-me.in"))
            await MailClient(stream).greeted()
            assert await there.request(bob, reserve) == circuit_messages.OK
            assert await there.request(alice, reserve) == circuit_messages.RESERVATION_REFUSED
            for unknown in (names.MAILBOX, names.HOP, names.mailbox_name(relay, b"let-me-in")):
                with pytest.raises(NotServed):
                    await alice.open(relay, [where], unknown)

    run(main)


def test_a_signal_ends_circuits_after_a_moment_and_begins_none(here: Place) -> None:
    running, address = start(here)

    async def main() -> None:
        async with meeting(address) as there, host() as carol:
            mail = await opened(carol, address, TO_PUT, Keys("bob"))
            stream = await there.call()
            assert await echoes(stream)
            running.process.send_signal(signal.SIGTERM)
            assert await mail.has_ended()  # it is draining
            assert await there.request(carol, connect_to(there.bob)) == circuit_messages.RESOURCE_LIMIT_EXCEEDED
            assert await echoes(stream)
            assert await ended(stream)

    run(main)
    done = running.wait()
    assert (done.code, done.err) == (0, "")
