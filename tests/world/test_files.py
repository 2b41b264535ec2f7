"""Files between two: sent, fetched, verified, on whichever way there is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import trio

from tests.support.world import World, WorldNode, run_world
from tests.world.test_delivery import friends

Json = dict[str, Any]


def new_file(folder: Path, size: int, name: str = "heron.bin") -> Path:
    """A file of random bytes, the same for the same size."""
    path = folder / name
    path.write_bytes(Random(size).randbytes(size))
    return path


async def last_file(node: WorldNode, chat: str) -> Json:
    """The file of the newest message that has one."""
    files = await node.call("files", chat=chat)
    found: Json = files[-1]
    return found


async def is_here(node: WorldNode, chat: str) -> bool:
    files = await node.call("files", chat=chat)
    return bool(files) and files[-1]["file"]["state"] == "here"


async def saved(node: WorldNode, chat: str, to: Path) -> bytes:
    """The bytes of the newest file, as a person saves it."""
    await trio.Path(to).mkdir(exist_ok=True)
    done = await node.call("save_file", id=(await last_file(node, chat))["id"], to=str(to))
    return await trio.Path(done["path"]).read_bytes()


def test_a_file_over_a_link_is_whole_there_and_delivered_here(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        sent = await alice.call("send_file", chat="bob", path=str(source), caption="a heron", wait="delivered")
        assert sent["state"] == "delivered"
        theirs = await last_file(bob, "alice")
        assert (theirs["text"], theirs["file"]["name"]) == ("a heron", "heron.bin")
        assert (theirs["file"]["state"], theirs["file"]["progress"]) == ("here", 1.0)
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()
        assert (await last_file(alice, "bob"))["file"]["state"] == "here"

    run_world(tmp_path, main)
