"""Cutting, sealing and naming of files."""

from __future__ import annotations

import pytest

from p2pchat.core.files import (
    BLOB_BYTES,
    CHUNK_BYTES,
    MAX_FILE_BYTES,
    NAMES_IN_LIST,
    BlobCipher,
    BlobPlace,
    Layout,
    blob_name,
    list_data,
    names_in,
)
from p2pchat.core.ids import BlobName
from p2pchat.errors import CannotOpen

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (0, (1,)),
        (CHUNK_BYTES, (1,)),
        (CHUNK_BYTES + 1, (2, 1)),
        (CHUNK_BYTES * NAMES_IN_LIST, (NAMES_IN_LIST, 1)),
        (CHUNK_BYTES * NAMES_IN_LIST + 1, (NAMES_IN_LIST + 1, 2, 1)),
        (MAX_FILE_BYTES, (1_048_849, 513, 1)),
    ],
)
def test_a_layout_follows_from_the_size(size: int, counts: tuple[int, ...]) -> None:
    assert Layout.of(size).counts == counts


@pytest.mark.parametrize("size", [-1, MAX_FILE_BYTES + 1])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        Layout.of(size)


def test_lists_come_before_what_they_name() -> None:
    layout = Layout.of(CHUNK_BYTES * NAMES_IN_LIST + 1)
    assert list(layout.lists()) == [BlobPlace(2, 0), BlobPlace(1, 0), BlobPlace(1, 1)]
    assert layout.named_by(BlobPlace(0, NAMES_IN_LIST)) == (BlobPlace(1, 1), 0)
    assert layout.data_bytes(BlobPlace(1, 1)) == 32
    assert layout.data_bytes(BlobPlace(0, NAMES_IN_LIST)) == 1


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES])
def test_a_blob_opens_to_its_data(size: int) -> None:
    cipher = BlobCipher(KEY, size)
    data = bytes(size)
    blob = cipher.seal(BlobPlace(0, 0), data)
    assert len(blob) == BLOB_BYTES
    assert cipher.open(BlobPlace(0, 0), blob_name(blob), blob) == data


@pytest.mark.parametrize("what", ["place", "name", "bytes", "size", "key", "length"])
def test_nothing_but_the_right_blob_opens(what: str) -> None:
    size = 3 * CHUNK_BYTES
    place = BlobPlace(0, 1)
    blob = BlobCipher(KEY, size).seal(place, b"x" * CHUNK_BYTES)
    cipher = BlobCipher(KEY, size)
    name = blob_name(blob)
    if what == "place":
        place = BlobPlace(0, 0)
    elif what == "name":
        name = BlobName(bytes(32))
    elif what == "bytes":
        blob = blob[:-1] + bytes([blob[-1] ^ 1])
        name = blob_name(blob)
    elif what == "size":
        cipher = BlobCipher(KEY, size + 1)
    elif what == "key":
        cipher = BlobCipher(bytes(32), size)
    else:
        blob = blob[:-1]
        name = blob_name(blob)
    with pytest.raises(CannotOpen):
        cipher.open(place, name, blob)


def test_data_of_another_length_than_the_places_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="belongs"):
        BlobCipher(KEY, 2 * CHUNK_BYTES).seal(BlobPlace(0, 0), b"short")


def test_data_that_is_shorter_than_its_place_does_not_open() -> None:
    """A sender lies about the size: the last chunk of a shorter file stands where a whole one has to be."""
    short = BlobCipher(KEY, 2 * CHUNK_BYTES)
    blob = short._aead.encrypt(bytes(12), b"x\x80" + bytes(CHUNK_BYTES - 1), short._ad)
    with pytest.raises(CannotOpen):
        short.open(BlobPlace(0, 0), blob_name(blob), blob)


def test_names_go_into_lists_and_come_back() -> None:
    names = [BlobName(number.to_bytes(32, "big")) for number in range(NAMES_IN_LIST + 2)]
    lists = list_data(names)
    assert [len(data) // 32 for data in lists] == [NAMES_IN_LIST, 2]
    assert [name for data in lists for name in names_in(data)] == names
