"""Runs a command line and returns its exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pchat import __version__, errors
from p2pchat.cli import options
from p2pchat.cli.options import Verb
from p2pchat.cli.output import Output
from p2pchat.config import FaceConfig, profile_folder

if TYPE_CHECKING:
    from p2pchat.cli.context import Context

GROUPS: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (
    (
        "your profile and its node",
        {"profile": ("init", "name", "settings", "unlock", "lock", "passphrase"), "serve": ("node",)},
    ),
    (
        "people",
        {
            "invites": ("invite", "invites", "add"),
            "contacts": (
                "contacts",
                "requests",
                "accept",
                "decline",
                "block",
                "unblock",
                "forget",
                "rename",
                "note",
                "verify",
            ),
        },
    ),
    (
        "messages",
        {
            "messages": ("send", "tail", "read", "delete", "why"),
            "conversation": ("reply", "edit", "history", "react", "pin", "pinned", "timer"),
            "finding": ("log", "search"),
            "files": ("files", "save", "voice"),
            "chats": ("chats", "archive", "mute", "clear"),
            "export": ("export",),
        },
    ),
    ("groups and channels", {"groups": ("group",), "channels": ("channel",)}),
    ("relays", {"relays": ("relays",), "relay": ("relay",), "offer": ("offer",), "keys": ("keys",)}),
    ("without a network", {"parcel": ("parcel",)}),
    (
        "other",
        {
            "doctor": ("doctor", "salvage"),
            "echo": ("echo",),
            "demo": ("demo",),
            "rpc": ("rpc",),
            "completion": ("completion",),
        },
    ),
)
"""The verbs by the module they are in, in the order of the help; only the module of the verb that runs is imported."""

MODULES = {verb: module for _, modules in GROUPS for module, verbs in modules.items() for verb in verbs}

VERSION_TEXT = (
    f"p2pchat {__version__}\nIts protocol has had no independent review: do not stake anybody's safety on it yet."
)

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    out = Output.standard("--json" in words[: words.index("--") if "--" in words else None])
    verbose = any(word.startswith("-vv") for word in words)
    try:
        return _run(words)
    except errors.P2PChatError as exc:
        if verbose:
            _traceback()
        out.error(exc)
        return exc.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()  # whoever read it has enough
        return 0
    except OSError as exc:
        if verbose:
            _traceback()
        _forget_output()
        what = f"{_file_of(exc)} cannot be read or written: {exc.strerror or type(exc).__name__}"
        out.error(errors.P2PChatError(what, hint="Check its permissions and the free space on its disk."))
        return 1
    except Exception as exc:  # noqa: BLE001 - the border: a fault of ours is one line too
        if verbose:
            _traceback()
        hint = "This is a bug in p2pchat; run the same command with -vv to see where."
        out.error(errors.P2PChatError(f"{type(exc).__name__}: {exc}", hint=hint))
        return 1


def _run(words: list[str]) -> int:
    name, rest = options.find_verb(words)
    verb = None
    if name is not None:
        verb, rest = options.chosen(find(name), rest)
    arguments = options.read(verb, rest)
    config = FaceConfig(
        profile_folder(arguments.profile, os.environ),
        bool(arguments.json),
        arguments.passphrase_file,
        int(arguments.verbose),
    )
    out = Output.standard(config.json)
    if arguments.version:
        out.line(VERSION_TEXT)
        return 0
    if arguments.help:
        out.line(options.help_text(verb) if verb else _help())
        return 0
    from p2pchat.cli.context import Context

    context = Context(config, out)
    return _screen(context) if verb is None else verb.run(context, arguments)


def _screen(context: Context) -> int:
    """Open the screen, which is what happens without a verb. Raises UsageError if there is no terminal."""
    if context.out.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        names = " ".join(MODULES)
        hint = f"Without a terminal, use a verb: {names} (`p2pchat --help`)."
        raise errors.UsageError("The screen needs a terminal", hint=hint)
    from p2pchat.cli.context import STDIN

    if context.config.passphrase_file == STDIN:
        raise errors.UsageError(
            "The screen reads the keyboard from stdin, so the passphrase cannot come from there",
            hint="Put the passphrase into a file and name the file.",
        )
    from p2pchat.tui import launch

    return launch.run(context.profile, context.given_passphrase())


def find(name: str) -> Verb:
    """Return the verb of that name. Raises UsageError."""
    if name not in MODULES:
        raise errors.UsageError(f"There is no verb {name}", hint="`p2pchat --help` lists them.")
    module = importlib.import_module(f"p2pchat.cli.{MODULES[name]}")
    found: Verb = next(verb for verb in module.VERBS if verb.name == name)
    return found


def _help() -> str:
    lines = [
        "p2pchat: private messages between peers, in a terminal",
        "",
        "usage: p2pchat            opens the screen",
        "       p2pchat VERB [options]",
    ]
    size = max(map(len, MODULES))
    for title, modules in GROUPS:
        names = [name for verbs in modules.values() for name in verbs]
        lines += ["", f"{title}:", *(f"  {name:<{size}}  {find(name).help}" for name in names)]
    lines += ["", "global options, anywhere on the line:"]
    for option in options.GLOBAL:
        flags = ", ".join(option.flags)
        metavar = option.settings.get("metavar")
        lines.append(f"  {flags + (' ' + metavar if metavar else ''):<20}  {option.settings['help']}")
    lines += ["", "`p2pchat VERB --help` explains a verb. The protocol has had no independent review."]
    return "\n".join(lines)


def _file_of(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "The output"


def _forget_output() -> None:
    """Make sure that output still in stdout's buffer does not fail once more at exit."""
    with contextlib.suppress(io.UnsupportedOperation, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _traceback() -> None:
    import traceback

    from p2pchat.sanitize import clean

    with contextlib.suppress(OSError):
        sys.stderr.write(clean(traceback.format_exc()))
