"""What an operator does to a relay process, and what it says to that."""

from __future__ import annotations

import signal
import socket

import pytest

from p2pchat.core.mailbox import DONE, QUEUE_FULL, TO_PUT
from p2pchat.core.names import mailbox_name
from p2pchat.errors import NotServed, Unreachable
from p2pchat.net.multiaddrs import parse_full
from tests.support.boxes import Keys, blob
from tests.support.ports import free_port
from tests.support.processes import Place
from tests.support.programs import data, get, host, opened, run, start

BOB = Keys("bob")


def test_a_port_that_is_taken_and_an_address_of_somebody_else_are_one_clear_line(here: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for address, said in (
            (f"/ip4/127.0.0.1/tcp/{port}", "choose another port with --listen"),
            ("/ip4/192.0.2.1/tcp/4001", "no such address"),
        ):
            done = here.run("x", "relay", "--data", str(data(here)), "--listen", address)
            assert done.code == 1
            assert done.out == ""
            (line,) = done.err.splitlines()
            assert address in line
            assert said in line
            assert "fault" not in line


def test_the_default_port_that_is_taken_is_said_with_who_may_have_it(here: Place) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 4001))
        taken.listen()
        done = here.run("x", "relay", "--data", str(data(here)), "--listen", "/ip4/127.0.0.1/tcp/4001")
        assert done.code == 1
        assert "IPFS" in done.err


def test_a_hangup_reads_token_and_limits_again_and_drops_nobody(here: Place) -> None:
    settings, token, port = here.folder / "relay.toml", here.folder / "token", free_port()
    settings.write_text("queue_blobs = 2\n")
    running, address = start(here, "--config", str(settings), "--metrics", f"127.0.0.1:{port}")

    def hang_up(said: str) -> None:
        running.process.send_signal(signal.SIGHUP)
        running.until_said(said)

    async def main() -> None:
        async with host() as one, host() as two:
            alice = await opened(one, address, TO_PUT, BOB)
            assert await alice.put(0, blob(1), blob(2), blob(3)) == [DONE, DONE, QUEUE_FULL]
            settings.write_text("queue_blobs = ")
            hang_up("nothing was changed")
            assert await alice.put(0, blob(3)) == [QUEUE_FULL]
            token.write_text("sesame")
            where = 'announce = ["/ip4/192.0.2.1/tcp/4001"]'
            settings.write_text(f'queue_blobs = 3\nconnections_per_address = 1\ntoken_file = "{token}"\n{where}\n')
            hang_up("after a restart: announce")
            assert await alice.put(0, blob(3), blob(4)) == [DONE, QUEUE_FULL]
            peer, at = parse_full(address)
            with pytest.raises(Unreachable):  # a second connection; the first one stays
                await two.open(peer, [at], mailbox_name(peer, b"sesame"))
            settings.write_text(f'queue_blobs = 3\nconnections_per_address = 99\ntoken_file = "{token}"\n')
            hang_up("were read again\n")
            with pytest.raises(NotServed):
                await two.open(peer, [at], mailbox_name(peer, b""))
            stream = await two.open(peer, [at], mailbox_name(peer, b"sesame"))
            await stream.close()

    run(main)
    assert get(port, "/healthz") == "ok\n"
    assert running.end(signal.SIGTERM).code == 0


def test_a_store_that_was_not_closed_is_checked_while_it_serves(here: Place) -> None:
    port = free_port()
    metrics = ("--metrics", f"127.0.0.1:{port}")
    running, _ = start(here, *metrics, "-v")
    running.process.kill()
    running.wait()
    running, _ = start(here, *metrics, "-v")
    running.until_said("checking the store")
    assert get(port, "/healthz") == "ok\n"
    for what in ("the store", "the store of logs"):
        running.until_said(f"{what} was checked")
    running.end(signal.SIGTERM)
    running, _ = start(here, *metrics, "-v")
    assert "checking" not in running.end(signal.SIGTERM).err
