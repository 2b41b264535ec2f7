"""Contacts who lie about files: what they cannot have us do, keep, give or leave undone."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import trio

from p2pchat.core.contents import File, Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.files import MAX_FILE_BYTES, BlobPlace
from p2pchat.core.ids import ContactId, MessageId
from p2pchat.engine.files import fetcher, transfers
from p2pchat.errors import P2PChatError
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.sanitize import clean_line
from p2pchat.store.files import FileState
from tests.received.hostile_names import NAMES
from tests.support.world import World, befriend, run_world, until
from tests.world.test_conversation import Author, take
from tests.world.test_delivery import friends
from tests.world.test_file_messages import in_store
from tests.world.test_files import is_here, new_file

MADE_UP = File(0, "ghost.bin", "", 20_000_000, b"k" * 32, b"r" * 32)
"""A file of which its sender has nothing."""


def test_no_more_is_wanted_unasked_than_a_contact_may_have_us_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "MAX_FETCHED_BYTES", 5 * MADE_UP.size)
    monkeypatch.setattr(transfers, "MAX_AWAITED", 9)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.stop()
        author = Author(world)
        await take(bob, "alice", *[author.say(MADE_UP) for _ in range(8)])
        assert [row.state for row in await in_store(bob)].count(FileState.WAITING) == 5
        await take(bob, "alice", *[author.say(replace(MADE_UP, size=0)) for _ in range(8)])
        assert [row.state for row in await in_store(bob)].count(FileState.WAITING) == 9

    run_world(tmp_path, main)


def test_files_that_nobody_gives_keep_no_other_from_coming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MAX_AT_ONCE", fetcher.MAX_OF_CONTACT)
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(carol, bob)
        author = Author(world)
        await take(bob, "alice", *[author.say(MADE_UP) for _ in range(3 * fetcher.MAX_OF_CONTACT)])
        await carol.call("send_file", chat="bob", path=str(source))
        await until(lambda: is_here(bob, "carol"), 60)
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: is_here(bob, "alice"), 300)

    run_world(tmp_path, main)


def test_files_that_come_slowly_keep_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "IDLE_SECONDS", 2.0)
    sources = [new_file(tmp_path, 100_000, f"{number}.bin") for number in range(fetcher.MAX_OF_CONTACT + 2)]

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        giver, given = alice.engine.files.giver, list[BlobRange]()
        honest = giver.blobs

        async def slow(contact: ContactId, wanted: BlobRange) -> Blobs:
            given.append(wanted)
            await trio.sleep(8)
            return await honest(contact, wanted)

        giver.blobs = slow  # type: ignore[method-assign]
        for source in sources:
            await alice.call("send_file", chat="bob", path=str(source))

        async def all_here() -> bool:
            files = await bob.call("files", chat="alice")
            return [one["file"]["state"] for one in files] == ["here"] * len(sources)

        await until(all_here, 300)
        assert len(given) == len(set(given)), "nothing is asked for twice"

    run_world(tmp_path, main)


def test_what_is_withdrawn_is_not_given_to_one_who_says_that_it_is_there(tmp_path: Path) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        contact = await alice.id_of("bob")
        await bob.stop()
        sent = await alice.call("send_file", chat="bob", path=str(source))
        await alice.call("cancel_file", id=sent["id"])
        (row,) = await in_store(alice)
        author = Author(world)
        for news in (TransferNews.DECLINED, TransferNews.WANTED, TransferNews.WHOLE, TransferNews.WANTED):
            await take(alice, "bob", author.say(Transfer(MessageId(bytes.fromhex(sent["id"])), news)))
            given = await alice.engine.files.giver.blobs(contact, BlobRange(row.file, BlobPlace(0, 0), 1))
            assert (given.blobs, given.missing) == ((), NoBlob.WITHDRAWN)
        assert (await in_store(alice))[0].state == FileState.GONE

    run_world(tmp_path, main)


FORMS = ("auto", "file", "picture", "voice")
SIZES = (0, 1, 65_519, 65_520, 25_000_000, 1 << 32, MAX_FILE_BYTES)
PREVIEWS = (b"", b"\xff\xd8\xff", b"\x1b[2J" * 1_536, bytes(63), bytes(64), bytes(65), b"<svg onload=x>")


def test_two_hundred_hostile_files_are_lines_that_say_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Whatever is claimed of size, form, width, length, type and preview: nothing is made room for before it comes."""
    evil = "\x1b]8;;file:///etc\x07a\x9b2J\u202e[@click=app.quit]\n-rf <b>\0"

    def claims(number: int, name: str) -> File:
        side, long = (0, 1, 65_535)[number % 3], (0, 2**32 - 1)[number % 2]
        return File(
            number % 5,
            name[:200] or "a",
            evil,
            SIZES[number % len(SIZES)],
            bytes([number]) * 32,
            bytes(32),
            side,
            65_535 - side,
            long,
            PREVIEWS[number % len(PREVIEWS)],
            evil,
        )

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        sent = [claims(number, name) for number, name in enumerate(NAMES)]
        assert len(sent) >= 200
        author = Author(world)
        said = [author.say(file) for file in sent if encodable(file)]
        before = everything(tmp_path)
        await take(bob, "alice", *said)
        await trio.sleep(5 * fetcher.IDLE_SECONDS)
        shown = await bob.call("files", chat="alice", limit=1000)
        assert len(shown) == len(said)
        for event in [*shown, *(one for one in bob.heard if one.get("file"))]:
            file = event["file"]
            assert all(clean_line(file[key]) == file[key] for key in ("name", "type", "problem"))
            assert not {"/", "\\"} & set(file["name"])
            assert file["peaks"] is None or len(file["peaks"]) == 64
        largest = next(one for one in shown if one["file"]["size"] == MAX_FILE_BYTES)
        await bob.call("fetch_file", id=largest["id"])
        await trio.sleep(60)
        new = {path: size for path, size in everything(tmp_path).items() if path not in before}
        assert {path.parent for path in new} <= {bob.folder, bob.folder / "files"}
        assert not sum(size for path, size in new.items() if path.parent.name == "files")
        assert len(bob.engine.files.fetcher._tasks) <= fetcher.MAX_AT_ONCE
        await alice.call("send", chat="bob", text="and a text", wait="delivered")

    run_world(tmp_path, main)


def encodable(file: File) -> bool:
    """Whether somebody can say this at all: names that are not Unicode are refused with the envelope."""
    try:
        file.name.encode()
    except UnicodeEncodeError:
        return False
    return True


def everything(folder: Path) -> dict[Path, int]:
    """All that is in a folder, with its size."""
    return {path: path.stat().st_size for path in folder.rglob("*")}


def test_a_path_that_cannot_be_read_is_a_sentence_in_every_form(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        for path, form in product(("/\0", "relative", "/no/such", f"/{'a' * 300}", "/dev/zero", "/"), FORMS):
            with pytest.raises(P2PChatError):
                await alice.call("send_file", chat="bob", path=path, form=form)
        assert await alice.call("files", chat="bob") == []

    run_world(tmp_path, main)
