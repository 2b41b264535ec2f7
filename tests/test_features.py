"""docs/features.md names keys, commands and verbs that there are, and leaves out none of the commands and verbs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from p2pchat.cli.main import MODULES, find
from p2pchat.tui.commands import COMMANDS
from p2pchat.tui.keys import KEYS, shown

PAGE = Path(__file__).parent.parent / "docs" / "features.md"
THERE_ARE = {
    1: {shown(key) for row in KEYS for key in row.keys},
    2: {f"/{command.name}" for command in COMMANDS},
    3: {verb.name for name in MODULES for verb in find(name).actions or (find(name),)},
}


def named(column: int) -> set[str]:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[column])}


@pytest.mark.parametrize("column", THERE_ARE)
def test_what_the_table_names_is_there(column: int) -> None:
    assert named(column) <= THERE_ARE[column]


@pytest.mark.parametrize("column", [2, 3])
def test_every_command_and_verb_is_in_the_table(column: int) -> None:
    assert named(column) >= THERE_ARE[column]
