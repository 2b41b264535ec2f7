"""Two relays as processes, of which one knows the other: it announces itself there, and is reached through it."""

from __future__ import annotations

import trio

from p2pchat.core.descriptors import is_circuit, open_descriptor
from p2pchat.core.mailbox import DONE, TO_FETCH, TO_PUT
from p2pchat.net import multiaddrs
from p2pchat.net.relays.lists import ask_list
from p2pchat.net.relays.reservations import RelayAccess
from tests.support.boxes import Keys, MailClient
from tests.support.processes import Place
from tests.support.programs import LOOPBACK, host, run, start


def test_a_relay_that_names_another_is_listed_there_and_reached_through_it(here: Place) -> None:
    _, first = start(here)
    settings = here.folder / "second.toml"
    settings.write_text(f'others = ["{first}"]\n')
    folder = str(here.folder / "second")
    second = here.start("unused", "relay", "--data", folder, "--listen", LOOPBACK, "--config", str(settings))
    (address,) = second.hear()["addresses"]
    (near, where), (far, direct) = multiaddrs.parse_full(first), multiaddrs.parse_full(address)

    async def listed() -> list[str]:
        """The addresses of the second relay, once the first tells of it."""
        while True:
            async with host() as asking:
                raws = await ask_list(asking, near, RelayAccess((where,)))
            told = {row.relay: row for row in map(open_descriptor, raws)}
            assert near in told
            if far in told:
                return list(told[far].addresses)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        ways = await listed()
        assert ways == [direct, multiaddrs.circuit(where, near)]
        keys = Keys("by two")
        async with host() as alice:
            stream = await alice.open(far, list(filter(is_circuit, ways)), "/p2pchat/mailbox/1")
            assert stream.route == "circuit"
            client = await MailClient(stream).greeted()
            assert await client.open(0, TO_PUT, keys) == DONE
            assert await client.open(1, TO_FETCH, keys) == DONE

    run(main)
