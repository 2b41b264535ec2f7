"""Telling copies of a profile apart, by a random number beside the database and the same number inside it.

A copy of the database alone does not have the number of the file beside it. In a copy of the whole folder that file is
another one: the kernel gives each file a change time (`st_ctime`) that nobody can set, and the database knows the right
one. Neither shows that a whole file system or virtual machine was restored; see `docs/protocol/session-life.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2pchat.lib import atomic_file

NAME = "instance"
NUMBER = 16
Mark = tuple[bytes, int]
"""(number, change time of its file in ns)"""


def read(folder: Path) -> Mark | None:
    """Return the mark of the profile in this folder; None if there is no such file."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(NUMBER), os.fstat(file.fileno()).st_ctime_ns


def write(folder: Path, number: bytes) -> Mark:
    """Write another number, and return the new mark once it is on disk. Raises `OSError`."""
    atomic_file.replace(folder / NAME, number)
    return number, (folder / NAME).stat().st_ctime_ns
