"""Every verb against a node: what it asks, what it prints where, its exit code (the command contract)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest

from p2pchat import errors
from p2pchat.api import methods
from p2pchat.cli.main import MODULES
from p2pchat.cli.outgoing import MAX_TEXT
from p2pchat.locations import Profile
from tests.cli.conftest import Run
from tests.cli.node import CHANNEL, ID, MESSAGE, FakeNode

M = "aa" * 16
ELSEWHERE = {"before": None, "after": None, "around": None, "since": None, "until": None}
NO_SETTINGS = dict.fromkeys(
    ("keep_receiving", "read_receipts", "typing", "lan", "port_mapping", "fetch_up_to", "pictures")
)
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
    (["chats"], "chats", {"limit": None}),
    (["chats", "pin", "bob"], "pin_chat", {"chat": "bob", "pinned": True}),
    (["chats", "unpin", "bob"], "pin_chat", {"chat": "bob", "pinned": False}),
    (["channel", "create", "news"], "create_channel", {"name": "news", "private": False}),
    (["channel", "create", "news", "--private"], "create_channel", {"name": "news", "private": True}),
    (
        ["channel", "create", "news", "--members"],
        "create_group",
        {"name": "news", "contacts": None, "locked": True},
    ),
    (["channel", "invite", "news"], "channel_invite", {"chat": "news"}),
    (["channel", "show", "news"], "channel", {"chat": "news"}),
    (["channel", "writers", "news"], "channel_writers", {"chat": "news", "add": None, "remove": None}),
    (["channel", "writers", "news", "add", "bob"], "channel_writers", {"chat": "news", "add": "bob", "remove": None}),
    (["channel", "relays", "news"], "channel_relays", {"chat": "news", "add": None, "remove": None}),
    (["channel", "relays", "news", "add", "/x"], "channel_relays", {"chat": "news", "add": "/x", "remove": None}),
    (["channel", "comments", "news"], "channel_comments", {"chat": "news", "group": None, "remove": False}),
    (["channel", "comments", "news", "talk"], "channel_comments", {"chat": "news", "group": "talk", "remove": False}),
    (["channel", "comments", "news", "--remove"], "channel_comments", {"chat": "news", "group": None, "remove": True}),
    (["channel", "mirror", "news"], "channel_mirror", {"chat": "news", "mirrors": None}),
    (["channel", "mirror", "news", "on"], "channel_mirror", {"chat": "news", "mirrors": True}),
    (["channel", "report", "news"], "channel_report", {"chat": "news"}),
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
        {"invite": "P2PCHAT:X", "name": None, "wait": "sent", "timeout": 30.0, "hide": False, "words": ""},
    ),
    (
        ["add", "P", "--name", "al", "--wait", "accepted", "--timeout", "5s"],
        "add",
        {"invite": "P", "name": "al", "wait": "accepted", "timeout": 5.0, "hide": False, "words": ""},
    ),
    (
        ["invite", "--hide-address"],
        "invite",
        {"reusable": False, "ask": False, "expires": 604_800, "hide": True, "label": ""},
    ),
    (
        ["add", "P", "--hide-address"],
        "add",
        {"invite": "P", "name": None, "wait": "sent", "timeout": 30.0, "hide": True, "words": ""},
    ),
    (
        ["add", "P", "--words", "we met"],
        "add",
        {"invite": "P", "name": None, "wait": "sent", "timeout": 30.0, "hide": False, "words": "we met"},
    ),
    (
        ["send", "bob", "hi"],
        "send",
        {"chat": "bob", "text": "hi", "reply_to": None, "wait": "saved", "timeout": 30.0},
    ),
    (["files", "bob"], "files", {"chat": "bob", "limit": 50, "before": None}),
    (["files", "bob", "--limit", "3"], "files", {"chat": "bob", "limit": 3, "before": None}),
    (["files", "fetch", "ab"], "fetch_file", {"id": "ab"}),
    (["files", "pause", "ab"], "pause_file", {"id": "ab"}),
    (["files", "cancel", "ab"], "cancel_file", {"id": "ab"}),
    (["save", "ab", "--to", "/x"], "save_file", {"id": "ab", "to": "/x", "timeout": 60.0}),
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
    (["chats"], "chats", {"limit": None}),
    (["name"], "name", {"name": None}),
    (["name", "new"], "name", {"name": "new"}),
    (
        ["settings"],
        "settings",
        NO_SETTINGS,
    ),
    (["settings", "read_receipts", "no"], "settings", {**NO_SETTINGS, "read_receipts": False}),
    (["settings", "lan", "on"], "settings", {**NO_SETTINGS, "lan": "on"}),
    (["settings", "pictures", "off"], "settings", {**NO_SETTINGS, "pictures": "off"}),
    (["settings", "fetch_up_to", "100"], "settings", {**NO_SETTINGS, "fetch_up_to": 100}),
    (["settings", "fetch_up_to", "off"], "settings", {**NO_SETTINGS, "fetch_up_to": 0}),
    (["relays"], "relays", {"add": None, "remove": None, "replace": False, "all": False}),
    (
        ["relays", "add", "/ip4/x#word"],
        "relays",
        {"add": "/ip4/x#word", "remove": None, "replace": False, "all": False},
    ),
    (["relays", "remove", "/ip4/x"], "relays", {"add": None, "remove": "/ip4/x", "replace": False, "all": False}),
    (["parcel", "in", "/x"], "parcel_in", {"file": "/x"}),
    (["parcel", "out", "/x"], "parcel_out", {"file": "/x", "to": None}),
    (["parcel", "out", "/x", "--to", "bob", "--to", "eve"], "parcel_out", {"file": "/x", "to": ["bob", "eve"]}),
    (["keys"], "keys", {"rotate": False}),
    (["keys", "rotate"], "keys", {"rotate": True}),
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
    node.answers["doctor"] = [{"check": "c", "ok": False, "state": "bad", "detail": evil, "hint": evil}]
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
    assert (
        p2pchat("settings").out
        == "keep_receiving  not decided\nread_receipts   yes\ntyping          yes\nlan             auto\n"
        "fetch_up_to     25\npictures        verified\n"
    )
    assert p2pchat("settings", "read_receipts").out == "yes\n"
    assert p2pchat("settings", "read_receipts", "maybe").code == 2
    assert p2pchat("settings", "pictures", "yes").code == 2
    assert p2pchat("settings", "fetch_up_to", "-1").code == 2
    assert p2pchat("settings", "lan", "yes").code == 2
    assert p2pchat("settings", "colour").code == 2


def test_a_chat_that_is_a_group_says_so_before_its_name(node: FakeNode, p2pchat: Run) -> None:
    bob = cast("list[dict[str, object]]", node.answers["chats"])[0]
    group = {**bob, "id": "ab" * 8, "kind": "group", "name": "bob", "unread": 12, "mentions": 2, "last": None}
    node.answers["chats"] = [{**bob, "name": "group  friends", "last": None}, group]
    assert p2pchat("chats").out.splitlines() == [
        f"{ID}  {'2 unread':20}  -  {'':5}  group  friends",
        f"{'ab' * 8}  12 unread, 2 for you  -  group  bob",
    ]


def test_groups_that_one_waits_for_are_named_beside_the_chats(node: FakeNode, p2pchat: Run) -> None:
    node.answers["joining"] = [{"name": "clim\x1bbers", "at": "2001-02-03T04:05:06.000Z"}]
    listed = p2pchat("chats")
    assert "climbers" not in listed.out
    assert "Waiting for an admin of clim" in listed.err
    assert "to let you in, since 2001-02-0" in listed.err
    assert "\x1b" not in listed.err
    assert p2pchat("chats", "--json").err == ""
    known = cast("list[dict[str, object]]", node.answers["chats"])[0]
    node.answers["chats"] = [{**known, "requests": 2}]
    assert p2pchat("chats").out.endswith("2 ask to join\n")


def test_a_frozen_channel_says_so_where_it_is_read(node: FakeNode, p2pchat: Run) -> None:
    known = cast("list[dict[str, object]]", node.answers["chats"])[0]
    node.answers["chats"] = [{**known, "frozen": True}]
    assert p2pchat("chats").out.endswith("frozen\n")
    node.answers["channel"] = {**CHANNEL, "forked": True, "problem": "its writer signed\x1b two"}
    assert re.fullmatch(r"! its writer signed.? two\n", p2pchat("log", "news").err)
    assert p2pchat("log", "news", "--json").err == ""
    node.answers["channel"] = errors.UsageError("bob is not a channel")
    assert p2pchat("log", "bob").err == ""


def test_a_channel_in_plain_words(node: FakeNode, p2pchat: Run) -> None:
    assert "comments in talk\n" in p2pchat("channel", "show", "news").out, "its owner is asked nothing"
    node.answers["channel"] = {**CHANNEL, "mine": False}
    assert f"comments in talk: `p2pchat channel comments {ID} --join`" in p2pchat("channel", "show", "news").out
    node.answers["channel_mirror"] = {"mirrors": True, "relays": [], "problem": ""}
    assert "Your relays mirror this channel themselves" in p2pchat("channel", "mirror", "news").out
    node.answers["channel_mirror"] = {"mirrors": True, "relays": ["/ip4/192.0.2.9/tcp/1"], "problem": "Too late."}
    assert p2pchat("channel", "mirror", "news").out.endswith("! Too late.\n")


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


def test_what_only_could_be_better_has_no_tick(node: FakeNode, p2pchat: Run) -> None:
    assert p2pchat("doctor").out.splitlines() == ["✓  store  fine", "·  nat    private", "✗  clock  odd. Set it."]
