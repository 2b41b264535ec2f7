"""What plays a voice note and what records one. Devices and codec are not loaded before they are used.

A device is opened and closed in a thread: a server of sound may take seconds for it, and the screen goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Plays(Protocol):
    """Plays one voice note (`media.sound.Player`)."""

    speed: float

    @property
    def playing(self) -> bool:
        """Whether the loudspeaker is open."""
        ...

    @property
    def position(self) -> int:
        """Where in the note it is, in ms."""
        ...

    def play(self) -> None:
        """Go on, from the beginning if it is at its end. Raises NoSound."""

    def pause(self) -> None:
        """Close the loudspeaker; the position stays."""


class Devices:
    """The one thread in which devices are opened and closed, in the order in which that was asked for: what is to be
    closed while it is still being opened is closed after that.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "sound")

    async def use(self, function: Callable[[], T]) -> T:
        """Run a method of a player or a recording that opens or closes a device, and return what it does. Cancelled, it
        runs nevertheless.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def leave(self, function: Callable[[], object]) -> None:
        """The same, and nobody waits for it: a device is not needed any more."""
        self._thread.submit(function)


class Sound:
    """Makes what plays a note and what records one. Replaced in tests, which have no devices."""

    def __init__(self) -> None:
        self.devices = Devices()

    @property
    def max_bytes(self) -> int:
        """The largest file that is taken for a note."""
        from p2pchat.media import voice

        return voice.MAX_BYTES

    @property
    def speeds(self) -> tuple[float, ...]:
        """The speeds at which a note can be played."""
        from p2pchat.media import voice

        return voice.SPEEDS

    def player(self, data: bytes) -> Plays:
        """Return what plays the note in a file; it is decoded in another process. Blocks: call it in a thread. Raises
        NoVoiceNote and VoiceMissing.
        """
        from p2pchat.media import voice

        return voice.Player(voice.sound(data))

    def recorder(self) -> Any:
        """Return a new recording. Raises VoiceMissing."""
        from p2pchat.media import voice

        return voice.Recorder()

    def kept(self, note: Any) -> Any:
        """Return a context with the path of a private file of a note."""
        from p2pchat.media import voice

        return voice.kept(note)
