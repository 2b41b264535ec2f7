"""Events for faces: each subscriber has a bounded queue, and one that is too slow is told that it missed some."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from p2pchat.core.ids import MessageId
from p2pchat.lib.wakeup import Wakeup

Event = dict[str, Any]

CAPACITY = 10_000
"""One transaction can tell a thousand things at once, to one who reads as fast as it can. Subscribers share the
events.
"""


class Subscription:
    """The queue of events of one subscriber."""

    def __init__(self, hub: EventHub, capacity: int) -> None:
        self._hub = hub
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._lagged = False
        self._wake = Wakeup()

    def put(self, event: Event) -> None:
        """Keep an event for the subscriber; called by the hub, and never waits."""
        if len(self._queue) >= self._capacity:
            self._queue.clear()
            self._lagged = True
        else:
            self._queue.append(event)
        self._wake.set()

    async def receive(self) -> Event:
        """Wait for the next event; {"event": "lagged"} where some were lost: then read the store again."""
        while not self._queue and not self._lagged:
            self._wake.clear()
            await self._wake.wait()
        return self.receive_nowait()

    def receive_nowait(self) -> Event:
        """Return the next event at once. Raises `trio.WouldBlock` if there is none."""
        if self._lagged:
            self._lagged = False
            return {"event": "lagged"}
        if not self._queue:
            raise trio.WouldBlock
        return self._queue.popleft()

    def close(self) -> None:
        """End the subscription: no further events arrive."""
        self._hub.remove(self)


@dataclass(eq=False)
class Following:
    """How far one message has come, for a caller that waits: its newest state event, also that its file moved."""

    newest: Event | None = None
    moved: Wakeup = field(default_factory=Wakeup)


class EventHub:
    """Hands every event to every subscriber."""

    def __init__(self) -> None:
        self._subscribers: list[Subscription] = []
        self._following: dict[str, Following] = {}

    def subscribe(self, capacity: int = CAPACITY) -> Subscription:
        """Make a subscriber that may lag `capacity` events behind, in number."""
        subscription = Subscription(self, capacity)
        self._subscribers.append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscriber; harmless if it is gone."""
        if subscription in self._subscribers:
            self._subscribers.remove(subscription)

    @property
    def listened(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._subscribers)

    def publish(self, event: Event) -> None:
        """Tell everybody; waits for nobody."""
        for subscription in self._subscribers:
            subscription.put(event)
        if event["event"] in ("state", "file") and (following := self._following.get(event["id"])) is not None:
            if event["event"] == "state":
                following.newest = event
            following.moved.set()

    @contextmanager
    def follow(self, message_id: MessageId) -> Iterator[Following]:
        """Follow a message from before it is saved, without asking the store after every transaction."""
        following = self._following[message_id.hex()] = Following()
        try:
            yield following
        finally:
            del self._following[message_id.hex()]
