"""Writing a file that was received."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import trio

from p2pchat.api.table import files as table
from p2pchat.core.contents import file as content
from p2pchat.core.ids import ChatId, ContactId, FileId
from p2pchat.engine.files.files import Files
from p2pchat.engine.methods import files as methods
from p2pchat.engine.methods.files import _write
from p2pchat.media import notes, picture_format
from p2pchat.store.files import FileRow, FileState
from tests.support.held_source import HeldSource

BOB = ChatId(ContactId(b"b" * 8))
ROW = FileRow(
    7, BOB, False, FileId(b"f" * 16), 0, "a.bin", "", 9, b"k" * 32, b"r" * 32, 0, 0, 0, FileState.HERE
)  # fmt: skip


def test_a_file_that_is_not_to_be_saved_any_more_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A node that ends does not wait for 64 GiB."""

    async def main() -> None:
        source = HeldSource(100, 3)
        files = cast(Files, Mock(open_whole=lambda row: source))
        assert await source.cancel(partial(_write, files, replace(ROW, size=source.size), str(tmp_path)))
        assert source.read == 4

    trio.run(main)
    assert not list(tmp_path.iterdir())


def test_limits_are_the_same_where_two_rooms_have_them() -> None:
    """Media and the table of the API know nothing of the core and the engine."""
    assert picture_format.MAX_PREVIEW_BYTES == content.MAX_PREVIEW_BYTES
    assert notes.PEAKS == content.PEAKS
    assert table.MAX_READ_BYTES == methods.MAX_READ_BYTES
