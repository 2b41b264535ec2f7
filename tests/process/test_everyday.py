"""What people say and see, with real processes: names, texts, history, what goes wrong with them (test_failures)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.processes import PATIENCE, Place, place
from tests.support.steps import (
    RISKY,
    befriended,
    failed,
    fine,
    following,
    foreign_invite,
    hear_state,
    make,
    new_invite,
    send,
    start,
    texts,
    why,
    without_link,
)


@pytest.fixture(scope="module")
def pair() -> Iterator[Place]:
    """Alice and bob, contacts, their nodes running, two messages from bob to alice; shared by what changes neither."""
    with place() as made:
        make(made, "alice", "bob")
        start(made, "alice", "bob")
        befriended(made, "alice", "bob")
        for text in ("one", "two"):
            send(made, "bob", "alice", text)
        yield made


# --- what is said, and to whom ---------------------------------------------------------------------


def test_a_name_means_one_contact_or_nobody(pair: Place) -> None:
    make(pair, "erin")
    for _ in range(2):
        failed(pair.run("erin", "add", foreign_invite(), "--name", "Twin", "--timeout", "0.1s"), 3)
    names = {one["name"]: one["id"] for one in fine(pair.run("erin", "contacts", "--json"))}
    second = next(name for name in names if name != "Twin")
    assert second == f"Twin ({names[second][:4]})"
    for chat, name in (("TWIN", "Twin"), (second, second), (names[second][:8], second)):
        assert pair.run("erin", "send", chat, f"for {names[name]}").code == 0
    for name, ident in names.items():
        said = fine(pair.run("erin", "log", ident, "--json"))
        assert {one["text"] for one in said} == {f"for {ident}"}, name
    for words in (["send", "nobody", "hi"], ["log", "nobody"], ["tail", "nobody"]):
        failed(pair.run("erin", *words), 2, "no chat", "p2pchat chats")
    failed(pair.run("erin", "rename", "nobody", "x"), 2, "no contact", "p2pchat contacts")
    for words in (["why", "ab" * 16], ["delete", "ab"], ["why", "xyz"], ["tail", "--since", "ab" * 16]):
        failed(pair.run("erin", *words), 2, "no message", "p2pchat log")


def test_texts_of_the_greatest_length_arrive_byte_for_byte(pair: Place) -> None:
    long = ("й" * 100 + "\x1b[2J\u202e\r\n\t\x00👩‍👩‍👧 ") * 205
    long += "я" * ((48_000 - len(long.encode())) // 2)
    long += "." * (48_000 - len(long.encode()))
    assert len(long.encode()) == 48_000
    done = pair.run("bob", "send", "alice", "--wait", "delivered", "--json", stdin=long + "\n")
    assert done.code == 0, done
    got = fine(pair.run("alice", "log", "bob", "--limit", "1", "--json"))[0]
    assert (got["id"], got["text"]) == (done.object()["id"], long)
    shown = pair.run("alice", "log", "bob", "--limit", "1").out
    assert not set(RISKY) - {"\t"} & set(shown)
    failed(pair.run("bob", "send", "alice", stdin=long + ".\n"), 2, "48,000")
    failed(pair.run("bob", "send", "alice", "x" * 48_001), 2, "48,000")
    for words, stdin in ((["send", "alice", ""], None), (["send", "alice"], ""), (["send", "alice"], "\n")):
        failed(pair.run("bob", *words, stdin=stdin), 2, "no text")
    assert fine(pair.run("bob", "log", "alice", "--limit", "1", "--json"))[0]["text"] == long


def test_stdin_and_stdout_that_are_not_there(pair: Place) -> None:
    def run(words: str, redirection: str) -> subprocess.CompletedProcess[bytes]:
        line = f'"$0" -m p2pchat --profile "$1" {words} {redirection}'
        arguments = ["/bin/sh", "-c", line, sys.executable, str(pair.folder / "bob")]
        return subprocess.run(
            arguments, env=pair.environment(), capture_output=True, timeout=PATIENCE, check=False, input=b"a\xffb"
        )

    for words, redirection, code, word in (
        ("send alice", "<&-", 2, b"no text"),
        ("send alice", "", 2, b"not UTF-8"),
        ("add -", "<&-", 2, b"No invite"),
        ("add -", "", 2, b"UTF-8"),
        ("log alice", ">/dev/full", 1, b"No space left"),
        ("log alice --json", ">/dev/full", 1, b"No space left"),
    ):
        done = run(words, redirection)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1), done
        assert done.stderr.startswith(b'{"error": ' if "--json" in words else b"p2pchat: ")
        assert word in done.stderr, done
    for redirection in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = run("log alice --json", redirection)
        assert (done.returncode, done.stderr) == (0, b""), done
    assert run("contacts", "| true").stderr == b""


def test_hostile_names_are_clean_wherever_they_are_shown(pair: Place) -> None:
    hostile = "Mal\x1b]0;x\x07\u202elory\u2066\U000e0041\nbob: hi\x9b2J"
    assert pair.run("mallory", "init", "--name", hostile, "--no-passphrase").code == 0
    start(pair, "mallory")
    assert pair.run("mallory", "add", new_invite(pair, "bob"), "--name", hostile, "--wait", "accepted").code == 0
    names = [fine(pair.run(who, "contacts", "--json"))[-1]["name"] for who in ("bob", "mallory")]
    for name in names:
        assert name.startswith("Mal")
        assert not set(RISKY + "\n") & set(name)
    shown = pair.run("bob", "contacts")
    assert shown.out.count("\n") == len(fine(pair.run("bob", "contacts", "--json")))
    assert not set(RISKY) & set(shown.out)
    assert pair.run("bob", "send", names[0], "found by that name").code == 0
    for name in ("", "me", "ME", "\u202e", "\u200b \x1b"):
        failed(pair.run("bob", "rename", names[0], name), 2, "name")


def test_blocking_is_told_to_nobody_and_keeps_the_history(here: Place) -> None:
    make(here, "alice", "bob")
    start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    mine = send(here, "alice", "bob", "hello")
    assert here.run("alice", "block", "bob").code == 0
    failed(here.run("alice", "send", "bob", "x"), 2, "bob is blocked")
    without_link(here, "bob")
    late = here.run("bob", "send", "alice", "x", "--wait", "delivered", "--timeout", "0.5s", "--json")
    assert (late.code, late.object()["state"]) == (3, "saved")
    assert "There is no link" in why(here, "bob", late.object()["id"])
    assert why(here, "alice", mine) == "It was delivered, as their node confirmed."
    assert texts(here, "alice", "bob") == ["hello"]
    assert fine(here.run("alice", "contacts", "--json"))[0]["state"] == "blocked"


# --- as a user would -------------------------------------------------------------------------------


def test_history_and_search_are_there_after_both_were_stopped(here: Place) -> None:
    make(here, "alice", "bob")
    nodes = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    said = ["Привет, Боб", 'he said "NEAR OR far" (text:x*)', "Ça va, Zoë", "日本語のテキスト"]
    for text in said:
        send(here, "alice", "bob", text)
    for node in nodes:
        assert node.end().code == 0
    start(here, "alice", "bob")
    for who, chat in (("alice", "bob"), ("bob", "alice")):
        assert texts(here, who, chat) == said
        for words, found in (
            ("привет", said[:1]),
            ("near or", said[1:2]),
            ("ca zoe", said[2:3]),
            ("本語", said[3:]),
            ('"NEAR', said[1:2]),
            ("text:x*", said[1:2]),
            ("NEAR(far", []),
            ("' OR 1=1 --", []),
            ("*", []),
            ("", []),
        ):
            assert texts(here, who, chat, f"--search={words}") == found, words
    failed(here.run("alice", "log", "nobody", "--search", "x"), 2)
    assert here.run("alice", "log", "bob", "--search=").err == "Nothing found.\n"
    send(here, "bob", "alice", "and on it goes")


def test_tail_follows_messages_and_events(pair: Place) -> None:
    plain = following(pair, "alice", "bob")
    events = following(pair, "bob", "alice", "--events")
    alice = next(one for one in pair.started if str(pair.folder / "alice") in str(one.process.args))
    alice.process.send_signal(signal.SIGSTOP)  # tail reads a message after it heard of it: it must not go further yet
    try:
        sent = fine(pair.run("bob", "send", "alice", "live", "--json"))[0]["id"]
        while (mine := events.hear()).get("id") != sent:  # states of what other tests have sent may come late
            pass
    finally:
        alice.process.send_signal(signal.SIGCONT)
    assert (mine["text"], mine["from"], mine["state"]) == ("live", "me", "saved")
    message = plain.hear()
    assert (message["id"], message["text"], message["from"], message["state"]) == (sent, "live", "bob", "received")
    assert "event" not in message
    hear_state(events, sent, "delivered")
    assert plain.end(signal.SIGINT).err == ""


def test_the_doctor_of_a_fresh_profile_finds_nothing_wrong(here: Place) -> None:
    make(here, "alice")
    start(here, "alice")
    checks = {one["check"]: one for one in fine(here.run("alice", "doctor", "--json"))}
    assert {"store", "clock", "network", "listening", "reachability", "lan", "relays", "dht", "line"} <= set(checks)
    assert all(one["detail"] and (one["ok"] or one["check"] == "network") for one in checks.values())
    failed(here.run("alice", "add", foreign_invite(), "--name", "bob", "--timeout", "0.1s"), 3)
    assert here.run("alice", "doctor").code == 0
