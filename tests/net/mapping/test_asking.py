"""One round of asking a router: which protocol, which port, and what a hostile one achieves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
import trio

from p2pchat.core.network import MappingState
from p2pchat.net.mapping import asking
from p2pchat.net.mapping.asking import ASK_SECONDS, NAT_PMP, PCP, UPNP, Asking
from p2pchat.net.mapping.grants import Grant, NoMapping
from tests.support.gateway import CONTROL, HOME, PUBLIC, SERVICE, Gateway
from tests.support.virtual_time import virtual

CHANCE = Random(67)


def ask_of(gateway: Gateway) -> Asking:
    return Asking(gateway, HOME, 4001, bytes(12), CHANCE.randbytes)


async def refused(gateway: Gateway, held: Grant | None = None) -> MappingState:
    with pytest.raises(NoMapping) as no:
        await ask_of(gateway).ask(held)
    return no.value.state


@pytest.mark.parametrize("protocol", [PCP, NAT_PMP, UPNP])
@virtual
async def test_each_protocol_opens_renews_and_closes_a_port(protocol: str) -> None:
    gateway = Gateway({protocol})
    ask = ask_of(gateway)
    grant = await ask.ask(None)
    assert (grant.protocol, grant.address, grant.port, grant.seconds) == (protocol, PUBLIC, 4001, 3600)
    assert gateway.ports == {4001: 4001}
    before = trio.current_time()
    assert await ask.ask(grant) == grant
    assert trio.current_time() == before, "what has worked is asked first"
    await ask.release(grant)
    assert gateway.ports == {}


@virtual
async def test_the_newest_protocol_is_used_and_nobody_else_hears_of_it() -> None:
    gateway = Gateway()
    assert (await ask_of(gateway).ask(None)).protocol == PCP
    assert gateway.asked == ["PCP 4001 3600"]
    gateway = Gateway({UPNP})
    await ask_of(gateway).ask(None)
    assert gateway.asked == ["search 192.168.1.1", "UPnP 4001 3600"], "the router alone was asked"


@virtual
async def test_a_router_that_answers_nothing_is_left_in_peace_soon() -> None:
    gateway = Gateway(set())
    assert await refused(gateway) == MappingState.SILENT
    assert trio.current_time() < 15
    assert gateway.asked == ["search 192.168.1.1", *["search 239.255.255.250"] * 2]


@pytest.mark.parametrize("protocol", [PCP, NAT_PMP, UPNP])
@virtual
async def test_a_router_that_refuses_is_believed(protocol: str) -> None:
    gateway = Gateway({protocol}, error=2 if protocol != UPNP else 606)
    assert await refused(gateway) == MappingState.REFUSED
    assert gateway.ports == {}


@virtual
async def test_where_one_protocol_refuses_the_next_is_asked() -> None:
    gateway = Gateway()
    gateway.lie = lambda packet: packet.replace(b"\x00\x82\x00\x00", b"\x00\x82\x00\x02")
    gateway.speaks = {NAT_PMP, UPNP}
    assert (await ask_of(gateway).ask(None)).protocol == UPNP


@virtual
async def test_a_port_of_somebody_else_is_left_to_them() -> None:
    gateway = Gateway(taken={4001})
    assert (await ask_of(gateway).ask(None)).port == 4002
    gateway = Gateway({UPNP}, taken={4001})
    grant = await ask_of(gateway).ask(None)
    assert grant.port >= asking.MIN_PORT
    assert gateway.ports == {grant.port: 4001}
    gateway = Gateway({UPNP}, taken=set(range(65_536)))
    assert await refused(gateway) == MappingState.REFUSED
    assert len(gateway.asked) == 1 + asking.MAX_PORTS


@virtual
async def test_a_router_that_knows_only_endless_leases_gives_one() -> None:
    gateway = Gateway({UPNP}, permanent=True)
    grant = await ask_of(gateway).ask(None)
    assert (grant.seconds, gateway.asked[-1]) == (3600, "UPnP 4001 0")


FLOOD: list[Callable[[bytes], bytes]] = [
    lambda packet: b"",
    lambda packet: packet[:-1],
    lambda packet: packet + b"\0",
    lambda packet: b"\xff" * 2_048,
    lambda packet: bytes(len(packet)),
]


@pytest.mark.parametrize("lie", FLOOD)
@pytest.mark.parametrize("protocol", [PCP, NAT_PMP, UPNP])
@virtual
async def test_what_makes_no_sense_is_silence(lie: Callable[[bytes], bytes], protocol: str) -> None:
    if protocol == UPNP and lie in FLOOD[1:3]:
        return  # HTTP without its last byte, and with one more, says the same
    gateway = Gateway({protocol})
    gateway.lie = lie
    assert await refused(gateway) == MappingState.SILENT
    assert trio.current_time() <= ASK_SECONDS


@virtual
async def test_packets_without_end_are_read_for_a_moment_only() -> None:
    gateway = Gateway(set())
    read = 0

    def flood(packet: bytes) -> list[bytes]:
        nonlocal read
        read += 1
        return [b"\0" * 60] * 100

    gateway._packet = flood  # type: ignore[method-assign]
    with trio.fail_after(2 * ASK_SECONDS):
        assert await refused(gateway) == MappingState.SILENT
    assert read == 2 * len(asking.TRY_SECONDS), "PCP and NAT-PMP, no packet more for all those that came"


@virtual
async def test_a_flood_delays_an_answer_and_keeps_nobody_busy() -> None:
    gateway = Gateway({PCP})
    answer = gateway._packet
    gateway._packet = lambda packet: [b"\0" * 60] * 100 + answer(packet)  # type: ignore[method-assign]
    assert (await ask_of(gateway).ask(None)).protocol == PCP
    assert trio.current_time() == asking.TRY_SECONDS[0], "no more than so many packets are read at once"


@virtual
async def test_a_description_that_leads_elsewhere_is_not_followed() -> None:
    """The fake answers at the router's two places alone, and raises for every other."""
    gateway = Gateway({UPNP})
    gateway.lie = lambda said: said.replace(b"192.168.1.1", b"192.168.1.9")
    assert await refused(gateway) == MappingState.SILENT
    gateway.lie = lambda said: said.replace(b"/ctl/IPConn", b"http://127.0.0.1:22/")
    assert await refused(gateway) == MappingState.SILENT
    gateway.lie = lambda said: said.replace(b"<root", b'<!DOCTYPE root SYSTEM "http://x/"><root')
    assert await refused(gateway) == MappingState.SILENT


@virtual
async def test_giving_back_waits_for_no_silent_router() -> None:
    ask = ask_of(Gateway(set()))
    grant = Grant(PCP, IPv4Address("11.0.3.2"), 4001, 3600)
    for each in (grant, replace(grant, protocol=NAT_PMP), replace(grant, protocol=UPNP, control=(*CONTROL, SERVICE))):
        before = trio.current_time()
        await ask.release(each)
        assert trio.current_time() - before <= asking.RELEASE_SECONDS


@virtual
async def test_an_older_router_says_that_it_does_not_know_pcp() -> None:
    gateway = Gateway({NAT_PMP})
    assert gateway._packet(b"\2" + bytes(59)) == [struct.pack("!BBHI", 0, 129, 1, 1)]
    assert (await ask_of(gateway).ask(None)).protocol == NAT_PMP
    assert trio.current_time() == 0, "the answer was understood"
