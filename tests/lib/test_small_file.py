"""Files that people write by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat import config
from p2pchat.lib.small_file import read_beginning
from p2pchat.relay.config import BadSetting
from p2pchat.relay.config import load as load_relay
from p2pchat.tui import preferences


def test_a_pipe_is_not_waited_for_and_a_device_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_beginning(tmp_path / "pipe", 10) == b""
    silent = os.open(tmp_path / "pipe", os.O_RDWR)
    assert read_beginning(tmp_path / "pipe", 10) == b"", "somebody has it open, and writes nothing"
    os.close(silent)
    assert read_beginning(Path("/dev/zero"), 10) == bytes(10)


@pytest.mark.parametrize("what", ["pipe", "device", "nested"])
def test_whatever_stands_in_place_of_a_file_of_settings_is_read_or_named(tmp_path: Path, what: str) -> None:
    for name in (config.FILE, preferences.FILE, preferences.OLD_FILE):
        path = tmp_path / name
        if what == "pipe":
            os.mkfifo(path)
        elif what == "device":
            path.symlink_to("/dev/zero")
        else:
            path.write_text("a = " + "[" * 20_000)
    assert len(preferences.text_of(tmp_path)) <= preferences.MAX_BYTES
    loaded = preferences.read(tmp_path)
    assert loaded.preferences == preferences.Preferences()
    assert bool(loaded.problems) == (what != "pipe")
    if what == "pipe":
        assert config.settings(tmp_path) == config.Settings()
        return
    with pytest.raises(config.BadConfig):
        config.settings(tmp_path)
    with pytest.raises(preferences.NotWritten):
        preferences.keep(tmp_path, preferences.Preferences(), "theme")
    with pytest.raises(BadSetting):
        load_relay({}, {}, str(tmp_path / config.FILE))
