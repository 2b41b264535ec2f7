"""How far a file has come is on one line of a terminal, and nowhere else."""

from __future__ import annotations

import io
from typing import Any

import pytest

from p2pchat.api.client import Client
from p2pchat.cli.output import Output
from p2pchat.cli.progress import ProgressLine
from p2pchat.locations import Profile
from tests.cli.node import FILE, FakeNode


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(progress: float, **fields: Any) -> dict[str, Any]:
    file = {**FILE["file"], "progress": progress, **fields}  # type: ignore[dict-item]
    return {"event": "file", "id": "ab", "chat": "c", "file": file}


def told(stderr: io.StringIO, *events: dict[str, Any]) -> list[str]:
    with ProgressLine(Output(False, io.StringIO(), stderr), lambda event: bool(event["id"] == "ab")) as line:
        for each in events:
            line.hear(each)
    return stderr.getvalue().split("\r\x1b[K")


def test_the_line_is_written_over_and_wiped_out() -> None:
    other = {**event(0.9), "id": "cd"}
    lines = told(Terminal(), event(0.25), event(0.25), other, {"event": "lagged"}, event(1.0, state="here", rate=None))
    assert lines == ["", "25 %, 100 kB/s, 9 s left", "100 %", ""]


def test_a_problem_is_said_and_commands_nothing() -> None:
    lines = told(Terminal(), event(0.25, state="paused", problem="full\x1b[2J\n" + "x" * 100))
    assert lines[1].startswith("full\ufffd[2J x")
    assert len(lines[1]) == 78


@pytest.mark.parametrize("name", ["dumb", None])
def test_nothing_is_written_where_nobody_looks(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    if name is not None:
        monkeypatch.setenv("TERM", name)
    assert told(io.StringIO() if name is None else Terminal(), event(0.25)) == [""]


def test_events_are_heard_while_a_call_waits(node: FakeNode, profile: Profile) -> None:
    stderr = Terminal()

    async def answer(**_: object) -> object:
        node.hub.publish(event(0.5, rate=None))
        import trio

        await trio.sleep(0.01)
        return {"path": "/x", "warning": ""}

    node.answers["save_file"] = answer
    line = ProgressLine(Output(False, io.StringIO(), stderr), lambda event: bool(event["id"] == "ab"))
    with Client.connect(profile) as client, line:
        assert line.call(client, "save_file", id="ab", to="/x")["path"] == "/x"
    assert stderr.getvalue() == "\r\x1b[K50 %\r\x1b[K"
