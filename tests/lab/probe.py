"""Ask relays who they are, from the machine this runs on: `python -m tests.lab.probe ADDRESS…`.

Prints one JSON object for each full address: the peer id the relay's mailbox says, or "" where nobody answers.
"""

from __future__ import annotations

import json
import os
import sys

import trio

from p2pchat.core.frames import FrameParser
from p2pchat.core.mailbox import FROM_RELAY, HELLO, decode_hello
from p2pchat.core.names import MAILBOX
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net.frames import READ_BYTES
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.log_filter import quiet
from p2pchat.net.multiaddrs import parse_full, peer_id


async def ask(by: LibP2PHost, address: str) -> str:
    """The peer id in the hello of the mailbox at `address`; "" where nobody answers."""
    peer, where = parse_full(address)
    try:
        stream = await by.open(peer, [where], MAILBOX)
        (hello,) = FrameParser(FROM_RELAY).feed(await stream.read(READ_BYTES))
    except (LinkLost, Unreachable):
        return ""
    await by.disconnect(peer)
    return peer_id(decode_hello(hello.body).relay) if hello.type == HELLO else ""


async def main(wanted: list[str]) -> None:
    quiet()
    host = LibP2PHost(os.urandom(32), ["/ip4/0.0.0.0/tcp/0"])
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        for address in wanted:
            print(json.dumps({"address": address, "relay": await ask(host, address)}), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
