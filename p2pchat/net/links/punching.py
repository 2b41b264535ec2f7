"""Punching: make a direct link beside one over a circuit, where routers are in between (docs/protocol/punching.md).

    leader                                     follower
    where is our port seen?
    OFFER  attempt, addresses    →
                                               where is our port seen?
                                 ←             ANSWER attempt, addresses, how long that took
    GO     attempt               →
    waits for half a round trip                connects at once
    connects, and begins the handshake         takes the connection for one that came in

The one with the smaller transport key leads. Frames of a chat go over the circuit meanwhile. Where it succeeds, a link
is opened on the new connection, which is better than the circuit like any direct one (`link`). Where it does not after
`MAX_TRIES`, it is not tried again between the same two networks for a while, which doubles.

What the other side says makes us dial two addresses at most, public ones at high ports, a few times an hour. Nobody
that we hide from is answered: they have no links on the host that this runs for, and the lists are asked before each
step, since somebody may be hidden from meanwhile.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import inf

import trio

from p2pchat.core import punch
from p2pchat.core.delivery import Route
from p2pchat.core.frames import PUNCH, Frame
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.punch import Punch, PunchAddress, PunchStep
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.lib.backoff import jittered
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.links.link import Link, Links
from p2pchat.net.links.reconnect import DialTarget
from p2pchat.net.multiaddrs import SocketAddress
from p2pchat.net.ports import Holes, Observer, RelayedHost
from p2pchat.ports import LinkCallbacks

log = logging.getLogger(__name__)

HEAD_START_SECONDS = 1.0
"""Seconds that a new link over a circuit waits for a direct one: whoever can be dialled is linked directly by then."""
MAX_TRIES = 3
"""Attempts in a row before the two networks count as ones that do not let it through."""
WINDOW_SECONDS = 3.0
"""Seconds in which both sides connect: a lost first packet is sent again after one."""
BETWEEN_TRIES_SECONDS = 0.5
"""Seconds between two of these attempts: the follower has ended the one before by then."""
ANSWER_TIMEOUT = 8.0
"""Seconds that the follower's answer may take: it asks relays where it is seen first."""
OFFER_CHECK_SECONDS = 0.25
"""Seconds between two looks at whether the link on which the offer went is still the one that is used."""
GO_TIMEOUT = 5.0
"""Seconds that the leader's go may take."""
MAX_ROUND_TRIP_SECONDS = 2.0
"""The longest measured round trip that is believed."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = HOUR_SECONDS / 4, 24 * HOUR_SECONDS
"""Seconds between two series of attempts between the same two networks: at first, and at most."""
MIN_PAUSE_SECONDS = 30.0
"""Seconds between two looks at whether the networks are still the same."""
MAX_AT_ONCE = 8
"""Contacts with whom it is tried at the same time."""
MAX_ATTEMPTS = 12
"""Attempts with one contact, whoever leads: so many at once, and so many an hour."""


class _Result(Enum):
    """What became of an attempt. REFUSED: the other side does not take part. SILENT: it has not answered. UNSEEN:
    nobody has said where we are seen. EARLY: it has failed between the same networks not long ago.
    """

    DONE = auto()
    FAILED = auto()
    REFUSED = auto()
    SILENT = auto()
    UNSEEN = auto()
    EARLY = auto()


@dataclass(eq=False)
class _Contact:
    """What is going on with one contact. scopes: those of its tasks. leading: whether a task leads, which `woken` makes
    look again. attempt: the current one. heard: set by what the other side says to it, `answer` if that is one.
    answered: what we have answered to it.
    left: how many more attempts are allowed. networks: the addresses of both sides in the current one. failed: those of
    a series that failed, which is not repeated between these before `not_before`; `pause`: for how long not, next time.
    """

    scopes: set[trio.CancelScope] = field(default_factory=set)
    woken: Wakeup = field(default_factory=Wakeup)
    leading: bool = False
    attempt: bytes = b""
    answer: Punch | None = None
    answered: Punch | None = None
    heard: Wakeup = field(default_factory=Wakeup)
    left: TokenBucket = field(default_factory=lambda: TokenBucket(MAX_ATTEMPTS, MAX_ATTEMPTS / HOUR_SECONDS))
    networks: frozenset[bytes] = frozenset()
    failed: frozenset[bytes] = frozenset()
    not_before: float = -inf
    pause: float = FIRST_PAUSE_SECONDS

    @contextmanager
    def task(self) -> Iterator[None]:
        """Run a task that ends when the contact is forgotten."""
        with trio.CancelScope() as scope:
            self.scopes.add(scope)
            try:
                yield
            finally:
                self.scopes.discard(scope)


class Punching:
    """Leads and follows, for the links of one host. observers: returns, for a contact, the relays that can say where
    they see us.
    """

    def __init__(
        self,
        host: RelayedHost,
        links: Links,
        callbacks: LinkCallbacks,
        nursery: trio.Nursery,
        random: Callable[[int], bytes],
        observers: Callable[[ContactId], Sequence[Observer]],
    ) -> None:
        self._host = host
        self._links = links
        self._callbacks = callbacks
        self._nursery = nursery
        self._random = random
        self._observers = observers
        self._contacts: dict[ContactId, _Contact] = {}
        self._room = trio.CapacityLimiter(MAX_AT_ONCE)
        self._following: set[ContactId] = set()
        links.tell_of_punching(self._linked, self._received)

    def network_changed(self) -> None:
        """Try again with everybody who is linked over a circuit: what failed was about another network."""
        for known in self._contacts.values():
            known.failed, known.pause = frozenset(), FIRST_PAUSE_SECONDS
            known.woken.set()

    def forget(self, contact: ContactId) -> None:
        """Stop what is going on with a contact, and forget what is known of their network."""
        if (known := self._contacts.pop(contact, None)) is not None:
            for scope in known.scopes:
                scope.cancel()

    def has_failed(self, contact: ContactId) -> bool:
        """Return whether a series of attempts that this side led between the present networks has failed."""
        known = self._contacts.get(contact)
        return known is not None and bool(known.failed)

    # --- the leader ------------------------------------------------------------------------------------------------

    def _linked(self, link: Link) -> None:
        if link.stream.route != Route.CIRCUIT or not self._leads(link) or self._holes(link.contact) is None:
            return
        known = self._contacts.setdefault(link.contact, _Contact())
        known.woken.set()
        if not known.leading:
            known.leading = True
            self._nursery.start_soon(self._lead, link.contact, known)

    def _leads(self, link: Link) -> bool:
        return self._host.peer < link.stream.peer

    def _holes(self, contact: ContactId) -> Holes | None:
        """Return how to connect through routers; None where that is not to be done with this contact."""
        return None if self._callbacks.hidden(contact) else self._host.holes

    def _circuit(self, contact: ContactId) -> Link | None:
        """Return the best link with a contact if it is over a circuit."""
        link = self._links.best(contact)
        return None if link is None or link.stream.route != Route.CIRCUIT else link

    async def _lead(self, contact: ContactId, known: _Contact) -> None:
        """Try for as long as there is no link with the contact but over circuits."""
        try:
            with known.task():
                await trio.sleep(HEAD_START_SECONDS)
                while self._circuit(contact) is not None:
                    known.woken.clear()
                    async with self._room:
                        if await self._series(contact, known):
                            return
                    await trio.sleep(jittered(2 * MIN_PAUSE_SECONDS, self._random))
                    with trio.move_on_at(max(known.not_before, trio.current_time() + FIRST_PAUSE_SECONDS)):
                        await known.woken.wait()
        finally:
            known.leading = False

    async def _series(self, contact: ContactId, known: _Contact) -> bool:
        """Make a few attempts, until one succeeds or there is no reason for another. Return whether one did."""
        result = _Result.EARLY
        for tried in range(MAX_TRIES):
            if tried:
                await trio.sleep(BETWEEN_TRIES_SECONDS)
            link, holes = self._circuit(contact), self._holes(contact)
            if link is None or holes is None or not self._leads(link) or not known.left.take(trio.current_time()):
                return False
            known.attempt, known.answer = self._random(punch.ATTEMPT), None
            try:
                result = await self._attempt(link, holes, known)
            except Exception as error:  # noqa: BLE001 - of the host, which may have ended meanwhile
                log.info("a hole was not punched: %s", type(error).__name__)
                return False
            finally:
                known.attempt = b""
            if result not in (_Result.FAILED, _Result.SILENT):
                break
        if result in (_Result.FAILED, _Result.REFUSED, _Result.SILENT):
            known.failed = known.networks if result is _Result.FAILED else frozenset()
            known.not_before = trio.current_time() + jittered(known.pause, self._random)
            known.pause = min(2 * known.pause, LONGEST_PAUSE_SECONDS)
        return result is _Result.DONE

    async def _attempt(self, link: Link, holes: Holes, known: _Contact) -> _Result:
        contact, peer = link.contact, link.stream.peer
        async with holes.seen(self._observers(contact)) as mine:
            if not mine:
                return _Result.UNSEEN
            began = await self._offer(contact, peer, known, mine)
            if known.answer is None:
                return _Result.SILENT
            theirs = allowed(known.answer.addresses, mine)
            if not theirs:
                return _Result.REFUSED
            known.networks = frozenset(address.ip for address in (*mine, *theirs))
            if known.networks == known.failed and trio.current_time() < known.not_before:
                return _Result.EARLY
            if not self._say(contact, peer, Punch(PunchStep.GO, known.attempt)):
                return _Result.SILENT
            round_trip = trio.current_time() - began - known.answer.held / 1000
            await trio.sleep(min(max(round_trip, 0), MAX_ROUND_TRIP_SECONDS) / 2)
            if not await holes.punch(peer, theirs, leads=True, seconds=WINDOW_SECONDS):
                return _Result.FAILED
            known.failed, known.pause = frozenset(), FIRST_PAUSE_SECONDS
            self._nursery.start_soon(self._carry, contact, known, peer)
            return _Result.DONE

    async def _offer(self, contact: ContactId, peer: PeerKey, known: _Contact, mine: tuple[PunchAddress, ...]) -> float:
        """Offer, and wait for the answer, until `known.answer` or for `ANSWER_TIMEOUT`; return when the offer went. It
        is made again where the link that carried it has ended or another one is used: of two links that came at once,
        one ends.
        """
        began, used = trio.current_time(), None
        with trio.move_on_after(ANSWER_TIMEOUT):
            while known.answer is None:
                known.heard.clear()
                link = self._circuit(contact)
                if link is not used and self._say(contact, peer, Punch(PunchStep.OFFER, known.attempt, addresses=mine)):
                    began, used = trio.current_time(), link
                with trio.move_on_after(OFFER_CHECK_SECONDS):
                    await known.heard.wait()
        return began

    async def _carry(self, contact: ContactId, known: _Contact, peer: PeerKey) -> None:
        """Carry a link on the connection that was made, trying another session where the other side has lost one."""
        linked = trio.Event()
        with known.task():
            for attempt in range(2):
                if self._circuit(contact) is None:  # by another way, meanwhile
                    return
                with suppress(LinkLost, Unreachable):
                    await self._links.dial(contact, peer, (), attempt, linked.set, Route.DIRECT)
                if linked.is_set():
                    return

    # --- the follower ----------------------------------------------------------------------------------------------

    async def _follow(self, link: Link, known: _Contact, offer: Punch) -> None:
        """Answer an offer, and connect when the leader says go."""
        began = trio.current_time()
        contact, peer = link.contact, link.stream.peer
        try:
            with known.task():
                holes = self._holes(contact)
                if holes is None or self._circuit(contact) is None:
                    self._say(contact, peer, Punch(PunchStep.ANSWER, offer.attempt))
                    return
                async with holes.seen(self._observers(contact)) as mine:
                    theirs = allowed(offer.addresses, mine)
                    held = min(int(1000 * (trio.current_time() - began)), punch.MAX_HELD_MS)
                    known.answered = Punch(PunchStep.ANSWER, offer.attempt, held, mine if theirs else ())
                    self._say(contact, peer, known.answered)
                    if not theirs:
                        return
                    with trio.move_on_after(GO_TIMEOUT):
                        await known.heard.wait()
                    if known.heard.is_set() and self._holes(contact) is not None:
                        await holes.punch(peer, theirs, leads=False, seconds=WINDOW_SECONDS)
        except Exception as error:  # noqa: BLE001 - of the host, which may have ended meanwhile
            log.info("a hole was not punched: %s", type(error).__name__)
        finally:
            self._following.discard(contact)
            known.attempt, known.answered = b"", None

    # --- both ------------------------------------------------------------------------------------------------------

    def _received(self, link: Link, frame: Frame) -> None:
        """Take what the other side says. Raises CannotOpen; what is said at the wrong time is ignored."""
        said = punch.decode(frame.body)
        if link.stream.route != Route.CIRCUIT:
            return
        known = self._contacts.setdefault(link.contact, _Contact())
        if said.step == PunchStep.OFFER and said.attempt == known.attempt and known.answered is not None:
            self._say(link.contact, link.stream.peer, known.answered)  # it was lost with the link that carried it
        elif said.step == PunchStep.OFFER:
            busy = link.contact in self._following or len(self._following) >= MAX_AT_ONCE
            if not self._leads(link) and not busy and known.left.take(trio.current_time()):
                self._following.add(link.contact)
                known.attempt = said.attempt
                known.heard.clear()
                self._nursery.start_soon(self._follow, link, known, said)
        elif said.attempt == known.attempt and (said.step == PunchStep.ANSWER) == self._leads(link):
            known.answer = said
            known.heard.set()

    def _say(self, contact: ContactId, peer: PeerKey, said: Punch) -> bool:
        """Send something over the circuit with this peer that is used now, unless we hide from the contact by now.
        Return whether it will be written.
        """
        link = self._links.best(contact)
        if link is None or link.stream.peer != peer or self._callbacks.hidden(contact):
            return False
        return link.post([Frame(PUNCH, punch.encode(said))])


def observers_of(ours: Sequence[tuple[PeerKey, Sequence[str]]], ways: Sequence[DialTarget]) -> list[Observer]:
    """Return the relays that can say where they see us: ours, then those by which these ways lead to a contact."""
    relays: dict[PeerKey, list[str]] = {relay: list(addresses) for relay, addresses in ours}
    known = set(relays)
    for target in (multiaddrs.parse_target(address) for _, address in ways):
        if target.relay is not None and target.relay not in known:
            relays.setdefault(target.relay, []).append(replace(target, relay=None).text())
    return [Observer(relay, addresses, relay in known) for relay, addresses in relays.items()]


def allowed(theirs: Sequence[PunchAddress], mine: Sequence[PunchAddress]) -> tuple[PunchAddress, ...]:
    """Return the addresses of the other side's that we dial: public ones at high ports, of a kind that we have too, so
    that the hole can be seen from there; not our own, behind which is our own network.
    """
    own = {address.ip for address in mine}
    kinds = {len(address.ip) for address in mine}
    return tuple(
        address
        for address in theirs
        if len(address.ip) in kinds
        and address.ip not in own
        and multiaddrs.punchable(SocketAddress(ipaddress.ip_address(address.ip), address.port))
    )
