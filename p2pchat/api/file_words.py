"""A file in words that every face shares: its size, what it is, and how far it has come.

A peer chooses the name, the type and most numbers: everything is cleaned and bounded, and the name comes last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p2pchat.sanitize import clean_line

_UNITS = ("kB", "MB", "GB", "TB")
_MAX_SECONDS = 100 * 3600
_FORMS = {"picture": "picture", "voice": "voice note"}
_STATES = {
    "offered": "not fetched",
    "paused": "paused",
    "failed": "failed",
}


def size(count: float) -> str:
    """Return bytes in words: 0 bytes, 999 bytes, 1.2 kB, 34 MB. A kilobyte is 1,000 bytes."""
    if count < 1000:
        return f"{int(count)} byte{'' if int(count) == 1 else 's'}"
    for unit in _UNITS:
        count /= 1000
        if count < 999.5 or unit == _UNITS[-1]:
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"


def length(ms: float) -> str:
    """Return a duration as a player shows it: 0:07, 12:34, 1:02:03."""
    seconds = min(int(ms // 1000), _MAX_SECONDS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def what(file: Mapping[str, Any]) -> list[str]:
    """Return what a file is, in parts: `picture`, `image/png`, `1.2 MB`, `640 x 480`."""
    parts = [_FORMS.get(str(file["form"]), "file")]
    if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,40}", str(file["type"]), re.ASCII):
        parts.append(str(file["type"]))
    parts.append(size(file["size"]))
    if file["form"] == "picture" and file["width"]:
        parts.append(f"{file['width']} x {file['height']}")
    if file["form"] == "voice":
        parts.append(length(file["duration"] or 0))
    return parts


def stands(file: Mapping[str, Any], *, mine: bool) -> str:
    """Return how a transfer stands, in a few words; empty if it is whole."""
    state = str(file["state"])
    if state == "waiting":
        return at_relays(file) if mine else "waits to be fetched"
    if state == "moving":
        return progress(file)
    if state == "gone":
        return "withdrawn" if mine else "no longer available"
    return _STATES.get(state, "")


def problem(file: Mapping[str, Any]) -> str:
    """Return why a file does not come, as a whole sentence; empty where nothing is in its way."""
    return clean_line(str(file.get("problem") or ""))


def at_relays(file: Mapping[str, Any]) -> str:
    """Return how much of one's own file is at the recipient's relays, or the group's: whether this computer has to stay
    on.
    """
    whose = "the group's" if file.get("group") else "their"
    stored = float(file.get("stored") or 0)
    if stored <= 0:
        return "waits here: keep this computer on"
    if stored >= 1:
        return f"at {whose} relays"
    rate = f", {size(file['rate'])}/s" if file["rate"] and file["rate"] > 0 else ""
    return f"{int(stored * 100)} % at {whose} relays{rate}"


def progress(file: Mapping[str, Any]) -> str:
    """Return how far a transfer has come, how fast it is, and when it will be whole, as far as that is known."""
    done = min(max(float(file["progress"] or 0), 0.0), 1.0)
    said = f"{int(done * 100)} %"
    if not file["rate"] or file["rate"] <= 0:
        return said
    said += f", {size(file['rate'])}/s"
    until = time_left(file["size"] * (1 - done) / file["rate"])
    return f"{said}, {until}" if until else said


def time_left(seconds: float) -> str:
    """Return the time until a transfer ends: 12 s left, 14 min left, 3 h left; empty if that is days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s left"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min left"
    return f"{round(seconds / 3600)} h left" if seconds < _MAX_SECONDS else ""


def line(file: Mapping[str, Any], *, mine: bool, state: bool = True) -> str:
    """Return one line that says what a file is, with its state and what is in its way unless these are not wanted, and
    its name at the end.
    """
    parts = what(file)
    if state and (now := ": ".join(filter(None, (stands(file, mine=mine), problem(file).rstrip("."))))):
        parts.append(now)
    return clean_line(f"({', '.join(parts)}) {file['name']}")


def summary(file: Mapping[str, Any], caption: str) -> str:
    """Return what a file is in a few words, with its caption behind it: `picture: the lake`, `file a.pdf`."""
    said = _FORMS.get(str(file["form"])) or f"file {file['name']}"
    return clean_line(f"{said}: {caption}" if caption else said)


def text(message: Mapping[str, Any], *, state: bool = True) -> str:
    """Return the text of a message object; of a file, the line about it, with its caption below."""
    file, said = message.get("file"), str(message["text"])
    if file is None or message.get("deleted"):
        return said
    about = line(file, mine=bool(message["mine"]), state=state)
    return f"{about}\n{said}" if said else about
