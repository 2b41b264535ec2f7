"""What a post says, open and sealed."""

from __future__ import annotations

import pytest

from p2pchat.core.channels import bodies
from p2pchat.core.channels.bodies import decode_body, encode_body, message_id, open_body, seal_body
from p2pchat.core.codec import encode
from p2pchat.core.contents import Text, Unknown
from p2pchat.core.text import MAX_TEXT_BYTES
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED, OTHER, FeedWriter
from tests.core.people import Chance

SECRET = bytes(32)
RANDOM = Chance("bodies").random


def test_an_open_body_says_its_text() -> None:
    assert decode_body(encode_body(Text("hello"))) == Text("hello")
    assert decode_body(encode([200, []])) == Unknown(200)


@pytest.mark.parametrize("length", [0, 900, 970, 1_000, 16_000, MAX_TEXT_BYTES])
def test_a_sealed_body_shows_one_of_four_sizes(length: int) -> None:
    body = seal_body(SECRET, FEED, 5, encode_body(Text("x" * length)), RANDOM)
    assert len(body) in bodies.SEALED_SIZES
    assert open_body(SECRET, FEED, 5, body) == Text("x" * length)


def test_a_sealed_body_opens_in_its_place_with_its_secret_alone() -> None:
    body = seal_body(SECRET, FEED, 5, encode_body(Text("hello")), RANDOM)
    for secret, feed, seq in ((bytes(31) + b"\1", FEED, 5), (SECRET, OTHER, 5), (SECRET, FEED, 6), (None, FEED, 5)):
        with pytest.raises(CannotOpen):
            open_body(secret, feed, seq, body)
    with pytest.raises(CannotOpen):
        open_body(SECRET, FEED, 5, body[:-1])


def test_what_is_too_long_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="too long"):
        seal_body(SECRET, FEED, 0, bytes(bodies.SEALED_SIZES[-1]), RANDOM)


def test_a_message_id_follows_from_the_post() -> None:
    one = FeedWriter()
    first, second = one.write("a", at=5), one.write("b", at=1 << 50)
    assert message_id(first)[:6] == (5).to_bytes(6, "big")
    assert message_id(second)[:6] == b"\xff" * 6
    assert message_id(first)[6:] == first.header.hash[:10]
