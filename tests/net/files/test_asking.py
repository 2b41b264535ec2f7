"""Asking for blobs on one stream: order, credit, silence, and senders who answer wrongly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.file_frames import BLOB, FROM_RECIPIENT, GET, MAX_ASKED, NONE, Get, decode_get, encode_none
from p2pchat.core.frames import HELLO, Frame, pack
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost, NotServed, Unreachable
from p2pchat.net.files.asking import ASK_AFTER_SECONDS, IDLE_SECONDS, SILENCE_SECONDS, FileAsking
from p2pchat.net.files.credit import Credit
from p2pchat.net.files.reading import AnswerReader
from p2pchat.net.frames import FrameReader
from p2pchat.net.ports import Stream
from p2pchat.ports import BlobRange, Blobs, NoBlob
from tests.support.boxes import Pipe, PipeStream
from tests.support.shelf import FILE, blob, blobs

PEER = PeerKey(bytes(32))


class Sender:
    """The other end of the stream, played by the test."""

    def __init__(self) -> None:
        there, back = Pipe(1 << 24), Pipe(1 << 24)
        self.near = PipeStream(PEER, back, there, inbound=False)
        self.far = PipeStream(PEER, there, back, inbound=True)
        self._reader = FrameReader(self.far, FROM_RECIPIENT)

    async def begin(self) -> tuple[Stream, AnswerReader]:
        return self.near, AnswerReader(self.near)

    async def gets(self, count: int) -> list[Get]:
        """The next requests."""
        return [decode_get((await self._reader.read_one(inf)).body) for _ in range(count)]

    async def give(self, get: Get, count: int | None = None) -> None:
        for number in range(get.first.number, get.first.number + (get.count if count is None else count)):
            await self.say(BLOB, get.number.to_bytes(4, "big") + blob(number, get.file, get.first.level))

    async def refuse(self, get: Get, reason: int) -> None:
        await self.say(NONE, encode_none(get.number, reason))

    async def say(self, type: int, body: bytes) -> None:
        await self.far.write(pack(Frame(type, body)))


def asks(main: Callable[[FileAsking, Sender, trio.Nursery], Awaitable[None]]) -> None:
    """Play with one who asks for as much as may be, whatever the line is like."""

    async def asked(sender: Sender, nursery: trio.Nursery) -> None:
        asking = FileAsking(bool, Credit(MAX_ASKED))
        nursery.start_soon(asking.run, sender.begin)
        await main(asking, sender, nursery)

    plays(asked)


def plays(main: Callable[[Sender, trio.Nursery], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with trio.open_nursery() as nursery:
            await main(Sender(), nursery)
            nursery.cancel_scope.cancel()

    trio.run(inside, clock=MockClock(autojump_threshold=0))


async def into(found: list[object], asking: FileAsking, wanted: BlobRange) -> None:
    try:
        found.append(await asking.get(wanted))
    except (LinkLost, Unreachable) as error:
        found.append(type(error))


def test_answers_are_those_of_the_requests_in_order() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[list[object]] = [[], [], []]
        for answers, wanted in zip(found, (blobs(0, 2), blobs(7, 1, level=1), blobs(2, 3)), strict=True):
            nursery.start_soon(into, answers, asking, wanted)
            await wait_all_tasks_blocked()
        gets = await sender.gets(3)
        assert [(get.file, get.first.level, get.first.number, get.count) for get in gets] == [
            (FILE, 0, 0, 2),
            (FILE, 1, 7, 1),
            (FILE, 0, 2, 3),
        ]
        await sender.give(gets[0])
        await sender.refuse(gets[1], NoBlob.WITHDRAWN)
        await sender.give(gets[2], 1)
        await sender.refuse(gets[2], 77)
        await wait_all_tasks_blocked()
        assert found == [
            [Blobs([blob(0), blob(1)])],
            [Blobs([], NoBlob.WITHDRAWN)],
            [Blobs([blob(2)], NoBlob.NOT_NOW)],  # a reason that is not known
        ]

    asks(main)


def test_no_more_than_32_blobs_are_unanswered() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        for number in range(4):
            nursery.start_soon(into, found, asking, blobs(16 * number, 15))
            await wait_all_tasks_blocked()
        gets = await sender.gets(2)
        with trio.move_on_after(SILENCE_SECONDS / 2):
            await sender.gets(1)
            pytest.fail("46 blobs were asked for")
        await sender.give(gets[0], 12)
        with trio.move_on_after(SILENCE_SECONDS / 2):
            await sender.gets(1)
            pytest.fail("33 blobs were asked for")
        await sender.give(Get(gets[0].number, FILE, gets[0].first, 1))
        (third,) = await sender.gets(1)
        assert third.first.number == 32

    asks(main)


def test_on_a_slow_line_one_blob_is_asked_for_at_a_time() -> None:
    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        asking = FileAsking(bool)
        nursery.start_soon(asking.run, sender.begin)
        for number in (0, 2):
            nursery.start_soon(into, found, asking, blobs(number, 2))
            await wait_all_tasks_blocked()
        for number in range(4):
            (get,) = await sender.gets(1)
            assert (get.first.number, get.count) == (number, 1)
            answer = pack(Frame(BLOB, get.number.to_bytes(4, "big") + blob(number)))
            await sender.far.write(answer[:1000])
            with trio.move_on_after(0.5):  # 65 kB in half a second
                await sender.gets(1)
                pytest.fail("another one was asked for")
            await sender.far.write(answer[1000:])
        await wait_all_tasks_blocked()
        assert found == [Blobs([blob(0), blob(1)]), Blobs([blob(2), blob(3)])]

    plays(main)


def test_what_is_asked_for_ahead_grows_with_what_comes() -> None:
    """10 MB/s at a distance of 0.1 s: as much as comes in 0.4 s, and then no more than may be."""

    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        asking, ahead = FileAsking(bool), list[int]()
        nursery.start_soon(asking.run, sender.begin)
        for number in range(40):
            nursery.start_soon(into, [], asking, blobs(16 * number, 16))
        for _ in range(6):
            (get,) = gets = await sender.gets(1)
            with trio.move_on_after(0.1):
                while True:
                    gets += await sender.gets(1)
            ahead.append(sum(get.count for get in gets))
            for get in gets:
                await sender.give(get)
        assert ahead[0] == 1
        assert sorted(ahead) == ahead
        assert ahead[-1] == MAX_ASKED

    plays(main)


def test_of_a_request_that_was_sent_in_parts_the_rest_is_not_asked_for_once_something_is_missing() -> None:
    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        asking = FileAsking(bool)
        nursery.start_soon(asking.run, sender.begin)
        nursery.start_soon(into, found, asking, blobs(0, 4))
        await wait_all_tasks_blocked()
        nursery.start_soon(into, found, asking, blobs(9, 1))
        (get,) = await sender.gets(1)
        await sender.refuse(get, NoBlob.NOT_NOW)
        (get,) = await sender.gets(1)
        assert get.first.number == 9
        assert found == [Blobs([], NoBlob.NOT_NOW)]

    plays(main)


def test_a_silence_with_an_answer_due_ends_the_stream() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        await trio.sleep(IDLE_SECONDS - 1)  # nothing is due
        found: list[object] = []
        nursery.start_soon(into, found, asking, blobs(0, 2))
        await wait_all_tasks_blocked()
        answer = pack(Frame(BLOB, bytes(4) + blob(0)))
        for start in range(0, 30_000, 10_000):  # slow, and never silent
            await trio.sleep(SILENCE_SECONDS - 1)
            await sender.far.write(answer[start : start + 10_000])
            assert not found
        await trio.sleep(SILENCE_SECONDS - 1)
        assert not found
        await trio.sleep(2)
        assert found == [LinkLost]
        with pytest.raises(LinkLost):
            await asking.get(blobs(0, 1))

    asks(main)


def test_the_link_is_asked_soon_after_answers_stop() -> None:
    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        asked_at: list[float] = []
        asking = FileAsking(lambda: asked_at.append(trio.current_time()), Credit(MAX_ASKED))
        nursery.start_soon(asking.run, sender.begin)
        await trio.sleep(30)  # nothing is due
        nursery.start_soon(into, [], asking, blobs(0, 2))
        (get,) = await sender.gets(1)
        began = trio.current_time()
        await trio.sleep(ASK_AFTER_SECONDS / 2)
        await sender.give(get, 1)
        await trio.sleep(ASK_AFTER_SECONDS * 3 / 4)
        assert asked_at == []
        assert not asking.silent
        await trio.sleep(ASK_AFTER_SECONDS)
        assert asking.silent
        assert asked_at == [began + ASK_AFTER_SECONDS * 3 / 2]
        assert not asking.over

    plays(main)


def test_a_stream_that_is_not_used_ends() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        await trio.sleep(IDLE_SECONDS + 1)
        assert asking.over

    asks(main)


def test_a_stream_that_is_left_is_answered_first() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        nursery.start_soon(into, found, asking, blobs(0, 1))
        await wait_all_tasks_blocked()
        asking.retire()
        await wait_all_tasks_blocked()
        assert not asking.over
        await sender.give((await sender.gets(1))[0])
        await wait_all_tasks_blocked()
        assert found == [Blobs([blob(0)])]
        assert asking.over

    asks(main)


def test_one_who_does_not_wait_any_longer_delays_nobody() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        with trio.move_on_after(1):
            await asking.get(blobs(0, 2))
        nursery.start_soon(into, found, asking, blobs(5, 1))
        await wait_all_tasks_blocked()
        for get in await sender.gets(2):
            await sender.give(get)
        await wait_all_tasks_blocked()
        assert found == [Blobs([blob(5)])]

    asks(main)


@pytest.mark.parametrize(
    "wrong",
    [
        pack(Frame(BLOB, (9).to_bytes(4, "big") + blob(0))),  # for another request
        pack(Frame(NONE, encode_none(9, 1))),
        pack(Frame(GET, bytes(30))),  # what only the recipient says
        pack(Frame(HELLO, bytes(16))),
        pack(Frame(BLOB, bytes(4) + bytes(4096))),
        pack(Frame(NONE, bytes(4))),
        (1 << 31).to_bytes(4, "big") + b"!" + bytes(4),
        2 * pack(Frame(BLOB, (1).to_bytes(4, "big") + blob(0))),  # more than was asked for
        b"",  # the end
    ],
)
def test_a_wrong_answer_ends_the_stream(wrong: bytes) -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        nursery.start_soon(into, found, asking, blobs(0, 1))
        await wait_all_tasks_blocked()
        if wrong:
            await sender.far.write(wrong)
        else:
            await sender.far.close()
        await wait_all_tasks_blocked()
        assert asking.over
        assert found in ([LinkLost], [Blobs([blob(0)])])

    asks(main)


def test_who_waits_is_told_that_there_is_no_stream() -> None:
    async def main() -> None:
        async def refused() -> tuple[Stream, AnswerReader]:
            await trio.sleep(1)
            raise NotServed

        asking, found = FileAsking(bool), list[object]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asking.run, refused)
            nursery.start_soon(into, found, asking, blobs(0, 1))
        assert found == [NotServed]

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_request_that_cannot_be_written_ends_this_stream_only() -> None:
    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        async def fails(data: bytes) -> None:
            raise LinkLost

        sender.near.write = fails  # type: ignore[method-assign]
        asking, found = FileAsking(bool), list[object]()
        nursery.start_soon(asking.run, sender.begin)
        nursery.start_soon(into, found, asking, blobs(0, 1))
        await wait_all_tasks_blocked()
        assert asking.over
        assert found == [LinkLost]

    plays(main)


@pytest.mark.parametrize("size", [1_000, 65_545, 65_546, 150_000, 1 << 20])
def test_answers_may_come_in_any_pieces(size: int) -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[object] = []
        nursery.start_soon(into, found, asking, blobs(0, 7))
        (get,) = await sender.gets(1)
        said = b"".join(pack(Frame(BLOB, get.number.to_bytes(4, "big") + blob(number))) for number in range(7))
        for start in range(0, len(said), size):
            await sender.far.write(said[start : start + size])
            await wait_all_tasks_blocked()
        assert found == [Blobs([blob(number) for number in range(7)])]

    asks(main)


def test_what_has_come_before_the_stream_ends_is_not_lost() -> None:
    async def main(asking: FileAsking, sender: Sender, nursery: trio.Nursery) -> None:
        found: list[list[object]] = [[], []]
        for answers, wanted in zip(found, (blobs(0, 4), blobs(4, 4)), strict=True):
            nursery.start_soon(into, answers, asking, wanted)
            await wait_all_tasks_blocked()
        await sender.give((await sender.gets(1))[0], 3)
        await sender.far.close()
        await wait_all_tasks_blocked()
        assert found == [[Blobs([blob(0), blob(1), blob(2)])], [LinkLost]]

    asks(main)


def test_nobody_waits_for_a_stream_to_be_closed() -> None:
    async def main(sender: Sender, nursery: trio.Nursery) -> None:
        async def slow() -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(15)

        sender.near.close = slow  # type: ignore[method-assign]
        asking, found = FileAsking(bool), list[object]()
        nursery.start_soon(asking.run, sender.begin)
        nursery.start_soon(into, found, asking, blobs(0, 1))
        await trio.sleep(SILENCE_SECONDS + 1)
        assert found == [LinkLost]
        assert asking.over

    plays(main)
