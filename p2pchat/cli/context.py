"""The context of every verb, and how it reaches the node and reads secrets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat import config, errors
from p2pchat.cli.output import Output
from p2pchat.config import FaceConfig
from p2pchat.locations import Profile

if TYPE_CHECKING:
    from p2pchat.api.client import Client

STDIN = "-"
"""The file name that means stdin."""

MAX_PASSPHRASE = 1024
"""Bytes of the longest passphrase."""


@dataclass(frozen=True)
class Context:
    """One run of the command line."""

    config: FaceConfig
    out: Output

    @property
    def profile(self) -> Profile:
        return Profile(self.config.profile)

    def client(self) -> Client:
        """Return a client of the profile's node, started and unlocked if needed. Raises Locked if nobody can be asked
        for the passphrase.
        """
        from p2pchat.api.client import Client  # the screen's first picture does not wait for it

        client = Client.connect(self.profile)
        try:
            if client.greeting.get("state") == "locked":
                client.call("unlock", passphrase=self.passphrase())
        except BaseException:
            client.close()
            raise
        return client

    def passphrase(self) -> str:
        """Return the profile's passphrase, from the given file, a command, or from the user at the terminal."""
        given = self.passphrase_without_asking()
        return ask("Passphrase: ") if given is None else given

    def passphrase_without_asking(self) -> str | None:
        """Return the passphrase from --passphrase-file, or from `passphrase_command`; None without either."""
        given = self.given_passphrase()
        if given is not None:
            return given
        command = config.settings(self.config.profile).passphrase_command
        return checked_passphrase(config.passphrase_of(command)) if command else None

    def given_passphrase(self) -> str | None:
        """Return the passphrase from --passphrase-file, or None without it."""
        name = self.config.passphrase_file
        return None if name is None else read_passphrase(name)


def read_passphrase(name: str) -> str:
    """Return the passphrase in a file, or on stdin for `-`: everything except one newline at the end. Raises
    UsageError.
    """
    try:
        if name == STDIN:
            raw = sys.stdin.buffer.read(MAX_PASSPHRASE + 3)
        else:
            with open(name, "rb") as file:
                raw = file.read(MAX_PASSPHRASE + 3)
    except OSError as exc:
        hint = "Name a file that you can read, or - for stdin."
        raise errors.UsageError(f"Cannot read the passphrase from {name}: {exc.strerror}", hint=hint) from exc
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return checked_passphrase(raw.decode())
    except UnicodeDecodeError as exc:
        raise errors.UsageError("The passphrase is not UTF-8") from exc


def checked_passphrase(text: str) -> str:
    """Return `text` if it is a valid passphrase."""
    if not text:
        raise errors.UsageError("The passphrase is empty", hint="Use --no-passphrase for none.")
    if len(text.encode()) > MAX_PASSPHRASE:
        raise errors.UsageError(f"A passphrase has at most {MAX_PASSPHRASE} bytes")
    return text


def ask(prompt: str) -> str:
    """Ask for a passphrase at the terminal. Raises Locked if stdin is not a terminal."""
    if not sys.stdin.isatty():
        raise errors.Locked(
            hint="Give the passphrase with --passphrase-file F (- is stdin), or `p2pchat unlock` first."
        )
    import getpass

    try:
        return checked_passphrase(getpass.getpass(prompt))
    except EOFError as exc:
        raise errors.Locked("No passphrase was given") from exc


def ask_new(prompt: str) -> str:
    """Ask for a new passphrase, twice."""
    first = ask(prompt)
    if ask("Repeat it: ") != first:
        raise errors.UsageError("The two do not match", hint="Try again; nothing was changed.")
    return first
