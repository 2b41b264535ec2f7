"""A photo, a large file and a voice note between two homes: direct, by a circuit, by relays while the recipient is
away, with a relay killed, a node killed on each side, and the way changing in the middle. What arrives is the same as
what was sent, once: of a photo that is what its sender has of it, which was encoded again and tells nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from p2pchat.api.client import Client
from p2pchat.media import notes
from p2pchat.relay.folder import Folder
from tests.lab.topology import Lab, Nat
from tests.lab.town import RELAYS, Town

LARGE = (300 if os.environ.get("P2PCHAT_LAB") == "all" else 24) << 20
"""Bytes of the large file."""
AT_RELAYS = (100 if os.environ.get("P2PCHAT_LAB") == "all" else 8) << 20
"""Bytes of the one that waits at relays."""
SENT = 90.0
"""Seconds in which a file has arrived, on two cores that play several stories."""


def made(lab: Lab, name: str, size: int) -> Path:
    """Return a file of random bytes, the same in every run."""
    path = lab.place.folder / name
    chance = random.Random(name)
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(chance.randbytes(min(1 << 20, size - start)))
    return path


CAMERA = b"Snapshooter 3000"
SPOKEN = 10
"""Seconds of the voice note."""


def photo(lab: Lab) -> Path:
    """Return a photo of 300 kB, with the place and the camera."""
    path = lab.place.folder / "photo.jpg"
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = CAMERA.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    noise = Image.frombytes("RGB", (80, 60), random.Random("photo").randbytes(3 * 80 * 60))
    noise.resize((1280, 960), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90, exif=exif)
    assert CAMERA in path.read_bytes()
    return path


def note(lab: Lab) -> Path:
    """Return a voice note of ten seconds, in Ogg Opus as this program writes it."""
    path = lab.place.folder / "voice.ogg"
    writer, chance = notes.Writer(), random.Random("note")
    for _ in range(SPOKEN):
        writer.add(chance.randbytes(2 * 48_000))
    path.write_bytes(writer.finish().data)
    return path


def met(town: Town, nat: Nat) -> None:
    """Alice and Bob, both behind such a router, with two relays, are contacts, and linked as well as they can be."""
    for person in ("alice", "bob"):
        town.lab.translate(person, nat)
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    town.befriend("alice", "bob")
    town.verb("bob", "settings", "fetch_up_to", "1000")
    best = "punched" if nat is Nat.CONE else "circuit"
    town.until("alice", lambda client: [one["route"] for one in client.call("contacts")] == [best])


def give(town: Town, *paths: Path, wait: str = "saved") -> None:
    """Alice sends files: a photo without what it tells, a voice note as one, all others as they are."""
    waits = ("--wait", wait, "--timeout", f"{SENT:.0f}s")
    for path in paths:
        if path.suffix == ".ogg":
            town.verb("alice", "voice", "bob", "--from", str(path), *waits)
        else:
            town.verb("alice", "send", "bob", "--file", str(path), *waits)


def sent_by(client: Client, one: dict[str, Any]) -> bytes:
    """Return the bytes of a file, as its sender's node gives them out."""
    data = b""
    while len(data) < one["file"]["size"]:
        data += base64.b64decode(client.call("read_file", id=one["id"], offset=len(data))["data"])
    return data


def files(town: Town, person: str, other: str) -> dict[str, dict[str, Any]]:
    """What somebody's node says of the files of the chat, by name."""
    with town.client(person) as client:
        return {one["file"]["name"]: one["file"] for one in client.call("files", chat=other)}


def under_way(town: Town, name: str, least: float = 0.05) -> None:
    """Wait until Bob has some of a file."""
    town.until(
        "bob",
        lambda client: any(
            one["file"]["name"] == name and one["file"]["progress"] >= least
            for one in client.call("files", chat="alice")
        ),
    )


def arrived(town: Town, *paths: Path) -> None:
    """Bob has every file, the same and once, and Alice knows it."""
    names = {path.name for path in paths}

    def here(client: Any, chat: str) -> bool:
        every = client.call("files", chat=chat)
        return {one["file"]["name"] for one in every if one["file"]["state"] == "here"} == names

    town.until("bob", lambda client: here(client, "alice"), SENT)
    town.until("alice", lambda client: here(client, "bob"), SENT)
    listed = town.verb("bob", "files", "alice")
    assert sorted(one["file"]["name"] for one in listed) == sorted(names)
    inbox = town.folder("inbox")
    inbox.mkdir()
    with town.client("alice") as client:
        mine = {one["id"]: one for one in client.call("files", chat="bob")}
        for one in listed:
            (saved,) = town.verb("bob", "save", one["id"], "--to", str(inbox))
            came, form = Path(saved["path"]).read_bytes(), one["file"]["form"]
            path = next(path for path in paths if path.name == one["file"]["name"])
            assert form == {".jpg": "picture", ".ogg": "voice"}.get(path.suffix, "file")
            if form == "picture":
                assert came == sent_by(client, mine[one["id"]])
                assert CAMERA not in came
                with Image.open(io.BytesIO(came)) as shown:
                    assert (shown.format, shown.size, dict(shown.getexif())) == ("JPEG", (1280, 960), {})
            else:
                assert hashlib.sha256(came).digest() == hashlib.sha256(path.read_bytes()).digest()
            if form == "voice":
                assert (one["file"]["duration"], len(one["file"]["peaks"])) == (1_000 * SPOKEN, 64)
                assert notes.is_ours(came)


@pytest.mark.parametrize("nat", [Nat.CONE, Nat.SYMMETRIC], ids=["direct", "by a circuit"])
def test_nodes_are_killed_while_files_move(town: Town, nat: Nat) -> None:
    met(town, nat)
    paths = [photo(town.lab), made(town.lab, "film.mkv", LARGE), note(town.lab)]
    give(town, *paths)
    under_way(town, "film.mkv")
    town.off("bob", signal.SIGKILL)
    town.on("bob")
    under_way(town, "film.mkv", 0.3)
    town.off("alice", signal.SIGKILL)
    town.on("alice")
    arrived(town, *paths)


def test_the_recipient_is_away_and_a_relay_is_killed(town: Town) -> None:
    """They are never on together; all of it is at the relay that is not killed."""
    met(town, Nat.SYMMETRIC)
    town.off("bob")
    paths = [photo(town.lab), made(town.lab, "report.pdf", AT_RELAYS)]
    give(town, *paths, wait="stored")
    town.off("alice")
    lying = {relay: Folder(town.folder(relay)).ask()["file_blobs"] for relay in RELAYS}
    town.off(min(RELAYS, key=lambda relay: lying[relay]), signal.SIGKILL)
    town.on("bob")
    town.until(
        "bob", lambda client: [one["file"]["state"] for one in client.call("files", chat="alice")] == ["here"] * 2, SENT
    )
    town.on("alice")
    arrived(town, *paths)


def test_the_way_changes_in_the_middle(town: Town) -> None:
    """A direct link is cut while a file moves on it: it goes on by a circuit, or by relays."""
    met(town, Nat.CONE)
    path = made(town.lab, "film.mkv", LARGE)
    give(town, path)
    under_way(town, "film.mkv")
    town.lab.part("alice", "bob")
    arrived(town, path)
