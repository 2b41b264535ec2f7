"""What is asked about a lost owner: who is to be the owner, who asks for it, and when it happens, in sentences."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import RECOVERY
from p2pchat.core.groups.state import GroupState, OpenRecovery
from p2pchat.core.groups.upkeep import RECOVERY_MS
from p2pchat.core.ids import ChatId, MemberId, sender_of
from p2pchat.engine.groups import wording
from p2pchat.engine.runtime import views
from p2pchat.store.database import Database
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import members as store_members


class Ownership(NamedTuple):
    """Who owns a group, and who is asked to replace them."""

    owners: frozenset[MemberId]
    candidates: frozenset[MemberId]


NOBODY = Ownership(frozenset(), frozenset())


def ownership(state: GroupState) -> Ownership:
    """Return who owns a group, of one whose owner named nobody `NOBODY`: there it changes by a hand-over alone."""
    if RECOVERY.read(state.settings) is None:
        return NOBODY
    owners = frozenset(member.id for member in state.members.values() if member.role is Role.OWNER)
    return Ownership(owners, frozenset(case.member for case in state.recoveries))


def happens_at(db: Database, chat: ChatId, case: OpenRecovery) -> int | None:
    """Return from when on, in ms, a recovery may be confirmed by our clock; None while too few ask for it."""
    seen = sorted(store_events.seen(db, chat, case.requests).values())
    return seen[case.needed - 1] + RECOVERY_MS if len(seen) >= case.needed else None


def sentence(db: Database, chat: ChatId, state: GroupState, me: MemberId, case: OpenRecovery) -> str:
    """Return who asks for a recovery, and what comes of it; whole sentences."""
    ids = {sender_of(member) for member in (case.member, *case.asked)}
    names = store_members.names(db, chat, ids)
    asking = sorted(names[sender_of(member)] for member in case.asked if member != me)
    who = wording.listed((["You"] if me in case.asked else []) + asking)
    ask = "asks" if len(case.asked) == 1 and me not in case.asked else "ask"
    whom = "you become" if case.member == me else f"{names[sender_of(case.member)]} becomes"
    owner = me in state.members and state.members[me].role is Role.OWNER
    at, missing = happens_at(db, chat, case), case.needed - len(case.asked)
    if at is None:
        then = f"{missing} more of those whom the owner named {'has' if missing == 1 else 'have'} to ask"
        then += ", and nothing happens if you do anything" if owner else ""
    else:
        then = f"it happens on {views.timestamp(at)} unless {'you do' if owner else 'the owner does'} anything"
    here = " `p2pchat group keep CHAT` says that you are here." if owner else ""
    return f"{who} {ask} that {whom} the owner; {then}.{here}"


def sentences(db: Database, chat: ChatId, state: GroupState, me: MemberId) -> str:
    """Return the same of all recoveries that are asked for."""
    return " ".join(sentence(db, chat, state, me, case) for case in state.recoveries)
