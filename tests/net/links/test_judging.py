"""What is due on a link, and when it is overdue."""

from __future__ import annotations

from p2pchat.core.frames import ACKS, ENVELOPE, FULL, PING, PONG, REFUSED, Frame
from p2pchat.net.links.judging import (
    ASK_AFTER_SECONDS,
    LOST_AFTER_SECONDS,
    PING_AFTER_SECONDS,
    STALLED_AFTER_SECONDS,
    Judge,
    Verdict,
)

ENVELOPES = [Frame(ENVELOPE, bytes(4096))] * 3


def verdicts(judge: Judge, until: float) -> list[tuple[float, Verdict]]:
    """What a judge says at each of its looks, where a ping is sent when it is wanted and nothing comes."""
    said = []
    while (now := judge.next_check()) < until:
        said.append((now, judge.verdict(now, judge.moved)))
        if said[-1][1] is Verdict.ASK:
            judge.wrote([Frame(PING, b"")], now)
        elif said[-1][1] is Verdict.LOST:
            break
    return said


def test_an_answer_that_does_not_come_is_asked_for_and_then_the_link_has_stalled() -> None:
    judge = Judge(0, 0)
    judge.wrote(ENVELOPES, 100)
    judge.received([Frame(ACKS, bytes(16))], 101, 101)
    assert verdicts(judge, 200) == [
        (101 + ASK_AFTER_SECONDS, Verdict.ASK),
        (101 + STALLED_AFTER_SECONDS, Verdict.STALLED),
        (101 + LOST_AFTER_SECONDS, Verdict.LOST),
    ]
    assert judge.doubted
    assert judge.acked


def test_a_silence_in_which_nothing_is_due_is_longer() -> None:
    judge = Judge(0, 0)
    judge.wrote(ENVELOPES, 0)
    judge.received([Frame(ACKS, bytes(16)), Frame(REFUSED, bytes(16)), Frame(ACKS, bytes(16))], 1, 1)
    assert verdicts(judge, 1 + LOST_AFTER_SECONDS) == [
        (1 + PING_AFTER_SECONDS, Verdict.ASK),
        (1 + PING_AFTER_SECONDS + STALLED_AFTER_SECONDS, Verdict.STALLED),
    ]


def test_bytes_of_a_frame_that_is_not_whole_count_and_do_not_keep_a_link_for_ever() -> None:
    judge = Judge(0, 0)
    judge.wrote(ENVELOPES, 0)
    said = [judge.verdict(now, moved=now - 1) for now in range(int(LOST_AFTER_SECONDS) + 1)]
    assert Verdict.STALLED not in said
    assert said[-1] is Verdict.LOST


def test_a_pong_settles_what_went_before_and_ends_a_doubt() -> None:
    for settling in (PONG, FULL):
        judge = Judge(0, 0, doubted=True)
        judge.wrote([*ENVELOPES, *([Frame(PING, b"")] if settling == PONG else [])], 0)
        judge.received([Frame(settling, b"")], 1, 1)
        assert not judge.doubted
        assert not judge.acked
        assert verdicts(judge, 1 + PING_AFTER_SECONDS) == []


def test_an_ack_on_another_link_settles_what_was_due_on_this_one() -> None:
    judge = Judge(0, 0)
    judge.wrote(ENVELOPES, 0)
    judge.answered(Frame(ACKS, bytes(48)))
    assert verdicts(judge, PING_AFTER_SECONDS) == []
