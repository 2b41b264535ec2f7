"""The verb offer: whether this profile's node is a small relay for its contacts."""

from __future__ import annotations

from argparse import Namespace

from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb


def offer(context: Context, args: Namespace) -> int:
    """Say yes or no to being a relay for one's contacts, or what was said."""
    with context.client() as client:
        found = client.call("offer", **({} if args.answer is None else {"answer": args.answer == "yes"}))
    if context.out.json:
        context.out.object(found)
    else:
        context.out.line(found["notice"])
        if args.answer is None:
            context.out.note("`p2pchat offer no` ends it." if found["relay"] else "`p2pchat offer yes`, or `no`.")
    return 0


VERBS = (
    Verb(
        "offer",
        "be a small relay for your contacts, or not",
        offer,
        (Arg("ANSWER", "yes or no; without it, what was said", required=False, choices=("yes", "no")),),
        notes="Contacts then leave messages here for who is away, and meet here when they cannot reach each other.",
    ),
)
