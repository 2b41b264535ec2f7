"""Presence records: slots that nobody can join, and records that only their owner can make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core import ipns, presence
from p2pchat.core import primitives as prim
from p2pchat.core.contents.queues import MAX_ADDRESS_BYTES, AnnouncedQueue
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, MessageId, PeerKey
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.presence import SEALED_BYTES, PresenceSlot, Whereabouts
from p2pchat.core.session import STANDING, hello_days, pair, standing_root
from p2pchat.engine.contacts.presence_records import MAX_TIME_MS
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS
from tests.core.people import NOW, Chance

CHANCE = Chance("presence").random
ALICE, BOB, CAROL = Device.fresh(CHANCE), Device.fresh(CHANCE), Device.fresh(CHANCE)
DAY = NOW // DAY_MS
SAID = Whereabouts(MessageId(b"\1" * 16), ((PeerKey(b"\2" * 32), b"address"),), None)


def side(writer: Device, reader: Device) -> bytes:
    """The key of the writer's side of the two, as the writer derives it."""
    root = standing_root(writer, reader.identity, reader.device)
    return pair(ContactId(b""), STANDING, root, writer.identity, reader.identity).ours


def slot(writer: Device, reader: Device, day: int = DAY, device: int = presence.FIRST_DEVICE) -> PresenceSlot:
    return presence.slot(side(writer, reader), day, device)


def made(at: PresenceSlot, said: Whereabouts = SAID, by: Device = ALICE) -> IpnsRecord:
    return presence.make(at, said, by.identity_seed, presence.first_number(at, NOW), CHANCE)


def queue(size: int) -> AnnouncedQueue:
    return AnnouncedQueue(PeerKey(b"\3" * 32), b"q" * size, b"token", b"\4" * 32, b"\5" * 32, NOW)


def test_both_find_the_same_slot_and_every_direction_day_and_device_has_its_own() -> None:
    root = standing_root(BOB, ALICE.identity, ALICE.device)
    theirs = pair(ContactId(b""), STANDING, root, BOB.identity, ALICE.identity).theirs
    assert presence.slot(theirs, DAY) == slot(ALICE, BOB)
    slots = [
        slot(ALICE, BOB),
        slot(BOB, ALICE),
        slot(ALICE, CAROL),
        slot(ALICE, BOB, DAY + 1),
        slot(ALICE, BOB, DAY, 1),
    ]
    assert (
        len({one.public for one in slots}) == len({one.key for one in slots}) == len({one.seed for one in slots}) == 5
    )


def test_a_record_says_to_the_other_what_was_said_and_nothing_to_anybody_else() -> None:
    said = replace(SAID, queues=(queue(20), queue(20)))
    at = slot(ALICE, BOB)
    record = made(at, said)
    assert presence.read(at, record.raw, ALICE.identity, NOW) == said
    for secret in (b"address", b"\2" * 32, b"token", ALICE.identity, BOB.identity):
        assert secret not in record.raw


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda: made(slot(ALICE, BOB), by=BOB), id="by the other of the two"),
        pytest.param(lambda: ipns.make(slot(ALICE, BOB).seed, 9, presence.expires_at(DAY), bytes(1024)), id="unsealed"),
        pytest.param(
            lambda: ipns.make(slot(ALICE, BOB).seed, 9, presence.expires_at(DAY + 1), made(slot(ALICE, BOB)).sealed),
            id="with another end",
        ),
        pytest.param(lambda: made(slot(ALICE, BOB, DAY - 1)), id="of another day"),
        pytest.param(lambda: made(slot(ALICE, CAROL)), id="for somebody else"),
    ],
)
def test_what_was_not_made_for_this_slot_by_its_owner_does_not_open(forged: object) -> None:
    assert callable(forged)
    with pytest.raises(CannotOpen):
        presence.read(slot(ALICE, BOB), forged().raw, ALICE.identity, NOW)


def test_what_is_sealed_anew_into_another_slot_of_the_pair_does_not_open() -> None:
    """The other of the two can open a record of mine and seal what it says into another day's slot."""
    old, new = slot(ALICE, BOB, DAY - 1), slot(ALICE, BOB)
    plain = prim.open_sealed(old.key, made(old).sealed, b"")
    moved = ipns.make(new.seed, 9, presence.expires_at(DAY), prim.seal(new.key, plain, b"", CHANCE(24)))
    with pytest.raises(CannotOpen):
        presence.read(new, moved.raw, ALICE.identity, NOW)


@pytest.mark.parametrize("now", [0, MAX_TIME_MS])
def test_a_clock_that_is_wrong_by_decades_makes_records_too(now: int) -> None:
    at = presence.slot(bytes(32), hello_days(now)[0])
    record = presence.make(at, SAID, ALICE.identity_seed, presence.first_number(at, now), CHANCE)
    assert presence.read(at, record.raw, ALICE.identity, now) == SAID


def test_a_record_is_good_until_the_day_after_its_own_has_passed() -> None:
    at = slot(ALICE, BOB)
    record = made(at)
    assert presence.read(at, record.raw, ALICE.identity, (DAY + 2) * DAY_MS - 1)
    with pytest.raises(CannotOpen):
        presence.read(at, record.raw, ALICE.identity, (DAY + 2) * DAY_MS)


def test_first_numbers_grow_over_the_day_and_hide_how_often_a_record_was_replaced() -> None:
    slots = [slot(ALICE, BOB, DAY, device) for device in range(100)]
    halves = [[presence.first_number(at, DAY * DAY_MS + hours * HOUR_MS) for at in slots] for hours in (0, 11, 12, 23)]
    assert (halves[0], halves[2]) == (halves[1], halves[3])
    assert max(halves[0]) < min(halves[2])
    for numbers in halves:
        assert len(set(numbers)) > 5 * presence.MAX_STEP


def test_every_record_has_one_size_and_what_is_too_much_is_left_out() -> None:
    way = PeerKey(b"\2" * 32), b"a" * MAX_ADDRESS_BYTES
    much = Whereabouts(SAID.id, (way,) * 4, (queue(MAX_ADDRESS_BYTES),) * 4)
    records = [made(slot(ALICE, BOB), said) for said in (SAID, replace(SAID, ways=()), much)]
    records.append(presence.decoy(slot(ALICE, BOB), presence.first_number(slot(ALICE, BOB), NOW), CHANCE))
    assert {len(record.sealed) for record in records} == {SEALED_BYTES}
    assert len({len(record.raw) for record in records}) == 1
    assert len({(record.expires_at, record.ttl_ns, record.value, record.sequence) for record in records}) == 1
    there = replace(much, ways=much.ways[:3], queues=None)
    assert presence.read(slot(ALICE, BOB), records[2].raw, ALICE.identity, NOW) == there
