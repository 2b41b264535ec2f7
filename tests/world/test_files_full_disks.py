"""A disk that is full or failing at each write of a transfer in turn: nothing is lost, and it goes on by itself."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core.ids import ContactId, FileId
from p2pchat.engine.files import fetcher
from p2pchat.engine.runtime.storage_limits import SCARCE_DISK_BYTES
from p2pchat.errors import DiskFull, P2PChatError
from p2pchat.media.pictures import Prepared
from p2pchat.ports import BlobRange, Blobs, NoBlob
from tests.support.mail_worlds import apart
from tests.support.sampling import chosen
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends
from tests.world.test_files import is_here, last_file, new_file, saved

POINTS = 2
IN_A_ROW = 2
"""Writes that fail, one after the other."""


class Disk:
    """The disk of one node, of which each write, sync and commit is counted; from the one numbered `fails_at` on, some
    fail with `number`.
    """

    def __init__(self, node: WorldNode, fails_at: int | None, number: int) -> None:
        self.node, self.fails_at, self.number = node, fails_at, number
        self.steps = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        with (
            mock.patch.object(os, "pwrite", self._of_file(os.pwrite)),
            mock.patch.object(os, "fsync", self._of_file(os.fsync)),
            mock.patch.object(
                self.node.engine.files.space, "create", self._counted(self.node.engine.files.space.create)
            ),
            mock.patch.object(self.node.db, "commit", self._counted(self.node.db.commit)),
        ):
            yield

    def _fails(self) -> bool:
        self.steps += 1
        return self.fails_at is not None and self.fails_at <= self.steps - 1 < self.fails_at + IN_A_ROW

    def _of_file(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(descriptor: int, *args: Any) -> Any:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if self.node.folder in path.parents and self._fails():
                raise OSError(self.number, os.strerror(self.number))
            return call(descriptor, *args)

        return step

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            if self._fails():
                raise DiskFull
            return call(*args)

        return step


async def story(world: World, source: Path, victim: str, by_relays: bool, fails_at: int | None, number: int) -> int:
    """alice sends bob a file. How many writes the victim's disk was asked for."""
    if by_relays:
        alice, bob, _ = await apart(world)
    else:
        alice, bob = await friends(world)
    disk = Disk(alice if victim == "alice" else bob, fails_at, number)
    with disk.watched():
        while True:
            try:
                await alice.call("send_file", chat="bob", path=str(source))
                break
            except P2PChatError:
                assert await alice.call("files", chat="bob") == []
                await until(lambda: keeps(alice, 0), 600)
        await until(lambda: is_here(bob, "alice"), 3600)
        await until(lambda: is_here(alice, "bob"), 3600)
        await until(lambda: keeps(alice, 1), 600)
        await until(lambda: keeps(bob, 1), 600)
    assert (await last_file(bob, "alice"))["file"]["problem"] == ""
    to = source.parent / "saved"
    with mock.patch.object(os, "write", side_effect=OSError(number, os.strerror(number))), suppress(P2PChatError):
        await saved(bob, "alice", to)
    assert await saved(bob, "alice", to) == await trio.Path(source).read_bytes()
    assert {len(await trio.Path(path).read_bytes()) for path in to.iterdir()} == {700_000}
    return disk.steps


async def keeps(node: WorldNode, files: int) -> bool:
    folder = node.folder / "files"
    return (len(list(folder.iterdir())) if folder.exists() else 0) == files


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("by_relays", [False, True])
@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_disk_that_fails_at_any_write_of_a_transfer_loses_nothing(
    tmp_path: Path, victim: str, by_relays: bool, number: int
) -> None:
    source = new_file(tmp_path, 700_000)

    def run(name: str, fails_at: int | None) -> int:
        steps = 0

        async def main(world: World) -> None:
            nonlocal steps
            steps = await story(world, source, victim, by_relays, fails_at, number)

        (tmp_path / name).mkdir()
        try:
            run_world(tmp_path / name, main)
        except BaseException as error:
            raise AssertionError(f"write {fails_at} fails") from error
        return steps

    steps = run("count", None)
    assert steps > 4
    for fails_at in chosen(steps, POINTS, victim, by_relays, number):
        run(str(fails_at), fails_at)


class Again:
    """A decoder that makes another picture of one, which is kept in the profile: its sender has no such file."""

    async def prepare(self, path: Path, *, as_is: bool = False) -> Prepared | None:
        return Prepared(await trio.Path(path).read_bytes(), "image/jpeg", 4, 3, b"small")


def test_a_picture_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    """Each write of cutting it fails in turn, and so does the commit of its message."""
    source = new_file(tmp_path, 200_000, "heron.png")

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        alice.engine.pictures = Again()  # type: ignore[assignment]
        for fails_at in range(100):
            disk = Disk(alice, fails_at, errno.ENOSPC)
            try:
                with disk.watched():
                    await alice.call("send_file", chat="bob", path=str(source))
                break
            except P2PChatError:
                await until(lambda: keeps(alice, 0), 600)
        assert fails_at > 4
        await until(lambda: is_here(alice, "bob"), 600)
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


@contextmanager
def room_for_one_and_a_half() -> Iterator[None]:
    """The free bytes stay the same: so the second of two files has room when the first is whole."""
    usage = SimpleNamespace(free=SCARCE_DISK_BYTES + 1_050_000)
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        yield


async def problem_of(node: WorldNode, number: int, problem: str) -> bool:
    files = await node.call("files", chat="alice")
    return len(files) > number and files[number]["file"]["problem"] == problem


def test_files_that_do_not_fit_on_the_disk_together_are_fetched_one_after_the_other(tmp_path: Path) -> None:
    sources = [new_file(tmp_path, 700_000, name) for name in ("heron.bin", "egret.bin")]

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        real, may_come = bob.net.files.get, trio.Event()

        async def get(contact: ContactId, wanted: BlobRange) -> Blobs:
            await may_come.wait()
            return await real(contact, wanted)

        with mock.patch.object(bob.net.files, "get", get), room_for_one_and_a_half():
            for source in sources:
                await alice.call("send_file", chat="bob", path=str(source))
            await until(lambda: problem_of(bob, 1, fetcher.NO_ROOM), 20)
            assert await problem_of(bob, 0, "")
            may_come.set()
            await until(lambda: is_here(bob, "alice"), 200)
            assert [one["file"]["state"] for one in await bob.call("files", chat="alice")] == ["here", "here"]

    run_world(tmp_path, main)


def test_a_file_that_does_not_come_keeps_no_room_from_one_that_does(tmp_path: Path) -> None:
    sources = [new_file(tmp_path, 700_000, name) for name in ("heron.bin", "egret.bin")]

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        real, asked = bob.net.files.get, list[FileId]()

        async def get(contact: ContactId, wanted: BlobRange) -> Blobs:
            asked.append(wanted.file)
            return Blobs([], NoBlob.NOT_NOW) if wanted.file == asked[0] else await real(contact, wanted)

        with room_for_one_and_a_half():
            with mock.patch.object(bob.net.files, "get", get):
                await alice.call("send_file", chat="bob", path=str(sources[0]))
                await until(lambda: problem_of(bob, 0, "Its sender does not give it out now."), 20)
                await alice.call("send_file", chat="bob", path=str(sources[1]))
                await until(lambda: is_here(bob, "alice"), 200)
            await until(lambda: are_here(bob), 1200)

    run_world(tmp_path, main)


async def are_here(node: WorldNode) -> bool:
    return all(one["file"]["state"] == "here" for one in await node.call("files", chat="alice"))


def test_the_name_of_a_new_sealed_file_is_on_the_disk_before_the_database_has_it(tmp_path: Path) -> None:
    """Else a power cut after blobs are noted could lose them all."""
    source = new_file(tmp_path, 700_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        steps: list[str] = []
        fsync, begin_anew = os.fsync, fetcher._begin_anew

        def counted(descriptor: int) -> None:
            steps.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def named(*args: Any) -> Any:
            steps.append("named")
            return begin_anew(*args)

        with mock.patch.object(os, "fsync", counted), mock.patch.object(fetcher, "_begin_anew", named):
            await alice.call("send_file", chat="bob", path=str(source))
            await until(lambda: is_here(bob, "alice"), 60)
        assert str(bob.folder / "files") in steps[: steps.index("named")]

    run_world(tmp_path, main)
