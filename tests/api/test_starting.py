"""Profiles that a face has made: by a real process, without a secret where others could see it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.api import starting
from p2pchat.locations import Profile
from p2pchat.store import keys


@pytest.fixture
def profile(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    return Profile(tmp_path / "profile")


def test_a_profile_with_a_passphrase(profile: Profile) -> None:
    made = starting.create(profile, "-alice", "  pass word  ")
    assert made == {"name": "-alice", "profile": str(profile.folder), "passphrase": True}
    assert keys.open_keys(profile.folder, b"  pass word  ")
    with pytest.raises(errors.ProfileExists):
        starting.create(profile, "bob", None)


def test_a_profile_without_one(profile: Profile) -> None:
    assert starting.create(profile, "alice", None)["passphrase"] is False
    assert keys.open_keys(profile.folder, None)


@pytest.mark.parametrize("name", ["", "\x1b", "me", "a\0b", "\ud800"])
def test_a_name_that_cannot_be_one(profile: Profile, name: str) -> None:
    with pytest.raises(errors.BadName):
        starting.create(profile, name, None)
    assert not profile.exists()


@pytest.mark.parametrize("passphrase", ["", "a\n", "a\r", "\ud800", "x" * 2000])
def test_a_passphrase_that_cannot_be_one(profile: Profile, passphrase: str) -> None:
    with pytest.raises(errors.UsageError):
        starting.create(profile, "alice", passphrase)
    assert not profile.exists()


def test_the_passphrase_is_on_no_command_line_and_in_no_environment(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import json, sys
with open({str(tmp_path / "seen")!r}, "wb") as seen:
    for name in ("cmdline", "environ"):
        seen.write(open("/proc/self/" + name, "rb").read())
print(json.dumps({{"stdin": sys.stdin.read()}}))
"""
    (tmp_path / "child.py").write_text(code)

    def command(_profile: Profile, *words: str) -> list[str]:
        return [sys.executable, str(tmp_path / "child.py"), *words]

    monkeypatch.setattr(starting, "command", command)
    assert starting.create(profile, "alice", "open sesame") == {"stdin": "open sesame\n"}
    seen = (tmp_path / "seen").read_bytes()
    assert b"--name=alice" in seen
    assert b"sesame" not in seen


def test_a_child_that_says_nothing_usable_is_one_error(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "command", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no luck')"])
    with pytest.raises(errors.ProfileError, match="no luck"):
        starting.create(profile, "alice", None)
