"""Verbs about whole chats: archive mute."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Arg, Verb, opt, timed
from p2pchat.cli.output import short_date


def archive(context: Context, args: Namespace) -> int:
    """Put a chat away, or take it out again."""
    with context.client() as client:
        result = client.call("archive", chat=args.chat, archived=not args.undo)
    return _say(
        context, result, "The chat is archived." if result["archived"] else "The chat is not archived any more."
    )


def mute(context: Context, args: Namespace) -> int:
    """Mute a chat, or end that."""
    seconds = None if args.time is None else timed(args.time)
    with context.client() as client:
        result = client.call("mute", chat=args.chat, seconds=seconds)
    until = result["muted_until"]
    if until is None:
        return _say(context, result, "The chat is not muted any more.")
    return _say(context, result, "Muted." if seconds is None else f"Muted until {short_date(until)}.")


def _say(context: Context, result: dict[str, Any], line: str) -> int:
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(line)
    return 0


VERBS = (
    Verb(
        "archive",
        "put a chat away, or take it out again",
        archive,
        (CHAT,),
        (opt("--undo", action="store_true", help="take it out again"),),
        "It stays archived when a message comes.",
        "p2pchat archive bob",
    ),
    Verb(
        "mute",
        "have nobody told of what comes in a chat",
        mute,
        (CHAT, Arg("TIME", "how long, such as 8h or 2w; off ends it; omit it for ever", required=False)),
        notes="Only this profile changes; the other side is not told.",
        example="p2pchat mute bob 8h",
    ),
)
