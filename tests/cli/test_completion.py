"""Completion: what may stand where, and that no name is run by a shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from p2pchat.cli.completion import SCRIPTS
from tests.cli.conftest import Run
from tests.cli.node import ID, FakeNode

NAMES = ["Anna Lindqvist", "andrea", "$(touch x)", "a\x1b[2J"]


@pytest.fixture
def named(node: FakeNode) -> FakeNode:
    people = [{"id": ID, "name": name, "state": "contact"} for name in NAMES]
    notes = {"id": "00" * 8, "name": "Notes to self", "state": "notes"}
    node.answers["contacts"] = [*people]
    group = {"id": "aa" * 8, "name": "friends", "state": "contact", "kind": "group"}
    chats = [*people, {"id": ID, "name": "gone", "state": "forgotten"}, notes, group]
    node.answers["chats"] = [{"kind": "direct", **chat} for chat in chats]
    members = [{"id": f"{at:016x}", "name": name} for at, name in enumerate([*NAMES, "Zoe", "Zoe"])]

    def search(search: str, **_: object) -> dict[str, object]:
        return {"total": 9, "members": [each for each in members if search.casefold() in str(each["name"]).casefold()]}

    node.answers["group_members"] = search
    return node


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["se"], ["search", "send", "settings"]),
        (["send", "an"], ["Anna Lindqvist", "andrea"]),
        (["send", "--wait", "read", "an"], ["Anna Lindqvist", "andrea"]),
        (["send", "$"], ["$(touch x)"]),
        (["log", "n"], ["notes"]),
        (["log", "g"], ["gone"]),
        (["block", "g"], []),
        (["search", "--chat", "andr"], ["andrea"]),
        (["block", ID[:4]], [ID]),
        (["send", "andrea", ""], []),
        (["send", "--wait", "s"], ["saved", "stored"]),
        (["send", "--ti"], ["--timeout"]),
        (["send", "andrea", "--file", "a", "s"], []),
        (["files", "an"], ["Anna Lindqvist", "andrea"]),
        (["--js"], ["--json"]),
        (["contacts", ""], ["hide", "show"]),
        (["fly", "x"], []),
        (["gr"], ["group"]),
        (["group", "re"], ["receipts", "recover", "remove", "report", "reports", "requests"]),
        (["group", "fly", "x"], []),
        (["group", "add", ""], ["friends"]),
        (["group", "add", "friends", "an"], ["Anna Lindqvist", "andrea"]),
        (["group", "add", "friends", "andrea", "an"], ["Anna Lindqvist", "andrea"]),
        (["group", "remove", "friends", "an"], ["Anna Lindqvist", "andrea"]),
        (["group", "remove", "friends", "zo"], []),
        (["group", "remove", "friends", "000000000000000"], [f"{at:016x}" for at in range(6)]),
        (["group", "remove", "--reason", "an", "friends", "$"], ["$(touch x)"]),
        (["group", "role", "friends", "andrea", "o"], ["observer", "owner"]),
        (["group", "set", "friends", "s"], ["slow_mode"]),
        (["group", "remove", "--re"], ["--reason"]),
        (["group", "invite", "--role", "o"], ["observer"]),
    ],
)
def test_what_may_stand_at_the_cursor(named: FakeNode, p2pchat: Run, typed: list[str], found: list[str]) -> None:
    result = p2pchat("completion", "words", stdin="\n".join(typed).encode() + b"\n")
    assert (result.code, result.out.splitlines()) == (0, found)


def test_tab_starts_no_node(p2pchat: Run) -> None:
    assert p2pchat("completion", "words", stdin=b"send\nan\n").out == ""


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_takes_its_script(p2pchat: Run, tmp_path: Path, shell: str) -> None:
    script = p2pchat("completion", shell).out
    assert script == SCRIPTS[shell]
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_quotes_a_name_and_never_runs_it(tmp_path: Path) -> None:
    program = tmp_path / "p2pchat"
    program.write_text("#!/bin/sh\ncat >/dev/null\nprintf '%s\\n' 'Anna L' '$(touch ran)' '`touch ran`'\n")
    program.chmod(0o755)
    asked = SCRIPTS["bash"] + '\nCOMP_WORDS=(p2pchat send A) COMP_CWORD=2; _p2pchat; printf "%s\\n" "${COMPREPLY[@]}"\n'
    ran = subprocess.run(
        ["bash"],
        input=asked,
        text=True,
        check=True,
        capture_output=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert ran.stdout.splitlines() == ["Anna\\ L", "\\$\\(touch\\ ran\\)", "\\`touch\\ ran\\`"]
    assert not (tmp_path / "ran").exists()
