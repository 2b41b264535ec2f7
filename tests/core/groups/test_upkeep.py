"""What is to be done in a group, and when."""

from __future__ import annotations

from typing import Any

from p2pchat.core.groups import events, upkeep
from p2pchat.core.groups.events import Action
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.state import GroupState
from p2pchat.lib.times import DAY_MS
from tests.core.groups.crowd import Team, forge, id_of, newcomer

NOW = 1_700_000_000_000
REMOVE_MAX = events.RemoveMembers((id_of("max"),), False, "")
NAMED = [2, sorted((id_of("ada"), id_of("abe")))]


def due(state: GroupState, **others: Any) -> Action | None:
    given: dict[str, Any] = {"began_at": NOW, "messages": 0, "now": NOW}
    return upkeep.renewal(state, **(given | others))


def test_nothing_is_due_in_a_quiet_week() -> None:
    state = Team.founded().state()
    assert due(state, now=NOW + 7 * DAY_MS - 1, messages=4_999) is None
    assert due(state, now=NOW + 7 * DAY_MS) == events.RotateEpoch()
    assert due(state, now=NOW + DAY_MS, messages=5_000) == events.RotateEpoch()


def test_one_member_whose_numbers_jump_has_no_keys_made_over_and_over() -> None:
    """A message may have a number that is 5,000 ahead, so one is enough to look like 5,000."""
    assert due(Team.founded().state(), now=NOW + DAY_MS - 1, messages=5_001) is None


def test_who_left_is_removed() -> None:
    team = Team.founded()
    team.write("max", events.LeaveGroup())
    assert due(team.state()) == REMOVE_MAX


def test_an_admin_who_left_is_covered_by_a_rotation() -> None:
    team = Team.founded()
    team.write("ada", events.LeaveGroup())
    assert due(team.state()) == events.RotateEpoch()
    team.write("abe", events.RotateEpoch())
    assert due(team.state()) is None


def test_who_left_and_cannot_be_removed_does_not_prevent_what_is_due() -> None:
    """Somebody becomes an admin, and then signs that they leave as if they were a member still."""
    team = Team.founded()
    before = team.state().heads
    team.write("olga", events.SetRole(id_of("mia"), Role.ADMIN))
    team.written.append(forge(team.group, "mia", events.LeaveGroup(), before, 0))
    team.write("max", events.LeaveGroup())
    log = team.log()
    assert log.state.left == {id_of("mia"), id_of("max")}
    assert log.out_of_reach(id_of("olga")) == frozenset()
    spared = log.out_of_reach(id_of("ada"))
    assert due(log.state, spared=spared) == REMOVE_MAX
    team.write("ada", REMOVE_MAX)
    assert due(team.state(), spared=spared) is None
    apart = team.copy()
    team.write("ada", events.RotateEpoch())
    apart.write("abe", events.RotateEpoch())
    assert due(team.state(apart), spared=spared) == events.MergeEpochs()


def test_two_epochs_are_merged() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("ada", events.RotateEpoch())
    apart.write("abe", events.RotateEpoch())
    state = team.state(apart)
    assert state.sending is not None
    assert due(state) == events.MergeEpochs()


def test_two_epochs_that_nobody_may_send_under_are_merged() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("ada", REMOVE_MAX)
    apart.write("abe", events.RemoveMembers((id_of("mia"),), False, ""))
    assert due(team.state(apart)) == events.MergeEpochs()


def test_whom_a_removed_admin_added_is_rotated_away() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.SetRole(id_of("ada"), Role.MEMBER))
    apart.write("ada", events.AddMembers((newcomer("crony"),)))
    apart.write("abe", events.RotateEpoch())
    state = team.state(apart)
    assert state.epoch_heads[0].outsiders == {id_of("crony")}
    assert (state.sending, due(state)) == (None, events.RotateEpoch())


def test_keys_are_updated_every_month_and_not_by_all_at_once() -> None:
    def after(members: int, drawn: bytes) -> float:
        return (upkeep.next_update(NOW, members, lambda size: drawn[:size]) - NOW) / DAY_MS

    assert [after(256, drawn) for drawn in (b"\0" * 4, b"\x80\0\0\0")] == [15, 30]
    assert 44.9 < after(256, b"\xff" * 4) < 45
    assert [after(257, drawn) for drawn in (b"\0" * 4, b"\x80\0\0\0")] == [45, 90]


def test_a_recovery_is_confirmed_after_14_days_by_ones_own_clock() -> None:
    team = Team.founded(recovery=NAMED)
    first = team.write("ada", events.RecoverOwner(id_of("mo")))
    (alone,) = team.state().recoveries
    assert not upkeep.may_confirm(alone, id_of("ada"), {first.id: NOW}, NOW + 30 * DAY_MS)
    second = team.write("abe", events.RecoverOwner(id_of("mo")))
    (both,) = team.state().recoveries
    seen = {first.id: NOW, second.id: NOW + DAY_MS}
    assert not upkeep.may_confirm(both, id_of("ada"), seen, NOW + 15 * DAY_MS - 1)
    assert upkeep.may_confirm(both, id_of("ada"), seen, NOW + 15 * DAY_MS)
    assert not upkeep.may_confirm(both, id_of("ada"), {}, NOW + 15 * DAY_MS), "what was not seen has no age"


def test_who_asks_twice_for_a_recovery_counts_once_since_the_first_time() -> None:
    """Otherwise it would be confirmed as soon as somebody else asks, and not 14 days after that."""
    team = Team.founded(recovery=NAMED)
    asked = [team.write("ada", events.RecoverOwner(id_of("mo"))) for _ in range(2)]
    late = team.write("abe", events.RecoverOwner(id_of("mo")))
    (both,) = team.state().recoveries
    assert both.requests == tuple(sorted([asked[0].id, late.id]))
    seen = {asked[0].id: NOW, asked[1].id: NOW, late.id: NOW + 14 * DAY_MS}
    assert not upkeep.may_confirm(both, id_of("ada"), seen, NOW + 15 * DAY_MS)
    assert upkeep.may_confirm(both, id_of("ada"), seen, NOW + 28 * DAY_MS)


def test_who_confirmed_does_so_again_only_to_complete_it() -> None:
    team = Team.founded(recovery=NAMED)
    requests = [team.write(name, events.RecoverOwner(id_of("mo"))) for name in ("ada", "abe")]
    seen, later = {request.id: NOW for request in requests}, NOW + 14 * DAY_MS
    apart = team.copy()
    team.write("ada", events.ConfirmRecovery(id_of("mo")))
    assert not upkeep.may_confirm(team.state().recoveries[0], id_of("ada"), seen, later)
    apart.write("abe", events.ConfirmRecovery(id_of("mo")))
    together = Team([*team.written, apart.written[-1]])
    (recovery,) = together.state().recoveries
    assert upkeep.may_confirm(recovery, id_of("ada"), seen, later)
    together.write("ada", events.ConfirmRecovery(id_of("mo")))
    assert together.state().recoveries == ()


def test_newcomers_are_added_in_as_few_events_as_possible() -> None:
    many = [newcomer(f"{number}") for number in range(300)]
    added = list(upkeep.batches(many))
    assert [len(batch) for batch in added] == [256, 44]
    assert [new.id for batch in added for new in batch] == sorted(new.id for new in many)
