"""Applies the content report: tells a moderator, in a line of the chat, which message a member reports, and why."""

from __future__ import annotations

from contextlib import suppress

from p2pchat.core.content import Content
from p2pchat.core.contents import Report
from p2pchat.core.delivery import Route
from p2pchat.core.groups import reports
from p2pchat.core.groups.reports import MAX_READERS, Reported, SealedReport
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import MemberId, member_of, sender_of
from p2pchat.core.text import clean_name
from p2pchat.engine.contents import about, delete, lines
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import leaves as store_leaves
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import ME, MessageRow

MAX_A_DAY = 20
"""Reports of one member that are shown in a day: whoever moderates is not to be flooded by them."""
_SHOWN = 60
"""Characters of a reported message that the line quotes."""


def apply(tx: Transaction, contact: Contact, content: Content, payload: Report, route: Route) -> None:
    """Show a report that is for us, unless its author has sent too many today."""
    row = None if contact.group is None else store_groups.get(tx.db, contact.group)
    if row is None or row.role > Role.MODERATOR:
        return
    by = member_of(contact.id)
    said = _opened(tx, row, by, SealedReport(payload.ephemeral, payload.boxes))
    if said is None or said.member in (row.member, by):
        return
    if store_messages.count_about(tx.db, row.chat, contact.id, tx.passed - DAY_MS) >= MAX_A_DAY:
        return
    message = store_messages.get(tx.db, row.chat, sender_of(said.member), said.message)
    who = store_members.shown_name(tx.db, row.chat, by)
    lines.say(tx, row, by, f"{who} reports {_what(tx, row, said.member, message)}{_why(said.reason)}", said.message)


def put(tx: Transaction, contact: Contact, row: GroupRow, message: MessageRow, reason: str) -> int:
    """Report a message of another member; return to how many members it goes. Raises NotNow or UsageError."""
    if message.sender == ME:
        raise UsageError("You wrote that yourself", hint="`p2pchat delete ID --for-both` deletes it for all.")
    if message.kind not in delete.RETRACTABLE or message.deleted_at is not None:
        raise UsageError("Only what a member wrote can be reported")
    about.check(contact, message)
    author = member_of(message.sender)
    moderators = [
        (member.id, member.leaf)
        for member in store_members.with_keys(tx.db, row.chat, Role.MODERATOR, MAX_READERS + 1)
        if member.id != row.member
    ][:MAX_READERS]
    readers = [id for id, _ in moderators if id != author]
    if not readers:
        raise NotNow("Nobody else moderates this group", hint="`p2pchat group members CHAT` lists who does.")
    sealed = reports.seal(row.group_id, row.member, Reported(message.id, author, reason), moderators, tx.random)
    outbound.queue(tx, contact, Report(sealed.ephemeral, sealed.boxes))
    outbound.nudge(tx, contact)
    lines.say(tx, row, row.member, f"You reported {_what(tx, row, author, message)}{_why(reason)}", message.id)
    return len(readers)


def _opened(tx: Transaction, row: GroupRow, by: MemberId, sealed: SealedReport) -> Reported | None:
    """Return what a report says, sealed to our keys or to those before them, which its author may still have had; None
    if it is for others, or damaged by its author, who alone could.
    """
    for leaf_seed in (row.leaf_seed, *(earlier for earlier, _ in store_leaves.of(tx.db, row.chat))):
        with suppress(CannotOpen):
            return reports.open_report(row.group_id, by, row.member, leaf_seed, sealed)
    return None


def _what(tx: Transaction, row: GroupRow, author: MemberId, message: MessageRow | None) -> str:
    """Return which message is meant. One that disappears is not quoted: the line would outlive it."""
    name = store_members.shown_name(tx.db, row.chat, author)
    stays = message is not None and message.deleted_at is None and not message.expire_s
    text = clean_name(message.text, None) if message is not None and stays else ""
    if not text:
        return f"a message of {name} to those who moderate the group"
    cut = f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text
    return f"a message of {name}, “{cut}”, to those who moderate the group"


def _why(reason: str) -> str:
    return f": {clean_name(reason, None)}" if clean_name(reason, None) else "."
