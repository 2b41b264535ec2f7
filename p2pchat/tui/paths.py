"""Paths as people write and paste them: what a terminal pastes when a file is dragged onto it, and their completion."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

MAX_PATH = 4096
"""Characters of a pasted path at most."""
MAX_ENTRIES = 2_000
"""Entries of a folder that are read for a completion or a list."""

_BEGINNINGS = ("/", "~/", "file:", "'", '"')
_ESCAPED = re.compile(r"\\(.)")


def pasted(text: str) -> Path | None:
    """Return the file of which a pasted text is exactly the path: plain, quoted, with backslashes as in a shell, or as
    a `file://` address, as terminals write it. None for any other text.
    """
    text = text.strip()
    if not text or len(text) > MAX_PATH or "\n" in text or "\0" in text or not text.startswith(_BEGINNINGS):
        return None
    try:
        return next((path for path in _meanings(text) if _is_file(path)), None)
    except ValueError:  # what cannot be an address
        return None


def _meanings(text: str) -> Iterator[Path]:
    if text.startswith("file:"):
        address = urlsplit(text)
        if address.netloc in ("", "localhost"):
            yield Path(unquote(address.path))
        return
    if text[0] in "'\"":
        if len(text) > 2 and text[-1] == text[0]:
            inside = text[1:-1]
            yield expanded(inside.replace("'\\''", "'") if text[0] == "'" else _ESCAPED.sub(r"\1", inside))
        return
    yield expanded(text)
    if "\\" in text:
        yield expanded(_ESCAPED.sub(r"\1", text))


def expanded(text: str) -> Path:
    """Return a path with `~` for the home folder; what cannot be expanded stays as it is."""
    with contextlib.suppress(RuntimeError, ValueError):
        return Path(text).expanduser()
    return Path(text)


def shown(path: Path, home: Path | None = None) -> str:
    """Return a path as people write it, with `~` for the home folder."""
    try:
        home = home or Path.home()
        return str(Path("~") / path.relative_to(home))
    except (RuntimeError, ValueError):
        return str(path)


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at a whole path."""
    try:
        return path.is_absolute() and path.is_dir()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_absolute() and path.is_file()
    except (OSError, ValueError):
        return False


def written(text: str) -> Path | None:
    """Return the file that somebody wrote or pasted behind a command; None if there is none. It may be relative."""
    text = text.strip()
    with contextlib.suppress(OSError, ValueError):
        if text and len(text) <= MAX_PATH and (path := expanded(text)).is_file():
            return path.absolute()
    return pasted(text)


class Entry(NamedTuple):
    """A file or a folder. size: bytes, 0 for a folder."""

    name: str
    folder: bool
    size: int


def entries(folder: Path, *, hidden: bool = False) -> list[Entry]:
    """Return what is in a folder, folders first, by name; at most `MAX_ENTRIES`. Nothing is opened, and what is neither
    a file nor a folder is left out. Raises OSError.
    """
    found: list[Entry] = []
    with os.scandir(folder) as scan:
        for each in islice(scan, MAX_ENTRIES):
            if each.name.startswith(".") and not hidden:
                continue
            with contextlib.suppress(OSError):
                if each.is_dir():
                    found.append(Entry(each.name, True, 0))
                elif each.is_file():
                    found.append(Entry(each.name, False, each.stat().st_size))
    return sorted(found, key=lambda entry: (not entry.folder, entry.name.casefold(), entry.name))


def completions(begun: str, *, only_folders: bool = False) -> list[str]:
    """Return how a path may go on, as it was begun; a folder ends in a slash. Hidden ones only after a dot."""
    before, slash, name = begun.rpartition("/")
    try:
        listed = entries(expanded(before + slash) if slash else Path(), hidden=name.startswith("."))
    except (OSError, ValueError):
        return []
    fitting = [each for each in listed if each.name.casefold().startswith(name.casefold())]
    return [
        f"{before}{slash}{each.name}{'/' if each.folder else ''}"
        for each in fitting
        if each.name.isprintable() and (each.folder or not only_folders)
    ]
