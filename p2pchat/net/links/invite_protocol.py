"""Joining: the dialogue by which an invite becomes a contact (docs/protocol/joining.md).

The joiner asks for a protocol name that only holders of the invite can compute; everyone else is told that there is no
such protocol.

    joiner                                  inviter
    HELLO  join tag              →
                                 ←          HELLO  offer tag        (a wrong join tag: it hangs up)
                                 ←          BUNDLE sealed bundle    or GONE, where the invite is used or expired
    INITIAL sealed first message →
                                            commits
                                 ←          ACKS, or GONE again

The joiner commits its first message before it sends it, and sends the same bytes until they are acked. An inviter
knows bytes it has accepted before, and acks them again although the invite is gone by then. So it is the second GONE
that says no; a stream that breaks says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from p2pchat.core import frames
from p2pchat.core.envelope import envelope_id
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, InviteId, PeerKey
from p2pchat.core.invite import join_tag
from p2pchat.core.names import join_name
from p2pchat.core.primitives import equal
from p2pchat.errors import LinkLost, P2PChatError, PeerError, Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.frames import DEADLINE, FrameReader, write_frames
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT, DialTarget
from p2pchat.net.name_book import NameBook
from p2pchat.net.ports import Caller, Handler, Host, Stream
from p2pchat.ports import InviteCallbacks, InviteOffer

log = logging.getLogger(__name__)

COMMIT_DEADLINE = 30.0
"""Seconds that the other side may take to commit a first message."""


@dataclass(eq=False)
class _Attempt:
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    nudged: Wakeup = field(default_factory=Wakeup)


class Joining:
    """Both sides of the dialogue, on one host. `hidden`: this host serves hidden invites, otherwise only the others."""

    def __init__(
        self,
        host: Host,
        callbacks: InviteCallbacks,
        nursery: trio.Nursery,
        random: Callable[[int], bytes],
        *,
        hidden: bool = False,
    ) -> None:
        self._host = host
        self._hidden = hidden
        self._callbacks = callbacks
        self._nursery = nursery
        self._random = random
        self._tasks: dict[ContactId, _Attempt] = {}
        self.found: Callable[[ContactId], Sequence[DialTarget]] = lambda contact: ()
        self._book: NameBook[tuple[InviteId, bytes]] = NameBook(lambda offer, day: join_name(offer[1], host.peer))
        callbacks.follow_offers(self._learn)
        host.recognize(self._recognize)

    def join(self, contact: ContactId, ways: Sequence[DialTarget], hello_key: bytes) -> None:
        """Dial `ways` until the first message is acked or the invite turns out to be gone. Called again, it tries again
        soon. What `found` returns is one more address of a transport key that `ways` names, never another key.

        hello_key: 32 bytes that prove to the inviter that we hold the invite (`core.invite.hello_key`).
        """
        if (attempt := self._tasks.get(contact)) is not None:
            attempt.nudged.set()
        else:
            attempt = self._tasks[contact] = _Attempt()
            self._nursery.start_soon(self._join, contact, list(ways), hello_key, attempt)

    def heard(self, contact: ContactId) -> None:
        """Try again soon: the inviter is there, by a way that `found` returns."""
        if (attempt := self._tasks.get(contact)) is not None:
            attempt.nudged.set()

    def forget(self, contact: ContactId) -> None:
        """Stop dialling `contact` with its invite, if that is in progress."""
        if (attempt := self._tasks.pop(contact, None)) is not None:
            attempt.scope.cancel()

    async def _join(self, contact: ContactId, ways: list[DialTarget], hello_key: bytes, attempt: _Attempt) -> None:
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random)
        # every holder of the invite can announce a host of theirs: only what the invite names is its maker's own
        named = {peer for peer, _ in ways}
        with attempt.scope:
            while True:
                attempt.nudged.clear()
                hosts: dict[PeerKey, list[str]] = {}
                found = [way for way in self.found(contact) if way[0] in named]
                for peer, address in (*found, *ways):
                    hosts.setdefault(peer, []).append(address)
                for peer, addresses in hosts.items():
                    try:
                        stream = await self._host.open(peer, addresses, join_name(hello_key, peer))
                    except Unreachable:
                        continue
                    try:
                        done = await self._ask(contact, stream, hello_key)
                    except P2PChatError as error:  # theirs, or ours, such as a full disk: it may pass
                        log.info("an invite was not settled: %s", type(error).__name__)
                        done = False
                    finally:
                        await stream.close()
                    if done:
                        self._tasks.pop(contact, None)
                        return
                with trio.move_on_after(backoff.pause()):
                    await attempt.nudged.wait()
                if attempt.nudged.is_set():
                    backoff.reset()

    async def _ask(self, contact: ContactId, stream: Stream, hello_key: bytes) -> bool:
        """Run the dialogue once; return True if nothing is left to do."""
        callbacks, reader = self._callbacks, FrameReader(stream)
        await write_frames(stream, [Frame(frames.HELLO, join_tag(hello_key, "join", self._host.peer, stream.peer))])
        hello = await reader.read_one()
        expected = join_tag(hello_key, "offer", self._host.peer, stream.peer)
        if hello.type != frames.HELLO or not equal(hello.body, expected):
            return False
        answer = await reader.read_one()
        initial = await callbacks.pending(contact)
        if answer.type == frames.BUNDLE and initial is None:
            initial = await callbacks.answer_bundle(contact, answer.body)
        if initial is None:
            if answer.type == frames.GONE:
                await callbacks.refused(contact, answer.body[0])
                return True
            return False
        await write_frames(stream, [Frame(frames.INITIAL, initial)])
        ack = await reader.read_one(COMMIT_DEADLINE)
        if ack.type == frames.GONE:  # used by somebody else's first message
            await callbacks.refused(contact, ack.body[0])
            return True
        if ack.type == frames.ACKS and envelope_id(initial) in frames.acked_ids(ack):
            await callbacks.joined(contact)
            return True
        return False

    def _learn(self, invites: Iterable[InviteId]) -> None:
        for invite in invites:
            offer = self._offer(invite)
            self._book.put(invite, () if offer is None else [(invite, offer.hello_key)])

    def _offer(self, invite: InviteId) -> InviteOffer | None:
        offer = self._callbacks.offer(invite)
        return None if offer is None or offer.hidden != self._hidden else offer

    async def _recognize(self, name: str, caller: Caller) -> Handler | None:
        invite = await self._book.find(name, (0,))
        offer = None if invite is None else self._offer(invite[0])
        return None if offer is None or offer.doubtful else partial(self._accept, offer)

    async def _accept(self, offer: InviteOffer, stream: Stream) -> None:
        reader = FrameReader(stream)
        try:
            hello = await reader.read_one()
            if not self._proves(hello, offer, stream.peer):
                return
            self._host.mark_proven(stream.peer)
            await write_frames(
                stream, [Frame(frames.HELLO, join_tag(offer.hello_key, "offer", self._host.peer, stream.peer))]
            )
            bundle = None if offer.gone is not None else await self._callbacks.offer_bundle(offer.invite)
            answer = (
                Frame(frames.GONE, bytes((offer.gone or frames.USED,)))
                if bundle is None
                else Frame(frames.BUNDLE, bundle)
            )
            await write_frames(stream, [answer])
            try:
                initial = await reader.read_one(DEADLINE)
            except LinkLost:
                if bundle is None:
                    await self._callbacks.tried(offer.invite, stream.peer)
                return
            if initial.type != frames.INITIAL:
                return
            if await self._callbacks.admit(offer.invite, initial.body):
                await write_frames(stream, [Frame(frames.ACKS, envelope_id(initial.body))])
            elif bundle is None:
                await write_frames(stream, [answer])
            else:
                return
            await reader.read_one(DEADLINE)  # the joiner hangs up when it has read that
        except PeerError:
            return
        except P2PChatError as error:  # our own full disk, say: they knock again
            log.warning("a knock could not be answered: %s", type(error).__name__)

    def _proves(self, hello: Frame, offer: InviteOffer, peer: PeerKey) -> bool:
        expected = join_tag(offer.hello_key, "join", self._host.peer, peer)
        return hello.type == frames.HELLO and equal(hello.body, expected)
