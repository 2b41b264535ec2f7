"""The interface between engine and net for logs at relays, which carry groups. See `ports` for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from p2pchat.core.ids import QueueId, RelayName
from p2pchat.core.logs import LogKeys
from p2pchat.core.relays import Relay


class GroupLogs(Protocol):
    """Logs at relays, which carry groups (docs/protocol/logs.md). What comes is reported to the
    `LogCallbacks`.
    """

    def watch(self, relay: Relay, logs: Sequence[tuple[LogKeys, int]]) -> None:
        """Read these logs at this relay, each from behind a place (0: from its beginning), and go on as they grow. A
        further call replaces the list, and those in both lists go on where they are; an empty one ends it.
        """
        ...

    async def append(
        self, relay: Relay, keys: LogKeys, hours: int, blobs: Sequence[bytes], *, as_admin: bool = False
    ) -> Sequence[int | None] | None:
        """Append at most 64 blobs, each of a size in `core.logs.LOG_SIZES`, to a log, to be kept for so many hours or
        for as long as the relay does. Return a code of `core.mailbox` for each: 0, it is on its disk, now or from
        before; None, nobody knows. Return None where the relay was not reached, or is this node. Waits, at most a
        minute and the time for one stamp; does not raise.

        as_admin: with the admins' key, for which room is kept in a log that is full.
        """
        ...


class LogCallbacks(Protocol):
    """What the net reports about logs at relays. Nothing here raises."""

    async def log_items(
        self, relay: RelayName, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        """Process (place, blob) pairs of a log that is watched, in order of place, up to the place `upto`: the place to
        go on from the next time. There are none where its end was reached. Waits while too much is waiting, and when it
        has returned more is asked for. more: the relay has said that it has more.

        A relay may withhold, repeat or reorder what it likes; only what an item says is to be believed.
        """
        ...

    def logs_up(self, relay: RelayName) -> None:
        """Note that the relay answers: what it lacks can be appended now."""
        ...

    def logs_down(self, relay: RelayName, problem: str) -> None:
        """Note that the logs of a relay are not reached, said after each attempt: why, for people; "" where nothing is
        needed of them now.
        """
        ...
