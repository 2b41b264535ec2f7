"""Who is given blobs of our files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core.files import BlobPlace
from p2pchat.core.ids import ChatId, ContactId, FileId, MessageId
from p2pchat.engine.files.giving import MAX_OPEN, MAX_TRIES, Giver
from p2pchat.engine.files.live import Live
from p2pchat.errors import FileDamaged
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.store.files import FileRow, FileState

BOB = ContactId(b"b" * 8)
FILE = FileId(b"f" * 16)
ROW = FileRow(
    7, ChatId(BOB), True, FILE, 0, "a.bin", "", 9, b"k" * 32, b"r" * 32, 0, 0, 0, FileState.WAITING
)  # fmt: skip


def test_what_is_withdrawn_while_it_is_looked_for_is_not_given() -> None:
    async def main() -> None:
        answers: list[Any] = [(ROW, MessageId(b"m" * 16)), NoBlob.WITHDRAWN]

        async def read(*_: object) -> Any:
            answer = answers.pop(0)
            if answers:  # it commits between the reading and its answer
                giver.changed(ROW.message)
            return answer

        async def beside(function: Callable[[], object]) -> Any:
            raise AssertionError("it was opened")

        giver = Giver(read, beside, lambda row: None, Live(lambda event: None))  # type: ignore[arg-type,return-value]
        given = await giver.blobs(BOB, BlobRange(FILE, BlobPlace(0, 0), 1))
        assert given == Blobs((), NoBlob.WITHDRAWN)

    trio.run(main)


class Maker:
    """Makes one blob, until it is closed."""

    closed = False

    def blobs(self, first: BlobPlace, count: int) -> list[bytes]:
        if self.closed:
            raise FileDamaged("The file was closed")
        return [b"blob"]

    def close(self) -> None:
        self.closed = True


class Asked:
    """A giver of files that are all waiting, unless there are `answers`. changes: how often the file is changed while
    blobs of it are made.
    """

    def __init__(self, changes: int = 0, answers: dict[int, NoBlob] | None = None) -> None:
        self.changes = changes
        self.answers = answers or {}
        self.reads = self.made = 0
        self.opened: list[FileId] = []
        self.events: list[dict[str, Any]] = []
        self.giver = Giver(self._read, self._beside, self._open, Live(self.events.append))  # type: ignore[arg-type]

    async def blobs(self, file: FileId = FILE) -> Blobs:
        return await self.giver.blobs(BOB, BlobRange(file, BlobPlace(0, 0), 1))

    async def _read(self, function: object, contact: ContactId, file: FileId) -> Any:
        self.reads += 1
        return self.answers.get(self.reads, (replace(ROW, file=file, message=file[0]), MessageId(file)))

    async def _beside(self, function: Callable[[], object]) -> Any:
        self.made += getattr(function, "func", None) != self._open
        if getattr(function, "func", None) != self._open and self.changes:
            self.changes -= 1
            self.giver.close()
        return function()

    def _open(self, row: FileRow) -> Maker:
        self.opened.append(row.file)
        return Maker()


def test_nothing_is_given_before_messages_have_gone() -> None:
    async def main() -> None:
        gone = trio.Event()
        asked = Asked()
        asked.giver._messages_first = gone.wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.blobs)
            await wait_all_tasks_blocked()
            assert not asked.made
            gone.set()
        assert asked.made

    trio.run(main)


def test_what_is_withdrawn_while_its_blobs_are_made_is_said_to_be() -> None:
    async def main() -> None:
        asked = Asked(changes=1, answers={2: NoBlob.WITHDRAWN})
        assert await asked.blobs() == Blobs((), NoBlob.WITHDRAWN)
        assert not asked.events

    trio.run(main)


def test_what_is_closed_while_its_blobs_are_made_is_opened_again() -> None:
    """Any contact that changes closes all; the recipient of this file would wait for minutes, for nothing."""

    async def main() -> None:
        asked = Asked(changes=1)
        assert await asked.blobs() == Blobs([b"blob"], None)
        assert [event["file"]["problem"] for event in asked.events] == [""]

    trio.run(main)


def test_what_is_closed_again_and_again_is_not_given_now() -> None:
    async def main() -> None:
        asked = Asked(changes=MAX_TRIES)
        assert await asked.blobs() == Blobs((), NoBlob.NOT_NOW)
        assert not asked.events
        assert not asked.changes

    trio.run(main)


def test_the_file_that_was_asked_for_longest_ago_is_closed() -> None:
    async def main() -> None:
        asked = Asked()
        files = [FileId(bytes([number]) * 16) for number in range(MAX_OPEN + 1)]
        for file in files[:-1]:
            await asked.blobs(file)
        await asked.blobs(files[0])
        await asked.blobs(files[-1])
        assert asked.opened == files
        await asked.blobs(files[0])
        await asked.blobs(files[1])
        assert asked.opened == [*files, files[1]]

    trio.run(main)
