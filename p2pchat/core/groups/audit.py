"""What a log tells people: what was done, by whom, whether it counts, and who has seen it.

There is no final removal in a group without a server: somebody who has not seen an event still acts as if it was not
there. So what is said of an event is for how many members it is so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from p2pchat.core.groups.events import Action, EventOp
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.ids import EventId, MemberId


@dataclass(frozen=True, slots=True)
class AuditFact:
    """One event of the graph. counts: it has an effect; a void one was done by somebody who was removed meanwhile, or
    suspended. alone: nobody has written an event that knows it.
    """

    id: EventId
    author: MemberId
    op: EventOp
    action: Action
    counts: bool
    alone: bool


@dataclass(frozen=True, slots=True)
class ForkProof:
    """Two events and more that one author signed with one number: it told different people different things. settled: a
    senior has decided about it, so the author is not suspended for it.
    """

    author: MemberId
    seq: int
    events: tuple[EventId, ...]
    settled: bool


def facts(log: MembershipLog, limit: int, before: EventId | None = None) -> tuple[AuditFact, ...]:
    """Return the newest events of the graph, the newest last; or those that came before one of them.

    Newest is what came last here. Raises KeyError if there is no event `before`.
    """
    graph, heads = log.graph(), frozenset(log.state.heads)
    end = len(graph) if before is None else log.place(before)
    return tuple(
        AuditFact(
            id=entry.event.id,
            author=entry.event.author_id,
            op=entry.event.op,
            action=entry.event.action,
            counts=log.counts(entry.event.id),
            alone=entry.event.id in heads,
        )
        for entry in graph[max(0, end - limit) : end]
    )


def known_by(log: MembershipLog, event: EventId, seen: Mapping[MemberId, Collection[EventId]]) -> int:
    """Return how many members are known to have seen an event of the graph.

    seen: member → the heads of the log in the newest message of theirs (see `messages`). Heads that are not here count
    for nothing: what they knew cannot be told.
    """
    members = log.state.members
    verdicts: dict[frozenset[EventId], bool] = {}
    known = 0
    for member, newest in seen.items():
        heads = frozenset(newest)
        if heads not in verdicts:
            verdicts[heads] = log.knew(heads, event)
        known += member in members and verdicts[heads]
    return known


def forks(log: MembershipLog) -> tuple[ForkProof, ...]:
    """Return the forks of all authors: whoever has these events can show them to anybody."""
    return tuple(
        ForkProof(author, seq, ids, settled=author not in log.state.suspended) for author, seq, ids in log.forks()
    )
