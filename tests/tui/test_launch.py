"""From the command line to the screen: the node that is started on the way."""

from __future__ import annotations

import gc
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.locations import Profile
from p2pchat.tui import launch
from p2pchat.tui.launch import Starter
from tests.support.processes import PATIENCE, place


def test_a_node_is_started_where_none_answers_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with place() as here:
        for name, value in here.environment().items():
            monkeypatch.setenv(name, value)
        assert here.run("me", "init", "--name", "Alice", "--no-passphrase").code == 0
        profile = Profile(here.folder / "me")
        pids = []
        for number in range(2):
            assert launch._runs(profile) == (number > 0), "where a node runs, no thread looks for it"
            starter = Starter(profile)
            starter.begin()
            starter.wait()
            client = Client.running(profile)
            assert client is not None
            with client:
                pids.append(client.greeting["pid"])
        assert pids[0] == pids[1]
        client = Client.running(profile)
        assert client is not None
        with client:
            client.call("stop")
            assert client.wait_for_end(PATIENCE)


def test_textual_learns_how_often_to_draw_before_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTUAL_FPS", raising=False)
    told: list[str | None] = []
    made: list[dict[str, Any]] = []

    class App(types.ModuleType):
        fault = None

        def __getattr__(self, name: str) -> Callable[..., App]:
            told.append(os.environ.get("TEXTUAL_FPS"))
            return self.make

        def make(self, *_: object, **options: Any) -> App:
            made.append(options)
            return self

        def run(self) -> None:
            """Be over at once."""

    monkeypatch.setitem(sys.modules, "p2pchat.tui.app", App("p2pchat.tui.app"))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.toml").write_text('passphrase_command = ["printf", "secret"]')
    try:
        assert launch.run(Profile(tmp_path / "none")) == 0
    finally:
        gc.enable()
    assert told[-1] == launch.FRAMES_PER_SECOND
    assert made[-1]["passphrase_command"]() == "secret"


@pytest.mark.parametrize(
    ("raised", "seen"), [(errors.DiskFull(), errors.DiskFull), (OSError(12, "Cannot allocate"), errors.NodeError)]
)
def test_what_hinders_it_is_raised_to_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, seen: type[errors.P2PChatError]
) -> None:
    def start(_profile: Profile) -> bool:
        raise raised

    monkeypatch.setattr("p2pchat.api.starting.start", start)
    starter = Starter(Profile(tmp_path))
    starter.begin()
    with pytest.raises(seen):
        starter.wait()
