"""What is said of an event besides what was done."""

from __future__ import annotations

from p2pchat.core.groups import audit, events
from p2pchat.core.groups.audit import EventStanding
from p2pchat.core.groups.roles import Role
from tests.core.groups.crowd import Team, id_of, newcomer


def test_what_everybody_knew_of_counts() -> None:
    team = Team.founded()
    log = team.log()
    assert {audit.standing(log, event.id) for event in team.written} == {EventStanding.COUNTS}


def test_what_concerns_its_author_alone_counts() -> None:
    team = Team.founded()
    left = team.write("max", events.LeaveGroup())
    assert audit.standing(team.log(), left.id) is EventStanding.COUNTS
    assert not audit.shows_a_fork(team.log(), left.id)


def test_what_a_removed_admin_did_meanwhile_is_void() -> None:
    team = Team.founded()
    apart = team.copy()
    removal = team.write("olga", events.RemoveMembers((id_of("ada"),), False, ""))
    crony = apart.write("ada", events.AddMembers((newcomer("crony"),)))
    log = team.log(apart)
    assert audit.standing(log, crony.id) is EventStanding.VOID
    assert audit.standing(log, removal.id) is EventStanding.COUNTS


def test_a_fork_suspends_until_a_senior_decides() -> None:
    team = Team.founded()
    apart = team.copy()
    one = team.write("ada", events.ChangeSetting("topic", "to some"))
    assert not audit.shows_a_fork(team.log(), one.id)
    other = apart.write("ada", events.ChangeSetting("topic", "to others"))
    later = apart.write("ada", events.ChangeSetting("topic", "and on"))
    log = team.log(apart)
    assert {audit.standing(log, event.id) for event in (one, other, later)} == {EventStanding.SUSPENDED}
    assert [audit.shows_a_fork(log, event.id) for event in (one, other, later)] == [True, True, False]
    both = Team([*team.written, *apart.written[-2:]])
    both.write("olga", events.SetRole(id_of("ada"), Role.ADMIN))
    assert {audit.standing(both.log(), event.id) for event in (one, other, later)} == {EventStanding.COUNTS}


def test_a_second_fork_of_one_author_is_no_news() -> None:
    team = Team.founded()
    apart, third = team.copy(), team.copy()
    team.write("ada", events.ChangeSetting("topic", "to some"))
    apart.write("ada", events.ChangeSetting("topic", "to others"))
    last = third.write("ada", events.ChangeSetting("topic", "to all others"))
    assert not audit.shows_a_fork(team.log(apart, third), last.id)
