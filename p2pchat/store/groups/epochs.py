"""The epochs of groups: what is kept of each besides its secret, which is never kept, and the chains of its senders.

Keys that were used are deleted in the transaction that uses them; `secure_delete` and the checkpoint take them from the
disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import EpochSecrets
from p2pchat.core.ids import ChatId, EpochId, MemberId
from p2pchat.store.database import ID_LIST, Database, Row, packed
from p2pchat.store.groups import chain_starts


class EpochRow(NamedTuple):
    """An epoch. before: the epoch from which its event went on, None for the first. join, exporter: None once they are
    deleted. adopted_at: in ms. over_since: since when another one is sent under in its place (ms).
    """

    pk: int
    chat: ChatId
    id: EpochId
    before: EpochId | None
    tag: bytes
    header: bytes
    topic: bytes
    join_key: bytes | None
    exporter: bytes | None
    adopted_at: int
    over_since: int | None = None

    def __repr__(self) -> str:
        """Return nothing of the keys."""
        return f"EpochRow(pk={self.pk})"


_COLUMNS = ", ".join(EpochRow._fields)
_SELECT = f"SELECT {_COLUMNS} FROM group_epochs "
_ADD = """
INSERT INTO group_epochs (chat, id, before, tag, header, topic, join_key, exporter, adopted_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING pk
"""
_MOVE_CHAIN = "UPDATE group_chains SET number = ?3, key = ?4 WHERE epoch = ?1 AND member = ?2"
_PUT_CHAIN = "INSERT INTO group_chains (epoch, member, number, key) VALUES (?, ?, ?, ?)"
_SKIP = "INSERT INTO group_skipped (epoch, member, number, key, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_IN_CHAT = "epoch IN (SELECT pk FROM group_epochs WHERE chat = ?)"
_TRIM = """
DELETE FROM group_skipped WHERE (epoch, member, number) IN (
    SELECT epoch, member, number FROM group_skipped
    WHERE epoch IN (SELECT pk FROM group_epochs WHERE chat = ?1) AND (?3 IS NULL OR member = ?3)
    ORDER BY at, epoch, number LIMIT ?2)
"""


def add(
    db: Database,
    chat: ChatId,
    id: EpochId,
    before: EpochId | None,
    secrets: EpochSecrets,
    branches: Sequence[bytes],
    members: Collection[MemberId],
    at: int,
) -> int | None:
    """Save a new epoch with what the chains of its members come from; return its pk, or None if it is here already.
    branches: `chains.branch_keys`. at: ms.
    """
    values = (chat, id, before, secrets.tag, secrets.header, secrets.topic, secrets.join, secrets.exporter, at)
    added = db.query(_ADD, values)
    if not added:
        return None
    ((pk,),) = added
    chain_starts.add(db, pk, branches, members)
    return int(pk)


def get(db: Database, chat: ChatId, id: EpochId) -> EpochRow | None:
    """Return an epoch of a group, or None if nothing is kept of it."""
    return _made(db.query_one(_SELECT + "WHERE chat = ? AND id = ?", (chat, id)))


def by_pk(db: Database, pk: int) -> EpochRow | None:
    """Return the epoch with this pk, or None."""
    return _made(db.query_one(_SELECT + "WHERE pk = ?", (pk,)))


def of(db: Database, chat: ChatId) -> list[EpochRow]:
    """Return all epochs of a group of which something is kept, the oldest first."""
    return [EpochRow(*row) for row in db.query(_SELECT + "WHERE chat = ? ORDER BY pk", (chat,))]


def with_tag(db: Database, chat: ChatId, tag: bytes) -> list[EpochRow]:
    """Return the epochs of a group whose items begin with these 8 bytes: one, or none."""
    return [EpochRow(*row) for row in db.query(_SELECT + "WHERE tag = ? AND chat = ?", (tag, chat))]


def send_under(db: Database, chat: ChatId, id: EpochId, at: int) -> None:
    """Note that an epoch is sent under from now on, in place of all others of a group. at: ms."""
    db.execute("UPDATE group_epochs SET over_since = NULL WHERE chat = ? AND id = ?", (chat, id))
    sql = "UPDATE group_epochs SET over_since = ? WHERE chat = ? AND id <> ? AND over_since IS NULL"
    db.execute(sql, (at, chat, id))


def over_by(db: Database, chat: ChatId, now: int) -> None:
    """Count epochs of a group as over since `now` (ms) for which a wrong clock has written a time that is to come."""
    db.execute("UPDATE group_epochs SET over_since = ?1 WHERE chat = ?2 AND over_since > ?1", (now, chat))


def messages(db: Database, pk: int) -> int:
    """Return how many messages of an epoch have been seen, with those of ours."""
    row = db.query_one("SELECT sum(number) FROM group_chains WHERE epoch = ?", (pk,))
    return 0 if row is None or row[0] is None else int(row[0])


def drop_links(db: Database, pk: int) -> None:
    """Delete what leads from an epoch to those that go on from it."""
    db.execute("UPDATE group_epochs SET join_key = NULL, exporter = NULL WHERE pk = ?", (pk,))


def keep_topic(db: Database, pk: int) -> None:
    """Delete all of an epoch but what its logs are named by."""
    db.execute("UPDATE group_epochs SET header = x'', join_key = NULL, exporter = NULL WHERE pk = ?", (pk,))
    chain_starts.clear(db, pk)
    for table in ("group_chains", "group_skipped", "group_transcript", "group_gaps"):
        db.execute(f"DELETE FROM {table} WHERE epoch = ?", (pk,))


def remove(db: Database, pk: int) -> None:
    """Delete an epoch with its chains and skipped keys."""
    db.execute("DELETE FROM group_epochs WHERE pk = ?", (pk,))


def chain(db: Database, epoch: int, member: MemberId) -> Chain | None:
    """Return a member's chain in the epoch with this pk, or None."""
    row = db.query_one("SELECT key, number FROM group_chains WHERE epoch = ? AND member = ?", (epoch, member))
    return chain_starts.get(db, epoch, member) if row is None else Chain(*row)


def put_chain(db: Database, epoch: int, member: MemberId, chain: Chain) -> None:
    """Save where a member's chain is now. What led to it is not here any more."""
    values = (epoch, member, chain.next, chain.key)
    if not db.execute(_MOVE_CHAIN, values):
        chain_starts.remove(db, epoch, member)
        db.execute(_PUT_CHAIN, values)


def has_more_than(db: Database, epoch: int, members: int) -> bool:
    """Return whether more than so many members have a chain in the epoch with this pk."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM group_chains WHERE epoch = ? LIMIT ?)"
    ((used,),) = db.query(sql, (epoch, members + 1))
    return bool(used > members or used + chain_starts.count(db, epoch) > members)


def chains(db: Database, epoch: int, members: Collection[MemberId]) -> dict[MemberId, Chain | None]:
    """Return the chains of these members in the epoch with this pk, None for each that is not there."""
    if len(members) == 1:
        return {member: chain(db, epoch, member) for member in members}
    sql = f"SELECT member, key, number FROM group_chains WHERE epoch = ?1 AND member IN {ID_LIST.format('?2')}"
    found: dict[MemberId, Chain | None] = dict.fromkeys(members)
    for member, key, number in db.query(sql, (epoch, packed(members))):
        found[member] = Chain(key, number)
    unused = [member for member in members if found[member] is None]
    found.update(chain_starts.several(db, epoch, unused))
    return found


def put_chains(db: Database, epoch: int, chains: Mapping[MemberId, Chain]) -> None:
    """Save where the chains of these members are now, as `put_chain`."""
    if len(chains) == 1:
        for member, chain in chains.items():
            put_chain(db, epoch, member, chain)
        return
    sql = f"SELECT member FROM group_chains WHERE epoch = ?1 AND member IN {ID_LIST.format('?2')}"
    used = {member for (member,) in db.query(sql, (epoch, packed(chains)))}
    chain_starts.remove_all(db, epoch, chains.keys() - used)
    moved = [(epoch, member, chain.next, chain.key) for member, chain in chains.items()]
    db.executemany(_MOVE_CHAIN, [values for values in moved if values[1] in used])
    db.executemany(_PUT_CHAIN, [values for values in moved if values[1] not in used])


def skipped(db: Database, epoch: int, member: MemberId, number: int) -> bytes | None:
    """Return the key of a message that was passed over, or None."""
    row = db.query_one(
        "SELECT key FROM group_skipped WHERE epoch = ? AND member = ? AND number = ?", (epoch, member, number)
    )
    return None if row is None else row[0]


def skip(db: Database, epoch: int, member: MemberId, keys: Iterable[tuple[int, bytes]], at: int) -> None:
    """Save the keys of messages that were passed over."""
    db.executemany(_SKIP, [(epoch, member, number, key, at) for number, key in keys])


def use_skipped(db: Database, epoch: int, member: MemberId, number: int) -> None:
    """Delete a key that was used."""
    db.execute("DELETE FROM group_skipped WHERE epoch = ? AND member = ? AND number = ?", (epoch, member, number))


def count_skipped(db: Database, chat: ChatId, member: MemberId) -> tuple[int, int]:
    """Return how many skipped keys there are of a member, and of the whole group."""
    row = db.query_one(f"SELECT total(member = ?), count(*) FROM group_skipped WHERE {_IN_CHAT}", (member, chat))
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def trim_skipped(db: Database, chat: ChatId, count: int, member: MemberId | None = None) -> None:
    """Delete that many skipped keys of a group, or of one member of it, oldest first."""
    if count > 0:
        db.execute(_TRIM, (chat, count, member))


def drop_skipped(db: Database, before: int) -> None:
    """Delete the skipped keys of all groups that were saved before that time (ms)."""
    db.execute("DELETE FROM group_skipped WHERE at < ?", (before,))


def _made(row: Row | None) -> EpochRow | None:
    return None if row is None else EpochRow(*row)
