"""Where a relay listens, and where it says that it is, by its settings."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.errors import BadAddress
from p2pchat.net import multiaddrs
from p2pchat.net.admission import places
from p2pchat.relay.config import LISTEN, BadSetting, RelayConfig

_LOOPBACK = ("/ip4/127.0.0.1/tcp/4001",)


@dataclass(frozen=True, slots=True)
class RelayAddresses:
    """listen: where it listens. announce: what it tells others; () for what the machine has. tor: what the places of
    those whom Tor brings begin with (`places`); "" for a relay that is no onion service.
    """

    listen: tuple[str, ...]
    announce: tuple[str, ...]
    tor: str = ""


def addresses_of(config: RelayConfig) -> RelayAddresses:
    """Return the addresses of a relay. Raises BadAddress, and BadSetting where one that announces only an onion address
    would show in another way where it is.
    """
    announce = tuple(_announced(address) for address in config.announce)
    onions = [address for address in announce if multiaddrs.parse_target(address).by_tor]
    if not onions:
        return RelayAddresses(config.listen, announce)
    if len(onions) < len(announce):
        return RelayAddresses(config.listen, announce, places.TOR)
    listen = _LOOPBACK if config.listen == LISTEN else config.listen
    if not all(multiaddrs.parse(address).ip.is_loopback for address in listen):
        raise BadSetting("A relay that announces only an onion address listens on loopback only: change `listen`")
    if config.dht_listen:
        raise BadSetting(
            "A relay that announces only an onion address has no DHT server: `dht_listen` says where it is"
        )
    if config.others and not config.proxy:
        raise BadSetting("A relay that announces only an onion address reaches `others` through Tor only: set `proxy`")
    return RelayAddresses(listen, announce, places.ONION)


def _announced(address: str) -> str:
    target = multiaddrs.parse_target(address)
    if target.relay is not None or not target.dialable:
        raise BadAddress(f"{address} is not an address at which others can dial a relay")
    return target.text()
