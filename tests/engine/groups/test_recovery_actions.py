"""What we do about a lost owner, and when it is not for us to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.core.groups.events import ConfirmRecovery
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import RECOVERY, recovery_value
from p2pchat.core.groups.state import GroupState, OpenRecovery
from p2pchat.core.ids import EventId, MemberId
from p2pchat.engine.groups import changes, history, recovery_actions
from p2pchat.errors import NotAllowed, NotNow, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from tests.engine.groups.test_gaps import Group, in_time

FIRST, SECOND = EventId(b"1" * 32), EventId(b"2" * 32)


class Lost:
    """A group whose owner is lost, and in which we are an admin. made: what we have made."""

    def __init__(self, group: Group, patch: pytest.MonkeyPatch) -> None:
        self.group, self.made = group, list[object]()
        state = history.log_of(group.tx, group.chat).state
        me, bob, carol = group.row.member, group.bob, group.carol
        roles = {me: Role.ADMIN, bob: Role.OWNER, carol: Role.ADMIN}
        members = {id: replace(member, role=roles[id]) for id, member in state.members.items()}
        settings = {**state.settings, RECOVERY.key: recovery_value(2, frozenset({me, carol}))}
        self.state = replace(state, members=members, settings=settings)
        self.case = OpenRecovery(carol, 2, frozenset({me, carol}), frozenset(), (FIRST, SECOND))
        store_groups.update(group.tx.db, group.chat, role=int(Role.ADMIN))
        patch.setattr(changes, "make", lambda tx, row, action: self.made.append(action))
        patch.setattr(history, "log_of", lambda tx, chat: self)  # of which the state alone is asked

    def opened(self, *cases: OpenRecovery) -> None:
        self.state = replace(self.state, recoveries=cases)

    def confirmed(self, ms: int) -> list[object]:
        """What we make when so many ms have passed."""
        self.made.clear()
        self.group.tx.passed = ms
        recovery_actions.confirm(self.group.tx, self.group.chat)
        return self.made


def test_it_is_confirmed_by_who_asked_14_days_after_the_last_whom_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        lost, due = Lost(group, monkeypatch), 15 * DAY_MS
        at = {FIRST: 0, SECOND: DAY_MS}
        monkeypatch.setattr(store_events, "seen", lambda db, chat, ids: {id: at[id] for id in ids})
        others = replace(lost.case, asked=frozenset({group.bob, group.carol}))
        lost.opened(others)
        assert lost.confirmed(due) == [], "we have not asked"
        lost.opened(others, lost.case)
        assert lost.confirmed(due - 1) == []
        assert lost.confirmed(due) == [ConfirmRecovery(group.carol)]
        lost.opened(lost.case, replace(lost.case, member=group.row.member))
        assert lost.confirmed(due) == [ConfirmRecovery(group.carol)], "one at a time"
        store_groups.update(group.tx.db, group.chat, role=int(Role.MEMBER))
        assert lost.confirmed(due) == []

    in_time(tmp_path, monkeypatch, play)


def test_only_admins_who_are_named_ask_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        lost, me, carol = Lost(group, monkeypatch), group.row.member, group.carol

        def ask(member: MemberId) -> None:
            row = store_groups.get(group.tx.db, group.chat)
            assert row is not None
            recovery_actions.ask(group.tx, row, member)

        lost.opened(replace(lost.case, asked=frozenset({carol})))
        ask(carol)
        assert len(lost.made) == 1
        lost.opened(lost.case)
        with pytest.raises(NotNow, match="You have asked"):
            ask(carol)
        ask(me)
        assert len(lost.made) == 2, "for another"
        with pytest.raises(NotNow, match="bob is the owner"):
            ask(group.bob)
        store_groups.update(group.tx.db, group.chat, role=int(Role.MODERATOR))
        with pytest.raises(NotAllowed):
            ask(me)
        store_groups.update(group.tx.db, group.chat, role=int(Role.ADMIN))
        settings = {**lost.state.settings, RECOVERY.key: recovery_value(1, frozenset({carol}))}
        lost.state = replace(lost.state, settings=settings)
        with pytest.raises(NotAllowed):
            ask(me)
        assert len(lost.made) == 2

    in_time(tmp_path, monkeypatch, play)


def test_a_rule_names_admins_and_takes_more_than_half_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        lost, me, carol = Lost(group, monkeypatch), group.row.member, group.carol
        ids = {"me": me, "carol": carol, "bob": group.bob}

        def rule(written: str, state: GroupState = lost.state) -> object:
            return recovery_actions.rule(written, state, lambda name: ids[name.strip()])

        assert rule("off") is None
        assert rule("2 of me, carol,") == recovery_value(2, frozenset({me, carol}))
        assert rule("1 of carol") == recovery_value(1, frozenset({carol}))
        for wrong in ("", "2", "1 of ", "0 of me", "1 of me, carol", "3 of me, carol", "1 of bob", "100 of me"):
            with pytest.raises(UsageError):
                rule(wrong)
        admin = lost.state.members[carol]
        many = {f"m{number}": MemberId(bytes([number]) * 8) for number in range(1, 18)}
        ids |= many
        members = {id: replace(admin, id=id) for id in many.values()}
        for count, fits in ((16, True), (17, False)):
            written = f"9 of {', '.join([*many][:count])}"
            if fits:
                assert rule(written, replace(lost.state, members=members)) is not None
            else:
                with pytest.raises(UsageError, match="At most 16"):
                    rule(written, replace(lost.state, members=members))

    in_time(tmp_path, monkeypatch, play)
