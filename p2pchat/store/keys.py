"""The key of a profile's database, in a file of the profile folder.

Without a passphrase that is `key`, 32 bytes. With one it is `keys`, of one fixed size:

    "p2pkeys1" || salt(16) || ops u32 || memory u64 (bytes) || 8 slots of 80 bytes
    slot = nonce(24) || XChaCha20-Poly1305(Argon2id(passphrase, salt, ops, memory), key(32) || flags(8), ad = before)

Every number is big-endian; `ad` is all that stands before the slots. One slot is used, the others are random bytes that
look the same. The salt is shared, so that trying all slots costs one Argon2id.

The file gives the cost of its key derivation, but never less than `MIN_COST`: editing it cannot make guessing cheap.
A new file is written beside the old one and renamed over it, so there is a whole one at every moment.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from p2pchat.core import primitives as prim
from p2pchat.errors import (
    CannotOpen,
    DatabaseDamaged,
    Locked,
    NoProfile,
    ProfileError,
    ProfileExists,
    UsageError,
    WrongPassphrase,
)
from p2pchat.lib import atomic_file
from p2pchat.lib.atomic_file import sync_folder
from p2pchat.store.database import translated

PLAIN = "key"
SLOTS = "keys"
SLOT_COUNT = 8

_HEAD = struct.Struct(">8s16sIQ")
_MAGIC = b"p2pkeys1"
_FLAGS = bytes(8)
_SLOT = prim.NONCE_BYTES + prim.KEY_BYTES + len(_FLAGS) + prim.TAG_BYTES
_SIZE = _HEAD.size + SLOT_COUNT * _SLOT


@dataclass(frozen=True, slots=True)
class KdfCost:
    """The cost of one guess at a passphrase: Argon2id passes, and bytes of memory."""

    ops: int
    memory: int


MIN_COST = KdfCost(3, 64 << 20)
DEFAULT_COST = KdfCost(3, 256 << 20)  # about 0.6 s
# A file with more than this is damaged, or meant to make us fail.
_MAX_COST = KdfCost(64, 4 << 30)


def create_keys(folder: Path, passphrase: bytes | None, cost: KdfCost = DEFAULT_COST) -> bytes:
    """Create the key of a new profile and its file, and return the 32-byte key. With `passphrase` None it is not
    protected.

    Raises `ProfileExists` if there is a key file, `UsageError` for an empty passphrase.
    """
    if (folder / PLAIN).exists() or (folder / SLOTS).exists():
        raise ProfileExists
    key = prim.system_entropy().random(prim.KEY_BYTES)
    _write(folder, key, passphrase, cost)
    return key


def needs_passphrase(folder: Path) -> bool:
    """Return whether the profile is locked with a passphrase. Raises NoProfile if it has no key file."""
    if (folder / SLOTS).exists():
        return True
    if (folder / PLAIN).exists():
        return False
    raise NoProfile("The key file of this profile is missing", hint="Restore the folder from a backup.")


def open_keys(folder: Path, passphrase: bytes | None) -> bytes:
    """Return the 32-byte key of the profile. It takes as long as the file's cost demands.

    Raises NoProfile, Locked (a passphrase is needed and None was given), WrongPassphrase, or DatabaseDamaged (not a key
    file). A passphrase that is not needed is ignored.
    """
    if not needs_passphrase(folder):
        key = (folder / PLAIN).read_bytes()
        if len(key) != prim.KEY_BYTES:
            raise DatabaseDamaged("The key file of this profile is damaged")
        return key
    if passphrase is None:
        raise Locked
    key = _unlock((folder / SLOTS).read_bytes(), passphrase)
    # Both files exist if setting a passphrase was interrupted; the unprotected one must be removed.
    with translated():
        _shred(folder / PLAIN)
    return key


def change_passphrase(folder: Path, key: bytes, new: bytes | None, cost: KdfCost = DEFAULT_COST) -> None:
    """Protect the profile's key with another passphrase, or with none. If it raises `DiskFull` the old one remains in
    force.

    The key stays the same: whoever has a copy of the old file and its passphrase can still open the database.
    """
    _write(folder, key, new, cost)


def _write(folder: Path, key: bytes, passphrase: bytes | None, cost: KdfCost) -> None:
    name, other = (PLAIN, SLOTS) if passphrase is None else (SLOTS, PLAIN)
    data = key if passphrase is None else _locked(key, passphrase, cost)
    with translated():
        atomic_file.replace(folder / name, data)
        _shred(folder / other)


def _locked(key: bytes, passphrase: bytes, cost: KdfCost) -> bytes:
    if not passphrase:
        raise UsageError("The passphrase is empty", hint="Give one, or use --no-passphrase.")
    if cost.ops < MIN_COST.ops or cost.memory < MIN_COST.memory:
        raise ValueError("the cost of a passphrase is below the minimum")
    random = prim.system_entropy().random
    head = _HEAD.pack(_MAGIC, random(16), cost.ops, cost.memory)
    slots = [random(_SLOT) for _ in range(SLOT_COUNT)]
    slots[random(1)[0] % SLOT_COUNT] = prim.seal(
        _derive(passphrase, head), key + _FLAGS, head, random(prim.NONCE_BYTES)
    )
    return head + b"".join(slots)


def _unlock(data: bytes, passphrase: bytes) -> bytes:
    head = data[: _HEAD.size]
    if len(data) != _SIZE or not data.startswith(_MAGIC):
        raise DatabaseDamaged("The key file of this profile is damaged")
    derived = _derive(passphrase, head)
    for start in range(_HEAD.size, _SIZE, _SLOT):
        with suppress(CannotOpen):
            return prim.open_sealed(derived, data[start : start + _SLOT], head)[: prim.KEY_BYTES]
    raise WrongPassphrase


def _derive(passphrase: bytes, head: bytes) -> bytes:
    _, salt, ops, memory = _HEAD.unpack(head)
    if not (MIN_COST.ops <= ops <= _MAX_COST.ops and MIN_COST.memory <= memory <= _MAX_COST.memory):
        raise DatabaseDamaged("The key file of this profile is damaged: its cost is out of bounds")
    try:
        return prim.argon2id(passphrase, salt, ops, memory)
    except (MemoryError, RuntimeError) as error:
        raise ProfileError(f"Unlocking needs {memory >> 20} MiB of free memory") from error


def _shred(path: Path) -> None:
    """Overwrite and delete a file, if it exists. A disk may still keep an old copy."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.write(prim.system_entropy().random(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(path.parent)
