"""What is said of a file that is sent."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.core.contents.file import MAX_NAME_BYTES
from p2pchat.engine.files.sending import OutgoingFile, prepare
from p2pchat.store.file_blobs import STEP_CHUNKS, BytesSource
from p2pchat.store.file_space import FileSpace
from tests.support.held_source import HeldSource


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("heron.png", "heron.png"),
        (f"{'a' * 300}.png", f"{'a' * 251}.png"),
        ("ü" * 200, "ü" * 127),
        ("r\udce9sum\udce9.txt", "r?sum?.txt"),  # its bytes are Latin-1
        ("\ud800" * 300, "?" * MAX_NAME_BYTES),
        ("", "file"),
    ],
)
def test_a_name_is_said_as_far_as_it_can_be(tmp_path: Path, name: str, said: str) -> None:
    made = prepare(FileSpace(tmp_path / "files"), OutgoingFile(BytesSource(b"x"), name), "", bytes(32))
    assert made.payload.name == said


def test_a_file_that_is_not_to_be_sent_any_more_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A node that ends does not wait for 64 GiB."""

    async def main() -> None:
        source = HeldSource(10 * STEP_CHUNKS, STEP_CHUNKS)
        outgoing = OutgoingFile(source, "a.bin", path=tmp_path / "a.bin")
        assert await source.cancel(partial(prepare, FileSpace(tmp_path / "files"), outgoing, "", bytes(32)))
        assert source.read == 2 * STEP_CHUNKS
        assert not list((tmp_path / "files").iterdir())

    trio.run(main)
