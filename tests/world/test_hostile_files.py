"""Contacts who lie about files: what they cannot have us do, keep, give or leave undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.core.contents import File, Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.files import BlobPlace
from p2pchat.core.ids import MessageId
from p2pchat.engine.files import fetcher, transfers
from p2pchat.ports import BlobRange, NoBlob
from p2pchat.store.files import FileState
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
