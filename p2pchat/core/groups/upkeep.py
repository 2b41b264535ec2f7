"""What is to be done in a group without being asked, and when (docs/protocol/groups.md).

Nothing here knows whose turn it is among several admins: two who do the same at one time only cause a merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from p2pchat.core.groups.epochs import MAX_KEM_MEMBERS
from p2pchat.core.groups.events import (
    MAX_ADDED,
    MAX_REMOVED,
    Action,
    MergeEpochs,
    Newcomer,
    RemoveMembers,
    RotateEpoch,
)
from p2pchat.core.groups.state import GroupState, OpenRecovery
from p2pchat.core.ids import EventId, MemberId
from p2pchat.core.primitives import Random
from p2pchat.lib.times import DAY_MS

ROTATE_MS = 7 * DAY_MS
ROTATE_MESSAGES = 5_000
ROTATE_BUSY_MS = DAY_MS
"""How old an epoch is at least that ends for its messages: their numbers are chosen by their authors."""
UPDATE_MS = 30 * DAY_MS
UPDATE_MS_LARGE = 3 * UPDATE_MS
RECOVERY_MS = 14 * DAY_MS


def renewal(
    state: GroupState,
    *,
    began_at: int,
    messages: int,
    now: int,
    spared: frozenset[MemberId] = frozenset(),
) -> Action | None:
    """Return what an admin should do about the epochs of a group now, None if nothing.

    began_at: when the newest epoch began here, in ms. messages: how many it has seen, as their authors number them.
    now: in ms. spared: who has left and cannot be removed by this admin (`MembershipLog.out_of_reach`); new keys are
    for them too, so there is nothing to be done about that.
    """
    gone = state.left - spared
    if gone:
        return RemoveMembers(tuple(sorted(gone))[:MAX_REMOVED], False, "")
    if len(state.epoch_heads) > 1:
        return MergeEpochs()
    if any(head.outsiders or head.left - spared for head in state.epoch_heads):
        return RotateEpoch()
    busy = messages >= ROTATE_MESSAGES and now - began_at >= ROTATE_BUSY_MS
    due = busy or now - began_at >= ROTATE_MS
    return RotateEpoch() if due and state.epoch_heads else None


def next_update(now: int, members: int, random: Random) -> int:
    """Return when (ms) a member should replace its keys of encryption that it has since now: by chance between half and
    one and a half of a month, so that those who joined at one time do not all write at one time; in a group of more
    than 256 members after three times as long, since all read it.
    """
    every = UPDATE_MS if members <= MAX_KEM_MEMBERS else UPDATE_MS_LARGE
    return now + every // 2 + every * int.from_bytes(random(4), "big") // 2**32


def may_confirm(recovery: OpenRecovery, me: MemberId, seen_at: Mapping[EventId, int], now: int) -> bool:
    """Tell whether somebody who asked for a recovery, or was named for that, may confirm it now, by its own clock.

    seen_at: when each request was seen first here, ms. Once as many as needed have confirmed without knowing of each
    other, confirming again completes it.
    """
    if me in recovery.confirmed and len(recovery.confirmed) < recovery.needed:
        return False
    old = sum(now - seen_at.get(request, now) >= RECOVERY_MS for request in recovery.requests)
    return old >= recovery.needed


def batches(newcomers: Iterable[Newcomer]) -> Iterator[tuple[Newcomer, ...]]:
    """Divide newcomers into as few events as possible."""
    waiting = sorted(newcomers, key=lambda newcomer: newcomer.id)
    return (tuple(waiting[start : start + MAX_ADDED]) for start in range(0, len(waiting), MAX_ADDED))
