"""Seizure: somebody takes the profile's folder with its key, and has recorded everything that ever went by.

Both people have read and deleted what was written. Nothing that went by opens with what the folder holds, and no
word of it is left in any file, in the free pages of the database neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]

from p2pchat.core import primitives as prim
from p2pchat.core import ratchet
from p2pchat.core.codec import decode
from p2pchat.core.envelope import HEADER_BYTES, open_blob
from p2pchat.core.frames import BUNDLE, ENVELOPE, INITIAL, FrameParser
from p2pchat.core.ids import first_device
from p2pchat.core.invite import blob_key
from p2pchat.core.session import open_envelope, renew_key
from p2pchat.engine.runtime.session_cache import SessionCache
from p2pchat.errors import CannotOpen
from p2pchat.store import sessions as store_sessions
from p2pchat.store.database import Database
from tests.support.databases import KEY
from tests.support.meddler import Meddler
from tests.support.world import World, WorldNode, befriend, run_world, until

MARKER = "xylophonemarker"
MARKERS = [f"{MARKER}{number}" for number in range(12)]
_PAGE, _RESERVED, _SALT = 4096, 48, 16
_LOG_HEADER, _FRAME_HEADER = 32, 24


@dataclass(frozen=True)
class Recording:
    """What went by, by the frames it came in."""

    envelopes: frozenset[bytes]
    blobs: frozenset[bytes]


def recorded(world: World) -> Recording:
    frames = [frame for _, _, data in world.traffic for frame in FrameParser().feed(data)]
    envelopes = frozenset(frame.body for frame in frames if frame.type == ENVELOPE)
    return Recording(envelopes, frozenset(one.body for one in frames if one.type in (BUNDLE, INITIAL)))


# --- what a folder and its key hold ---------------------------------------------------------------------------------


def pages(file: Path, key: bytes = KEY) -> bytes:
    """A database file with every page decrypted, the free ones too, and all that its write-ahead log holds."""
    data, log = file.read_bytes(), file.with_name(file.name + "-wal")
    opened = [_decrypted(data[start : start + _PAGE], key, first=start == 0) for start in range(0, len(data), _PAGE)]
    logged = log.read_bytes() if log.exists() else b""
    for start in range(_LOG_HEADER, len(logged) - _FRAME_HEADER - _PAGE + 1, _FRAME_HEADER + _PAGE):
        number = int.from_bytes(logged[start : start + 4], "big")
        opened.append(_decrypted(logged[start + _FRAME_HEADER :][:_PAGE], key, first=number == 1))
    return b"".join(opened)


def _decrypted(page: bytes, key: bytes, *, first: bool) -> bytes:
    """AES-256-CBC, IV and MAC at the page's end."""
    iv = page[_PAGE - _RESERVED : _PAGE - _RESERVED + 16]
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(page[_SALT if first else 0 : _PAGE - _RESERVED]) + decryptor.finalize()


def values(file: Path) -> Iterator[bytes]:
    """Every value of every table, and every byte string inside the encoded ones."""
    connection = sqlcipher.connect(f"file:{file}?mode=ro", uri=True)
    connection.execute(f"PRAGMA key = \"x'{KEY.hex()}'\"")
    connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if table == "messages_fts":
            continue
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            for value in row:
                if isinstance(value, bytes):
                    yield from inside(value)
    connection.close()


def inside(value: object) -> Iterator[bytes]:
    if isinstance(value, list):
        for item in value:
            yield from inside(item)
    elif isinstance(value, bytes):
        yield value
        try:
            yield from inside(decode(value, 1 << 20))
        except CannotOpen:
            return


def secrets(file: Path) -> set[bytes]:
    """Every 32 bytes that could be a key; the halves of longer values, and what shorter secrets stand for."""
    found = {bytes(32)}
    for value in values(file):
        if len(value) == 32:
            found.add(value)
        elif len(value) == 64:
            found |= {value[:32], value[32:]}
        elif len(value) == ratchet.SEAL_BYTES:
            found.add(ratchet.load_seal(value).body_key)
        if len(value) in (16, 32):
            found.add(blob_key(value))
    return found | {renew_key(one) for one in found}


def message_keys(found: set[bytes]) -> set[bytes]:
    """Body keys they could give: as they are, as message keys, as chain keys with all that follow for a while."""
    keys = set(found)
    for secret in found:
        keys.add(ratchet._message_key(secret))
        chain = secret
        for _ in range(8):
            key, chain = ratchet._chain_step(chain)
            keys.add(ratchet._message_key(key))
    return keys


def opens(key: bytes, sealed: bytes, ad: bytes) -> bool:
    try:
        prim.open_sealed(key, sealed, ad)
    except CannotOpen:
        return False
    return True


def what_opens(folder: Path, recording: Recording, entropy: prim.Entropy) -> set[bytes]:
    """Every recorded envelope and blob that the folder's keys open, by the program's own way and by trying all."""
    file = folder / "p2pchat.db"
    found = secrets(file)
    opened = {blob for blob in recording.blobs for key in found if blob_opens(key, blob)}
    db = Database.open(file, KEY)
    ids = [row[0] for row in db.query("SELECT id FROM contacts")]
    rows = [row for contact in ids for row in store_sessions.for_device(db, first_device(contact))]
    cache = SessionCache(db)
    for contact in ids:
        for session in cache.all(contact):
            skipped = {(chain, n): key for chain, n, key in store_sessions.skipped(db, session.session_id)}
            for envelope in recording.envelopes:
                try:
                    open_envelope(session, envelope, finder(skipped), entropy)
                except CannotOpen:
                    continue
                opened.add(envelope)
    db.close()
    keys = message_keys(found)
    for envelope in recording.envelopes:
        header, body = envelope[:HEADER_BYTES], envelope[HEADER_BYTES:]
        if any(opens(key, body, row.session_id + header) for row in rows for key in keys):
            opened.add(envelope)
    return opened


def finder(skipped: dict[tuple[int, int], bytes]) -> ratchet.FindSkipped:
    return lambda chain, number: skipped.get((chain, number))


def blob_opens(key: bytes, blob: bytes) -> bool:
    try:
        open_blob(key, blob)
    except CannotOpen:
        return False
    return True


# --- the story ------------------------------------------------------------------------------------------------------


async def talk_and_delete(world: World) -> tuple[WorldNode, WorldNode]:
    alice, bob = await world.start("alice"), await world.start("bob")
    invite = (await alice.call("invite", ask=True))["invite"]
    await bob.call("add", invite=invite, name="alice")
    await bob.call("send", chat="alice", text=MARKERS[0])  # waits unsealed
    await alice.call("accept", contact="bob")
    for number, text in enumerate(MARKERS[1:], 1):
        node, chat = (alice, "bob") if number % 3 else (bob, "alice")
        await node.call("send", chat=chat, text=f"{text} {'and more ' * 400 * (number % 2)}", wait="delivered")
    await until(lambda: nothing_owed(alice, bob))
    for node, chat in ((alice, "bob"), (bob, "alice")):
        assert len(await node.call("log", chat=chat, search=MARKER)) == len(MARKERS)
    return alice, bob


async def nothing_owed(*nodes: WorldNode) -> bool:
    counts = [await node.engine.committer.read(lambda db: db.query("SELECT count(*) FROM outbox")) for node in nodes]
    return all(count == [(0,)] for count in counts)


async def delete_all(node: WorldNode, chat: str) -> None:
    for message in await node.call("log", chat=chat):
        await node.call("delete", id=message["id"])


def test_a_seized_profile_opens_nothing_that_went_by(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await talk_and_delete(world)
        for node, chat in ((alice, "bob"), (bob, "alice")):
            await delete_all(node, chat)
        recording = recorded(world)
        assert len(recording.envelopes) >= 2 * len(MARKERS)
        assert len(recording.blobs) == 2
        for node in (alice, bob):
            copy = node.copy()
            assert what_opens(copy, recording, world.entropy) == set()

    run_world(tmp_path, main)


def test_the_search_opens_what_can_be_opened(tmp_path: Path) -> None:
    """The same search with the folder of one who has not read it yet: it all opens. And before the invite was used."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite"))["invite"]
        unused = alice.copy()
        await bob.call("add", invite=invite, name="alice", wait="accepted")
        await bob.call("send", chat="alice", text="first", wait="delivered")
        await trio.sleep(1)
        assert what_opens(unused, recorded(world), world.entropy) >= recorded(world).blobs
        early = alice.copy()
        world.traffic.clear()
        for number in range(3):
            await bob.call("send", chat="alice", text=f"{number}", wait="delivered")
        sent = recorded(world).envelopes
        opened = what_opens(early, recorded(world), world.entropy)
        assert opened
        assert opened <= sent

    run_world(tmp_path, main)


def test_what_waits_opens_until_its_receipt_and_not_after(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        await trio.sleep(1)
        world.traffic.clear()
        meddler = Meddler(world)
        meddler.drop(ENVELOPE, sender=bob)
        await alice.call("send", chat="bob", text="waits")
        await trio.sleep(1)
        ours = set(meddler.of(ENVELOPE, alice))
        assert len(ours) == 1
        assert what_opens(alice.copy(), recorded(world), world.entropy) & ours == ours
        meddler.clear()
        await trio.sleep(2 * 3600)
        assert await nothing_owed(alice, bob)
        assert what_opens(alice.copy(), recorded(world), world.entropy) & ours == set()

    run_world(tmp_path, main)


@pytest.mark.parametrize("ended", ["stopped", "killed"])
def test_no_file_holds_a_word_of_what_was_deleted(tmp_path: Path, ended: str) -> None:
    async def main(world: World) -> None:
        alice, bob = await talk_and_delete(world)
        for node in (alice, bob):
            await node.engine.committer.read(Database.checkpoint)
            assert found_in(node.copy()) == ["pages", "values"]  # the search finds what is there
        for node, chat in ((alice, "bob"), (bob, "alice")):
            await delete_all(node, chat)
            await (node.stop() if ended == "stopped" else node.crash())
            assert found_in(node.folder) == []
            log = node.folder / "p2pchat.db-wal"
            assert not log.exists() or log.stat().st_size == 0

    run_world(tmp_path, main)


def found_in(folder: Path) -> list[str]:
    """Where a marker is: in the files as they are, in their decrypted pages, in the values of the tables."""
    found = []
    for file in folder.iterdir():
        if has_marker(file.read_bytes()):
            found.append(file.name)
    database = folder / "p2pchat.db"
    if has_marker(pages(database)):
        found.append("pages")
    if any(map(has_marker, values(database))):
        found.append("values")
    return found


def has_marker(data: bytes) -> bool:
    # the search index keeps words by their beginnings: half a marker is one too
    return MARKER[:8].encode() in data.lower()


def test_nothing_lies_readable_in_a_folder_in_use(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await talk_and_delete(world)
        for file in alice.folder.iterdir():
            data = file.read_bytes()
            for word in (
                MARKER.encode(),
                b"CREATE TABLE",
                b"SQLite format",
                alice.engine.me.identity,
            ):
                assert word not in data, file.name
        with pytest.raises(sqlite3.DatabaseError):
            sqlite3.connect(alice.folder / "p2pchat.db").execute("SELECT * FROM sqlite_master")

    run_world(tmp_path, main)
