"""Messages of a group that have not arrived: who is asked when, what is shown, and what is no such message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat.core.contents import GroupWant, Payload
from p2pchat.core.delivery import Route
from p2pchat.core.groups.chains import MAX_JUMP, Chain
from p2pchat.core.groups.messages import SeenMessage
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import gaps
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import gaps as store_gaps
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from tests.support.world import World, run_world
from tests.world.test_group_gaps import in_group, member_called, three

NUMBER = 50


class Group:
    """A group of alice, bob and carol as alice has it, in one transaction, whose time the test sets. asked: who was
    asked for which numbers.
    """

    def __init__(self, tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
        row = store_groups.get(tx.db, chat)
        assert row is not None
        self.tx, self.chat, self.epoch, self.start = tx, chat, epoch, tx.now
        self.row: GroupRow = row
        self.bob, self.carol = (member_called(tx, chat, name) for name in ("bob", "carol"))
        self.asked = list[tuple[str, list[int]]]()

    def after(self, ms: int) -> list[str]:
        """See what is due so long after the start; return who is asked."""
        self.tx.now = self.start + ms
        self.asked.clear()
        gaps.check_all(self.tx)
        return [name for name, _ in self.asked]

    def miss(self, *numbers: int, by: MemberId | None = None) -> None:
        for number in numbers:
            gaps._note(self.tx, self.chat, self.epoch.pk, self.bob, number, by)

    def names(self, member: MemberId, number: int) -> None:
        """Have carol name a message of this member as one that she has seen."""
        chain = store_epochs.chain(self.tx.db, self.epoch.pk, member)
        seen = SeenMessage(0, member, number, bytes(8))
        gaps.named(self.tx, self.row, self.epoch.pk, seen, self.carol, chain)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        return self.tx.db.query(f"SELECT {columns} FROM group_gaps ORDER BY number")

    @property
    def lines(self) -> list[str]:
        """What the chat says about it."""
        sql = "SELECT text FROM messages WHERE pk IN (SELECT notice FROM group_gaps) ORDER BY pk"
        return [text for (text,) in self.tx.db.query(sql)]


def in_time(tmp_path: Path, patch: pytest.MonkeyPatch, play: Callable[[Group], None]) -> None:
    """Play something in one transaction of alice's node."""

    async def main(world: World) -> None:
        alice, *_ = await three(world)
        played = list[Group]()

        def queue(tx: Transaction, contact: Contact, payload: Payload, **more: object) -> None:
            if isinstance(payload, GroupWant):
                played[0].asked.append((contact.name, [place.number for place in payload.places]))

        def begin(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            played.append(Group(tx, chat, epoch))
            play(played[0])
            tx.now = played[0].start

        with patch.context() as patched:
            patched.setattr(outbound, "queue", queue)
            patched.setattr(outbound, "nudge", lambda tx, contact: None)
            await alice.engine.committer.submit(in_group(alice, begin))

    run_world(tmp_path, main)


def linked(patch: pytest.MonkeyPatch, group: Group, *names: str) -> None:
    """Let alice's node have links to these alone."""
    ids = {group.tx.find(name).id for name in names}
    patch.setattr(group.tx.net, "route", lambda contact: Route.DIRECT if contact in ids else None)


def test_members_are_asked_in_turn_with_growing_pauses_until_a_day_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        linked(monkeypatch, group, "bob", "carol")
        group.miss(NUMBER)
        asked = [(minute, group.after(minute * MINUTE_MS)) for minute in range(1440)]
        order = [(minute, names) for minute, names in asked if names]
        assert order == [
            (1, ["bob"]),  # its author
            (3, ["carol"]),
            (13, ["bob"]),
            (73, ["carol"]),
            (433, ["bob"]),
            (793, ["carol"]),
            (1153, ["bob"]),
        ]
        assert group.rows("asked, given_up") == [(7, 0)]
        assert [group.after(minute * MINUTE_MS) for minute in (1440, 1513, 3000)] == [[], [], []]
        assert group.rows("asked, given_up") == [(7, 1)]
        assert group.chat not in group.tx.memory.gaps

    in_time(tmp_path, monkeypatch, play)


def test_nothing_is_asked_or_shown_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        group.miss(NUMBER, NUMBER + 1)
        assert group.after(MINUTE_MS - 1) == []
        assert len(group.after(MINUTE_MS)) == 1
        assert group.asked[0][1] == [NUMBER, NUMBER + 1], "both at once"
        group.after(2 * MINUTE_MS - 1)
        assert group.lines == []
        group.after(2 * MINUTE_MS)
        asked = "have not arrived. Members who are your contacts are asked for them."
        assert group.lines == [f"2 messages of bob {asked}"]
        group.miss(NUMBER + 2)
        group.after(4 * MINUTE_MS)
        assert group.lines == [f"3 messages of bob {asked}"], "one line for each author"

    in_time(tmp_path, monkeypatch, play)


def test_who_has_a_link_is_asked_first_then_who_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        for names, first in (((), ["bob"]), (("carol",), ["carol"]), (("bob",), ["bob"])):
            store_gaps.arrived(group.tx.db, group.epoch.pk, group.bob, NUMBER, group.tx.now)
            linked(monkeypatch, group, *names)
            group.start = group.tx.now
            group.miss(NUMBER)
            assert group.after(MINUTE_MS) == first, names

    in_time(tmp_path, monkeypatch, play)


def test_whoever_slept_for_days_asks_some_before_giving_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        group.miss(NUMBER)
        week = 7 * DAY_MS
        for minute, asked in ((0, 1), (2, 2), (12, 3)):
            group.after(week + minute * MINUTE_MS)
            assert group.rows("asked, given_up") == [(asked, 0)]
        group.after(week + 13 * MINUTE_MS)
        assert group.rows("asked, given_up") == [(3, 1)]
        assert group.lines == ["1 message of bob did not arrive, and nobody who was asked has it."]

    in_time(tmp_path, monkeypatch, play)


def test_where_there_is_nobody_to_ask_it_is_given_up_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are known for the group alone."""

    def play(group: Group) -> None:
        for name in ("bob", "carol"):
            group.tx.change(group.tx.find(name).id, state=ContactState.BLOCKED)
        group.miss(NUMBER)
        assert group.after(HOUR_MS) == []
        assert group.lines == ["1 message of bob has not arrived. You know no member who could be asked for it."]
        group.after(DAY_MS - 1)
        assert group.rows("asked, given_up") == [(0, 0)]
        group.after(DAY_MS)
        assert group.rows("asked, given_up") == [(0, 1)]
        assert group.lines == ["1 message of bob did not arrive, and there was nobody to ask for it."]

    in_time(tmp_path, monkeypatch, play)


def test_a_message_of_whom_we_have_no_chain_any_more_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        group.miss(NUMBER)
        group.tx.db.execute("DELETE FROM group_chains WHERE member = ?", (group.bob,))
        monkeypatch.setattr(store_epochs, "chain", lambda db, epoch, member: None if member == group.bob else ())
        assert group.after(MINUTE_MS) == []
        assert group.rows("given_up") == [(1,)]

    in_time(tmp_path, monkeypatch, play)


def test_only_what_can_be_a_message_that_was_not_read_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx, pk = group.tx, group.epoch.pk
        store_epochs.put_chain(tx.db, pk, group.bob, Chain(bytes(32), 10))
        store_epochs.skip(tx.db, pk, group.bob, [(4, bytes(32))], tx.now)

        def name(member: MemberId, *numbers: int) -> list[int]:
            for number in numbers:
                group.names(member, number)
            return [number for (number,) in group.rows("number")]

        assert name(MemberId(b"nobody's"), 10) == []
        assert name(group.bob, 0, 9) == [], "these were read"
        assert name(group.bob, 10 + MAX_JUMP, 2**40) == [], "these can never be read"
        assert name(group.bob, 4, 10, 10 + MAX_JUMP - 1) == [4, 10, 10 + MAX_JUMP - 1]
        assert group.rows("named_by") == [(group.carol,)] * 3

    in_time(tmp_path, monkeypatch, play)


def test_so_many_messages_of_one_author_or_named_by_one_member_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx, pk = group.tx, group.epoch.pk
        store_epochs.put_chain(tx.db, pk, group.bob, Chain(bytes(32), 1))
        for number in range(1, 20):
            group.names(group.bob, number)
        assert group.rows("number") == [(number,) for number in range(1, 9)]
        for number in range(1, 20):
            store_gaps.arrived(tx.db, pk, group.bob, number, tx.now)
        gaps.skipped(tx, group.row, group.epoch, group.bob, range(100, 150))
        gaps.skipped(tx, group.row, group.epoch, group.bob, range(160, 180))
        assert group.rows("number, messages") == [
            *[(number, 1) for number in range(100, 150)],
            (166, 7),
            *[(number, 1) for number in range(167, 180)],
        ]

    in_time(tmp_path, monkeypatch, play)


def test_one_member_is_given_so_much_in_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        sizes = [gaps._has_room(group.tx, group.chat, group.bob, size) for size in (2**20 - 1, 2, 1)]
        assert sizes == [True, False, True], "what is too much is not counted"
        assert gaps._has_room(group.tx, group.chat, group.carol, 2**20), "each for themselves"
        assert not gaps._has_room(group.tx, group.chat, group.carol, 1)
        group.tx.now += HOUR_MS
        assert gaps._has_room(group.tx, group.chat, group.carol, 2**20)

    in_time(tmp_path, monkeypatch, play)
