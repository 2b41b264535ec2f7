"""What we do about a lost owner: name who may replace them, ask for it, confirm it after its time, and say that we, the
owner, are not lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from p2pchat.core.groups import upkeep
from p2pchat.core.groups.events import ConfirmRecovery, RecoverOwner, RotateEpoch
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import MAX_NAMED, RECOVERY, recovery_value
from p2pchat.core.groups.state import GroupState
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.groups import changes, duties, history, recovery
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotAllowed, NotNow, UsageError
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow

_RULE = re.compile(r"([0-9]{1,2})\s+of\s+(.+)", re.DOTALL)
NAMED_NOBODY = "The owner named nobody who can replace them"


def rule(written: str, state: GroupState, find: Callable[[str], MemberId]) -> object:
    """Return the value of `RECOVERY` for `2 of bob, carol, dan`, or for `off`. find: returns the member of a name.
    Raises UsageError.
    """
    if written == "off":
        return None
    found = _RULE.fullmatch(written)
    if found is None:
        raise UsageError("`recovery` is `off`, or how many of which admins: `2 of bob, carol, dan`")
    needed, named = int(found[1]), frozenset(find(name) for name in found[2].split(",") if name.strip())
    if len(named) > MAX_NAMED:
        raise UsageError(f"At most {MAX_NAMED} admins can be named")
    admins = {member.id for member in state.members.values() if member.role is Role.ADMIN}
    if not named <= admins:
        raise UsageError("Only admins can be named", hint="`p2pchat group role CHAT M admin` makes somebody one.")
    if not len(named) < 2 * needed <= 2 * len(named):
        raise UsageError("It takes more than half of those who are named, so that they cannot make two owners")
    return recovery_value(needed, named)


def ask(tx: Transaction, row: GroupRow, member: MemberId) -> None:
    """Ask that a member becomes the owner, alone or with others who asked. Raises NotNow."""
    state = history.log_of(tx, row.chat).state
    allowed = RECOVERY.read(state.settings)
    if allowed is None:
        raise NotNow(NAMED_NOBODY, hint="`p2pchat group successor CHAT NAME` founds another group in its place.")
    if row.member not in allowed.named or row.role != Role.ADMIN:
        raise NotAllowed("Only admins whom the owner named can ask for another owner")
    name = store_members.shown_name(tx.db, row.chat, member)
    if member in state.members and state.members[member].role is Role.OWNER:
        raise NotNow(f"{name} is the owner")
    for case in state.recoveries:
        if case.member == member and row.member in case.asked:
            words = recovery.sentence(tx.db, row.chat, state, row.member, case)
            raise NotNow("You have asked for that", hint=words)
    changes.make(tx, row, RecoverOwner(member))


def keep(tx: Transaction, row: GroupRow) -> None:
    """Say that we are the owner and not lost, which ends all that was asked so far. Raises NotNow."""
    if row.role != Role.OWNER:
        raise NotAllowed("Only the owner can say that the owner is not lost")
    if not history.log_of(tx, row.chat).state.recoveries:
        raise NotNow("Nobody asks for another owner")
    changes.make(tx, row, RotateEpoch())


def confirm(tx: Transaction, chat: ChatId) -> None:
    """Confirm what we asked for, if it is due: 14 days after enough admins have asked, by our clock."""
    row = store_groups.present(tx.db, chat)
    if row is None or row.role != Role.ADMIN:
        return
    state = history.log_of(tx, chat).state
    for case in state.recoveries if not duties.may_fork(tx, state, row.member) else ():
        seen = store_events.seen(tx.db, chat, case.requests)
        if row.member in case.asked and upkeep.may_confirm(case, row.member, seen, tx.passed):
            with suppress(NotNow):
                changes.make(tx, row, ConfirmRecovery(case.member))
            return
