"""The verb channel: founding a channel, its link, and what is known of it. Posts go by `send`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Arg, Verb, opt, with_actions
from p2pchat.cli.output import Cell, cell, short_date
from p2pchat.lib.english import counted


def create(context: Context, args: Namespace) -> int:
    """Found a channel."""

    def words(result: dict[str, Any]) -> str:
        return f"{result['name']} is founded. `p2pchat channel invite {result['chat']}` shows its link."

    return answers.say(context, words, "create_channel", name=args.name, private=args.private)


def invite(context: Context, args: Namespace) -> int:
    """Show the link of a channel."""
    with context.client() as client:
        result = client.call("channel_invite", chat=args.chat)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["text"])
    who = "Whoever has it can read everything" if result["private"] else "Anybody can read it"
    context.out.note(f"{who} and pass it on; it never ends. `p2pchat add` follows it.")
    return 0


def show(context: Context, args: Namespace) -> int:
    """Show what is known of a channel."""
    return answers.say(context, _words, "channel", chat=args.chat)


def _words(result: dict[str, Any]) -> str:
    kind = "private" if result["private"] else "public"
    whose = "yours" if result["mine"] else "you follow it"
    heard = (
        f"last heard from its writer on {short_date(result['heard'])}" if result["heard"] else "nothing has arrived yet"
    )
    lines = [f"{result['name']}: {kind}, {whose}, {counted(result['posts'], 'post')}; {heard}", f"id {result['id']}"]
    return "\n".join(lines + ([f"! {result['problem']}"] if result["problem"] else []))


def writers(context: Context, args: Namespace) -> int:
    """List who else writes in a channel, after a change."""
    if args.change is not None and args.name is None:
        raise errors.UsageError("NAME is missing", hint="It is how the writer is called in the channel.")
    asked = {} if args.change is None else {args.change: args.name}
    with context.client() as client:
        result = client.call("channel_writers", chat=args.chat, **asked)
    out = context.out
    if out.json:
        out.object(result)
        return 0
    if result["link"]:
        out.line(result["link"])
        out.note(f"For {args.name} alone: whoever uses it with `p2pchat add` writes in the channel.")
        return 0
    if not result["writers"]:
        out.note("Nobody else writes in this channel. `p2pchat channel writers CHAT add NAME` lets somebody.")
    out.table([_writer(writer) for writer in result["writers"]])
    return 0


def _writer(writer: dict[str, Any]) -> list[Cell]:
    about = "writes no more" if writer["removed"] else "writes"
    return [cell(writer["name"], "bold"), cell(about, "dim"), cell(counted(writer["posts"], "post"))]


def report(context: Context, args: Namespace) -> int:
    """Show what the operator of a relay needs to refuse a channel."""

    def words(result: dict[str, Any]) -> str:
        lines = [f"channel {result['id']} ({result['name']})", result["link"], "mirrored by:"]
        lines += [f"  {relay}" for relay in result["relays"]]
        lines += ["Give this to whoever runs these relays; nothing was sent. The link lets them read the channel."]
        return "\n".join(lines)

    return answers.say(context, words, "channel_report", chat=args.chat)


VERBS = (
    with_actions(
        "channel",
        "found a channel, show its link or what is known of it",
        (
            Verb(
                "channel create",
                "found a channel that your relays mirror",
                create,
                (Arg("NAME", "what it is called; everybody who has the link sees it"),),
                (
                    opt(
                        "--private",
                        action="store_true",
                        help="seal its posts: only people who have the link can read them",
                    ),
                ),
                "What you `send` to it is for everybody who has its link. Nobody knows how many these are.",
                example="p2pchat channel create news",
            ),
            Verb(
                "channel invite",
                "show the link that leads to a channel",
                invite,
                (CHAT,),
                example="p2pchat channel invite news",
            ),
            Verb(
                "channel show",
                "show what is known of a channel, and what is wrong with it",
                show,
                (CHAT,),
                example="p2pchat channel show news",
            ),
            Verb(
                "channel writers",
                "list who else writes in a channel, let somebody write or end it",
                writers,
                (
                    CHAT,
                    Arg("CHANGE", "add or remove; omit it to list them", required=False, choices=("add", "remove")),
                    Arg("NAME", "how the writer is called in the channel", required=False),
                ),
                notes="`add` prints a link for that person alone.",
                example="p2pchat channel writers news add bob",
            ),
            Verb(
                "channel report",
                "show what a relay's operator needs to refuse a channel",
                report,
                (CHAT,),
                example="p2pchat channel report spam",
            ),
        ),
    ),
)
