"""Links: verified streams with contacts (docs/protocol/direct.md).

A link is asked for by a name that only the two ends of a pair can make, and begins with a hello each way: 16 bytes
that only they can make, for this pair of hosts. The one who dialled speaks first; to anyone else the other end is any
libp2p host. After that both sides send frames. What the frames mean is the engine's business: here they are only
carried, in order, and a dead link is noticed.

If both sides dialled there are two links: each side writes on its newest and reads all. A direct link is better than
one over a circuit, which is let go soon after. Better than both is one that moves (`judging`): a link on which an
answer is overdue gets a second one beside it, everything in flight goes over that one too, and it ends when that one
has brought something. Where a newer link comes, the older ones are asked whether they still work, since the other side
may have made it because they do not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import inf

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.envelope import ID_BYTES
from p2pchat.core.frames import ACKS, ENVELOPE, FULL, HELLO, PING, PONG, PUNCH, REFUSED, WRITE, Frame
from p2pchat.core.ids import ContactId, PeerKey, SessionId
from p2pchat.core.names import link_name
from p2pchat.core.primitives import equal
from p2pchat.core.session import Pair, hello_days, hello_tag
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.allowance import CircuitTerms
from p2pchat.net.frames import FrameReader, write_frames
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.links import judging
from p2pchat.net.links.judging import Judge, Verdict
from p2pchat.net.name_book import NameBook
from p2pchat.net.ports import Branching, Caller, Handler, Host, Routed, Stream
from p2pchat.ports import LinkCallbacks

CIRCUIT_LINGER_SECONDS = 5.0
"""Seconds for which a link over a circuit stays open beside a direct one, so that frames on their way arrive."""
MAX_QUEUED = 4096
"""Frames that may wait on one link. The engine's window keeps far below; if there are more, the peer is not reading."""

FIRST_UNACKED, LAST_UNACKED = 2, 256
"""Envelopes that may be on their way on a new link, and once as many more have been acked: some networks let 15 kB of a
connection through."""

FIRST_WRITE = 9_000
"""Bytes that are written at once until then: two envelopes of the smallest size."""
SHORT_ROOM, SHORT_ROOM_PACKETS = 4_500, 6
"""Bytes and packets of an envelope of the smallest size, with its ack."""
_ANSWERS = (ACKS, REFUSED, FULL, PING, PONG, PUNCH)

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Link:
    """One verified stream, and the frames that wait to be written on it."""

    stream: Stream
    contact: ContactId
    session_id: SessionId
    queue: list[Frame] = field(default_factory=list)
    wake: Wakeup = field(default_factory=Wakeup)
    judge: Judge = field(default_factory=lambda: Judge(trio.current_time(), trio.current_time()))
    pause: trio.CancelScope = field(default_factory=trio.CancelScope)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    taking: bool = False
    over: bool = False
    allowed: int = FIRST_UNACKED
    unacked: int = 0
    used_up: bool = False
    writing: bool = False
    written: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    began: float = field(default_factory=trio.current_time)

    @cached_property
    def route(self) -> Route:
        """How it travels, for people: `LAN` where the other end is in a network of this machine, `PUNCHED` through both
        routers.
        """
        stream = self.stream
        if isinstance(stream, Routed) and stream.punched:
            return Route.PUNCHED
        if isinstance(stream, LibP2PStream) and stream.route == Route.DIRECT and interfaces.is_near(stream.place):
            return Route.LAN
        return stream.route

    @cached_property
    def terms(self) -> CircuitTerms | None:
        """What its connection may carry, if that is a circuit."""
        return self.stream.terms if isinstance(self.stream, Branching) else None  # this question takes long

    def post(self, frames: Sequence[Frame]) -> bool:
        """Queue frames for writing; return False if this link does not take any more."""
        if len(self.queue) + len(frames) > MAX_QUEUED:
            return False
        self.queue.extend(frames)
        self.wake.set()
        judge = self.judge
        if judge.asked == inf:
            judge.wrote(frames, trio.current_time())
            if judge.asked + judging.ASK_AFTER_SECONDS < self.pause.deadline:
                self.pause.deadline = judge.asked + judging.ASK_AFTER_SECONDS
        else:
            judge.wrote(frames, judge.asked)
        return True

    @property
    def busy(self) -> bool:
        """Whether frames wait that may be written now, or are being written; when that ends, `written` is unparked."""
        return self.writing or self.wake.is_set()

    def take(self) -> list[Frame]:
        """Take the frames that may be written now out of the queue. Until acks have shown that the link carries more,
        few envelopes are on their way; answers do not wait behind them.
        """
        frames: list[Frame] = []
        waiting: list[Frame] = []
        if self.allowed >= LAST_UNACKED:
            frames, self.queue = self.queue, []
            return frames
        for frame in self.queue:
            if frame.type in _ANSWERS or (frame.type != ENVELOPE and not waiting):
                frames.append(frame)
            elif frame.type == ENVELOPE and self.unacked < self.allowed:
                frames.append(frame)
                self.unacked += 1
            else:
                waiting.append(frame)
        self.queue = waiting
        return frames

    def answered(self, frames: Sequence[Frame]) -> None:
        """Note acks, refusals and pongs, on whichever link they came: more envelopes may follow."""
        for frame in frames:
            count = len(frame.body) // ID_BYTES if frame.type in (ACKS, REFUSED) else 0
            self.unacked = 0 if frame.type == PONG else max(0, self.unacked - count)
            self.allowed = min(LAST_UNACKED, self.allowed + count)
        if self.queue:
            self.wake.set()


class Links:
    """Every live link of one host, by contact, newest last. `hidden`: with contacts who are; otherwise with the others.
    To all else this host is a stranger.
    """

    def __init__(self, host: Host, callbacks: LinkCallbacks, *, hidden: bool = False) -> None:
        self._host = host
        self._callbacks = callbacks
        self._hidden = hidden
        self._links: dict[ContactId, list[Link]] = {}
        self._on_link: Callable[[ContactId], None] = lambda contact: None
        self._on_stuck: Callable[[ContactId], None] = lambda contact: None
        self._on_stall: Callable[[Link], None] = lambda link: None
        self._on_new: Callable[[Link], None] = lambda link: None
        self._on_punch: Callable[[Link, Frame], None] = lambda link, frame: None
        self._book: NameBook[Pair] = NameBook(lambda pair, day: link_name(pair.theirs, host.peer, day))
        callbacks.follow(self._learn)
        host.recognize(self._recognize)

    def best(self, contact: ContactId) -> Link | None:
        """Return the link to write on, if there is one: of those that are not in doubt, or else of all, the newest
        direct one, else the newest whose circuit has not carried enough, else the newest.
        """
        links = self._links.get(contact, ())
        return max(links[::-1], key=_quality, default=None)

    def moves(self, contact: ContactId) -> bool:
        """Return whether there is a link with the contact that is not in doubt, and whose connection is not used up."""
        best = self.best(contact)
        return best is not None and not best.judge.doubted and not best.used_up

    def replace(self, link: Link) -> None:
        """Have a link made on another connection, since the circuit of this one has carried enough; where it comes, all
        links on that circuit end soon.
        """
        if not link.used_up:
            for other in self._links.get(link.contact, ()):
                other.used_up = other.used_up or other.terms is link.terms
            self._on_stuck(link.contact)

    def tell_of_links(self, linked: Callable[[ContactId], None], stuck: Callable[[ContactId], None]) -> None:
        """Call `linked` with the contact of every new link, and `stuck` when the best link of a contact has stalled."""
        self._on_link, self._on_stuck = linked, stuck

    def tell_of_stalls(self, stalled: Callable[[Link], None]) -> None:
        """Call `stalled` with every link that stalls."""
        self._on_stall = stalled

    def tell_of_punching(self, new: Callable[[Link], None], punch: Callable[[Link, Frame], None]) -> None:
        """Call `new` with every new link, and `punch` with every PUNCH frame. It may raise CannotOpen."""
        self._on_new, self._on_punch = new, punch

    async def until_written(self, contact: ContactId) -> None:
        """Wait until no frame of a link with a contact waits to be written. No checkpoint where none does."""
        while (busy := next((link for link in self._links.get(contact, ()) if link.busy), None)) is not None:
            await busy.written.park()

    def doubt(self, contact: ContactId) -> None:
        """Ask on every link with a contact whether it still works; until it answers, any other is better."""
        for link in self._links.get(contact, ()):
            self._doubt(link)

    def ask(self, link: Link) -> None:
        """Ask on a link whether it still works: where no answer comes, it stalls."""
        if not link.judge.pinged:
            link.post([Frame(PING, b"")])

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        """Return the pairs of a contact by which this host knows it, newest session first; none of others."""
        return self._callbacks.pairs(contact) if self._callbacks.hidden(contact) == self._hidden else ()

    def contacts(self) -> list[ContactId]:
        """Return everybody with whom there is a link."""
        return list(self._links)

    async def drop(self, contact: ContactId) -> None:
        """End every link with a contact."""
        for link in list(self._links.get(contact, ())):
            await link.stream.close()
            await self._host.disconnect(link.stream.peer)

    async def dial(
        self,
        contact: ContactId,
        peer: PeerKey,
        known: Sequence[str],
        attempt: int,
        started: Callable[[], None],
        only: Route | None = None,
        *,
        afresh: bool = False,
    ) -> None:
        """Open a link, by the route `only` or by any, and carry it until it ends. `started` is called once it is
        verified. afresh: on a connection made now, since the one there is has stalled.

        Raises Unreachable or LinkLost where there was no link; returns when one ended. A pair can have several
        sessions: the count of attempts, `attempt`, picks whose hello to say, so that two sides that disagree meet in
        the end.
        """
        pairs = self.pairs(contact)
        if not pairs:
            raise LinkLost
        pair = pairs[attempt % len(pairs)]
        day = hello_days(self._callbacks.now())[0]
        stream = await self._host.open(peer, known, link_name(pair.ours, peer, day), only=only, afresh=afresh)
        try:
            reader = FrameReader(stream)
            await write_frames(stream, [Frame(HELLO, hello_tag(pair.ours, self._host.peer, stream.peer, day))])
            answer = await reader.read_one()
            if not self._proves(answer, pair, stream.peer):
                raise LinkLost
            started()
            await self._carry(Link(stream, contact, pair.session_id), reader)
        except CannotOpen:
            raise LinkLost from None
        finally:
            await stream.close()

    def _learn(self, contacts: Iterable[ContactId]) -> None:
        for contact in contacts:
            self._book.put(contact, self.pairs(contact))

    async def _recognize(self, name: str, caller: Caller) -> Handler | None:
        pair = await self._book.find(name, hello_days(self._callbacks.now()))
        return None if pair is None else partial(self._accept, pair)

    async def _accept(self, pair: Pair, stream: Stream) -> None:
        reader = FrameReader(stream)
        try:
            hello = await reader.read_one()
            if not self._proves(hello, pair, stream.peer):
                return
            day = hello_days(self._callbacks.now())[0]
            await write_frames(stream, [Frame(HELLO, hello_tag(pair.ours, self._host.peer, stream.peer, day))])
            await self._carry(Link(stream, pair.contact, pair.session_id), reader)
        except (CannotOpen, LinkLost):
            return

    def _proves(self, frame: Frame, pair: Pair, peer: PeerKey) -> bool:
        """Return whether the other side of the pair made this hello. The two sides prove with different keys, so a
        reflected hello fails.
        """
        return frame.type == HELLO and any(
            equal(frame.body, hello_tag(pair.theirs, self._host.peer, peer, day))
            for day in hello_days(self._callbacks.now())
        )

    async def _carry(self, link: Link, reader: FrameReader) -> None:
        """Run one link until it ends."""
        if isinstance(link.stream, LibP2PStream):
            link.stream.account.prove()
        for older in self._links.get(link.contact, ()):
            self._doubt(older)
        self._links.setdefault(link.contact, []).append(link)
        self._host.mark_proven(link.stream.peer)
        # Whoever opened this stream: what counts is who made a connection, and from where.
        if link.stream.route == Route.DIRECT and (address := self._host.found_at(link.stream.peer)):
            self._callbacks.found(multiaddrs.pack(address))
        self._callbacks.link_up(link.contact, link.session_id)
        self._on_link(link.contact)
        self._on_new(link)
        self._settle(link.contact)
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, link, nursery.cancel_scope)
                    nursery.start_soon(self._watch, link, reader, nursery.cancel_scope)
                    await self._read(link, reader)
                    nursery.cancel_scope.cancel()
        finally:
            links = self._links[link.contact]
            links.remove(link)
            if not links:
                del self._links[link.contact]
            link.written.unpark_all()
            self._settle(link.contact)
            self._callbacks.link_down(link.contact)
        if link.scope.cancelled_caught and link.used_up:
            link.stream.sever()
        elif link.scope.cancelled_caught:
            await self._host.disconnect(link.stream.peer, only=Route.CIRCUIT)

    def _doubt(self, link: Link) -> None:
        link.judge.doubted = True
        self.ask(link)

    def _settle(self, contact: ContactId) -> None:
        """End a contact's links over circuits soon while there is a direct one that works, or one that replaces them.
        Called where a link has come or gone, or is no longer in doubt.
        """
        best = self.best(contact)
        direct = best is not None and best.stream.route == Route.DIRECT and not best.judge.doubted
        soon = trio.current_time() + CIRCUIT_LINGER_SECONDS
        for link in self._links.get(contact, ()):
            if link.stream.route != Route.DIRECT:
                replaced = link.used_up and best is not link and self.moves(contact)
                link.scope.deadline = min(link.scope.deadline, soon) if direct or replaced else inf

    async def _read(self, link: Link, reader: FrameReader) -> None:
        try:
            while True:
                frames = await reader.read_some()
                self._heard(link, reader, frames)
                self._check_room(link)
                meaning = [frame for frame in frames if frame.type not in (PING, PONG, HELLO, PUNCH)]
                if any(frame.type == PING for frame in frames):
                    link.post([Frame(PONG, b"")])  # if the link is stuck, `_watch` ends it
                for frame in frames:
                    if frame.type == PUNCH:
                        self._on_punch(link, frame)
                if meaning:
                    link.taking = True
                    await self._callbacks.received(link.contact, link.session_id, link.route, meaning)
                    link.taking = False
        except (LinkLost, CannotOpen):
            return

    def _heard(self, link: Link, reader: FrameReader, frames: Sequence[Frame]) -> None:
        """Note what came on a link; end those beside it that have stalled: this one has delivered."""
        doubted = link.judge.doubted
        link.judge.received(frames, trio.current_time(), reader.moved)
        if link.allowed < LAST_UNACKED or link.queue:
            link.answered(frames)
        others = self._links[link.contact]
        if len(others) > 1:
            for other in others:
                if other is not link:
                    for frame in frames:
                        other.judge.answered(frame)
                    other.answered([frame for frame in frames if frame.type != PONG])
                    if other.judge.stalled and not other.over:
                        log.info("a link that stalled is ended: another one moves")
                        other.over = True
                        other.stream.sever()
        if doubted:
            self._settle(link.contact)

    async def _write(self, link: Link, ended: trio.CancelScope) -> None:
        try:
            while True:
                await link.wake.wait()
                link.writing = True
                link.wake.clear()
                frames = link.take()
                # until it is known that something arrives, little goes at once: see FIRST_UNACKED
                await write_frames(link.stream, frames, WRITE if link.judge.acked else FIRST_WRITE)
                self._check_room(link)
                link.writing = False
                if not link.busy:
                    link.written.unpark_all()
        except LinkLost:
            ended.cancel()

    async def _watch(self, link: Link, reader: FrameReader, ended: trio.CancelScope) -> None:
        """Judge the link: ask after a silence whether it is there, have a second one made where it stalls, and give up
        after a longer silence: a cut link sends no goodbye. While we do not read, silence says nothing.
        """
        judge = link.judge
        while True:
            now = trio.current_time()
            if link.taking:
                judge.heard = judge.moved = now
            verdict = judge.verdict(now, reader.moved)
            stuck = verdict is Verdict.ASK and not link.post([Frame(PING, b"")])  # its queue is full
            if verdict is Verdict.LOST or stuck:
                log.info("a link took nothing more" if stuck else "a link went silent")
                ended.cancel()
                link.stream.sever()
                return
            if verdict is Verdict.STALLED:
                self._stalled(link)
            link.pause = trio.CancelScope(deadline=judge.next_check())
            with link.pause:
                await trio.sleep_forever()

    def _check_room(self, link: Link) -> None:
        """Treat a link over a short connection as stalled once another envelope has no room on it: by the time it
        stalls, there is another one.
        """
        short = link.stream.short
        if short is not None and (link.used_up or not short.fits(SHORT_ROOM, SHORT_ROOM_PACKETS)):
            link.judge.doubted = link.judge.stalled = True
            if not link.used_up:
                link.used_up = True
                self._stalled(link)

    def _stalled(self, link: Link) -> None:
        """Have what is in flight sent over another link, if there is one that moves, or else have one made."""
        log.info("a link has stalled")
        self._on_stall(link)
        self._settle(link.contact)
        if self.moves(link.contact):
            self._callbacks.link_down(link.contact)
        else:
            self._callbacks.stalled(link.contact)
            self._on_stuck(link.contact)


def _quality(link: Link) -> tuple[bool, bool, bool]:
    return not link.judge.doubted, link.stream.route == Route.DIRECT, not link.used_up
