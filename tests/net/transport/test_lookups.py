"""Names that do not resolve hold up nothing else. Real threads, which wait for the test."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import trio

from p2pchat.errors import Unreachable
from p2pchat.net.transport import lookups
from p2pchat.net.transport.lookups import MAX_STUCK, MAX_THREADS, Lookups
from tests.conftest import run
from tests.support.processes import PATIENCE
from tests.support.virtual_time import patience


class Resolver:
    """Names that begin with "dead" do not resolve before `release`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, name: str, family: int) -> Sequence[str]:
        self.asked.append(name)
        if name.startswith("dead"):
            self.release.wait(60)
        return ["192.0.2.1"]


def test_names_that_do_not_resolve_hold_up_no_other_thread_and_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS", 0.05)

    async def main() -> None:
        resolver = Resolver()
        known = Lookups(resolver)

        async def look_up(number: int) -> None:
            with pytest.raises(Unreachable):
                await known.addresses(f"dead{number}", 0)

        try:
            for begin in range(0, 60, MAX_THREADS):
                async with trio.open_nursery() as nursery:
                    for number in range(begin, begin + MAX_THREADS):
                        nursery.start_soon(look_up, number)
                        nursery.start_soon(look_up, number)  # the twin: one thread for both
            limiter = trio.to_thread.current_default_thread_limiter()
            assert limiter.borrowed_tokens == 0
            await trio.to_thread.run_sync(lambda: None)
            assert known.stuck <= MAX_STUCK + MAX_THREADS
            assert len(resolver.asked) == len(set(resolver.asked)) <= MAX_STUCK + MAX_THREADS
            monkeypatch.setattr(lookups, "LOOKUP_SECONDS", PATIENCE)
            assert await Lookups(resolver).addresses("relay.example", 0) == ["192.0.2.1"]
        finally:
            resolver.release.set()
        with patience():
            while known.stuck:  # noqa: ASYNC110 - threads tell no event
                await trio.sleep(0.01)
        assert await known.addresses("alive", 0) == ["192.0.2.1"]
        assert await known.addresses("alive", 0) == ["192.0.2.1"]
        assert resolver.asked.count("alive") == 1

    run(main)
