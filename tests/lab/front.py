"""The web server before a relay: `python -m tests.lab.front PORT RELAY_PORT FILE`.

It ends TLS with the certificate and key in FILE, and passes on what is inside.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import trio

from tests.support.certificates import server_tls

CHUNK = 65536


async def _pass_on(source: trio.abc.Stream, target: trio.abc.Stream, over: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await source.receive_some(CHUNK):
            await target.send_all(data)
    over.cancel()


async def main(port: int, relay_port: int, certificate: Path) -> None:
    """Serve until it is ended."""

    async def serve(client: trio.SSLStream) -> None:
        with suppress(OSError, trio.BrokenResourceError):
            relay = await trio.open_tcp_stream("127.0.0.1", relay_port)
            async with client.transport_stream, relay, trio.open_nursery() as both:
                both.start_soon(_pass_on, client, relay, both.cancel_scope)
                both.start_soon(_pass_on, relay, client, both.cancel_scope)

    tls = server_tls(certificate)
    listeners = await trio.open_ssl_over_tcp_listeners(port, tls, host="0.0.0.0", https_compatible=True)
    print(json.dumps("ready"), flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
