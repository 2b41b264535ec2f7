"""Real relays and real nodes: two people who are never there at the same time, relays that are killed or put back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.errors import P2PChatError
from tests.persons import Relay, gathered, people, relays
from tests.processes import Place
from tests.steps import failed, fine, why


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
    assert [one.blobs() for one in used] == [1, 1]
    alice.end()

    bob.start()
    failed(
        here.run("bob", "add", invite, "--name", "alice", "--timeout", "5s"),
        3,
        "the request is stored at 2 relays until",
    )
    early = bob.say("alice", "are you there?", wait="saved")
    assert "Your request to alice is stored at 2 relays" in why(here, "bob", early["id"])
    bob.end()

    alice.start()
    alice.has("bob")
    sent = alice.say("bob", "welcome, Боб")
    assert (sent["state"], sent["route"]) == ("stored", "mailbox")
    assert "stored at 2 relays until" in why(here, "alice", sent["id"])
    assert alice.route("bob") == "mailbox"
    alice.end()

    bob.start()
    bob.has("alice")
    bob.hears("alice", "welcome, Боб")
    more = [f"{number}" for number in range(20)]
    bob.say("alice", *more)
    bob.end()

    first.end(signal.SIGKILL)  # the other has everything
    alice.start()
    alice.hears("bob", "are you there?", *more)
    assert {one["state"] for one in alice.call("relays")} > {"connected"}
    assert alice.say("bob", "by one relay")["state"] == "stored"
    alice.end()

    first.start()  # with all that it had taken, which alice has by now
    bob.start()
    bob.hears("alice", "welcome, Боб", "by one relay")
    bob.say("alice", "and back")
    bob.end()
    second.end(signal.SIGKILL)
    alice.start()
    alice.hears("bob", "are you there?", *more, "and back")


def test_a_relay_is_killed_and_put_back_from_a_backup(here: Place) -> None:
    """While nobody hears from the other: by the one relay comes again what was deleted there, by the other the rest."""
    first, second = used = relays(here, "first", "second")
    alice, bob = people(here, "alice", "bob")
    alice.start()
    alice.use(*used)
    bob.start()
    bob.call("add", invite=alice.call("invite")["invite"], name="alice", wait="accepted", timeout=60)
    alice.has("bob")
    bob.use(*used)
    bob.say("alice", "I have relays", wait="delivered")
    bob.end()

    before = [f"before {number}" for number in range(6)]
    alice.say("bob", *before)
    backup = first.back_up()
    alice.end()
    bob.start()
    bob.hears("alice", *before)
    bob.end()
    alice.start()
    after = [f"after {number}" for number in range(6)]
    assert alice.say("bob", *after)["state"] == "stored"
    alice.end()

    first.end(signal.SIGKILL)
    first.put_back(backup)
    assert first.blobs() >= len(before)
    first.start()
    bob.start()
    bob.hears("alice", *before, *after)
    second.end(signal.SIGKILL)
    assert bob.say("alice", "by the one that was put back")["state"] == "stored"
    bob.end()
    alice.start()
    alice.hears("bob", "I have relays", "by the one that was put back")
    alice.say("bob", "and so again")
    alice.end()
    bob.start()
    bob.hears("alice", *before, *after, "and so again")


def test_both_there_and_nothing_but_a_relay_between_them(here: Place) -> None:
    """Their nodes listen, but the invite names only the relay: it is made while nobody can dial its maker."""
    relay = Relay(here, "relay")
    relay.start("--config", str(with_token(here, "let-me.in")))
    alice, bob = people(here, "alice", "bob")
    failed(here.run("alice", "relays", "add", "nonsense"), 2, "nonsense")
    (refused,) = fine(here.run("alice", "relays", "add", relay.address, "--json"))
    assert refused["state"] == "refused"
    assert here.run("alice", "node", "stop").code == 0
    bob.start()
    alice.start("--relay", f"{relay.address}#let-me.in")
    (kept,) = alice.call("relays")
    assert kept["kept"]
    added = bob.call("add", invite=alice.call("invite")["invite"], name="alice", wait="accepted", timeout=60)
    assert added["state"] == "contact"
    alice.end()
    bob.say("alice", "while you were out")
    with pytest.raises(P2PChatError):
        bob.call("relays", add="/ip4/127.0.0.1/tcp/1")
    alice.start()
    alice.hears("bob", "while you were out")


def with_token(here: Place, word: str) -> Path:
    config, token = here.folder / "relay.toml", here.folder / "token"
    token.write_text(word)
    os.chmod(token, 0o600)
    config.write_text(f'token_file = "{token}"\n')
    return config
