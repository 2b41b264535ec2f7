"""The packets of NAT-PMP, and everything that is none."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.network import MappingState
from p2pchat.net.mapping import nat_pmp
from p2pchat.net.mapping.grants import NoMapping

ADDRESS = bytes.fromhex("00800000000000010b000302")  # as miniupnpd 2.3.1 writes them
MAPPED = bytes.fromhex("00820000000000010fa10fa200000078")


def test_what_is_asked_is_laid_out_as_in_rfc_6886() -> None:
    assert bytes(2) == nat_pmp.ASK_ADDRESS
    assert nat_pmp.ask_tcp(4001, 4002, 3600) == bytes.fromhex("000200000fa10fa200000e10")
    assert nat_pmp.ask_tcp(4001, 4002, 0) == bytes.fromhex("000200000fa1000000000000"), "the end names no port outside"


def test_what_a_router_answers_is_read() -> None:
    assert nat_pmp.read_address(ADDRESS) == IPv4Address("11.0.3.2")
    assert nat_pmp.read_tcp(MAPPED, 4001) == nat_pmp.NatPmpMapping(4002, 120)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 0xFFFF])
def test_a_router_that_says_no_is_understood(code: int) -> None:
    for packet, read in ((ADDRESS, nat_pmp.read_address), (MAPPED, lambda said: nat_pmp.read_tcp(said, 4001))):
        with pytest.raises(NoMapping) as no:
            read(packet[:2] + code.to_bytes(2, "big") + packet[4:])
        assert no.value.state == MappingState.REFUSED


def test_an_answer_to_another_question_is_none() -> None:
    assert nat_pmp.read_tcp(MAPPED, 4002) is None
    assert nat_pmp.read_tcp(ADDRESS, 4001) is None
    assert nat_pmp.read_address(MAPPED) is None
    for wrong in (ADDRESS[:-1], ADDRESS + b"\0", b"", b"\1" + ADDRESS[1:]):
        assert nat_pmp.read_address(wrong) is None


@given(st.binary(max_size=40))
def test_arbitrary_bytes_do_no_harm(packet: bytes) -> None:
    try:
        nat_pmp.read_address(packet)
        mapped = nat_pmp.read_tcp(packet, 4001)
    except NoMapping:
        return
    assert mapped is None or 0 <= mapped.port < 65_536
