"""A file in words: bounded, cleaned, and with what a peer chose at the end."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat.api import file_words
from tests.cli.node import FILE

PICTURE: dict[str, Any] = FILE["file"]  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2**36, "69 GB"),
        (10**20, "100000000 TB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    assert file_words.size(count) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0:00"), (7_999, "0:07"), (754_000, "12:34"), (3_723_000, "1:02:03"), ((1 << 32) - 1, "100:00:00")],
)
def test_lengths(ms: int, words: str) -> None:
    assert file_words.length(ms) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "here"}, "(picture, image/jpeg, 1.2 MB, 640 x 480) photo.jpg"),
        ({"state": "offered", "form": "file"}, "(file, image/jpeg, 1.2 MB, not fetched) photo.jpg"),
        ({"state": "here", "form": "voice", "duration": 7_000}, "(voice note, image/jpeg, 1.2 MB, 0:07) photo.jpg"),
        ({"state": "here", "form": "new", "type": "", "name": "a\n\x1bb"}, "(file, 1.2 MB) a \ufffdb"),
        ({"state": "here", "width": 0, "type": "a/b) me"}, "(picture, 1.2 MB) photo.jpg"),
        ({"rate": None}, "(picture, image/jpeg, 1.2 MB, 640 x 480, 25 %) photo.jpg"),
        ({"rate": 1}, "(picture, image/jpeg, 1.2 MB, 640 x 480, 25 %, 1 byte/s) photo.jpg"),
        ({"rate": 1_000}, "(picture, image/jpeg, 1.2 MB, 640 x 480, 25 %, 1.0 kB/s, 15 min left) photo.jpg"),
        ({"rate": 100}, "(picture, image/jpeg, 1.2 MB, 640 x 480, 25 %, 100 bytes/s, 3 h left) photo.jpg"),
        (
            {"state": "paused", "problem": "The disk is full."},
            "(picture, image/jpeg, 1.2 MB, 640 x 480, paused: The disk is full) photo.jpg",
        ),
        ({"state": "here", "problem": ""}, "(picture, image/jpeg, 1.2 MB, 640 x 480) photo.jpg"),
        ({"progress": 7, "rate": None}, "(picture, image/jpeg, 1.2 MB, 640 x 480, 100 %) photo.jpg"),
    ],
)
def test_a_line_about_a_file(fields: dict[str, Any], words: str) -> None:
    assert file_words.line({**PICTURE, **fields}, mine=False) == words


def test_who_waits_for_whom_is_said() -> None:
    waiting = {**PICTURE, "state": "waiting"}
    assert file_words.stands(waiting, mine=True) == "waits here: keep this computer on"
    assert file_words.stands({**waiting, "stored": 0.389}, mine=True) == "38 % at their relays, 100 kB/s"
    assert file_words.stands({**waiting, "stored": 0.999, "rate": None}, mine=True) == "99 % at their relays"
    assert file_words.stands({**waiting, "stored": 1}, mine=True) == "at their relays"
    assert file_words.stands({**waiting, "stored": 1, "group": True}, mine=True) == "at the group's relays"
    assert file_words.stands({**PICTURE, "state": "waiting"}, mine=False) == "waits to be fetched"
    assert file_words.stands({**PICTURE, "state": "gone"}, mine=True) == "withdrawn"
    assert file_words.stands({**PICTURE, "state": "gone"}, mine=False) == "no longer available"


def test_a_caption_is_below_and_other_messages_are_as_they_were() -> None:
    assert file_words.text(FILE, state=False) == "(picture, image/jpeg, 1.2 MB, 640 x 480) photo.jpg\nlook"
    assert file_words.text({**FILE, "deleted": True, "text": ""}) == ""
    assert file_words.text({**FILE, "file": None, "text": "hi"}) == "hi"
