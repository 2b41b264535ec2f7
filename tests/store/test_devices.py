"""A contact with two devices: each has keys, ways, sessions, queues and an outbox of its own, by the usual queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core.ids import DeviceId, EnvelopeId, MessageId, PeerKey, SessionId
from p2pchat.store import contacts, deposits, devices, outbox, queues, renewals, sessions
from p2pchat.store.database import Database
from p2pchat.store.devices import DeviceRow, Way
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.renewals import RenewalRow
from tests.store.conftest import ALICE, ALICE_DEVICE, BOB, BOB_DEVICE
from tests.store.test_contacts import person, session
from tests.store.test_queues import ours, theirs, use

PHONE = DeviceId(b"a phone.")


@pytest.fixture(autouse=True)
def people(db: Database) -> None:
    contacts.add(db, replace(person(ALICE), device=b"laptop", bundle=b"bundle"))
    contacts.add(db, person(BOB, "Bob"))
    devices.add(db, DeviceRow(PHONE, ALICE, b"key of the phone", None, 20))


def wait(db: Database, *recipients: DeviceId) -> None:
    """Queue one message for these devices, sealed for each in an envelope with the device's id."""
    for device in recipients:
        sealed = EnvelopeId(device), b"sealed", SessionId(device * 4)
        outbox.add(db, OutboxRow(device, 0, MessageId(b"m"), b"content", 1, 10, 1000, *sealed))


def test_both_are_rows_and_the_contact_is_one(db: Database) -> None:
    laptop = DeviceRow(ALICE_DEVICE, ALICE, b"laptop", b"bundle", person(ALICE).created_at)
    assert devices.of(db, ALICE) == [laptop, DeviceRow(PHONE, ALICE, b"key of the phone", None, 20)]
    devices.update(db, PHONE, bundle=b"newer")
    contacts.update(db, ALICE, device=b"another", name="Alice B.")  # of the first one
    assert [(row.key, row.bundle) for row in devices.of(db, ALICE)] == [
        (b"another", b"bundle"),
        (b"key of the phone", b"newer"),
    ]
    assert [contact.name for contact in contacts.all(db)] == ["Alice B.", "Bob"]
    assert contacts.find(db, "alice b.").device == b"another"


def test_sessions_are_those_of_a_device(db: Database) -> None:
    one, two = session(SessionId(b"1" * 32)), replace(session(SessionId(b"2" * 32)), device=PHONE, confirmed=True)
    rival = replace(two, session_id=SessionId(b"3" * 32))
    for each in (one, two):
        sessions.save(db, each)
    assert (sessions.for_device(db, ALICE_DEVICE), sessions.for_device(db, PHONE)) == ([one], [two])
    assert sessions.rivals(db) == []  # one with each is no rival of the other
    sessions.save(db, rival)
    assert sessions.rivals(db) == [PHONE]
    sessions.save(db, replace(two, receive_until=50))
    assert sessions.expire(db, 60) == {PHONE}
    assert sessions.for_device(db, ALICE_DEVICE) == [one]


def test_ways_are_those_of_a_device(db: Database) -> None:
    old, new = Way(PeerKey(b"p" * 32), b"old", 0), Way(PeerKey(b"p" * 32), b"new", 0)
    relay = Way(PeerKey(b"r" * 32), b"relay", 1)
    devices.set_ways(db, ALICE_DEVICE, [old, relay], 10)
    devices.set_ways(db, PHONE, [old], 10)
    devices.set_ways(db, ALICE_DEVICE, [new], 20)
    assert devices.ways(db, ALICE_DEVICE) == [new, relay]
    assert devices.ways(db, PHONE) == [old]
    devices.set_ways(db, ALICE_DEVICE, [replace(relay, role=0), replace(relay, role=0)], 30)
    assert devices.ways(db, ALICE_DEVICE) == [replace(relay, role=0)]
    devices.set_ways(db, ALICE_DEVICE, [], 40)
    assert devices.ways(db, ALICE_DEVICE) == []


def test_a_session_is_renewed_with_one_of_them(db: Database) -> None:
    renewals.put(db, replace(renewals.get(db, PHONE), wanted_at=10))
    renewals.put(db, replace(renewals.get(db, ALICE_DEVICE), offered=7))
    assert renewals.due(db) == [PHONE]
    assert renewals.get(db, ALICE_DEVICE) == RenewalRow(ALICE_DEVICE, offered=7)
    devices.remove(db, PHONE)
    assert renewals.due(db) == []


def test_what_waits_is_due_acked_and_forgotten_by_device(db: Database) -> None:
    wait(db, ALICE_DEVICE, PHONE, BOB_DEVICE)
    assert outbox.counts(db) == {ALICE_DEVICE: 1, PHONE: 1, BOB_DEVICE: 1}
    (due,) = outbox.due(db, 50, PHONE)
    assert (due.recipient, due.envelope_id) == (PHONE, EnvelopeId(PHONE))
    assert len(outbox.due(db, 50)) == 3
    assert outbox.acked(db, ALICE_DEVICE, [EnvelopeId(PHONE)]) == []
    assert [row.pk for row in outbox.acked(db, PHONE, [EnvelopeId(PHONE)])] == [due.pk]
    outbox.forget_messages(db, PHONE, [MessageId(b"m")])  # a receipt of the phone says nothing of the laptop
    assert {row.recipient for row in outbox.for_message(db, MessageId(b"m"))} == {ALICE_DEVICE, BOB_DEVICE}


def test_each_has_queues_and_what_lies_in_them(db: Database) -> None:
    queues.collect_from(db, ours(1))
    queues.collect_from(db, ours(2, device=PHONE))
    laptops, phones = use(db, theirs(1), theirs(2, device=PHONE))
    wait(db, ALICE_DEVICE, PHONE)
    assert [row.device for row in queues.announced(db, PHONE)] == [PHONE]
    assert [row.envelope_id for row in deposits.due(db, 50, phones, 9)] == [EnvelopeId(PHONE)]
    deposits.note(db, [(EnvelopeId(PHONE), phones.id, 500)], 50)
    assert deposits.due(db, 50, phones, 9) == []
    assert [row.envelope_id for row in deposits.due(db, 50, laptops, 9)] == [EnvelopeId(ALICE_DEVICE)]
    assert [row.msg_id for row in deposits.stored(db, PHONE, [phones.id])] == [b"m"]


def test_one_goes_without_the_other_and_both_with_the_contact(db: Database) -> None:
    for device in (ALICE_DEVICE, PHONE):
        sessions.save(db, replace(session(SessionId(device * 4)), device=device))
        queues.collect_from(db, ours(1 + (device == PHONE), device=device))
    wait(db, ALICE_DEVICE, PHONE, BOB_DEVICE)
    devices.remove(db, PHONE)
    assert [row.id for row in devices.of(db, ALICE)] == [ALICE_DEVICE]
    assert outbox.counts(db).keys() == {ALICE_DEVICE, BOB_DEVICE}
    assert [row.device for _, row in queues.own(db)] == [ALICE_DEVICE]
    assert (len(sessions.for_device(db, ALICE_DEVICE)), sessions.for_device(db, PHONE)) == (1, [])
    devices.add(db, DeviceRow(PHONE, ALICE, None, None, 30))
    wait(db, PHONE)
    contacts.remove(db, ALICE)
    assert devices.of(db, ALICE) == []
    assert outbox.counts(db).keys() == {BOB_DEVICE}
