"""Files between two: sent, fetched, verified, on whichever way there is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.ids import ContactId
from p2pchat.engine.files import taking_back
from p2pchat.errors import NotReached, Refused, Unreachable
from p2pchat.lib.times import DAY_MS, DAY_SECONDS
from p2pchat.ports import BlobRange, Blobs
from tests.support.mail_worlds import apart
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, run_world, until
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
        for node, state in ((alice, "waiting"), (bob, "offered")):
            [told] = [each for each in node.heard if each["event"] == "message" and each["kind"] == "file"]
            assert told["file"]["name"] == "heron.bin"
            assert told["file"]["state"] == state
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()
        assert (await last_file(alice, "bob"))["file"]["state"] == "here"

    run_world(tmp_path, main)


def test_a_sender_who_could_not_be_asked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a circuit has carried what it may of files."""
    source = new_file(tmp_path, 5_000_000)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        real, asked = bob.net.files.get, 0

        async def get(contact: ContactId, wanted: BlobRange) -> Blobs:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise Unreachable  # at once, while the next request is being made
            return await real(contact, wanted)

        monkeypatch.setattr(bob.net.files, "get", get)
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: is_here(bob, "alice"), 60)
        assert asked > 1

    run_world(tmp_path, main)


# --- by relays --------------------------------------------------------------------------------------------------------


def lying(relays: list[MailRelay]) -> list[int]:
    """How many blobs of files lie at each relay."""
    return [sum(map(len, relay.boxes.values())) for relay in relays]


async def is_left(relays: list[MailRelay], blobs: int) -> bool:
    return all(count == blobs for count in lying(relays))


def test_a_file_waits_at_both_relays_for_one_who_is_away(tmp_path: Path) -> None:
    source = new_file(tmp_path, 300_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        sent = await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        assert 6 in lying(relays)
        shown = await last_file(alice, "bob")
        assert (shown["state"], shown["file"]["state"], shown["file"]["stored"]) == ("stored", "waiting", 1.0)
        assert "The whole file is at their relays" in (await alice.call("why", id=sent["id"]))["reason"]
        await until(lambda: is_left(relays, 6), 120)
        await alice.stop()
        bob = await world.start("bob")
        await until(lambda: is_here(bob, "alice"), 60)
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()
        await until(lambda: is_left(relays, 0), 60)
        alice = await world.start("alice")
        await until(lambda: is_here(alice, "bob"), 120)
        log = await alice.call("log", chat="bob")
        assert [(one["id"], one["state"]) for one in log] == [(sent["id"], "delivered")]

    run_world(tmp_path, main)


def test_the_second_relay_has_what_the_first_lost_and_the_link_the_rest(tmp_path: Path) -> None:
    source = new_file(tmp_path, 700_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for relay, chunks in zip(relays, (5, 8), strict=True):
            relay.box_room = (chunks + 1) * BLOB_BYTES
        await bob.stop()
        said = r"75 % of it is at their relays: keep this computer on.*room for a part of it at a time"
        with pytest.raises(NotReached, match=said):
            await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_full(relays), 120)
        (first,) = relays[0].boxes.values()
        del first[list(first)[3]]
        bob = await world.start("bob")
        await until(lambda: has_progress(bob, "alice", 8 / 11), 120)
        world.mend(alice, bob)
        await until(lambda: is_here(bob, "alice"), 600)
        assert await saved(bob, "alice", tmp_path / "saved") == source.read_bytes()
        await until(lambda: is_left(relays, 0), 900)

    run_world(tmp_path, main)


async def is_full(relays: list[MailRelay]) -> bool:
    return all(count * BLOB_BYTES == relay.box_room for count, relay in zip(lying(relays), relays, strict=True))


async def has_progress(node: WorldNode, chat: str, share: float) -> bool:
    files = await node.call("files", chat=chat)
    return bool(files) and abs(files[-1]["file"]["progress"] - share) < 0.001


def test_what_is_withdrawn_is_forgotten_at_relays_also_after_a_restart(tmp_path: Path) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        sent = await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_left(relays, 5), 120)
        for relay in relays:
            relay.stop()
        shown = await alice.call("cancel_file", id=sent["id"])
        assert shown["file"]["state"] == "gone"
        await alice.crash()
        for relay in relays:
            relay.start()
        alice = await world.start("alice")
        await until(lambda: is_left(relays, 0), 1200)
        bob = await world.start("bob")
        await until(lambda: has_state(bob, "alice", "gone"), 600)
        with pytest.raises(Refused, match="withdrawn"):
            await saved(bob, "alice", tmp_path / "saved")

    run_world(tmp_path, main)


@pytest.mark.parametrize("paused", [False, True])
def test_what_is_withdrawn_is_forgotten_soon_also_if_it_was_paused_before_a_restart(
    tmp_path: Path, paused: bool
) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        sent = await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_left(relays, 5), 120)
        if paused:
            await alice.call("pause_file", id=sent["id"])
            await alice.crash()
            alice = await world.start("alice")
            await trio.sleep(60)
        await alice.call("cancel_file", id=sent["id"])
        await until(lambda: is_left(relays, 0), 60)

    run_world(tmp_path, main)


@pytest.mark.parametrize("way", ["here", "for both", "cleared", "by its timer"])
def test_what_is_deleted_is_taken_back_from_relays_also_after_a_restart(tmp_path: Path, way: str) -> None:
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        if way == "by its timer":
            await alice.call("timer", chat="bob", seconds=5 * 3600)
        sent = await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_left(relays, 5), 120)
        for relay in relays:
            relay.stop()
        if way == "cleared":
            await alice.call("clear", chat="bob")
        elif way == "by its timer":
            await trio.sleep(5 * 3600)
        else:
            await alice.call("delete", id=sent["id"], for_both=way == "for both")
        await trio.sleep(30)
        assert not list((alice.folder / "files").iterdir())
        await alice.crash()
        for relay in relays:
            relay.start()
        alice = await world.start("alice")
        await until(lambda: is_left(relays, 0), 300)
        await trio.sleep(120)
        assert await alice.engine.committer.read(taking_back.waiting) == []

    run_world(tmp_path, main)


async def has_state(node: WorldNode, chat: str, state: str) -> bool:
    files = await node.call("files", chat=chat)
    return bool(files) and files[-1]["file"]["state"] == state


@pytest.mark.parametrize("lie", ["garbage", "withholds", "dies"])
def test_what_a_relay_does_wrong_costs_nothing_where_another_is_honest(tmp_path: Path, lie: str) -> None:
    source = new_file(tmp_path, 500_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        await until(lambda: is_left(relays, 9), 120)
        await alice.stop()
        (box,) = relays[0].boxes.values()
        if lie == "garbage":
            box.update({name: bytes(BLOB_BYTES) for name in box})
        elif lie == "withholds":
            relays[0].lies.withholds = True
        else:
            relays[0].stop()
        bob = await world.start("bob")
        await until(lambda: is_here(bob, "alice"), 300)
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()

    run_world(tmp_path, main)


def test_while_the_link_comes_and_goes_and_both_nodes_with_it_nothing_begins_anew(tmp_path: Path) -> None:
    source = new_file(tmp_path, 3_000_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        for relay in relays:
            relay.box_room = 20 * BLOB_BYTES
        await alice.call("send_file", chat="bob", path=str(source))
        await until(lambda: is_full(relays), 120)
        given: list[BlobPlace] = []
        seen = 0.0
        for _ in range(6):
            blobs = alice.engine.files.giver.blobs

            async def counted(contact: ContactId, wanted: BlobRange, blobs: Any = blobs) -> Blobs:
                if len(given) % 20 > 12:
                    await trio.sleep(3)
                given.extend(BlobPlace(wanted.first.level, wanted.first.number + n) for n in range(wanted.count))
                answer: Blobs = await blobs(contact, wanted)
                return answer

            alice.engine.files.giver.blobs = counted  # type: ignore[method-assign]
            world.mend(alice, bob)
            await trio.sleep(15)
            world.cut(alice, bob)
            await trio.sleep(40)
            await bob.crash()
            bob = await world.start("bob")
            await alice.crash()
            alice = await world.start("alice")
            now = (await last_file(bob, "alice"))["file"]["progress"]
            assert now >= seen
            seen = now
        world.mend(alice, bob)
        await until(lambda: is_here(bob, "alice"), 1200)
        assert await saved(bob, "alice", tmp_path / "saved") == await trio.Path(source).read_bytes()
        await until(lambda: is_here(alice, "bob"), 1200)

    run_world(tmp_path, main)


def test_what_is_cleared_while_it_is_being_left_does_not_stay_at_relays(tmp_path: Path) -> None:
    source = new_file(tmp_path, 8_000_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        boxes = alice.net.mailboxes.boxes
        put, puts = boxes.put, 0

        async def slow(*args: Any) -> Any:
            nonlocal puts
            puts += 1
            await trio.sleep(10)
            return await put(*args)

        with mock.patch.object(boxes, "put", slow):
            await alice.call("send_file", chat="bob", path=str(source))
            await until(lambda: is_begun(relays), 120)
            await alice.call("clear", chat="bob")
            before = puts
            await trio.sleep(300)
            assert puts - before <= len(relays), "it was left after it was deleted"
        await until(lambda: is_left(relays, 0), 300)

    run_world(tmp_path, main)


async def is_begun(relays: list[MailRelay]) -> bool:
    return any(lying(relays))


def test_a_file_is_left_again_daily_for_a_week_and_no_longer(tmp_path: Path) -> None:
    """Whatever the relays lose, and whatever becomes of the sender's node and clock meanwhile."""
    source = new_file(tmp_path, 200_000)

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        await alice.call("send_file", chat="bob", path=str(source), wait="stored")
        lose_blobs(relays)
        await alice.crash()
        alice = await world.start("alice")
        await until(lambda: is_left(relays, 5), 120)
        lose_blobs(relays)
        alice.skew = 2 * DAY_MS
        await trio.sleep(DAY_SECONDS - 600)
        assert await is_left(relays, 0)
        await until(lambda: is_left(relays, 5), 1200)
        lose_blobs(relays)
        alice.skew = 8 * DAY_MS
        await trio.sleep(DAY_SECONDS + 1200)
        assert await is_left(relays, 0)
        alice.skew = 0
        world.mend(alice, bob)
        bob = await world.start("bob")
        await until(lambda: is_here(bob, "alice"), 600)

    run_world(tmp_path, main)


def lose_blobs(relays: list[MailRelay]) -> None:
    for relay in relays:
        relay.boxes.clear()
