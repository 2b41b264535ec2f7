"""Invites to groups: whoever has the text of one can become a member, perhaps only if somebody lets them.

make      an invite that leads to a group, with its limits
asked     somebody uses it: they are offered to join, as a contact would be
requests  those about whom somebody has to decide, and the decision
tidy      those who were known for joining alone are forgotten
"""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.codec import decode
from p2pchat.core.contents import GroupAsk, GroupJoin
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import NAME
from p2pchat.core.ids import ContactId, first_device
from p2pchat.core.invite import GROUP, invite_mark
from p2pchat.core.primitives import equal
from p2pchat.core.text import clean_name
from p2pchat.engine.contacts import contacts, invites
from p2pchat.engine.groups import history, joining, permission
from p2pchat.engine.groups.pairwise import MAX_PAIRWISE
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.lib.english import with_article
from p2pchat.lib.times import DAY_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import links as store_links
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.links import MAX_REQUESTS, GroupInviteRow, JoinRequestRow
from p2pchat.store.invites import InviteRow

MAX_NAME_BYTES = 32
"""Bytes of a group's name in an invite."""
MAX_ANSWER_BYTES = 4096
MAX_USES = 5_000
ANSWER_MS = 7 * DAY_MS
"""How long whoever uses an invite has to answer our offer: those who do not would keep others out."""
DECIDE_MS = 30 * DAY_MS
"""How long somebody can be let in who asked."""
KEEP_MS = DAY_MS
"""How long somebody is kept who was known for joining alone, once there is nothing to do for it any more."""


class JoinRequest(NamedTuple):
    """Somebody about whom a member has to decide. name: the one that they chose for the group. via: the label of the
    invite, or what its id begins with. at: in ms.
    """

    contact: ContactId
    name: str
    words: str
    at: int
    via: str


def make(
    tx: Transaction,
    row: GroupRow,
    *,
    expires_s: int,
    uses: int | None,
    ask: bool,
    role: Role,
    hidden: bool = False,
) -> InviteRow:
    """Make an invite to a group, good for so many seconds and newcomers. hidden: it does not say where our node is.
    Raises NotNow and UsageError.
    """
    permission.check_admits(tx.db, row.chat, history.log_of(tx, row.chat).state, row.member, "can make invites")
    if not Role(row.role).is_senior_to(role):
        raise NotNow(f"You cannot make anybody {with_article(role.name.lower())} of this group")
    if uses is not None and not 1 <= uses <= MAX_USES:
        raise UsageError(f"An invite can be used 1 to {MAX_USES:,} times")
    name = clean_name(NAME.read(history.log_of(tx, row.chat).state.settings))
    while len(name.encode()) > MAX_NAME_BYTES:
        name = name[:-1]
    made = invites.make(tx, reusable=True, ask=False, expires_s=expires_s, hidden=hidden, label=name, group=name)
    store_links.add(tx.db, GroupInviteRow(made.id, row.chat, int(role), ask, uses))
    return made


def asked(tx: Transaction, contact: Contact, payload: GroupAsk) -> None:
    """Offer to join to somebody who uses an open invite to a group. Any other is not answered."""
    invite = _open(tx, payload.mark)
    leads = None if invite is None else store_links.get(tx.db, invite.id)
    row = None if leads is None else store_groups.present(tx.db, leads.chat)
    if invite is None or leads is None or row is None or leads.is_used_up or row.role > Role.ADMIN:
        return
    if contact.identity is not None and store_invites.was_declined(tx.db, invite.id, contact.identity):
        return
    if store_members.of_contact_in(tx.db, row.chat, contact.id):
        return
    known = store_links.request(tx.db, row.chat, contact.id)
    if known is None and len(store_links.requests(tx.db, row.chat)) >= MAX_REQUESTS:
        return
    if known is None:
        store_links.ask(tx.db, JoinRequestRow(row.chat, contact.id, invite.id, None, tx.now))
    joining.offer(tx, row, contact, Role(leads.role), asks=leads.ask)


def _open(tx: Transaction, mark: bytes) -> InviteRow | None:
    for row in store_invites.open_invites(tx.db):
        if row.kind == GROUP and row.expires_at > tx.now and equal(invite_mark(row.hello), mark):
            return row
    return None


def requests(tx: Transaction, row: GroupRow) -> list[JoinRequest]:
    """Return those about whom somebody has to decide, the first one first. Raises NotAllowed, if it is not for us."""
    permission.check_admits(tx.db, row.chat, history.log_of(tx, row.chat).state, row.member, "can decide who joins")
    found = []
    for request in store_links.requests(tx.db, row.chat):
        answer, invite = _answer(request), store_invites.get(tx.db, request.invite)
        via = request.invite.hex()[:4] if invite is None else invite.label or invite.id.hex()[:4]
        found.append(
            JoinRequest(request.contact, clean_name(answer.keys.name) or "nameless", answer.words, request.at, via)
        )
    return found


def answer(tx: Transaction, row: GroupRow, id: ContactId, *, accept: bool) -> None:
    """Let somebody join who asked, or do not; they are not told then. Raises NotNow."""
    request, contact = store_links.request(tx.db, row.chat, id), tx.contact(id)
    if request is None or request.answer is None or contact is None:
        raise NotNow(
            "Nobody with that id asks to join this group", hint="`p2pchat group requests CHAT` lists who does."
        )
    if accept:
        joining.add(tx, row, [(contact, _answer(request).keys)])
        return
    store_links.answered(tx.db, row.chat, id)
    if contact.identity is not None:
        store_invites.decline(tx.db, request.invite, contact.identity, MAX_REQUESTS)
    tx.groups_changed[row.chat] = None


def _answer(request: JoinRequestRow) -> GroupJoin:
    assert request.answer is not None
    return GroupJoin.decode(decode(request.answer, MAX_ANSWER_BYTES))


def tidy(tx: Transaction) -> None:
    """Forget those who were known for joining alone, a day after there is nothing to do for it any more. In a small
    group they stay as long as they and we are members, and a day longer: items travel between us, also one that says
    that our removal does not count. Those whom we ask to let us in stay until they have decided.
    """
    store_links.forget_old(tx.db, tx.passed - ANSWER_MS, tx.passed - DECIDE_MS)
    store_joins.expire(tx.db, tx.passed - joining.WAIT_MS)
    for id in store_contacts.for_groups(tx.db):
        contact = tx.contact(id)
        if contact is None or contact.state != ContactState.CONTACT or contact.created_at > tx.passed - KEEP_MS:
            continue
        if store_joins.waits(tx.db, id) or store_links.asks(tx.db, id):
            continue
        if store_outbox.has_waiting(tx.db, first_device(id)):
            continue
        if not store_members.carries(tx.db, id, MAX_PAIRWISE, tx.passed - KEEP_MS):
            contacts.remove(tx, contact)
