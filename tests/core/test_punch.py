"""The messages of punching. What is refused, and the bytes, are in the vectors."""

from __future__ import annotations

import pytest

from p2pchat.core import punch
from p2pchat.core.punch import Punch, PunchAddress, PunchStep

IPV4, IPV6 = PunchAddress(bytes((11, 0, 3, 2)), 4001), PunchAddress(bytes(range(16)), 4002)


@pytest.mark.parametrize("addresses", [(), (IPV4,), (IPV6,), (IPV4, IPV6)])
def test_what_is_written_is_read(addresses: tuple[PunchAddress, ...]) -> None:
    said = Punch(PunchStep.ANSWER, bytes(range(8)), 1234, addresses)
    body = punch.encode(said)
    assert len(body) == punch.PUNCH_BYTES == 35
    assert punch.decode(body) == said
    assert "4001" not in repr(said), "no address gets into a log"
