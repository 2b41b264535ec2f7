"""The transport keys of a profile, and how they are replaced: by these others on the network would follow a node.

The next key is made a day ahead, and contacts are told of it. At a start of the node after that, it takes the place of
the key in use, if every contact has heard of it and no open invite names the old one. A node that is a relay for its
contacts keeps its key.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.contents import Addresses
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import KEY_BYTES, Entropy, sign_public
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DatabaseDamaged
from p2pchat.lib.times import DAY_MS
from p2pchat.store import invites as store_invites
from p2pchat.store import meta
from p2pchat.store import outbox as store_outbox
from p2pchat.store.database import Database
from p2pchat.store.invites import InviteState

REPLACE_AFTER_MS = 7 * DAY_MS
"""How long a key is in use before the next one is made."""
ANNOUNCED_FOR_MS = DAY_MS
"""How long the next key is announced before it is used."""
WAIT_AT_MOST_MS = 30 * DAY_MS
"""How long contacts who have not heard of the next key, and open invites, delay its use."""
_KEYS = {False: "transport", True: "hidden_transport"}


def transport_seed(db: Database) -> bytes:
    """Return the 32-byte seed of the transport key. Raises DatabaseDamaged where it is gone."""
    seed = meta.get(db, "transport")
    if seed is None:
        raise DatabaseDamaged
    return seed


def hidden_transport_seed(db: Database, entropy: Entropy) -> bytes:
    """Return the 32-byte seed of the transport key that hidden contacts know; no other key leads to it. Profiles from
    before there were hidden contacts get it now.
    """
    seed = meta.get(db, "hidden_transport")
    if seed is None:
        seed = entropy.random(KEY_BYTES)
        with db.transaction():
            meta.put(db, "hidden_transport", seed)
    return seed


def next_key(db: Database, *, hidden: bool) -> PeerKey | None:
    """Return the public half of the key that will be used next, if it was made; for hidden contacts, or for others."""
    seed = meta.get(db, _next(hidden))
    return None if seed is None else PeerKey(sign_public(seed))


def prepare(tx: Transaction) -> None:
    """Make the next keys where they are due. Contacts are told of them as of other addresses."""
    for hidden, name in _replaced(tx.db):
        since = meta.get_int(tx.db, f"{name}_at")
        if not 0 < since <= tx.now:  # the first time, or a clock that was ahead
            meta.put_int(tx.db, f"{name}_at", tx.now)
        elif meta.get(tx.db, _next(hidden)) is None and since + REPLACE_AFTER_MS <= tx.now:
            meta.put(tx.db, _next(hidden), tx.random(KEY_BYTES))
            meta.put_int(tx.db, f"{_next(hidden)}_at", tx.now)
        elif meta.get_int(tx.db, f"{_next(hidden)}_at") > tx.now:  # it was made by a clock that was ahead
            meta.put_int(tx.db, f"{_next(hidden)}_at", tx.now)


def rotate(tx: Transaction) -> None:
    """Make the next keys now, where there are none yet. Contacts are told of them as of other addresses."""
    for hidden, name in _replaced(tx.db):
        if not meta.get_int(tx.db, f"{name}_at"):
            meta.put_int(tx.db, f"{name}_at", tx.now)
        if meta.get(tx.db, _next(hidden)) is None:
            meta.put(tx.db, _next(hidden), tx.random(KEY_BYTES))
            meta.put_int(tx.db, f"{_next(hidden)}_at", tx.now)


@dataclass(frozen=True, slots=True)
class KeysState:
    """How it stands with the key that everybody knows, or the hidden one of a node that is a relay for contacts
    (`is_relay`). since: when it came into use, in ms; 0 if that is not known. ready: from when on the next key takes
    its place at a start, in ms; 0 if there is none. unheard, invites: whether that waits for contacts who have not
    heard of it, and for open invites.
    """

    since: int
    ready: int
    unheard: bool
    invites: bool
    is_relay: bool


def state(db: Database, now: int) -> KeysState:
    """Return when the transport key is replaced, and what that waits for. now: ms."""
    hidden, name = _replaced(db)[0]
    made = meta.get_int(db, f"{_next(hidden)}_at") if next_key(db, hidden=hidden) is not None else 0
    return KeysState(
        meta.get_int(db, f"{name}_at"),
        made and made + ANNOUNCED_FOR_MS,
        unheard=bool(made) and _unheard(db),
        invites=bool(made) and _named_by_invite(db, now, hidden),
        is_relay=hidden,
    )


def replace_due(db: Database, now: int) -> None:
    """At the start, before anything uses the keys, put the next ones in place where they may be. now: ms."""
    for hidden, name in _replaced(db):
        seed, made = meta.get(db, _next(hidden)), meta.get_int(db, f"{_next(hidden)}_at")
        if seed is None or not made + ANNOUNCED_FOR_MS <= now:
            continue
        if made + WAIT_AT_MOST_MS > now and (_named_by_invite(db, now, hidden) or _unheard(db)):
            continue
        with db.transaction():
            meta.put(db, name, seed)
            meta.put_int(db, f"{name}_at", now)
            meta.remove(db, _next(hidden))


def _replaced(db: Database) -> list[tuple[bool, str]]:
    """Return the keys that are replaced at all. A relay is known by its key, so a node that is one for its contacts
    keeps the one by which they use it.
    """
    return [(hidden, name) for hidden, name in _KEYS.items() if hidden or not settings.relay_for_contacts(db)]


def _next(hidden: bool) -> str:
    return f"next_{_KEYS[hidden]}"


def _named_by_invite(db: Database, now: int, hidden: bool) -> bool:
    invites = store_invites.all(db)
    return any(row.state == InviteState.OPEN and row.expires_at > now and row.hidden == hidden for row in invites)


def _unheard(db: Database) -> bool:
    """Return whether somebody has not confirmed the last addresses that they were sent."""
    return store_outbox.has_kind(db, Addresses.KIND.number)
