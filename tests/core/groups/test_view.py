"""How much work it is to follow a log: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from p2pchat.core.groups import events, strength, summary
from p2pchat.core.groups.ancestry import Ancestry
from p2pchat.core.groups.membership import MAX_VIEWS, LogAnswer, MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.view import LogView
from p2pchat.core.ids import GroupId
from tests.core.groups.crowd import Team, id_of, log_of, newcomer, write

PLENTY = 150


class Counter:
    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def watch(self, patch: pytest.MonkeyPatch, place: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(place, name)
        self.calls[name] = 0

        def counted(*args: Any, **more: Any) -> Any:
            self.calls[name] += 1
            return original(*args, **more)

        patch.setattr(place, name, counted)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts what costs as much as the log is long, and the members that are made for a state."""
    watched = Counter()
    for place, name in ((strength, "void_bits"), (LogView, "_tabulate"), (LogView, "_take"), (summary, "Member")):
        watched.watch(monkeypatch, place, name)
    return watched


def long_team() -> Team:
    """A group of which every member was added by an event of its own."""
    team = Team.founded()
    log = team.log()
    for number in range(PLENTY):
        team.written.append(write(log, "ada", events.AddMembers((newcomer(f"member {number}"),))))
    return team


def test_a_log_that_nobody_forks_is_followed_without_evaluating_it(counter: Counter) -> None:
    written = long_team().written
    counter.calls = dict.fromkeys(counter.calls, 0)
    log = log_of(written)
    assert counter.calls == {"void_bits": 0, "_tabulate": 0, "_take": len(written), "Member": 0}
    assert len(log.state.members) == PLENTY + 6
    counter.calls = dict.fromkeys(counter.calls, 0)
    write(log, "abe", events.RemoveMembers((id_of("member 7"),), False, ""))
    write(log, "abe", events.SetRole(id_of("member 8"), Role.OBSERVER))
    assert len(log.state.members) == PLENTY + 5
    assert counter.calls["Member"] <= 3, "the others are those of the last state"
    assert (counter.calls["void_bits"], counter.calls["_tabulate"]) == (0, 0)


def test_what_others_did_apart_is_followed_step_by_step_too(counter: Counter) -> None:
    team = long_team()
    apart = team.copy()
    log, other = team.log(), apart.log()
    for number in range(20):
        team.written.append(write(log, "ada", events.ChangeSetting("topic", f"{number}")))
        apart.written.append(write(other, "abe", events.ChangeSetting("name", f"{number}")))
    counter.calls = dict.fromkeys(counter.calls, 0)
    for event in apart.written[-20:]:
        assert log.add(event.raw).answer is LogAnswer.TAKEN
    assert log.state.settings == {"topic": "19", "name": "19"}
    assert counter.calls["_tabulate"] == 1, "one view, of what they knew when they parted"
    assert counter.calls["void_bits"] == 1


def test_only_some_views_of_others_are_kept() -> None:
    team = Team.founded()
    log = team.log()
    for number in range(8):
        team.written.append(write(log, "ada", events.ChangeSetting("topic", f"{number}")))
    log = team.log()
    for number in range(8):
        old = log_of(team.written[: 3 + number])
        log.add(write(old, "abe", events.ChangeSetting("name", f"{number}")).raw)
    assert len(log._views) == MAX_VIEWS


def test_a_view_from_scratch_is_that_of_who_followed() -> None:
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.RemoveMembers((id_of("ada"),), False, ""))
    apart.write("ada", events.AddMembers((newcomer("crony"),)))
    log = team.log(apart)
    followed, scratch = log._now, LogView.of(log._log, log._now.known)
    assert followed.void == scratch.void != 0
    for name in ("added", "roles", "gone", "values", "muted", "successor", "heads", "epochs"):
        assert getattr(followed, name) == getattr(scratch, name)


def test_a_view_of_nothing_has_nobody() -> None:
    assert list(LogView.of(Ancestry(), 0).members()) == []
    state = MembershipLog(GroupId(bytes(32))).state
    assert (state.members, state.sending, state.heads) == ({}, None, ())
