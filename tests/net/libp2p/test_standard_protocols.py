"""What we say to strangers is what py-libp2p says."""

from __future__ import annotations

from libp2p.host import ping
from libp2p.identity.identify import identify
from libp2p.identity.identify_push import identify_push

from p2pchat.net.libp2p import standard_protocols


def test_names_versions_and_limits_are_those_of_libp2p() -> None:
    assert standard_protocols.NAMES == (identify.ID, identify_push.ID_PUSH, ping.ID)
    assert standard_protocols.AGENT_VERSION == identify.AGENT_VERSION
    assert standard_protocols.PROTOCOL_VERSION == identify.PROTOCOL_VERSION
    assert (standard_protocols.PING_BYTES, standard_protocols.PING_TIMEOUT) == (ping.PING_LENGTH, ping.RESP_TIMEOUT)
