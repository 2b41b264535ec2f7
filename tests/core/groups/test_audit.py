"""What a log tells people."""

from __future__ import annotations

import pytest

from p2pchat.core.groups import audit, events
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import EventId
from tests.core.groups.crowd import Team, id_of, newcomer


def test_events_are_told_with_their_authors_the_newest_last() -> None:
    team = Team.founded()
    removal = team.write("ada", events.RemoveMembers((id_of("max"),), False, "spam"))
    told = audit.facts(team.log(), 50)
    assert [(fact.author, fact.op.name) for fact in told] == [
        (id_of("olga"), "FOUND"),
        (id_of("olga"), "ADD"),
        (id_of("ada"), "ADD"),
        (id_of("ada"), "REMOVE"),
    ]
    assert (told[-1].id, told[-1].action, told[-1].counts, told[-1].alone) == (removal.id, removal.action, True, True)
    assert not told[-2].alone


def test_a_page_ends_before_an_event() -> None:
    team = Team.founded()
    log = team.log()
    assert [fact.id for fact in audit.facts(log, 1)] == [team.written[2].id]
    assert [fact.id for fact in audit.facts(log, 1, team.written[2].id)] == [team.written[1].id]
    assert audit.facts(log, 5, team.written[0].id) == ()
    with pytest.raises(KeyError):
        audit.facts(log, 1, EventId(bytes(32)))


def test_what_is_void_is_told_as_such() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.RemoveMembers((id_of("ada"),), False, ""))
    crony = apart.write("ada", events.AddMembers((newcomer("crony"),)))
    void = [fact.id for fact in audit.facts(team.log(apart), 50) if not fact.counts]
    assert void == [crony.id]


def test_who_has_seen_a_removal() -> None:
    team = Team.founded()
    before = team.written[-1].id
    removal = team.write("ada", events.RemoveMembers((id_of("max"),), False, ""))
    later = team.write("abe", events.ChangeSetting("topic", "x"))
    log = team.log()
    seen = {
        id_of("olga"): [before],
        id_of("mia"): [removal.id],
        id_of("abe"): [later.id, before],
        id_of("max"): [later.id],
        id_of("mo"): [EventId(bytes(32))],
        id_of("ada"): [],
    }
    assert audit.known_by(log, removal.id, seen) == 2
    assert audit.known_by(log, before, seen) == 3


def test_a_fork_is_a_proof_until_a_senior_decides() -> None:
    team = Team.founded()
    apart = team.copy()
    one = team.write("ada", events.ChangeSetting("topic", "to some"))
    other = apart.write("ada", events.ChangeSetting("topic", "to others"))
    (proof,) = audit.forks(team.log(apart))
    assert (proof.author, proof.seq, proof.settled) == (id_of("ada"), 1, False)
    assert set(proof.events) == {one.id, other.id}
    both = Team([*team.written, other])
    both.write("olga", events.SetRole(id_of("ada"), Role.ADMIN))
    assert [proof.settled for proof in audit.forks(both.log())] == [True]
