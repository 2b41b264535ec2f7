"""Canonical msgpack: each value has exactly one encoding, and no other is accepted.

On the wire there are only arrays of fixed positions that hold unsigned integers, byte strings, text, nil, booleans and
arrays. Everything that is not exactly what `encode` would write is refused with `CannotOpen`: longer forms of a number
or a length, maps, floats, extensions, trailing bytes, deep nesting. What is signed or hashed is always the received
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from p2pchat.errors import CannotOpen

DEPTH = 8
U8, U16, U32, U64 = 0xFF, 0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF

Shape = Callable[[Any], Any]
"""A check: returns the value in the form the program uses, or raises `CannotOpen`."""


def encode(value: object) -> bytes:
    """Return the canonical bytes of a value made of the types above."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def decode(data: bytes, most: int) -> Any:
    """Return the value of `data`, of at most `most` bytes. Raises CannotOpen for anything that `encode` would not
    write.
    """
    if len(data) > most:
        raise CannotOpen
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            use_list=True,
            max_str_len=most,
            max_bin_len=most,
            max_array_len=min(most, 4096),
            max_map_len=0,
            max_ext_len=0,
        )
        _refuse_strange(value, DEPTH)
        canonical = encode(value) == data
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        raise CannotOpen from None
    if not canonical:
        raise CannotOpen
    return value


_PLAIN = frozenset({bytes, str, bool, type(None)})


def _refuse_strange(value: object, depth: int) -> None:
    if type(value) in _PLAIN:
        return
    if type(value) is list:
        if depth == 0:
            raise CannotOpen
        for item in value:
            if type(item) not in _PLAIN:  # avoids a call for most values
                _refuse_strange(item, depth - 1)
    elif not (type(value) is int and value >= 0):
        raise CannotOpen


# --- shapes ------------------------------------------------------------------------------------------------------


def uint(most: int) -> Shape:
    """Return a check that a value is an unsigned integer up to `most`. Like every shape here, it raises CannotOpen."""

    def check(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise CannotOpen
        return value

    return check


def exactly(wanted: int) -> Shape:
    """Return a check that a value is one certain number: a version, a kind."""

    def check(value: Any) -> int:
        if type(value) is not int or value != wanted:
            raise CannotOpen
        return value

    return check


def binary(size: int) -> Shape:
    """Return a check that a value is a byte string of exactly `size` bytes."""

    def check(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise CannotOpen
        return value

    return check


def binary_upto(most: int, least: int = 0) -> Shape:
    """Return a check that a value is a byte string of `least` to `most` bytes."""

    def check(value: Any) -> bytes:
        if not isinstance(value, bytes) or not least <= len(value) <= most:
            raise CannotOpen
        return value

    return check


def text(most_bytes: int) -> Shape:
    """Return a check that a value is text of at most `most_bytes` bytes of UTF-8."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value.encode()) > most_bytes:
            raise CannotOpen
        return value

    return check


def boolean(value: Any) -> bool:
    """Check that a value is true or false. Raises CannotOpen."""
    if not isinstance(value, bool):
        raise CannotOpen
    return value


def maybe(shape: Shape) -> Shape:
    """Return a check that a value is nil or passes `shape`."""

    def check(value: Any) -> Any:
        return None if value is None else shape(value)

    return check


def listing(shape: Shape, most: int) -> Shape:
    """Return a check that a value is a list of at most `most` values of one shape, which it makes a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise CannotOpen
        return tuple([shape(item) for item in value]) if value else ()

    return check


def array(*shapes: Shape, open_end: bool = False) -> Shape:
    """Return a check that a value is a list with a shape for each position, which it makes a tuple; `open_end` lets
    later versions append more.
    """

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < len(shapes) or (len(value) > len(shapes) and not open_end):
            raise CannotOpen
        return tuple([shape(item) for shape, item in zip(shapes, value, strict=False)])  # half the time of a generator

    return check
