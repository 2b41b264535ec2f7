"""The packets of PCP, and everything that is none."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.network import MappingState
from p2pchat.net.mapping import pcp
from p2pchat.net.mapping.grants import NoMapping

NONCE = bytes(range(12))
ANSWER = bytes.fromhex(  # as miniupnpd 2.3.1 writes it
    "028100000000007800000001" + "00" * 12 + NONCE.hex() + "060000000fa20fa3" + "00" * 10 + "ffff0b000302"
)


def changed(at: int, byte: int) -> bytes:
    return ANSWER[:at] + bytes([byte]) + ANSWER[at + 1 :]


def test_what_is_asked_is_laid_out_as_in_rfc_6887() -> None:
    own = IPv4Address("192.168.1.2")
    asked = pcp.ask(own, NONCE, 4002, 4003, 3600)
    assert asked == bytes.fromhex(
        "0201000000000e10" + "00" * 10 + "ffffc0a80102" + NONCE.hex() + "060000000fa20fa3" + "00" * 10 + "ffff00000000"
    )
    assert pcp.ask(own, NONCE, 4002, 4003, 0)[4:8] == bytes(4)
    assert pcp.ask(own, NONCE, 4002, 4003, 0)[40:44] == bytes.fromhex("0fa20000"), "the end names no port outside"


def test_what_a_router_answers_is_read_with_options_and_all() -> None:
    mapped = pcp.PcpMapping(IPv4Address("11.0.3.2"), 4003, 120)
    assert pcp.read(ANSWER, NONCE, 4002) == mapped
    assert pcp.read(ANSWER + bytes(8), NONCE, 4002) == mapped


def test_a_router_that_says_no_is_understood() -> None:
    with pytest.raises(NoMapping) as no:
        pcp.read(changed(3, 2), NONCE, 4002)
    assert no.value.state == MappingState.REFUSED
    with pytest.raises(NoMapping):
        pcp.read(changed(3, 8)[:24], NONCE, 4002)


@pytest.mark.parametrize(
    "packet", [bytes.fromhex("0081000100000001"), changed(3, 1), changed(0, 3)], ids=["NAT-PMP", "unsupported", "later"]
)
def test_another_version_is_told_apart(packet: bytes) -> None:
    with pytest.raises(pcp.OtherVersion):
        pcp.read(packet, NONCE, 4002)


@pytest.mark.parametrize(
    "packet",
    [
        *(b"", ANSWER[:20], ANSWER[:56], ANSWER[:59], ANSWER + b"\0", ANSWER + bytes(1100)),
        *(changed(1, 0x82), changed(1, 1), changed(24, 9), changed(36, 17), changed(41, 0), changed(54, 0)),
    ],
)
def test_an_answer_to_another_question_is_none(packet: bytes) -> None:
    assert pcp.read(packet, NONCE, 4002) is None


@given(st.binary(max_size=80), st.integers(0, 60))
def test_arbitrary_bytes_do_no_harm(packet: bytes, kept: int) -> None:
    try:
        mapped = pcp.read((ANSWER[:kept] + packet)[: len(ANSWER)], NONCE, 4002)
    except (NoMapping, pcp.OtherVersion):
        return
    assert mapped is None or isinstance(mapped.address, IPv4Address)
