"""Work that a client who comes back makes for the relay, as counted; `benchmarks/returning.py` has the milliseconds."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from types import FrameType
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from benchmarks.returning import Client
from p2pchat.core import mailbox, names
from p2pchat.core.frames import WRITE, Frame, pack
from p2pchat.core.mailbox import Hello
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net.admission.budget import Account
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.ports import Stream
from p2pchat.net.transport import pipes
from p2pchat.relay import clients
from p2pchat.relay.clients import SLOW_WRITE_SECONDS, ClientStream, Outgoing
from p2pchat.relay.host_streams import account_of, is_over, place_of, write_now
from p2pchat.relay.limits import Origin
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore, Quota
from tests.conftest import run
from tests.support.boxes import LIMITS, NOW

MAX_WRITES = 6
"""multistream-select, Noise, multistream-select; the acknowledgement of the stream with the answer to its name and the
hello; the queues that were opened with what the fetch found; the end of the second fetch."""
MAX_SETTLED = 3
OF_A_CLIENT = ("Inbound._serve", "start", "_write", "_ask_back", "StreamGuard")
MAX_TASKS = 2
"""What shakes hands and then reads the connection, and the mailbox's stream."""
MAX_SCOPES = 2
"""Of cancellation: the connection's, and the mailbox's stream's."""
MAX_CALLS = 2450
"""Functions that these call, built-in ones too, without what the loop does between their steps."""
MAX_STEPS = 18
"""Steps of the relay's tasks: each receive is one, each turn that is waited for, each start of one."""


class Unread:
    """A stream whose other end takes nothing until `taking`."""

    peer = b"p"

    def __init__(self) -> None:
        self.taking = trio.Event()
        self.written: list[bytes] = []

    async def write(self, data: bytes) -> None:
        await self.taking.wait()
        self.written.append(data)


def silent(outgoing: Outgoing, nursery: trio.Nursery, stream: Unread | None = None) -> ClientStream:
    """A client that takes nothing."""
    return ClientStream(
        cast(Stream, stream or Unread()),
        cast(Hello, None),
        TokenBucket(1, 1),
        cast(Origin, None),
        outgoing,
        nursery,
        lambda client: None,
        Account(),
    )


def test_answers_that_wait_take_as_much_memory_as_is_counted() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            stream, outgoing = Unread(), Outgoing(lambda: None, lambda stream, data: False)
            client = silent(outgoing, nursery, stream)
            sent = [Frame(mailbox.PONG, b"")] * 50_000
            sent[10::1000] = [Frame(mailbox.BLOB, bytes([number]) * 5_000) for number in range(50)]
            sent[11::1000] = [Frame(mailbox.RESULTS, bytes([number])) for number in range(50)]
            for frame in sent:
                client.send(frame)
            waits = client._frames
            memory = sys.getsizeof(waits) + sum(sys.getsizeof(piece) for piece in waits)
            assert client.out_bytes == outgoing.total == sum(len(pack(frame)) for frame in sent)
            assert memory <= 1.3 * client.out_bytes
            stream.taking.set()
            while not client.settled:
                await client.changed.park()
            assert b"".join(stream.written) == b"".join(map(pack, sent))
            assert max(map(len, stream.written)) <= WRITE

    run(main)


def test_many_who_take_nothing_make_room_though_each_waits_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_OUT", 1 << 20)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            outgoing = Outgoing(lambda: None, lambda stream, data: False)
            greedy, modest = [silent(outgoing, nursery) for _ in range(8)], silent(outgoing, nursery)
            modest.send(Frame(mailbox.BLOB, bytes(4_000)))
            for number, client in enumerate(greedy):
                for _ in range(16):
                    client.send(Frame(mailbox.BLOB, bytes(4_000 + 1_000 * number)))
            assert not outgoing.full
            await trio.sleep(SLOW_WRITE_SECONDS + 1)
            outgoing.drop_slow([*greedy, modest])
            assert not any(client.scope.cancel_called for client in greedy), "there is room"
            late = silent(outgoing, nursery)
            late.send(Frame(mailbox.BLOB, bytes(120_000)))
            assert outgoing.full
            outgoing.drop_slow([*greedy, modest, late])
            ended = [client.scope.cancel_called for client in greedy]
            assert any(ended)
            assert not all(ended), "no more than is needed"
            assert not modest.scope.cancel_called
            assert not late.scope.cancel_called
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def _of_a_client(task: trio.lowlevel.Task) -> bool:
    name = task.name.partition(" object at ")[0]  # of an object that is called, its class
    return name.endswith(OF_A_CLIENT)


class Steps(trio.abc.Instrument):
    """Counts the relay's tasks that belong to one client, their steps, and the functions that are called in them."""

    def __init__(self) -> None:
        self.tasks = self.steps = self.calls = self.scopes = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.tasks += _of_a_client(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if _of_a_client(task):
            self.steps += 1
            sys.setprofile(self._called)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        self.calls += event in ("call", "c_call")
        self.scopes += event == "call" and frame.f_code is trio.CancelScope.__enter__.__code__


def test_a_returning_client_costs_few_writes_and_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = settled = statements = 0
    send_now, settle = pipes.TcpPipe.send_now, Account.settle

    def counted_write(pipe: pipes.TcpPipe, data: bytes) -> int:
        nonlocal writes
        writes += 1
        return send_now(pipe, data)

    async def counted_settle(account: Account) -> None:
        nonlocal settled
        settled += 1
        await settle(account)

    monkeypatch.setattr(pipes.TcpPipe, "send_now", counted_write)
    monkeypatch.setattr(Account, "settle", counted_settle)

    def counted_statement(text: str) -> None:
        nonlocal statements
        statements += 1

    async def main() -> None:
        nonlocal writes, settled, statements
        host = LibP2PHost(bytes([1]) * 32, ["/ip4/127.0.0.1/tcp/0"])
        store = MailboxStore.open(tmp_path / "mailbox.db", Quota(least_free=0), NOW)
        store._connection.set_trace_callback(counted_statement)
        server = MailboxServer(
            host.peer,
            store,
            LIMITS,
            lambda: NOW,
            Random(5).randbytes,
            place_of,
            account_of=account_of,
            write_now=write_now,
            is_over=is_over,
            mark_proven=host.mark_proven,
        )
        host.handle(names.MAILBOX, server.serve, speaks_first=True)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            await nursery.start(host.run)
            port = int(host.addresses()[0].rsplit("/", 1)[1])
            clients = [Client(number, host.peer) for number in range(8)]
            writes = settled = statements = 0
            steps = Steps()
            trio.lowlevel.add_instrument(steps)
            async with trio.open_nursery() as coming:
                for client in clients:
                    coming.start_soon(client.come, "127.0.0.1", port, False)
            assert server.pushes.watched == 8 * len(clients)
            assert writes <= MAX_WRITES * len(clients)
            assert settled <= MAX_SETTLED * len(clients)
            assert steps.tasks <= MAX_TASKS * len(clients)
            assert steps.steps <= MAX_STEPS * len(clients)
            assert steps.scopes <= MAX_SCOPES * len(clients)
            assert steps.calls <= MAX_CALLS * len(clients)
            assert not statements  # memory knows that the queues are empty
            for client in clients:
                client.leave()
            nursery.cancel_scope.cancel()
        store.close()

    run(main)
