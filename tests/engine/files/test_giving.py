"""Who is given blobs of our files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from p2pchat.core.files import BlobPlace
from p2pchat.core.ids import ChatId, ContactId, FileId, MessageId
from p2pchat.engine.files.giving import Giver
from p2pchat.engine.files.live import Live
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
