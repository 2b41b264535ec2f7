"""Files that people write by hand: short, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path


def read_beginning(path: Path, size: int) -> bytes:
    """Return at most the first `size` bytes of a file. A pipe that nobody writes to is empty, and a device that never
    ends is read no further. Raises OSError.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(size) or b""
