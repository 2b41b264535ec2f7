"""A profile that was used for years: `python -m benchmarks.large [CONTACTS [MESSAGES [MINUTES]]]`.

It makes a profile of 2,000 contacts and 1,000,000 messages, with two relays, three generations of queues for each
contact and 50,000 messages that wait, starts its node and says what that costs: CPU seconds until it is ready, memory,
and CPU in the minutes after that, with everybody unreachable. Nothing of it leaves this machine: every address is a
port of 127.0.0.1 at which nobody listens.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import cpu_seconds, resident_mb
from benchmarks.people import COMMAND, ENVIRONMENT, Person
from p2pchat.core import handshake, ratchet
from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Text
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, EnvelopeId, MessageId, PeerKey, SessionId, first_device
from p2pchat.core.prekeys import dump_set, make_set, open_bundle
from p2pchat.core.primitives import KEY_BYTES, sign_public, system_entropy
from p2pchat.net.multiaddrs import pack
from p2pchat.store import contacts, devices, keys, meta, outbox, prekeys, queues, relays, search_backlog, sessions
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.devices import Way
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.prekeys import PrekeyRow
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow
from p2pchat.store.relays import RelayRow
from p2pchat.store.sessions import SessionRow

DAY = 86_400_000
NOBODY = pack("/ip4/127.0.0.1/tcp/9")
RELAYS = 2
GENERATIONS = 3
WAITING_EACH = 25


def fill(database: Path, key: bytes, people: int, said: int) -> None:
    """Fill the empty database of a new profile."""
    db = Database.open(database, key)
    now = time.time_ns() // 1_000_000
    state = _ratchet_state(now)
    relay_keys = [os.urandom(KEY_BYTES) for _ in range(RELAYS)]
    ids = [os.urandom(8) for _ in range(people)]
    me = Device.from_seeds(*(meta.get(db, name) or b"" for name in ("identity", "device")))
    rotation = make_set(me, now // 1000 + 37 * 86_400, one_time=False, random=os.urandom)
    with db.transaction():
        prekeys.put(db, PrekeyRow(prekeys.ROTATION, rotation.number, dump_set(rotation), now, now + 37 * DAY))
        for peer in relay_keys:
            relays.put(db, RelayRow(PeerKey(peer), (NOBODY,), b"", True, now))
        for number, contact in enumerate(ids):
            _add_person(db, ContactId(contact), number, now, state, relay_keys)
    _say(db, ids, said, now)
    db.close()


_SAY = """
INSERT INTO messages (id, chat, sender, kind, seq, place, text, sent_at, state, read_at)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :said)
SELECT randomblob(16), chats.id, CASE n % 3 WHEN 0 THEN x'' ELSE chats.id END, 0, n + 1, n + 1,
       'message ' || n || ', and some words that people write', :yesterday,
       CASE n % 3 WHEN 0 THEN 'read' ELSE 'received' END, :now
FROM numbers JOIN said_in AS chats ON chats.number = n % :people
"""


def _say(db: Database, ids: Sequence[bytes], said: int, now: int) -> None:
    """Save so many messages, in turn with everybody. (As one statement: one by one a million take minutes.)"""
    if not said:
        return
    db.execute("PRAGMA cache_size = -400000")
    with db.transaction():
        db.execute("CREATE TEMP TABLE said_in (number INTEGER PRIMARY KEY, id BLOB NOT NULL)")
        db.executemany("INSERT INTO said_in VALUES (?, ?)", enumerate(ids))
        db.execute(_SAY, {"said": said, "people": len(ids), "now": now, "yesterday": now - DAY})
        while not search_backlog.catch_up(db):
            pass


def _ratchet_state(now: int) -> bytes:
    """The ratchet of a session that has just begun: nothing is ever opened in the copies of it."""
    entropy = system_entropy()
    alice, bob = (Device.from_seeds(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)) for _ in range(2))
    offered = make_set(bob, now // 1000 + 86_400, one_time=True, random=entropy.random)
    content = encode_content(Content(Text("hello"), MessageId(os.urandom(16)), 1, now))
    session, _ = handshake.initiate(alice, open_bundle(offered.bundle), content, now - DAY, entropy)
    return ratchet.dump(session.ratchet)


def _add_person(db: Database, contact: ContactId, number: int, now: int, state: bytes, relay_keys: list[bytes]) -> None:
    identity, device = sign_public(os.urandom(KEY_BYTES)), sign_public(os.urandom(KEY_BYTES))
    made = Contact(
        contact,
        f"person {number}",
        False,
        ContactState.CONTACT,
        identity,
        device,
        os.urandom(2500),
        False,
        now,
        heard_at=now,
    )
    contacts.add(db, made)
    devices.set_ways(db, first_device(contact), [Way(PeerKey(os.urandom(KEY_BYTES)), NOBODY, 0)], now)
    session_id = os.urandom(KEY_BYTES)
    sessions.save(
        db,
        SessionRow(
            SessionId(session_id),
            first_device(contact),
            True,
            os.urandom(KEY_BYTES),
            os.urandom(16),
            state,
            now,
            True,
            None,
            False,
        ),
    )
    for relay in relay_keys:
        for generation in range(GENERATIONS):
            put_seed = os.urandom(KEY_BYTES)
            at = now - generation * 7 * DAY
            ends = None if generation == 0 else at + 21 * DAY
            queues.collect_from(
                db,
                OwnQueueRow(
                    first_device(contact),
                    None,
                    PeerKey(relay),
                    (NOBODY,),
                    b"",
                    os.urandom(KEY_BYTES),
                    sign_public(put_seed),
                    put_seed,
                    0,
                    at,
                    ends,
                ),
            )
        row = TheirQueueRow(
            first_device(contact),
            None,
            PeerKey(relay),
            NOBODY,
            b"",
            os.urandom(KEY_BYTES),
            os.urandom(KEY_BYTES),
            0,
            now + 30 * DAY,
        )
        queues.deposit_in(db, row)
    for _ in range(WAITING_EACH):
        outbox.add(
            db,
            OutboxRow(
                first_device(contact),
                0,
                MessageId(os.urandom(16)),
                os.urandom(100),
                now,
                now + DAY,
                now + 30 * DAY,
                EnvelopeId(os.urandom(16)),
                os.urandom(4096),
                SessionId(session_id),
            ),
        )


@contextmanager
def started(people: int, said: int) -> Iterator[tuple[Person, int]]:
    """Such a person, whose node is ready, and the bytes of their database."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as place:
        folder, runtime = Path(place) / "large", Path(place) / "run"
        runtime.mkdir(mode=0o700)
        person = Person("large", folder, {**ENVIRONMENT, "XDG_RUNTIME_DIR": str(runtime)})
        init = ["--profile", str(folder), "init", "--name", "large", "--no-passphrase"]
        subprocess.run([*COMMAND, *init], env=person.environment, check=True, capture_output=True)
        fill(folder / "profile.db", keys.open_keys(folder, None), people, said)
        size = (folder / "profile.db").stat().st_size
        person.start()
        try:
            yield person, size
        finally:
            person.stop()


def ready_cpu_s(people: int = 2_000, said: int = 1_000_000) -> float:
    """CPU seconds of a node from its start until it is ready."""
    with started(people, said) as (person, _):
        return cpu_seconds(pid_of(person))


class Idling:
    """What a node uses from now on, with nobody there."""

    def __init__(self, person: Person) -> None:
        self._pid = pid_of(person)
        self._cpu, self._began = cpu_seconds(self._pid), time.perf_counter()

    def percent(self) -> float:
        """Percent of a core since then."""
        return 100 * (cpu_seconds(self._pid) - self._cpu) / (time.perf_counter() - self._began)


def pid_of(person: Person) -> int:
    """The process of a person's node."""
    assert person.process is not None
    return person.process.pid


def main(people: int = 2_000, said: int = 1_000_000, minutes: int = 8) -> None:
    """Make it, start it, and print what that costs."""
    with started(people, said) as (person, size):
        pid = pid_of(person)
        print(f"{people:,} contacts, {said:,} messages, {size / 2**20:.0f} MiB")
        print(f"ready after {person.ready_ms / 1000:.2f} s, {cpu_seconds(pid):.2f} s of CPU", flush=True)
        for minute in range(1, minutes + 1):
            idling = Idling(person)
            time.sleep(60)
            print(f"minute {minute}: {idling.percent():.1f} % CPU, {resident_mb(pid):.0f} MB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
