"""Themes, and the small file that keeps how the screen looks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from p2pchat.tui import preferences, themes
from p2pchat.tui.preferences import Preferences


def test_looks_are_kept_for_the_owner_only(tmp_path: Path) -> None:
    looks = Preferences("light", "terminal", True)
    preferences.write(tmp_path, looks)
    assert preferences.read(tmp_path) == looks
    assert stat.S_IMODE((tmp_path / preferences.FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [preferences.FILE]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"theme": 7, "rtl": [], "folded": "yes"}', "[" * 100_000])
def test_what_cannot_be_read_counts_as_not_there(tmp_path: Path, content: str) -> None:
    (tmp_path / preferences.FILE).write_text(content)
    assert preferences.read(tmp_path) == Preferences()


def test_what_is_unknown_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / preferences.FILE).write_text('{"theme": "light", "rtl": "sideways", "later": 1}')
    assert preferences.read(tmp_path) == Preferences("light")


def test_a_folder_that_cannot_be_written_keeps_nobody_out(tmp_path: Path) -> None:
    preferences.write(tmp_path / "nowhere", Preferences("light"))
    assert preferences.read(tmp_path / "nowhere") == Preferences()


def test_no_colour_wins_then_what_was_kept() -> None:
    assert themes.chosen("light", {}) == themes.LIGHT
    assert themes.chosen("", {}) == themes.DARK
    assert themes.chosen("gone", {}) == themes.DARK
    assert themes.chosen("light", {"NO_COLOR": "1"}) == themes.MONO
    assert themes.chosen("light", {"NO_COLOR": ""}) == themes.LIGHT


def test_mono_names_no_colour() -> None:
    [mono] = [theme for theme in themes.THEMES if theme.name == themes.MONO]
    assert mono.ansi
    colours = [mono.primary, mono.accent, mono.error, mono.background, mono.foreground, mono.surface, mono.panel]
    assert set(colours) == {"ansi_default"}
