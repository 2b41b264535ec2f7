"""Changing one line of a TOML file that belongs to a person: comments, order and everything else stay."""

from __future__ import annotations

import json
import re


def line_of(text: str, name: str, table: str = "") -> int:
    """Return the number of the line that sets a name in a table, "" for the lines before all tables; 0 if there is
    none.
    """
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            inside = header[1].strip()
            if inside == name and not table:
                return number
        elif inside == table and (set_ := _ASSIGNMENT.match(line)) and set_[1].strip("\"'") == name:
            return number
    return 0


_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=")
_VALUE = re.compile(r"""(\s*[A-Za-z0-9_-]+\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#"'\[{]+)(\s*(?:\#.*)?)$""")


def with_line(text: str, name: str, value: str | bool) -> str:
    """Return the text with one setting, before all tables, changed or added. If its line is too complex, the text is
    returned unchanged, so the caller parses the result and compares.
    """
    number = line_of(text, name)
    lines = text.splitlines(keepends=True)
    if number:
        line = lines[number - 1]
        body = line.rstrip("\r\n")
        found = _VALUE.match(body)
        if found is not None:
            lines[number - 1] = f"{found[1]}{written(value)}{found[3]}{line[len(body) :]}"
        return "".join(lines)
    # Before the first table: what stands after its head belongs to it.
    place = next((index for index, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    while place and place < len(lines) and lines[place - 1].lstrip().startswith("#"):
        place -= 1  # a comment above a table is about the table
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += "\n"
    gap = "\n" if place < len(lines) else ""
    return "".join([*lines[:place], f"{name} = {written(value)}\n{gap}", *lines[place:]])


def written(value: str | bool) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)
