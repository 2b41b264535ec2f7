"""Verbs about invites: invite invites (also revoke) add."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, duration, opt
from p2pchat.cli.output import Cell, cell, qr, short_date

_MAX_INVITE = 64 << 10


def invite(context: Context, args: Namespace) -> int:
    """Make an invite; its text is the only output on stdout."""
    with context.client() as client:
        hide = {"hide": True} if args.hide_address else {}
        label = {} if args.label is None else {"label": args.label}
        asked = {"reusable": args.reusable, "ask": args.ask, "expires": int(max(1, args.expires))}
        result = client.call("invite", **asked, **hide, **label)
        foreground = client.greeting.get("foreground")
    out = context.out
    if out.json:
        out.object(result)
    else:
        out.line(result["invite"])
    if args.qr:
        _show_qr(context, result["invite"])
    if result.get("notice"):
        out.note(result["notice"])
    if not out.json:
        many = "everybody who gets it" if args.reusable else "one person"
        out.note(f"For {many}, until {short_date(result['expires_at'])}. Give it only to people you want as contacts.")
        if not foreground:
            out.note("The node keeps running in the background until then; `p2pchat node stop` ends it.")
    return 0


def _show_qr(context: Context, text: str) -> None:
    out = context.out
    on_terminal = out.stdout.isatty() and not out.json
    stream, colour = (out.stdout, out.colour_out) if on_terminal else (out.stderr, out.colour_err)
    stream.write(qr(text, colour) + "\n")
    stream.flush()


def invites(context: Context, args: Namespace) -> int:
    """List the invites made here, or revoke one."""
    if args.action is not None and args.id is None:
        raise errors.UsageError("ID is missing", hint="`p2pchat invites` lists them.")
    answers.show(context, _row, "No invites yet. `p2pchat invite` makes one.", "invites", revoke=args.id)
    return 0


def _row(invite: dict[str, Any]) -> list[Cell]:
    is_open = invite["state"] == "open"
    users = ", ".join(user["name"] for user in invite["used_by"])
    uses = f"{invite['uses']} used it" if invite["uses"] else "-"
    return [
        cell(invite["id"], "dim"),
        cell(invite["state"], "green" if is_open else "dim"),
        cell(invite["kind"]),
        cell(("until " if is_open else "ended by ") + short_date(invite["expires"]), "dim"),
        cell(f"{uses}: {users}" if users else uses),
        cell(invite["label"], "bold"),
    ]


def add(context: Context, args: Namespace) -> int:
    """Run `p2pchat add`: use an invite that somebody gave."""
    text = _invite_text(args.invite)
    with context.client() as client:
        try:
            more: dict[str, Any] = {"hide": True} if args.hide_address else {}
            if args.words:
                more["words"] = args.words
            result = client.call("add", invite=text, name=args.name, wait=args.wait, timeout=args.timeout, **more)
        except errors.NotReached as exc:
            if context.out.json and exc.result:  # it is queued: scripts go on with its id
                context.out.object(exc.result)
            raise
    if context.out.json:
        context.out.object(result)
    elif result.get("anew"):
        context.out.line(f"{result['name']} is already your contact and was asked to begin anew; they have to accept.")
    elif result.get("group"):
        context.out.line("You have asked to join the group. It appears among your chats once you are in.")
    elif result["state"] == "channel":
        context.out.line(f"You follow {result['name']} now; `p2pchat log` shows its posts.")
    elif result["state"] == "contact":
        context.out.line(f"{result['name']} is a contact now.")
    else:
        context.out.line(f"{result['name']} has your request. What you write meanwhile is sent when they accept.")
    return 0


def _invite_text(given: str) -> str:
    if given == "-":  # an argument can be seen by other users of the machine, stdin cannot
        given = sys.stdin.read(_MAX_INVITE)
    text = "".join(given.split())
    if not text:
        raise errors.BadInvite("No invite was given")
    return text


VERBS = (
    Verb(
        "invite",
        "make an invite for a friend",
        invite,
        opts=(
            opt("--reusable", action="store_true", help="for many people; you are asked about each of them"),
            opt("--ask", action="store_true", help="ask you before whoever uses it becomes a contact"),
            opt(
                "--expires",
                type=duration,
                default=604_800.0,
                metavar="TIME",
                help="how long it can be used, such as 12h (7d)",
            ),
            opt("--label", metavar="TEXT", help="its name in `p2pchat invites`; only you see it"),
            opt("--hide-address", action="store_true", help="whoever uses it never learns this node's network address"),
            opt("--qr", action="store_true", help="also show it as a QR code"),
        ),
        example="p2pchat invite --expires 2d --qr",
    ),
    Verb(
        "invites",
        "list the invites you made and who used them, or `invites revoke ID`",
        invites,
        (
            Arg("ACTION", "revoke: end an open one before its time", required=False, choices=("revoke",)),
            Arg("ID", "an invite: its id, a unique prefix of it, or its label", required=False),
        ),
        notes="Anyone who uses a revoked invite is told that it is no longer valid.",
        example="p2pchat invites revoke 1a2b",
    ),
    Verb(
        "add",
        "use a friend's invite, or follow a channel",
        add,
        (Arg("INVITE", "the text of the invite, or - to read it from stdin"),),
        (
            opt("--name", metavar="ALIAS", help="what to call them"),
            opt(
                "--wait",
                choices=("sent", "accepted"),
                default="sent",
                help="wait until they have it, or until they accept it",
            ),
            opt("--timeout", type=duration, default=30.0, metavar="TIME", help="how long to wait (30s)"),
            opt("--hide-address", action="store_true", help="they never learn this node's network address"),
            opt("--words", metavar="TEXT", default="", help="to a group: a few words for whoever decides about you"),
        ),
        notes="An invite to a group leads into that; its maker does not become a contact.",
        example="p2pchat add - --name bob < invite.txt",
    ),
)
