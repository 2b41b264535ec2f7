"""A relay is seized after a day of real people: what its disk, its log and its metrics have in common with all that is
in their profiles is sealed blobs, their hashes, and the names of queues.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import read_invite
from p2pchat.errors import NotReached
from p2pchat.locations import Profile
from p2pchat.net import multiaddrs
from p2pchat.store.database import Database
from p2pchat.store.keys import open_keys
from tests.support.persons import Person, Relay, gathered, people
from tests.support.ports import free_port
from tests.support.processes import Place
from tests.support.programs import get
from tests.support.steps import until
from tests.world.test_seizure import inside

NAMES = ("aliceberry", "bobolink", "carolinensis")
CLIENTS, RELAY = "127.0.0.1", "127.0.0.2"
AN_END = 8
"""Characters of an id that a log would show."""
A_PIECE = 64
"""Bytes in a row by which a blob is found, wherever SQLite cuts it."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered(monkeypatch) as made:
        yield made


@dataclass
class Day:
    """What was said and shown, and from which ports."""

    texts: list[str] = field(default_factory=list)
    invites: list[str] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)

    def said(self, sender: Person, *to: str, wait: str = "stored") -> str:
        """A text by a person to others; which one it was."""
        text = f"marker{len(self.texts)} of what {sender.name} has to say"
        for chat in to:
            sender.say(chat, text, wait=wait)
        self.texts.append(text)
        return text

    def invited(self, by: Person, **how: object) -> str:
        self.invites.append(by.call("invite", **how)["invite"])
        return self.invites[-1]

    def look(self, relay: Relay) -> None:
        """From where its clients are connected now."""
        there = f"{socket.inet_aton(RELAY)[::-1].hex().upper()}:{multiaddrs.parse_target(relay.listen).port:04X}"
        here = f"{socket.inet_aton(CLIENTS)[::-1].hex().upper()}:"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            local, remote = line.split()[1:3]
            if remote == there and local.startswith(here):
                self.ports.add(int(local.split(":")[1], 16))


def pass_day(day: Day, relay: Relay, alice: Person, bob: Person, carol: Person) -> list[bytes]:
    """First contact by the relay alone, talk over circuits, a third person, collected and deleted, waiting. What lay at
    the relay meanwhile.
    """
    alice.start()
    alice.use(relay)
    invite = day.invited(alice, hide=True)
    alice.end()
    bob.start()
    bob.use(relay)

    def stored() -> bool:
        with pytest.raises(NotReached) as told:
            bob.call("add", invite=invite, name=alice.name, timeout=1)
        return "stored at a relay" in str(told.value)

    until(stored)
    bob.end()
    alice.start()
    alice.has("bobolink")
    day.said(alice, bob.name)
    alice.end()
    bob.start()
    bob.hears(alice.name, *day.texts)
    alice.start()
    bob.until(lambda: bob.route(alice.name) == "circuit")
    alice.until(lambda: alice.route(bob.name) == "circuit")
    day.look(relay)
    for one, other in ((bob, alice), (alice, bob), (bob, alice)):
        assert day.said(one, other.name, wait="delivered")
    carol.start()
    carol.use(relay)
    for one in (alice, bob):
        carol.call("add", invite=day.invited(one), name=one.name, wait="accepted", timeout=60)
        one.has(carol.name)
        day.said(carol, one.name, wait="delivered")
        day.said(one, carol.name, wait="delivered")
        day.numbers.add(carol.call("verify", contact=one.name)["safety_number"])
    day.numbers.add(alice.call("verify", contact=bob.name)["safety_number"])
    bob.end()
    first, second = day.said(alice, bob.name), day.said(carol, bob.name)
    day.look(relay)
    lay = [blob for (blob,) in relay.rows("SELECT blob FROM blobs")]
    bob.start()
    bob.until(lambda: first in bob.texts(alice.name) and second in bob.texts(carol.name))
    day.said(bob, alice.name, carol.name)  # behind the deletes, on the same stream
    bob.end()
    for one in (alice, carol):
        day.said(one, bob.name)
    carol.end()
    day.said(alice, carol.name)
    return lay


def test_a_seized_relay_shares_nothing_with_those_who_used_it_but_sealed_blobs(here: Place) -> None:
    port = free_port(RELAY)
    relay = Relay(here, "relay", f"/ip4/{RELAY}/tcp/{free_port(RELAY)}")
    relay.start("--metrics", f"{RELAY}:{port}", "-vv")
    alice, bob, carol = everybody = people(here, *NAMES)
    day = Day()
    lay = pass_day(day, relay, alice, bob, carol)
    words = ("--json", "relay", "status", "--data", str(relay.data))
    shown = here.run("unused", *words).out + get(port, "/metrics", RELAY) + get(port, "/healthz", RELAY)
    in_use = disk(relay)
    alice.end()
    shown += relay.end()
    kept = relay.rows("SELECT qid, name, blob, place, expires FROM blobs")
    assert len({row[0] for row in kept}) >= 4
    assert {table for (table,) in relay.rows("SELECT name FROM sqlite_master WHERE type = 'table'")} == {
        "blobs",
        "places",
        "spare",
        "clock",
    }
    left = disk(relay)
    sealed = {value for row in kept for value in row[:3]}
    in_profiles = {value for person in everybody for value in values(person)}

    everywhere = in_use + left + shown.encode()
    peer, _ = multiaddrs.parse_full(relay.address)
    itself = {peer, *inside((relay.data / "descriptor").read_bytes())}  # what it tells everybody of itself
    for needle in set(known(day, everybody)) - itself:
        for form in forms(needle):
            assert form not in everywhere, needle
    for value in in_profiles - sealed - itself:
        for form in forms(value):
            assert form not in left, value.hex()
    assert {row[0] for row in kept} & in_profiles  # this way what is there is found
    assert all(value in left for row in kept for value in row[:2])
    for value in (in_profiles | sealed) - itself:
        for form in forms(value)[1:]:
            end = form[-AN_END:]
            small = end[:-1] == b"0" * (AN_END - 1)  # a count, which numbers of the metrics have too
            assert small or end not in shown.encode(), value.hex()
    check_addresses(day, in_use, left, shown)

    gone = set(lay) - sealed
    assert gone
    for blob in gone:
        assert all(piece not in left for piece in pieces(blob))
    assert all(any(piece in left for piece in pieces(row[2])) for row in kept)
    check_links(kept)


def check_addresses(day: Day, in_use: bytes, left: bytes, shown: str) -> None:
    """Where clients came from, as text, in libp2p's bytes, and in a socket's. `relay.test_seized` has addresses that
    are told from other numbers by their four bytes alone.
    """
    packed = socket.inet_aton(CLIENTS)
    assert day.ports
    assert CLIENTS not in shown
    assert packed.hex() not in shown.lower()
    for port in day.ports:
        at = port.to_bytes(2, "big")
        for needle in (CLIENTS.encode(), multiaddrs.pack(f"/ip4/{CLIENTS}/tcp/{port}"), packed + at, at + packed):
            assert needle not in in_use
            assert needle not in left


def check_links(kept: list[tuple[bytes, bytes, bytes, int, int]]) -> None:
    """Rows of two queues have in common what all rows have: the hours of the day."""
    assert all(place % (1 << 30) <= 16 * 20 for _, _, _, place, _ in kept)  # counted by queue
    assert len({place >> 30 for _, _, _, place, _ in kept}) <= 2
    assert len({expires for _, _, _, _, expires in kept}) <= 4  # that of messages, that of invites; and an hour may end
    assert len({name for _, name, _, _, _ in kept}) == len(kept)  # no blob lies in two queues


def known(day: Day, everybody: list[Person]) -> Iterator[bytes]:
    """Who people are to each other, what they call each other, said and showed each other."""
    for person in everybody:
        with opened(person) as db:
            rows = db.query(
                "SELECT identity, key, peer FROM contacts JOIN devices ON devices.contact = contacts.id"
                " JOIN ways ON ways.device = devices.id"
            )
            assert {len(value) for row in rows for value in row} == {32}
            yield from {value for row in rows for value in row}
    yield from (name.encode() for name in NAMES)
    yield from (text.encode() for text in day.texts)
    yield b"marker"
    for number in day.numbers:
        yield number.encode()
        yield number.replace(" ", "").encode()
    for text in day.invites:
        yield text.encode()
        invite, data = read_invite(text)
        yield invite.secret
        yield data


def forms(value: bytes) -> list[bytes]:
    """As it is, and as text."""
    found = [value, value.hex().encode(), value.hex().upper().encode(), base64.b64encode(value).rstrip(b"=")]
    return [*found, multiaddrs.peer_id(PeerKey(value)).encode()] if len(value) == 32 else found


def values(person: Person) -> Iterator[bytes]:
    """Every key, id and other byte string in a profile, and whatever is inside the encoded ones."""
    with opened(person) as db:
        for (table,) in db.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%fts%'"):
            for row in db.query(f'SELECT * FROM "{table}"'):
                for value in row:
                    for one in inside(value):
                        if len(one) >= 16 and len(set(one)) > 8:
                            yield one


@contextmanager
def opened(person: Person) -> Iterator[Database]:
    db = Database.open(Profile(person.profile).database, open_keys(person.profile, None))
    try:
        yield db
    finally:
        db.close()


def disk(relay: Relay) -> bytes:
    """Every file of the relay but its key, as it is; without the longer stretches of zeros."""
    files = [path for path in sorted(relay.data.iterdir()) if path.is_file() and path.name != "key"]
    return b"\n".join(path.read_bytes().replace(bytes(512), b"") for path in files)


def pieces(blob: bytes) -> list[bytes]:
    return [blob[start : start + A_PIECE] for start in range(0, len(blob), 512)]
