"""Verbs about people: contacts (also hide, show) requests accept decline block rename note forget verify."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.cli.output import Cell, cell, short_date

_CONTACT = Arg("C", "a contact: its id, a unique prefix of it, or its name")
NOBODY = "No contacts yet. `p2pchat invite` makes an invite for a friend; `p2pchat add` takes one."
_STATE_STYLES = {"waiting": "yellow", "blocked": "red"}


def contacts(context: Context, args: Namespace) -> int:
    """List the contacts, or hide this node's address from one."""
    if args.action is not None:
        return _hide(context, args.c, hidden=args.action == "hide")
    answers.show(context, _contact_row, NOBODY, "contacts")
    return 0


def _hide(context: Context, contact: str | None, *, hidden: bool) -> int:
    if contact is None:
        raise errors.UsageError("C is missing", hint="`p2pchat contacts` lists them.")
    with context.client() as client:
        result = client.call("hide", contact=contact, hidden=hidden)
    if context.out.json:
        context.out.object(result)
        return 0
    name = result["name"]
    if hidden:
        context.out.line(f"{name} is no longer told this node's address.")
        context.out.note("They keep any address that they already know.")
    else:
        context.out.line(f"{name} is told this node's address again.")
    if result["notice"]:
        context.out.note(result["notice"])
    return 0


def _contact_row(contact: dict[str, Any]) -> list[Cell]:
    state = str(contact["state"])
    return [
        cell(contact["id"], "dim"),
        cell(state, _STATE_STYLES.get(state, "")),
        cell("verified" if contact["verified"] else "not verified", "green" if contact["verified"] else "dim"),
        cell(contact["route"] or "-", "green" if contact["route"] else "dim"),
        cell("hidden" if contact.get("hidden") else "", "dim"),
        cell(contact["name"], "bold"),
        cell(_known_as(contact), "dim"),
    ]


def _known_as(contact: dict[str, Any]) -> str:
    """Return the name they chose, if it is another one, and the user's note about them."""
    own = str(contact.get("profile_name") or "")
    known = [f"calls themselves {own}"] if own and own != contact["name"] else []
    return "; ".join([*known, *filter(None, [str(contact.get("note") or "")])])


def requests(context: Context, _args: Namespace) -> int:
    """List the contact requests."""
    requests = answers.show(context, _request_row, "There are no contact requests.", "requests")
    if requests and not context.out.json:
        if any(request["known"] for request in requests):
            context.out.note(
                "A request that begins anew comes from one of your contacts: they lost their history, or somebody "
                "else has their keys. Ask them."
            )
        context.out.note(
            "Compare the eight words by voice, then `p2pchat accept C` or `p2pchat decline C`. To verify a contact, "
            "compare the safety number as well: `p2pchat verify C`."
        )
    return 0


def _request_row(request: dict[str, Any]) -> list[Cell]:
    known = bool(request["known"])
    return [
        cell(request["id"], "dim"),
        cell(short_date(request["since"])),
        cell(request["sas"], "cyan"),
        cell("begins anew" if known else "new", "yellow" if known else ""),
        cell(request["name"], "bold"),
    ]


def accept(context: Context, args: Namespace) -> int:
    """Run `p2pchat accept`: accept a contact request."""
    return _decide(context, "accept", args.c, "is a contact now")


def decline(context: Context, args: Namespace) -> int:
    """Run `p2pchat decline`: decline a contact request."""
    return _decide(context, "decline", args.c, "was declined")


def block(context: Context, args: Namespace) -> int:
    """Run `p2pchat block`: block a contact."""
    code = _decide(context, "block", args.c, "is blocked")
    if not context.out.json:
        context.out.note("Nothing is received from them or sent to them, and they are not told. `unblock` ends it.")
    return code


def unblock(context: Context, args: Namespace) -> int:
    """Run `p2pchat unblock`: end a block."""
    return _decide(context, "unblock", args.c, "is unblocked")


def _decide(context: Context, method: str, contact: str, now: str) -> int:
    return answers.say(context, lambda result: f"{result.get('name') or contact} {now}.", method, contact=contact)


def rename(context: Context, args: Namespace) -> int:
    """Give a contact another name, or go back to the name they chose."""
    if (args.name is None) != args.undo:
        raise errors.UsageError("NAME is missing", hint="`--undo` goes back to what they call themselves.")

    def words(result: dict[str, Any]) -> str:
        return f"{args.c} is called {result['name']} now."

    return answers.say(context, words, "rename", contact=args.c, name=args.name)


def note(context: Context, args: Namespace) -> int:
    """Keep a note about a contact, or show it."""

    def words(result: dict[str, Any]) -> str:
        if args.text is None and not args.clear:
            return result["note"] or f"There is no note about {result['name']}."
        return "Noted." if result["note"] else "The note is deleted."

    return answers.say(context, words, "note", contact=args.c, text="" if args.clear else args.text)


def forget(context: Context, args: Namespace) -> int:
    """Delete a contact, after a confirmation."""
    question = f"Forget {args.c}? The chat {'is deleted too' if args.history else 'stays, and you can only read it'}."
    if not answers.confirm(context, question, sure=args.yes):
        return 1

    def words(result: dict[str, Any]) -> str:
        return f"{result['name']} is forgotten." + ("" if args.history else " The chat stays; you can only read it.")

    return answers.say(context, words, "forget", contact=args.c, history=args.history)


def verify(context: Context, args: Namespace) -> int:
    """Show a safety number, or mark the contact as verified."""
    with context.client() as client:
        result = client.call("verify", contact=args.c, set=args.set)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["safety_number"])
    if result.get("sas"):
        context.out.note(f"Words of this handshake: {result['sas']}")
    if result["verified"]:
        context.out.note("Verified.")
    else:
        context.out.note(
            "Compare it over another channel, ideally face to face; if it matches, run `p2pchat verify C --set`."
        )
    return 0


VERBS = (
    Verb(
        "contacts",
        "list the contacts, or `contacts hide C`, `contacts show C`",
        contacts,
        (
            Arg(
                "ACTION",
                "hide: stop telling C this node's network address; show: tell it again",
                required=False,
                choices=("hide", "show"),
            ),
            Arg("C", _CONTACT.help, required=False),
        ),
        notes=(
            "A hidden contact reaches this node only through its relays. They keep any address that they already know."
        ),
        example="p2pchat contacts hide bob",
    ),
    Verb(
        "requests",
        "list contact requests",
        requests,
        example="p2pchat requests",
    ),
    Verb(
        "accept",
        "accept a request",
        accept,
        (_CONTACT,),
        example="p2pchat accept bob",
    ),
    Verb(
        "decline",
        "decline a request; the other side is not told",
        decline,
        (_CONTACT,),
        example="p2pchat decline eve",
    ),
    Verb(
        "block",
        "block a contact: receive nothing from them and send nothing to them",
        block,
        (_CONTACT,),
        notes="They are not told. Messages not delivered yet fail; the history stays. `unblock` ends it.",
        example="p2pchat block eve",
    ),
    Verb(
        "unblock",
        "unblock a contact: messages go both ways again",
        unblock,
        (_CONTACT,),
        notes="What they wrote meanwhile arrives if their node still has it. Messages that failed "
        "because of the block stay failed.",
        example="p2pchat unblock eve",
    ),
    Verb(
        "rename",
        "give a contact another name, on this profile only",
        rename,
        (_CONTACT, Arg("NAME", "the new name", required=False)),
        (opt("--undo", action="store_true", help="go back to what they call themselves"),),
        example="p2pchat rename bob 'Bob from work'",
    ),
    Verb(
        "note",
        "keep a note about a contact, on this profile only, or show it",
        note,
        (_CONTACT, Arg("TEXT", "the note; omit it to see the one there is", required=False, many=True)),
        (opt("--clear", action="store_true", help="delete the note"),),
        example="p2pchat note bob 'met in Lund, likes trams'",
    ),
    Verb(
        "forget",
        "delete a contact: keys, sessions, and the messages waiting for them",
        forget,
        (_CONTACT,),
        (opt("--history", action="store_true", help="delete the chat too"), answers.YES),
        "Without --history, the chat stays, but you can only read it. They are not told. Messages that relays hold "
        "for either of you expire there. If they use an invite of yours again, they appear as a new contact; to "
        "receive nothing from somebody, use `block`.",
        example="p2pchat forget eve --history --yes",
    ),
    Verb(
        "verify",
        "show the safety number to compare with a contact",
        verify,
        (_CONTACT,),
        (opt("--set", action="store_true", help="mark the contact as verified, after you compared it and it matched"),),
        example="p2pchat verify bob --set",
    ),
)
