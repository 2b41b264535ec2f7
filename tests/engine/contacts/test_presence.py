"""Who can be reached: told as it changes, and no flood of a link that flaps."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId
from p2pchat.engine.contacts.presence import HOLD_SECONDS, Presence
from tests.conftest import run
from tests.support.asking import events_of, linked
from tests.support.world import World, befriend, run_world, until

BOB, CAROL = ContactId(b"b" * 8), ContactId(b"c" * 8)


class Links:
    """Routes that a test sets, and what was told."""

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}
        self.told: list[tuple[bytes, str | None]] = []
        self.presence = Presence(lambda one: self.told.append((one, self.routes.get(one))), self.routes.get)

    def up(self, contact: ContactId) -> None:
        self.routes[contact] = Route.DIRECT
        self.presence.changed(contact)

    def down(self, contact: ContactId) -> None:
        self.routes.pop(contact, None)
        self.presence.changed(contact)


def test_a_flapping_link_is_no_flood_and_its_end_is_told() -> None:
    async def main() -> None:
        links = Links()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(links.presence.run)
            for _ in range(1000):  # ten seconds
                links.up(BOB)
                await trio.sleep(0.005)
                links.down(BOB)
                await trio.sleep(0.005)
            links.up(CAROL)
            assert links.told[-1] == (CAROL, "direct")
            await trio.sleep(2 * HOLD_SECONDS)
            assert len(links.told) <= 2 + 2 * 10 / HOLD_SECONDS
            assert [one for one in links.told if one[0] == BOB][-1] == (BOB, None)
            links.up(BOB)
            assert links.told[-1] == (BOB, "direct")
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def test_a_link_that_was_away_for_a_moment_is_nothing() -> None:
    async def main() -> None:
        links = Links()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(links.presence.run)
            links.up(BOB)
            links.down(BOB)
            links.up(BOB)
            await trio.sleep(10 * HOLD_SECONDS)
            assert links.told == [(BOB, "direct")]
            links.up(BOB)  # a second link
            assert links.told == [(BOB, "direct")]
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def test_faces_hear_of_a_link_that_comes_and_goes(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await until(lambda: linked(alice, "bob"))
        await trio.sleep(60)
        before = len(events_of(alice, "contact"))
        assert events_of(alice, "contact")[-1]["route"] == "direct"
        await bob.stop()
        await trio.sleep(60)
        (gone,) = events_of(alice, "contact")[before:]
        assert (gone["name"], gone["state"], gone["route"]) == ("bob", "contact", None)
        await world.start("bob")
        await until(lambda: linked(alice, "bob"))
        await trio.sleep(60)
        assert [one["route"] for one in events_of(alice, "contact")[before:]] == [None, "direct"]

    run_world(tmp_path, main)
