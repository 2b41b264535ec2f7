"""The verb relays: the relays that store envelopes for this profile, and their state."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.cli.output import Cell, cell, short_date

_STYLES = {"connected": "green", "connecting": "yellow", "unreachable": "red", "refused": "red"}


def relays(context: Context, args: Namespace) -> int:
    """List the relays, after adding or removing one."""
    if args.action is not None and not (args.address or "").strip():
        hint = "`p2pchat relays` lists them; whoever runs a relay can give you its address."
        raise errors.UsageError(f"Which relay is to be {_DONE[args.action]}?", hint=hint)
    if args.replace and args.action != "add":
        raise errors.UsageError("--replace is for `relays add`")
    asked = {} if args.action is None else {args.action: args.address}
    flags = {name: True for name in ("replace", "all") if getattr(args, name)}
    with context.client() as client:
        answer = client.call("relays", **asked, **flags)
    if context.out.json:
        for relay in answer:
            context.out.object(relay)
    else:
        if not answer:
            context.out.note(
                "No relays: messages wait here until both sides are online. `p2pchat relays add` adds one."
            )
        context.out.table([_row(relay) for relay in answer])
    for relay in answer:
        if relay.get("added"):
            _judge(context, relay)
    return 0


def _judge(context: Context, relay: dict[str, Any]) -> None:
    """Report the result for the relay that was added. Raises Refused or NotReached."""
    kept = "it stays in the list and is tried again"
    hint = f"`p2pchat relays remove {str(relay['address']).partition('#')[0]}` removes it."
    if relay["state"] == "refused":
        raise errors.Refused(f"The relay refused: {relay['problem']}; {kept}", hint=hint)
    if not relay["used"]:
        context.out.note("It is kept in reserve and used when one of the others fails.")
    elif relay["state"] != "connected":
        why = f": {relay['problem']}" if relay["problem"] else ""
        raise errors.NotReached(f"The relay was not reached{why}; {kept}", hint=hint)


_DONE = {"add": "added", "remove": "removed"}


def _row(relay: dict[str, Any]) -> list[Cell]:
    state = str(relay["state"])
    if state == "told":
        return _told(relay)
    about = [] if relay["used"] or state == "offered" else ["in reserve"]
    about += [] if relay["kept"] or state == "offered" else ["for this run"]
    about += [f"{relay['contact']}'s"] if relay["contact"] else []
    about += [relay["problem"]] if relay["problem"] else []
    return [cell(state, _STYLES.get(state, "")), cell(", ".join(about) or "-", "dim"), cell(relay["address"])]


def _told(relay: dict[str, Any]) -> list[Cell]:
    """Return the row of a relay that others have told of."""
    gone = "a contact who is gone" if relay["told_by"] == "contact" else "a relay"
    about = [f"told by {relay['source'] or gone}"]
    about += [f"worked {short_date(relay['worked'])}" if relay["worked"] else "has never answered"]
    about += [] if relay["stores"] else ["stores no messages"]
    state = "in use" if relay["in_use"] else "known"
    return [cell(state, "green" if relay["in_use"] else "dim"), cell(", ".join(about), "dim"), cell(relay["address"])]


VERBS = (
    Verb(
        "relays",
        "list the relays that store messages for you, or add or remove one",
        relays,
        (
            Arg("ACTION", "add or remove; omit it to list them", required=False, choices=("add", "remove")),
            Arg(
                "ADDRESS",
                "its address, /…/p2p/<peer id>, with #TOKEN if it requires one; or a contact who offers to be a relay",
                required=False,
            ),
        ),
        (
            opt("--replace", action="store_true", help="replace the address and token in the list"),
            opt("--all", action="store_true", help="list the relays that others have told of too"),
        ),
        "The exit code is 3 if the added relay is not reached, and 5 if it refuses.\nTwo relays are used at "
        "a time. Each holds every message, so you lose nothing if one disappears.\nFurther relays are kept "
        "in reserve. Those that others have told of are tried while none of yours answers; `add` makes one yours, "
        "`remove` forgets it until somebody tells of it again.",
        example="p2pchat relays add bob",
    ),
)
