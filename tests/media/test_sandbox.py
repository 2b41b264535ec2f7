"""What a process that reads pictures can do: nothing, whoever has taken it over."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterable

import pytest

from p2pchat.errors import MediaMissing
from p2pchat.media.decoder import DecodingFailed, MediaDecoder
from p2pchat.media.sandbox import MEMORY_BYTES
from tests.support.decoding import with_decoder
from tests.support.probe import ATTEMPTS, HARMLESS
from tests.support.processes import PATIENCE, SOURCE

NEW_FILES = ("read a file", "list a folder", "make a socket", "make a pipe", "make a file in memory", "execute")


def _outcomes(entry: str, names: Iterable[str]) -> dict[str, str]:
    async def ask(decoder: MediaDecoder) -> dict[str, str]:
        outcomes = {}
        for name in names:
            try:
                outcomes[name] = (await decoder.ask(name.encode())).decode()
            except DecodingFailed:
                outcomes[name] = "ended"
        return outcomes

    return with_decoder(entry, ask)


def test_every_attempt_is_refused_in_the_confinement() -> None:
    assert _outcomes("main", ATTEMPTS) == dict.fromkeys(ATTEMPTS, "EPERM")


def test_without_the_filter_no_file_can_be_opened_all_the_same() -> None:
    """The limits see to it, so nothing rests on the filter alone."""
    assert set(_outcomes("without_filter", NEW_FILES).values()) <= {"EMFILE", "EACCES"}


def test_the_process_that_forks_has_no_files_and_no_network_either() -> None:
    """Where the kernel has Landlock, in the version that knows of TCP."""
    script = """if True:
        import errno, socket
        from p2pchat.media.sandbox import Sandbox
        from resource import RLIMIT_AS, RLIMIT_CORE, RLIMIT_FSIZE, getrlimit
        listening = socket.create_server(("127.0.0.1", 0))
        sandbox, ours = Sandbox(), socket.socket()
        sandbox.enter()
        dumpable, no_new_privileges = (sandbox._libc.prctl(option, 0, 0, 0, 0) for option in (3, 39))
        print(dumpable, no_new_privileges, *(getrlimit(limit)[1] for limit in (RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_AS)))
        for attempt in (
            lambda: open("/etc/passwd"),
            lambda: open("/tmp/p2pchat-probe", "w"),
            lambda: __import__("os").listdir("/"),
            lambda: ours.connect(listening.getsockname()),
            lambda: __import__("os").execv("/bin/true", ["true"]),
        ):
            try:
                print(attempt())
            except OSError as error:
                print(errno.errorcode[error.errno])
    """
    result = subprocess.run([sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True)
    state, *outcomes = result.stdout.splitlines()
    assert state == f"0 1 0 0 {MEMORY_BYTES}"
    assert outcomes == ["EACCES"] * 5


def test_attempts_succeed_where_nothing_is_given_up() -> None:
    """Or they would prove nothing."""
    for name in ("read a file", "list a folder", "look at a file", "make a socket", "make a pipe", "start a thread"):
        assert ATTEMPTS[name]() not in errno.errorcode.values()
    assert HARMLESS["take memory"]() == str(600 << 20)


def test_only_its_own_connection_is_open_and_the_environment_is_empty() -> None:
    async def main(decoder: MediaDecoder) -> None:
        *others, last = (await decoder.ask(b"say which files are open")).split()
        assert (set(others), last) == ({b"null"}, b"socket")
        assert set((await decoder.ask(b"say the environment")).split()) <= {b"LC_CTYPE", b"LD_LIBRARY_PATH"}

    with_decoder("main", main)


def test_memory_is_bounded() -> None:
    async def main(decoder: MediaDecoder) -> None:
        assert await decoder.ask(b"take memory") == b"MemoryError"

    with_decoder("main", main)


@pytest.mark.parametrize(("entry", "name"), [("main", b"spin"), ("hasty", b"hang")])
def test_processor_time_and_time_are_bounded(entry: str, name: bytes) -> None:
    """The node waits so long for neither that it could be the one who ended them."""

    async def main(decoder: MediaDecoder) -> None:
        with pytest.raises(DecodingFailed):
            await decoder.ask(name)

    with_decoder(entry, main, answer_seconds=10 * PATIENCE)


def test_where_a_process_cannot_be_confined_nothing_is_decoded() -> None:
    async def main(decoder: MediaDecoder) -> None:
        with pytest.raises(MediaMissing, match="cannot confine"):
            await decoder.ask(b"nothing")

    with_decoder("unconfined", main)
