"""Messages of a group that are known of and have not arrived: noticed, shown, asked for, and given up.

They are known of because a later message of their author is here, or because a member names them. Mostly they are under
way, so for a minute nothing is done. Then members who are contacts are asked, one after the other; in a large group all
logs are read meanwhile. An answer is an item like any other, and proves itself. After a day nobody is asked any more:
whoever names what does not exist causes a few questions and one line.
"""

from __future__ import annotations

from p2pchat.core.contents import GroupItem, GroupWant
from p2pchat.core.contents.group_item import MAX_KNOWN
from p2pchat.core.contents.group_want import MAX_WANTED, MessagePlace
from p2pchat.core.groups import items
from p2pchat.core.groups.chains import COPY_JUMP, MAX_JUMP, Chain
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.groups.messages import SeenMessage
from p2pchat.core.ids import ChatId, ContactId, MemberId, sender_of
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import carriage, logs, notices, reach
from p2pchat.engine.groups.logs import GroupWay
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import gaps as store_gaps
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import transcript as store_transcript
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.gaps import MissingMessage
from p2pchat.store.groups.groups import GroupRow

FIRST_ASK_MS = MINUTE_MS
SHOW_MS = 2 * MINUTE_MS
PAUSES_MS = (2 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS)
"""Times until the next member is asked; the last one comes again."""
GIVE_UP_MS = DAY_MS
MIN_ASKED = 3
"""How many are asked before a message is given up, where there is anybody; the machine may have slept."""
MAX_OF_AUTHOR = 64
"""Messages of one author in an epoch that are asked for, the newest of each time that some are missing."""
LEFT_OUT = COPY_JUMP // 2
"""From how many missing messages of one author on it is said that their node may have been started from a copy: it left
out `COPY_JUMP`, counted from what the copy had, and the newest of these were there.
"""
MAX_NAMED = 8
"""Messages in an epoch that one member can have us ask for."""
MAX_ANSWERED_BYTES = 2**20
"""What one member is sent of a group in an hour, at their request."""


def skipped(tx: Transaction, row: GroupRow, epoch: EpochRow, member: MemberId, missing: range) -> None:
    """Note that messages of a member, those with these numbers, are missing before one that is here: the newest have a
    row each, and the oldest of these stands for all others.
    """
    room = max(0, MAX_OF_AUTHOR - store_gaps.count(tx.db, epoch.pk, member, None))
    if not room:
        store_gaps.widen(tx.db, epoch.pk, member, missing[-1], len(missing))
    elif missing:
        noted = missing[-room:]
        _note(tx, row.chat, epoch.pk, member, noted[0], None, 1 + len(missing) - len(noted))
        for number in noted[1:]:
            _note(tx, row.chat, epoch.pk, member, number, None)


def named(tx: Transaction, row: GroupRow, epoch: int, seen: SeenMessage, by: MemberId, chain: Chain | None) -> None:
    """Note that a message is missing that a member names, if it can be one that we have not read. epoch: its pk. chain:
    of its author.
    """
    if chain is None or seen.number - chain.next >= MAX_JUMP:
        return
    if seen.number < chain.next and store_epochs.skipped(tx.db, epoch, seen.member, seen.number) is None:
        return
    if store_gaps.count(tx.db, epoch, seen.member, by) < MAX_NAMED:
        _note(tx, row.chat, epoch, seen.member, seen.number, by)


def arrived(tx: Transaction, row: GroupRow, epoch: EpochRow, member: MemberId, number: int) -> bool:
    """Note that a message is here, also one that was given up; return whether another one named it before."""
    gap = store_gaps.arrived(tx.db, epoch.pk, member, number, tx.now)
    if gap is not None and gap.notice is not None:
        _reword(tx, row, gap.notice)
    return gap is not None and gap.named_by is not None


def begin(tx: Transaction) -> None:
    """After a start, know in which groups messages are missing."""
    tx.memory.gaps.update(dict.fromkeys(store_gaps.chats(tx.db)))


def check_all(tx: Transaction) -> None:
    """Show, ask for and give up what is missing, where it is time for that."""
    for chat in list(tx.memory.gaps):
        _check(tx, chat)


def wanted(tx: Transaction, contact: Contact, payload: GroupWant) -> None:
    """Send a member the messages that they ask for, as far as they are kept here and were meant for them."""
    row = store_groups.present_of(tx.db, payload.group)
    if row is None:
        return
    for member in store_members.of_contact_in(tx.db, row.chat, contact.id):
        for place in dict.fromkeys(payload.places):
            epoch = store_epochs.get(tx.db, row.chat, place.epoch)
            if epoch is None or store_epochs.chain(tx.db, epoch.pk, member) is None:
                continue
            body = store_transcript.body(tx.db, epoch.pk, place.member, place.number)
            if body is not None and not _send(tx, row, contact, member, epoch, MessageItem(*place[1:], body)):
                break
        outbound.nudge(tx, contact)


def _note(
    tx: Transaction, chat: ChatId, epoch: int, member: MemberId, number: int, by: MemberId | None, messages: int = 1
) -> None:
    store_gaps.add(tx.db, epoch, member, number, by, tx.now, tx.now + FIRST_ASK_MS, messages)
    if chat not in tx.memory.gaps:
        tx.memory.gaps[chat] = None
        tx.group_work = tx.group_logs_changed = True


def _check(tx: Transaction, chat: ChatId) -> None:
    row = store_groups.present(tx.db, chat)
    missing = [] if row is None else store_gaps.missing(tx.db, chat)
    if row is None or not missing:
        del tx.memory.gaps[chat]
        tx.group_logs_changed = True
        return
    told, contacts = dict[int, None](), reach.within(tx, row.chat)
    for gap in missing:
        asked = gap.asked >= MIN_ASKED or not contacts
        over = asked and not tx.recent(gap.since, GIVE_UP_MS)
        if over or store_epochs.chain(tx.db, gap.epoch, gap.member) is None:  # its author is no member any more
            store_gaps.give_up(tx.db, gap)
            told |= {} if gap.notice is None else {gap.notice: None}
    told |= dict.fromkeys(_show(tx, row))
    _ask(tx, row)
    for notice in told:
        _reword(tx, row, notice)


def _show(tx: Transaction, row: GroupRow) -> list[int]:
    """Give what has been missing for a while a line in the chat, one for each author; return those that tell more."""
    told, lines = dict[MemberId, int](), list[int]()
    missing = store_gaps.missing(tx.db, row.chat)
    for gap in missing:
        if gap.notice is not None:
            told[gap.member] = gap.notice
    for gap in missing:
        if gap.notice is None and not tx.recent(gap.since, SHOW_MS):
            if gap.member not in told:
                made = notices.say(tx, row, gap.member, _sentence(tx, row, [gap]))
                if made is None:
                    continue
                told[gap.member] = made
            store_gaps.told(tx.db, gap, told[gap.member])
            lines.append(told[gap.member])
    return lines


def _ask(tx: Transaction, row: GroupRow) -> None:
    """Ask a member for each message that is due: those with a link first, of these who names it, and its author."""
    contacts = reach.within(tx, row.chat)
    asking = dict[ContactId, list[MessagePlace]]()
    for gap in store_gaps.to_ask(tx.db, row.chat, tx.now, PAUSES_MS[-1], MAX_WANTED):
        epoch = store_epochs.by_pk(tx.db, gap.epoch)
        known = [member for member in contacts if store_epochs.chain(tx.db, gap.epoch, member) is not None]
        better = (gap.named_by, gap.member)
        order = sorted(known, key=lambda member: (tx.net.route(contacts[member].id) is None, member not in better))
        if order and epoch is not None:
            places = asking.setdefault(contacts[order[gap.asked % len(order)]].id, [])
            places.append(MessagePlace(epoch.id, gap.member, gap.number))
        pause = PAUSES_MS[min(gap.asked, len(PAUSES_MS) - 1)]
        store_gaps.asked(tx.db, gap, gap.asked + bool(order), tx.now + pause)
    for id, places in asking.items():
        contact = tx.contact(id)
        assert contact is not None
        outbound.queue(tx, contact, GroupWant(row.group_id, tuple(places)))
        outbound.nudge(tx, contact)


def _send(
    tx: Transaction, row: GroupRow, contact: Contact, member: MemberId, epoch: EpochRow, item: MessageItem
) -> bool:
    """Seal a message again for one member, who is a contact; return False if they had enough in this hour. It names
    members as having it, so that it is not passed on to all: whoever they are, since who of them our contacts are is
    nobody's business.
    """
    sealed = items.seal_items(item, epoch.id, carriage.secrets_of(epoch), items.SIZES[0], tx.random)
    if not _has_room(tx, row.chat, member, sum(map(len, sealed))):
        return False
    known = tuple(store_members.first(tx.db, row.chat, MAX_KNOWN))
    for part in sealed:
        outbound.queue(tx, contact, GroupItem(row.group_id, part, known))
    return True


def _has_room(tx: Transaction, chat: ChatId, member: MemberId, size: int) -> bool:
    """Return whether a member may be sent so many bytes more in this hour, and count them."""
    hour, sent = tx.memory.gap_bytes.get((chat, member), (0, 0))
    if hour != tx.now // HOUR_MS:
        sent = 0
    if sent + size > MAX_ANSWERED_BYTES:
        return False
    tx.memory.gap_bytes[chat, member] = (tx.now // HOUR_MS, sent + size)
    return True


def _reword(tx: Transaction, row: GroupRow, notice: int) -> None:
    """Have the line in the chat say what is missing now."""
    line = store_messages.by_pk(tx.db, notice)
    if line is not None:
        about = store_gaps.of_notice(tx.db, notice)
        name = store_members.names(tx.db, row.chat, [line.sender])[line.sender]
        sentence = _sentence(tx, row, about) if about else f"All messages of {name} that were missing have arrived."
        notices.reword(tx, row, line, sentence)


def _sentence(tx: Transaction, row: GroupRow, gaps: list[MissingMessage]) -> str:
    """Return what is missing of one author, and what is done about it."""
    missing = [gap for gap in gaps if not gap.given_up] or gaps
    number = sum(gap.messages for gap in missing)
    one = number == 1
    ids = {sender_of(member) for gap in missing for member in (gap.member, gap.named_by) if member is not None}
    names = store_members.names(tx.db, row.chat, ids)
    author = names[sender_of(missing[0].member)]
    what = f"{number:,} message{'' if one else 's'} of {author}"
    them = "it" if one else "them"
    by = {gap.named_by for gap in missing}
    (seen_by,) = by if len(by) == 1 else (None,)
    seen = "" if seen_by is None else f", which {names[sender_of(seen_by)]} has seen"
    copied = f", unless {author}'s node was started from a copy and left them out" if number >= LEFT_OUT else ""
    if missing[0].given_up:
        asked = "nobody who was asked has" if any(gap.asked for gap in missing) else "there was nobody to ask for"
        return f"{what}{seen}{',' if seen else ''} did not arrive, and {asked} {them}{copied}."
    verb = f"{what}{seen}{',' if seen else ''} {'has' if one else 'have'} not arrived{copied}."
    if reach.within(tx, row.chat):
        return f"{verb} Members who are your contacts are asked for {them}."
    if logs.way_of(tx, row, group_rules.settings_of(row)) is not GroupWay.CONTACTS:
        return f"{verb} The group's relays are read for {them}."
    return f"{verb} You know no member who could be asked for {them}."
