"""What a day of use leaves at a relay, for whoever takes it: its disk, its log, its metrics, its status."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.core.envelope import BUCKETS
from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.ids import PeerKey
from p2pchat.core.logs import SMALL_BYTES, LogRole
from p2pchat.core.mailbox import BOX, DONE, FILES, STAMPED, TO_FETCH, TO_PUT, make_stamp
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.circuit_messages import HopMessage
from p2pchat.net.libp2p.host import LibP2PHost
from tests.support.boxes import Keys, MailClient, blob, group_log
from tests.support.ports import free_port
from tests.support.processes import Place
from tests.support.programs import connect, data, everything, get, host, run, start
from tests.support.relays import ask, connect_to

NAMES = ("alice", "bob", "carol", "dave")
DAVE = NAMES.index("dave")
"""Who is away all day."""


def queue(sender: str, reader: str) -> Keys:
    return Keys(f"{sender} to {reader}")


def file_box(sender: str) -> Keys:
    return Keys(f"files, {sender} to dave", FILES)


INVITE_BOX, INVITE_QUEUE = Keys("box of an invite", BOX), Keys("queue of an invite", STAMPED)


@dataclass
class Day:
    """Who was there and from where, what lies there still, and what was said."""

    peers: list[bytes] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)


def from_place(monkeypatch: pytest.MonkeyPatch, ip: str) -> None:
    """Connections are made from this address of this machine from now on."""
    monkeypatch.setattr(trio, "open_tcp_stream", partial(OPEN, local_address=ip))


OPEN = trio.open_tcp_stream


async def pass_day(day: Day, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each but dave writes to everybody else, reads what is for them, and opens all their queues on one stream."""
    for number, name in enumerate(NAMES[:DAVE]):
        ip = f"127.83.{155 + number}.{201 - number}"
        from_place(monkeypatch, ip)
        async with host() as by:
            day.peers.append(by.peer)
            day.places.append(ip)
            client = await connect(by, address)
            for handle, other in enumerate(NAMES):
                if other == name:
                    continue
                assert await client.open(2 * handle, TO_PUT, queue(name, other)) == DONE
                assert await client.open(2 * handle + 1, TO_FETCH, queue(other, name)) == DONE
            await write(day, client, name)
            await read(day, client, name)
            await leave_a_file(day, client, name)
            await talk_in_a_group(day, client, name)
            reserve = await by.open(client.hello.relay, (), circuit_messages.HOP)
            assert await ask(reserve, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.OK
            nobody = await by.open(client.hello.relay, (), circuit_messages.HOP)
            assert await ask(nobody, connect_to(by)) == circuit_messages.NO_RESERVATION
            await misbehave(by, address)
            if name == "carol":
                await invite(day, client)


async def write(day: Day, client: MailClient, name: str) -> None:
    for handle, other in enumerate(NAMES):
        if other != name:
            sent = [blob(f"{name} to {other}, {size}", size) for size in BUCKETS]
            assert await client.put(2 * handle, *sent, hours=48) == [DONE] * 3
            (day.left if other == "dave" or NAMES.index(other) < NAMES.index(name) else day.gone).extend(sent)


async def leave_a_file(day: Day, client: MailClient, name: str) -> None:
    """A file for dave of two blobs, one of which is taken back."""
    box = file_box(name)
    stays, goes = (blob(f"{name}'s file, {number}", BLOB_BYTES) for number in range(2))
    assert await client.open(30, TO_PUT, box) == DONE
    assert await client.put(30, stays, goes, hours=48) == [DONE] * 2
    assert await client.forget(30, goes) == DONE
    assert await client.have(30, stays, goes) == [True, False]
    day.left.append(stays)
    day.gone.append(goes)


async def talk_in_a_group(day: Day, client: MailClient, name: str) -> None:
    """All of them append to one log and read it; carol is an admin."""
    item = blob(f"{name} in the group", SMALL_BYTES)
    role = LogRole.APPEND_AS_ADMIN if name == "carol" else LogRole.APPEND
    assert await client.open_log(40, role, group_log()) == DONE
    assert await client.open_log(41, LogRole.READ, group_log()) == DONE
    items, end = await client.read(41, follow=True)
    assert (len(items), end.code) == (NAMES.index(name), DONE)
    assert await client.put(40, item, hours=48) == [DONE]
    assert await client.next_items(1, 41) == [item]
    day.left.append(item)


async def read(day: Day, client: MailClient, name: str) -> None:
    for handle, other in enumerate(NAMES):
        if other != name:
            found, _, _ = await client.fetch(512, (2 * handle + 1, 0))
            if found:
                assert await client.delete(2 * handle + 1, found[-1].place) == DONE


async def misbehave(by: LibP2PHost, address: str) -> None:
    eve = await connect(by, address)
    await eve.stream.write(b"\xff" * 64)
    assert await eve.has_ended()


async def invite(day: Day, client: MailClient) -> None:
    box, first = blob("a bundle"), blob("a first message")
    assert await client.open(20, TO_PUT, INVITE_BOX) == DONE
    assert await client.put(20, box) == [DONE]
    assert await client.open(21, TO_PUT, INVITE_QUEUE) == DONE
    hello = client.hello
    stamp = make_stamp(hello.relay, INVITE_QUEUE.queue.id, first, time.time_ns() // 10**6, hello.stamp_bits)
    assert await client.put(21, first, stamp=stamp) == [DONE]
    day.left += [box, first]


def secrets() -> list[bytes]:
    """What the relay saw for a moment, and must not have written down."""
    keys = [queue(one, other) for one in NAMES for other in NAMES if one != other] + [INVITE_BOX, INVITE_QUEUE]
    keys += map(file_box, NAMES)
    seeds = [seed for one in keys for seed in (one.fetch, one.put)]
    group = group_log()
    of_logs = [group.fetch_seed, group.put_seed, group.admin_seed, *group.log[:3]]
    return [*seeds, *(key for one in keys for key in (one.queue.fetch, one.queue.put)), *of_logs]


def qids() -> list[bytes]:
    return [queue(one, other).queue.id for one in NAMES for other in NAMES if one != other]


def check_names(day: Day, text: str) -> None:
    """No address as text or packed, no peer, no key of a queue."""
    raw = text.encode("latin-1", "replace")
    needles = [*secrets(), *day.peers, b"12D3KooW", b"127.0.0.1"]
    needles += [multiaddrs.peer_id(PeerKey(peer)).encode()[-8:] for peer in day.peers]  # as a log would shorten it
    needles += [multiaddrs.multihash(PeerKey(peer)) for peer in day.peers] + [
        multiaddrs.peer_id(PeerKey(peer)).encode() for peer in day.peers
    ]
    for ip in day.places:
        packed = socket.inet_aton(ip)
        needles += [ip.encode(), packed, packed[::-1], b"::ffff:" + ip.encode()]
    for needle in needles:
        assert needle not in raw, needle
        assert needle.hex().encode() not in raw.lower(), needle


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_seized_relay_says_nothing_about_who_used_it(
    here: Place, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    port = free_port()
    running, address = start(here, "--metrics", f"127.0.0.1:{port}", "-vv")
    day = Day()
    began = time.time()

    async def main() -> None:
        await pass_day(day, address, monkeypatch)
        monkeypatch.setattr(trio, "open_tcp_stream", OPEN)
        for name, path in (("metrics", "/metrics"), ("health", "/healthz")):
            day.said[name] = await trio.to_thread.run_sync(get, port, path)
        words = ("--json", "relay", "status", "--data", str(data(here)))
        day.said["status"] = (await trio.to_thread.run_sync(here.run, "x", *words)).out

    run(main)
    done = running.end(how)
    day.said["log"] = done.out + done.err
    assert "p2pchat_relay_deposits_total 29.0" in day.said["metrics"]
    labels = re.findall(r"^p2pchat_relay_\w+\{(.*)\}", day.said["metrics"], re.MULTILINE)
    assert labels
    assert all(re.fullmatch(r'reason="[a-z ]+"', label) for label in labels)
    for name in ("metrics", "health", "log"):
        check_names(day, day.said[name])
    for qid in qids():
        assert all(qid.hex()[-8:] not in text for text in day.said.values())
    check_names(day, everything(data(here)))
    if how == signal.SIGTERM:
        disk = everything(data(here))
        assert qids()[2].decode("latin-1") in disk  # alice to dave: it is this that there is
        for one in day.left:
            assert one.decode("latin-1")[-64:] in disk
        for one in day.gone:
            assert all(one.decode("latin-1")[start : start + 64] not in disk for start in range(0, len(one), 1024))
        check_order(data(here) / "blobs.db", began)
        check_order(data(here) / "logs.db", began)
        with closing(sqlite3.connect(data(here) / "files.db")) as database:
            rows = database.execute("SELECT qid, name, expires FROM boxed").fetchall()
            assert {bytes(row[0]) for row in rows} == {file_box(name).queue.id for name in NAMES[:DAVE]}
            assert {row[2] - int(began // 3600) for row in rows} <= {48, 49, 50}


def check_order(path: Path, began: float) -> None:
    """No number says when a blob came, but for its hour."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT qid, place, expires FROM blobs").fetchall()
    assert len({place >> 30 for _, place, _ in rows}) == 1
    assert max(place % (1 << 30) for _, place, _ in rows) <= 16 * 3  # counted by queue
    assert {expires for _, _, expires in rows} <= {int(began // 3600) + hours for hours in (24, 25, 26, 48, 49, 50)}
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"blobs", "places", "spare", "clock"}
    clock = database.execute("SELECT count(*), max(ahead), max(settled) FROM clock").fetchone()
    assert clock == ((1, 0, None) if path.name == "blobs.db" else (0, None, None))
    assert database.execute("SELECT count(*) FROM spare").fetchone() == (0,)
    database.close()
