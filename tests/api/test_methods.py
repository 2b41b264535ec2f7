"""The one table: arguments are checked from it, docs/api.md is printed from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api import arguments, methods
from p2pchat.api.table.shape import REQUIRED, Param

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == methods.document(), "run: python -m p2pchat.api.methods > docs/api.md"


def test_names_are_unique_and_documented() -> None:
    assert len(methods.BY_NAME) == len(methods.METHODS)
    assert all(method.doc and method.result and all(p.doc for p in method.params) for method in methods.METHODS)


def test_defaults_fit_their_own_type() -> None:
    for method in methods.METHODS:
        given = {p.name: p.default for p in method.params if p.default is not REQUIRED}
        needed = {p.name: _example(p) for p in method.params if p.default is REQUIRED}
        assert arguments.check(method.name, {**given, **needed}) == arguments.check(method.name, needed)


def _example(param: Param) -> object:
    return param.choices[0] if param.choices else {"text": "x", "integer": 1, "texts": ["x"]}[param.kind]


def test_the_promised_methods_are_there() -> None:
    promised: dict[str, list[str]] = {
        "hello": ["version"],
        "unlock": ["passphrase"],
        "status": [],
        "invite": [],
        "add": ["invite", "name"],
        "contacts": [],
        "requests": [],
        "accept": ["contact"],
        "send": ["chat", "text", "wait"],
        "log": ["chat", "limit", "before"],
        "subscribe": ["events"],
    }
    for name, params in promised.items():
        known = {param.name for param in methods.BY_NAME[name].params}
        assert known >= set(params), name
    assert {event.name for event in methods.EVENTS} >= {"message", "state", "contact", "request", "node"}


@pytest.mark.parametrize(
    ("name", "params", "why"),
    [
        ("sendd", {}, "no method `sendd`"),
        ("a\x1b[2Jb", {}, r"x1b"),
        ("send", {"chat": "bob"}, "needs `text`"),
        ("send", {"chat": "bob", "text": "x", "txet": 1}, "takes no `txet`"),
        ("send", {"chat": 1, "text": "x"}, "must be a text"),
        ("send", {"chat": None, "text": "x"}, "must be a text"),
        ("send", {"chat": "bob", "text": "x", "wait": "seen"}, "one of saved, stored, delivered, read"),
        ("send", {"chat": "bob", "text": "x", "timeout": True}, "must be a number"),
        ("send", {"chat": "bob", "text": "x", "timeout": -1}, "must be a number"),
        ("log", {"chat": "bob", "limit": 1.5}, "must be an integer"),
        ("log", {"chat": "bob", "limit": True}, "must be an integer"),
        ("invite", {"ask": 1}, "true or false"),
        ("subscribe", {"events": "message"}, "a list of texts"),
        ("subscribe", {"events": [1]}, "a list of texts"),
    ],
)
def test_wrong_arguments_are_named(name: str, params: dict[str, Any], why: str) -> None:
    with pytest.raises((arguments.UnknownMethod, arguments.BadParams), match=why) as caught:
        arguments.check(name, params)
    assert caught.value.exit_code == 2
    assert caught.value.line().isprintable()


def test_left_out_arguments_get_their_defaults() -> None:
    assert arguments.check("send", {"chat": "b", "text": "x"}) == {
        "chat": "b",
        "text": "x",
        "reply_to": None,
        "wait": "saved",
        "timeout": 30,
    }
    left_out = {"reusable": False, "ask": False, "expires": 604_800, "hide": False, "label": ""}
    assert json.loads(json.dumps(arguments.check("invite", {}))) == left_out
