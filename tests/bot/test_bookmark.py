"""The file that says how far a bot has read, and who runs by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.bot import bookmark
from p2pchat.bot.bookmark import Bookmark, runner


def test_it_keeps_the_place(tmp_path: Path) -> None:
    path = tmp_path / "x.bot"
    assert runner(path) is None
    with Bookmark(path) as made:
        assert made.position is None
        assert runner(path) == os.getpid()
    with Bookmark(path) as made:
        assert made.position is None
        made.move(7)
        made.move(123456789)
    assert runner(path) is None
    with Bookmark(path) as made:
        assert made.position == 123456789
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.bot"
    path.write_bytes(b"x" * 300)
    with Bookmark(path) as made:
        assert made.position is None
        made.move(3)
        assert runner(path) == os.getpid()


def test_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookmark, "_LOOKED_AT", 0.0)
    with Bookmark(tmp_path / "x.bot"), pytest.raises(errors.ProfileInUse):
        Bookmark(tmp_path / "x.bot")


def test_it_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "x.bot").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.ProfileError):
        Bookmark(tmp_path / "x.bot")
    assert not (tmp_path / "elsewhere").exists()
