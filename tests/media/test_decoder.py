"""The node's side of a decoding process: turns, limits, and the life of the process."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.errors import Busy, MediaMissing
from p2pchat.media import decoder
from p2pchat.media.decoder import MAX_WAITING, MAX_WAITING_EACH, DecodingFailed, MediaDecoder
from p2pchat.media.fork_server import MAX_BODY_BYTES
from tests.conftest import run
from tests.support.decoding import is_running, with_decoder


class _Fake:
    """A process that answers a request with itself, once it may."""

    def __init__(self) -> None:
        self.may = trio.Event()
        self.asked: list[bytes] = []
        self.starts = self.ends = self.requests = 0
        self.pid = 1

    async def start(self, command: Sequence[str]) -> _Fake:
        self.starts += 1
        self.requests = 0
        return self

    async def ask(self, body: bytes) -> bytes | None:
        self.requests += 1
        self.asked.append(body)
        await self.may.wait()
        return body or None

    async def end(self) -> None:
        self.ends += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Fake:
    made = _Fake()
    monkeypatch.setattr(decoder, "_Process", SimpleNamespace(start=made.start))
    return made


def _run(main: Any, **options: Any) -> None:
    async def bounded() -> None:
        made = MediaDecoder("tests.support.probe:main", "PIL", **options)
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            await main(made, nursery)
            nursery.cancel_scope.cancel()

    run(bounded, MockClock(autojump_threshold=0))


def test_owners_have_turns(fake: _Fake) -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        for body, owner in ((b"a1", b"a"), (b"a2", b"a"), (b"a3", b"a"), (b"b1", b"b"), (b"c1", b"c"), (b"b2", b"b")):
            nursery.start_soon(made.ask, body, owner)
            await wait_all_tasks_blocked()
        fake.may.set()
        await wait_all_tasks_blocked()
        assert fake.asked == [b"a1", b"a2", b"b1", b"c1", b"a3", b"b2"]

    _run(main)


def test_what_waits_is_bounded(fake: _Fake) -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        nursery.start_soon(made.ask, b"x", b"first")
        await wait_all_tasks_blocked()
        for _ in range(MAX_WAITING_EACH):
            nursery.start_soon(made.ask, b"x", b"a")
        await wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await made.ask(b"x", b"a")
        for number in range(MAX_WAITING - MAX_WAITING_EACH):
            nursery.start_soon(made.ask, b"x", b"%d" % number)
        await wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await made.ask(b"x", b"b")
        fake.may.set()
        await wait_all_tasks_blocked()
        assert await made.ask(b"x", b"b") == b"x"

    _run(main)


def test_so_are_the_bytes_that_wait(fake: _Fake) -> None:
    large = bytes(MAX_BODY_BYTES)

    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        for owner in (b"a", b"b", b"c"):
            nursery.start_soon(made.ask, large, owner)
            await wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await made.ask(b"x", b"d")
        with pytest.raises(DecodingFailed):
            await made.ask(large + b"x", b"d")

    _run(main)


def test_who_no_longer_wants_an_answer_gives_up_the_place(fake: _Fake) -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        nursery.start_soon(made.ask, b"first")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await made.ask(b"second")
        nursery.start_soon(made.ask, b"third")
        await wait_all_tasks_blocked()
        fake.may.set()
        await wait_all_tasks_blocked()
        assert fake.asked == [b"first", b"third"]

    _run(main)


def test_a_process_is_kept_for_a_while_and_replaced_after_so_many_requests(fake: _Fake) -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        fake.may.set()
        await made.ask(b"x")
        await trio.sleep(29)
        await made.ask(b"x")
        assert (fake.starts, fake.ends, made.pid) == (1, 0, 1)
        await trio.sleep(31)
        assert (fake.starts, fake.ends, made.pid) == (1, 1, None)
        for _ in range(7):
            await made.ask(b"x")
        assert (fake.starts, fake.ends) == (4, 3)

    _run(main, max_requests=3)


def test_one_that_does_not_answer_in_time_is_ended_and_so_is_one_that_fails(fake: _Fake) -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        with pytest.raises(DecodingFailed):
            await made.ask(b"x")
        assert (fake.starts, fake.ends) == (1, 1)
        fake.may.set()
        with pytest.raises(DecodingFailed):
            await made.ask(b"")
        assert (fake.starts, fake.ends) == (2, 2)
        assert await made.ask(b"x") == b"x"

    _run(main)


def test_without_the_package_there_is_no_decoding() -> None:
    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        missing = MediaDecoder("tests.support.probe:main", "nothing_of_this_name")
        await nursery.start(missing.run)
        with pytest.raises(MediaMissing) as caught:
            await missing.ask(b"x")
        assert "make setup" in caught.value.line()

    _run(main)


def test_the_process_ends_when_it_is_not_used_and_with_the_node() -> None:
    async def idle(made: MediaDecoder) -> None:
        await made.ask(b"nothing")
        pid = made.pid
        assert pid is not None
        while is_running(pid):  # noqa: ASYNC110 - nobody is told
            await trio.sleep(0.005)

    async def leave(made: MediaDecoder) -> int:
        await made.ask(b"nothing")
        assert made.pid is not None
        return made.pid

    with_decoder("main", idle, warm_seconds=0.05)
    assert not is_running(with_decoder("main", leave))


@pytest.mark.parametrize("where", ["start", "ask"])
def test_where_no_descriptor_is_left_the_next_request_is_answered(
    fake: _Fake, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    works, failed = getattr(fake, where), list[str]()

    async def once(given: Any) -> Any:
        if not failed:
            failed.append(where)
            raise OSError(errno.EMFILE, "")
        return await works(given)

    monkeypatch.setattr(fake, where, once)
    monkeypatch.setattr(decoder, "_Process", SimpleNamespace(start=fake.start))
    fake.may.set()

    async def main(made: MediaDecoder, nursery: trio.Nursery) -> None:
        with pytest.raises(DecodingFailed):
            await made.ask(b"a picture", b"bob")
        assert await made.ask(b"a picture", b"bob") == b"a picture"

    _run(main)
