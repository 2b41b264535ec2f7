"""The log tells nobody anything."""

from __future__ import annotations

import io
import logging

from p2pchat import log


def logged(verbose: int, level: int, message: str, *args: object, exc: bool = False) -> str:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        log.set_up_logging(verbose, stream)
        try:
            if exc:
                raise ValueError("a secret\x1b[2J")
            logging.getLogger("p2pchat.x").log(level, message, *args)
        except ValueError:
            logging.getLogger("p2pchat.x").log(level, message, *args, exc_info=True)
    finally:
        root.handlers[:], root.level = before[0], before[1]
    return stream.getvalue()


def test_a_record_is_one_clean_line() -> None:
    text = logged(0, logging.WARNING, "from %s", "a\x1b[2J\nb\x9b\u202e")
    assert text.count("\n") == 1
    assert not any(char in text for char in "\x1b\x9b\u202e")


def test_levels() -> None:
    assert logged(0, logging.INFO, "x") == ""
    assert logged(1, logging.INFO, "x")
    assert logged(1, logging.DEBUG, "x") == ""
    assert logged(2, logging.DEBUG, "x")


def test_ids_are_short_and_addresses_hidden() -> None:
    peer = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
    text = logged(1, logging.INFO, f"/ip4/192.0.2.7/tcp/4001/p2p/{peer} {'ab' * 16}")
    assert "192.0.2.7" not in text
    assert peer not in text
    assert "ab" * 16 not in text
    assert "192.0.2.7" in logged(2, logging.DEBUG, "/ip4/192.0.2.7/tcp/4001")


def test_what_repeats_is_counted_and_not_written() -> None:
    now, repeats, written = [0.0], log.Repeats(lambda: now[0]), list[str]()

    def say(text: str, *args: object, level: int = logging.WARNING) -> None:
        record = logging.LogRecord("p2pchat.net", level, "", 0, text, args, None)
        if repeats.filter(record):
            written.append(record.getMessage())

    for number in range(1_000):
        say("a peer did %s", number)
    assert written == [f"a peer did {number}" for number in range(log.REPEATS)]
    say("something else")
    now[0] += log.REPEAT_SECONDS
    say("a peer did %s", "it again")
    say("a peer did %s", "once more")
    assert written[log.REPEATS :] == ["something else", "a peer did it again (995 similar lines were left out)"]
    for number in range(10):
        say("everything %s", number, level=logging.DEBUG)
    assert len(written) == log.REPEATS + 12
    for number in range(10_000):
        say(f"kind {number}")
    assert len(repeats._kinds) <= 256


def test_a_traceback_only_when_everything_is_asked_for() -> None:
    assert "secret" not in logged(0, logging.ERROR, "x", exc=True)
    verbose = logged(2, logging.ERROR, "x", exc=True)
    assert "Traceback" in verbose
    assert "\x1b" not in verbose
