"""Files in groups: left once for all at relays, fetched there or from members, and given to nobody else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core.contents import Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.file_boxes import BoxRelay
from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.ids import FileId, MessageId, PeerKey
from p2pchat.core.relays import Relay
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.files import shared, to_relays, transfers
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, PicturesOff
from p2pchat.lib.times import HOUR_MS, HOUR_SECONDS
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.store import files as store_files
from p2pchat.store.database import Database
from tests.support.group_worlds import has_members, reads
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world import test_group_logs
from tests.world.test_files import is_here, last_file, new_file, saved
from tests.world.test_files_troubles import FakePictures

Json = dict[str, Any]
CREW = ("alice", "bob", "carol")


async def crew(
    world: World, names: tuple[str, ...] = CREW, users: int | None = None
) -> tuple[list[WorldNode], list[MailRelay]]:
    """A small group of contacts, who all use the same two relays, or so many of them do."""
    towers = [world.mailbox(f"tower {number}") for number in range(2)]
    nodes = [await world.start(name) for name in names]
    for node in nodes[:users]:
        for tower in towers:
            await node.call("relays", add=tower.address)
    for one, other in combinations(nodes, 2):
        await befriend(one, other)
    await nodes[0].call("create_group", name="crew", contacts=list(names[1:]))
    for node in nodes:
        await has_members(node, "crew", len(names))
        await until(lambda node=node: knows(node, "crew", len(names) - 1))  # type: ignore[misc]
    return nodes, towers


async def knows(node: WorldNode, chat: str, count: int) -> bool:
    page = await node.call("group_members", chat=chat)
    return sum(one["contact"] is not None for one in page["members"]) >= count


async def state(node: WorldNode, chat: str) -> str:
    """The state of the newest file; "" before there is one."""
    files = await node.call("files", chat=chat)
    return files[-1]["file"]["state"] if files and files[-1]["file"] else ""


async def has_state(node: WorldNode, chat: str, *states: str) -> None:
    async def there() -> bool:
        return await state(node, chat) in states

    await until(there)


def lying(towers: list[MailRelay]) -> list[int]:
    """How many blobs of files lie at each relay."""
    return [sum(map(len, tower.boxes.values())) for tower in towers]


async def file_id(node: WorldNode) -> FileId:
    """The id of the newest file that a node has."""
    rows = await node.engine.committer.read(lambda db: db.query("SELECT file FROM files ORDER BY message"))
    return FileId(rows[-1][0])


def test_members_fetch_from_the_relays_what_was_left_there_once(tmp_path: Path) -> None:
    source = new_file(tmp_path, 1_000_000)

    async def main(world: World) -> None:
        nodes, towers = await test_group_logs.found(world, 3)
        alice, away = nodes[0], nodes[1:4]
        for node in away:
            await node.stop()
        sent = await alice.call("send_file", chat="town", path=str(source), caption="the map", wait="stored")
        shown = (await last_file(alice, "town"))["file"]
        assert (shown["group"], shown["stored"], shown["state"]) == (True, 1.0, "waiting")
        assert "at the group's relays for seven days" in (await alice.call("why", id=sent["id"]))["reason"]
        blobs = 1 + -(-1_000_000 // 65_519)
        assert sorted(lying(towers)) == [0, blobs, blobs], "at two of its relays"
        await alice.stop()
        for node in nodes[4:]:
            await node.stop()
        for name in [node.name for node in away]:
            node = await world.start(name)
            await until(lambda node=node: is_here(node, "town"))  # type: ignore[misc]
            assert (await last_file(node, "town"))["text"] == "the map"
            assert await saved(node, "town", tmp_path / f"of {name}") == source.read_bytes()
            got = [blob for tower in towers for who, blob in tower.got_by if who == name]
            assert len(got) == len(set(got)) == blobs, "nothing came twice"
        for tower in towers:
            assert len(tower.put_by) == len(set(tower.put_by)) in (0, blobs), "nothing was put twice"
        assert sorted(lying(towers)) == [0, blobs, blobs], "it is there for the others"

    run_world(tmp_path, main)


def test_a_small_group_needs_no_more_than_a_link(tmp_path: Path) -> None:
    """Who has the file gives it to contacts who are members, whoever sent it."""
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.stop()
        await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: is_here(bob, "crew"))
        for tower in towers:
            tower.boxes.clear()
            tower.box_room = 0
        await alice.stop()
        carol = await world.start("carol")
        await until(lambda: is_here(carol, "crew"))
        assert await saved(carol, "crew", tmp_path / "saved") == source.read_bytes()
        assert (await last_file(bob, "crew"))["file"]["progress"] == 1.0

    run_world(tmp_path, main)


def test_one_relay_may_be_lost(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.stop()
        await bob.stop()
        await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: all_lie(towers))
        await alice.stop()
        towers[0].boxes.clear()
        for name in ("bob", "carol"):
            node = await world.start(name)
            await until(lambda node=node: is_here(node, "crew"))  # type: ignore[misc]

    run_world(tmp_path, main)


async def all_lie(towers: list[MailRelay]) -> bool:
    await trio.lowlevel.checkpoint()
    return min(lying(towers)) == max(lying(towers)) > 0


def test_what_a_stranger_sends_is_fetched_when_it_is_asked_for(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol, *_), towers = await test_group_logs.found(world, 1)
        await bob.call("send_file", chat="town", path=str(source), wait="stored")
        await until(lambda: is_here(alice, "town"))  # bob is her contact
        await has_state(carol, "town", "offered")
        await trio.sleep(3600)
        assert await state(carol, "town") == "offered"
        assert not [who for who, _ in towers[0].got_by if who == "carol"]
        reason = (await carol.call("why", id=(await last_file(carol, "town"))["id"]))["reason"]
        assert "its sender is no contact of yours" in reason
        await carol.call("fetch_file", id=(await last_file(carol, "town"))["id"])
        await until(lambda: is_here(carol, "town"))
        assert await saved(carol, "town", tmp_path / "saved") == source.read_bytes()

    run_world(tmp_path, main)


def test_a_strangers_relay_never_sees_our_address(tmp_path: Path) -> None:
    """One that only the message names; those of the group and our own are used like for anything else."""
    source = new_file(tmp_path, 1_000)

    async def main(world: World) -> None:
        tower = world.mailbox("bob's")
        alice, bob, carol = [await world.start(name) for name in CREW]
        for other in (bob, carol):
            await befriend(alice, other)
        await bob.call("relays", add=tower.address)
        await alice.call("create_group", name="crew", contacts=["bob", "carol"])
        for node in (alice, bob, carol):
            await has_members(node, "crew", 3)
        await bob.call("send_file", chat="crew", path=str(source), wait="stored")
        await has_state(carol, "crew", "offered")
        await until(lambda: is_here(alice, "crew"))

        assert [(relay.hidden, relay.chosen) for relay in await read_at(alice)] == [(False, False)], (
            "she deposits there"
        )
        assert [(relay.hidden, relay.chosen) for relay in await read_at(carol)] == [(True, False)]

    run_world(tmp_path, main)


def test_a_message_does_not_choose_where_its_readers_connect_to(tmp_path: Path) -> None:
    source = new_file(tmp_path, 1_000)

    async def main(world: World) -> None:
        (_, bob, carol), towers = await crew(world, users=1)  # the relays are those of the group's logs, and not hers
        said = BoxRelay(towers[0].peer, b"elsewhere", b"x"), BoxRelay(PeerKey(b"p" * 32), b"elsewhere", b"")
        with mock.patch.object(shared, "relays_for", return_value=said):
            await bob.call("send_file", chat="crew", path=str(source))
        await until(lambda: is_here(carol, "crew"))
        known, unknown = await read_at(carol)
        assert (known.hidden, b"elsewhere" in known.addresses, known.token) == (False, False, b"")
        assert (unknown.hidden, unknown.chosen) == (True, False)

    run_world(tmp_path, main)


async def read_at(node: WorldNode) -> list[Relay]:
    """At which relays a node asks for its newest file, and how."""

    def read(db: Database) -> list[Relay]:
        ((pk,),) = db.query("SELECT max(message) FROM files")
        row = store_files.get(db, pk)
        assert row is not None
        return [relay for relay, _ in shared.to_read(db, row)]

    found: list[Relay] = await node.engine.committer.read(read)
    return found


def test_who_was_removed_is_given_nothing_and_nothing_of_theirs_is(tmp_path: Path) -> None:
    source, other = new_file(tmp_path, 300_000), new_file(tmp_path, 200_000, "other.bin")

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.call("send_file", chat="crew", path=str(other), wait="stored")
        for node in (alice, bob):
            await until(lambda node=node: is_here(node, "crew"))  # type: ignore[misc]
        theirs = await file_id(carol)
        assert isinstance(await asked(bob, alice, theirs), bytes)
        await bob.call("send_file", chat="crew", path=str(source), wait="stored")
        for node in (alice, carol):
            await until(lambda node=node: is_here(node, "crew"))  # type: ignore[misc]
        file = await file_id(bob)
        assert isinstance(await asked(carol, bob, file), bytes)
        await alice.call("remove_member", chat="crew", member="carol")
        for node in (alice, bob):
            await has_members(node, "crew", 2)
        for node in (alice, bob):
            assert await asked(carol, node, file) == NoBlob.UNKNOWN
        assert await asked(bob, alice, theirs) == NoBlob.UNKNOWN
        assert isinstance(await asked(alice, bob, file), bytes), "members are given it"
        await until(lambda: has_ended(carol))
        assert (await last_of(carol, mine=True))["file"]["state"] == "waiting"
        await world.sleep_days(1)  # for so long the removal may turn out not to count
        await trio.sleep(2 * HOUR_SECONDS)
        assert (await last_of(carol, mine=True))["file"]["state"] == "gone"
        blobs = 1 + -(-300_000 // 65_519)

        async def taken_back() -> bool:
            await trio.lowlevel.checkpoint()
            return lying(towers) == [blobs, blobs]

        await until(taken_back)  # hers is

    run_world(tmp_path, main)


async def has_ended(node: WorldNode) -> bool:
    return [one["state"] for one in await node.call("chats") if one["name"] == "crew"] == ["left"]


async def last_of(node: WorldNode, *, mine: bool) -> Json:
    found: list[Json] = [one for one in await node.call("files", chat="crew") if one["mine"] == mine]
    return found[-1]


async def asked(node: WorldNode, other: WorldNode, file: FileId) -> bytes | NoBlob | None:
    """What somebody answers who is asked for the root of a file."""
    contacts = {one["name"]: one["id"] for one in await node.call("contacts")}
    answer = await node.net.files.get(bytes.fromhex(contacts[other.name]), BlobRange(file, BlobPlace(0, 0), 1))  # type: ignore[arg-type]
    return answer.blobs[0] if answer.blobs else answer.missing


@pytest.mark.parametrize("how", ["deleted", "withdrawn", "left", "hidden", "timer", "here"])
def test_what_is_taken_away_is_gone_at_members_and_relays(tmp_path: Path, how: str) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.stop()
        if how == "timer":
            await alice.call("timer", chat="crew", seconds=7200)
            await trio.sleep(30)
        sent = await bob.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: is_here(alice, "crew"))
        await until(lambda: all_lie(towers))
        if how == "deleted":
            await bob.call("delete", id=sent["id"], for_both=True)
        elif how == "withdrawn":
            await bob.call("cancel_file", id=sent["id"])
        elif how == "left":
            await bob.call("leave_group", chat="crew")
        elif how == "hidden":
            await alice.call("hide_message", id=sent["id"], reason="")
        elif how == "here":
            await bob.call("delete", id=sent["id"])
        else:
            await alice.call("read", chat="crew")
            await trio.sleep(7300)

        async def taken_back() -> bool:
            await trio.lowlevel.checkpoint()
            return lying(towers) == [0, 0]

        await until(taken_back)
        if how in ("deleted", "hidden", "timer"):
            assert (await state(alice, "crew")) == ""
            await until(lambda: folder_is_empty(alice))
        carol = await world.start("carol")
        await trio.sleep(3600)
        assert await state(carol, "crew") in ("", "gone", "failed", "waiting" if how == "timer" else "")
        assert how == "timer" or await folder_is_empty(carol), "what she has not read is still fetched"

    run_world(tmp_path, main)


async def folder_is_empty(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    folder = node.folder / "files"
    return not folder.exists() or not any(folder.iterdir())


def test_no_more_is_wanted_unasked_of_one_contact_however_many_groups_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [new_file(tmp_path, 1_000, f"{number}.bin") for number in range(4)]
    monkeypatch.setattr(transfers, "MAX_FETCHED_BYTES", 3_000)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        for number in range(2):
            await alice.call("create_group", name=f"group {number}", contacts=["bob"])
            await has_members(bob, f"group {number}", 2)
        for chat, source in zip(("bob", "group 0", "group 1", "group 1"), sources, strict=True):
            await alice.call("send_file", chat=chat, path=str(source))
        await has_state(bob, "alice", "here")
        await has_state(bob, "group 0", "here")
        await has_state(bob, "group 1", "offered")
        states = [one["file"]["state"] for one in await bob.call("files", chat="group 1")]
        assert states in (["here", "offered"], ["waiting", "offered"])

    run_world(tmp_path, main)


def test_a_member_who_gives_something_else_keeps_nobody_from_the_file(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol, dave), towers = await crew(world, (*CREW, "dave"))
        await dave.stop()
        await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        for node in (bob, carol):
            await until(lambda node=node: is_here(node, "crew"))  # type: ignore[misc]
        await alice.stop()
        for tower in towers:
            tower.box_room = 0

        async def wrong(contact: object, wanted: BlobRange) -> Blobs:
            await trio.lowlevel.checkpoint()
            return Blobs([bytes(BLOB_BYTES)] * wanted.count)

        with mock.patch.object(bob.engine.files.giver, "blobs", wrong):
            dave = await world.start("dave")
            await until(lambda: is_here(dave, "crew"))
        assert await saved(dave, "crew", tmp_path / "saved") == source.read_bytes()

    run_world(tmp_path, main)


@pytest.mark.parametrize("news", list(TransferNews))
def test_what_others_say_of_a_file_changes_nothing(tmp_path: Path, news: TransferNews) -> None:
    """Otherwise one member could have it taken back from the relays, or put there again and again."""
    source = new_file(tmp_path, 1_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.stop()
        sent = await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: is_here(bob, "crew"))
        await until(lambda: all_lie(towers))

        def say(tx: Transaction) -> None:
            outbound.queue(tx, tx.partner("crew"), Transfer(MessageId(bytes.fromhex(sent["id"])), news))

        await bob.engine.committer.submit(say)
        await bob.call("send", chat="crew", text="said")
        await reads(alice, "crew", "said")
        await trio.sleep(3600)
        assert await state(alice, "crew") == "waiting"
        assert await is_here(bob, "crew")
        assert await all_lie(towers)
        assert sum(len(tower.put_by) for tower in towers) == 2

    run_world(tmp_path, main)


def test_a_newcomer_and_an_observer_send_no_files_and_nobody_shows_one(tmp_path: Path) -> None:
    source = new_file(tmp_path, 1_000)

    async def main(world: World) -> None:
        (alice, bob, carol), _ = await crew(world)
        await alice.call("set_group", chat="crew", key="newcomers", value="1")
        await alice.call("set_role", chat="crew", member="carol", role="observer")

        async def told() -> bool:
            shown = [await node.call("group", chat="crew") for node in (bob, carol)]
            return bool(shown[0]["settings"]["newcomers"] == 1 and shown[1]["role"] == "observer")

        await until(told)
        with pytest.raises(NotNow, match="no links and no files for 1 hour"):
            await bob.call("send_file", chat="crew", path=str(source))
        with pytest.raises(NotNow, match="only read and react"):
            await carol.call("send_file", chat="crew", path=str(source))
        for node in (bob, carol):
            assert await folder_is_empty(node), "nothing is kept of what was not sent"
        with mock.patch.object(group_rules, "check_post"):
            for node in (bob, carol):
                await node.call("send_file", chat="crew", path=str(source), wait="stored")
        await bob.call("send", chat="crew", text="only this")
        await reads(alice, "crew", "only this")
        assert await alice.call("files", chat="crew") == []
        await trio.sleep(3700)
        await bob.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: is_here(alice, "crew"))

    run_world(tmp_path, main)


def test_after_a_week_it_is_left_no_longer_and_members_still_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = new_file(tmp_path, 1_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        await carol.stop()
        monkeypatch.setattr(to_relays, "AT_RELAYS_MS", 2 * HOUR_MS)
        await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: is_here(bob, "crew"))
        await trio.sleep(3 * HOUR_SECONDS)
        await alice.call("send_file", chat="notes", path=str(source))  # whatever happens next
        await has_state(alice, "crew", "here")
        for tower in towers:
            tower.boxes.clear()
        carol = await world.start("carol")
        await until(lambda: is_here(carol, "crew"))
        put = [blob for tower in towers for _, blob in tower.put_by]
        assert len(put) == 2
        said = (await alice.call("why", id=(await last_file(alice, "crew"))["id"]))["reason"]
        assert "was left for the members for seven days" in said

    run_world(tmp_path, main)


def test_a_paused_file_is_not_left_and_goes_on(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        for node in (bob, carol):
            await node.stop()
        for tower in towers:
            tower.stop()
        sent = await alice.call("send_file", chat="crew", path=str(source))
        await alice.call("pause_file", id=sent["id"])
        for tower in towers:
            tower.start()
        await trio.sleep(3600)
        assert lying(towers) == [0, 0]
        assert "You have paused its file." in (await alice.call("why", id=sent["id"]))["reason"]
        await alice.call("fetch_file", id=sent["id"])
        await until(lambda: all_lie(towers))

    run_world(tmp_path, main)


def test_a_restart_puts_nothing_again(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await crew(world)
        for node in (bob, carol):
            await node.stop()
        sent = await alice.call("send_file", chat="crew", path=str(source), wait="stored")
        await until(lambda: all_lie(towers))
        put = [len(tower.put_by) for tower in towers]
        await alice.crash()
        alice = await world.start("alice")
        await until(lambda: is_left(alice))
        assert [len(tower.put_by) for tower in towers] == put
        await alice.call("delete", id=sent["id"], for_both=True)
        await alice.crash()
        alice = await world.start("alice")

        async def taken_back() -> bool:
            await trio.lowlevel.checkpoint()
            return lying(towers) == [0, 0]

        await until(taken_back)

    run_world(tmp_path, main)


async def is_left(node: WorldNode) -> bool:
    return bool((await last_file(node, "crew"))["file"]["stored"] == 1.0)


def test_pictures_are_shown_by_the_rule_of_their_author(tmp_path: Path) -> None:
    source = tmp_path / "IMG_0001.PNG"
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    async def main(world: World) -> None:
        nodes, _ = await test_group_logs.found(world, 1)
        alice, bob, carol, *_ = nodes
        for node in (alice, bob, carol):
            node.engine.pictures = FakePictures()  # type: ignore[assignment]
        await bob.call("send_file", chat="town", path=str(source), wait="stored")
        await until(lambda: is_here(alice, "town"))
        id = (await last_file(alice, "town"))["id"]
        with pytest.raises(PicturesOff):
            await alice.call("picture", id=id, columns=4, rows=4)
        await alice.call("verify", contact="bob", set=True)
        assert (await alice.call("picture", id=id, columns=4, rows=4))["rgb"] == "c21h"
        await has_state(carol, "town", "offered")
        await carol.call("settings", pictures="contacts")
        with pytest.raises(PicturesOff):  # bob is none of hers; not even what came with the message is decoded
            await carol.call("picture", id=id, columns=4, rows=4)

    run_world(tmp_path, main)
