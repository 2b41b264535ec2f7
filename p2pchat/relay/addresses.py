"""Where a relay listens, and where it says that it is, by its settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from p2pchat.errors import BadAddress
from p2pchat.net import multiaddrs
from p2pchat.net.admission import places
from p2pchat.relay.config import LISTEN, BadSetting, RelayConfig

_LOOPBACK = ("/ip4/127.0.0.1/tcp/4001",)
_IN_DISGUISE = re.compile(r"(.+)/pt/([a-z0-9_]+)")
_ANYWHERE = {4: "0.0.0.0", 6: "[::]"}  # noqa: S104 - the world is to reach it


@dataclass(frozen=True, slots=True)
class Front:
    """The server of a pluggable transport: its name, the addresses at which it is reached, without the transport, and
    "IP:PORT" where it listens.
    """

    name: str
    addresses: tuple[str, ...]
    listen: str


@dataclass(frozen=True, slots=True)
class RelayAddresses:
    """listen: where it listens. announce: what it tells others; () for what the machine has, if there is no front
    either. tor: what the places of those whom Tor brings begin with (`places`); "" for no onion service.
    front: the program that the relay starts, which reaches it in disguise. open: whether it may connect from here to
    what a stranger names: not if nobody is to learn where it is, and not past a proxy.
    """

    listen: tuple[str, ...]
    announce: tuple[str, ...]
    tor: str = ""
    front: Front | None = None
    open: bool = True


def addresses_of(config: RelayConfig) -> RelayAddresses:
    """Return the addresses of a relay. Raises BadAddress, and BadSetting where one that announces only an onion address
    would show in another way where it is, and where one that is reached in disguise only would be found without it.
    """
    disguised = [parts for address in config.announce if (parts := _IN_DISGUISE.fullmatch(address))]
    announce = tuple(_announced(address) for address in config.announce if not _IN_DISGUISE.fullmatch(address))
    front = _front(config, [(_announced(parts[1]), parts[2]) for parts in disguised])
    targets = [multiaddrs.parse_target(address) for address in announce]
    onions = sum(target.by_tor for target in targets)
    tor = "" if not onions else places.ONION if onions == len(config.announce) else places.TOR
    if not config.announce or not all(target.by_tor or target.pluggable for target in targets):
        return RelayAddresses(config.listen, announce, tor, front, open=not config.proxy)
    listen = _LOOPBACK if config.listen == LISTEN else config.listen
    if not all(multiaddrs.parse(address).ip.is_loopback for address in listen):
        raise BadSetting(
            "A relay that announces only an onion address, or addresses in disguise, listens on loopback only: "
            "change `listen`"
        )
    if tor == places.ONION and config.dht_listen:
        raise BadSetting(
            "A relay that announces only an onion address has no DHT server: `dht_listen` says where it is"
        )
    if tor == places.ONION and config.others and not config.proxy:
        raise BadSetting("A relay that announces only an onion address reaches `others` through Tor only: set `proxy`")
    return RelayAddresses(listen, announce, tor, front, open=False)


def _front(config: RelayConfig, announced: list[tuple[str, str]]) -> Front | None:
    if bool(announced) != bool(config.transport):
        raise BadSetting(
            "`transport` and an address such as /ip4/203.0.113.5/tcp/443/pt/obfs4 in `announce` need each other"
        )
    if not announced:
        return None
    (address, name), *_ = announced
    target = multiaddrs.parse_target(address)
    if len({name for _, name in announced}) > 1 or isinstance(target.host, multiaddrs.Name) or target.over != "tcp":
        raise BadSetting("`announce` can name one pluggable transport, at IP addresses: /ip4/…/tcp/…/pt/NAME")
    listen = config.transport_listen or f"{_ANYWHERE[target.host.version]}:{target.port}"
    return Front(name, tuple(address for address, _ in announced), listen)


def _announced(address: str) -> str:
    target = multiaddrs.parse_target(address)
    if target.relay is not None or not target.dialable:
        raise BadAddress(f"{address} is not an address at which others can dial a relay")
    return target.text()
