"""The chains that nobody has used yet: found, used once and then gone from the row, and gone with their member."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.core.groups.chains import Chain, advance_chain
from p2pchat.core.groups.epochs import derive
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId
from p2pchat.core.primitives import blake2b
from p2pchat.store import chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import chain_starts, epochs, groups
from p2pchat.store.groups.groups import GroupRow
from tests.support.databases import new_database

CHAT = ChatId(b"the chat")
COUNT = 3 * chain_starts.IN_A_ROW + 1


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = new_database(tmp_path / "db")
    chats.add(made, ChatRow(CHAT, ChatKind.GROUP, 0, name="town"))
    row = GroupRow(CHAT, GroupId(bytes(32)), member(0), bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0)
    groups.add(made, row)
    yield made
    made.close()


def member(number: int) -> MemberId:
    return MemberId((7919 * number % 65_521).to_bytes(8, "big"))


def beginnings(count: int = COUNT) -> dict[MemberId, Chain]:
    return {member(number): Chain(blake2b(member(number), b"key")) for number in range(count)}


def add(db: Database, name: bytes, count: int = COUNT) -> int:
    keys = {id: chain.key for id, chain in beginnings(count).items()}
    pk = epochs.add(db, CHAT, EpochId(name * 32), None, derive(name * 32), keys, 0)
    assert pk is not None
    return pk


def kept(db: Database) -> bytes:
    """All that lies in the rows."""
    return b"".join(chains for (chains,) in db.query("SELECT chains FROM group_chain_starts"))


def test_everybody_has_the_chain_that_was_added(db: Database) -> None:
    pk = add(db, b"e")
    assert all(epochs.chain(db, pk, id) == chain for id, chain in beginnings().items())
    for stranger in (MemberId(bytes(7) + b"\x01"), MemberId(b"\xff" * 8)):
        assert epochs.chain(db, pk, stranger) is None
    assert db.query("SELECT count(*) FROM group_chain_starts") == [(4,)]


@pytest.mark.parametrize("number", [0, 1, COUNT // 2, COUNT - 1])
def test_a_chain_that_is_used_is_nowhere_as_it_was(db: Database, number: int) -> None:
    pk, before = add(db, b"e"), beginnings()
    _, after = advance_chain(before[member(number)])
    epochs.put_chain(db, pk, member(number), after)
    assert before[member(number)].key not in kept(db)
    assert {id: epochs.chain(db, pk, id) for id in before} == before | {member(number): after}
    _, later = advance_chain(after)
    epochs.put_chain(db, pk, member(number), later)
    assert epochs.chain(db, pk, member(number)) == later
    assert epochs.messages(db, pk) == 2


@pytest.mark.parametrize("count", [2, chain_starts.FEW + 1, COUNT])
def test_chains_that_are_used_together_are_nowhere_as_they_were(db: Database, count: int) -> None:
    pk, before = add(db, b"e"), beginnings()
    used = {member(number): advance_chain(before[member(number)])[1] for number in range(0, COUNT, COUNT // count)}
    strangers = [MemberId(bytes(7) + b"\x01"), MemberId(b"\xff" * 8)]
    assert epochs.chains(db, pk, [*used, *strangers]) == {**{id: before[id] for id in used}, **dict.fromkeys(strangers)}
    epochs.put_chains(db, pk, used)
    assert not any(before[id].key in kept(db) for id in used)
    assert {id: epochs.chain(db, pk, id) for id in before} == before | used
    later = {id: advance_chain(chain)[1] for id, chain in used.items()} | {
        member(1): advance_chain(before[member(1)])[1]
    }
    epochs.put_chains(db, pk, later)
    assert epochs.chains(db, pk, before) == before | used | later


def test_they_go_with_their_epoch(db: Database) -> None:
    first, second = add(db, b"e"), add(db, b"f", 1)
    epochs.keep_topic(db, first)
    assert epochs.chain(db, first, member(0)) is None
    epochs.remove(db, second)
    assert kept(db) == b""
