"""What is said about a lost owner: who asks, how many are missing, and when it happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import RECOVERY, recovery_value
from p2pchat.core.groups.state import OpenRecovery
from p2pchat.core.ids import EventId
from p2pchat.engine.groups import history, recovery
from p2pchat.lib.times import DAY_MS
from p2pchat.store.groups import events as store_events
from tests.engine.groups.test_gaps import Group, in_time

FIRST, SECOND = EventId(b"1" * 32), EventId(b"2" * 32)
KEEP = " `p2pchat group keep CHAT` says that you are here."


def test_it_is_said_who_asks_and_what_comes_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        tx, me, bob, carol = group.tx, group.row.member, group.bob, group.carol
        state = history.log_of(tx, group.chat).state
        assert state.members[me].role is Role.OWNER
        later = replace(state, members={**state.members, me: replace(state.members[me], role=Role.ADMIN)})
        at = {FIRST: 0, SECOND: DAY_MS}
        monkeypatch.setattr(store_events, "seen", lambda db, chat, ids: {id: at[id] for id in ids})

        def says(case: OpenRecovery, **more: Any) -> str:
            return recovery.sentence(tx.db, group.chat, more.get("state", later), me, case)

        one = OpenRecovery(carol, 2, frozenset({bob}), frozenset(), (FIRST,))
        more = "1 more of those whom the owner named has to ask"
        assert says(one) == f"bob asks that carol becomes the owner; {more}."
        anything = ", and nothing happens if you do anything"
        assert says(one, state=state) == f"bob asks that carol becomes the owner; {more}{anything}.{KEEP}"
        gone = replace(state, members={id: member for id, member in state.members.items() if id != me})
        assert says(one, state=gone) == says(one), "also once we have left"
        of_three = replace(one, needed=3)
        assert says(of_three).endswith("; 2 more of those whom the owner named have to ask.")

        both = OpenRecovery(carol, 2, frozenset({bob, carol}), frozenset(), (FIRST, SECOND))
        who, when = "bob and carol ask that carol becomes the owner", "it happens on 1970-01-16T00:00:00.000Z"
        assert says(both) == f"{who}; {when} unless the owner does anything."
        assert says(both, state=state) == f"{who}; {when} unless you do anything.{KEEP}"
        for needed, day in ((1, 15), (2, 16)):
            assert f"on 1970-01-{day}T" in says(replace(both, needed=needed)), "of the last whom it takes"
        mine = OpenRecovery(me, 2, frozenset({me}), frozenset(), (FIRST,))
        assert says(mine) == f"You ask that you become the owner; {more}."
        together = replace(mine, asked=frozenset({me, bob}))
        assert says(together).startswith("You and bob ask that you become the owner")
        assert says(replace(one, asked=frozenset({me, carol}))).startswith("You and carol ask that carol becomes")

    in_time(tmp_path, monkeypatch, play)


def test_it_is_said_of_each_who_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        tx, me = group.tx, group.row.member
        state = history.log_of(tx, group.chat).state
        assert recovery.ownership(state) == recovery.NOBODY, "the owner named nobody"
        cases = tuple(
            OpenRecovery(member, 2, frozenset({member}), frozenset(), (FIRST,)) for member in (group.bob, group.carol)
        )
        said = recovery.sentences(tx.db, group.chat, replace(state, recoveries=cases), me)
        written = {**state.settings, RECOVERY.key: recovery_value(1, frozenset({group.bob}))}
        asked = recovery.ownership(replace(state, settings=written, recoveries=cases))
        assert asked == recovery.Ownership(frozenset({me}), frozenset({group.bob, group.carol}))
        assert [name in said for name in ("bob asks that bob becomes", "carol asks that carol becomes")] == [True] * 2

    in_time(tmp_path, monkeypatch, play)
