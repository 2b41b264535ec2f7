"""Relays that follow others, by the operator's wish."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.core.descriptors import decode_list, open_descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.net.relays.lists import ASK_EVERY_SECONDS
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.relay.others import follow_other
from tests.support.boxed import FullRelay, full_relay
from tests.support.world import World, run_world

NOBODY = PeerKey(bytes(32))


def lists(relay: FullRelay) -> set[PeerKey]:
    """The other relays that a relay tells of."""
    return {open_descriptor(raw).relay for raw in decode_list(relay.listing.answer(NOBODY, "", b""))} - {relay.peer}


def test_a_relay_announces_itself_to_the_others_of_its_operator_and_learns_of_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hub, first, second, quiet = [
            await full_relay(world, name, tmp_path, listed=True, private=name == "quiet")
            for name in ("hub", "first", "second", "quiet")
        ]
        hub.host.stop()
        for follower in (first, second, quiet):
            access = RelayAccess(hub.host.addresses())
            world.soon(follow_other, follower.host, follower.listing, hub.peer, access, world.entropy.random)
        await trio.sleep(10)
        assert lists(first) == set()
        hub.host.start()
        await trio.sleep(2 * ASK_EVERY_SECONDS)
        assert lists(hub) == {first.peer, second.peer}
        assert lists(first) == {hub.peer, second.peer}
        assert lists(quiet) == {hub.peer, first.peer, second.peer}

    run_world(tmp_path, main)
