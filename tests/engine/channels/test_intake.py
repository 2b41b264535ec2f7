"""How much one channel may say in a day."""

from __future__ import annotations

from p2pchat.engine.channels.intake import DAILY_BYTES, HEAD_BYTES, POST_BYTES, Intake
from p2pchat.lib.times import DAY_SECONDS
from tests.core.channels.writing import FeedWriter


def test_a_channel_says_so_much_in_a_day_and_no_more() -> None:
    intake, post = Intake(), FeedWriter().write("x" * 40_000)
    each = POST_BYTES + post.header.size
    fitting = DAILY_BYTES // each
    assert intake.take(None, [post] * fitting, 0.0)
    assert not intake.take(None, [post], 1.0)
    assert intake.take(None, [], 1.0)
    assert intake.take(None, [post] * (fitting // 2), DAY_SECONDS / 2 + 1)


def test_heads_count_too() -> None:
    intake, head = Intake(), FeedWriter().head()
    taken = sum(intake.take(head, [], 0.0) for _ in range(DAILY_BYTES // HEAD_BYTES + 5))
    assert taken == DAILY_BYTES // HEAD_BYTES
