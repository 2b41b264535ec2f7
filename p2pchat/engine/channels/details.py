"""What a channel's head says besides: the relays that mirror it, and the group that talks about it."""

from __future__ import annotations

from p2pchat.core.channels.details import ChannelDetails, decode_details
from p2pchat.core.channels.posts import FeedHead
from p2pchat.core.invite import MAX_WAYS, ROLE_RELAY, InviteWay
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store.channels import MAX_RELAYS, ChannelRow


def way_of(relay: Relay) -> InviteWay:
    """Return a relay as links and heads name it."""
    return InviteWay(relay.peer, relay.addresses[0], ROLE_RELAY, relay.token)


def of(row: ChannelRow, head: FeedHead | None) -> ChannelDetails:
    """Return what the head of a channel's own feed says besides; nothing, where it cannot be read."""
    if head is None or head.details is None:
        return ChannelDetails()
    try:
        return decode_details(head.details, row.key, row.secret)
    except CannotOpen:
        return ChannelDetails()


def moved(tx: Transaction, row: ChannelRow, before: FeedHead | None, head: FeedHead) -> None:
    """Use the relays that a newer head of a channel names, if it names others than the one before, and those of readers
    who hand it on.
    """
    ways = of(row, head).ways
    if ways and ways != of(row, before).ways:
        relays = (*ways, *_of_readers(row, before, ways))[:MAX_RELAYS]
        if relays != row.relays:
            peers = {way.peer for way in ways}
            store_channels.use(tx.db, row.chat, relays, [way for way in row.retired if way.peer not in peers])
            tx.channels_changed = True


def _of_readers(row: ChannelRow, before: FeedHead | None, ways: tuple[InviteWay, ...]) -> list[InviteWay]:
    """Return the relays in use that are not its owner's choice: a link named them behind those of the head, or the head
    before did not name them. A link that begins otherwise is older than the head.
    """
    new, named = [way.peer for way in ways], [way.peer for way in of(row, before).ways]
    beginning = new[: MAX_WAYS - 1]  # as many as a link names that a reader passes on
    if row.is_ours or (not named and [way.peer for way in row.relays[: len(beginning)]] != beginning):
        return []
    return [way for way in row.relays if way.peer not in new and way.peer not in named]


def with_link(tx: Transaction, row: ChannelRow, ways: tuple[InviteWay, ...]) -> None:
    """Use the relays of another link to a channel that is followed, besides those that are used: they may be gone."""
    peers = {way.peer for way in ways}
    relays = (*ways, *(way for way in row.relays if way.peer not in peers))[:MAX_RELAYS]
    if not row.is_ours and set(relays) != set(row.relays):
        store_channels.use(tx.db, row.chat, relays, row.retired)
        tx.channels_changed = True
