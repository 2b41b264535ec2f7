"""Keeping libp2p off the terminal, and peers out of the logs.

py-libp2p writes warnings with peers' ids and addresses to stderr, which would break a screen and a promise (attacks 15,
16, 28). The module of its connections does so through the root logger; we do not load that.
"""

from __future__ import annotations

import logging
import re

_LIBRARIES = ("libp2p", "trio.serve_listeners")
_SILENT_LEVEL = logging.CRITICAL + 1

# Peer ids, IPv4 and IPv6 addresses; the last also hides times of day, which loses nothing.
_PRIVATE = re.compile(
    r"12D3Koo\w+|Qm\w{40,}|\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*|[0-9a-f]{32,}"
)


class _Forward(logging.Handler):
    """Passes a library's log record to `p2pchat.libp2p`, without traceback, ids and addresses."""

    def emit(self, record: logging.LogRecord) -> None:
        text = _PRIVATE.sub("…", record.getMessage())
        logging.getLogger("p2pchat.libp2p").log(record.levelno, "%s: %s", record.name, text)


def quiet(*, loud: bool = False) -> None:
    """Take over the libraries' loggers: silent, or with `loud` (-vv) forwarded to the logger `p2pchat.libp2p`.

    The root logger stays as it is.
    """
    for library in _LIBRARIES:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith(library + ".")]:
            child = logging.getLogger(name)
            child.handlers.clear()
            child.propagate = True
            child.setLevel(logging.NOTSET)
        logger = logging.getLogger(library)
        logger.handlers[:] = [_Forward()] if loud else [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.WARNING if loud else _SILENT_LEVEL)
