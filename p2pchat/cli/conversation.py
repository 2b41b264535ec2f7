"""Verbs about one message, and how long messages stay: reply edit history react pin pinned timer."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt, timed
from p2pchat.cli.outgoing import SEND_OPTIONS, checked_text, send_text, text_given
from p2pchat.cli.output import Cell, cell, messages, short_date
from p2pchat.lib.shortcodes import emoji_named
from p2pchat.lib.times import HOUR_SECONDS, format_duration

CHAT = Arg("CHAT", "a chat: its id, a unique prefix of it, or the contact's name")
MESSAGE = Arg("ID", "a message: its id or a unique prefix of it")


def reply(context: Context, args: Namespace) -> int:
    """Run `p2pchat reply`: answer a message and print the id of the answer."""
    return send_text(context, args, "reply", id=args.id)


def edit(context: Context, args: Namespace) -> int:
    """Run `p2pchat edit`: give a message of one's own another text."""
    text = checked_text(text_given(context, args.text))
    return answers.say(
        context, "Edited. It is marked as edited, and its earlier versions can be seen.", "edit", id=args.id, text=text
    )


def react(context: Context, args: Namespace) -> int:
    """Run `p2pchat react`: put an emoji under a message, or take it away."""
    if args.emoji is None and not args.undo:
        raise errors.UsageError("Which emoji?", hint="`p2pchat react ID 👍`, or --undo to remove yours.")
    emoji = "" if args.undo else emoji_named(args.emoji) or args.emoji
    return answers.say(context, "Removed." if args.undo else "Done.", "react", id=args.id, emoji=emoji)


def pin(context: Context, args: Namespace) -> int:
    """Run `p2pchat pin`: pin a message for both, or take the pin away."""
    return answers.say(context, "Unpinned." if args.undo else "Pinned.", "pin", id=args.id, pinned=not args.undo)


def pinned(context: Context, args: Namespace) -> int:
    """Run `p2pchat pinned`: show the pinned messages of a chat."""
    with context.client() as client:
        found = client.call("pinned", chat=args.chat)
    if context.out.json:
        for message in found:
            context.out.object(message)
    else:
        messages(context.out, found)
        if not found:
            context.out.note("Nothing is pinned.")
    return 0


def history(context: Context, args: Namespace) -> int:
    """Run `p2pchat history`: show the earlier versions of an edited message."""
    answers.show(context, _version_row, "", "history", id=args.id)
    return 0


def _version_row(version: dict[str, Any]) -> list[Cell]:
    return [cell(short_date(version["at"]), "dim"), cell(version["text"])]


def timer(context: Context, args: Namespace) -> int:
    """Run `p2pchat timer`: say how long the messages of a chat stay, or set it."""
    with context.client() as client:
        result = client.call("timer", chat=args.chat, seconds=None if args.time is None else timed(args.time))
    if context.out.json:
        context.out.object(result)
    elif result["timer"] is None:
        context.out.line("No timer is on: messages stay until they are deleted.")
    else:
        by = "" if result["by"] is None else f" Set by {result['by']}."
        context.out.line(f"Messages disappear {format_duration(result['timer'])} after they are read.{by}")
        if args.time is not None:
            context.out.note("Everybody's program is asked to delete them; that cannot prevent copies.")
            if result["timer"] < HOUR_SECONDS:
                context.out.note("No relay stores them: they arrive only while both of you are connected.")
    return 0


_TEXT = Arg("TEXT", "the text; omit it, or write -, to read it from stdin", required=False)
_UNDO = opt("--undo", action="store_true", help="undo it")
VERBS = (
    Verb(
        "reply",
        "reply to a message, in its chat",
        reply,
        (MESSAGE, _TEXT),
        SEND_OPTIONS,
        "It prints the id of the reply.",
        example="p2pchat reply 0199a3f0 'Seven, behind the station'",
    ),
    Verb(
        "edit",
        "edit a message that you sent in the last 48 hours, for both",
        edit,
        (MESSAGE, Arg("TEXT", "the new text; omit it, or write -, to read it from stdin", required=False)),
        (),
        "It is marked as edited, and its earlier versions can be seen.",
        example="p2pchat edit 0199a3f0 'Eight, behind the station'",
    ),
    Verb(
        "history",
        "show the earlier versions of an edited message",
        history,
        (MESSAGE,),
        (),
        example="p2pchat history 0199a3f0",
    ),
    Verb(
        "react",
        "react to a message with an emoji, or remove your reaction",
        react,
        (MESSAGE, Arg("EMOJI", "one emoji, or its name, such as :tada:", required=False)),
        (_UNDO,),
        example="p2pchat react 0199a3f0 👍",
    ),
    Verb(
        "pin",
        "pin a message to the top of its chat, for both",
        pin,
        (MESSAGE,),
        (_UNDO,),
        example="p2pchat pin 0199a3f0",
    ),
    Verb(
        "pinned",
        "show the pinned messages of a chat",
        pinned,
        (CHAT,),
        (),
        example="p2pchat pinned anna",
    ),
    Verb(
        "timer",
        "make the messages of a chat disappear after a time, or show the timer",
        timer,
        (CHAT, Arg("TIME", "30s, 5m, 2h or 7d, or off; omit it to show the timer", required=False)),
        (),
        "It applies to everybody in the chat, to messages written from now on. The time\n"
        "begins when a message is read, for your own when it is sent. Everybody's\n"
        "program is asked to delete them; that cannot prevent copies. With less than an\n"
        "hour, messages arrive only while both of you are connected: no relay stores\n"
        "them.",
        example="p2pchat timer anna 1w",
    ),
)
