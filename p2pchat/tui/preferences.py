"""The user's settings of the screen: `screen.toml` in the profile's folder. It contains no secrets.

The file belongs to the user. It is read again whenever it changes, and a setting changed on the screen changes one line
of it: comments, order and unknown settings stay. An invalid value is reported with its line and changes nothing. If the
file cannot be written, a setting lasts until the screen is closed: a bad setting must not keep anybody from their
messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from pathlib import Path
from typing import Any, NamedTuple

from p2pchat.lib import atomic_file, toml_lines
from p2pchat.lib.small_file import read_beginning
from p2pchat.tui.themes import NAMES

FILE = "screen.toml"
OLD_FILE = "screen.json"
"""What an earlier version kept; read where there is no `screen.toml` yet."""

KEYS = "keys"
"""The table of the file that sets keys."""

MAX_BYTES = 100_000
MAX_PROBLEMS = 20

HEAD = """\
# How p2pchat's screen looks and behaves. Edit this file as you like; a running p2pchat follows at once.
# p2pchat itself changes only the lines of settings that you change in /settings. See docs/guide/settings.md.
"""

COMFORTABLE, COMPACT = DENSITIES = ("comfortable", "compact")
RTL = ("auto", "app", "terminal", "off")
AUTO, OFF = "auto", "off"
UNICODE, ASCII = "unicode", "ascii"
FULL, REDUCED = "full", "reduced"
TERMINAL, DESKTOP = "terminal", "desktop"
NOTHING, NAME, TEXT = "nothing", "name", "text"

Value = str | bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """All settings; `SETTINGS` describes each. `keys`: the raw content of `[keys]`."""

    theme: str = ""
    density: str = COMFORTABLE
    clock: str = "24h"
    signs: str = AUTO
    rtl: str = AUTO
    motion: str = AUTO
    folded: bool = False
    enter_sends: bool = True
    mouse: bool = True
    bell: bool = True
    notifications: str = AUTO
    notification_content: str = NOTHING
    quiet_hours: str = ""
    do_not_disturb: bool = False
    save_folder: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)


def hours(text: str) -> tuple[time, time] | None:
    """The two times in `22:00-07:00`, or None for "". Raises ValueError."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})", text)
    if match is None:
        raise ValueError(text)
    first, second, third, fourth = map(int, match.groups())
    return time(first, second), time(third, fourth)


def folder(text: str) -> str:
    """A folder by its whole path, maybe from `~` on; "" for ~/Downloads. Raises ValueError."""
    if text and (not text.startswith(("/", "~")) or not text.isprintable()):
        raise ValueError(text)
    return text


class Setting(NamedTuple):
    """One setting. `choices`: its possible values; none if `check` decides, by raising ValueError. `shape` describes
    such a value.
    """

    name: str
    says: str
    choices: tuple[Value, ...] = (False, True)
    check: Callable[[str], object] | None = None
    shape: str = ""

    @property
    def usual(self) -> Value:
        """The default value."""
        value: Value = getattr(Preferences(), self.name)
        return value

    def holds(self, value: object) -> bool:
        """Return whether a value is valid."""
        if self.check is None:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        try:
            return isinstance(value, str) and self.check(value) is not NotImplemented
        except ValueError:
            return False

    def read(self, typed: str) -> Value | None:
        """Return the value that somebody typed; None if it is not valid."""
        if self.check is None:
            words = {"on": "yes", "true": "yes", "off": "no", "false": "no"}
            wanted = typed.casefold()
            fits = (each for each in self.choices if worded(each) in (wanted, words.get(wanted)))
            return next(fits, None)
        return typed if self.holds(typed) else None

    @property
    def allowed(self) -> str:
        """Its possible values, in words."""
        return self.shape or " or ".join(toml_lines.written(choice) for choice in self.choices)


SETTINGS: tuple[Setting, ...] = (
    Setting("theme", "colour theme", NAMES),
    Setting("density", "messages in groups, or one per line", DENSITIES),
    Setting("clock", "how times are written", ("24h", "12h")),
    Setting("signs", "characters for lines and marks", (AUTO, UNICODE, ASCII)),
    Setting("rtl", "what reorders right-to-left text", RTL),
    Setting("motion", "how much moves and blinks", (AUTO, FULL, REDUCED)),
    Setting("folded", "hide the list of chats"),
    Setting("enter_sends", "Enter sends; otherwise Alt+Enter"),
    Setting("mouse", "the mouse works in p2pchat"),
    Setting("bell", "ring the bell for new messages"),
    Setting("notifications", "who shows notifications", (AUTO, TERMINAL, DESKTOP, OFF)),
    Setting("notification_content", "what a notification shows", (NOTHING, NAME, TEXT)),
    Setting("quiet_hours", "hours without bell or notifications", (), hours, '"22:00-07:00", or "" for never'),
    Setting("do_not_disturb", "no bell and no notifications at all"),
    Setting("save_folder", "folder into which files are saved", (), folder, 'a folder such as "~/Downloads"'),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}


class Loaded(NamedTuple):
    """The content of a file, and its problems, one line each."""

    preferences: Preferences
    problems: tuple[str, ...] = ()


def stamp(folder: Path) -> tuple[int, int, int] | None:
    """Return a stamp that changes when the file does; None if there is no file."""
    try:
        found = (folder / FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read(folder: Path, before: Preferences | None = None) -> Loaded:
    """Read the file in a profile's folder. Settings with invalid values stay as they were `before`."""
    kept = before or Preferences()
    path = folder / FILE
    try:
        raw = read_beginning(path, MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Loaded(_old(folder) if before is None else Preferences())
    except OSError as exc:
        return Loaded(kept, (f"{FILE} cannot be read: {exc.strerror}",))
    if len(raw) > MAX_BYTES:
        return Loaded(kept, (f"{FILE} is longer than {MAX_BYTES:,} bytes",))
    try:
        text = raw.decode()
        table = _parsed(text)
    except ValueError as exc:
        return Loaded(kept, (f"{FILE} is not TOML: {exc}",))
    return _loaded(text, table, kept)


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _loaded(text: str, table: Mapping[str, Any], kept: Preferences) -> Loaded:
    problems: list[str] = []
    said: dict[str, Any] = {}
    for name, value in table.items():
        setting = BY_NAME.get(name)
        at = f"{FILE}, line {toml_lines.line_of(text, name)}"
        if name == KEYS and isinstance(value, dict):
            said[KEYS] = value
        elif setting is None:
            problems.append(f"{at}: there is no setting {name!r}")
        elif setting.holds(value):
            said[name] = value
        else:
            said[name] = getattr(kept, name)
            problems.append(f"{at}: {name} must be {setting.allowed}")
    return Loaded(Preferences(**said), tuple(problems[:MAX_PROBLEMS]))


def _old(folder: Path) -> Preferences:
    """What an earlier version kept."""
    try:
        table = json.loads(read_beginning(folder / OLD_FILE, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return Preferences()
    if not isinstance(table, dict):
        return Preferences()
    found = {setting.name: table[setting.name] for setting in SETTINGS if setting.name in table}
    return Preferences(**{name: value for name, value in found.items() if BY_NAME[name].holds(value)})


def text_of(folder: Path) -> str:
    """Return the file's text; "" if it cannot be read."""
    try:
        return read_beginning(folder / FILE, MAX_BYTES).decode()
    except (OSError, ValueError):
        return ""


def file_to_edit(folder: Path) -> Path:
    """Return the file, after creating it if there is none. Raises NotWritten."""
    path = folder / FILE
    if not path.exists():
        _write(path, _first(folder))
    return path


class NotWritten(Exception):
    """A setting could not be kept; why, in words."""


def keep(folder: Path, preferences: Preferences, name: str) -> None:
    """Write the line of one setting, and leave all others as they are. Raises NotWritten."""
    path = folder / FILE
    value = getattr(preferences, name)
    try:
        text = read_beginning(path, MAX_BYTES + 1).decode() if path.exists() else _first(folder)
        table = _parsed(text)
    except OSError as exc:
        raise NotWritten(f"{FILE} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise NotWritten(f"{FILE} is not TOML: {exc}") from exc
    changed = toml_lines.with_line(text, name, value)
    # Whatever the file looks like: one value changes, or nothing does.
    if len(changed) > MAX_BYTES or _parsed_or_none(changed) != {**table, name: value}:
        raise NotWritten(
            f"line {toml_lines.line_of(text, name)} of {FILE} is too complex to be changed from here; edit the file"
        )
    _write(path, changed)


def _write(path: Path, text: str) -> None:
    try:
        atomic_file.replace(path.resolve(), text.encode(), durable=False)
    except OSError as exc:
        raise NotWritten(f"{FILE} cannot be written: {exc.strerror}") from exc


def _first(folder: Path) -> str:
    """A new file, with what an earlier version kept."""
    old, usual = _old(folder), Preferences()
    lines = [
        f"{setting.name} = {toml_lines.written(getattr(old, setting.name))}\n"
        for setting in SETTINGS
        if getattr(old, setting.name) != getattr(usual, setting.name)
    ]
    return HEAD + "".join(lines)


def _parsed_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _parsed(text)
    except ValueError:
        return None


def worded(value: Value | int | None) -> str:
    """Return a value as the screen writes it: yes and no for the two of a switch."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def changed(preferences: Preferences, name: str, value: Value) -> Preferences:
    """The same with one setting changed."""
    changes: dict[str, Any] = {name: value}
    return replace(preferences, **changes)
