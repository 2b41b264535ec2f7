"""Looking names up, so that one which does not resolve holds up nothing else.

The system's resolver blocks a thread for as long as it likes, and nothing ends that. So look-ups have threads of their
own, few of them. After `LOOKUP_SECONDS` nobody waits any more: the thread counts as stuck, and another may begin in its
place until `MAX_STUCK` are. One look-up of a name is under way at a time, and its answer serves all who ask within a
few seconds: an address and its WebSocket twin, for example.
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
"""For how long an answer serves others, also that there is none."""
_MAX_KNOWN = 512

Resolve = Callable[[str, int], Sequence[str]]
"""(name, family of `socket`) → IP addresses; blocks, and raises OSError."""
_Key = tuple[str, int]
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}  # unknown to the installed type stubs of trio


class _Lookup:
    """One look-up, under way or over. stuck: its thread goes on, and nobody waits."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: Sequence[str] = ()
        self.ended = 0.0
        self.stuck = False


class Lookups:
    """Looks names up in threads of its own; `stuck` is how many of these do not come back."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        self.stuck = 0
        self._resolve = resolve or _resolve
        self._slots = trio.CapacityLimiter(MAX_THREADS)
        self._known: dict[_Key, _Lookup] = {}

    async def addresses(self, name: str, family: int) -> Sequence[str]:
        """Return the IP addresses of a name, none where it has none. Raises Unreachable where no answer came in
        time.
        """
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
        # of no nursery of whoever asks first: when they give up, others may still wait
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
        """Run one lookup in its own thread and hand the answer to trio."""
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
    """Return the lookups of this process. Those that others name hold up nothing that a person here gave (`chosen`)."""
    cache = _chosen if chosen else _named
    try:
        return cache.get()
    except LookupError:
        cache.set(Lookups())
        return cache.get()
