"""The chains that nobody has used yet: found, used once and then gone from the row, and gone with their member."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.core.groups.chains import Chain, advance_chain, branch_keys, branch_of, chain_heads
from p2pchat.core.groups.epochs import derive
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId
from p2pchat.store import chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import chain_starts, epochs, groups
from p2pchat.store.groups.groups import GroupRow
from tests.support.databases import new_database

CHAT = ChatId(b"the chat")
SMALL = 3 * chain_starts.IN_A_ROW + 1
LARGE = chain_starts.SMALL + 1
SECRET = b"e" * 32


@pytest.fixture(params=[SMALL, LARGE])
def count(request: pytest.FixtureRequest) -> int:
    """How many members the epoch has."""
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = new_database(tmp_path / "db")
    chats.add(made, ChatRow(CHAT, ChatKind.GROUP, 0, name="town"))
    row = GroupRow(CHAT, GroupId(bytes(32)), member(0), bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0)
    groups.add(made, row)
    yield made
    made.close()


def member(number: int) -> MemberId:
    return MemberId((7919 * number % 65_521).to_bytes(2, "big") + bytes(6))


def beginnings(count: int) -> dict[MemberId, Chain]:
    return chain_heads(SECRET, [member(number) for number in range(count)])


def add(db: Database, name: bytes, count: int) -> int:
    ids = [member(number) for number in range(count)]
    pk = epochs.add(db, CHAT, EpochId(name * 32), None, derive(SECRET), branch_keys(SECRET), ids, 0)
    assert pk is not None
    return pk


def kept(db: Database) -> bytes:
    """All that lies in the rows."""
    return b"".join(part for row in db.query("SELECT branch, chains FROM group_chain_starts") for part in row if part)


def test_everybody_has_the_chain_that_was_added(db: Database, count: int) -> None:
    pk = add(db, b"e", count)
    assert all(epochs.chain(db, pk, id) == chain for id, chain in beginnings(count).items())
    for stranger in (MemberId(bytes(7) + b"\x01"), MemberId(b"\xff" * 8)):
        assert epochs.chain(db, pk, stranger) is None


def test_a_small_epoch_has_its_chains_and_a_large_one_what_they_come_from(db: Database) -> None:
    add(db, b"e", SMALL)
    assert len(kept(db)) == SMALL * chain_starts.ENTRY_BYTES
    assert db.query("SELECT count(*) FROM group_chain_starts") == [(4,)]
    db.execute("DELETE FROM group_chain_starts")
    add(db, b"f", LARGE)
    assert len(kept(db)) == len({branch_of(id) for id in beginnings(LARGE)}) * 32 + LARGE * 8


@pytest.mark.parametrize("number", [0, 1, SMALL // 2, SMALL - 1])
def test_a_chain_that_is_used_is_nowhere_as_it_was(db: Database, count: int, number: int) -> None:
    pk, before = add(db, b"e", count), beginnings(count)
    _, after = advance_chain(before[member(number)])
    epochs.put_chain(db, pk, member(number), after)
    assert before[member(number)].key not in kept(db)
    assert branch_keys(SECRET)[branch_of(member(number))] not in kept(db)
    assert {id: epochs.chain(db, pk, id) for id in before} == before | {member(number): after}
    _, later = advance_chain(after)
    epochs.put_chain(db, pk, member(number), later)
    assert epochs.chain(db, pk, member(number)) == later
    assert epochs.messages(db, pk) == 2


@pytest.mark.parametrize("users", [2, chain_starts.FEW + 1, SMALL])
def test_chains_that_are_used_together_are_nowhere_as_they_were(db: Database, count: int, users: int) -> None:
    pk, before = add(db, b"e", count), beginnings(count)
    used = {member(number): advance_chain(before[member(number)])[1] for number in range(0, count, count // users)}
    strangers = [MemberId(bytes(7) + b"\x01"), MemberId(b"\xff" * 8)]
    assert epochs.chains(db, pk, [*used, *strangers]) == {**{id: before[id] for id in used}, **dict.fromkeys(strangers)}
    epochs.put_chains(db, pk, used)
    assert not any(before[id].key in kept(db) for id in used)
    assert not any(branch_keys(SECRET)[branch_of(id)] in kept(db) for id in used)
    assert {id: epochs.chain(db, pk, id) for id in before} == before | used
    later = {id: advance_chain(chain)[1] for id, chain in used.items()} | {
        member(1): advance_chain(before[member(1)])[1]
    }
    epochs.put_chains(db, pk, later)
    assert epochs.chains(db, pk, before) == before | used | later


def test_they_go_with_their_epoch(db: Database) -> None:
    first, second = add(db, b"e", LARGE), add(db, b"f", 1)
    epochs.keep_topic(db, first)
    assert epochs.chain(db, first, member(0)) is None
    epochs.remove(db, second)
    assert kept(db) == b""
