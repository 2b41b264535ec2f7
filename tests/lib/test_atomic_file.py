"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat.lib import atomic_file


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_private(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    (tmp_path / "key.new").write_bytes(b"left over")
    atomic_file.replace(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no room")

    path = tmp_path / "key"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room"):
        atomic_file.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"theirs")
    (tmp_path / "key.new").symlink_to(tmp_path / "elsewhere")
    atomic_file.replace(tmp_path / "key", b"ours")
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"
    assert not (tmp_path / "key").is_symlink()


def test_a_new_file_is_private_and_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new"
    with atomic_file.create(path, "utf-8") as file:
        file.write("ours")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError), atomic_file.create(path):
        pass
    assert path.read_text() == "ours"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), atomic_file.create(path):
        pass
    path.unlink()
    with pytest.raises(TypeError), atomic_file.create(path) as file:
        file.writelines([b"half", "of it"])
    assert list(tmp_path.iterdir()) == []

    def full(descriptor: int) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room"), atomic_file.create(path, durable=True) as file:
        file.write(b"whole")
    assert list(tmp_path.iterdir()) == []
