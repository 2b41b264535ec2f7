"""The node as a process: started by faces and by hand, locked, taken over, killed (the contract: its lifetime)."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import ONE_TIME, Invite, InviteWay, encode_invite, to_text
from p2pchat.engine.contacts.profile import keep_port, kept_port
from p2pchat.net.multiaddrs import pack
from p2pchat.store.database import Database
from p2pchat.store.keys import open_keys
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Done, Place, place

NOBODY = "/ip4/127.0.0.1/tcp/9"
PASSPHRASE = "correct horse, кобыла"


@pytest.fixture
def here(here: Place) -> Place:
    assert here.run("alice", "init", "--name", "Alice", "--no-passphrase").code == 0
    return here


@pytest.fixture
def protected() -> Iterator[Place]:
    with place() as made:
        (made.folder / "pw").write_text(PASSPHRASE + "\n")
        (made.folder / "wrong").write_text("wrong\n")
        assert made.run("alice", "init", "--name", "Alice", "--passphrase-file", str(made.folder / "pw")).code == 0
        yield made


def one_line(done: Done, code: int, *words: str) -> None:
    assert (done.code, done.out) == (code, ""), done
    assert done.err.count("\n") == 1, done.err
    assert all(word in done.err for word in words), done.err


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
        if path.is_file()
    }


# --- init ------------------------------------------------------------------------------------------


def test_init_makes_a_private_profile_once(here: Place) -> None:
    folder = here.folder / "alice"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    before = contents(folder)
    for words in (["--no-passphrase"], ["--passphrase-file", "/dev/null"]):
        one_line(here.run("alice", "init", "--name", "Bob", *words), 1, "already", "--profile")
    assert contents(folder) == before


def test_init_refuses_names_that_are_none(here: Place) -> None:
    for name in ("", " ", "\u202e", "x\x1b" * 100, "me"):
        one_line(here.run("new", "init", "--name", name, "--no-passphrase"), 2)
        assert not (here.folder / "new" / "profile.db").exists()
    assert here.run("new", "init", "--name", "x", "--no-passphrase").code == 0


def test_an_init_that_was_cut_short_can_be_repeated(here: Place) -> None:
    half = here.folder / "half" / "new"
    half.mkdir(parents=True)
    (half / "key").write_bytes(b"x" * 32)
    (half / "profile.db").write_bytes(b"x")
    one_line(here.run("half", "contacts"), 1, "init")
    assert here.run("half", "init", "--name", "x", "--no-passphrase").code == 0
    assert not half.exists()


# --- in the foreground -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_node_says_ready_once_and_ends_cleanly(here: Place, how: int) -> None:
    node = here.start("alice", "node")
    ready = node.hear()
    assert set(ready) == {"event", "addresses"}
    assert ready["addresses"]
    for address in ready["addresses"]:
        assert re.fullmatch(r"/ip[46]/[0-9a-f.:]+/tcp/\d+/p2p/12D3KooW\w+", address)
        assert "/0.0.0.0/" not in address
        assert "/::/" not in address
    assert here.run("alice", "contacts").code == 0
    done = node.end(how)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert not list((here.folder / "run" / "p2pchat").iterdir())


def test_a_node_tells_people_too(here: Place) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pchat", "node", "--profile", str(here.folder / "alice")],
        env=here.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert process.stdout.readline().startswith(b"/ip")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_port_is_kept_and_another_one_found_when_it_is_taken(here: Place) -> None:
    def port() -> int:
        node = here.node("alice")
        address: str = node.hear()["addresses"][0]
        node.end()
        return int(address.split("/")[4])

    first, kept = port(), free_port()  # of the first one the system may dispose
    profile = here.folder / "alice"
    with closing(Database.open(profile / "profile.db", open_keys(profile, None))) as db:
        assert kept_port(db) == first
        keep_port(db, kept)
    assert port() == kept
    with socket.create_server(("127.0.0.1", kept)):
        assert port() != kept


def test_a_second_node_in_the_foreground_is_refused_with_the_pid(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    one_line(here.run("alice", "node"), 4, str(node.pid), "node stop")
    assert here.run("alice", "node", "status", "--json").object()["pid"] == node.pid


def test_a_bad_address_is_a_usage_error(here: Place) -> None:
    one_line(here.run("alice", "node", "--listen", "nonsense"), 2, "nonsense")
    one_line(here.run("alice", "contacts", "--timeout", "1s"), 2)


def test_stop_ends_the_node_and_waits_for_it(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    assert here.run("alice", "node", "stop", "--json").object() == {"stopped": True, "pid": node.pid}
    assert node.wait().code == 0
    one_line(here.run("alice", "node", "status"), 1, "p2pchat node")
    assert here.run("alice", "node", "stop").code == 0


# --- started by faces ------------------------------------------------------------------------------


def test_faces_started_together_start_one_node(here: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: here.run("alice", "contacts", "--json"), range(4)))
    assert [each.code for each in done] == [0] * 4, done
    status = here.run("alice", "node", "status", "--json").object()
    assert status["foreground"] is False
    assert here.processes() == [status["pid"]]


def test_a_node_started_by_a_face_is_detached_and_leaves_no_secrets(here: Place) -> None:
    assert here.run("alice", "contacts").code == 0
    pid = here.run("alice", "--json", "node", "status").object()["pid"]
    assert os.getsid(pid) != os.getsid(0)
    log = here.folder / "alice" / "node.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert re.search(r"Max core file size\s+0\s+0", Path(f"/proc/{pid}/limits").read_text())
    if os.getuid() != 0:  # only root sees more of a process that cannot be dumped
        with pytest.raises(PermissionError):
            os.readlink(f"/proc/{pid}/cwd")
        return
    assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_node_in_the_foreground_takes_over(here: Place) -> None:
    assert here.run("alice", "contacts").code == 0
    old = here.run("alice", "--json", "node", "status").object()["pid"]
    node = here.node("alice")
    assert node.hear()["event"] == "ready"
    status = here.run("alice", "--json", "node", "status").object()
    assert (status["pid"], status["foreground"]) == (node.pid, True)
    assert old not in here.processes()


def test_a_killed_node_leaves_nothing_in_the_way(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    node.end(signal.SIGKILL)
    assert list((here.folder / "run" / "p2pchat").iterdir())  # its socket, stale
    assert here.run("alice", "contacts").code == 0
    again = here.node("alice")
    assert again.hear()["event"] == "ready"


def test_a_verb_whose_node_dies_ends_with_1_and_starts_no_other(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    rpc = here.start("alice", "rpc", stdin=subprocess.PIPE)
    assert rpc.process.stdin is not None
    rpc.process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
    rpc.process.stdin.flush()
    assert rpc.hear()["id"] == 1  # it is connected
    node.end(signal.SIGKILL)
    rpc.process.wait(PATIENCE)  # before its stdin ends, which would be a reason of its own
    done = rpc.wait()
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert here.processes() == []


def test_tail_goes_on_when_its_node_is_killed(here: Place) -> None:
    node = here.node("alice")
    node.hear()
    tail = here.start("alice", "tail", "--events")
    nowhere = Invite(
        ONE_TIME, bytes(32), bytes(16), 4_000_000_000, (InviteWay(PeerKey(bytes(32)), pack(NOBODY), 0),), None
    )
    assert here.run("alice", "add", to_text(encode_invite(nowhere)), "--name", "bob", "--timeout", "1s").code == 3
    names, told = itertools.cycle(("carol", "bob")), tail.process.stdout
    assert told is not None
    while not select.select([told], [], [], 0)[0]:  # until it is told something, it may not listen yet
        assert here.run("alice", "rename", name_now(here), next(names)).code == 0
    node.end(signal.SIGKILL)
    while tail.hear()["event"] != "lagged":  # which it says of the gap, once it has found the next node
        pass
    tail.process.kill()


def name_now(here: Place) -> str:
    """What the only contact is called now."""
    return str(json.loads(here.run("alice", "--json", "contacts").out)["name"])


def test_a_damaged_database_is_one_line_from_every_face(here: Place) -> None:
    path = here.folder / "alice" / "profile.db"
    damaged = bytes(4096) + path.read_bytes()[4096:]
    path.write_bytes(damaged)
    one_line(here.run("alice", "contacts"), 1, "damaged")
    one_line(here.run("alice", "node"), 1, "damaged")
    assert path.read_bytes() == damaged


def test_a_profile_may_lie_deep(here: Place) -> None:
    deep = "/".join(["a-folder-with-a-long-name"] * 12)
    assert here.run(deep, "init", "--name", "Deep", "--no-passphrase").code == 0
    assert here.run(deep, "contacts").code == 0


def test_a_mistake_in_the_settings_is_named(here: Place) -> None:
    (here.folder / "alice" / "config.toml").write_text("lisen = []\n")
    one_line(here.run("alice", "node"), 1, "lisen")
    one_line(here.run("alice", "contacts"), 1, "lisen")


# --- locked ----------------------------------------------------------------------------------------


def test_a_locked_node_waits_for_its_passphrase(protected: Place) -> None:
    node = protected.node("alice")
    assert node.hear() == {"event": "locked"}
    one_line(protected.run("alice", "contacts"), 4, "unlock")
    one_line(protected.run("alice", "--passphrase-file", str(protected.folder / "wrong"), "unlock"), 4, "passphrase")
    assert protected.run("alice", "node", "status", "--json").object()["state"] == "locked"
    assert protected.run("alice", "unlock", "--passphrase-file", "-", stdin=PASSPHRASE + "\n").code == 0
    assert node.hear()["event"] == "ready"
    assert protected.run("alice", "contacts").code == 0
    for name in ("cmdline", "environ") if os.getuid() == 0 else ("cmdline",):  # the other only root may read
        assert b"horse" not in Path(f"/proc/{node.pid}/{name}").read_bytes()
    assert protected.run("alice", "lock").code == 0
    assert node.wait().code == 0
    one_line(protected.run("alice", "contacts"), 4, "unlock")


def test_a_node_that_is_given_the_passphrase_opens_at_once(protected: Place) -> None:
    node = protected.node("alice", "--passphrase-file", str(protected.folder / "pw"))
    assert node.hear()["event"] == "ready"
    node.end()
    one_line(protected.run("alice", "node", "--passphrase-file", str(protected.folder / "wrong")), 4, "passphrase")


def test_any_verb_unlocks_with_the_file(protected: Place) -> None:
    assert protected.run("alice", "contacts", "--passphrase-file", str(protected.folder / "pw")).code == 0
    assert protected.run("alice", "contacts").code == 0  # the node it started is open now


def test_the_passphrase_changes(protected: Place) -> None:
    (protected.folder / "new").write_text("new one\n")
    words = ["--passphrase-file", str(protected.folder / "pw"), "--new-passphrase-file", str(protected.folder / "new")]
    assert protected.run("alice", "passphrase", *words).code == 0
    assert protected.run("alice", "lock").code == 0
    one_line(protected.run("alice", "contacts", "--passphrase-file", str(protected.folder / "pw")), 4)
    assert protected.run("alice", "contacts", "--passphrase-file", str(protected.folder / "new")).code == 0
    assert protected.run("alice", "passphrase", "--no-passphrase").code == 0
    assert protected.run("alice", "node", "stop").code == 0
    assert protected.run("alice", "contacts").code == 0
    one_line(protected.run("alice", "lock"), 2, "no passphrase")


def test_memory_is_kept_from_dumps_and_debuggers() -> None:
    code = """
import ctypes, resource
from p2pchat.node import harden
harden()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "(0, 0) 0\n"


# --- rpc, demo -------------------------------------------------------------------------------------


def test_rpc_speaks_to_a_node_it_started(here: Place) -> None:
    asked = '{"jsonrpc":"2.0","id":1,"method":"status"}\n{"jsonrpc":"2.0","id":2,"method":"invite"}\n'
    done = here.run("alice", "rpc", stdin=asked)
    assert done.code == 0
    assert '"id":1' in done.out
    assert "P2PCHAT:" in done.out


def test_the_demo_tells_its_story_and_leaves_nothing(here: Place) -> None:
    done = here.run("unused", "demo")
    assert done.code == 0, done.err
    assert "arrived once and in order" in done.out
    assert not list((here.folder / "tmp").iterdir())
    assert here.processes() == []


def test_a_demo_that_is_interrupted_leaves_nothing(here: Place) -> None:
    demo = here.start("unused", "demo")
    while demo.hear()["step"] != "message":
        pass
    assert len(here.processes()) == 3  # it and two nodes
    done = demo.end(signal.SIGINT)
    assert (done.code, done.err) == (130, "")
    assert not list((here.folder / "tmp").iterdir())
    assert here.processes() == []
