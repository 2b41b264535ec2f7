"""Who is called for, when, and what a notice gives away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p2pchat.tui import desktop, terminal
from p2pchat.tui.model import Chat
from p2pchat.tui.notices import ANYTHING, Notice, notice_of, sequence, within
from p2pchat.tui.preferences import FILE
from tests.tui.conftest import opened, run, until
from tests.tui.conversing import chat as a_chat
from tests.tui.conversing import message
from tests.tui.fakes import FakeNode

HOSTILE = "9;4;1;50 </b><img src=x>\x1b]52;c;aGk=\a\x07--help\n\u202egnp.exe\u2066"


def told(text: str, *, timer: int | None = None, **changes: Any) -> Chat:
    last = message(1, text)._replace(**changes)
    return a_chat()._replace(last=last, label="Bob; rm", timer=timer)


@pytest.mark.parametrize(
    ("chat", "content", "reacted", "notice"),
    [
        (told("hi"), "nothing", False, ANYTHING),
        (None, "text", False, Notice("p2pchat", "somebody wants to become a contact")),
        (told("hi"), "name", False, Notice("Bob, rm", "wrote to you")),
        (told("hi\nthere;"), "text", False, Notice("Bob, rm", "hi there,")),
        (told("hi", timer=60), "text", False, Notice("Bob, rm", "wrote a disappearing message")),
        (told("hi", expires_in=60), "text", False, Notice("Bob, rm", "wrote a disappearing message")),
        (told("hi", deleted=True), "text", False, Notice("Bob, rm", "wrote to you")),
        (told("hi"), "text", True, Notice("Bob, rm", "reacted to one of your messages")),
    ],
)
def test_what_a_notice_says(chat: Chat | None, content: str, reacted: bool, notice: Notice) -> None:
    assert notice_of(chat, content, reacted=reacted) == notice


@pytest.mark.parametrize("environment", [{}, {"TERM": "foot"}, {"VTE_VERSION": "7600"}])
def test_nothing_of_a_peers_is_a_sequence(environment: dict[str, str]) -> None:
    notice = notice_of(told(HOSTILE * 20)._replace(label=HOSTILE), "text", reacted=False)
    sent = sequence(notice, environment)
    osc = "\x1b]777;notify;" if environment else "\x1b]9;p2pchat: "
    assert sent.startswith(osc)
    assert sent.endswith("\x1b\\")
    inside = sent.removeprefix(osc).removesuffix("\x1b\\")
    assert inside.isprintable()
    assert inside.count(";") == (1 if environment else 0)
    assert len(inside) < 250


@pytest.mark.parametrize(
    ("hours", "quiet"),
    [("", []), ("22:00-07:00", [*range(7), 22, 23]), ("01:00-03:30", [1, 2, 3]), ("05:00-05:00", [])],
)
def test_quiet_hours_go_over_midnight(hours: str, quiet: list[int]) -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC)
    assert [hour for hour in range(24) if within(day + timedelta(hours=hour), hours)] == quiet


def test_the_desktop_shows_what_was_said_as_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, script = tmp_path / "seen", tmp_path / "notify-send"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\n')
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tool = desktop.notifier({"DISPLAY": ":0"})
    assert tool is not None
    assert run(desktop.notify(tool, "--urgency=critical", "<b>&"))
    assert seen.read_text().splitlines()[-3:] == ["--", "--urgency=critical", "&lt;b&gt;&amp;"]
    assert desktop.notifier({"DISPLAY": ":0", "SSH_CONNECTION": "x"}) is None
    assert desktop.notifier({}) is None
    script.unlink()
    assert not run(desktop.notify(tool, "a", "b"))


def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str = "", **changes: Any) -> list[str]:
    """What the terminal is sent as bob writes twice and reacts once, and nobody looks."""
    node = FakeNode()
    bob = node.friend("Bob")
    ours = node.said(bob, "hello")
    node.people[bob] |= changes
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / FILE).write_text(settings)
    sent: list[str] = []

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            monkeypatch.setattr(app, "write_to_terminal", sent.append)
            app.app_focus = False
            node._changed(ours, "pin", pinned=True)
            node.emit("message", **{**ours, "id": "f" * 32, "from": "Bob", "mine": False, "kind": "timer"})
            await until(pilot, lambda: app.state.chats[0].last and app.state.chats[0].last.id == "f" * 32)
            assert [each for each in sent if not each.startswith("\x1b]2;")] == []
            node.reacts(ours["id"], "❤", "Bob")
            await until(pilot, lambda: app.state.chats[0].last)
            node.says(bob, "secret words")
            last = node.says(bob, "and more")["id"]
            await until(pilot, lambda: app.state.chats[0].last and app.state.chats[0].last.id == last)

    run(main())
    return [each for each in sent if not each.startswith("\x1b]2;")]


def test_silent_kinds_ring_for_nobody_and_a_reaction_to_ones_own_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls(tmp_path, monkeypatch) == [terminal.BELL + terminal.NOTIFY]


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ("bell = false\n", [terminal.NOTIFY]),
        ('notifications = "off"\n', [terminal.BELL]),
        ('bell = false\nnotifications = "off"\n', []),
        ("do_not_disturb = true\n", []),
        ('quiet_hours = "00:00-23:59"\n', []),
    ],
)
def test_what_is_switched_off_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, sent: list[str]
) -> None:
    assert calls(tmp_path, monkeypatch, settings) == sent


def test_a_muted_chat_is_silent_until_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls(tmp_path / "a", monkeypatch, muted_until="9999-12-31T23:59:59.000Z") == []
    assert calls(tmp_path / "b", monkeypatch, muted_until="2020-01-01T00:00:00.000Z") == [
        terminal.BELL + terminal.NOTIFY
    ]


def test_dnd_is_said_in_the_status_line_and_ends_by_itself(tmp_path: Path) -> None:
    node = FakeNode()
    node.friend("Bob")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/dnd 2h", "enter")
            await until(pilot, lambda: "silent until" in app.main.status.said)
            assert app.notifier.silenced
            node.now += timedelta(hours=3)
            assert not app.notifier.silenced
            await pilot.press(*"/dnd", "enter")
            await until(pilot, lambda: "do not disturb" in app.main.status.said)
            assert "do_not_disturb = true" in (tmp_path / FILE).read_text()
            await pilot.press(*"/dnd off", "enter")
            await until(pilot, lambda: "do not disturb" not in app.main.status.said)
            await pilot.press(*"/dnd soon", "enter")
            await until(pilot, lambda: any("neither on nor off" in each.message for each in app._notifications))

    run(main())
