"""Every verb against a node: what it asks, what it prints where, its exit code (the command contract)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from p2pchat import errors
from p2pchat.api import methods
from p2pchat.cli.main import MODULES
from p2pchat.cli.outgoing import MAX_TEXT
from p2pchat.locations import Profile
from tests.cli.conftest import Run
from tests.cli.node import ID, MESSAGE, FakeNode

M = "aa" * 16
ELSEWHERE = {"before": None, "after": None, "around": None, "since": None, "until": None}
HITS = {"before": None, "after": None, "typing": False, "context": 160}
SIMPLE = [
    (["contacts"], "contacts", {}),
    (["requests"], "requests", {}),
    (["accept", "bob"], "accept", {"contact": "bob"}),
    (["decline", "bob"], "decline", {"contact": "bob"}),
    (["block", "bob"], "block", {"contact": "bob"}),
    (["unblock", "bob"], "unblock", {"contact": "bob"}),
    (["archive", "bob"], "archive", {"chat": "bob", "archived": True}),
    (["archive", "bob", "--undo"], "archive", {"chat": "bob", "archived": False}),
    (["mute", "bob"], "mute", {"chat": "bob", "seconds": None}),
    (["mute", "bob", "8h"], "mute", {"chat": "bob", "seconds": 28_800}),
    (["mute", "bob", "off"], "mute", {"chat": "bob", "seconds": 0}),
    (["rename", "bob", "rob"], "rename", {"contact": "bob", "name": "rob"}),
    (["rename", "bob", "--undo"], "rename", {"contact": "bob", "name": None}),
    (["note", "bob"], "note", {"contact": "bob", "text": None}),
    (["note", "bob", "met", "in Lund"], "note", {"contact": "bob", "text": "met in Lund"}),
    (["note", "bob", "--clear"], "note", {"contact": "bob", "text": ""}),
    (["forget", "bob", "--yes"], "forget", {"contact": "bob", "history": False}),
    (["forget", "bob", "--history", "--yes"], "forget", {"contact": "bob", "history": True}),
    (["clear", "bob", "--yes"], "clear", {"chat": "bob"}),
    (["chats"], "chats", {}),
    (["chats", "pin", "bob"], "pin_chat", {"chat": "bob", "pinned": True}),
    (["chats", "unpin", "bob"], "pin_chat", {"chat": "bob", "pinned": False}),
    (["invites"], "invites", {"revoke": None}),
    (["invites", "revoke", "1a2b"], "invites", {"revoke": "1a2b"}),
    (["contacts", "hide", "bob"], "hide", {"contact": "bob", "hidden": True}),
    (["contacts", "show", "bob"], "hide", {"contact": "bob", "hidden": False}),
    (["verify", "bob"], "verify", {"contact": "bob", "set": False}),
    (["verify", "bob", "--set"], "verify", {"contact": "bob", "set": True}),
    (["invite"], "invite", {"reusable": False, "ask": False, "expires": 604_800, "hide": False, "label": ""}),
    (
        ["invite", "--reusable", "--ask", "--expires", "1h"],
        "invite",
        {"reusable": True, "ask": True, "expires": 3600, "hide": False, "label": ""},
    ),
    (
        ["add", "P2P CHAT:\nX"],
        "add",
        {"invite": "P2PCHAT:X", "name": None, "wait": "sent", "timeout": 30.0, "hide": False},
    ),
    (
        ["add", "P", "--name", "al", "--wait", "accepted", "--timeout", "5s"],
        "add",
        {"invite": "P", "name": "al", "wait": "accepted", "timeout": 5.0, "hide": False},
    ),
    (
        ["invite", "--hide-address"],
        "invite",
        {"reusable": False, "ask": False, "expires": 604_800, "hide": True, "label": ""},
    ),
    (
        ["add", "P", "--hide-address"],
        "add",
        {"invite": "P", "name": None, "wait": "sent", "timeout": 30.0, "hide": True},
    ),
    (
        ["send", "bob", "hi"],
        "send",
        {"chat": "bob", "text": "hi", "reply_to": None, "wait": "saved", "timeout": 30.0},
    ),
    (["reply", "ab", "hi"], "reply", {"id": "ab", "text": "hi", "wait": "saved", "timeout": 30.0}),
    (["edit", "ab", "hi"], "edit", {"id": "ab", "text": "hi", "chat": None}),
    (["history", "ab"], "history", {"id": "ab", "chat": None}),
    (["react", "ab", "👍"], "react", {"id": "ab", "emoji": "👍", "chat": None}),
    (["react", "ab", ":tada:"], "react", {"id": "ab", "emoji": "🎉", "chat": None}),
    (["react", "ab", "--undo"], "react", {"id": "ab", "emoji": "", "chat": None}),
    (["pin", "ab"], "pin", {"id": "ab", "pinned": True, "chat": None}),
    (["pin", "ab", "--undo"], "pin", {"id": "ab", "pinned": False, "chat": None}),
    (["pinned", "bob"], "pinned", {"chat": "bob"}),
    (["timer", "bob"], "timer", {"chat": "bob", "seconds": None}),
    (["timer", "bob", "2h"], "timer", {"chat": "bob", "seconds": 7200}),
    (["timer", "bob", "off"], "timer", {"chat": "bob", "seconds": 0}),
    (["log", "bob"], "log", {"chat": "bob", "limit": 50, "search": None, **ELSEWHERE}),
    (
        ["log", "bob", "--limit", "3", "--search", "a b"],
        "log",
        {"chat": "bob", "limit": 3, "search": "a b", **ELSEWHERE},
    ),
    (
        ["log", "bob", "--since", "2d", "--limit", "9", "--until", "today"],
        "log",
        {"chat": "bob", "limit": 9, "search": None, **ELSEWHERE, "since": "2d", "until": "today"},
    ),
    (
        ["log", "bob", "--around", "ab"],
        "log",
        {"chat": "bob", "limit": 50, "search": None, **ELSEWHERE, "around": "ab"},
    ),
    (["search", "a", "from:me"], "search", {"query": "a from:me", "chat": None, "limit": 50, **HITS}),
    (["search", "a b", "--chat", "bob", "--limit", "3"], "search", {"query": "a b", "chat": "bob", "limit": 3, **HITS}),
    (["read", "bob"], "read", {"chat": "bob", "upto": None}),
    (["read", "bob", "ab"], "read", {"chat": "bob", "upto": "ab"}),
    (["delete", "ab"], "delete", {"id": "ab", "for_both": False, "chat": None}),
    (["delete", "ab", "--for-both"], "delete", {"id": "ab", "for_both": True, "chat": None}),
    (["why", "ab"], "why", {"id": "ab"}),
    (["doctor"], "doctor", {}),
    (["chats"], "chats", {}),
    (["name"], "name", {"name": None}),
    (["name", "new"], "name", {"name": "new"}),
    (["settings"], "settings", {"keep_receiving": None, "read_receipts": None, "typing": None}),
    (
        ["settings", "read_receipts", "no"],
        "settings",
        {"keep_receiving": None, "read_receipts": False, "typing": None},
    ),
    (["relays"], "relays", {"add": None, "remove": None, "replace": False}),
    (["relays", "add", "/ip4/x#word"], "relays", {"add": "/ip4/x#word", "remove": None, "replace": False}),
    (["relays", "remove", "/ip4/x"], "relays", {"add": None, "remove": "/ip4/x", "replace": False}),
    (["parcel", "in", "/x"], "parcel_in", {"file": "/x"}),
    (["parcel", "out", "/x"], "parcel_out", {"file": "/x", "to": None}),
    (["parcel", "out", "/x", "--to", "bob", "--to", "eve"], "parcel_out", {"file": "/x", "to": ["bob", "eve"]}),
    (["offer"], "offer", {"answer": None}),
    (["offer", "yes"], "offer", {"answer": True}),
    (["offer", "no"], "offer", {"answer": False}),
]


@pytest.mark.parametrize(("words", "method", "params"), SIMPLE, ids=lambda value: " ".join(value)[:30])
def test_what_a_verb_asks_and_its_json(
    node: FakeNode, p2pchat: Run, words: list[str], method: str, params: dict[str, object]
) -> None:
    result = p2pchat(*words, "--json")
    assert result.code == 0
    assert node.calls == [(method, params)]
    expected = node.answers[method]
    assert result.objects() == (expected if isinstance(expected, list) else [expected])
    human = p2pchat(*words)
    assert human.code == 0
    assert human.out
    assert "\x1b" not in human.out + human.err  # no terminal, no colour


@pytest.mark.parametrize(("words", "method", "params"), SIMPLE, ids=lambda value: " ".join(value)[:30])
def test_global_options_on_either_side_reach_the_right_profile(
    node: FakeNode, profile: Profile, p2pchat: Run, words: list[str], method: str, params: dict[str, object]
) -> None:
    folder = str(profile.folder)
    before = p2pchat("--profile", folder, "--json", *words, named=False)
    after = p2pchat(*words, "--json", "--profile", folder, named=False)
    assert (before.code, before.out) == (after.code, after.out) == (0, before.out)
    assert node.calls == [(method, params)] * 2
    missing = p2pchat(*words, "--profile", folder + "x", named=False)
    assert missing.code == 1
    assert "p2pchat init" in missing.err


@pytest.mark.parametrize("verb", MODULES)
def test_version_and_help_work_with_every_verb_without_a_node(p2pchat: Run, verb: str) -> None:
    for words in (["--version", verb], [verb, "--version"]):
        result = p2pchat(*words)
        assert result.code == 0
        assert "no independent review" in result.out
    for words in (["--help", verb], [verb, "-h"]):
        result = p2pchat(*words)
        assert result.code == 0
        assert result.out.startswith(f"usage: p2pchat {verb}")


def test_p2pchat_alone_points_to_the_verbs(p2pchat: Run) -> None:
    result = p2pchat()
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "The screen needs a terminal" in result.err
    assert "send" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.P2PChatError("x"), 1),
        (errors.NoSuchContact(), 2),
        (errors.AmbiguousName("bob means more than one", candidates=["bob (12)", "bob (34)"]), 2),
        (errors.NotReached(), 3),
        (errors.Locked(), 4),
        (errors.InviteUsed(), 5),
    ],
)
def test_errors_are_one_line_with_the_right_code(
    node: FakeNode, p2pchat: Run, error: errors.P2PChatError, code: int
) -> None:
    node.answers["add"] = error
    result = p2pchat("add", "P2PCHAT:X")
    assert (result.code, result.out) == (code, "")
    assert result.err == f"p2pchat: {error.line()}\n"
    verbose = p2pchat("add", "P2PCHAT:X", "-vv")
    assert verbose.code == code
    assert "Traceback" in verbose.err


def test_an_errors_text_cannot_command_the_terminal(node: FakeNode, p2pchat: Run) -> None:
    node.answers["contacts"] = errors.P2PChatError("a\x1b[2J\nb\x9b\u202ec")
    result = p2pchat("contacts")
    assert result.err.count("\n") == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.err)


def test_a_fault_of_ours_is_one_line_too(p2pchat: Run, node: FakeNode) -> None:
    node.answers["contacts"] = 5
    result = p2pchat("contacts")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert "Traceback" in p2pchat("-vv", "contacts").err


def test_no_profile(p2pchat: Run, tmp_path: Path) -> None:
    for words in (["contacts"], ["node"], ["node", "status"], ["node", "stop"], ["lock"], ["unlock"], ["rpc"]):
        result = p2pchat("--profile", str(tmp_path / "none"), *words)
        assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
        assert "p2pchat init" in result.err
    assert not (tmp_path / "none").exists()


# --- data alone on stdout --------------------------------------------------------------------------


def test_the_invite_is_alone_on_stdout(node: FakeNode, p2pchat: Run) -> None:
    result = p2pchat("invite")
    assert result.out == "P2PCHAT:ABC\n"
    assert "A notice." in result.err
    with_qr = p2pchat("invite", "--qr")
    assert with_qr.out == "P2PCHAT:ABC\n"
    assert "█" in with_qr.err
    as_json = p2pchat("invite", "--qr", "--json")
    assert len(as_json.objects()) == 1
    assert "█" in as_json.err


def test_the_safety_number_is_alone_on_stdout(node: FakeNode, p2pchat: Run) -> None:
    result = p2pchat("verify", "bob")
    assert re.fullmatch(r"(\d{5} ){11}\d{5}\n", result.out)
    assert "one two three four" in result.err


def test_send_prints_the_id(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("send", "bob", "hi").out == "bb" * 16 + "\n"


def test_an_invite_may_come_by_stdin(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("add", "-", stdin=b" P2PCHAT:\n X\n").code == 0
    assert node.calls[0][1]["invite"] == "P2PCHAT:X"
    assert p2pchat("add", "-").code == 2


# --- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdin", "text"),
    [
        (b"hi\n", "hi"),
        (b"hi", "hi"),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" x\r\n", " x\r"),
        ("سلام\u200c👋\n".encode(), "سلام\u200c👋"),
        (b"x" * MAX_TEXT + b"\n", "x" * MAX_TEXT),
        (b"\x1b[2J\x00", "\x1b[2J\x00"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_text_from_stdin_loses_one_newline_and_nothing_else(
    node: FakeNode, p2pchat: Run, stdin: bytes, text: str
) -> None:
    assert p2pchat("send", "bob", stdin=stdin).code == 0
    assert node.calls[0][1]["text"] == text


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (["send", "bob"], b"", "no text"),
        (["send", "bob", ""], b"", "no text"),
        (["send", "bob", " \t\u2003"], b"", "white space"),
        (["send", "bob"], b" \r\n\n", "white space"),
        (["send", "bob"], b"x" * (MAX_TEXT + 1), "48,000"),
        (["send", "bob"], "й".encode() * MAX_TEXT, "48,000"),
        (["send", "bob", "й" * (MAX_TEXT // 2 + 1)], b"", "48,000"),
        (["send", "bob"], b"\xff\xfe", "UTF-8"),
        (["send", "bob", "a\udc80"], b"", "UTF-8"),
        (["send", "bob", "--passphrase-file", "-"], b"x", "stdin"),
        (["reply", "ab", " "], b"", "white space"),
        (["edit", "ab"], b"", "no text"),
        (["react", "ab"], b"", "Which emoji"),
        (["timer", "bob", "soon"], b"", "neither off nor a time"),
        (["mute", "bob", "soon"], b"", "neither off nor a time"),
        (["relays", "add", " "], b"", "Which relay is to be added?"),
    ],
)
def test_texts_that_cannot_be_sent(node: FakeNode, p2pchat: Run, words: list[str], stdin: bytes, why: str) -> None:
    result = p2pchat(*words, stdin=stdin)
    assert (result.code, result.out, node.calls) == (2, "", [])
    assert why in result.err
    assert not re.search(r"[?!.]\.", result.err)


def test_json_is_exact_and_harmless(node: FakeNode, p2pchat: Run) -> None:
    hostile = "a\x1b]52;c;x\x07\x9b31m\x7f\u202eb\u2066\U000e0041\u200c\nЁ \x00"
    node.answers["log"] = [{**MESSAGE, "text": hostile, "from": "b\x1bob"}]
    result = p2pchat("log", "bob", "--json")
    assert result.objects()[0]["text"] == hostile
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\U000e0041]", result.out)
    assert "Ё" in result.out  # readable where it is harmless
    assert result.out.count("\n") == 1


def test_human_output_is_cleaned_into_pipes_too(node: FakeNode, p2pchat: Run) -> None:
    evil = "x\x1b[2J\x9b\x07\u202e\U000e0041\ny"
    node.answers["contacts"] = [{"id": ID, "name": evil, "state": "contact", "verified": False, "route": None}]
    node.answers["requests"] = [{"id": ID, "name": evil, "since": "x", "sas": evil, "known": True}]
    said = {
        "quote": {"from": evil, "text": evil, "here": True, "deleted": False},
        "reactions": [{"emoji": evil, "from": evil, "mine": False}],
    }
    node.answers["log"] = [{**MESSAGE, "text": evil, "from": evil, **said}]
    node.answers["pinned"] = node.answers["log"]
    node.answers["history"] = [{"text": evil, "at": evil}]
    node.answers["timer"] = {"chat": ID, "timer": 60, "by": evil, "at": None}
    node.answers["reply"] = {"id": evil}
    node.answers["doctor"] = [{"check": "c", "ok": False, "detail": evil, "hint": evil}]
    node.answers["why"] = {"id": M, "state": "saved", "reason": evil, "next": evil}
    node.answers["rename"] = {"id": ID, "name": evil}
    node.answers["invite"] = {"invite": evil, "notice": evil, "expires_at": None}
    for words in (
        *(["contacts"], ["requests"], ["log", "b"], ["doctor"], ["why", "a"], ["rename", "b", "c"], ["invite"]),
        *(["pinned", "b"], ["history", "a"], ["timer", "b"], ["reply", "a", "b"]),
    ):
        result = p2pchat(*words)
        assert result.code == 0
        assert "x" in result.out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\U000e0041]", result.out + result.err), words
    assert p2pchat("contacts").out.count("\n") == 1  # a name is one line


def test_a_message_cannot_pass_for_one_of_ours(node: FakeNode, p2pchat: Run) -> None:
    node.answers["log"] = [{**MESSAGE, "text": "hello\n03:04  ✓✓ read  me   I owe you"}]
    _date, first, second = p2pchat("log", "bob").out.splitlines()
    assert first.endswith("bob  hello")
    assert second.startswith(" " * first.index("hello"))


# --- tail ------------------------------------------------------------------------------------------


def _numbered(number: int, **fields: object) -> dict[str, object]:
    sender = fields.pop("sender", MESSAGE["from"])
    return {**MESSAGE, "id": f"{number:032x}", "text": str(number), "from": sender, "mine": sender == "me", **fields}


class _Saved:
    """What a fake node has saved, each with its position: the answers of `messages`. `looked` at the first of them."""

    def __init__(self, node: FakeNode) -> None:
        self.rows: list[dict[str, object]] = []
        self.looked = threading.Event()
        self._node = node
        self._position = 0
        node.answers["messages"] = self._answer

    def save(self, *numbers: int, **fields: object) -> None:
        """Save messages of these numbers, without telling anybody."""
        for number in numbers:
            self._position += 1
            self.rows.append({**_numbered(number, **fields), "position": self._position})

    def tell(self, *numbers: int, **fields: object) -> None:
        """Save, and tell of each."""
        self.save(*numbers, **fields)
        self._node.publish(*({"event": "message", **_numbered(number, **fields)} for number in numbers))

    def _answer(self, chat: str | None, since: str | None, position: int | None, limit: int | None) -> object:
        rows = [row for row in self.rows if chat in (None, row["chat"])]
        self.looked.set()
        if since is not None:
            start = next((number for number, row in enumerate(rows) if row["id"] == since), None)
            if start is None:
                raise errors.NoSuchMessage
            return rows[start + 1 :][:2]
        if position is not None:
            return [row for row in rows if int(str(row["position"])) > position][:2]
        return rows[-(limit or 0) :]


@contextmanager
def _meanwhile(node: FakeNode, saved: _Saved, happen: Callable[[], None]) -> Iterator[None]:
    """What happens once a `tail` listens and has looked for the first time."""

    def wait() -> None:
        assert node.subscribed.wait(30)
        assert saved.looked.wait(30)
        happen()

    helper = threading.Thread(target=wait)
    helper.start()
    yield
    helper.join()


def test_tail_prints_what_comes_once_and_ends_at_count(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        saved.tell(1, 2)
        node.publish(*({"event": "message", **_numbered(n)} for n in (2, 1)))
        saved.tell(3, chat="ffffffffffffffff")
        node.publish({"event": "state", "id": "x", "state": "read", "route": None})
        saved.tell(4)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "bob", "--count", "3", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "2", "4"]
    assert set(result.objects()[0]) == set(MESSAGE)


def test_tail_shows_a_message_whose_id_was_seen_before(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        saved.tell(1, 2)
        saved.tell(1, text="the same id again", sender="eve")
        saved.tell(3)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "4", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "2", "the same id again", "3"]


def test_tail_with_events_prints_the_others_too(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        state = {"event": "state", "id": "x", "state": "read", "route": "direct", "at": "2026-01-02T03:04:05.000Z"}
        node.publish(state)
        saved.tell(1)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--events", "--count", "1", "--json")
    state, message = result.objects()
    assert (state["event"], state["id"], state["state"]) == ("state", "x", "read")
    assert message["text"] == "1"


def test_tail_says_what_was_changed_on_one_line(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        for what in ("edit", "reaction", "pin", "deleted"):
            node.publish({"event": "changed", **MESSAGE, "text": "two\nlines", "what": what, "notify": False})
        saved.tell(1)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--events", "--count", "1")
    assert result.err.splitlines() == [f"{word}  {M}" for word in ("edited", "reaction", "pin", "deleted for both")]


def test_tail_goes_on_with_the_next_node(
    node: FakeNode, profile: Profile, p2pchat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.cli.messages._FIRST_WAIT", 0.01)
    saved, after = _Saved(node), FakeNode(profile)
    after.answers = node.answers

    def happen() -> None:
        saved.tell(1)
        saved.save(2)  # of which the node that ends tells nobody
        node.end()
        saved.save(3)
        after.__enter__()
        assert after.subscribed.wait(30)
        saved._node = after
        saved.tell(4)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "4", "--json")
    after.__exit__()
    assert [each["text"] for each in result.objects()] == ["1", "2", "3", "4"]
    assert "is back" in result.err


def test_tail_of_the_others_only(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)
    saved.save(0, 1)
    saved.save(2, sender="me")
    saved.save(3)
    result = p2pchat("tail", "--theirs", "--after", f"{0:032x}", "--count", "2", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "3"]


def test_tail_since_reads_the_store_first(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)
    saved.save(1, 2, 3, 4, 5)
    result = p2pchat("tail", "bob", "--since", f"{1:032x}", "--count", "4", "--json")
    assert [each["text"] for each in result.objects()] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("before", "deleted", "expected"),
    [(0, 0, ["1", "2", "3"]), (3, 1, ["4", "5", "6"]), (3, 3, ["4", "5", "6"])],
    ids=["empty", "newest deleted", "all deleted"],
)
def test_tail_misses_nothing_after_it_lagged(
    node: FakeNode, p2pchat: Run, before: int, deleted: int, expected: list[str]
) -> None:
    saved = _Saved(node)
    saved.save(*range(1, before + 1))

    def happen() -> None:
        del saved.rows[before - deleted :]
        saved.save(*range(before + 1, before + 4))
        node.publish({"event": "lagged"}, {"event": "message", **_numbered(before + 3)})

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "3", "--json")
    assert [each["text"] for each in result.objects()] == expected


def test_with_json_an_error_is_an_object_on_stderr(node: FakeNode, p2pchat: Run) -> None:
    node.answers["why"] = errors.AmbiguousName("x\x1b\u202e", candidates=["a\x9b", "b"])
    for words, kind, code in (
        (["why", "ab"], "AmbiguousName", 2),
        (["fly"], "UsageError", 2),
        (["send", "bob", "-hi"], "UsageError", 2),
    ):
        result = p2pchat("--json", *words)
        (line,) = result.err.splitlines()
        told = json.loads(line)["error"]
        assert (result.code, result.out, told["data"]["error"], told["data"]["exit"]) == (code, "", kind, code)
        assert set(told) == {"code", "message", "data"}
        assert line.isprintable()
    assert p2pchat("why", "ab").err.startswith("p2pchat: ")


def test_the_shapes_of_what_ends_and_opens_are_those_of_the_api(node: FakeNode, p2pchat: Run) -> None:
    for words in (["unlock"], ["passphrase", "--no-passphrase"], ["lock"]):
        shape = set(re.findall("[a-z]+", methods.BY_NAME[words[0]].result.partition(";")[0]))
        (told,) = p2pchat(*words, "--json").objects()
        assert set(told) == shape


def test_chats_name_and_settings_for_people(node: FakeNode, p2pchat: Run) -> None:
    assert "2 unread" in p2pchat("chats").out
    assert p2pchat("name", "alice").out == "alice\n"
    assert p2pchat("settings").out == "keep_receiving  not decided\nread_receipts   yes\ntyping          yes\n"
    assert p2pchat("settings", "read_receipts").out == "yes\n"
    assert p2pchat("settings", "read_receipts", "maybe").code == 2
    assert p2pchat("settings", "colour").code == 2


def test_a_parcel_in_plain_words(node: FakeNode, p2pchat: Run) -> None:
    out = p2pchat("parcel", "out", "/x")
    assert out.out == "2 messages for 1 contact are in /x (17 KiB).\n"
    assert "waits here until the receipts come back" in out.err
    assert "Not everything fitted" in out.err
    came = (
        "1 new message, 2 receipts and other notes, 3 that you had, 4 for which there is no room, 5 that cannot be read"
    )
    assert p2pchat("parcel", "in", "/x").out == f"bob: {came}\n"
    node.answers["parcel_in"] = {"file": "/x", "entries": 4, "from": []}
    assert "Nothing in this parcel is for you" in p2pchat("parcel", "in", "/x").out
    assert p2pchat("parcel", "in", "/x", "--to", "bob").code == 2
    assert p2pchat("parcel", "along", "/x").code == 2


def test_what_was_saved_is_told_with_the_error(node: FakeNode, p2pchat: Run) -> None:
    sent = {"id": M, "state": "saved", "route": None, "stored_at": None}
    asked = {"id": ID, "name": "bob", "state": "waiting"}
    node.answers["send"] = errors.NotReached(result=sent)
    node.answers["add"] = errors.NotReached(result=asked)
    for words, shown in ((["send", "bob", "hi", "--wait", "read"], sent), (["add", "P2PCHAT:X"], asked)):
        result = p2pchat(*words, "--json")
        assert (result.code, result.objects(), result.err.count("\n")) == (3, [shown], 1)
    assert p2pchat("send", "bob", "hi").out == M + "\n"
    assert p2pchat("add", "P2PCHAT:X").out == ""


def test_tail_of_a_chat_that_the_node_does_not_know(node: FakeNode, p2pchat: Run) -> None:
    node.answers["timer"] = errors.AmbiguousName(candidates=["Bob (abab)", "Bob (acac)"])
    result = p2pchat("tail", "bob")
    assert (result.code, node.calls) == (2, [("timer", {"chat": "bob", "seconds": None})])
    assert "Bob (abab), Bob (acac)" in result.err


# --- the node ends ---------------------------------------------------------------------------------


def test_a_node_that_dies_in_the_middle_is_an_error_and_nothing_is_repeated(node: FakeNode, p2pchat: Run) -> None:
    def answer(**_: object) -> object:
        node.drop()
        return None

    node.answers["send"] = answer
    result = p2pchat("send", "bob", "hi")
    assert (result.code, result.out) == (1, "")
    assert "p2pchat log" in result.err
    assert [name for name, _ in node.calls] == ["send"]


# --- passphrases -----------------------------------------------------------------------------------


@pytest.fixture
def locked(profile: Profile) -> FakeNode:
    return FakeNode(profile, state="locked")


def test_a_locked_node_is_unlocked_with_the_file(locked: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes("пароль \n".encode())
    with locked as node:
        assert p2pchat("contacts", "--passphrase-file", str(secret)).code == 0
        assert node.calls[0] == ("unlock", {"passphrase": "пароль "})
        assert p2pchat("--passphrase-file", "-", "contacts", stdin=b"pw\n").code == 0
        assert node.calls[2] == ("unlock", {"passphrase": "pw"})


def test_a_locked_node_is_unlocked_by_the_command_that_is_configured(
    locked: FakeNode, profile: Profile, p2pchat: Run
) -> None:
    (profile.folder / "config.toml").write_text('passphrase_command = ["printf", "from a manager\\nmore"]\n')
    with locked as node:
        assert p2pchat("contacts").code == 0
        assert node.calls[0] == ("unlock", {"passphrase": "from a manager"})
        assert p2pchat("contacts", "--passphrase-file", "-", stdin=b"given\n").code == 0
        assert node.calls[2] == ("unlock", {"passphrase": "given"})


def test_no_verb_prompts_without_a_terminal(locked: FakeNode, p2pchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(*_: object) -> str:
        raise AssertionError("prompted")

    monkeypatch.setattr("getpass.getpass", prompt)
    with locked as node:
        for words in (["contacts"], ["unlock"], ["send", "bob", "x"], ["passphrase"], ["tail"]):
            result = p2pchat(*words)
            assert (result.code, result.out, result.err.count("\n")) == (4, "", 1)
            assert "--passphrase-file" in result.err
        assert node.calls == []
    result = p2pchat("--profile", "/nonexistent/x", "init", "--name", "a")
    assert result.code == 2
    assert "--no-passphrase" in result.err


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * 2000])
def test_passphrase_files_that_hold_none(locked: FakeNode, p2pchat: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with locked as node:
        assert p2pchat("contacts", "--passphrase-file", str(tmp_path / "f")).code == 2
        assert p2pchat("contacts", "--passphrase-file", str(tmp_path / "none")).code == 2
        assert node.calls == []


def test_changing_the_passphrase(node: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text("neu\n")
    for words, stdin, value in (
        (["--new-passphrase-file", str(new)], b"", "neu"),
        (["--new-passphrase-file", "-"], b"other", "other"),
        (["--no-passphrase"], b"", None),
        (["--passphrase-file", str(new)], b"", "neu"),  # a profile without one: it can only mean the new one
    ):
        node.calls.clear()
        result = p2pchat("passphrase", *words, stdin=stdin)
        assert result.code == 0
        assert ("passphrase", {"new": value}) in node.calls
        assert "neu" not in result.out + result.err
    assert p2pchat("passphrase").code == 2
    assert p2pchat("passphrase", "--no-passphrase", "--new-passphrase-file", str(new)).code == 2


# --- rpc -------------------------------------------------------------------------------------------


def test_rpc_passes_lines_on_and_ends_when_all_is_answered(node: FakeNode, p2pchat: Run) -> None:
    lines = [
        b'{"jsonrpc":"2.0","id":1,"method":"contacts"}',
        b"",
        b"nonsense",
        b'{"jsonrpc":"2.0","method":"doctor"}',
        b'{"jsonrpc":"2.0","id":"h","method":"hello","params":{"version":1}}',
        b'{"jsonrpc":"2.0","id":2,"method":"send","params":{"chat":"b","text":"\xd1\x91"}}',  # no newline at the end
    ]
    result = p2pchat("rpc", stdin=b"\n".join(lines))
    assert result.code == 0
    answers = {each["id"]: each for each in result.objects()}
    assert set(answers) == {1, 2, "h", None}
    assert answers[1]["result"] == node.answers["contacts"]
    assert {"contacts", "doctor", "send"} == {name for name, _ in node.calls}


def test_rpc_without_a_word_ends(node: FakeNode, p2pchat: Run) -> None:
    result = p2pchat("rpc")
    assert (result.code, result.out, node.calls) == (0, "", [])


# --- node status, stop, lock -----------------------------------------------------------------------


def test_status_and_stop(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("node", "status", "--json").objects() == [node.answers["status"]]
    assert p2pchat("--json", "node", "stop").objects()[0]["stopped"] is True
    assert p2pchat("node", "stop", "--json").objects() == [{"stopped": False, "pid": None}]
    status = p2pchat("node", "status", "--json")
    assert (status.code, status.objects()) == (1, [{"running": False}])
    assert "p2pchat node" in status.err
    assert p2pchat("lock").code == 0


def test_a_request_says_whether_it_is_somebody_in_the_list(node: FakeNode, p2pchat: Run) -> None:
    assert "begins anew" not in (fresh := p2pchat("requests")).out + fresh.err
    node.answers["requests"] = [{"id": ID, "name": "eve", "since": "x", "sas": "one two", "known": True}]
    again = p2pchat("requests")
    assert "begins anew  eve" in again.out
    assert "one of your contacts" in again.err


def test_read_says_what_is_left(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("read", "bob").out == "2 unread.\n"
    node.answers["read"] = {"unread": 0, "first_unread": None}
    assert p2pchat("read", "bob").out == "Nothing is unread.\n"


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


def test_the_offer_says_what_the_node_says(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("offer", "yes").out == "A notice.\n"
    assert p2pchat("offer", "perhaps").code == 2


def test_archived_chats_can_be_listed_alone(node: FakeNode, p2pchat: Run) -> None:
    (one,) = cast(list[dict[str, object]], node.answers["chats"])
    assert "No chat is archived" in p2pchat("chats", "--archived").err
    node.answers["chats"] = [one, {**one, "name": "carol", "archived": True}]
    rows = p2pchat("chats", "--archived", "--json").out.splitlines()
    assert [json.loads(row)["name"] for row in rows] == ["carol"]


def test_a_timer_below_an_hour_says_what_it_takes(node: FakeNode, p2pchat: Run) -> None:
    for seconds, said in ((3599, True), (3600, False)):
        node.answers["timer"] = {"chat": ID, "timer": seconds, "by": "me", "at": None}
        assert ("No relay stores them" in p2pchat("timer", "bob", f"{seconds}s").err) is said
