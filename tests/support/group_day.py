"""A day of a large group: of thousands of members some are removed and others join every hour, while all write.

Whole are the engines of `GroupDay.engines` people: the owner, two admins, a moderator, an observer, members some of
whom are away for hours, some who are removed, and some who join in the course of the day. Each has its own database and
uses the program's own client of logs. So are three relays, each with its store of logs. The other members are scripted
(`tests.support.crowd`): they have keys of their own, sign, seal and open with the program's functions, and put what
they write into the logs by its client, but keep it nowhere.

Of each hour's removals a fifth are made one by one by the owner and the admins; the others leave, some at a time,
and are removed by whoever's turn it is. Scripted people who join are added by an admin in two events an hour: one is
made of all answers that come together. Once an hour the owner and an admin change the group at the same moment.

At the end everybody comes back, and then: all whole members hold the same members and events; each has every message
that was sealed under an epoch in which it was a member exactly once; who was removed has none of a later epoch. Whoever
is removed within the hour writes nothing in it, since what comes after the removal is not shown, by design.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Text
from p2pchat.core.groups import events
from p2pchat.core.groups.epochs import MAX_EPOCHS
from p2pchat.core.groups.events import RotateEpoch
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.ids import ChatId, EpochId, ItemId, MemberId, MessageId
from p2pchat.engine.groups import carriage, changes
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.relay.log_store import log_quota
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from tests.support.boxed import FullRelay, full_relay
from tests.support.crowd import Crowd, CrowdAtRelays
from tests.support.world import World, WorldNode, befriend, until

NAME = "town"
RELAYS = 3
ADDED_AT_ONCE = 256
LOGS = log_quota(total_bytes=2 << 30, log_bytes=64 << 20)
"""What a relay's logs have room for where its operator sets nothing."""
ADMINS = ("alice", "ada", "ben")
ONE_BY_ONE = 0.2
"""The part of those who are removed by somebody's choice. The others leave."""
LEAVING_TOGETHER = 3
"""Groups in which they leave, an hour."""
BEFORE_SECONDS = 900
"""How long before its removal a member was sent what it has to have."""


@dataclass(frozen=True)
class GroupDay:
    """What happens. members: at the beginning. engines: people with whole engines. changes: how many are removed an
    hour, and how many join. messages: an hour. wholes: of the messages, the part that whole engines write.
    """

    members: int
    engines: int
    hours: int
    changes: int
    messages: int
    wholes: float = 0.3
    seed: int = 1


@dataclass
class Written:
    """A message: by whom, when (seconds of the clock), and under which epoch."""

    text: str
    author: MemberId
    at: float
    epoch: EpochId


@dataclass
class DayFigures:
    """What the day came to. rows: of the tables of some engines and their files' bytes, by name. resident: MB, by when
    it was measured.
    """

    engines: int = 0
    removed: int = 0
    joined: int = 0
    epochs: int = 0
    written: int = 0
    shown: int = 0
    opened: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    resident: dict[str, float] = field(default_factory=dict)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    relays: dict[str, int] = field(default_factory=dict)
    members: int = 0
    missed_before_removal: int = 0


class _Forgetful(list[Any]):
    """Keeps nothing of what is appended to it."""

    def append(self, thing: Any) -> None:
        pass


def resident_mb() -> float:
    """The resident memory of this process (Linux: proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


class Day:
    """The day of one group in a world."""

    def __init__(self, world: World, folder: Path, plan: GroupDay, say: Callable[[str], None]) -> None:
        self.figures = DayFigures()
        self._world, self._folder, self._plan, self._say = world, folder, plan, say
        self._chance = Random(plan.seed)
        self._crowd = Crowd(world.entropy, plan.seed)
        self._ledger: dict[bytes, Written] = {}
        self._said = 0
        self._doomed: set[bytes | str] = set()
        self._relays: list[FullRelay] = []
        self._there: dict[str, WorldNode] = {}
        self._away: set[str] = set()
        self._gone: dict[str, float] = {}
        self._hand: CrowdAtRelays | None = None
        self._chat = ChatId(b"")
        self._began = time.perf_counter(), time.process_time()

    async def run(self) -> DayFigures:
        """Let the day pass, check what it came to, and return its figures."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(carriage, "send", self._noting(carriage.send))
            self._world.traffic = _Forgetful()
            await self._found()
            self._measure("founded")
            for hour in range(self._plan.hours):
                await self._hour(hour)
                if hour % 6 == 5:
                    self._measure(f"hour {hour + 1}")
            await self._come_back()
            self._measure("end")
            await self._check()
        figures = self.figures
        figures.seconds = time.perf_counter() - self._began[0]
        figures.cpu_seconds = time.process_time() - self._began[1]
        return figures

    # --- the beginning -------------------------------------------------------------------------------------------

    async def _found(self) -> None:
        world, plan = self._world, self._plan
        for number in range(RELAYS):
            self._relays.append(await full_relay(world, f"tower {number}", self._folder, logs=LOGS))
        alice = await self._start("alice")
        for relay in self._relays:
            await alice.call("relays", add=relay.line)
        await alice.call("create_group", name=NAME)
        (self._chat,) = store_groups.chats(alice.db)
        await trio.sleep(60)
        first = ["ada", "ben", "mia", "otto", *(f"whole {number}" for number in range(plan.engines - 5))]
        for name in first:
            await self._join(name)
        for name, role in (("ada", "admin"), ("ben", "admin"), ("mia", "moderator"), ("otto", "observer")):
            await alice.call("set_role", chat=NAME, member=name, role=role)
        await trio.sleep(60)
        left = plan.members - 1 - len(first)
        while left:
            await self._add_scripted("alice", min(left, ADDED_AT_ONCE))
            left -= min(left, ADDED_AT_ONCE)
        event, secret = await alice.engine.committer.submit(self._rotated)
        self._crowd.begin(event.group, await self._events_of(alice), event.id, secret)
        self._hand = CrowdAtRelays(world, self._crowd, "the crowd")
        await world.run_beside(self._hand.run)
        await self._all_follow()
        self._say(f"founded: {plan.members} members, {time.perf_counter() - self._began[0]:.0f} s")

    async def _start(self, name: str) -> WorldNode:
        node = self._there[name] = await self._world.start(name)
        return node

    async def _join(self, name: str, by: str = "alice") -> None:
        """Have somebody with a whole engine become a member."""
        node, admin = await self._start(name), self._there[by]
        await befriend(admin, node)
        await admin.call("add_members", chat=NAME, contacts=[name])
        await until(partial(_is_in, node))

    def _rotated(self, tx: Transaction) -> tuple[Any, bytes]:
        row = store_groups.get(tx.db, self._chat)
        assert row is not None
        event, secret = changes.make(tx, row, RotateEpoch())
        assert secret is not None
        return event, secret

    async def _events_of(self, node: WorldNode) -> list[bytes]:
        chat = group_of(node).chat
        return [row.event for row in await node.engine.committer.read(store_events.all, chat)]

    async def _add_scripted(self, by: str, count: int) -> None:
        """Have an admin add scripted members in one event, as if their answers had come together."""
        newcomers = self._crowd.newcomers(count)

        def add(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            changes.add(tx, row, newcomers)

        await self._changed(by, lambda admin: admin.engine.committer.submit(add))

    async def _changed(self, by: str, change: Callable[[WorldNode], Awaitable[object]]) -> None:
        """Have an admin change the group, or the owner while that one is away; where the keys are being renewed, as
        soon as they are.
        """
        while True:
            try:
                await change(self._there["alice" if by in self._away else by])
                return
            except NotNow:
                await trio.sleep(60)

    # --- an hour -------------------------------------------------------------------------------------------------

    async def _hour(self, hour: int) -> None:
        plan, chance = self._plan, self._chance
        by_choice = max(2, round(plan.changes * ONE_BY_ONE))  # of them two at one moment
        acts: list[tuple[float, Callable[[], Any]]] = []

        def at(act: Callable[[], Any]) -> None:
            acts.append((chance.uniform(0, HOUR_SECONDS - 300), act))

        for _ in range(plan.messages):
            at(self._write)
        wholes = [name for name in self._there if name.startswith("whole") and name not in self._gone]
        removed = wholes[-1:] if hour % 6 == 2 and len(wholes) > 4 else []
        for name in removed:
            at(partial(self._remove_whole, name))
        scripted = chance.sample(self._crowd.present(), plan.changes - len(removed))
        self._doomed = {*removed, *scripted}
        for member in scripted[: by_choice - 2]:
            at(partial(self._remove, chance.choice(ADMINS), member))
        at(partial(self._at_once, scripted[by_choice - 2 : by_choice]))
        leaving = scripted[by_choice:]
        for start in range(LEAVING_TOGETHER):
            some = leaving[start::LEAVING_TOGETHER]
            if some:
                at(partial(self._leave, some))
        joins = hour % 4 == 1
        half = (plan.changes - joins) // 2
        for count in (half, plan.changes - joins - half):
            if count:
                at(partial(self._add_late, count))
        if joins:
            at(partial(self._join_late, f"late {hour}"))
        for name in self._may_rest():
            at(partial(self._rest, name, chance.uniform(0.5, 8)))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for when, act in sorted(acts, key=lambda one: one[0]):
                await trio.sleep_until(began + when)
                nursery.start_soon(act)
            await trio.sleep_until(began + HOUR_SECONDS)
        members = store_members.count(self._there["alice"].db, self._chat)
        passed = time.perf_counter() - self._began[0]
        self._say(
            f"hour {hour + 1}: {members} members, {self._crowd.rekeys} new keys,"
            f" {len(self._ledger)} messages, {len(self._away)} away, {resident_mb():.0f} MB, {passed:.0f} s"
        )

    async def _add_late(self, count: int) -> None:
        await self._add_scripted(self._chance.choice(ADMINS), count)
        self.figures.joined += count

    def _may_rest(self) -> list[str]:
        """Return who stops their node in this hour: one in eight, not the owner nor those who are on their way in."""
        names = [
            name
            for name in self._there
            if name not in self._away and name not in self._gone and name != "alice" and not name.startswith("late")
        ]
        return [name for name in names if self._chance.random() < 1 / 8]

    async def _rest(self, name: str, hours: float) -> None:
        """Stop a node, and have it start some hours later."""
        if name in self._away or (name in ADMINS and self._away.intersection(ADMINS)):
            return
        self._away.add(name)
        await self._there[name].stop()
        self._world.soon(self._start_later, name, hours * HOUR_SECONDS)

    async def _start_later(self, name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        if name in self._away:
            await self._start(name)
            self._away.discard(name)

    async def _write(self) -> None:
        """Have somebody write something."""
        self._said += 1
        silent = self._away | self._gone.keys() | self._doomed | {"otto"}
        if self._chance.random() < self._plan.wholes:
            node = self._there[self._chance.choice([name for name in self._there if name not in silent])]
            if store_groups.chats(node.db):
                await node.call("send", chat=NAME, text=f"said {self._said} by {node.name}")
            return
        author = self._chance.choice([member for member in self._crowd.present() if member not in self._doomed])
        text, id = f"said {self._said} by {author.hex()}", MessageId(self._world.entropy.random(16))
        content = encode_content(Content(Text(text), id, self._said, self._world.now()))
        await until(self._may_write, 24 * HOUR_SECONDS)
        sealed, epoch = self._crowd.write(author, content), self._crowd.now
        assert self._hand is not None
        assert epoch is not None
        assert sealed is not None
        self._ledger[id] = Written(text, author, trio.current_time(), epoch.id)
        self._hand.post([sealed])

    async def _may_write(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self._crowd.now is not None

    async def _remove(self, by: str, member: MemberId) -> None:
        await self._changed(by, lambda admin: admin.call("remove_member", chat=NAME, member=member.hex()))
        self.figures.removed += 1

    async def _at_once(self, pair: list[MemberId]) -> None:
        """Have the owner and an admin each remove somebody, of which neither knows the other's."""
        async with trio.open_nursery() as nursery:
            for by, member in zip(("alice", "ada"), pair, strict=False):
                nursery.start_soon(self._remove, by, member)

    async def _leave(self, members: list[MemberId]) -> None:
        assert self._hand is not None
        await until(self._may_write, 24 * HOUR_SECONDS)
        present = set(self._crowd.present())
        items = [self._crowd.leave(member) for member in members if member in present]
        self._hand.post([item for item in items if item is not None])
        self.figures.removed += len(items)

    async def _remove_whole(self, name: str) -> None:
        """Have the owner remove somebody with a whole engine."""
        if name in self._gone:
            return
        self._gone[name] = trio.current_time()
        await self._changed("alice", lambda admin: admin.call("remove_member", chat=NAME, member=name))
        self.figures.removed += 1

    async def _join_late(self, name: str) -> None:
        await self._join(name)
        self.figures.joined += 1

    # --- notes ---------------------------------------------------------------------------------------------------

    def _noting(self, send: Callable[..., ItemId | None]) -> Callable[..., ItemId | None]:
        """Note under which epoch a whole engine's message is sealed."""

        def noting(
            tx: Transaction,
            row: GroupRow,
            epoch: EpochRow,
            item: MessageItem | EventItem,
            message: MessageId | None = None,
        ) -> ItemId | None:
            sent = send(tx, row, epoch, item, message)
            for (text,) in tx.db.query("SELECT text FROM messages WHERE id = ? AND text LIKE 'said %'", (message,)):
                assert message is not None
                self._ledger[message] = Written(text, row.member, trio.current_time(), epoch.id)
            return sent

        return noting

    def _measure(self, when: str) -> None:
        gc.collect()
        self.figures.resident[when] = resident_mb()

    # --- the end -------------------------------------------------------------------------------------------------

    async def _come_back(self) -> None:
        """Start every node that is not there, and wait until all have the same."""
        for name in sorted(self._away):
            await self._start(name)
        self._away.clear()
        await trio.sleep(300)
        await self._all_follow()

    async def _all_follow(self) -> None:
        """Wait until everybody has the newest epoch of the owner."""
        alice = self._there["alice"]

        async def same() -> bool:
            await trio.lowlevel.checkpoint()
            newest = group_of(alice)
            rows = [group_of(node) for name, node in self._there.items() if name not in self._gone]
            there = self._hand is None or self._crowd.log.state.sending == newest.epoch
            return (
                newest.epoch is not None
                and there
                and all(row.epoch == newest.epoch and sorted_heads(row) == sorted_heads(newest) for row in rows)
            )

        await until(same, 24 * HOUR_SECONDS)

    async def _check(self) -> None:
        """Check what everybody has."""
        alice, figures = self._there["alice"], self.figures
        log = MembershipLog(group_of(alice).group_id)
        log.restore(await self._events_of(alice))
        epochs = {EpochId(event) for event in await _epoch_events(alice)}
        readers = {epoch: frozenset(log.members_at(epoch)) for epoch in {one.epoch for one in self._ledger.values()}}
        figures.epochs, figures.members, figures.written = len(epochs), len(log.state.members), len(self._ledger)
        await trio.sleep(600)
        for name, node in self._there.items():
            if name not in self._gone:
                await until(partial(self._has_all, node, readers), 24 * HOUR_SECONDS)
        for name, node in self._there.items():
            self._check_one(name, node, log, readers)
        figures.engines, figures.opened = len(self._there), self._crowd.opened
        for name in ("alice", "whole 0"):
            figures.rows[name] = rows_of(self._there[name])
        for relay in self._relays:
            figures.relays[relay.host.name] = _bytes_of(self._folder, f"{relay.host.name}.logs")
            assert figures.relays[relay.host.name] < 1.2 * LOGS.total_bytes
        for node in self._there.values():
            assert rows_of(node)["group_epochs"] <= MAX_EPOCHS + 4 * self._plan.changes, "not bounded"

    async def _has_all(self, node: WorldNode, readers: dict[EpochId, frozenset[MemberId]]) -> bool:
        await trio.lowlevel.checkpoint()
        return self._due(node, readers) <= set(_texts(node))

    def _due(self, node: WorldNode, readers: dict[EpochId, frozenset[MemberId]]) -> set[str]:
        me = group_of(node).member
        return {one.text for one in self._ledger.values() if me in readers[one.epoch]}

    def _check_one(
        self, name: str, node: WorldNode, log: MembershipLog, readers: dict[EpochId, frozenset[MemberId]]
    ) -> None:
        due, shown, me = self._due(node, readers), Counter(_texts(node)), group_of(node).member
        assert not [text for text, count in shown.items() if count != 1], f"{name} has some twice"
        if name in self._gone:
            assert shown.keys() <= due, f"{name}, who was removed, reads on"
            before = self._gone[name] - BEFORE_SECONDS
            early = {one.text for one in self._ledger.values() if one.at < before and me in readers[one.epoch]}
            self.figures.missed_before_removal += len(early - shown.keys())
            return
        assert shown.keys() == due, (
            f"{name} lacks {len(due - shown.keys())}, and has {len(shown.keys() - due)} too many"
        )
        members = {MemberId(id) for (id,) in node.db.query("SELECT id FROM group_members WHERE NOT gone")}
        assert members == log.state.members.keys(), f"{name} has other members"
        self.figures.shown += len(due)


def group_of(node: WorldNode) -> GroupRow:
    """The row of the group at one who is or was in it."""
    (chat,) = store_groups.chats(node.db)
    row = store_groups.get(node.db, chat)
    assert row is not None
    return row


def sorted_heads(row: GroupRow) -> tuple[bytes, ...]:
    """The newest events of a group, in one order."""
    return tuple(sorted(row.heads[start : start + 32] for start in range(0, len(row.heads), 32)))


def rows_of(node: WorldNode) -> dict[str, int]:
    """The rows of a node's tables that have any, and the bytes of its files."""
    names = [name for (name,) in node.db.query("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    counts = {name: node.db.query(f'SELECT count(*) FROM "{name}"')[0][0] for name in names if "_fts" not in name}
    found = {name: count for name, count in counts.items() if count}
    return {**{"group_epochs": 0}, **found, "bytes": _bytes_of(node.folder, "")}


def _bytes_of(folder: Path, prefix: str) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file() and file.name.startswith(prefix))


def _texts(node: WorldNode) -> Iterable[str]:
    return [text for (text,) in node.db.query("SELECT text FROM messages WHERE kind = 0 AND text LIKE 'said %'")]


async def _is_in(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return bool(store_groups.chats(node.db)) and group_of(node).epoch is not None


async def _epoch_events(node: WorldNode) -> Collection[bytes]:
    rows = await node.engine.committer.read(store_events.all, group_of(node).chat)
    return [row.id for row in rows if events.decode_verified(row.event).mode]
