"""What is taken back while it waits to be sent: nothing of its words stays in any file, and nothing of it arrives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core.contents import Pin
from p2pchat.core.contents.target import THEIRS
from p2pchat.core.ids import MessageId
from p2pchat.engine.runtime.storage_limits import ContactLimits
from p2pchat.store import outbox as store_outbox
from p2pchat.store.remarks import MAX_VERSIONS
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_conversation import Author, last, log, settled, take
from tests.world.test_delivery import friends
from tests.world.test_disappearing import MARKER, left_in, texts
from tests.world.test_storage_limits import ROOM, TEXTS, flood, meet


@pytest.mark.parametrize("how", ["for both", "here", "by time"])
def test_what_is_taken_back_is_not_sent_in_an_edit_or_a_quote(tmp_path: Path, how: str) -> None:
    """More edits than versions are kept, and a reply that quotes the message."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        sent = await alice.call("send", chat="bob", text=MARKER)
        await alice.call("reply", id=sent["id"], text="as I said")
        for number in range(MAX_VERSIONS + 8):
            await alice.call("edit", id=sent["id"], text=f"{MARKER} {number}")
        await alice.call("pin", id=sent["id"])
        if how == "by time":  # a reply that came before the message was timed
            await alice.engine.committer.submit(
                lambda tx: tx.db.execute("UPDATE messages SET expires_at = ? WHERE text LIKE 'xylo%'", (tx.counted,))
            )
            await alice.stop()
            alice = await world.start("alice")
        else:
            await alice.call("delete", id=sent["id"], for_both=how == "for both")
        await trio.sleep(65)
        assert left_in(alice) == []
        waiting = sum((await alice.engine.committer.read(store_outbox.counts)).values())
        assert waiting == 1 + (how == "for both")
        bob = await world.start("bob")
        await settled(alice)
        assert await texts(bob, "alice") == ["begin", *([""] if how == "for both" else []), "as I said"]
        assert left_in(bob) == []

    run_world(tmp_path, main)


def test_a_quote_of_what_its_author_takes_back_is_not_sent(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        said = await bob.call("send", chat="alice", text=MARKER)
        await settled(alice, bob)
        world.meddle = lambda stream, frame: [frame] if stream.here.name == "bob" else []  # alice is heard by nobody
        await alice.call("reply", id=said["id"], text="is that so?")
        await bob.call("delete", id=said["id"], for_both=True)
        await until(lambda: _is_deleted(alice, said["id"]))
        await trio.sleep(65)
        assert left_in(alice, bob) == []
        world.meddle = None
        await alice.stop()
        alice = await world.start("alice")
        await settled(alice, bob)
        assert [one["text"] for one in await log(bob, "alice")] == ["begin", "", "is that so?"]

    run_world(tmp_path, main)


async def _is_deleted(node: WorldNode, id: str) -> bool:
    return any(one["id"] == id and one["deleted"] for one in await log(node, "bob"))


def test_only_the_newest_pin_is_sent(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        id = (await last(alice, "bob"))["id"]
        for pinned in (True, False, True):
            await alice.call("pin", id=id, pinned=pinned)
        assert sum((await alice.engine.committer.read(store_outbox.counts)).values()) == 1
        bob = await world.start("bob")
        await settled(alice)
        assert (await last(bob, "alice"))["pinned"]

    run_world(tmp_path, main)


def test_a_pin_with_an_id_from_the_future_can_be_taken_away(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        id = (await last(alice, "bob"))["id"]
        pin = Author(world).say(Pin(MessageId(bytes.fromhex(id)), THEIRS, True))
        await take(alice, "bob", replace(pin, message_id=MessageId(b"\xff" * 16)))
        assert (await last(alice, "bob"))["pinned"]
        assert not (await alice.call("pin", id=id, pinned=False))["pinned"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("verb", ["delete", "clear"])
def test_deleting_what_is_unread_makes_room_for_more_of_its_sender(tmp_path: Path, verb: str) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await meet(world, ContactLimits(0, ROOM), linked=True)
        await flood(bob)
        taken = await alice.texts("bob")
        assert len(taken) < len(TEXTS)
        if verb == "clear":
            await alice.call("clear", chat="bob")
        else:
            for message in await log(alice, "bob"):
                await alice.call("delete", id=message["id"])
        await trio.sleep(300)
        more = await alice.texts("bob")
        assert more == TEXTS[len(taken) : len(taken) + len(more)]
        assert more

    run_world(tmp_path, main)
