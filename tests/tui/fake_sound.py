"""A microphone and a loudspeaker that are not there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from p2pchat import errors
from p2pchat.tui.sound import Sound
from tests.tui.fake_files import PEAKS

PATIENCE = 20
"""Seconds after which a device that is not ready fails the test."""
NOTE = SimpleNamespace(data=b"OggS", duration=7_000, peaks=bytes(PEAKS))


class FakePlayer:
    """A loudspeaker that does not move on by itself. ready: set once it can be opened."""

    def __init__(self, data: bytes, ready: threading.Event) -> None:
        self.data = data
        self._ready = ready
        self.speed = 1.0
        self.position = 0
        self.playing = False

    def play(self) -> None:
        """Begin."""
        assert self._ready.wait(PATIENCE)
        self.playing = True

    def pause(self) -> None:
        """End."""
        self.playing = False


class FakeRecorder:
    """A microphone that hears a little. ready: set once it can be opened."""

    def __init__(self, ready: threading.Event) -> None:
        self._ready = ready
        self.running = self.full = False
        self.level, self.milliseconds = 200, 3_000
        self.discarded = False

    def start(self) -> None:
        """Begin."""
        assert self._ready.wait(PATIENCE)
        self.running = True

    def pause(self) -> None:
        """Pause."""
        self.running = False

    def stop(self) -> Any:
        """End, with a note."""
        self.running = False
        return NOTE

    def discard(self) -> None:
        """Forget it."""
        self.running, self.discarded = False, True


class FakeSound(Sound):
    """No device, no library."""

    max_bytes = 100_000
    speeds = (1.0, 1.5, 2.0)

    def __init__(self) -> None:
        super().__init__()
        self.players: list[FakePlayer] = []
        self.recorders: list[FakeRecorder] = []
        self.problem: errors.P2PChatError | None = None
        self.ready = threading.Event()
        self.ready.set()

    def player(self, data: bytes) -> FakePlayer:
        if self.problem is not None:
            raise self.problem
        self.players.append(FakePlayer(data, self.ready))
        return self.players[-1]

    def recorder(self) -> FakeRecorder:
        if self.problem is not None:
            raise self.problem
        self.recorders.append(FakeRecorder(self.ready))
        return self.recorders[-1]

    @contextlib.contextmanager
    def kept(self, note: Any) -> Iterator[Path]:
        yield Path("/tmp/voice.ogg")
