"""Make a profile's folder, its keys and its database, whole or not at all; and put a salvaged database in its place.

Both are made in the folder `new`, then moved to their places, the key first and the database last: a profile is there
when its database is. An attempt that ends early, at whatever step, is cleaned up by the next one.

A key without a database is told apart by what is in `new`. Is the database still there, then the attempt that made both
ended between the two moves, and the key has never opened anything that anybody saw. Is it not, then a database was
there and is gone; its key may be the only one to a copy of it, and is not touched.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from p2pchat import errors
from p2pchat.core.primitives import self_test, system_entropy
from p2pchat.engine.contacts.names import name_of
from p2pchat.engine.contacts.profile import write_identity
from p2pchat.lib.atomic_file import sync_folder
from p2pchat.locations import Profile, ProfileLock
from p2pchat.store import keys
from p2pchat.store.database import Database, translated

NODE_END_TIMEOUT = 5.0
"""Seconds that a node has to end whose profile was deleted under it, before a new one is made in its place."""


def create(profile: Profile, name: str, passphrase: str | None) -> dict[str, Any]:
    """Make a profile. Raises ProfileExists, ProfileInUse, BadName, DiskFull or ProfileError, with nothing made."""
    self_test()
    name = name_of(name)
    profile.make_folder()
    lock = ProfileLock(profile)
    lock.acquire(NODE_END_TIMEOUT)
    with lock, translated():
        draft = profile.folder / "new"
        _clean_up(profile, draft)
        try:
            draft.mkdir(mode=0o700)
            key = keys.create_keys(draft, None if passphrase is None else passphrase.encode())
            db = Database.create(draft / profile.database.name, key)
            try:
                write_identity(db, name, system_entropy())
            finally:
                db.close()
            for made in sorted(draft.iterdir(), key=lambda path: path.name == profile.database.name):
                made.rename(profile.folder / made.name)
            sync_folder(profile.folder)
        except BaseException:
            with suppress(OSError, errors.ProfileExists):
                _clean_up(profile, draft)
            raise
        shutil.rmtree(draft, ignore_errors=True)
    return {"name": name, "profile": str(profile.folder), "passphrase": passphrase is not None}


def salvaged(profile: Profile, passphrase: str | None) -> dict[str, Any]:
    """Replace a damaged database by a new one of what can be read of it; no node may run. What `salvage` tells.

    Raises ProfileInUse, WrongPassphrase, and what `salvage` does.
    """
    from p2pchat.store.salvage import salvage

    with ProfileLock(profile):
        key = keys.open_keys(profile.folder, None if passphrase is None else passphrase.encode())
        done = salvage(profile.database, key)
    return {
        "damaged": str(done.damaged),
        "messages": done.rows["messages"],
        "contacts": done.rows["contacts"],
        "incomplete": done.incomplete,
        "unsent": done.unsent,
    }


def _clean_up(profile: Profile, draft: Path) -> None:
    """Remove what an attempt that ended early has left. Raises ProfileExists where there is more than that."""
    if profile.database.exists():
        raise errors.ProfileExists(f"There is a profile in {profile.folder} already; it was not changed")
    is_half_moved = (draft / profile.database.name).exists()
    for name in (keys.PLAIN, keys.SLOTS):
        path = profile.folder / name
        if path.exists() and not is_half_moved:
            raise errors.ProfileExists(
                f"{path} is the key of a profile whose database is missing",
                hint=f"Put {profile.database.name} back beside it, or choose another folder with --profile.",
            )
        path.unlink(missing_ok=True)  # before the database in `new`, which says that it may go
    with suppress(FileNotFoundError):
        shutil.rmtree(draft)
