"""The relays of a profile, as a person sees and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.ids import ContactId
from p2pchat.engine.contacts import own_relays
from p2pchat.engine.contacts.own_relays import MAX_ADDRESSES, MAX_RELAYS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import BadAddress, NotNow, UsageError
from p2pchat.ports import DhtHealth, DhtMode
from p2pchat.store import relays as store_relays
from tests.support.asking import events_of
from tests.support.mail_worlds import apart, own_queues, their_queues
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend, run_world


def plain(relay: MailRelay) -> str:
    return relay.address.partition("#")[0]


async def states(node: WorldNode) -> list[str]:
    return [one["state"] for one in await node.call("relays")]


def test_a_relay_is_added_and_says_how_it_does(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        first, second = world.mailbox("first"), world.mailbox("second", token="let me in")
        alice = await world.start("alice")
        assert await alice.call("relays") == []
        second.stop()
        await alice.call("relays", add=first.address)
        found = await alice.call("relays", add=second.address)
        assert [(one["address"], one["state"], one["used"], one["kept"]) for one in found] == [
            (plain(first), "connected", True, True),
            (plain(second), "unreachable", True, True),
        ]
        assert found[1]["problem"] != ""
        status = await alice.call("status")
        assert (status["relays"], status["relays_connected"]) == (2, 1)
        second.start()
        await trio.sleep(1)
        assert await states(alice) == ["connected", "connected"]
        await alice.stop()
        alice = await world.start("alice")
        await trio.sleep(1)
        assert await states(alice) == ["connected", "connected"]
        (left,) = await alice.call("relays", remove=first.address)
        assert left["address"] == plain(second)

    run_world(tmp_path, main)


def test_a_change_is_told_to_a_few_contacts_in_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_relays, "TOLD_AT_ONCE", 1)
    left: list[int] = []
    tell = own_relays._tell

    def counted(tx: Transaction, contact_ids: Sequence[ContactId]) -> None:
        left.append(len(contact_ids))
        tell(tx, contact_ids)

    monkeypatch.setattr(own_relays, "_tell", counted)

    async def main(world: World) -> None:
        alice, *others = [await world.start(name) for name in ("alice", "bob", "carol", "dora")]
        for other in others:
            await befriend(alice, other)
        await alice.call("relays", add=world.mailbox("relay").address)
        assert left == [3, 2, 1]
        await trio.sleep(60)
        assert all([len(await their_queues(other)) == 1 for other in others])

    run_world(tmp_path, main)


def test_the_same_relay_again_moves_or_tells_another_token(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay", token="second word")
        alice = await world.start("alice")
        where, _, peer = plain(relay).rpartition("/p2p/")
        for number in range(6):
            moved = where.replace("4001", f"{4002 + number}")
            await alice.call("relays", add=f"{moved}/p2p/{peer}#first word")
        assert await states(alice) == ["refused"]
        (one,) = await alice.call("relays", add=relay.address)
        assert (one["address"], one["state"]) == (plain(relay), "connected")
        (row,) = await alice.engine.committer.read(store_relays.all)
        assert len(row.addresses) == MAX_ADDRESSES

    run_world(tmp_path, main)


def test_an_entry_that_works_is_not_given_up_unasked(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay", token="word")
        alice = await world.start("alice")
        (one,) = await alice.call("relays", add=relay.address)
        assert (one["state"], one["added"]) == ("connected", True)
        before = await alice.engine.committer.read(store_relays.all)
        dead = plain(relay).replace("4001", "9")
        for worse in (plain(relay), f"{plain(relay)}#another", f"{dead}#word", dead):
            with pytest.raises(NotNow, match="in your list") as caught:
                await alice.call("relays", add=worse)
            assert "--replace" in caught.value.advice
            assert await alice.engine.committer.read(store_relays.all) == before
        (again,) = await alice.call("relays", add=relay.address)
        assert again["state"] == "connected"
        await alice.call("relays", add=f"{dead}#another", replace=True)
        (row,) = await alice.engine.committer.read(store_relays.all)
        assert (row.token, len(row.addresses)) == (b"another", 1)

    run_world(tmp_path, main)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "relay.example.org",
        "/ip4/10.9.0.1/tcp/4001",
        "/ip4/10.9.0.1/tcp/4001/p2p/12D3KooW",
        "{plain}/p2p-circuit",
        "{plain}#" + "x" * 65,
        "{plain}#\ud800" + "x" * 64,
        "{own}",
    ],
)
def test_what_is_no_relay_is_not_added(tmp_path: Path, written: str) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        alice = await world.start("alice")
        (own,) = alice.engine.net.listening()
        with pytest.raises(BadAddress):
            await alice.call("relays", add=written.format(plain=plain(relay), own=own))
        assert await alice.call("relays") == []

    run_world(tmp_path, main)


def test_there_are_not_too_many_and_none_is_removed_that_is_not_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relays = [world.mailbox(f"{number}") for number in range(MAX_RELAYS + 1)]
        alice = await world.start("alice")
        for relay in relays[:-1]:
            await alice.call("relays", add=relay.address)
        with pytest.raises(NotNow, match=f"{MAX_RELAYS} relays"):
            await alice.call("relays", add=relays[-1].address)
        await alice.call("relays", add=relays[0].address)
        with pytest.raises(UsageError, match="not one of your relays"):
            await alice.call("relays", remove=relays[-1].address)
        assert len(await alice.call("relays")) == MAX_RELAYS

    run_world(tmp_path, main)


def test_a_relay_for_one_run(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        kept, other = world.mailbox("kept"), world.mailbox("other")

        def with_both(node: WorldNode) -> None:
            engine: Any = node.engine
            engine._relays = (other.address, kept.address)

        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("relays", add=kept.address)
        await alice.stop()
        alice = await world.start("alice", with_both)
        found = await alice.call("relays")
        assert [(one["address"], one["kept"]) for one in found] == [(plain(kept), True), (plain(other), False)]
        assert {row.relay for row in await own_queues(alice)} == {kept.peer, other.peer}
        await alice.stop()
        alice = await world.start("alice")
        assert [one["address"] for one in await alice.call("relays")] == [plain(kept)]
        rows = await own_queues(alice)
        assert {row.relay for row in rows if row.read_until is None} == {kept.peer}
        assert {row.relay for row in rows if row.read_until is not None} == {other.peer}  # for those who were told

    run_world(tmp_path, main)


def test_a_contact_is_reached_by_mailbox_from_when_its_queues_are_known(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, relays = await apart(world)
        routes = [one["route"] for one in events_of(alice, "contact")]
        assert routes[-1] == "mailbox"
        assert (await alice.call("chats"))[0]["route"] == "mailbox"
        assert (await alice.call("status"))["connected"] == 0
        checks = await alice.call("doctor")
        assert [(one["check"], one["ok"]) for one in checks if one["check"] in ("relay", "contact")] == [
            ("relay", True),
            ("relay", True),
            ("contact", True),
        ]
        assert "through a mailbox" in next(one["detail"] for one in checks if one["check"] == "contact")
        relays[0].stop()
        await trio.sleep(5)
        (lost,) = [one for one in await alice.call("doctor") if not one["ok"]]
        assert plain(relays[0]) in lost["detail"]
        assert lost["hint"] != ""

    run_world(tmp_path, main)


def test_the_doctor_says_what_a_relay_would_be_good_for(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        (line,) = [one for one in await alice.call("doctor") if one["check"] == "relays"]
        assert line["ok"]
        assert "`p2pchat relays add`" in line["detail"]
        for mode, servers, ok, says in (
            (DhtMode.OFF, 0, True, "no DHT server is asked"),
            (DhtMode.RELAYS, 0, True, "no DHT server of your relays answers"),
            (DhtMode.RELAYS, 3, True, "3 DHT servers of your relays answer"),
            (DhtMode.PUBLIC, 0, False, "no DHT server of the public network and your relays answers"),
        ):
            alice.engine.ask_dht = partial(_told, DhtHealth(mode, servers))
            (line,) = [one for one in await alice.call("doctor") if one["check"] == "dht"]
            assert (line["ok"], line["hint"] == "") == (ok, ok)
            assert says in line["detail"]

    run_world(tmp_path, main)


async def _told(health: DhtHealth) -> DhtHealth:
    await trio.lowlevel.checkpoint()
    return health
