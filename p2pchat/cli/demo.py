"""The verb `demo`: watch two people on this machine."""

from __future__ import annotations

from argparse import Namespace

from p2pchat.cli.context import Context
from p2pchat.cli.options import Verb


def demo(context: Context, _args: Namespace) -> int:
    """Play the story, with real processes."""
    from p2pchat.cli import demo_script  # what it needs, no other verb does

    return demo_script.tell(context)


VERBS = (
    Verb(
        "demo",
        "watch two people meet, talk, crash and come back",
        demo,
        example="p2pchat demo",
    ),
)
