"""Two people for a measurement: real node processes with temporary profiles on loopback, and a quick API client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from benchmarks.figures import cpu_seconds
from p2pchat.api.client import Client
from p2pchat.api.codec import API_VERSION
from p2pchat.locations import Profile

COMMAND = (sys.executable, "-m", "p2pchat")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""With its bytecode kept, as everybody runs it: otherwise each start compiles the whole program."""


@dataclass(frozen=True)
class Program:
    """The program that is measured. folder: a checkout with its `.venv`, or None for this one. module: what is run."""

    folder: Path | None = None
    module: str = "p2pchat"

    @property
    def command(self) -> tuple[str, ...]:
        """The words that run it, in `folder`."""
        python = sys.executable if self.folder is None else str(self.folder / ".venv/bin/python")
        return python, "-m", self.module


THIS = Program()
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


@dataclass
class Person:
    """A profile with its node. listen: where that listens when it is started."""

    name: str
    folder: Path
    environment: dict[str, str]
    program: Program = THIS
    listen: str = LOOPBACK
    process: subprocess.Popen[str] | None = None
    ready_ms: float = 0.0
    ready_cpu_s: float = 0.0

    def start(self) -> None:
        """Start the node and wait until it is ready."""
        began, said = time.perf_counter(), self.folder.with_name(f"{self.folder.name}.errors")
        with said.open("w") as errors:
            self.process = subprocess.Popen(
                [*self.program.command, "--profile", str(self.folder), "--json", "node", "--listen", self.listen],
                cwd=self.program.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if json.loads(line or "{}").get("event") != "ready":
            code = self.process.wait()
            raise RuntimeError(f"{self.name}'s node did not start, exit code {code}: {said.read_text()[-1000:]}")
        self.ready_ms = (time.perf_counter() - began) * 1000
        self.ready_cpu_s = cpu_seconds(self.process.pid)

    def stop(self) -> None:
        """End the node."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def client(self) -> Client:
        """A connection to the node."""
        return Client.connect(Profile(self.folder), start_node=False)

    @property
    def socket(self) -> Path:
        """The one socket in the runtime folder of its own."""
        (found,) = Path(self.environment["XDG_RUNTIME_DIR"]).rglob("*.sock")
        return found


@contextmanager
def two_people() -> Iterator[tuple[Person, Person]]:
    """alice and bob, nodes running, not yet contacts. Everything is gone at the end."""
    with people("alice", "bob") as (alice, bob):
        yield alice, bob


@contextmanager
def people(*names: str, program: Program = THIS) -> Iterator[list[Person]]:
    """Each with a node that runs, not yet contacts. Everything is gone at the end."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p2pchat-bench-")))
        made = []
        for name in names:
            runtime = place / f"run-{name}"
            runtime.mkdir(mode=0o700)
            own = {"XDG_RUNTIME_DIR": str(runtime), "P2PCHAT_STAGES": str(place / f"{name}.stages")}
            person = Person(name, place / name, {**ENVIRONMENT, **own}, program)
            init = [*program.command, "--profile", str(person.folder), "init", "--name", name, "--no-passphrase"]
            subprocess.run(init, env=person.environment, cwd=program.folder, check=True, capture_output=True)
            stack.callback(person.stop)
            person.start()
            made.append(person)
        yield made


def befriend(alice: Person, bob: Person) -> None:
    """Make them contacts."""
    with Line(alice) as one, Line(bob) as two:
        invite = one.call("invite")["invite"]
        two.call("add", invite=invite, wait="accepted", name="alice")


class Line:
    """A bare JSON-RPC connection that makes one call after another, to a node of any checkout."""

    def __init__(self, person: Person) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(person.socket))
        self._lines = self._socket.makefile("rb")
        spoken = self.call("hello", version=API_VERSION)["version"]
        if spoken != API_VERSION:  # an older checkout's: what is measured is the same in both
            self.call("hello", version=spoken)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of one call. Raises RuntimeError with the node's error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


class Wire:
    """A bare JSON-RPC connection under trio, for many calls under way at once."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = b""
        self._last = 0

    @classmethod
    async def open(cls, person: Person) -> Wire:
        """Connect and say hello."""
        wire = cls(await trio.open_unix_socket(str(person.socket)))
        await wire.post("hello", version=API_VERSION)
        spoken = (await wire.lines())[0]["result"]["version"]
        if spoken != API_VERSION:
            await wire.post("hello", version=spoken)
            await wire.lines()
        return wire

    def packed(self, method: str, **params: Any) -> bytes:
        """One request as bytes."""
        self._last += 1
        return json.dumps({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}).encode() + b"\n"

    async def post(self, method: str, **params: Any) -> None:
        """Write a request."""
        await self._stream.send_all(self.packed(method, **params))

    async def write(self, data: bytes) -> None:
        """Write packed requests."""
        await self._stream.send_all(data)

    async def lines(self) -> list[dict[str, Any]]:
        """Whatever has come, at least one object."""
        while b"\n" not in self._rest:
            data = await self._stream.receive_some(1 << 20)
            if not data:
                raise RuntimeError("the node hung up")
            self._rest += data
        whole, _, self._rest = self._rest.rpartition(b"\n")
        return [json.loads(line) for line in whole.split(b"\n")]
