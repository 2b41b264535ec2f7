"""The verb keys: the transport keys by which others on the network know this profile's node."""

from __future__ import annotations

from argparse import Namespace

from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb
from p2pchat.lib.moments import localized


def keys(context: Context, args: Namespace) -> int:
    """Show when the transport key is replaced, or prepare that now."""
    with context.client() as client:
        answer = client.call("keys", **({"rotate": True} if args.action == "rotate" else {}))
    if context.out.json:
        context.out.object(answer)
    else:
        context.out.line(localized(answer["notice"]))
        if not answer["next"]:
            context.out.note("`p2pchat keys rotate` makes the next one now.")
    return 0


VERBS = (
    Verb(
        "keys",
        "show when the key by which others on the network know your node is replaced, or prepare that now",
        keys,
        (Arg("ACTION", "rotate; omit it to show the present state", required=False, choices=("rotate",)),),
        notes=(
            "`rotate` makes the next key and tells your contacts. The present one stays in use for a day at least, so "
            "that\nnobody loses you, and is replaced when the node starts after that. Your identity and the safety "
            "numbers\nstay the same."
        ),
        example="p2pchat keys rotate",
    ),
)
