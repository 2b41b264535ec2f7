"""Whatever a contact's node sends about groups, well formed and senseless, ends nothing, and the group goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from p2pchat.core.contents import (
    GroupAsk,
    GroupHistory,
    GroupItem,
    GroupJoin,
    GroupLost,
    GroupMember,
    GroupOffer,
    GroupRefusal,
    GroupSeen,
    GroupWant,
    GroupWelcome,
)
from p2pchat.core.contents.group_want import MessagePlace
from p2pchat.core.contents.kind import Payload
from p2pchat.core.delivery import Route
from p2pchat.core.groups import items, welcome
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.groups.welcome import JoinKeys, Welcome
from p2pchat.core.ids import EpochId, GroupId, MemberId
from p2pchat.engine.groups import carriage
from p2pchat.engine.runtime.effects import GroupArrival
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from tests.support.group_worlds import found, reads
from tests.support.sampling import sampled
from tests.support.world import World, run_world

CONTENTS = 150
NUMBERS = (0, 1, 64, 5_000, 2**32 - 1)


def invented(tx: Transaction, chance: Random) -> list[Payload]:
    """Contents of one kind with what is really there in some places, and anything in others."""
    (chat,) = store_groups.chats(tx.db)
    row, epochs = store_groups.get(tx.db, chat), store_epochs.of(tx.db, chat)
    assert row is not None
    events = [event.event for event in store_events.all(tx.db, chat)]
    group = GroupId(chance.choice([row.group_id, chance.randbytes(32)]))
    epoch = EpochId(chance.choice([*(known.id for known in epochs), chance.randbytes(32)]))
    ids = [known.id for known in store_members.all(tx.db, chat)]
    member = MemberId(chance.choice([*ids, chance.randbytes(8)]))
    signature = chance.randbytes(64)
    keys = JoinKeys(chance.randbytes(32), chance.randbytes(32), chance.choice([None, bytes(1184)]), "x", signature)
    chance.shuffle(events)
    told = Welcome(group, member, epoch, chance.randbytes(32), tuple(events[chance.randrange(len(events)) :]))
    damaged = bytearray(events[0])
    damaged[chance.randrange(len(damaged))] ^= chance.choice([0, 1, 0x80])
    wholes = (
        MessageItem(member, chance.choice(NUMBERS), chance.randbytes(chance.choice([0, 16, 200]))),
        EventItem(bytes(damaged)),
    )
    under = chance.choice(epochs)
    sealed = items.seal_items(
        chance.choice(wholes), under.id, carriage.secrets_of(under), items.SIZES[0], chance.randbytes
    )
    made: tuple[Iterable[Payload], ...] = (
        [GroupOffer(group, "x", chance.randrange(12), chance.random() < 0.5, chance.randrange(6_000))],
        [GroupJoin(group, keys, "words")],
        [GroupRefusal(group, chance.randrange(6))],
        [GroupMember(group, member, signature)],
        [GroupLost(group)],
        [GroupWant(group, (MessagePlace(epoch, member, chance.choice(NUMBERS)),) * 3)],
        [GroupSeen(group, 1, chance.choice([1, 2**53]))],
        [GroupAsk(chance.randbytes(32))],
        (GroupWelcome(part) for part in welcome.cut_welcome(told)),
        (GroupHistory(part) for part in welcome.cut_history(group, [signature] * 3)),
        (GroupItem(row.group_id, item, (member,)) for item in sealed),
        [GroupItem(group, chance.randbytes(chance.choice([7, 8, items.SIZES[0]])), ())],
    )
    return list(chance.choice(made))


@pytest.mark.parametrize("seed", sampled(list(range(12)), 1, "hostile contents"))
def test_whatever_comes_about_a_group_it_goes_on(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat="hikers", text="before")
        await reads(bob, "hikers", "before")

        def arrive(tx: Transaction, contact: str) -> None:
            them = tx.find(contact).id
            for _ in range(CONTENTS):
                tx.group_arrivals += [GroupArrival(them, payload, Route.DIRECT) for payload in invented(tx, chance)]

        for node, contact in ((alice, "bob"), (bob, "alice"), (carol, "alice")):
            await node.engine.committer.submit(arrive, contact)
            assert not node.crashed
        await bob.call("send", chat="hikers", text="after")
        await reads(alice, "hikers", "after")
        await reads(carol, "hikers", "before", "after")

    run_world(tmp_path, main)
