"""Which copy of a profile this is: a random number beside the database, and the same inside it.

A copy of the database alone has another number than the file. In a copy of the whole folder the file is another one:
the kernel gives each a change time (`st_ctime`) that nobody can set, and the database knows the right one. What neither
shows is a file system or a virtual machine that was put back as a whole; see `docs/protocol/session-life.md`.
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
    """Return the number of the profile in this folder, and when its file was made; None if there is no such file."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(NUMBER), os.fstat(file.fileno()).st_ctime_ns


def write(folder: Path, number: bytes) -> Mark:
    """Put another number there, on disk before this returns. Raises `OSError`."""
    atomic_file.replace(folder / NAME, number)
    return number, (folder / NAME).stat().st_ctime_ns
