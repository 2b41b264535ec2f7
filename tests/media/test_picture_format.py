"""What a process that was taken over may answer is read strictly."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from p2pchat.media.picture_format import (
    MAX_PREVIEW_BYTES,
    MAX_SIDE,
    Format,
    Operation,
    PictureAnswer,
    PictureOutcome,
    PictureRequest,
    format_of,
)

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
RENDER = PictureRequest(Operation.RENDER, 4, 3, b"")
PREPARE = PictureRequest(Operation.PREPARE, 0, 0, b"")
DESCRIBE = PictureRequest(Operation.DESCRIBE, 0, 0, b"")
RENDERED = PictureAnswer(PictureOutcome.OK, Format.NONE, 4, 2, b"", bytes(24))
PREPARED = PictureAnswer(PictureOutcome.OK, Format.PNG, 4, 2, JPEG, PNG)
DESCRIBED = PictureAnswer(PictureOutcome.OK, Format.NONE, 5000, 2, JPEG)


def _read(answer: PictureAnswer, request: PictureRequest) -> PictureAnswer:
    return PictureAnswer.decode(b"".join(answer.encode()), request)


def test_request_and_answers_are_what_they_were() -> None:
    request = PictureRequest(Operation.RENDER, 80, 40, b"picture")
    assert PictureRequest.decode(memoryview(request.encode())) == request
    for answer, asked in ((RENDERED, RENDER), (PREPARED, PREPARE), (DESCRIBED, DESCRIBE)):
        assert _read(answer, asked) == answer


@pytest.mark.parametrize(
    ("answer", "request_"),
    [
        (replace(RENDERED, width=5), RENDER),
        (replace(RENDERED, width=5, data=bytes(30)), RENDER),
        (replace(RENDERED, height=4, data=bytes(48)), RENDER),
        (replace(RENDERED, width=0, data=b""), RENDER),
        (replace(RENDERED, data=bytes(25)), RENDER),
        (replace(RENDERED, data=bytes(23)), RENDER),
        (replace(RENDERED, preview=JPEG), RENDER),
        (replace(RENDERED, format=Format.PNG), RENDER),
        (replace(PREPARED, format=Format.JPEG), PREPARE),
        (replace(PREPARED, format=Format.NONE), PREPARE),
        (replace(PREPARED, data=b""), PREPARE),
        (replace(PREPARED, data=b"GIF89a"), PREPARE),
        (replace(PREPARED, preview=PNG), PREPARE),
        (replace(PREPARED, preview=b""), PREPARE),
        (replace(PREPARED, preview=JPEG + bytes(MAX_PREVIEW_BYTES)), PREPARE),
        (replace(PREPARED, width=MAX_SIDE + 1), PREPARE),
        (replace(PREPARED, height=0), PREPARE),
        (replace(DESCRIBED, data=PNG), DESCRIBE),
        (replace(DESCRIBED, height=0), DESCRIBE),
        (replace(DESCRIBED, preview=b""), DESCRIBE),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(answer: PictureAnswer, request_: PictureRequest) -> None:
    with pytest.raises(ValueError, match=r"."):
        _read(answer, request_)


@pytest.mark.parametrize(
    "body", [b"", b"\0", struct.pack(">BBHHH", 9, 0, 1, 1, 0), struct.pack(">BBHHH", 0, 9, 1, 1, 0)]
)
def test_so_is_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        PictureAnswer.decode(body, RENDER)


def test_a_preview_that_is_shorter_than_it_says_is_refused() -> None:
    body = struct.pack(">BBHHH", 0, 0, 4, 2, 60) + JPEG
    with pytest.raises(ValueError, match=r"."):
        PictureAnswer.decode(body, DESCRIBE)


def test_no_picture_comes_with_a_failure() -> None:
    assert _read(replace(RENDERED, outcome=PictureOutcome.TOO_LARGE), RENDER) == PictureAnswer(PictureOutcome.TOO_LARGE)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (JPEG + b"\xe0", "JPEG"),
        (PNG, "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", ""),
        (b"\0\0\0\x18ftypheic", ""),
        (b"\0\0\0\x18ftypavif", ""),
        (b"<svg xmlns=", ""),
        (b"BM", ""),
        (b"II*\0", ""),
        (b"%!PS-Adobe", ""),
        (b"", ""),
    ],
)
def test_four_formats_are_told_by_their_first_bytes(head: bytes, name: str) -> None:
    assert format_of(head) == name
