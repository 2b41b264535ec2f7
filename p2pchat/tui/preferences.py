"""What the screen remembers by itself: how it looks. A small file in the profile's folder, no secret in it.

It is ours and rewritten at will, so it is not the user's `config.toml`. What cannot be read counts as not there, and
what cannot be written is only forgotten: nobody should be kept out of their messages by the colour of the screen.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from p2pchat.lib import atomic_file

FILE = "screen.json"

COMFORTABLE, COMPACT = DENSITIES = ("comfortable", "compact")
RTL = ("auto", "app", "terminal", "off")


@dataclass(frozen=True, slots=True)
class Preferences:
    """`theme`: its name, "" for the usual one. `rtl`: who turns right-to-left text. `folded`: the list of chats is.
    `density`: whether messages stand in groups with a head, or take one line where they fit.
    """

    theme: str = ""
    rtl: str = "auto"
    folded: bool = False
    density: str = COMFORTABLE


def read(folder: Path) -> Preferences:
    """What was kept in a profile's folder."""
    try:
        value = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return Preferences()
    if not isinstance(value, dict):
        return Preferences()
    known = {
        field.name: value[field.name]
        for field in fields(Preferences)
        if field.name in value and type(value[field.name]) is type(field.default)
    }
    for name, choices in (("rtl", RTL), ("density", DENSITIES)):
        if known.get(name) not in choices:
            known.pop(name, None)
    return Preferences(**known)


def write(folder: Path, kept: Preferences) -> None:
    """Keep it; in one step, so that a crash leaves the old one or the new one."""
    with contextlib.suppress(OSError):
        atomic_file.replace(folder / FILE, json.dumps(asdict(kept)).encode(), durable=False)
