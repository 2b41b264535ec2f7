"""Keys that the person binds: what is taken, what is named as wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from p2pchat.tui import keys
from p2pchat.tui.keymap import USUAL, Keymap, key_of
from p2pchat.tui.keys import CHATS, KEYS, MESSAGE, WRITING


def test_every_action_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(row.name for row in KEYS).items() if count > 1] == []
    assert {"help", "leave", "invite", "chat_3", "send", "write_select_word_left", "message_reply", "list_up"} <= {
        row.name for row in KEYS
    }


def test_nothing_bound_is_the_table() -> None:
    assert (USUAL.rows, USUAL.problems, USUAL.for_textual()) == (KEYS, [], {})


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Ctrl+T", "ctrl+t"),
        ("shift+ctrl+Left", "ctrl+shift+left"),
        ("Alt+PgDn", "alt+pagedown"),
        ("Esc", "escape"),
        ("+", "plus"),
        ("alt++", "alt+plus"),
        ("shift+x", "X"),
        ("K", "K"),
        ("f12", "f12"),
        ("?", "question_mark"),
        ("", None),
        ("ctrl+", None),
        ("hold+x", None),
        ("f99", None),
        ("\x1b", None),
    ],
)
def test_keys_as_people_write_them(written: str, key: str | None) -> None:
    assert key_of(written) == key


def test_keys_are_bound_swapped_and_taken_away() -> None:
    keymap = Keymap({"invite": "ctrl+o", "add": ["ctrl+n", "f5"], "message_pin": [], "message_reply": "a"})
    assert keymap.problems == []
    assert (keymap.shown("invite"), keymap.shown("add"), keymap.shown("message_pin")) == ("Ctrl+O", "Ctrl+N", "")
    assert keymap.actions(MESSAGE)["a"] == "reply"
    assert "p" not in keymap.actions(MESSAGE)
    assert keymap.for_textual() == {
        "invite": "ctrl+o",
        "add": "ctrl+n,f5",
        "message_pin": "unbound",
        "message_reply": "a",
    }


@pytest.mark.parametrize(
    ("action", "value", "why"),
    [
        ("fly", "f5", "no such action"),
        ("invite", 7, "it must be a key"),
        ("invite", ["f1"] * 9, "it must be a key"),
        ("invite", "ctrl+nothing", "no key 'ctrl+nothing'"),
        ("invite", "x", "alone is needed for typing"),
        ("write_undo", "space", "alone is needed for typing"),
        ("invite", "ctrl+i", "send it as Tab"),
        ("send", "", "needs a key"),
        ("leave", [], "needs a key"),
    ],
)
def test_what_cannot_be_bound_is_named_and_changes_nothing(action: str, value: object, why: str) -> None:
    keymap = Keymap({action: value})
    assert [(problem.action, why in problem.says) for problem in keymap.problems] == [(action, True)]
    assert keymap.rows == KEYS


def test_a_key_is_nobodys_twice() -> None:
    keymap = Keymap({"invite": "f7", "requests": "f7", "palette": "ctrl+f"})
    assert [(problem.action, problem.says) for problem in keymap.problems] == [
        ("requests", "F7 is bound to invite already"),
        ("palette", "Ctrl+F is not for search any more"),
        ("palette", "Ctrl+F is not for write_word_right any more"),
    ][:2]
    assert (keymap.shown("requests"), keymap.shown("search")) == ("Ctrl+R", "")
    for where in keys.WHERE:
        used = Counter(key for row in keymap.rows if row.where == where for key in row.keys)
        assert [key for key, count in used.items() if count > 1] == []


def test_enter_may_begin_a_line() -> None:
    keymap = Keymap({}, enter_sends=False)
    assert keymap.actions(WRITING)["enter"] == "new_line"
    assert keymap.shown("send") == "Alt+Enter"
    assert keymap.problems == []


def test_what_the_composer_knows_hides_what_the_screen_has() -> None:
    keymap = Keymap({"search": "ctrl+u"})
    assert "ctrl+u" in keymap.actions(CHATS)
    assert "ctrl+u" not in keymap.actions(WRITING)
