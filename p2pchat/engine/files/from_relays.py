"""Fetches blobs of one file from our file boxes at relays, by name, while its sender gives none.

The sender puts them there in order, so a relay that lacks the next ones in order lacks the rest too, and is left for a
while. What came from a relay is forgotten at all of them once it is on the disk. When nothing new comes, so is what was
here before, where there is no room for all of the file: the sender may have put it again, in place of what is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.ids import BlobName, QueueId, RelayName
from p2pchat.core.mailbox import NAMES_A_FORGET
from p2pchat.engine.files.plan import BlobWay, Plan
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Net, OwnQueue, Relay

BLOBS_A_REQUEST = 16
"""Blobs in one request to a relay."""
MAX_MISSES = 3
"""Answers of a relay in which nothing was, after which it is left for a while."""
LATE_SECONDS = 15.0
"""Seconds after which others are asked too for what a relay was asked for. Its answer counts when it comes."""
NAMES_A_REQUEST = 64
"""Blobs that a relay is told to forget in one request."""
FORGET_LATE_SECONDS = 5.0
"""Seconds after which it is told to forget fewer: a box may be smaller than that."""
FORGOTTEN_AGAIN = 4_096
"""Blobs that relays without room for all of a file are told to forget, and may long have forgotten, each time that
nothing new was there.
"""
FORGET_SECONDS = 60.0
"""Seconds for which relays are told what to forget of a file that is whole; its sender tells them too."""
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 900.0
"""Seconds between two times of asking the relays."""
NOT_THERE = "It waits for its sender: it is not at your relays."
NOT_ALL_THERE = "The rest waits for its sender: it is not at your relays."
NOT_REACHED = "It waits for its sender: your relays cannot be reached now."
NOT_IN_GROUP = "It is not at the group's relays, and no member gives it now."
NOT_ALL_IN_GROUP = "The rest is not at the group's relays, and no member gives it now."
GROUP_NOT_REACHED = "The group's relays cannot be reached now, and no member gives it."
NO_GROUP_RELAY = "It is at no relay, and no member gives it now."
NO_RELAY = "It waits for its sender: you use no relay where it could be."

OwnFileBox = tuple[Relay, OwnQueue]
"""A queue of ours at a relay that was announced to the sender: its file box is asked."""


@dataclass(eq=False, repr=False)
class FromRelays:
    """What comes from relays for one file. own_boxes: reads where its sender may have put something. keep: checks blobs
    and writes them, and returns how many were right. ready: waits until more may come. needed: whether nothing comes
    from the sender. changed: set by whoever changes the plan. asked: is told why no more comes from relays, in a whole
    sentence. unsaved: the slots of blobs that are here and not yet noted in the database. shared: the boxes are for a
    group, so nothing is forgotten there.
    """

    plan: Plan
    net: Net
    own_boxes: Callable[[], Awaitable[Sequence[OwnFileBox]]]
    keep: Callable[[Sequence[tuple[BlobPlace, bytes]]], Awaitable[int]]
    ready: Callable[[], Awaitable[object]]
    needed: Callable[[], bool]
    changed: Wakeup
    asked: Callable[[str], object] = lambda problem: None
    unsaved: Callable[[], Collection[int]] = tuple
    shared: bool = False
    _came: set[int] = field(default_factory=set)
    _to_forget: list[BlobName] = field(default_factory=list)
    _forgotten_again: int = 0
    """The slot up to which relays were told again what to forget."""
    _known: Sequence[OwnFileBox] = ()
    _answered: bool = False
    """Whether a relay has answered since all were asked last."""
    _ways: dict[tuple[RelayName, QueueId], BlobWay] = field(default_factory=dict)
    _pauses: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LONGEST_PAUSE))
    _anew: Wakeup = field(default_factory=Wakeup)

    async def run(self) -> None:
        """Ask while that is needed, and have relays forget what came, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forget_saved)
            while True:
                self._anew.clear()
                if self.needed():
                    await self._ask_all()
                with trio.move_on_after(self._pauses.pause()):
                    await self._anew.wait()

    def ask_anew(self) -> None:
        """Ask at once: there may be something new."""
        self._pauses.reset()
        self._anew.set()

    def saved(self, slots: Sequence[int]) -> None:
        """Note that these slots are on the disk."""
        if self.shared:
            return
        for slot in slots:
            if slot in self._came:
                self._came.discard(slot)
                name = self.plan.name(self.plan.layout.place(slot))
                if name is not None:
                    self._to_forget.append(name)

    async def _ask_all(self) -> None:
        self._known = await self.own_boxes()
        self._answered = False
        before = self.plan.here.count
        async with trio.open_nursery() as nursery:
            for relay, queue in self._known:
                box = relay.mailbox, queue.queue.id  # of two boxes at one relay, one may have what the other lacks
                if box not in self._ways:
                    self._ways[box] = self.plan.way()
                way = self._ways[box]
                way.ask_anew()
                nursery.start_soon(self._ask, relay, queue, way)
        if self.plan.here.count > before:
            self._pauses.reset()
        if self.needed() and not self.plan.whole:
            self.asked(self._why_no_more())
            if self._answered and self.plan.here.count == before and not self.shared:
                await self._forget_again()

    def _why_no_more(self) -> str:
        if not self._known:
            return NO_GROUP_RELAY if self.shared else NO_RELAY
        if not self._answered:
            return GROUP_NOT_REACHED if self.shared else NOT_REACHED
        if self.plan.here.count:
            return NOT_ALL_IN_GROUP if self.shared else NOT_ALL_THERE
        return NOT_IN_GROUP if self.shared else NOT_THERE

    async def _ask(self, relay: Relay, queue: OwnQueue, way: BlobWay) -> None:
        """Fetch what one relay has, until it has no more of it."""
        misses = 0
        while misses < MAX_MISSES and self.needed():
            await self.ready()
            places = self.plan.ask(way, BLOBS_A_REQUEST)
            if not places and self.plan.is_asked:  # elsewhere, and perhaps in vain
                await self.changed.wait()
                continue
            if not places:
                return
            held = list(places)
            try:
                names = [name for name in map(self.plan.name, places) if name is not None]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._give_back_late, held)
                    blobs = await self.net.mailboxes.boxes.get(relay, queue, names)
                    nursery.cancel_scope.cancel()
                if blobs is None:
                    return
                self._answered = True
                missing = [slot not in self.plan.here for slot in map(self.plan.layout.slot, places)]
                came = [
                    (place, blob)
                    for place, blob, wanted in zip(places, blobs, missing, strict=False)
                    if blob is not None and wanted
                ]
                misses = 0 if await self.keep(came) or not any(missing) else misses + 1
                slots = [self.plan.layout.slot(place) for place in places]
                self._came.update(slot for slot in slots if slot in self.plan.here)
                self.plan.lacks(
                    way, [place for place, slot in zip(places, slots, strict=True) if slot not in self._came]
                )
                unsaved = set(self.unsaved())  # what is noted already, since it came on another way, is not saved again
                self.saved([slot for slot in slots if slot in self._came and slot not in unsaved])
            finally:
                self.plan.done(held)
                self.changed.pulse()

    async def _give_back_late(self, held: list[BlobPlace]) -> None:
        """Let others be asked too for what a relay does not give in time."""
        await trio.sleep(LATE_SECONDS)
        self.plan.done(held)
        held.clear()
        self.changed.pulse()

    async def _forget_saved(self) -> None:
        while True:
            while not self._to_forget:
                await self.changed.wait()
            with trio.move_on_after(FORGET_LATE_SECONDS):
                while len(self._to_forget) < NAMES_A_REQUEST:
                    await self.changed.wait()
            await self._forget()

    async def _forget(self) -> None:
        names, self._to_forget = self._to_forget[:NAMES_A_REQUEST], self._to_forget[NAMES_A_REQUEST:]
        for relay, queue in self._known:
            await self.net.mailboxes.boxes.forget(relay, queue, names)

    async def _forget_again(self) -> None:
        """Have relays delete some of what was here before, and the next time others."""
        unsaved, slots = set(self.unsaved()), []
        for slot in range(self._forgotten_again, self.plan.layout.blobs):
            if slot in self.plan.here and slot not in unsaved:
                slots.append(slot)
                if len(slots) == FORGOTTEN_AGAIN:
                    break
        self._forgotten_again = slots[-1] + 1 if len(slots) == FORGOTTEN_AGAIN else 0
        names = [name for name in map(self.plan.name, map(self.plan.layout.place, slots)) if name is not None]
        for relay, queue in self._known:
            room = await self.net.mailboxes.boxes.room(relay)
            if room is None or self.plan.layout.blobs * BLOB_BYTES <= room:
                continue  # nothing of it is in the way there
            for start in range(0, len(names), NAMES_A_FORGET):
                if not await self.net.mailboxes.boxes.forget(relay, queue, names[start : start + NAMES_A_FORGET]):
                    break

    async def forget_rest(self) -> None:
        """Have relays delete the last of it, for a while at most, once the file is whole."""
        with trio.move_on_after(FORGET_SECONDS):
            while self._to_forget:
                await self._forget()
