"""Verbs about people: contacts (also hide, show) requests accept decline block rename verify."""

from __future__ import annotations

from argparse import Namespace

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.cli.output import Cell, cell, short_date

_CONTACT = Arg("C", "a contact: its id, a unique prefix of it, or its name")
_STATE_STYLES = {"waiting": "yellow", "blocked": "red"}


def contacts(context: Context, args: Namespace) -> int:
    """List the contacts, or hide this node's address from one."""
    if args.action is not None:
        return _hide(context, args.c, hidden=args.action == "hide")
    with context.client() as client:
        contacts = client.call("contacts")
    if context.out.json:
        for contact in contacts:
            context.out.object(contact)
        return 0
    if not contacts:
        context.out.note("No contacts yet. `p2pchat invite` makes an invite for a friend; `p2pchat add` takes one.")
    context.out.table([_contact_row(contact) for contact in contacts])
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
        context.out.note("An address they know already stays known to them.")
    else:
        context.out.line(f"{name} is told this node's address again.")
    if result["notice"]:
        context.out.note(result["notice"])
    return 0


def _contact_row(contact: dict[str, object]) -> list[Cell]:
    state = str(contact["state"])
    return [
        cell(contact["id"], "dim"),
        cell(state, _STATE_STYLES.get(state, "")),
        cell("verified" if contact["verified"] else "not verified", "green" if contact["verified"] else "dim"),
        cell(contact["route"] or "-", "green" if contact["route"] else "dim"),
        cell("hidden" if contact.get("hidden") else "", "dim"),
        cell(contact["name"], "bold"),
    ]


def requests(context: Context, _args: Namespace) -> int:
    """List who asks to become a contact."""
    with context.client() as client:
        requests = client.call("requests")
    if context.out.json:
        for request in requests:
            context.out.object(request)
        return 0
    if not requests:
        context.out.note("There are no contact requests.")
    context.out.table(
        [
            [
                cell(request["id"], "dim"),
                cell(short_date(request["since"])),
                cell(request["sas"], "cyan"),
                cell("begins anew" if request["known"] else "new", "yellow" if request["known"] else ""),
                cell(request["name"], "bold"),
            ]
            for request in requests
        ]
    )
    if requests:
        if any(request["known"] for request in requests):
            context.out.note(
                "A request that begins anew comes from somebody in your list: they lost their history, or somebody "
                "else has their keys. Ask them."
            )
        context.out.note(
            "Compare the eight words by voice, then `p2pchat accept C` or `p2pchat decline C`. To verify a contact, "
            "compare the safety number as well: `p2pchat verify C`."
        )
    return 0


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
        context.out.note(
            "Nothing of theirs is taken and nothing is sent to them; they are not told. `unblock` ends it."
        )
    return code


def unblock(context: Context, args: Namespace) -> int:
    """Run `p2pchat unblock`: end a block."""
    return _decide(context, "unblock", args.c, "is not blocked any more")


def _decide(context: Context, method: str, contact: str, now: str) -> int:
    with context.client() as client:
        result = client.call(method, contact=contact)
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(f"{result.get('name') or contact} {now}.")
    return 0


def rename(context: Context, args: Namespace) -> int:
    """Give a contact another name."""
    with context.client() as client:
        result = client.call("rename", contact=args.c, name=args.name)
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(f"{args.c} is called {result.get('name') or args.name} now.")
    return 0


def verify(context: Context, args: Namespace) -> int:
    """Show a safety number, or note that it was compared."""
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
        context.out.note("Compare it over another channel, best face to face; then `p2pchat verify C --set`.")
    return 0


VERBS = (
    Verb(
        "contacts",
        "list the contacts, or `contacts hide C`, `contacts show C`",
        contacts,
        (
            Arg(
                "ACTION",
                "hide: C never learns this node's network address; show: C learns it again",
                required=False,
                choices=("hide", "show"),
            ),
            Arg("C", _CONTACT.help, required=False),
        ),
        notes=(
            "A hidden contact reaches this node through its relays only. An address they know already stays "
            "known to them."
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
        "block a contact: nothing of theirs is taken, until `unblock`",
        block,
        (_CONTACT,),
        notes="They are not told. What was still to be delivered to them has failed; the history stays.",
        example="p2pchat block eve",
    ),
    Verb(
        "unblock",
        "end a block: messages go both ways again",
        unblock,
        (_CONTACT,),
        notes="What they wrote meanwhile comes if their node still has it. What failed at the block stays failed.",
        example="p2pchat unblock eve",
    ),
    Verb(
        "rename",
        "give a contact another name, on this profile only",
        rename,
        (_CONTACT, Arg("NAME", "the new name")),
        example="p2pchat rename bob 'Bob from work'",
    ),
    Verb(
        "verify",
        "show the safety number to compare with a contact",
        verify,
        (_CONTACT,),
        (opt("--set", action="store_true", help="mark the contact as verified: you compared it and it matched"),),
        example="p2pchat verify bob --set",
    ),
)
