"""A text or files that a verb sends: where they come from, how they are checked, and what is printed about them."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.cli.context import STDIN, Context
from p2pchat.cli.options import duration, opt
from p2pchat.cli.progress import ProgressLine
from p2pchat.lib.mentions import MODERATING, ONLY_MODERATORS, calls_all

MAX_TEXT = 48_000
"""The most bytes of UTF-8 in one message."""
MAX_CAPTION = 4_096
"""The most bytes of UTF-8 in the text under a file."""
ORDER = ("saved", "stored", "delivered", "read")


WAIT_OPTIONS = (
    opt("--wait", choices=ORDER, default="saved", help="the state to wait for (saved)"),
    opt("--timeout", type=duration, default=30.0, metavar="TIME", help="how long to wait (30s)"),
)
SEND_OPTIONS = (opt("--text-file", metavar="F", help="send the text in this file"), *WAIT_OPTIONS)


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
        if "chat" in target and calls_all(text) and not context.out.json:
            _note_calls_nobody(context, client, target["chat"])
    return 0


def _note_calls_nobody(context: Context, client: Client, chat: str) -> None:
    """Say that a text for all of a group calls nobody, if the user may not do that."""
    with suppress(errors.P2PChatError):  # it is no group
        if client.call("group", chat=chat)["role"] not in MODERATING:
            context.out.note(ONLY_MODERATORS)


def send_files(
    context: Context, args: Namespace, paths: Sequence[str], caption: str, *, form: str = "auto", as_is: bool = False
) -> int:
    """Send files, each as a message, and print their ids. The caption goes with the first. All paths are looked at
    before anything is sent. Raises UsageError or TextTooLong.
    """
    if len(caption.encode("utf-8", "surrogatepass")) > MAX_CAPTION:
        raise errors.TextTooLong(f"The text under a file can have at most {MAX_CAPTION:,} bytes of UTF-8")
    found = [readable_file(path) for path in paths]
    with context.client() as client:
        for path in found:
            _send_file(context, args, client, {"path": path, "caption": caption, "form": form, "as_is": as_is})
            caption = ""
    return 0


def _send_file(context: Context, args: Namespace, client: Client, what: dict[str, Any]) -> None:
    with ProgressLine(context.out, lambda event: bool(event["file"]["path"] == what["path"])) as line:
        try:
            sent = line.call(client, "send_file", chat=args.chat, **what, wait=args.wait, timeout=args.timeout)
        except errors.P2PChatError as exc:
            if exc.result:  # saved, if no more: scripts go on with its id
                _print_file(context, exc.result)
            raise
    _print_file(context, sent)


def _print_file(context: Context, sent: dict[str, Any]) -> None:
    print_sent(context, sent)
    if sent.get("warning") and not context.out.json:
        context.out.note(sent["warning"])


def readable_file(path: str) -> str:
    """Return the absolute path of a regular file that can be read. Raises UsageError."""
    absolute = Path(path).absolute()
    try:
        if not stat.S_ISREG(absolute.stat().st_mode):
            raise errors.UsageError(f"{path} is not a file")
        with os.fdopen(os.open(absolute, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"):
            return str(absolute)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "its name has letters that no file can have here"
        raise errors.UsageError(f"{path} cannot be read: {why}") from exc


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
