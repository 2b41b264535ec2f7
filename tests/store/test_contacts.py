"""Contacts with their ways, sessions with their skipped keys, prekeys, invites."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]

from p2pchat.core.ids import ContactId, InviteId, PeerKey, SessionId, first_device
from p2pchat.errors import AmbiguousName, NoSuchContact
from p2pchat.store import contacts, devices, facts, invites, outbox, prekeys, sessions
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import PAGE_BYTES, Database
from p2pchat.store.devices import Way
from p2pchat.store.facts import Fact
from p2pchat.store.invites import InviteRow, InviteState
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.prekeys import Handshake, PrekeyRow
from p2pchat.store.sessions import SKIPPED_FOR_MS, SessionRow
from tests.store.conftest import ALICE, ALICE_DEVICE, BOB, BOB_DEVICE

SESSION = SessionId(b"t" * 32)


def person(id: bytes = ALICE, name: str = "Alice", **fields: object) -> Contact:
    made = Contact(ContactId(id), name, True, ContactState.CONTACT, b"identity" + id, b"device", b"bundle", True, 1)
    return replace(made, **fields)  # type: ignore[arg-type]


# --- contacts ------------------------------------------------------------------------------------


def test_contacts_come_back_as_they_were(db: Database) -> None:
    full = Contact(
        ALICE,
        "Alice",
        True,
        ContactState.WAITING,
        b"i",
        b"d",
        b"b",
        True,
        1,
        2,
        b"invite",
        3,
        InviteId(b"used"),
        False,
        "Al",
    )
    bare = Contact(BOB, "Bob", False, ContactState.REQUEST, None, None, None, False, 0)
    for one in (full, bare):
        contacts.add(db, one)
    assert contacts.get(db, ALICE) == full
    assert contacts.get(db, BOB) == bare
    assert contacts.all(db) == [bare, full]
    assert contacts.listed(db) == [bare, replace(full, device=None, bundle=None)]
    assert contacts.by_identity(db, b"i") == full
    assert contacts.by_identity(db, b"x") is contacts.get(db, ContactId(b"x")) is None


def test_ids_and_identities_are_unique(db: Database) -> None:
    contacts.add(db, person())
    for twin in (person(identity=b"other"), person(BOB, identity=b"identity" + ALICE)):
        with pytest.raises(sqlcipher.IntegrityError):
            contacts.add(db, twin)
    contacts.add(db, person(BOB, identity=None))
    contacts.add(db, person(b"carol..3", identity=None))


def test_a_state_must_be_one(db: Database) -> None:
    with pytest.raises(sqlcipher.IntegrityError):
        contacts.add(db, person(state="friend"))


def test_update_and_heard(db: Database) -> None:
    contacts.add(db, person())
    contacts.add(db, person(BOB, "Bob"))
    contacts.update(db, ALICE, name="Al", state="blocked", verified=False, bundle=None)
    contacts.heard(db, ALICE, 99)
    expected = replace(person(), name="Al", state=ContactState.BLOCKED, verified=False, bundle=None, heard_at=99)
    assert contacts.get(db, ALICE) == expected
    assert contacts.get(db, BOB) == person(BOB, "Bob")
    for wrong in ("nothing", "name = ''; --"):
        with pytest.raises(ValueError, match="cannot set"):
            contacts.update(db, ALICE, **{wrong: b""})


def test_find(db: Database) -> None:
    everybody = [
        person(bytes.fromhex("aabbccdd00112233"), "Alice"),
        person(bytes.fromhex("aabbccdd99112233"), "ЁЖИК"),
        person(bytes.fromhex("0102030405060708"), "alice"),
        person(bytes.fromhex("1112131415161718"), "aabb"),
        person(bytes.fromhex("2122232425262728"), "Straße"),
    ]
    for one in everybody:
        contacts.add(db, one)
    wanted = {
        "ёжик": 1,
        " STRASSE ": 4,
        "0102030405060708": 2,
        "AABBCCDD0": 0,
        "0102": 2,
        "aabb": 3,  # a name goes before an id
    }
    assert {text: contacts.find(db, text) for text in wanted} == {text: everybody[n] for text, n in wanted.items()}
    with pytest.raises(AmbiguousName) as names:
        contacts.find(db, "ALICE")
    assert set(names.value.candidates) == {"Alice (aabbccdd00112233)", "alice (0102030405060708)"}
    with pytest.raises(AmbiguousName) as ids:
        contacts.find(db, "aabbccdd")
    assert len(ids.value.candidates) == 2
    for nobody in ("", " ", "010", "Ali", "ffff", "01020304050607080", "%"):
        with pytest.raises(NoSuchContact):
            contacts.find(db, nobody)


def test_remove_takes_what_hangs_on_a_contact(db: Database) -> None:
    for id, name in ((ALICE, "Alice"), (BOB, "Bob")):
        contacts.add(db, person(id, name))
        devices.set_ways(db, first_device(id), [Way(PeerKey(b"p" * 32), b"a", 0)], 1)
        sessions.save(db, session(SessionId(b"t" * 31 + id[:1]), id))
        sessions.add_skipped(db, SessionId(b"t" * 31 + id[:1]), [(0, 0, b"k")], 1)
        outbox.add(db, OutboxRow(first_device(id), 0, None, b"c", 1, 1, 1))
        prekeys.remember(db, SessionId(b"h" + id), id, 10)
    contacts.remove(db, ALICE)
    assert contacts.all(db) == [person(BOB, "Bob")]
    left = {
        id: (
            devices.ways(db, first_device(id)),
            sessions.for_device(db, first_device(id)),
            outbox.for_recipient(db, first_device(id)),
        )
        for id in (ALICE, BOB)
    }
    assert left[ALICE] == ([], [], [])
    assert [len(rows) for rows in left[BOB]] == [1, 1, 1]
    assert sessions.skipped(db, SessionId(b"t" * 31 + ALICE[:1])) == []
    assert prekeys.known(db, SessionId(b"h" + ALICE)) is not None  # or a replayed first message would be accepted


# --- sessions ------------------------------------------------------------------------------------


def session(session_id: SessionId = SESSION, contact: ContactId = ALICE, **fields: object) -> SessionRow:
    made = SessionRow(session_id, first_device(contact), True, b"root", b"sas", b"state", 5, False, None, False)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("confirmed", [True, False])
def test_rivals_live_side_by_side_with_a_confirmed_session(db: Database, confirmed: bool) -> None:
    for contact in (ALICE, BOB):
        contacts.add(db, person(contact, contact.decode()))
    alive = session(SessionId(b"a" * 32), confirmed=True)
    pending = session(SessionId(b"c" * 32), confirmed=True, pending=True)
    ending = session(SessionId(b"d" * 32), confirmed=True, receive_until=9)
    nobody_answered = [session(SessionId(b"e" * 32), BOB), session(SessionId(b"g" * 32), BOB)]
    for row in (alive, pending, ending, *nobody_answered):
        sessions.save(db, row)
    assert sessions.rivals(db) == []
    sessions.save(db, session(SessionId(b"f" * 32), confirmed=confirmed))
    assert sessions.rivals(db) == [ALICE_DEVICE]


def test_a_ratchet_that_moved_on_is_one_page_of_the_log(db: Database, path: Path) -> None:
    """No index has to be written with it: each message pays for this twice or three times."""
    log = path.with_name(path.name + "-wal")
    contacts.add(db, person())
    sessions.save(db, session(confirmed=True))
    before = log.stat().st_size
    for number in range(10):
        sessions.save(db, session(confirmed=True, state=bytes([number])))
    assert (log.stat().st_size - before) // PAGE_BYTES == 10


def test_sessions(db: Database) -> None:
    contacts.add(db, person())
    contacts.add(db, person(BOB, "Bob"))
    first, second = (
        session(SessionId(b"z" * 32)),
        session(SessionId(b"a" * 32), initiator=False, confirmed=True, pending=True),
    )
    for row in (first, second, session(SessionId(b"b" * 32), BOB)):
        sessions.save(db, row)
    assert sessions.for_device(db, ALICE_DEVICE) == [first, second]
    later = replace(first, state=b"later", confirmed=True, receive_until=9, created_at=0)
    sessions.save(db, later)
    assert sessions.for_device(db, ALICE_DEVICE) == [replace(later, created_at=5), second]
    sessions.remove(db, SessionId(b"z" * 32))
    assert sessions.for_device(db, ALICE_DEVICE) == [second]


def test_a_session_needs_its_contact_by_the_end_of_the_transaction(db: Database) -> None:
    with db.transaction():
        sessions.add_skipped(db, SessionId(b"t" * 32), [(0, 0, b"k")], 1)
        sessions.save(db, session())
        contacts.add(db, person())
    with pytest.raises(sqlcipher.IntegrityError), db.transaction():
        sessions.save(db, session(SessionId(b"x" * 32), BOB))
    assert sessions.for_device(db, BOB_DEVICE) == []


def test_skipped_keys(db: Database) -> None:
    contacts.add(db, person())
    session_id, other = b"t" * 32, b"o" * 32
    for one in (session_id, other):
        sessions.save(db, session(SessionId(one)))
        sessions.add_skipped(db, SessionId(one), [(2, 0, b"20"), (1, 5, b"15"), (1, 4, b"14"), (3, 300, b"3")], 7)
    sessions.drop_skipped(db, SessionId(session_id), [(1, 4), (9, 9)])
    assert sessions.skipped(db, SessionId(session_id)) == [(1, 5, b"15"), (2, 0, b"20"), (3, 300, b"3")]
    assert sessions.trim_skipped(db, SessionId(session_id), 3) == []
    assert sessions.trim_skipped(db, SessionId(session_id), 2) == [(1, 5)]
    sessions.drop_chain(db, SessionId(session_id), 3)
    assert sessions.skipped(db, SessionId(session_id)) == [(3, 300, b"3")]
    sessions.add_skipped(db, SessionId(session_id), [(3, 300, b"again")], 8)
    assert sessions.skipped(db, SessionId(session_id)) == [(3, 300, b"3")]
    assert len(sessions.skipped(db, SessionId(other))) == 4


def test_sessions_expire(db: Database) -> None:
    contacts.add(db, person())
    for session_id, until in ((b"a", None), (b"b", 1000), (b"c", 1001)):
        sessions.save(db, session(SessionId(session_id), receive_until=until))
    sessions.add_skipped(db, SessionId(b"a"), [(0, 0, b"old")], 999 - SKIPPED_FOR_MS)
    sessions.add_skipped(db, SessionId(b"a"), [(0, 1, b"young")], 1000 - SKIPPED_FOR_MS)
    sessions.expire(db, 1000)
    assert [row.session_id for row in sessions.for_device(db, ALICE_DEVICE)] == [b"a", b"c"]
    assert sessions.skipped(db, SessionId(b"a")) == [(0, 1, b"young")]


# --- prekeys and handshakes ----------------------------------------------------------------------


def test_prekeys(db: Database) -> None:
    rows = [
        PrekeyRow("rotation", 900, b"first", 10, 50),
        PrekeyRow("rotation", 3, b"second", 20, None),
        PrekeyRow("one-time", 3, b"other", 30, 51),
    ]
    for row in rows:
        prekeys.put(db, row)
    assert [prekeys.get(db, row.kind, row.id) for row in rows] == rows
    assert prekeys.newest(db, "rotation", 10**15) == rows[1]  # ids are random: the newest is the last made
    assert prekeys.newest(db, "none", 10**15) is prekeys.get(db, "one-time", 900) is None
    with pytest.raises(sqlcipher.IntegrityError):
        prekeys.put(db, rows[0])
    prekeys.expire(db, 50, 50)
    assert [prekeys.get(db, row.kind, row.id) for row in rows] == [None, *rows[1:]]
    prekeys.delete(db, "one-time", 3)
    prekeys.delete(db, "one-time", 3)
    assert prekeys.get(db, "one-time", 3) is None


def test_handshakes(db: Database) -> None:
    assert prekeys.known(db, SessionId(b"th")) is None
    prekeys.remember(db, SessionId(b"th"), None, 100)
    assert prekeys.known(db, SessionId(b"th")) == Handshake(SessionId(b"th"), None, 100)
    prekeys.remember(db, SessionId(b"th"), ALICE, 200)
    prekeys.expire(db, 199, 199)
    assert prekeys.known(db, SessionId(b"th")) == Handshake(SessionId(b"th"), ALICE, 200)
    prekeys.expire(db, 200, 200)
    assert prekeys.known(db, SessionId(b"th")) is None


# --- invites -------------------------------------------------------------------------------------


def offer(id: bytes, expires_at: int, state: InviteState = InviteState.OPEN, **fields: object) -> InviteRow:
    made = InviteRow(InviteId(id), 0, b"secret", b"hello", b"bundle", expires_at, False, state, 1, b"encoded", 7, 8)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_invites(db: Database) -> None:
    one, two = offer(b"1", 100), offer(b"2", 200, kind=1, ask=True, opk_id=None, okpk_id=None, created_at=0)
    for row in (one, two):
        invites.add(db, row)
    assert (invites.get(db, InviteId(b"1")), invites.get(db, InviteId(b"2")), invites.get(db, InviteId(b"3"))) == (
        one,
        two,
        None,
    )
    assert invites.all(db) == invites.open_invites(db) == [two, one]
    invites.update(db, InviteId(b"1"), state="used", secret=None, bundle=None, encoded=None)
    used = replace(one, state=InviteState.USED, secret=None, bundle=None, encoded=None)
    assert invites.get(db, InviteId(b"1")) == used
    assert invites.open_invites(db) == [two]
    assert invites.all(db) == [two, used]
    with pytest.raises(ValueError, match="cannot set"):
        invites.update(db, InviteId(b"1"), nothing=b"9")


def test_invites_expire_and_keep_what_a_late_joiner_proves(db: Database) -> None:
    rows = [offer(b"1", 100), offer(b"2", 101), offer(b"3", 100, InviteState.USED, secret=None)]
    for row in rows:
        invites.add(db, row)
    assert invites.expire(db, 100) == [rows[0]]
    assert invites.expire(db, 100) == []
    assert invites.get(db, InviteId(b"1")) == replace(
        rows[0], state=InviteState.EXPIRED, secret=None, bundle=None, encoded=None
    )
    assert invites.open_invites(db) == [rows[1]]
    assert invites.get(db, InviteId(b"3")) == rows[2]
    invites.expire(db, 100 + invites.FORGET_AFTER)
    assert [row.id for row in invites.all(db)] == [b"2"]


# --- what else is known --------------------------------------------------------------------------


def test_facts(db: Database) -> None:
    contacts.add(db, person(ALICE))
    facts.put(db, ALICE, Fact.INTRODUCTION, b"one")
    facts.put(db, ALICE, Fact.INTRODUCTION, b"two")
    facts.put_int(db, ALICE, Fact.SEALING, -1)
    facts.put(db, BOB, Fact.INTRODUCTION, b"of nobody")
    assert facts.of_all(db, Fact.INTRODUCTION) == [(ALICE, b"two")]
    assert (facts.get_int(db, ALICE, Fact.SEALING), facts.get_int(db, BOB, Fact.SEALING, 7)) == (-1, 7)
    facts.remove(db, ALICE, Fact.SEALING)
    assert facts.get(db, ALICE, Fact.SEALING) is None
