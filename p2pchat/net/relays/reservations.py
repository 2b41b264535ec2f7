"""Our reservations at relays (docs/protocol/circuit.md): made, renewed, and used by those who dial us through them.

Each relay has one task. It renews its reservation after three quarters of the time, and makes a new one as soon as the
connection with the relay has ended. While that fails it waits 1 s, doubling to 5 min, with jitter, or until the relay's
mailbox has answered (`nudge`), which is tried more often. If the relay wants a token, an otherwise unused stream with
its mailbox keeps us admitted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import hop_name
from p2pchat.errors import CannotOpen, LinkLost, PeerError, Refused, Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import HOUR_SECONDS, MINUTE_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.circuit_messages import HopMessage, Status, StopMessage
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT
from p2pchat.net.mailbox.stream import MailStream, open_mail_stream
from p2pchat.net.ports import Caller, Handler, RelayedHost, Stream

log = logging.getLogger("p2pchat.net")

REFRESH = 0.75
LEARNT_FIRST_WAIT, LEARNT_LONGEST_WAIT = 30.0, HOUR_SECONDS
"""Seconds between two attempts with a relay that others told of, at first and at most: at its address may be somebody
who knows nothing of it."""
MAX_CIRCUITS = 64
"""Circuits to us that one relay may have open at a time."""
# Bounds in seconds for the duration of a reservation, whatever the relay says.
_SHORTEST, _LONGEST = 2 * MINUTE_SECONDS, 24 * HOUR_SECONDS
_GOOD = 30.0  # seconds after which a reservation that ended counts as one that worked


@dataclass(frozen=True, slots=True)
class RelayAccess:
    """How to reach a relay: its addresses with its pass, best first, and its token, b"" for none. chosen: whether the
    user gave the addresses, so that they are dialled wherever they lead.
    """

    addresses: tuple[str, ...]
    token: bytes = field(default=b"", repr=False)
    chosen: bool = True


@dataclass(eq=False)
class _Wanted:
    known: RelayAccess
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    nudged: Wakeup = field(default_factory=Wakeup)
    held: bool = False
    problem: str = ""


class Reservations:
    """Keeps a reservation at every wanted relay, in `nursery`. `changed` is called whenever a reservation begins or
    ends.
    """

    def __init__(
        self,
        host: RelayedHost,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._changed = changed
        self._wanted: dict[PeerKey, _Wanted] = {}
        host.recognize(self._recognize)

    def want(self, relay: PeerKey, known: RelayAccess) -> None:
        """Keep a reservation at a relay. Called again, it uses what is known now and tries at once."""
        wanted = self._wanted.get(relay)
        if wanted is None:
            wanted = self._wanted[relay] = _Wanted(known)
            self._host.expect_circuits(relay, MAX_CIRCUITS)
            self._nursery.start_soon(self._keep, relay, wanted)
        else:
            wanted.known = known
            wanted.nudged.set()

    def nudge(self, relay: PeerKey) -> None:
        """Try at once if a reservation is wanted and there is none, because the relay answers again."""
        wanted = self._wanted.get(relay)
        if wanted is not None and not wanted.held:
            wanted.nudged.set()

    def forget(self, relay: PeerKey) -> None:
        """Stop renewing a reservation. Circuits through it stay, and so does the connection with the relay."""
        if (wanted := self._wanted.pop(relay, None)) is not None:
            wanted.scope.cancel()
            self._host.expect_circuits(relay, 0)

    def ways(self) -> tuple[str, ...]:
        """Return the addresses at which we can be reached through relays now, for `interfaces.for_invite`."""
        held = [(relay, wanted) for relay, wanted in self._wanted.items() if wanted.held]
        return tuple(multiaddrs.circuit(address, relay) for relay, wanted in held for address in wanted.known.addresses)

    def held(self, relay: PeerKey) -> bool:
        """Return whether there is a reservation at this relay now."""
        return relay in self._wanted and self._wanted[relay].held

    def problem(self, relay: PeerKey) -> str:
        """Return the reason, in words, why the last attempt at a reservation failed, or ""."""
        return self._wanted[relay].problem if relay in self._wanted else ""

    async def _keep(self, relay: PeerKey, wanted: _Wanted) -> None:
        first, longest = (FIRST_WAIT, LONGEST_WAIT) if wanted.known.chosen else (LEARNT_FIRST_WAIT, LEARNT_LONGEST_WAIT)
        backoff = Backoff(first, longest, self._random)
        with wanted.scope:
            while True:
                wanted.nudged.clear()
                began = trio.current_time()
                try:
                    await self._hold(relay, wanted)
                except (CannotOpen, LinkLost, Refused, Unreachable) as error:
                    wanted.problem = str(error) or "no answer"
                if wanted.held and trio.current_time() - began >= _GOOD:
                    backoff.reset()
                self._now(wanted, held=False)
                with trio.move_on_after(backoff.pause()):
                    await wanted.nudged.wait()

    async def _hold(self, relay: PeerKey, wanted: _Wanted) -> None:
        """Make a reservation, and renew it until it is lost."""
        known, admission = wanted.known, None
        if known.token:
            admission = await open_mail_stream(
                self._host, relay, multiaddrs.with_websockets(known.addresses), known.token
            )
            self._nursery.start_soon(_stay, admission)
        try:
            due = True
            while due:
                wanted.nudged.clear()
                seconds = await self._reserve(relay, wanted.known)
                wanted.problem = ""
                self._now(wanted, held=True)
                due = await self._until_due(relay, wanted, REFRESH * seconds)
        finally:
            if admission is not None:
                admission.end()

    async def _until_due(self, relay: PeerKey, wanted: _Wanted, seconds: float) -> bool:
        """Wait until the reservation should be renewed; return False if the relay's connection ended before that."""
        ended = False
        async with trio.open_nursery() as nursery:
            over = nursery.cancel_scope
            over.deadline = trio.current_time() + seconds

            async def watch() -> None:
                await wanted.nudged.wait()
                over.cancel()

            nursery.start_soon(watch)
            await self._host.wait_disconnected(relay)
            ended = True
            over.cancel()
        return not ended

    def _now(self, wanted: _Wanted, *, held: bool) -> None:
        if wanted.held != held:
            wanted.held = held
            self._changed()

    async def _reserve(self, relay: PeerKey, access: RelayAccess) -> float:
        """Ask for a reservation once; return for how many seconds it holds."""
        known = multiaddrs.with_websockets(access.addresses, chosen=access.chosen)
        name = hop_name(multiaddrs.pass_of(access.addresses))
        stream = await self._host.open(relay, known, name, chosen=access.chosen, relay=True, lasting=True)
        try:
            if stream.route != Route.DIRECT:
                raise Unreachable("a relay must be reached without another")
            await circuit_messages.write_message(stream, HopMessage(type=HopMessage.RESERVE))
            answer = await circuit_messages.read_message(stream, HopMessage)
        finally:
            await stream.close()
        if answer.type != HopMessage.STATUS or answer.status != circuit_messages.OK:
            raise Unreachable(f"the relay says no ({circuit_messages.name(answer.status)})")
        return min(max(answer.reservation.expire - self._clock() // 1000, _SHORTEST), _LONGEST)

    async def _recognize(self, name: str, caller: Caller) -> Handler | None:
        """Serve the stop protocol to our relays only; to everyone else this is a host without circuits."""
        expected = name == circuit_messages.STOP and caller.peer in self._wanted and caller.route == Route.DIRECT
        return self._stop if expected else None

    async def _stop(self, stream: Stream) -> None:
        """Accept a circuit that a relay offers. The connection over it proves who is there; the relay's word is not
        used.
        """
        status: Status.ValueType = circuit_messages.MALFORMED_MESSAGE
        try:
            message = await circuit_messages.read_message(stream, StopMessage)
            circuit_messages.peer_in(message)
            if message.type == StopMessage.CONNECT:
                ok = StopMessage(type=StopMessage.STATUS, status=circuit_messages.OK)
                accepted = partial(circuit_messages.write_message, stream, ok)
                if await self._host.adopt(stream, accepted, circuit_messages.terms_in(message)):
                    return
                status = circuit_messages.RESOURCE_LIMIT_EXCEEDED
        except CannotOpen:
            log.info("a relay sent nonsense")
        await circuit_messages.write_message(stream, StopMessage(type=StopMessage.STATUS, status=status))


async def _stay(stream: MailStream) -> None:
    """Keep an otherwise unused stream with a mailbox open."""
    try:
        await stream.run(_unasked, trio.lowlevel.checkpoint, ())
    except (PeerError, Refused):
        log.info("a relay may not know our token any more")
    finally:
        await stream.close()


def _unasked(frame: Frame) -> None:
    raise CannotOpen
