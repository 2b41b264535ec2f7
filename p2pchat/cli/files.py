"""Verbs about files: files save voice."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from p2pchat import errors
from p2pchat.api import file_words
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.messages import CHAT
from p2pchat.cli.options import Arg, Verb, count, duration, opt
from p2pchat.cli.outgoing import WAIT_OPTIONS, readable_file, send_files
from p2pchat.cli.output import Cell, cell, short_date
from p2pchat.cli.progress import ProgressLine

FETCH, PAUSE, CANCEL = ACTIONS = ("fetch", "pause", "cancel")
_LAST = 50
"""The number of files shown by default."""


def files(context: Context, args: Namespace) -> int:
    """List the files of a chat, or fetch, pause or cancel one."""
    if args.id is not None:
        if args.chat not in ACTIONS:
            raise errors.UsageError(f"{args.chat} is not one of {', '.join(ACTIONS)}", hint="Or name a chat alone.")
        return answers.say(context, _told, f"{args.chat}_file", id=args.id)
    answers.show(context, _row, "No files yet.", "files", chat=args.chat, limit=args.limit)
    return 0


def _told(message: dict[str, Any]) -> str:
    return file_words.line(message["file"], mine=message["mine"])


def _row(message: dict[str, Any]) -> list[Cell]:
    file, mine = message["file"], message["mine"]
    when = short_date(message["sent_at"] if mine else message["received_at"])
    parts = [*file_words.what(file)[:1], file_words.size(file["size"])]
    now = file_words.stands(file, mine=mine) or ("delivered" if mine else "here")
    return [
        cell(message["id"], "dim"),
        cell(when, "dim"),
        cell(", ".join(parts)),
        cell(now, "green" if file["state"] == "here" else ""),
        cell(message["from"], "" if mine else "bold"),
        cell(file["name"]),
        cell(file_words.problem(file), "dim"),
    ]


def save(context: Context, args: Namespace) -> int:
    """Write a file into a folder, once it is whole, and print where."""
    folder = str(Path(args.to).expanduser().absolute())

    def is_it(event: dict[str, Any]) -> bool:
        return str(event["id"]).startswith(args.id.lower())

    with context.client() as client, ProgressLine(context.out, is_it) as line:
        saved = line.call(client, "save_file", id=args.id, to=folder, timeout=args.timeout)
    if context.out.json:
        context.out.object(saved)
        return 0
    context.out.line(saved["path"])
    if saved["warning"]:
        context.out.note(saved["warning"])
    return 0


def send_voice(context: Context, args: Namespace) -> int:
    """Send a voice note, from a file of sound or from the microphone, and print its id."""
    if (args.source is None) == (args.seconds is None):
        raise errors.UsageError("A voice note comes from a file or the microphone", hint="Say --from or --seconds.")
    from p2pchat.media import voice  # no other verb needs it

    if args.source is not None:
        note = voice.from_file(Path(readable_file(args.source)))
    else:
        if args.seconds > voice.MAX_SECONDS:
            raise errors.UsageError(f"A voice note has at most {voice.MAX_SECONDS} seconds")
        context.out.note(f"Recording for {args.seconds} s; Ctrl-C sends what there is by then.")
        note = voice.record(args.seconds)
    with voice.kept(note) as path:
        return send_files(context, args, [str(path)], args.caption or "", form="voice")


VERBS = (
    Verb(
        "files",
        "list the files of a chat, or fetch, pause or cancel one",
        files,
        (
            Arg("CHAT", f"{CHAT.help}; or {FETCH}, {PAUSE} or {CANCEL}, followed by an ID"),
            Arg("ID", "the message of a file: its id or a unique prefix of it", required=False),
        ),
        (opt("--limit", type=count, default=_LAST, metavar="N", help="the number of files (50)"),),
        "`files fetch ID` fetches a file that was too large to be fetched without asking, or goes on after a pause. "
        "`files cancel ID` declines a file and deletes what has arrived of it, or withdraws one of yours.",
        example="p2pchat files fetch 0199a3f0",
    ),
    Verb(
        "save",
        "save a file that somebody sent",
        save,
        (Arg("ID", "the message of a file: its id or a unique prefix of it"),),
        (
            opt("--to", default=".", metavar="DIR", help="the folder to save it in (the current one)"),
            opt(
                "--timeout",
                type=duration,
                default=60.0,
                metavar="TIME",
                help="how long to wait until it is whole (60s)",
            ),
        ),
        "It prints the path of the file, which only you can read and which is not executable. It never replaces "
        "another file: the new one is then called `name (1).ext`. If the file is not whole in time, the exit code is 3 "
        "and it goes on being fetched.",
        example="p2pchat save 0199a3f0 --to ~/Downloads",
    ),
    Verb(
        "voice",
        "send a voice note",
        send_voice,
        (CHAT,),
        (
            opt("--from", dest="source", metavar="FILE", help="a file of sound: WAV, or Opus in Ogg"),
            opt("--seconds", type=count, metavar="N", help="record for so many seconds"),
            opt("--caption", metavar="TEXT", help="a text to be shown under it"),
            *WAIT_OPTIONS,
        ),
        "It prints the message's id. The note has 3 kB a second and is kept in the profile until its message is "
        "deleted. To record or convert sound takes the extra `voice`, which `make voice` installs.",
        example="p2pchat voice bob --seconds 10",
    ),
)
