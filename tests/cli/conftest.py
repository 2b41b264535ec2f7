"""A fake node behind the real socket, and `p2pchat` called in this process."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2pchat.cli.main import main
from p2pchat.locations import Profile
from tests.cli.node import FakeNode
from tests.support.zones import anywhere


@dataclass(frozen=True)
class Result:
    """What one command line did."""

    code: int
    out: str
    err: str

    def objects(self) -> list[Any]:
        """The objects of its stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def as_most_have_it() -> Iterator[None]:
    """Everybody's clock shows the same, and the terminal can do what most can."""
    with anywhere(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        yield


@pytest.fixture
def profile(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("P2PCHAT_PROFILE", raising=False)
    made = Profile(tmp_path / "profile")
    made.make_folder()
    made.database.touch()
    return made


@pytest.fixture
def node(profile: Profile) -> Iterator[FakeNode]:
    with FakeNode(profile) as made:
        yield made


@pytest.fixture
def p2pchat(profile: Profile, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command line on the profile; stdin is not a terminal and holds `stdin`."""

    def run(*words: str, stdin: bytes = b"", named: bool = True) -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        if named:
            monkeypatch.setenv("P2PCHAT_PROFILE", str(profile.folder))
        code = main(words)
        captured = capsysbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    assert "P2PCHAT_PROFILE" not in os.environ
    return run
