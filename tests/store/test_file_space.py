"""Sealed files: what is written is read, damage costs one slot, and nothing is left over."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.errors import DiskFull, FileDamaged, ProfileError
from p2pchat.store.file_space import MAX_DATA_BYTES, SLOT_BYTES, FileSpace, OpenFile, SealedFile

WORDS = b"the words of a secret plan" * 100


@pytest.fixture
def space(tmp_path: Path) -> FileSpace:
    return FileSpace(tmp_path / "files")


def raw(space: FileSpace, sealed: SealedFile) -> bytearray:
    return bytearray((space.folder / sealed.name).read_bytes())


@pytest.mark.parametrize("size", [0, 1, MAX_DATA_BYTES - 1, MAX_DATA_BYTES])
def test_what_is_written_is_read_after_reopening(space: FileSpace, size: int) -> None:
    sealed = space.create()
    data = os.urandom(size)
    sealed.write(3, data)
    sealed.write(0, b"first")
    sealed.sync()
    sealed.close()
    again = space.open(sealed.name, sealed.key)
    assert (again.read(3), again.read(0)) == (data, b"first")


def test_nobody_else_can_read_it(space: FileSpace) -> None:
    sealed = space.create()
    sealed.write(0, WORDS)
    assert stat.S_IMODE(space.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((space.folder / sealed.name).stat().st_mode) == 0o600
    assert WORDS[:26] not in raw(space, sealed)
    assert sealed.key not in raw(space, sealed)
    with pytest.raises(FileDamaged):
        space.open(sealed.name, bytes(32)).read(0)


def test_the_same_words_are_never_sealed_alike(space: FileSpace) -> None:
    sealed = space.create()
    seen = []
    for slot in (0, 1, 0):
        sealed.write(slot, WORDS)
        seen.append(bytes(raw(space, sealed)[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]))
    assert len(set(seen)) == 3
    assert len({sealed_words[:12] for sealed_words in seen}) == 3


def test_what_was_not_written_is_missing_and_takes_no_room(space: FileSpace) -> None:
    sealed = space.create()
    sealed.write(10_000, WORDS)
    for slot in (0, 9_999, 10_001):
        with pytest.raises(FileDamaged):
            sealed.read(slot)
    assert sealed.sound(range(20_000)) == [10_000]
    sealed.sync()
    assert 512 * (space.folder / sealed.name).stat().st_blocks <= 3 * SLOT_BYTES


def flip(data: bytearray) -> None:
    data[SLOT_BYTES + 20] ^= 1


def flip_nonce(data: bytearray) -> None:
    data[SLOT_BYTES] ^= 1


def swap(data: bytearray) -> None:
    data[SLOT_BYTES : 2 * SLOT_BYTES] = data[:SLOT_BYTES]


def hole(data: bytearray) -> None:
    data[SLOT_BYTES : 2 * SLOT_BYTES] = bytes(SLOT_BYTES)


def torn(data: bytearray) -> None:
    data[SLOT_BYTES + 4096 : 2 * SLOT_BYTES] = bytes(SLOT_BYTES - 4096)


@pytest.mark.parametrize("damage", [flip, flip_nonce, swap, hole, torn])
def test_damage_costs_one_slot_which_can_be_written_again(
    space: FileSpace, damage: Callable[[bytearray], None]
) -> None:
    sealed = space.create()
    for slot in range(3):
        sealed.write(slot, WORDS + bytes([slot]))
    changed = raw(space, sealed)
    damage(changed)
    (space.folder / sealed.name).write_bytes(changed)
    with pytest.raises(FileDamaged):
        sealed.read(1)
    assert sealed.sound(range(3)) == [0, 2]
    sealed.write(1, WORDS)
    assert sealed.read(1) == WORDS


def test_a_file_that_was_cut_off_lost_its_end(space: FileSpace) -> None:
    sealed = space.create()
    for slot in range(3):
        sealed.write(slot, WORDS)
    os.truncate(space.folder / sealed.name, 2 * SLOT_BYTES + 100)
    assert sealed.sound(range(3)) == [0, 1]


def test_what_is_too_long_is_refused(space: FileSpace) -> None:
    sealed = space.create()
    with pytest.raises(ValueError, match="too long"):
        sealed.write(0, bytes(MAX_DATA_BYTES + 1))
    assert sealed.sound([0]) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_full_or_failing_disk_is_one_error(
    space: FileSpace, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    sealed = space.create()
    sealed.write(0, WORDS)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DiskFull):
            sealed.write(1, WORDS) if call == "pwrite" else sealed.sync()
    sealed.write(1, WORDS)
    sealed.sync()
    assert sealed.read(0) == sealed.read(1) == WORDS


def test_a_disk_that_fills_up_within_a_slot_leaves_the_others(
    space: FileSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel writes what there is room for, and fails with the rest."""
    sealed, real, room = space.create(), os.pwrite, [SLOT_BYTES + 10_000]

    def write(descriptor: int, data: bytes, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "")
        written = real(descriptor, data[: min(room[0], 5_000)], offset)
        room[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", write)
    sealed.write(0, WORDS)
    with pytest.raises(DiskFull):
        sealed.write(1, WORDS)
    assert sealed.sound([0, 1]) == [0]


def test_a_sector_that_cannot_be_read_costs_its_slot(space: FileSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = space.create()
    sealed.write(0, WORDS)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "pread", fail)
    assert sealed.sound([0]) == []
    with pytest.raises(FileDamaged):
        sealed.read(0)


# --- the folder ----------------------------------------------------------------------------------


def test_what_is_not_needed_is_swept(space: FileSpace) -> None:
    assert space.sweep(set()) == 0  # there is no folder yet
    kept, left = space.create(), space.create()
    (space.folder / "not ours").write_text("x")
    assert space.sweep({kept.name}) == 1
    assert {path.name for path in space.folder.iterdir()} == {kept.name, "not ours"}
    with pytest.raises(FileDamaged):
        space.open(left.name, left.key)


def test_files_are_deleted_by_name_and_twice_does_not_matter(space: FileSpace) -> None:
    first, second = space.create(), space.create()
    space.delete([first.name, first.name])
    assert [path.name for path in space.folder.iterdir()] == [second.name]


@pytest.mark.parametrize("name", ["", "..", "../profile.db", "/etc/passwd", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_no_name_leads_out_of_the_folder(space: FileSpace, name: str) -> None:
    with pytest.raises(ValueError, match="name of a sealed file"):
        space.delete([name])
    with pytest.raises(ValueError, match="name of a sealed file"):
        space.open(name, bytes(32))


def test_a_link_is_not_followed(space: FileSpace, tmp_path: Path) -> None:
    space.create()
    (tmp_path / "elsewhere").write_bytes(b"")
    (space.folder / ("0" * 32)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProfileError):
        space.open("0" * 32, bytes(32))


# --- threads -------------------------------------------------------------------------------------


def test_a_closed_file_is_not_used_any_more(space: FileSpace) -> None:
    sealed = space.create()
    sealed.write(0, WORDS)
    sealed.delete()
    sealed.close()
    for call in (lambda: sealed.read(0), lambda: sealed.write(0, WORDS), sealed.sync):
        with pytest.raises(FileDamaged):
            call()
    assert list(space.folder.iterdir()) == []


def test_closing_waits_for_the_last_use() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    file = OpenFile(reading)
    with file.in_use() as descriptor, file.in_use():
        file.close()
        os.fstat(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


def test_several_threads_write_and_read_at_once(space: FileSpace) -> None:
    sealed, wrong = space.create(), []

    def work(first: int) -> None:
        for slot in range(first, first + 20):
            sealed.write(slot, WORDS + bytes([slot]))
            if sealed.read(slot) != WORDS + bytes([slot]):
                wrong.append(slot)

    threads = [threading.Thread(target=work, args=(20 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sealed.sound(range(100)) == list(range(80))
