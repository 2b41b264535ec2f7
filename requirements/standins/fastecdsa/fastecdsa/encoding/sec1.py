"""SEC 1 points: none can be read or written."""

from __future__ import annotations

from typing import NoReturn

from fastecdsa import unavailable


class SEC1Encoder:
    """Stands for the encoder; it refuses."""

    @staticmethod
    def encode_public_key(*_: object, **__: object) -> NoReturn:
        """Refuse."""
        unavailable()

    @staticmethod
    def decode_public_key(*_: object, **__: object) -> NoReturn:
        """Refuse."""
        unavailable()
