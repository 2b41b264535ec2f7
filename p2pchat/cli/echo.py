"""The verb echo: a bot for anyone who has nobody to talk to yet.

What it makes is real: a profile beside the person's own, with its own keys and node, an invite, a contact. Only one
such command works on a profile at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from p2pchat import errors
from p2pchat.api import codec, finding, starting
from p2pchat.api.client import Client
from p2pchat.cli import serve
from p2pchat.cli.context import Context
from p2pchat.cli.options import Verb, opt
from p2pchat.config import FILE
from p2pchat.locations import Profile
from p2pchat.log import set_up_logging

CONFIG = """\
# The echo bot of the profile beside this one, made by `p2pchat echo`. `p2pchat echo --remove` deletes this folder.
listen = ["/ip4/127.0.0.1/tcp/0"]
keep_receiving = false
"""

NAME = "echo"
"""Its name, as the person sees it, and that of its bookmark."""

INVITE_EXPIRES = 600
TIMEOUT = 30.0
"""Seconds the two may take to become contacts, and the friend to end."""


def echo(context: Context, args: Namespace) -> int:
    """Make, start or stop the echo bot."""
    try:
        if args.serve:
            return _serve(context)
        with _alone(context.profile):
            if args.stop or args.remove:
                return _end(context, args.remove)
            return _wake(context) if args.wake else _befriend(context)
    except errors.P2PChatError as exc:
        if args.for_face:
            context.out.object({"error": codec.error_object(exc)})
        raise


@contextlib.contextmanager
def _alone(owner: Profile) -> Iterator[None]:
    """Wait until no other command makes or stops this profile's echo bot. Raises NoProfile, or ProfileError."""
    if not owner.exists():
        raise errors.NoProfile(f"There is no profile in {owner.folder}")
    if owner.echo.folder.exists() and not _is_friend(owner.echo):
        hint = "Move it away; the echo bot needs that folder."
        raise errors.ProfileError(f"{owner.echo.folder} exists already and is not an echo bot", hint=hint)
    descriptor = os.open(owner.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_friend(friend: Profile) -> bool:
    """Return whether this folder is ours to use and to delete: it has our config, or nothing at all."""
    try:
        return (friend.folder / FILE).read_text().startswith(CONFIG.partition("\n")[0])
    except FileNotFoundError:
        return not any(friend.folder.iterdir())
    except (OSError, UnicodeDecodeError):
        return False


# --- make, and wake ----------------------------------------------------------------------------------


def _befriend(context: Context) -> int:
    owner, friend = context.profile, context.profile.echo
    with context.client() as ours:
        new = not friend.exists()
        if new:
            friend.make_folder()
            (friend.folder / FILE).touch(mode=0o600)
            (friend.folder / FILE).write_text(CONFIG)  # first, so that it never listens anywhere else
            starting.create(friend, NAME, None)
        with Client.connect(friend) as theirs:
            contact = _contact(ours, theirs) or _become_contacts(ours, theirs)
            if contact["state"] == "blocked":
                hint = "`p2pchat echo --remove` deletes it, then `p2pchat echo` makes another one."
                raise errors.NotNow("You blocked your echo bot", hint=hint)
            _start(owner)
    if context.out.json:
        context.out.object({key: contact[key] for key in ("id", "name", "state")})
        return 0
    context.out.line(f"{contact['name']} is {'a contact' if new else 'running'} now.")
    whom = NAME if contact["name"] == NAME else contact["id"]
    context.out.note(f"Write to it: `p2pchat send {whom} hello`. It ends when your node ends.")
    return 0


def _contact(ours: Client, theirs: Client) -> dict[str, Any] | None:
    """Return the contact that is the echo bot, if there is one: the one with whom it shares a safety number."""
    numbers = {_safety_number(theirs, contact) for contact in theirs.call("contacts")} - {""}
    for contact in ours.call("contacts") if numbers else ():
        if _safety_number(ours, contact) in numbers:
            return dict(contact)
    return None


def _safety_number(client: Client, contact: dict[str, Any]) -> str:
    try:
        return str(client.call("verify", contact=contact["id"])["safety_number"])
    except errors.UsageError:  # they have not answered yet, so there is none
        return ""


def _become_contacts(ours: Client, theirs: Client) -> dict[str, Any]:
    invite = theirs.call("invite", expires=INVITE_EXPIRES)["invite"]
    taken = {str(contact["name"]).casefold() for contact in ours.call("contacts")}
    name = next(name for name in [NAME, *(f"{NAME} {n}" for n in range(2, len(taken) + 3))] if name not in taken)
    try:
        added = ours.call("add", invite=invite, name=None if name == NAME else name, wait="accepted", timeout=TIMEOUT)
    except BaseException:
        with contextlib.suppress(errors.P2PChatError):  # or its invite keeps it running
            theirs.call("stop")
        raise
    return {**added, "name": name}  # it has told its name, or will


def _wake(context: Context) -> int:
    """Start the echo bot without output, if there is one and the user's node is running."""
    woken = False
    if context.profile.echo.exists() and finding.listens(context.profile):
        _start(context.profile)
        woken = True
    if context.out.json:
        context.out.object({"woken": woken})
    return 0


def _start(owner: Profile) -> None:
    """Start the echo bot's process, if it is not running; return when it answers. Raises the reason if it
    cannot start.
    """
    if _running(owner.echo) is not None:
        return
    path = owner.echo.folder / "echo.log"
    with starting.open_log(path) as log:
        child = subprocess.Popen(  # noqa: S603 - our own program
            starting.command(owner, NAME, "--serve"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=starting.environment(),
            start_new_session=True,
        )
    assert child.stdout is not None
    with child.stdout:
        line = child.stdout.readline()
    try:
        answer = codec.decode(line)
    except codec.BadLine as exc:
        raise errors.P2PChatError("The echo bot could not start", hint=f"{path} says why.") from exc
    if "error" in answer:
        raise codec.error_from(answer["error"])


def _serve(context: Context) -> int:
    """Run as the echo bot's process: tell the parent on stdout that it answers, or why not, then live on without it."""
    from p2pchat.bot.echo import friend

    set_up_logging(context.config.verbose, sys.stderr)
    try:
        friend(context.profile, lambda: serve.tell_parent({"event": "ready"})).work()
    except errors.P2PChatError as exc:
        serve.tell_parent({"error": codec.error_object(exc)})
        raise
    return 0


# --- end ---------------------------------------------------------------------------------------------


def _end(context: Context, remove: bool) -> int:
    friend = context.profile.echo
    there = friend.folder.exists()
    stopped = _stop(friend)
    if friend.exists():
        serve.end(friend, "stop")
    if remove and there:
        shutil.rmtree(friend.folder)
    if context.out.json:
        context.out.object({"stopped": stopped, "removed": remove and there})
    elif not there:
        context.out.line("There is no echo bot.")
    elif remove:
        context.out.line("The echo bot was deleted.")
        context.out.note("Your chat with it stays, and it is still in your list.")
    else:
        context.out.line("The echo bot is stopped." if stopped else "The echo bot was not running.")
    return 0


def _running(friend: Profile) -> int | None:
    """Return the pid of the echo bot's process."""
    from p2pchat.bot.bookmark import path_of, runner

    return runner(path_of(friend, NAME))


def _stop(friend: Profile) -> bool:
    """Stop the echo bot's process and wait for that; return whether there was one."""
    pid = _running(friend)
    if pid is None:
        return False
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], TIMEOUT)
    except ProcessLookupError:
        return True
    finally:
        os.close(process)
    if not ended:
        raise errors.NodeError(f"The echo bot, process {pid}, does not end", hint=f"If it hangs: kill {pid}")
    return True


VERBS = (
    Verb(
        "echo",
        "make or start an echo bot: a program on this computer that repeats what you write",
        echo,
        opts=(
            opt("--stop", action="store_true", help="stop it until the next `p2pchat echo`"),
            opt("--remove", action="store_true", help="stop it and delete its profile"),
            opt("--wake", action="store_true", help="start it if there is one, without any output"),
            opt("--serve", action="store_true", help=argparse.SUPPRESS),
            opt("--for-face", action="store_true", help=argparse.SUPPRESS),
        ),
        notes=("Its profile lies beside yours and has the same name with .echo appended. It ends when your node ends."),
        example="p2pchat echo",
    ),
)
