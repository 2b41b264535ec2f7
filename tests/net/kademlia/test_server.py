"""What a server answers, and what it keeps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
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
from p2pchat.net.kademlia.table import (
    MAX_NETWORK_IN_TABLE,
    MAX_PER_NETWORK,
    MAX_PER_WIDE,
    MAX_WIDE_IN_TABLE,
    Crowd,
    Table,
    home,
)
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
from tests.support.dht import DhtWorld, silent
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


SIZE = len(record().raw) + 512
"""What one record counts."""
OWN = distances.of_key(b"own")


def by_distance(count: int) -> list[ipns.IpnsRecord]:
    """Records, the closest to `OWN` first."""
    made = [record(seed=number.to_bytes(32, "big")) for number in range(count)]
    return sorted(made, key=lambda each: distances.of_key(each.routing_key) ^ OWN)


def test_what_is_kept_is_bounded_and_the_closest_stay() -> None:
    store = KeptRecords(OWN, 64 * SIZE)
    made = by_distance(200)
    for number, each in enumerate(reversed(made)):
        store.put(each, f"place {number}", BEGAN)
    assert [each for each in made if store.get(each.routing_key, BEGAN)] == made[:64]
    assert store.size == 64 * SIZE
    assert not store.put(made[100], "another", BEGAN)
    for each in made:
        store.put(each, "greedy", BEGAN)
    assert sum(store.put(each, "greedy", BEGAN) for each in made) <= 1  # a 64th


def test_no_network_fills_a_server_and_who_holds_most_gives_way() -> None:
    """Records close to a server, from all addresses of rented networks, keep no other's record out."""
    store = KeptRecords(OWN, 128 * SIZE)
    made = by_distance(500)
    for number in range(256):
        store.put(made[number], f"20.0.0.{number}", BEGAN)
    assert len(store) == 16  # an eighth, of one /24
    for number in range(400):
        store.put(made[number], f"20.{number % 8}.{number % 40}.{number}", BEGAN)
    assert len(store) == 128
    far = made[-20:]
    assert all(store.put(each, f"30.{number}.0.1", BEGAN) for number, each in enumerate(far))
    for number, each in enumerate(made[:400]):
        store.put(each, f"20.{number % 8}.{number % 40}.{number % 256}", BEGAN)
    assert all(store.get(each.routing_key, BEGAN) for each in far)
    assert len(store) == 128


def test_nothing_is_dropped_for_a_record_that_is_then_refused() -> None:
    """A large one, for which the only record that is farther away would not make enough room."""

    def away(each: ipns.IpnsRecord) -> int:
        return distances.of_key(each.routing_key) ^ OWN

    many = by_distance(240)
    large = [ipns.make(number.to_bytes(32, "big"), 1, many[0].expires_at, bytes(400)) for number in range(1000, 1040)]
    big = sorted(large, key=away)[20]
    closer = [each for each in many if away(each) < away(big)]
    farther = many[len(closer)]
    store = KeptRecords(OWN, (len(closer) + 1) * SIZE)
    assert all(store.put(each, f"place {number}", BEGAN) for number, each in enumerate((*closer, farther)))
    assert not store.put(big, "another", BEGAN)
    assert store.get(farther.routing_key, BEGAN) == farther
    assert store.put(many[0], "another", BEGAN)  # there is as much room as before


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
    own = f"/ip4/{20 + number // 250}.{number % 250}.0.1/tcp/1"
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
    assert len(other) == MAX_NETWORK_IN_TABLE
    table.silent(far[0])
    assert table.is_bad(far[0])
    table.answered(far[K])
    assert far[K].peer in table
    now = 61.0
    assert not table.is_bad(far[0])
    assert len(table.unseen_for(60)) == len(table)


@pytest.mark.parametrize(
    ("pattern", "most", "in_all"),
    [
        ("/ip4/20.7.{}.1/tcp/1", MAX_PER_WIDE, MAX_WIDE_IN_TABLE),
        ("/ip6/2a01:7:{:x}::1/tcp/1", MAX_PER_WIDE, MAX_WIDE_IN_TABLE),
        ("/dns4/server{}.example/tcp/1", MAX_PER_WIDE, MAX_WIDE_IN_TABLE),
        ("/dns4/server.example{}/tcp/1", MAX_PER_WIDE, MAX_WIDE_IN_TABLE),
        ("/ip6/2a01:7:7:{:x}::1/tcp/1", MAX_PER_NETWORK, MAX_NETWORK_IN_TABLE),
    ],
)
def test_sybils_of_one_hosting_company_have_few_places_in_a_table(pattern: str, most: int, in_all: int) -> None:
    """All addresses of one /16 or /32, or any names, fill neither a table nor the way to a key."""
    table, crowd = Table(distances.of_peer(PeerKey(bytes(32))), lambda: 0.0), Crowd()
    for number in range(1, 240):
        table.answered(server(number, pattern.format(number)))
    far = [each for each in table.closest(0, 999) if table._distance(each.peer) == 0]
    assert (len(far), len(table)) == (most, in_all)
    assert sum(crowd.admits(home([pattern.format(number)])[0]) for number in range(1, 240)) == most


LOCAL = ("/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.1/tcp/80", "/ip4/169.254.169.254/tcp/80", "/ip6/::1/tcp/1")


def test_no_server_names_or_notes_what_is_in_a_local_network(tmp_path: Path) -> None:
    """Neither from what a stranger says of itself nor from what the operator has given it to begin with."""

    async def main(dht: DhtWorld) -> None:
        here = dht.join("server 0")
        dht.world.soon(here.run)
        stranger = dht.pretend("stranger", silent)
        here.identified(stranger.peer, [kademlia_messages.PROTOCOL], LOCAL)
        await trio.sleep(10)
        assert not [to for by, to, _ in dht.world.dialled if by == dht.hosts["server 0"].peer and to == stranger.peer]
        beside = server(7, "/ip4/10.0.0.7/tcp/1", "/ip4/21.0.0.7/tcp/1")
        for known in (beside, server(8, *LOCAL)):
            here._table.answered(known)
        answer = await asked(dht, KadMessage(KadKind.FIND_NODE, b"key"))
        assert answer is not None
        assert answer.closer == (KadPeer(beside.peer, beside.addresses[1:]),)

    run_dht(tmp_path, main)


def test_a_decoy_is_close_and_another() -> None:
    key = record().routing_key
    near = distances.decoy(key, lambda size: b"\3" * size)
    assert near != key
    assert len(near) == len(key)
    assert distances.shared_bits(distances.of_key(near), distances.of_key(key)) >= distances.DECOY_BITS
