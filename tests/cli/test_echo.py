"""The verb echo, with real profiles and nodes: a friend is made, answers, sleeps, wakes and goes; nothing is left."""

from __future__ import annotations

import os
import select
import shutil
from pathlib import Path

import pytest

from p2pchat.bot.bookmark import runner
from p2pchat.bot.echo import GREETING
from tests.support.processes import PATIENCE, Place, Running
from tests.support.steps import failed, fine, make, start


@pytest.fixture
def here(here: Place) -> Place:
    make(here, "alice")
    return here


def friend_of(here: Place) -> Path:
    return here.folder / "alice.echo"


def pid_of(here: Place) -> int:
    pid = runner(friend_of(here) / "echo.bot")
    assert pid is not None
    return pid


def echo(here: Place, *words: str) -> dict[str, object]:
    (told,) = fine(here.run("alice", "echo", "--json", *words))
    assert isinstance(told, dict)
    return told


def hear(tail: Running, *texts: str) -> None:
    """What comes next from the friend."""
    for text in texts:
        while (message := tail.hear())["from"] == "me":
            pass
        assert (message["from"], message["text"]) == ("echo", text)


def processes(here: Place) -> list[str]:
    """What runs here, by the words after the profile's folder."""
    found = []
    for pid in here.processes():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        found.append(" ".join(Path(word).name if word.startswith("/") else word for word in words if word))
    return found


def test_it_becomes_a_contact_greets_once_and_repeats(here: Place) -> None:
    start(here, "alice")
    made = echo(here)
    assert (made["name"], made["state"]) == ("echo", "contact")
    tail = here.start("alice", "tail", "--since", "")
    hear(tail, GREETING)
    assert here.run("alice", "send", "echo", "hello\n  سلام ").code == 0
    hear(tail, "hello\n  سلام ")
    (contact,) = fine(here.run("alice", "contacts", "--json"))
    assert (contact["id"], contact["name"], contact["state"]) == (made["id"], "echo", "contact")
    assert all(path.stat().st_mode & 0o077 == 0 for path in [friend_of(here), *friend_of(here).iterdir()])
    for address in fine(here.run("alice.echo", "node", "status", "--json"))[0]["addresses"]:
        assert address.startswith("/ip4/127.0.0.1/tcp/")

    # Again: the same friend, the same process.
    pid = pid_of(here)
    assert echo(here) == made
    assert echo(here, "--wake") == {"woken": True}
    assert pid_of(here) == pid
    assert sum("echo --serve" in line for line in processes(here)) == 1

    # It sleeps, and answers when it wakes, without greeting again.
    assert echo(here, "--stop") == {"stopped": True, "removed": False}
    assert runner(friend_of(here) / "echo.bot") is None
    assert here.run("alice", "send", "echo", "are you there?").code == 0
    assert echo(here, "--wake") == {"woken": True}
    hear(tail, "are you there?")

    assert echo(here, "--remove") == {"stopped": True, "removed": True}
    assert not friend_of(here).exists()
    assert not [line for line in processes(here) if "echo" in line]
    assert echo(here, "--remove") == {"stopped": False, "removed": False}


def test_it_ends_with_its_persons_node(here: Place) -> None:
    (node,) = start(here, "alice")
    echo(here)
    process = os.pidfd_open(pid_of(here))
    try:
        assert node.end().code == 0
        ended, _, _ = select.select([process], [], [], PATIENCE)
        assert ended
    finally:
        os.close(process)
    assert runner(friend_of(here) / "echo.bot") is None
    assert echo(here, "--wake") == {"woken": False}
    assert (friend_of(here) / "echo.log").read_text() == ""


def test_a_blocked_friend_is_not_woken_and_another_one_gets_another_name(here: Place) -> None:
    start(here, "alice")
    first = echo(here)
    assert here.run("alice", "block", "echo").code == 0
    failed(here.run("alice", "echo"), 2, "blocked", "--remove")
    echo(here, "--remove")
    second = echo(here)
    assert second["name"] == "echo 2"
    assert second["id"] != first["id"]
    assert here.run("alice", "send", "echo 2", "hi", "--wait", "delivered", "--timeout", "60s").code == 0


def test_one_that_was_cut_short_is_made_whole(here: Place) -> None:
    start(here, "alice")
    made = echo(here)
    echo(here, "--stop")
    assert here.run("alice.echo", "node", "stop").code == 0
    for path in friend_of(here).iterdir():  # as if it had died before the keys were made
        if path.name != "config.toml":
            path.unlink()
    assert echo(here, "--wake") == {"woken": False}
    again = echo(here)
    assert again["id"] != made["id"]
    assert again["state"] == "contact"


def test_without_one_nothing_is_made(here: Place) -> None:
    assert echo(here, "--wake") == {"woken": False}
    assert echo(here, "--stop") == {"stopped": False, "removed": False}
    assert not friend_of(here).exists()
    assert processes(here) == []
    failed(here.run("nobody", "echo"), 1, "p2pchat init")
    assert not (here.folder / "nobody.echo").exists()


def test_a_folder_that_is_no_echo_friend_is_never_touched(here: Place) -> None:
    make(here, "alice.echo")
    before = sorted(path.name for path in friend_of(here).iterdir())
    for words in ([], ["--remove"], ["--stop"], ["--wake"]):
        failed(here.run("alice", "echo", *words), 1, "not an echo bot")
    assert sorted(path.name for path in friend_of(here).iterdir()) == before
    shutil.rmtree(friend_of(here))
    friend_of(here).symlink_to(here.folder / "data")
    (here.folder / "data" / "letter").touch()
    assert here.run("alice", "echo", "--remove").code == 1
    assert (here.folder / "data" / "letter").exists()


def test_a_locked_profile_asks_for_its_passphrase(here: Place) -> None:
    (here.folder / "pw").write_text("secret")
    assert here.run("bob", "init", "--name", "Bob", "--passphrase-file", str(here.folder / "pw")).code == 0
    failed(here.run("bob", "echo"), 4, "--passphrase-file")
    assert not (here.folder / "bob.echo").exists()
    done = here.run("bob", "--json", "echo", "--for-face")
    assert done.code == 4
    assert done.object()["error"]["data"]["error"] == "Locked"
