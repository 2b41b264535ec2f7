"""A small relay inside a node: whom it serves, and what is left when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from p2pchat.core.names import hop_name, mailbox_name, relay_pass
from p2pchat.errors import LinkLost, Refused, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.mailbox.stream import open_mail_stream
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.relay.embedded import EmbeddedRelay
from tests.conftest import run
from tests.support.hosts import ECHO, make, running
from tests.support.relays import Place, clock, echoes

TOKEN = b"sesame"


class Contacts:
    """Alice, whose node is a relay; bob, who is her contact; carol, who wants to reach him; eve, without the token."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.alice, self.bob, self.carol, self.eve = (make(number) for number in (1, 2, 3, 4))
        self.relay = EmbeddedRelay(self.alice, folder / "relay.db", TOKEN, clock, Random(1).randbytes)
        self.nursery = nursery
        self.over = trio.Event()
        self.ended = trio.Event()

    async def serve(self) -> None:
        await self.relay.run(self.over.wait)
        self.ended.set()

    async def begin(self) -> None:
        self.nursery.start_soon(self.serve)
        while not self.alice._handlers.keys() - {ECHO}:
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def contacts(folder: Path) -> AsyncIterator[Contacts]:
    async with trio.open_nursery() as nursery:
        here = Contacts(folder, nursery)
        async with running(here.alice, here.bob, here.carol, here.eve):
            await here.begin()
            yield here
        nursery.cancel_scope.cancel()


async def speaks(host: LibP2PHost, to: LibP2PHost, protocol: str) -> bool:
    try:
        stream = await host.open(to.peer, to.addresses(), protocol)
    except Unreachable:
        return False
    await stream.close()
    return True


def test_a_contact_is_reached_by_it_and_a_stranger_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with contacts(tmp_path) as here:
            place = Place(here.bob, here.nursery)
            opened = multiaddrs.with_pass(here.alice.addresses(), relay_pass(here.alice.peer, TOKEN))
            place.kept.want(here.alice.peer, RelayAccess(opened, TOKEN))
            await place.until(here.alice)
            ways = [multiaddrs.circuit(address, here.alice.peer) for address in opened]
            assert await echoes(await here.carol.open(here.bob.peer, ways, ECHO))
            others = Place(here.eve, here.nursery)
            others.kept.want(here.alice.peer, RelayAccess(opened))
            while not others.kept.problem(here.alice.peer):
                await trio.lowlevel.checkpoint()
            assert "reservation refused" in others.kept.problem(here.alice.peer)

    run(main)


def test_the_mailbox_opens_with_the_token_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with contacts(tmp_path) as here:
            stream = await open_mail_stream(here.bob, here.alice.peer, here.alice.addresses(), TOKEN)
            assert stream.hello.relay == here.alice.peer
            assert stream.hello.most_bytes <= 16 << 20
            assert 0 < stream.hello.file_bytes <= 32 << 20
            assert stream.hello.file_hours <= 3 * 24
            await stream.close()
            for wrong in (b"", b"open"):
                with pytest.raises(Refused):
                    await open_mail_stream(here.eve, here.alice.peer, here.alice.addresses(), wrong)

    run(main)


def test_after_a_no_it_is_gone_and_after_a_yes_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with contacts(tmp_path) as here:
            assert await speaks(here.bob, here.alice, hop_name(relay_pass(here.alice.peer, TOKEN)))
            stream = await open_mail_stream(here.bob, here.alice.peer, here.alice.addresses(), TOKEN)
            here.over.set()
            with pytest.raises(LinkLost):
                await stream.run(lambda frame: None, trio.lowlevel.checkpoint, ())
            await here.ended.wait()
            assert not await speaks(here.bob, here.alice, hop_name(relay_pass(here.alice.peer, TOKEN)))
            assert not await speaks(here.bob, here.alice, mailbox_name(here.alice.peer, TOKEN))
            assert await speaks(here.bob, here.alice, ECHO)
            assert (tmp_path / "relay.db").exists()
            assert (tmp_path / "relay.blobs").exists()
            here.over = trio.Event()
            await here.begin()  # and yes again
            assert await speaks(here.bob, here.alice, mailbox_name(here.alice.peer, TOKEN))

    run(main)
