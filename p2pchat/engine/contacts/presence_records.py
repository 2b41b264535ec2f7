"""Presence records: keeps ours at relays, and looks for those of contacts who cannot be reached.

Every half day our record for each contact is put at relays that the two share, and given to the servers of a
distributed hash table if one is used, in any order and at random moments, among as many decoys as hide their number.
Where the known ways lead to nobody, our record for that contact is put at once if it has changed, and theirs is looked
for, again after growing pauses: at relays, which answer in milliseconds, and then at those servers. What is found
changes only where that contact is dialled and where mail for them is deposited, if they have said nothing newer.

Relays see when each request comes. So no two that have to do with each other come in the same second: searches begin
one after the other, and within one there are pauses (docs/decisions/0078-requests-apart.md).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

import trio

from p2pchat.core import ipns, mailbox, presence
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, first_device
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.presence import PresenceSlot, Whereabouts
from p2pchat.core.primitives import Random, hmac_sha256
from p2pchat.core.session import STANDING, Pair, hello_days, pair, standing_root
from p2pchat.engine.contacts import news, transport_keys
from p2pchat.engine.delivery import mailbox_queues, queues
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, P2PChatError
from p2pchat.lib.backoff import Backoff, jittered
from p2pchat.lib.times import HOUR_SECONDS, MINUTE_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Clock, Net, Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store import meta
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database

MAX_RELAYS = 4
"""Relays at which one contact's record is looked for, and ours put when they cannot be reached."""
MAX_RELAYS_DAILY = 2
"""Relays at which our record for a contact is put every half day."""
MAX_DAILY = 512
"""Contacts for whom that is done, those last heard of first."""
MIN_DAILY = 4
"""The fewest records that are put every half day, decoys included."""
SPREAD_SECONDS = 30 * MINUTE_SECONDS
"""Seconds over which these are spread."""
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 5 * MINUTE_SECONDS, 2 * HOUR_SECONDS
"""Seconds until what could not be put is put again, at first and at most."""
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 12 * HOUR_SECONDS
"""Seconds between two searches for one contact."""
SECONDS_A_SEARCH = 4.0
"""By how many seconds at most the searches for two contacts begin one after the other; half of that at least."""
READ_LATER_SECONDS = 2.0
"""How many seconds at most pass in a search between putting our record and asking for theirs."""
OTHER_DAY_SECONDS = 10.0
"""The same between asking for the record of one day and of another."""
GONE_SECONDS = 60.0
"""How many seconds at most a contact who has just gone is dialled and not looked for: they may be back, and if they are
not, all their contacts would look for them in the same second. The first dial after that begins the search."""
SETTLE_SECONDS, HOLD_SECONDS = 1.0, 30.0
"""Seconds until our record is put again after our addresses have changed, and until the next time."""
MAX_TIME_MS = 250_000_000_000_000
"""The year 9892: records have four digits for it."""
MAX_TRIES = 3
"""How often a relay may say that it has a newer record of ours before it is not believed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Meeting:
    """How we and a contact find each other: the keys of both sides, their identity, and the relays to write to and to
    read from, best first. hidden: we hide from them, so only these relays are asked.
    """

    pair: Pair
    identity: bytes
    hidden: bool
    write_to: Sequence[Relay]
    read_from: Sequence[Relay]


_Ask = Callable[[Meeting, bytes], Awaitable[list[bytes]]]
"""Asks somebody what they have under a public key."""
_Make = Callable[[int], IpnsRecord]
"""Makes a record with this sequence number."""


@dataclass(eq=False, slots=True)
class _Search:
    """The search for a contact. not_before: when the next attempt may begin. busy: an attempt waits for its turn or is
    under way.
    """

    pauses: Backoff
    not_before: float = -inf
    busy: bool = False


@dataclass(eq=False, slots=True)
class _Written:
    """What was put into a slot last: what it says apart from its id (None: a decoy), when, its sequence number, and
    whether a relay has taken it.
    """

    slot: PresenceSlot
    said: object
    half_day: int
    number: int
    taken: bool = False


@dataclass(eq=False)
class PresenceRecords:
    """Puts our records and looks for those of contacts; `run` runs it. clock: ms since the epoch."""

    committer: Committer
    me: Device
    net: Net
    clock: Clock
    random: Random
    _searches: dict[ContactId, _Search] = field(default_factory=dict)
    _written: dict[ContactId | int, _Written] = field(default_factory=dict)
    """By contact, or by the number of a decoy."""
    _reached: set[ContactId] = field(default_factory=set)
    """Those with whom there was a link since we have moved last."""
    _waiting: dict[ContactId, None] = field(default_factory=dict)
    """Those whose search waits for its turn, in this order; all of them are in `_searches`."""
    _nursery: trio.Nursery | None = None

    def __post_init__(self) -> None:
        self._moved = Wakeup()
        self._unreached = Wakeup()

    async def run(self) -> None:
        """Do all this until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                nursery.start_soon(self._follow_moves)
                nursery.start_soon(self._search_in_turn)
                await self._put_daily()
            finally:
                self._nursery = None

    def _now(self) -> int:
        """Return the time in ms; of a clock that is wrong by millennia, the last that a record can name."""
        return min(self.clock(), MAX_TIME_MS)

    # --- what is said to it

    def unreached(self, contact: ContactId) -> None:
        """Look for the record of a contact whom what is known does not lead to, unless that was done lately."""
        now = trio.current_time()
        if contact not in self._searches:
            self._searches[contact] = self._new_search()
            if contact in self._reached:
                self._searches[contact].not_before = now + jittered(GONE_SECONDS, self.random)
        search = self._searches[contact]
        if self._nursery is None or search.busy or now < search.not_before:
            return
        search.busy = True
        self._waiting[contact] = None
        self._unreached.set()

    def _new_search(self) -> _Search:
        return _Search(Backoff(FIRST_PAUSE, LONGEST_PAUSE, self.random))

    def linked(self, contact: ContactId) -> None:
        """Note that there is a link with a contact, who is not looked for any more."""
        self._searches.pop(contact, None)
        self._waiting.pop(contact, None)
        self._reached.add(contact)

    def moved(self) -> None:
        """Note that our addresses have changed."""
        self._reached.clear()
        self._moved.set()

    async def _follow_moves(self) -> None:
        """When our addresses have changed, put our record again for those who cannot be reached, and look for theirs:
        they may have missed ours.
        """
        before: object = None
        while True:
            await self._moved.wait()
            await trio.sleep(SETTLE_SECONDS)
            self._moved.clear()
            here = [self.net.ways(hidden=hidden) for hidden in (False, True)]
            if here != before:
                before = here
                for contact in list(self._searches):
                    self._searches[contact] = self._new_search()  # one under way ends, one that waits keeps its turn
                    self.unreached(contact)
                await trio.sleep(HOLD_SECONDS)

    # --- one contact

    async def _search_in_turn(self) -> None:
        """Begin the searches that wait, first come first served, each some seconds after the last that asked anybody.
        Contacts who were reached meanwhile, or cannot be looked for, delay no others.
        """
        while True:
            self._unreached.clear()
            while self._waiting:
                contact = next(iter(self._waiting))
                del self._waiting[contact]
                if await self._begin_search(contact, self._searches[contact]):
                    await trio.sleep(jittered(SECONDS_A_SEARCH, self.random))
            await self._unreached.wait()

    async def _begin_search(self, contact: ContactId, search: _Search) -> bool:
        """Start the search for a contact; return False if there is nobody to ask, or it is no longer wanted."""
        try:
            meeting = await self._meeting(contact)
        except P2PChatError as error:
            _log_failure(error)
            meeting = None
        if meeting is None:
            self._end_search(search)
        if meeting is None or self._nursery is None or self._searches.get(contact) is not search:
            return False
        self._nursery.start_soon(self._search, contact, search, meeting)
        return True

    def _end_search(self, search: _Search) -> None:
        search.busy = False
        search.not_before = trio.current_time() + search.pauses.pause()

    async def _search(self, contact: ContactId, search: _Search, meeting: Meeting) -> None:
        """Put our record for a contact and look for theirs, of today, and then of yesterday and tomorrow, since clocks
        may be wrong; unless they have been reached meanwhile.
        """
        try:
            before = self._written.get(contact)
            await self._put(contact, meeting, MAX_RELAYS)
            if self._written.get(contact) is not before:
                await trio.sleep(jittered(READ_LATER_SECONDS, self.random))
            today, *others = hello_days(self._now())
            others.sort(key=lambda _: self.random(8))
            for day in (today, *others):
                if day != today:
                    await trio.sleep(jittered(OTHER_DAY_SECONDS, self.random))
                if self._searches.get(contact) is not search or await self._find_anywhere(contact, meeting, day):
                    return
        except P2PChatError as error:
            _log_failure(error)
        finally:
            self._end_search(search)

    async def _find_anywhere(self, contact: ContactId, meeting: Meeting, day: int) -> bool:
        return await self._find(contact, meeting, day, self._ask_relays) or await self._find(
            contact, meeting, day, self._ask_servers
        )

    async def _find(self, contact: ContactId, meeting: Meeting, day: int, ask: _Ask) -> bool:
        """Look for a contact's record of a day; take up what is new in it, and return whether anything was."""
        there = presence.slot(meeting.pair.theirs, day)
        found: list[Whereabouts] = []
        for raw in await ask(meeting, there.public):
            try:
                found.append(presence.read(there, raw, meeting.identity, self._now()))
            except CannotOpen:
                log.info("there was a record that cannot be opened")
        newest = max(found, key=lambda said: said.id, default=None)
        if newest is None or not await self.committer.submit(take_up, contact, newest):
            return False
        log.info("a contact was found by a record")
        return True

    async def _ask_relays(self, meeting: Meeting, public: bytes) -> list[bytes]:
        """Return what each of the relays has under a key."""
        found: list[bytes] = []

        async def ask(relay: Relay) -> None:
            if raw := await self.net.mailboxes.records.get(relay, public):
                found.append(raw)

        async with trio.open_nursery() as nursery:
            for relay in meeting.read_from[:MAX_RELAYS]:
                nursery.start_soon(ask, relay)
        return found

    async def _ask_servers(self, meeting: Meeting, public: bytes) -> list[bytes]:
        """Return what the servers of the distributed hash table have under a key, if one is used."""
        if self.net.records is None or meeting.hidden:
            return []
        record = await self.net.records.look_up(ipns.routing_key(public))
        return [] if record is None else [record.raw]

    async def _publish(self, record: IpnsRecord) -> None:
        """Give a record to the servers of the distributed hash table, if one is used."""
        if self.net.records is not None:
            await self.net.records.publish(record)

    async def _put(self, contact: ContactId, meeting: Meeting, most: int) -> bool:
        """Put our record for a contact at their relays and ours, unless what it says is there; return False if no relay
        has taken it. A search, which is repeated often, does not put again what no relay has taken.
        """
        said = await self.committer.submit(compose, contact)
        written = self._next_in_slot(
            contact, (said.ways, said.queues, said.next), meeting.pair.ours, again=most == MAX_RELAYS_DAILY
        )
        if written is None:
            return True
        slot = written.slot

        def make(number: int) -> IpnsRecord:
            return presence.make(slot, said, self.me.identity_seed, number, self.random)

        return await self._put_everywhere(meeting, most, written, make)

    async def _put_decoy(self, number: int, like: Meeting) -> bool:
        """Put the decoy of this number where a contact's record goes, as `_put` does. Like a record, it has one key all
        day.
        """
        side = hmac_sha256(self.me.device_private, b"presence decoys")
        written = self._next_in_slot(number, None, side, number, again=True)
        if written is not None:
            make = partial(presence.decoy, written.slot, random=self.random)
            return await self._put_everywhere(like, MAX_RELAYS_DAILY, written, make)
        return True

    def _next_in_slot(
        self,
        name: ContactId | int,
        said: object,
        side: bytes,
        device: int = presence.FIRST_DEVICE,
        *,
        again: bool,
    ) -> _Written | None:
        """Note what is written into the slot of a side and a device now, and return it; None if it is there or, unless
        `again`, if it was to be there and no relay has taken it.
        """
        now = self._now()
        day, half_day = hello_days(now)[0], presence.half_day(now)
        before = self._written.get(name)
        if before is None or before.slot.day != day:
            slot = presence.slot(side, day, device)
            number = presence.first_number(slot, now)
        elif before.said == said and before.half_day == half_day and (before.taken or not again):
            return None
        else:
            slot = before.slot
            number = max(presence.first_number(slot, now), presence.next_number(before.number, self.random))
        self._written[name] = written = _Written(slot, said, half_day, number)
        return written

    async def _put_everywhere(self, meeting: Meeting, most: int, written: _Written, make: _Make) -> bool:
        """Put a record at relays, the same bytes at all at the same time: decoys must not differ in this. Return
        whether one has taken it.
        """
        record, taken = make(written.number), False

        async def put_at(relay: Relay) -> None:
            nonlocal taken
            taken |= await self._put_at(relay, record, written, make)

        async with trio.open_nursery() as nursery:
            for relay in meeting.write_to[:most]:
                nursery.start_soon(put_at, relay)
        written.taken = taken
        if self._nursery is not None and not meeting.hidden:  # this takes seconds, and nothing waits for it
            if record.sequence != written.number:
                record = make(written.number)
            self._nursery.start_soon(self._publish, record)
        return taken

    async def _put_at(self, relay: Relay, record: IpnsRecord, written: _Written, make: _Make) -> bool:
        """Put a record at one relay, and return whether it is there."""
        for _ in range(MAX_TRIES):
            code = await self.net.mailboxes.records.put(relay, record.public, record.raw)
            if code != mailbox.NOT_ALLOWED:
                return code == mailbox.DONE
            number = presence.next_number(record.sequence, self.random)  # one of an earlier run is there
            written.number = max(written.number, number)
            record = make(number)
        return False

    # --- all contacts

    async def _put_daily(self) -> None:
        while True:
            half_day = presence.half_day(self._now())
            if await self.committer.read(lambda db: meta.get_int(db, _PUT)) != half_day:
                try:
                    await self._put_all(half_day)
                    await self.committer.submit(_all_put, half_day)
                except P2PChatError as error:  # of our own disk: all of them are put again
                    log.warning("presence records could not be put: %s", type(error).__name__)
                    await trio.sleep(jittered(RETRY_SECONDS, self.random))
                    continue
            while presence.half_day(self._now()) == half_day:  # noqa: ASYNC110 - a clock may be set: it is asked
                await trio.sleep(jittered(SPREAD_SECONDS, self.random))

    async def _put_all(self, half_day: int) -> None:
        """Put our records for all contacts in random order, and as many decoys as make their number a power of two.
        What no relay takes is tried again after growing pauses, for as long as this half day lasts.
        """
        contacts = (await self.committer.read(store_contacts.latest_first))[:MAX_DAILY]
        met = [contact for contact in contacts if await self._meeting(contact) is not None]
        if not met:
            return
        count = max(MIN_DAILY, 1 << (len(met) - 1).bit_length())
        turns: list[ContactId | int] = [*met, *range(count - len(met))]
        turns.sort(key=lambda _: self.random(8))
        met.sort()
        pauses = Backoff(RETRY_SECONDS, LONGEST_RETRY_SECONDS, self.random)
        while turns:
            left: list[ContactId | int] = []
            for turn in turns:
                share = SPREAD_SECONDS / len(turns)
                await trio.sleep(jittered(2 * share, self.random) - share / 2)
                if not await self._take_turn(turn, met):
                    left.append(turn)
            if left:
                await trio.sleep(pauses.pause())
            turns = left if presence.half_day(self._now()) == half_day else []

    async def _take_turn(self, turn: ContactId | int, met: Sequence[ContactId]) -> bool:
        """Put one record or decoy; return False if that has failed. The contact may have been blocked since, or hidden
        from.
        """
        try:
            meeting = await self._meeting(met[turn % len(met)] if isinstance(turn, int) else turn)
            if meeting is None:
                return True
            if isinstance(turn, int):
                return await self._put_decoy(turn, meeting)
            return await self._put(turn, meeting, MAX_RELAYS_DAILY)
        except P2PChatError as error:
            log.warning("a presence record could not be put: %s", type(error).__name__)
            return False

    async def _meeting(self, contact: ContactId) -> Meeting | None:
        return await self.committer.read(meeting_of, self.me, contact)


def _log_failure(error: P2PChatError) -> None:
    log.warning("a contact's record could not be looked for: %s", type(error).__name__)


_PUT = "presence_put"


def _all_put(tx: Transaction, half_day: int) -> None:
    meta.put_int(tx.db, _PUT, half_day)


def meeting_of(db: Database, me: Device, contact_id: ContactId) -> Meeting | None:
    """Return how we and a contact find each other; None if they are no contact, or no relay is known to both.

    Relays are those at which the contact collects, and those at which we collect from them or did until lately. For a
    contact from whom we hide, only relays that the user chose are used.
    """
    contact = store_contacts.get(db, contact_id)
    if contact is None or not _has_records(contact):
        return None
    assert contact.identity is not None
    assert contact.device is not None
    known = mailbox_queues.read(db, [first_device(contact_id)])
    theirs = [outlet.relay for outlets in known.outlets.values() for outlet in outlets if outlet.sure]
    ours = [inlet.relay for inlets in known.inlets.values() for inlet in inlets if inlet.source.kind == "contact"]
    if not theirs and not ours:
        return None
    keys = pair(
        contact_id, STANDING, standing_root(me, contact.identity, contact.device), me.identity, contact.identity
    )
    return Meeting(keys, contact.identity, contact.hidden, _alternating(theirs, ours), _alternating(ours, theirs))


def _has_records(contact: Contact) -> bool:
    return contact.state == ContactState.CONTACT and contact.identity is not None and contact.device is not None


def _alternating(first: Sequence[Relay], second: Sequence[Relay]) -> list[Relay]:
    """Return every relay once, from both lists in turn: so the first few are of both."""
    longest = max(len(first), len(second))
    mixed = [relay for at in range(longest) for relays in (first, second) for relay in relays[at : at + 1]]
    return list({relay.peer: relay for relay in reversed(mixed)}.values())[::-1]


def compose(tx: Transaction, contact_id: ContactId) -> Whereabouts:
    """Return what our record tells a contact now: to one from whom we hide only circuits, to one who is no contact any
    more nothing.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.state != ContactState.CONTACT:
        return Whereabouts(tx.new_message_id(), (), None)
    ways = tuple(tx.net.ways(hidden=contact.hidden))
    next_key = transport_keys.next_key(tx.db, hidden=contact.hidden)
    return Whereabouts(tx.new_message_id(), ways, queues.announced(tx, contact) or None, next_key)


def take_up(tx: Transaction, contact_id: ContactId, said: Whereabouts) -> bool:
    """Use what a contact's record says, unless they have said something newer; return whether it was new."""
    contact = tx.contact(contact_id)
    if contact is None or contact.state != ContactState.CONTACT:
        return False
    new = news.take_ways(tx, contact, said.id, said.ways, said.next)
    if said.queues is not None:
        new |= news.take_queues(tx, contact, said.id, said.queues)
    return new
