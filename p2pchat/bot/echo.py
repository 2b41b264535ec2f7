"""The echo bot, for anyone who has nobody to talk to yet: a second profile on this computer with its own node, and this
bot on it. `p2pchat echo` makes, starts and stops it.

It must not outlive its owner's node, and must not keep it running either, so it is not a client of that node but
watches its process.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.file_words import size
from p2pchat.bot.bot import Bot
from p2pchat.bot.events import FileMessage, Message
from p2pchat.locations import Profile

NAME = "echo"

GREETING = (
    "Hello! I repeat what you say. I am a program on your own computer, with a profile and a node of my own, so that "
    "you can try everything out. What we write travels as it does between people, encrypted, and does not leave this "
    "computer."
)

GRACE_SECONDS = 5.0
"""Seconds in which the owner's node may come back, after a crash or for a new version."""

_LOOK_AGAIN = 0.25


def friend(owner: Profile, ready: Callable[[], object]) -> Bot:
    """Return the echo bot of `owner`, to be run; `ready` is called when it answers. Raises ProfileError, UsageError."""
    bot = Bot(owner.echo.folder, name=NAME)

    def end_with_owner() -> None:
        until_gone(owner)
        bot.stop()

    @bot.on_start
    def begin() -> None:
        greet(bot)
        threading.Thread(target=end_with_owner, daemon=True).start()
        ready()

    @bot.on_message
    def repeat(message: Message) -> None:
        message.reply(message.text)

    @bot.on_file
    def fetch(message: FileMessage) -> None:
        bot.call("fetch_file", id=message.id)  # also one that is too large to be fetched without asking
        message.reply(f"I fetch {message.name} ({size(message.size)}), and keep it until you delete it for both of us.")

    return bot


def greet(bot: Bot) -> None:
    """Introduce the bot to every contact that it never wrote to."""
    for contact in bot.call("contacts"):
        if contact["state"] == "contact":
            said = bot.call("log", chat=contact["id"], limit=1000)
            if not any(message["mine"] for message in said):
                bot.send(contact["id"], GREETING)


def until_gone(owner: Profile) -> None:
    """Wait until the profile has had no node for `GRACE_SECONDS`."""
    while (process := _node_process(owner)) is not None:
        try:
            select.select([process], [], [])  # readable at the end of the process
        finally:
            os.close(process)


def _node_process(owner: Profile) -> int | None:
    """Return a descriptor of the process of the profile's node, which may be about to start; None if there is none."""
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        with suppress(errors.P2PChatError, ProcessLookupError):
            client = Client.running(owner)
            if client is not None:
                with client:  # while it answers its number is no other process's
                    return os.pidfd_open(int(client.greeting["pid"]))
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_AGAIN)
