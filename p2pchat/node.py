"""The node process: one per profile, joining store, net, engine and API under the profile's lock.

Its life, in order: locked (the keys are not here) → starting → ready → ended. The API answers from the first moment,
so that a face can unlock it; what needs the open profile waits while it is starting and is refused while it is
locked. The heavy imports happen after the socket listens, in a thread.

A node ends at SIGTERM, SIGINT or SIGHUP, at `stop`, at `lock` (so that the memory with the keys goes), when its
profile cannot be opened, and, detached, 30 s after its last client unless something keeps it. It ends cleanly each
time: answers given are written, the commit in progress is finished, the database is closed.

It also ends, with an error, when its profile is deleted, moved or replaced under it. From that moment no transaction
commits, so that nothing is acknowledged which nobody will find again.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import trio

from p2pchat import __version__, config, errors
from p2pchat.api.codec import API_VERSION, JsonObject
from p2pchat.api.listening import NodeSocket
from p2pchat.api.server import Server, until_unused
from p2pchat.api.service import EventSource, ProfileService, Then
from p2pchat.locations import Profile, ProfileGuard, ProfileLock
from p2pchat.log import set_up_logging
from p2pchat.parts import Options as Options
from p2pchat.parts import Parts, real_parts

log = logging.getLogger(__name__)

LINGER_SECONDS = 30.0
"""Seconds a detached node stays after its last client."""

FAILURE_NOTICE_SECONDS = 2.0
"""Seconds that a node which failed stays, so that a face is told the reason instead of losing its call."""

FLUSH_SECONDS = 0.5
"""Seconds that pending calls have for their answers, and clients for reading them, once the node has to end."""

PROFILE_CHECK_SECONDS = 1.0  # seconds between two looks whether the profile and the node's socket are still there

LOCKED, STARTING, READY = "locked", "starting", "ready"

Announce = Callable[[JsonObject], None]


def run(options: Options, lock: ProfileLock, announce: Announce) -> None:
    """Run the node until it ends; the caller holds `lock`. Raises the reason if the profile cannot be opened.

    announce is told {"event": "listening"}, {"event": "locked"} and {"event": "ready", "addresses": […]}.
    """
    harden()
    gc.disable()  # until it is ready: the collector would look again and again at all that is being imported
    set_up_logging(options.verbose, sys.stderr)
    settings = config.settings(options.profile.folder)
    options = replace(options, proxy=options.proxy or settings.proxy)
    guard = ProfileGuard()
    guard.keep(lock.path, lock.identity)
    trio.run(Node(options, real_parts(options, settings, guard), announce, settings.keep_receiving, guard).run)


def harden() -> None:
    """Disable core dumps, and keep other processes of this user from reading our memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


class Node:
    """The life of one node process; it answers the API, as `api.service.NodeService`."""

    def __init__(
        self,
        options: Options,
        parts: Parts,
        announce: Announce,
        keep_receiving: bool | None = None,
        guard: ProfileGuard | None = None,
    ) -> None:
        self._options = options
        self._parts = parts
        self._announce = announce
        self._keep_receiving = keep_receiving
        self._guard = guard or ProfileGuard()
        self._socket = NodeSocket(options.profile)
        self._ending = trio.Event()
        self._started = trio.Event()
        self._keyed = trio.Event()
        self._key_lock = trio.Lock()
        self._key = b""
        self._opened: ProfileService | None = None
        self._failure: errors.P2PChatError | None = None
        self._state = LOCKED if options.passphrase is None and parts.needs_passphrase() else STARTING

    async def run(self) -> None:
        """Run until the node has to end. Raises the reason if the profile cannot be opened, or the node
        cannot go on.
        """
        server = Server(self)
        async with trio.open_nursery() as nursery:
            self._socket.open(server, nursery)
            nursery.start_soon(self._end_at_signal)
            nursery.start_soon(self._keep_looking, server, nursery)
            self._announce({"event": "listening"})
            nursery.start_soon(trio.to_thread.run_sync, self._parts.prepare)
            nursery.start_soon(self._live)
            if not self._options.foreground:
                nursery.start_soon(self._end_when_unused, server)
            await self._ending.wait()
            if self._failure is not None:
                with trio.move_on_after(FAILURE_NOTICE_SECONDS):
                    await self._tell_failure(server)
            # The name goes first: whoever comes now finds no node and starts the next one, rather than losing its
            # call.
            self._socket.close()
            await server.flush(FLUSH_SECONDS)
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """End the node, after its current commit."""
        self._ending.set()

    async def _tell_failure(self, server: Server) -> None:
        """Wait until connected faces have been told why there is no service; the face that started us is among them, or
        will be.
        """
        while not self._options.foreground and not server.clients:
            await server.changed()
        while server.clients:
            await server.changed()

    # --- tasks

    async def _end_at_signal(self) -> None:
        signals = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup means what it says
            signals.append(signal.SIGHUP)
        with trio.open_signal_receiver(*signals) as received:
            async for _ in received:
                self.end()

    async def _keep_looking(self, server: Server, nursery: trio.Nursery) -> None:
        """Maintain the socket, and end the node when its profile is gone."""
        while not self._ending.is_set():
            await trio.sleep(PROFILE_CHECK_SECONDS)
            try:
                self._guard.check()
                self._socket.repair(server, nursery)
            except errors.ProfileGone as exc:
                log.error("%s; the node ends", exc.message)
                self._fail(exc)
            except errors.NodeError as exc:
                log.error("%s", exc.message)  # tried again at the next look

    async def _end_when_unused(self, server: Server) -> None:
        await until_unused(server, LINGER_SECONDS, self._is_kept)
        self.end()

    def _is_kept(self) -> bool:
        return self._opened is not None and (bool(self._keeps_receiving()) or self._opened.keeps_running())

    def _keeps_receiving(self) -> bool | None:
        """Return what config.toml says, else the user's answer; None: nobody was asked, or the profile is locked."""
        if self._keep_receiving is not None or self._opened is None:
            return self._keep_receiving
        return self._opened.keep_receiving()

    async def _live(self) -> None:
        try:
            await self._obtain_key()
            async with self._parts.open(self._key) as opened:
                self._opened = opened
                gc.enable()
                gc.freeze()  # what was imported stays; looking at it no more saves pauses of tens of milliseconds
                self._state = READY
                self._started.set()
                self._announce({"event": "ready", "addresses": list(opened.addresses())})
                await trio.sleep_forever()
        except Exception as exc:  # noqa: BLE001 - whatever it is: faces are told, and the node ends
            self._fail(_failure(exc))

    def _fail(self, why: errors.P2PChatError) -> None:
        self._failure = self._failure or why
        self._started.set()
        self.end()

    async def _obtain_key(self) -> None:
        if self._state == LOCKED:
            self._announce({"event": "locked"})
            await self._keyed.wait()
        else:
            self._key = await trio.to_thread.run_sync(self._parts.unlock, self._options.passphrase)

    # --- the API

    def greeting(self) -> JsonObject:
        """Return what `hello` is answered with."""
        return {
            "program": __version__,
            "pid": os.getpid(),
            "foreground": self._options.foreground,
            "proxy": str(self._options.proxy or ""),
            "state": self._state,
        }

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        """Run a method of the node, or of the profile once it is open."""
        own = _OWN.get(method)
        if own is not None:
            return await own(self, **arguments)
        return await (await self._open_profile()).call(method, arguments)

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        """Ask the open profile; see `api.service.Service`."""
        if self._opened is None or self._failure is not None or method in _OWN:
            return False
        return self._opened.ask(method, arguments, then)

    async def subscribe(self) -> EventSource:
        """Return a source of events, once the profile is open."""
        return (await self._open_profile()).subscribe()

    async def _open_profile(self) -> ProfileService:
        if self._state == LOCKED:
            raise errors.Locked()
        await self._started.wait()
        if self._failure is not None:
            raise self._failure
        assert self._opened is not None
        return self._opened

    async def _status(self) -> JsonObject:
        status: JsonObject = {
            "running": True,
            **self.greeting(),
            "version": API_VERSION,
            "profile": str(self._options.profile.folder),
            "has_passphrase": self._parts.needs_passphrase(),
            "keep_receiving": self._keeps_receiving(),
        }
        if self._opened is not None:
            status["addresses"] = list(self._opened.addresses())
            more = await self._opened.call("status", {})
            status.update(more if isinstance(more, dict) else {})
        return status

    async def _stop(self) -> JsonObject:
        await trio.lowlevel.checkpoint()
        self.end()
        return {"stopped": True, "pid": os.getpid()}

    async def _lock(self) -> JsonObject:
        await self._open_profile()
        if not self._parts.needs_passphrase():
            raise errors.nothing_to_lock()
        self.end()
        return {"locked": True, "pid": os.getpid()}

    async def _unlock(self, passphrase: str) -> JsonObject:
        async with self._key_lock:
            if self._state == LOCKED:
                self._key = await trio.to_thread.run_sync(self._parts.unlock, passphrase)
                self._state = STARTING
                self._keyed.set()
        opened = await self._open_profile()
        return {"locked": False, "addresses": list(opened.addresses()), "state": self._state}

    async def _settings(self, **changes: Any) -> JsonObject:
        keep_receiving = changes.get("keep_receiving")
        if keep_receiving is not None and self._keep_receiving not in (None, keep_receiving):
            raise errors.NotNow("The profile's config.toml sets this", hint="Change keep_receiving there.")
        opened = await self._open_profile()
        opened.check_settings(changes)
        kept = {name: changes[name] for name in ("lan", "port_mapping") if changes.get(name) is not None}
        if kept:  # first: what cannot be kept does not take effect either
            config.keep_network(self._options.profile.folder, **kept)
        answer = await opened.call("settings", changes)
        settings: JsonObject = dict(answer) if isinstance(answer, dict) else {}
        return {**settings, "keep_receiving": self._keeps_receiving()}

    async def _passphrase(self, new: str | None) -> JsonObject:
        await self._open_profile()
        if new == "":
            raise errors.UsageError("The passphrase is empty", hint="Use null for no passphrase.")
        async with self._key_lock:
            await trio.to_thread.run_sync(self._parts.change, self._key, new)
        return {"passphrase": new is not None}


_OWN: Mapping[str, Callable[..., Awaitable[JsonObject]]] = {
    "status": Node._status,
    "stop": Node._stop,
    "lock": Node._lock,
    "unlock": Node._unlock,
    "passphrase": Node._passphrase,
    "settings": Node._settings,
}


def _failure(exc: BaseException) -> errors.P2PChatError:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, errors.P2PChatError):
        return exc
    log.error("the node failed: %s", type(exc).__name__, exc_info=exc)
    return errors.NodeError("The node failed", hint="Its log says where; nothing that was saved is lost.")


# --- the parts -------------------------------------------------------------------------------------


def create_profile(profile: Profile, name: str, passphrase: str | None) -> JsonObject:
    """Make a profile. Raises ProfileExists, ProfileInUse, BadName or DiskFull, with nothing made."""
    harden()
    from p2pchat.engine import new_profile

    return new_profile.create(profile, name, passphrase)


def salvage_profile(profile: Profile, passphrase: str | None) -> JsonObject:
    """Replace a damaged database by a new one of everything readable in it. Raises what `new_profile.salvaged` does."""
    harden()
    from p2pchat.engine import new_profile

    return new_profile.salvaged(profile, passphrase)
