"""The program with a stopwatch round the functions of each stage of a message; `benchmarks.stages` starts it.

At SIGUSR1 it writes what was spent so far to the file that `P2PCHAT_STAGES` names.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

from p2pchat.__main__ import main
from p2pchat.api.server import _Connection
from p2pchat.core import files, ratchet
from p2pchat.core.primitives import CountingCipher, ShortNonceCipher
from p2pchat.engine.delivery import outbound
from p2pchat.engine.files import fetch
from p2pchat.engine.files.giving import Giver
from p2pchat.engine.files.progress import Progress
from p2pchat.engine.methods.service import EngineService
from p2pchat.engine.receiving import inbound, mailbox_handler
from p2pchat.engine.receiving.link_handler import LinkHandler
from p2pchat.engine.runtime import session_cache
from p2pchat.engine.runtime.committer import Committer
from p2pchat.net.files.asking import FileAsking
from p2pchat.net.files.serving import FileServing
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.links.link import Links
from p2pchat.net.mailbox.fetch import Collecting
from p2pchat.net.mailbox.stream import MailStream
from p2pchat.net.relays.circuit_relay import _Circuit
from p2pchat.net.transport.pipes import TcpPipe
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore
from p2pchat.store import file_blobs
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BlobMaker, PathSource
from p2pchat.store.file_space import SealedFile

STAGES: list[tuple[str, object, tuple[str, ...]]] = [
    ("API: lines, calls, events", _Connection, ("_read", "_write", "_pump", "_run")),
    ("API: methods", EngineService, ("call", "ask")),
    ("batches and hooks", Committer, ("run",)),
    ("transactions: the engine's part", Committer, ("_transaction",)),
    ("transactions: statements", Database, ("execute", "insert", "executemany", "query", "query_one")),
    ("transactions: COMMIT", Database, ("commit",)),
    ("keys: envelopes", session_cache, ("seal", "open_envelope")),
    ("keys: envelopes sealed again", outbound, ("same_envelope",)),
    ("keys: hashes of envelopes", outbound, ("envelope_id",)),
    ("keys: hashes of envelopes", inbound, ("envelope_id",)),
    ("keys: hashes of envelopes", mailbox_handler, ("envelope_id",)),
    ("keys: state of the ratchet", ratchet, ("dump",)),
    ("keys: made ahead", Committer, ("_make_keys",)),
    ("contents", outbound, ("encode_content",)),
    ("contents", inbound, ("decode_content",)),
    ("release: acks, envelopes, events", Committer, ("_release_effects",)),
    ("link: frames", Links, ("_read", "_write")),
    ("link: handed to the engine", LinkHandler, ("received",)),
    ("mailbox: frames", MailStream, ("_read", "_write")),
    ("mailbox: pages and deletes", Collecting, ("deliver", "delete")),
    ("relay: circuits", _Circuit, ("_pass",)),
    ("relay: frames", MailboxServer, ("_read",)),
    ("relay: batches and answers", MailboxServer, ("run",)),
    ("relay: store, written", MailboxStore, ("change",)),
    ("relay: store, read", MailboxStore, ("fetch", "holds_behind")),
    ("files: read", PathSource, ("chunk",)),
    ("files: sealed, here also anew", ShortNonceCipher, ("encrypt",)),
    ("files: opened", ShortNonceCipher, ("decrypt",)),
    ("files: named", files, ("blob_name",)),
    ("files: named", file_blobs, ("blob_name",)),
    ("files: written, padding, nonces", SealedFile, ("write_padded",)),
    ("files: fsync", SealedFile, ("sync",)),
    ("files: padding, places, copies", BlobMaker, ("blobs",)),
    ("files: padding, places, copies", fetch, ("_open",)),
    ("files: frames", FileServing, ("_read", "_prepare", "_write")),
    ("files: frames", FileAsking, ("_read", "_write")),
    ("files: what comes next", fetch.FileFetch, ("_ask_sender", "_ask_sender_for")),
    ("files: what comes next", Giver, ("blobs",)),
    ("files: noted", Progress, ("run",)),
    ("Yamux and streams", GuardedYamux, ("handle_incoming", "put", "take")),
    ("Noise", CountingCipher, ("encrypt", "decrypt")),
    ("socket", TcpPipe, ("receive", "send_now")),
]
"""Each stage, where its functions are, and their names."""


class _Stack(threading.local):
    """The stages that a thread is in, the innermost last, and since when it is in that one."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.since = 0


_calls: dict[str, int] = {}
_took: dict[str, int] = {}
_stack = _Stack()


def _enter(stage: str) -> None:
    now = time.thread_time_ns()
    if _stack.names:
        _took[_stack.names[-1]] += now - _stack.since
    _stack.names.append(stage)
    _stack.since = now


def _leave() -> None:
    now = time.thread_time_ns()
    _took[_stack.names.pop()] += now - _stack.since
    _stack.since = now


def _timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            _calls[stage] += 1
            return await _steps(stage, function(*args, **kwargs))

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        _calls[stage] += 1
        _enter(stage)
        try:
            return function(*args, **kwargs)
        finally:
            _leave()

    return called


@types.coroutine
def _steps(stage: str, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine with the stopwatch on from each of its waits to the next."""
    step: Callable[[], Any] = functools.partial(coroutine.send, None)
    while True:
        _enter(stage)
        try:
            waits_for = step()
        except StopIteration as stop:
            return stop.value
        finally:
            _leave()
        try:
            answer = yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's
            step = functools.partial(coroutine.throw, error)
        else:
            step = functools.partial(coroutine.send, answer)


def _write(*_: object) -> None:
    file = Path(os.environ["P2PCHAT_STAGES"])
    draft = file.with_suffix(".new")
    stages = {name: (_calls[name], _took[name]) for name in _calls}
    draft.write_text(json.dumps({"cpu": time.process_time_ns(), "stages": stages}))
    draft.rename(file)


def run() -> None:
    """Put the stopwatch round everything, and run the program."""
    for stage, place, names in STAGES:
        _calls[stage] = _took[stage] = 0
        for name in names:
            setattr(place, name, _timed(stage, getattr(place, name)))
    signal.signal(signal.SIGUSR1, _write)
    main()


if __name__ == "__main__":
    run()
