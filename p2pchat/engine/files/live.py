"""What is known of files while they move, and is never stored: how far, how fast, and why nothing comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio

from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.ids import ContactId, MessageId, direct_contact
from p2pchat.engine.files.meter import TELL_EVERY_SECONDS, FileMeter
from p2pchat.engine.files.plan import Bits
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


NOT_READ = "It cannot be read here now, so no more of it is left at their relays."
NO_RELAY = "They use no relay where it could wait."
NO_BOX = "Their relays keep no files."
TOO_LARGE = "Their relays have room for a part of it at a time; the next follows while this computer is on."
NO_ROOM = "Their relays have no room for more now; it is tried again."
NOT_REACHED = "Their relays cannot be reached now; it is tried again."
_PROBLEMS = (NOT_READ, NO_RELAY, NO_ROOM, NOT_REACHED, TOO_LARGE, NO_BOX)
"""Why a file cannot be left at a relay. Where relays differ, the first of these is said."""
_IN_GROUPS = {
    NOT_READ: "It cannot be read here now, so no more of it is left at the group's relays.",
    NO_RELAY: "No relay is known where it could wait for the members.",
    NO_BOX: "The group's relays keep no files.",
    TOO_LARGE: "The group's relays have no room for all of it: the rest is fetched while this computer is on.",
    NO_ROOM: "The group's relays have no room for more now; it is tried again.",
    NOT_REACHED: "The group's relays cannot be reached now; it is tried again.",
}
_MAY_LIE = frozenset({FileState.WAITING.value, FileState.PAUSED.value, "moving"})
"""The states in which something of one of our files may be at relays for its recipient."""


@dataclass(eq=False, repr=False)
class Leaving:
    """One of our files that is being left at relays, or was; what has been fetched from there counts too. id: of its
    message. until: when relays drop it (ms). problems: why one of them does not take all of it, by their queues.
    """

    row: FileRow
    id: MessageId
    until: int
    problems: dict[int, str] = field(default_factory=dict)
    meter: FileMeter = field(default_factory=FileMeter)
    _lying: dict[int, Bits] = field(default_factory=dict)
    """The slots of the blobs that lie in each queue, or have lain there."""

    @property
    def contact(self) -> ContactId:
        """Whom it is for; a stand-in for a group."""
        return direct_contact(self.row.chat)

    @property
    def key(self) -> _Key:
        """By what its message is found among those that are shown."""
        return self.row.chat.hex(), self.id.hex(), True

    @property
    def stored(self) -> float | None:
        """The share of its blobs that is, or has been, at the relay that got most of them; None if none got any."""
        return self._most / self.row.layout.blobs or None

    @property
    def problem(self) -> str:
        """Why no relay takes all of it, as a whole sentence, or ""."""
        if any(queue not in self.problems for queue in self._lying):
            return ""
        found = next((problem for problem in _PROBLEMS if problem in self.problems.values()), "")
        return _IN_GROUPS.get(found, found) if self.row.shared else found

    def use(self, queues: Iterable[int]) -> None:
        """Count only what is in these queues from now on."""
        wanted = set(queues)
        self._lying = {queue: self._lying.get(queue) or Bits(self.row.layout.blobs) for queue in wanted}
        self.problems = {queue: problem for queue, problem in self.problems.items() if queue in wanted}

    def note(self, queue: int, slots: Iterable[int], *, there: bool, now: float | None = None) -> None:
        """Note that blobs are in a queue, or are not. now: when they were put there, in seconds of trio's clock."""
        bits, before = self._lying.get(queue), self._most
        if bits is not None:
            for slot in slots:
                (bits.add if there else bits.discard)(slot)
        if now is not None:
            self.meter.moved(BLOB_BYTES * max(0, self._most - before), now)

    @property
    def _most(self) -> int:
        return max((bits.count for bits in self._lying.values()), default=0)


class Live:
    """All files that move. publish: tells the faces. linked: whether there is a link with a contact."""

    def __init__(
        self, publish: Callable[[dict[str, Any]], object], linked: Callable[[ContactId], bool] = lambda contact: False
    ) -> None:
        self._publish = publish
        self._linked = linked
        self._leaving: dict[_Key, Leaving] = {}
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
        moving, leaving = self._moving.get(key := (row.chat.hex(), id.hex(), row.mine)), self._leaving.get(key)
        said = "" if moving is None else moving.problem
        return said if leaving is None or self._linked(leaving.contact) else said or leaving.problem

    # --- what of ours lies at relays

    def leaving(self, row: FileRow, id: MessageId, until: int) -> Leaving:
        """Return what is known of one of our files at relays, of which the store has this row now."""
        new = Leaving(row, id, until)
        known = self._leaving.setdefault(new.key, new)
        known.row, known.until = row, until
        return known

    def taken_back(self, row: FileRow) -> None:
        """Forget about relays: nothing of one of our files is there any more."""
        self._drop([key for key, leaving in self._leaving.items() if leaving.row.message == row.message])

    def look(self, now: int) -> None:
        """Forget about files that relays have dropped. now: ms."""
        self._drop([key for key, leaving in self._leaving.items() if leaving.until < now])

    def _drop(self, keys: Iterable[_Key]) -> None:
        for key in keys:
            del self._leaving[key]

    def stored(self, chat: str, id: str) -> float | None:
        """Return the share of one of our files that is at a relay of its recipient, or None. chat, id: in hex."""
        leaving = self._leaving.get((chat, id, True))
        return None if leaving is None else leaving.stored

    def why_not(self, chat: str, id: str) -> str:
        """Return why no relay takes all of one of our files, as a whole sentence, or "". chat, id: in hex."""
        leaving = self._leaving.get((chat, id, True))
        return "" if leaving is None else leaving.problem

    def tell_left(self, leaving: Leaving, *, now: bool = False) -> None:
        """Tell the faces how much of a file is at relays, as `tell` does."""
        at = trio.current_time()
        if self._leaving.get(leaving.key) is leaving and (leaving.meter.is_due(at) or now):
            self._send_left(leaving, at)
            self._told.set()

    def link_changed(self, contact: ContactId) -> None:
        """Tell the faces of what is left for a contact, with whom a link has begun or ended."""
        for leaving in self._leaving.values():
            if leaving.contact == contact and leaving.problem:
                self._send_left(leaving, trio.current_time())

    def add_left(self, file: Json, chat: str, id: str) -> None:
        """Put into the object of one of our files what is known of it at relays. chat, id: in hex."""
        leaving = self._leaving.get((chat, id, True))
        if leaving is None or file["state"] not in _MAY_LIE:
            return
        file["stored"] = leaving.stored
        if file["state"] == FileState.WAITING:
            file["rate"] = file["rate"] or leaving.meter.rate(trio.current_time())
            if not self._linked(leaving.contact):
                file["problem"] = file["problem"] or leaving.problem

    def _send_left(self, leaving: Leaving, at: float) -> None:
        chat, id, _ = leaving.key
        moving = self._moving.get(leaving.key)
        file = views.file(leaving.row) if moving is None else moving.shown(at)
        self.add_left(file, chat, id)
        self._publish({"event": "file", "id": id, "chat": chat, "file": file})

    # --- all of them

    def show(self, messages: list[Json]) -> list[Json]:
        """Put what is known of files that move into message objects that were read from the store, and return these."""
        now = trio.current_time()
        for message in messages:
            if message["file"] is not None:
                moving = self._moving.get((message["chat"], message["id"], message["mine"]))
                if moving is not None and message["file"]["state"] == FileState.WAITING:
                    message["file"] = moving.shown(now)
                if message["mine"]:
                    self.add_left(message["file"], message["chat"], message["id"])
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
            leaving = [leaving for leaving in self._leaving.values() if leaving.meter.moved_before]
            for each in leaving:
                if not each.meter.moves(now):
                    each.meter = FileMeter()
                    self._send_left(each, now)
            if not any(moving.moves for moving in self._moving.values()) and not leaving:
                self._told.clear()

    def _send(self, moving: Moving, now: float) -> None:
        chat, id, mine = moving.key
        file = moving.shown(now)
        if mine:
            self.add_left(file, chat, id)
        self._publish({"event": "file", "id": id, "chat": chat, "file": file})
