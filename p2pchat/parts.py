"""The parts of a node: the keys of the profile, its database, libp2p, the engine, a relay for contacts.

Nothing heavy is imported before it is needed: `node` listens first, so that a face can unlock the profile meanwhile.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pchat import config
from p2pchat.api.service import ProfileService
from p2pchat.locations import Profile, ProfileGuard

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat.core.primitives import Entropy
    from p2pchat.engine.engine import Engine
    from p2pchat.engine.runtime.storage_limits import ContactLimits
    from p2pchat.lib.proxy_address import ProxyAddress
    from p2pchat.net.kademlia.network import KademliaNetwork
    from p2pchat.net.libp2p.host import LibP2PHost
    from p2pchat.net.mapping.mapper import PortMapper
    from p2pchat.net.network_memory import NetworkMemory
    from p2pchat.net.transport.managed import Transports
    from p2pchat.net.transport.proxy import Proxy
    from p2pchat.ports import DhtHealth
    from p2pchat.store.database import Database

log = logging.getLogger("p2pchat.node")


@dataclass(frozen=True)
class Options:
    """How to run. passphrase: what unlocks the profile at once; None: wait for `unlock` if it needs one. relays: the
    addresses of some for this run. proxy: by which everything is dialled.
    """

    profile: Profile
    foreground: bool
    listen: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    passphrase: str | None = None
    verbose: int = 0
    proxy: ProxyAddress | None = None


@dataclass(frozen=True)
class Parts:
    """The parts that a node is built from; the tests of its life cycle provide others.

    needs_passphrase and unlock (the key from a passphrase; slow; raises WrongPassphrase) and change (the key, the new
    passphrase or None) are synchronous. open: from the key to the open profile, closed at the end of the context.
    prepare: slow work that needs no key, done in a thread meanwhile.
    """

    needs_passphrase: Callable[[], bool]
    unlock: Callable[[str | None], bytes]
    change: Callable[[bytes, str | None], None]
    open: Callable[[bytes], AbstractAsyncContextManager[ProfileService]]
    prepare: Callable[[], object]


def real_parts(options: Options, settings: config.Settings, guard: ProfileGuard) -> Parts:
    """Return the node's own parts: the keys of the profile, its database, libp2p, the engine."""
    from p2pchat.store import keys

    folder = options.profile.folder

    def unlock(passphrase: str | None) -> bytes:
        return keys.open_keys(folder, None if passphrase is None else passphrase.encode())

    def change(key: bytes, new: str | None) -> None:
        keys.change_passphrase(folder, key, None if new is None else new.encode())

    def opened(key: bytes) -> AbstractAsyncContextManager[ProfileService]:
        return _opened(options, settings, key, guard)

    return Parts(lambda: keys.needs_passphrase(folder), unlock, change, opened, _import_net)


@asynccontextmanager
async def _opened(
    options: Options, settings: config.Settings, key: bytes, guard: ProfileGuard
) -> AsyncIterator[ProfileService]:
    from p2pchat.core.primitives import self_test, system_entropy
    from p2pchat.engine.contacts import transport_keys
    from p2pchat.engine.contacts.profile import keep_networks, keep_port, known_networks
    from p2pchat.engine.engine import Engine
    from p2pchat.engine.methods.service import EngineService
    from p2pchat.store.database import Database

    self_test()
    db = await trio.to_thread.run_sync(Database.open, options.profile.database, key)
    for path in db.files():
        guard.keep(path)
    db.guard = guard.check
    close: Callable[[], Awaitable[None]] = partial(trio.to_thread.run_sync, db.close)
    try:
        await trio.to_thread.run_sync(_import_net)  # most likely under way already
        from p2pchat.engine.runtime.clock_watch import boot_time
        from p2pchat.net.lan.sockets import Multicast
        from p2pchat.net.libp2p.host import LibP2PHost, disguised
        from p2pchat.net.libp2p.log_filter import quiet
        from p2pchat.net.multiaddrs import full
        from p2pchat.net.network import Network
        from p2pchat.net.network_memory import NetworkMemory
        from p2pchat.net.network_watch import NetworkWatch
        from p2pchat.net.supervisor import Supervisor
        from p2pchat.ports import LanMode

        quiet(loud=options.verbose >= 2)
        entropy = system_entropy()
        proxy = _proxy(options.proxy, entropy)
        transport_keys.replace_due(db, _now())
        memory = None if proxy is not None else NetworkMemory(known_networks(db), _now, entropy.random)
        transports = _transports(settings, options.profile.folder, proxy, entropy)
        # A transport has one user at the proxy: by it, hidden contacts' relays could be joined with the others.
        for_hidden = transports if proxy is None else None
        host = _host(db, options.listen or settings.listen, proxy, memory, transports)
        hidden_seed = transport_keys.hidden_transport_seed(db, entropy)
        hidden = LibP2PHost(hidden_seed, listen=(), proxy=proxy, memory=memory, transports=for_hidden)
        lan = LanMode.OFF if proxy is not None else LanMode(settings.lan)
        mapper = None if proxy is not None else _mapper(db, settings, host, entropy)
        records = _records(settings, proxy, entropy)
        net = Network(
            host,
            hidden,
            entropy.random,
            partial(_new_host, proxy, memory, for_hidden),
            Multicast(host.bound),
            lan,
            NetworkWatch(),
            records,
            settings.hops,
            memory,
            mapper=mapper,
        )
        if transports is not None:
            net.view.look_at_transports(transports.health, partial(disguised, host))
        engine = Engine(
            db,
            _now,
            entropy,
            net,
            net.view,
            relays=options.relays,
            monotonic=boot_time,
            storage_limits=_storage_limits(settings),
            ask_proxy=None if proxy is None else proxy.health,
            use_lan=None if proxy is not None else net.use_lan,
            use_port_mapping=None if mapper is None else mapper.use,
            ask_dht=_no_dht if records is None else records.health,
        )
        close = engine.committer.close  # a call under way may be reading, in a thread of its own
        async with trio.open_nursery() as nursery:
            if transports is not None:
                await nursery.start(transports.run)
            await nursery.start(Supervisor(host).run)
            await nursery.start(Supervisor(hidden).run)
            keep_port(db, host.port)
            await nursery.start(engine.run)
            if memory is not None:
                nursery.start_soon(memory.run, partial(engine.committer.submit, keep_networks))
            nursery.start_soon(_relay_for_contacts, engine, host, options.profile.relay_store, entropy)
            yield EngineService(engine, lambda: [full(host.peer, address) for address in host.addresses()])
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await close()


def _mapper(db: Database, settings: config.Settings, host: LibP2PHost, entropy: Entropy) -> PortMapper | None:
    """Return what asks the router for a port, if anything may."""
    from p2pchat.core.primitives import hmac_sha256
    from p2pchat.engine.contacts.transport_keys import transport_seed
    from p2pchat.net.mapping.mapper import PortMapper

    if os.environ.get(config.NO_MAPPING_VARIABLE):
        return None
    secret = hmac_sha256(transport_seed(db), b"port mapping")
    mapper = PortMapper(host.bound, secret, entropy.random, wanted=settings.port_mapping)
    host.mapped = mapper.leads_to
    return mapper


def _records(settings: config.Settings, proxy: Proxy | None, entropy: Entropy) -> KademliaNetwork | None:
    """Return where records about how people are reached are kept; None if the user wants none of it. Raises
    BadConfig. Servers are reached directly, so with two hops those of relays are not asked.
    """
    from p2pchat.errors import BadAddress
    from p2pchat.net.kademlia.client import PROXY_SOFT_SECONDS, SOFT_SECONDS
    from p2pchat.net.kademlia.network import KademliaNetwork
    from p2pchat.net.libp2p.kademlia_messages import KadPeer
    from p2pchat.net.multiaddrs import parse_full

    if settings.dht == "off" or (settings.dht == "relays" and settings.hops > 1):
        return None
    named = settings.dht_bootstrap if settings.dht == "public" else ()
    try:
        bootstrap = [KadPeer(peer, (address,)) for peer, address in map(parse_full, named)]
    except BadAddress as exc:
        raise config.BadConfig(f"dht_bootstrap: {exc}") from exc
    return KademliaNetwork(
        partial(_new_host, proxy, None, None),
        bootstrap,
        _now,
        entropy.random,
        protocol=settings.dht_protocol,
        soft=SOFT_SECONDS if proxy is None else PROXY_SOFT_SECONDS,
    )


async def _no_dht() -> DhtHealth:
    from p2pchat.ports import DhtHealth

    await trio.lowlevel.checkpoint()
    return DhtHealth()


def _storage_limits(settings: config.Settings) -> ContactLimits:
    from p2pchat.engine.runtime.storage_limits import DEFAULT_LIMITS, ContactLimits

    daily, unread = settings.contact_daily_mib, settings.contact_unread_mib
    return ContactLimits(
        DEFAULT_LIMITS.daily if daily is None else daily * 2**20,
        DEFAULT_LIMITS.unread if unread is None else unread * 2**20,
    )


@asynccontextmanager
async def _new_host(
    proxy: Proxy | None, memory: NetworkMemory | None, transports: Transports | None
) -> AsyncIterator[LibP2PHost]:
    """Return a host with a new key, for the mail of hidden contacts."""
    from p2pchat.core.primitives import KEY_BYTES, system_entropy
    from p2pchat.net.libp2p.host import LibP2PHost
    from p2pchat.net.supervisor import Supervisor

    seed = system_entropy().random(KEY_BYTES)
    host = LibP2PHost(seed, listen=(), proxy=proxy, memory=memory, transports=transports)
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor(host).run)
        yield host
        nursery.cancel_scope.cancel()


async def _relay_for_contacts(engine: Engine, host: LibP2PHost, store: Path, entropy: Entropy) -> None:
    """Serve as a relay for contacts while the user wants it; what is stored for others is deleted when the user turns
    it off.
    """
    from p2pchat.engine.contacts import contact_relays
    from p2pchat.relay import store_files

    while True:
        changed = engine.relay_offer.changed
        if engine.relay_offer.wanted:
            await trio.to_thread.run_sync(importlib.import_module, "p2pchat.relay.embedded")
            from p2pchat.relay.embedded import EmbeddedRelay

            relay = EmbeddedRelay(host, store, await engine.committer.read(contact_relays.token), _now, entropy.random)
            try:
                await relay.run(changed.wait)
            except Exception as exc:  # noqa: BLE001 - what others want of us must not end the node
                log.error("the relay for contacts failed: %s", type(exc).__name__)
                engine.events.publish({"event": "node", "warning": _NO_RELAY})
                await changed.wait()
        else:
            await trio.to_thread.run_sync(store_files.remove_all, store)  # others have deposited it elsewhere too
            await changed.wait()


_NO_RELAY = "This node cannot be a relay for your contacts now; its log says why. Your own messages are not affected."


def _import_net() -> None:
    """Import libp2p in a thread, since it is slow, so that the API answers meanwhile."""
    importlib.import_module("p2pchat.net.libp2p.host")


def _proxy(address: ProxyAddress | None, entropy: Entropy) -> Proxy | None:
    from p2pchat.net.transport.proxy import Proxy

    return None if address is None else Proxy(address, entropy.random)


def _transports(settings: config.Settings, folder: Path, proxy: Proxy | None, entropy: Entropy) -> Transports | None:
    if not settings.transports:
        return None
    from p2pchat.net.transport.managed import Transports

    return Transports(dict(settings.transports), folder.absolute() / "transports", entropy.random, proxy)


def _host(
    db: Database,
    wanted: Sequence[str],
    proxy: Proxy | None,
    memory: NetworkMemory | None,
    transports: Transports | None,
) -> LibP2PHost:
    """The open host. With a proxy it can be dialled on loopback at most (by a Tor service of this machine, say): what
    comes in past the proxy would tell where we are. Raises BadConfig.
    """
    from p2pchat.engine.contacts.profile import kept_port
    from p2pchat.engine.contacts.transport_keys import transport_seed
    from p2pchat.net.libp2p.host import LibP2PHost
    from p2pchat.net.multiaddrs import DEFAULT_LISTEN, parse

    if proxy is not None and not all(parse(address).ip.is_loopback for address in wanted):
        raise config.BadConfig(
            "A node that uses a proxy can listen on loopback addresses only",
            hint="Leave out `listen`: with a proxy, others reach you through relays.",
        )
    listen = wanted or (() if proxy is not None else DEFAULT_LISTEN)
    seed, port = transport_seed(db), kept_port(db)
    return LibP2PHost(seed, listen, kept_port=port, proxy=proxy, memory=memory, transports=transports)


def _now() -> int:
    return time.time_ns() // 1_000_000
