"""Opens and recognises the streams for files of one host, beside its links (docs/protocol/files.md).

Each contact is asked on one stream, which is on the connection of the best link with it; where another link has become
the best, the next request makes a stream there, and the old one ends once it is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import trio

from p2pchat.core.file_frames import FROM_RECIPIENT
from p2pchat.core.frames import HELLO, Frame
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.names import file_name
from p2pchat.core.primitives import equal
from p2pchat.core.session import Pair, file_tag, hello_days
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.net.files.asking import FileAsking
from p2pchat.net.files.reading import AnswerReader
from p2pchat.net.files.serving import FileServing
from p2pchat.net.frames import FrameReader, write_frames
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.links.link import Link, Links
from p2pchat.net.name_book import NameBook
from p2pchat.net.ports import Branching, Caller, Handler, Host, Stream
from p2pchat.ports import BlobRange, Blobs, FileCallbacks, LinkCallbacks

WINDOW_BYTES = 1 << 19
"""Bytes that may be under way to the recipient: twice what other streams have, since each pause costs speed, and no
more, since a message waits behind them."""
MAX_SERVED_STREAMS = 2
"""Streams on which one contact may ask at the same time: a second one while the first is left."""


class HostFileStreams:
    """The streams for files of one host, with the contacts of its `links`. To all others this host is a stranger.

    answers: gives what contacts ask for.
    """

    def __init__(
        self, host: Host, links: Links, callbacks: LinkCallbacks, answers: FileCallbacks, nursery: trio.Nursery
    ) -> None:
        self._host = host
        self._links = links
        self._callbacks = callbacks
        self.answers = answers
        self._nursery = nursery
        self._asking: dict[ContactId, tuple[Link, FileAsking]] = {}
        self._served: dict[ContactId, list[trio.CancelScope]] = {}
        self._book: NameBook[Pair] = NameBook(lambda pair, day: file_name(pair.theirs, host.peer, day))
        callbacks.follow(self._learn)
        host.recognize(self._recognize)
        links.tell_of_stalls(self._stalled)

    async def get(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Ask a contact for blobs, as `ports.FileStreams.get` says."""
        link = self._links.best(contact)
        if link is None or link.judge.doubted or link.stream.short is not None:
            raise Unreachable("there is no link that is good for files")
        self._keep_to_terms(link)
        over, asking = self._asking.get(contact, (None, None))
        if asking is None or asking.over or over is not link:
            if asking is not None:
                asking.retire()
            asking = FileAsking(partial(self._links.ask, link))
            self._asking[contact] = link, asking
            self._nursery.start_soon(self._ask, contact, link, asking)
        return await asking.get(wanted)

    def _keep_to_terms(self, link: Link) -> None:
        """Leave half of what a circuit may carry to messages; where that is reached, have another one made. Raises
        Unreachable where nothing more may be asked for on this one.
        """
        terms = link.terms
        if terms is None:
            return
        if not terms.for_files:
            raise Unreachable("the relay lets circuits carry too little")
        if terms.half_used:
            self._links.replace(link)
            raise Unreachable("the circuit has carried what it may of files")

    def drop(self, contact: ContactId) -> None:
        """End every stream with a contact."""
        _, asking = self._asking.get(contact, (None, None))
        for scope in (*([] if asking is None else [asking.scope]), *self._served.get(contact, ())):
            scope.cancel()

    def _stalled(self, link: Link) -> None:
        """Give up what is asked on the connection of a link that has stalled, so that it is asked on the next one;
        unless blobs come there, behind which answers wait on a slow line.
        """
        over, asking = self._asking.get(link.contact, (None, None))
        if asking is not None and over is link and asking.silent:
            asking.scope.cancel()

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _ask(self, contact: ContactId, link: Link, asking: FileAsking) -> None:
        try:
            await asking.run(partial(self._begin, contact, link))
        finally:
            if self._asking.get(contact) == (link, asking):
                del self._asking[contact]

    async def _begin(self, contact: ContactId, link: Link) -> tuple[Stream, AnswerReader]:
        """Open a stream on the connection of a link, and say hello as on that link. Raises Unreachable and LinkLost."""
        pairs = self._links.pairs(contact)
        pair = next((pair for pair in pairs if pair.session_id == link.session_id), None)
        if pair is None or not isinstance(link.stream, Branching):
            raise Unreachable("the session of the link has ended")
        day = hello_days(self._callbacks.now())[0]
        stream = await link.stream.beside(file_name(pair.ours, link.stream.peer, day), WINDOW_BYTES)
        try:
            reader = AnswerReader(stream)
            await self._say_hello(stream, pair, day)
            if not self._proves(await reader.hello(), pair, stream.peer):
                raise LinkLost
        except BaseException as error:
            await stream.close()
            if isinstance(error, CannotOpen):
                raise LinkLost from None
            raise
        return stream, reader

    # --- serving ---------------------------------------------------------------------------------------------------

    def _learn(self, contacts: Iterable[ContactId]) -> None:
        for contact in contacts:
            self._book.put(contact, self._links.pairs(contact))

    async def _recognize(self, name: str, caller: Caller) -> Handler | None:
        pair = await self._book.find(name, hello_days(self._callbacks.now()))
        return None if pair is None else partial(self._accept, pair)

    async def _accept(self, pair: Pair, stream: Stream) -> None:
        reader = FrameReader(stream, FROM_RECIPIENT)
        try:
            if not self._proves(await reader.read_one(), pair, stream.peer):
                return
            await self._say_hello(stream, pair, hello_days(self._callbacks.now())[0])
        except (CannotOpen, LinkLost):
            return
        until_written = partial(self._links.until_written, pair.contact)
        charge = stream.account.charge if isinstance(stream, LibP2PStream) else _charge_nothing
        served = self._served.setdefault(pair.contact, [])
        scope = trio.CancelScope()
        served.append(scope)
        if len(served) > MAX_SERVED_STREAMS:
            served[0].cancel()
        try:
            with scope:
                await FileServing(stream, reader, pair.contact, self.answers, until_written, charge).run()
        finally:
            served.remove(scope)
            if not served:
                self._served.pop(pair.contact, None)

    # --- hello -----------------------------------------------------------------------------------------------------

    async def _say_hello(self, stream: Stream, pair: Pair, day: int) -> None:
        await write_frames(stream, [Frame(HELLO, file_tag(pair.ours, self._host.peer, stream.peer, day))])

    def _proves(self, frame: Frame, pair: Pair, peer: PeerKey) -> bool:
        """Return whether the other side of the pair made this hello."""
        return frame.type == HELLO and any(
            equal(frame.body, file_tag(pair.theirs, self._host.peer, peer, day))
            for day in hello_days(self._callbacks.now())
        )


class BestFileStreams:
    """`ports.FileStreams` over several hosts. side: returns the streams of the host that has the best link."""

    def __init__(self, side: Callable[[ContactId], HostFileStreams]) -> None:
        self._side = side

    async def get(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Ask a contact for blobs."""
        return await self._side(contact).get(contact, wanted)


def _charge_nothing(units: float) -> None:
    pass
