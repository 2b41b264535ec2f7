"""The verb offer: whether this profile's node is a small relay for its contacts."""

from __future__ import annotations

from argparse import Namespace

from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb


def offer(context: Context, args: Namespace) -> int:
    """Turn the relay for one's contacts on or off, or show whether it is on."""
    with context.client() as client:
        offer = client.call("offer", **({} if args.answer is None else {"answer": args.answer == "yes"}))
    if context.out.json:
        context.out.object(offer)
    else:
        context.out.line(offer["notice"])
        if args.answer is None:
            context.out.note("`p2pchat offer no` turns it off." if offer["relay"] else "`p2pchat offer yes`, or `no`.")
    return 0


VERBS = (
    Verb(
        "offer",
        "turn the small relay for your contacts on or off",
        offer,
        (Arg("ANSWER", "yes or no; omit it to show the current setting", required=False, choices=("yes", "no")),),
        notes=(
            "Contacts can then leave messages here for anyone who is offline, and connect through this node when "
            "they cannot\nreach each other directly."
        ),
        example="p2pchat offer yes",
    ),
)
