"""The verb doctor: what works from here and what does not."""

from __future__ import annotations

from argparse import Namespace

from p2pchat.cli.context import Context
from p2pchat.cli.options import Verb
from p2pchat.cli.output import cell


def doctor(context: Context, _args: Namespace) -> int:
    """One line for each check, with a hint where it fails."""
    with context.client() as client:
        checks = client.call("doctor")
    if context.out.json:
        for check in checks:
            context.out.object(check)
        return 0
    rows = []
    for check in checks:
        advice = f"{check['detail']}. {check['hint']}" if not check["ok"] and check.get("hint") else check["detail"]
        good = check["ok"]
        rows.append([cell("✓" if good else "✗", "green" if good else "red"), cell(check["check"]), cell(advice)])
    context.out.table(rows)
    return 0


VERBS = (Verb("doctor", "say what works from here and what does not", doctor),)
