"""The program in a terminal, as a person has it: keys go in, a picture comes out.

Two kinds, used alike. `Terminal` is a pseudo-terminal with our own `emulator`: it needs nothing but Python, and it sees
every byte. `Tmux` runs the program in tmux, a real terminal made by others, and needs tmux.

Nothing here sleeps. A thread reads what the terminal is sent; whoever waits looks at the picture again each time
something new has come, until it is as it must be or `PATIENCE` is over. Then the test fails and shows the picture.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.cells import cell_len

from tests.support import prefork
from tests.support.emulator import Emulator
from tests.support.processes import PATIENCE, Place

KEYS = {
    "enter": b"\r",
    "esc": b"\x1b",
    "tab": b"\t",
    "shift+tab": b"\x1b[Z",
    "backspace": b"\x7f",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "ctrl+end": b"\x1b[1;5F",
    "ctrl+up": b"\x1b[1;5A",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "delete": b"\x1b[3~",
    "space": b" ",
    "f1": b"\x1bOP",
    "f2": b"\x1bOQ",
    "f3": b"\x1bOR",
    "f4": b"\x1bOS",
    **{f"ctrl+{letter}": bytes([ord(letter) - 96]) for letter in "abcdefghijklmnopqrstuvwxyz"},
    **{f"alt+{key}": b"\x1b" + key.encode() for key in "abcdefghijklmnopqrstuvwxyz0123456789"},
}

REST = 0.05
"""Seconds without news after which a picture is whole."""

_FRAMES = re.compile(rb"(?<=\x1b\[\?2026l)")
"""Where a frame ends (synchronized output)."""

# Makes the terminal the one that controls the process, as a login does, then becomes the program.
_BEGIN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        columns: int = 80,
        rows: int = 24,
        *,
        executed: bool = False,
    ) -> None:
        self.raw = bytearray()
        self.columns, self.rows = columns, rows
        self.screen = Emulator(columns, rows)
        self._news = threading.Condition()
        self._seen = 0
        self._over = False
        self._sought: Callable[[str], bool] | None = None
        self._found: str | None = None
        self._master, slave = pty.openpty()
        self._wake, self._waker = os.pipe()
        self._size()
        forked = not executed and prefork.usable() and prefork.words_of(command) is not None
        self.process = (prefork.Popen if forked else subprocess.Popen)(
            command if forked else [sys.executable, "-I", "-S", "-c", _BEGIN, *command],
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The program's process."""
        return self.process.pid

    # --- what a person does

    def type(self, text: str) -> None:
        """Letters, one after the other."""
        self._write(text.encode())

    def press(self, *names: str) -> None:
        """Keys by their names in `KEYS`, or letters."""
        for name in names:
            self._write(KEYS.get(name) or name.encode())

    def paste(self, text: str) -> None:
        """As a terminal pastes where the program asked to be told (bracketed paste): newlines as carriage returns."""
        self._write(b"\x1b[200~" + text.replace("\n", "\r").encode() + b"\x1b[201~")

    def click(self, text: str, *, button: int = 1, last: bool = False, beside: str = "") -> None:
        """A mouse button on the first place that shows this text, or on the last, in a line that has `beside` too."""
        self.until(lambda shown: any(text in line and beside in line for line in shown.split("\n")), text)
        self._rested()  # a place is pointed at: it must not be elsewhere when the click arrives
        lines = self.until(lambda shown: any(text in line and beside in line for line in shown.split("\n")), text)
        places = [
            (row, match.start())
            for row, line in enumerate(lines.split("\n"))
            if beside in line
            for match in re.finditer(re.escape(text), line)
        ]
        row, letters = places[-1 if last else 0]
        column = cell_len(lines.split("\n")[row][:letters])
        place = f"{button - 1};{column + 1};{row + 1}"
        self._write(f"\x1b[<{place}M\x1b[<{place}m".encode())

    def focus(self, on: bool) -> None:
        """The window is before the person, or another one is."""
        self._write(b"\x1b[I" if on else b"\x1b[O")

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window."""
        with self._news:
            self.columns, self.rows = columns, rows
            self.screen.resize(columns, rows)
        self._size()

    def signal(self, number: int) -> None:
        """A signal to the program."""
        os.kill(self.pid, number)

    def signal_child(self, number: int) -> None:
        """A signal to what the program, a shell, has started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(children[0]), number)

    def close(self) -> None:
        """The window is closed: the program loses its terminal (SIGHUP)."""
        self._stop_reading()
        with suppress(OSError):
            os.close(self._master)

    # --- what a person sees

    def text(self) -> str:
        """The picture, without colours."""
        return self.screen.text()

    def until(self, seen: Callable[[str], bool], what: str) -> str:
        """Wait until the picture is as `seen` wants it; the picture. The reader looks at each: one that came and went
        meanwhile counts.
        """
        deadline = time.monotonic() + PATIENCE
        self._found = None
        while True:
            with self._news:
                number, over, shown = self._seen, self._over, self.text()
                if self.screen.forbidden:
                    raise AssertionError(f"the program sent {self.screen.forbidden!r}\n{self.picture()}")
                if "frame" not in self.screen.modes and seen(shown):
                    self._sought = None
                    return shown
                if self._found is not None:
                    return self._found
                self._sought = seen
                if over:
                    raise AssertionError(f"the program ended, waiting for {what}\n{self.picture()}")
                while number == self._seen:
                    if not self._news.wait(max(0.0, deadline - time.monotonic())):
                        raise AssertionError(f"waited in vain for {what}\n{self.picture()}")

    def wait(self, *texts: str) -> str:
        """Wait until all of these are to be seen; the picture."""
        return self.until(lambda shown: all(one in shown for one in texts), " and ".join(map(repr, texts)))

    def gone(self, *texts: str) -> str:
        """Wait until none of these is to be seen; the picture."""
        return self.until(lambda shown: not any(one in shown for one in texts), f"{texts!r} to be gone")

    def clipboard(self) -> str:
        """What the program copied last."""
        return self.screen.clipboard

    def picture(self) -> str:
        """The picture in a frame, for a message."""
        edge = "─" * self.columns
        return "\n".join([f"┌{edge}┐", *(f" {line}" for line in self.text().rstrip().split("\n")), f"└{edge}┘"])

    def ended(self) -> int:
        """Wait for the program's end; its exit code, below 0 for a signal."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def end(self) -> None:
        """Whatever still runs here is ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.close()

    # --- inside

    def _rested(self) -> None:
        """Wait until nothing new has come for a moment."""
        with self._news:
            while self._news.wait(REST):
                pass

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data) :]

    def _size(self) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))

    def _read(self) -> None:
        while True:
            readable, _, _ = select.select([self._master, self._wake], [], [])
            data = b""
            if self._wake not in readable:
                with suppress(OSError):  # the other side of the terminal is closed
                    data = os.read(self._master, 65536)
            with self._news:
                self.raw += data
                if data:
                    self._take(data)
                self._seen += 1
                self._over = not data
                self._news.notify_all()
                if self._over:
                    return

    def _take(self, data: bytes) -> None:
        for frame in _FRAMES.split(data):
            self.screen.feed(frame)
            if self._sought is not None and "frame" not in self.screen.modes and self._sought(shown := self.text()):
                self._sought, self._found = None, shown
        for reply in self.screen.replies:
            self._write(reply)
        self.screen.replies.clear()

    def _stop_reading(self) -> None:
        if self._reader.is_alive():
            os.write(self._waker, b"x")
            self._reader.join(PATIENCE)


class Tmux(Terminal):
    """The same in tmux. What its client writes says that there is something new; the picture is tmux's own."""

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        columns: int = 80,
        rows: int = 24,
        *,
        executed: bool = True,
    ) -> None:
        if shutil.which("tmux") is None:
            raise AssertionError("This test drives a real terminal and needs tmux: apt-get install tmux")
        self._folder = Path(tempfile.mkdtemp(prefix="tmux-", dir=environment.get("TMPDIR")))
        settings = self._folder / "conf"
        settings.write_text(
            "set -g status off\nset -g default-terminal tmux-256color\nset -g escape-time 20\nset -g mouse on\n"
            "set -g set-clipboard on\nset -g default-shell /bin/sh\nset -g window-size latest\n"
        )
        self._tmux = ["tmux", "-S", str(self._folder / "s"), "-f", str(settings)]
        # A person's shell: it is still there when the program has ended, in the terminal as the program left it.
        shell = ["/bin/sh", "-c", '"$@"; echo "[ended with $?]"; exec cat', "sh", *command]
        given = {**environment, "TERM": "xterm-256color"}
        super().__init__([*self._tmux, "new-session", *shell], given, columns, rows, executed=True)

    @property
    def pid(self) -> int:
        shell = self.ask("#{pane_pid}")
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])

    def text(self) -> str:
        shown = self._run("capture-pane", "-p")
        return "\n".join(line.rstrip() for line in shown.split("\n")[: self.rows])

    def ask(self, what: str) -> str:
        """One of tmux's formats, such as #{alternate_on}."""
        return self._run("display-message", "-p", what).strip()

    def clipboard(self) -> str:
        return self._run("show-buffer")

    def close(self) -> None:
        self._run("kill-server")
        super().close()

    def ended(self) -> int:
        shown = self.wait("[ended with ")
        return int(shown.rpartition("[ended with ")[2].partition("]")[0])

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *words: str) -> str:
        run = subprocess.run([*self._tmux, *words], capture_output=True, timeout=PATIENCE, check=False)
        return run.stdout.decode(errors="replace")

    def _take(self, data: bytes) -> None:
        """Not for us: tmux says more than a program may."""


KINDS: dict[str, type[Terminal]] = {"pty": Terminal, "tmux": Tmux}


@contextmanager
def terminal(
    here: Place,
    command: Sequence[str],
    kind: str = "pty",
    columns: int = 80,
    rows: int = 24,
    executed: bool = False,
    **more: str,
) -> Iterator[Terminal]:
    """A program in a terminal of a kind, with more environment; ended at the end. Ours is forked, unless `executed`."""
    environment = {
        **here.environment(),
        "TERM": "tmux-256color",
        "COLORTERM": "truecolor",
        **more,
    }
    made = KINDS[kind](command, environment, columns, rows, executed=executed)
    try:
        yield made
    finally:
        made.end()


def program(here: Place, profile: str, *words: str) -> list[str]:
    """The command line of the screen for a profile."""
    return [sys.executable, "-m", "p2pchat", "--profile", str(here.folder / profile), *words]
