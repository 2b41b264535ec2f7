"""Looking up names (DNS), so that a name that does not resolve delays nothing else.

The system's resolver blocks a thread for an unlimited time and cannot be cancelled. So look-ups have a few threads of
their own. After `LOOKUP_SECONDS` nobody waits any more: the thread counts as stuck and may be replaced, until
`MAX_STUCK` threads are stuck. Only one look-up of a name is in progress at a time, and its answer serves everyone who
asks within a few seconds, for example for an address and its WebSocket counterpart.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import trio

from p2pchat.errors import Unreachable

LOOKUP_SECONDS = 5.0
MAX_THREADS = 4
MAX_STUCK = 12
KEEP_SECONDS = 10.0
"""Seconds for which an answer, or the lack of one, serves others."""
_MAX_KNOWN = 512

Resolve = Callable[[str, int], Sequence[str]]
"""(name, family of `socket`) → IP addresses; blocks, and raises OSError."""
_Key = tuple[str, int]
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}  # unknown to the installed type stubs of trio


class _Lookup:
    """One look-up, in progress or finished. stuck: its thread still runs, and nobody waits for it."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: Sequence[str] = ()
        self.ended = 0.0
        self.stuck = False


class Lookups:
    """Looks up names in threads of its own; `stuck` is the number of threads that have not returned."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        self.stuck = 0
        self._resolve = resolve or _resolve
        self._slots = trio.CapacityLimiter(MAX_THREADS)
        self._known: dict[_Key, _Lookup] = {}

    async def addresses(self, name: str, family: int) -> Sequence[str]:
        """Return the IP addresses of a name, possibly none. Raises Unreachable if there was no answer in time."""
        key = (name, family)
        lookup = self._known.get(key)
        if lookup is None or (lookup.done.is_set() and trio.current_time() >= lookup.ended + KEEP_SECONDS):
            lookup = self._begin(key)
        if not lookup.stuck:
            with trio.move_on_after(LOOKUP_SECONDS):
                await lookup.done.wait()
        if not lookup.done.is_set():
            raise Unreachable("the name did not resolve in time")
        return lookup.found

    def _begin(self, key: _Key) -> _Lookup:
        if len(self._known) >= _MAX_KNOWN:
            self._known = {old: lookup for old, lookup in self._known.items() if not lookup.done.is_set()}
        if self.stuck >= MAX_STUCK or len(self._known) >= _MAX_KNOWN:
            raise Unreachable("too many names do not resolve")
        lookup = self._known[key] = _Lookup()
        # not in the nursery of the first caller: others may still wait after it has given up
        trio.lowlevel.spawn_system_task(self._run, key, lookup)
        return lookup

    async def _run(self, key: _Key, lookup: _Lookup) -> None:
        async with self._slots:
            with trio.move_on_after(LOOKUP_SECONDS):
                work = (key, lookup, trio.lowlevel.current_trio_token())
                await trio.to_thread.run_sync(self._work, *work, limiter=trio.CapacityLimiter(1), **_ABANDON)
                await lookup.done.wait()
            if not lookup.done.is_set():
                lookup.stuck = True
                self.stuck += 1

    def _work(self, key: _Key, lookup: _Lookup, token: trio.lowlevel.TrioToken) -> None:
        """Run one look-up in its own thread, and pass the answer to trio."""
        ips: Sequence[str] = ()
        try:
            ips = self._resolve(*key)
        except (OSError, UnicodeError):
            pass
        finally:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._answered, lookup, ips)

    def _answered(self, lookup: _Lookup, ips: Sequence[str]) -> None:
        if lookup.stuck:
            lookup.stuck = False
            self.stuck -= 1
        lookup.found, lookup.ended = ips, trio.current_time()
        lookup.done.set()


def _resolve(name: str, family: int) -> Sequence[str]:
    entries: list[Any] = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in entries))


_chosen: trio.lowlevel.RunVar[Lookups] = trio.lowlevel.RunVar("names that a person here gave")
_named: trio.lowlevel.RunVar[Lookups] = trio.lowlevel.RunVar("names that somebody else gave")


def lookups(*, chosen: bool) -> Lookups:
    """Return the look-ups of this process. There are two sets, so that names from others cannot delay names that a
    person here gave (`chosen`).
    """
    cache = _chosen if chosen else _named
    try:
        return cache.get()
    except LookupError:
        cache.set(Lookups())
        return cache.get()
