"""The membership log: who may do what, and what counts when several acted apart."""

from __future__ import annotations

import itertools
import random

import pytest

from p2pchat.core.groups import events, membership
from p2pchat.core.groups.events import Action
from p2pchat.core.groups.membership import LogAnswer, MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import EventId
from p2pchat.errors import NotAllowed
from tests.core.groups.crowd import Team, forge, found, id_of, log_of, newcomer, roles, state_of, write

REMOVE_MAX = events.RemoveMembers((id_of("max"),), False, "")
OLGA = {"olga": Role.OWNER}
ALL = OLGA | {"ada": Role.ADMIN, "abe": Role.ADMIN, "mo": Role.MODERATOR, "max": Role.MEMBER, "mia": Role.MEMBER}


def remove(name: str) -> events.RemoveMembers:
    return events.RemoveMembers((id_of(name),), False, "")


def test_the_founder_owns_the_group() -> None:
    state = state_of([found("olga", name="Friends")])
    assert roles(state) == OLGA
    assert state.settings == {"name": "Friends"}
    assert state.sending == state.epoch_heads[0].id
    assert bytes(state.epoch_heads[0].id) == bytes(state.group)


def test_members_are_in_the_order_of_their_ids() -> None:
    state = Team.founded().state()
    assert roles(state) == ALL
    assert list(state.members) == sorted(state.members)
    assert all(key == member.id for key, member in state.members.items())


ALLOWED: dict[str, tuple[Action, str]] = {
    "add a member": (events.AddMembers((newcomer("new"),)), "olga ada abe"),
    "add an admin": (events.AddMembers((newcomer("new", Role.ADMIN),)), "olga"),
    "remove a member": (REMOVE_MAX, "olga ada abe"),
    "remove a moderator": (remove("mo"), "olga ada abe"),
    "remove an admin": (remove("ada"), "olga"),
    "remove the owner": (remove("olga"), ""),
    "make a moderator": (events.SetRole(id_of("max"), Role.MODERATOR), "olga ada abe"),
    "make an admin": (events.SetRole(id_of("max"), Role.ADMIN), "olga"),
    "demote an admin": (events.SetRole(id_of("abe"), Role.MEMBER), "olga"),
    "leave": (events.LeaveGroup(), "ada abe mo max mia"),
    "update": (events.UpdateMember(bytes(32), None, "x"), "olga ada abe mo max mia"),
    "set": (events.ChangeSetting("topic", "x"), "olga ada abe"),
    "say who may recover": (events.ChangeSetting("recovery", [1, [id_of("ada")]]), "olga"),
    "rotate": (events.RotateEpoch(), "olga ada abe"),
    "merge": (events.MergeEpochs(), "olga ada abe"),
    "hand over": (events.HandOver(id_of("max")), "olga"),
    "name a successor": (events.NameSuccessor(Team.founded().group), "olga ada abe"),
    "mute a member": (events.MuteMember(id_of("max"), 5), "olga ada abe mo"),
    "mute a moderator": (events.MuteMember(id_of("mo"), 5), "olga ada abe"),
    "recover": (events.RecoverOwner(id_of("ada")), ""),
}


OPENED: dict[str, tuple[Action, str]] = {
    "add a member": (events.AddMembers((newcomer("new"),)), "olga ada abe mo max mia"),
    "add an observer": (events.AddMembers((newcomer("new", Role.OBSERVER),)), "olga ada abe mo max mia"),
    "add a moderator": (events.AddMembers((newcomer("new", Role.MODERATOR),)), "olga ada abe"),
    "add an admin": (events.AddMembers((newcomer("new", Role.ADMIN),)), "olga"),
    "remove a member": (REMOVE_MAX, "olga ada abe"),
}


@pytest.mark.parametrize("what", OPENED)
def test_who_may_do_what_where_members_add_people(what: str) -> None:
    action, allowed = OPENED[what]
    for name in ALL:
        team = Team.founded(invites="members")
        if name in allowed.split():
            team.write(name, action)
        else:
            with pytest.raises(NotAllowed):
                team.write(name, action)


def test_observers_never_add_people() -> None:
    team = Team.founded(invites="members")
    team.write("olga", events.SetRole(id_of("max"), Role.OBSERVER))
    with pytest.raises(NotAllowed):
        team.write("max", events.AddMembers((newcomer("new"),)))


def test_whom_a_removed_member_adds_is_no_member() -> None:
    team = Team.founded(invites="members")
    apart = team.copy()
    team.write("olga", REMOVE_MAX)
    apart.write("max", events.AddMembers((newcomer("crony"),)))
    apart.write("crony", events.AddMembers((newcomer("second"),)))
    assert roles(team.state(apart)) == {name: role for name, role in ALL.items() if name != "max"}
    (head,) = team.state(apart).epoch_heads[:1]
    assert team.state(apart).sending == head.id
    assert not head.outsiders


def test_whom_a_member_adds_beside_the_end_of_that_rule_is_no_member() -> None:
    team = Team.founded(invites="members")
    apart = team.copy()
    team.write("abe", events.ChangeSetting("invites", "admins"))
    apart.write("max", events.AddMembers((newcomer("new"),)))
    apart.write("ada", events.AddMembers((newcomer("old"),)))
    assert "new" not in roles(team.state(apart))
    assert "old" in roles(team.state(apart))
    with pytest.raises(NotAllowed):
        team.write("max", events.AddMembers((newcomer("new"),)))


def test_who_was_added_by_a_rule_that_never_was_is_no_member() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", remove("ada"))
    apart.write("ada", events.ChangeSetting("invites", "members"))
    apart.write("max", events.AddMembers((newcomer("new"),)))
    assert "new" in roles(apart.state())
    assert "new" not in roles(team.state(apart))


def test_members_who_add_people_leave_room_for_those_who_manage_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_JUNIORS", 1)
    team = Team.founded(invites="members")
    team.write("max", events.AddMembers((newcomer("new"),)))
    with pytest.raises(NotAllowed):
        team.write("mia", events.AddMembers((newcomer("late"),)))
    monkeypatch.setattr(membership, "MAX_JUNIORS", 2)
    late = team.copy().write("mia", events.AddMembers((newcomer("late"),)))
    monkeypatch.setattr(membership, "MAX_JUNIORS", 1)
    assert team.log().add(late.raw).answer is LogAnswer.REFUSED
    team.write("ada", events.RemoveMembers((id_of("new"),), False, ""))
    monkeypatch.setattr(membership, "MAX_JUNIORS", 9)
    monkeypatch.setattr(membership, "MAX_JUNIORS_BYTES", 1)
    assert team.log().add(late.raw).answer is LogAnswer.REFUSED


def test_a_moderator_who_mutes_without_end_leaves_room_for_those_who_manage_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "MAX_JUNIORS", 5)
    team = Team.founded()
    for until in range(5):
        team.write("mo", events.MuteMember(id_of("max"), until))
    with pytest.raises(NotAllowed):
        team.write("mo", events.MuteMember(id_of("max"), 9))
    team.write("mo", events.LeaveGroup())
    team.write("ada", events.MuteMember(id_of("max"), 0))
    team.write("ada", remove("mo"))


@pytest.mark.parametrize("what", ALLOWED)
def test_who_may_do_what(what: str) -> None:
    action, allowed = ALLOWED[what]
    for name in ALL:
        team = Team.founded()
        if name in allowed.split():
            team.write(name, action)
        else:
            with pytest.raises(NotAllowed):
                team.write(name, action)
            log = team.log()
            prev = log.state.sending if events.mode_of(action) else None
            heads, seq = log.state.heads, {"olga": 2, "ada": 1}.get(name, 0)
            forged = forge(team.group, name, action, heads, seq, prev)
            assert log.add(forged.raw).answer is LogAnswer.REFUSED
            assert log.state == team.state()


def test_a_stranger_may_nothing() -> None:
    team = Team.founded()
    with pytest.raises(NotAllowed):
        team.write("eve", events.ChangeSetting("topic", "x"))
    log = team.log()
    update = forge(team.group, "eve", events.UpdateMember(bytes(32), None, "eve"), log.state.heads, 0)
    assert log.add(update.raw).answer is LogAnswer.REFUSED


def test_events_wait_for_their_parents_and_come_in_any_order() -> None:
    team = Team.founded()
    team.write("ada", REMOVE_MAX)
    team.write("abe", events.ChangeSetting("topic", "x"))
    for order in itertools.permutations(team.written):
        log = MembershipLog(team.group)
        answers = [log.add(event.raw) for event in order]
        assert [event for answer in answers for event in answer.taken] == team.written
        assert log.state == team.state()
    late = MembershipLog(team.group).add(team.written[2].raw)
    assert (late.answer, late.missing) == (LogAnswer.WAITING, (team.written[1].id,))


def test_what_names_a_refused_event_is_refused() -> None:
    team = Team.founded()
    log = team.log()
    bad = forge(team.group, "max", events.ChangeSetting("topic", "x"), log.state.heads, 0)
    child = forge(team.group, "ada", events.ChangeSetting("topic", "y"), [bad.id], 1)
    grandchild = forge(team.group, "ada", events.ChangeSetting("topic", "z"), [child.id], 2)
    assert log.add(grandchild.raw).answer is LogAnswer.WAITING
    assert log.add(child.raw).answer is LogAnswer.WAITING
    assert log.add(bad.raw).answer is LogAnswer.REFUSED
    assert log.add(grandchild.raw).answer is log.add(child.raw).answer is LogAnswer.REFUSED


def test_a_removed_admin_who_back_dates_changes_nothing() -> None:
    team = Team.founded()
    before = team.copy()
    team.write("olga", remove("ada"))
    before.write("ada", events.AddMembers((newcomer("crony"),)))
    before.write("ada", remove("mia"))
    before.write("ada", events.SetRole(id_of("max"), Role.MODERATOR))
    before.write("ada", events.ChangeSetting("topic", "mine"))
    state = team.state(before)
    assert (state.members, state.settings) == (team.state().members, {})
    assert "crony" not in roles(state)


def test_what_a_removed_admin_did_before_stays() -> None:
    team = Team.founded()
    team.write("ada", events.AddMembers((newcomer("ned"),)))
    team.write("olga", remove("ada"))
    assert roles(team.state())["ned"] is Role.MEMBER


def test_two_admins_cannot_remove_each_other_and_both_remove_others() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("ada", REMOVE_MAX)
    apart.write("abe", remove("mia"))
    state = team.state(apart)
    assert set(roles(state)) == {"olga", "ada", "abe", "mo"}
    assert len(state.epoch_heads) == 2
    assert state.sending is None, "each epoch can be read by somebody who was removed"
    assert [head.outsiders for head in state.epoch_heads] in (
        [{id_of("mia")}, {id_of("max")}],
        [{id_of("max")}, {id_of("mia")}],
    )
    together = Team(list({event.id: event for event in team.written + apart.written}.values()))
    merged = together.write("abe", events.MergeEpochs())
    assert together.state().sending == merged.id


def test_removal_beats_a_concurrent_add_and_promotion() -> None:
    team = Team.founded()
    apart, third = team.copy(), team.copy()
    team.write("ada", REMOVE_MAX)
    apart.write("olga", events.SetRole(id_of("max"), Role.ADMIN))
    assert "max" not in roles(team.state(apart))
    third.write("abe", events.AddMembers((newcomer("ned"),)))
    fourth = Team(list(third.written))
    fourth.write("olga", remove("ned"))
    with_ada = Team.founded()
    with_ada.write("ada", events.AddMembers((newcomer("ned"),)))
    assert "ned" not in roles(fourth.state(with_ada))


def test_the_senior_decides_where_roles_are_given_concurrently() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.SetRole(id_of("max"), Role.ADMIN))
    apart.write("ada", events.SetRole(id_of("max"), Role.OBSERVER))
    assert roles(team.state(apart))["max"] is Role.ADMIN


def test_settings_of_the_last_writer_count() -> None:
    team = Team.founded()
    apart = team.copy()
    first, second = (
        team.write("ada", events.ChangeSetting("topic", "a")),
        apart.write("abe", events.ChangeSetting("topic", "b")),
    )
    state = team.state(apart)
    assert state.settings["topic"] == ("a" if first.id > second.id else "b")
    apart.write("abe", events.ChangeSetting("topic", "c"))
    assert team.state(apart).settings["topic"] == "c"


def test_a_void_add_drops_its_members_and_what_they_did() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", remove("ada"))
    apart.write("ada", events.AddMembers((newcomer("crony", Role.MODERATOR),)))
    apart.write("crony", events.MuteMember(id_of("mia"), 5))
    assert apart.state().muted == {id_of("mia"): 5}
    state = team.state(apart)
    assert "crony" not in roles(state)
    assert state.muted == {}


def test_whom_a_senior_has_promoted_stays_though_the_add_is_void() -> None:
    team = Team.founded()
    team.write("ada", events.AddMembers((newcomer("ned"),)))
    team.write("olga", events.SetRole(id_of("ned"), Role.ADMIN))
    apart = Team(team.written[:3])
    apart.write("ada", events.ChangeSetting("topic", "fork"))
    state = team.state(apart)
    assert state.suspended == {id_of("ada")}
    assert roles(state)["ned"] is Role.ADMIN


def test_handing_over_makes_an_admin_of_the_owner() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.HandOver(id_of("max")))
    state = team.state()
    assert (roles(state)["max"], roles(state)["olga"]) == (Role.OWNER, Role.ADMIN)
    apart.write("olga", remove("max"))
    assert roles(team.state(apart)) == roles(state), "an owner who has handed over cannot take it back"
    team.write("max", remove("olga"))
    assert "olga" not in roles(team.state())


def test_who_leaves_is_no_member_and_the_secret_is_covered_by_a_removal() -> None:
    team = Team.founded()
    team.write("max", events.LeaveGroup())
    state = team.state()
    assert "max" not in roles(state)
    assert state.left == {id_of("max")}
    assert state.epoch_heads[0].left == {id_of("max")}
    assert state.sending is not None
    team.write("ada", REMOVE_MAX)
    state = team.state()
    assert not state.left | state.epoch_heads[0].left | state.epoch_heads[0].outsiders


@pytest.mark.parametrize("beside", [events.SetRole(id_of("ada"), Role.MEMBER), remove("ada")], ids=["role", "removal"])
def test_who_leaves_has_left_whatever_is_done_about_them_beside(beside: events.Action) -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("ada", events.LeaveGroup())
    apart.write("olga", beside)
    assert "ada" not in roles(team.state(apart))


def test_who_signs_again_and_again_that_they_leave_says_nothing_new() -> None:
    team = Team.founded()
    log, heads = team.log(), team.state().heads
    leaves = [forge(team.group, "max", events.LeaveGroup(), heads, number) for number in range(4)]
    first, *others = sorted(leaves, key=lambda event: event.id, reverse=True)
    assert log.add(first.raw).repeated == frozenset()
    for leave in others:  # each takes the place of the one before, so that all members have the same
        result = log.add(leave.raw)
        assert [event.id for event in result.taken] == [leave.id]
        assert result.repeated == {leave.id}
    assert log.state.left == {id_of("max")}


def test_only_the_newest_update_of_a_member_is_kept() -> None:
    team = Team.founded()
    log = team.log()
    updates = []
    for number in range(3):
        draft = forge(
            team.group, "max", events.UpdateMember(bytes([number]) * 32, None, f"max {number}"), log.state.heads, number
        )
        updates.append(draft)
    assert log.add(updates[1].raw).replaced == ()
    assert log.add(updates[0].raw).replaced == (updates[0].id,)
    assert log.add(updates[2].raw).replaced == (updates[1].id,)
    assert log.state.members[id_of("max")].name == "max 2"
    assert log.add(updates[2].raw).answer is LogAnswer.KNOWN


@pytest.mark.parametrize("until", [2**64 - 1, 2**63, 2**53])
def test_a_mute_that_never_ends_ends_at_a_time_that_a_database_holds(until: int) -> None:
    team = Team.founded()
    team.write("mo", events.MuteMember(id_of("max"), until))
    assert team.state().muted == {id_of("max"): 2**53}


def test_an_update_neither_adds_nor_takes_away_a_kem_key() -> None:
    team = Team.founded()
    log = team.log()
    update = forge(team.group, "max", events.UpdateMember(bytes(32), bytes(1184), "max"), log.state.heads, 0)
    log.add(update.raw)
    assert log.state.members[id_of("max")] == team.state().members[id_of("max")]


def test_an_admin_who_signs_two_events_with_one_number_is_suspended_until_a_senior_decides() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("ada", events.ChangeSetting("topic", "to some"))
    apart.write("ada", events.ChangeSetting("topic", "to others"))
    both = Team(list({event.id: event for event in team.written + apart.written}.values()))
    state = both.state()
    assert [state.suspended, state.settings] == [{id_of("ada")}, {}]
    with pytest.raises(NotAllowed):
        both.write("ada", events.ChangeSetting("topic", "again"))
    both.write("olga", events.SetRole(id_of("ada"), Role.ADMIN))
    assert both.state().suspended == set()
    both.write("ada", events.ChangeSetting("topic", "again"))
    assert both.state().settings == {"topic": "again"}


def test_a_hand_over_to_who_forked_decides_about_it() -> None:
    team = Team.founded()
    early = Team(team.written[:2])
    early.write("ada", events.ChangeSetting("topic", "fork"))
    assert set(roles(team.state(early))) == {"olga", "ada", "abe"}
    both = Team([*team.written, early.written[-1]])
    both.write("olga", events.HandOver(id_of("ada")))
    state = both.state()
    assert roles(state) == ALL | {"olga": Role.ADMIN, "ada": Role.OWNER}
    assert state.settings == {"topic": "fork"}


def test_a_removal_that_counts_again_ends_what_came_of_it_not_counting() -> None:
    team = Team.founded()
    team.write("ada", events.SetRole(id_of("mia"), Role.MODERATOR))
    apart = team.copy()
    apart.write("abe", events.ChangeSetting("name", "fork"))
    team.write("abe", remove("mia"))
    both = Team([*team.written, apart.written[-1]])
    both.write("olga", events.SetRole(id_of("mia"), Role.ADMIN))
    both.write("mia", events.ChangeSetting("topic", "mine"))
    assert both.state().settings == {"topic": "mine"}
    both.write("olga", events.SetRole(id_of("abe"), Role.ADMIN))
    state = both.state()
    assert "mia" not in roles(state)
    assert state.settings == {"name": "fork"}


def test_the_first_event_that_adds_a_member_says_its_role() -> None:
    team = Team.founded()
    team.write("olga", events.AddMembers((newcomer("max", Role.ADMIN),)))
    assert roles(team.state())["max"] is Role.MEMBER
    team.write("ada", REMOVE_MAX)
    apart = Team(team.written[:3])
    apart.write("olga", events.ChangeSetting("topic", "x"))
    assert "max" not in roles(team.state(apart))


def test_an_owner_who_hands_over_twice_makes_two_who_cannot_remove_each_other() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.HandOver(id_of("ada")))
    apart.write("olga", events.HandOver(id_of("max")))
    both = Team([*team.written, apart.written[-1]])
    assert roles(both.state()) == ALL | {"olga": Role.ADMIN, "ada": Role.OWNER, "max": Role.OWNER}
    with pytest.raises(NotAllowed):
        both.write("max", remove("ada"))


def test_a_removed_admin_cannot_take_back_the_past_by_forking_it() -> None:
    team = Team.founded()
    early = team.copy()
    team.write("olga", remove("ada"))
    fork = Team(early.written[:2])
    fork.write("ada", events.ChangeSetting("topic", "x"))
    state = team.state(fork)
    assert roles(state) == {name: role for name, role in ALL.items() if name != "ada"}


NAMED = [2, sorted((id_of("ada"), id_of("abe")))]


def recovered() -> Team:
    team = Team.founded(recovery=NAMED)
    for name in ("ada", "abe"):
        team.write(name, events.RecoverOwner(id_of("mo")))
    for name in ("ada", "abe"):
        team.write(name, events.ConfirmRecovery(id_of("mo")))
    return team


def test_those_named_recover_a_group_whose_owner_is_silent() -> None:
    team = recovered()
    state = team.state()
    assert (roles(state)["mo"], roles(state)["olga"]) == (Role.OWNER, Role.MEMBER)
    team.write("mo", remove("olga"))
    assert "olga" not in roles(team.state())


def test_one_alone_recovers_nothing() -> None:
    team = Team.founded(recovery=NAMED)
    team.write("ada", events.RecoverOwner(id_of("ada")))
    with pytest.raises(NotAllowed):
        team.write("ada", events.ConfirmRecovery(id_of("ada")))
    assert team.state().recoveries[0].asked == {id_of("ada")}


def test_requests_that_did_not_know_each_other_are_the_same_in_any_order() -> None:
    team = Team.founded(recovery=NAMED)
    apart = team.copy()
    first, second = (
        team.write("ada", events.RecoverOwner(id_of("mo"))),
        apart.write("abe", events.RecoverOwner(id_of("mo"))),
    )
    before = apart.written[:-1]
    assert state_of([*before, first, second]) == state_of([*before, second, first])


@pytest.mark.parametrize("known", range(3, 7))
def test_any_event_of_a_living_owner_voids_a_recovery(known: int) -> None:
    team = recovered()
    team.write("mo", remove("olga"))
    alive = Team(team.written[:known])
    alive.write("olga", events.ChangeSetting("topic", "I am here"))
    state = team.state(alive)
    assert roles(state) == ALL
    assert state.recoveries == ()


def test_an_owner_who_knows_of_the_recovery_is_none_any_more() -> None:
    team = recovered()
    with pytest.raises(NotAllowed):
        team.write("olga", events.ChangeSetting("topic", "I am here"))


def test_a_log_is_restored_from_its_events_in_any_order() -> None:
    team = recovered()
    team.write("max", events.UpdateMember(bytes(32), None, "other"))
    log = MembershipLog(team.group)
    shuffled = list(team.written)
    random.Random(1).shuffle(shuffled)
    log.restore(event.raw for event in shuffled)
    assert log.state == team.state()


def test_recipients_are_those_who_stay() -> None:
    team = Team.founded()
    log = team.log()
    draft = log.draft(newcomer("ada").sign, REMOVE_MAX)
    names = [member.name for member in draft.recipients]
    assert sorted(names) == ["abe", "ada", "mia", "mo", "olga"]
    removal = team.write("ada", REMOVE_MAX)
    later = team.write("ada", events.AddMembers((newcomer("ned"),)))
    log = team.log()
    assert log.members_at(removal.id) == {member.id: member for member in draft.recipients}
    assert [*log.members_at(removal.id)] == sorted(log.members_at(removal.id))
    assert log.members_at(later.id) is log.state.members, "it is not made again for thousands of members"
    team.write("mia", events.LeaveGroup())
    log = team.log()
    assert newcomer("mia").id not in log.state.members
    assert newcomer("mia").id in log.members_at(later.id), "nobody has removed her"


def test_who_was_added_beside_an_epoch_is_no_holder_of_it() -> None:
    team = Team.founded()
    apart = team.copy()
    ned, zed = newcomer("ned"), newcomer("zed")
    added, beside = team.write("ada", events.AddMembers((ned,))), apart.write("abe", events.AddMembers((zed,)))
    log = team.log(apart)
    assert (ned.id in log.holders(added.id), zed.id in log.holders(added.id)) == (True, False)
    assert (ned.id in log.holders(beside.id), zed.id in log.holders(beside.id)) == (False, True)
    assert log.holders(added.id) == {*log.members_at(added.id)}
    removal = team.write("ada", REMOVE_MAX)
    log = team.log(apart)
    assert log.holders(removal.id) == {*log.members_at(removal.id)}


def test_events_of_another_group_and_other_bytes_are_refused() -> None:
    team, other = Team.founded(), Team([found("eve")])
    log = team.log()
    assert log.add(other.written[0].raw).answer is LogAnswer.REFUSED
    assert log.add(b"").answer is LogAnswer.REFUSED
    stray = forge(other.group, "olga", events.ChangeSetting("topic", "x"), log.state.heads, 2)
    assert log.add(stray.raw).answer is LogAnswer.REFUSED


def test_an_unknown_parent_waits_within_a_bound() -> None:
    team = Team.founded()
    log = team.log()
    dropped = list[EventId]()
    for number in range(1_030):
        parent = EventId(number.to_bytes(32, "big"))
        event = forge(team.group, "eve", events.ChangeSetting("x", number), [parent], 0)
        dropped += log.add(event.raw).dropped
    assert len(dropped) == 6


def test_a_removed_admin_cannot_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_VOID_EVENTS", 5)
    team = Team.founded()
    apart = team.copy()
    team.write("olga", remove("ada"))
    log, other = team.log(), apart.log()
    answers = [
        log.add(write(other, "ada", events.ChangeSetting("topic", f"{number}")).raw).answer for number in range(8)
    ]
    assert answers == [LogAnswer.TAKEN] * 5 + [LogAnswer.REFUSED] * 3
    monkeypatch.setattr(membership, "MAX_VOID_BYTES", 100)
    late = write(log_of(team.written[:3]), "ada", events.RotateEpoch())
    assert log.add(late.raw).answer is LogAnswer.REFUSED
    assert log.state.members == team.state().members


def test_an_admin_who_signs_a_number_again_and_again_cannot_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_VOID_EVENTS", 5)
    team = Team.founded()
    log, heads = team.log(), team.state().heads
    said = [events.ChangeSetting("topic", f"{number}") for number in range(8)]
    answers = [log.add(forge(team.group, "ada", action, heads, 1).raw).answer for action in said]
    assert answers == [LogAnswer.TAKEN] * 5 + [LogAnswer.REFUSED] * 3
    assert log.state.suspended == {id_of("ada")}


def test_a_removed_admin_cannot_crowd_out_what_counts() -> None:
    """Of more newest events than an event can name, those that count come first, and what the author did itself."""
    team = Team.founded()
    apart = team.copy()
    team.write("olga", remove("ada"))
    log, other = team.log(), apart.log()
    for number in range(12):
        fork = apart.log()
        for step in range(3):
            log.add(write(fork, "ada", events.ChangeSetting(f"{number}", step)).raw)
    assert len(log.state.heads) == events.MAX_PARENTS
    assert team.written[-1].id in log.state.heads
    assert log.state.members == team.state().members
    after = write(log, "olga", events.ChangeSetting("topic", "still here"))
    assert team.written[-1].id in after.parents
    assert (after.seq, log.state.settings["topic"], log.state.suspended) == (3, "still here", frozenset())
    log.add(write(other, "abe", events.ChangeSetting("name", "us")).raw)
    assert write(log, "olga", events.ChangeSetting("topic", "and here")).seq == 4


def test_a_log_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team.founded()
    log = team.log()
    size = sum(len(event.core) for event in team.written)
    topic = write(team.log(), "olga", events.ChangeSetting("topic", "x"))
    monkeypatch.setattr(membership, "MAX_CORES_BYTES", size + len(topic.core) - 1)
    assert log.add(topic.raw).answer is LogAnswer.REFUSED
    monkeypatch.undo()
    monkeypatch.setattr(membership, "MAX_EVENTS", 3)
    assert team.log().add(topic.raw).reason == "the log is full"


def test_a_member_leaves_a_group_whose_log_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team.founded()
    log, apart = team.log(), team.copy()
    left, stays = team.write("max", events.LeaveGroup()), apart.write("mo", events.LeaveGroup())
    monkeypatch.setattr(membership, "MAX_EVENTS", 0)
    assert log.add(left.raw).answer is LogAnswer.TAKEN
    assert log.state.left == {id_of("max")}
    assert log.add(stays.raw).reason == "the log is full", "what a moderator signs is in the graph"


def test_settings_have_an_end() -> None:
    team = Team.founded(**{f"key {number:02}": number for number in range(30)})
    log = team.log()
    for number in range(30, 64):
        write(log, "ada", events.ChangeSetting(f"key {number}", number))
    with pytest.raises(NotAllowed):
        write(log, "ada", events.ChangeSetting("one more", 1))
    write(log, "ada", events.ChangeSetting("key 63", 1))


def test_everything_is_the_same_after_only_part_of_it() -> None:
    team = recovered()
    log = log_of(team.written[:5])
    assert log.state == state_of(team.written[:5])
    for event in team.written[5:]:
        log.add(event.raw)
    assert log.state == team.state()


def test_what_goes_on_from_an_epoch_is_known() -> None:
    team = Team.founded()
    rotated = team.write("ada", events.RotateEpoch())
    added = team.write("ada", events.AddMembers((newcomer("nina"),)))
    team.write("ada", events.RotateEpoch())
    assert team.log().advances(rotated.id) == (added.id,)
    assert team.log().advances(added.id) == ()
