"""A profile is made whole or not at all, whenever its making is cut short."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.engine import new_profile
from p2pchat.locations import Profile
from p2pchat.store import keys
from p2pchat.store.database import Database

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
"""Audit events of what changes a folder (Python documentation, "Audit events table")."""


def cut_short(profile: Profile, step: int) -> bool:
    """Make a profile in a child that is killed before its `step`-th change of a folder; whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            made = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
            if (event in CHANGES or made) and str(profile.folder) in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            new_profile.create(profile, "alice", None)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_an_attempt_that_is_killed_at_any_step_is_made_good_by_the_next(tmp_path: Path) -> None:
    steps = 0
    while True:
        profile = Profile(tmp_path / f"{steps}")
        if not cut_short(profile, steps):
            break
        if not profile.exists():
            cut_short(profile, steps % 5)  # the next one may be cut short too
        if not profile.exists():
            new_profile.create(profile, "bob", None)
        Database.open(profile.database, keys.open_keys(profile.folder, None)).close()
        assert not (profile.folder / "new" / profile.database.name).exists()
        steps += 1
    assert steps > 5


def test_a_key_whose_database_is_gone_is_not_touched(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "profile")
    new_profile.create(profile, "alice", None)
    key = (profile.folder / "key").read_bytes()
    profile.database.unlink()
    with pytest.raises(errors.ProfileExists, match="database is missing"):
        new_profile.create(profile, "bob", None)
    assert (profile.folder / "key").read_bytes() == key


def test_a_wrong_key_is_told_from_a_damaged_database(tmp_path: Path) -> None:
    one, other = Profile(tmp_path / "one"), Profile(tmp_path / "other")
    for profile in (one, other):
        new_profile.create(profile, "alice", None)
    with pytest.raises(errors.WrongKey, match="key"):
        Database.open(one.database, keys.open_keys(other.folder, None))
    whole = one.database.read_bytes()
    one.database.write_bytes(whole[:100] + bytes(100) + whole[200:])
    with pytest.raises(errors.DatabaseDamaged) as caught:
        Database.open(one.database, keys.open_keys(one.folder, None))
    assert not isinstance(caught.value, errors.WrongKey)
    one.database.write_bytes(whole)
    shutil.copy(other.folder / "key", one.folder / "key")
    with pytest.raises(errors.WrongKey):
        Database.open(one.database, keys.open_keys(one.folder, None))
    assert one.database.read_bytes() == whole
