"""What plays a voice note and what records one. Devices and codec are not loaded before they are used."""

from __future__ import annotations

from typing import Any, Protocol


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


class Sound:
    """Makes what plays a note and what records one. Replaced in tests, which have no devices."""

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
