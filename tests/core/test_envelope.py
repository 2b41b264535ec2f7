"""Envelopes come in three sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.envelope import (
    BUCKETS,
    HEADER_BYTES,
    MAX_CONTENT,
    OVERHEAD,
    envelope_id,
    open_blob,
    padded,
    seal_blob,
)
from p2pchat.errors import CannotOpen
from tests.core.people import Chance, flipped, meet

BLOB = prim.NONCE_BYTES + prim.TAG_BYTES
KEY = bytes(range(32))


def edges(overhead: int) -> list[tuple[int, int]]:
    """(length of content, size of its envelope) on both sides of each boundary; padding takes at least a byte."""
    small, middle, large = (bucket - overhead - 1 for bucket in BUCKETS)
    return [
        *((0, 4096), (1, 4096), (small - 1, 4096), (small, 4096), (small + 1, 16384)),
        *((middle, 16384), (middle + 1, 65536), (large - 1, 65536), (large, 65536)),
    ]


@pytest.mark.parametrize(("length", "size"), edges(OVERHEAD))
def test_an_envelope_fills_its_bucket(length: int, size: int) -> None:
    both = meet("envelope")
    content = (b"\x80\0" * length)[:length]
    envelope = both.alice.seal(content)
    assert len(envelope) == size
    assert both.bob.open(envelope) == content


@pytest.mark.parametrize(("length", "size"), edges(BLOB))
def test_a_blob_fills_its_bucket(length: int, size: int) -> None:
    content = (b"\x80\0" * length)[:length]
    blob = seal_blob(KEY, content, Chance("blob").random)
    assert len(blob) == size
    assert open_blob(KEY, blob) == content


def test_what_is_larger_is_not_written() -> None:
    assert edges(OVERHEAD)[-1][0] == MAX_CONTENT
    with pytest.raises(ValueError, match="larger"):
        padded(bytes(MAX_CONTENT + 1))
    with pytest.raises(ValueError, match="larger"):
        seal_blob(KEY, bytes(BUCKETS[-1] - BLOB), Chance("blob").random)


@given(st.integers(0), st.integers(0))
def test_a_changed_blob_is_refused(bit: int, key_bit: int) -> None:
    blob = seal_blob(KEY, b"content", Chance("blob").random)
    with pytest.raises(CannotOpen):
        open_blob(KEY, flipped(blob, bit))
    with pytest.raises(CannotOpen):
        open_blob(flipped(KEY, key_bit), blob)


@pytest.mark.parametrize("size", [0, 1, BLOB, 4095, 4097, 65535, 65537])
def test_a_blob_of_another_size_is_refused_though_it_would_open(size: int) -> None:
    blob = prim.seal(KEY, prim.pad(b"", max(size - BLOB, 1)), b"", bytes(24))
    with pytest.raises(CannotOpen):
        open_blob(KEY, blob[:size])


def test_a_blob_must_be_padded() -> None:
    with pytest.raises(CannotOpen):
        open_blob(KEY, prim.seal(KEY, bytes(4096 - BLOB), b"", bytes(24)))


def test_an_id_names_one_envelope() -> None:
    one = bytes(4096)
    assert len(envelope_id(one)) == 16
    assert envelope_id(one) != envelope_id(flipped(one, 9))
    assert HEADER_BYTES == 2390
