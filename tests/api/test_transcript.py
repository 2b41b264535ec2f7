"""A chat as a file: what is in it, and what a peer's text can do in it, which is nothing."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from p2pchat.api.transcript import FORMATS, HTML, JSON, TEXT, Transcript, file_name, form_of
from tests.cli.node import FILE, MESSAGE
from tests.support.zones import FAR_EAST, in_zone

EVIL = "x\x1b[2J\u202e<script>alert(1)</script>\n10:00  me: I owe you"


def made(form: str, *messages: dict[str, Any]) -> tuple[str, int]:
    transcript = Transcript(form, "b\x1bob")
    return transcript.begin() + transcript.part(messages) + transcript.end(), transcript.left_out


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.api.transcript.local_time", datetime.fromisoformat)


def test_a_day_a_line_and_what_was_done_to_a_message() -> None:
    mine = {**MESSAGE, "mine": True, "from": "me", "text": "two\nlines", "edited_at": "x", "state": "failed"}
    quote = {"from": "me", "text": "two", "here": True, "deleted": False, "expires_in": None}
    reply = {**MESSAGE, "quote": quote, "reactions": [{"emoji": "👍", "from": "me", "mine": True}]}
    gone = {**MESSAGE, "text": "", "deleted": True}
    assert made(TEXT, MESSAGE, mine, reply, gone)[0] == (
        "Chat with b\ufffdob\n\nFriday 2 January 2026\n\n"
        "03:04  bob: hi\n"
        "03:04  me: two\n       lines\n  (edited)\n  (not sent)\n"
        "03:04  bob: hi\n  (reply to me: two)\n  (👍 me)\n"
        "03:04  bob:\n  (deleted)\n"
    )


def test_no_line_of_a_peer_passes_for_a_remark_of_ours() -> None:
    quote = {"from": "me", "text": "I owe you", "here": True, "deleted": False, "expires_in": None}
    real = made(TEXT, {**MESSAGE, "text": "yes", "quote": quote})[0].splitlines()[-1]
    forged = made(TEXT, {**MESSAGE, "text": f"yes\n(reply to me: I owe you)\n{real}"})[0].splitlines()
    assert real.endswith("(reply to me: I owe you)")
    assert real not in forged
    assert made(TEXT, {**MESSAGE, "text": "(deleted)"}) != made(TEXT, {**MESSAGE, "text": "", "deleted": True})


@pytest.mark.parametrize("form", FORMATS)
def test_what_would_disappear_is_left_out(form: str) -> None:
    text, left_out = made(form, {**MESSAGE, "text": "secret", "expires_in": 60}, MESSAGE)
    assert ("secret" in text, "hi" in text, left_out) == (False, True, 1)


@pytest.mark.parametrize("form", FORMATS)
def test_what_would_disappear_is_not_kept_by_a_quote_of_it(form: str) -> None:
    quote = {"from": "bob", "text": "secret", "here": True, "deleted": False, "expires_in": 60, "file": FILE["file"]}
    reply = {**MESSAGE, "reply_to": "bb" * 16, "quote": quote}
    part = Transcript(form, "bob").part([reply])  # a late message is behind its answer, perhaps in a later part
    assert "secret" not in part
    if form == JSON:
        assert json.loads(part)["quote"] == {**quote, "text": "", "file": None}
    else:
        assert "(reply to bob: a disappearing message)" in part
    assert reply["quote"] == quote


def test_a_peer_writes_no_line_no_tag_and_no_escape_sequence() -> None:
    hostile = {**MESSAGE, "text": EVIL, "from": EVIL, "reactions": [{"emoji": EVIL, "from": EVIL, "mine": False}]}
    text, page = made(TEXT, hostile)[0], made(HTML, hostile)[0]
    for each in (text, page):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", each)
    assert not re.search("^10:00", text, re.MULTILINE)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert json.loads(made(JSON, hostile)[0]) == hostile


def test_a_group_says_that_it_is_one_and_no_name_speaks_for_somebody_else() -> None:
    transcript = Transcript(TEXT, "friends", "group")
    said = [{**MESSAGE, "from": name} for name in ("anna", "anna: I owe you\n", 'anna": yes"')]
    assert transcript.begin() + transcript.part(said) == (
        "Chat of the group friends\n\nFriday 2 January 2026\n\n"
        "03:04  anna: hi\n"
        '03:04  "anna: I owe you ": hi\n'
        """03:04  "anna': yes'": hi\n"""
    )


def test_what_was_done_in_a_group_is_a_line_in_which_nobody_speaks() -> None:
    notice = {**MESSAGE, "kind": "group", "text": "anna removed bob: <b>\nno."}
    assert made(TEXT, notice)[0].endswith("03:04  (anna removed bob: <b> no.)\n")
    assert "<p><small>03:04 anna removed bob: &lt;b&gt; no.</small></p>" in made(HTML, notice)[0]


def test_a_time_in_what_was_done_is_local() -> None:
    notice = {**MESSAGE, "kind": "group", "text": "anna muted bob until 2026-12-21T14:05:00.000Z."}
    with in_zone(FAR_EAST):
        assert "anna muted bob until 22 December 2026, 04:05." in made(TEXT, notice)[0]
        assert "anna muted bob until 22 December 2026, 04:05." in made(HTML, notice)[0]


def test_a_file_is_its_kind_its_size_and_its_name() -> None:
    line = "(picture, image/jpeg, 1.2 MB, 640 x 480) photo.jpg"
    assert made(TEXT, FILE)[0].endswith(f"03:04  bob: {line}\n       look\n")
    assert f'<p dir="auto">{line}\nlook</p>' in made(HTML, FILE)[0]
    assert json.loads(made(JSON, FILE)[0]) == FILE


def test_the_name_of_a_file_is_as_harmless_as_a_text() -> None:
    file = {**FILE["file"], "name": EVIL, "type": EVIL, "problem": EVIL}  # type: ignore[dict-item]
    text, page = made(TEXT, {**FILE, "file": file})[0], made(HTML, {**FILE, "file": file})[0]
    for each in (text, page):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", each)
    assert not re.search("^10:00", text, re.MULTILINE)
    assert "<script" not in page


def test_the_name_of_a_file_says_its_form_and_has_no_strange_letters() -> None:
    assert [form_of(name) for name in ("a.html", "A.HTM", "a.txt", "html", ".html/a")] == [HTML, HTML, TEXT, TEXT, TEXT]
    assert form_of("a.JSON") == JSON
    assert file_name("../Zoë \x1b[2J") == "chat-Zoë-2J.txt"
    assert file_name("//") == "chat-1.txt"
