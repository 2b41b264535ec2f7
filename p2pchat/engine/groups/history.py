"""The membership logs of groups, as values: read when something about one is asked, and kept while the node runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from p2pchat.core.groups import events
from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.groups.membership import LogAnswer, MembershipLog
from p2pchat.core.groups.state import Member
from p2pchat.core.ids import ChatId, EpochId, MemberId
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups


def log_of(tx: Transaction, chat: ChatId) -> MembershipLog:
    """Return the membership log of a group that is here."""
    known = tx.memory.logs.get(chat)
    if known is None:
        row = store_groups.get(tx.db, chat)
        assert row is not None
        known = tx.memory.logs[chat] = MembershipLog(row.group_id)
        known.restore(event.event for event in store_events.all(tx.db, chat))
    return known


def recipients(tx: Transaction, chat: ChatId, epoch: EpochId) -> Mapping[MemberId, Member]:
    """Return the members who have the secret of an epoch: those as of the event that made it, which is here, in the
    order of their ids.
    """
    return log_of(tx, chat).members_at(epoch)


def lack(tx: Transaction, chat: ChatId, epoch: EpochId, members: Collection[MemberId]) -> set[MemberId]:
    """Return those of these members who do not have the secret of an epoch, whose event is here. Who has it is not
    read from a large log where nobody is in doubt.
    """
    doubtful = set(members) - log_of(tx, chat).holders(epoch) if members else set[MemberId]()
    return doubtful - recipients(tx, chat, epoch).keys() if doubtful else doubtful


def take(tx: Transaction, chat: ChatId, event: GroupEvent) -> tuple[GroupEvent, ...] | None:
    """Put an event whose signature was verified into a log and save it, with those that waited for it; return them,
    parents first, and None if it waits itself. Those by which somebody leaves once more are saved and not returned:
    they say nothing. Raises CannotOpen for one that is refused.
    """
    result = log_of(tx, chat).add(event)
    if result.answer is LogAnswer.REFUSED:
        raise CannotOpen
    for taken in result.taken:
        store_events.add(tx.db, chat, taken.id, events.without_rekey(taken), tx.now)
    store_events.remove(tx.db, chat, result.replaced)
    news = tuple(taken for taken in result.taken if taken.id not in result.repeated)
    return None if result.answer is LogAnswer.WAITING else news
