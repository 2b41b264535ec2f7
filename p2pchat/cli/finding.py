"""Verbs for finding messages: log search."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from p2pchat import errors
from p2pchat.api import file_words
from p2pchat.api.client import Client
from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Arg, Verb, count, opt
from p2pchat.cli.output import cell, messages, paint, short_date
from p2pchat.lib.moments import local_time
from p2pchat.sanitize import clean_line

_LAST = 50
"""The number of messages shown by default."""
_PAGE = 200
_FIELDS = ("id", "chat", "from", "text", "kind", "sent_at", "received_at", "state", "route", "date", "time", "file")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


def log(context: Context, args: Namespace) -> int:
    """Show a part of a chat."""
    line = None if args.format is None else _checked(args.format)
    shown, today = 0, ""
    with context.client() as client:
        for page in _pages(client, args):
            shown += len(page)
            if context.out.json:
                for message in page:
                    context.out.object(message)
            elif line is not None:
                for message in page:
                    context.out.line(_filled(line, message))
            else:
                today = messages(context.out, page, today=today)
    if not shown and not context.out.json:
        nothing = args.search is None and args.since is None and args.until is None
        context.out.note("No messages yet." if nothing else "Nothing found.")
    if line is None and not context.out.json:
        _note_frozen(context, args.chat)
    return 0


def _note_frozen(context: Context, chat: str) -> None:
    """Say of a channel that it is frozen: what is read of it may not be what others read."""
    with context.client() as client, suppress(errors.P2PChatError):  # mostly it is no channel
        channel = client.call("channel", chat=chat)
        if channel["forked"]:
            context.out.note(f"! {clean_line(channel['problem'])}")


def _pages(client: Client, args: Namespace) -> Iterator[list[dict[str, Any]]]:
    """Yield the requested messages in pages: all from a starting point, unless their number is given."""
    places = ("search", "around", "before", "since", "until")
    given = {name: getattr(args, name) for name in places if getattr(args, name) is not None}
    if args.since is None or args.before is not None or args.limit is not None:
        yield client.call("log", chat=args.chat, limit=args.limit or _LAST, **given)
        return
    page = client.call("log", chat=args.chat, limit=_PAGE, **given)
    while page:
        yield page
        page = client.call("log", chat=args.chat, limit=_PAGE, after=page[-1]["id"], **given)


def _checked(template: str) -> str:
    """Return a template of `log --format`. Raises UsageError if it names an unknown field."""
    for name in re.findall(r"\{([^{}]*)\}", template):
        if name not in _FIELDS:
            raise errors.UsageError(f"There is no field {{{name}}}", hint=f"There are {', '.join(_FIELDS)}.")
    return template


def _filled(template: str, message: dict[str, Any]) -> str:
    when = local_time(message["sent_at"] if message["mine"] else message["received_at"])
    values = {
        **message,
        "date": when.strftime("%Y-%m-%d") if when else "",
        "time": when.strftime("%H:%M") if when else "",
        "file": file_words.line(message["file"], mine=message["mine"]) if message.get("file") else "",
    }

    def fill(match: re.Match[str]) -> str:
        if match[0] in _ESCAPES:
            return _ESCAPES[match[0]]
        value = values[match[1]]
        return "" if value is None else clean_line(str(value))  # tabs and line breaks are the template's alone

    return re.sub(r"\\[nt\\]|\{([^{}]*)\}", fill, template)


def search(context: Context, args: Namespace) -> int:
    """Search one chat or all."""
    with context.client() as client:
        found = client.call("search", query=args.words, chat=args.chat, limit=args.limit)
    if context.out.json:
        for hit in found:
            context.out.object(hit)
        return 0
    for hit in found:
        _show(context, hit)
    if not found:
        context.out.note("Nothing found.")
    else:
        context.out.note("`p2pchat log CHAT --around ID` shows the messages around a hit.")
    return 0


def _show(context: Context, hit: dict[str, Any]) -> None:
    out = context.out
    when = short_date(hit["sent_at"] if hit["mine"] else hit["received_at"])
    who = f"{hit['chat_name']} (you)" if hit["mine"] else hit["chat_name"]
    if hit.get("member") is not None:  # a group's: the chat's name does not say who wrote it
        who = f"{hit['chat_name']}, {hit['from']}"
    parts = [(clean_line(part["text"]), "yellow" if part["hit"] else "") for part in hit["snippet"]]
    line = [cell(hit["id"], "dim"), cell(when, "dim"), cell(f"{who}:", "bold")]
    head = "  ".join(paint(each.text, each.style, out.colour_out) for each in line)
    out.stdout.write(f"{head} {''.join(paint(text, style, out.colour_out) for text, style in parts)}".rstrip() + "\n")
    out.stdout.flush()


VERBS = (
    Verb(
        "log",
        "show a chat's last messages, or those of a period",
        log,
        (CHAT,),
        (
            opt("--limit", type=count, metavar="N", help="the number of messages (50; with --since all)"),
            opt("--search", metavar="WORDS", help="only messages that contain all these words"),
            opt("--since", metavar="TIME", help="from this time on, or from `unread` on: the first unread message"),
            opt("--until", metavar="TIME", help="only messages older than this time"),
            opt("--around", metavar="ID", help="this message, and those before and after it"),
            opt(
                "--before",
                metavar="ID",
                help="those before this message; in a channel, also what its relays have",
            ),
            opt("--format", metavar="TEXT", help="a line for each message, such as '{date} {time} {from}: {text}'"),
        ),
        "A TIME is 2026-11-20, 2026-11-20T14:00, 14:00, today, yesterday, or 30m, 3h, 7d or 2w for how long ago. "
        f"Fields of --format: {', '.join(_FIELDS)}.",
        "p2pchat log bob --since yesterday --format '{time} {text}'",
    ),
    Verb(
        "search",
        "search all chats, or one",
        search,
        (Arg("WORDS", "what to search for; a message has to match all of it", many=True),),
        (
            opt("--chat", metavar="CHAT", help="only this chat"),
            opt("--limit", type=count, default=_LAST, metavar="N", help="the number of messages (50)"),
        ),
        'WORDS are words, word* for the beginning of one, "a phrase", from:NAME, from:me, before:2026-11-20, '
        "after:2026-11-20 (that day or later) and has:link. Put them in quotes, so that the shell leaves them "
        "unchanged.",
        "p2pchat search 'snow* \"last train\" from:anna after:7d'",
    ),
)
