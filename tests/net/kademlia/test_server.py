"""What a server answers, and what it keeps."""

from __future__ import annotations

from pathlib import Path

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.kept import KeptRecords
from p2pchat.net.kademlia.server import MAX_STREAM_REQUESTS
from p2pchat.net.kademlia.table import MAX_PER_NETWORK, Table
from p2pchat.net.libp2p import kademlia_messages
from p2pchat.net.libp2p.kademlia_messages import K, KadKind, KadMessage, KadPeer, encode, read_message, write_message
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


def test_a_stream_has_an_end(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.join("server 0")
        ping = KadMessage(KadKind.PING)
        assert await asked(dht, *[ping] * MAX_STREAM_REQUESTS) == ping
        assert await asked(dht, *[ping] * (MAX_STREAM_REQUESTS + 1)) is None

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
    table.silent(far[0].peer)
    assert table.is_bad(far[0].peer)
    table.answered(far[K])
    assert far[K].peer in table
    now = 61.0
    assert not table.is_bad(far[0].peer)
    assert len(table.unseen_for(60)) == len(table)


def test_a_decoy_is_close_and_another() -> None:
    key = record().routing_key
    near = distances.decoy(key, lambda size: b"\3" * size)
    assert near != key
    assert len(near) == len(key)
    assert distances.shared_bits(distances.of_key(near), distances.of_key(key)) >= distances.DECOY_BITS
