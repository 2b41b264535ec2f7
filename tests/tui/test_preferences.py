"""Themes, and the person's file that says how the screen looks and behaves."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from p2pchat.tui import preferences, themes
from p2pchat.tui.keys import KEYS
from p2pchat.tui.preferences import BY_NAME, FILE, SETTINGS, NotWritten, Preferences, hours, keep, read

LIGHT = Preferences("light")


def kept(folder: Path, text: str) -> Path:
    (folder / FILE).write_text(text)
    return folder


def test_a_new_file_is_for_its_owner_only_and_says_what_was_set(tmp_path: Path) -> None:
    keep(tmp_path, LIGHT, "theme")
    assert read(tmp_path) == (LIGHT, ())
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert tomllib.loads((tmp_path / FILE).read_text()) == {"theme": "light"}


BY_HAND = """\
# mine
theme = "nord"   # the colour of snow
later = { a = 1 }  # of a newer version
bell = true


# my keys
[keys]
theme = "ctrl+t"
"""


@pytest.mark.parametrize(
    ("name", "value", "was", "becomes"),
    [
        ("theme", "dark", 'theme = "nord"   # the colour', 'theme = "dark"   # the colour'),
        ("bell", False, "bell = true\n", "bell = false\n"),
        ("clock", "12h", "\n\n\n# my keys", '\n\n\nclock = "12h"\n\n# my keys'),
    ],
)
def test_one_line_is_changed_and_all_else_stays(tmp_path: Path, name: str, value: Any, was: str, becomes: str) -> None:
    keep(kept(tmp_path, BY_HAND), preferences.changed(Preferences("nord"), name, value), name)
    assert (tmp_path / FILE).read_text() == BY_HAND.replace(was, becomes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('theme = """\nnord"""\n', "too complex"),
        ('a = """\ntheme = "nord"\n"""\n', "too complex"),
        ("theme = [\n", "not TOML"),
        ("\N{SNOWMAN}" * 50_000, "not TOML"),
    ],
)
def test_what_is_not_understood_is_not_rewritten(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(NotWritten, match=why):
        keep(kept(tmp_path, text), LIGHT, "theme")
    assert (tmp_path / FILE).read_text() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('theme = "pink"\n', "line 1: theme must be "),
        ("# a\n\nbell = 1\n", "line 3: bell must be false or true"),
        ('quiet_hours = "24:00-7"\n', 'line 1: quiet_hours must be "22:00-07:00"'),
        ("bells = true\n", "line 1: there is no setting 'bells'"),
        ("[keyz]\na = 1\n", "line 1: there is no setting 'keyz'"),
        ('bell = false\ntheme = "light\n', "is not TOML: .*line 2"),
        ("a = " + "[" * 10_000, "is not TOML"),
        ("#" * 200_000, "is longer than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_changes_nothing(tmp_path: Path, text: str, problem: str) -> None:
    before = Preferences("light", bell=True, quiet_hours="1:00-2:00")
    loaded = read(kept(tmp_path, text), before)
    assert [re.search(problem, said) is not None for said in loaded.problems] == [True]
    for name in ("theme", "bell", "quiet_hours"):
        assert getattr(loaded.preferences, name) in (getattr(before, name), BY_NAME[name].usual)


def test_a_bad_value_keeps_the_one_before_beside_good_ones(tmp_path: Path) -> None:
    loaded = read(kept(tmp_path, 'theme = 7\nclock = "12h"\n'), LIGHT)
    assert loaded.preferences == Preferences("light", clock="12h")


def test_what_an_earlier_version_kept_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / preferences.OLD_FILE).write_text(json.dumps({"theme": "light", "rtl": "sideways", "folded": True}))
    assert read(tmp_path).preferences == Preferences("light", folded=True)
    keep(tmp_path, preferences.changed(Preferences("light", folded=True), "bell", False), "bell")
    assert read(tmp_path).preferences == Preferences("light", folded=True, bell=False)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"theme": 7, "rtl": []}', "[" * 100_000])
def test_what_an_earlier_version_left_broken_counts_as_not_there(tmp_path: Path, content: str) -> None:
    (tmp_path / preferences.OLD_FILE).write_text(content)
    assert read(tmp_path) == (Preferences(), ())


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="cannot be written"):
        keep(tmp_path / "nowhere", LIGHT, "theme")


def test_every_setting_has_a_usual_value_that_it_may_have() -> None:
    assert {setting.name for setting in SETTINGS} | {"keys"} == set(Preferences.__dataclass_fields__)
    assert [s.name for s in SETTINGS if not s.holds(s.usual) and s.name != "theme"] == []


def test_hours_may_go_over_midnight_or_be_none() -> None:
    assert hours("22:00-07:30") == (time(22), time(7, 30))
    assert hours("") is None


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


def test_the_guide_names_every_setting_and_key_with_its_usual_value() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "settings.md").read_text()
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    assert set(rows) == {*BY_NAME, *(key.name for key in KEYS)}
    for key in KEYS:
        assert f"| {key.shown} |" in rows[key.name]
    for setting in SETTINGS:
        assert json.dumps(setting.usual) in rows[setting.name].split("|")[-2]
