"""What the screen knows, and how events change it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from p2pchat.tui.state import News, State
from tests.support.zones import FAR_EAST, in_zone
from tests.tui.fakes import FakeNode


class Desk:
    """A state that follows a node."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.state = State()
        self.events: list[dict[str, Any]] = []

    def load(self) -> None:
        self.state.load(self.node._do_chats(), self.node._do_requests())
        self.events.clear()
        self.node.on_event = self.events.append

    def news(self) -> News:
        events, self.events[:] = list(self.events), []
        return self.state.apply(events)

    def names(self) -> list[str]:
        return [chat.label for chat in self.state.chats]


def test_a_message_takes_its_chat_to_the_top_and_counts() -> None:
    desk = Desk()
    bob, carol = desk.node.friend("Bob"), desk.node.friend("Carol")
    desk.node.says(carol, "first")
    desk.load()
    assert desk.names() == ["Carol", "Bob"]
    desk.node.says(bob, "one")
    desk.node.says(bob, "two")
    news = desk.news()
    assert [message.text for message in news.arrived] == ["one", "two"]
    assert news.incoming() == {bob}
    assert news.listed
    assert not news.stale
    assert desk.names() == ["Bob", "Carol"]
    chat = desk.state.chats[0]
    assert (chat.unread, chat.last is not None and chat.last.text) == (2, "two")
    assert desk.state.unread() == 3


def test_what_was_read_elsewhere_is_read_here() -> None:
    desk = Desk()
    bob = desk.node.friend("Bob")
    desk.load()
    message = desk.node.says(bob, "hi")
    desk.news()
    desk.node._do_read(bob, message["id"])
    desk.news()
    assert (desk.state.chats[0].unread, desk.state.chats[0].first_unread) == (0, None)


def test_a_state_moves_the_message_and_unsent_ones_are_counted() -> None:
    desk = Desk()
    bob = desk.node.friend("Bob", route=None)
    desk.load()
    sent = desk.node._do_send(bob, "hi")
    desk.news()
    assert desk.state.unsent() == 1
    desk.node.moves(sent["id"], "delivered")
    [moved] = desk.news().moved
    assert (moved.id, moved.state, moved.chat) == (sent["id"], "delivered", bob)
    assert desk.state.unsent() == 0
    last = desk.state.chats[0].last
    assert last is not None
    assert last.state == "delivered"


def test_a_deleted_message_is_told_apart_and_the_last_one_is_asked_for_again() -> None:
    desk = Desk()
    bob = desk.node.friend("Bob")
    first, last = desk.node.says(bob, "one"), desk.node.says(bob, "two")
    desk.load()
    desk.node._do_delete(first["id"])
    news = desk.news()
    assert [each.id for each in news.removed] == [first["id"]]
    assert (news.moved, news.stale) == ([], False)
    desk.node._do_delete(last["id"])
    assert desk.news().stale


def test_a_contact_comes_changes_and_gets_a_double() -> None:
    desk = Desk()
    bob = desk.node.friend("Bob", route=None)
    desk.load()
    desk.node.comes(bob)
    assert desk.news().people == {bob}
    assert desk.state.chats[0].online
    other = desk.node.friend("B\u043eb")
    desk.news()
    assert desk.names() == [f"B\u043eb ·{other[:4]}", f"Bob ·{bob[:4]}"]


def test_a_request_comes_and_goes_when_it_is_accepted() -> None:
    desk = Desk()
    desk.load()
    eve = desk.node.knocks("Eve", known=True)
    [asked] = desk.news().asked
    assert (asked.name, asked.known) == ("Eve", True)
    desk.node._do_accept(eve)
    desk.news()
    assert desk.state.requests == []
    assert desk.names() == ["Eve"]


def test_what_is_not_known_here_makes_it_stale() -> None:
    desk = Desk()
    desk.load()
    desk.node.emit("chat", id="77", unread=1, first_unread=None)
    assert desk.news().stale
    desk.node.emit("lagged")
    assert desk.news().stale
    desk.node.warns("The disk is nearly full.")
    desk.node.emit("something new")
    news = desk.news()
    assert (news.warnings, news.stale, news.listed) == (["The disk is nearly full."], False, False)


def test_what_happens_while_the_list_is_read_is_not_lost_and_asks_for_nothing() -> None:
    desk = Desk()
    ids = [desk.node.friend(name) for name in ("A", "B", "C")]
    desk.load()
    desk.state.before_reading()
    chats, requests = desk.node._do_chats(), desk.node._do_requests()
    desk.state.begin(chats[:1])
    assert desk.names() == ["C"]
    desk.node.says(ids[0], "newer than the answer")
    desk.node.emit("contact", **desk.node.people[ids[1]] | {"name": "Bea"})
    news = desk.news()
    assert (news.stale, [message.text for message in news.arrived]) == (False, ["newer than the answer"])
    assert not desk.state.load(chats, requests).stale
    assert desk.names() == ["A", "C", "Bea"]
    assert desk.state.chats[0].unread == 1
    desk.state.before_reading()
    desk.state.begin(chats[:1])
    desk.state.not_read()
    desk.node.says(ids[0], "asked for again")
    assert desk.news().stale


def test_the_next_unread_goes_round() -> None:
    desk = Desk()
    ids = [desk.node.friend(name) for name in ("A", "B", "C")]
    for ident in ids:
        desk.node.says(ident, "x")
    desk.load()
    assert desk.names() == ["C", "B", "A"]
    desk.state.current = ids[1]
    seen = []
    for _ in range(2):
        chat = desk.state.next_unread()
        assert chat is not None
        seen.append(chat.label)
        desk.state.current = chat.id
    assert seen == ["A", "C"]
    desk.state.load([], [])
    assert desk.state.next_unread() is None
    assert desk.state.current is None


def test_a_person_is_found_by_what_one_writes() -> None:
    desk = Desk()
    for name in ("Bob", "Bobby", "Carol"):
        desk.node.friend(name)
    desk.load()
    assert [chat.name for chat in desk.state.named("bob")] == ["Bob"]
    assert {chat.name for chat in desk.state.named("bo")} == {"Bob", "Bobby"}
    assert [chat.name for chat in desk.state.named(" carol ")] == ["Carol"]
    assert desk.state.named("") == []
    assert desk.state.named("dave") == []


def test_stepping_stops_at_the_ends() -> None:
    desk = Desk()
    a, b = desk.node.friend("A"), desk.node.friend("B")
    assert desk.state.neighbour(1) is None
    desk.load()
    first = desk.state.neighbour(1)
    assert first is not None
    assert first.id == b
    desk.state.current = b
    assert [chat.id for step in (-1, 1, 5) if (chat := desk.state.neighbour(step))] == [b, a, a]


def test_a_chat_can_be_muted_for_ever_in_every_zone() -> None:
    """For ever ends with the year 9999 in UTC, which no clock east of it can show."""
    desk = Desk()
    bob = desk.node.friend("Bob")
    desk.node.people[bob]["muted_until"] = "9999-12-31T23:59:59.999Z"
    with in_zone(FAR_EAST):
        desk.load()
    (chat,) = desk.state.chats
    assert chat.muted_until == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
