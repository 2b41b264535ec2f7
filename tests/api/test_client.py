"""The client faces use: hello, errors, events, a node that ends, of another version, or of another user."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.api import finding, starting
from p2pchat.api.client import Client, NoNode
from p2pchat.api.codec import API_VERSION
from p2pchat.locations import Profile, ProfileLock, socket_path
from tests.cli.node import FakeNode
from tests.support.processes import PATIENCE


@pytest.fixture
def profile(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    made = Profile(tmp_path / "profile")
    made.make_folder()
    made.database.touch()
    return made


def test_calls_events_and_errors(profile: Profile) -> None:
    with FakeNode(profile) as node, Client.connect(profile) as client:
        assert client.greeting["state"] == "ready"
        client.call("subscribe")
        node.publish({"event": "state", "id": "1", "state": "read"})
        assert client.call("contacts") == node.answers["contacts"]
        node.publish({"event": "lagged"})
        events = client.events()
        assert next(events) == {"event": "state", "id": "1", "state": "read"}
        assert next(events) == {"event": "lagged"}
        node.answers["why"] = errors.AmbiguousName("x", candidates=["a", "b"])
        with pytest.raises(errors.AmbiguousName) as caught:
            client.call("why", id="1")
        assert caught.value.candidates == ("a", "b")


def test_a_text_too_long_for_the_wire_never_leaves(profile: Profile) -> None:
    with FakeNode(profile) as node, Client.connect(profile) as client:
        with pytest.raises(errors.TextTooLong):
            client.call("send", chat="b", text="x" * 2_000_000)
        with pytest.raises(errors.UsageError, match="UTF-8"):
            client.call("send", chat="b", text="\ud800")
        assert client.call("contacts")
        assert [name for name, _ in node.calls] == ["contacts"]


def test_no_node_where_none_may_be_started(profile: Profile) -> None:
    with pytest.raises(NoNode):
        Client.connect(profile, start_node=False)
    assert Client.running(profile) is None


def test_a_socket_without_a_lock_is_no_node(profile: Profile) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path(profile.folder)))
        stale.listen()
        assert Client.running(profile) is None
        assert not finding.listens(profile)


def test_a_node_that_does_not_answer_is_named_with_its_pid(profile: Profile) -> None:
    with ProfileLock(profile), pytest.raises(errors.NodeSilent, match=f"process {os.getpid()}"):
        Client.running(profile)


def test_a_node_whose_socket_is_back_soon_is_waited_for(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "SOCKET_BACK_SECONDS", PATIENCE)
    with FakeNode(profile) as node:
        aside = node.path.with_name("aside")
        node.path.rename(aside)
        assert not finding.listens(profile)
        back = threading.Timer(0.1, aside.rename, (node.path,))
        back.start()
        with Client.connect(profile) as client:
            assert client.call("contacts")
        back.join()


def test_a_node_is_found_from_another_environment(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeNode(profile) as node:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        monkeypatch.setenv("TMPDIR", "/nowhere")
        with Client.connect(profile, start_node=False) as client:
            assert client.call("contacts")
        profile.folder.rename(profile.folder.with_name("renamed"))
        with Client.connect(Profile(profile.folder.with_name("renamed")), start_node=False) as client:
            assert client.call("contacts")
        assert [name for name, _ in node.calls] == ["contacts", "contacts"]


def test_a_node_that_just_ends_is_none_when_it_has_let_go(profile: Profile) -> None:
    lock = ProfileLock(profile)
    with socket.socket(socket.AF_UNIX) as listener, lock:
        listener.bind(str(socket_path(profile.folder)))
        listener.listen()

        def hang_up() -> None:
            listener.accept()[0].close()
            lock.release()

        helper = threading.Thread(target=hang_up)
        helper.start()
        assert Client.running(profile, patience=30) is None
        helper.join()


def test_a_lingering_node_of_another_version_is_replaced(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = FakeNode(profile, version=99, foreground=False), FakeNode(profile)
    started: list[str] = []

    def start(_profile: Profile) -> bool:
        old.ended.wait(30)
        started.append("new")
        new.__enter__()
        return True

    monkeypatch.setattr(starting, "start", start)
    with old:
        with Client.connect(profile) as client:
            assert client.greeting["version"] == API_VERSION
        assert started == ["new"]
        assert [name for name, _ in old.calls] == ["stop"]
    new.__exit__()


def test_a_foreground_node_of_another_version_is_left_alone(profile: Profile) -> None:
    with FakeNode(profile, version=99) as node:
        with pytest.raises(errors.VersionMismatch) as caught:
            Client.connect(profile)
        assert "node stop" in caught.value.line()
        assert node.calls == []


def test_a_socket_of_another_user_is_refused(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeNode(profile) as node:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # the real one is then another's
        with pytest.raises(errors.NodeError, match="Another user"):
            Client.connect(profile)
        assert node.calls == []


def test_what_hinders_a_start_is_told(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """import json; print(json.dumps({"event": "failed", "error":
        {"code": -32001, "message": "Damaged", "data": {"exit": 1, "error": "DatabaseDamaged", "hint": "h"}}}))"""
    monkeypatch.setattr(starting, "command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(errors.DatabaseDamaged, match="Damaged"):
        Client.connect(profile)


def test_a_start_that_says_nothing_points_to_the_log(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "command", lambda *_: [sys.executable, "-c", "import sys; sys.stderr.write('oh')"])
    with pytest.raises(errors.NodeError) as caught:
        Client.connect(profile)
    assert str(profile.log) in caught.value.line()
    assert profile.log.read_text() == "oh"
    assert profile.log.stat().st_mode & 0o777 == 0o600


def test_a_large_log_begins_anew(profile: Profile) -> None:
    profile.log.write_bytes(b"x" * (starting.LOG_SIZE + 1))
    with starting.open_log(profile.log) as log:
        log.write(b"new")
    assert profile.log.read_bytes() == b"new"
    assert profile.log.with_name("node.log.old").stat().st_size == starting.LOG_SIZE + 1


def test_a_planted_log_is_not_followed(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    profile.log.symlink_to(tmp_path / "target")
    with pytest.raises(errors.ProfileError, match="symbolic"):
        starting.open_log(profile.log)
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.parametrize(
    "words", [["--version"], ["contacts", "--help"], ["contacts"], ["send", "b", "x"], ["log", "b"]]
)
def test_a_verb_starts_without_what_the_node_needs(profile: Profile, words: list[str]) -> None:
    heavy = ("trio", "libp2p", "multiaddr", "nacl", "cryptography", "sqlcipher3", "msgpack", "asyncio", "segno")
    code = f"""
import sys
from p2pchat.cli.main import main
main({words!r})
print(",".join(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""
    with FakeNode(profile):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "P2PCHAT_PROFILE": str(profile.folder)},
        )
    assert done.stderr.splitlines()[-1] == ""
