"""What the owner of a channel changes in its head: the relays that mirror it, and the group that talks about it."""

from __future__ import annotations

from p2pchat.core.channels.details import ChannelDetails, encode_details
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import MAX_WAYS, InviteWay
from p2pchat.engine.channels import details, writing
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store.channels import MAX_RELAYS, ChannelRow


def change(tx: Transaction, row: ChannelRow, wanted: ChannelDetails) -> None:
    """Sign other details of a channel of ours."""
    writing.sign_head(tx, row, details=encode_details(wanted, row.key, row.secret, tx.random))
    tx.channels_written[row.chat] = None
    tx.channels_changed = True


def add_relay(tx: Transaction, row: ChannelRow, relay: Relay) -> None:
    """Have one more relay mirror a channel of ours. Raises NotNow if there are three."""
    if any(way.peer == relay.peer for way in row.relays):
        return
    if len(row.relays) >= MAX_WAYS:
        raise NotNow(f"A channel has at most {MAX_WAYS} relays", hint="Remove one first: `channel relays CHAT remove`.")
    retired = [way for way in row.retired if way.peer != relay.peer]
    _use(tx, row, (*row.relays, details.way_of(relay)), retired)


def remove_relay(tx: Transaction, row: ChannelRow, peer: PeerKey) -> None:
    """Have a relay mirror a channel of ours no longer; it is told once where readers find the others. Raises UsageError
    or NotNow.
    """
    stay = tuple(way for way in row.relays if way.peer != peer)
    if stay == row.relays:
        raise UsageError("That relay does not mirror this channel")
    if not stay:
        raise NotNow(
            "A channel needs a relay that mirrors it", hint="Add another one first: `channel relays CHAT add`."
        )
    left = [way for way in row.relays if way.peer == peer]
    _use(tx, row, stay, [*left, *row.retired][:MAX_RELAYS])


def _use(tx: Transaction, row: ChannelRow, relays: tuple[InviteWay, ...], retired: list[InviteWay]) -> None:
    store_channels.use(tx.db, row.chat, relays, retired)
    known = details.of(row, store_channels.feed(tx.db, row, row.own_feed.writer).head)
    change(tx, row, known._replace(ways=relays))


def told(tx: Transaction, row: ChannelRow, peer: PeerKey) -> None:
    """Note that a relay that mirrors a channel of ours no longer has the head that says so."""
    now = store_channels.get(tx.db, row.chat)
    if now is not None:
        store_channels.use(tx.db, row.chat, now.relays, [way for way in now.retired if way.peer != peer])
        tx.channels_changed = True
