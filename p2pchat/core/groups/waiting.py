"""Events that wait for those they name, within a bound."""

from __future__ import annotations

from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.ids import EventId

MAX_WAITING = 1_024
MAX_WAITING_BYTES = 8 * 1024 * 1024


class WaitingEvents:
    """Events by what they wait for. Anybody can sign one that names what will never come, so the oldest give way."""

    def __init__(self) -> None:
        self._events: dict[EventId, GroupEvent] = {}
        self._needs: dict[EventId, set[EventId]] = {}
        self._children: dict[EventId, set[EventId]] = {}
        self._bytes = 0

    def keep(self, event: GroupEvent, missing: tuple[EventId, ...], *, bounded: bool) -> tuple[EventId, ...]:
        """Keep an event until these are there. Returns those that were given up to make room, unless not `bounded`."""
        if event.id not in self._events:
            self._events[event.id] = event
            self._bytes += len(event.raw)
            self._needs[event.id] = set(missing)
            for parent in missing:
                self._children.setdefault(parent, set()).add(event.id)
        dropped = []
        while bounded and (len(self._events) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES):
            dropped.append(next(iter(self._events)))
            self._remove(dropped[-1])
        return tuple(dropped)

    def release(self, parent: EventId) -> list[GroupEvent]:
        """Return the events that waited for nothing but this one, which is there now."""
        released = []
        for child in self._children.pop(parent, ()):
            self._needs[child].discard(parent)
            if not self._needs[child]:
                released.append(self._remove(child))
        return released

    def abandon(self, parent: EventId) -> list[GroupEvent]:
        """Give up the events that wait for one that will never be there, and return them."""
        return [self._remove(child) for child in list(self._children.get(parent, ()))]

    def _remove(self, event_id: EventId) -> GroupEvent:
        event = self._events.pop(event_id)
        self._bytes -= len(event.raw)
        for parent in self._needs.pop(event_id):
            children = self._children.get(parent)
            if children is not None:
                children.discard(event_id)
                if not children:
                    del self._children[parent]
        return event
