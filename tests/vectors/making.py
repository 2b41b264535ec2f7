"""What the generators of vectors share: the form of a vector, and chance that is written down."""

from __future__ import annotations

from typing import Any

from p2pchat.core import primitives as prim
from tests.core.people import Chance

Vector = dict[str, Any]


class Recorder:
    """Seeded chance that writes down what it gave."""

    def __init__(self, seed: str) -> None:
        self._chance = Chance(seed, frozen=True)
        self.drawn: list[str] = []
        self.encapsulations: list[list[str]] = []
        self.entropy = prim.Entropy(self.random, self.encapsulate)

    def random(self, size: int) -> bytes:
        value = self._chance.random(size)
        self.drawn.append(value.hex())
        return value

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ciphertext, secret = self._chance.entropy.encapsulate(public)
        self.encapsulations.append([ciphertext.hex(), secret.hex()])
        return ciphertext, secret


def vector(kind: str, about: str, /, **fields: Any) -> Vector:
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
    return {"object": kind, "about": about, **plain}


def refused(kind: str, about: str, /, **fields: Any) -> Vector:
    return vector(kind, about, refused=True, **fields)


def shown(value: Any) -> Any:
    """A payload in JSON: bytes as {"hex": …}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [shown(item) for item in value] if isinstance(value, list | tuple) else value
