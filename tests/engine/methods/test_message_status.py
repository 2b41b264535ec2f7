"""Why a message is where it is, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.engine.methods.message_status import stored
from p2pchat.store.deposits import DepositedCopy
from tests.support.mail_worlds import apart
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import all_delivered
from tests.world.test_mailbox_invites import asked, with_relays


async def why(node: WorldNode, sent: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = await node.call("why", id=sent["id"])
    return said


def test_what_lies_at_relays_says_at_how_many_and_until_when(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, (_, second) = await apart(world)
        await bob.stop()
        second.stop()
        sent = await alice.call("send", chat="bob", text="hello", wait="stored", timeout=60)
        said = await why(alice, sent)
        assert said["reason"] == "It is stored at a relay until 21 Oct."
        assert (said["relays"], said["until"][:10]) == (1, "2026-10-21")
        assert "bob's node finds it there as soon as it runs" in said["next"]
        second.longest = 24
        second.start()
        await trio.sleep(70)
        said = await why(alice, sent)
        assert said["reason"] == "It is stored at 2 relays until 21 Oct."
        bob = await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 70)
        said = await why(alice, sent)
        assert (said["relays"], said["until"]) == (0, None)
        assert said["reason"] == "It was delivered, as their node confirmed."

    run_world(tmp_path, main)


def test_what_no_relay_has_taken_yet(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, relays = await apart(world)
        for relay in relays:
            relay.stop()
        sent = await alice.call("send", chat="bob", text="hello")
        await trio.sleep(60)
        assert "their relays have not taken it yet" in (await why(alice, sent))["reason"]

    run_world(tmp_path, main)


def test_a_request_that_lies_at_relays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite")
        await alice.stop()
        await asked(bob, made["invite"])
        sent = await bob.call("send", chat="alice", text="hello")
        assert (await why(bob, sent))["reason"] == "Your request to alice is stored at 2 relays until 21 Oct."

    run_world(tmp_path, main)


def test_the_longest_counts() -> None:
    day = 86_400_000
    assert (
        stored([DepositedCopy(PeerKey(b"1"), 20 * day), DepositedCopy(PeerKey(b"2"), 40 * day)])
        == "stored at 2 relays until 10 Feb"
    )
