"""The echo bot, for anyone who has nobody to talk to yet: a second profile on this computer with a node of its own, and
this bot on it. `p2pchat echo` makes, starts and ends it.

It must not outlive its person's node, and must not keep it running either, so it is no client of that node: it watches
the process.
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
from p2pchat.bot.bot import Bot
from p2pchat.bot.events import Message
from p2pchat.locations import Profile

NAME = "echo"

GREETING = (
    "Hello! I repeat what you say. I am a program on your own computer, with a profile and a node of my own, so that "
    "you can try everything out. What we write travels as it does between people, encrypted, and does not leave this "
    "computer."
)

GRACE_SECONDS = 5.0
"""Seconds in which the person's node may come back, after a crash or for a new version."""

_LOOK_AGAIN = 0.25


def friend(owner: Profile, ready: Callable[[], object]) -> Bot:
    """The echo bot of `owner`, to be run; `ready` is called when it answers. Raises ProfileError, UsageError."""
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

    return bot


def greet(bot: Bot) -> None:
    """Say who we are to every contact that we never wrote to."""
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
    """A descriptor of the process of the profile's node, which may be about to come; None if it does not."""
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
