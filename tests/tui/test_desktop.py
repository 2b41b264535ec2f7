"""The browser, the clipboard and the editor of the desktop."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.tui import desktop
from p2pchat.tui.desktop import Tool
from tests.tui.conftest import run


def having(*names: str) -> Callable[[str], str | None]:
    """A system with these programs."""
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_the_clipboard_is_that_of_the_desktop_one_is_at() -> None:
    wayland, x11 = {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, {"DISPLAY": ":0"}
    assert desktop.clipboard_tool(wayland, having("wl-copy", "xclip")) == desktop._WAYLAND[0]
    assert desktop.clipboard_tool(wayland, having("xclip"), "linux").name == "xclip"  # type: ignore[union-attr]
    assert desktop.clipboard_tool(x11, having("wl-copy", "xsel"), "linux").name == "xsel"  # type: ignore[union-attr]
    assert desktop.clipboard_tool(x11, having(), "linux") is None
    assert desktop.clipboard_tool({}, having("xclip", "wl-copy"), "linux") is None, "over ssh there is no desktop"
    assert desktop.clipboard_tool({}, having("pbcopy"), "darwin") == Tool("pbcopy", ())
    assert desktop.clipboard_tool({"SSH_CONNECTION": "x"}, having("pbcopy"), "darwin") is None


def test_what_is_copied_is_what_the_program_gets(tmp_path: Path) -> None:
    taken = tmp_path / "clipboard"
    tool = Tool("/bin/sh", ("-c", f"cat > {taken}"))
    assert run(desktop.copy(tool, "all:\n\techo سلام")) is True
    assert taken.read_text(encoding="utf-8") == "all:\n\techo سلام"
    assert run(desktop.copy(Tool("/bin/false", ()), "x")) is False
    assert run(desktop.copy(Tool("/nowhere", ()), "x")) is False


def test_only_addresses_of_the_web_are_opened(tmp_path: Path) -> None:
    assert desktop.opener({"DISPLAY": ":0"}, having("xdg-open", "gio"), "linux") == ["xdg-open"]
    assert desktop.opener({"DISPLAY": ":0"}, having("gio"), "linux") == ["gio", "open"]
    assert desktop.opener({}, having("xdg-open"), "linux") == [], "nobody would see the browser"
    assert run(desktop.open_url(["/bin/true"], "https://example.org/")) is True
    for address in ("--help", "file:///etc/passwd", "javascript:x", ""):
        assert run(desktop.open_url(["/bin/true"], address)) is False


@pytest.mark.parametrize("name", ["-rf", "--help", "a b;$(id).txt", "\u202ea.txt", "http:x"])
def test_a_file_is_opened_by_its_whole_path_and_never_taken_for_an_option(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, program = tmp_path / "pipe", tmp_path / "open"
    os.mkfifo(pipe)
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > {pipe}\n')
    program.chmod(0o700)
    path = tmp_path / name
    path.write_text("")
    assert run(desktop.open_file([str(program)], str(path))) is True
    assert pipe.read_text() == f"1\n{path}\n"
    monkeypatch.chdir(tmp_path)
    assert run(desktop.open_file([str(program)], name)) is False


def test_only_a_file_is_opened(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("")
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "gone", "."):
        assert run(desktop.open_file(["/bin/true"], str(tmp_path / name))) is False
    assert run(desktop.open_file(["/bin/true"], str(real))) is True


@pytest.mark.parametrize(("named", "command"), [("", ["vi"]), ("nano -w", ["nano", "-w"]), ("'x", ["vi"])])
def test_the_editor_is_the_persons(named: str, command: list[str]) -> None:
    assert desktop.editor({"EDITOR": named}) == command


def test_an_editor_gets_the_text_in_a_file_of_its_own_and_nothing_stays(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "edit"
    script.write_text(
        f'#!/bin/sh\necho "$1" > {seen}\nstat -c %a "$1" >> {seen}\nprintf "%s, and more" "$(cat "$1")" > "$1"'
    )
    script.chmod(0o700)
    environment = {"EDITOR": str(script), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert desktop.edit(environment, "a text") == "a text, and more"
    path, mode = seen.read_text().split()
    assert mode == "600"
    assert path.startswith(str(tmp_path))
    assert not Path(path).exists()
    assert desktop.edit({**environment, "EDITOR": "/bin/false"}, "a text") is None


def test_a_file_is_new_and_its_owners(tmp_path: Path) -> None:
    first = desktop.save(tmp_path, "invite.txt", "P2PCHAT:A")
    second = desktop.save(tmp_path, "invite.txt", "P2PCHAT:B")
    assert (first.name, second.name) == ("invite.txt", "invite-2.txt")
    assert first.read_text() == "P2PCHAT:A"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    with pytest.raises(FileNotFoundError):
        desktop.save(tmp_path, "nowhere/invite.txt", "x")


@pytest.mark.parametrize(
    ("name", "words"), [("~nosuch.html", "no such home"), ("a\ud800", "letters"), ("\0", "letters")]
)
def test_a_name_that_no_file_can_have_is_an_error_with_words(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(OSError, match=words):
        desktop.save(tmp_path, name, "x")
    assert list(tmp_path.iterdir()) == []


def test_the_editor_ignores_no_signal_that_python_ignores(tmp_path: Path) -> None:
    script = tmp_path / "edit"
    script.write_text("#!/bin/sh\nkill -PIPE $$\n")
    script.chmod(0o700)
    assert desktop.run_editor({"EDITOR": str(script)}, tmp_path / "text") == -signal.SIGPIPE
