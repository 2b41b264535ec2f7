"""What is said of a file that is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.core.contents.file import MAX_NAME_BYTES
from p2pchat.engine.files.sending import OutgoingFile, prepare
from p2pchat.store.file_blobs import BytesSource
from p2pchat.store.file_space import FileSpace


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
