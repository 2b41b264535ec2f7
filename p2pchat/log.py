"""Logging set-up: quiet, on one line, and without what others could use.

Never logged: plaintext, keys, passphrases (no call site may). Made sure of here: no control characters from outside
(a log is read in a terminal), ids shortened, addresses of peers only under DEBUG. (`net.libp2p.log_filter.quiet` sees
to libp2p's own loggers.) What peers can cause again and again fills no disk: of lines that differ only in their
arguments a few are written, then one in `REPEAT_SECONDS`, with how many were left out.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import IO

from p2pchat.sanitize import clean_line

_ID = re.compile(r"\b(?:12D3Koo|Qm)\w{20,}|\b[0-9a-f]{16,}\b")
_ADDRESS = re.compile(r"/(ip4|ip6|dns|dns4|dns6|dnsaddr|onion3)/[^\s/]+")
REPEATS = 5
"""Lines of one kind that are written at once,"""
REPEAT_SECONDS = 60.0
"""and seconds until there is room for one more."""
_MAX_KINDS = 256
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class Formatter(logging.Formatter):
    """One cleaned line a record; a traceback only under DEBUG, each of its lines cleaned too."""

    def __init__(self, with_traceback: bool) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")
        self._with_traceback = with_traceback

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        text = shorten(self.formatMessage(record), record.levelno > logging.DEBUG)
        if record.exc_info and self._with_traceback:
            lines = self.formatException(record.exc_info).splitlines()
            text += "".join(f"\n  {shorten(line, False)}" for line in lines)
        return text


def shorten(text: str, hide_addresses: bool) -> str:
    """Return a log line that is safe to write: cleaned, ids cut to eight characters, addresses hidden if asked."""
    text = _ID.sub(lambda match: match.group()[-8:], clean_line(text))
    return _ADDRESS.sub(r"/\1/…", text) if hide_addresses else text


class Repeats(logging.Filter):
    """Suppresses lines that repeat too often. Lines with the same logger, level and text without arguments are of one
    kind.

    clock: seconds. Records at level DEBUG always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, int, str], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now, name = self._clock(), (record.name, record.levelno, str(record.msg))
        kind = self._kinds.setdefault(name, _Kind(now))
        self._kinds.move_to_end(name)
        if len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        kind.room = min(REPEATS, kind.room + (now - kind.at) / REPEAT_SECONDS)
        kind.at = now
        if kind.room < 1:
            kind.left_out += 1
            return False
        kind.room -= 1
        if kind.left_out:
            record.msg = f"{record.getMessage()} ({kind.left_out} similar lines were left out)"
            record.args, kind.left_out = (), 0
        return True


class _Kind:
    """How often a kind of line may still be written, and how many were not."""

    __slots__ = ("at", "left_out", "room")

    def __init__(self, now: float) -> None:
        self.room: float = REPEATS
        self.at = now
        self.left_out = 0


def set_up_logging(verbose: int, stream: IO[str]) -> None:
    """Log to `stream` from now on: warnings, with 1 progress too, with 2 everything and tracebacks."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(with_traceback=verbose >= 2))
    if verbose < 2:
        handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[min(verbose, 2)])
