"""Random logs: whoever acts, whatever they knew, and in whatever order it arrives.

A log is made of steps: somebody who knows some of the events does something. Nobody has to have told the truth about
what they knew, so removed admins back-date, admins act in duels, and some sign two events with one number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.codec import encode
from p2pchat.core.groups import events
from p2pchat.core.groups.epochs import CONFIRM_BYTES
from p2pchat.core.groups.events import Action, GroupEvent
from p2pchat.core.groups.membership import LogAnswer, MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.state import GroupState
from p2pchat.core.ids import EventId, GroupId
from p2pchat.errors import NotAllowed
from tests.core.groups import oracle
from tests.core.groups.crowd import Team, finish, id_of, log_of, newcomer, roles, seed_of
from tests.support.examples import examples
from tests.support.sampling import sampled

PEOPLE = ["olga", "ada", "abe", "mo", "max", "mia", "ned", "nia", "nat"]
NAMED = [2, sorted((id_of("ada"), id_of("abe"), id_of("max")))]
PLENTY = st.integers(0, 1 << 16)


@dataclass(frozen=True)
class Step:
    """Who does what to whom, and which events they know, as numbers that are taken modulo what there is."""

    who: int
    what: int
    whom: int
    knows: tuple[int, ...]


STEPS = st.lists(
    st.builds(
        Step,
        who=st.integers(0, 8),
        what=st.integers(0, 17),
        whom=st.integers(0, 8),
        knows=st.tuples(PLENTY) | st.just(()),
    ),
    max_size=18,
)


def action_of(step: Step) -> Action:
    whom = PEOPLE[step.whom]
    member = id_of(whom)
    actions: list[Action] = [
        events.RemoveMembers((member,), False, ""),
        events.RemoveMembers((member,), True, ""),
        events.AddMembers((newcomer(whom, Role.ADMIN),)),
        events.AddMembers((newcomer(whom),)),
        events.SetRole(member, Role.ADMIN),
        events.SetRole(member, Role.MODERATOR),
        events.SetRole(member, Role.OBSERVER),
        events.HandOver(member),
        events.ChangeSetting("topic", whom),
        events.MuteMember(member, step.what + 1),
        events.RotateEpoch(),
        events.MergeEpochs(),
        events.LeaveGroup(),
        events.RecoverOwner(member),
        events.ConfirmRecovery(member),
        events.ChangeSetting("recovery", NAMED),
        events.ChangeSetting("invites", "members"),
        events.ChangeSetting("invites", "admins"),
    ]
    return actions[step.what]


def closure(written: list[GroupEvent], known: set[EventId]) -> list[GroupEvent]:
    """The events that somebody has who has these, in order."""
    by_id = {event.id: event for event in written}
    waiting = list(known)
    while waiting:
        for parent in by_id[waiting.pop()].parents:
            if parent not in known:
                known.add(parent)
                waiting.append(parent)
    return [event for event in written if event.id in known]


def founded(*, recoverable: bool, open_to_all: bool) -> Team:
    """The team, perhaps with admins who can replace its owner, and with members who add people."""
    rules = {"invites": "members"} if open_to_all else {}
    return Team.founded(**rules, recovery=NAMED) if recoverable else Team.founded(**rules)


def play(team: Team, steps: list[Step]) -> list[GroupEvent]:
    """Write what each step says if it is allowed to whoever knows what it says. Returns what was written."""
    done = []
    for step in steps:
        graph = [event for event in team.written if not isinstance(event.action, events.LeaveGroup)]
        known = {graph[number % len(graph)].id for number in step.knows} or {event.id for event in graph}
        log = log_of(closure(team.written, known))
        try:
            draft = log.draft(prim.sign_public(seed_of(PEOPLE[step.who])), action_of(step))
        except NotAllowed:
            continue
        event = finish(draft.core, PEOPLE[step.who])
        if all(event.id != before.id for before in team.written):
            team.written.append(event)
            done.append(event)
    return done


def in_order(written: list[GroupEvent], seed: int) -> tuple[GroupState, set[EventId]]:
    """The state, and what was taken, if the events arrive in this order."""
    shuffled = list(written)
    random.Random(seed).shuffle(shuffled)
    log = MembershipLog(GroupId(written[0].id))
    taken: set[EventId] = set()
    for event in shuffled:
        taken.update(event.id for event in log.add(event.raw).taken)
    return log.state, taken


def judged_by_oracle(written: list[GroupEvent]) -> tuple[object, ...]:
    log = oracle.Log(event.raw for event in written)
    view = log.view()
    members = {who: place for who, place in view.members.items() if who not in log.leaves}
    muted = {who: until for who, until in view.muted.items() if until and who in members}
    return members, view.settings, muted, set(view.epochs)


def as_oracle_says(state: GroupState) -> tuple[object, ...]:
    members = {member.id: (int(member.role), member.sign) for member in state.members.values()}
    return members, state.settings, state.muted, {head.id for head in state.epoch_heads}


@settings(max_examples=examples(60), deadline=None)
@given(STEPS, st.booleans(), st.booleans())
@pytest.mark.hypothesis
def test_every_order_gives_what_the_page_says(steps: list[Step], recoverable: bool, open_to_all: bool) -> None:
    team = founded(recoverable=recoverable, open_to_all=open_to_all)
    play(team, steps)
    state, taken = in_order(team.written, 0)
    assert in_order(team.written, 1) == (state, taken)
    assert log_of(team.written).state == state
    assert as_oracle_says(state) == judged_by_oracle(team.written)


@settings(max_examples=examples(40), deadline=None)
@given(STEPS, STEPS)
@pytest.mark.hypothesis
def test_what_a_removed_admin_signs_later_changes_nothing(before: list[Step], after: list[Step]) -> None:
    team = Team.founded()
    play(team, [step for step in before if step.what != 7])
    try:
        team.write("olga", events.RemoveMembers((id_of("ada"),), True, ""))
    except NotAllowed:
        return  # not an admin any more
    state = team.state()
    ada = PEOPLE.index("ada")
    written = len(team.written)
    apart = Team(team.written[:-1])
    forged = play(apart, [Step(ada, step.what, step.whom, step.knows or (step.whom,)) for step in after])
    later = log_of([*team.written, *forged]).state
    assert len(team.written) == written
    assert (later.members, later.settings, later.muted) == (state.members, state.settings, state.muted)
    assert {head.id for head in later.epoch_heads} == {head.id for head in state.epoch_heads}


@settings(max_examples=examples(40), deadline=None)
@given(STEPS)
@pytest.mark.hypothesis
def test_nobody_unseats_an_owner_who_lives(steps: list[Step]) -> None:
    team = Team.founded(recovery=NAMED)
    play(team, [step for step in steps if step.who != 0])
    alive = Team(team.written[:3])
    alive.write("olga", events.RotateEpoch())
    assert roles(team.state(alive))["olga"] is Role.OWNER


@settings(max_examples=examples(30), deadline=None)
@given(STEPS)
@pytest.mark.hypothesis
def test_equals_never_act_on_each_other(steps: list[Step]) -> None:
    """Whatever admins and those below them do, admins who were there stay what they are."""
    team = Team.founded()
    play(team, [step for step in steps if step.who not in (0,) and step.what != 12])
    state = team.state()
    for name in ("olga", "ada", "abe"):
        assert roles(state)[name] is (Role.OWNER if name == "olga" else Role.ADMIN)


def random_team(seed: int, *, recovering: bool) -> Team:
    """A longer log than hypothesis makes: of people who mostly may do what they do."""
    chance = random.Random(seed)
    team = founded(recoverable=recovering or chance.random() < 0.5, open_to_all=chance.random() < 0.5)
    candidate, length = chance.randrange(9), chance.choice([6, 12, 24])
    if recovering:
        play(team, [Step(who, 13, candidate, ()) for who in chance.sample([1, 2, 4], chance.choice([2, 3]))])
    weights = [chance.choice([0, 1, 1, 3]) for _ in range(18)]
    weights[14] *= 8 if recovering else 2
    weights[15] = 1
    apart, written = chance.choice([0.1, 0.3, 0.6, 0.9]), 0
    for _ in range(100):
        who, whom = chance.choice([0, 1, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 6, 7, 8]), chance.randrange(9)
        what = chance.choices(range(18), weights)[0]
        whom = candidate if recovering and chance.random() < 0.7 else whom
        knows = (chance.randrange(1 << 16),) if chance.random() < apart else ()
        written += len(play(team, [Step(who, what, whom, knows)]))
        if written >= length:
            break
    return team


@pytest.mark.parametrize("seed", sampled(range(400), 6, "long logs"))
def test_long_logs_give_what_the_page_says_in_any_order(seed: int) -> None:
    team = random_team(seed, recovering=seed % 2 == 1)
    state, taken = in_order(team.written, seed)
    assert in_order(team.written, seed + 1) == (state, taken)
    assert log_of(team.written).state == state
    assert as_oracle_says(state) == judged_by_oracle(team.written)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4),
    max_leaves=8,
)
_IDS = st.sampled_from([bytes(id_of(name)) for name in PEOPLE])


@settings(max_examples=examples(40), deadline=None)
@given(
    st.integers(0, 14),
    st.lists(
        VALUES | _IDS | st.lists(_IDS, max_size=2) | st.integers(0, 11) | st.sampled_from(["recovery"]), max_size=4
    ),
    st.integers(0, 2),
    st.booleans(),
)
@pytest.mark.hypothesis
def test_whatever_an_owner_signs_is_taken_or_refused(op: int, args: list[object], mode: int, succeeds: bool) -> None:
    team = Team.founded()
    log = team.log()
    prev = log.state.sending if succeeds else None
    core = encode([1, team.group, list(log.state.heads), 2, newcomer("olga").sign, op, args, mode, prev])
    confirm, rekey = (bytes(CONFIRM_BYTES) if mode else None), (b"rekey" if mode == 2 else None)
    result = log.add(events.signed_bytes(core, confirm, rekey, seed_of("olga")))
    assert (result.answer is LogAnswer.REFUSED) == (log.state == team.state())
    _ = log.draft(newcomer("olga").sign, events.RotateEpoch())


def test_an_event_is_taken_once_however_often_it_comes() -> None:
    team = Team.founded()
    log = team.log()
    assert [log.add(event.raw).answer for event in team.written] == [LogAnswer.KNOWN] * 3
