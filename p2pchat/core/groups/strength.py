"""Which events of a log count: strong removal, evaluated level by level (docs/protocol/groups.md).

An event that had its right when it was made may still be *void*: because its author was removed by a senior who did not
know of it, or because what gave the author the right is void itself. Who can void an event is strictly senior to its
author, so the levels are evaluated from the most senior one down, and each decides with the verdicts above it.
"""

from __future__ import annotations

from p2pchat.core.groups.ancestry import (
    Ancestry,
    LogEntry,
    closes_invites,
    is_granted,
    newcomers,
    opens,
    subjects,
)
from p2pchat.core.groups.events import ChangeSetting, Found, HandOver, LeaveGroup, MuteMember, RemoveMembers, SetRole
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import INVITES
from p2pchat.core.ids import MemberId

NOBODY = 0xFF
"""The level of whoever is no member: junior to everybody."""
_ABOVE_ALL = -1


def void_bits(log: Ancestry, known: int) -> int:
    """Return the bits of the events that are void if exactly `known` are known, which contains all its ancestors."""
    log.effort += len(log)
    if not _is_contested(log, known):
        return 0
    void, counted = 0, log.first
    for entry in log.recoveries:
        if known >> entry.index & 1:
            if _recovery_is_void(log, entry, known, void):
                void |= entry.bit
            else:
                counted |= entry.bit
    for entries in (log.handovers, *log.levels.values()):
        for entry in entries:
            if known >> entry.index & 1:
                if _is_void(log, entry, known, counted):
                    void |= entry.bit
                else:
                    counted |= entry.bit
    return void


def _is_contested(log: Ancestry, known: int) -> bool:
    """Tell whether anything can be void: there is a fork, a recovery, or something that an author did beside an event
    that decides about the author. Else all that was right counts, and 5,000 events need not be judged one by one.
    """
    if any(known >> entry.index & 1 for entry in log.recoveries):
        return True
    for numbers in log.forks.values():
        if any((bits & known).bit_count() > 1 for bits in numbers.values()):
            return True
    for member, authored in log.authored.items():
        for decision in log.about.get(member, ()):
            if known >> decision.index & 1:
                beside = authored & known & ~decision.ancestors & ~decision.bit
                if any(not entry.knew(decision) for entry in log.of(beside)):
                    return True
    return any(known >> rule.index & 1 and beside_rule(log, rule, known) for rule in log.invites)


def beside_rule(log: Ancestry, rule: LogEntry, known: int) -> bool:
    """Tell whether `known` has additions by right of the setting `invites` that are concurrent to one which ends it."""
    if not closes_invites(rule):
        return False
    return any(not entry.knew(rule) for entry in log.of(log.granted & known & ~rule.ancestors))


def _recovery_is_void(log: Ancestry, entry: LogEntry, known: int, void: int) -> bool:
    # An owner who has signed anything that the recovery did not know of is not lost.
    spoken = 0
    for owner in entry.displaced:
        spoken |= log.authored.get(owner, 0)
    return bool(spoken & log.owners & known & ~entry.ancestors or void & entry.ancestors)


def _is_void(log: Ancestry, entry: LogEntry, known: int, counted: int) -> bool:
    event, level = entry.event, entry.level
    action = event.action
    there = counted & entry.ancestors
    if level_of(log, event.author_id, there) > level:
        return True
    if isinstance(action, RemoveMembers | SetRole | MuteMember) and any(
        level_of(log, subject, there) <= level for subject in _targets(entry)
    ):
        return True
    if level is Role.OWNER:
        return not isinstance(action, HandOver) and any(
            isinstance(other.event.action, HandOver) and other.event.author_id == event.author_id
            for other in _concurrent(log, entry, counted)
        )
    stronger = any(other.strong and other.level < level for other in _concurrent(log, entry, counted))
    if stronger and not isinstance(action, LeaveGroup):
        return True
    if is_granted(entry) and not _is_granted(log, entry, counted):
        return True
    return not is_settled(log, event.author_id, level, event.seq, known, counted, entry)


def _is_granted(log: Ancestry, entry: LogEntry, counted: int) -> bool:
    """Tell whether the setting `invites` lets the author of an entry add people: as of what it knew, and no event that
    ends it is concurrent.
    """
    rules = [rule for rule in log.invites if counted >> rule.index & 1]
    if any(closes_invites(rule) and not entry.knew(rule) and not rule.knew(entry) for rule in rules):
        return False
    known = [rule for rule in rules if entry.knew(rule)]
    if known:
        action = max(known, key=lambda rule: rule.order).event.action
        return isinstance(action, ChangeSetting) and opens(action.value)
    first = log.entries[0].event.action
    return isinstance(first, Found) and opens(dict(first.settings).get(INVITES.key))


def _targets(entry: LogEntry) -> tuple[MemberId, ...]:
    action = entry.event.action
    return (action.member,) if isinstance(action, MuteMember) else subjects(entry.event)


def _concurrent(log: Ancestry, entry: LogEntry, counted: int) -> list[LogEntry]:
    """Return the events about an entry's author that count, and of which neither it knew nor they of it."""
    return [
        other
        for other in log.about.get(entry.event.author_id, ())
        if counted >> other.index & 1 and other is not entry and not other.knew(entry) and not entry.knew(other)
    ]


def level_of(log: Ancestry, member: MemberId, counted: int) -> int:
    """Return the level that events give a member, `NOBODY` if it is none or was removed.

    counted: the bits of the events that count.
    """
    changes = [entry for entry in log.about.get(member, ()) if counted >> entry.index & 1]
    if not changes:
        added = [entry for entry in log.added.get(member, ()) if counted >> entry.index & 1]
        return _first_role(min(added, key=lambda entry: entry.order), member) if added else NOBODY
    if any(isinstance(entry.event.action, RemoveMembers) for entry in changes):
        return NOBODY
    newest = [entry for entry in changes if not any(other.knew(entry) for other in changes)]
    senior = min(_rank(entry) for entry in newest)
    return max(_given(entry, member) for entry in newest if _rank(entry) == senior)


def _rank(entry: LogEntry) -> int:
    """Return the level of an entry among those about one member: a recovery is above the owner."""
    return _ABOVE_ALL if entry.displaced else entry.level


def _given(entry: LogEntry, member: MemberId) -> int:
    action = entry.event.action
    if isinstance(action, SetRole):
        return action.role
    if member in entry.displaced:
        return Role.MEMBER
    if isinstance(action, HandOver) and action.member != member:
        return Role.ADMIN
    return Role.OWNER


def _first_role(entry: LogEntry, member: MemberId) -> Role:
    return next(newcomer.role for newcomer in newcomers(entry.event) if newcomer.id == member)


def is_settled(
    log: Ancestry, author: MemberId, level: int, number: int, known: int, counted: int, entry: LogEntry | None = None
) -> bool:
    """Tell whether seniors have decided about every fork of an author that concerns one of its events.

    level, number: of the author, and of the event. known, counted: the bits of all events, and of those that count.
    entry: the event; None for one that would be made now. A fork concerns what the author numbered like it or higher. A
    senior decides by giving or confirming the author's role, or by removing it: about everything that this decision
    knew; and about later events, if it knew the whole fork.
    """
    for seq, bits in log.forks.get(author, {}).items():
        fork = bits & known
        if seq > number or not fork & (fork - 1):
            continue
        for decision in log.about.get(author, ()):
            by_senior = _rank(decision) < level and decision.event.author_id != author
            if by_senior and counted >> decision.index & 1:
                if entry is not None and decision.knew(entry):
                    break
                if (entry is None or entry.knew(decision)) and not fork & ~decision.ancestors:
                    break
        else:
            return False
    return True
