"""What one contact changes about queues costs what changed, however many contacts there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pchat.core.contents.queues import AnnouncedQueue
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.engine.delivery import queues
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.net import multiaddrs
from p2pchat.store import contacts as store_contacts
from p2pchat.store.contacts import Contact, ContactState
from tests.support.world import World, WorldNode, run_world

WHERE = multiaddrs.pack("/ip4/203.0.113.1/tcp/4001")


def announced(tx: Transaction, relay: bytes) -> AnnouncedQueue:
    return AnnouncedQueue(PeerKey(relay), WHERE, b"", sign_public(tx.random(32)), tx.random(32), tx.now + 86_400_000)


async def crowd(node: WorldNode, count: int) -> list[ContactId]:
    """So many contacts, each with a queue at one of a few relays."""

    def add(tx: Transaction) -> list[ContactId]:
        relays, ids = [tx.random(32) for _ in range(3)], []
        for number in range(count):
            device = Device.fresh(tx.random)
            contact = Contact(
                id=ContactId(tx.random(8)),
                name=f"contact {number}",
                named_by_me=False,
                state=ContactState.CONTACT,
                identity=device.identity,
                device=device.device,
                bundle=None,
                verified=False,
                created_at=tx.now,
            )
            store_contacts.add(tx.db, contact)
            queues.told(tx, contact, (announced(tx, relays[number % 3]),))
            queues.refresh(tx, contact)
            ids.append(contact.id)
        return ids

    return await node.engine.committer.submit(add)


def test_one_list_of_queues_reads_what_is_that_contacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[int, int] = {}

    async def main(world: World) -> None:
        for count in (10, 100):
            alice = await world.start(f"alice {count}")
            world.mailbox(f"relay {count}")  # so that nothing is dialled
            ids = await crowd(alice, count)
            query: Any = alice.db.query
            seen = 0

            def counting(sql: str, values: Any = (), query: Any = query) -> list[Any]:
                nonlocal seen
                found = query(sql, values)
                seen += len(found)
                return found  # type: ignore[no-any-return]

            def tell(tx: Transaction, id: bytes = ids[0]) -> None:
                contact = tx.contact(ContactId(id))
                assert contact is not None
                queues.told(tx, contact, (announced(tx, tx.random(32)),))
                queues.refresh(tx, contact)

            monkeypatch.setattr(alice.db, "query", counting)
            changes: list[int] = []
            monkeypatch.setattr(
                alice.engine.net.mailboxes, "change", lambda relay, add, drop, seen=changes: seen.append(len(add))
            )
            await alice.engine.committer.submit(tell)
            rows[count] = seen
            assert sum(changes) <= 4
            await alice.stop()
        assert 0 < rows[100] <= rows[10] + 5

    run_world(tmp_path, main)
