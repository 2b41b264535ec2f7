"""Start a node in the background, for a face that found none; make a profile, for one that found none either.

The new process tells over a pipe that it listens, or why it cannot; then it lives on its own (see `cli/serve.py`).
What it prints otherwise goes to the profile's log, which only its owner can read.
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
"""Bytes above which the log begins anew; the one before is kept."""


def start(profile: Profile) -> bool:
    """Start a detached node. True: it listens. False: another node holds the profile. Raises what hindered it."""
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
    child.wait()  # it has forked; the node itself is nobody's child
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
    """Make a profile by a process of its own, as `p2pchat init` does: no key is ever in the face's memory.

    The passphrase goes through a pipe. Raises ProfileExists, BadName, UsageError, DiskFull, ProfileError.
    """
    try:
        secret = None if passphrase is None else passphrase.encode() + b"\n"
    except UnicodeEncodeError as exc:
        raise errors.UsageError("The passphrase is not valid UTF-8") from exc
    if passphrase is not None and passphrase.endswith(("\r", "\n")):  # of which the reader would take one away
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
    except ValueError as exc:  # what cannot be a word of a command line: NUL, half a character
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
    """Open the log, to append to; mode 0600, begun anew when it is large. Raises ProfileError where it cannot be
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
    """Return the command line of another process of ours. -P: nothing is imported from wherever the user happens to
    stand.
    """
    return [sys.executable, "-P", "-m", "p2pchat", "--profile", str(profile.folder.absolute()), *words]


def environment() -> dict[str, str]:
    """Return the environment for another process of ours."""
    environment = dict(os.environ)
    source = Path(__file__).resolve().parents[2]
    if (source / "pyproject.toml").exists():  # run from its source tree, perhaps without being installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), environment.get("PYTHONPATH"))))
    return environment
