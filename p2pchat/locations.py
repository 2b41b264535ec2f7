"""Where things are: what is in a profile's folder, the runtime folder of the sockets; and the lock on a profile."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from p2pchat.errors import ProfileError, ProfileGone, ProfileInUse
from p2pchat.lib import atomic_file

# sizeof(sockaddr_un.sun_path) with its final NUL; 104 on BSD and macOS, so the smaller one.
SOCKET_PATH_BYTES = 103
_LOOK_AGAIN = 0.05  # seconds between two tries at a lock
_PROBE_SECONDS = 0.25  # for so long a lock may be held by somebody who only looks whether it is held
_FLOCK = "hhqqi4x"  # struct flock of fcntl(2): l_type, l_whence, l_start, l_len, l_pid


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
        """The path of the database."""
        return self.folder / "profile.db"

    @property
    def files(self) -> Path:
        """The folder of what is kept of files that were sent or received, sealed."""
        return self.folder / "files"

    @property
    def lock(self) -> Path:
        """What the running node locks, with its pid inside."""
        return self.folder / "lock"

    @property
    def socket_note(self) -> Path:
        """The file that says where the running node listens."""
        return self.folder / "node.socket"

    @property
    def log(self) -> Path:
        """The path of the node's log."""
        return self.folder / "node.log"

    @property
    def echo(self) -> Profile:
        """Where the profile's echo bot is, if it has one (`p2pchat echo`)."""
        return Profile(self.folder.with_name(self.folder.name + ".echo"))

    @property
    def has_passphrase(self) -> bool:
        """Whether its key is under a passphrase."""
        return (self.folder / "keys").exists()

    def exists(self) -> bool:
        """Whether a profile was made here: it has its database."""
        return self.database.exists()

    def make_folder(self) -> None:
        """Make the folder, for its owner only (0700). One that is there is narrowed; one of another user is refused."""
        private_folder(self.folder)


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The first folder that can hold sockets, made if needed: 0700 and ours, or `ProfileError`.

    `$XDG_RUNTIME_DIR/p2pchat` (a relative one counts as none, says the XDG base directory specification), else
    `p2pchat-<uid>` in the temporary directory. The latter is a place where anybody may put a folder or a link of that
    name first; such a one is refused, never used.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and Path(runtime).is_dir():
        return private_folder(Path(runtime) / "p2pchat")
    try:
        import tempfile  # takes a while, and few need it

        temporary = Path(environment.get("TMPDIR") or tempfile.gettempdir())
    except FileNotFoundError as error:
        raise ProfileError("There is no folder for temporary files") from error
    return private_folder(temporary / f"p2pchat-{os.getuid()}")


def socket_path(folder: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a node of the profile in `folder` puts its socket: in the runtime folder of its environment, if it has one.

    Faces do not compute it, their environment may be another one: they read it from the profile (`noted_socket`).
    """
    import hashlib  # loads OpenSSL, which a face never needs

    name = hashlib.blake2b(os.fsencode(os.path.realpath(folder)), digest_size=8, person=b"p2pchat1 sock").hexdigest()
    return runtime_folder(environment) / f"{name}.sock"


def socket_places(profile: Profile) -> Iterator[Path]:
    """Where the node may put its socket, best first: the runtime folder, `/tmp`, the profile's own folder."""
    for environment in (os.environ, {"TMPDIR": "/tmp"}):  # noqa: S108 - a private folder in it, or none
        with suppress(ProfileError, OSError):
            yield socket_path(profile.folder, environment)
    yield profile.folder / "node.sock"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address to bind or connect for the socket at `path`.

    A path longer than an address can be goes through a descriptor of its folder (proc(5)). Raises OSError.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def note_socket(profile: Profile, path: Path) -> None:
    """Write into the profile where its node listens, for faces whose environment is another. Raises OSError."""
    atomic_file.replace(profile.socket_note, b"%d\n%s\n" % (os.getpid(), os.fsencode(path)), durable=False)


def noted_socket(profile: Profile, *pids: int | None) -> Path | None:
    """Where the node with one of these pids listens, as it noted; None where it has noted nothing."""
    try:
        written, path, _ = profile.socket_note.read_bytes().split(b"\n", 2)
    except (OSError, ValueError):
        return None
    return Path(os.fsdecode(path)) if written in [b"%d" % pid for pid in pids if pid is not None] else None


def forget_socket(profile: Profile) -> None:
    """Take the note away, if it is ours."""
    if noted_socket(profile, os.getpid()) is not None:
        profile.socket_note.unlink(missing_ok=True)


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
            raise ProfileError(f"{path} belongs to another user", hint="Delete it, or choose another folder.")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


class ProfileLock:
    """One process per profile: an `flock` on a file that holds the owner's pid. The kernel frees it with the process.

    A POSIX lock on the same file lets everybody ask the kernel who holds it (`lock_holder`). Such a lock is lost when
    the process closes any descriptor of the file, so the holder never opens it a second time.

    The file is never removed: a second file of the same name would be a second lock.
    """

    def __init__(self, profile: Profile) -> None:
        self.path = profile.lock
        self._descriptor: int | None = None

    def acquire(self, timeout: float = 0) -> None:
        """Take the lock, waiting at most `timeout` seconds (this thread sleeps). `ProfileInUse` says whose it is."""
        if self._descriptor is not None:
            return
        began = time.monotonic()
        while not self._try():
            holder = lock_holder(self.path)
            is_probe = holder is None or not holder.is_certain
            left = began + max(timeout, _PROBE_SECONDS if is_probe else 0) - time.monotonic()
            if left <= 0:
                pid = holder.pid if holder else None
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
            return _pid_in(self.path.read_bytes())
        except OSError:
            return None

    @property
    def identity(self) -> FileIdentity:
        """Which file is locked. Only for the holder."""
        assert self._descriptor is not None
        return _identity(os.fstat(self._descriptor))

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
            if _identity_at(self.path) != _identity(os.fstat(descriptor)):  # replaced between the two
                os.close(descriptor)
                return False
            with suppress(OSError):  # some network file systems take it for a second flock
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise ProfileError(f"Cannot lock the profile: {error.strerror}") from error
        with suppress(OSError):  # a full disk: the kernel knows the pid, the file only tells it to people
            os.ftruncate(descriptor, os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0))
        self._descriptor = descriptor
        return True


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock. `pid`: the process, None if nobody can tell. `written`: the pid that it wrote into the file,
    which is another one where it runs in a container. `is_certain`: the kernel says that `pid` holds the lock now.
    """

    pid: int | None
    written: int | None
    is_certain: bool


def lock_holder(path: Path) -> LockHolder | None:
    """Who holds the lock at `path`; None where nobody does. Raises ProfileError where it cannot be looked at."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProfileError(f"Cannot look at the lock {path}: {error.strerror}") from error
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        written = _pid_in(os.pread(descriptor, 32, 0))
        if kind != fcntl.F_UNLCK and pid > 0:
            return LockHolder(pid, written, is_certain=True)
        # Nobody that the kernel can name. Who holds it in this very process, or in another container, it does not name.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockHolder(written, written, is_certain=False)
    except OSError as error:
        raise ProfileError(f"Cannot look at the lock {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return None


def _pid_in(data: bytes) -> int | None:
    return int(data) if data.strip().isdigit() else None


# --- files that are replaced while they are open -----------------------------------------------------

FileIdentity = tuple[int, int]
"""Device and inode."""


class ProfileGuard:
    """Notices that a file which this process has open is no longer the one at its path.

    Such a file can still be written, but nobody will ever read it again: what is acknowledged then is lost.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, FileIdentity] = {}

    def keep(self, path: Path, identity: FileIdentity | None = None) -> None:
        """Watch `path` from now on, if it is there; `identity` is that of the open file, where it is known."""
        found = identity or _identity_at(path)
        if found is not None:
            self._kept = {**self._kept, path: found}

    def check(self) -> None:
        """Raise ProfileGone if any of the files is gone or another one. Two microseconds a file; from any thread."""
        for path, identity in self._kept.items():
            if _identity_at(path) != identity:
                raise ProfileGone(f"{path} was deleted, moved or replaced while the node was running")

    def is_same(self, path: Path) -> bool:
        """Whether the file at `path` is the one that is watched."""
        return self._kept.get(path) == _identity_at(path)


def _identity_at(path: Path) -> FileIdentity | None:
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None


def _identity(status: os.stat_result) -> FileIdentity:
    return status.st_dev, status.st_ino
