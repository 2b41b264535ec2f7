"""The lines of the API: strict, bounded, exact (attack 39)."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat import errors
from p2pchat.api import codec

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, JSON, max_size=4))
def test_what_is_encoded_decodes_to_the_same(value: dict[str, object]) -> None:
    line = codec.encode(value)
    assert line.count(b"\n") == 1
    assert codec.decode(line) == codec.decode_answer(line) == value


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b"1", "object"),
        (b'{"a":1} x', "JSON"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"b":2}}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "range"),
        (b'{"a":9223372036854775808}', "range"),
        (b'{"a":' + b"9" * 100_000 + b"}", "range"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'{"a":[[["\\ud800x"]]]}', "surrogate"),
        (b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", "deep"),
        (b'{"a":' * 200_000, "deep"),
        (b"[" * 500_000, "deep"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_bad_lines_are_one_kind_of_error(line: bytes, why: str) -> None:
    with pytest.raises(codec.BadLine, match=why):
        codec.decode(line)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_bad_line(data: bytes) -> None:
    with contextlib.suppress(codec.BadLine):
        assert isinstance(codec.decode(data), dict)
        assert isinstance(codec.decode_answer(data), dict)


def test_nesting_just_under_the_limit_is_taken() -> None:
    depth = codec.MAX_DEPTH - 1
    codec.decode(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    with pytest.raises(codec.BadLine):
        codec.decode(b'{"a":' + b"[" * (depth + 1) + b"]" * (depth + 1) + b"}")


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda b: b"\n" not in b and b.strip())), st.integers(1, 9))
def test_lines_are_cut_the_same_however_they_arrive(lines: list[bytes], step: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter = codec.Splitter(100)
    found = [line for i in range(0, len(data), step) for line in splitter.feed(data[i : i + step])]
    assert found == lines


@pytest.mark.parametrize("data", [b"x" * 101, b"x" * 101 + b"\n", b"ok\n" + b"x" * 101])
def test_a_line_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(codec.BadLine, match="100"):
        list(codec.Splitter(100).feed(data))


def test_the_longest_text_fits_into_a_request_however_it_is_escaped() -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "send", "params": {"text": "\x01" * 48_000}}).encode()
    assert len(line) < codec.MAX_REQUEST


@pytest.mark.parametrize(
    "error",
    [
        errors.NotReached(),
        errors.AmbiguousName("bob means more than one", candidates=["bob (12)", "bob (34)"]),
        errors.WrongPassphrase(),
        errors.InviteUsed("Used", hint=""),
        errors.P2PChatError("x", hint="y"),
        errors.NotReached(result={"id": "ab", "route": None}),
    ],
)
def test_errors_survive_the_wire(error: errors.P2PChatError) -> None:
    back = codec.error_from(json.loads(json.dumps(codec.error_object(error))))
    assert type(back) is type(error)
    assert (back.line(), back.exit_code, back.result) == (error.line(), error.exit_code, error.result)


@pytest.mark.parametrize(("code", "kind"), [(3, errors.NotReached), (5, errors.Refused), (1, errors.NodeError)])
def test_an_error_of_a_newer_node_keeps_its_exit_code(code: int, kind: type[errors.P2PChatError]) -> None:
    found = codec.error_from({"code": 1, "message": "new", "data": {"exit": code, "error": "Newer", "hint": "h"}})
    assert isinstance(found, kind)
    assert (found.exit_code, found.line()) == (code, "new. h")


@pytest.mark.parametrize("member", [None, 1, {}, {"data": 3}, {"message": 5, "data": {"exit": []}}])
def test_a_broken_error_is_still_an_error(member: object) -> None:
    assert codec.error_from(member).exit_code == 1
