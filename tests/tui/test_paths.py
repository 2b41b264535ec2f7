"""Paths as people write and paste them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat.tui import paths


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file with a difficult name."""
    path = tmp_path / "it's my photo.jpg"
    path.write_bytes(b"x")
    return path


def test_a_path_is_known_in_each_way_in_which_terminals_paste_it(photo: Path) -> None:
    plain = str(photo)
    escaped = plain.replace(" ", "\\ ").replace("'", "\\'")
    quoted = "'" + plain.replace("'", "'\\''") + "'"
    for text in (plain, f" {plain} \n", escaped, quoted, f'"{plain}"', photo.as_uri()):
        assert paths.pasted(text) == photo, text
    assert paths.pasted(photo.as_uri().replace("file://", "file://localhost")) == photo


def test_nothing_else_is_a_path(photo: Path) -> None:
    for text in (
        "",
        "hello",
        f"look: {photo}",
        f"{photo}\n{photo}",
        f"{photo} {photo}",
        str(photo.parent),
        f"{photo}x",
        photo.as_uri().replace("file://", "file://example.org"),
        photo.name,
        "/" + "x" * 5_000,
        f"{photo}\0",
        "'",
        "file:",
        "file://[",
        "~nobody-of-that-name/x",
    ):
        assert paths.pasted(text) is None, text


def test_a_written_path_may_be_relative(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    monkeypatch.setenv("HOME", str(photo.parent))
    assert paths.written(photo.name) == photo
    assert paths.written(f"~/{photo.name}") == photo
    assert paths.written("nothing") is None
    assert paths.shown(photo) == f"~/{photo.name}"
    assert paths.shown(Path("/usr")) == "/usr"


def test_completion_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for name in ("lamp.txt", "other", ".lock", "bad\x1b[2J"):
        (tmp_path / name).touch()
    assert paths.completions(f"{tmp_path}/l") == [f"{tmp_path}/letters/", f"{tmp_path}/lamp.txt"]
    assert paths.completions(f"{tmp_path}/l", only_folders=True) == [f"{tmp_path}/letters/"]
    assert paths.completions(f"{tmp_path}/.") == [f"{tmp_path}/.lock"]
    assert paths.completions(f"{tmp_path}/b") == [], "what cannot be shown is not offered"
    assert paths.completions(f"{tmp_path}/nowhere/x") == []
    assert paths.completions("\0/") == []


def test_a_folder_lists_files_and_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(bytes(5))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert paths.entries(tmp_path) == [("b", True, 0), ("a", False, 5)]
