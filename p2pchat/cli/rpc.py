"""The verb rpc: the API on stdin and stdout, for bots in any language."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
from argparse import Namespace
from typing import BinaryIO

from p2pchat import errors
from p2pchat.api import codec
from p2pchat.api.client import Client
from p2pchat.cli.context import STDIN, Context
from p2pchat.cli.options import Verb


def rpc(context: Context, _args: Namespace) -> int:
    """Pass lines on until stdin ends and every request is answered."""
    if context.config.passphrase_file == STDIN:
        raise errors.UsageError(
            "stdin carries the requests here", hint="Name a file with --passphrase-file, or unlock."
        )
    # Said here, so that a bot need not; one that says it too is answered as well. A locked node stays so: bots unlock
    # it.
    with Client.connect(context.profile) as client:
        if client.greeting.get("state") == "locked" and context.config.passphrase_file is not None:
            client.call("unlock", passphrase=context.passphrase())
        _Proxy(client, _unshared(sys.stdin.buffer), sys.stdout.buffer).run()
    return 0


def _unshared(stream: BinaryIO) -> BinaryIO:
    """A reader of the same file with a buffer of its own. At exit Python closes that of `sys.stdin`, and aborts where a
    thread is still reading in it, as ours is when the node ended first.
    """
    try:
        return open(stream.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:
        return stream  # it is no file


class _Proxy:
    """Two directions: a thread writes what stdin says, this one prints what the node says."""

    def __init__(self, client: Client, requests: BinaryIO, answers: BinaryIO) -> None:
        self._client = client
        self._requests = requests
        self._answers = answers
        self._lock = threading.Lock()
        self._unanswered = 0
        self._ended = False

    def run(self) -> None:
        """Raises NodeGone if the node ends first."""
        threading.Thread(target=self._forward, daemon=True).start()
        splitter = codec.Splitter(codec.MAX_REPLY)
        while not self._finished():
            try:
                data = self._client.socket.recv(1 << 16)
            except OSError as exc:
                raise errors.NodeGone() from exc
            if not data:
                if self._finished():
                    return
                raise errors.NodeGone()
            lines = list(splitter.feed(data))
            for line in lines:
                self._answers.write(line + b"\n")
            self._answers.flush()
            answered = sum("method" not in codec.decode(line) for line in lines)
            with self._lock:
                self._unanswered -= answered

    def _forward(self) -> None:
        sock = self._client.socket
        try:
            while line := self._requests.readline(codec.MAX_REQUEST + 2):
                with self._lock:
                    self._unanswered += line.strip() != b"" and codec.expects_answer(line)
                # The last line may lack its newline; a line cut at the limit must not gain one, the node refuses it.
                whole = line.endswith(b"\n") or len(line) > codec.MAX_REQUEST
                sock.sendall(line if whole else line + b"\n")
        except OSError:
            return  # the node ended; the other direction says so
        with self._lock:
            self._ended = True
            nothing_left = self._unanswered <= 0
        if nothing_left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the other direction

    def _finished(self) -> bool:
        with self._lock:
            return self._ended and self._unanswered <= 0


VERBS = (
    Verb(
        "rpc",
        "serve the JSON-RPC API on stdin and stdout, for bots",
        rpc,
        example="p2pchat rpc < requests.jsonl",
    ),
)
