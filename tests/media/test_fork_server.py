"""Every request has a process of its own, and whatever that one does, the next request is answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import trio

from p2pchat.errors import MediaMissing
from p2pchat.media.decoder import DecodingFailed, MediaDecoder
from tests.support.decoding import is_running, with_decoder
from tests.support.processes import PATIENCE, SOURCE
from tests.support.virtual_time import patience


def test_nothing_of_a_request_is_left_for_the_next_one() -> None:
    async def main(decoder: MediaDecoder) -> None:
        assert [await decoder.ask(b"remember") for _ in range(3)] == [b"1"] * 3

    with_decoder("main", main)


@pytest.mark.parametrize(
    "name", ["crash", "raise", "answer and fail", "end well without an answer", "say a lot", "no such name"]
)
def test_after_a_failure_another_process_answers(name: str) -> None:
    async def main(decoder: MediaDecoder) -> None:
        assert await decoder.ask(b"nothing") == b""
        first = decoder.pid
        with pytest.raises(DecodingFailed):
            await decoder.ask(name.encode())
        assert decoder.pid is None
        assert await decoder.ask(b"nothing") == b""
        assert decoder.pid != first

    with_decoder("main", main)


def test_one_that_cannot_load_what_it_needs_says_so() -> None:
    async def main(decoder: MediaDecoder) -> None:
        with pytest.raises(MediaMissing):
            await decoder.ask(b"nothing")

    with_decoder("incomplete", main)


def test_one_that_does_not_start_is_no_fault_of_what_was_to_be_decoded() -> None:
    async def main(decoder: MediaDecoder) -> None:
        with pytest.raises(MediaMissing, match="did not start"):
            await decoder.ask(b"nothing")

    with_decoder("mute", main)


def test_what_was_forked_ends_with_the_one_that_forked() -> None:
    async def main(decoder: MediaDecoder) -> None:
        await decoder.ask(b"nothing")
        server = decoder.pid
        assert server is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_failure, decoder)
            while not (workers := _children(server)):  # noqa: ASYNC110 - the system tells nobody
                await trio.sleep(0.005)
            os.kill(server, signal.SIGKILL)
        with patience():
            while is_running(workers[0]):  # noqa: ASYNC110 - nor that
                await trio.sleep(0.005)

    with_decoder("main", main)


def test_nothing_outlives_a_node_that_is_killed() -> None:
    """Not even a process that a picture has taken over, and that waits."""
    script = """if True:
        import trio
        from tests.support.decoding import with_decoder
        async def main(decoder):
            await decoder.ask(b"nothing")
            print(decoder.pid, flush=True)
            await decoder.ask(b"hang")
        with_decoder("main", main, answer_seconds=60)
    """
    with subprocess.Popen([sys.executable, "-c", script], cwd=SOURCE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        server = int(node.stdout.readline())
        while not (workers := _children(server)):
            os.sched_yield()
        node.kill()
    latest = time.monotonic() + PATIENCE
    for pid in (server, *workers):
        while is_running(pid):
            assert time.monotonic() < latest
            os.sched_yield()


async def _expect_failure(decoder: MediaDecoder) -> None:
    with pytest.raises(DecodingFailed):
        await decoder.ask(b"hang")


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
