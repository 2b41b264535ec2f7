"""Relays of the fake world that keep envelopes: the program's own mailbox behind a made-up host.

    tower = await full_relay(world, "tower", tmp_path)     add its `line` with `relays add`
    visits(world, alice, tower)                            who of alice's came to it, and by which route

Nodes use the program's own client too, so that who goes where is what it would be on a real network.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from p2pchat.core import mailbox, record_frames
from p2pchat.core.frames import Frame, FrameParser
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import mailbox_name
from p2pchat.net import multiaddrs
from p2pchat.net.ports import Stream
from p2pchat.relay.box_store import BoxStore
from p2pchat.relay.dialback import DialBack
from p2pchat.relay.host_streams import place_of
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.listing import RelayListing
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore, Quota
from tests.support.boxes import FILES, LOGS, log_store
from tests.support.mailboxes import RecordRequest
from tests.support.world import BEGAN, FakeHost, FakeRelay, World, WorldNode

T = TypeVar("T")


class FullRelay:
    """A relay with a mailbox; `store` is what it keeps, `host` where it is, `opened` who opened which queue, `listing`
    which relays it tells of. requests: all that it sees of presence records.
    """

    def __init__(
        self,
        host: FakeRelay,
        store: MailboxStore,
        box: MailboxServer,
        listing: RelayListing,
        clock: Callable[[], int],
    ) -> None:
        self.listing = listing
        self.opened: list[tuple[PeerKey, bytes]] = []
        self.requests: list[RecordRequest] = []
        self._clock = clock
        self.host = host
        self.peer = host.peer
        self.store = store
        self.box = box

    async def serve(self, stream: Stream) -> None:
        """Serve one stream, and note what is opened, put and asked for on it."""
        parser, read = FrameParser(mailbox.FROM_CLIENT), stream.read

        async def noting(at_most: int) -> bytes:
            data = await read(at_most)
            for frame in parser.feed(data):
                self._note(stream, frame)
            return data

        stream.read = noting  # type: ignore[method-assign]
        await self.box.serve(stream)

    def _note(self, stream: Stream, frame: Frame) -> None:
        now = self._clock()
        match frame.type:
            case mailbox.OPEN:
                self.opened.append((stream.peer, mailbox.decode_open(frame.body).queue.id))
            case mailbox.PUT_RECORD:
                put = record_frames.decode_put(frame.body)
                self.requests.append(RecordRequest(now, stream.peer, put.public, put.record))
            case mailbox.GET_RECORD:
                public = record_frames.decode_get(frame.body).public
                self.requests.append(RecordRequest(now, stream.peer, public, None))

    def knows(self, *others: FullRelay) -> None:
        """Have these announce themselves to it; it dials them back."""
        for other in others:
            self.listing.answer(other.peer, other.host.addresses()[0], other.listing.own())

    @property
    def line(self) -> str:
        """What a person gives to `relays add`."""
        return multiaddrs.full(self.peer, self.host.addresses()[0])


CHEAP_STAMPS = RelayLimits(stamp_bits=4)
"""A thread looks for a stamp, and the mock clock does not wait for threads: hours of virtual time would pass."""


async def full_relay(
    world: World,
    name: str,
    folder: Path,
    limits: RelayLimits | None = None,
    *,
    listed: bool = False,
    private: bool = False,
    logs: Quota = LOGS,
) -> FullRelay:
    """Start one; its disk is in `folder`. listed: it tells anyone who asks what it is, and which others it knows. logs:
    what its logs have room for.
    """
    limits = limits or CHEAP_STAMPS
    host = world.relay(name)

    def clock() -> int:
        return BEGAN + round(trio.current_time() * 1000) + world.slept

    async def inline(function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)

    store = MailboxStore.open(folder / f"{name}.relay", replace(Quota(), least_free=0), clock())
    boxes = BoxStore.open(folder / f"{name}.files", FILES, clock())
    random, where = world.entropy.random, folder / f"{name}.descriptor"
    listing = RelayListing(host.seed, where, host.addresses, clock, random, private=private)
    answer = listing.answer if listed else None

    @asynccontextmanager
    async def new_host() -> AsyncIterator[FakeHost]:
        prober = FakeHost(world, f"{name} dialling back", world.entropy.random(32), listens=False)
        prober.nursery = host.nursery
        yield prober

    if listed:
        world.soon(DialBack(listing, new_host, host.addresses, place_of, random).run)
    up = partial(_seconds, clock)
    box = MailboxServer(
        host.peer,
        store,
        limits,
        clock,
        random,
        in_thread=inline,
        uptime=up,
        serve_list=answer,
        boxes=boxes,
        logs_store=log_store(folder / f"{name}.logs", clock(), logs),
    )
    await world.run_beside(box.run)
    relay = FullRelay(host, store, box, listing, clock)
    host.handle(mailbox_name(host.peer, limits.token or b""), relay.serve)
    return relay


def _seconds(clock: Callable[[], int]) -> float:
    return clock() / 1000


def visits(world: World, node: WorldNode, relay: FullRelay) -> set[tuple[bytes, str]]:
    """(transport key, route) of every way in which a node has come to a relay."""
    ours = {host.peer for host in node.hosts}
    return {(here, route) for here, there, route in world.opened if there == relay.peer and here in ours}
