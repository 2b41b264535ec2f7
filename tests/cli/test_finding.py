"""`log` and `search`: which part of a chat they ask for, and what they print."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run
from tests.cli.node import FILE, MESSAGE, FakeNode


def test_from_a_beginning_on_every_page_is_shown(node: FakeNode, p2pchat: Run) -> None:
    ids = [f"{number:032x}" for number in range(5)]

    def pages(**asked: Any) -> list[dict[str, Any]]:
        start = 0 if asked["after"] is None else ids.index(asked["after"]) + 1
        return [{**MESSAGE, "id": id} for id in ids[start : start + 2]]

    node.answers["log"] = pages
    result = p2pchat("log", "bob", "--since", "unread", "--json")
    assert [message["id"] for message in result.objects()] == ids
    assert {asked["limit"] for _, asked in node.calls} == {200}
    assert {asked["since"] for _, asked in node.calls} == {"unread"}
    assert [asked["after"] for _, asked in node.calls] == [None, ids[1], ids[3], ids[4]]
    node.answers["log"] = []
    assert "Nothing found." in p2pchat("log", "bob", "--since", "today").err
    assert "No messages yet." in p2pchat("log", "bob").err


def test_a_whole_chat_is_written_page_by_page(node: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    ids = [f"{number:032x}" for number in range(3)]

    def pages(**asked: Any) -> list[dict[str, Any]]:
        start = 0 if asked["after"] is None else ids.index(asked["after"]) + 1
        return [{**MESSAGE, "id": id, "text": id} for id in ids[start : start + 2]]

    node.answers["log"] = pages
    assert [message["id"] for message in p2pchat("export", "bob", "--json").objects()] == ids
    result = p2pchat("export", "bob")
    assert result.out.startswith("Chat with bob\n")
    assert all(id in result.out for id in ids)
    file = tmp_path / "bob.html"
    written = p2pchat("export", "bob", "--to", str(file))
    assert (written.code, written.out) == (0, "")
    assert "not encrypted" in written.err
    assert file.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = p2pchat("export", "bob", "--to", str(file))
    assert (again.code, "exists already" in again.err) == (2, True)
    node.answers["log"] = [{**MESSAGE, "expires_in": 60}]
    assert "1 disappearing messages were left out" in p2pchat("export", "bob").err
    node.answers["log"] = []
    nothing = p2pchat("export", "bob", "--to", str(tmp_path / "none"))
    assert (nothing.code, "No messages yet." in nothing.err, (tmp_path / "none").exists()) == (0, True, False)


def test_a_line_for_each_message_in_a_form_of_ones_own(node: FakeNode, p2pchat: Run) -> None:
    mine = {**MESSAGE, "from": "me", "mine": True, "text": "a\x1b[2J\\n{id}\tb\nc", "received_at": None, "route": None}
    node.answers["log"] = [MESSAGE, mine]
    form = r"{date} {time}\t{from}: {text}\\ {route}"
    result = p2pchat("log", "bob", "--format", form)
    assert result.out == "2026-01-02 03:04\tbob: hi\\ direct\n2026-01-02 03:04\tme: a\ufffd[2J\\n{id} b c\\ \n"
    node.answers["log"] = [MESSAGE, FILE]
    named = p2pchat("log", "bob", "--format", "{file}|{text}").out
    assert named == "|hi\n(picture, image/jpeg, 1.2 MB, 640 x 480, 25 %, 100 kB/s, 9 s left) photo.jpg|look\n"
    wrong = p2pchat("log", "bob", "--format", "{text} {colour}")
    assert (wrong.code, wrong.out) == (2, "")
    assert "{colour}" in wrong.err
    assert "sent_at" in wrong.err


def test_a_hit_is_one_line_with_its_id(node: FakeNode, p2pchat: Run) -> None:
    hit = node.answers["search"][0]  # type: ignore[index]
    hostile = {"text": "a\nb\x1b]52;c;x\x07", "hit": True}
    node.answers["search"] = [hit, {**hit, "from": "me", "mine": True, "chat_name": "b\u202eo", "snippet": [hostile]}]
    result = p2pchat("search", "hi")
    first, second = result.out.splitlines()
    assert first.startswith(f"{MESSAGE['id']}  ")
    assert first.endswith("  bob: …say hi to")
    assert second.endswith("  bo (you): a b\ufffd]52;c;x\ufffd")
    assert "--around ID" in result.err
    of_group = {**hit, "from": "a\x1bnna", "chat_name": "friends", "member": {"id": "a1" * 8, "name": "a\x1bnna"}}
    node.answers["search"] = [of_group, {**of_group, "from": "me", "mine": True, "member": None}]
    first, second = p2pchat("search", "hi").out.splitlines()
    assert first.endswith("  friends, a\ufffdnna: …say hi to")
    assert second.endswith("  friends (you): …say hi to")
    node.answers["search"] = []
    empty = p2pchat("search", "hi")
    assert (empty.code, empty.out) == (0, "")
    assert "Nothing found." in empty.err
