"""The verb relays: the list, how adding one ends, and relays of contacts."""

from __future__ import annotations

from typing import cast

import pytest

from tests.cli.conftest import Run
from tests.cli.node import FakeNode


def test_relays_and_how_they_do(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("relays").out == "connected  -  /ip4/192.0.2.9/tcp/4001/p2p/12D3KooWA\n"
    (one,) = cast(list[dict[str, object]], node.answers["relays"])
    more = {"state": "unreachable", "used": False, "kept": False, "problem": "no answer\x1b[2J"}
    node.answers["relays"] = [{**one, **more}]
    reserve = p2pchat("relays")
    assert "in reserve, for this run, no answer" in reserve.out
    assert "\x1b" not in reserve.out
    node.answers["relays"] = []
    assert "No relays" in p2pchat("relays").err
    missing = p2pchat("relays", "add")
    assert (missing.code, "Which relay" in missing.err) == (2, True)
    assert p2pchat("relays", "take", "/ip4/x").code == 2


@pytest.mark.parametrize(
    ("state", "used", "code"),
    [
        ("connected", True, 0),
        ("unreachable", True, 3),
        ("connecting", True, 3),
        ("refused", True, 5),
        ("connecting", False, 0),
        ("refused", False, 5),
    ],
)
def test_adding_a_relay_ends_as_it_went(node: FakeNode, p2pchat: Run, state: str, used: bool, code: int) -> None:
    (one,) = cast(list[dict[str, object]], node.answers["relays"])
    node.answers["relays"] = [one, {**one, "state": state, "used": used, "problem": "no\x1b[2J", "added": True}]
    result = p2pchat("relays", "add", "/ip4/x")
    assert result.code == code
    assert ("in the list" in result.err) is bool(code)
    assert "\x1b" not in result.err
    assert p2pchat("relays", "remove", "/ip4/x", "--replace").code == 2


def test_a_relay_that_a_contact_is(node: FakeNode, p2pchat: Run) -> None:
    (one,) = cast(list[dict[str, object]], node.answers["relays"])
    node.answers["relays"] = [
        {**one, "contact": "bob"},
        {**one, "contact": "eve\x1b[2J", "state": "offered", "since": None, "used": False, "kept": False},
    ]
    ours, offered = p2pchat("relays").out.splitlines()
    assert ours.split("  ")[:2] == ["connected", "bob's"]
    assert offered.split()[:2] == ["offered", "eve\ufffd[2J's"]


def test_those_that_others_have_told_of(node: FakeNode, p2pchat: Run) -> None:
    (one,) = cast(list[dict[str, object]], node.answers["relays"])
    told = {**one, "state": "told", "used": False, "kept": False, "in_use": False, "stores": True, "worked": None}
    node.answers["relays"] = [
        one,
        {**told, "told_by": "contact", "source": "eve\x1b[2J", "worked": "2025-11-20T10:30:00.000Z", "in_use": True},
        {**told, "told_by": "contact", "source": None, "stores": False},
    ]
    _, used, known = p2pchat("relays", "--all").out.splitlines()
    assert used.startswith("in use")
    assert "told by eve\ufffd[2J, worked 2025-11-20" in used
    assert "told by a contact who is gone, has never answered, stores no messages" in known
