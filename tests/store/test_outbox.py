"""What is not yet delivered, and what arrived already."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from unittest import mock

import pytest
from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]

from p2pchat.core.ids import ContactId, EnvelopeId, MessageId, SessionId, first_device
from p2pchat.store import envelopes, outbox
from p2pchat.store.database import Database
from p2pchat.store.envelopes import PARTS, REMEMBERED_FOR, SeenRow
from p2pchat.store.outbox import OutboxForm, OutboxRow
from tests.store.conftest import ALICE, ALICE_DEVICE, BOB, BOB_DEVICE


def row(number: int, contact: ContactId = ALICE, *, sealed: bool = True, **fields: object) -> OutboxRow:
    made = OutboxRow(first_device(contact), 0, MessageId(b"msg%d" % number), b"content", 1, 10, 1000)
    if sealed:
        made = replace(
            made, envelope_id=EnvelopeId(b"env%d" % number), envelope=b"envelope", session_id=SessionId(b"th")
        )
    return replace(made, **fields)  # type: ignore[arg-type]


def put(db: Database, *rows: OutboxRow) -> list[OutboxRow]:
    return [replace(one, pk=outbox.add(db, one)) for one in rows]


def test_rows_come_back_as_they_were_in_their_order(db: Database) -> None:
    full = OutboxRow(
        ALICE_DEVICE, 1, MessageId(b"m"), b"c", 2, 3, 4, EnvelopeId(b"e"), b"envelope", SessionId(b"t"), 5, 6
    )
    bare = OutboxRow(ALICE_DEVICE, None, None, None, 2, 3, 4, form=OutboxForm.INITIAL)
    rows = put(db, full, bare, row(3, BOB))
    assert [one.pk for one in rows] == [1, 2, 3]
    assert outbox.for_recipient(db, ALICE_DEVICE) == rows[:2]
    assert outbox.for_recipient(db, ALICE_DEVICE, 1) == rows[:1]
    assert outbox.for_recipient(db, ALICE_DEVICE, after_pk=rows[0].pk) == rows[1:2]
    assert outbox.by_envelope(db, EnvelopeId(b"e")) == rows[0]
    assert outbox.by_envelope(db, EnvelopeId(b"x")) is None
    assert outbox.counts(db).keys() == {ALICE_DEVICE, BOB_DEVICE}


def test_an_envelope_is_there_once(db: Database) -> None:
    put(db, row(1), row(2, sealed=False), row(3, sealed=False))
    with pytest.raises(sqlcipher.IntegrityError):
        outbox.add(db, row(1))


def test_due(db: Database) -> None:
    one, two, three, _, five = put(
        db, row(1), row(2, BOB, next_try=5), row(3, next_try=11), row(4, sealed=False), row(5, next_try=0)
    )
    assert outbox.due(db, 10) == [one, two, five]
    assert outbox.due(db, 11, ALICE_DEVICE) == [one, three, five]
    assert outbox.due(db, 11, ALICE_DEVICE, 1) == [one]
    assert outbox.due(db, 11, ALICE_DEVICE, 1, one.pk) == [three]
    assert outbox.due(db, 10, after_pk=one.pk) == [two, five]
    assert outbox.due(db, -1) == []
    (renewal,) = put(db, row(6, kind=None, form=OutboxForm.RENEWAL, content=None))
    assert outbox.due(db, 11, ALICE_DEVICE, old_to=three.pk) == [five, renewal]
    assert outbox.due(db, 11, ALICE_DEVICE, old_to=renewal.pk) == [renewal]


def test_sealing_and_changing(db: Database) -> None:
    bare, other = put(db, row(1, sealed=False), row(2))
    assert outbox.unsealed(db, ALICE_DEVICE) == [bare.pk]
    assert outbox.unsealed(db, ALICE_DEVICE, other.pk) == [bare.pk, other.pk]
    assert outbox.unsealed(db, ALICE_DEVICE, other.pk, 1) == [bare.pk]
    assert outbox.unsealed(db, BOB_DEVICE, other.pk) == []
    assert (outbox.newest(db, ALICE_DEVICE), outbox.newest(db, BOB_DEVICE)) == (other.pk, 0)
    assert (outbox.get(db, other.pk), outbox.get(db, 99)) == (other, None)
    outbox.update(db, bare.pk, envelope_id=b"e", envelope=b"sealed", session_id=b"t", attempts=3)
    expected = replace(bare, envelope_id=EnvelopeId(b"e"), envelope=b"sealed", session_id=SessionId(b"t"), attempts=3)
    assert outbox.for_recipient(db, ALICE_DEVICE) == [expected, other]
    assert outbox.unsealed(db, ALICE_DEVICE) == []
    for wrong in ("recipient", "nothing"):
        with pytest.raises(ValueError, match="cannot set"):
            outbox.update(db, bare.pk, **{wrong: 1})


def test_a_receipt_forgets_only_what_went_to_its_sender(db: Database) -> None:
    one, two, three = put(db, row(1), row(1, BOB, envelope_id=b"b"), row(2))
    assert outbox.counts(db) == {ALICE_DEVICE: 2, BOB_DEVICE: 1}
    assert outbox.for_message(db, MessageId(b"msg1")) == [one, two]
    assert outbox.forget_messages(db, ALICE_DEVICE, [MessageId(b"msg1"), MessageId(b"unknown")]) == [(b"th", None)]
    assert outbox.forget_messages(db, ALICE_DEVICE, [MessageId(b"msg1")]) == []
    assert outbox.for_message(db, MessageId(b"msg1")) == [two]
    assert outbox.for_recipient(db, ALICE_DEVICE) == [three]
    outbox.remove(db, [two.pk, 99])
    assert outbox.counts(db) == {ALICE_DEVICE: 1}


def test_clear(db: Database) -> None:
    _, initial, two = put(db, row(1), row(2, kind=None, form=OutboxForm.INITIAL), row(3, BOB))
    outbox.clear(db, ALICE_DEVICE, [0, 5])
    assert outbox.for_recipient(db, ALICE_DEVICE) == [initial]
    outbox.clear_forms(db, ALICE_DEVICE, OutboxForm.RENEWAL, OutboxForm.REQUEST)
    assert outbox.for_recipient(db, ALICE_DEVICE) == [initial]
    outbox.clear(db, ALICE_DEVICE)
    assert outbox.counts(db).keys() == {BOB_DEVICE}
    assert outbox.for_recipient(db, BOB_DEVICE) == [two]


def test_expired(db: Database) -> None:
    one, _, three = put(db, row(1), row(2, expires_at=1001), row(3, BOB, sealed=False))
    assert outbox.expired(db, 1000) == [one, three]
    assert outbox.expired(db, 999) == []


def test_the_first_and_the_last_deadline(db: Database) -> None:
    """The first of all rows, the last of contents only: a first message may be kept for longer on purpose."""
    assert outbox.deadlines(db) == (None, None)
    put(db, row(1), row(2, expires_at=1001), row(3, kind=None, form=OutboxForm.INITIAL, expires_at=9000))
    assert outbox.deadlines(db) == (1000, 1001)
    outbox.keep_at_most(db, 500, 100)
    assert outbox.deadlines(db) == (500, 500)


def test_a_pk_is_not_given_twice(db: Database) -> None:
    """A sender that remembers how far it went must not pass over what came after."""
    (one,) = put(db, row(1))
    outbox.remove(db, [one.pk])
    (two,) = put(db, row(2))
    assert two.pk > one.pk


def test_looking_for_what_is_due_uses_the_index(db: Database) -> None:
    plan = db.query(
        "EXPLAIN QUERY PLAN "
        + outbox._SELECT
        + outbox._SEALED
        + "AND next_try <= 1 AND pk > 1 AND recipient = x'' ORDER BY pk"
    )
    assert [step[3] for step in plan] == ["SEARCH outbox USING INDEX outbox_by_recipient (recipient=? AND rowid>?)"]


def test_envelopes_of_one_transaction_are_noted_together_and_known_at_once(db: Database) -> None:
    rows = [SeenRow(EnvelopeId(bytes([number]) * 16), ALICE, None, 1) for number in range(40)]
    undone = [SeenRow(EnvelopeId(bytes([number]) * 16), BOB, None, 1) for number in (50, 51)]

    def fail() -> None:
        with db.transaction():
            envelopes.remember(db, undone[:1])
            assert envelopes.seen(db, undone[0].id) == undone[0], "before the COMMIT"
            envelopes.remember(db, undone[1:])
            raise LookupError

    with mock.patch.object(Database, "executemany", autospec=True, side_effect=Database.executemany) as together:
        with db.transaction():
            for row in rows:
                envelopes.remember(db, [row])
        assert together.call_count == 1
    with pytest.raises(LookupError):
        fail()
    with db.transaction():
        envelopes.remember(db, ())
    assert [envelopes.seen(db, row.id) for row in [*rows, *undone]] == [*rows, None, None]


def test_envelopes_seen(db: Database) -> None:
    one, two = (
        SeenRow(EnvelopeId(b"1" * 16), ALICE, MessageId(b"m"), 10, 20),
        SeenRow(EnvelopeId(b"2" * 16), BOB, None, 11),
    )
    envelopes.remember(db, [one, two])
    envelopes.remember(db, [replace(one, at=99)])
    assert (envelopes.seen(db, EnvelopeId(b"1" * 16)), envelopes.seen(db, EnvelopeId(b"2" * 16))) == (one, two)
    assert envelopes.seen(db, EnvelopeId(b"3" * 16)) is None
    envelopes.receipts_queued(db, [EnvelopeId(b"2" * 16)], 30)
    assert envelopes.seen(db, EnvelopeId(b"2" * 16)) == replace(two, receipt_at=30)


def test_old_envelopes_are_forgotten_part_by_part(db: Database) -> None:
    """Every id has its turn within as many looks as there are parts, each in one of them."""
    ids = [bytes([first]) + rest for first in range(256) for rest in (bytes(15), b"\xff" * 15)]
    envelopes.remember(
        db, [SeenRow(EnvelopeId(id), ALICE, None, 10) for id in ids] + [SeenRow(EnvelopeId(b"1" * 16), BOB, None, 11)]
    )
    left = []
    for at in [10] * PARTS + [11] * PARTS:
        envelopes.expire(db, at + REMEMBERED_FOR)
        left.append(db.query("SELECT count(*) FROM envelopes_seen")[0][0])
    assert left[:PARTS] == [len(ids) + 1] * PARTS
    assert left[-1] == 1
    assert max(before - after for before, after in pairwise(left)) <= 2 * 256 / PARTS + 2
    assert envelopes.seen(db, EnvelopeId(b"1" * 16)) is not None


def test_receipts_that_are_owed(db: Database) -> None:
    rows = [
        SeenRow(EnvelopeId(b"1"), ALICE, MessageId(b"m1"), 2),
        SeenRow(EnvelopeId(b"2"), ALICE, MessageId(b"m2"), 1),
        SeenRow(EnvelopeId(b"3"), ALICE, MessageId(b"m3"), 1, 1),
        SeenRow(EnvelopeId(b"4"), ALICE, None, 1),
        SeenRow(EnvelopeId(b"5"), BOB, MessageId(b"m5"), 1, 1),
    ]
    envelopes.remember(db, rows)
    assert envelopes.contacts_owed(db) == [ALICE]
    assert envelopes.owed(db, ALICE, 9) == [(b"2", b"m2"), (b"1", b"m1")]
    assert envelopes.owed(db, ALICE, 1) == [(b"2", b"m2")]
    envelopes.owe_receipt(db, EnvelopeId(b"5"))
    assert sorted(envelopes.contacts_owed(db)) == [ALICE, BOB]
    envelopes.receipts_queued(db, [EnvelopeId(b"1"), EnvelopeId(b"2"), EnvelopeId(b"5")], 9)
    assert envelopes.contacts_owed(db) == []
    assert envelopes.seen(db, EnvelopeId(b"5")) == SeenRow(EnvelopeId(b"5"), BOB, MessageId(b"m5"), 1, 9)
