"""Invites in the fake world: every way in which two people can meet, or fail to."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.ids import SessionId, first_device
from p2pchat.errors import BadInvite, InviteExpired, InviteUsed, NotNow, NotReached
from p2pchat.store import invites as store_invites
from tests.support.asking import events_of, has, names, sessions_of
from tests.support.meddler import Meddler
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, befriend, run_world, until

DAY_S = 86_400


# --- one-time -------------------------------------------------------------------------------------------------------


def test_a_one_time_invite_serves_one(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        invite = (await alice.call("invite"))["invite"]
        await bob.call("add", invite=invite, wait="accepted")
        with pytest.raises(InviteUsed) as failed:
            await carol.call("add", invite=invite)
        assert failed.value.exit_code == 5
        assert await names(alice) == {"bob": "contact"}
        assert await names(carol) == {}
        await alice.call("send", chat="bob", text="to bob", wait="delivered")

    run_world(tmp_path, main)


def test_the_inviter_is_told_that_an_invite_leaked(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        invite = (await alice.call("invite"))["invite"]
        # carol gets as far as her first message, which is lost, and then bob comes first
        meddler.drop(frames.INITIAL, sender=carol)
        with pytest.raises(NotReached):
            await carol.call("add", invite=invite, timeout=5)
        await carol.call("send", chat=(await carol.call("contacts"))[0]["id"], text="for alice")
        await bob.call("add", invite=invite, wait="accepted", timeout=60)
        meddler.clear()
        await until(lambda: told_of_leak(alice))
        await until(lambda: all_failed(carol))
        assert await names(alice) == {"bob": "contact"}
        assert any("use" in one["warning"] for one in events_of(carol, "node"))

    run_world(tmp_path, main)


async def told_of_leak(node: WorldNode) -> bool:
    return any("leaked" in one.get("warning", "") for one in node.heard)


async def all_failed(node: WorldNode) -> bool:
    chat = (await node.call("contacts"))[0]["id"]
    return {one["state"] for one in await node.call("log", chat=chat)} == {"failed"}


def test_a_failed_beginning_does_not_stand_in_the_way_of_a_new_invite(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        invite = (await alice.call("invite"))["invite"]
        meddler.drop(frames.INITIAL, sender=carol)
        with pytest.raises(NotReached):
            await carol.call("add", invite=invite, timeout=5, name="first")
        await carol.call("send", chat="first", text="lost")
        await bob.call("add", invite=invite, wait="accepted", timeout=60)
        meddler.clear()
        await until(lambda: all_failed(carol))
        again = (await alice.call("invite"))["invite"]
        await carol.call("add", invite=again, wait="accepted", name="alice")
        await carol.call("send", chat="alice", text="at last", wait="delivered")
        assert await alice.texts("carol") == ["at last"]

    run_world(tmp_path, main)


def test_an_expired_invite(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", expires=3600))["invite"]
        reusable = (await alice.call("invite", expires=3600, reusable=True))["invite"]
        assert alice.engine.keeps_running()
        await trio.sleep(2 * 3600)
        assert not alice.engine.keeps_running()
        for text in (invite, reusable):
            with pytest.raises(InviteExpired) as failed:
                await bob.call("add", invite=text)
            assert failed.value.exit_code == 5
        assert await names(alice) == {}
        assert await names(bob) == {}
        kept = await alice.engine.committer.read(store_invites.all)
        assert [(row.secret, row.bundle, row.encoded) for row in kept] == [(None, None, None)] * 2
        await world.sleep_days(3)
        await alice.stop()
        with pytest.raises(InviteExpired):  # bob sees that by himself, without asking alice
            await bob.call("add", invite=invite)

    run_world(tmp_path, main)


def test_an_invite_expires_by_the_inviters_clock(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for name, hours in (("bob", 23), ("carol", -23)):
            joiner = await world.start(name)
            joiner.skew = hours * 3_600_000
            invite = (await alice.call("invite", expires=3600))["invite"]
            added = await joiner.call("add", invite=invite, wait="accepted")
            assert added["state"] == "contact"
            await joiner.call("send", chat="alice", text="hi", wait="delivered")

    run_world(tmp_path, main)


def test_an_own_invite_and_half_a_one(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for reusable in (False, True):
            invite = (await alice.call("invite", reusable=reusable))["invite"]
            with pytest.raises(NotNow):
                await alice.call("add", invite=invite)
            with pytest.raises(BadInvite):
                await alice.call("add", invite=invite[:-3])
        assert await names(alice) == {}

    run_world(tmp_path, main)


def test_nothing_leaves_twice_however_often_an_invite_is_added(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        first = await bob.call("add", invite=invite)
        second = await bob.call("add", invite=invite.lower(), wait="accepted")
        third = await bob.call("add", invite=invite, wait="accepted")
        assert first["id"] == second["id"] == third["id"]
        assert await names(alice) == {"bob": "contact"}

    run_world(tmp_path, main)


# --- asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"reusable": True}, {"ask": True}])
def test_a_request_is_shown_with_the_words_both_see(tmp_path: Path, how: dict[str, bool]) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", **how))["invite"]
        added = await bob.call("add", invite=invite, name="alice")
        assert added["state"] == "waiting"
        asked = await alice.call("requests")
        assert [one["name"] for one in asked] == ["bob"]
        assert [one["sas"] for one in events_of(alice, "request")] == [asked[0]["sas"]]
        assert len(asked[0]["sas"].split()) == 8
        assert asked[0]["sas"] == (await bob.call("verify", contact="alice"))["sas"]
        assert await names(alice) == {}
        await alice.call("accept", contact="bob")
        assert await alice.call("requests") == []
        await alice.call("send", chat="bob", text="welcome", wait="delivered", timeout=600)
        assert await names(bob) == {"alice": "contact"}

    run_world(tmp_path, main)


@pytest.mark.parametrize("how", [{"reusable": True}, {"ask": True}])
def test_declining_is_silence(tmp_path: Path, how: dict[str, bool]) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", **how))["invite"]
        await bob.call("add", invite=invite, name="alice")
        await bob.call("send", chat="alice", text="please")
        before = [one for one in world.traffic if one[0] == "alice"]
        await trio.sleep(DAY_S / 4)
        await alice.call("decline", contact="bob")
        await trio.sleep(DAY_S / 4)
        # nothing at all, neither before nor after her no, however often bob's node dials
        assert [one for one in world.traffic if one[0] == "alice"] == before
        assert bob.host.dials > 10
        assert await alice.call("requests") == []
        assert await names(bob) == {"alice": "waiting"}

    run_world(tmp_path, main)


def test_one_who_was_declined_may_be_invited_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", ask=True))["invite"]
        await bob.call("add", invite=invite, name="alice")
        await bob.call("send", chat="alice", text="kept")
        await alice.call("decline", contact="bob")
        again = (await alice.call("invite"))["invite"]
        waiting = (await bob.call("contacts"))[0]["id"]
        assert (await bob.call("add", invite=again))["id"] == waiting
        await bob.call("send", chat="alice", text="more", wait="delivered", timeout=600)
        assert await alice.texts("bob") == ["kept", "more"]
        assert await names(bob) == {"alice": "contact"}

    run_world(tmp_path, main)


def test_a_reusable_invite_serves_many_until_the_end(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        invite = (await alice.call("invite", reusable=True, expires=30 * DAY_S))["invite"]
        joiners = []
        for number in range(5):
            joiner = await world.start(f"joiner{number}")
            await joiner.call("add", invite=invite, name="alice")
            joiners.append(joiner)
            await world.sleep_days(4)  # the prekeys are renewed meanwhile, the invite still fits
        assert len(await alice.call("requests")) == 5
        for number, joiner in enumerate(joiners):
            await alice.call("accept", contact=f"joiner{number}")
            await joiner.call("send", chat="alice", text=f"I am {number}", wait="delivered", timeout=600)
            assert await alice.texts(f"joiner{number}") == [f"I am {number}"]

    run_world(tmp_path, main)


def test_to_add_an_invite_again_knocks_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        await alice.stop()
        for _ in range(5):
            with pytest.raises(NotReached):
                await bob.call("add", invite=invite, timeout=3600)
            alice = await world.start("alice")
            await alice.stop()
        await world.start("alice")
        assert (await bob.call("add", invite=invite, name="alice", timeout=1))["name"] == "alice"

    run_world(tmp_path, main)


def test_a_newer_invite_takes_the_place_of_one_that_led_nowhere(tmp_path: Path) -> None:
    """Alice has moved since: at the old address nobody answers."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        old = (await alice.call("invite"))["invite"]
        await alice.stop()
        with pytest.raises(NotReached):
            await bob.call("add", invite=old, name="alice", timeout=60)
        await bob.call("send", chat="alice", text="are you there?")
        world._numbers["alice"] = 77
        alice = await world.start("alice")
        newer = (await alice.call("invite"))["invite"]
        added = await bob.call("add", invite=newer, name="my alice", wait="accepted", timeout=60)
        assert await names(bob) == {"my alice": "contact"}
        assert added["id"] == (await bob.call("contacts"))[0]["id"]
        await until(lambda: has(alice, "bob", ["are you there?"]), 60)

    run_world(tmp_path, main)


def test_an_invite_of_another_node_takes_nobodys_place(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        invites = [(await node.call("invite"))["invite"] for node in (alice, carol)]
        await alice.stop()
        with pytest.raises(NotReached):
            await bob.call("add", invite=invites[0], name="alice", timeout=60)
        await bob.call("add", invite=invites[1], name="alice", wait="accepted", timeout=60)
        assert sorted(one["state"] for one in await bob.call("contacts")) == ["contact", "waiting"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("ask", [False, True])
def test_a_newer_invite_where_the_old_one_was_used_after_all(tmp_path: Path, ask: bool) -> None:
    """The ack was lost, and alice, who cannot dial bob, has moved."""

    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob = await world.start("alice"), await world.start("bob")
        old = (await alice.call("invite", ask=ask))["invite"]
        world.listening.pop(bob.host.peer)  # bob is not to be dialled
        meddler.drop(frames.ACKS, sender=alice)
        with pytest.raises(NotReached):
            await bob.call("add", invite=old, name="alice", timeout=5)
        await alice.stop()
        await bob.call("send", chat="alice", text="hello")
        meddler.clear()
        world._numbers["alice"] = 77
        alice = await world.start("alice")
        newer = (await alice.call("invite"))["invite"]
        waiting = (await bob.call("contacts"))[0]["id"]
        assert (await bob.call("add", invite=newer, timeout=60))["id"] == waiting
        await trio.sleep(60)
        if ask:  # else the first session is all that is needed
            await alice.call("accept", contact="bob")
        await until(lambda: has(alice, "bob", ["hello"]), 600)
        await alice.call("send", chat="bob", text="welcome", wait="delivered", timeout=600)
        assert await names(bob) == {"alice": "contact"}
        assert await names(alice) == {"bob": "contact"}
        assert await alice.texts("bob") == ["hello"]

    run_world(tmp_path, main)


# --- meeting twice --------------------------------------------------------------------------------------------------


def test_both_use_each_others_invite_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob = await world.start("alice"), await world.start("bob")
        invites = {one.name: (await one.call("invite", ask=True))["invite"] for one in (alice, bob)}
        meddler.keep(frames.INITIAL, times=2)
        added: list[str] = []

        async def add(node: WorldNode, other: WorldNode) -> None:
            found = await node.call("add", invite=invites[other.name], name=other.name, wait="accepted", timeout=60)
            added.append(found["state"])

        world.soon(add, alice, bob)
        world.soon(add, bob, alice)
        await trio.sleep(1)
        assert await meddler.release() == 2  # each had made its own before the other's came
        await until(lambda: both_are_contacts(alice, bob))
        assert await alice.call("requests") == await bob.call("requests") == []  # both have said yes
        for number in range(3):
            await alice.call("send", chat="bob", text=f"a{number}", wait="delivered")
            await bob.call("send", chat="alice", text=f"b{number}", wait="delivered")
        assert added == ["contact", "contact"]
        assert await alice.texts("bob") == ["b0", "b1", "b2"]
        assert await bob.texts("alice") == ["a0", "a1", "a2"]
        sessions = [await sessions_of(one, other) for one, other in ((alice, "bob"), (bob, "alice"))]
        assert len(sessions[0]) == 2
        assert [one.session_id for one in sorted(sessions[0], key=order)] == [
            one.session_id for one in sorted(sessions[1], key=order)
        ]
        smaller = min(one.session_id for one in sessions[0])
        for node, other in ((alice, "bob"), (bob, "alice")):
            sending = node.engine.committer.sessions.sending(first_device(await node.id_of(other)))
            assert sending is not None
            assert sending.session_id == smaller
        await trio.sleep(2 * 3600)
        for node, other in ((alice, "bob"), (bob, "alice")):
            ends = {one.session_id: one.ends_at for one in await sessions_of(node, other)}
            assert ends[smaller] is None
            assert all(end is not None for session_id, end in ends.items() if session_id != smaller)
        await world.sleep_days(15)
        for node, other in ((alice, "bob"), (bob, "alice")):
            assert [one.session_id for one in await sessions_of(node, other)] == [smaller]
        await alice.call("send", chat="bob", text="still", wait="delivered")
        assert (await alice.call("verify", contact="bob"))["sas"] == (await bob.call("verify", contact="alice"))["sas"]

    run_world(tmp_path, main)


def order(session: Any) -> bytes:
    session_id: SessionId = session.session_id
    return session_id


async def both_are_contacts(alice: WorldNode, bob: WorldNode) -> bool:
    return await names(alice) == {"bob": "contact"} and await names(bob) == {"alice": "contact"}


def test_what_was_written_to_a_contact_under_another_invite_reaches_them(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        invite = (await alice.call("invite"))["invite"]
        await alice.stop()
        with pytest.raises(NotReached):
            await bob.call("add", invite=invite, name="who is this", timeout=5)
        await bob.call("send", chat="who is this", text="hello stranger")
        sent = (await bob.call("log", chat="who is this"))[0]["id"]
        alice = await world.start("alice")
        await until(lambda: has(alice, "bob", ["hello stranger"]))
        assert await names(bob) == {"alice": "contact"}
        assert [one["id"] for one in await bob.call("log", chat="alice")] == [sent]  # it is the same message

    run_world(tmp_path, main)


def test_the_invite_of_one_who_asks_us_accepts_them(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", ask=True))["invite"]
        await bob.call("add", invite=invite, name="alice")
        theirs = (await bob.call("invite", ask=True))["invite"]
        await bob.stop()
        with pytest.raises(NotReached):
            await alice.call("add", invite=theirs, name="robert", timeout=5)
        await alice.call("send", chat="robert", text="is this bob?")
        bob = await world.start("bob")
        await until(lambda: both_are_contacts(alice, bob))
        await until(lambda: has(bob, "alice", ["is this bob?"]))
        assert await bob.call("requests") == []

    run_world(tmp_path, main)


def test_the_invite_of_somebody_blocked_does_not_unblock(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("block", contact="bob")
        invite = (await bob.call("invite"))["invite"]
        await bob.stop()
        with pytest.raises(NotReached):
            await alice.call("add", invite=invite, name="robert", timeout=5)
        await alice.call("send", chat="robert", text="a friend gave me this")
        bob = await world.start("bob")
        await until(lambda: failed(alice, "robert"))
        assert (await names(alice))["bob"] == "blocked"
        assert any("blocked" in one["warning"] for one in events_of(alice, "node"))
        assert await bob.texts("alice") == []

    run_world(tmp_path, main)


async def failed(node: WorldNode, name: str) -> bool:
    return {one["state"] for one in await node.call("log", chat=name)} == {"failed"}


# --- loss and crashes -----------------------------------------------------------------------------------------------


def test_a_lost_ack_does_not_make_two(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob = await world.start("alice"), await world.start("bob")
        for reusable in (False, True):
            invite = (await alice.call("invite", reusable=reusable))["invite"]
            joiner = bob if not reusable else await world.start("carol")
            meddler.break_at(frames.ACKS, alice, joiner)
            await joiner.call("add", invite=invite, name="alice", timeout=60)
        initials = meddler.of(frames.INITIAL, world.nodes["carol"])
        assert len(initials) == 2
        assert len(set(initials)) == 1  # the same bytes
        assert await names(alice) == {"bob": "contact"}
        assert [one["name"] for one in await alice.call("requests")] == ["carol"]
        assert len(events_of(alice, "request")) == 1

    run_world(tmp_path, main)


@pytest.mark.parametrize("reusable", [False, True])
def test_a_link_that_breaks_after_gone_is_no_refusal(tmp_path: Path, reusable: bool) -> None:
    """The ack is lost, and then the repetition too: bob must not conclude that somebody else used the invite."""

    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", ask=True, reusable=reusable))["invite"]
        meddler.break_at(frames.ACKS, alice, bob, times=2)
        added = await bob.call("add", invite=invite, name="alice", timeout=60)
        assert added["state"] == "waiting"
        assert [one["name"] for one in await alice.call("requests")] == ["bob"]

    run_world(tmp_path, main)


def test_a_joiner_who_comes_for_its_ack_months_later(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        meddler = Meddler(world)
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", ask=True, expires=200 * DAY_S))["invite"]
        meddler.drop(frames.ACKS, sender=alice)
        with pytest.raises(NotReached):
            await bob.call("add", invite=invite, name="alice", timeout=5)
        await bob.stop()
        meddler.clear()
        await world.sleep_days(100)
        bob = await world.start("bob")
        assert (await bob.call("add", invite=invite, timeout=60))["state"] == "waiting"
        await alice.call("accept", contact="bob")
        await bob.call("send", chat="alice", text="at last", wait="delivered", timeout=600)

    run_world(tmp_path, main)


STEPS = [
    (frames.HELLO, "bob"),
    (frames.HELLO, "alice"),
    (frames.BUNDLE, "alice"),
    (frames.INITIAL, "bob"),
    (frames.ACKS, "alice"),
]


@pytest.mark.parametrize(
    ("type", "sender", "who", "arrives"),
    [
        (*step, who, arrives)
        for step, who, arrives in sampled(list(product(STEPS, ("alice", "bob"), (False, True))), 10, "steps")
    ],
)
def test_either_dies_at_any_step(tmp_path: Path, who: str, type: int, sender: str, arrives: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        at_step = trio.Event()

        def stop_there(stream: Any, frame: frames.Frame) -> list[frames.Frame]:
            if frame.type == type and stream.here.name == sender and not at_step.is_set():
                at_step.set()
                return [frame] if arrives else []
            return [frame]

        world.meddle = stop_there
        world.soon(try_to_add, bob, invite)
        await at_step.wait()
        node = {"alice": alice, "bob": bob}[who]
        await node.crash()
        again = await world.start(who)
        alice, bob = (again, bob) if who == "alice" else (alice, again)
        if who == "bob":
            world.soon(try_to_add, bob, invite)
        await until(lambda: both_are_contacts(alice, bob), 120)
        await bob.call("send", chat="alice", text="there", wait="delivered", timeout=120)
        await alice.call("send", chat="bob", text="and back", wait="delivered", timeout=120)
        assert await alice.texts("bob") == ["there"]
        assert await bob.texts("alice") == ["and back"]

    run_world(tmp_path, main)


async def try_to_add(node: WorldNode, invite: str) -> None:
    with trio.move_on_after(60):
        try:
            await node.call("add", invite=invite, name="alice")
        except NotReached:
            return


# --- many -----------------------------------------------------------------------------------------------------------


def test_an_invite_that_many_hold(tmp_path: Path) -> None:
    """Fifteen come with one leaked one-time invite at the same moment: one gets in."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        invite = (await alice.call("invite"))["invite"]
        results: list[str] = []
        joiners = [await world.start(f"joiner{number}") for number in range(15)]

        async def join(node: WorldNode) -> None:
            try:
                results.append((await node.call("add", invite=invite, wait="accepted", timeout=600))["state"])
            except InviteUsed:
                results.append("used")

        async with trio.open_nursery() as nursery:
            for joiner in joiners:
                nursery.start_soon(join, joiner)
        assert sorted(results) == ["contact", *["used"] * 14]
        assert len(await alice.call("contacts")) == 1
        assert await alice.call("requests") == []

    run_world(tmp_path, main)
