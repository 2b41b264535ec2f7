"""What a membership log costs, in one process without store or network: `python -m benchmarks.membership`.

For logs in which 50, 500 and 5,000 members were each added by an event of its own:

log            its bytes
taken          the time to take all events, in order: signatures verified
restored       the same from one's own database, in any order, with the first state
draft          to prepare a removal, of which the rekey is not part
step           at a member: to take the removal, and the new state
apart          an event of an admin who did not know of the last: to take it, and the state
forked         another one of that admin with the same number, which names an event in the middle of the log
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from p2pchat.core import primitives as prim
from p2pchat.core.groups import events
from p2pchat.core.groups.epochs import CONFIRM_BYTES
from p2pchat.core.groups.events import Action, AddMembers, ChangeSetting, Found, GroupEvent, Newcomer, RemoveMembers
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import EpochId, GroupId

T = TypeVar("T")
SIZES = (50, 500, 5_000)
FOUNDER, ADMIN = bytes([1]) * 32, bytes([2]) * 32


class LogCosts(NamedTuple):
    """What was measured with so many members. Times in ms of CPU, sizes in bytes."""

    members: int
    log: int
    taken: float
    restored: float
    draft: float
    step: float
    apart: float
    forked: float


def _signed(core: bytes, seed: bytes) -> GroupEvent:
    event = events.unsigned(core)
    makes_epoch = event.mode != events.EpochMode.NONE
    rekey = b"rekey" if event.mode == events.EpochMode.FRESH and event.group else None
    return events.sign_event(core, bytes(CONFIRM_BYTES) if makes_epoch else None, rekey, seed)


def _newcomer(seed: bytes, role: Role = Role.MEMBER) -> Newcomer:
    return Newcomer(prim.sign_public(seed), prim.x25519_public(seed), None, role, "somebody")


def _log(members: int) -> list[GroupEvent]:
    founder = _newcomer(FOUNDER)
    written = [_signed(events.encode_core(None, (), 0, founder.sign, Found((), founder.leaf, None, "")), FOUNDER)]
    group = GroupId(written[0].id)
    for number in range(1, members):
        new = _newcomer(ADMIN, Role.ADMIN) if number == 1 else _newcomer(number.to_bytes(32, "big"))
        newest = written[-1].id
        core = events.encode_core(group, (newest,), number, founder.sign, AddMembers((new,)), EpochId(newest))
        written.append(_signed(core, FOUNDER))
    return written


def measure(members: int) -> LogCosts:
    """Measure a log of `members`."""
    written = _log(members)
    raws = [event.raw for event in written]
    shuffled = list(raws)
    random.Random(1).shuffle(shuffled)

    def followed(some: list[bytes]) -> MembershipLog:
        log = MembershipLog(GroupId(written[0].id))
        for raw in some:
            log.add(raw)
        _ = log.state
        return log

    def restored() -> MembershipLog:
        log = MembershipLog(GroupId(written[0].id))
        log.restore(shuffled)
        _ = log.state
        return log

    def step(log: MembershipLog, event: GroupEvent) -> None:
        log.add(event.raw)
        _ = log.state

    def by(seed: bytes, log: MembershipLog, action: Action) -> GroupEvent:
        return _signed(log.draft(prim.sign_public(seed), action).core, seed)

    taken_ms, member = _took(lambda: followed(raws))
    restored_ms, author = _took(restored)
    removal = RemoveMembers((written[-1].action.newcomers[0].id,), False, "")  # type: ignore[union-attr]
    draft_ms, removed = _took(lambda: by(FOUNDER, author, removal))
    apart = by(ADMIN, author, ChangeSetting("topic", "walks"))
    middle = by(ADMIN, followed(raws[: members // 2]), ChangeSetting("name", "us"))
    step_ms, _ = _took(lambda: step(member, removed))
    apart_ms, _ = _took(lambda: step(member, apart))
    middle_ms, _ = _took(lambda: step(member, middle))
    return LogCosts(members, sum(map(len, raws)), taken_ms, restored_ms, draft_ms, step_ms, apart_ms, middle_ms)


def _took(function: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    result = function()
    return 1000 * (time.process_time() - began), result


def main() -> None:
    """Print a line for each size."""
    head = ("members", "log", "taken", "restored", "draft", "step", "apart", "forked")
    print("".join(f"{name:>12}" for name in head))
    for size in SIZES:
        shown = [f"{value:.1f}" if isinstance(value, float) else f"{value:,}" for value in measure(size)]
        print("".join(f"{value:>12}" for value in shown))


if __name__ == "__main__":
    main()
