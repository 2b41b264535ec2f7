"""Files between two real nodes, by the verbs: what was sent is what is saved, whatever it is called."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
from pathlib import Path
from random import Random

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
    assert sent["state"] == "delivered"
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
    fine(here.run("bob", "files", "cancel", waiting, "--json"))
