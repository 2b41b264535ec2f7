"""People who are never there at the same time, or who cannot reach each other: their relays keep what they write.

The relays of this world keep envelopes in memory and lie where a test tells them to (`tests.support.mailboxes`).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import envelope_id
from p2pchat.core.session import open_envelope
from p2pchat.engine.delivery import mailbox_sender
from p2pchat.engine.receiving import mailbox_handler
from p2pchat.engine.runtime import session_cache
from p2pchat.engine.runtime.effects import Effects
from p2pchat.errors import DiskFull, NotReached
from tests.support.asking import events_of, has
from tests.support.mail_worlds import all_in, apart
from tests.support.mailboxes import MailRelay
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import all_delivered, flood, nothing_owed, states

DAY_S = 86_400


async def everything_taken(relays: list[MailRelay]) -> bool:
    return not any(relay.blobs() for relay in relays)


# --- delivery -----------------------------------------------------------------------------------------------------


def test_a_message_is_stored_at_both_relays_then_delivered(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        assert (await alice.call("contacts"))[0]["route"] == "mailbox"
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="hello", wait="stored", timeout=5)
        assert (sent["state"], sent["route"]) == ("stored", "mailbox")
        assert sent["stored_at"] is not None
        assert [len(relay.blobs()) for relay in relays] == [1, 1]
        assert relays[0].blobs() == relays[1].blobs()
        tried = mock.Mock(side_effect=open_envelope)
        with mock.patch.object(session_cache, "open_envelope", tried):
            bob = await world.start("bob")
            await until(lambda: has(bob, "alice", ["hello"]), 5)
            await until(lambda: everything_taken(relays), 5)
        assert tried.call_count == 1, "to try to open the copy at the other relay takes as long as to open it"
        assert (await bob.call("log", chat="alice"))[0]["route"] == "mailbox"
        await until(lambda: all_delivered(alice, "bob"), 75)
        moved = [(one["state"], one["route"]) for one in events_of(alice, "state")]
        assert moved == [("stored", "mailbox"), ("delivered", "mailbox")]
        assert [relay.blobs() for relay in relays] == [[], []]
        await until(lambda: nothing_owed(alice), 5)
        await until(lambda: nothing_owed(bob), 5)

    run_world(tmp_path, main)


def test_other_relays_are_told_of_what_was_opened_and_of_nothing_else(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        relays[0].lies.invents = 2
        await alice.call("send", chat="bob", text="hello", wait="stored", timeout=5)
        (real,) = relays[1].blobs()
        with mock.patch.object(MailRelay, "forget", autospec=True, side_effect=MailRelay.forget) as told:
            bob = await world.start("bob")
            await until(lambda: has(bob, "alice", ["hello"]), 5)
            await until(lambda: everything_taken(relays), 5)
        names = {name for call in told.call_args_list for name in call.args[3]}
        assert names == {envelope_id(real)}, "what cannot be opened now may be opened after what another relay has"

    run_world(tmp_path, main)


def test_two_who_are_never_there_at_the_same_time(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await apart(world)
        said: dict[str, list[str]] = {"alice": [], "bob": []}
        await alice.stop()
        await bob.stop()
        for round in range(4):
            for name, other in (("alice", "bob"), ("bob", "alice")):
                node = await world.start(name)
                await trio.sleep(10)
                for number in range(10):
                    said[name].append(f"{name} {round} {number}")
                    await node.call("send", chat=other, text=said[name][-1])
                await trio.sleep(70)
                assert await node.texts(other) == said[other]
                await (node.stop() if round % 2 else node.crash())
        alice = await world.start("alice")
        await until(lambda: has(alice, "bob", said["bob"]), 60)
        assert set(await states(alice, "bob")) == {"delivered"}

    run_world(tmp_path, main)


def test_a_backlog_is_never_whole_in_memory(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        for relay in relays:
            relay.cut(alice)
        await flood(alice, "bob", 1000)
        most = 0
        boxes: Any = alice.engine.net.mailboxes
        deposit = boxes.deposit

        def watched(*args: Any) -> None:
            nonlocal most
            deposit(*args)
            most = max(most, len(alice.engine.mailbox_handler.sender._unanswered))

        boxes.deposit = watched
        for relay in relays:
            relay.mend(alice)
        await until(lambda: all_in(alice, "bob", "stored", 1000), 60)
        assert most <= 2 * mailbox_sender.WINDOW
        assert [len(relay.blobs()) for relay in relays] == [1000, 1000]
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", [f"{number}" for number in range(1000)]), 60)
        shown = [one["text"] for one in events_of(bob, "message")]
        assert shown == [f"{number}" for number in range(1000)]

    run_world(tmp_path, main)


# --- relays that fail ---------------------------------------------------------------------------------------------


def test_stored_is_what_every_relay_has_that_can_be_reached(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        second.stop()
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="one", wait="stored", timeout=60)
        assert sent["state"] == "stored"
        first.stop()
        with pytest.raises(NotReached):
            await alice.call("send", chat="bob", text="two", wait="stored", timeout=600)
        assert await states(alice, "bob") == ["stored", "saved"]
        second.start()
        await until(lambda: all_stored(alice, "bob"), 60)
        assert len(second.blobs()) == 2  # what the other has, it gets too
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", ["one", "two"]), 60)

    run_world(tmp_path, main)


async def all_stored(node: WorldNode, chat: str) -> bool:
    return set(await states(node, chat)) <= {"stored", "delivered"}


@pytest.mark.parametrize("code", [mailbox.QUEUE_FULL, mailbox.RELAY_FULL, mailbox.TOO_FAST, mailbox.NOT_ALLOWED])
def test_a_relay_that_turns_away_is_asked_again_later(tmp_path: Path, code: int) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        await bob.stop()
        first.answers = code
        await flood(alice, "bob", 300)
        await until(lambda: all_in(alice, "bob", "stored", 300), 30)
        assert (len(first.blobs()), len(second.blobs())) == (0, 300)
        assert len(first.given) <= mailbox_sender.WINDOW  # it is not asked for each of them
        first.answers = mailbox.DONE
        await trio.sleep(20 if code == mailbox.TOO_FAST else 3700)
        assert len(first.blobs()) == 300

    run_world(tmp_path, main)


LIES = ("drops", "withholds", "repeats", "reorders", "invents", "delays")


@pytest.mark.parametrize(("both", "lie"), sampled(list(product((False, True), LIES)), 4, "lies"))
def test_a_relay_that_lies_loses_nothing_and_repeats_nothing(tmp_path: Path, lie: str, both: bool) -> None:
    """Where both lose things, what is lost comes again when they tell the truth."""

    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        liars = relays if both else relays[:1]
        for liar in liars:
            setattr(liar.lies, lie, {"invents": 3, "delays": 300.0}.get(lie, True))
        said: dict[str, list[str]] = {"alice": [], "bob": []}
        for round in range(4):
            for node, other in ((alice, "bob"), (bob, "alice")):
                for number in range(8):
                    said[node.name].append(f"{node.name} {round} {number}")
                    await node.call("send", chat=other, text=said[node.name][-1])
                    await trio.sleep(number % 3)
            await trio.sleep(70)
        if both and lie in ("drops", "withholds"):
            assert await bob.texts("alice") == []
            for liar in liars:
                setattr(liar.lies, lie, False)
                liar.change()
        await until(lambda: has(bob, "alice", said["alice"]), 2 * 3600)
        await until(lambda: has(alice, "bob", said["bob"]), 2 * 3600)
        await until(lambda: all_delivered(alice, "bob"), DAY_S)
        await until(lambda: all_delivered(bob, "alice"), DAY_S)
        for node in (alice, bob):
            shown = [one["text"] for one in events_of(node, "message") if one["from"] != "me"]
            assert sorted(shown) == sorted(said["bob" if node is alice else "alice"])

    run_world(tmp_path, main)


def test_what_a_relay_invents_is_dropped_without_a_word(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        second.stop()
        first.lies.invents = 50
        before = await bob.engine.committer.read(lambda db: db.query("SELECT count(*) FROM outbox"))
        world.traffic.clear()
        first.given.clear()
        await alice.call("send", chat="bob", text="real")
        await trio.sleep(120)
        assert await bob.texts("alice") == ["real"]
        assert [who for who, _, _ in first.given] == ["alice", "bob"]  # the message, and one receipt
        assert first.blobs() == []
        assert await bob.engine.committer.read(lambda db: db.query("SELECT count(*) FROM outbox")) == before
        assert (
            len(await bob.engine.committer.read(lambda db: db.query("SELECT id FROM envelopes_seen WHERE at > 0"))) < 20
        )

    run_world(tmp_path, main)


def test_a_relay_that_dies_for_good_while_the_other_lives(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        await bob.stop()
        for number in range(20):
            await alice.call("send", chat="bob", text=f"{number}")
            if number == 9:
                await trio.sleep(1)
                first.stop()
                first.disk.queues.clear()
        await until(lambda: all_stored(alice, "bob"), 60)
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", [f"{number}" for number in range(20)]), 60)
        await until(lambda: all_delivered(alice, "bob"), 120)
        assert len(second.deposited_by("alice")) >= 20

    run_world(tmp_path, main)


def test_a_relay_that_is_restored_from_an_old_copy(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first, second) = await apart(world)
        second.stop()
        for text in ("one", "two"):
            await alice.call("send", chat="bob", text=text, wait="stored", timeout=60)
        copy = first.copy()
        await until(lambda: has(bob, "alice", ["one", "two"]), 60)
        await bob.stop()
        await alice.call("send", chat="bob", text="three", wait="stored", timeout=60)
        first.put_back(copy)  # with what bob has, and without what he has not
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", ["one", "two", "three"]), 2 * 3600)
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)

    run_world(tmp_path, main)


def test_what_a_relay_has_lost_is_deposited_again_after_an_hour_six_and_daily(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (first,) = await apart(world, 1)
        await bob.stop()
        await alice.call("send", chat="bob", text="hello")
        for hours in (0, 1, 6, 24, 24):
            began, count = trio.current_time(), len(first.given)
            first.disk.queues.clear()

            async def given(count: int = count) -> bool:
                return len(first.given) > count

            await until(given, 2 * DAY_S)
            assert hours <= (trio.current_time() - began) / 3600 <= hours + 1.1
        assert len({blob for _, _, blob in first.given}) == 1  # the same bytes, each time
        bob = await world.start("bob")
        await until(lambda: has(bob, "alice", ["hello"]), 60)

    run_world(tmp_path, main)


def test_what_could_not_be_saved_is_not_deleted_by_what_was_saved_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, failed = mailbox_handler._take_blob, trio.Event()

    def take_later(*args: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise DiskFull
        take(*args)

    async def main(world: World) -> None:
        alice, bob, _ = await apart(world, 1)
        monkeypatch.setattr(mailbox_handler, "_take_blob", take_later)
        await bob.call("send", chat="alice", text="one")
        await failed.wait()
        await bob.call("send", chat="alice", text="two")

        async def both() -> bool:
            return sorted(one["text"] for one in await alice.call("log", chat="bob")) == ["one", "two"]

        await until(both, 600)  # sooner than bob would put it there again
        handler = alice.engine.mailbox_handler
        ((key, before),) = ((key, one) for key, one in handler._taken.items() if one.upto)
        handler.ask_again(key[0])
        handler.release(Effects(taken={(*key, before.number): {before.upto + 1: True}}), {})
        assert handler._taken[key].on_disk == before.on_disk, "an answer to an earlier asking says nothing"

    run_world(tmp_path, main)
