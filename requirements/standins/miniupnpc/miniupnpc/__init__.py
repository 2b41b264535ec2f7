"""The name libp2p imports to talk to a router (UPnP), which p2pchat never does. Using it is an error."""

from __future__ import annotations


class UPnP:
    """Stands for the search for a router; none is made."""

    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError("p2pchat installs a stand-in for miniupnpc: UPnP is not available")
