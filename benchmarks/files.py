"""How fast a file goes, and what it does to messages: `python -m benchmarks.files`.

Real nodes on loopback, and a real relay for the circuit:

file_direct_mb_s        MB of a file a second, from the sender's node that has cut it until it is whole at the other
file_circuit_mb_s       the same by a circuit
chat_under_file_ms      `send` to its receipt while a file goes on the same link; beside it, without one

Two processes with nothing but the net of a node. What is sent is read from a file, sealed, opened, checked and written
to another one; there is no database:

net_file_direct_mb_s    MB of a file a second, on a direct link
net_file_circuit_mb_s   the same by a circuit
net_chat_under_file_ms  an envelope to its ack while a file goes; beside it, without one

They are held to two processes without any of our work: one reads, seals and sends framed blobs on plain TCP, the other
takes, opens, checks and writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from benchmarks import relayed
from benchmarks.figures import cpu_seconds, percentile
from benchmarks.people import ENVIRONMENT, Line, Person, befriend, two_people
from benchmarks.relay import relay
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import ID_BYTES
from p2pchat.core.files import BLOB_BYTES, CHUNK_BYTES, BlobCipher, BlobPlace, blob_name
from p2pchat.core.frames import ACKS, ENVELOPE, Frame
from p2pchat.core.ids import BlobName, ContactId, FileId, InviteId, PeerKey, SessionId
from p2pchat.core.relays import Relay
from p2pchat.core.session import Pair, pair
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.network import Network
from p2pchat.ports import BlobRange, Blobs, InviteOffer, NetHandler

FILE_BYTES = 100_000_000
KEY = bytes(32)
FILE = FileId(bytes(16))
IN_A_GET = 16
GETS = 3
"""Requests that wait at once."""
ROUND_TRIPS = 200
PATIENCE = 40.0
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
_NAMES = struct.Struct("32s")


class Source:
    """The file on the sender's side, and its names; also `ports.FileCallbacks`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.cipher = BlobCipher(KEY, os.fstat(self._file).st_size)
        self.names = [blob_name(self._sealed(number)) for number in range(self.cipher.layout.chunks)]

    def _sealed(self, number: int) -> bytes:
        place = BlobPlace(0, number)
        data = os.pread(self._file, self.cipher.layout.data_bytes(place), number * CHUNK_BYTES)
        return self.cipher.seal(place, data)

    def range(self, first: int, count: int) -> list[bytes]:
        """Read, seal and check some chunks."""
        made = [self._sealed(number) for number in range(first, first + count)]
        assert [blob_name(blob) for blob in made] == self.names[first : first + count]
        return made

    async def blobs(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Return what is wanted, made in a thread."""
        return Blobs(await trio.to_thread.run_sync(self.range, wanted.first.number, wanted.count))


class Target:
    """The file on the recipient's side."""

    def __init__(self, path: Path, size: int, names: Sequence[bytes]) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._cipher = BlobCipher(KEY, size)
        self._names = [BlobName(name) for name in names]

    def write(self, first: int, blobs: Sequence[bytes]) -> None:
        """Check, open and write some chunks."""
        for number, blob in enumerate(blobs, first):
            data = self._cipher.open(BlobPlace(0, number), self._names[number], blob)
            os.pwrite(self._file, data, number * CHUNK_BYTES)


class Node:
    """The net of one of two contacts, and what it tells."""

    def __init__(self, number: int, listen: Sequence[str]) -> None:
        me, self.other = ContactId(bytes([number]) * 8), ContactId(bytes([3 - number]) * 8)
        self._pair = pair(self.other, SessionId(bytes(32)), bytes(32), me, self.other)
        self.host = LibP2PHost(bytes([number]) * 32, listen)
        self.hidden_host = LibP2PHost(bytes([number + 100]) * 32, ())
        self.network = Network(self.host, self.hidden_host, os.urandom)
        self.linked = trio.Event()
        self.acked = trio.Event()
        self.circuits = trio.Event()

    async def run(self, source: Source | None, relays: Sequence[Relay], nursery: trio.Nursery) -> None:
        """Start, and use these relays."""
        handler = NetHandler(self, self, self, source) if source else NetHandler(self, self, self)
        await nursery.start(self.network.run, handler)
        for host in (self.host, self.hidden_host):
            await nursery.start(host.run)
        self.network.use_relays(relays)
        while relays and not self.network.relayed():
            await self.circuits.wait()

    async def round_trip(self) -> float:
        """Milliseconds from an envelope to its ack."""
        began, self.acked = time.perf_counter(), trio.Event()
        assert self.network.send(self.other, [Frame(ENVELOPE, bytes(4096))])
        await self.acked.wait()
        return (time.perf_counter() - began) * 1000

    # --- what the net tells -----------------------------------------------------------------------------------------

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        return [self._pair]

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        changed([self.other])

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def hidden(self, contact: ContactId) -> bool:
        return False

    def found(self, address: bytes) -> None:
        pass

    def moved(self) -> None:
        self.circuits.set()
        self.circuits = trio.Event()

    async def received(self, contact: ContactId, session_id: SessionId, route: Route, frames: list[Frame]) -> None:
        await trio.lowlevel.checkpoint()
        for frame in frames:
            if frame.type == ENVELOPE:
                self.network.send(contact, [Frame(ACKS, bytes(ID_BYTES))])
            elif frame.type == ACKS:
                self.acked.set()

    def link_up(self, contact: ContactId, session_id: SessionId) -> None:
        self.linked.set()

    def link_down(self, contact: ContactId) -> None:
        self.network.lost(contact)

    def stalled(self, contact: ContactId) -> None:
        pass

    def unreached(self, contact: ContactId) -> None:
        pass

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        pass

    def relays_told(self, relay: PeerKey, descriptors: Sequence[bytes]) -> None:
        pass

    async def _never(self, *given: object) -> Any:
        raise NotImplementedError

    def _unused(self, *given: object, tried: bool = False) -> None:
        raise NotImplementedError

    def offer(self, invite: InviteId) -> InviteOffer | None:
        return None

    offer_bundle = tried = admit = pending = answer_bundle = joined = refused = collected = _never
    deposited = undeposited = relay_up = relay_down = _unused


@dataclass
class Task:
    """What a process is told on its standard input. relay: by which the circuit goes; "": direct."""

    folder: Path
    relay: str = ""
    address: str = ""

    @property
    def relays(self) -> list[Relay]:
        """The relay, as the net knows it."""
        if not self.relay:
            return []
        peer, where = multiaddrs.parse_full(self.relay)
        return [Relay(peer, (multiaddrs.pack(where),))]


async def serve(task: Task) -> None:
    """Give the file until the standard input ends."""
    source = await trio.to_thread.run_sync(Source, task.folder / "source")
    (task.folder / "names").write_bytes(b"".join(source.names))
    async with trio.open_nursery() as nursery:
        node = Node(1, () if task.relay else LOOPBACK)
        await node.run(source, task.relays, nursery)
        peer, packed = node.network.ways()[0]
        print(json.dumps({"peer": peer.hex(), "way": packed.hex(), "pid": os.getpid()}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def fetch(task: Task) -> None:
    """Get the file, and print how that went."""
    size = (task.folder / "source").stat().st_size
    names = [name for (name,) in _NAMES.iter_unpack((task.folder / "names").read_bytes())]
    given = json.loads(task.address)
    async with trio.open_nursery() as nursery:
        node = Node(2, LOOPBACK)
        await node.run(None, task.relays, nursery)
        node.network.reach(node.other, [(PeerKey(bytes.fromhex(given["peer"])), bytes.fromhex(given["way"]))])
        await node.linked.wait()
        await trio.sleep(0.2)
        for _ in range(ROUND_TRIPS // 4):
            await node.round_trip()
        quiet = [await node.round_trip() for _ in range(ROUND_TRIPS)]
        target = Target(task.folder / "target", size, names)
        pids = (os.getpid(), given["pid"])
        before = [cpu_seconds(pid) for pid in pids]
        alone = await _transfer(node, target, len(names))
        cpu = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
        chats: list[float] = []
        under = await _transfer(node, target, len(names), chats)
        print(
            json.dumps(
                {
                    "quiet_ms": statistics.median(quiet),
                    "quiet_p99": percentile(quiet, 0.99),
                    "mb_s": size / 1e6 / alone,
                    "under_mb_s": size / 1e6 / under,
                    "under_ms": statistics.median(chats),
                    "under_p99": percentile(chats, 0.99),
                    "cpu_ms_mb": [round(1e9 * seconds / size, 2) for seconds in cpu],
                    "route": node.network.route(node.other),
                }
            ),
            flush=True,
        )
        nursery.cancel_scope.cancel()


async def _transfer(node: Node, target: Target, chunks: int, chats: list[float] | None = None) -> float:
    """Get the whole file; seconds. chats: takes the round trips of messages meanwhile."""
    firsts = iter(range(0, chunks, IN_A_GET))
    began = time.perf_counter()

    async def get() -> None:
        for first in firsts:
            wanted = BlobRange(FILE, BlobPlace(0, first), min(IN_A_GET, chunks - first))
            answer = await _asked(node, wanted)
            await trio.to_thread.run_sync(target.write, first, answer.blobs)

    async def chat() -> None:
        while chats is not None:
            chats.append(await node.round_trip())
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat)
        async with trio.open_nursery() as getting:
            for _ in range(GETS):
                getting.start_soon(get)
        nursery.cancel_scope.cancel()
    return time.perf_counter() - began


async def _asked(node: Node, wanted: BlobRange) -> Blobs:
    """Get blobs; while a circuit has carried what it may of files, another one is being made."""
    while True:
        try:
            answer = await node.network.files.get(node.other, wanted)
        except (LinkLost, Unreachable):
            await trio.sleep(0.05)
        else:
            assert answer.missing is None
            return answer


# --- what they are held to --------------------------------------------------------------------------------------------


def send_plain(task: Task) -> None:
    """Seal the file and send it as framed blobs on plain TCP, to whoever connects."""
    source = Source(task.folder / "source")
    (task.folder / "names").write_bytes(b"".join(source.names))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(json.dumps({"port": server.getsockname()[1]}), flush=True)
        stream, _ = server.accept()
        chunks = source.cipher.layout.chunks
        with stream:
            for first in range(0, chunks, IN_A_GET):
                for blob in source.range(first, min(IN_A_GET, chunks - first)):
                    stream.sendall(len(blob).to_bytes(4, "big") + blob)
            stream.recv(1)


def take_plain(task: Task) -> None:
    """Take it, and print how that went."""
    size = (task.folder / "source").stat().st_size
    names = [name for (name,) in _NAMES.iter_unpack((task.folder / "names").read_bytes())]
    target = Target(task.folder / "target", size, names)
    with socket.create_connection(("127.0.0.1", json.loads(task.address)["port"])) as stream:
        began = time.perf_counter()
        file = stream.makefile("rb", buffering=1 << 18)
        for number in range(len(names)):
            assert int.from_bytes(file.read(4), "big") == BLOB_BYTES
            target.write(number, [file.read(BLOB_BYTES)])
        print(json.dumps({"mb_s": size / 1e6 / (time.perf_counter() - began)}), flush=True)


ROLES: dict[str, Callable[[Task], Any]] = {
    "serve": lambda task: trio.run(serve, task),
    "fetch": lambda task: trio.run(fetch, task),
    "send-plain": send_plain,
    "take-plain": take_plain,
}


def between(sender: str, recipient: str, folder: Path, by: str = "") -> dict[str, Any]:
    """Run two of the roles in processes of their own; return what the recipient printed. by: the relay's address."""
    with _process(sender, folder, by) as first:
        assert first.stdout is not None
        address = first.stdout.readline()
        with _process(recipient, folder, by, address) as second:
            assert second.stdout is not None
            said: dict[str, Any] = json.loads(second.stdout.readline())
    return said


@contextmanager
def _process(role: str, folder: Path, by: str, address: str = "") -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "benchmarks.files", "--role", role, "--folder", str(folder)]
    process = subprocess.Popen(
        [*words, "--by", by, "--address", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@contextmanager
def made_file(size: int = FILE_BYTES) -> Iterator[Path]:
    """A folder with a file to be sent."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-", dir=memory) as place:
        (Path(place) / "source").write_bytes(os.urandom(size))
        yield Path(place)


# --- real nodes -------------------------------------------------------------------------------------------------------


def _by_nodes(alice: Person, bob: Person, folder: Path, runs: int) -> list[dict[str, Any]]:
    """Send the file from alice to bob, once alone and once beside messages, so many times."""
    size, said = (folder / "source").stat().st_size, list[dict[str, Any]]()
    pids = [person.process.pid for person in (alice, bob) if person.process is not None]
    with Line(alice) as one, Line(bob) as two:
        two.call("settings", fetch_up_to=1 + size // 1_000_000)
        for _ in range(runs):
            quiet = [_round_trip(one) for _ in range(ROUND_TRIPS // 4)]
            before = [cpu_seconds(pid) for pid in pids]
            alone = _send(one, two, folder)
            cpu = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
            chats: list[float] = []
            under = _send(one, two, folder, lambda chats=chats: chats.append(_round_trip(one)))  # type: ignore[misc]
            said.append(
                {
                    "quiet_ms": statistics.median(quiet),
                    "mb_s": size / 1e6 / alone,
                    "under_mb_s": size / 1e6 / under,
                    "under_ms": statistics.median(chats),
                    "under_p95": percentile(chats, 0.95),
                    "cpu_ms_mb": [round(1e9 * seconds / size, 2) for seconds in reversed(cpu)],
                }
            )
    return said


def _round_trip(one: Line) -> float:
    began = time.perf_counter()
    one.call("send", chat="bob", text="and now?", wait="delivered")
    return (time.perf_counter() - began) * 1000


def _send(one: Line, two: Line, folder: Path, beside: Callable[[], None] = lambda: None) -> float:
    """Send the file, and wait until it is whole; seconds from when it was cut. beside: called meanwhile."""
    one.call("send_file", chat="bob", path=str(folder / "source"))
    began = time.perf_counter()
    while not (rows := two.call("files", chat="alice", limit=1)) or rows[-1]["file"]["state"] != "here":
        if time.perf_counter() > began + PATIENCE:
            raise TimeoutError(f"the file has not come: {rows and rows[-1]}")
        beside()
        time.sleep(0.01)
    took = time.perf_counter() - began
    two.call("cancel_file", id=rows[-1]["id"])  # there is room for one
    return took


def _direct(folder: Path, runs: int) -> list[dict[str, Any]]:
    with two_people() as (alice, bob):
        befriend(alice, bob)
        return _by_nodes(alice, bob, folder, runs)


def _circuit(folder: Path, runs: int) -> list[dict[str, Any]]:
    with relayed.two_with_relays(1) as (alice, bob, _):
        relayed.meet(alice, bob)
        return _by_nodes(alice, bob, folder, runs)


def _plain(folder: Path, runs: int) -> list[dict[str, Any]]:
    return [between("send-plain", "take-plain", folder) for _ in range(runs)]


def _net_direct(folder: Path, runs: int) -> list[dict[str, Any]]:
    return [between("serve", "fetch", folder) for _ in range(runs)]


def _net_circuit(folder: Path, runs: int) -> list[dict[str, Any]]:
    with relay("") as there:
        return [between("serve", "fetch", folder, there.address) for _ in range(runs)]


PARTS: dict[str, Callable[[Path, int], list[dict[str, Any]]]] = {
    "plain": _plain,
    "net-direct": _net_direct,
    "net-circuit": _net_circuit,
    "direct": _direct,
    "circuit": _circuit,
}
"""What can be measured by itself."""


def measure(runs: int) -> dict[str, list[dict[str, Any]]]:
    """Measure all parts, so many times each."""
    with made_file() as folder:
        return {name: part(folder, runs) for name, part in PARTS.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--by", default="", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        ROLES[given.role](Task(given.folder, given.by, given.address))
        return
    with made_file() as folder:
        for part in given.only or PARTS:
            for said in PARTS[part](folder, given.runs):
                print(part, said, flush=True)


if __name__ == "__main__":
    main()
