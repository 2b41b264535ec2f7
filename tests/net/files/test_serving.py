"""Serving blobs on one stream: order, room, messages first, and recipients who ask for too much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.file_frames import BLOB, FROM_RECIPIENT, FROM_SENDER, GET, MAX_SERVED, NONE, Get, encode_get
from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.frames import HELLO, WRITE, Frame, pack
from p2pchat.core.ids import ContactId, FileId, PeerKey
from p2pchat.errors import LinkLost
from p2pchat.net.files.serving import MIN_WRITE, NOTHING_UNITS, PART_BLOBS, SLOW_WRITE_SECONDS, FileServing
from p2pchat.net.frames import FrameReader
from p2pchat.ports import NoBlob
from tests.support.boxes import Pipe, PipeStream
from tests.support.shelf import FILE, Shelf, blob

BOB = ContactId(b"bob")
PEER = PeerKey(bytes(32))


class Recipient:
    """The other end of the stream, played by the test. room: bytes that fit into the stream without being read."""

    def __init__(self, shelf: Shelf, room: int) -> None:
        there, back = Pipe(1 << 24), Pipe(room)
        self.near = PipeStream(PEER, back, there, inbound=False)
        far = PipeStream(PEER, there, back, inbound=True)
        self.reader = FrameReader(self.near, FROM_SENDER)
        self.messages = trio.Event()
        self.messages.set()
        self.written: list[int] = []
        self.slow = 0.0
        pass_on = far.write

        async def write(data: bytes) -> None:
            self.written.append(len(data))
            await trio.sleep(self.slow)
            await pass_on(data)

        far.write = write  # type: ignore[method-assign]
        self.charged = 0.0
        reader = FrameReader(far, FROM_RECIPIENT)
        self.serving = FileServing(far, reader, BOB, shelf, self._until_written, self._charge)
        self.ended = trio.Event()

    async def run(self) -> None:
        await self.serving.run()
        self.ended.set()

    def _charge(self, units: float) -> None:
        self.charged += units

    async def _until_written(self) -> None:
        await self.messages.wait()

    async def ask(self, number: int, first: int, count: int, file: FileId = FILE) -> None:
        await self.near.write(pack(Frame(GET, encode_get(Get(number, file, BlobPlace(0, first), count)))))

    async def answer(self) -> tuple[int, int, bytes]:
        """The next frame: its type, the request, and what follows."""
        type, body = await self.reader.read_one()
        return type, int.from_bytes(body[:4], "big"), body[4:]


def serves(main: Callable[[Recipient, Shelf], Awaitable[None]], chunks: int = 100, room: int = 1 << 24) -> None:
    async def inside() -> None:
        async with trio.open_nursery() as nursery:
            shelf = Shelf(chunks)
            recipient = Recipient(shelf, room)
            nursery.start_soon(recipient.run)
            await main(recipient, shelf)
            nursery.cancel_scope.cancel()

    trio.run(inside, clock=MockClock(autojump_threshold=0))


def test_requests_are_answered_in_order() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        await recipient.ask(7, 0, 16)
        await recipient.ask(9, 0, 2, FileId(b"is not here 1234"))
        await recipient.ask(8, 95, 10)
        for number in range(16):
            assert await recipient.answer() == (BLOB, 7, blob(number))
        assert await recipient.answer() == (NONE, 9, bytes([NoBlob.UNKNOWN]))
        for number in range(95, 100):
            assert await recipient.answer() == (BLOB, 8, blob(number))
        assert await recipient.answer() == (NONE, 8, bytes([NoBlob.NOT_NOW]))
        assert {contact for contact, _ in shelf.asked} == {BOB}
        assert max(wanted.count for _, wanted in shelf.asked) == PART_BLOBS
        assert max(recipient.written) == WRITE

    serves(main)


def test_who_does_not_read_holds_no_more_than_two_parts() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        for number in range(4):
            await recipient.ask(number, 0, 16)
        await wait_all_tasks_blocked()
        assert len(shelf.asked) == 2
        assert not recipient.ended.is_set()
        await recipient.ended.wait()  # nothing is read for so long that the write fails

    serves(main, room=100_000)


def test_who_asks_for_too_much_is_left() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        shelf.before = trio.sleep_forever
        for number in range(MAX_SERVED // 16):
            await recipient.ask(number, 0, 16)
        await wait_all_tasks_blocked()
        assert not recipient.ended.is_set()
        await recipient.ask(99, 0, 1)
        await recipient.ended.wait()

    serves(main)


def test_who_asks_for_nothing_pays_for_it() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        await recipient.ask(1, 0, 16)
        await recipient.ask(2, 99, 16)
        for _ in range(18):
            await recipient.answer()
        assert recipient.charged == 0
        for number in range(5):
            await recipient.ask(number, 200, 1)
            assert (await recipient.answer())[0] == NONE
        assert recipient.charged == 5 * NOTHING_UNITS

    serves(main)


def test_what_was_answered_counts_no_more() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        for number in range(12):
            await recipient.ask(number, 92, 16)  # half of it is missing
            for _ in range(9):
                assert (await recipient.answer())[1] == number

    serves(main)


@pytest.mark.parametrize(
    "wrong",
    [
        pack(Frame(GET, encode_get(Get(1, FILE, BlobPlace(0, 0), 0)))),
        pack(Frame(GET, encode_get(Get(1, FILE, BlobPlace(0, 0), 17)))),
        pack(Frame(GET, encode_get(Get(1, FILE, BlobPlace(0, 2**64 - 1), 2)))),
        pack(Frame(GET, bytes(29))),
        pack(Frame(HELLO, bytes(16))),
        pack(Frame(BLOB, bytes(4 + BLOB_BYTES))),  # what only the sender says
        pack(Frame(3, bytes(16))),
        (1 << 31).to_bytes(4, "big") + b"\x20",
    ],
)
def test_a_wrong_request_ends_the_stream(wrong: bytes) -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        await recipient.near.write(wrong)
        await recipient.ended.wait()
        assert not shelf.asked

    serves(main)


def test_an_end_in_the_middle_ends_the_stream() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        await recipient.ask(1, 0, 16)
        await recipient.answer()
        await recipient.near.write(b"\0\0")
        await recipient.near.close()
        await recipient.ended.wait()

    serves(main, room=100_000)


def test_messages_go_first() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        recipient.messages = trio.Event()
        await recipient.ask(1, 0, 4)
        await trio.sleep(1)
        assert recipient.written == []
        recipient.messages.set()
        await recipient.answer()
        assert recipient.written

    serves(main)


def test_little_is_written_at_once_where_writing_is_slow() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        recipient.slow = 2 * SLOW_WRITE_SECONDS
        await recipient.ask(1, 0, 16)
        for _ in range(16):
            await recipient.answer()
        assert recipient.written[-2] == MIN_WRITE
        recipient.slow = 0
        await recipient.ask(2, 0, 16)
        for _ in range(16):
            assert (await recipient.answer())[1] == 2
        assert recipient.written[-2] == WRITE

    serves(main)


def test_nothing_is_served_to_one_who_is_gone() -> None:
    async def main(recipient: Recipient, shelf: Shelf) -> None:
        await recipient.near.close()
        await recipient.ended.wait()
        with pytest.raises(LinkLost):
            await recipient.answer()

    serves(main)
