"""What every test shares."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
from trio.abc import Clock

from tests.support.budget import Budget
from tests.support.examples import load_profile
from tests.support.virtual_time import keep_threads_out

if TYPE_CHECKING:
    from tests.support.processes import Place

T = TypeVar("T")
HERE = Path(__file__).resolve().parent
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30
"""So much room in memory is enough for what a whole run leaves there."""


def pytest_configure(config: pytest.Config) -> None:
    """In the background of a shell SIGINT is ignored, under nohup SIGHUP, and what is ignored is so for every child."""
    load_profile()
    _write_to_memory()
    keep_threads_out()
    config.pluginmanager.register(Budget(), "budget")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _write_to_memory() -> None:
    """Let folders of tests be in memory, where there is room: a tenth of a run was spent waiting for the disk.

    No test asks whether the disk keeps its promises; a power cut in a test leaves a copy of what was committed.
    """
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """In one of several processes of a whole run, import the test files from another place of the list on.

    Each file is compiled by the process that comes to it first, and kept for the others: without a start of their own
    all of them would compile each file at the same time.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or session.config.args != session.config.getini("testpaths"):
        return
    number, count = int(os.environ["PYTEST_XDIST_WORKER"][2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    files = sorted(path for path in HERE.rglob("test_*.py") if not {HERE / "lab", HERE / "interop"} & {*path.parents})
    start = len(files) * number // count
    for path in [*files[start:], *files[:start]]:
        import_module(".".join(path.relative_to(HERE.parent).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Take what was imported out of the sight of the garbage collector, which would look at all of it again and again,
    and have it look less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def run(main: Callable[[], Awaitable[T]], clock: Clock | None = None) -> T:
    """Run one trio test to its end; a MockClock makes its time virtual."""
    return trio.run(main, clock=clock)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, wherever pytest keeps its own: the path of a socket has to fit into 103 bytes."""
    with tempfile.TemporaryDirectory(prefix="p2p") as folder:
        yield Path(folder)


@pytest.fixture
def here() -> Iterator[Place]:
    """A place with folders of its own for real processes; both are gone afterwards (`processes.place`)."""
    from tests.support.processes import place

    with place() as made:
        yield made
