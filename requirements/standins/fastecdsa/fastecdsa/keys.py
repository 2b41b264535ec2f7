"""Keys: none can be made."""

from __future__ import annotations

from typing import NoReturn

from fastecdsa import unavailable


def gen_private_key(*_: object, **__: object) -> NoReturn:
    """Refuse."""
    unavailable()


def get_public_key(*_: object, **__: object) -> NoReturn:
    """Refuse."""
    unavailable()
