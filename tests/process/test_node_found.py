"""A running node is found, ended and told apart by its lock, whatever happened to its socket, its folder or the
environment of whoever looks for it.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from p2pchat.locations import Profile, noted_socket
from tests.support.processes import PATIENCE, Done, Place

PASSPHRASE = "correct horse"


@pytest.fixture
def here(here: Place) -> Place:
    assert here.run("alice", "init", "--name", "Alice", "--no-passphrase").code == 0
    return here


def elsewhere(here: Place, profile: str, *words: str) -> Done:
    """Run a verb as cron does: without a login session, with another folder for temporary files."""
    environment = {**here.environment(), "TMPDIR": str(here.folder / "data")}
    del environment["XDG_RUNTIME_DIR"]
    done = subprocess.run(
        here.command(profile, *words), env=environment, capture_output=True, timeout=PATIENCE, check=False, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_node_is_found_and_stopped_from_another_environment(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    assert elsewhere(here, "alice", "node", "status", "--json").object()["pid"] == node.pid
    (here.folder / "link").symlink_to("alice")
    assert elsewhere(here, "link", "node", "stop", "--json").object() == {"stopped": True, "pid": node.pid}
    assert node.wait().code == 0


def test_a_node_makes_its_socket_anew_after_a_logout(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    shutil.rmtree(here.folder / "run")
    assert here.run("alice", "contacts").code == 0
    assert here.run("alice", "node", "stop", "--json").object() == {"stopped": True, "pid": node.pid}
    assert node.wait().code == 0


def test_lock_ends_a_node_that_cannot_be_asked(here: Place) -> None:
    (here.folder / "pw").write_text(PASSPHRASE)
    words = ("--passphrase-file", str(here.folder / "pw"))
    assert here.run("bob", "init", "--name", "Bob", *words).code == 0
    node = here.node("bob", *words)
    node.hear()
    path = noted_socket(Profile(here.folder / "bob"), node.pid)
    assert path is not None
    path.unlink()
    path.mkdir()  # so that it cannot be made anew there
    (here.folder / "bob" / "node.socket").write_text(f"{node.pid}\n{path}\n")
    assert here.run("bob", "lock", "--json").object() == {"locked": True, "pid": node.pid}
    assert node.wait().code == 0


def test_a_new_profile_in_the_place_of_a_deleted_one_is_nobody_elses(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    shutil.rmtree(here.folder / "alice")
    assert here.run("alice", "init", "--name", "Carol", "--no-passphrase").code == 0
    assert here.run("alice", "contacts").code == 0
    assert here.run("alice", "--json", "node", "status").object()["name"] == "Carol"
    done = node.wait()
    assert (done.code, done.out, "deleted" in done.err) == (1, "", True)


@pytest.mark.parametrize("what", ["lock", "profile.db", "profile.db-wal"])
def test_a_node_acknowledges_nothing_into_a_file_that_is_gone(here: Place, what: str) -> None:
    node = here.node("alice")
    node.hear()
    path = here.folder / "alice" / what
    path.rename(path.with_name("aside"))
    done = node.wait()
    assert done.code == 1
    assert what in done.err


def test_a_moved_profile_ends_its_node_and_keeps_its_messages(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    assert here.run("alice", "relays", "add", f"/ip4/127.0.0.1/tcp/9/p2p/{PEER}").code == 3
    (here.folder / "alice").rename(here.folder / "moved")
    assert node.wait().code == 1
    assert PEER in here.run("moved", "relays").out


PEER = "12D3KooWGVn3b8U323qG68s32Vx3dvZLcYYwix7PcMS6FuUGGcWP"
