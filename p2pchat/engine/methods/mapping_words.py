"""What the router did about a port for this node, in sentences, for `network_words`."""

from __future__ import annotations

from typing import Final

from p2pchat.ports import MappingState, PortMapping

_NO_PORT: Final = {
    MappingState.OFF: "the router is not asked to open a port. `p2pchat settings port_mapping yes` changes that",
    MappingState.FORBIDDEN: "the router is not asked to open a port: P2PCHAT_NO_PORT_MAPPING was "
    "set when the node started",
    MappingState.NOT_NEEDED: "no router has to open a port: this machine has a public address",
    MappingState.NOT_LISTENING: "no router is asked to open a port: this node can be dialled from this machine only",
    MappingState.NO_ROUTER: "no router is asked to open a port: there is none here, or a VPN carries everything",
    MappingState.ASKING: "the router is being asked to open a port",
    MappingState.SILENT: "the router opened no port: it does not answer to UPnP, NAT-PMP or PCP",
    MappingState.REFUSED: "the router opened no port: it refused to",
    MappingState.NOT_PUBLIC: "the router could open a port, but has no public address itself: another router, or your "
    "provider's, stands before it",
}
_NOTHING_ASKED: Final = (
    *(MappingState.OFF, MappingState.FORBIDDEN, MappingState.NOT_NEEDED),
    *(MappingState.NOT_LISTENING, MappingState.NO_ROUTER),
)


def outcome(mapping: PortMapping) -> str:
    """Return whether the router has opened a port, and if not, why."""
    if mapping.state == MappingState.OPEN:
        return f"the router has opened a port: others can dial {mapping.address} (asked by {mapping.protocol})"
    return _NO_PORT[mapping.state]


def is_in_vain(mapping: PortMapping) -> bool:
    """Return whether a port is wanted, and there is none."""
    return mapping.state != MappingState.OPEN and mapping.state not in _NOTHING_ASKED


def seen(mapping: PortMapping) -> str:
    """Return what others on this network see of the asking; "" if nothing was asked."""
    if mapping.state in _NOTHING_ASKED:
        return ""
    return (
        "the router was asked to open a port: whoever runs it can tell that a program here wants to be dialled, and "
        "sees who does; if it does not answer, others on this network can tell too"
    )
