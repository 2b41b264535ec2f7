"""Canonical msgpack: what may be written, and that nothing else is read."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pchat.core import codec
from p2pchat.core.codec import DEPTH, U64, decode, encode
from p2pchat.errors import CannotOpen

MOST = 100_000
LEAVES = st.none() | st.booleans() | st.integers(0, U64) | st.binary(max_size=300) | st.text(max_size=100)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=20), max_leaves=30)


def depth_of(value: object) -> int:
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    if depth_of(value) > DEPTH:
        with pytest.raises(CannotOpen):
            decode(encode(value), MOST)
    else:
        assert decode(encode(value), MOST) == value


@given(st.binary(max_size=60))
@example(b"")
@example(b"\xc7\x00\x05")
def test_bytes_are_read_in_one_way_or_not_at_all(data: bytes) -> None:
    try:
        value = decode(data, MOST)
    except CannotOpen:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_damaged_bytes_are_read_in_one_way_or_not_at_all(value: object, chosen: st.DataObject) -> None:
    data = bytearray(encode(value))
    data[chosen.draw(st.integers(0, len(data) - 1))] = chosen.draw(st.integers(0, 255))
    test_bytes_are_read_in_one_way_or_not_at_all.hypothesis.inner_test(bytes(data))  # type: ignore[attr-defined]


LONGER_FORMS = {
    "0 as uint8": "cc00",
    "127 as uint8": "cc7f",
    "255 as uint16": "cd00ff",
    "65,535 as uint32": "ce0000ffff",
    "2^32-1 as uint64": "cf00000000ffffffff",
    "1 as int8": "d001",
    "200 as int16": "d100c8",
    "40,000 as int32": "d200009c40",
    "2^33 as int64": "d30000000200000000",
    "1 byte as bin16": "c5000161",
    "1 byte as bin32": "c60000000161",
    "1 letter as str8": "d90161",
    "1 letter as str16": "da000161",
    "1 letter as str32": "db0000000161",
    "1 item as array16": "dc0001c0",
    "1 item as array32": "dd00000001c0",
    "inside an array": "92cc0001",
}
OTHER_TYPES = {
    "empty map": "80",
    "map": "810102",
    "map with one key twice": "8201020103",
    "map16": "de000101c0",
    "map in an array": "9180",
    "float32": "ca3f800000",
    "float64": "cb3ff0000000000000",
    "float64 that is whole": "cb0000000000000000",
    "nan": "cb7ff8000000000000",
    "negative fixint": "ff",
    "negative int8": "d080",
    "negative int64": "d38000000000000000",
    "fixext1": "d40500",
    "fixext16": "d805" + "00" * 16,
    "ext8": "c7010500",
    "empty ext8": "c70005",
    "empty ext8 in an array": "91c70005",
    "timestamp": "d6ff00000000",
    "never used": "c1",
}
BROKEN = {
    "nothing": "",
    "half a number": "cd00",
    "half an array": "92c0",
    "half a byte string": "c40461",
    "one byte too many": "c0c0",
    "an array and more": "91c000",
    "not UTF-8": "a1ff",
    "overlong UTF-8": "a2c080",
    "half a surrogate pair": "a3eda080",
    "a length nobody has": "ddffffffff",
    "a byte string nobody has": "c6ffffffff",
}


@pytest.mark.parametrize("form", [*LONGER_FORMS, *OTHER_TYPES, *BROKEN])
def test_no_other_form_is_read(form: str) -> None:
    data = bytes.fromhex((LONGER_FORMS | OTHER_TYPES | BROKEN)[form])
    with pytest.raises(CannotOpen):
        decode(data, MOST)


@pytest.mark.parametrize("form", LONGER_FORMS)
def test_the_longer_forms_are_ones_a_laxer_reader_takes(form: str) -> None:
    assert msgpack.unpackb(bytes.fromhex(LONGER_FORMS[form])) is not None


def test_depth() -> None:
    value: Any = 7
    for _ in range(DEPTH):
        value = [value]
    assert decode(encode(value), MOST) == value
    with pytest.raises(CannotOpen):
        decode(encode([value]), MOST)


@pytest.mark.parametrize("levels", [100, 511, 512, 1023, 1024, 1025, 10_000, 99_000])
def test_deep_nesting_is_refused_before_it_costs_anything(levels: int) -> None:
    with pytest.raises(CannotOpen):
        decode(b"\x91" * levels + b"\xc0", MOST)


def test_size() -> None:
    data = encode(b"12345678")
    assert decode(data, len(data)) == b"12345678"
    with pytest.raises(CannotOpen):
        decode(data, len(data) - 1)


def test_an_array_has_at_most_4096_items() -> None:
    assert len(decode(encode([None] * 4096), MOST)) == 4096
    with pytest.raises(CannotOpen):
        decode(encode([None] * 4097), MOST)


# --- shapes ------------------------------------------------------------------------------------------------------

TAKEN: list[tuple[codec.Shape, Any, Any]] = [
    (codec.uint(5), 0, 0),
    (codec.uint(5), 5, 5),
    (codec.uint(U64), U64, U64),
    (codec.exactly(1), 1, 1),
    (codec.binary(2), b"ab", b"ab"),
    (codec.binary_upto(2), b"", b""),
    (codec.binary_upto(2, least=1), b"a", b"a"),
    (codec.binary_upto(2), b"ab", b"ab"),
    (codec.text(3), "", ""),
    (codec.text(3), "€", "€"),
    (codec.boolean, True, True),
    (codec.maybe(codec.uint(5)), None, None),
    (codec.maybe(codec.uint(5)), 3, 3),
    (codec.listing(codec.uint(5), 2), [], ()),
    (codec.listing(codec.uint(5), 2), [1, 2], (1, 2)),
    (codec.array(codec.uint(5), codec.boolean), [1, False], (1, False)),
    (codec.array(codec.uint(5), open_end=True), [1, "more"], (1,)),
]
REFUSED: list[tuple[codec.Shape, Any]] = [
    (codec.uint(5), 6),
    (codec.uint(5), True),
    (codec.uint(5), None),
    (codec.uint(5), "1"),
    (codec.exactly(1), 2),
    (codec.exactly(1), True),
    (codec.binary(2), b"a"),
    (codec.binary(2), b"abc"),
    (codec.binary(2), "ab"),
    (codec.binary_upto(2), b"abc"),
    (codec.binary_upto(2, least=1), b""),
    (codec.text(3), "abcd"),
    (codec.text(3), "€a"),
    (codec.text(3), b"abc"),
    (codec.boolean, 1),
    (codec.boolean, None),
    (codec.maybe(codec.uint(5)), 6),
    (codec.maybe(codec.uint(5)), False),
    (codec.listing(codec.uint(5), 2), [1, 2, 3]),
    (codec.listing(codec.uint(5), 2), [1, 6]),
    (codec.listing(codec.uint(5), 2), b"\x01"),
    (codec.array(codec.uint(5)), []),
    (codec.array(codec.uint(5)), [1, 1]),
    (codec.array(codec.uint(5), open_end=True), []),
    (codec.array(codec.uint(5)), 1),
]


@pytest.mark.parametrize(("shape", "value", "seen"), TAKEN)
def test_shapes_take(shape: codec.Shape, value: Any, seen: Any) -> None:
    taken = shape(value)
    assert taken == seen
    assert type(taken) is type(seen)


@pytest.mark.parametrize(("shape", "value"), REFUSED)
def test_shapes_refuse(shape: codec.Shape, value: Any) -> None:
    with pytest.raises(CannotOpen):
        shape(value)
