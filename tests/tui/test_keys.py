"""The table of keys: the bindings and the help are made from it."""

from __future__ import annotations

from collections import Counter

import pytest
from textual.app import App
from textual.widget import Widget
from textual.widgets import TextArea

from p2pchat.tui import keys
from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.main import MainScreen
from p2pchat.tui.widgets.chatlist import ChatList
from p2pchat.tui.widgets.composer import Composer
from p2pchat.tui.widgets.conversation import Conversation

PLACES: dict[str, type[App[object]] | type[Widget]] = {
    keys.EVERYWHERE: ChatApp,  # type: ignore[dict-item]
    keys.CHATS: MainScreen,
    keys.WRITING: Composer,
    keys.MESSAGE: Conversation,
    keys.LIST: ChatList,
}


def test_every_place_has_somebody_who_binds_it() -> None:
    assert set(PLACES) == set(keys.WHERE) == {key.where for key in keys.KEYS}


@pytest.mark.parametrize("where", keys.WHERE)
def test_no_key_has_two_meanings_in_one_place(where: str) -> None:
    used = Counter(key for row in keys.KEYS if row.where == where for key in row.keys)
    assert [key for key, count in used.items() if count > 1] == []


@pytest.mark.parametrize("row", keys.KEYS, ids=lambda row: f"{row.where}: {row.keys[0]}")
def test_every_action_is_there(row: keys.Key) -> None:
    action = row.action.partition("(")[0]
    owner: object = PLACES[row.where]
    if action.startswith("app."):
        owner, action = ChatApp, action.removeprefix("app.")
    assert callable(getattr(owner, f"action_{action}", None)), row


@pytest.mark.parametrize("where", keys.WHERE)
def test_what_is_bound_is_the_table(where: str) -> None:
    bound = PLACES[where]._merged_bindings
    assert bound is not None
    for row in keys.KEYS:
        if row.where == where:
            for key in row.keys:
                assert [each.action for each in bound.key_to_bindings[key]] == [row.action]


def test_the_composer_has_no_key_that_the_help_does_not_know() -> None:
    bound = Composer._merged_bindings
    assert bound is not None
    assert set(bound.key_to_bindings) == {key for row in keys.KEYS if row.where == keys.WRITING for key in row.keys}
    assert "ctrl+y" in {key for binding in TextArea.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    assert "ctrl+y" not in bound.key_to_bindings  # there it is the contact's page


def test_a_key_reads_as_people_write_it() -> None:
    assert keys.shown("ctrl+n") == "Ctrl+N"
    assert keys.shown("f1") == "F1"
    assert keys.shown("alt+down") == "Alt+↓"
    assert keys.shown("k") == "k"
    assert keys.KEYS[0].shown == "F1 or Alt+H"
