"""What a server answers, and what it keeps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.net.admission.budget import Account
from p2pchat.net.kademlia import distances, where
from p2pchat.net.kademlia.kept import KeptRecords
from p2pchat.net.kademlia.server import IDLE_SECONDS, MAX_STREAM_REQUESTS
from p2pchat.net.kademlia.table import MAX_PER_NETWORK, Table
from p2pchat.net.libp2p import kademlia_messages
from p2pchat.net.libp2p.kademlia_messages import (
    K,
    KadKind,
    KadMessage,
    KadPeer,
    decode,
    encode,
    read_message,
    write_message,
)
from tests.core.people import flipped
from tests.net.kademlia.test_network import record, run_dht
from tests.support.dht import DhtWorld
from tests.support.world import BEGAN


async def asked(dht: DhtWorld, *requests: KadMessage | bytes) -> KadMessage | None:
    """The server's answer to the last of these on one stream; None where it ended the stream."""
    host = dht.world.outsider("somebody")
    server = dht.hosts["server 0"]
    stream = await host.open(server.peer, server.addresses(), kademlia_messages.PROTOCOL)
    answer = None
    try:
        for request in requests:
            if isinstance(request, bytes):
                await stream.write(request)
            else:
                await write_message(stream, request)
            answer = await read_message(stream, 1 << 16)
    except LinkLost:
        return None
    finally:
        await stream.close()
    return answer


def put(made: ipns.IpnsRecord, raw: bytes | None = None) -> KadMessage:
    return KadMessage(KadKind.PUT_VALUE, made.routing_key, made.raw if raw is None else raw)


def test_only_valid_records_that_are_not_older_are_kept(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        server = dht.join("server 0")
        made = record(5)
        key = made.routing_key
        other = record(9, seed=b"\1" * 32)
        foreign = encode(KadMessage(KadKind.PUT_VALUE, b"/pk/" + bytes(34), made.raw))
        for refused in (
            put(made, made.raw[:-1] + b"\1"),
            put(made, other.raw),
            put(made, record(9, ends=BEGAN).raw),
            put(made, bytes(ipns.MAX_RECORD_BYTES + 1)),
            KadMessage(KadKind.PUT_VALUE, key),
            bytes([len(foreign) & 0x7F | 0x80, len(foreign) >> 7]) + foreign,
            b"\xff\xff\xff\x7f",  # a length of 268 MB
            b"\x02\x08\x02",  # ADD_PROVIDER
            b"\x03abc",
        ):
            assert await asked(dht, refused) is None
            assert len(server.records) == 0
        assert await asked(dht, put(made), KadMessage(KadKind.GET_VALUE, key)) == KadMessage(
            KadKind.GET_VALUE, key, made.raw
        )
        assert await asked(dht, put(record(4))) is None
        assert await asked(dht, put(made)) == put(made)  # again
        assert await asked(dht, put(record(6)), KadMessage(KadKind.GET_VALUE, key)) is not None
        assert server.records.get(key, dht.world.now()) == record(6)
        assert (await asked(dht, KadMessage(KadKind.PING))) == KadMessage(KadKind.PING)
        assert server.counts.kept == 3

    run_dht(tmp_path, main)


def test_whoever_floods_it_is_made_to_wait(tmp_path: Path) -> None:
    """Checking a record costs more than asking for one; a thousand have to fit into a second's share of a place."""

    async def main(dht: DhtWorld) -> None:
        server = dht.join("server 0")
        account = Account("somewhere")
        server._account_of = lambda stream: account
        began = trio.current_time()
        for _ in range(8):
            assert await asked(dht, *[put(record())] * MAX_STREAM_REQUESTS) is not None
        assert server.counts.kept == 8 * MAX_STREAM_REQUESTS
        assert trio.current_time() - began > 1

    run_dht(tmp_path, main)


def test_arbitrary_bytes_are_a_message_or_cannot_be_opened() -> None:
    closer = KadMessage(KadKind.FIND_NODE, b"k", None, (server(7),))
    valid = [encode(put(record())), where.encode(server(7)), encode(closer)]

    @given(st.one_of(st.binary(max_size=200), st.tuples(st.sampled_from(valid), st.integers(0, 1 << 14))))
    def takes_anything(data: bytes | tuple[bytes, int]) -> None:
        raw = data if isinstance(data, bytes) else flipped(*data)
        for read in (decode, where.decode):
            with suppress(CannotOpen):
                read(raw)

    takes_anything()
    assert where.decode(valid[1]) == [server(7)]
    assert decode(valid[2]) == closer


def test_a_stream_has_an_end(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.join("server 0")
        ping = KadMessage(KadKind.PING)
        assert await asked(dht, *[ping] * MAX_STREAM_REQUESTS) == ping
        assert await asked(dht, *[ping] * (MAX_STREAM_REQUESTS + 1)) is None
        server, began = dht.hosts["server 0"], trio.current_time()
        stream = await dht.world.outsider("slow").open(server.peer, server.addresses(), kademlia_messages.PROTOCOL)
        await stream.write(b"\x0a\x08")  # the beginning of a message, and nothing more
        assert await stream.read(1) == b""
        assert trio.current_time() - began == IDLE_SECONDS

    run_dht(tmp_path, main)


def test_what_is_kept_is_bounded_and_the_closest_stay() -> None:
    one = record()
    size = len(one.raw) + 512
    own = distances.of_key(b"own")
    store = KeptRecords(own, 10 * size)
    made = [record(seed=bytes([number]) * 32) for number in range(40)]
    for number, each in enumerate(made):
        store.put(each, f"place {number}", BEGAN)
    by_distance = sorted(made, key=lambda each: distances.of_key(each.routing_key) ^ own)
    assert [each for each in made if store.get(each.routing_key, BEGAN)] == [
        each for each in made if each in by_distance[:10]
    ]
    assert store.size == 10 * size
    for each in made:
        store.put(each, "greedy", BEGAN)
    assert sum(store.put(each, "greedy", BEGAN) for each in made) <= 1  # an eighth


def test_a_record_ends_by_its_end_and_after_two_days() -> None:
    store = KeptRecords(0, 1 << 20)
    short, long = record(ends=BEGAN + HOUR_MS), record(seed=b"\1" * 32)
    for each in (short, long):
        assert store.put(each, "place", BEGAN)
    assert store.get(short.routing_key, BEGAN + HOUR_MS) is None
    store.sweep(BEGAN + HOUR_MS)
    assert len(store) == 1
    assert store.get(long.routing_key, BEGAN + 2 * DAY_MS - 1) == long
    store.sweep(BEGAN + 2 * DAY_MS)
    assert (len(store), store.size) == (0, 0)


def server(number: int, *addresses: str) -> KadPeer:
    own = f"/ip4/20.{number // 250}.{number % 250}.1/tcp/1"
    return KadPeer(PeerKey(number.to_bytes(32, "big")), addresses or (own,))


def test_a_table_keeps_twenty_of_each_distance_few_of_a_network_and_who_came_first() -> None:
    now = 0.0
    table = Table(distances.of_peer(PeerKey(bytes(32))), lambda: now)
    known = [server(number) for number in range(1, 400)]
    for each in known:
        table.answered(each)
    far = [each for each in known if distances.shared_bits(distances.of_peer(each.peer), table._own) == 0]
    assert [each for each in far if each.peer in table] == far[:K]
    crowd = [server(number, f"/ip4/203.0.112.{number % 250}/tcp/1") for number in range(1000, 1400)]
    other = Table(table._own, lambda: now)
    for each in crowd:
        other.answered(each)
    near = [each for each in crowd if distances.shared_bits(distances.of_peer(each.peer), table._own) == 0]
    assert [each for each in near if each.peer in other] == near[:MAX_PER_NETWORK]
    table.silent(far[0])
    assert table.is_bad(far[0])
    table.answered(far[K])
    assert far[K].peer in table
    now = 61.0
    assert not table.is_bad(far[0])
    assert len(table.unseen_for(60)) == len(table)


def test_a_decoy_is_close_and_another() -> None:
    key = record().routing_key
    near = distances.decoy(key, lambda size: b"\3" * size)
    assert near != key
    assert len(near) == len(key)
    assert distances.shared_bits(distances.of_key(near), distances.of_key(key)) >= distances.DECOY_BITS
