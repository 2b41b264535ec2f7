"""The verb parcel with real nodes that are never on together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes import Place, place
from tests.support.steps import befriended, failed, fine, make, start, texts


@pytest.fixture
def here() -> Iterator[Place]:
    with place() as made:
        yield made


def test_a_file_carries_a_message_there_and_its_receipt_back(here: Place) -> None:
    make(here, "alice", "bob")
    alice, bob = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    bob.end()
    fine(here.run("alice", "send", "bob", "by hand", "--json"))
    there, back = str(here.folder / "there"), str(here.folder / "back")
    (out,) = fine(here.run("alice", "parcel", "out", there, "--to", "bob", "--json"))
    assert (out["messages"], out["contacts"]) == (1, 1)
    failed(here.run("alice", "parcel", "out", there), 2, "exists already")
    alice.end()

    (bob,) = start(here, "bob")
    failed(here.run("bob", "parcel", "in", str(here.folder / "bob" / "config.toml")), 1, "cannot be read")
    assert "alice: 1 new message" in here.run("bob", "parcel", "in", there).out
    assert texts(here, "bob", "alice") == ["by hand"]
    fine(here.run("bob", "parcel", "out", back, "--json"))
    bob.end()

    start(here, "alice")
    (came,) = fine(here.run("alice", "parcel", "in", back, "--json"))[0]["from"]
    assert came["other"] > 0
    (message,) = fine(here.run("alice", "log", "bob", "--json"))
    assert (message["state"], message["route"]) == ("delivered", "parcel")
