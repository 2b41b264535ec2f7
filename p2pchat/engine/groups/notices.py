"""Lines in the chat of a group about what was done there. They are rows like messages, made here and never sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from p2pchat.core.groups import audit
from p2pchat.core.groups.audit import EventStanding
from p2pchat.core.groups.events import (
    ChangeSetting,
    ConfirmRecovery,
    GroupEvent,
    HandOver,
    MergeEpochs,
    RecoverOwner,
    RotateEpoch,
    UpdateMember,
)
from p2pchat.core.groups.log_relays import LOGS
from p2pchat.core.ids import MemberId
from p2pchat.engine.contents import lines
from p2pchat.engine.groups import history, recovery, wording
from p2pchat.engine.groups.recovery import Ownership
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import messages as store_messages
from p2pchat.store import partners
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import MessageRow

_UNSAID = (UpdateMember, RotateEpoch, MergeEpochs)
"""What nodes do by themselves, and nobody has to read; so are changes of the relays."""


def tell(tx: Transaction, row: GroupRow, event: GroupEvent) -> None:
    """Save a line about an event, which is settled already, and tell the faces."""
    log = history.log_of(tx, row.chat)
    names = store_members.names(tx.db, row.chat, wording.named_in(event))
    if audit.shows_a_fork(log, event.id):
        sentence = wording.suspicion(event, row.member, names)
    elif _is_unsaid(event.action) or audit.standing(log, event.id) is not EventStanding.COUNTS:
        return  # who was removed could fill the chat with lines about what it pretends to do
    else:
        sentence = _asked(tx, row, event) or f"{wording.sentence(event, row.member, names)}."
    say(tx, row, event.author_id, sentence)


def _is_unsaid(action: Any) -> bool:
    return isinstance(action, _UNSAID) or (isinstance(action, ChangeSetting) and action.key == LOGS.key)


def tell_owners(tx: Transaction, row: GroupRow, before: Ownership, taken: Sequence[GroupEvent]) -> None:
    """Save lines about what events changed about who owns the group, where they do not say so themselves. before: who
    did before them.
    """
    state = history.log_of(tx, row.chat).state
    now = recovery.ownership(state)
    if not taken or now == before:
        return
    last, kinds = taken[-1].author_id, {type(event.action) for event in taken}
    for member in sorted(now.owners - before.owners if before.owners and HandOver not in kinds else ()):
        you, name = member == row.member, store_members.shown_name(tx.db, row.chat, member)
        who = "You are" if you else f"{name} is"
        lost = f" again, since {'you were' if you else 'they were'} not lost"
        say(tx, row, member, f"{who} the owner{' now' if ConfirmRecovery in kinds else lost}.")
    for member in sorted(before.candidates - now.candidates - now.owners if now.owners == before.owners else ()):
        you, name = member == row.member, store_members.shown_name(tx.db, row.chat, member)
        because = ": the owner is not lost" if any(event.author_id in now.owners for event in taken) else ""
        say(tx, row, last, f"{'You do' if you else f'{name} does'} not become the owner{because}.")


def _asked(tx: Transaction, row: GroupRow, event: GroupEvent) -> str:
    """Return what comes of a request to replace a lost owner; empty for other events."""
    if not isinstance(event.action, RecoverOwner):
        return ""
    state = history.log_of(tx, row.chat).state
    cases = [case for case in state.recoveries if case.member == event.action.member]
    return "".join(recovery.sentence(tx.db, row.chat, state, row.member, case) for case in cases)


def say(tx: Transaction, row: GroupRow, author: MemberId, sentence: str) -> int | None:
    """Save a line about a member and tell the faces; return its pk, or None if it could not be saved."""
    line = lines.say(tx, row, author, sentence)
    return None if line is None else line.pk


def reword(tx: Transaction, row: GroupRow, line: MessageRow, sentence: str) -> None:
    """Have a line say something else from now on, and tell the faces."""
    if line.text == sentence:
        return
    store_messages.reword(tx.db, line, sentence)
    partner = partners.of(tx.db, row.chat)
    if tx.listened and partner is not None:
        now = line._replace(text=sentence)
        shown = views.message(now, naming.of_one(tx.db, partner, now))
        tx.event("changed", **shown, what="group", notify=False)
