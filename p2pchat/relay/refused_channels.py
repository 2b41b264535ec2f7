"""The channels that a relay's operator refuses, in a file of the relay's folder: one id a line, and a remark.

The verb `relay channels` writes it, and the running relay reads it again within half a minute, or at SIGHUP. It needs
only the standard library and what it reads, so that the verb answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from p2pchat.core.ids import ChannelId
from p2pchat.errors import ProfileError, UsageError
from p2pchat.lib import atomic_file

ID_BYTES = 32
MAX_BYTES = 1 << 20
MAX_REMARK = 200
_HEAD = "# Channels that this relay does not mirror: the id of one a line, and a remark.\n"


def parse_id(text: str) -> ChannelId:
    """Return the id that an operator gives, 64 hexadecimal digits. Raises UsageError."""
    try:
        id = bytes.fromhex(text)
    except ValueError:
        id = b""
    if len(id) != ID_BYTES:
        hint = "`p2pchat channel report` shows the id of a channel, and so does whoever reports one."
        raise UsageError("The id of a channel has 64 hexadecimal digits", hint=hint)
    return ChannelId(id)


class RefusedChannels:
    """The list in the file at `path`. beside: others that are refused, by the settings."""

    def __init__(self, path: Path, beside: Sequence[ChannelId] = ()) -> None:
        self._path = path
        self.beside = tuple(beside)
        self._seen: tuple[object, ...] = ()

    def read(self) -> frozenset[ChannelId] | None:
        """Return all that are refused, if that has changed since the last call; else None. Raises ProfileError for a
        file that cannot be read; an unreadable line in it is passed over.
        """
        stamp = (_stamp(self._path), self.beside)
        if stamp == self._seen:
            return None
        listed = frozenset(self.listed())
        self._seen = stamp
        return listed | frozenset(self.beside)

    def read_again(self) -> None:
        """Have the next `read` return the list, whether it has changed or not: what was read could not be applied."""
        self._seen = ()

    def listed(self) -> dict[ChannelId, str]:
        """Return what is in the file, with the remarks. Raises ProfileError."""
        found: dict[ChannelId, str] = {}
        for line in _text(self._path).splitlines():
            word, _, remark = line.strip().partition(" ")
            if word and not word.startswith("#"):
                try:
                    found[parse_id(word)] = remark.strip()
                except UsageError:
                    continue
        return found

    def change(self, channel: ChannelId, remark: str | None) -> bool:
        """Add a channel with a remark, or take it off the list if `remark` is None; return whether that changed
        anything. Raises ProfileError.
        """
        listed = self.listed()
        if (channel in listed) == (remark is not None):
            return False
        if remark is None:
            del listed[channel]
        else:
            listed[channel] = " ".join(remark.split())[:MAX_REMARK]
        lines = [f"{id.hex()} {about}".rstrip() + "\n" for id, about in listed.items()]
        try:
            atomic_file.replace(self._path, "".join([_HEAD, *lines]).encode())
        except OSError as error:
            raise ProfileError(f"{self._path} cannot be written: {error.strerror}") from error
        return True


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ProfileError(f"{path} cannot be read: {error.strerror}") from error
