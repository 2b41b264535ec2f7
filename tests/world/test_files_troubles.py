"""Files where something is wrong: the sender, the source, the disk, or a wish of one of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core.files import BLOB_BYTES, BlobCipher, BlobPlace
from p2pchat.core.ids import ContactId, direct_chat
from p2pchat.errors import DiskFull, FileDamaged, LinkLost, NotNow, PicturesOff
from p2pchat.media.pictures import Prepared, Rgb
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.store import files as store_files
from p2pchat.store.file_space import SealedFile
from p2pchat.store.files import FileRow
from tests.support.asking import events_of
from tests.support.mail_worlds import apart
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends
from tests.world.test_files import has_state, is_here, is_left, last_file, new_file, saved

Json = dict[str, Any]
SIZE = 700_000


async def send(alice: WorldNode, source: Path, **params: object) -> Json:
    sent: Json = await alice.call("send_file", chat="bob", path=str(source), **params)
    return sent


# --- a sender who lies ------------------------------------------------------------------------------------------------


def garbage(blobs: Sequence[bytes]) -> Sequence[bytes]:
    return [bytes(BLOB_BYTES) for _ in blobs]


def swapped(blobs: Sequence[bytes]) -> Sequence[bytes]:
    return blobs[::-1] if len(blobs) > 1 else garbage(blobs)


def flipped(blobs: Sequence[bytes]) -> Sequence[bytes]:
    return [blob[:-1] + bytes([blob[-1] ^ 1]) for blob in blobs]


@pytest.mark.parametrize("lie", [garbage, swapped, flipped])
@pytest.mark.parametrize("level", [0, 1])
def test_a_sender_who_gives_something_else_ends_the_transfer(
    tmp_path: Path, lie: Callable[[Sequence[bytes]], Sequence[bytes]], level: int
) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        honest = alice.engine.files.giver.blobs

        async def lying(contact: ContactId, wanted: BlobRange) -> Blobs:
            given = await honest(contact, wanted)
            wrong = wanted.first.level == level and wanted.first.number == (0 if level else 4)
            return Blobs(lie(given.blobs), given.missing) if wrong else given

        with mock.patch.object(alice.engine.files.giver, "blobs", lying):
            await send(alice, source)
            await until(lambda: has_state(bob, "alice", "failed"), 60)
            file = (await last_file(bob, "alice"))["file"]
            assert file["problem"].endswith(".")
            with pytest.raises(NotNow):
                await saved(bob, "alice", tmp_path / "saved")
        await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


def test_a_size_that_is_not_that_of_the_blobs_ends_the_transfer(tmp_path: Path) -> None:
    """The last chunk has another length than it must have by what the message says, and the right name."""
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        seal = BlobCipher.seal

        def shorter(cipher: BlobCipher, place: BlobPlace, data: bytes) -> bytes:
            if place.level or place.number < 10:
                return seal(cipher, place, data)
            return seal(cipher, BlobPlace(0, 9), bytes(65_519))

        with mock.patch.object(BlobCipher, "seal", shorter):
            await send(alice, source)
            await until(lambda: has_state(bob, "alice", "failed"), 60)

    run_world(tmp_path, main)


def test_only_the_contact_to_whom_it_was_sent_gets_anything(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        await send(alice, source)
        ours = await row_of(alice, "bob")
        wanted = BlobRange(ours.file, BlobPlace(0, 0), 4)
        giver, contact = alice.engine.files.giver, await alice.id_of("bob")
        assert len((await giver.blobs(contact, wanted)).blobs) == 4
        assert await giver.blobs(ContactId(bytes(8)), wanted) == Blobs((), NoBlob.UNKNOWN)
        assert (await giver.blobs(contact, BlobRange(ours.file, BlobPlace(0, 11), 1))).missing == NoBlob.UNKNOWN
        assert (await giver.blobs(contact, BlobRange(ours.file, BlobPlace(7, 0), 1))).missing is not None
        await alice.call("block", contact="bob")
        assert await giver.blobs(contact, wanted) == Blobs((), NoBlob.UNKNOWN)

    run_world(tmp_path, main)


def test_where_links_end_once_files_are_asked_for_further_links_are_for_messages(tmp_path: Path) -> None:
    """As on networks that freeze each connection after some kilobytes."""
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        contact, asked = await bob.id_of("alice"), 0

        async def lost(self: object, contact: ContactId, wanted: BlobRange) -> Blobs:
            nonlocal asked
            asked += 1
            await trio.sleep(0.1)
            raise LinkLost

        with mock.patch.object(type(bob.net.files), "get", lost):
            await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
            for _ in range(30):
                await trio.sleep(1)
                bob.engine.files.fetcher.link_up(contact)
            assert 2 <= asked <= 6  # at once on two links, and then after 4, 8 and 16 s
        await until(lambda: is_here(bob, "alice"), 60)

    run_world(tmp_path, main)


async def row_of(node: WorldNode, chat: str) -> FileRow:
    contact = await node.id_of(chat)
    rows = await node.engine.committer.read(store_files.in_chat, direct_chat(contact), 1)
    row: FileRow = rows[0]
    return row


# --- the source and the disk ------------------------------------------------------------------------------------------


def test_a_source_that_is_away_pauses_and_one_that_changed_fails(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)
    moved, whole = tmp_path / "moved", source.read_bytes()

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        source.rename(moved)
        id = (await last_file(bob, "alice"))["id"]
        await bob.call("fetch_file", id=id)
        await until(lambda: has_state(alice, "bob", "paused"), 60)
        assert "not there" in (await last_file(alice, "bob"))["file"]["problem"]
        assert (await last_file(bob, "alice"))["file"]["problem"]
        moved.rename(source)
        await until(lambda: is_here(bob, "alice"), 600)
        await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        source.write_bytes(whole[:-1] + b"?")
        await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
        await until(lambda: has_state(bob, "alice", "failed"), 60)
        assert (await last_file(alice, "bob"))["file"]["state"] == "failed"
        source.write_bytes(whole)
        await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
        await until(lambda: is_here(bob, "alice"), 60)

    run_world(tmp_path, main)


@pytest.mark.parametrize("step", ["write", "sync", "create"])
@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_full_disk_pauses_and_loses_nothing(tmp_path: Path, step: str, after: int) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        owner: Any = bob.engine.files.space if step == "create" else SealedFile
        real, calls = getattr(owner, step), 0

        def full(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if after < calls <= after + 2:
                raise DiskFull
            return real(*args)

        with mock.patch.object(owner, step, full):
            await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
            await trio.sleep(5)
            assert calls <= after or "room" in (await last_file(bob, "alice"))["file"]["problem"]
            await until(lambda: is_here(bob, "alice"), 600)
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


# --- wishes -----------------------------------------------------------------------------------------------------------


def test_each_side_can_pause_and_go_on(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        sent = await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        assert (await alice.call("pause_file", id=sent["id"]))["file"]["state"] == "paused"
        theirs = (await last_file(bob, "alice"))["id"]
        await bob.call("fetch_file", id=theirs)
        await trio.sleep(20)
        assert (await last_file(bob, "alice"))["file"]["progress"] == 0
        assert (await bob.call("why", id=theirs))["reason"] == "Its sender does not give it out now."
        assert (await alice.call("why", id=sent["id"]))["reason"] == "You have paused it."
        assert (await bob.call("pause_file", id=theirs))["file"]["state"] == "paused"
        await alice.call("fetch_file", id=sent["id"])
        await trio.sleep(600)
        assert (await last_file(bob, "alice"))["file"]["state"] == "paused"
        await bob.call("fetch_file", id=theirs)
        await until(lambda: is_here(bob, "alice"), 60)
        assert len(events_of(bob, "file")) > 2

    run_world(tmp_path, main)


def test_what_is_declined_or_deleted_leaves_nothing_and_may_be_wanted_again(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        sent = await send(alice, source, wait="delivered")
        theirs = (await last_file(bob, "alice"))["id"]
        assert (await bob.call("cancel_file", id=theirs))["file"]["state"] == "gone"
        await until(lambda: keeps_nothing(bob), 60)
        assert (await last_file(alice, "bob"))["file"]["state"] == "here"
        await bob.call("fetch_file", id=theirs)
        await until(lambda: is_here(bob, "alice"), 60)
        await bob.call("settings", fetch_up_to=0)
        sent = await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        theirs = (await last_file(bob, "alice"))["id"]
        await bob.call("cancel_file", id=theirs)
        await until(lambda: has_state(alice, "bob", "failed"), 60)
        assert (await last_file(alice, "bob"))["state"] == "stored"
        await bob.call("fetch_file", id=theirs)
        await until(lambda: is_here(bob, "alice"), 60)
        await until(lambda: has_state(alice, "bob", "here"), 60)
        await alice.call("delete", id=sent["id"])
        await bob.call("clear", chat="alice")
        for node in (alice, bob):
            await until(partial(keeps_nothing, node, 1 if node is alice else 0), 60)

    run_world(tmp_path, main)


def test_a_file_that_was_declined_can_be_offered_again(tmp_path: Path) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.call("settings", fetch_up_to=0)
        sent = await send(alice, source, wait="stored")
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        await until(lambda: is_left(relays, 5), 120)
        await bob.call("cancel_file", id=sent["id"])
        await until(lambda: has_state(alice, "bob", "failed"), 60)
        await until(lambda: is_left(relays, 0), 120)
        await bob.stop()
        assert (await alice.call("fetch_file", id=sent["id"]))["file"]["state"] == "waiting"
        await until(lambda: is_left(relays, 5), 120)
        assert (await alice.call("pause_file", id=sent["id"]))["file"]["state"] == "paused"

    run_world(tmp_path, main)


def test_a_file_that_was_whole_and_is_wanted_again_is_left_at_relays_again(tmp_path: Path) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        sent = await send(alice, source, wait="delivered")
        await until(lambda: has_state(alice, "bob", "here"), 60)
        await until(lambda: is_left(relays, 0), 120)
        await alice.stop()
        await bob.call("cancel_file", id=sent["id"])
        await bob.call("fetch_file", id=sent["id"])
        await trio.sleep(60)  # their wish waits at the relays of its sender
        await bob.stop()
        alice = await world.start("alice")
        await until(lambda: is_left(relays, 5), 120)
        assert (await last_file(alice, "bob"))["state"] == "delivered"
        bob = await world.start("bob")
        await until(lambda: is_here(bob, "alice"), 120)
        await until(lambda: has_state(alice, "bob", "here"), 120)

    run_world(tmp_path, main)


async def keeps_nothing(node: WorldNode, files: int = 0) -> bool:
    return len(list((node.folder / "files").iterdir())) == files


def test_a_message_that_was_read_before_its_file_came_is_read_once_it_is_whole(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        await send(alice, source)
        await until(lambda: has_state(bob, "alice", "offered"), 60)
        await bob.call("read", chat="alice")
        await trio.sleep(60)
        assert (await last_file(alice, "bob"))["state"] == "stored"
        await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
        await until(lambda: has_state(alice, "bob", "here"), 60)
        assert (await last_file(alice, "bob"))["state"] == "read"

    run_world(tmp_path, main)


class FakePictures:
    """A decoder that makes one kind of picture of everything."""

    async def prepare(self, path: Path, *, as_is: bool = False) -> Prepared | None:
        return Prepared(None if as_is else b"again", "" if as_is else "image/jpeg", 4, 3, b"small")

    async def render(self, data: bytes, columns: int, rows: int, owner: bytes = b"") -> Rgb:
        return Rgb(1, 1, data[:3])


def test_a_picture_is_sent_without_its_metadata_and_shown_to_those_who_are_verified(tmp_path: Path) -> None:
    source = tmp_path / "IMG_0001.PNG"
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        for node in (alice, bob):
            node.engine.pictures = FakePictures()  # type: ignore[assignment]
        await send(alice, source, wait="delivered")
        file = (await last_file(bob, "alice"))["file"]
        assert (file["name"], file["form"], file["width"], file["preview"]) == ("IMG_0001.jpg", "picture", 4, True)
        assert await saved(bob, "alice", tmp_path / "saved") == b"again"
        id = (await last_file(bob, "alice"))["id"]
        with pytest.raises(PicturesOff):
            await bob.call("picture", id=id, columns=10, rows=10)
        await bob.call("settings", pictures="contacts")
        assert (await bob.call("picture", id=id, columns=10, rows=10))["rgb"] == "c21h"
        assert (await bob.call("picture", id=id, columns=10, rows=10, full=True))["rgb"] == "YWdh"
        await send(alice, source, as_is=True, wait="delivered")
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


@pytest.mark.parametrize("size", [0, 1, 65_519, 65_520])
def test_a_file_of_any_size_arrives(tmp_path: Path, size: int) -> None:
    source = new_file(tmp_path, size)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await send(alice, source, wait="delivered")
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()
        noted = await alice.call("send_file", chat="notes", path=str(source))
        assert (noted["state"], (await last_file(alice, "notes"))["file"]["state"]) == ("read", "here")
        assert await saved(alice, "notes", tmp_path / "noted") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


@pytest.mark.parametrize("way", ["for both", "by its timer", "cleared", "forgotten"])
def test_what_is_deleted_in_the_middle_is_neither_given_nor_fetched_any_more(tmp_path: Path, way: str) -> None:
    source = new_file(tmp_path, 3_000_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        if way == "by its timer":
            await alice.call("timer", chat="bob", seconds=20)
            await trio.sleep(5)
        giver, given = alice.engine.files.giver, list[BlobRange]()
        honest = giver.blobs

        async def slow(contact: ContactId, wanted: BlobRange) -> Blobs:
            await trio.sleep(2)
            given.append(wanted)
            return await honest(contact, wanted)

        giver.blobs = slow  # type: ignore[method-assign]
        sent = await send(alice, source)
        ours, contact = await row_of(alice, "bob"), await alice.id_of("bob")
        await until(lambda: has_state(bob, "alice", "moving"), 60)
        await bob.call("read", chat="alice")
        if way == "for both":
            await alice.call("delete", id=sent["id"], for_both=True)
        elif way == "cleared":
            await alice.call("clear", chat="bob")
        elif way == "forgotten":
            await alice.call("forget", contact="bob", history=True)
        await trio.sleep(30)
        assert (await honest(contact, BlobRange(ours.file, BlobPlace(0, 0), 1))).missing == NoBlob.UNKNOWN
        assert await keeps_nothing(alice)
        if way in ("for both", "by its timer"):
            assert await keeps_nothing(bob)
            assert not bob.engine.files.fetcher._tasks
        before = len(given)
        await trio.sleep(10)
        assert len(given) - before < 20, "it is asked for again and again"

    run_world(tmp_path, main)


def test_what_is_lost_of_a_file_that_was_whole_is_fetched_again(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await send(alice, source, wait="delivered")
        (sealed,) = (bob.folder / "files").iterdir()
        damaged = bytearray(await trio.Path(sealed).read_bytes())
        damaged[200_000] ^= 1
        await trio.Path(sealed).write_bytes(bytes(damaged))
        with pytest.raises(FileDamaged):
            await saved(bob, "alice", tmp_path / "saved")
        assert not list((tmp_path / "saved").iterdir())
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()
        assert (await last_file(alice, "bob"))["state"] == "delivered"

    run_world(tmp_path, main)


@pytest.mark.parametrize("what", ["fetcher._wanted", "to_relays._read", "to_relays._end", "transfers.withdrawn"])
def test_a_database_that_cannot_be_used_for_a_while_ends_no_node(tmp_path: Path, what: str) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        with mock.patch(f"p2pchat.engine.files.{what}", side_effect=DiskFull):
            sent = await send(alice, source)
            await until(lambda: has_state(bob, "alice", "offered"), 60)
            if what == "transfers.withdrawn":
                with mock.patch.object(alice.engine.files.giver, "blobs", withdrawn):
                    await bob.call("fetch_file", id=sent["id"])
                    await trio.sleep(300)
            else:
                await bob.call("fetch_file", id=sent["id"])
                await trio.sleep(300)
        await until(lambda: is_here(bob, "alice"), 1200)

    run_world(tmp_path, main)


async def withdrawn(contact: ContactId, wanted: BlobRange) -> Blobs:
    return Blobs((), NoBlob.WITHDRAWN)


@pytest.mark.parametrize(
    ("data", "more", "warns"),
    [
        (b"II*\0", {}, "a TIFF picture"),
        (b"II*\0", {"as_is": True}, ""),
        (b"\xff\xd8\xff", {"form": "file"}, "a JPEG picture"),
        (b"a plain text", {}, ""),
    ],
)
def test_who_sends_what_may_say_where_it_was_taken_is_warned(
    tmp_path: Path, data: bytes, more: Json, warns: str
) -> None:
    source = tmp_path / "photo"
    source.write_bytes(data)

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        sent = await send(alice, source, **more)
        assert sent["warning"].startswith(f"This is {warns}: it is sent as it is" if warns else "")
        assert bool(sent["warning"]) == bool(warns)

    run_world(tmp_path, main)
