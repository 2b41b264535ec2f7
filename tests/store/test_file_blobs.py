"""Cutting our files, and making their blobs again."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pchat.core.files import CHUNK_BYTES, MAX_FILE_BYTES, BlobCipher, BlobPlace, Layout, blob_name, names_in
from p2pchat.errors import DiskFull, FileDamaged, SourceChanged, SourceUnreadable
from p2pchat.store import file_blobs
from p2pchat.store.file_blobs import STEP_CHUNKS, BlobMaker, BytesSource, PathSource, SealedSource, Source, cut
from p2pchat.store.file_space import FileSpace
from tests.support.examples import examples

KEY = bytes(range(32))


@pytest.fixture
def space(tmp_path: Path) -> FileSpace:
    return FileSpace(tmp_path / "files")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a file"


def fetched(maker: BlobMaker, size: int, root: bytes, ahead: int = 16) -> bytes:
    """The bytes of a file, from its blobs and the message alone, as its recipient gets them."""
    cipher, layout = BlobCipher(KEY, size), Layout.of(size)
    names = {layout.root: root}
    for place in layout.lists():
        data = cipher.open(place, names[place], maker.blobs(place, 1)[0])
        below = [BlobPlace(place.level - 1, number) for number in range(layout.counts[place.level - 1])]
        mine = [there for there in below if layout.named_by(there)[0] == place]
        names.update(zip(mine, names_in(data), strict=True))
    opened = []
    for first in range(0, layout.chunks, ahead):
        for offset, blob in enumerate(maker.blobs(BlobPlace(0, first), ahead)):
            place = BlobPlace(0, first + offset)
            opened.append(cipher.open(place, names[place], blob))
    return b"".join(opened)


def maker_of(space: FileSpace, source: Source, *, keep: bool = False) -> tuple[BlobMaker, bytes]:
    made = cut(space, source, KEY, keep=keep)
    return BlobMaker(source, made.sealed, KEY, made.root), made.root


SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 17 * CHUNK_BYTES + 5]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_is_cut_opens_to_what_it_was(space: FileSpace, path: Path, size: int, keep: bool) -> None:
    data = os.urandom(size)
    path.write_bytes(data)
    maker, root = maker_of(space, PathSource(path), keep=keep)
    assert fetched(maker, size, root) == data
    maker.close()


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 100 bytes and lists of three names, so that a few kilobytes have several levels of lists."""
    for name, value in (("CHUNK_BYTES", 100), ("NAMES_IN_LIST", 3)):
        monkeypatch.setattr(f"p2pchat.core.files.{name}", value)
        monkeypatch.setattr(file_blobs, name, value)
    monkeypatch.setattr("p2pchat.core.files.BLOB_BYTES", 117)


@pytest.mark.usefixtures("small_lists")
def test_any_size_has_any_number_of_levels(space: FileSpace) -> None:
    @settings(max_examples=examples(30))
    @given(st.integers(0, 6_000), st.booleans())
    @example(size=5_999, keep=False)
    @example(size=5_999, keep=True)
    def check(size: int, keep: bool) -> None:
        data = Random(size).randbytes(size)
        source = BytesSource(data)
        maker, root = maker_of(space, source, keep=keep)
        assert fetched(maker, len(data), root, 5) == data

    check()
    layout = Layout.of(5_999)
    assert layout.counts == (60, 20, 7, 3, 1)
    assert [layout.slot(layout.place(slot)) for slot in range(layout.blobs)] == list(range(layout.blobs))


def test_names_are_told_without_reading_the_file(space: FileSpace, path: Path) -> None:
    path.write_bytes(os.urandom(5 * CHUNK_BYTES))
    maker, root = maker_of(space, PathSource(path))
    blobs = maker.blobs(BlobPlace(0, 0), 5)
    os.truncate(path, 0)
    assert maker.names(BlobPlace(0, 0), 99) == [blob_name(blob) for blob in blobs]
    assert maker.names(BlobPlace(1, 0), 1) == [root]


@pytest.mark.parametrize(
    ("level", "number", "count"), [(0, 3, 16), (0, 1 << 60, 16), (2, 0, 1), (255, 0, 16), (0, -1, 1)]
)
def test_blobs_that_the_file_has_not_are_left_out(space: FileSpace, level: int, number: int, count: int) -> None:
    maker, _ = maker_of(space, BytesSource(bytes(3 * CHUNK_BYTES)))
    assert maker.blobs(BlobPlace(level, number), count) == []
    assert len(maker.blobs(BlobPlace(0, 2), 16)) == 1


def test_what_is_kept_needs_no_source(space: FileSpace) -> None:
    data = os.urandom(3 * CHUNK_BYTES + 1)
    made = cut(space, BytesSource(data), KEY, keep=True)
    assert made.sealed is not None
    kept = space.open(made.sealed.name, made.sealed.key)
    maker = BlobMaker(SealedSource(kept, len(data)), kept, KEY, made.root)
    assert fetched(maker, len(data), made.root) == data
    again = cut(space, SealedSource(kept, len(data)), bytes(32), keep=False)
    assert again.root != made.root


def test_a_file_of_one_chunk_keeps_nothing(space: FileSpace, path: Path) -> None:
    path.write_bytes(b"short")
    assert cut(space, PathSource(path), KEY, keep=False).sealed is None
    assert not space.folder.exists()


# --- sources that change -------------------------------------------------------------------------


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * CHUNK_BYTES)
        file.write(b"!")


def shorten(path: Path) -> None:
    os.truncate(path, 2 * CHUNK_BYTES + 5)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("change", [edit, shorten])
def test_a_blob_that_would_be_another_one_is_not_given_out(
    space: FileSpace, path: Path, change: Callable[[Path], None], older: bool
) -> None:
    path.write_bytes(bytes(4 * CHUNK_BYTES))
    maker, _ = maker_of(space, PathSource(path))
    if older:  # without tags
        assert maker._sealed is not None
        maker._sealed.write(Layout.of(4 * CHUNK_BYTES).slot_of_first_chunk, b"")
    change(path)
    assert len(maker.blobs(BlobPlace(0, 0), 2)) == 2
    with pytest.raises(SourceChanged):
        maker.blobs(BlobPlace(0, 0), 3)


def test_a_chunk_is_known_again_by_its_tag(
    space: FileSpace, path: Path, small_lists: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a list of names there is no tag, and of a file that was cut before tags were kept, of nothing."""
    data = os.urandom(1_950)
    path.write_bytes(data)
    maker, root = maker_of(space, PathSource(path))
    named: list[bytes] = []

    def name(blob: bytes) -> bytes:
        named.append(blob)
        return blob_name(blob)

    monkeypatch.setattr(file_blobs, "blob_name", name)
    chunks = maker.blobs(BlobPlace(0, 0), 20)
    assert not named
    assert maker.blobs(BlobPlace(1, 0), 7) == named
    assert [blob_name(chunk) for chunk in chunks] == maker.names(BlobPlace(0, 0), 20)

    assert maker._sealed is not None
    for slot in range(4):
        maker._sealed.write(Layout.of(len(data)).slot_of_first_chunk + slot, b"")
    older = BlobMaker(PathSource(path), maker._sealed, KEY, root)
    named.clear()
    assert older.blobs(BlobPlace(0, 0), 20) == chunks
    assert named == chunks


def test_a_root_that_would_be_another_one_is_not_given_out(space: FileSpace, path: Path) -> None:
    path.write_bytes(b"one")
    maker, _ = maker_of(space, PathSource(path))
    path.write_bytes(b"two")
    with pytest.raises(SourceChanged):
        maker.blobs(BlobPlace(0, 0), 1)


def test_a_file_that_grows_is_still_what_it_was(space: FileSpace, path: Path) -> None:
    data = bytes(2 * CHUNK_BYTES)
    path.write_bytes(data)
    made = cut(space, PathSource(path), KEY, keep=False)
    with path.open("ab") as file:
        file.write(b"and more")
    assert PathSource(path).size == len(data) + 8
    maker = BlobMaker(PathSource(path, len(data)), made.sealed, KEY, made.root)
    assert fetched(maker, len(data), made.root) == data


def test_a_file_that_changes_while_it_is_cut_is_not_sent(space: FileSpace, path: Path) -> None:
    path.write_bytes(bytes((STEP_CHUNKS + 1) * CHUNK_BYTES))
    source = PathSource(path)

    def write(chunks: int) -> None:
        with path.open("r+b") as file:
            file.write(b"!")
        os.utime(path, ns=(1, 1))

    with pytest.raises(SourceChanged):
        cut(space, source, KEY, keep=False, step=write)
    assert list(space.folder.iterdir()) == []


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_given_up_leaves_nothing(space: FileSpace, keep: bool) -> None:
    told = []

    def stop(chunks: int) -> None:
        told.append(chunks)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut(space, BytesSource(bytes((STEP_CHUNKS + 1) * CHUNK_BYTES)), KEY, keep=keep, step=stop)
    assert told == [STEP_CHUNKS]
    assert list(space.folder.iterdir()) == []


def test_a_full_disk_leaves_nothing(space: FileSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFull):
        cut(space, BytesSource(b"some words"), KEY, keep=True)
    assert list(space.folder.iterdir()) == []


# --- sources that cannot be read -----------------------------------------------------------------


def missing(path: Path) -> Path:
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def device(path: Path) -> Path:
    return Path("/dev/zero")


def too_large(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    return path


def below_a_file(path: Path) -> Path:
    path.write_bytes(b"")
    return path / "x"


@pytest.mark.parametrize("make", [missing, folder, pipe, device, too_large, below_a_file])
def test_what_is_no_file_cannot_be_sent(path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(SourceUnreadable) as raised:
        PathSource(make(path))
    assert str(path) not in raised.value.line()


def test_a_name_that_the_system_cannot_have_is_refused() -> None:
    with pytest.raises(SourceUnreadable):
        PathSource("a\0b")


def test_a_failing_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"words")
    source = PathSource(path)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(SourceUnreadable, match="disk is failing"):
        source.chunk(0)


def test_lists_that_were_lost_are_told(space: FileSpace) -> None:
    source = BytesSource(bytes(3 * CHUNK_BYTES))
    made = cut(space, source, KEY, keep=False)
    assert made.sealed is not None
    made.sealed.write(0, b"not a list")
    with pytest.raises(FileDamaged):
        BlobMaker(source, made.sealed, KEY, made.root).blobs(BlobPlace(1, 0), 1)
    with pytest.raises(FileDamaged):
        BlobMaker(source, None, KEY, made.root).blobs(BlobPlace(0, 0), 1)


def test_cutting_needs_no_more_memory_for_more(space: FileSpace, path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(300 * CHUNK_BYTES)
    source = PathSource(path)
    tracemalloc.start()
    try:
        cut(space, source, KEY, keep=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * CHUNK_BYTES
