"""The sender of a file knows how much of it is at the recipient's relays, and when this computer may be off."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.files import BLOB_BYTES
from p2pchat.errors import NotReached
from tests.support.mail_worlds import apart
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends
from tests.world.test_files import has_state, is_here, is_left, last_file, lying, new_file, saved

Json = dict[str, Any]
SIZE = 300_000
BLOBS = 6
"""Five chunks and a list."""


async def away(world: World) -> tuple[WorldNode, list[MailRelay]]:
    """alice, for whom bob has been away for a minute, and their relays."""
    alice, bob, relays = await apart(world)
    await bob.stop()
    return alice, relays


async def stored(node: WorldNode, share: float | None) -> bool:
    return bool((await last_file(node, "bob"))["file"]["stored"] == share)


async def says(node: WorldNode, chat: str, problem: str) -> bool:
    return problem in str((await last_file(node, chat))["file"]["problem"])


async def says_nothing(node: WorldNode, chat: str) -> bool:
    return str((await last_file(node, chat))["file"]["problem"]) == ""


def told(node: WorldNode) -> list[Json]:
    return [event["file"] for event in node.heard if event["event"] == "file"]


def test_for_one_who_is_known_to_be_away_it_is_left_at_once_and_faces_hear_how_much(tmp_path: Path) -> None:
    source = new_file(tmp_path, 5_000_000)

    async def main(world: World) -> None:
        alice, _ = await away(world)
        put = alice.engine.net.mailboxes.boxes.put

        async def slow(relay: Any, queue: Any, hours: int, blobs: Sequence[bytes]) -> Any:
            await trio.sleep(0.5)
            return await put(relay, queue, hours, blobs)

        alice.engine.net.mailboxes.boxes.put = slow  # type: ignore[method-assign, assignment]
        hear = alice.engine.events.subscribe()
        began = trio.current_time()
        await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        assert trio.current_time() - began < 10
        shares = []
        while True:
            try:
                event = hear.receive_nowait()
            except trio.WouldBlock:
                break
            if event["event"] == "file":
                shares.append(event["file"]["stored"])
        assert shares == sorted(shares, key=lambda share: share or 0)
        assert shares[-1] == 1.0
        assert 4 <= len(shares) <= 4 * (trio.current_time() - began) + 4
        await trio.sleep(10)
        assert (await last_file(alice, "bob"))["file"]["rate"] is None

    run_world(tmp_path, main)


def test_after_a_restart_relays_say_what_they_have_and_get_nothing_twice(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, relays = await away(world)
        sent = await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_left(relays, BLOBS), 60)
        await alice.stop()
        for relay in relays:
            relay.answers = mailbox.QUEUE_FULL
        (box,) = relays[1].boxes.values()
        box.clear()
        alice = await world.start("alice")
        await until(lambda: stored(alice, 1.0), 60)
        assert lying(relays) == [BLOBS, 0]
        assert "computer can be off" in (await alice.call("why", id=sent["id"]))["reason"]
        await alice.call("pause_file", id=sent["id"])
        assert [told(alice)[-1][key] for key in ("state", "stored")] == ["paused", 1.0]
        await alice.call("cancel_file", id=sent["id"])
        assert [told(alice)[-1][key] for key in ("state", "stored")] == ["gone", None]

    run_world(tmp_path, main)


@pytest.mark.parametrize(
    ("room", "share", "sentence"),
    [(4 * BLOB_BYTES, 4 / BLOBS, "room for a part of it at a time"), (0, None, "Their relays keep no files")],
)
def test_what_no_relay_has_room_for_is_said_at_once(
    tmp_path: Path, room: int, share: float | None, sentence: str
) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, relays = await away(world)
        for relay in relays:
            relay.box_room = room
        sent = await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: says(alice, "bob", sentence), 5)
        await until(lambda: stored(alice, share), 60)
        reason = (await alice.call("why", id=sent["id"]))["reason"]
        assert "keep this computer on" in reason
        assert sentence in reason
        with pytest.raises(NotReached, match=f"keep this computer on.*{sentence}"):
            await alice.call("send_file", chat="bob", path=str(source), wait="stored")

    run_world(tmp_path, main)


def test_who_uses_no_relay_or_only_some_that_are_off_is_said(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, relays = await away(world)
        for relay in relays:
            relay.stop()
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: says(alice, "bob", "Their relays cannot be reached now"), 120)
        for relay in relays:
            relay.start()
        await until(lambda: stored(alice, 1.0), 1200)
        assert (await last_file(alice, "bob"))["file"]["problem"] == ""

    run_world(tmp_path, main)


def test_without_any_relay_the_link_is_all_there_is(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("settings", fetch_up_to=0)
        with pytest.raises(NotReached, match="has a link with this one, and has not fetched all of it yet"):
            await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        assert (await last_file(alice, "bob"))["file"]["problem"] == ""
        await bob.stop()
        await until(lambda: says(alice, "bob", "They use no relay"), 120)
        bob = await world.start("bob")
        await until(lambda: says_nothing(alice, "bob"), 120)
        [file] = await bob.call("files", chat="alice")
        await bob.call("fetch_file", id=file["id"])
        await until(lambda: has_state(alice, "bob", "here"), 120)

    run_world(tmp_path, main)


def test_one_who_fetches_is_told_what_is_not_at_the_relays(tmp_path: Path) -> None:
    source = new_file(tmp_path, SIZE)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.call("settings", fetch_up_to=0)
        for relay in relays:
            relay.box_room = 4 * BLOB_BYTES
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: has_state(bob, "alice", "offered"), 120)
        await until(lambda: is_left(relays, 4), 120)
        for relay in relays:
            relay.lies.withholds = True
        await bob.call("fetch_file", id=(await last_file(bob, "alice"))["id"])
        await until(lambda: says(bob, "alice", "It waits for its sender: it is not at your relays."), 60)
        for relay in relays:
            relay.lies.withholds = False
        await until(lambda: says(bob, "alice", "The rest waits for its sender: it is not at your relays."), 60)
        world.mend(alice, bob)
        await until(lambda: has_state(bob, "alice", "here"), 1200)

    run_world(tmp_path, main)


@pytest.mark.parametrize("trouble", ["none", "the sender crashes", "a relay drops all"])
def test_a_file_of_five_boxes_comes_piece_by_piece_without_a_link(tmp_path: Path, trouble: str) -> None:
    source = new_file(tmp_path, 19 * BLOB_BYTES)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for relay in relays:
            relay.box_room = 4 * BLOB_BYTES
        await alice.call("send_file", chat="bob", path=str(source))
        relays[0].lies.drops = trouble == "a relay drops all"
        if trouble == "the sender crashes":
            await until(lambda: has_come(bob, 6), 3600)
            await alice.crash()
            await trio.sleep(60)
            alice = await world.start("alice")
        await until(lambda: is_here(bob, "alice"), 3600)
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()
        await until(lambda: is_here(alice, "bob"), 600)
        await until(lambda: is_left(relays, 0), 900)

    run_world(tmp_path, main)


def test_a_file_of_five_boxes_comes_though_they_are_never_on_at_once(tmp_path: Path) -> None:
    source = new_file(tmp_path, 19 * BLOB_BYTES)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for relay in relays:
            relay.box_room = 4 * BLOB_BYTES
        await bob.stop()
        await alice.call("send_file", chat="bob", path=str(source))
        for blobs in (4, 4, 4, 4, 4, 1):
            await until(partial(is_left, relays, blobs), 1200)
            await alice.stop()
            bob = await world.start("bob")
            await until(lambda: is_left(relays, 0), 600)
            if blobs == 4:
                await bob.stop()
                alice = await world.start("alice")
        await until(lambda: is_here(bob, "alice"), 60)
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()

    run_world(tmp_path, main)


def test_what_was_fetched_and_is_put_again_takes_no_room_from_the_rest(tmp_path: Path) -> None:
    source = new_file(tmp_path, 9 * BLOB_BYTES)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for relay in relays:
            relay.box_room = 4 * BLOB_BYTES
        await bob.stop()
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: is_left(relays, 4), 120)
        await alice.engine.committer.submit(lambda tx: tx.db.execute("UPDATE files SET done = 0"))
        await alice.stop()
        bob = await world.start("bob")
        await until(lambda: is_left(relays, 0), 600)
        alice = await world.start("alice")
        await until(lambda: is_left(relays, 4), 120)
        await until(lambda: is_here(bob, "alice"), 3600)

    run_world(tmp_path, main)


def test_a_relay_that_is_announced_later_gets_a_file_from_its_beginning(tmp_path: Path) -> None:
    source = new_file(tmp_path, 19 * BLOB_BYTES)

    async def main(world: World) -> None:
        third = world.mailbox("another relay")
        third.box_room = 20 * BLOB_BYTES
        alice, bob, relays = await apart(world)
        for relay in relays:
            relay.box_room = 4 * BLOB_BYTES
        relays[1].stop()
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: has_come(bob, 6), 3600)
        await bob.call("relays", add=third.address)
        await bob.call("relays", remove=relays[1].address)
        await bob.stop()
        await until(lambda: is_left([third], 20), 3600)

    run_world(tmp_path, main)


async def has_come(node: WorldNode, chunks: int) -> bool:
    files = await node.call("files", chat="alice")
    return bool(files) and bool(files[-1]["file"]["progress"] * 20 >= chunks)
