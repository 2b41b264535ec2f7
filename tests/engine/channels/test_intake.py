"""How much one channel may say in a day."""

from __future__ import annotations

from p2pchat.engine.channels.intake import DAILY_BYTES, POST_BYTES, Intake
from p2pchat.lib.times import DAY_SECONDS
from tests.core.channels.writing import FeedWriter


def test_a_channel_says_so_much_in_a_day_and_no_more() -> None:
    intake, post = Intake(), FeedWriter().write("x" * 40_000)
    each = POST_BYTES + post.header.size
    fitting = DAILY_BYTES // each
    assert intake.take([post] * fitting, 0.0)
    assert not intake.take([post], 1.0)
    assert intake.take([], 1.0)
    assert intake.take([post] * (fitting // 2), DAY_SECONDS / 2 + 1)
