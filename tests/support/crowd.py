"""Members of a large group who are no engines: their keys are real, and they sign, seal and open with the program's
own functions, without a store.

    crowd = Crowd(world.entropy)
    crowd.newcomers(256)                      keys of so many, for whoever adds them
    crowd.begin(log, epoch, secret)           from a log and a secret, as a welcome has them
    crowd.take(sealed)                        an item of the group that came
    crowd.write(member, content), crowd.leave(member)    what one of them puts into the logs
    await crowd_at_relays(world, crowd, "crowd")         reads a log of the group, and puts into all of them

All of them share one resolved log and one set of chains, as they would all compute the same. Of a rekey a few open
their own entries, and all of them where `every_member_opens` asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio

from p2pchat.core.groups import chains, epochs, events, items, messages
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import EpochSecrets, Leaf, LeafKeys
from p2pchat.core.groups.events import EpochMode, GroupEvent, LeaveGroup, Newcomer
from p2pchat.core.groups.items import EventItem, MessageItem, PartItem
from p2pchat.core.groups.log_relays import LOGS
from p2pchat.core.groups.membership import LogAnswer, MembershipLog
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.ids import EpochId, GroupId, MemberId, PeerKey, QueueId, RelayName
from p2pchat.core.logs import LogKeys, log_keys
from p2pchat.core.primitives import Entropy, KemKey, sign_public, x25519_public
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen
from p2pchat.net.mailbox.pool import MailboxPool
from tests.support.group_parts import PartsOfWholes
from tests.support.world import World

OPENERS = 4
"""Members who open their entries of a rekey."""
KEPT_EPOCHS = 8
KEEP_HOURS = 14 * 24
APPEND_SECONDS = 30.0
"""Seconds after which a relay that did not take an item is tried again."""


@dataclass(frozen=True)
class ScriptedMember:
    """The keys of a member. kem: its ML-KEM key, if it has one."""

    name: str
    sign_seed: bytes = field(repr=False)
    leaf_seed: bytes = field(repr=False)
    kem: KemKey | None = field(repr=False)

    @property
    def id(self) -> MemberId:
        return member_id(sign_public(self.sign_seed))

    @property
    def leaf(self) -> LeafKeys:
        return LeafKeys(self.id, self.leaf_seed, self.kem)

    @property
    def newcomer(self) -> Newcomer:
        kem = None if self.kem is None else self.kem.public
        return Newcomer(sign_public(self.sign_seed), x25519_public(self.leaf_seed), kem, Role.MEMBER, self.name)


@dataclass
class CrowdEpoch:
    """An epoch, as everybody in it has it. secret: to begin chains with, as they are needed."""

    id: EpochId
    secret: bytes = field(repr=False)
    secrets: EpochSecrets = field(repr=False)
    chains: dict[MemberId, Chain] = field(default_factory=dict, repr=False)


class Crowd:
    """The scripted members of one group."""

    def __init__(self, entropy: Entropy, seed: int = 1) -> None:
        self._entropy = entropy
        self._chance = Random(seed)
        self._parts = PartsOfWholes()
        self._waiting: list[bytes] = []
        self._made = 0
        self.known: dict[MemberId, ScriptedMember] = {}
        """Everybody who was ever made, present or not."""
        self.epochs: dict[bytes, CrowdEpoch] = {}
        """By the tag of its items; those of the last few."""
        self.opened = 0
        """How many entries of rekeys were opened."""
        self.rekeys = 0
        self.group = GroupId(b"")
        self.log = MembershipLog(self.group)

    # --- who they are

    def newcomers(self, count: int, *, kem: bool = False) -> list[Newcomer]:
        """Make so many, with keys of their own."""
        random, made = self._entropy.random, list[Newcomer]()
        for _ in range(count):
            self._made += 1
            one = ScriptedMember(f"person {self._made}", random(32), random(32), KemKey(random(64)) if kem else None)
            self.known[one.id] = one
            made.append(one.newcomer)
        return made

    def present(self) -> list[MemberId]:
        """Return those of them who are members now, and have not left."""
        return [member for member in self.log.state.members if member in self.known]

    def begin(self, group: GroupId, log: Iterable[bytes], epoch: EpochId, secret: bytes) -> None:
        """Take a verified log, and the secret of an epoch, as a newcomer does."""
        self.group, self.log = group, MembershipLog(group)
        for raw in log:
            assert self.log.add(raw).answer is LogAnswer.TAKEN
        self._adopt(epoch, secret)

    # --- reading

    @property
    def now(self) -> CrowdEpoch | None:
        """The epoch under which they write, if there is one and they have it."""
        sending = self.log.state.sending
        return next((epoch for epoch in self.epochs.values() if epoch.id == sending), None)

    def take(self, sealed: bytes) -> None:
        """Take an item. A message is opened, an event followed."""
        epoch = self.epochs.get(sealed[: items.TAG_BYTES])
        if epoch is None:
            return
        item = items.open_item(sealed, epoch.id, epoch.secrets)
        if isinstance(item, PartItem):
            whole = self._parts.add(item.part)
            if whole is None:
                return
            item = items.open_whole(whole)
        if isinstance(item, EventItem):
            self._take_event(item.event)

    def _take_event(self, raw: bytes) -> None:
        result = self.log.add(raw)
        if result.answer is LogAnswer.WAITING:
            self._waiting.append(raw)
            return
        for event in result.taken:
            if event.mode is not EpochMode.NONE:
                self._follow(event)
        waiting, self._waiting = self._waiting, []
        for other in waiting if result.taken else ():
            self._take_event(other)

    def _follow(self, event: GroupEvent) -> None:
        before = next((epoch for epoch in self.epochs.values() if epoch.id == event.prev_epoch), None)
        if before is None:
            return
        hashed = events.core_hash(event.core)
        if event.mode is EpochMode.ADVANCE:
            secret = epochs.advance(before.secrets.join, hashed)
        elif event.rekey is None:
            return
        else:
            (secret,) = set(self._open(event, before, OPENERS))
        assert event.confirm is not None
        epochs.check_confirmation(secret, event.confirm)
        self._adopt(EpochId(event.id), secret)

    def _open(self, event: GroupEvent, before: CrowdEpoch, most: int) -> list[bytes]:
        """Open a rekey as some members; return the secrets, all of which are the same."""
        members = self.log.members_at(EpochId(event.id)).values()
        leaves = [Leaf(member.id, member.leaf, member.kem) for member in members]
        ours = [member.id for member in members if member.id in self.known]
        chosen = self._chance.sample(ours, min(most, len(ours)))
        assert event.rekey is not None
        self.rekeys += 1
        self.opened += len(chosen)
        hashed, exporter = events.core_hash(event.core), before.secrets.exporter
        return [
            epochs.open_rekey(event.rekey, self.group, hashed, exporter, leaves, self.known[member].leaf)
            for member in chosen
        ]

    def _adopt(self, epoch: EpochId, secret: bytes) -> None:
        secrets = epochs.derive(secret)
        self.epochs[secrets.tag] = CrowdEpoch(epoch, secret, secrets)
        while len(self.epochs) > KEPT_EPOCHS:
            del self.epochs[next(iter(self.epochs))]

    # --- writing

    def write(self, member: MemberId, content: bytes) -> bytes | None:
        """Return the item of a message, signed by one of them; None while there is no epoch to write under."""
        epoch = self.now
        if epoch is None:
            return None
        chain = epoch.chains.get(member) or chains.chain_heads(epoch.secret, [member])[member]
        heads, seed = self.log.state.heads, self.known[member].sign_seed
        written = messages.write(self.group, epoch.id, member, seed, chain, heads, (), content, self._entropy.random)
        epoch.chains[member] = written.chain
        (item,) = self._sealed(epoch, MessageItem(member, written.message.number, written.body))
        return item

    def leave(self, member: MemberId) -> bytes | None:
        """Return the item by which one of them leaves."""
        epoch, seed = self.now, self.known[member].sign_seed
        if epoch is None:
            return None
        draft = self.log.draft(sign_public(seed), LeaveGroup())
        (item,) = self._sealed(epoch, EventItem(events.sign_event(draft.core, None, None, seed).raw))
        return item

    def _sealed(self, epoch: CrowdEpoch, item: MessageItem | EventItem) -> tuple[bytes, ...]:
        return items.seal_items(item, epoch.id, epoch.secrets, items.SIZES[0], self._entropy.random)

    def places(self, epoch: CrowdEpoch) -> list[tuple[Relay, LogKeys]]:
        """Return the logs of an epoch."""
        named = LOGS.read(self.log.state.settings)
        if named is None:
            return []
        return [
            (
                Relay(relay.peer, (relay.address,), relay.token, chosen=False),
                log_keys(epoch.secrets.topic, PeerKey(relay.peer), named.admin),
            )
            for relay in named.relays
        ]


class CrowdAtRelays:
    """The crowd's end of the logs at relays: the program's own client, on a host without an engine. put, read: items
    that logs took, and that came of them.
    """

    def __init__(self, world: World, crowd: Crowd, name: str) -> None:
        self.crowd = crowd
        self.put = 0
        self.read = 0
        self._world = world
        self._host = world.outsider(name)
        self._watched: set[bytes] = set()
        self._nursery: trio.Nursery | None = None
        self._pool: MailboxPool | None = None

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the group, until cancelled."""
        async with trio.open_nursery() as nursery:
            random = self._world.entropy.random
            self._nursery = nursery
            self._pool = MailboxPool(self._host, self, nursery, self._world.now, random, log_callbacks=self)
            self.follow()
            task_status.started()
            await trio.sleep_forever()

    def follow(self) -> None:
        """Read the logs of all epochs that the crowd has at one relay."""
        if self._pool is None or self._watched == self.crowd.epochs.keys():
            return
        self._watched = set(self.crowd.epochs)
        found = [self.crowd.places(epoch)[0] for epoch in self.crowd.epochs.values()]
        self._pool.logs.watch(found[0][0], [(keys, 0) for _, keys in found])

    def post(self, sealed: Sequence[bytes]) -> None:
        """Put items into all logs of the present epoch."""
        epoch = self.crowd.now
        assert self._nursery is not None
        assert epoch is not None
        for relay, keys in self.crowd.places(epoch):
            self._nursery.start_soon(self._append, relay, keys, list(sealed))

    async def _append(self, relay: Relay, keys: LogKeys, sealed: Sequence[bytes]) -> None:
        assert self._pool is not None
        while True:
            codes = await self._pool.logs.append(relay, keys, KEEP_HOURS, sealed)
            if codes is not None and not any(code is None or code for code in codes):
                self.put += len(sealed)
                return
            await trio.sleep(APPEND_SECONDS)

    async def log_items(
        self, relay: RelayName, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        """Take what has come of a log."""
        await trio.lowlevel.checkpoint()
        for _, sealed in items:
            self.read += 1
            try:
                self.crowd.take(sealed)
            except CannotOpen as error:
                raise AssertionError("a member could not follow the group") from error
        self.follow()

    def logs_up(self, relay: RelayName) -> None:
        pass

    def logs_down(self, relay: RelayName, problem: str) -> None:
        pass

    async def collected(self, relay: RelayName, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        raise NotImplementedError

    def deposited(self, relay: RelayName, done: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError

    def undeposited(self, relay: RelayName, numbers: Sequence[int]) -> None:
        raise NotImplementedError

    def relay_up(self, relay: RelayName) -> None:
        pass

    def relay_down(self, relay: RelayName, *, tried: bool) -> None:
        pass

    def relays_told(self, relay: PeerKey, descriptors: Sequence[bytes]) -> None:
        pass
