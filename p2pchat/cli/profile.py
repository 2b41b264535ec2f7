"""Verbs about the profile and its keys: init name settings unlock lock passphrase."""

from __future__ import annotations

import argparse
import re
import sys
from argparse import Namespace

from p2pchat import config, errors
from p2pchat.api.codec import error_object
from p2pchat.cli.context import STDIN, Context, ask_new, read_passphrase
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.cli.output import cell


def init(context: Context, args: Namespace) -> int:
    """Run `p2pchat init`: make a profile."""
    try:
        return _init(context, args)
    except errors.P2PChatError as exc:
        if args.for_face:  # `api.starting` reads it there
            context.out.object({"error": error_object(exc)})
        raise


def _init(context: Context, args: Namespace) -> int:
    profile = context.profile
    if profile.exists():
        raise errors.ProfileExists(f"There is a profile in {profile.folder} already; it was not changed")
    passphrase = _new_passphrase(context, args.no_passphrase, "Passphrase for the new profile: ")

    from p2pchat.cli import serve

    result = serve.create(profile, args.name, passphrase)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(f"Made the profile of {result['name']} in {profile.folder}")
    if result["name"] != args.name:
        context.out.note("Invisible characters were left out of the name; `p2pchat name` changes it.")
    if passphrase is None:
        context.out.note(
            "It has no passphrase: anyone who can read the folder can read the messages. `p2pchat passphrase` sets one."
        )
    else:
        context.out.note("Nobody can recover the passphrase for you.")
    context.out.note("Next: `p2pchat invite` for a friend, or `p2pchat add INVITE` with theirs.")
    return 0


def _new_passphrase(context: Context, none: bool, prompt: str) -> str | None:
    given = context.config.passphrase_file
    if none:
        if given is not None:
            raise errors.UsageError("--passphrase-file and --no-passphrase cannot be used together")
        return None
    if given is not None:
        return read_passphrase(given)
    if not sys.stdin.isatty():
        raise errors.UsageError(
            "No passphrase was given", hint="Give --passphrase-file F (- is stdin) or --no-passphrase."
        )
    return ask_new(prompt)


def name(context: Context, args: Namespace) -> int:
    """Show or change the name that contacts see."""
    with context.client() as client:
        result = client.call("name", name=args.name)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["name"])
    if args.name is not None:
        context.out.note("Your contacts are told. Those who gave you another name keep seeing that one.")
    return 0


def settings(context: Context, args: Namespace) -> int:
    """Show the settings, or change one."""
    change = {} if args.value is None else {args.key: _value(args.key, args.value.lower())}
    with context.client() as client:
        settings = client.call("settings", **change)
    if context.out.json:
        context.out.object(settings)
    elif args.key is not None:
        context.out.line(_in_words(settings[args.key]))
    else:
        context.out.table([[cell(key), cell(_in_words(value))] for key, value in settings.items()])
    return 0


_FETCH = "fetch_up_to"
_CHOICES = {"lan": config.LAN_MODES, "pictures": ("verified", "contacts", "off")}
"""Settings that have one of several values, neither yes nor no nor a number."""
_FLAGS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def _value(key: str, typed: str) -> bool | int | str:
    """Return what the API takes as the value of a setting. Raises UsageError."""
    if key in _CHOICES:
        if typed not in _CHOICES[key]:
            raise errors.UsageError(f"{typed} is not one of {', '.join(_CHOICES[key])}")
        return typed
    if key == _FETCH:
        if typed in ("off", "no"):
            return 0
        if not re.fullmatch("[0-9]{1,6}", typed):
            raise errors.UsageError(f"{typed} is neither a number of megabytes nor off")
        return int(typed)
    if typed not in _FLAGS:
        raise errors.UsageError(f"{typed} is neither yes nor no")
    return _FLAGS[typed]


def _in_words(value: object) -> str:
    return {"True": "yes", "False": "no", "None": "not decided"}.get(str(value), str(value))


def unlock(context: Context, _args: Namespace) -> int:
    """Open a locked profile."""
    with context.client() as client:  # asks for the passphrase where it is locked
        status = client.call("status")
    if context.out.json:
        context.out.object({"locked": False, "addresses": status.get("addresses", []), "state": status["state"]})
        return 0
    context.out.line("Unlocked.")
    if not status.get("foreground"):
        context.out.note(
            "The node ends 30 s after its last use unless something keeps it running; `p2pchat node` runs one "
            "permanently."
        )
    return 0


def lock(context: Context, _args: Namespace) -> int:
    """Forget the keys by ending the process that holds them."""
    from p2pchat.cli import serve

    ended = serve.end(context.profile, "lock")
    if context.out.json:
        context.out.object({"locked": True, "pid": ended})
    else:
        context.out.line("Locked." if ended else "No node is running: nothing holds the keys.")
    return 0


def passphrase(context: Context, args: Namespace) -> int:
    """Change, set or remove the passphrase."""
    if args.new_passphrase_file is not None and args.no_passphrase:
        raise errors.UsageError("--new-passphrase-file and --no-passphrase cannot be used together")
    if args.new_passphrase_file == STDIN == context.config.passphrase_file:
        raise errors.UsageError("Both passphrases cannot come from stdin", hint="Put one of them into a file.")
    given = None
    if args.new_passphrase_file is not None:
        given = read_passphrase(args.new_passphrase_file)
    with context.client() as client:
        if args.no_passphrase:
            new = None
        elif given is not None:
            new = given
        elif not client.call("status").get("has_passphrase") and context.config.passphrase_file is not None:
            new = context.passphrase()  # there is no old one that the option could mean
        elif sys.stdin.isatty():
            new = ask_new("New passphrase: ")
        else:
            hint = "Give --new-passphrase-file F (- is stdin) or --no-passphrase."
            raise errors.UsageError("No new passphrase was given", hint=hint)
        client.call("passphrase", new=new)
    if context.out.json:
        context.out.object({"passphrase": new is not None})
    else:
        context.out.line("The passphrase was removed." if new is None else "The passphrase was changed.")
    return 0


VERBS = (
    Verb(
        "init",
        "make a profile",
        init,
        opts=(
            opt("--name", required=True, help="your name, as contacts will see it"),
            opt("--no-passphrase", action="store_true", help="protect the profile by file permissions only"),
            opt("--for-face", action="store_true", help=argparse.SUPPRESS),
        ),
        notes="It asks for a passphrase on a terminal. Elsewhere, give --passphrase-file F or --no-passphrase.",
        example="p2pchat init --name Alice",
    ),
    Verb(
        "name",
        "show or change your own name, as contacts see it",
        name,
        (Arg("NAME", "the new name; omit it to show the current one", required=False),),
        example="p2pchat name 'Alice Liddell'",
    ),
    Verb(
        "settings",
        "show or change the profile's settings",
        settings,
        (
            Arg(
                "KEY",
                (
                    "keep_receiving: the node keeps running when nothing uses it; read_receipts: contacts are told "
                    "what you read; typing: you and your contacts see when the other is typing; lan: contacts are "
                    "looked for on the local network; port_mapping: the router is asked to open a port, by which "
                    "contacts reach you directly; fetch_up_to: contacts' files of up to so many megabytes are fetched "
                    "without asking; pictures: whose pictures the screen decodes and shows"
                ),
                required=False,
                choices=("keep_receiving", "read_receipts", "typing", *_CHOICES, "port_mapping", _FETCH),
            ),
            Arg(
                "VALUE",
                "yes or no; for lan: auto, on or off; for fetch_up_to: a number or off; for pictures: verified, "
                "contacts or off",
                required=False,
            ),
        ),
        example="p2pchat settings read_receipts no",
    ),
    Verb(
        "unlock",
        "open a locked profile",
        unlock,
        notes="`passphrase_command` in the profile's config.toml names a command that prints the passphrase, such as "
        '["pass", "show", "p2pchat"]. It has five minutes, and is used by every verb but rpc, and by the screen.',
        example="p2pchat unlock --passphrase-file secret.txt",
    ),
    Verb(
        "lock",
        "forget the keys by ending the process that holds them",
        lock,
        example="p2pchat lock",
    ),
    Verb(
        "passphrase",
        "change, set or remove the passphrase",
        passphrase,
        opts=(
            opt("--new-passphrase-file", metavar="F", help="read the new one from this file (- is stdin)"),
            opt("--no-passphrase", action="store_true", help="remove it"),
        ),
        notes="--passphrase-file gives the current passphrase, or the new one if the profile has none.",
        example="p2pchat passphrase --new-passphrase-file new.txt",
    ),
)
