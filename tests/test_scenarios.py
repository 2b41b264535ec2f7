"""People at work: whole stories in the fake world, with real engines and real databases."""

from __future__ import annotations

from pathlib import Path

from tests.world import World, befriend, run_world, until


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
