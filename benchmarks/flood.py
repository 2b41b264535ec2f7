"""A made-up node in a process of its own that tells of so many messages a second: `python -m benchmarks.flood`.

A real one would measure itself and its peer as well: here the screen has one core for itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.tui.fakes import FakeNode
from tests.tui.served import served

BATCH = 0.01
"""Seconds between two writes."""


class Talker(FakeNode):
    """Says things without counting what is unread each time."""

    def talk(self, chat: str, count: int, first: int) -> None:
        """So many messages, and one word about how many are unread."""
        stamp = self._stamp()
        for number in range(first, first + count):
            message: dict[str, Any] = {
                "id": f"{number:032x}",
                "chat": chat,
                "from": self.people[chat]["name"],
                "text": f"message {number} of a long flood of them",
                "kind": "text",
                "sent_at": stamp,
                "received_at": stamp,
                "state": "received",
                "route": "direct",
                "late": False,
            }
            self.history[chat].append(message)
            self.emit("message", **message)
        self.emit("chat", id=chat, unread=0, first_unread=None)

    def _unread(self, chat: str) -> list[dict[str, Any]]:
        return []

    def _do_read(self, chat: str, upto: str) -> dict[str, Any]:
        return {"unread": 0}


def main() -> None:
    """PROFILE RATE: serve it, say `ready`, and talk from the first SIGUSR1 on until SIGTERM."""
    folder, rate = Path(sys.argv[1]), int(sys.argv[2])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    node = Talker()
    bob = node.friend("bob")
    with served(folder, os.environ, node) as service:
        print("ready", flush=True)
        signal.sigwait({signal.SIGUSR1, signal.SIGTERM})
        began, said = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate) - said
            if due:
                first, said = said, said + due
                service.do(lambda first=first, due=due: node.talk(bob, due, first))  # type: ignore[misc]
            if signal.sigtimedwait({signal.SIGTERM}, BATCH):
                return


if __name__ == "__main__":
    main()
