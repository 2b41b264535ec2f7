"""Nobody who has all presence records, and all that relays and servers see of them, can follow a person by them.

A week passes in which people are at home, move, are away, restart and look for each other. Three relays, whose mailbox
is the program's own, and a server of a hash table keep whatever they see. Then each attack guesses what belongs
together, and must not be right more often than who draws lots.

What the attacks do not use is what remains (docs/threat-model.md): the network addresses of connections, at which
relays a record lies, and times apart from bursts. So they guess among records that lie at the same relays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random

import pytest
import trio

from p2pchat.core import ipns, names, presence
from p2pchat.core.ids import PeerKey
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.primitives import hmac_sha256
from p2pchat.engine.contacts import presence_records
from p2pchat.errors import NotServed, Unreachable
from p2pchat.lib.times import DAY_MS
from p2pchat.net import multiaddrs
from p2pchat.store import contacts as store_contacts
from tests.support.boxed import FullRelay, full_relay
from tests.support.dht import DhtWorld
from tests.support.mailboxes import RecordRequest
from tests.support.world import BEGAN, World, WorldNode, befriend, run_world

PEOPLE = 8
HALF_DAYS = 14
HALF_DAY_MS = DAY_MS // 2
SPREAD_SECONDS = 200.0
"""Over which the records of a half day are spread: an hour of this world costs real seconds."""
BETTER_THAN_LOTS = 0.15
"""By how much an attack may be right more often than who draws lots. Chance alone makes 0.05 of it, since some two
hundred slots are few; without a defence it is 0.3 and more.
"""
GUESSED_NAMES = [
    *(names.MAILBOX, names.DHT, names.HOP, "/ipfs/kad/1.0.0", "/p2pchat/envelope/1", "/meshsub/1.1.0"),
    *(names.link_name(bytes(32), bytes(32), 20_000), names.join_name(bytes(32), bytes(32))),
]


@dataclass(eq=False)
class Slot:
    """All that was seen of one key; and what only the test knows: who wrote there on which day, and for whom (None: a
    decoy). parts: every eight bytes of its records.
    """

    day: int
    writer: str
    reader: str | None
    number: int = 0
    relays: frozenset[str] = frozenset()
    records: list[IpnsRecord] = field(default_factory=list)
    put_at: list[int] = field(default_factory=list)
    asked_at: list[int] = field(default_factory=list)
    parts: set[bytes] = field(default_factory=set)


@dataclass
class Week:
    """What a week has left behind. keys: everybody's transport keys, one after the other. places: their addresses."""

    slots: list[Slot]
    requests: list[RecordRequest]
    clients: list[PeerKey]
    keys: dict[str, list[PeerKey]]
    places: set[str]


async def live(world: World, folder: Path) -> Week:
    """Let a week pass."""
    dht = DhtWorld(world)
    dht.grown(1)
    world.dht = lambda: dht.network("server 0")
    relays = [await full_relay(world, f"relay {number}", folder) for number in range(3)]
    people = [await world.start(f"person {number}") for number in range(PEOPLE)]
    for number, node in enumerate(people):
        await node.call("relays", add=relays[number % 3].line)
    for number, node in enumerate(people):
        await befriend(node, people[(number + 1) % PEOPLE])
        if number % 4:
            await befriend(node, people[(number + 2) % PEOPLE])
    keys = {node.name: [node.host.peer] for node in people}
    places = {world.address(node.name) for node in people}
    published: dict[bytes, IpnsRecord] = {}
    chance = Random(2)
    world.slept += 6 * DAY_MS  # so their transport keys are replaced in this week
    for half_day in range(HALF_DAYS):
        world.slept += -world.now() % HALF_DAY_MS - 60_000
        await trio.sleep(60 + 2.5 * SPREAD_SECONDS)
        gone = [(half_day + step) % PEOPLE for step in range(2 + half_day % 2)]
        for number in gone:  # contacts are away at the same time, and come back one by one, most of them elsewhere
            await people[number].stop()
            if half_day % 4 != 3:
                world.move(people[number].name)
        for number in chance.sample(gone, len(gone)):
            people[number] = node = await world.start(people[number].name)
            keys[node.name].append(node.host.peer)
            places.add(world.address(node.name))
            await trio.sleep(chance.uniform(5, 60))
        published |= {record.raw: record for record in dht.kept()}
    slots = await _slots(people, relays, list(published.values()))
    return Week(slots, [one for relay in relays for one in relay.requests], dht.clients, keys, places)


async def _slots(people: list[WorldNode], relays: list[FullRelay], published: list[IpnsRecord]) -> list[Slot]:
    """What was seen of every key under which there was a record."""
    slots: dict[bytes, Slot] = {}
    for day in range(BEGAN // DAY_MS, BEGAN // DAY_MS + 16):
        for node in people:
            read = node.engine.committer.read
            decoys = hmac_sha256(node.engine.me.device_private, b"presence decoys")
            for number in range(presence_records.MIN_DAILY):
                slots[presence.slot(decoys, day, number).public] = Slot(day, node.name, None, number)
            for contact in await read(store_contacts.all):
                met = await read(presence_records.meeting_of, node.engine.me, contact.id)
                assert met is not None
                slots[presence.slot(met.pair.ours, day).public] = Slot(day, node.name, contact.name)
    for relay in relays:
        for request in relay.requests:
            slot = slots[request.public]
            if request.record is None:
                slot.asked_at.append(request.at)
            else:
                slot.relays |= {relay.host.name}
                slot.put_at.append(request.at)
                slot.records.append(ipns.read(ipns.routing_key(request.public), request.record, 0))
    for record in published:
        slots[record.public].records.append(record)
    found = [slot for slot in slots.values() if slot.relays]
    for slot in found:
        slot.records = sorted({record.raw: record for record in slot.records}.values(), key=lambda one: one.sequence)
        slot.parts = {part for record in slot.records for part in parts(record.raw)}
    return found


def parts(data: bytes) -> set[bytes]:
    """Every eight bytes."""
    return {data[at : at + 8] for at in range(len(data) - 7)}


# --- attacks -------------------------------------------------------------------------------------------------------

Distance = Callable[[Slot, Slot], float]
"""How far two slots seem to be from belonging together."""
Relation = Callable[[Slot, Slot], bool]


def lead(record: IpnsRecord) -> int:
    """By how much a record is numbered above the first of its day."""
    return record.sequence - 2 * (record.expires_at // DAY_MS - presence.DAYS_KEPT)


def apart(times: Sequence[int], others: Sequence[int]) -> float:
    """The shortest time between one of these and one of those, in ms."""
    return min((abs(time - other) for time in times for other in others), default=inf)


def in_one_second(one: Slot, other: Slot) -> bool:
    """Whether something was done to both in one second."""
    return apart([*one.put_at, *one.asked_at], [*other.put_at, *other.asked_at]) <= 1000


ATTACKS: dict[str, Distance] = {
    "bytes that come again": lambda one, other: -len(one.parts & other.parts),
    "the size": lambda one, other: abs(len(one.records[0].raw) - len(other.records[0].raw)),
    "the end": lambda one, other: abs(one.records[0].expires_at - other.records[0].expires_at) % DAY_MS,
    "the first number": lambda one, other: abs(lead(one.records[0]) - lead(other.records[0])),
    "the last number": lambda one, other: abs(lead(one.records[-1]) - lead(other.records[-1])),
    "how often it was replaced": lambda one, other: abs(len(one.records) - len(other.records)),
    "when it was first put": lambda one, other: abs(one.put_at[0] - other.put_at[0]),
    "when in the half day it was put": lambda one, other: abs(one.put_at[0] - other.put_at[0]) % HALF_DAY_MS,
    "both within a second": lambda one, other: not in_one_second(one, other),
}
QUESTIONS: dict[str, tuple[Relation, Relation]] = {  # which slots are compared, and what is asked about them
    "the days of one pair": (
        lambda one, other: abs(one.day - other.day) == 1,
        lambda one, other: (one.writer, one.reader, one.number) == (other.writer, other.reader, other.number),
    ),
    "the contacts of one person": (
        lambda one, other: one.day == other.day,
        lambda one, other: one.writer == other.writer,
    ),
    "those who write to one person": (
        lambda one, other: one.day == other.day and None not in (one.reader, other.reader),
        lambda one, other: one.reader == other.reader,
    ),
    "both sides of one pair": (
        lambda one, other: one.day == other.day and None not in (one.reader, other.reader),
        lambda one, other: (one.writer, one.reader) == (other.reader, other.writer),
    ),
}


def advantage(slots: list[Slot], far: Distance, compared: Relation, joined: Relation) -> float:
    """How much more often the slot that seems closest to another belongs to it than one drawn by lot, or the farthest,
    if that is right more often.
    """
    nearest, farthest, lots = list[float](), list[float](), list[float]()
    for slot in slots:
        others = [one for one in slots if one is not slot and one.relays == slot.relays and compared(slot, one)]
        truths = [joined(slot, one) for one in others]
        if any(truths) and not all(truths):
            distances = [far(slot, one) for one in others]
            for hits, best in ((nearest, min(distances)), (farthest, max(distances))):
                guessed = [truth for truth, distance in zip(truths, distances, strict=True) if distance == best]
                hits.append(sum(guessed) / len(guessed))
            lots.append(sum(truths) / len(truths))
    assert len(lots) > 50
    return (max(sum(nearest), sum(farthest)) - sum(lots)) / len(lots)


def test_nobody_who_keeps_all_records_and_logs_of_a_week_follows_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_records, "SPREAD_SECONDS", SPREAD_SECONDS)

    async def main(world: World) -> None:
        week = await live(world, tmp_path)
        records = [record for slot in week.slots for record in slot.records]
        assert sum(slot.reader is not None for slot in week.slots) > 150
        assert sum(slot.reader is None for slot in week.slots) > 20, "decoys"
        assert sum(bool(slot.asked_at) for slot in week.slots) > 50, "some were looked for"

        # What all records of a day have in common is no guess but a rule.
        assert len({(record.value, record.ttl_ns, len(record.sealed), len(record.raw)) for record in records}) == 1
        assert all(record.expires_at == presence.expires_at(slot.day) for slot in week.slots for record in slot.records)

        # Keys: everybody's have been replaced, none comes again or is like another, and no record has one in it.
        own = [key for keys in week.keys.values() for key in dict.fromkeys(keys)]
        assert all(len(set(keys)) == 2 for keys in week.keys.values())
        used = [*own, *(request.peer for request in week.requests), *week.clients]
        assert max(Counter(used).values()) == 1
        assert max(Counter(part for key in used for part in parts(key)).values()) == 1
        people = [world.nodes[name].engine.me for name in week.keys]
        secrets = [*own, *(key for me in people for key in (me.identity, me.device))]
        secrets += [*map(multiaddrs.pack, week.places), *(name.encode() for name in week.keys)]
        assert not [secret for secret in secrets for record in records if secret in record.raw]

        for question, (compared, joined) in QUESTIONS.items():
            for attack, far in ATTACKS.items():
                better = advantage(week.slots, far, compared, joined)
                assert better < BETTER_THAN_LOTS, f"{question}, by {attack}"
        await probe(world, week)

    run_world(tmp_path, main)


async def probe(world: World, week: Week) -> None:
    """Dial every address that people had, by every key that was seen: only a key in use answers, and nobody serves
    anything to anyone who has no secret.
    """
    prober = world.outsider("prober")
    in_use = {node.host.peer for node in world.nodes.values()}
    seen = [*(key for keys in week.keys.values() for key in keys), *(request.peer for request in week.requests)]
    for key in dict.fromkeys(seen):
        for name in GUESSED_NAMES if key in in_use else GUESSED_NAMES[:1]:
            with pytest.raises(NotServed if key in in_use else Unreachable):
                await prober.open(key, sorted(week.places), name)
