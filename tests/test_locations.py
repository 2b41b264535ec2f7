"""Paths, private folders, and one process per profile."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2pchat.errors import ProfileError, ProfileGone, ProfileInUse
from p2pchat.locations import (
    SOCKET_PATH_BYTES,
    LockHolder,
    Profile,
    ProfileGuard,
    ProfileLock,
    forget_socket,
    lock_holder,
    note_socket,
    noted_socket,
    private_folder,
    runtime_folder,
    socket_address,
    socket_path,
    socket_places,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the profile ---------------------------------------------------------------------------------


def test_a_profile_is_one_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert Profile(Path("real")) == Profile(tmp_path / "link") == Profile(tmp_path / "x" / ".." / "real")
    assert Profile(Path("real")).folder == tmp_path / "real"


def test_a_profile_is_there_when_its_database_is(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "deep" / "profile")
    assert not profile.exists()
    profile.make_folder()
    assert not profile.exists()
    profile.database.touch()
    assert profile.exists()
    assert mode(profile.folder) == 0o700
    assert {profile.database.parent, profile.lock.parent, profile.log.parent} == {profile.folder}


# --- the runtime folder and the socket -----------------------------------------------------------


def test_the_runtime_folder_is_the_users_own(tmp_path: Path) -> None:
    assert runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "p2pchat"
    assert mode(tmp_path / "p2pchat") == 0o700


@pytest.mark.parametrize("runtime", ["", "relative", "/nowhere/at/all"])
def test_without_one_it_is_in_the_temporary_directory(tmp_path: Path, runtime: str) -> None:
    folder = runtime_folder({"XDG_RUNTIME_DIR": runtime, "TMPDIR": str(tmp_path)})
    assert folder == tmp_path / f"p2pchat-{os.getuid()}"
    assert mode(folder) == 0o700


def test_a_deep_profile_has_a_socket_that_binds(tmp_path: Path, short: Path) -> None:
    folder = tmp_path.joinpath(*["a-rather-long-folder-name"] * 12)
    environment = {"XDG_RUNTIME_DIR": str(short)}
    path = socket_path(folder, environment)
    assert len(os.fsencode(folder)) > 300
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def test_sockets_differ_by_profile_and_not_by_name(tmp_path: Path, short: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(short)}
    (tmp_path / "link").symlink_to("one")
    one = socket_path(tmp_path / "one", environment)
    assert one == socket_path(tmp_path / "link", environment) == socket_path(tmp_path / "x" / ".." / "one", environment)
    assert one != socket_path(tmp_path / "two", environment)


def test_a_runtime_folder_too_deep_for_an_address_holds_a_socket_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    path = socket_path(tmp_path, {"XDG_RUNTIME_DIR": str(deep)})
    assert len(os.fsencode(path)) > SOCKET_PATH_BYTES
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
        with socket_address(path) as address:
            listening.bind(address)
        listening.listen()
        with socket_address(path) as address:
            calling.connect(address)


def test_a_node_has_a_place_for_its_socket_whatever_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = Profile(tmp_path)
    (tmp_path / "file").touch()
    for runtime, temporary in (("", "/nowhere"), ("/nowhere", str(tmp_path / "file")), (str(tmp_path / "file"), "")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("TMPDIR", temporary)
        *_, in_tmp, last = socket_places(profile)
        assert in_tmp.parent == Path(f"/tmp/p2pchat-{os.getuid()}")
        assert last == tmp_path / "node.sock"


def test_where_a_node_listens_is_noted_for_that_node_only(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    assert noted_socket(profile, os.getpid()) is None
    note_socket(profile, Path("/a path\udcff/x.sock"))
    assert mode(profile.socket_note) == 0o600
    assert noted_socket(profile, None, os.getpid()) == Path("/a path\udcff/x.sock")
    assert noted_socket(profile, os.getpid() + 1) is None
    forget_socket(profile)
    assert noted_socket(profile, os.getpid()) is None
    for damaged in (b"", b"1", b"x\ny\n", f"{os.getpid()}".encode()):
        profile.socket_note.write_bytes(damaged)
        assert noted_socket(profile, os.getpid()) is None


# --- private folders -----------------------------------------------------------------------------


def test_a_folder_open_to_others_is_narrowed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    assert private_folder(folder) == folder
    assert mode(folder) == 0o700


def test_made_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        private_folder(tmp_path / "folder")
    finally:
        os.umask(old)
    assert mode(tmp_path / "folder") == 0o700


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / f"p2pchat-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(ProfileError):
        runtime_folder({"TMPDIR": str(tmp_path)})
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("mine")
    with pytest.raises(ProfileError):
        private_folder(tmp_path / "folder")
    assert (tmp_path / "folder").read_text() == "mine"


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without privileges nobody can make one, so the test becomes another user instead."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(ProfileError, match="another user"):
        private_folder(folder)
    assert mode(folder) == 0o755


# --- the lock ------------------------------------------------------------------------------------

_HOLD = """
import sys
from pathlib import Path
from p2pchat.locations import Profile, ProfileLock
with ProfileLock(Profile(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    made = Profile(tmp_path / "profile")
    made.make_folder()
    return made


def holder(profile: Profile) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(profile.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_on_one_profile(profile: Profile) -> None:
    with holder(profile) as other:
        lock = ProfileLock(profile)
        with pytest.raises(ProfileInUse, match=f"pid {other.pid}"):
            lock.acquire()
        with pytest.raises(ProfileInUse):
            lock.acquire(timeout=0.01)
        assert lock.owner() == other.pid
        other.kill()  # the kernel frees it, whatever is left in the file
        other.wait()
        lock.acquire()
        assert lock.owner() == os.getpid()
        lock.release()


def test_waiting_for_a_lock(profile: Profile) -> None:
    with holder(profile) as other:
        lock = ProfileLock(profile)
        assert other.stdin is not None
        other.stdin.close()  # it lets go at about the time we begin to wait
        lock.acquire(timeout=60)
        assert lock.owner() == os.getpid()
        lock.release()
        other.stdin = None


def test_a_lock_is_exclusive_within_a_process_too(profile: Profile) -> None:
    with ProfileLock(profile) as lock:
        lock.acquire()  # again by its owner: nothing happens
        with pytest.raises(ProfileInUse):
            ProfileLock(profile).acquire()
    with ProfileLock(profile):
        pass
    lock.release()
    assert profile.lock.exists()
    assert mode(profile.lock) == 0o600


def test_a_child_does_not_hold_it_on(profile: Profile) -> None:
    with ProfileLock(profile):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        lock = ProfileLock(profile)
        lock.acquire(timeout=60)  # its descriptor closes a moment after the child has begun
        lock.release()
    finally:
        child.communicate(b"\n", timeout=60)


@pytest.mark.parametrize("written", ["", "nonsense", "12x"])
def test_a_lock_file_without_a_pid(profile: Profile, written: str) -> None:
    profile.lock.write_text(written)
    assert ProfileLock(profile).owner() is None
    with ProfileLock(profile):
        assert profile.lock.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_is_a_link_is_refused(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    profile.lock.symlink_to(tmp_path / "victim")
    with pytest.raises(ProfileError):
        ProfileLock(profile).acquire()
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_kernel_says_who_holds_it_whatever_the_file_says(profile: Profile) -> None:
    assert lock_holder(profile.lock) is None
    profile.lock.write_text("1\n")  # left by a process that is gone
    assert lock_holder(profile.lock) is None
    with holder(profile) as other:
        profile.lock.write_text("1\n")
        assert lock_holder(profile.lock) == LockHolder(other.pid, 1, is_certain=True)
        with pytest.raises(ProfileInUse, match=f"pid {other.pid}"):
            ProfileLock(profile).acquire()
        other.kill()
    assert lock_holder(profile.lock) is None
    with ProfileLock(profile):  # of this process the kernel does not speak
        assert lock_holder(profile.lock) == LockHolder(os.getpid(), os.getpid(), is_certain=False)


def test_whoever_only_looks_keeps_nobody_from_the_lock(profile: Profile) -> None:
    profile.lock.touch()
    with open(profile.lock) as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        later = threading.Timer(0.02, fcntl.flock, (looking, fcntl.LOCK_UN))
        later.start()
        ProfileLock(profile).acquire()
        later.join()


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
def test_a_guard_notices_that_an_open_file_is_nobodys_any_more(profile: Profile, how: str) -> None:
    guard = ProfileGuard()
    with ProfileLock(profile) as lock:
        guard.keep(lock.path, lock.identity)
        guard.keep(profile.database)  # which is not there: nothing to watch
        guard.check()
        assert guard.is_same(lock.path)
        if how == "deleted":
            lock.path.unlink()
        elif how == "replaced":
            (profile.folder / "other").touch()
            (profile.folder / "other").rename(lock.path)
        else:
            profile.folder.rename(profile.folder.with_name("elsewhere"))
        with pytest.raises(ProfileGone, match=how):
            guard.check()
        assert not guard.is_same(lock.path)


def test_no_folder_no_lock(tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        ProfileLock(Profile(tmp_path / "nowhere")).acquire()
