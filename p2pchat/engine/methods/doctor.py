"""The method doctor: checks what works and what does not, one line per check."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from p2pchat.core.ids import first_device
from p2pchat.engine.contacts import contact_relays, copies, renewal
from p2pchat.engine.groups import summary
from p2pchat.engine.methods import network, network_words
from p2pchat.engine.methods.network_words import BAD, GOOD, NOTE, Row
from p2pchat.engine.runtime import views
from p2pchat.store import contacts as store_contacts
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups

if TYPE_CHECKING:
    from p2pchat.engine.engine import Engine

_LITTLE_ROOM_BYTES = 100 * 2**20

Check = dict[str, Any]


async def checks(engine: Engine) -> list[Check]:
    """Return every check: the profile's own, then the rows about the network, then what could be better."""
    facts = await network.gather(engine, thorough=True)
    rows = network_words.rows(facts)
    told = {row.hint for row in rows if row.state == BAD}
    return [
        await _store(engine),
        *await engine.committer.read(_copies, engine),
        *map(_of_row, rows),
        *await engine.committer.read(_groups, engine.clock()),
        await engine.committer.read(_offer),
        *(_of_row(Row("", "next", NOTE, text)) for text in network_words.advice(facts, rows) if text not in told),
    ]


def _line(check: str, ok: bool, detail: str, hint: str = "") -> Check:
    return {"check": check, "ok": ok, "state": GOOD if ok else BAD, "detail": detail, "hint": "" if ok else hint}


def _of_row(row: Row) -> Check:
    return {**_line(row.check, row.state != BAD, row.detail, row.hint), "state": row.state}


async def _store(engine: Engine) -> Check:
    damaged = await engine.committer.beside(engine.db.damaged_pages)
    if damaged:
        pages = "one page of the database is" if damaged == 1 else f"{damaged:,} pages of the database are"
        hint = "Stop the node, then `p2pchat salvage` makes a new database of everything that can be read."
        return _line("store", False, f"{pages} damaged, and their content cannot be read", hint)
    room = shutil.disk_usage(engine.db.path.parent).free
    detail = f"every page of the database verifies; {room // 2**20:,} MiB are free on its disk"
    return _line(
        "store", room >= _LITTLE_ROOM_BYTES, detail, "Free some space: without it nothing can be sent or received."
    )


def _copies(db: Database, engine: Engine) -> list[Check]:
    """Check whether this profile was restored from a copy, until every contact has been told; and whether sessions
    break again and again.
    """
    lines, now = [], engine.clock()
    renewals = [(contact.name, store_renewals.get(db, first_device(contact.id))) for contact in _contacts_of(db)]
    waiting = [name for name, state in renewals if state.wanted_at is not None]
    if copies.restored_at(db) and waiting:
        who = f"{len(waiting)} contacts" if len(waiting) > 1 else waiting[0]
        detail = f"this profile was restored from a copy ({views.day(copies.restored_at(db))}); {who} still to be told"
        hint = "New sessions are made automatically, over a link or through relays. Do not run the other copy."
        lines.append(_line("copy", False, detail, hint))
    for name, state in renewals:
        if renewal.breaks(now, state):
            detail = renewal.BREAKS.format(name=name)
            lines.append(_line("copy", False, detail, "A profile works in one place at a time."))
    return lines


def _contacts_of(db: Database) -> list[store_contacts.Contact]:
    return [contact for contact in store_contacts.all(db) if contact.state == ContactState.CONTACT]


def _groups(db: Database, now: int) -> list[Check]:
    """Check whether something is wrong with a group that we are in."""
    shown = [summary.of(db, chat, now) for chat in sorted(store_groups.chats(db))]
    return [
        _line("group", False, f"{group['name']}: {group['problem']}", "`p2pchat group show` shows its rules and keys.")
        for group in shown
        if group is not None and group["problem"]
    ]


def _offer(db: Database) -> Check:
    more = " `p2pchat offer` says more." if contact_relays.is_asked(db) else ""
    return _line("offer", True, contact_relays.state(db) + more)
