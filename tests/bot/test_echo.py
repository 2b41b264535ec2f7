"""The echo bot's own parts; the whole of it, with real nodes, is in tests/cli/test_echo.py."""

from __future__ import annotations

import queue
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from p2pchat.bot import Bot, FileMessage, echo
from p2pchat.bot.events import message_of
from p2pchat.locations import Profile
from tests.bot.conftest import Store
from tests.cli.node import FILE, FakeNode


def sleeper() -> subprocess.Popen[bytes]:
    """A process that ends when its stdin does."""
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def test_it_watches_one_node_after_the_other_until_none_comes(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looked = echo._node_process, queue.Queue[bool]()

    def told(owner: Profile) -> int | None:
        found = look(owner)
        looked.put(found is not None)
        return found

    monkeypatch.setattr(echo, "_node_process", told)
    monkeypatch.setattr(echo, "GRACE_SECONDS", 0.0)
    first, second = sleeper(), sleeper()
    watching = threading.Thread(target=echo.until_gone, args=(profile,))
    try:
        with FakeNode(profile, pid=first.pid) as node:
            watching.start()
            assert looked.get(timeout=60)
            node.greeting["pid"] = second.pid
            first.communicate(timeout=60)  # the node ended, and another one is there
            assert looked.get(timeout=60)
        assert watching.is_alive()
        second.communicate(timeout=60)
        assert not looked.get(timeout=60)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate(timeout=60)
        watching.join(60)
    assert not watching.is_alive()


def test_it_greets_whom_it_never_wrote_to(bot: Bot, node: FakeNode, store: Store) -> None:
    people = [{"id": n * 16, "name": n, "state": "contact", "verified": False, "route": None} for n in "abc"]
    people[2]["state"] = "blocked"
    node.answers["contacts"] = people
    node.answers["log"] = lambda chat, **_: [{"mine": False}, {"mine": True}] if chat == "a" * 16 else [{"mine": False}]
    echo.greet(bot)
    assert store.sent == [("b" * 16, echo.GREETING)]


def test_its_place_is_beside_the_profile(tmp_path: Path) -> None:
    assert Profile(tmp_path / "default").echo == Profile(tmp_path / "default.echo")


def test_it_fetches_a_file_of_any_size_and_says_what_it_is(profile: Profile, node: FakeNode, store: Store) -> None:
    owner = cast("Profile", SimpleNamespace(echo=profile))
    bot = echo.friend(owner, lambda: None)
    row = {**FILE, "received_at": "2999-01-01T00:00:00.000Z"}
    assert bot._on_file is not None
    bot._on_file(cast("FileMessage", message_of(row, bot)))
    assert ("fetch_file", {"id": FILE["id"]}) in node.calls
    assert store.sent == [(FILE["chat"], "I fetch photo.jpg (1.2 MB), and keep it until you delete it for both of us.")]
