"""The verb export: a whole chat as text, JSON or a web page."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.transcript import BEGINNING, FORMATS, JSON, PAGE, Transcript, form_of
from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Verb, opt
from p2pchat.lib import atomic_file


def export(context: Context, args: Namespace) -> int:
    """Write a chat to stdout, or to a new file."""
    form = JSON if context.out.json else args.format or form_of(args.to or "")
    with context.client() as client:
        pages = _pages(client, args.chat)
        first = next(pages, [])
        if not first:
            context.out.note("No messages yet.")
            return 0
        chats: list[dict[str, Any]] = client.call("chats")
        chat = next((each for each in chats if each["id"] == first[0]["chat"]), {})
        made = Transcript(form, chat.get("name", args.chat), chat.get("kind", "direct"))
        with _target(context, args.to) as file:
            file.write(made.begin() + made.part(first))
            for page in pages:
                file.write(made.part(page))
            file.write(made.end())
            file.flush()
    if args.to is not None:
        context.out.note(f"Written to {args.to}, which only you can read. It is not encrypted.")
    if made.left_out:
        context.out.note(f"{made.left_out:,} disappearing messages were left out.")
    return 0


def _pages(client: Client, chat: str) -> Iterator[list[dict[str, Any]]]:
    last, page = None, client.call("log", chat=chat, limit=PAGE, since=BEGINNING)
    while page and page[-1]["id"] != last:
        yield page
        last = page[-1]["id"]
        page = client.call("log", chat=chat, limit=PAGE, after=last)


@contextlib.contextmanager
def _target(context: Context, name: str | None) -> Iterator[IO[str]]:
    """Yield stdout, or a new file that only its owner can read and that is there only if it is whole."""
    if name is None:
        yield context.out.stdout
        return
    try:
        with atomic_file.create(Path(name), "utf-8") as file:
            yield file
    except FileExistsError:
        raise errors.UsageError(f"{name} exists already", hint="Name another file; nothing was changed.") from None


VERBS = (
    Verb(
        "export",
        "write a whole chat as text, JSON or a web page",
        export,
        (CHAT,),
        (
            opt("--format", choices=FORMATS, help="text (the default), json: one message object per line, or html"),
            opt(
                "--to",
                metavar="FILE",
                help="a new file, in place of stdout; .html makes a web page, .json message objects",
            ),
        ),
        "The result is not encrypted. Disappearing messages are left out.",
        "p2pchat export bob --to bob.html",
    ),
)
