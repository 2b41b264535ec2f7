"""From an invite to a contact by relays alone, whoever is there when."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.codec import decode, encode
from p2pchat.core.envelope import open_blob, seal_blob
from p2pchat.core.invite import ROLE_NODE, ROLE_RELAY, Invite, blob_key, decode_invite, from_text, sign_closed
from p2pchat.core.mailbox import BOX, STAMPED, Queue, invite_box, invite_put
from p2pchat.core.primitives import sign_public
from p2pchat.errors import NotReached
from p2pchat.store.outbox import OutboxForm
from tests.support.asking import events_of, has, names
from tests.support.mail_worlds import own_queues, their_queues
from tests.support.mailboxes import MailRelay
from tests.support.world import FakeHost, World, WorldNode, run_world, until
from tests.world.test_delivery import all_delivered


async def with_relays(world: World, *others: str, count: int = 2) -> tuple[WorldNode, list[MailRelay]]:
    """alice, who uses so many relays, and others; nobody reaches anybody."""
    relays = [world.mailbox(f"relay {number}") for number in range(count)]
    alice = await world.start("alice")
    nodes = [alice, *[await world.start(name) for name in others]]
    for relay in relays:
        await alice.call("relays", add=relay.address)
    for one in nodes:
        for other in nodes:
            if one is not other:
                world.cut(one, other)
    return alice, relays


def invite_of(made: dict[str, Any]) -> Invite:
    return decode_invite(from_text(made["invite"]))


async def asked(node: WorldNode, invite: str, **options: Any) -> None:
    """Add an invite whose maker does not answer in time."""
    with pytest.raises(NotReached) as failed:
        await node.call("add", invite=invite, name="alice", **{"timeout": 5, **options})
    assert "stored at" in str(failed.value)


async def is_contact(node: WorldNode, name: str) -> bool:
    return (await names(node)).get(name) == "contact"


def test_an_invite_names_two_relays_and_says_where_it_works(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, count=3)
        made = await alice.call("invite")
        ways = invite_of(made).ways
        assert [way.role for way in ways] == [ROLE_NODE, ROLE_RELAY, ROLE_RELAY]
        assert [way.peer for way in ways[1:]] == [relay.peer for relay in relays[:2]]
        assert (made["relays"], made["reachable"]) == (2, True)
        assert "2 relays" in made["notice"]
        relays[1].stop()
        made = await alice.call("invite")
        assert made["relays"] == 1
        assert "another has not answered" in made["notice"]
        relays[0].stop()
        made = await alice.call("invite")
        assert made["relays"] == 0
        assert "None of your relays" in made["notice"]

    run_world(tmp_path, main)


def test_without_relays_an_invite_says_what_to_do(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        made = await alice.call("invite")
        assert made["relays"] == 0
        assert "`p2pchat relays add`" in made["notice"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("reusable", [False, True])
def test_two_who_are_never_there_at_the_same_time_become_contacts(tmp_path: Path, reusable: bool) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob")
        await world.nodes["bob"].stop()
        made = await alice.call("invite", reusable=reusable)
        await alice.stop()
        bob = await world.start("bob")
        await asked(bob, made["invite"])
        sent = await bob.call("send", chat="alice", text="are you there?")
        await bob.stop()
        alice = await world.start("alice")
        if reusable:

            async def requested() -> bool:
                return [one["name"] for one in await alice.call("requests")] == ["bob"]

            await until(requested, 60)
            await alice.call("accept", contact="bob")
        await until(lambda: is_contact(alice, "bob"), 60)
        await alice.call("send", chat="bob", text="welcome", wait="stored", timeout=10)
        await alice.stop()
        bob = await world.start("bob")
        await until(lambda: is_contact(bob, "alice"), 60)
        await until(lambda: has(bob, "alice", ["welcome"]), 60)
        await bob.call("send", chat="alice", text="thanks", wait="stored", timeout=10)
        await trio.sleep(61)
        await bob.stop()
        alice = await world.start("alice")
        await until(lambda: has(alice, "bob", ["are you there?", "thanks"]), 60)
        await until(lambda: all_delivered(alice, "bob"), 60)
        bob = await world.start("bob")
        await until(lambda: all_delivered(bob, "alice"), 130)
        assert (await bob.call("why", id=sent["id"]))["state"] == "delivered"
        numbers = [await node.call("verify", contact=other) for node, other in ((alice, "bob"), (bob, "alice"))]
        assert numbers[0]["safety_number"] == numbers[1]["safety_number"]
        assert numbers[0]["sas"] == numbers[1]["sas"]

    run_world(tmp_path, main)


def test_both_there_and_only_relays_between_them(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite")
        added = await bob.call("add", invite=made["invite"], name="alice", wait="accepted", timeout=1)
        assert added["state"] == "contact"
        # nothing of the invite is left, but at relays
        assert [row.flags for row in await their_queues(bob)] == [0, 0]
        assert [row.flags for row in await own_queues(alice) if row.device is not None] == [0, 0]
        assert {row.relay for row in await own_queues(bob)} == {relay.peer for relay in relays}
        rows = await bob.engine.committer.read(lambda db: db.query("SELECT form FROM outbox"))
        assert (OutboxForm.INITIAL,) not in rows

    run_world(tmp_path, main)


def test_a_request_by_relay_is_asked_about_and_may_be_declined(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob", "carol")
        bob, carol = world.nodes["bob"], world.nodes["carol"]
        for node in (bob, carol):
            await asked(node, (await alice.call("invite", ask=True))["invite"])
        given = [len(relay.given) for relay in relays]
        assert sorted(one["name"] for one in await alice.call("requests")) == ["bob", "carol"]
        await alice.call("decline", contact="carol")
        await trio.sleep(120)
        assert [len(relay.given) for relay in relays] == given  # nothing goes back
        await alice.call("accept", contact="bob")
        await until(lambda: is_contact(bob, "alice"), 5)
        await trio.sleep(3 * 3600)
        assert await names(carol) == {"alice": "waiting"}
        assert await alice.call("requests") == []

    run_world(tmp_path, main)


def test_several_use_one_reusable_invite(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        people = ["bob", "carol", "dave"]
        alice, _ = await with_relays(world, *people)
        made = await alice.call("invite", reusable=True)
        await alice.stop()
        for name in people:
            await asked(world.nodes[name], made["invite"])
        alice = await world.start("alice")

        async def all_asked() -> bool:
            return sorted(one["name"] for one in await alice.call("requests")) == people

        await until(all_asked, 60)
        for name in people:
            await alice.call("accept", contact=name)
        for name in people:
            await until(partial(is_contact, world.nodes[name], "alice"), 60)

    run_world(tmp_path, main)


def test_a_one_time_invite_lets_one_in_and_says_once_that_it_was_tried_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob", "carol", "dave")
        bob, carol, dave = (world.nodes[name] for name in ("bob", "carol", "dave"))
        made = await alice.call("invite")
        await bob.call("add", invite=made["invite"], name="alice", wait="accepted", timeout=5)
        assert events_of(alice, "node") == []
        for node in (carol, dave):
            await asked(node, made["invite"])
        await trio.sleep(60)
        assert len(events_of(alice, "node")) == 1
        assert "leaked" in events_of(alice, "node")[0]["warning"]
        assert await names(alice) == {"bob": "contact"}
        assert await alice.call("requests") == []
        assert await names(carol) == {"alice": "waiting"}

    run_world(tmp_path, main)


def test_two_first_messages_wait_and_the_first_one_is_let_in(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob", "carol")
        made = await alice.call("invite")
        await alice.stop()
        for name in ("carol", "bob"):
            await asked(world.nodes[name], made["invite"])
        alice = await world.start("alice")
        await until(lambda: is_contact(alice, "carol"), 60)
        await trio.sleep(60)
        assert await names(alice) == {"carol": "contact"}
        assert len(events_of(alice, "node")) == 1

    run_world(tmp_path, main)


def test_an_expired_invite_is_left_alone_at_relays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite", expires=3600)
        assert any(row.invite for row in await own_queues(alice))
        await trio.sleep(2 * 3600)
        assert not any(row.invite for row in await own_queues(alice))
        assert await their_queues(alice) == []
        assert await alice.engine.committer.read(lambda db: db.query("SELECT kind FROM outbox")) == []
        await asked(bob, made["invite"])  # the box is still there: it is the relays' to empty
        await trio.sleep(3600)
        assert await names(alice) == {}
        assert await names(bob) == {"alice": "waiting"}

    run_world(tmp_path, main)


@pytest.mark.parametrize("both", [False, True])
def test_a_box_with_something_else_in_it(tmp_path: Path, both: bool) -> None:
    """What a relay puts there, or somebody else with the invite, is passed over."""

    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite")
        kept = [relay.copy() for relay in relays]
        for relay in relays if both else relays[:1]:
            for queue in relay.disk.queues.values():
                for place, blob in queue.items():
                    queue[place] = blob[:-1] + bytes((blob[-1] ^ 1,))
        if not both:
            added = await bob.call("add", invite=made["invite"], name="alice", wait="accepted", timeout=5)
            assert added["state"] == "contact"
            return
        with pytest.raises(NotReached) as failed:
            await bob.call("add", invite=made["invite"], name="alice", timeout=5)
        assert "was not reached" in str(failed.value)
        relays[0].put_back(kept[0])
        await until(lambda: is_contact(bob, "alice"), 5)

    run_world(tmp_path, main)


@pytest.mark.parametrize("forged", ["queue", "bundle", "other invite", "closed"])
def test_what_the_inviter_did_not_sign_for_this_invite_is_passed_over(tmp_path: Path, forged: str) -> None:
    """A relay whose operator has the invite can put anything into the box: the true bundle with a queue of its own,
    where it would read who joins; a bundle of its own; what lies in the box of another invite; or that it was revoked.
    """

    async def main(world: World) -> None:
        alice, (relay,) = await with_relays(world, "bob", "mallory", count=1)
        bob, mallory = world.nodes["bob"], world.nodes["mallory"]
        await mallory.call("relays", add=relay.address)
        made, other = [await alice.call("invite", reusable=True) for _ in range(2)]
        mine = await mallory.call("invite", reusable=True)

        def box_of(one: dict[str, Any]) -> tuple[bytes, list[Any]]:
            invite = invite_of(one)
            assert invite.writer is not None
            qid = Queue(sign_public(invite_box(invite.secret)), invite.writer, BOX).id
            (blob,) = relay.disk.queues[qid].values()
            return qid, decode(open_blob(blob_key(invite.secret), blob), len(blob))

        qid, (bundle, fetch, signature) = box_of(made)
        trap = Queue(sign_public(b"m" * 32), sign_public(invite_put(invite_of(made).secret)), STAMPED)
        content = {
            "queue": [bundle, trap.fetch, signature],
            "bundle": box_of(mine)[1],
            "other invite": box_of(other)[1],
            "closed": [frames.EXPIRED, sign_closed(b"m" * 32, from_text(made["invite"]), frames.EXPIRED)],
        }[forged]
        true = relay.disk.queues[qid]
        relay.disk.queues[qid] = {1: seal_blob(blob_key(invite_of(made).secret), encode(content), world.entropy.random)}
        with pytest.raises(NotReached):
            await bob.call("add", invite=made["invite"], name="alice", timeout=60)
        assert await their_queues(bob) == []
        assert relay.deposited_by("bob") == []
        relay.disk.queues[qid] = {place + 10: blob for place, blob in true.items()}
        relay.change()
        await until(lambda: has_request(alice, "bob"), 60)
        assert fetch in {row.fetch for row in await their_queues(bob)}

    run_world(tmp_path, main)


async def has_request(node: WorldNode, name: str) -> bool:
    return name in [one["name"] for one in await node.call("requests")]


@pytest.mark.parametrize("slow", ["relay", "direct"])
def test_directly_and_by_relay_it_is_one_first_message(tmp_path: Path, slow: str) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite", ask=True)
        if slow == "relay":
            for relay in relays:
                relay.cut(bob)
            world.mend(alice, bob)
            added = await bob.call("add", invite=made["invite"], name="alice", timeout=5)
            assert added["state"] == "waiting"
            for relay in relays:
                relay.mend(bob)
        else:
            await asked(bob, made["invite"])
            initial = {blob for relay in relays for blob in relay.deposited_by("bob")}
            assert len(initial) == 1
            world.mend(alice, bob)
            again = await bob.call("add", invite=made["invite"], timeout=700)
            assert again["state"] == "waiting"
        assert await their_queues(bob) == []
        await trio.sleep(60)
        assert [one["name"] for one in await alice.call("requests")] == ["bob"]
        await alice.call("accept", contact="bob")
        await until(lambda: is_contact(bob, "alice"), 60)
        assert len(await alice.engine.committer.read(lambda db: db.query("SELECT session_id FROM sessions"))) == 1

    run_world(tmp_path, main)


def test_an_inviter_whom_nobody_can_dial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        monkeypatch.setattr(FakeHost, "addresses", lambda host: ())
        first, second = [await alice.call("invite") for _ in range(2)]
        assert [way.role for way in invite_of(first).ways] == [ROLE_RELAY, ROLE_RELAY]
        added = await bob.call("add", invite=first["invite"], name="alice", wait="accepted", timeout=5)
        assert added["state"] == "contact"
        with pytest.raises(NotReached, match="stored at 2 relays"):
            await bob.call("add", invite=second["invite"], timeout=5)
        assert await names(bob) == {"alice": "contact"}
        await trio.sleep(60)
        assert [one["known"] for one in await alice.call("requests")] == [True]

    run_world(tmp_path, main)


def test_the_boxes_of_a_reusable_invite_get_the_new_bundle(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        await bob.stop()
        made = await alice.call("invite", reusable=True, expires=60 * 86_400)
        await world.sleep_days(8)
        await trio.sleep(60)
        assert [len(relay.blobs()) for relay in relays] == [1, 1]  # the new one replaces the old one
        await world.sleep_days(35)
        bob = await world.start("bob")
        await asked(bob, made["invite"])
        assert [one["name"] for one in await alice.call("requests")] == ["bob"]

    run_world(tmp_path, main)


def test_both_invite_each_other_by_relays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        for relay in relays:
            await bob.call("relays", add=relay.address)
        of_alice, of_bob = await alice.call("invite", ask=True), await bob.call("invite", ask=True)
        for relay in relays:
            relay.lies.delays = 3
        async with trio.open_nursery() as nursery:
            for node, made in ((alice, of_bob), (bob, of_alice)):
                nursery.start_soon(_add, node, made["invite"])
        await until(lambda: _one_contact(alice), 600)
        await until(lambda: _one_contact(bob), 600)
        for node in (alice, bob):
            (contact,) = await node.call("contacts")
            await node.call("send", chat=contact["id"], text="hello", wait="delivered", timeout=120)

    run_world(tmp_path, main)


async def _add(node: WorldNode, invite: str) -> None:
    await node.call("add", invite=invite, wait="accepted", timeout=600)


async def _one_contact(node: WorldNode) -> bool:
    return list((await names(node)).values()) == ["contact"]


def test_a_first_message_that_a_relay_loses_is_deposited_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, (relay,) = await with_relays(world, "bob", count=1)
        bob = world.nodes["bob"]
        made = await alice.call("invite")
        await alice.stop()
        await asked(bob, made["invite"])
        relay.disk.queues.clear()
        alice = await world.start("alice")
        await until(lambda: is_contact(bob, "alice"), 3 * 3600)
        assert len(set(relay.deposited_by("bob"))) >= 1
        assert not any(row.flags == STAMPED for row in await their_queues(bob))

    run_world(tmp_path, main)


def test_the_first_message_goes_to_every_relay_of_the_invite(tmp_path: Path) -> None:
    """One of them has lost the box. It is the one that is left when the inviter comes back."""

    async def main(world: World) -> None:
        alice, (forgetful, other) = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite")
        await alice.stop()
        forgetful.disk.queues.clear()
        await asked(bob, made["invite"])

        async def held() -> bool:
            return any(forgetful.disk.queues.values())

        await until(held, 60)
        other.stop()
        alice = await world.start("alice")
        await until(lambda: is_contact(alice, "bob"), 60)

    run_world(tmp_path, main)
