"""Points: only the type."""

from __future__ import annotations

from fastecdsa import unavailable


class Point:
    """Stands for a point in annotations; none can be made."""

    def __init__(self, *_: object, **__: object) -> None:
        unavailable()
