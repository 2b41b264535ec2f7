"""The order of searches where many contacts are away: each gets its turn, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core import presence
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, MessageId, PeerKey
from p2pchat.core.presence import Whereabouts
from p2pchat.core.session import STANDING, Pair
from p2pchat.engine.contacts import presence_records
from p2pchat.engine.contacts.presence_records import Meeting, PresenceRecords
from p2pchat.ports import Relay
from tests.conftest import run

NOW = 1_790_000_000_000
CONTACTS = [ContactId(bytes([number]) * 8) for number in range(50)]
RELAY = Relay(PeerKey(bytes(32)), ())
NOTHING = Whereabouts(MessageId(bytes(16)), (), None)


@dataclass
class Away:
    """Contacts who are away, as a committer and a net; no relay has a record. met: those with whom there is a relay in
    common. asked: when each attempt began, and for whom.
    """

    met: set[ContactId] = field(default_factory=lambda: set(CONTACTS))
    asked: list[tuple[float, ContactId]] = field(default_factory=list)
    place: int = 0

    def __post_init__(self) -> None:
        self.mailboxes = SimpleNamespace(records=self)
        self.records = None

    async def read(self, look: Callable[..., Any], *args: Any) -> object:
        await trio.lowlevel.checkpoint()
        if look is not presence_records.meeting_of:
            return presence.half_day(NOW)  # in which our records were put
        _, contact = args
        pair = Pair(contact, STANDING, b"ours" + contact, contact)
        return Meeting(pair, bytes(32), False, (), (RELAY,)) if contact in self.met else None

    async def submit(self, change: Callable[..., Any], *args: Any) -> Whereabouts:
        await trio.lowlevel.checkpoint()
        if change is presence_records.compose:
            self.asked.append((trio.current_time(), args[0]))
        return NOTHING

    def ways(self, *, hidden: bool) -> object:
        return self.place

    async def get(self, relay: Relay, public: bytes) -> None:
        await trio.lowlevel.checkpoint()

    def search(self, story: Callable[[PresenceRecords], Any]) -> None:
        """Run presence records, and `story` with them."""

        async def main() -> None:
            me = Device.from_seeds(bytes(32), bytes(range(32)))
            here = cast(Any, self)
            records = PresenceRecords(here, me, here, lambda: NOW, lambda size: b"\x80" * size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(records.run)
                await wait_all_tasks_blocked()
                await story(records)
                nursery.cancel_scope.cancel()

        run(main, clock=MockClock(autojump_threshold=0))

    def assert_apart(self) -> None:
        """No two attempts began at once."""
        gaps = [later - sooner for (sooner, _), (later, _) in pairwise(self.asked)]
        assert min(gaps) >= presence_records.SECONDS_A_SEARCH / 2
        assert not [gap for gap in gaps if gap > presence_records.SECONDS_A_SEARCH + presence_records.SETTLE_SECONDS]


def test_all_are_looked_for_while_our_addresses_change_again_and_again() -> None:
    away = Away()

    async def story(records: PresenceRecords) -> None:
        for contact in CONTACTS:
            records.unreached(contact)
        for _ in range(8):
            away.place += 1
            records.moved()
            await trio.sleep(40)
        assert {contact for _, contact in away.asked} == set(CONTACTS)

    away.search(story)
    away.assert_apart()


def test_who_is_reached_while_waiting_and_who_cannot_be_looked_for_delay_nobody() -> None:
    first, *others, last = CONTACTS
    away = Away(met={*CONTACTS} - {*others[:20]})

    async def story(records: PresenceRecords) -> None:
        began = trio.current_time()
        for contact in CONTACTS:
            records.unreached(contact)
        await trio.sleep(1)
        for contact in others[20:]:
            records.linked(contact)
        await trio.sleep(presence_records.SECONDS_A_SEARCH)
        assert [contact for _, contact in away.asked] == [first, last]
        assert away.asked[0][0] == began

    away.search(story)
    away.assert_apart()


def test_one_who_was_reached_and_has_gone_again_is_not_looked_for_by_the_turn_they_had() -> None:
    away = Away()
    first, second = CONTACTS[:2]

    async def story(records: PresenceRecords) -> None:
        for contact in (first, second):
            records.unreached(contact)
        await trio.sleep(1)
        records.linked(second)
        records.unreached(second)
        await trio.sleep(2 * presence_records.SECONDS_A_SEARCH)
        assert [contact for _, contact in away.asked] == [first]
        await trio.sleep(presence_records.GONE_SECONDS)
        records.unreached(second)
        await trio.sleep(1)
        assert [contact for _, contact in away.asked] == [first, second]

    away.search(story)
