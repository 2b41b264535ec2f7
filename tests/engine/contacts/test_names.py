"""Names: whom a name or an id means never changes by what somebody calls themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.engine.contacts.names import name_of
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import BadName
from p2pchat.store import meta
from tests.support.world import World, WorldNode, befriend, run_world


async def call_oneself(node: WorldNode, name: str, contact: str) -> None:
    def act(tx: Transaction) -> None:
        meta.put(tx.db, "name", name.encode())
        outbound.queue_profile(tx, tx.find(contact))

    await node.engine.committer.submit(act)
    await trio.sleep(5)


async def called(node: WorldNode) -> list[str]:
    return [one["name"] for one in await node.call("contacts")]


@pytest.mark.parametrize("kind", ["a whole id", "the beginning of one", "the same name", "the same in capitals"])
def test_nobody_takes_over_what_is_meant_for_another(tmp_path: Path, kind: str) -> None:
    async def main(world: World) -> None:
        alice, bob, mallory = [await world.start(name) for name in ("alice", "bob", "mallory")]
        await befriend(alice, bob)
        await trio.sleep(1)  # contacts of one moment are listed by their random ids
        await befriend(alice, mallory)
        await trio.sleep(60)
        bobs = (await alice.id_of("bob")).hex()
        wanted = {"a whole id": bobs, "the beginning of one": bobs[:5], "the same name": "bob"}.get(kind, "BOB")
        await call_oneself(mallory, wanted, "alice")
        for number, meant in enumerate((bobs, bobs.upper(), "bob", "Bob", bobs[:5])):
            await alice.call("send", chat=meant, text=f"{number}", wait="delivered", timeout=60)
        assert await bob.texts("alice") == ["0", "1", "2", "3", "4"]
        assert await mallory.texts("alice") == []
        mallorys = (
            await alice.engine.committer.read(lambda db: db.query("SELECT id FROM contacts WHERE name <> 'bob'"))
        )[0][0]
        assert await called(alice) == ["bob", f"{wanted} ({mallorys.hex()[:4]})"]

    run_world(tmp_path, main)


def test_a_name_that_a_person_gave_stays_and_is_not_given_twice(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        await alice.call("rename", contact="bob", name="carol")
        await trio.sleep(1)
        await befriend(alice, carol)
        assert (await called(alice))[0] == "carol"
        assert (await called(alice))[1].startswith("carol (")
        with pytest.raises(BadName, match="another contact"):
            await alice.call("rename", contact=(await alice.call("contacts"))[1]["id"], name="CAROL")
        await alice.call("send", chat="carol", text="for bob", wait="delivered", timeout=60)
        assert await bob.texts("alice") == ["for bob"]

    run_world(tmp_path, main)


def test_who_only_asks_keeps_no_name_from_a_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        mallory = await world.start("mallory")
        await mallory.engine.committer.submit(lambda tx: meta.put(tx.db, "name", b"bob"))
        invite = await alice.call("invite", ask=True)
        await mallory.call("add", invite=invite["invite"], wait=None)
        await trio.sleep(60)
        assert [one["name"] for one in await alice.call("requests")] == ["bob"]
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="hello", wait="delivered", timeout=60)
        assert await bob.texts("alice") == ["hello"]

    run_world(tmp_path, main)


def test_a_name_that_is_too_long_or_an_id_is_refused_with_a_reason() -> None:
    assert name_of("x" * 64) == "x" * 64
    with pytest.raises(BadName, match="at most 64 characters; this one has 65"):
        name_of("x" * 65)
    with pytest.raises(BadName, match="cannot be Me: that is what your own messages"):
        name_of("Me")
    with pytest.raises(BadName, match="look like an id"):
        name_of("0123456789ABCDEF")
