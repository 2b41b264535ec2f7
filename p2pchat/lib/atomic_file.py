"""Writes files whole or not at all, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write these bytes to a file of mode 0600 in place of `path`, in one step. Raises OSError, with the old file
    untouched.

    It is written beside its place, as `path` with `.new` behind it, and renamed. durable: it is on disk when this
    returns; otherwise a power cut may bring back the old one.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


@contextmanager
def create(path: Path, encoding: str | None = None, *, durable: bool = False) -> Iterator[IO[Any]]:
    """Yield a new file of mode 0600, of text if there is an encoding and else of bytes. It is there afterwards only if
    it is whole: if the block raises or the disk is full, it is removed again. Raises OSError, such as FileExistsError.

    durable: what it holds is on disk when the block has ended.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w" if encoding else "wb", encoding=encoding) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to disk: only then is a renamed file found after a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
