"""A relay's folder: its key is made once, whole, and never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.errors import ProfileError, ProfileInUse
from p2pchat.relay.folder import Folder, NoRelay


def test_a_key_is_made_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "relay")
    with folder.locked():
        assert folder.seed(b"a" * 32) == b"a" * 32
        assert folder.seed(b"b" * 32) == b"a" * 32
    assert (folder.path / "key").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_key_that_was_half_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_bytes(b"half")
    assert Folder(tmp_path).seed(b"a" * 32) == b"a" * 32


def test_a_key_of_another_size_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ProfileError, match="is not a key"):
        Folder(tmp_path).seed(b"a" * 32)
    assert (tmp_path / "key").read_bytes() == b"short"


def test_one_relay_a_folder(tmp_path: Path) -> None:
    with Folder(tmp_path).locked(), pytest.raises(ProfileInUse, match="Another relay"), Folder(tmp_path).locked():
        pass


def test_a_socket_that_nobody_serves_is_no_relay(tmp_path: Path) -> None:
    with pytest.raises(NoRelay):
        Folder(tmp_path).ask()
    Folder(tmp_path).listen().close()
    with pytest.raises(NoRelay):
        Folder(tmp_path).ask()
    again = Folder(tmp_path).listen()
    assert (tmp_path / "status.sock").stat().st_mode & 0o777 == 0o600
    again.close()
