"""Which keys do what: the table of `keys`, with what the person has bound otherwise in `[keys]` of `screen.toml`.

    [keys]
    invite = "ctrl+t"
    message_reply = ["r", "a"]
    message_pin = []            # no key

A key that two actions would have in one place is named, and so is one that cannot be used; the rest holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from textual.binding import Binding

from p2pchat.tui.keys import CHATS, EVERYWHERE, KEYS, SEND, TYPED, WRITING, Key, shown

if TYPE_CHECKING:
    from textual.app import App

MAX_KEYS = 5
"""Of one action."""

NEEDED = (SEND, "leave", "message_leave", "list_leave")
"""Without a key for these a person would be stuck."""

TAKEN = {
    "ctrl+i": "terminals send it as Tab",
    "ctrl+m": "terminals send it as Enter",
    "ctrl+h": "terminals send it as Backspace",
    "ctrl+s": "it stops the terminal's output",
}
UNBOUND = "unbound"
"""What Textual is given as the key of an action that has none."""

_MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
_NAMED = {
    *("enter", "escape", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown"),
    *("up", "down", "left", "right"),
    *(f"f{number}" for number in range(1, 25)),
}


class Problem(NamedTuple):
    """What is wrong about the keys of an action."""

    action: str
    says: str


class Keymap:
    """The rows in force. `problems`: what of the person's wishes could not be done, or took a key from another."""

    def __init__(self, wanted: Mapping[str, Any] | None = None, *, enter_sends: bool = True) -> None:
        self.problems: list[Problem] = []
        self._usual = {row.name: row.keys for row in KEYS}
        rows = {row.name: row for row in KEYS}
        if not enter_sends:
            rows[SEND] = rows[SEND]._replace(keys=("alt+enter", "ctrl+enter"))
            rows["write_new_line"] = rows["write_new_line"]._replace(keys=("enter", "ctrl+j", "shift+enter"))
        chosen: dict[str, Key] = {}
        for name, value in (wanted or {}).items():
            if name not in rows:
                self._complain(name, "there is no such action")
            elif (keys := self._keys(rows[name], value)) is not None and (
                free := tuple(key for key in keys if not self._clashes(rows[name], key, chosen))
            ) == keys:
                chosen[name] = rows[name]._replace(keys=free)
        self.rows = tuple(chosen.get(row.name) or self._without_taken(rows[row.name], chosen) for row in KEYS)
        self._by_name = {row.name: row for row in self.rows}

    def shown(self, name: str) -> str:
        """The first key of an action as a person reads it; "" where it has none."""
        keys = self._by_name[name].keys
        return shown(keys[0]) if keys else ""

    def actions(self, where: str) -> dict[str, str]:
        """What each key runs in a place."""
        return {key: row.action for row in self.rows if row.where == where for key in row.keys}

    def for_textual(self) -> dict[str, str]:
        """What is bound otherwise than usual, as Textual's keymap."""
        return {
            row.name: ",".join(row.keys) or UNBOUND for row in self.rows if set(row.keys) != set(self._usual[row.name])
        }

    # --- what the person wants

    def _complain(self, action: str, says: str) -> None:
        self.problems.append(Problem(action, says))

    def _keys(self, row: Key, value: object) -> tuple[str, ...] | None:
        """The keys of a line as Textual names them; None where they cannot be used."""
        written = [value] if isinstance(value, str) and value else value or []
        if not isinstance(written, list) or len(written) > MAX_KEYS or not all(isinstance(k, str) for k in written):
            self._complain(row.name, 'it must be a key such as "ctrl+t", or a list of up to five')
            return None
        if not written and row.name in NEEDED:
            self._complain(row.name, "it needs a key")
            return None
        keys: list[str] = []
        for each in written:
            key = key_of(each)
            why = f"there is no key {each!r}" if key is None else _unfit(row, key)
            if key is None or why:
                self._complain(row.name, why)
                return None
            keys.append(key)
        return tuple(dict.fromkeys(keys))

    def _clashes(self, row: Key, key: str, chosen: Mapping[str, Key]) -> bool:
        for other in chosen.values():
            if key in other.keys and _meet(row.where, other.where):
                self._complain(row.name, f"{shown(key)} is bound to {other.name} already")
                return True
        return False

    def _without_taken(self, row: Key, chosen: Mapping[str, Key]) -> Key:
        """A row nobody has changed, without the keys that another has been given."""
        left = []
        for key in row.keys:
            taker = next((each for each in chosen.values() if key in each.keys and _meet(row.where, each.where)), None)
            if taker is None:
                left.append(key)
            elif taker.where == row.where or EVERYWHERE in (taker.where, row.where):
                self._complain(taker.name, f"{shown(key)} is not for {row.name} any more")
        return row._replace(keys=tuple(left))


def _meet(one: str, other: str) -> bool:
    """Whether a key of one place is in the way of the other: what is everywhere, and around what has the focus."""
    return one == other or EVERYWHERE in (one, other) or {one, other} == {CHATS, WRITING}


def _unfit(row: Key, key: str) -> str:
    """Why a key cannot be used there; "" where it can."""
    if key in TAKEN:
        return f"{shown(key)} cannot be used: {TAKEN[key]}"
    is_letter = "+" not in key and key not in _NAMED - {"space"}
    if is_letter and row.where in (EVERYWHERE, CHATS, WRITING):
        return f"{shown(key)} alone is needed for typing"
    return ""


def key_of(written: str) -> str | None:
    """A key as Textual names it, from how people write it: `Ctrl+T`, `alt+pgdn`, `+`; None where there is none."""
    *before, last = re.split(r"(?<=[^+])\+(?=.)", written.strip()) if written.strip() else [""]
    modifiers = sorted({each.strip().lower() for each in before})
    if any(each not in _MODIFIERS for each in modifiers):
        return None
    name = TYPED.get(last.strip().lower(), last.strip())
    if len(name) == 1 and name.isprintable():
        if name.isalpha():
            name = name.upper() if modifiers == ["shift"] else name.lower() if modifiers else name
            modifiers = [] if modifiers == ["shift"] else modifiers
        # Textual's own names for signs: "+" is "plus".
        [binding] = Binding.make_bindings([Binding(name if name != "," else "comma", "none")])
        name = binding.key
    elif name.lower() in _NAMED | {"plus", "underscore"}:
        name = name.lower()
    else:
        return None
    return "+".join([*modifiers, name])


USUAL = Keymap()
"""Nothing bound otherwise."""


def keymap_of(app: App[Any]) -> Keymap:
    """The keys of an app, the usual ones where it has none of its own."""
    found = getattr(app, "keymap", USUAL)
    return found if isinstance(found, Keymap) else USUAL
