"""The verbs doctor and salvage: check what works, and rescue a damaged database."""

from __future__ import annotations

from argparse import Namespace

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import Verb
from p2pchat.cli.output import cell
from p2pchat.lib.moments import localized

_SIGNS = {"good": ("✓", "green"), "note": ("·", "dim"), "bad": ("✗", "red")}


def doctor(context: Context, _args: Namespace) -> int:
    """Print one line for each check, with a hint if it fails."""
    with context.client() as client:
        checks = client.call("doctor")
    if context.out.json:
        for check in checks:
            context.out.object(check)
        return 0
    rows = []
    for check in checks:
        advice = localized(check["detail"])
        if not check["ok"] and check.get("hint"):
            advice = f"{errors.sentence(advice)} {check['hint']}"
        sign, style = _SIGNS[check["state"]]
        rows.append([cell(sign, style), cell(check["check"]), cell(advice)])
    context.out.table(rows)
    return 0


def salvage(context: Context, _args: Namespace) -> int:
    """Make a new database of everything readable in a damaged one."""
    profile = context.profile
    if not profile.exists():
        raise errors.NoProfile(f"There is no profile in {profile.folder}")

    from p2pchat.cli import serve

    given = context.given_passphrase()
    try:
        done = serve.salvage(profile, given)
    except errors.Locked as exc:
        if given is not None or isinstance(exc, errors.ProfileInUse):
            raise
        done = serve.salvage(profile, context.passphrase())
    if context.out.json:
        context.out.object(done)
        return 0
    context.out.line(f"Saved {done['messages']:,} messages and {done['contacts']:,} contacts in a new database.")
    if done["incomplete"]:
        context.out.note(f"These could not be read completely: {', '.join(done['incomplete'])}.")
    if done["unsent"]:
        context.out.note(f"{done['unsent']:,} of your messages were not sent; they are marked as failed.")
    context.out.note(
        f"The damaged database is kept as {done['damaged']}; delete it once you are sure that nothing is missing."
    )
    return 0


VERBS = (
    Verb(
        "doctor",
        "check what works and what does not",
        doctor,
        example="p2pchat doctor",
    ),
    Verb(
        "salvage",
        "rescue everything readable from a damaged database",
        salvage,
        notes="Stop the node first: nothing else may be using the profile.",
        example="p2pchat salvage",
    ),
)
