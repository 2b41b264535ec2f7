"""The relay as a process, and hosts that speak with it over loopback."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.mailbox import DONE
from p2pchat.core.names import MAILBOX
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.multiaddrs import parse_full
from tests.support.boxes import Keys, MailClient
from tests.support.processes import PATIENCE, Place, Running
from tests.support.waiting import within

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def data(here: Place) -> Path:
    return here.folder / "relay"


def start(here: Place, *words: str) -> tuple[Running, str]:
    """A relay that is ready, and its address."""
    running = here.start("unused", "relay", "--data", str(data(here)), "--listen", LOOPBACK, *words)
    event = running.hear()
    assert event["event"] == "ready"
    (address,) = event["addresses"]
    return running, address


@asynccontextmanager
async def host() -> AsyncIterator[LibP2PHost]:
    made = LibP2PHost(os.urandom(32), [LOOPBACK])
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def connect(by: LibP2PHost, address: str) -> MailClient:
    peer, where = parse_full(address)
    return await MailClient(await by.open(peer, [where], MAILBOX)).greeted()


async def opened(by: LibP2PHost, address: str, role: int, keys: Keys) -> MailClient:
    """A client that has opened a queue under handle 0."""
    client = await connect(by, address)
    assert await client.open(0, role, keys) == DONE
    return client


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with within(PATIENCE):
            await main()

    trio.run(bounded)


def get(port: int, path: str, at: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{at}:{port}{path}", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def everything(folder: Path) -> str:
    """What the files in a folder hold, but for the relay's own key, the room it reserves, and slots with nothing but
    zeros.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in ("key", "reserve")]
    return "".join(_content(path).decode("latin-1") for path in files)


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix != ".blobs":
        return data
    slots = (data[start : start + BLOB_BYTES] for start in range(0, len(data), BLOB_BYTES))
    return b"".join(slot for slot in slots if slot.strip(b"\0"))
