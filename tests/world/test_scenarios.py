"""People at work: whole stories in the fake world, with real engines and real databases."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.errors import NotNow, NotReached
from tests.support.world import World, WorldNode, befriend, run_world, until


def test_two_people_become_contacts_and_chat(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        assert [one["name"] for one in await bob.call("contacts")] == ["alice"]
        for number in range(5):
            sent = await bob.call("send", chat="alice", text=f"b{number}", wait="delivered")
            assert sent["state"] == "delivered"
            await alice.call("send", chat="bob", text=f"a{number}", wait="delivered")
        assert await alice.texts("bob") == [f"b{number}" for number in range(5)]
        assert await bob.texts("alice") == [f"a{number}" for number in range(5)]
        numbers = [await one.call("verify", contact=other) for one, other in ((alice, "bob"), (bob, "alice"))]
        assert numbers[0]["safety_number"] == numbers[1]["safety_number"]
        assert numbers[0]["sas"] == numbers[1]["sas"]

    run_world(tmp_path, main)


def test_one_is_away_while_both_write(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await bob.call("send", chat="alice", text="before", wait="delivered")
        await bob.stop()
        for number in range(100):
            await alice.call("send", chat="bob", text=f"a{number}")
        await alice.stop()
        bob = await world.start("bob")
        for number in range(100):
            await bob.call("send", chat="alice", text=f"b{number}")
        alice = await world.start("alice")
        await alice.call("send", chat="bob", text="last", wait="delivered", timeout=60)
        await bob.call("send", chat="alice", text="last", wait="delivered", timeout=60)
        assert await bob.texts("alice") == [*(f"a{number}" for number in range(100)), "last"]
        assert await alice.texts("bob") == ["before", *(f"b{number}" for number in range(100)), "last"]
        for one, other in ((alice, "bob"), (bob, "alice")):
            states = {message["state"] for message in await one.call("log", chat=other, limit=1000)}
            assert states == {"delivered", "received"}

    run_world(tmp_path, main)


def test_each_receives_once_whoever_restarts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        nodes = {name: await world.start(name) for name in ("alice", "bob")}
        await befriend(nodes["alice"], nodes["bob"])
        for round in range(6):
            name = ("alice", "bob")[round % 2]
            for one, other in (("alice", "bob"), ("bob", "alice")):
                await nodes[one].call("send", chat=other, text=f"{one} {round}")
            await (nodes[name].stop() if round < 3 else nodes[name].crash())
            for one, other in (("alice", "bob"), ("bob", "alice")):
                if one != name:
                    await nodes[one].call("send", chat=other, text=f"{one} {round} alone")
            nodes[name] = await world.start(name)
        for one, other in (("alice", "bob"), ("bob", "alice")):
            await nodes[one].call("send", chat=other, text="end", wait="delivered", timeout=600)
        for one, other in (("alice", "bob"), ("bob", "alice")):
            sent = await nodes[one].texts(other, mine=True)
            assert len(sent) == 10
            assert await nodes[other].texts(one) == sent

    run_world(tmp_path, main)


def test_an_inviter_who_is_away(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = await alice.call("invite", expires=7 * 86_400)
        await alice.stop()
        with pytest.raises(NotReached) as failed:
            await bob.call("add", invite=invite["invite"], name="alice", timeout=5)
        assert failed.value.exit_code == 3
        sent = [await bob.call("send", chat="alice", text=f"early {number}") for number in range(3)]
        assert "not been reached" in (await bob.call("why", id=sent[0]["id"]))["reason"]
        await bob.stop()
        bob = await world.start("bob")
        await trio.sleep(3 * 3600)
        alice = await world.start("alice")
        late = await bob.call("send", chat="alice", text="late", wait="delivered", timeout=1200)
        assert late["state"] == "delivered"
        assert await alice.texts("bob") == ["early 0", "early 1", "early 2", "late"]

    run_world(tmp_path, main)


def test_sends_wait_for_the_acceptance(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = await alice.call("invite", ask=True)
        added = await bob.call("add", invite=invite["invite"], name="alice")
        assert added["state"] == "waiting"
        message = await bob.call("send", chat="alice", text="are you there?")
        with pytest.raises(NotReached):
            await bob.call("send", chat="alice", text="hello?", wait="stored", timeout=100)
        assert "accepted" in (await bob.call("why", id=message["id"]))["reason"]
        # not even sealed: nothing of it is in a session that alice may never accept
        assert await bob.engine.committer.read(lambda db: db.query("SELECT envelope_id FROM outbox")) == [
            (None,),
            (None,),
        ]
        with pytest.raises(NotNow):
            await alice.call("send", chat="bob", text="not before I said yes")
        await alice.call("accept", contact="bob")
        await until_delivered(bob, "alice")
        assert await alice.texts("bob") == ["are you there?", "hello?"]

    run_world(tmp_path, main)


def test_what_a_person_deletes_before_it_left_never_leaves(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.stop()
        first, second = [await bob.call("send", chat="alice", text=text) for text in ("one", "two")]
        await bob.call("delete", id=first["id"])
        alice = await world.start("alice")
        await bob.call("send", chat="alice", text="three", wait="delivered", timeout=60)
        assert await alice.texts("bob") == ["two", "three"]
        assert (await bob.call("why", id=second["id"]))["state"] == "delivered"

    run_world(tmp_path, main)


async def until_delivered(node: WorldNode, chat: str) -> None:
    async def all_delivered() -> bool:
        log = await node.call("log", chat=chat, limit=1000)
        return all(one["state"] == "delivered" for one in log if one["from"] == "me")

    await until(all_delivered)
