"""Becoming a member of a group of a contact's, without a question: contacts add contacts.

offer     we would add a contact: what group it is
join      the contact's node answers with keys that it made for the group
welcome   we have added it: the secret of its first epoch, and the log, which it verifies from the beginning
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from p2pchat.core.codec import encode
from p2pchat.core.contents import GroupJoin, GroupMember, GroupOffer, GroupRefusal, GroupWelcome
from p2pchat.core.contents.group_refusal import JoinRefusal
from p2pchat.core.groups import epochs, events, upkeep, welcome
from p2pchat.core.groups.epochs import MAX_MEMBERS, LeafKeys
from p2pchat.core.groups.events import GroupEvent, Newcomer
from p2pchat.core.groups.membership import LogAnswer, MembershipLog, MemberStanding
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.groups.settings import NAME
from p2pchat.core.groups.welcome import JoinKeys, Welcome
from p2pchat.core.ids import ChatId, ContactId, EventId, GroupId, InviteId, MemberId
from p2pchat.core.invite import decode_invite
from p2pchat.core.primitives import KemKey, sign_public
from p2pchat.core.session import standing_root
from p2pchat.core.text import clean_name
from p2pchat.engine.contacts import revoking
from p2pchat.engine.contents import group_meet
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import adopting, changes, history, notices, past, welcoming
from p2pchat.engine.groups.adopting import NAMELESS_GROUP
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import facts, meta, partners
from p2pchat.store import invites as store_invites
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.facts import Fact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import links as store_links
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.joins import JoinRow
from p2pchat.store.invites import InviteState

log = logging.getLogger(__name__)
MAX_EFFORT = 20_000_000
"""Half a minute of reading a log (`MembershipLog.effort`): hundreds of events that were made apart, after ten
thousand.
"""
ASKED, JOINED = b"", b"joined"
"""Values of `Fact.GROUP_ASKED`: an invite is being used, or has led to a group."""
MAX_OFFERS_A_DAY = 32
"""Groups of one contact that we become a member of in a day, without a question."""
SAME_KEYS_MS = HOUR_MS
"""How long keys that were made for a group are those for other contacts who would add us to it: their offers come
together if we were away. Later new ones are made, since somebody may have removed the first from the group.
"""
MAX_REFUSALS_A_DAY = 8
"""Groups of one contact of which the user is told in a day that they cannot join."""
WAIT_MS = 60 * DAY_MS
"""How long we wait to be let into a group, from when its admin was sent our keys, which can take a month to come."""
MAX_ANNOUNCED = 256
"""Members of a group up to which a new one looks for contacts there."""


class AwaitedGroup(NamedTuple):
    """A group that we ask to join by an invite, since `at` (ms)."""

    name: str
    at: int


def awaited(db: Database) -> list[AwaitedGroup]:
    """Return the groups that have to let us in yet, the first one first: also those whose admins know nothing of it
    because our first message is on its way.
    """
    found = [AwaitedGroup(name or NAMELESS_GROUP, at) for name, at in store_joins.asked(db)]
    for id in store_contacts.for_groups(db):
        contact = store_contacts.get(db, id)
        if contact is not None and contact.state == ContactState.WAITING and contact.invite is not None:
            name = clean_name(decode_invite(contact.invite).name or "") or NAMELESS_GROUP
            found.append(AwaitedGroup(name, contact.created_at))
    return sorted(found, key=lambda group: group.at)


def own_name(tx: Transaction) -> str:
    """Return the name by which we are known in a new group: that of the profile, as far as it fits."""
    name = (meta.get(tx.db, "name") or b"").decode()
    while len(name.encode()) > welcome.MAX_NAME:
        name = name[:-1]
    return name


def check_addable(contact: Contact) -> None:
    """Raise NotNow for somebody who cannot be added to a group."""
    if contact.state != ContactState.CONTACT:
        raise NotNow(f"{contact.name} is not a contact", hint="Accept or add them first.")


def offer(tx: Transaction, row: GroupRow, contact: Contact, role: Role = Role.MEMBER, *, asks: bool = False) -> None:
    """Ask a contact's node for the keys with which we add it. asks: somebody decides then."""
    store_joins.offer(tx.db, row.chat, contact.id, int(role), tx.now)
    members = store_members.count(tx.db, row.chat)
    name = NAME.read(history.log_of(tx, row.chat).state.settings)
    outbound.queue(tx, contact, GroupOffer(row.group_id, name, int(role), asks, members))
    outbound.nudge(tx, contact)


def offered(tx: Transaction, contact: Contact, payload: GroupOffer) -> None:
    """Answer a contact who would add us to a group, with keys made for it; with the same ones each time."""
    pair = _pair(tx, contact)
    if pair is None or store_groups.present_of(tx.db, payload.group) is not None or not _expects(tx, contact, payload):
        return
    kept = store_joins.get(tx.db, payload.group, contact.id)
    if kept is None:
        day, offers = tx.memory.offers.get(contact.id, (0, 0))
        offers = offers if day == tx.now // DAY_MS else 0
        if offers >= MAX_OFFERS_A_DAY:
            log.info("a contact would add us to more groups than may be in a day")
            return
        tx.memory.offers[contact.id] = tx.now // DAY_MS, offers + 1
        kept = _keys_for(tx, contact, payload)
        store_joins.add(tx.db, kept)
    leaf = _leaf(kept).leaf
    keys = welcome.make_join_keys(payload.group, kept.sign_seed, leaf, own_name(tx), pair)
    words = (facts.get(tx.db, contact.id, Fact.GROUP_WORDS) or b"").decode() if payload.asks else ""
    outbound.queue(tx, contact, GroupJoin(payload.group, keys, words))
    outbound.nudge(tx, contact)


def _keys_for(tx: Transaction, contact: Contact, payload: GroupOffer) -> JoinRow:
    """Return keys for a group to which a contact would add us: those of an answer to another contact which has just
    been sent. Whoever is added by two with two keys would be two members, and one of them nobody.
    """
    last = store_joins.newest(tx.db, payload.group)
    if last is not None and tx.recent(last.at, SAME_KEYS_MS):
        return last._replace(contact=contact.id, name=clean_name(payload.name))
    sign_seed, leaf_seed, kem_seed = changes.new_seeds(tx)
    # nothing is sealed to it in a larger group, whose log everybody who joins is sent
    kem = kem_seed if payload.members < epochs.MAX_KEM_MEMBERS else None
    return JoinRow(payload.group, contact.id, sign_seed, leaf_seed, kem, clean_name(payload.name), tx.now)


def _expects(tx: Transaction, contact: Contact, payload: GroupOffer) -> bool:
    """Return whether an offer is one that we answer: any of a contact's; of somebody who is known for a group alone,
    that to a group whose invite we have used, or to one that takes the place of a group in which we both are.
    """
    asked = facts.get(tx.db, contact.id, Fact.GROUP_ASKED)
    if not contact.for_group or asked == ASKED:
        return True
    shared = [chat for chat, _ in store_members.chats_with(tx.db, contact.id)]
    successors = [history.log_of(tx, chat).state.successor for chat in shared]
    if any(successor is not None and successor[0] == payload.group for successor in successors):
        return True
    ours = contact.invite_id is not None and store_invites.get(tx.db, contact.invite_id) is not None
    return not ours and not shared and asked is None


def answered(tx: Transaction, joins: list[tuple[Contact, GroupJoin]]) -> None:
    """Add contacts who answered our offers, all of one group in one event."""
    by_group: dict[GroupId, dict[ContactId, tuple[Contact, JoinKeys]]] = {}
    uses = Counter[InviteId]()
    for contact, payload in joins:
        answers = by_group.setdefault(payload.group, {})
        if contact.id not in answers and _waits(tx, contact, payload, uses):
            continue
        answers[contact.id] = contact, payload.keys
    for group, answers in by_group.items():
        row = store_groups.of_group(tx.db, group)
        if row is not None:
            add(tx, row, list(answers.values()))


def _waits(tx: Transaction, contact: Contact, payload: GroupJoin, uses: Counter[InviteId]) -> bool:
    """Return whether somebody has to decide about a newcomer first, or there is no room: nothing is to be done now.
    uses: how many are about to become members by each invite.
    """
    row = store_groups.of_group(tx.db, payload.group)
    request = None if row is None else store_links.request(tx.db, row.chat, contact.id)
    leads = None if request is None else store_links.get(tx.db, request.invite)
    if row is None or request is None or leads is None:
        return False
    invite = store_invites.get(tx.db, request.invite)
    if invite is None or invite.revoked_at is not None or leads._replace(uses=leads.uses + uses[invite.id]).is_used_up:
        _too_late(tx, row, contact.id)
        return True
    if leads.ask:
        store_links.ask(tx.db, request._replace(answer=encode(payload.encode()), at=tx.now))
        tx.groups_changed[row.chat] = None
        return True
    uses[invite.id] += 1
    return False


def add(tx: Transaction, row: GroupRow, answers: list[tuple[Contact, JoinKeys]]) -> None:
    """Add those to whom we have made an offer, and welcome them. Those whose keys are not valid are passed over, and
    those for whom there is no room are told so.
    """
    known = history.log_of(tx, row.chat)
    members = known.state.members
    new: dict[MemberId, tuple[Contact, Newcomer]] = {}
    for contact, keys in answers:
        role, pair = store_joins.offered(tx.db, row.chat, contact.id), _pair(tx, contact)
        id = member_id(keys.sign)
        if role is None or pair is None or id in members:
            continue
        try:
            welcome.check_join_keys(row.group_id, keys, pair)
        except CannotOpen:
            log.info("the keys of somebody who was to be added to a group are not valid")
            continue
        again, full = known.member_standing(id) is not MemberStanding.NEVER, len(members) + len(new) >= MAX_MEMBERS
        if again or full:  # nobody returns with keys from before; with the welcome they would read, and be no member
            _refuse(tx, row, contact, JoinRefusal.DECLINED if again else JoinRefusal.FULL)
            store_joins.offer_ended(tx.db, row.chat, contact.id)
            store_links.answered(tx.db, row.chat, contact.id)
            continue
        new[id] = contact, Newcomer(keys.sign, keys.leaf, keys.kem, Role(role), keys.name)
    for newcomers in upkeep.batches(newcomer for _, newcomer in new.values()):
        _add_some(tx, row, [new[newcomer.id] for newcomer in newcomers])


def _add_some(tx: Transaction, row: GroupRow, new: list[tuple[Contact, Newcomer]]) -> None:
    """Add as many as one event may, or tell them that it cannot be done."""
    try:
        if not welcoming.can_send(tx, row):
            raise NotNow(changes.NO_ROOM)
        event, secret = changes.add(tx, store_groups.get(tx.db, row.chat) or row, [newcomer for _, newcomer in new])
    except NotNow:  # our role was taken from us since, the keys are being renewed, or its log is too long
        for contact, _ in new:
            _refuse(tx, row, contact, JoinRefusal.NOT_NOW)
        return
    for contact, newcomer in new:
        store_joins.offer_ended(tx.db, row.chat, contact.id)
        _count_use(tx, row, contact)
        store_members.is_contact(tx.db, row.chat, newcomer.id, contact.id)
        welcoming.send(tx, row, contact, newcomer.id, event.id, secret)
        past.send(tx, row, contact)


def _refuse(tx: Transaction, row: GroupRow, contact: Contact, reason: JoinRefusal) -> None:
    outbound.queue(tx, contact, GroupRefusal(row.group_id, reason))
    outbound.nudge(tx, contact)


def _too_late(tx: Transaction, row: GroupRow, contact_id: ContactId) -> None:
    contact = tx.contact(contact_id)
    if contact is not None:
        _refuse(tx, row, contact, JoinRefusal.CLOSED)
    store_links.answered(tx.db, row.chat, contact_id)


def _count_use(tx: Transaction, row: GroupRow, contact: Contact) -> None:
    request = store_links.request(tx.db, row.chat, contact.id)
    if request is not None:
        store_links.used(tx.db, request.invite)
        store_links.answered(tx.db, row.chat, contact.id)
        leads, invite = store_links.get(tx.db, request.invite), store_invites.get(tx.db, request.invite)
        if leads is not None and leads.is_used_up and invite is not None and invite.state == InviteState.OPEN:
            revoking.end(tx, invite)
            for late in store_links.by(tx.db, invite.id):
                _too_late(tx, row, late)


def refused(tx: Transaction, contact: Contact, payload: GroupRefusal) -> None:
    """Tell the user that they do not become a member of a group by this contact: once a day for a group, and of a few
    groups, so that nobody fills the screen with refusals. By other contacts they still may.
    """
    kept = store_joins.get(tx.db, payload.group, contact.id)
    if kept is None:
        return
    if payload.reason != JoinRefusal.NOT_NOW:  # otherwise the same keys may be used yet
        store_joins.ended(tx.db, payload.group, contact.id)
    times = tx.memory.join_refused
    told = [group for (by, group), at in times.items() if by == contact.id and tx.recent(at, DAY_MS)]
    if payload.group in told or len(told) >= MAX_REFUSALS_A_DAY:
        return
    for outdated in [key for key, at in times.items() if not tx.recent(at, DAY_MS)]:
        del times[outdated]
    times[contact.id, payload.group] = tx.now
    why = _REFUSALS.get(payload.reason, "you were declined")
    tx.event("node", warning=f"You cannot join {kept.name or NAMELESS_GROUP}: {why}.")


_REFUSALS = {
    JoinRefusal.CLOSED.value: "the invite has been used up",
    JoinRefusal.FULL.value: "the group is full",
    JoinRefusal.NOT_NOW.value: "it cannot be done now",
}


def welcomed(tx: Transaction, contact: Contact, payload: GroupWelcome) -> ChatId | None:
    """Keep a part of a welcome; with the last one, become a member, or take the newest keys if we are one, and return
    the chat. What does not verify changes nothing.
    """
    whole = store_items.keep_part(tx.db, contact.id, payload.part, tx.now)
    if whole is None:
        return None
    try:
        opened = welcome.open_welcome(whole)
        row = store_groups.of_group(tx.db, opened.group)
        if row is not None and store_groups.present(tx.db, row.chat) is not None:
            _take_keys(tx, row, opened)
            return row.chat
        return _join(tx, contact, opened)
    except CannotOpen:
        log.info("a welcome to a group is not valid")
        return None


def _join(tx: Transaction, contact: Contact, opened: Welcome) -> ChatId:
    """Become a member, if the log says that we are. Raises CannotOpen, with nothing changed."""
    kept = store_joins.get(tx.db, opened.group, contact.id)
    if kept is None:
        raise CannotOpen
    former = store_groups.of_group(tx.db, opened.group)  # who comes back may know more than the welcome says
    known, told = _read_log(tx, contact, opened, None if former is None else former.chat)
    me = known.state.members.get(member_id(sign_public(kept.sign_seed)))
    if me is None or me.leaf != _leaf(kept).leaf.key:
        raise CannotOpen
    epoch = _epoch_event(known, told.get(EventId(opened.epoch)), opened, me.id)
    row = GroupRow(
        chat=ChatId(tx.random(changes.CHAT_ID_BYTES)) if former is None else former.chat,
        group_id=opened.group,
        member=me.id,
        sign_seed=kept.sign_seed,
        leaf_seed=kept.leaf_seed,
        kem_seed=kept.kem_seed,
        name=me.name,
        role=int(me.role),
        settings=b"\x90",
        heads=b"",
        epoch=None,
        joined_at=tx.now,
    )
    changes.begin(tx, row, clean_name(NAME.read(known.state.settings)) or NAMELESS_GROUP, list(told.values()))
    tx.memory.logs[row.chat] = known
    adopting.adopt(tx, row, epoch, opened.secret)
    adopting.settle(tx, row.chat)
    if me.added_by in known.state.members:
        store_members.is_contact(tx.db, row.chat, me.added_by, contact.id)
    store_joins.ended(tx.db, opened.group)
    facts.put(tx.db, contact.id, Fact.GROUP_ASKED, JOINED)
    if me.added_in in told:
        notices.tell(tx, row, told[me.added_in])
    group = partners.of(tx.db, row.chat)
    if group is not None and len(known.state.members) <= MAX_ANNOUNCED:
        group_meet.announce(tx, row, group)
    return row.chat


def _take_keys(tx: Transaction, row: GroupRow, opened: Welcome) -> None:
    """Take the events of a welcome that we lack, each of which proves itself, and then the secret of an epoch that we
    could not compute; not one of an epoch before those that we have, whose keys were deleted. What is here already is
    not verified again. Raises CannotOpen if there is no secret for us.
    """
    known = history.log_of(tx, row.chat)
    most = known.effort + MAX_EFFORT
    for raw in opened.log:
        with suppress(CannotOpen):
            adopting.take(tx, row, events.decode_unverified(raw))
        if known.effort > most:
            raise CannotOpen
    if row.member not in known.state.members:
        raise CannotOpen
    kept = store_events.get(tx.db, row.chat, EventId(opened.epoch))
    epoch = _epoch_event(known, None if kept is None else events.decode_verified(kept), opened, row.member)
    held = [EventId(kept.id) for kept in store_epochs.of(tx.db, row.chat)]
    if not known.knew(held, epoch.id):
        adopting.adopt(tx, row, epoch, opened.secret)
        adopting.follow_on(tx, row, epoch)
    adopting.settle(tx, row.chat)


def _read_log(
    tx: Transaction, contact: Contact, opened: Welcome, chat: ChatId | None = None
) -> tuple[MembershipLog, dict[EventId, GroupEvent]]:
    """Return the log of a welcome, and its events, parents first. chat: of a group in which we were before, whose log
    is read with it. Raises CannotOpen where the logs of a contact would keep us busy for too long in a day: anybody can
    make up a group.
    """
    known, told = MembershipLog(opened.group), dict[EventId, GroupEvent]()
    if chat is not None:
        known.restore(event.event for event in store_events.all(tx.db, chat))
    day, spent = tx.memory.log_effort.get(contact.id, (0, 0))
    spent = spent if day == tx.now // DAY_MS else 0
    for raw in opened.log:
        result = known.add(raw)
        told |= {event.id: event for event in result.taken}
        if result.answer is LogAnswer.KNOWN and result.event is not None:
            told.setdefault(result.event.id, result.event)
        tx.memory.log_effort[contact.id] = tx.now // DAY_MS, spent + known.effort
        if spent + known.effort > MAX_EFFORT:
            log.info("the logs of groups of a contact take too long to read")
            raise CannotOpen
    return known, told


def _epoch_event(known: MembershipLog, event: GroupEvent | None, opened: Welcome, me: MemberId) -> GroupEvent:
    """Return the event that made the epoch of a welcome, None if that is not here, if it commits to the secret. Raises
    CannotOpen.
    """
    if event is None or event.confirm is None or me not in known.members_at(event.id):
        raise CannotOpen
    epochs.check_confirmation(opened.secret, event.confirm)
    return event


def introduced(tx: Transaction, contact: Contact, payload: GroupMember) -> ChatId | None:
    """Note which member of a group a contact is, if they prove it; return its chat then."""
    row = store_groups.of_group(tx.db, payload.group)
    member = None if row is None else store_members.get(tx.db, row.chat, payload.member)
    pair = _pair(tx, contact)
    if row is None or member is None or pair is None:
        return None
    try:
        welcome.check_member(row.group_id, member.sign, pair, payload.proof)
    except CannotOpen:
        return None
    store_members.is_contact(tx.db, row.chat, member.id, contact.id)
    tx.groups_changed[row.chat] = None
    return row.chat


def _pair(tx: Transaction, contact: Contact) -> bytes | None:
    """Return the standing root that only we and a contact have; None while we do not know their keys."""
    if contact.identity is None or contact.device is None:
        return None
    return standing_root(tx.me, contact.identity, contact.device)


def _leaf(kept: JoinRow) -> LeafKeys:
    kem = None if kept.kem_seed is None else KemKey(kept.kem_seed)
    return LeafKeys(member_id(sign_public(kept.sign_seed)), kept.leaf_seed, kem)
