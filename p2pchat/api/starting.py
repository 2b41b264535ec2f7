"""Starting a node in the background, and creating a profile, for a face that found none.

The new process reports over a pipe that it listens, or why it cannot, and then continues independently
(`cli/serve.py`). Its other output goes to the profile's log, which only the owner can read.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from p2pchat import errors
from p2pchat.api import codec

if TYPE_CHECKING:
    from p2pchat.locations import Profile

LOG_SIZE = 1 << 20
"""Bytes above which a new log is begun; the previous one is kept."""


def start(profile: Profile) -> bool:
    """Start a detached node. Return True once it listens, False if another node holds the profile. Raises the error
    that prevented it.
    """
    with open_log(profile.log) as log:
        child = subprocess.Popen(  # noqa: S603 - our own program
            command(profile, "node", "--detached"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
    assert child.stdout is not None
    with child.stdout:
        line = child.stdout.readline()
    child.wait()  # it has forked; the node is not our child
    try:
        answer = codec.decode(line)
    except codec.BadLine as exc:
        raise errors.NodeError("The node could not start", hint=f"{profile.log} says why.") from exc
    if answer.get("event") == "listening":
        return True
    failure = codec.error_from(answer.get("error"))
    if isinstance(failure, errors.ProfileInUse):
        return False
    raise failure


def create(profile: Profile, name: str, passphrase: str | None) -> dict[str, Any]:
    """Create a profile in another process, as `p2pchat init` does, so that no key is ever in the face's memory.

    The passphrase is passed through a pipe. Raises ProfileExists, BadName, UsageError, DiskFull or ProfileError.
    """
    try:
        secret = None if passphrase is None else passphrase.encode() + b"\n"
    except UnicodeEncodeError as exc:
        raise errors.UsageError("The passphrase is not valid UTF-8") from exc
    if passphrase is not None and passphrase.endswith(("\r", "\n")):  # the reader would remove one of them
        raise errors.UsageError("A passphrase cannot end with a line break")
    how = "--no-passphrase" if secret is None else "--passphrase-file=-"
    try:
        child = subprocess.run(  # noqa: S603 - our own program
            command(profile, "init", "--json", "--for-face", f"--name={name}", how),
            input=secret or b"",
            capture_output=True,
            cwd="/",
            env=environment(),
            check=False,
        )
    except ValueError as exc:  # not possible in a command line: NUL, a lone surrogate
        raise errors.BadName() from exc
    try:
        answer = codec.decode(child.stdout)
    except codec.BadLine as exc:
        words = child.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise errors.ProfileError(f"The profile could not be made: {words[-1]}") from exc
    if "error" in answer:
        raise codec.error_from(answer["error"])
    return answer


def open_log(path: Path) -> BinaryIO:
    """Open the log for appending, with mode 0600; begin a new one if it is large. Raises ProfileError if it cannot be
    written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if path.exists() and path.stat().st_size > LOG_SIZE:
            path.replace(path.with_name(path.name + ".old"))
        return os.fdopen(os.open(path, flags, 0o600), "ab")
    except OSError as exc:
        raise errors.ProfileError(f"Cannot write the log {path}: {exc.strerror}") from exc


def command(profile: Profile, *words: str) -> list[str]:
    """Return the command line of another process of this program. -P prevents imports from the current directory."""
    return [sys.executable, "-P", "-m", "p2pchat", "--profile", str(profile.folder.absolute()), *words]


def environment() -> dict[str, str]:
    """Return the environment for another process of this program."""
    environment = dict(os.environ)
    source = Path(__file__).resolve().parents[2]
    if (source / "pyproject.toml").exists():  # run from the source tree, perhaps not installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), environment.get("PYTHONPATH"))))
    return environment
