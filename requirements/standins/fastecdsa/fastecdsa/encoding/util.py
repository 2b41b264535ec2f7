"""One helper that libp2p binds at import."""

from __future__ import annotations

from typing import NoReturn

from fastecdsa import unavailable


def int_bytelen(*_: object) -> NoReturn:
    """Refuse."""
    unavailable()
