"""One line on a terminal that says how far a file has come, written over and over while a call waits for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from p2pchat.api import file_words
from p2pchat.api.client import Client
from p2pchat.cli.output import Output

_CLEAR_LINE = "\r\x1b[K"
Concerns = Callable[[dict[str, Any]], bool]
"""Says whether an event `file` is about the file that is waited for."""


class ProgressLine:
    """Shows the events about one file on stderr, if that is a terminal; a context manager that wipes it out."""

    def __init__(self, out: Output, concerns: Concerns) -> None:
        self._stderr = out.stderr
        self._concerns = concerns
        self._on = out.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def call(self, client: Client, method: str, **params: Any) -> Any:
        """Call a method that waits for a file."""
        if not self._on:
            return client.call(method, **params)
        client.call("subscribe", events=["file"])
        return client.call_heard(self.hear, method, **params)

    def hear(self, event: dict[str, Any]) -> None:
        """Show an event of the node, if it is about this file."""
        if event["event"] == "file" and self._concerns(event):
            file = event["file"]
            text = file_words.progress(file) if file["state"] in ("moving", "here") else str(file["problem"])
            if file["state"] == "waiting" and file["stored"] is not None:
                text = f"{file_words.at_relays(file)}. {text}".removesuffix(". ")
            self._show(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        from p2pchat.sanitize import clean_line

        text = clean_line(text)[:78]
        if self._on and text != self._shown:
            with contextlib.suppress(OSError):  # nobody may be there to read it
                self._stderr.write(_CLEAR_LINE + text)
                self._stderr.flush()
            self._shown = text
