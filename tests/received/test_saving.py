"""A file is written whole or not at all, into the folder that was named and nowhere else (attack 34)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat import errors
from p2pchat.received.saving import CannotSave, NewFile
from tests.received.hostile_names import NAMES


@pytest.fixture(params=["without a name", "under a hidden name"], autouse=True)
def draft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system have files without a name, if it has, or none."""
    if request.param == "under a hidden name":
        monkeypatch.setattr(NewFile, "_unnamed", lambda _self: -1)


def save(folder: Path, name: str, *parts: bytes) -> Path:
    with NewFile(str(folder), name) as new:
        for part in parts:
            new.write(part)
    return Path(new.path)


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def failing(code: int) -> Callable[..., int]:
    def fail(*_args: object, **_settings: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_every_hostile_name_ends_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    before = os.umask(0)
    try:
        paths = [save(folder, name, b"#!/bin/sh\n") for name in NAMES]
    finally:
        os.umask(before)
    assert len(set(paths)) == len(NAMES)
    assert listing(folder) == sorted(path.name for path in paths)
    assert [entry.name for entry in tmp_path.rglob("*") if folder not in entry.parents] == ["a", "b", "c"]
    for path in paths:
        found = path.lstat()
        assert path.parent == folder
        assert stat.S_ISREG(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600


def test_it_is_hidden_until_it_is_whole(tmp_path: Path) -> None:
    with NewFile(str(tmp_path), "a.txt") as new:
        new.write(b"ab")
        assert [name[0] for name in listing(tmp_path)] == (["."] if new._draft else [])
        assert new.path == ""
        new.write(b"c")
    assert listing(tmp_path) == ["a.txt"]
    assert Path(new.path).read_bytes() == b"abc"


def test_nothing_is_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("mine")
    (folder / "a (1).txt").symlink_to(elsewhere)
    (folder / "a (2).txt").mkdir()
    os.mkfifo(folder / "a (3).txt")
    assert save(folder, "a.txt", b"theirs").name == "a (4).txt"
    assert (folder / "a.txt").read_text() == "mine"
    assert not elsewhere.exists()


def test_a_folder_that_is_swapped_for_a_symlink_leads_nowhere_else(tmp_path: Path) -> None:
    folder, moved, trap = tmp_path / "folder", tmp_path / "moved", tmp_path / "trap"
    folder.mkdir()
    trap.mkdir()
    with NewFile(str(folder), "a.txt") as new:
        new.write(b"ab")
        folder.rename(moved)
        folder.symlink_to(trap)
        new.write(b"c")
    assert listing(trap) == []
    assert (moved / "a.txt").read_bytes() == b"abc"


def test_nothing_is_left_if_it_is_not_finished(tmp_path: Path) -> None:
    def interrupted() -> None:
        with NewFile(str(tmp_path), "a.txt") as new:
            new.write(b"ab")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def full() -> None:
        with NewFile(str(tmp_path), "a.txt") as new:
            new.write(b"a")
            monkeypatch.setattr(os, call, failing(code))
            new.write(b"b")

    with pytest.raises(CannotSave, match=r"a\.txt cannot be saved in") as caught:
        full()
    monkeypatch.undo()
    assert os.strerror(code) in caught.value.line()
    assert (caught.value.advice.startswith("Free some space")) == (code in (errno.ENOSPC, errno.EDQUOT))
    assert listing(tmp_path) == []


def test_without_links_it_gets_its_name_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NewFile, "_unnamed", lambda _self: -1)
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a (1).txt").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    assert save(tmp_path, "a.txt", b"ab").name == "a (2).txt"
    assert listing(tmp_path) == ["a (1).txt", "a (2).txt", "a.txt"]
    assert (tmp_path / "a (2).txt").read_bytes() == b"ab"
    assert (tmp_path / "a.txt").read_text() == "mine"
    monkeypatch.setattr(os, "rename", failing(errno.EIO))
    with pytest.raises(CannotSave):
        save(tmp_path, "b.txt", b"ab")
    assert listing(tmp_path) == ["a (1).txt", "a (2).txt", "a.txt"]


def test_a_file_system_with_shorter_names_gets_a_shorter_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def link(source: str, name: str, **settings: Any) -> None:
        if len(name.encode()) > 143:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        real(source, name, **settings)

    monkeypatch.setattr(os, "link", link)
    assert save(tmp_path, "é" * 200 + ".jpeg", b"a").name == "é" * 67 + ".jpeg"


@pytest.mark.parametrize("folder", ["", ".", "downloads", "~/downloads", "/tmp\0/x"])
def test_the_folder_is_an_absolute_path(folder: str) -> None:
    with pytest.raises(errors.UsageError), NewFile(folder, "a.txt"):
        pass


def test_what_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, hint in (("file", "not a file"), ("nothing", "that exists")):
        with pytest.raises(CannotSave) as caught, NewFile(str(tmp_path / name), "a.txt"):
            pass
        assert hint in caught.value.line()


def test_a_thousand_of_one_name_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EEXIST))
    with pytest.raises(CannotSave, match="too many files"):
        save(tmp_path, "a.txt", b"a")
    assert listing(tmp_path) == []


def test_what_it_is_is_known_when_it_is_there(tmp_path: Path) -> None:
    with NewFile(str(tmp_path), "photo.jpg") as new:
        new.write(b"\x7f")
        new.write(b"ELF" + bytes(100_000))
    assert new.warning.startswith("This is a program (ELF), although it is called photo.jpg.")
    with NewFile(str(tmp_path), "photo.jpg") as new:
        new.write(b"\xff\xd8\xff\xe0")
    assert new.warning == ""
