"""Reads the logs of groups, and puts into them what waits for them: implements `log_ports.LogCallbacks`.

The store says which logs there are and what waits; it is read again whenever that has changed. A small group's members
read all logs of it; those of a large one are spread over them, and read another one hourly, or all while a message is
missing, so that what one relay withholds is seen within the hour.

An item comes by each log, and from contacts too. One that was just seen costs no transaction when it comes again; that
its log was read up to there is saved with others, and where it is not, it comes once more.

An item is put again, with growing pauses, until each log has it. Its message is stored once the first has.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import trio

from p2pchat.core.groups.items import item_id
from p2pchat.core.groups.log_relays import LOGS, open_admin_seed
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, DeviceId, EpochId, ItemId, PeerKey, QueueId, RelayName
from p2pchat.core.logs import LogKeys, log_keys
from p2pchat.core.primitives import Random, hmac_sha256, sign_public
from p2pchat.engine.delivery import group_rules, mailbox_queues
from p2pchat.engine.groups import adopting, log_duties, logs
from p2pchat.engine.groups.log_intake import LogIntake
from p2pchat.engine.runtime.committer import SAVE_RETRY_SECONDS, Committer
from p2pchat.errors import Busy, NodeError, P2PChatError, ProfileError, UsageError
from p2pchat.lib.backoff import Backoff, jittered
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Net, Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import gaps as store_gaps
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import logs as store_logs
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.logs import LogRow, OutgoingRow

MAX_READ_ALL = 256
"""Members of a group up to which each of them reads all of its logs."""
MAX_ASKED = 3
"""Members who are asked for a missing message while all logs are read for it too; about an hour."""
KEEP_HOURS = 14 * 24
"""How long an item is to be kept, if the relay does not keep it for less."""
ITEMS_AT_ONCE = 512
"""Items that are taken in one transaction: about as many as the net hands over at once, and a tenth of a second,"""
PUT_AT_ONCE = 32
"""and that are put with one call."""
MAX_RECENT = 4_096
"""Items seen last that are remembered,"""
MAX_COMPARED = 64
"""and how many are compared with them at once: where more come, all are looked for in the store by one statement."""
PLACES_SAVED_SECONDS = 60.0
"""Seconds until it is saved how far logs were read in which nothing new has come."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, HOUR_SECONDS
"""Seconds until something is put again into a log that was not reached, or did not take it."""

log = logging.getLogger(__name__)


class LogPlace(NamedTuple):
    """A log, as it is read and appended to. pk, chat, epoch: of its row. made: the event that made that epoch. cursor:
    the place up to which it was read. watched: whether it is read all the time, not now and then. waiting: whether
    something is to be put into it.
    """

    pk: int
    chat: ChatId
    epoch: int
    made: EpochId
    relay: Relay
    keys: LogKeys
    cursor: int
    watched: bool
    waiting: bool


@dataclass(slots=True)
class _Putting:
    """How putting into a log goes. not_before: when it is tried again, in seconds of trio's clock."""

    backoff: Backoff
    not_before: float = -math.inf
    under_way: bool = False


def read(db: Database, known: Mapping[int, LogPlace], now: int) -> list[LogPlace]:
    """Return all logs of all groups, as the store has them, those that are in use first: a stream to a relay has room
    for so many. known: by pk, those that were read before, whose keys are not computed again. now: ms. Where we hide
    from a member, the relays see no address of ours either: they may be that member's.
    """
    ours, waiting, hidden = mailbox_queues.ours(db), store_logs.with_outgoing(db), store_contacts.hidden(db)
    searched = set(store_gaps.chats(db, MAX_ASKED))
    by_chat: dict[ChatId, list[LogRow]] = {}
    for row in store_logs.all(db):
        by_chat.setdefault(row.chat, []).append(row)
    places, retired = list[LogPlace](), {row.pk for rows in by_chat.values() for row in rows if row.until is not None}
    for chat, rows in by_chat.items():
        group = store_groups.get(db, chat)
        if group is not None:
            hides = any(contact in hidden for _, contact in store_members.contacts_in(db, chat)) if hidden else False
            places += _of_group(db, group, rows, ours, waiting, known, now, hides=hides, all_read=chat in searched)
    return sorted(places, key=lambda place: place.pk in retired)


def _of_group(
    db: Database,
    group: GroupRow,
    rows: Sequence[LogRow],
    ours: Mapping[PeerKey, Relay],
    waiting: Collection[int],
    known: Mapping[int, LogPlace],
    now: int,
    *,
    hides: bool,
    all_read: bool,
) -> list[LogPlace]:
    """Return the logs of one group. hides: whether we hide from a member of it. all_read: whether all of them are read
    all the time, however many read with us.
    """
    named, seed = LOGS.read(group_rules.settings_of(group)), b""
    if group.role <= Role.ADMIN and named is not None:
        seed = open_admin_seed(named, group.group_id, adopting.own_leaf(group)) or _kept_seed(group, named.admin)
    epochs, by_epoch = {epoch.pk: epoch for epoch in store_epochs.of(db, group.chat)}, dict[int, list[LogPlace]]()
    for row in rows:
        if row.epoch not in epochs:
            continue
        relay = ours.get(row.relay) or Relay(row.relay, (row.address,), row.token, chosen=False)
        if hides:
            owner = None if relay.chosen else DeviceId(row.chat)
            relay = replace(relay, hidden=True, contact=owner)
        admin_seed = seed if named is not None and named.admin == row.admin else b""
        before = known.get(row.pk)
        if before is not None and before.made == epochs[row.epoch].id and before.keys.admin_seed == admin_seed:
            keys = before.keys
        else:
            keys = log_keys(epochs[row.epoch].topic, row.relay, row.admin, admin_seed)
        made, watched, waits = epochs[row.epoch].id, not logs.is_visited(row, now), row.pk in waiting
        place = LogPlace(row.pk, row.chat, row.epoch, made, relay, keys, row.cursor, watched, waits)
        by_epoch.setdefault(row.epoch, []).append(place)
    if all_read or store_members.count(db, group.chat, MAX_READ_ALL + 1) <= MAX_READ_ALL:
        return [place for of_epoch in by_epoch.values() for place in of_epoch]
    places = list[LogPlace]()
    for pk, of_epoch in by_epoch.items():
        ordered = sorted(of_epoch, key=lambda place: place.relay.peer)
        mine = hmac_sha256(epochs[pk].topic, group.member)[0] % len(ordered)
        places += [place._replace(watched=place.watched and number == mine) for number, place in enumerate(ordered)]
    return places


def in_turn(places: Iterable[LogPlace], visit: int) -> set[int]:
    """Return which logs are read at the visit of this number: of those of each epoch that are not always watched, one
    after the other.
    """
    others: dict[int, list[int]] = {}
    for place in places:
        if not place.watched:
            others.setdefault(place.epoch, []).append(place.pk)
    return {sorted(pks)[visit % len(pks)] for pks in others.values()}


class LogCarrier:
    """Reads and appends; `run` runs it. `use` says what there is."""

    def __init__(self, committer: Committer, net: Net, random: Random) -> None:
        self._committer = committer
        self._net = net
        self._random = random
        self._places: dict[int, LogPlace] = {}
        self._by_name: dict[tuple[RelayName, QueueId], int] = {}
        self._watched: dict[RelayName, Relay] = {}
        self._visited: set[int] = set()
        self._visits = 0
        self._putting: dict[int, _Putting] = {}
        self._intake = LogIntake()
        self._recent: dict[ItemId, None] = {}
        self._unsaved: dict[int, int] = {}
        self._passed_over = Wakeup()
        self._wake = Wakeup()

    @property
    def places(self) -> Mapping[int, LogPlace]:
        """The logs that are read and appended to, by pk."""
        return self._places

    @property
    def busy(self) -> bool:
        """Whether something is about to be put into a log."""
        return any(putting.under_way for putting in self._putting.values())

    def problem(self, chat: ChatId) -> str:
        """Return what is wrong with what a group's relays hand out, "" if nothing is."""
        return self._intake.problem(chat, trio.current_time())

    def use(self, places: Sequence[LogPlace]) -> None:
        """Read and append to these logs, and no others."""
        self._places = {place.pk: place for place in places}
        self._intake.keep({place.chat for place in places})
        self._by_name = {(place.relay.mailbox, place.keys.log.id): place.pk for place in places}
        self._visited &= self._places.keys()
        for pk in self._putting.keys() - self._places.keys():
            if not self._putting[pk].under_way:
                del self._putting[pk]
        self._watch()
        self._wake.set()

    def put_soon(self, pks: Sequence[int]) -> None:
        """Put what waits for these logs now."""
        for pk in pks:
            place = self._places.get(pk)
            if place is not None:
                self._places[pk] = place._replace(waiting=True)
        self._wake.set()

    def saw(self, ids: Collection[ItemId]) -> None:
        """Note that these items are known, and on disk."""
        self._recent.update(dict.fromkeys(ids))
        while len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]

    async def run(self) -> None:
        """Put what waits, and visit what is not always watched, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._visit)
            nursery.start_soon(self._save_places)
            while True:
                self._wake.clear()
                next_at = math.inf
                for place in self._places.values():
                    if place.waiting:
                        next_at = min(next_at, self._begin(place, nursery))
                with trio.move_on_at(next_at):
                    await self._wake.wait()

    def _begin(self, place: LogPlace, nursery: trio.Nursery) -> float:
        """Put what waits for a log, if it is time; return when to look again."""
        putting = self._putting.get(place.pk)
        if putting is None:
            backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, self._random)
            putting = self._putting[place.pk] = _Putting(backoff)
        if putting.under_way:
            return math.inf
        if putting.not_before > trio.current_time():
            return putting.not_before
        putting.under_way = True
        nursery.start_soon(self._put, place, putting)
        return math.inf

    async def _put(self, place: LogPlace, putting: _Putting) -> None:
        """Put some of what waits for a log, and save what became of it."""
        rows: list[OutgoingRow] | None = None
        good = False
        try:
            rows = _alike(await self._committer.read(store_logs.outgoing, place.pk, PUT_AT_ONCE))
            good = await self._put_all(place, rows)
        except P2PChatError:  # our disk, which others report
            log.debug("what waits for a log could not be read or saved")
        if good:
            putting.backoff.reset()
        else:
            putting.not_before = trio.current_time() + putting.backoff.pause()
        putting.under_way = False
        known = self._places.get(place.pk)
        if known is not None and rows == []:
            self._places[place.pk] = known._replace(waiting=False)
        self._wake.set()

    async def _put_all(self, place: LogPlace, rows: Sequence[OutgoingRow]) -> bool:
        """Put these into a log, and save what became of them; return whether it took all."""
        if not rows:
            return True
        blobs = [row.sealed for row in rows]
        as_admin = bool(rows[0].admin and place.keys.admin_seed)
        append = self._net.mailboxes.logs.append
        codes = await append(place.relay, place.keys, KEEP_HOURS, blobs, as_admin=as_admin)
        answers = zip(rows, codes or (), strict=False)
        results = [(row.item, row.message, code) for row, code in answers if code is not None]
        if results:
            await self._committer.submit(log_duties.placed, place.pk, results)
        return len(results) == len(rows) and not any(code for _, _, code in results)

    # --- reading

    def _watch(self) -> None:
        """Tell the net which logs to read."""
        wanted: dict[RelayName, tuple[Relay, list[tuple[LogKeys, int]]]] = {}
        now = trio.current_time()
        for place in self._places.values():
            read = place.watched or place.pk in self._visited
            if read and self._intake.may_bring(place.chat, place.relay.mailbox, now):
                _, keys = wanted.setdefault(place.relay.mailbox, (place.relay, []))
                keys.append((place.keys, place.cursor))
        for name, relay in self._watched.items():
            if name not in wanted:
                self._net.mailboxes.logs.watch(relay, [])
        self._watched = {name: relay for name, (relay, _) in wanted.items()}
        for relay, keys in wanted.values():
            self._net.mailboxes.logs.watch(relay, keys)

    async def _visit(self) -> None:
        """Read the logs that are not always watched, another one of each group each hour, and those again of which a
        relay had brought too much.
        """
        while True:
            await trio.sleep(jittered(HOUR_SECONDS, self._random))
            self._visits += 1
            self._visited = in_turn(self._places.values(), self._visits)
            self._watch()

    async def log_items(
        self, relay: RelayName, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        """Take what has come of a log."""
        pk = self._by_name.get((relay, log))
        if pk is None:
            return
        if not self._intake.take(self._places[pk].chat, relay, items, trio.current_time()):
            self._watch()  # without it; these items are read again, since nobody has noted their place
            return
        if items and self._recent and len(items) <= MAX_COMPARED:
            items = [one for one in items if item_id(one[1]) not in self._recent]
            if not items:
                self._pass_over(pk, upto)
        try:
            for start in range(0, len(items), ITEMS_AT_ONCE):
                some = items[start : start + ITEMS_AT_ONCE]
                await self._committer.room()
                place = upto if start + ITEMS_AT_ONCE >= len(items) else some[-1][0]
                await self._take(pk, [sealed for _, sealed in some], place)
        except P2PChatError:  # the disk is full, or the node is busy: until there is room again, nothing is asked for
            await trio.sleep(SAVE_RETRY_SECONDS)
            self._read_again(pk)
            return
        if not more and pk in self._visited:
            self._visited.discard(pk)
            self._watch()

    async def _take(self, pk: int, sealed: Sequence[bytes], upto: int) -> None:
        """Save items up to a place. One that fails costs nobody else anything. Raises P2PChatError where nothing can be
        saved now.
        """
        submit = self._committer.submit
        try:
            await submit(log_duties.came, pk, sealed, upto)
        except (ProfileError, Busy):
            raise
        except P2PChatError:
            for item in sealed:
                try:
                    await submit(log_duties.came, pk, [item], 0)
                except Busy:
                    raise
                except (NodeError, UsageError):
                    log.info("an item of a group could not be taken")
            await submit(log_duties.came, pk, [], upto)
        self._unsaved.pop(pk, None)
        self._moved_on(pk, upto)

    def _pass_over(self, pk: int, upto: int) -> None:
        """Note that a log was read up to a place, with nothing new on the way."""
        self._unsaved[pk] = upto
        self._passed_over.set()
        self._moved_on(pk, upto)

    def _moved_on(self, pk: int, upto: int) -> None:
        known = self._places.get(pk)
        if known is not None:
            self._places[pk] = known._replace(cursor=max(upto, known.cursor))

    async def _save_places(self) -> None:
        """Save how far logs were read in which nothing new has come, now and then."""
        while True:
            self._passed_over.clear()
            if not self._unsaved:
                await self._passed_over.wait()
            await trio.sleep(PLACES_SAVED_SECONDS)
            places, self._unsaved = self._unsaved, {}
            if places:
                self._committer.post(log_duties.read_upto, places, lazy=True)

    def logs_up(self, relay: RelayName) -> None:
        """Put what waits for a relay that answers."""
        for place in self._places.values():
            if place.relay.mailbox == relay and place.pk in self._putting:
                self._putting[place.pk].not_before = -math.inf
                self._putting[place.pk].backoff.reset()
        self._wake.set()

    def logs_down(self, relay: RelayName, problem: str) -> None:
        """Do nothing: what waits is tried again after a pause."""

    def _read_again(self, pk: int) -> None:
        """Read a log again from the last place that is on our disk: what came could not be saved."""
        place = self._places.pop(pk, None)
        if place is not None:
            self._watch()
            self._places[pk] = place
            self._watch()


def _kept_seed(group: GroupRow, admin: bytes) -> bytes:
    """Return the seed of this key of the admins, if it was kept when our leaf was replaced; else b""."""
    return group.admin_seed if group.admin_seed and sign_public(group.admin_seed) == admin else b""


def _alike(rows: Sequence[OutgoingRow]) -> list[OutgoingRow]:
    """Return the first rows that are put with the same key."""
    return [row for row in rows if row.admin == rows[0].admin]
