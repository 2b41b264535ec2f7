"""Frames between clients and relays about feeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from p2pchat.core.channels import frames
from p2pchat.core.channels.frames import FeedEnd, FeedGet, FeedPut, FeedTerms
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED

GET = FeedGet(7, FEED, frames.NEWEST, 50, watch=True)
END = FeedEnd(7, frames.DONE, more=True, first=3, next=9)


def test_frames_read_back() -> None:
    assert frames.decode_get(frames.encode_get(GET)) == GET
    assert frames.decode_end(frames.encode_end(END)) == END
    terms = FeedTerms(16 << 20, 4096, 720, new=True)
    assert frames.decode_terms(frames.encode_terms(terms)) == terms
    assert frames.decode_put(frames.encode_put(FeedPut(1, FEED, b"post"))) == FeedPut(1, FEED, b"post")
    assert frames.decode_answer(frames.encode_answer(9, b"post")) == (9, b"post")
    assert frames.decode_result(frames.encode_result(9, frames.FORK)) == (9, frames.FORK)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (frames.decode_get, frames.encode_get(GET._replace(start=frames.NEWEST + 1))),
        (frames.decode_get, frames.encode_get(GET._replace(want=257))),
        (frames.decode_get, frames.encode_get(GET)[:-1] + b"\2"),
        (frames.decode_get, frames.encode_get(GET)[:-1]),
        (frames.decode_end, frames.encode_end(END._replace(first=10))),
        (frames.decode_end, frames.encode_end(END._replace(code=3))),
        (frames.decode_end, frames.encode_end(END)[:5] + b"\2" + frames.encode_end(END)[6:]),
        (frames.decode_result, frames.encode_result(1, 77)),
        (frames.decode_terms, b"\x91\1"),
    ],
)
def test_a_wrong_frame_is_refused(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(CannotOpen):
        read(body)
