"""Groups on the screen: their conversation, members, pages, and what is offered where the node cannot do it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from p2pchat.api import methods
from p2pchat.errors import NotNow
from p2pchat.tui.actions.groups import prompt
from p2pchat.tui.app import ChatApp
from p2pchat.tui.commands import completions, offered, parse
from p2pchat.tui.group_verbs import VERBS, ways
from p2pchat.tui.groups import (
    ADMIN,
    MEMBER,
    MODERATOR,
    OBSERVER,
    OWNER,
    ROLES,
    SETTINGS,
    acts_on,
    done_of,
    group_of,
    member_of,
    roles_to_give,
    worded,
)
from p2pchat.tui.model import message_of
from p2pchat.tui.screens import members, panel
from p2pchat.tui.screens.group_requests import GroupRequestsScreen
from p2pchat.tui.screens.members import MembersScreen
from p2pchat.tui.text import width
from p2pchat.tui.widgets.member_list import row_of
from p2pchat.tui.wording import said
from tests.support.zones import FAR_EAST, in_zone
from tests.tui.app_helpers import notices, sent
from tests.tui.conftest import opened, run, until
from tests.tui.fake_groups import METHODS, member, offer_groups
from tests.tui.fakes import FakeNode
from tests.tui.hostile import TEXTS
from tests.tui.pictures import take

ANNA, BOB, EVE = member(1, "anna", ADMIN, contact="Anna", verified=True), member(2, "Bob"), member(3, "eve", OBSERVER)


# --- without an app


def test_times_in_sentences_of_the_node_are_local() -> None:
    at, said = "2026-12-21T14:05:00.000Z", "22 December 2026, 04:05"
    row = {**member(1, "bob"), "chat": "2b", "members": 1, "epoch": f"The keys are from {at}.", "problem": f"On {at}."}
    times = {"sent_at": at, "received_at": at, "edited_at": None, "state": "received", "route": None, "late": False}
    line = {"id": "1a", "chat": "2b", "from": "bob", "text": f"bob muted eve until {at}.", **times}
    with in_zone(FAR_EAST):
        group = group_of(row)
        assert (group.epoch, group.problem) == (f"The keys are from {said}.", f"On {said}.")
        done = {"id": "1a", "text": f"bob muted eve until {at}; 2 of 3 members have seen it."}
        assert done_of(done).text == f"bob muted eve until {said}; 2 of 3 members have seen it."
        assert message_of({**line, "kind": "group"}).text == f"bob muted eve until {said}."
        assert message_of({**line, "kind": "text"}).text == f"bob muted eve until {at}.", "somebody wrote that"
        assert said in panel.said(NotNow(f"You are muted until {at}"))


def test_a_role_acts_on_those_below_it() -> None:
    assert [role for role in ROLES if acts_on(ADMIN, role)] == [MODERATOR, MEMBER, OBSERVER]
    assert [role for role in ROLES if acts_on(MODERATOR, role)] == [MEMBER, OBSERVER]
    assert not any(acts_on(role, other) for role in (MEMBER, OBSERVER, "") for other in ROLES)
    assert roles_to_give(OWNER, ADMIN) == (MODERATOR, MEMBER, OBSERVER, OWNER)
    assert roles_to_give(ADMIN, MEMBER) == (MODERATOR, OBSERVER)
    assert roles_to_give(MODERATOR, MEMBER) == ()


def test_a_hidden_message_says_who_has_hidden_it_and_why() -> None:
    def line(hidden: dict[str, str] | None) -> str:
        times = {"sent_at": "2026-01-02T03:04:05.000Z", "received_at": None, "edited_at": None}
        facts = {"id": "1a", "chat": "2b", "from": "bob", "text": "", "kind": "text", "late": False, "deleted": True}
        return said(message_of({**facts, **times, "state": "received", "route": None, "hidden": hidden}), group=True)

    assert line(None) == "deleted by its sender"
    assert line({"by": "carol", "reason": "spam\x1b"}).startswith("hidden by carol: spam")
    assert "\x1b" not in line({"by": "carol", "reason": "spam\x1b"})
    assert line({"by": "me", "reason": ""}) == "hidden by you"


def test_rules_are_said_in_words() -> None:
    shown = {setting.name: [worded(setting, choice) for choice in setting.choices] for setting in SETTINGS}
    assert shown["slow_mode"] == ["off", "10 s", "30 s", "1 min", "5 min", "1 h"]
    assert shown["newcomers"] == ["off", "1 h", "24 h", "7 days"]
    assert shown["history"] == ["none", "50", "500"]
    assert worded(SETTINGS[3], True) == "yes"
    rule = {"needed": 2, "members": [{"id": "b0", "name": "bob"}, {"id": "c0", "name": "car\x1bol"}]}
    assert worded(SETTINGS[-1], rule).startswith("2 of bob, car")
    assert "\x1b" not in worded(SETTINGS[-1], rule)
    assert worded(SETTINGS[-1], None) == ""


def test_what_the_node_cannot_do_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in METHODS:
        monkeypatch.delitem(methods.BY_NAME, name, raising=False)
    assert not {"group", "members", "mention"} & {command.name for command in offered()}
    assert completions("/group ", [], []) == []
    assert "Unknown" in type(parse("/group create x")).__name__
    monkeypatch.setitem(methods.BY_NAME, "create_group", None)
    assert [each.line for each in completions("/group ", [], [])] == ["/group create "]


def test_verbs_are_completed_with_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_groups(monkeypatch)
    assert [line for line, _, _ in ways("", [])] == [f"{verb.name}{' ' if verb.usage else ''}" for verb in VERBS]
    assert [line for line, _, _ in ways("add an", ["Anna", "Bob"])] == ["add Anna"]
    assert [line for line, _, _ in ways("role bob mo", [])] == ["role bob moderator"]
    assert [line for line, _, _ in ways("set lo", [])] == ["set locked "]
    assert [line for line, _, _ in ways("set locked y", [])] == ["set locked yes"]
    assert ways("nothing at", []) == []
    assert [shown for _, shown, _ in ways("remove bob", [])] == ["remove MEMBER"]


def test_members_are_drawn_in_any_width() -> None:
    named = member_of(member(1, "anna", ADMIN, contact="Anna Lindqvist", verified=True))
    assert row_of(named, "anna ·0001", 40) == ("anna ·0001", "Anna Lindqvist", True, ADMIN)
    assert row_of(named, "anna ·0001", 23) == ("anna ·0001", "", True, ADMIN)
    assert row_of(named, "a long name ·0001", 20) == ("a lo… ·0001", "", True, ADMIN)
    assert row_of(named._replace(contact="anna"), "anna", 40).known == "contact"
    for text in (*TEXTS.values(), "سارا رضایی"):
        row = row_of(named._replace(name=text, contact=text), text, 30)
        assert width(row.name) + width(row.known) + 2 + 2 + len(row.role) + 2 <= 30 + 2
        assert not any(char < " " or char == "\x7f" for char in row.name + row.known)


# --- in the app


@asynccontextmanager
async def in_group(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str = OWNER,
    size: tuple[int, int] = (120, 30),
    **rules: object,
) -> AsyncIterator[tuple[FakeNode, str, ChatApp, Pilot[Any]]]:
    """The app with a group on the screen, in which anna has written last."""
    offer_groups(monkeypatch)
    node = FakeNode()
    node.friend("Anna", verified=True)
    node.friend("Carol")
    chat = node.group("Football", [ANNA, BOB, EVE], role=role, **rules)
    node.writes(chat, BOB, "who brings the ball?")
    node.writes(chat, ANNA, "@Bob I do")
    async with opened(node, tmp_path, size) as (app, pilot):
        await until(pilot, lambda: app._actions.groups.shown is not None)
        yield node, chat, app, pilot


async def enter(app: ChatApp, pilot: Pilot[Any], line: str) -> None:
    """Write a line and press Enter."""
    app.main.composer.put(line)
    await pilot.press("enter")


def test_a_group_is_a_conversation_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            await until(pilot, lambda: "@Bob I do" in take(app).shown)
            shown = take(app).shown
            assert "Bob  " in shown
            assert "# group · end-to-end encrypted" in shown
            assert "# Football" in shown
            assert "anna: @Bob I do" in shown or "write to everyone" in shown
            await enter(app, pilot, "me too")
            await until(pilot, lambda: sent(node) == [(chat, "me too")])
            node.does(chat, "anna added eve.")
            await until(pilot, lambda: "· anna added eve." in take(app).shown)

    run(main())


def test_an_unread_mention_shows_in_the_list_and_a_key_goes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            await app.talk.open(app.state.named("Carol")[0].id)
            mention = node.writes(chat, ANNA, "@Me can you come?", mentions_me=True)
            for number in range(30):
                node.writes(chat, BOB, f"noise {number}")
            await until(pilot, lambda: " @  31 " in take(app).shown)
            await pilot.press("alt+m")
            await until(pilot, lambda: app.main.conversation.selected is not None)
            assert app.state.current == chat
            assert app.main.conversation.selected is not None
            assert app.main.conversation.selected.id == mention["id"]
            node._do_read(chat, node.history[chat][-1]["id"])
            await until(pilot, lambda: not any(row.mentions for row in app.state.chats))
            await app._actions.finding.mention()
            await until(pilot, lambda: "Nobody mentions you" in notices(app))
            await app.talk.open(app.state.named("Carol")[0].id)
            mention = node.writes(chat, ANNA, "@Me one more", mentions_me=True)
            await until(pilot, lambda: any(row.mentions for row in app.state.chats))
            node.calls.clear()
            await pilot.press("alt+m")
            await until(pilot, lambda: app.main.conversation.selected is not None)
            assert app.main.conversation.selected == message_of(mention)
            called = [name for name, _ in node.calls]
            assert called.index("locate") < called.index("log"), "what is opened is read, and no longer looked for"

    run(main())


def test_names_of_members_are_completed_behind_a_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, _, app, pilot):
            app.main.composer.put("hey @bo")
            await until(pilot, lambda: "@Bob" in take(app).shown and node.named("group_members"))
            await pilot.press("tab")
            assert app.main.composer.written == "hey @Bob "
            calls = len(node.named("group_members"))
            app.main.composer.put("hey @bobx")
            await until(pilot, lambda: len(node.named("group_members")) == calls + 1)
            app.main.composer.put("hey @bobxy")
            await pilot.pause()
            assert len(node.named("group_members")) == calls + 1, "nobody is called so"
            app.main.composer.put("@al")
            await until(pilot, lambda: "everybody in this group" in take(app).shown)

    run(main())


@pytest.mark.parametrize("role", [MEMBER, MODERATOR])
def test_a_member_who_writes_to_all_is_told_that_it_calls_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, role) as (node, chat, app, pilot):
            await enter(app, pilot, "@allan, hello")
            await enter(app, pilot, "@all, hello")
            await until(pilot, lambda: sent(node) == [(chat, "@allan, hello"), (chat, "@all, hello")])
            assert notices(app).count("@all calls nobody here") == (role == MEMBER)

    run(main())


def test_members_are_found_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            await enter(app, pilot, "/group members")
            await until(pilot, lambda: "4 members of Football" in take(app).shown)
            await until(pilot, lambda: "observer" in take(app).shown)
            assert "anna ✓" in take(app).shown
            await pilot.press("b", "o")
            await until(pilot, lambda: "anna ✓" not in take(app).shown)
            await pilot.press("enter")
            await until(pilot, lambda: "Anybody can choose any name" in take(app).shown)
            assert "make them a moderator" in take(app).shown
            await pilot.press("end", "up", "up", "enter")
            await pilot.press(*["down"] * 9)
            await until(pilot, lambda: "Sure?" in take(app).shown or app.screen.query("Button"))
            await pilot.press("n")
            await pilot.press("escape")
            await enter(app, pilot, "/group remove bob")
            await until(pilot, lambda: "Remove Bob?" in take(app).shown)
            assert "removed for everyone who has seen it" in " ".join(take(app).shown.replace("│", " ").split())
            await pilot.press("y")
            await until(pilot, lambda: node.named("remove_member"))
            assert node.named("remove_member") == [{"chat": chat, "member": BOB["id"], "ban": False}]
            await until(pilot, lambda: "Bob is removed, for everyone who has seen it" in notices(app))

    run(main())


def test_only_pages_in_view_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            node.members[chat] += [member(100 + number, f"m{number:04}") for number in range(5_000)]
            await enter(app, pilot, "/members")
            await until(pilot, lambda: "m0000" in take(app).shown)
            await pilot.press("ctrl+end")
            await until(pilot, lambda: "m4999" in take(app).shown or "eve" in take(app).shown)
            offsets = [call["offset"] for call in node.named("group_members")]
            assert offsets == [0, 5_000, 4_900]

    run(main())


def test_a_long_name_leaves_room_for_how_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, size=(80, 24)) as (node, chat, app, pilot):
            node.people[chat]["name"] = "Friday football " * 4
            await enter(app, pilot, "/members")
            await until(pilot, lambda: "─ 4 members of Friday football" in take(app).shown)

    run(main())


def test_keys_for_a_page_that_is_not_there_yet_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            page = MembersScreen(node, group_of(node._do_group(chat)))
            assert await app.run_action("move(1)", page)
            await app.push_screen(page)
            await until(pilot, lambda: "anna" in take(app).shown)
            await pilot.press("down", "enter")
            await until(pilot, lambda: "go to the chat" in take(app).shown)

    run(main())


def test_a_member_lets_authors_count_that_they_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MEMBER) as (node, chat, app, pilot):
            await enter(app, pilot, "/group receipts")
            await until(pilot, lambda: "/group receipts yes, or no." in notices(app))
            await enter(app, pilot, "/group receipts yes")
            await until(pilot, lambda: "count you from now on" in notices(app))
            assert node.named("group_receipts") == [{"chat": chat, "wanted": True}]
            await pilot.press("ctrl+y")
            await until(pilot, lambda: "receipts     yes" in take(app).shown)
            assert "Enter change" not in take(app).shown, "a rule is highlighted, and those are for admins"
            await pilot.press(*["down"] * len(SETTINGS))
            await until(pilot, lambda: "Enter change" in take(app).shown)
            await pilot.press("enter")
            await until(pilot, lambda: "Nobody is told any more." in take(app).shown)
            assert node.named("group_receipts")[1:] == [{"chat": chat, "wanted": False}]
            assert "receipts     no" in take(app).shown

    run(main())


def test_the_log_of_a_group_says_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            node.done[chat].clear()
            node.does(chat, "anna added Bob.")
            await enter(app, pilot, "/group log")
            await until(pilot, lambda: "20 Nov 09:00  anna added Bob." in take(app).shown)

    run(main())


def test_whom_a_group_waits_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, _chat, app, pilot):
            monkeypatch.setattr(node, "adding", ["Zoë", "Dan"])
            await pilot.press("ctrl+y")
            await until(pilot, lambda: "once their nodes answer: Zoë, Dan." in " ".join(take(app).shown.split()))

    run(main())


def test_a_moderator_goes_from_one_report_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MODERATOR) as (node, chat, app, pilot):
            await enter(app, pilot, "/group reports")
            await until(pilot, lambda: "There are no open reports in this group." in notices(app))
            rude, spam = [node.writes(chat, BOB, text) for text in ("rude", "spam")]
            for message in (rude, spam):
                node.reported(chat, message, "eve", f"it is {message['text']}")

            def at(message: dict[str, Any], words: str) -> bool:
                selected = app.main.conversation.selected
                return selected is not None and selected.id == message["id"] and words in notices(app)

            await pilot.press("alt+r")
            await until(pilot, lambda: at(rude, "1 of 2 open reports: eve reports a message: it is rude"))
            await pilot.press("alt+r")
            await until(pilot, lambda: at(spam, "2 of 2 open reports"))
            await enter(app, pilot, "/reports")
            await until(pilot, lambda: at(rude, "1 of 2"))
            assert "m more" in take(app).shown, "hiding is in the menu"

    run(main())


def test_who_is_meant_by_two_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            node.members[chat].append(member(9, "bob"))
            await enter(app, pilot, "/group ban bob")
            await until(pilot, lambda: "Bob ·0002" in take(app).shown)
            assert "bob ·0009" in take(app).shown
            await pilot.press("escape")
            await enter(app, pilot, "/group role bob ·0009 moderator")
            await until(pilot, lambda: "Make bob a moderator?" in take(app).shown)
            await pilot.press("y")
            await until(pilot, lambda: node.members[chat][-1]["role"] == MODERATOR)
            await enter(app, pilot, "/group role bob")
            await until(pilot, lambda: "Write a member and a role" in notices(app))

    run(main())


def test_a_member_can_only_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MEMBER) as (node, _, app, pilot):
            await enter(app, pilot, "/group remove bob")
            await until(pilot, lambda: "you cannot do that as a member" in notices(app))
            await pilot.press("ctrl+y")
            await until(pilot, lambda: "You are a member" in take(app).shown)
            words = " ".join(take(app).shown.split())
            assert "m members" in words
            assert "l log" in words
            assert "a add contacts" not in words
            assert "Enter change" not in words
            await pilot.press("enter", "escape")
            assert not node.named("set_group")

    run(main())


def test_who_is_muted_reads_until_when_where_they_would_write() -> None:
    group = {"chat": "c0", "name": "Football", "role": MEMBER, "members": 2}
    muted = group_of(group | {"muted_until": "2026-11-20T09:00:00.000Z"})
    at = muted.muted_until
    assert at is not None
    assert prompt(muted) == f"you are muted until 20 Nov {at:%H:%M}: you can read and react"
    assert prompt(group_of(group | {"muted_until": None})) == ""


def test_an_observer_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, OBSERVER) as (_, chat, app, pilot):
            await until(pilot, lambda: "you are an observer here" in take(app).shown)
            assert "you are an observer" in app.main.prompts[chat]

    run(main())


def test_the_page_of_a_group_changes_its_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            await enter(app, pilot, "/group")
            await until(pilot, lambda: "You are the owner" in take(app).shown)
            assert "Every member sees every other" in take(app).shown
            await pilot.press("down", "down", "down", "enter")
            await until(pilot, lambda: node.named("set_group"))
            assert node.named("set_group") == [{"chat": chat, "key": "locked", "value": "yes"}]
            await until(pilot, lambda: "for everyone who has seen it" in take(app).shown)
            await pilot.press("up", "up", "enter")
            await until(pilot, lambda: app.screen.query("Field.-asked"))
            await pilot.press("h", "i", "enter")
            await until(pilot, lambda: node.rules[chat]["topic"] == "hi")
            await until(pilot, lambda: not app.screen.query("Field.-asked"))
            await pilot.press(*["down"] * (len(SETTINGS) - 2), "enter")
            await until(pilot, lambda: app.screen.query("Field.-asked"))
            await pilot.press("escape", "l")
            await until(pilot, lambda: "What was done in Football" in take(app).shown)
            await pilot.press("escape")
            await enter(app, pilot, "/group set name Chess")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.name == "Chess")

    run(main())


def test_a_group_is_founded_with_contacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, _, app, pilot):
            await enter(app, pilot, "/group create Chess club")
            await until(pilot, lambda: "What is it called?" in take(app).shown)
            await pilot.press("enter")
            await until(pilot, lambda: "Who is in Chess club?" in take(app).shown)
            await pilot.press("c", "a", "enter")
            await until(pilot, lambda: "Found the group: Carol" in take(app).shown)
            await pilot.press("enter")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.name == "Chess club")
            carol = app.state.named("Carol")[0].id
            assert node.named("create_group") == [{"name": "Chess club", "contacts": [carol]}]
            await enter(app, pilot, "/group add anna")
            await until(pilot, lambda: "Anna becomes a member of Chess club" in notices(app))

    run(main())


def test_requests_invites_and_leaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, ADMIN) as (node, chat, app, pilot):
            node.wants_in(chat, "mallory", "I am a friend of Bob's")
            await enter(app, pilot, "/group requests")
            await until(pilot, lambda: "a friend of Bob's" in take(app).shown)
            await pilot.press("a")
            await until(pilot, lambda: "mallory is a member now" in take(app).shown)
            await pilot.press("escape")
            await enter(app, pilot, "/group invite")
            await until(pilot, lambda: "Invite to Football" in take(app).shown)
            await pilot.press("u", "a", "enter")
            await until(pilot, lambda: "P2PCHAT:" in take(app).shown)
            asked = node.named("group_invite")[0]
            assert (asked["uses"], asked["ask"], asked["role"]) == (10, True, MEMBER)
            await pilot.press("escape")
            await enter(app, pilot, "/group leave")
            await until(pilot, lambda: "Leave Football?" in take(app).shown)
            await pilot.press("y")
            await until(pilot, lambda: "you are not in this group any more" in take(app).shown)

    run(main())


def test_who_asks_to_join_is_told_of_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, size=(120, 40)) as (node, chat, app, pilot):
            node.wants_in(chat, "mallory")
            await until(pilot, lambda: "# group, 1 asks to join · end-to-end encrypted" in take(app).shown)
            assert " +1 " in take(app).shown, "in the list"
            await pilot.press("ctrl+y")
            await until(pilot, lambda: "old. 1 asks to join." in take(app).shown)
            await pilot.press("r")
            await until(pilot, lambda: "mallory" in take(app).shown)
            await pilot.press("a", "escape")
            await until(pilot, lambda: "asks to join" not in take(app).shown)
            assert " +1 " not in take(app).shown

    run(main())


def test_news_for_a_page_that_is_not_there_yet_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            node.wants_in(chat, "mallory")
            shown = app.push_screen(GroupRequestsScreen(node, group_of(node._do_group(chat))))
            app._take([{"event": "group", "chat": chat}])
            await shown
            await until(pilot, lambda: "mallory" in take(app).shown)

    run(main())


def test_words_from_right_to_left_are_read_from_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, chat, app, pilot):
            node.wants_in(chat, "dan", "אלף " + "ואז " * 20 + "סוף They used no invite")
            await enter(app, pilot, "/group requests")
            await until(pilot, lambda: "ףלא" in take(app).shown)
            shown = take(app).shown
            assert shown.index("They used the invite") < shown.index("ףלא") < shown.index("ףוס")
            await pilot.press("escape")
            node.does(chat, "anna removed eve: אלף " + "ואז " * 30 + "סוף")
            await enter(app, pilot, "/group log")
            await until(pilot, lambda: "anna removed eve: " in take(app).shown)
            shown = take(app).shown
            assert shown.index("ףלא") < shown.index("ףוס")

    run(main())


def test_groups_that_one_waits_for_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        offer_groups(monkeypatch)
        node = FakeNode()
        node.waits_for("climbers")
        async with opened(node, tmp_path, (80, 24)) as (app, pilot):
            waiting = "Waiting for an admin of climbers to let you in."
            await until(pilot, lambda: waiting in take(app).shown)
            node.awaited.clear()
            node.group("climbers", role=MEMBER)
            await until(pilot, lambda: "# group" in take(app).shown)
            assert waiting not in take(app).shown
            await pilot.resize_terminal(120, 40)
            node.waits_for("hikers")
            await app.reader.reread()
            await until(pilot, lambda: "waiting for an admin" in take(app).shown)
            app.main.chat_list.focus()
            await pilot.press("down", "enter")
            await until(pilot, lambda: "Waiting for an admin of hikers to let you in." in notices(app))
            node.awaited.clear()
            node._emit("node", {"warning": "You cannot join hikers: the invite has been used up."})
            await until(pilot, lambda: "waiting for an admin" not in take(app).shown)

    run(main())


def test_an_owner_hands_over_before_leaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, _, app, pilot):
            await enter(app, pilot, "/group leave")
            await until(pilot, lambda: "make somebody else the owner first" in notices(app))
            assert not node.named("leave_group")

    run(main())


def test_a_moderator_is_not_offered_to_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_groups(monkeypatch)
    bob = member_of(BOB)
    for role, may in ((MODERATOR, False), (ADMIN, True)):
        group = group_of({"chat": "c", "name": "n", "role": role, "members": 2})
        assert any("remove" in way.says for way in members.ways(group, bob)) is may


def test_verbs_about_contacts_are_not_for_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch) as (node, _, app, pilot):
            for line in ("/block", "/note hi", "/unblock Football", "/rename x", "/group nothing"):
                await enter(app, pilot, line)
                await pilot.pause()
            assert not [name for name, _ in node.calls if name in ("block", "note", "unblock", "rename")]
            assert "is a group, not a contact" in notices(app)
            assert "There is no /group nothing" in notices(app)

    run(main())


def test_a_group_object_with_nothing_optional() -> None:
    group = group_of({"chat": "c", "name": "n", "role": None, "members": 2})
    assert (group.role, group.moderates, group.invites, group.adds, group.topic) == ("", False, False, False, "")
    for role, may in ((MEMBER, False), (ADMIN, True)):
        assert group_of({"chat": "c", "name": "n", "role": role, "members": 2}).invites is may


def test_members_add_contacts_where_the_rule_says_so() -> None:
    for role, rule, may in (
        (MEMBER, "members", True),
        (MODERATOR, "members", True),
        (MEMBER, "admins", False),
        (OBSERVER, "members", False),
        (ADMIN, "admins", True),
    ):
        group = {"chat": "c", "name": "n", "role": role, "members": 2, "settings": {"invites": rule}}
        assert group_of(group).adds is may


def test_a_member_is_muted_from_the_list_and_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MODERATOR) as (node, chat, app, pilot):
            await enter(app, pilot, "/members Bob")
            await until(pilot, lambda: isinstance(app.screen, MembersScreen) and app.screen.listed.chosen is not None)
            await pilot.press("enter")
            await until(pilot, lambda: "mute them for a time" in take(app).shown)
            assert "unmute them" not in take(app).shown
            await pilot.press("down", "enter")
            await until(pilot, lambda: "Mute Bob for how long?" in take(app).shown)
            await pilot.press("down", "enter")
            await until(pilot, lambda: "Bob is muted for 8 hours" in take(app).shown)
            assert node.named("mute_member") == [{"chat": chat, "member": BOB["id"], "seconds": 28_800}]
            await until(pilot, lambda: "muted" in list_of(take(app).shown, "Bob"))
            await pilot.press("enter")
            await until(pilot, lambda: "Muted until" in take(app).shown and "unmute them" in take(app).shown)
            await pilot.press("escape", "escape")
            await enter(app, pilot, "/group mute eve 30m")
            await until(pilot, lambda: "Mute eve for 30 minutes?" in take(app).shown)
            await pilot.press("y")
            await until(pilot, lambda: "eve is muted for 30 minutes" in notices(app))
            await enter(app, pilot, "/group mute eve")
            await until(pilot, lambda: "Write a member and a time" in notices(app))
            await enter(app, pilot, "/group mute anna off")
            await until(pilot, lambda: "you cannot do that as a moderator" in notices(app))

    run(main())


def list_of(shown: str, name: str) -> str:
    """The line of a list in which a name stands."""
    return next((line for line in shown.splitlines() if name in line and "member" in line), "")


def test_a_moderator_hides_a_message_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MODERATOR) as (node, chat, app, pilot):
            await until(pilot, lambda: "@Bob I do" in take(app).shown)
            await pilot.press("up")
            await until(pilot, lambda: app.main.conversation.selected is not None)
            await pilot.press("m")
            await until(pilot, lambda: "hide it for all" in take(app).shown)
            await pilot.press("escape", "h")
            await until(pilot, lambda: "Hide this message for all?" in take(app).shown)
            await pilot.press(*"loud", "enter")
            await until(pilot, lambda: "hidden by you: loud" in take(app).shown)
            (asked,) = node.named("hide_message")
            assert (asked["reason"], asked["chat"]) == ("loud", chat)

    run(main())


def test_a_member_reports_a_message_and_is_not_offered_to_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, MEMBER) as (node, _, app, pilot):
            await until(pilot, lambda: "@Bob I do" in take(app).shown)
            await pilot.press("up", "m")
            await until(pilot, lambda: "This message" in take(app).shown)
            assert "hide it for all" not in take(app).shown
            assert "report to moderators" in take(app).shown
            await pilot.press("escape", "R")
            await until(pilot, lambda: "Report this message?" in take(app).shown)
            await pilot.press(*"rude", "enter")
            await until(pilot, lambda: node.named("report_message"))
            assert node.named("report_message")[0]["reason"] == "rude"

    run(main())


def test_a_group_is_founded_in_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with in_group(tmp_path, monkeypatch, ADMIN) as (node, chat, app, pilot):
            await enter(app, pilot, "/group successor Chess")
            await until(pilot, lambda: "A group in the place of Football" in take(app).shown)
            await pilot.press("enter")
            await until(pilot, lambda: "Found Chess in the place of Football?" in take(app).shown)
            await pilot.press("y")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.name == "Chess")
            assert node.named("succeed_group") == [{"chat": chat, "name": "Chess"}]
            await until(pilot, lambda: "2 members you do not know" in notices(app))

    run(main())


def test_an_admin_who_is_named_asks_for_another_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_groups(monkeypatch)
    rule = {"needed": 1, "members": [{"id": "a", "name": "me"}]}
    for role, recovery, may in ((ADMIN, rule, True), (ADMIN, None, False), (OWNER, rule, False)):
        group = group_of({"chat": "c", "name": "n", "role": role, "members": 2, "settings": {"recovery": recovery}})
        assert any("become the owner" in way.says for way in members.ways(group, member_of(BOB))) is may
