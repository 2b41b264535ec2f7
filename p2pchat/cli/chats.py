"""Verbs about whole chats: chats (also pin, unpin) archive mute clear."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Arg, Verb, opt, timed
from p2pchat.cli.output import Cell, cell, short_date
from p2pchat.sanitize import clean_line

_NONE = "No chats yet. `p2pchat invite` makes an invite for a friend; `p2pchat add` takes one."

_KINDS = {"group": "group", "channel": "channel"}
"""Kinds of chats that are named. They are told in a column of their own: whoever founds a group chooses its name."""

_NONE_ARCHIVED = "No chat is archived. `p2pchat archive CHAT` puts one away."


def chats(context: Context, args: Namespace) -> int:
    """List the chats with their unread counts, or pin one."""
    if args.action is None:
        none, only = (_NONE_ARCHIVED, "archived") if args.archived else (_NONE, None)
        answers.show(context, _row, none, "chats", only)
        if not context.out.json and only is None:
            _note_awaited(context)
        return 0
    if args.chat is None:
        raise errors.UsageError("CHAT is missing", hint="`p2pchat chats` lists them.")
    pinned = args.action == "pin"
    words = "Pinned to the top." if pinned else "Unpinned."
    return answers.say(context, words, "pin_chat", chat=args.chat, pinned=pinned)


def _note_awaited(context: Context) -> None:
    """Say of which groups the user waits to be let in: they are no chats yet."""
    with context.client() as client:
        for group in client.call("joining"):
            since = short_date(group["at"])
            context.out.note(f"Waiting for an admin of {clean_line(group['name'])} to let you in, since {since}.")


def _row(chat: dict[str, Any]) -> list[Cell]:
    last, unread = chat["last"] or {}, int(chat["unread"])
    when = short_date(last.get("received_at") or last.get("sent_at"))
    about = [word for word in ("pinned", "archived") if chat.get(word)] + ["muted"] * bool(chat.get("muted_until"))
    about += ["frozen"] * bool(chat.get("frozen"))
    if asking := int(chat.get("requests") or 0):
        about.append(f"{asking:,} {'asks' if asking == 1 else 'ask'} to join")
    new = f"{unread} unread" if unread else "-"
    if mentions := int(chat.get("mentions") or 0):
        new += f", {mentions} for you"
    return [
        cell(chat["id"], "dim"),
        cell(new, "yellow" if unread else "dim"),
        cell(when or "-", "dim"),
        cell(_KINDS.get(chat["kind"], ""), "cyan"),
        cell(chat["name"], "bold"),
        cell(", ".join(about), "dim"),
    ]


def archive(context: Context, args: Namespace) -> int:
    """Archive a chat, or take it out of the archive."""

    def words(result: dict[str, Any]) -> str:
        return "The chat is archived." if result["archived"] else "The chat was taken out of the archive."

    return answers.say(context, words, "archive", chat=args.chat, archived=not args.undo)


def mute(context: Context, args: Namespace) -> int:
    """Mute or unmute a chat."""
    seconds = None if args.time is None else timed(args.time)

    def words(result: dict[str, Any]) -> str:
        until = result["muted_until"]
        if until is None:
            return "The chat is unmuted."
        return "Muted." if seconds is None else f"Muted until {short_date(until)}."

    return answers.say(context, words, "mute", chat=args.chat, seconds=seconds)


def clear(context: Context, args: Namespace) -> int:
    """Delete all messages of a chat, after a confirmation."""
    if not answers.confirm(context, f"Delete all messages of {args.chat} on this device?", sure=args.yes):
        return 1
    return answers.say(context, "Deleted here. Others keep their copies.", "clear", chat=args.chat)


VERBS = (
    Verb(
        "chats",
        "list the chats, newest first, or `chats pin CHAT`, `chats unpin CHAT`",
        chats,
        (
            Arg(
                "ACTION",
                "pin: keep CHAT at the top of the list; unpin: end that",
                required=False,
                choices=("pin", "unpin"),
            ),
            Arg("CHAT", CHAT.help, required=False),
        ),
        (opt("--archived", action="store_true", help="only the archived chats"),),
        notes="The chat with yourself is called notes, and is listed once you have written in it.",
        example="p2pchat chats pin bob",
    ),
    Verb(
        "archive",
        "archive a chat, or take it out of the archive",
        archive,
        (CHAT,),
        (opt("--undo", action="store_true", help="take it out of the archive"),),
        "An archived chat stays archived when a message arrives.",
        "p2pchat archive bob",
    ),
    Verb(
        "mute",
        "show no notifications of new messages in a chat",
        mute,
        (CHAT, Arg("TIME", "how long, such as 8h or 2w; off unmutes; omit it for no end", required=False)),
        notes="Only this profile changes; the other side is not told.",
        example="p2pchat mute bob 8h",
    ),
    Verb(
        "clear",
        "delete all messages of a chat, on this device only",
        clear,
        (CHAT,),
        (answers.YES,),
        "Messages not sent yet are not sent any more. The contact stays, and the other side keeps its copy.",
        "p2pchat clear bob --yes",
    ),
)
