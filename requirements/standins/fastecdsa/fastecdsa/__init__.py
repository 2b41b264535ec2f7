"""The names libp2p imports for SECIO, which p2pchat never offers. Using one is an error."""

from __future__ import annotations

from typing import NoReturn


def unavailable() -> NoReturn:
    """Say why nothing here works."""
    raise NotImplementedError("p2pchat installs a stand-in for fastecdsa: P-256 keys and SECIO are not available")
