"""Curves: only the type and the one name that libp2p mentions."""

from __future__ import annotations


class Curve:
    """Stands for a curve in annotations."""


P256 = Curve()
