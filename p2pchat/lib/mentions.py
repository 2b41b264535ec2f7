"""Who is mentioned in a text of a group: `@` and a name, such as `@anna` or `@Anna Lindqvist`.

A mention is text, so every program shows it. Where two members have names that look alike, their names are shown with
digits of their ids (`lib.lookalikes`), and a mention is written with them: `@anna ·1f3c` is only that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ALL = "all"
"""The name that means all members, from a moderator."""

MODERATING = ("owner", "admin", "moderator")
"""The roles from which it means that."""
ONLY_MODERATORS = "@all calls nobody here: only the owner, admins and moderators can call everybody."
"""What anybody else is told who writes it."""

MAX_SIGNS = 64
"""Signs in a text behind which names are looked for; nobody mentions more people in one message."""

_SIGN = re.compile(r"(?<!\w)@(?=\w)")
_DIGITS = re.compile(r" ·([0-9a-f]{1,64})(?!\w)")


class Mention(NamedTuple):
    """A mention in a text: `text[start:end]`, with its sign. name: the known name that it is. digits: of an id, if it
    has some.
    """

    start: int
    end: int
    name: str
    digits: str = ""


def mentions(text: str, names: Iterable[str]) -> list[Mention]:
    """Return the mentions of these names in a text, in order; of two names that begin alike, the longer one."""
    longest_first = sorted((name for name in set(names) if name), key=len, reverse=True)
    found: list[Mention] = []
    for sign, match in enumerate(_SIGN.finditer(text)):
        if sign == MAX_SIGNS:
            break
        start = match.start()
        if found and start < found[-1].end:
            continue
        name = _begun(text, start + 1, longest_first)
        if name is not None:
            end = start + 1 + len(name)
            digits = _DIGITS.match(text, end)
            found.append(Mention(start, digits.end() if digits else end, name, digits[1] if digits else ""))
    return found


def is_mentioned(text: str, name: str, id: str) -> bool:
    """Return whether a text mentions the member of this name and id (lower-case hexadecimal)."""
    return any(id.startswith(each.digits) for each in mentions(text, [name]))


def calls_all(text: str) -> bool:
    """Return whether a text would call all members."""
    return ALL in text.casefold() and bool(mentions(text, [ALL]))


def _begun(text: str, at: int, names: Sequence[str]) -> str | None:
    """Return the first of the names that stands at this position, as a whole word."""
    for name in names:
        end = at + len(name)
        if text[at:end].casefold() == name.casefold() and not _continues(text, end):
            return name
    return None


def _continues(text: str, end: int) -> bool:
    return text[end - 1].isalnum() and end < len(text) and (text[end].isalnum() or text[end] == "_")
