"""Tells faces about requests, with the words of the handshake, which are slow to compute."""

from __future__ import annotations

from functools import partial
from math import inf

import trio

from p2pchat.core.identity import sas_words
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import ContactRequest
from p2pchat.engine.runtime.events import EventHub
from p2pchat.store import sessions as store_sessions


class RequestTeller:
    """Tells faces about requests. The words of each take 45 ms, during which transactions go on."""

    def __init__(self, committer: Committer, events: EventHub) -> None:
        self._committer = committer
        self._events = events
        self._put, self._requests = trio.open_memory_channel[ContactRequest](inf)

    def tell(self, request: ContactRequest) -> None:
        """Announce a request soon, if there is a face; one that connects later asks for the list."""
        if self._events.listened:
            self._put.send_nowait(request)

    async def run(self) -> None:
        """Compute the words and tell the faces, until cancelled."""
        async for request in self._requests:
            words = await self._committer.beside(partial(sas_words, request.sas))
            if await self._committer.read(store_sessions.is_pending, request.session_id):  # not answered meanwhile
                event = views.request(request.contact, words, request.since)
                self._events.publish({"event": "request", **event})
