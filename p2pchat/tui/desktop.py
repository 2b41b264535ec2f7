"""Runs desktop programs: the browser, the clipboard tool, an editor. Each runs without a shell, and its arguments
contain nothing of ours but what the user wants to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shlex
import shutil
import stat
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from p2pchat.lib import atomic_file, foreground

TOOL_TIMEOUT = 3.0
"""Seconds that a clipboard program may take."""

Which = Callable[[str], str | None]


class Tool(NamedTuple):
    """A program by its name, with the arguments it takes."""

    name: str
    arguments: tuple[str, ...]


_WAYLAND = (Tool("wl-copy", ("--type", "text/plain;charset=utf-8")),)
_X11 = (Tool("xclip", ("-selection", "clipboard", "-in")), Tool("xsel", ("--clipboard", "--input")))
_MAC = (Tool("pbcopy", ()),)
_NOTIFIER = Tool("notify-send", ("--app-name=p2pchat", "--category=im.received"))
_OPENERS = ("xdg-open", "gio", "wslview")


def clipboard_tool(
    environment: Mapping[str, str], which: Which = shutil.which, platform: str = sys.platform
) -> Tool | None:
    """Return the program that accesses this desktop's clipboard; None if there is no desktop or no such program."""
    tools: tuple[Tool, ...] = ()
    if platform == "darwin" and not environment.get("SSH_CONNECTION"):
        tools += _MAC
    if environment.get("WAYLAND_DISPLAY"):
        tools += _WAYLAND
    if environment.get("DISPLAY"):
        tools += _X11
    return next((tool for tool in tools if which(tool.name)), None)


async def copy(tool: Tool, text: str) -> bool:
    """Pass a text to a clipboard program; return whether it accepted it."""
    with contextlib.suppress(OSError, TimeoutError):
        # These programs go on in the background to serve the clipboard, so nothing may wait for their output.
        child = await asyncio.create_subprocess_exec(
            tool.name, *tool.arguments, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        assert child.stdin is not None
        async with asyncio.timeout(TOOL_TIMEOUT):
            child.stdin.write(text.encode())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await child.stdin.drain()
            child.stdin.close()
            return await child.wait() == 0
    return False


def notifier(environment: Mapping[str, str], which: Which = shutil.which) -> Tool | None:
    """Return the program that shows notifications on this desktop; None if there is none, or the desktop is on another
    machine.
    """
    here = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    if not here or environment.get("SSH_CONNECTION") or not which(_NOTIFIER.name):
        return None
    return _NOTIFIER


async def notify(tool: Tool, title: str, body: str) -> bool:
    """Show a notification; return whether the program accepted it. Nothing in it is interpreted as an option or as
    markup.
    """
    from html import escape  # its table of names takes as long to load as a widget

    with contextlib.suppress(OSError, TimeoutError):
        child = await asyncio.create_subprocess_exec(
            tool.name,
            *tool.arguments,
            "--",
            escape(title, quote=False),
            escape(body, quote=False),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
        async with asyncio.timeout(TOOL_TIMEOUT):
            return await child.wait() == 0
    return False


def opener(environment: Mapping[str, str], which: Which = shutil.which, platform: str = sys.platform) -> list[str]:
    """Return the command that opens an address in a browser; empty if there is none."""
    if platform == "darwin":
        return ["open", "--"]
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")) and not which("wslview"):
        return []
    name = next((name for name in _OPENERS if which(name)), None)
    return [] if name is None else [name, "open"] if name == "gio" else [name]


async def open_url(command: Sequence[str], address: str) -> bool:
    """Open an address in a browser; return whether there is such a program.

    The address begins with http:// or https:// (`formatting.url` makes no others), so it can never be an option;
    xdg-open does not support `--`.
    """
    if not address.startswith(("http://", "https://")):
        return False
    with contextlib.suppress(OSError):
        await asyncio.create_subprocess_exec(
            *command, address, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, cwd="/"
        )
        return True
    return False


async def open_file(command: Sequence[str], path: str) -> bool:
    """Open a file with the desktop's program for it; return whether there are such a file and such a program.

    The path is absolute, so it can never be an option or an address; xdg-open does not support `--`.
    """
    if not path.startswith("/"):
        return False
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        await asyncio.create_subprocess_exec(
            *command, path, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, cwd="/"
        )
        return True
    return False


def editor(environment: Mapping[str, str]) -> list[str]:
    """Return the command of the user's editor; `vi` if they have set none."""
    named = environment.get("VISUAL") or environment.get("EDITOR") or "vi"
    with contextlib.suppress(ValueError):
        return shlex.split(named) or ["vi"]
    return ["vi"]


def edit(environment: Mapping[str, str], text: str) -> str | None:
    """Let the user edit a text in their editor. Return the edited text, or None if the editor failed.

    Raises OSError if it cannot be started.
    """
    with private_file(environment, text) as path:
        code = run_editor(environment, path)
        return None if code or not path.is_file() else path.read_text(encoding="utf-8", errors="replace")


def run_editor(environment: Mapping[str, str], path: Path) -> int:
    """Open a file in the user's editor, wait for its end, and return its exit code. Raises OSError if it cannot be
    started.
    """
    return foreground.run([*editor(environment), str(path)])


@contextlib.contextmanager
def private_file(environment: Mapping[str, str], text: str) -> Iterator[Path]:
    """A temporary file with a text for an editor, readable only by its owner, in memory if the system supports that,
    and deleted afterwards.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    folder = runtime if runtime and os.access(runtime, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="p2pchat-", dir=folder) as place:
        path = Path(place) / "message.txt"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        yield path


def save(home: Path, wanted: str, text: str) -> Path:
    """Write a text to a new file, as `new_file` makes one, and return its path. Raises OSError."""
    with new_file(home, wanted) as (path, file):
        file.write(text)
    return path


@contextlib.contextmanager
def new_file(home: Path, wanted: str) -> Iterator[tuple[Path, IO[str]]]:
    """Yield a new file that only its owner can read, and its path: in `home` if no folder is given, and under another
    name if that one exists. It is there only if the block ends without an error. Raises OSError.
    """
    with contextlib.ExitStack() as stack:
        yield _created(home, wanted, stack)


def _created(home: Path, wanted: str, stack: contextlib.ExitStack) -> tuple[Path, IO[str]]:
    try:
        return _first_free(home, wanted, stack)
    except RuntimeError:  # `~name`, where nobody is called so
        raise FileNotFoundError(errno.ENOENT, "there is no such home folder", wanted) from None
    except ValueError:
        raise OSError(errno.EINVAL, "the name has letters that no file can have here", wanted) from None


def _first_free(home: Path, wanted: str, stack: contextlib.ExitStack) -> tuple[Path, IO[str]]:
    folder, name = (home / Path(wanted).expanduser()).parent, Path(wanted).name
    stem, dot, suffix = name.partition(".")
    for number in range(1, 1_000):
        path = folder / (name if number == 1 else f"{stem}-{number}{dot}{suffix}")
        with contextlib.suppress(FileExistsError):
            return path, stack.enter_context(atomic_file.create(path, "utf-8"))
    raise FileExistsError(wanted)
