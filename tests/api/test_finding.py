"""Ending a node that cannot be asked: the process that holds the lock gets a signal, and no other."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.api import finding
from p2pchat.locations import Profile, lock_holder
from tests.support.processes import PATIENCE, SOURCE

HOLDER = """
import signal, sys, time
from pathlib import Path
from p2pchat.locations import Profile, ProfileLock
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "idle" not in sys.argv:
    ProfileLock(Profile(Path(sys.argv[1]))).acquire()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    made = Profile(tmp_path / "profile")
    made.make_folder()
    return made


@contextmanager
def process(profile: Profile, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the profile's lock and has no socket (`idle`: it holds none)."""
    line = [sys.executable, "-c", HOLDER, str(profile.folder), *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=SOURCE) as made:
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        try:
            yield made
        finally:
            made.kill()


def found(profile: Profile) -> finding.RunningNode:
    node = finding.find(profile)
    assert node is not None
    return node


def test_who_holds_the_lock_is_ended_and_the_lock_is_free_then(profile: Profile) -> None:
    with process(profile) as holder:
        node = found(profile)
        assert (node.pid, node.is_certain) == (holder.pid, True)
        finding.terminate(profile, node, PATIENCE)
        assert holder.wait() == -signal.SIGTERM
        assert lock_holder(profile.lock) is None


def test_who_does_not_end_is_named(profile: Profile) -> None:
    with process(profile, "deaf") as holder:
        with pytest.raises(errors.NodeError, match="does not end") as raised:
            finding.terminate(profile, found(profile), 0)
        assert f"kill -9 {holder.pid}" in raised.value.advice
        assert holder.poll() is None


def test_nobody_else_gets_a_signal(profile: Profile) -> None:
    with process(profile) as holder, process(profile, "idle") as other:
        node = found(profile)
        finding.terminate(profile, replace(node, pid=other.pid), 0)  # the pid is another process's by now
        with pytest.raises(errors.NodeError, match="neither answers nor can be ended"):
            finding.terminate(profile, replace(node, is_certain=False), 0)
        assert (holder.poll(), other.poll()) == (None, None)
