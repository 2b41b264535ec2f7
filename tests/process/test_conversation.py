"""The verbs about messages, between two real nodes: what was answered survives a killed process."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.support.processes import Place
from tests.support.steps import befriended, failed, fine, make, send, start, texts, until

TEXTS = ["hello", "", "are you there?", "and here?"]


def log(here: Place, name: str, chat: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fine(here.run(name, "log", chat, "--json"))
    return found


def test_what_was_said_about_a_message_survives_a_kill_and_arrives(here: Place) -> None:
    make(here, "alice", "bob")
    alice, bob = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    hello = send(here, "bob", "alice", "helo")
    wrong = send(here, "bob", "alice", "for somebody else")
    alice.process.send_signal(signal.SIGKILL)
    alice.process.wait()
    fine(here.run("bob", "edit", hello, "hello", "--json"))
    fine(here.run("bob", "delete", wrong, "--for-both", "--json"))
    (answer,) = fine(here.run("bob", "reply", hello, "are you there?", "--json"))
    fine(here.run("bob", "react", hello, "👍", "--json"))
    asked = {"chat": "alice", "text": "and here?", "reply_to": answer["id"]}
    call = {"jsonrpc": "2.0", "id": 1, "method": "send", "params": asked}
    (result,) = fine(here.run("bob", "rpc", stdin=json.dumps(call) + "\n"))
    assert result["result"]["state"] == "saved"
    fine(here.run("bob", "pin", hello, "--json"))
    bob.process.send_signal(signal.SIGKILL)
    bob.process.wait()
    start(here, "alice", "bob")
    until(lambda: [one["text"] for one in log(here, "alice", "bob")] == TEXTS)
    until(lambda: bool(log(here, "alice", "bob")[0]["reactions"]))
    until(lambda: log(here, "alice", "bob")[0]["pinned"])
    first, second, third, fourth = log(here, "alice", "bob")
    assert first["reactions"] == [{"emoji": "👍", "from": "bob", "mine": False}]
    assert (second["deleted"], third["id"], third["reply_to"]) == (True, answer["id"], hello)
    assert (fourth["reply_to"], fourth["quote"]["text"]) == (answer["id"], "are you there?")
    assert [one["text"] for one in fine(here.run("alice", "history", hello, "--json"))] == ["helo", "hello"]
    (settings,) = fine(here.run("alice", "settings", "typing", "no", "--json"))
    assert settings == {
        "keep_receiving": None,
        "read_receipts": True,
        "typing": False,
        "lan": settings["lan"],
        "port_mapping": False,
        "fetch_up_to": 25,
        "pictures": "verified",
    }
    assert here.run("alice", "settings", "lan", "off", "--json").object()["lan"] == "off"
    assert 'lan = "off"' in (here.folder / "alice" / "config.toml").read_text()
    failed(here.run("alice", "edit", hello, "I said so"), 2, "Only texts that you sent")
    failed(here.run("alice", "react", hello, "yes"), 2, "one emoji")
    assert fine(here.run("alice", "timer", "bob", "5s", "--json"))[0]["timer"] == 5
    until(lambda: fine(here.run("bob", "timer", "alice", "--json"))[0]["timer"] == 5)
    send(here, "bob", "alice", "gone soon")
    fine(here.run("alice", "read", "bob", "--json"))
    for name, chat in (("alice", "bob"), ("bob", "alice")):
        until(lambda name=name, chat=chat: "gone soon" not in texts(here, name, chat))  # type: ignore[misc]
