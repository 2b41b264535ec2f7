"""Following the other relays that the operator has named: announcing this one to them, and asking which they know."""

from __future__ import annotations

import logging

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import Random
from p2pchat.errors import PeerError, Refused
from p2pchat.lib.backoff import Backoff, jittered
from p2pchat.lib.times import HOUR_SECONDS, MINUTE_SECONDS
from p2pchat.net.ports import Host
from p2pchat.net.relays.lists import ASK_EVERY_SECONDS, ask_list
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.relay.listing import RelayListing

log = logging.getLogger(__name__)


async def follow_other(host: Host, listing: RelayListing, relay: PeerKey, access: RelayAccess, random: Random) -> None:
    """List what another relay tells and announce this one to it, every few hours, until cancelled. It is asked first,
    because what it says of itself decides whether our descriptor may name it.
    """
    backoff = Backoff(MINUTE_SECONDS, HOUR_SECONDS, random)
    while True:
        try:
            listing.told(relay, await ask_list(host, relay, access))
            if not listing.private:
                await ask_list(host, relay, access, listing.own())
        except (PeerError, Refused) as error:
            log.info("another relay gave no list: %s", type(error).__name__)
            await trio.sleep(backoff.pause())
        else:
            backoff.reset()
            await trio.sleep(jittered(ASK_EVERY_SECONDS, random))
