"""The verb parcel: carry messages in a file where there is no network."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt


def parcel(context: Context, args: Namespace) -> int:
    """Write what waits into a file, or take in what is for this profile."""
    file = str(Path(args.file).expanduser().absolute())
    if args.action == "in":
        if args.to:
            raise errors.UsageError("--to is for `parcel out`")
        with context.client() as client:
            answer = client.call("parcel_in", file=file)
    else:
        with context.client() as client:
            answer = client.call("parcel_out", file=file, to=args.to)
    if context.out.json:
        context.out.object(answer)
    elif args.action == "in":
        _tell_in(context, answer)
    else:
        _tell_out(context, answer)
    return 0


def _tell_out(context: Context, answer: dict[str, Any]) -> None:
    kib = -(-int(answer["bytes"]) // 1024)
    what = _counted(answer["messages"], "message") if answer["messages"] else "Receipts, and no messages,"
    whom = _counted(answer["contacts"], "contact")
    context.out.line(
        f"{what} for {whom} {'is' if answer['messages'] == 1 else 'are'} in {answer['file']} ({kib:,} KiB)."
    )
    context.out.note("Everything also waits here until the receipts come back, in their parcel or over a network.")
    if answer["more"]:
        context.out.note("Not everything fitted. The rest goes into a parcel once receipts for this one are here.")


def _tell_in(context: Context, answer: dict[str, Any]) -> None:
    if not answer["from"]:
        context.out.line("Nothing in this parcel is for you, or it is from people who are not your contacts.")
    for sender in answer["from"]:
        parts = [_counted(sender["messages"], "new message")] if sender["messages"] else []
        parts += (
            [_counted(sender["other"], "receipt or other note", "receipts and other notes")] if sender["other"] else []
        )
        parts += [f"{sender['known']:,} that you had"] if sender["known"] else []
        parts += [f"{sender['left']:,} for which there is no room"] if sender["left"] else []
        parts += [f"{sender['unreadable']:,} that cannot be read"] if sender["unreadable"] else []
        context.out.line(f"{sender['name']}: {', '.join(parts) or 'nothing'}")
    if any(sender["messages"] or sender["other"] for sender in answer["from"]):
        context.out.note("The receipts for this travel in your next `p2pchat parcel out`, or over a network.")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"


VERBS = (
    Verb(
        "parcel",
        "carry messages in a file, on a USB stick for example, where there is no network",
        parcel,
        (
            Arg("ACTION", "out writes what waits for your contacts; in takes what is for you", choices=("out", "in")),
            Arg("FILE", "the parcel; `out` makes it, so it must not exist"),
        ),
        (opt("--to", action="append", metavar="C", help="only for this contact; can be repeated"),),
        "A parcel is sealed: whoever finds it learns neither who sent it, nor to whom, nor what it says.\nWhat is in "
        "one stays in your outbox until its receipts come back, so a lost parcel loses nothing.\nTaking one in twice "
        "changes nothing.",
        example="p2pchat parcel out /media/usb/parcel --to bob",
    ),
)
