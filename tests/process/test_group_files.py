"""A photo in a group of real nodes: put once at a real relay, fetched there by who was away, and taken back."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from tests.support.decoding import encoded
from tests.support.persons import Person, Relay, gathered, people, relays
from tests.support.processes import PATIENCE, Place
from tests.support.steps import fine, until

CHAT = "crew"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered(monkeypatch) as made:
        yield made


def boxes(relay: Relay) -> list[int]:
    """How many blobs lie in each file box of a relay."""
    with closing(sqlite3.connect(f"file:{relay.data / 'files.db'}?mode=ro", uri=True)) as db:
        return [count for (count,) in db.execute("SELECT count(*) FROM boxed GROUP BY qid")]


def is_whole(person: Person) -> bool:
    files = person.call("files", chat=CHAT)
    return bool(files) and files[-1]["file"]["state"] == "here"


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_photo_is_put_once_and_reaches_who_was_away(here: Place) -> None:
    (relay,) = relays(here, "relay")
    alice, *others = everybody = people(here, "alice", "bob", "carol")
    for person in everybody:
        person.start()
        person.use(relay)
    for person in others:
        person.call("add", invite=alice.call("invite")["invite"], name="alice", wait="accepted", timeout=PATIENCE)
        alice.has(person.name)
    alice.call("create_group", name=CHAT, contacts=["bob", "carol"])
    for person in others:
        until(lambda person=person: CHAT in [chat["name"] for chat in person.call("chats")])  # type: ignore[misc]
        until(lambda person=person: knows(person, "alice"))  # type: ignore[misc]
        person.end()

    picture = here.folder / "lake.jpg"
    grains = Image.frombytes("RGB", (600, 450), Random(1).randbytes(600 * 450 * 3))
    picture.write_bytes(encoded(grains, "JPEG", quality=90, comment=b"51.5 N 0.1 W"))
    words = ["--caption", "the lake", "--wait", "stored", "--timeout", f"{PATIENCE:g}s", "--json"]
    (sent,) = fine(here.run("alice", "send", CHAT, "--file", str(picture), *words))
    until(lambda: alice.call("why", id=sent["id"])["relays"] == len(others))
    (blobs,) = boxes(relay)
    assert blobs > 2
    mine = alice.call("save_file", id=sent["id"], to=str(here.folder / "alice"))["path"]
    alice.end()

    for person in others:
        person.start()
    for person in others:
        until(lambda person=person: is_whole(person))  # type: ignore[misc]
        (theirs,) = person.call("files", chat=CHAT)
        assert (theirs["text"], theirs["file"]["form"]) == ("the lake", "picture")
        saved = person.call("save_file", id=theirs["id"], to=str(here.folder / person.name), timeout=PATIENCE)
        assert digest(saved["path"]) == digest(mine)
    assert boxes(relay) == [blobs], "once for all, and still there"

    alice.start()
    alice.call("delete", id=sent["id"], for_both=True)
    until(lambda: boxes(relay) == [])
    for person in others:
        until(lambda person=person: person.call("files", chat=CHAT) == [])  # type: ignore[misc]
        until(lambda person=person: not any((person.profile / "files").iterdir()))  # type: ignore[misc]


def knows(person: Person, name: str) -> bool:
    return name in [member["contact"] for member in person.call("group_members", chat=CHAT)["members"]]
