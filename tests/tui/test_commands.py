"""Slash commands: what a line means, and how it may go on."""

from __future__ import annotations

import pytest

from p2pchat.tui.commands import (
    BY_NAME,
    COMMANDS,
    Completion,
    Run,
    Say,
    Unknown,
    completed,
    completions,
    offered,
    parse,
)


@pytest.mark.parametrize(
    ("line", "text"),
    [("hello", "hello"), ("//help", "/help"), ("///", "//"), ("a /help", "a /help")],
)
def test_a_text_is_sent_as_it_is_but_for_one_of_two_slashes(line: str, text: str) -> None:
    assert parse(line) == Say(text)


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("/help", "help", ""),
        ("/HELP ", "help", ""),
        ("/rename  Bob the builder ", "rename", "Bob the builder"),
        ("/search one\ntwo", "search", "one\ntwo"),
    ],
)
def test_a_command_with_what_is_behind_it(line: str, name: str, rest: str) -> None:
    assert parse(line) == Run(BY_NAME[name], rest)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("/hlep", "help"), ("/delte", "delete"), ("/usr/bin/env", None), ("/", None), ("/ hello", None)],
)
def test_what_is_no_command_is_not_a_text_either(line: str, nearest: str | None) -> None:
    meant = parse(line)
    assert isinstance(meant, Unknown)
    assert meant.nearest == nearest


def lines(found: list[Completion]) -> list[str]:
    return [each.line for each in found]


def test_names_of_commands_are_completed() -> None:
    assert lines(completions("/he", [], [])) == ["/help "]
    assert lines(completions("/rel", [], [])) == ["/relays "]
    assert lines(completions("/rep", [], [])) == ["/reports", "/reply"]
    assert len(completions("/", [], [])) == len(offered())


@pytest.mark.parametrize("line", ["", "hello", "//he", "/help\nme", "/nothing at all"])
def test_nothing_else_is(line: str) -> None:
    assert completions(line, ["Bob"], ["Eve"]) == []


def test_arguments_are_completed_by_their_kind() -> None:
    contacts, asking = ["Bob", "bobby", "Carol"], ["Eve"]
    assert lines(completions("/verify bo", contacts, asking)) == ["/verify Bob", "/verify bobby"]
    assert lines(completions("/accept ", contacts, asking)) == ["/accept Eve"]
    assert lines(completions("/theme l", contacts, asking)) == ["/theme light"]
    # Nothing to choose: the line stays, and says what it does.
    [only] = completions("/rename Rob", contacts, asking)
    assert (only.line, only.says) == ("/rename Rob", BY_NAME["rename"].says)


def test_what_other_programs_call_a_command_works_and_is_completed() -> None:
    assert parse("/whois Bob") == Run(BY_NAME["contact"], "Bob")
    assert lines(completions("/who", [], [])) == ["/whois "]
    assert lines(completions("/ignore b", ["Bob"], [])) == ["/ignore Bob"]
    assert "(also /query, /buffer)" in BY_NAME["chat"].told
    assert parse("/whios") == Unknown("whios", "whois")


def test_settings_and_commands_are_arguments_too() -> None:
    assert lines(completions("/set no", [], [])) == ["/set notifications ", "/set notification_content "]
    assert lines(completions("/set bell ", [], [])) == ["/set bell no", "/set bell yes"]
    assert lines(completions("/help ren", [], [])) == ["/help rename"]


def test_the_name_of_an_emoji_is_completed_at_the_end_of_any_text() -> None:
    found = completions("well done :tad", ["Bob"], [])
    assert found == [Completion("well done 🎉", ":tada:", "🎉")]
    assert lines(completions("/react :tada", [], [])) == ["/react 🎉"]
    assert completed("no :thumbsu", completions("no :thumbsu", [], [])) == "no :thumbsu"


def test_as_much_is_written_as_is_certain() -> None:
    contacts = ["Bob", "bobby", "Carol"]
    assert completed("/verify b", completions("/verify b", contacts, [])) == "/verify Bob"
    assert completed("/verify bob", completions("/verify bob", contacts, [])) == "/verify bob"
    assert completed("/verify bobb", completions("/verify bobb", contacts, [])) == "/verify bobby"
    assert completed("/zzz", []) == "/zzz"
    assert completed("/r", completions("/r", [], [])) == "/r"  # rename, requests, rtl and receipts part here


def test_every_command_says_what_it_does() -> None:
    assert len(BY_NAME) == len(COMMANDS)
    for command in COMMANDS:
        assert command.says
        assert command.shown == f"/{command.name} {command.usage}".strip()


def test_a_space_before_the_slash_is_a_slip_and_nothing_is_sent() -> None:
    assert parse(" /quit") == Run(BY_NAME["quit"], "")
    assert parse(" //quit") == Say(" /quit")
