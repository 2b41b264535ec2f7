"""A chat as a file that people keep: text, JSON or a web page, made of message objects, a part at a time.

Disappearing messages are left out, also where others quote them: a file would keep them for ever, and both sides agreed
that nobody does. What a peer wrote is cleaned, and its further lines are indented by more than any line of ours, so
that none can pass for one. The web page loads and runs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from p2pchat.api import file_words
from p2pchat.api.remarks import remarks
from p2pchat.lib.moments import local_time, localized
from p2pchat.sanitize import clean, clean_line, escape_json

TEXT, JSON, HTML = FORMATS = ("text", "json", "html")
PAGE = 200
"""Messages that are read from the node at a time. An answer of the node has a greatest length, and a control character
takes six bytes of it.
"""

BEGINNING = "1970-01-02"
"""A date before all messages, for `log`."""

_INDENT = "\n       "
_REMARK = "\n  "
"""What is before a remark of ours: less than before any line that a peer wrote."""

_TITLES = {"group": "Chat of the group", "channel": "Posts of the channel"}
"""What is before the name of a chat, by its kind."""

_DISAPPEARING = "a disappearing message"
_HEAD = """<!doctype html>
<html><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44em; margin: 2em auto; padding: 0 1em; }}
html {{ color-scheme: light dark; }}
h2 {{ font-size: 1em; font-weight: normal; text-align: center; margin: 2em 0 1em; opacity: .7; }}
p {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
div {{ margin: 0 0 .8em; padding: 0 0 0 .8em; border-left: 3px solid #8888; }}
div.mine {{ border-color: #38c; }}
small {{ opacity: .7; }}
</style></head><body>
<h1>{title}</h1>
"""


def form_of(name: str) -> str:
    """Return the form that the name of a file asks for: a web page if it ends in .html, JSON if in .json, else text."""
    folded = name.casefold()
    return HTML if folded.endswith((".html", ".htm")) else JSON if folded.endswith(".json") else TEXT


def file_name(chat: str) -> str:
    """Return a name for the file of a chat, in letters that no file system or terminal minds."""
    return "chat-{}.txt".format(re.sub(r"[^\w]+", "-", clean_line(chat)).strip("-_")[:40] or "1")


class Transcript:
    """The text of one file: `begin`, each `part` in order, `end`. `left_out`: how many disappearing messages so far."""

    def __init__(self, form: str, chat: str, kind: str = "direct") -> None:
        self._form, self._title = form, f"{_TITLES.get(kind, 'Chat with')} {clean_line(chat)}"
        self._day = ""
        self.left_out = 0

    def begin(self) -> str:
        """Return what stands above all messages."""
        if self._form == HTML:
            return _HEAD.format(title=escape(self._title))
        return "" if self._form == JSON else f"{self._title}\n"

    def part(self, messages: Iterable[dict[str, Any]]) -> str:
        """Return the next messages."""
        kept = []
        for message in messages:
            if message.get("expires_in"):
                self.left_out += 1
            else:
                kept.append(message)
        kept = [self._without_quote(message) for message in kept]
        if self._form == JSON:
            return "".join(f"{escape_json(json.dumps(message, ensure_ascii=False))}\n" for message in kept)
        return "".join(self._lines(message) for message in kept)

    def end(self) -> str:
        """Return what stands below all messages."""
        return "</body></html>\n" if self._form == HTML else ""

    def _without_quote(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message without the words of a disappearing one that it answers."""
        quote = message["quote"]
        if quote is None or not quote["expires_in"]:
            return message
        return {**message, "quote": {**quote, "text": "" if self._form == JSON else _DISAPPEARING, "file": None}}

    def _lines(self, message: dict[str, Any]) -> str:
        when = local_time(message["sent_at" if message["mine"] else "received_at"])
        day, clock = (when.strftime("%A %-d %B %Y"), when.strftime("%H:%M")) if when else ("", "  :  ")
        is_new, self._day = day not in ("", self._day), day or self._day
        sender, said, text = (
            _sender(message),
            _remarks(message),
            clean(file_words.text(message, state=False)),
        )
        if message["kind"] == "group":  # a line about what was done, in which nobody speaks
            line = clean_line(localized(text))
            is_day = f"<h2>{day}</h2>\n" if self._form == HTML else f"\n{day}\n\n"
            shown = f"<p><small>{clock} {escape(line)}</small></p>\n" if self._form == HTML else f"{clock}  ({line})\n"
            return (is_day if is_new else "") + shown
        if self._form == HTML:
            return (
                (f"<h2>{day}</h2>\n" if is_new else "")
                + f'<div class="{"mine" if message["mine"] else "theirs"}"><b dir="auto">{escape(sender)}</b> '
                + f"<small>{clock} {escape(' '.join(said))}</small>"
                + f'<p dir="auto">{escape(text)}</p></div>\n'
            )
        words = f"{clock}  {sender}: {text}".replace("\n", _INDENT).rstrip()
        return (f"\n{day}\n\n" if is_new else "") + _REMARK.join([words, *said]) + "\n"


def _sender(message: dict[str, Any]) -> str:
    """Return who wrote a message. A member of a group chooses their name: one with a colon is quoted, so that
    `anna: I owe you` is not somebody else's words.
    """
    name = clean_line(str(message["from"]))
    return '"{}"'.format(name.replace('"', "'")) if ":" in name else name


def _remarks(message: dict[str, Any]) -> list[str]:
    said = [*remarks(message)]
    said += [clean_line(f"({reaction['emoji']} {reaction['from']})") for reaction in message.get("reactions") or ()]
    return [*said, "(not sent)"] if message["state"] == "failed" else said
