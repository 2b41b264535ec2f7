"""The verbs about groups: what they ask, what people read, and what hostile names can do in it, which is nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from p2pchat import errors
from tests.cli.conftest import Run
from tests.cli.node import ID, MEMBERS, FakeNode
from tests.support.zones import FAR_EAST, in_zone

EVIL = "x\x1b[2J\x9b\x07\u202e\u2066\U000e0041\u2028\ny\tz"
RISKY = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\U000e0041]"
ALL = {"search": "", "offset": 0, "limit": 1000}

ASKED: list[tuple[list[str], str, dict[str, Any]]] = [
    (["create", "friends"], "create_group", {"name": "friends", "contacts": [], "locked": False}),
    (
        ["create", "friends", "bob", "Anna L"],
        "create_group",
        {"name": "friends", "contacts": ["bob", "Anna L"], "locked": False},
    ),
    (["show", "friends"], "group", {"chat": "friends"}),
    (["add", "friends", "bob", "carol"], "add_members", {"chat": "friends", "contacts": ["bob", "carol"]}),
    (
        ["remove", "friends", "bob"],
        "remove_member",
        {"chat": "friends", "member": "bob", "ban": False, "reason": "", "others": []},
    ),
    (
        ["ban", "friends", "bob", "--reason", "spam"],
        "remove_member",
        {"chat": "friends", "member": "bob", "ban": True, "reason": "spam", "others": []},
    ),
    (
        ["remove", "friends", "bob", "carol", "dave"],
        "remove_member",
        {"chat": "friends", "member": "bob", "ban": False, "reason": "", "others": ["carol", "dave"]},
    ),
    (["role", "friends", "bob", "admin"], "set_role", {"chat": "friends", "member": "bob", "role": "admin"}),
    (
        ["set", "friends", "recovery", "2", "of", "bob,", "carol"],
        "set_group",
        {"chat": "friends", "key": "recovery", "value": "2 of bob, carol"},
    ),
    (["recover", "friends", "bob"], "recover_group", {"chat": "friends", "member": "bob"}),
    (["successor", "friends", "friends again"], "succeed_group", {"chat": "friends", "name": "friends again"}),
    (["keep", "friends"], "keep_group", {"chat": "friends"}),
    (["receipts", "friends", "yes"], "group_receipts", {"chat": "friends", "wanted": True}),
    (["receipts", "friends", "no"], "group_receipts", {"chat": "friends", "wanted": False}),
    (["mute", "friends", "bob", "8h"], "mute_member", {"chat": "friends", "member": "bob", "seconds": 28_800}),
    (["mute", "friends", "bob", "off"], "mute_member", {"chat": "friends", "member": "bob", "seconds": 0}),
    (["hide", "1a2b", "too", "loud"], "hide_message", {"id": "1a2b", "reason": "too loud", "chat": None}),
    (["report", "1a2b", "too", "loud"], "report_message", {"id": "1a2b", "reason": "too loud", "chat": None}),
    (["hide", "1a2b"], "hide_message", {"id": "1a2b", "reason": "", "chat": None}),
    (["report", "1a2b"], "report_message", {"id": "1a2b", "reason": "", "chat": None}),
    (["reports", "friends"], "group_reports", {"chat": "friends"}),
    (["leave", "friends"], "leave_group", {"chat": "friends"}),
    (["set", "friends", "slow_mode", "5m"], "set_group", {"chat": "friends", "key": "slow_mode", "value": "300"}),
    (["set", "friends", "slow_mode", "off"], "set_group", {"chat": "friends", "key": "slow_mode", "value": "0"}),
    (["set", "friends", "newcomers", "90m"], "set_group", {"chat": "friends", "key": "newcomers", "value": "2"}),
    (["set", "friends", "locked", "on"], "set_group", {"chat": "friends", "key": "locked", "value": "yes"}),
    (
        ["set", "friends", "invites", "members"],
        "set_group",
        {"chat": "friends", "key": "invites", "value": "members"},
    ),
    (["set", "friends", "history", "50"], "set_group", {"chat": "friends", "key": "history", "value": "50"}),
    (
        ["set", "friends", "topic", "the hut", "in May"],
        "set_group",
        {"chat": "friends", "key": "topic", "value": "the hut in May"},
    ),
    (
        ["invite", "friends"],
        "group_invite",
        {"chat": "friends", "expires": 604_800, "uses": None, "ask": False, "role": "member"},
    ),
    (
        ["invite", "friends", "--expires", "2h", "--uses", "10", "--ask", "--role", "observer"],
        "group_invite",
        {"chat": "friends", "expires": 7200, "uses": 10, "ask": True, "role": "observer"},
    ),
    (["requests", "friends"], "group_requests", {"chat": "friends"}),
    (["accept", "friends", "1a"], "answer_request", {"chat": "friends", "id": "1a", "accept": True}),
    (["decline", "friends", "1a"], "answer_request", {"chat": "friends", "id": "1a", "accept": False}),
    (["log", "friends"], "group_log", {"chat": "friends", "limit": 50, "before": None}),
    (["log", "friends", "--limit", "3"], "group_log", {"chat": "friends", "limit": 3, "before": None}),
]


@pytest.mark.parametrize(("words", "method", "params"), ASKED, ids=lambda value: " ".join(value)[:30])
def test_what_an_action_asks_and_its_json(
    node: FakeNode, p2pchat: Run, words: list[str], method: str, params: dict[str, Any]
) -> None:
    result = p2pchat("group", *words, "--json")
    assert (result.code, node.calls) == (0, [(method, params)])
    expected = node.answers[method]
    assert result.objects() == (expected if isinstance(expected, list) else [expected])
    human = p2pchat("group", *words)
    assert human.code == 0
    assert human.out


def test_members_are_listed_page_by_page_one_object_each(node: FakeNode, p2pchat: Run) -> None:
    many = [{**MEMBERS[2], "id": f"{number:016x}", "name": f"m{number}"} for number in range(2500)]

    def page(offset: int, limit: int, **_: Any) -> dict[str, Any]:
        return {"total": len(many), "members": many[offset : offset + limit]}

    node.answers["group_members"] = page
    assert p2pchat("group", "members", "friends", "--json").objects() == many
    assert [asked["offset"] for _, asked in node.calls] == [0, 1000, 2000]
    assert p2pchat("group", "members", "friends", "--limit", "1200", "--json").objects() == many[:1200]
    assert node.calls[-1][1] == {"chat": "friends", **ALL, "offset": 1000, "limit": 200}
    # Members who leave meanwhile do not keep it asking.
    node.answers["group_members"] = lambda offset, **_: {"total": 9, "members": [] if offset else many[:2]}
    assert len(p2pchat("group", "members", "friends", "--json").objects()) == 2


def test_what_a_member_chose_is_the_last_column(node: FakeNode, p2pchat: Run) -> None:
    node.calls.clear()
    forged = {**MEMBERS[2], "name": "verified  bob  carol"}
    node.answers["group_members"] = {"total": 3, "members": [*MEMBERS[:2], forged]}
    assert p2pchat("group", "members", "friends").out.splitlines() == [
        f"{'a1' * 8}  owner     -         you  alice",
        f"{'b0' * 8}  member    verified  bob  Bobby",
        f"{'c0' * 8}  observer  -         -    verified  bob  carol",
    ]


def test_names_that_look_alike_are_told_apart(node: FakeNode, p2pchat: Run) -> None:
    cyrillic = {**MEMBERS[2], "name": "\u0412\u043eb\u0443"}
    node.answers["group_members"] = {"total": 2, "members": [{**MEMBERS[1], "name": "Boby"}, cyrillic]}
    first, second = p2pchat("group", "members", "friends").out.splitlines()
    assert first.endswith("Boby ·b0b0")
    assert second.endswith("·c0c0")


def test_a_group_in_plain_words(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("group", "show", "friends").out.splitlines() == [
        "members      3",
        "being added  dave",
        "you are      admin",
        "keys         since 3 hours ago",
        "slow_mode    30s",
        "locked       no",
        "newcomers    off",
        "history      50",
        "recovery     1 of alice",
        "receipts     no",
        "name         friends",
        "topic        the hut",
    ]
    known: Any = node.answers["group"]
    node.answers["group"] = {**known, "role": None, "epoch": "", "problem": "Nobody was reached for a week."}
    gone = p2pchat("group", "show", "friends")
    assert "not a member any more" in gone.out
    assert re.search(r"^keys +-$", gone.out, re.MULTILINE)
    assert "Nobody was reached" in gone.err
    node.answers["group"] = {**known, "requests": 1}
    assert "requests     1, see `p2pchat group requests`\n" in p2pchat("group", "show", "friends").out


def test_data_alone_is_on_stdout(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("group", "create", "friends").out == f"{ID}\n"
    made = p2pchat("group", "invite", "friends", "--uses", "1", "--ask")
    assert made.out == "P2PCHAT:ABC\n"
    assert "For one person" in made.err
    assert "waits in" in made.err
    removed = p2pchat("group", "remove", "friends", "bob")
    assert removed.out == "bob is removed.\n"
    assert "for everyone who has seen it" in removed.err
    assert p2pchat("group", "role", "friends", "bob", "observer").out == "bob is an observer now.\n"
    assert p2pchat("group", "role", "friends", "bob", "moderator").out == "bob is a moderator now.\n"
    listed = p2pchat("group", "log", "friends").out
    assert re.fullmatch(r"\d.* alice removed dave; 2 of 3 members have seen it\.\n", listed)
    reported = p2pchat("group", "reports", "friends")
    assert reported.out.startswith("ab" * 16)
    assert "group hide" in reported.err
    added = p2pchat("group", "add", "friends", "bob").out
    assert added.startswith("Being added: bob. They are a member once their node has answered;")


def test_a_member_who_writes_to_all_is_told_that_it_calls_nobody(node: FakeNode, p2pchat: Run) -> None:
    known: Any = node.answers["group"]
    for role, told in (("member", True), ("moderator", False)):
        node.answers["group"] = {**known, "role": role}
        assert ("@all calls nobody here" in p2pchat("send", "friends", "hey @all").err) is told
    assert p2pchat("send", "friends", "hey @all", "--json").err == ""
    node.answers["group"] = errors.NotAGroup()
    assert p2pchat("send", "bob", "hey @all").err == ""


def test_times_in_sentences_are_local(node: FakeNode, p2pchat: Run) -> None:
    at, said = "2026-12-21T14:05:00.000Z", "22 December 2026, 04:05"
    known: Any = node.answers["group"]
    node.answers["group"] = {**known, "epoch": f"The keys are from {at}.", "problem": f"It happens on {at}."}
    node.answers["recover_group"] = node.answers["group"]
    node.answers["group_log"] = [{"id": ID, "at": at, "text": f"anna muted bob until {at}.", "by": "anna"}]
    with in_zone(FAR_EAST):
        shown = p2pchat("group", "show", "friends")
        assert f"The keys are from {said}." in shown.out
        assert f"It happens on {said}." in shown.err
        assert f"It happens on {said}." in p2pchat("group", "recover", "friends", "bob").out
        assert f"until {said}." in p2pchat("group", "log", "friends").out


def test_a_name_in_a_command_to_copy_is_quoted(node: FakeNode, p2pchat: Run) -> None:
    assert "`p2pchat group log 'the hut'`" in p2pchat("group", "remove", "the hut", "bob").err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "What is group to do? One of create, show"),
        (["fly"], "no group fly"),
        (["create"], "NAME is missing"),
        (["add", "friends"], "C is missing"),
        (["role", "friends", "bob", "king"], "ROLE is one of owner"),
        (["set", "friends", "colour", "red"], "KEY is one of name"),
        (["set", "friends", "slow_mode", "soon"], "neither off nor a time"),
        (["set", "friends", "locked", "maybe"], "locked is yes or no"),
        (["set", "friends", "history", "7"], "0, 50, 500"),
        (["set", "friends", "history", "all"], "0, 50, 500"),
        (["invite", "friends", "--uses", "0"], "number from 1"),
        (["invite", "friends", "--role", "owner"], "invalid choice"),
    ],
)
def test_what_cannot_be_meant_is_refused_here(node: FakeNode, p2pchat: Run, words: list[str], why: str) -> None:
    result = p2pchat("group", *words)
    assert (result.code, result.out, node.calls) == (2, "", [])
    assert why in result.err
    assert result.err.count("\n") == 1


def test_errors_say_who_and_what_to_do(node: FakeNode, p2pchat: Run) -> None:
    several = errors.AmbiguousName("bob is more than one member", candidates=["bob (b0b0b0b0b0b0b0b0)", "bob (c1)"])
    for error in (several, errors.NoSuchMember(), errors.NotAllowed("Only an owner may do that"), errors.NotAGroup()):
        node.answers["remove_member"] = error
        result = p2pchat("group", "remove", "friends", "bob")
        assert (result.code, result.out, result.err) == (2, "", f"p2pchat: {error.line()}\n")


def test_nothing_that_others_chose_reaches_the_terminal(node: FakeNode, p2pchat: Run) -> None:
    member = {**MEMBERS[1], "name": EVIL, "contact": EVIL}
    node.answers["group_members"] = {"total": 2, "members": [member, {**member, "id": "d0" * 8}]}
    node.answers["group"] = {
        **node.answers["group"],  # type: ignore[dict-item]
        "name": EVIL,
        "topic": EVIL,
        "epoch": EVIL,
        "problem": EVIL,
        "settings": {"description": EVIL},
    }
    node.answers["group_log"] = [{"id": ID, "text": EVIL, "by": EVIL, "op": EVIL, "known_by": None}]
    node.answers["leave_group"] = {"chat": ID, "name": EVIL}
    node.answers["group_requests"] = [{"id": ID, "name": EVIL, "words": EVIL, "at": None, "via": EVIL}]
    node.answers["answer_request"] = {"id": ID, "name": EVIL}
    node.answers["group_reports"] = [{"reply_to": ID, "sent_at": "2026-01-02T03:04:05.000Z", "text": EVIL}]
    lines = {"members": 2, "show": 9, "reports": 1, "requests": 1, "log": 1, "leave": 1, "accept": 1, "decline": 1}
    for action, most in lines.items():
        result = p2pchat("group", action, "friends", *["1a"] * (action in ("accept", "decline")))
        assert result.code == 0
        assert "x" in result.out
        assert not re.search(RISKY, result.out + result.err), action
        assert result.out.count("\n") <= most, action
    exact = p2pchat("group", "members", "friends", "--json")
    assert exact.objects()[0]["name"] == EVIL
    assert not re.search(RISKY, exact.out)
