"""File messages and transfers in the engine: what they save, in whatever order they come, and what goes with them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core.contents import Delete, File, Text, Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.ids import ContactId, MessageId, direct_chat
from p2pchat.engine.delivery import outbound
from p2pchat.engine.files.files import Files
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store.database import Database
from p2pchat.store.file_space import FileSpace
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.messages import ME
from tests.support.asking import events_of
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_conversation import Author, last, settled, take
from tests.world.test_delivery import friends
from tests.world.test_seizure import pages

MARKER = "zauberwort"
PHOTO = File(1, "a.png", "image/png", 70_000_000, b"k" * 32, b"r" * 32, 4, 3, preview=b"small", caption="look, a heron")


async def in_store(node: WorldNode) -> list[FileRow]:
    """All files of a node."""

    def query(db: Database) -> list[FileRow]:
        found = (store_files.get(db, row.pk) for row in store_messages.since(db, None, 0))
        return [file for file in found if file is not None]

    rows: list[FileRow] = await node.engine.committer.read(query)
    return rows


async def send(node: WorldNode, chat: str, payload: File = PHOTO) -> MessageId:
    """Send a file message, with a row in `files` and a sealed file, of a size that is not fetched by itself."""

    sealed = node.engine.files.space.create()
    sealed.close()

    def save(tx: Transaction) -> MessageId:
        contact = tx.find(chat)
        row = outbound.send(tx, contact, payload)
        saved = store_messages.get(tx.db, row.chat, ME, row.id)
        assert saved is not None
        store_files.add(tx.db, FileRow.of_message(saved, payload, FileState.WAITING))
        store_files.update(tx.db, saved.pk, space=sealed.name, space_key=sealed.key)
        return row.id

    id: MessageId = await node.engine.committer.submit(save)
    return id


async def keep(node: WorldNode) -> None:
    """Give the file of a node a sealed file."""
    (row,) = await in_store(node)
    sealed = node.engine.files.space.create()
    sealed.close()

    def change(tx: Transaction) -> None:
        store_files.update(tx.db, row.message, space=sealed.name, space_key=sealed.key)

    await node.engine.committer.submit(change)


async def no_sealed_file(node: WorldNode) -> bool:
    """Whether the node keeps no sealed file, and nothing says that one is to be deleted."""
    return not list((node.folder / "files").iterdir()) and not await node.engine.committer.read(store_files.unneeded)


def test_a_file_message_arrives_with_its_row_and_is_found_by_its_caption(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = await send(alice, "bob")
        await settled(alice, bob)
        shown = await last(bob, "alice")
        assert (shown["id"], shown["kind"], shown["text"]) == (id.hex(), "file", PHOTO.caption)
        (row,) = await in_store(bob)
        assert row.payload(PHOTO.caption) == PHOTO
        assert (row.mine, row.state, row.news) == (False, FileState.OFFERED, None)
        assert [one["id"] for one in await bob.call("log", chat="alice", search="heron")] == [id.hex()]

    run_world(tmp_path, main)


def test_a_message_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        author = Author(world)
        said = author.say(PHOTO)
        await take(bob, "alice", said)
        await keep(bob)
        (before,) = await in_store(bob)
        await take(bob, "alice", said)
        (row,) = await in_store(bob)
        assert row.space is not None
        assert row.space == before.space
        await alice.stop()

    run_world(tmp_path, main)


@pytest.mark.parametrize("early", [False, True])
def test_the_newest_news_of_the_sender_counts(tmp_path: Path, early: bool) -> None:
    async def main(world: World) -> None:
        _, bob = await friends(world)
        author = Author(world)
        said = author.say(PHOTO)
        about = said.message_id
        ignored = [author.say(Transfer(about, news)) for news in (TransferNews.WHOLE, TransferNews.WANTED, 77)]
        earlier, withdrawn = (author.say(Transfer(about, TransferNews.WITHDRAWN)) for _ in range(2))
        later = [author.say(Transfer(about, news)) for news in (TransferNews.DECLINED, 4)]
        said_of_it = [*ignored, earlier, withdrawn, *later]
        for content in [*said_of_it, said] if early else [said, *reversed(said_of_it)]:
            await take(bob, "alice", content)
            assert await bob.engine.committer.read(_waiting_withdrawals) <= 1
        (row,) = await in_store(bob)
        assert (row.news, row.news_id) == (TransferNews.WITHDRAWN, withdrawn.message_id)

    run_world(tmp_path, main)


def _waiting_withdrawals(db: Database) -> int:
    """How many withdrawals wait for a message of somebody else's."""
    sql = "SELECT count(*) FROM waiting WHERE kind = ? AND author <> x''"
    return int(db.query(sql, (Transfer.KIND.number,))[0][0])


def test_the_recipient_tells_of_our_file_and_nobody_of_a_text(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = await send(alice, "bob")
        await settled(alice, bob)
        author = Author(world)
        text = author.say(Text("no file"))
        news = [author.say(Transfer(id, said)) for said in (TransferNews.DECLINED, TransferNews.WANTED)]
        lie = author.say(Transfer(id, TransferNews.WITHDRAWN))
        about_text = author.say(Transfer(text.message_id, TransferNews.WITHDRAWN))
        await take(alice, "bob", text, *reversed(news), lie, about_text)
        (row,) = await in_store(alice)
        assert row.news_id == news[1].message_id
        assert row.state == FileState.WAITING, "of the two the newer one counts"

    run_world(tmp_path, main)


async def delete_here(alice: WorldNode, bob: WorldNode, id: MessageId) -> None:
    for node in (alice, bob):
        await node.call("delete", id=id.hex())


async def delete_for_both(alice: WorldNode, bob: WorldNode, id: MessageId) -> None:
    await alice.call("delete", id=id.hex(), for_both=True)
    await settled(alice, bob)
    assert (await last(bob, "alice"))["deleted"]


async def clear(alice: WorldNode, bob: WorldNode, id: MessageId) -> None:
    await alice.call("clear", chat="bob")
    await bob.call("clear", chat="alice")


async def forget(alice: WorldNode, bob: WorldNode, id: MessageId) -> None:
    await alice.call("forget", contact="bob", history=True)
    await bob.call("forget", contact="alice", history=True)


@pytest.mark.parametrize("way", [delete_here, delete_for_both, clear, forget])
def test_a_file_goes_with_its_message_on_both_sides(tmp_path: Path, way: Any) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = await send(alice, "bob")
        await settled(alice, bob)
        await keep(bob)
        await way(alice, bob, id)
        for node in (alice, bob):
            assert await in_store(node) == []
            await until(partial(no_sealed_file, node))

    run_world(tmp_path, main)


def test_who_answers_a_file_quotes_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        id = await send(alice, "bob")
        await settled(alice, bob)
        await alice.call("reply", id=id.hex(), text="do you see it?")
        await settled(alice, bob)
        for node, chat in ((alice, "bob"), (bob, "alice")):
            told = [event["quote"] for event in events_of(node, "message") if event["quote"] is not None]
            read = [message["quote"] for message in await node.call("log", chat=chat, limit=1)]
            assert len(told) == len(read) == 1
            for quote in (*told, *read):
                assert (quote["text"], quote["file"]["name"]) == ("look, a heron", "a.png")

    run_world(tmp_path, main)


def test_a_timer_takes_the_file_with_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("timer", chat="bob", seconds=60)
        await send(alice, "bob")
        await settled(alice, bob)
        await keep(bob)
        await bob.call("read", chat="alice")
        await trio.sleep(120)
        for node in (alice, bob):
            assert await in_store(node) == []
            await until(partial(no_sealed_file, node))

    run_world(tmp_path, main)


def test_a_delete_that_comes_before_its_file_leaves_no_row(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        _, bob = await friends(world)
        author = Author(world)
        said = author.say(PHOTO)
        await take(bob, "alice", author.say(Delete(said.message_id, said.seq)), said)
        assert await in_store(bob) == []
        assert (await last(bob, "alice"))["deleted"]

    run_world(tmp_path, main)


def test_a_file_that_waits_for_a_contact_goes_to_the_same_person_as_another_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await befriend(alice, await world.start("robert"))
        await bob.stop()
        id = await send(alice, "bob")

        def move(tx: Transaction) -> ContactId:
            outbound.move(tx, tx.find("bob"), tx.find("robert"))
            return tx.find("robert").id

        contact = await alice.engine.committer.submit(move)
        (row,) = await in_store(alice)
        assert row.chat == direct_chat(contact)
        assert (await last(alice, "robert"))["id"] == id.hex()
        await settled(alice)
        (theirs,) = await in_store(world.nodes["robert"])
        assert theirs.payload(PHOTO.caption) == PHOTO

    run_world(tmp_path, main)


def test_a_file_that_waits_is_not_sent_after_its_chat_was_cleared(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        await send(alice, "bob")
        await alice.call("clear", chat="bob")
        bob = await world.start("bob")
        await alice.call("send", chat="bob", text="something else", wait="delivered")
        assert await in_store(bob) == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("way", ["here", "for both", "timer"])
def test_a_profile_that_is_seized_after_a_deletion_has_nothing_that_opens_the_file(tmp_path: Path, way: str) -> None:
    """Neither in a page of either database nor in the folder of files: no key, root, name, caption, or byte of it."""
    source = tmp_path / f"{MARKER}.bin"
    source.write_bytes(Random(way).randbytes(150_000))

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        if way == "timer":
            await alice.call("timer", chat="bob", seconds=60)
        sent = await alice.call("send_file", chat="bob", path=str(source), caption=MARKER, wait="delivered")
        await settled(alice, bob)
        secrets = [MARKER.encode()]
        for node in (alice, bob):
            (row,) = await in_store(node)
            assert row.space is not None
            assert row.space_key is not None
            secrets += [row.key, row.root, row.file, row.space_key]
            await node.engine.committer.read(Database.checkpoint)
            assert [path.name for path in (node.folder / "files").iterdir()] == [row.space]
        assert all(any(secret in pages(node.folder / "p2pchat.db") for node in (alice, bob)) for secret in secrets)
        if way == "timer":
            await bob.call("read", chat="alice")
        elif way == "here":
            await bob.call("delete", id=sent["id"])
            await alice.call("delete", id=sent["id"])
        else:
            await alice.call("delete", id=sent["id"], for_both=True)
        await settled(alice, bob)
        await trio.sleep(120)
        for node in (alice, bob):
            assert list((node.folder / "files").iterdir()) == []
            left = pages(node.folder / "p2pchat.db")
            assert [secret for secret in secrets if secret in left] == []

    run_world(tmp_path, main)


def test_what_a_crash_leaves_over_is_deleted_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file whose message was deleted just before, and one that was made and not yet noted."""

    async def nothing(_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        for number in range(2):
            path = tmp_path / f"{number}.bin"
            path.write_bytes(bytes(1_000))
            sent = await alice.call("send_file", chat="bob", path=str(path), wait="delivered")
        folder = bob.folder / "files"
        with monkeypatch.context() as patch:
            patch.setattr(Files, "delete_unneeded", nothing)
            await bob.call("delete", id=sent["id"])
            FileSpace(folder).create().close()
            await bob.crash()
        assert len(list(folder.iterdir())) == 3
        bob = await world.start("bob")
        (row,) = await in_store(bob)
        assert [path.name for path in folder.iterdir()] == [row.space]
        assert await bob.engine.committer.read(store_files.unneeded) == []

    run_world(tmp_path, main)
