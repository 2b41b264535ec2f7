"""Real relays and real nodes: two people who are never there at the same time, relays that are killed or put back."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.persons import Relay, gathered, people, relays
from tests.support.processes import Place
from tests.support.steps import failed, until, why


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered(monkeypatch) as made:
        yield made


def test_from_an_invite_to_a_talk_with_one_of_them_always_away(here: Place) -> None:
    first, second = used = relays(here, "first", "second")
    alice, bob = people(here, "alice", "bob")
    alice.start()
    alice.use(*used)
    invite = alice.call("invite")["invite"]
    until(lambda: [one.blobs() for one in used] == [1, 1])
    alice.end()

    bob.start()
    failed(here.run("bob", "add", invite, "--name", "alice", "--timeout", "5s"), 3, "alice ", "within 5 s")
    early = bob.say("alice", "are you there?", wait="saved")
    until(lambda: "Your request to alice is stored at 2 relays" in why(here, "bob", early["id"]))
    bob.end()

    alice.start()
    alice.has("bob")
    sent = alice.say("bob", "welcome, Боб")
    assert (sent["state"], sent["route"]) == ("stored", "mailbox")
    until(lambda: "stored at 2 relays until" in why(here, "alice", sent["id"]))
    assert alice.route("bob") == "mailbox"
    alice.end()

    bob.start()
    bob.has("alice")
    bob.hears("alice", "welcome, Боб")
    more = [f"{number}" for number in range(20)]
    bob.say("alice", *more)
    until(lambda: all(one.blobs() >= len(more) for one in used))
    bob.end()

    backup = first.back_up()
    alice.start()
    alice.hears("bob", "are you there?", *more)
    first.end(signal.SIGKILL)  # the other goes on
    assert alice.say("bob", "by one relay")["state"] == "stored"
    alice.end()

    first.put_back(backup)  # with all that was deleted since, and without the last
    assert first.blobs() >= len(more)
    first.start()
    bob.start()
    bob.hears("alice", "welcome, Боб", "by one relay")
    sent = bob.say("alice", "and back")
    until(lambda: "stored at 2 relays until" in why(here, "bob", sent["id"]))
    bob.end()
    second.end(signal.SIGKILL)
    alice.start()
    alice.hears("bob", "are you there?", *more, "and back")


def test_both_there_and_nothing_but_a_relay_between_them(here: Place) -> None:
    """Their nodes listen, but the invite names only the relay: it is made while nobody can dial its maker."""
    relay = Relay(here, "relay")
    relay.start("--config", str(with_token(here, "let-me.in")))
    alice, bob = people(here, "alice", "bob")
    bob.start()
    for words, code, state in (
        ((relay.address,), 5, "refused"),
        ((f"{relay.address}#wrong",), 5, "refused"),
        ((f"{relay.address}#let-me.in",), 0, "connected"),
        ((f"{relay.address}#wrong", "--replace"), 5, "refused"),
        ((re.sub(r"/tcp/[0-9]+", "/tcp/9", relay.address) + "#let-me.in", "--replace"), 3, "unreachable"),
    ):
        done = here.run("bob", "relays", "add", *words, "--json")
        assert (done.code, done.object()["state"]) == (code, state), done
    for worse in (relay.address, f"{relay.address}#wrong"):
        assert here.run("bob", "relays", "add", worse).code == 2
    bob.call("relays", remove=relay.address)
    alice.start("--relay", f"{relay.address}#let-me.in")
    (used,) = alice.call("relays")
    assert not used["kept"]  # for this run alone
    added = bob.call("add", invite=alice.call("invite")["invite"], name="alice", wait="accepted", timeout=60)
    assert added["state"] == "contact"
    alice.end()
    bob.say("alice", "while you were out")
    alice.start()
    alice.hears("bob", "while you were out")


def with_token(here: Place, word: str) -> Path:
    config, token = here.folder / "relay.toml", here.folder / "token"
    token.write_text(word)
    os.chmod(token, 0o600)
    config.write_text(f'token_file = "{token}"\n')
    return config
