"""What is known of files while they move, and is never stored: how far, how fast, and why nothing comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from p2pchat.core.ids import MessageId
from p2pchat.engine.files.meter import TELL_EVERY_SECONDS, FileMeter
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.views import Json
from p2pchat.lib.wakeup import Wakeup
from p2pchat.store.files import FileRow, FileState

_Key = tuple[str, str, bool]


@dataclass(eq=False, repr=False)
class Moving:
    """A file that is fetched, here or by its recipient. id: of its message. done: chunks that have come, or were given
    out. problem: a whole sentence while nothing moves, or "". state: what is shown while there is one.
    """

    row: FileRow
    id: MessageId
    done: int = 0
    problem: str = ""
    state: FileState = FileState.WAITING
    meter: FileMeter = field(default_factory=FileMeter)
    moves: bool = False
    """Whether faces were told last that it moves."""

    @property
    def key(self) -> _Key:
        """By what its message is found among those that are shown."""
        return self.row.chat.hex(), self.id.hex(), self.row.mine

    def shown(self, now: float) -> Json:
        """Return the object of the file as it is at `now`, in seconds of trio's clock."""
        self.moves = self.meter.moves(now)
        return {
            **views.file(self.row),
            "state": self.state if self.problem else "moving" if self.moves else self.row.state,
            "progress": self.done / self.row.layout.chunks,
            "rate": self.meter.rate(now),
            "problem": self.problem or self.row.problem,
        }


class Live:
    """All files that move. publish: tells the faces."""

    def __init__(self, publish: Callable[[dict[str, Any]], object]) -> None:
        self._publish = publish
        self._moving: dict[_Key, Moving] = {}
        self._told = Wakeup()

    def begin(self, moving: Moving) -> None:
        """Show a file as it moves from now on."""
        self._moving[moving.key] = moving

    def end(self, moving: Moving) -> None:
        """Show a file as it is stored from now on."""
        if self._moving.get(moving.key) is moving:
            del self._moving[moving.key]

    def tell(self, moving: Moving, *, now: bool = False) -> None:
        """Tell the faces how far a file is, but not more often than four times a second, unless it has to be `now`."""
        at = trio.current_time()
        if moving.meter.is_due(at) or now:
            self._send(moving, at)
            self._told.set()

    def problem(self, row: FileRow, id: MessageId) -> str:
        """Return why nothing of a file comes now, as a whole sentence, or ""; id: that of its message."""
        moving = self._moving.get((row.chat.hex(), id.hex(), row.mine))
        return "" if moving is None else moving.problem

    def show(self, messages: list[Json]) -> list[Json]:
        """Put what is known of files that move into message objects that were read from the store, and return these."""
        now = trio.current_time()
        for message in messages:
            if message["file"] is not None:
                moving = self._moving.get((message["chat"], message["id"], message["mine"]))
                if moving is not None and message["file"]["state"] == FileState.WAITING:
                    message["file"] = moving.shown(now)
        return messages

    async def run(self) -> None:
        """Tell the faces when a file does not move any more, until cancelled."""
        while True:
            await self._told.wait()
            await trio.sleep(4 * TELL_EVERY_SECONDS)
            now = trio.current_time()
            for moving in [moving for moving in self._moving.values() if moving.moves]:
                if not moving.meter.moves(now):
                    self._send(moving, now)
            if not any(moving.moves for moving in self._moving.values()):
                self._told.clear()

    def _send(self, moving: Moving, now: float) -> None:
        chat, id, _ = moving.key
        self._publish({"event": "file", "id": id, "chat": chat, "file": moving.shown(now)})
