"""Real processes for the tests at the seams: started here, waited for by what they say, and always ended."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import prefork

PATIENCE = 60.0
"""Seconds until a test gives up; nothing here waits this long when all is well."""

TOLD = 4000
"""So many letters of what a process logged are shown with a test that failed."""

MAX_ANSWERS = 10
"""So many of the answers that people got last are shown too."""

SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    def object(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


class Running:
    """A process that says one JSON object a line on stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._rest = b""
        self._logged = b""
        self._awaited = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> Any:
        """The next object it says."""
        return json.loads(self.line())

    def line(self) -> bytes:
        """The next line of its stdout; EOFError when there is none."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise TimeoutError(f"{self.process.args!r} said no more than {self._rest!r}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise EOFError(f"{self.process.args!r} ended with {self.process.wait(PATIENCE)}")
            self._rest += piece
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def until_said(self, text: str) -> None:
        """Wait until its stderr has this, after what was waited for before."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + PATIENCE
        while (place := self._logged.find(text.encode(), self._awaited)) < 0:
            readable, _, _ = select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self.process.stderr.fileno(), 65536) if readable else b""
            if not piece:
                raise TimeoutError(f"{self.process.args!r} did not say {text!r}, but {self._logged!r}")
            self._logged += piece
        self._awaited = place + len(text.encode())

    def tell(self) -> None:
        """End it, and print what it had on stderr: pytest shows that if the test failed."""
        ended = "ran on" if self.process.poll() is None else f"ended with {self.process.returncode}"
        if self.process.poll() is None:
            self.process.kill()
        with suppress(ValueError):  # what it said has been read to the end
            self._logged += self.process.communicate(timeout=PATIENCE)[1] or b""
        if self._logged or ended == "ran on":
            print(f"--- {self.process.args!r} {ended}\n{self._logged.decode(errors='replace')[-TOLD:]}")

    def end(self, how: int = signal.SIGTERM) -> Done:
        """Send a signal and wait."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> Done:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        self._rest, self._logged = self._rest + out, self._logged + err
        return Done(self.process.returncode, self._rest.decode(), self._logged.decode())


@dataclass
class Place:
    """A folder for profiles with a runtime folder of its own; every process started in it is ended with it."""

    folder: Path
    started: list[Running] = field(default_factory=list)
    within: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Profile → the command that runs others where this profile's machine is; without one that is this machine."""
    given: dict[str, dict[str, str]] = field(default_factory=dict)
    """Profile → what its processes find in their environment besides."""
    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    """Profile and verb, or method of the API → what it was told last; a test that failed shows the latest of these."""
    executed: set[str] = field(default_factory=set)
    """Profiles whose started processes are executed, not forked, so that their memory is their own alone."""

    def environment(self, profile: str = "") -> dict[str, str]:
        """What processes here are given, or those of a profile."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **kept,
            "LC_ALL": "C.UTF-8",  # whatever the language of whoever runs the tests
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(SOURCE),
            "P2PCHAT_NO_PORT_MAPPING": "nobody asks the router of whoever runs the tests",
            **self.given.get(profile, {}),
        }

    def command(self, profile: str, *words: str) -> list[str]:
        """The command line of `p2pchat --profile … words`."""
        python = (*self.within.get(profile, ()), sys.executable)
        return [*python, "-m", "p2pchat", "--profile", str(self.folder / profile), *words]

    def start(self, profile: str, *words: str, stdin: int = subprocess.DEVNULL) -> Running:
        """Start `p2pchat --json --profile … words`."""
        process = (subprocess.Popen if profile in self.executed else self._popen)(
            self.command(profile, "--json", *words),
            env=self.environment(profile),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running = Running(process)
        self.started.append(running)
        return running

    def plain(self, *words: str) -> Running:
        """Start `p2pchat words`, as a person would."""
        process = subprocess.Popen(
            [sys.executable, "-m", "p2pchat", *words],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running = Running(process)
        self.started.append(running)
        return running

    def run(self, profile: str, *words: str, stdin: str | None = None) -> Done:
        """Run `p2pchat --profile … words` to its end."""
        process = self._popen(
            self.command(profile, *words),
            env=self.environment(profile),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=PATIENCE)
        except BaseException:
            process.kill()
            raise
        done = Done(process.returncode, out.decode(), err.decode())
        self.answer(profile, next((word for word in words if not word.startswith("-")), ""), (words, done))
        return done

    def answer(self, profile: str, verb: str, answer: object) -> None:
        """Keep what somebody was told last."""
        self.answers.pop((profile, verb), None)
        self.answers[profile, verb] = repr(answer)[:TOLD]

    @property
    def _popen(self) -> type[subprocess.Popen[bytes]]:
        """How programs are started: forked where that is possible, see `prefork`."""
        return prefork.Popen if prefork.usable() else subprocess.Popen

    def node(self, profile: str, *words: str) -> Running:
        """A node in the foreground on loopback that has said its first event, which is in `.first`."""
        return self.start(profile, "node", "--listen", "/ip4/127.0.0.1/tcp/0", *words)

    def processes(self) -> list[int]:
        """Every process of this machine that names this place in its command line."""
        found = [running.pid for running in self.started if running.process.poll() is None]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (os.getpid(), *found):
                with suppress(OSError):
                    if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found


@contextmanager
def place() -> Iterator[Place]:
    """A place with a short path (a socket's has room for 108 bytes), gone afterwards with all that ran in it."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    try:
        for name in ("run", "data", "tmp"):
            (folder / name).mkdir(mode=0o700)
        made = Place(folder)
        yield made
    finally:
        for (profile, verb), answer in list(made.answers.items())[-MAX_ANSWERS:]:
            print(f"--- {profile}: {verb} {answer}")
        for running in made.started:
            running.tell()
        for pid in made.processes():  # nodes that faces started
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for log in folder.rglob("node.log"):
            print(f"--- {log.relative_to(folder)}\n{log.read_text(errors='replace')[-TOLD:]}")
        shutil.rmtree(folder, ignore_errors=True)
