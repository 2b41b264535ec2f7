"""Queues at relays, ours and others', and what lies in these."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]

from p2pchat.core.ids import ContactId, EnvelopeId, InviteId, PeerKey
from p2pchat.core.mailbox import BOX, STAMPED, Queue
from p2pchat.core.primitives import sign_public
from p2pchat.store import contacts, deposits, invites, outbox, queues
from p2pchat.store.database import Database
from p2pchat.store.deposits import DepositedCopy, Stored
from p2pchat.store.outbox import OutboxForm
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow
from tests.store.conftest import ALICE, ALICE_DEVICE, BOB, BOB_DEVICE
from tests.store.test_contacts import offer, person
from tests.store.test_outbox import put, row

INVITE = InviteId(b"invite.1")
R1, R2 = PeerKey(b"1" * 32), PeerKey(b"2" * 32)
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
def people(db: Database) -> None:
    contacts.add(db, person(ALICE))
    contacts.add(db, person(BOB, "Bob"))
    invites.add(db, offer(INVITE, 1000))


def ours(number: int, **fields: object) -> OwnQueueRow:
    put_seed = bytes((number,)) * 32
    made = OwnQueueRow(ALICE_DEVICE, None, R1, (b"here",), b"", b"f" * 32, sign_public(put_seed), put_seed, 0, number)
    return replace(made, **fields)  # type: ignore[arg-type]


def theirs(number: int = 1, **fields: object) -> TheirQueueRow:
    made = TheirQueueRow(ALICE_DEVICE, None, R1, b"there", b"", bytes((number,)) * 32, b"put seed", 0, 1000)
    return replace(made, **fields)  # type: ignore[arg-type]


def use(db: Database, *rows: TheirQueueRow) -> list[TheirQueueRow]:
    before = {one.id for one in queues.theirs(db)}
    for one in rows:
        queues.deposit_in(db, one)
    return [one for one in queues.theirs(db) if one.id not in before]


# --- ours ---------------------------------------------------------------------------------------------------------


def test_our_queues_come_back_as_they_were(db: Database) -> None:
    one = ours(1, addresses=(b"here", b"there"), token=b"a word", read_until=50)
    of_invite = ours(2, device=None, invite=INVITE, put_seed=None, flags=STAMPED)
    for each in (of_invite, one):
        queues.collect_from(db, each)
    assert queues.own(db) == [(each.qid, each) for each in (one, of_invite)]
    assert one.qid == Queue(sign_public(b"f" * 32), one.put, 0).id
    assert "f" * 32 not in repr(one)
    queues.collect_from(db, replace(of_invite, relay=R2))  # one queue at several relays
    with pytest.raises(sqlcipher.IntegrityError):
        queues.collect_from(db, one)


def test_a_retired_queue_is_read_for_a_while_and_not_announced(db: Database) -> None:
    old, new = ours(1), ours(2)
    for each in (old, new):
        queues.collect_from(db, each)
    queues.retire(db, old, 100)
    assert queues.announced(db, ALICE_DEVICE) == [new]
    assert queues.announced(db, BOB_DEVICE) == []
    assert not queues.expire(db, 99)
    assert [one for _, one in queues.own(db)] == [replace(old, read_until=100), new]
    assert queues.expire(db, 100) == {ALICE_DEVICE}
    assert [one for _, one in queues.own(db)] == [new]


def test_a_relay_that_moved_is_read_where_it_is(db: Database) -> None:
    for each in (ours(1), ours(1, relay=R2)):
        queues.collect_from(db, each)
    queues.move(db, ours(1), (b"new", b"place"), b"word", chosen=False)
    assert [(one.addresses, one.token, one.chosen) for _, one in queues.own(db)] == [
        ((b"new", b"place"), b"word", False),
        ((b"here",), b"", True),
    ]


def test_queues_end_with_those_whose_they_are(db: Database) -> None:
    for each in (ours(1), ours(2, device=BOB_DEVICE), ours(3, device=None, invite=INVITE, put_seed=None)):
        queues.collect_from(db, each)
    use(db, theirs(1), theirs(2, device=BOB_DEVICE), theirs(3, device=None, invite=INVITE, flags=BOX))
    assert queues.collect_no_more(db, device=BOB_DEVICE)
    assert not queues.collect_no_more(db, device=BOB_DEVICE)
    assert queues.has_queue(db, INVITE)
    assert queues.collect_no_more(db, invite=INVITE)
    assert not queues.has_queue(db, INVITE)
    queues.leave_box(db, INVITE)
    contacts.remove(db, ALICE)
    assert queues.own(db) == []
    assert [one.owner for one in queues.theirs(db)] == [BOB_DEVICE]
    use(db, theirs(4, device=None, invite=INVITE, flags=BOX))
    invites.update(db, INVITE, state="used")
    invites.expire(db, 1000 + invites.FORGET_AFTER)
    assert [one.owner for one in queues.theirs(db)] == [BOB_DEVICE]


# --- others' ------------------------------------------------------------------------------------------------------


def test_a_newer_list_replaces_the_older_but_what_stays(db: Database) -> None:
    one, two, first = use(db, theirs(1), theirs(2, relay=R2), theirs(3, flags=STAMPED))
    three = theirs(4)
    assert queues.deposit_no_more(db, ALICE_DEVICE, 0, [two, three])
    use(db, replace(two, address=b"moved", token=b"word", until=2000), three)
    found = queues.theirs(db, ALICE_DEVICE)
    assert found[:2] == [replace(two, address=b"moved", token=b"word", until=2000), first]
    assert [replace(each, id=0) for each in found[2:]] == [three]
    assert not queues.deposit_no_more(db, ALICE_DEVICE, 0, found)
    assert queues.deposit_no_more(db, ALICE_DEVICE, STAMPED)
    assert one not in queues.theirs(db)


def test_theirs_end_in_time(db: Database) -> None:
    one, two = use(db, theirs(1, until=10), theirs(2, until=11))
    assert queues.expire(db, 10)
    assert queues.theirs(db) == [two]
    assert one.until == 10


# --- deposits -----------------------------------------------------------------------------------------------------


def test_what_belongs_into_which_queue(db: Database) -> None:
    pair, first, box = use(db, theirs(1), theirs(2, flags=STAMPED), theirs(3, device=None, invite=INVITE, flags=BOX))
    text, _, initial, bundle = put(
        db,
        row(1),
        row(2, BOB),
        row(3, kind=None, form=OutboxForm.INITIAL, content=None),
        row(4, ContactId(INVITE), kind=None, form=OutboxForm.BOX, content=None),
    )
    put(db, row(5, sealed=False), row(6, next_try=11))
    assert deposits.due(db, 10, pair, 9) == [text]
    assert deposits.due(db, 10, first, 9) == [initial]
    assert deposits.due(db, 10, box, 9) == [bundle]
    assert deposits.due(db, 10, pair, 9, after_pk=text.pk) == []
    assert deposits.due(db, 10, pair, 9, old_to=text.pk) == []
    assert len(deposits.due(db, 11, pair, 1)) == 1


def test_a_deposit_is_repeated_after_an_hour_six_and_daily(db: Database) -> None:
    one, two = use(db, theirs(1), theirs(2, relay=R2))
    (text,) = put(db, row(1, next_try=0))
    now = 1000
    for pause in (HOUR, 6 * HOUR, DAY, DAY):
        deposits.note(db, [(EnvelopeId(b"env1"), one.id, now + 9)], now)
        assert deposits.due(db, now + pause - 1, one, 9) == []
        assert deposits.due(db, now + pause, one, 9) == [text]
        assert deposits.due(db, now, two, 9) == [text]
        now += pause


def test_what_lies_in_every_queue_that_is_asked_for(db: Database) -> None:
    one, two = use(db, theirs(1), theirs(2, relay=R2))
    texts = put(db, row(1), row(2), row(3))
    deposits.note(
        db, [(EnvelopeId(b"env1"), one.id, 5), (EnvelopeId(b"env2"), one.id, 5), (EnvelopeId(b"env2"), two.id, 7)], 0
    )
    deposits.note(db, [(EnvelopeId(b"gone"), one.id, 5), (EnvelopeId(b"env3"), 99, 5)], 0)
    first, second = [Stored(text.pk, 0, text.msg_id) for text in texts[:2]]
    assert deposits.stored(db, ALICE_DEVICE, [one.id]) == [first, second]
    assert deposits.stored(db, ALICE_DEVICE, [one.id, two.id]) == [second]
    assert deposits.stored(db, ALICE_DEVICE, [one.id], [EnvelopeId(b"env1"), EnvelopeId(b"env3")]) == [first]
    assert deposits.stored(db, ALICE_DEVICE, []) == [first, second]  # in one at least
    assert deposits.stored(db, BOB_DEVICE, []) == []
    assert deposits.of(db, texts[1].pk) == [DepositedCopy(R2, 7), DepositedCopy(R1, 5)]
    assert deposits.of(db, texts[2].pk) == []


def test_deposits_end_with_their_message_and_with_their_queue(db: Database) -> None:
    one, two = use(db, theirs(1), theirs(2, relay=R2))
    first, second = put(db, row(1), row(2))
    deposits.note(
        db, [(EnvelopeId(b"env1"), one.id, 5), (EnvelopeId(b"env2"), one.id, 5), (EnvelopeId(b"env2"), two.id, 5)], 0
    )
    outbox.remove(db, [first.pk])
    queues.deposit_no_more(db, ALICE_DEVICE, 0, [two])
    assert db.query("SELECT outbox, queue FROM deposits") == [(second.pk, two.id)]


def test_what_a_relay_took_is_found_by_its_envelopes_and_no_look_reads_a_whole_table(db: Database) -> None:
    def steps(sql: str, count: int) -> list[str]:
        return [step for *_, step in db.query("EXPLAIN QUERY PLAN " + sql, [b""] * count)]

    among = steps(deposits._STORED_AMONG, 3)
    assert any("outbox_by_envelope" in step for step in among), among
    assert not any("outbox_by_recipient" in step for step in among), among
    assert steps(deposits._DUE % deposits._FORMS[0], 6) == [  # and of what lies there already no row
        "SEARCH waiting USING COVERING INDEX outbox_by_recipient (recipient=? AND rowid>?)",
        "SEARCH deposits USING PRIMARY KEY (outbox=? AND queue=?) LEFT-JOIN",
        "SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)",
    ]
    for sql, index in (
        ("SELECT 1 FROM own_queues WHERE read_until <= ?", "own_queues_retired"),
        ("SELECT 1 FROM their_queues WHERE until <= ?", "their_queues_by_end"),
        (
            "SELECT device FROM sessions WHERE receive_until IS NULL AND NOT pending"
            " GROUP BY device HAVING count(*) > ? AND max(confirmed)",
            "sessions_live",
        ),
    ):
        assert any(index in step for step in steps(sql, 1)), (sql, steps(sql, 1))
