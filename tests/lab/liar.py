"""A relay that lies to its clients: `python -m tests.lab.liar LIE --data DIR --listen MULTIADDR`.

It is the real relay, with the one part exchanged in which the lie is. Circuits go by it as by any other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame
from p2pchat.core.mailbox import Blob
from p2pchat.relay import server
from p2pchat.relay.clients import ClientStream
from p2pchat.relay.config import load
from p2pchat.relay.store import DepositResult, MailboxStore, NewBlob

LATE = 2.0
"""Seconds by which everything comes too late."""
SHUFFLED = 0.5
"""Seconds in which blobs are gathered, to be sent in another order."""
LAST_PLACE = (1 << 64) - 1


class Losing(MailboxStore):
    """Says that it has what it was given, and has it not."""

    def change(
        self, deposits: Sequence[NewBlob], deletes: Mapping[bytes, int], now: int, *names: Any
    ) -> list[DepositResult]:
        super().change([], deletes, now, *names)
        return [DepositResult(mailbox.DONE)] * len(deposits)


class Keeping(MailboxStore):
    """Says that it has deleted, and gives the same again."""

    def change(
        self, deposits: Sequence[NewBlob], deletes: Mapping[bytes, int], now: int, *names: Any
    ) -> list[DepositResult]:
        return super().change(deposits, {}, now)


class Repeating(ClientStream):
    """Every blob comes twice, and after a while once more."""

    def send(self, frame: Frame) -> None:
        super().send(frame)
        if frame.type == mailbox.BLOB:
            super().send(frame)
            self._nursery.start_soon(self._again, frame)

    async def _again(self, frame: Frame) -> None:
        await trio.sleep(LATE)
        super().send(frame)


class Late(ClientStream):
    """Everything comes late."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._held: deque[tuple[float, Frame]] = deque()

    def send(self, frame: Frame) -> None:
        self._held.append((trio.current_time() + LATE, frame))
        if len(self._held) == 1:
            self._nursery.start_soon(self._let_go)

    async def _let_go(self) -> None:
        while self._held:
            due, frame = self._held[0]
            await trio.sleep_until(due)
            self._held.popleft()
            super().send(frame)


class Shuffling(ClientStream):
    """Blobs come from the last to the first."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._held: list[Frame] = []

    def send(self, frame: Frame) -> None:
        if not self._held and frame.type != mailbox.BLOB:
            super().send(frame)
            return
        self._held.append(frame)
        if len(self._held) == 1:
            self._nursery.start_soon(self._let_go)

    async def _let_go(self) -> None:
        await trio.sleep(SHUFFLED)
        held, self._held = self._held, []
        held.reverse()
        for frame in sorted(held, key=lambda one: one.type != mailbox.BLOB):
            super().send(frame)


class Inventing(ClientStream):
    """Before every blob comes a false one in its place, and whoever asks is given some that nobody deposited."""

    def send(self, frame: Frame) -> None:
        if frame.type == mailbox.BLOB:
            true = mailbox.decode_blob(frame.body)
            self._invent(true.handle, true.place, bytes([true.blob[0] ^ 1]) + true.blob[1:])
        elif frame.type == mailbox.END:
            for opened in self.opened.values():
                if opened.role == mailbox.TO_FETCH:
                    for place, size in enumerate(BUCKETS):
                        self._invent(opened.handle, place, os.urandom(size))
        super().send(frame)

    def _invent(self, handle: int, place: int, blob: bytes) -> None:
        super().send(Frame(mailbox.BLOB, mailbox.encode_blob(Blob(handle, place, blob))))


class Exhausting(ClientStream):
    """The first blob comes in the last place there is."""

    def send(self, frame: Frame) -> None:
        if frame.type == mailbox.BLOB:
            true = mailbox.decode_blob(frame.body)
            frame = Frame(mailbox.BLOB, mailbox.encode_blob(true._replace(place=LAST_PLACE)))
        super().send(frame)


class Withholding(ClientStream):
    """Has it, and gives nothing out."""

    def send(self, frame: Frame) -> None:
        if frame.type == mailbox.END:
            end = mailbox.decode_end(frame.body)
            frame = Frame(mailbox.END, mailbox.encode_end(end._replace(more=False)))
        if frame.type != mailbox.BLOB or mailbox.decode_blob(frame.body).handle == mailbox.NO_HANDLE:
            super().send(frame)


LIES: dict[str, tuple[type[MailboxStore], type[ClientStream]]] = {
    "drops": (Losing, ClientStream),
    "repeats": (Keeping, Repeating),
    "delays": (MailboxStore, Late),
    "reorders": (MailboxStore, Shuffling),
    "invents": (MailboxStore, Inventing),
    "exhausts": (MailboxStore, Exhausting),
    "withholds": (MailboxStore, Withholding),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lie", choices=LIES)
    parser.add_argument("--data", required=True)
    parser.add_argument("--listen", required=True)
    args = parser.parse_args()
    store, client = LIES[args.lie]
    config = load({"data": args.data, "listen": [args.listen]}, {})
    with patch.object(server, "MailboxStore", store), patch("p2pchat.relay.mailbox.ClientStream", client):
        server.run(config, lambda event: print(json.dumps(event), flush=True))


if __name__ == "__main__":
    main()
