"""Publishing and looking up among many servers: churn, silence, lies, old records, sybils around a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import trio

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.server import KadServer
from p2pchat.net.libp2p.kademlia_messages import PROTOCOL, K, KadKind, KadMessage, KadPeer, read_message, write_message
from p2pchat.net.ports import Stream
from tests.support.dht import DhtWorld, silent
from tests.support.world import BEGAN, World, run_world

SEED = b"\7" * 32


def record(sequence: int = 1, *, ends: int = BEGAN + 10 * DAY_MS, seed: bytes = SEED) -> ipns.IpnsRecord:
    return ipns.make(seed, sequence, ends, b"where we are %d" % sequence)


def run_dht(folder: Path, main: Callable[[DhtWorld], Awaitable[None]]) -> None:
    async def inside(world: World) -> None:
        await main(DhtWorld(world))

    run_world(folder, inside)


def holders(dht: DhtWorld, sought: ipns.IpnsRecord) -> list[str]:
    """The servers that keep a record now."""
    now = dht.world.now()
    return [name for name, server in dht.servers.items() if server.records.get(sought.routing_key, now) == sought]


def test_a_record_is_kept_by_the_closest_and_found_from_another_side(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.grown(60)
        made = record()
        assert await dht.network("server 3").publish(made) in (K, K + 1)  # the closest, and the one that is chosen
        place = distances.of_key(made.routing_key)
        by_distance = sorted(dht.servers, key=lambda name: distances.of_peer(dht.hosts[name].peer) ^ place)
        assert set(by_distance[:K]) <= {*holders(dht, made)} <= {*by_distance[:K], "server 3"}
        assert await dht.network("server 40").look_up(made.routing_key) == made
        newer = record(2)
        await dht.network("server 5").publish(newer)
        await dht.network("server 5").publish(made)  # an older one is refused everywhere
        assert await dht.network("server 40").look_up(made.routing_key) == newer
        assert await dht.network("server 40").look_up(record(seed=b"\6" * 32).routing_key) is None

    run_dht(tmp_path, main)


def test_servers_find_each_other_by_one_that_all_know(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.join("server 0")
        dht.world.soon(dht.servers["server 0"].run)
        for number in range(1, 8):
            dht.join(f"server {number}", ["server 0"])
        await trio.sleep(1300)
        assert [server.servers for server in dht.servers.values()] == [7] * 8
        dht.gone("server 3")
        await trio.sleep(3700)
        assert {server.servers for name, server in dht.servers.items() if name != "server 3"} == {6}

    run_dht(tmp_path, main)


def test_half_are_gone_or_silent_and_it_takes_seconds(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.grown(60)
        made, network = record(), dht.network("server 0")
        await network.publish(made)
        for number in range(1, 60, 4):
            dht.gone(f"server {number}")
            dht.hosts[f"server {number + 1}"].handle(PROTOCOL, silent)
        began = trio.current_time()
        assert await network.look_up(made.routing_key) == made  # with what was known before
        assert await dht.network("server 0").look_up(made.routing_key) == made
        assert trio.current_time() - began <= 6
        began = trio.current_time()
        assert (await network.publish(record(2)) or 0) >= 5  # nobody has yet told the servers who has gone
        assert trio.current_time() - began <= 6

    run_dht(tmp_path, main)


def test_where_everything_is_slow_late_answers_count(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.grown(20)
        for name, server in dht.servers.items():

            async def slowly(stream: Stream, server: KadServer = server) -> None:
                await trio.sleep(3)
                await server.serve(stream)

            dht.hosts[name].handle(PROTOCOL, slowly)
        made = record()
        assert (await dht.network("server 0").publish(made) or 0) >= 15
        assert await dht.network("server 1").look_up(made.routing_key) == made

    run_dht(tmp_path, main)


def test_liars_change_nothing(tmp_path: Path) -> None:
    """Forged, expired, another's, too long, and no message at all: what is valid is found beside them."""
    made = record(7)
    lies = [
        made.raw[:-1] + b"\1",
        record(9, ends=BEGAN - HOUR_MS).raw,
        record(9, seed=b"\6" * 32).raw,
        bytes(ipns.MAX_RECORD_BYTES + 1),
        b"",
    ]

    async def lie(stream: Stream) -> None:
        request = await read_message(stream, 1 << 20)
        assert request is not None
        lied = lies.pop(0)
        lies.append(lied)
        with suppress(LinkLost):
            if not lied:
                await stream.write(b"\xff\xff\xff\x7f")
            else:
                closer = tuple(dht_of[0].known_as(name) for name in ("server 0", "liar 1", "liar 2"))
                await write_message(stream, KadMessage(request.kind, request.key, lied, closer))

    dht_of: list[DhtWorld] = []

    async def main(dht: DhtWorld) -> None:
        dht_of.append(dht)
        dht.grown(10)
        for number in range(12):
            dht.pretend(f"liar {number}", lie)
        network = dht.network("server 0", *(f"liar {number}" for number in range(12)))
        await network.publish(made)
        for _ in range(6):
            assert await network.look_up(made.routing_key) == made
            assert await network.look_up(record(seed=b"\5" * 32).routing_key) is None

    run_dht(tmp_path, main)


def test_sybils_around_a_key_do_not_hide_it(tmp_path: Path) -> None:
    """Hundreds in one network, all closer to the key than anybody else, who name each other and keep nothing."""

    async def main(dht: DhtWorld) -> None:
        dht.grown(30)
        made = record()
        place = distances.of_key(made.routing_key)
        near: list[str] = []

        async def hide(stream: Stream) -> None:
            request = await read_message(stream, 1 << 20)
            assert request is not None
            if request.kind is not KadKind.PUT_VALUE:
                closer = tuple(dht.known_as(name) for name in near[:K])
                with suppress(LinkLost):
                    await write_message(stream, KadMessage(request.kind, request.key, None, closer))

        number = 0
        while len(near) < 200:
            number += 1
            host = dht.pretend(f"sybil {number}", hide, seed=number.to_bytes(32, "big"))
            if distances.shared_bits(distances.of_peer(host.peer), place) >= 5:
                near.append(f"sybil {number}")
        honest = [distances.of_peer(dht.hosts[name].peer) ^ place for name in dht.servers]
        assert sum(distances.of_peer(dht.hosts[name].peer) ^ place < min(honest) for name in near) > 4
        for name in near:
            for server in dht.servers.values():
                server._table.answered(dht.known_as(name))  # as if each had been found to answer
        assert (await dht.network("server 1").publish(made) or 0) >= 10
        assert await dht.network("server 2").look_up(made.routing_key) == made

    run_dht(tmp_path, main)


def test_one_who_names_others_where_they_are_not_hides_nobody(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.grown(30)
        made = record()
        await dht.network("server 1").publish(made)

        async def mislead(stream: Stream) -> None:
            request = await read_message(stream, 1 << 20)
            assert request is not None
            place = distances.of_key(request.key)
            peers = sorted(
                [dht.hosts[name].peer for name in dht.servers], key=lambda peer: distances.of_peer(peer) ^ place
            )
            closer = tuple(KadPeer(peer, (f"/ip4/30.{number}.0.1/tcp/1",)) for number, peer in enumerate(peers[:K]))
            await write_message(stream, KadMessage(request.kind, request.key, None, closer))

        dht.pretend("liar", mislead)
        network = dht.network("liar", "server 2")
        assert (await network.publish(record(2)) or 0) >= K
        assert await network.look_up(made.routing_key) == record(2)
        assert await dht.network("server 3").look_up(made.routing_key) == record(2)

    run_dht(tmp_path, main)


def test_nobody_is_dialled_in_a_local_network_because_a_server_says_so(tmp_path: Path) -> None:
    """Loopback, private networks and what a cloud tells its machines are not ports to be tried from here."""
    inside = ("/ip4/127.0.0.1/tcp/6379", "/ip4/10.0.0.1/tcp/80", "/ip4/169.254.169.254/tcp/80", "/ip6/fd00::1/tcp/80")

    async def main(dht: DhtWorld) -> None:
        dht.grown(5)

        async def mislead(stream: Stream) -> None:
            request = await read_message(stream, 1 << 20)
            assert request is not None
            closer = tuple(KadPeer(PeerKey(bytes([number]) * 32), inside) for number in range(1, 6))
            await write_message(stream, KadMessage(request.kind, request.key, None, closer))

        dht.pretend("liar", mislead)
        dht.join("server 5", ["liar", "server 0"])
        await trio.sleep(60)
        await dht.network("liar", "server 2").publish(record())
        dialled = {address for _, _, addresses in dht.world.dialled for address in addresses}
        assert dialled.isdisjoint(inside)
        assert dht.hosts["liar"].addresses()[0] in dialled

    run_dht(tmp_path, main)


def test_only_those_who_keep_a_record_see_its_key_and_each_task_has_a_host_of_its_own(tmp_path: Path) -> None:
    async def main(dht: DhtWorld) -> None:
        dht.grown(60)
        made = record()
        network = dht.network("server 0")
        dht.world.traffic.clear()
        for _ in range(3):
            await network.publish(made)
            assert await network.look_up(made.routing_key) == made
        by_clients = [(there, data) for here, there, data in dht.world.traffic if here.startswith("client")]
        saw = {there for there, data in by_clients if made.routing_key in data}
        assert saw == {*holders(dht, made)}
        assert len(saw) <= K + 1
        asked_the_way = [data for _, data in by_clients if data[1:3] == b"\x08\x04"]  # FIND_NODE
        assert asked_the_way
        assert not any(made.routing_key in data for data in asked_the_way)
        assert len(set(dht.clients)) == 6

    run_dht(tmp_path, main)
