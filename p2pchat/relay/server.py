"""The relay as a process: key, store, network, mailbox, circuits, what its operator asks, under the lock of its folder.

SIGTERM and SIGINT drain it: nobody new is served, what was taken is committed and answered, clients learn it by the end
of their streams; circuits have as long to end by themselves. SIGHUP reads the settings again.
"""

from __future__ import annotations

import ctypes
import gc
import ipaddress
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from p2pchat import __version__
from p2pchat.core.descriptors import MAX_ADDRESSES
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import dht_name, feed_name, hop_name, mailbox_name, relay_pass, web_path
from p2pchat.core.primitives import Random, self_test, sign_public, system_entropy
from p2pchat.errors import P2PChatError
from p2pchat.lib.proxy_address import ProxyAddress
from p2pchat.log import set_up_logging
from p2pchat.net import multiaddrs
from p2pchat.net.admission.budget import work
from p2pchat.net.admission.limits import WINDOW, HostLimits
from p2pchat.net.libp2p.host import LibP2PHost, set_limits
from p2pchat.net.libp2p.log_filter import quiet
from p2pchat.net.relays.circuit_relay import CircuitLimits, CircuitRelay
from p2pchat.net.relays.reservations import RelayAccess, Reservations
from p2pchat.net.supervisor import Supervisor
from p2pchat.net.transport.proxy import Proxy
from p2pchat.relay import metrics
from p2pchat.relay.addresses import addresses_of
from p2pchat.relay.box_store import BoxQuota, BoxStore
from p2pchat.relay.config import BadSetting, RelayConfig
from p2pchat.relay.dht import NO_NUMBERS, RelayDht
from p2pchat.relay.dialback import DialBack
from p2pchat.relay.folder import Folder
from p2pchat.relay.host_streams import account_of, is_over, place_of, write_now
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.listing import RelayListing
from p2pchat.relay.log_store import LogStore, log_quota
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.mirror import Mirror
from p2pchat.relay.others import follow_other
from p2pchat.relay.store import MailboxStore, Quota, wanted_free
from p2pchat.relay.transport import RelayTransport

DRAIN_SECONDS = 5.0
"""Seconds in which clients get their pending answers, and circuits end, when the relay shuts down."""
RESERVE_BYTES = 80 << 20
"""Bytes reserved on the disk for when it is full: the database's log, usually 64 MB, and what deletes need."""
MAX_TOLD_CHARACTERS = 840
"""Of all addresses in the relay's descriptor, of 1,024 bytes at most: those with a pluggable transport are long."""
MAX_CIRCUITS = 2
"""Circuits through other relays among the addresses in the relay's descriptor."""
_STREAMS = 8
"""Streams that a client may have open besides its circuits."""
_SPARE_FILES = 128
_GC_THRESHOLD = 10_000
"""Allocations between two runs of the cyclic garbage collector: a connection makes hundreds of lasting objects, but few
cycles."""
_MEMORY_EVERY = 30.0

Announce = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


RELOADED = frozenset(
    {"token_file", "total_bytes", "queue_bytes", "queue_blobs", "least_free", "longest_hours", "address_bytes"}
    | {"files_bytes", "file_box_bytes", "file_hours", "file_address_bytes"}
    | {"logs_bytes", "log_bytes", "log_hours", "log_address_bytes", "log_bytes_a_second"}
    | {"channels_bytes", "channel_bytes", "channel_posts", "channel_hours", "channel_address_bytes"}
    | {"known_channels_only", "refused_channels"}
    | {"puts_a_second", "puts_burst", "stamp_bits", "connections", "connections_per_address"}
    | {"reservations", "reservations_per_address", "reservation_seconds"}
    | {"circuits", "circuits_per_client", "circuits_per_address"}
    | {"circuit_bytes", "circuit_seconds", "circuit_idle_seconds", "dht_bytes"}
)
"""The settings that SIGHUP changes, for new clients. The others say where the relay is and where its files are."""


def run(
    config: RelayConfig,
    announce: Announce,
    verbose: int = 0,
    *,
    reload: Callable[[], RelayConfig] | None = None,
    trust_clock: bool = False,
) -> None:
    """Run until SIGTERM or SIGINT. Raises what keeps it from starting; ProfileInUse where another relay runs there.

    verbose: the count of -v. reload reads the settings again, for SIGHUP; it may raise P2PChatError. trust_clock: the
    operator says that the machine's clock is right. announce is told {"event": "ready", "addresses": […], "lines":
    [what to give to friends, …], "public": bool, "channels": how many bytes of channels it mirrors at most}.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal may close, or the operator may send it too early
    # Not even -vv logs addresses of clients: what a relay does not have cannot be seized.
    set_up_logging(min(verbose, 1), sys.stderr)
    self_test()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    config = replace(config, connections=_with_files_for(config.connections))
    folder = Folder(Path(config.data).expanduser().absolute())
    with folder.locked():
        relay = _Relay(config, folder, trust_clock=trust_clock)
        try:
            trio.run(relay.run, announce, reload or (lambda: config))
        except BaseExceptionGroup as group:
            raise _reason(group) or group from None
        finally:
            relay.close()


def host_limits(config: RelayConfig) -> HostLimits:
    """Return the limits of the host for these settings."""
    return HostLimits(
        inbound=config.connections,
        inbound_per_place=config.connections_per_address,
        connections_per_peer=3,  # for mail, for circuits, and to ask where the peer is seen
        streams_per_peer=_STREAMS + config.circuits_per_client,
        unread=4 * WINDOW,
    )


def mailbox_limits(config: RelayConfig) -> RelayLimits:
    """Return the limits of the mailbox. Raises BadSetting for an invalid token."""
    return RelayLimits(
        _token(config.token_file),
        config.stamp_bits,
        config.longest_hours,
        config.puts_burst,
        config.puts_a_second,
        config.address_bytes,
        config.file_hours,
        config.file_address_bytes,
        config.log_hours,
        config.log_address_bytes,
        config.log_bytes_a_second,
    )


def circuit_limits(config: RelayConfig) -> CircuitLimits:
    """Return the limits of the circuits."""
    return CircuitLimits(
        reservations=config.reservations,
        reservations_per_place=config.reservations_per_address,
        ttl=config.reservation_seconds,
        circuits=config.circuits,
        circuits_per_peer=config.circuits_per_client,
        circuits_per_place=config.circuits_per_address,
        bytes=config.circuit_bytes,
        duration=config.circuit_seconds,
        idle=config.circuit_idle_seconds,
    )


def quota(config: RelayConfig) -> Quota:
    """Return the quotas of the store."""
    reserve = min(RESERVE_BYTES, config.total_bytes // 16)
    return Quota(config.queue_blobs, config.queue_bytes, config.total_bytes, config.least_free, reserve)


def box_quota(config: RelayConfig) -> BoxQuota:
    """Return the quotas of the store of file boxes."""
    return BoxQuota(config.files_bytes, min(config.file_box_bytes, config.files_bytes))


def logs_quota(config: RelayConfig) -> Quota:
    """Return the quotas of the store of logs."""
    return log_quota(config.logs_bytes, min(config.log_bytes, config.logs_bytes))


def _reason(group: BaseExceptionGroup[BaseException]) -> P2PChatError | None:
    """Return the error to show to the operator, out of those that ended several tasks at once."""
    matching = group.subgroup(P2PChatError)
    while matching is not None:
        first = matching.exceptions[0]
        if isinstance(first, P2PChatError):
            return first
        assert isinstance(first, BaseExceptionGroup)
        matching = first
    return None


class _Relay:
    def __init__(self, config: RelayConfig, folder: Folder, *, trust_clock: bool = False) -> None:
        self._random = random = system_entropy().random
        limits = mailbox_limits(config)
        self._config = config
        self._token = limits.token or b""
        self._folder = folder
        seed = folder.seed(random(32))
        peer = PeerKey(sign_public(seed))
        self._pass = relay_pass(peer, self._token)
        addresses = addresses_of(config)
        self._host = LibP2PHost(
            seed,
            addresses.listen,
            limits=host_limits(config),
            web_path=web_path(self._pass),
            proxies=_proxies(config),
            tor=addresses.tor,
            proxy=_proxy(config, random),
        )
        self._announced = addresses.announce
        self._open = addresses.open
        self._transport = None
        if addresses.front is not None:
            state = folder.path / "transport"
            self._transport = RelayTransport(config.transport, addresses.front, state, self._host.bound, random)
        self._supervisor = Supervisor(self._host)
        self._others = [multiaddrs.parse_relay(line) for line in config.others]
        private = config.unlisted or bool(self._token)
        self._listing = RelayListing(
            seed, folder.descriptor, self._told, _now, random, private=private, takes=addresses.open
        )
        self.store = MailboxStore.open(folder.store, quota(config), _now())
        spare = partial(wanted_free, self.store)
        self._boxes = BoxStore.open_or_none(folder.files, box_quota(config), _now(), spare)
        self._logs = LogStore.open_or_none(folder.logs, logs_quota(config), _now(), spare)
        self._mailbox = MailboxServer(
            peer,
            self.store,
            limits,
            _now,
            random,
            place_of,
            account_of=account_of,
            write_now=write_now,
            is_over=is_over,
            trust_clock=trust_clock,
            mark_proven=self._host.mark_proven,
            serve_list=self._listing.answer,
            boxes=self._boxes,
            logs_store=self._logs,
        )
        spare = partial(wanted_free, self.store)
        self._mirror = Mirror(config, folder, peer, self._mailbox.clock, random, spare)
        self._hop = CircuitRelay(
            self._host, circuit_limits(config), _now, allowed=self._mailbox.knows, announce=self._where
        )
        self._dht = RelayDht(config, seed, _now, random) if config.dht_listen else None
        self._serve_names()
        self._began = time.monotonic()

    async def run(self, announce: Announce, reload: Callable[[], RelayConfig]) -> None:
        quiet()
        http = await metrics.listeners(self._config.metrics) if self._config.metrics else []
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                await nursery.start(self._mailbox.run)
                if self._mirror.server is not None:
                    await nursery.start(self._mirror.server.run)
                await nursery.start(self._supervisor.run)
                if self._dht is not None:
                    await nursery.start(self._dht.run)
                if self._transport is not None:
                    await nursery.start(self._transport.run)
                nursery.start_soon(self._hop.run)
                nursery.start_soon(self._mailbox.check)
                nursery.start_soon(self._tell_operator)
                nursery.start_soon(_trim_heap)
                if self._open:
                    dialback = DialBack(self._listing, _new_host, self._where, place_of, self._random)
                    nursery.start_soon(dialback.run)
                reservations = Reservations(self._host, nursery, _now, self._random)
                for relay, address, token in self._others:
                    access = RelayAccess(multiaddrs.with_pass([address], relay_pass(relay, token)), token)
                    nursery.start_soon(follow_other, self._host, self._listing, relay, access, self._random)
                    reservations.want(relay, access)  # so that circuits through it lead here
                if http:
                    nursery.start_soon(metrics.serve, http, self._numbers)
                gc.collect()
                gc.freeze()  # imported modules are never freed
                gc.set_threshold(_GC_THRESHOLD, 10, 10)
                announce(
                    {"event": "ready", **self._found_at(), "public": self._is_public(), "channels": self._mirror.most}
                )
                async for number in signals:
                    if number != signal.SIGHUP:
                        break
                    self._reload(reload)
            log.info("ending: answering the requests that were accepted")
            self._hop.drain()
            with trio.move_on_after(DRAIN_SECONDS):
                await self._mailbox.drain(DRAIN_SECONDS)
                await self._hop.idle()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Close the stores."""
        for store in (self.store, self._boxes, self._logs):
            if store is not None:
                store.close()
        self._mirror.close()

    def _serve_names(self, *, serve: bool = True) -> None:
        """Serve under the names of the token, or stop it."""
        mailbox, hop = (self._mailbox.serve, self._hop.serve) if serve else (None, None)
        self._host.handle(mailbox_name(self._host.peer, self._token), mailbox, speaks_first=True)
        self._host.handle(hop_name(self._pass), hop)
        if self._mirror.handler is not None:
            name, feeds = feed_name(self._host.peer, self._token), self._mirror.handler if serve else None
            self._host.handle(name, feeds, speaks_first=True)
        if self._dht is not None:
            self._host.handle(dht_name(self._pass), self._dht.tell if serve else None)

    def _name_it(self, token: bytes) -> None:
        """Serve under the names of this token from now on; connected clients stay."""
        if token == self._token:
            return
        self._serve_names(serve=False)
        self._token, self._pass = token, relay_pass(self._host.peer, token)
        self._listing.private = self._config.unlisted or bool(token)
        self._host.web_path = web_path(self._pass)
        self._serve_names()

    def _reload(self, reload: Callable[[], RelayConfig]) -> None:
        """Read token and limits again. An invalid file changes nothing."""
        try:
            config = reload()
            config = replace(config, connections=_with_files_for(config.connections))
            limits = mailbox_limits(config)
            self._mirror.limit(config)
        except P2PChatError as error:
            log.error("SIGHUP: nothing was changed: %s", error.line())
            return
        changed = {
            setting.name
            for setting in fields(RelayConfig)
            if getattr(config, setting.name) != getattr(self._config, setting.name)
        }
        self._mailbox.limit(limits, quota(config), box_quota(config), logs_quota(config))
        set_limits(self._host, host_limits(config))
        self._hop.limit(circuit_limits(config))
        if self._dht is not None:
            self._dht.limit(config)
        self._name_it(limits.token or b"")
        self._config = replace(config, **{name: getattr(self._config, name) for name in changed - RELOADED})
        later = f"; after a restart: {', '.join(sorted(changed - RELOADED))}" if changed - RELOADED else ""
        log.warning("SIGHUP: token and limits were read again%s", later)

    def _where(self) -> Sequence[str]:
        announced = [*self._announced, *(self._transport.addresses() if self._transport is not None else ())]
        return announced if announced or self._transport is not None else self._host.addresses()

    def _told(self) -> Sequence[str]:
        """Return the addresses in the relay's descriptor: those that lead here from everywhere, if there are any, and
        circuits through the other relays of its operator that are not unlisted.
        """
        where = self._where()
        direct = [address for address in where if multiaddrs.is_everywhere(address)] or list(where)
        public = self._listing.public
        circuits = [multiaddrs.circuit(address, relay) for relay, address, _ in self._others if relay in public]
        named = circuits[:MAX_CIRCUITS]
        told = [*direct[: MAX_ADDRESSES - len(named)], *named] if direct else []
        while sum(map(len, told)) > MAX_TOLD_CHARACTERS:
            told.pop()
        return told

    def _found_at(self) -> dict[str, list[str]]:
        peer, where = self._host.peer, self._where()
        return {
            "addresses": [multiaddrs.full(peer, address) for address in where],
            "lines": [multiaddrs.relay_line(peer, address, self._token) for address in where],
        }

    def _is_public(self) -> bool:
        """Return whether the first address looks like one that can be dialled from the whole internet."""
        return any(map(multiaddrs.is_everywhere, self._where()[:1]))

    def _numbers(self) -> dict[str, Any]:
        circuits = self._hop.counts
        return {
            **asdict(self._mailbox.counts),
            "connections": len(self._host.connected()),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "reservations": self._hop.reservations,
            "circuits": self._hop.circuits,
            "reserved": circuits.reserved,
            "circuits_joined": circuits.joined,
            "circuits_refused": circuits.refused,
            "circuits_cut": circuits.cut,
            "circuits_evicted": circuits.evicted,
            "connections_refused": self._host.refused,
            "connections_ended": self._host.ended,
            "circuit_bytes": circuits.bytes,
            "pushed": self._mailbox.pushes.pushed,
            "clients": self._mailbox.clients,
            "watched": self._mailbox.pushes.watched,
            "waiting_bytes": self._mailbox.waiting_bytes,
            "queues": self.store.queues,
            "blobs": self.store.blobs,
            "records": self.store.records,
            "bytes": self.store.size,
            "most_bytes": self.store.quota.total_bytes,
            "file_boxes": 0 if self._boxes is None else self._boxes.boxes,
            "file_blobs": 0 if self._boxes is None else self._boxes.blobs,
            "file_bytes": 0 if self._boxes is None else self._boxes.size,
            "most_file_bytes": 0 if self._boxes is None else self._boxes.quota.total_bytes,
            **_log_numbers(self._logs),
            "log_followers": self._mailbox.followers,
            **self._mirror.numbers(),
            "floods_ended": work().ended,
            "longest_turn_seconds": round(work().turns.longest, 6),
            "restarts": self._supervisor.restarts,
            **(NO_NUMBERS if self._dht is None else self._dht.numbers()),
            "clock_held": int(self._mailbox.clock.held),
            "healthy": int(not (self._mailbox.failing or self._mirror.failing or self._supervisor.waiting)),
        }

    def _status(self) -> dict[str, Any]:
        return {
            "running": True,
            "version": __version__,
            "pid": os.getpid(),
            "seconds": int(time.monotonic() - self._began),
            "websocket": web_path(self._pass),
            "dht": [] if self._dht is None else self._dht.found_at(),
            **self._found_at(),
            **self._numbers(),
            "clock_step_hours": self._mailbox.clock.step_hours,
        }

    async def _tell_operator(self) -> None:
        """Send the status, once, to everyone who connects to the status socket."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._folder.listen()))

        async def tell(stream: trio.SocketStream) -> None:
            with trio.move_on_after(1.0), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.send_all(json.dumps(self._status()).encode() + b"\n")
            await stream.aclose()

        await trio.serve_listeners(tell, [listener])


def _log_numbers(store: LogStore | None) -> dict[str, int]:
    """Return what a store of logs holds, by the names of the metrics."""
    if store is None:
        return dict.fromkeys(("logs", "log_blobs", "log_bytes", "most_log_bytes"), 0)
    return {
        "logs": store.queues,
        "log_blobs": store.blobs,
        "log_bytes": store.size,
        "most_log_bytes": store.quota.total_bytes,
    }


def _proxies(config: RelayConfig) -> list[str]:
    try:
        return [str(ipaddress.ip_address(proxy)) for proxy in config.proxies]
    except ValueError as exc:
        raise BadSetting(f"proxies: {exc}") from exc


def _proxy(config: RelayConfig, random: Random) -> Proxy | None:
    """Return the proxy through which other relays are reached."""
    try:
        return Proxy(ProxyAddress.parse(config.proxy), random) if config.proxy else None
    except ValueError as exc:
        raise BadSetting(f"proxy {exc}") from exc


def _token(path: str) -> bytes | None:
    if not path:
        return None
    try:
        token = Path(path).read_bytes().strip()
    except OSError as exc:
        raise BadSetting(f"The token in {path} cannot be read: {exc.strerror}") from exc
    if not multiaddrs.is_token(token.decode("ascii", "replace")):
        raise BadSetting(f"{path} does not hold a valid token: 1 to 64 letters, digits and any of . _ ~ -")
    return token


@asynccontextmanager
async def _new_host() -> AsyncIterator[LibP2PHost]:
    """Return a host with a new key, which listens nowhere."""
    host = LibP2PHost(system_entropy().random(32), listen=())
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        yield host
        nursery.cancel_scope.cancel()


async def _trim_heap() -> None:
    """Return free memory to the system, again and again.

    After a burst, free memory lies scattered between objects in use, and glibc keeps it: after 1,000 clients sent at
    once, a quarter of the peak.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    while trim is not None:
        await trio.sleep(_MEMORY_EVERY)
        trim(0)


def _with_files_for(connections: int) -> int:
    """Raise the limit of open files for so many connections, and return how many there may be. The system usually
    allows 1,024 files at first.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = connections + _SPARE_FILES
    if hard == resource.RLIM_INFINITY or hard >= files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
        return connections
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fitting = max(1, hard - _SPARE_FILES)
    log.warning("only %d files may be open (ulimit -Hn), so %d connections, not %d", hard, fitting, connections)
    return fitting


def _now() -> int:
    return time.time_ns() // 1_000_000
