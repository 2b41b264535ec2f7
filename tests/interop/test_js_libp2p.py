"""Our DHT server and client in a swarm of js-libp2p's DHT servers (swarm.mjs), all on loopback."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from p2pchat.core import ipns, presence
from p2pchat.core.ids import MessageId, PeerKey
from p2pchat.core.presence import Whereabouts
from p2pchat.core.primitives import sign_public, system_entropy
from p2pchat.lib.times import DAY_MS
from p2pchat.net import multiaddrs
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.network import KademliaNetwork
from p2pchat.net.libp2p.kademlia_messages import KadPeer
from p2pchat.relay.config import RelayConfig
from p2pchat.relay.dht import RelayDht
from tests.conftest import run
from tests.net.kademlia.test_stock import new_host
from tests.support.hosts import LOOPBACK

HERE = Path(__file__).parent
COUNT = 8
"""Servers of js-libp2p: with ours, fewer than the 20 that keep a record, so all of them have to."""
SECONDS = 150
"""Until the test gives up."""
RANDOM = system_entropy().random


def now() -> int:
    return int(time.time() * 1000)


class Swarm:
    """The servers of js-libp2p, by their full addresses, and what they can be asked to do (swarm.mjs)."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said = b""
        self.servers: list[str] = []

    @property
    def peers(self) -> set[str]:
        return {address.rpartition("/")[2] for address in self.servers}

    async def hear(self) -> Any:
        assert self._process.stdout is not None
        while b"\n" not in self._said:
            chunk = await self._process.stdout.receive_some(65536)
            assert chunk, "the swarm has ended"
            self._said += chunk
        line, self._said = self._said.split(b"\n", 1)
        heard = json.loads(line)
        assert "error" not in heard, heard
        return heard

    async def do(self, function: str, **given: Any) -> Any:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps({"do": function, **given}).encode() + b"\n")
        return await self.hear()


@asynccontextmanager
async def swarm() -> AsyncIterator[Swarm]:
    command = ("node", "swarm.mjs", str(COUNT))
    process = await trio.lowlevel.open_process(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        made = Swarm(process)
        made.servers = (await made.hear())["servers"]
        yield made
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def client(address: str) -> KademliaNetwork:
    """A client of ours that knows one server."""
    peer, where = multiaddrs.parse_full(address)
    return KademliaNetwork(new_host, [KadPeer(peer, (where,))], now, RANDOM)


def _far_from(ours: str, swarm: Swarm) -> bytes:
    """Return a seed whose routing key is farther from our server than from all of theirs. js-libp2p asks only those who
    are closer to a key than who has named them: then, all that ours names.
    """
    peers = [multiaddrs.parse_full(address)[0] for address in (ours, *swarm.servers)]
    while True:
        seed = RANDOM(32)
        place = distances.of_key(ipns.routing_key(sign_public(seed)))
        us, *them = (distances.of_peer(peer) ^ place for peer in peers)
        if us > max(them):
            return seed


async def _puts_and_gets(swarm: Swarm, ours: str) -> None:
    """Our client puts a presence record by way of one of theirs. All keep it; theirs finds it valid, and ours too."""
    slot = presence.slot(RANDOM(32), now() // DAY_MS)
    said = Whereabouts(MessageId(RANDOM(16)), ((PeerKey(RANDOM(32)), b"address"),), None)
    record = presence.make(slot, said, RANDOM(32), presence.first_number(slot, now()), RANDOM)
    first, *_, last = swarm.servers
    assert await client(first).publish(record) == COUNT + 1
    for through in (last, ours):
        found = await client(through).look_up(record.routing_key)
        assert found is not None
        assert found.raw == record.raw
        got = await swarm.do("get", through=through, key=record.routing_key.hex())
        assert got["values"] == [record.raw.hex()]
        assert through.rpartition("/")[2] in got["from"]


async def _serves_theirs(swarm: Swarm, ours: str, server: RelayDht) -> None:
    """A record that they have made, and put by way of our server, is kept by all, and found there by our client. What
    has fields of V1 is refused by ours alone.
    """
    us = ours.rpartition("/")[2]
    seed, before = _far_from(ours, swarm).hex(), server.numbers()
    put = await swarm.do("put", through=ours, seed=seed, value="/ipfs/bafkqaaa", sequence=1, v1=False)
    assert {*put["kept"]} == {us, *swarm.peers}
    assert put["failed"] == []
    assert server.numbers()["dht_records"] == before["dht_records"] + 1
    found = await client(ours).look_up(bytes.fromhex(put["key"]))
    assert found is not None
    assert found.raw.hex() == put["record"]
    again = await swarm.do("put", through=ours, seed=seed, value="/ipfs/bafkqaaa", sequence=2, v1=True)
    assert {*again["kept"]} == swarm.peers
    assert again["failed"] == [us]
    assert server.numbers()["dht_refused"] == before["dht_refused"] + 1


async def _names_others(swarm: Swarm, ours: str) -> None:
    """Through our server alone, a newcomer of theirs finds who is closest to a key."""
    key = ipns.routing_key(sign_public(_far_from(ours, swarm)))
    closest = await swarm.do("closest", through=ours, key=key.hex())
    assert {*closest["peers"]} == {ours.rpartition("/")[2], *swarm.peers}


def test_our_dht_and_that_of_js_libp2p_are_one() -> None:
    async def main() -> None:
        with trio.fail_after(SECONDS):
            async with swarm() as theirs, trio.open_nursery() as nursery:
                config = RelayConfig(dht_listen=LOOPBACK, dht_peers=(theirs.servers[0],))
                server = RelayDht(config, RANDOM(32), now, RANDOM)
                await nursery.start(server.run)
                (ours,) = server.found_at()
                await theirs.do("introduce", to=ours)
                while server.numbers()["dht_servers"] < COUNT:
                    await trio.lowlevel.checkpoint()
                await _puts_and_gets(theirs, ours)
                await _serves_theirs(theirs, ours, server)
                await _names_others(theirs, ours)
                nursery.cancel_scope.cancel()

    run(main)
