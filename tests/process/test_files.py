"""Files between two real nodes, by the verbs: what was sent is what is saved, whatever it is called."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import wave
from pathlib import Path
from random import Random

from tests.support.decoding import encoded
from tests.support.decoding import photo as photo_of_many_colours
from tests.support.processes import Place
from tests.support.steps import befriended, failed, fine, make, start, until

SIZE = 3_000_000
HOSTILE = ("-rf", ".bashrc", "a\x1b[2J\u202egpj.exe", "con.txt", "x" * 250 + ".png", "a\\..\\b.sh", "a\nb.desktop")
SAFE = ("rf", "bashrc", "a_[2Jgpj.exe", "_con.txt", "x" * 250 + ".png", "b.sh", "a b.desktop")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_sent_is_what_is_saved_whatever_it_is_called(here: Place) -> None:
    make(here, "alice", "bob")
    alice, _ = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    outbox, inbox = here.folder / "outbox", here.folder / "inbox"
    outbox.mkdir()
    inbox.mkdir()
    big = outbox / "heron.bin"
    big.write_bytes(Random(1).randbytes(SIZE))
    failed(here.run("alice", "send", "bob", "--file", str(big), str(outbox / "gone")), 2, "gone cannot be read")
    words = ["send", "bob", "--caption", "a heron", "--wait", "delivered", "--timeout", "60s", "--json", "--file"]
    (sent,) = fine(here.run("alice", *words, str(big)))
    assert (sent["state"], sent["route"]) == ("delivered", "direct")
    (listed,) = fine(here.run("bob", "files", "alice", "--json"))
    assert (listed["text"], listed["file"]["state"], listed["file"]["size"]) == ("a heron", "here", SIZE)
    first, second = (here.run("bob", "save", listed["id"][:12], "--to", str(inbox)) for _ in range(2))
    assert (first.out, second.out) == (f"{inbox}/heron.bin\n", f"{inbox}/heron (1).bin\n")
    assert digest(inbox / "heron.bin") == digest(inbox / "heron (1).bin") == digest(big)
    assert stat.S_IMODE((inbox / "heron.bin").stat().st_mode) == 0o600

    for name in HOSTILE:
        (outbox / name).write_bytes(b"\x7fELF")
    done = here.run("alice", *words[:2], *words[4:], *(f"{outbox}/{name}" for name in HOSTILE))
    assert [one["state"] for one in fine(done)] == ["delivered"] * len(HOSTILE)
    files = fine(here.run("bob", "files", "alice", "--json"))[1:]
    assert [message["file"]["name"] for message in files] == [*SAFE]
    before = set(os.listdir(here.folder))
    for message, name in zip(files, SAFE, strict=True):
        saved = here.run("bob", "save", message["id"], "--to", str(inbox))
        assert (saved.code, saved.out) == (0, f"{inbox}/{name}\n")
        assert "This is a program (ELF)" in saved.err
        assert "\x1b" not in saved.out + saved.err
    assert set(os.listdir(inbox)) == {"heron.bin", "heron (1).bin", *SAFE}
    assert set(os.listdir(here.folder)) == before
    failed(here.run("bob", "save", listed["id"], "--to", str(big)), 1, "Name a folder, not a file")

    # One that nobody has: it is not whole in time, and goes on being fetched.
    fine(here.run("bob", "settings", "fetch_up_to", "off", "--json"))
    fine(here.run("alice", "send", "bob", "--file", str(big), "--json"))
    until(lambda: fine(here.run("bob", "files", "alice", "--json"))[-1]["file"]["state"] == "offered")
    alice.process.send_signal(signal.SIGKILL)
    alice.process.wait()
    waiting = fine(here.run("bob", "files", "alice", "--json"))[-1]["id"]
    failed(here.run("bob", "save", waiting, "--to", str(inbox), "--timeout", "1s"), 3, "goes on being fetched")
    start(here, "alice")
    assert here.run("bob", "save", waiting, "--to", str(inbox)).out == f"{inbox}/heron (2).bin\n"
    assert digest(inbox / "heron (2).bin") == digest(big)

    # A picture comes without what was written into it.
    photo = outbox / "photo.jpg"
    photo.write_bytes(encoded(photo_of_many_colours(), "JPEG", comment=b"51.5 N 0.1 W"))
    fine(here.run("bob", "settings", "fetch_up_to", "25", "--json"))
    fine(here.run("alice", *words[:2], *words[4:], str(photo)))
    picture = fine(here.run("bob", "files", "alice", "--json"))[-1]
    assert (picture["file"]["form"], picture["file"]["preview"], picture["file"]["width"]) == ("picture", True, 64)
    assert here.run("bob", "save", picture["id"], "--to", str(inbox)).out == f"{inbox}/photo.jpg\n"
    saved_picture = (inbox / "photo.jpg").read_bytes()
    assert saved_picture[:3] == b"\xff\xd8\xff"
    assert b"51.5 N" not in saved_picture
    fine(here.run("bob", "files", "cancel", waiting, "--json"))


def test_a_voice_note_from_a_file_arrives_as_one(here: Place) -> None:
    make(here, "alice", "bob")
    start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    source = here.folder / "said.wav"
    with wave.open(str(source), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(b"\x00\x20\x00\xe0" * 16_000)
    words = ["voice", "bob", "--from", str(source), "--caption", "listen", "--wait", "delivered", "--timeout", "60s"]
    fine(here.run("alice", *words, "--json"))
    (heard,) = fine(here.run("bob", "files", "alice", "--json"))
    assert (heard["text"], heard["file"]["form"], heard["file"]["duration"]) == ("listen", "voice", 2_000)
    assert len(heard["file"]["peaks"]) == 64
    saved = here.run("bob", "save", heard["id"], "--to", str(here.folder)).out.strip()
    assert Path(saved).read_bytes().startswith(b"OggS")
    source.write_text("no sound at all")
    failed(here.run("alice", "voice", "bob", "--from", str(source)), 2, "not a sound")
