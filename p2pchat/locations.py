"""Where things are: what is in a profile's folder, the runtime folder of the sockets; and the lock on a profile."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from p2pchat.errors import NodeError, ProfileError, ProfileInUse

# sizeof(sockaddr_un.sun_path) with its final NUL; 104 on BSD and macOS, so the smaller one.
SOCKET_PATH_BYTES = 103
_LOOK_AGAIN = 0.05  # seconds between two tries at a lock


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile by its folder. The same profile must give the same paths, so the folder is made absolute."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(os.path.realpath(self.folder)))

    @property
    def relay_store(self) -> Path:
        """What the node keeps for others, where it is a relay for its contacts."""
        return self.folder / "relay.db"

    @property
    def database(self) -> Path:
        """The database."""
        return self.folder / "profile.db"

    @property
    def lock(self) -> Path:
        """What the running node locks, with its pid inside."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        """The node's log."""
        return self.folder / "node.log"

    @property
    def echo(self) -> Profile:
        """Where the profile's echo friend is, if it has one (`p2pchat echo`)."""
        return Profile(self.folder.with_name(self.folder.name + ".echo"))

    def exists(self) -> bool:
        """Whether a profile was made here: it has its database."""
        return self.database.exists()

    def make_folder(self) -> None:
        """Make the folder, for its owner only (0700). One that is there is narrowed; one of another user is refused."""
        private_folder(self.folder)


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the sockets, made if needed: 0700 and ours, or `ProfileError`.

    `$XDG_RUNTIME_DIR/p2pchat` (a relative one counts as none, says the XDG base directory specification), else
    `p2pchat-<uid>` in the temporary directory. The latter is a place where anybody may put a folder or a link of that
    name first; such a one is refused, never used.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and Path(runtime).is_dir():
        return private_folder(Path(runtime) / "p2pchat")
    temporary = Path(environment.get("TMPDIR") or tempfile.gettempdir())
    return private_folder(temporary / f"p2pchat-{os.getuid()}")


def socket_path(folder: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The socket of the node of the profile in `folder`: short however deep the profile lies, the same for all who ask.

    `NodeError` if even so it has more bytes than a socket's path may have.
    """
    name = hashlib.blake2b(os.fsencode(os.path.realpath(folder)), digest_size=8, person=b"p2pchat1 sock").hexdigest()
    path = runtime_folder(environment) / f"{name}.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise NodeError(f"{path} is too long for a socket", hint="Set XDG_RUNTIME_DIR to a short folder.")
    return path


def private_folder(path: Path) -> Path:
    """Make `path` a folder that only we can enter, and return it. `ProfileError` if it is a link or another user's."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        # Opened without following a link, then judged and narrowed through the descriptor: nothing can be swapped in
        # between.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ProfileError(f"{path} cannot be used as a private folder: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid():
            raise ProfileError(f"{path} belongs to another user", hint="Remove it, or choose another place.")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


class ProfileLock:
    """One process per profile: an `flock` on a file that holds the owner's pid. The kernel frees it with the process.

    The file is never removed: a second file of the same name would be a second lock.
    """

    def __init__(self, profile: Profile) -> None:
        self.path = profile.lock
        self._descriptor: int | None = None

    def acquire(self, timeout: float = 0) -> None:
        """Take the lock, waiting at most `timeout` seconds (this thread sleeps). `ProfileInUse` says whose it is."""
        if self._descriptor is not None:
            return
        deadline = time.monotonic() + timeout
        while not self._try():
            left = deadline - time.monotonic()
            if left <= 0:
                pid = self.owner()
                raise ProfileInUse(f"Another node is running on this profile (pid {pid or 'unknown'})")
            time.sleep(min(_LOOK_AGAIN, left))

    def release(self) -> None:
        """Let go; without the lock it does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def owner(self) -> int | None:
        """The pid that holds the lock or held it last, as far as the file tells."""
        try:
            written = self.path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return int(written) if written.isdigit() else None

    def __enter__(self) -> ProfileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try(self) -> bool:
        # O_CLOEXEC is Python's default: a child that inherited the descriptor would hold the lock on after us.
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ProfileError(f"Cannot lock the profile: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise ProfileError(f"Cannot lock the profile: {error.strerror}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor
        return True
