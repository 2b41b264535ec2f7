"""A text that a verb sends: where it comes from, how it is checked, and what is printed about it."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli.context import STDIN, Context
from p2pchat.cli.options import duration, opt

MAX_TEXT = 48_000
"""The most bytes of UTF-8 in one message."""
ORDER = ("saved", "stored", "delivered", "read")


SEND_OPTIONS = (
    opt("--text-file", metavar="F", help="send the text in this file"),
    opt("--wait", choices=ORDER, default="saved", help="the state to wait for (saved)"),
    opt("--timeout", type=duration, default=30.0, metavar="TIME", help="how long to wait (30s)"),
)


def send_text(context: Context, args: Namespace, method: str, **target: str) -> int:
    """Send the text of a command line, of a file or of stdin, by `send` or `reply`, and print the id of the message."""
    text = checked_text(text_given(context, args.text, args.text_file))
    with context.client() as client:
        try:
            print_sent(context, client.call(method, **target, text=text, wait=args.wait, timeout=args.timeout))
        except errors.P2PChatError as exc:
            if exc.result:  # saved, if no more: scripts go on with its id
                print_sent(context, exc.result)
            raise
    return 0


def print_sent(context: Context, result: dict[str, Any]) -> None:
    """Print the id of the message that was sent; with --json, all that is known of it."""
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(result["id"])


def text_given(context: Context, text: str | None, file: str | None = None) -> str:
    """Return the text of an argument, or what a file holds; without one, or for `-`, what stdin holds."""
    if file is not None and text is not None:
        raise errors.UsageError("The text is given twice", hint="Give it as an argument or as a file.")
    if file not in (None, STDIN):
        with open(file, "rb") as source:
            return _decoded(source.read(MAX_TEXT + 2))
    return _from_stdin(context) if text in (None, STDIN) else text


def _from_stdin(context: Context) -> str:
    """Read a text from stdin, without one newline at its end. Raises UsageError or TextTooLong."""
    if context.config.passphrase_file == STDIN:
        raise errors.UsageError("Text and passphrase cannot both come from stdin", hint="Give the text as an argument.")
    if sys.stdin.isatty():
        context.out.note("Write the message; Ctrl-D on a line of its own sends it.")
    return _decoded(sys.stdin.buffer.read(MAX_TEXT + 2))  # one more than fits, and the newline


def _decoded(raw: bytes) -> str:
    try:
        return raw.removesuffix(b"\n").decode()
    except UnicodeDecodeError as exc:
        if len(raw) > MAX_TEXT + 1:
            raise errors.TextTooLong() from exc
        raise errors.UsageError("The text is not UTF-8") from exc


def checked_text(text: str) -> str:
    """Return a text that can be sent. Raises UsageError or TextTooLong."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise errors.UsageError("The text is not UTF-8") from exc
    if size > MAX_TEXT:
        raise errors.TextTooLong()
    if not text.strip():
        raise errors.UsageError("The text contains only white space" if text else "There is no text to send")
    return text
