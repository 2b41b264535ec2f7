"""Programs that carry connections in disguise: Tor's pluggable transports as managed proxies
(https://spec.torproject.org/pt-spec/).

Such a program is told in its environment what to do, says on its stdout where it listens, and ends when its stdin is
closed. A client listens on loopback as a SOCKS5 proxy. What leaves the machine, leaves it from that program: nothing
here ever dials what an address with a transport names.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pchat.core.network import TransportHealth
from p2pchat.errors import Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.net.pluggable import PluggableTransport
from p2pchat.net.transport.proxy import REACH_SECONDS, Proxy
from p2pchat.sanitize import clean_line

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

MAX_LINE = 2048
"""Bytes of a line, and how many lines a program may say before it is ready."""
MAX_LINES = 100
MAX_SHOWN = 120
"""Characters of its own words that a person is shown."""
START_SECONDS = 20.0
END_SECONDS = 2.0
"""Seconds in which a program has to end when its stdin is closed, then when it is told to, before it is killed."""
KILLED_SECONDS = 30.0
"""Seconds in which the system has to end a program that was killed. A busy machine takes its time."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
GOOD_SECONDS = 60.0
"""Seconds for which a program has to run so that the pauses before its next starts are short again."""
NOT_SET_UP = "it needs the pluggable transport {}, which is not set up here"
_LINE = re.compile(r"([A-Za-z0-9_-]+)((?: [\x01-\x09\x0b-\x7f]*)?)")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")

log = logging.getLogger("p2pchat.net")


class TransportFailed(Exception):
    """A program cannot be used; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class ProxyMethod:
    """Where a program listens, and what clients have to be told for it as it has written that ("": nothing)."""

    host: str
    port: int
    arguments: str = ""


class Dialogue:
    """What a program says until it is ready. server: whether it serves; otherwise it dials. proxied: it was given an
    upstream proxy, and has to say that it uses it.
    """

    def __init__(self, name: str, *, server: bool = False, proxied: bool = False) -> None:
        self._name = name
        self._server = server
        self._proxied = proxied
        self._versioned = False
        self._lines = 0
        self.method: ProxyMethod | None = None

    def take(self, raw: bytes) -> bool:
        """Take a line without its end; return whether it was the last one. Raises TransportFailed."""
        self._lines += 1
        line = _LINE.fullmatch(raw.decode("latin-1"))
        if line is None or self._lines > MAX_LINES:
            raise TransportFailed("what it says is not the language of pluggable transports")
        keyword, words = line[1], line[2].split()
        letter = "S" if self._server else "C"
        if keyword in ("VERSION-ERROR", "ENV-ERROR", "PROXY-ERROR"):
            raise TransportFailed(f"it says: {_shown(keyword, *words)}")
        if keyword == f"{letter}METHOD-ERROR" and words[:1] == [self._name]:
            raise TransportFailed(f"it says: {_shown(*words)}")
        if keyword == "VERSION":
            if words != ["1"]:
                raise TransportFailed("it speaks a version of the protocol that is not known here")
            self._versioned = True
        elif keyword == "PROXY" and words == ["DONE"]:
            self._proxied = False
        elif keyword == f"{letter}METHOD" and words[:1] == [self._name]:
            self.method = self._serving(words[1:]) if self._server else _dialling(words[1:])
        elif keyword == f"{letter}METHODS" and words == ["DONE"]:
            return self._done()
        return False

    def _done(self) -> bool:
        if not self._versioned:
            raise TransportFailed("it does not say which version of the protocol it speaks")
        if self._proxied:
            raise TransportFailed("it does not use the proxy, past which nothing may go")
        if self.method is None:
            raise TransportFailed(f"it does not know {self._name}")
        return True

    @staticmethod
    def _serving(words: Sequence[str]) -> ProxyMethod:
        host, port = _address(words[0] if words else "")
        given = [word.removeprefix("ARGS:") for word in words[1:] if word.startswith("ARGS:")]
        return ProxyMethod(str(host), port, given[0] if given else "")


def _dialling(words: Sequence[str]) -> ProxyMethod:
    if words[:1] != ["socks5"] or len(words) != 2:
        raise TransportFailed("it is no SOCKS5 proxy")
    host, port = _address(words[1])
    if not host.is_loopback:
        raise TransportFailed("it listens at an address that others can reach")
    return ProxyMethod(str(host), port)


def _address(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = text.rpartition(":")
    try:
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError
        return ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host), int(port)
    except ValueError:
        raise TransportFailed("it does not say where it listens") from None


def _shown(*words: str) -> str:
    return clean_line(" ".join(words))[:MAX_SHOWN]


class Program:
    """A program for one transport, which is started when it is first needed, and again when it ends.

    command: the program and its arguments. settings: of its environment, besides what every such program is told;
    asked for at every start; may raise TransportFailed. state: a folder for what it remembers.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        settings: Callable[[], Mapping[str, str]],
        state: Path,
        random: Callable[[int], bytes],
        *,
        server: bool = False,
        proxied: bool = False,
    ) -> None:
        self.name = name
        self.method: ProxyMethod | None = None
        self.problem = ""
        self._command = command
        self._settings = settings
        self._state = state
        self._random = random
        self._server = server
        self._proxied = proxied
        self._wanted = trio.Event()
        self._changed = trio.Event()

    async def ready(self) -> ProxyMethod:
        """Return where the program listens, once it does. Raises Unreachable if it cannot be used now."""
        self._wanted.set()
        with trio.move_on_after(START_SECONDS + END_SECONDS):
            while self.method is None and not self.problem:
                await self._changed.wait()
        if self.method is None:
            raise Unreachable(self.said)
        return self.method

    @property
    def said(self) -> str:
        """What is wrong with it, for people."""
        return f"the pluggable transport {self.name} does not work: {self.problem or 'it does not start in time'}"

    @property
    def health(self) -> TransportHealth:
        """How it is."""
        return TransportHealth(self.name, self.method is not None, self.problem)

    async def run(self) -> None:
        """Keep the program running from when it is first needed, until cancelled."""
        await self._wanted.wait()
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, self._random)
        while True:
            began = trio.current_time()
            try:
                await self._run_once()
            except TransportFailed as failure:
                log.warning("the pluggable transport %s failed: %s", self.name, failure)
                self._now(None, str(failure))
            if trio.current_time() - began >= GOOD_SECONDS:
                backoff.reset()
            await trio.sleep(backoff.pause())

    def _now(self, method: ProxyMethod | None, problem: str = "") -> None:
        self.method, self.problem = method, problem
        self._changed.set()
        self._changed = trio.Event()

    async def _run_once(self) -> None:
        """Run the program until it ends. Raises TransportFailed."""
        process = await self._start()
        try:
            assert process.stdout is not None
            dialogue = Dialogue(self.name, server=self._server, proxied=self._proxied)
            lines = _Lines(process.stdout)
            try:
                with trio.fail_after(START_SECONDS):
                    while not dialogue.take(await lines.next()):
                        pass
            except trio.TooSlowError:
                raise TransportFailed("it does not start in time") from None
            self._now(dialogue.method)
            while await process.stdout.receive_some(MAX_LINE):
                pass  # what it says later is not needed
            raise TransportFailed("it has ended")
        except (OSError, trio.BrokenResourceError) as error:
            raise TransportFailed("it cannot be heard") from error
        finally:
            self.method = None
            with trio.CancelScope(shield=True):
                await _end(process)

    async def _start(self) -> trio.Process:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TOR_PT_MANAGED_TRANSPORT_VER": "1", "TOR_PT_EXIT_ON_STDIN_CLOSE": "1"}
        environment |= {"TOR_PT_STATE_LOCATION": str(self._state), **self._settings()}
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            return await trio.lowlevel.open_process(
                list(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TransportFailed(f"there is no program {_shown(self._command[0])}") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise TransportFailed(f"{_shown(self._command[0])} does not start: {why}") from None


class _Lines:
    """The lines of a stream, one after the other."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._rest = b""

    async def next(self) -> bytes:
        """Wait for the next line, and return it without its end. Raises TransportFailed where there is none, or where
        it is too long.
        """
        while b"\n" not in self._rest:
            if len(self._rest) > MAX_LINE:
                raise TransportFailed("it says a line without an end")
            piece = await self._stream.receive_some(MAX_LINE)
            if not piece:
                raise TransportFailed("it ends without saying where it listens")
            self._rest += bytes(piece)
        line, _, self._rest = self._rest.partition(b"\n")
        return line


async def _end(process: trio.Process) -> None:
    """Have a program end: by closing its stdin, then by a signal, and at last by force, with all that it started."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    await process.stdout.aclose()
    for how, patience in ((None, END_SECONDS), (signal.SIGTERM, END_SECONDS), (signal.SIGKILL, KILLED_SECONDS)):
        if how is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, how)
        with trio.move_on_after(patience):
            await process.wait()
            return


class Transports:
    """The pluggable transports of a node, by name, each a program. commands: those that the user has set up. state: the
    folder under which they remember things. proxy: the one that everything goes through; they have to use it too.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        state: Path,
        random: Callable[[int], bytes],
        proxy: Proxy | None = None,
    ) -> None:
        self._programs: dict[str, Program] = {}
        for name, command in commands.items():
            settings = {"TOR_PT_CLIENT_TRANSPORTS": name}
            if proxy is not None:
                settings["TOR_PT_PROXY"] = proxy.url(name.encode())
            self._programs[name] = Program(
                name, command, settings.copy, state / name, random, proxied=proxy is not None
            )

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run what is needed until cancelled; every program has ended then."""
        async with trio.open_nursery() as nursery:
            for program in self._programs.values():
                nursery.start_soon(program.run)
            task_status.started()

    def has(self, transport: PluggableTransport) -> bool:
        """Return whether the user has set this transport up."""
        return transport.name in self._programs

    def problem(self, transport: PluggableTransport) -> str:
        """Return what is wrong with a transport, for people; "" if nothing is."""
        program = self._programs[transport.name]
        return program.said if program.problem else ""

    def health(self) -> tuple[TransportHealth, ...]:
        """Return how each is."""
        return tuple(program.health for program in self._programs.values())

    async def connect(self, transport: PluggableTransport, host: str, port: int) -> trio.SocketStream:
        """Return a connection with an IP address through a transport. Raises Unreachable."""
        from python_socks import ProxyError, ProxyType  # imported only if a transport is used
        from python_socks.async_.trio import Proxy as Client

        method = await self._programs[transport.name].ready()
        username, password = transport.login()
        client = Client(ProxyType.SOCKS5, method.host, method.port, username, password, rdns=True)
        try:
            return trio.SocketStream(await client.connect(host, port, timeout=REACH_SECONDS))
        except (OSError, ProxyError, ValueError) as error:
            raise Unreachable(f"the pluggable transport {transport.name} made no connection") from error
