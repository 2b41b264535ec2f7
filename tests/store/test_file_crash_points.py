"""A file that is being received, and a process that is killed or a power that fails at every step of it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from p2pchat.core.contents import File
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.files import CHUNK_BYTES
from p2pchat.core.ids import MessageId
from p2pchat.errors import DiskFull
from p2pchat.store import files, messages
from p2pchat.store.database import Database
from p2pchat.store.file_space import FileSpace
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.messages import MessageRow
from tests.store.conftest import ALICE, ALICE_CHAT
from tests.support.databases import KEY, new_database

CHUNKS, AT_ONCE = 20, 8
commit = Database.commit
PAYLOAD = File(0, "a", "", CHUNKS * CHUNK_BYTES, KEY, KEY)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Steps:
    """Counts the steps that reach the disk, and ends the process before one of them. Remembers what the files held when
    they were synced last.
    """

    until: int
    taken: int = 0
    synced: dict[str, bytes] = field(default_factory=dict)
    fails: Exception | None = None
    """What the one step fails with; None: the process ends there."""

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(os, "pwrite", self._counted(os.pwrite))
        patch.setattr(os, "fsync", self._noting(self._counted(os.fsync)))
        patch.setattr(os, "unlink", self._counted(os.unlink))
        patch.setattr(Database, "commit", self._counted(Database.commit))

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def step(*values: object, **named: object) -> object:
            self.taken += 1
            if self.taken > self.until and self.fails is None:
                raise Killed
            if self.taken == self.until + 1 and self.fails is not None:
                raise DiskFull if call is commit else self.fails
            return call(*values, **named)

        return step

    def _noting(self, fsync: Callable[..., object]) -> Callable[..., object]:
        def step(descriptor: int) -> None:
            fsync(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path.is_file():
                self.synced[path.name] = path.read_bytes()

        return step


def receive(db: Database, space: FileSpace, written: set[int]) -> None:
    """Go on receiving, as the engine does: some blobs, a sync, and then the commit that says so."""
    (row,) = files.unfinished(db, FileState.WAITING)
    if row.space is None:
        made = space.create()
        with db.transaction():
            files.update(db, row.message, space=made.name, space_key=made.key)
        row = replace(row, space=made.name, space_key=made.key)
        made.close()
    assert row.space is not None
    assert row.space_key is not None
    sealed = space.open(row.space, row.space_key)
    try:
        missing = sorted(set(range(row.layout.blobs)) - files.marked(db, row.message))
        found = sealed.sound(missing)
        while missing:
            part = missing[:AT_ONCE]
            for slot in part:
                if slot not in found:
                    sealed.write(slot, bytes([slot]) * 1000)
                written.add(slot)
            sealed.sync()
            with db.transaction():
                done = files.mark(db, row, part)
                if done == row.layout.chunks:
                    files.update(db, row.message, state=FileState.HERE.value, ended_at=1)
            missing = missing[AT_ONCE:]
    finally:
        sealed.close()


def check(db: Database, space: FileSpace, written: set[int]) -> None:
    """What is said to be here is here; at most as many blobs as are noted at once are not known."""
    assert len(files.spaces(db)) <= 1
    row = files.in_chat(db, ALICE_CHAT, 1)[0]
    marked = files.marked(db, row.message)
    if row.space is not None and row.space_key is not None:
        sealed = space.open(row.space, row.space_key)
        assert set(sealed.sound(marked)) == marked
        for slot in marked:
            assert sealed.read(slot) == bytes([slot]) * 1000
        sealed.close()
    assert len(written - marked) <= AT_ONCE
    assert row.done == sum(slot >= row.layout.slot_of_first_chunk for slot in marked)


def start(folder: Path) -> Database:
    """The node starts: the files that nothing needs are deleted."""
    db = Database.open(folder / "profile.db", KEY)
    space = FileSpace(folder / "files")
    space.sweep(files.spaces(db))
    names = files.unneeded(db)
    space.delete(names)
    with db.transaction():
        files.unlinked(db, names)
    return db


def offered(folder: Path) -> None:
    folder.mkdir()
    db = new_database(folder / "profile.db")
    row = MessageRow(MessageId(bytes(16)), ALICE_CHAT, ALICE, File.KIND.number, 1, "", 1, DeliveryState.RECEIVED)
    inserted = messages.insert(db, row)
    assert inserted is not None
    files.add(db, FileRow.of_message(row._replace(pk=inserted.pk), PAYLOAD, FileState.WAITING))
    db.close()


@pytest.mark.parametrize("power", [False, True])
def test_what_was_not_noted_is_lost_and_no_more_wherever_it_stops(tmp_path: Path, power: bool) -> None:
    """power: what was not synced is lost too."""
    until, whole = 0, False
    while not whole:
        folder, steps, written = tmp_path / str(until), Steps(until), set[int]()
        offered(folder)
        db, space = start(folder), FileSpace(folder / "files")
        try:
            with pytest.MonkeyPatch.context() as patch:
                steps.watch(patch)
                receive(db, space, written)
            whole = True
        except Killed:
            pass
        after = folder / "after"
        after.mkdir()
        for name in ("profile.db", "profile.db-wal"):
            shutil.copy(folder / name, after / name)
        if space.folder.exists():
            shutil.copytree(space.folder, after / "files")
            for path in (after / "files").iterdir() if power else ():
                path.write_bytes(steps.synced.get(path.name, b""))
        db.close()
        db, space = start(after), FileSpace(after / "files")
        assert {path.name for path in space.folder.iterdir()} == files.spaces(db) if space.folder.exists() else True
        check(db, space, written)
        if not whole:
            receive(db, space, written)
        check(db, space, written)
        assert files.in_chat(db, ALICE_CHAT, 1)[0].state == FileState.HERE
        assert files.marked(db, files.in_chat(db, ALICE_CHAT, 1)[0].message) == set(range(CHUNKS + 1))
        db.close()
        until += 1
    assert until > CHUNKS + 2 * CHUNKS // AT_ONCE


def test_a_file_is_deleted_wherever_it_stops(tmp_path: Path) -> None:
    until, whole = 0, False
    while not whole:
        folder, steps = tmp_path / str(until), Steps(until)
        offered(folder)
        db, space = start(folder), FileSpace(folder / "files")
        receive(db, space, set())
        row = files.in_chat(db, ALICE_CHAT, 1)[0]
        try:
            with pytest.MonkeyPatch.context() as patch:
                steps.watch(patch)
                with db.transaction():
                    messages.delete(db, row.message)
                space.delete(names := files.unneeded(db))
                with db.transaction():
                    files.unlinked(db, names)
            whole = True
        except Killed:
            pass
        db.close()
        db = start(folder)
        kept = [path.name for path in space.folder.iterdir()]
        assert kept == ([] if until else [row.space])
        assert files.unneeded(db) == []
        assert (files.get(db, row.message) is None) == (until > 0)
        db.close()
        until += 1
    assert until == 4


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_is_full_at_any_step_loses_nothing(tmp_path: Path, number: int) -> None:
    """One step fails, and the same process goes on later."""
    until, whole = 0, False
    while not whole:
        folder, written = tmp_path / str(until), set[int]()
        steps = Steps(until, fails=OSError(number, os.strerror(number)))
        offered(folder)
        db, space = start(folder), FileSpace(folder / "files")
        try:
            with pytest.MonkeyPatch.context() as patch:
                steps.watch(patch)
                receive(db, space, written)
            whole = True
        except DiskFull:
            check(db, space, written)
            receive(db, space, written)
        check(db, space, written)
        row = files.in_chat(db, ALICE_CHAT, 1)[0]
        assert (row.state, row.done) == (FileState.HERE, CHUNKS)
        db.close()
        until += 1
