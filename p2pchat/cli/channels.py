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
from p2pchat.sanitize import clean_line


def create(context: Context, args: Namespace) -> int:
    """Found a channel."""

    if args.members and args.private:
        raise errors.UsageError("Give one of --private and --members")
    if args.members:
        return answers.say(context, _founded, "create_group", name=args.name, locked=True)

    def words(result: dict[str, Any]) -> str:
        return f"{result['name']} is founded. `p2pchat channel invite {result['chat']}` shows its link."

    return answers.say(context, words, "create_channel", name=args.name, private=args.private)


def _founded(result: dict[str, Any]) -> str:
    chat, name = result["id"], clean_line(result["name"])
    return (
        f"{name} is founded: a group in which only you write. `p2pchat group invite {chat}` invites readers, "
        f"`p2pchat group remove {chat} M` removes one, who reads nothing further. Every member sees every other member."
    )


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
        f"its writer was last heard from: {short_date(result['heard'])}"
        if result["heard"]
        else "nothing has arrived yet"
    )
    lines = [f"{result['name']}: {kind}, {whose}, {counted(result['posts'], 'post')}; {heard}", f"id {result['id']}"]
    if result["mirrors"]:
        lines.append("you hand it on at your own relays")
    if result["comments"]:
        joined = result["mine"] or result["comments"]["chat"] is not None
        how = "" if joined else f": `p2pchat channel comments {result['chat']} --join` asks to join it"
        lines.append(f"comments in {clean_line(result['comments']['name'])}{how}")
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


def relays(context: Context, args: Namespace) -> int:
    """List the relays of a channel, after a change."""
    if args.change is not None and args.address is None:
        raise errors.UsageError("ADDRESS is missing", hint="`p2pchat relays` shows those of yours.")
    asked = {} if args.change is None else {args.change: args.address}

    def words(result: dict[str, Any]) -> str:
        left = [f"{line}  (left; it has not been told yet)" for line in result["leaving"]]
        return "\n".join([*result["relays"], *left])

    return answers.say(context, words, "channel_relays", chat=args.chat, **asked)


def comments(context: Context, args: Namespace) -> int:
    """Show, link or join the group that talks about a channel."""
    if args.join and (args.group is not None or args.remove):
        raise errors.UsageError("--join stands alone")
    with context.client() as client:
        asked = {"group": args.group} if args.group is not None else {"remove": True} if args.remove else {}
        result = client.call("channel_comments", chat=args.chat, **asked)
        found = result["comments"]
        if args.join and found is None:
            raise errors.NotNow("No group talks about this channel")
        if args.join:
            result = client.call("add", invite=found["text"], **({"words": args.words} if args.words else {}))
    out = context.out
    if out.json:
        out.object(result)
    elif args.join:
        out.note(f"You ask to join {clean_line(found['name'])}: its admins decide. {_SEEN}")
    elif found is None:
        out.note("No group talks about this channel.")
    else:
        out.line(found["name"])
        said = f"Whoever reads the channel can ask to join it until {short_date(found['expires'])}. "
        out.note(said + (_SHOWN if args.group is not None else _SEEN))
    return 0


_SEEN = "There every member sees every other member, and what they write; nobody sees who only reads the channel."
_SHOWN = (
    "The channel now names you: the link of the group has your key and your relays, and anybody who has the channel's "
    "link can read it. Every member of the group sees every other member."
)


def mirror(context: Context, args: Namespace) -> int:
    """Hand a channel on at one's own relays, or no longer."""
    asked = {} if args.switch is None else {"mirrors": args.switch == "on"}

    def words(result: dict[str, Any]) -> str:
        if not result["mirrors"]:
            return "You do not hand this channel on."
        if not result["relays"]:
            return "Your relays mirror this channel themselves. Others that you add will get it from you."
        problem = [f"! {result['problem']}"] if result["problem"] else []
        return "\n".join(["You hand this channel on at:", *(f"  {line}" for line in result["relays"]), *problem])

    return answers.say(context, words, "channel_mirror", chat=args.chat, **asked)


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
                    opt(
                        "--members",
                        action="store_true",
                        help="a group in which only you write: you know its readers and can remove them",
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
                "channel relays",
                "list the relays that mirror a channel, add one or leave one",
                relays,
                (
                    CHAT,
                    Arg("CHANGE", "add or remove; omit it to list them", required=False, choices=("add", "remove")),
                    Arg("ADDRESS", "a relay: MULTIADDR or MULTIADDR#TOKEN", required=False),
                ),
                notes="Only its owner changes them, at most three; readers follow by themselves.",
                example="p2pchat channel relays news",
            ),
            Verb(
                "channel comments",
                "show the group that talks about a channel, link one or join it",
                comments,
                (CHAT, Arg("GROUP", "link this group of yours to your channel", required=False)),
                (
                    opt("--join", action="store_true", help="ask to join the group of a channel that you read"),
                    opt("--words", metavar="TEXT", default="", help="with --join: a few words for its admins"),
                    opt("--remove", action="store_true", help="link no group any more, and end the invite to it"),
                ),
                example="p2pchat channel comments news --join",
            ),
            Verb(
                "channel mirror",
                "hand a channel that you read on at your own relays",
                mirror,
                (CHAT, Arg("SWITCH", "on or off; omit it to see", required=False, choices=("on", "off"))),
                notes="So it outlives its own relays. Yours see that you do; the link that you show names one of them.",
                example="p2pchat channel mirror news on",
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
