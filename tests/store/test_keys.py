"""The key file: what opens it, what does not, and that the old one is never lost."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from p2pchat.core import primitives as prim
from p2pchat.errors import (
    CannotOpen,
    DatabaseDamaged,
    DiskFull,
    Locked,
    NoProfile,
    ProfileError,
    ProfileExists,
    UsageError,
    WrongPassphrase,
)
from p2pchat.store import keys
from p2pchat.store.keys import MIN_COST, KdfCost

HEAD = 8 + 16 + 4 + 8
SLOT = 80


@pytest.fixture(autouse=True)
def cheap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick stand-in for Argon2id; the tests marked `real` use it itself."""
    if "real" not in request.node.name:
        monkeypatch.setattr(
            prim, "argon2id", lambda phrase, salt, ops, memory: prim.blake2b(phrase, b"test", 32) if salt else b""
        )


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_real_passphrase_round_trip(tmp_path: Path) -> None:
    key = keys.create_keys(tmp_path, b"correct horse", MIN_COST)
    assert keys.open_keys(tmp_path, b"correct horse") == key
    with pytest.raises(WrongPassphrase):
        keys.open_keys(tmp_path, b"correct horsf")


def test_without_a_passphrase(tmp_path: Path) -> None:
    key = keys.create_keys(tmp_path, None)
    assert len(key) == 32
    assert not keys.needs_passphrase(tmp_path)
    assert keys.open_keys(tmp_path, None) == keys.open_keys(tmp_path, b"not looked at") == key
    assert names(tmp_path) == ["key"]


def test_with_one(tmp_path: Path) -> None:
    key = keys.create_keys(tmp_path, b"phrase", MIN_COST)
    assert keys.needs_passphrase(tmp_path)
    assert keys.open_keys(tmp_path, b"phrase") == key
    with pytest.raises(Locked) as locked:
        keys.open_keys(tmp_path, None)
    assert type(locked.value) is Locked
    assert key not in (tmp_path / "keys").read_bytes()


@pytest.mark.parametrize("passphrase", [None, b"phrase"])
def test_files_are_private_and_alone(tmp_path: Path, passphrase: bytes | None) -> None:
    old = os.umask(0)
    try:
        keys.create_keys(tmp_path, passphrase, MIN_COST)
    finally:
        os.umask(old)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_never_made_over_others(tmp_path: Path) -> None:
    key = keys.create_keys(tmp_path, None)
    with pytest.raises(ProfileExists):
        keys.create_keys(tmp_path, b"phrase", MIN_COST)
    assert keys.open_keys(tmp_path, None) == key


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        keys.create_keys(tmp_path, b"", MIN_COST)
    key = keys.create_keys(tmp_path, b"phrase", MIN_COST)
    with pytest.raises(UsageError):
        keys.change_passphrase(tmp_path, key, b"", MIN_COST)
    assert keys.open_keys(tmp_path, b"phrase") == key
    assert names(tmp_path) == ["keys"]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoProfile):
        keys.needs_passphrase(tmp_path)
    with pytest.raises(NoProfile):
        keys.open_keys(tmp_path, b"phrase")


@pytest.mark.parametrize(("old", "new"), [(None, b"new"), (b"old", b"new"), (b"old", None), (None, None)])
def test_change(tmp_path: Path, old: bytes | None, new: bytes | None) -> None:
    key = keys.create_keys(tmp_path, old, MIN_COST)
    keys.change_passphrase(tmp_path, key, new, MIN_COST)
    assert keys.open_keys(tmp_path, new) == key
    assert names(tmp_path) == ["key" if new is None else "keys"]
    if old is not None and new is not None:
        with pytest.raises(WrongPassphrase):
            keys.open_keys(tmp_path, old)


@pytest.mark.parametrize(("old", "new"), [(None, b"new"), (b"old", b"new"), (b"old", None)])
@pytest.mark.parametrize("step", ["fsync", "rename", "unlink"])
def test_a_change_that_is_cut_short_leaves_one_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None, new: bytes | None, step: str
) -> None:
    key = keys.create_keys(tmp_path, old, MIN_COST)

    def cut(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "unlink":  # after the new one is in place, before the old one is gone
            patched.setattr(keys, "_shred", cut)
        else:
            patched.setattr(os, step, cut)
        try:
            keys.change_passphrase(tmp_path, key, new, MIN_COST)
        except DiskFull:
            failed = True
        else:
            failed = False
    assert failed
    opened = []
    for phrase in (old, new):
        try:
            opened.append(keys.open_keys(tmp_path, phrase) == key)
        except Locked:
            continue
    assert opened
    assert all(opened)
    assert not [name for name in names(tmp_path) if name.endswith(".new")]


def test_a_leftover_open_key_goes_when_the_passphrase_is_used(tmp_path: Path) -> None:
    key = keys.create_keys(tmp_path, b"phrase", MIN_COST)
    (tmp_path / "key").write_bytes(key)
    with pytest.raises(WrongPassphrase):
        keys.open_keys(tmp_path, b"wrong")
    assert keys.open_keys(tmp_path, b"phrase") == key
    assert names(tmp_path) == ["keys"]


def test_slots_look_alike_and_every_one_is_tried(tmp_path: Path) -> None:
    places = set()
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        key = keys.create_keys(folder, b"phrase", MIN_COST)
        data = (folder / "keys").read_bytes()
        assert len(data) == HEAD + 8 * SLOT
        derived = prim.argon2id(b"phrase", data[8:24], 3, 64 << 20)
        for slot in range(8):
            sealed = data[HEAD + slot * SLOT : HEAD + (slot + 1) * SLOT]
            assert len(set(sealed)) > 30  # no slot is zeros
            try:
                assert prim.open_sealed(derived, sealed, data[:HEAD])[:32] == key
            except CannotOpen:
                continue
            places.add(slot)
    assert places == set(range(8))


def test_a_cost_below_the_least_is_never_written(tmp_path: Path) -> None:
    for cost in (KdfCost(2, 64 << 20), KdfCost(3, (64 << 20) - 1)):
        with pytest.raises(ValueError, match="below the minimum"):
            keys.create_keys(tmp_path, b"phrase", cost)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("ops", "memory"), [(1, 64 << 20), (3, 8192), (0, 0), (2**32 - 1, 64 << 20), (3, 2**60)])
def test_a_cost_edited_in_the_file_is_refused(tmp_path: Path, ops: int, memory: int) -> None:
    keys.create_keys(tmp_path, b"phrase", MIN_COST)
    data = bytearray((tmp_path / "keys").read_bytes())
    struct.pack_into(">IQ", data, 24, ops, memory)
    (tmp_path / "keys").write_bytes(data)
    with pytest.raises(DatabaseDamaged):
        keys.open_keys(tmp_path, b"phrase")
    assert (tmp_path / "keys").read_bytes() == data


def test_a_higher_cost_is_bound_to_the_slots(tmp_path: Path) -> None:
    keys.create_keys(tmp_path, b"phrase", MIN_COST)
    data = bytearray((tmp_path / "keys").read_bytes())
    struct.pack_into(">I", data, 24, 4)
    (tmp_path / "keys").write_bytes(data)
    with pytest.raises(WrongPassphrase):
        keys.open_keys(tmp_path, b"phrase")


@pytest.mark.parametrize("data", [b"", b"p2pkeys1", bytes(HEAD + 8 * SLOT), b"p2pkeys1" + bytes(2000)])
def test_a_damaged_key_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "keys").write_bytes(data)
    with pytest.raises(DatabaseDamaged):
        keys.open_keys(tmp_path, b"phrase")


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33)])
def test_a_damaged_open_key(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(DatabaseDamaged):
        keys.open_keys(tmp_path, None)


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create_keys(tmp_path, b"phrase", MIN_COST)

    def fail(*_: object) -> bytes:
        raise RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr(prim, "argon2id", fail)
    with pytest.raises(ProfileError, match="64 MiB"):
        keys.open_keys(tmp_path, b"phrase")
