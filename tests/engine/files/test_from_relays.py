"""Which relay is asked for which blobs, and when."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import MockClock

from p2pchat.core.files import CHUNK_BYTES, BlobPlace, Layout, blob_name
from p2pchat.core.ids import BlobName
from p2pchat.engine.files.from_relays import FromRelays
from p2pchat.engine.files.plan import Bits, Plan
from p2pchat.lib.wakeup import Wakeup

CHUNKS = 40
BLOBS = {blob_name(bytes([number])): bytes([number]) for number in range(CHUNKS)}
ROOT = BlobName(bytes(32))


class Relays:
    """The file boxes of relays where everything lies: whichever is asked first does not answer for two minutes."""

    def __init__(self) -> None:
        self.late: object = None

    async def get(self, relay: object, box: object, names: Sequence[BlobName]) -> list[bytes] | None:
        await trio.sleep(0.1)
        if self.late in (None, relay):
            self.late = relay
            await trio.sleep(120)
            return None
        return [BLOBS.get(name, b"root") for name in names]

    async def forget(self, relay: object, box: object, names: Sequence[BlobName]) -> bool:
        await trio.lowlevel.checkpoint()
        return True


def test_a_relay_that_does_not_answer_delays_what_another_one_has_by_seconds() -> None:
    layout = Layout.of(CHUNKS * CHUNK_BYTES)
    plan, changed, relays = Plan(layout, ROOT, Bits(layout.blobs)), Wakeup(), Relays()
    own_boxes: list[Any] = [
        (SimpleNamespace(mailbox=name), SimpleNamespace(queue=SimpleNamespace(id=b"q"))) for name in ("one", "other")
    ]

    async def known() -> list[Any]:
        await trio.lowlevel.checkpoint()
        return own_boxes

    async def keep(came: Sequence[tuple[BlobPlace, bytes]]) -> int:
        await trio.lowlevel.checkpoint()
        for place, _ in came:
            plan.take(place, b"".join(BLOBS) if place.level else None)
        return len(came)

    async def main() -> None:
        net: Any = SimpleNamespace(mailboxes=SimpleNamespace(boxes=relays))
        fetched = FromRelays(plan, net, known, keep, trio.lowlevel.checkpoint, lambda: True, changed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetched.run)
            with trio.fail_after(60):
                while not plan.whole:
                    await changed.wait()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_what_had_come_another_way_and_is_noted_is_forgotten_at_the_relay_too() -> None:
    """Its answer was late: meanwhile the sender gave the same, which was synced and noted."""
    layout = Layout.of(CHUNK_BYTES)
    plan = Plan(layout, ROOT, Bits(layout.blobs))
    forgotten: list[BlobName] = []

    async def get(relay: object, box: object, names: Sequence[BlobName]) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        plan.take(BlobPlace(0, 0))
        return [b"blob"]

    async def forget(relay: object, box: object, names: Sequence[BlobName]) -> bool:
        await trio.lowlevel.checkpoint()
        forgotten.extend(names)
        return True

    async def known() -> list[Any]:
        await trio.lowlevel.checkpoint()
        return [(SimpleNamespace(mailbox="one"), SimpleNamespace(queue=SimpleNamespace(id=b"q")))]

    async def keep(came: Sequence[tuple[BlobPlace, bytes]]) -> int:
        await trio.lowlevel.checkpoint()
        return len(came)

    async def main() -> None:
        net: Any = SimpleNamespace(mailboxes=SimpleNamespace(boxes=SimpleNamespace(get=get, forget=forget)))
        fetched = FromRelays(plan, net, known, keep, trio.lowlevel.checkpoint, lambda: True, Wakeup())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetched.run)
            await trio.sleep(12)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert forgotten == [ROOT]
