"""Opening queues, file boxes and logs on a stream: whoever signs with the right key may use one."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.core import logs, mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.errors import CannotOpen
from p2pchat.relay.clients import ClientStream, OpenQueue


class Openings:
    """Opens what clients ask for. mark_proven: called with the peer of a client that has opened something. files, logs:
    whether there are file boxes, and logs.
    """

    def __init__(self, relay: PeerKey, mark_proven: Callable[[PeerKey], None], *, files: bool, logs: bool) -> None:
        self._relay = relay
        self._mark_proven = mark_proven
        self._files = files
        self._logs = logs

    def open(self, client: ClientStream, opening: mailbox.Open) -> None:
        """Open a queue or a file box. Raises CannotOpen for a handle that may not be used."""

        def check() -> QueueId:
            if opening.queue.flags & mailbox.FILES and not self._files:
                raise CannotOpen
            return mailbox.check_open(opening, client.hello)

        self._open(client, opening.handle, opening.role, opening.queue.flags, check)

    def open_log(self, client: ClientStream, opening: logs.OpenLog) -> None:
        """Open a log. Raises CannotOpen for a handle that may not be used."""

        def check() -> QueueId:
            if not self._logs:
                raise CannotOpen
            return logs.check_open_log(opening, self._relay, client.hello.challenge)

        self._open(client, opening.handle, opening.role, opening.log.flags, check)

    def _open(self, client: ClientStream, handle: int, role: int, flags: int, check: Callable[[], QueueId]) -> None:
        if handle in client.opened or handle == mailbox.NO_HANDLE:
            raise CannotOpen
        client.opens += 1
        code: int = mailbox.TOO_FAST
        if client.opens <= mailbox.MAX_HANDLES:  # those that failed count: each costs us a check of a signature
            try:
                opened = OpenQueue(client, handle, role, flags, check())
            except CannotOpen:
                code = mailbox.NOT_ALLOWED
            else:
                code = mailbox.DONE
                if not client.opened:
                    self._mark_proven(client.stream.peer)
                client.opened[handle] = opened
        client.send(Frame(mailbox.OPENED, mailbox.encode_opened(handle, code)))
