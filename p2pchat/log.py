"""Logging set-up: quiet, on one line, and without what others could use.

Never logged: plaintext, keys, passphrases (no call site may). Made sure of here: no control characters from outside
(a log is read in a terminal), ids shortened, addresses of peers only under DEBUG. (libp2p's own loggers: `net.quiet`.)
"""

from __future__ import annotations

import logging
import re
from typing import IO

from p2pchat.clean import clean_line

_ID = re.compile(r"\b(?:12D3Koo|Qm)\w{20,}|\b[0-9a-f]{16,}\b")
_ADDRESS = re.compile(r"/(ip4|ip6|dns|dns4|dns6|dnsaddr|onion3)/[^\s/]+")
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
    """A log line made fit: cleaned, ids cut to eight characters, addresses hidden where asked."""
    text = _ID.sub(lambda match: match.group()[-8:], clean_line(text))
    return _ADDRESS.sub(r"/\1/…", text) if hide_addresses else text


def set_up(verbose: int, stream: IO[str]) -> None:
    """Log to `stream` from now on: warnings, with 1 progress too, with 2 everything and tracebacks."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(with_traceback=verbose >= 2))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[min(verbose, 2)])
