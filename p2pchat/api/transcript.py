"""A chat as a file that people keep: text, JSON or a web page, made of message objects, a part at a time.

Disappearing messages are left out: a file would keep them for ever, and both sides agreed that nobody does. What a peer
wrote is cleaned, and its further lines are indented, so that none can pass for a line of ours. The web page loads and
runs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from p2pchat.lib.moments import local_time
from p2pchat.sanitize import clean, clean_line, escape_json

TEXT, JSON, HTML = FORMATS = ("text", "json", "html")
PAGE = 1000
"""Messages that are read from the node at a time."""

BEGINNING = "1970-01-02"
"""A date before all messages, for `log`."""

_INDENT = "\n       "
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
    """Return the form that the name of a file asks for: text, or a web page if it ends in .html."""
    return HTML if name.casefold().endswith((".html", ".htm")) else TEXT


def file_name(chat: str) -> str:
    """Return a name for the file of a chat, in letters that no file system or terminal minds."""
    return "chat-{}.txt".format(re.sub(r"[^\w]+", "-", clean_line(chat)).strip("-_")[:40] or "1")


class Transcript:
    """The text of one file: `begin`, each `part` in order, `end`. `left_out`: how many disappearing messages so far."""

    def __init__(self, form: str, chat: str) -> None:
        self._form, self._title = form, f"Chat with {clean_line(chat)}"
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
        if self._form == JSON:
            return "".join(f"{escape_json(json.dumps(message, ensure_ascii=False))}\n" for message in kept)
        return "".join(self._lines(message) for message in kept)

    def end(self) -> str:
        """Return what stands below all messages."""
        return "</body></html>\n" if self._form == HTML else ""

    def _lines(self, message: dict[str, Any]) -> str:
        when = local_time(message["sent_at" if message["mine"] else "received_at"])
        day, clock = (when.strftime("%A %-d %B %Y"), when.strftime("%H:%M")) if when else ("", "  :  ")
        is_new, self._day = day not in ("", self._day), day or self._day
        sender, remarks, text = clean_line(str(message["from"])), _remarks(message), clean(message["text"])
        if self._form == HTML:
            return (
                (f"<h2>{day}</h2>\n" if is_new else "")
                + f'<div class="{"mine" if message["mine"] else "theirs"}"><b dir="auto">{escape(sender)}</b> '
                + f"<small>{clock} {escape(' '.join(remarks))}</small>"
                + f'<p dir="auto">{escape(text)}</p></div>\n'
            )
        words = "\n".join([text, *remarks] if text else remarks).replace("\n", _INDENT)
        return (f"\n{day}\n\n" if is_new else "") + f"{clock}  {sender}: {words}".rstrip() + "\n"


def _remarks(message: dict[str, Any]) -> list[str]:
    """Return what there is to say of a message beside its text, each in parentheses."""
    remarks = []
    if (quote := message.get("quote")) is not None:
        said = "a deleted message" if quote["deleted"] else quote["text"] or "a message that is not here"
        remarks.append(f"(reply to {quote['from']}: {said})" if quote["from"] else f"(reply to {said})")
    if message.get("deleted"):
        remarks.append("(deleted)")
    if message.get("edited_at"):
        remarks.append("(edited)")
    if message.get("pinned"):
        remarks.append("(pinned)")
    remarks += [f"({reaction['emoji']} {reaction['from']})" for reaction in message.get("reactions") or ()]
    if message["state"] == "failed":
        remarks.append("(not sent)")
    return [clean_line(remark) for remark in remarks]
