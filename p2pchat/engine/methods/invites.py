"""Methods for making and listing invites."""

from __future__ import annotations

import trio

from p2pchat.core.ids import InviteId
from p2pchat.core.invite import ROLE_RELAY, decode_invite
from p2pchat.engine.contacts import invites, revoking
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.store import deposits as store_deposits
from p2pchat.store import invites as store_invites
from p2pchat.store import outbox as store_outbox
from p2pchat.store.database import Database
from p2pchat.store.groups import links as store_links
from p2pchat.store.invites import InviteRow

_NO_WAY = (
    "This invite contains no address: as far as it knows, the node cannot be reached from outside. Add a "
    "relay (`p2pchat relays add`), or start the node with --listen on an address others can dial; then "
    "make a new invite."
)
_DIRECT_ONLY = (
    "This invite works while this node runs and can be dialled directly (same network, or a forwarded "
    "port). With a relay it works from anywhere, even while this node is off: `p2pchat relays add`. "
    "Whoever reads it learns this node's address."
)
_BY_RELAY = "This invite works from anywhere, through your relays."
_REVEALS_ADDRESS = " Whoever reads it learns this node's address."
_HIDING = " Whoever reads it does not learn this node's address."
HIDING = 10.0
"""Seconds that relays have to accept us for a hidden contact."""
_BOXED_WITHIN = 5.0
"""Seconds in which relays have to store an invite's bundle before its maker is told that they have not."""


async def make(
    engine: Engine,
    *,
    reusable: bool = False,
    ask: bool = False,
    expires: int = 604_800,
    hide: bool = False,
    label: str = "",
) -> Json:
    """Make an invite that is valid for `expires` seconds, and return its row."""

    def save(tx: Transaction) -> InviteRow:
        return invites.make(tx, reusable=reusable, ask=ask, expires_s=expires, hidden=hide, label=label)

    if hide:
        await hidden_ways(engine)
    row = await engine.committer.submit(save)
    assert row.encoded is not None
    relays = len([way for way in decode_invite(row.encoded).ways if way.role == ROLE_RELAY])
    boxes = await _boxes(engine, row.id, relays)
    reachable, relayed = bool(engine.net.ways(hidden=hide)), hide or relays > 0 or bool(engine.net.relayed())
    if relayed:
        notice = (_by_relays(boxes, relays) if relays else _BY_RELAY) + (_HIDING if hide else _REVEALS_ADDRESS)
    else:
        notice = _DIRECT_ONLY if reachable else _NO_WAY
    return {
        "id": row.id.hex(),
        "invite": views.invite_text(row.encoded),
        "expires_at": views.timestamp(row.expires_at),
        "reachable": reachable or boxes > 0,
        "relayed": relayed,
        "relays": boxes,
        "notice": notice,
    }


async def list_invites(engine: Engine, *, revoke: str | None = None) -> list[Json]:
    """Return the invites made here, the newest first; one is ended first, if `revoke` is given."""
    if revoke is not None:
        await engine.committer.submit(revoking.revoke, revoke)
        # only then its secret is gone from the log of the database too
        await engine.endings.clean_log()
    now = engine.clock()

    def query(db: Database) -> list[Json]:
        users = store_invites.used_by(db)
        rows = [*reversed(store_invites.all(db))]
        used_up = store_links.used_up(db)
        return [views.invite(row, users.get(row.id, []), now, used_up=row.id in used_up) for row in rows]

    return await engine.committer.read(query)


async def hidden_ways(engine: Engine) -> bool:
    """Wait until hidden contacts can reach us; return False if no relay makes that possible in time."""
    engine.net.hide()
    with trio.move_on_after(0 if engine.net.relayed() is None else HIDING):
        while not engine.net.ways(hidden=True):
            await engine.upkeep.address_updates.moved()
    return bool(engine.net.ways(hidden=True))


async def _boxes(engine: Engine, invite_id: InviteId, wanted: int) -> int:
    """Return at how many relays the bundle of an invite is stored, as soon as all have it or the time is over."""
    stored_at = 0

    def query(db: Database) -> int:
        return sum(len(store_deposits.of(db, row.pk)) for row in store_outbox.for_recipient(db, invite_id))

    async def enough() -> bool | None:
        nonlocal stored_at
        stored_at = await engine.committer.read(query)
        return True if stored_at >= wanted else None

    with trio.move_on_after(_BOXED_WITHIN if wanted else 0):
        await engine.committer.watch(enough)
    return stored_at


def _by_relays(boxes: int, relays: int) -> str:
    count = "a relay" if boxes == 1 else f"{boxes} relays"
    if boxes == relays:
        return f"This invite works even while this node is off: {count} can be asked for it."
    if boxes:
        return f"This invite works even while this node is off, through {count}; another has not answered yet."
    return "None of your relays has taken this invite yet: leave this node running until one does, or they are reached."
