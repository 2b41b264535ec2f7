"""The echo bot, for the screen: the verb `p2pchat echo` as a child process.

It takes a second or three, and what it does needs no part of the screen.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress

from p2pchat import errors
from p2pchat.api import codec, starting
from p2pchat.api.codec import JsonObject
from p2pchat.locations import Profile


async def echo_friend(profile: Profile) -> str:
    """Make this profile's echo bot, or start it; return its contact's id.

    The profile's node must be unlocked. Raises what the verb raises: NotNow where it is blocked, NotReached, NodeError.
    """
    return str((await _run(profile))["id"])


async def wake_echo(profile: Profile) -> None:
    """Start the echo bot, if this profile has one; errors are ignored until the user asks for it."""
    if profile.echo.exists():
        with suppress(errors.P2PChatError):
            await _run(profile, "--wake")


async def _run(profile: Profile, *words: str) -> JsonObject:
    try:
        child = await asyncio.create_subprocess_exec(
            *starting.command(profile, "echo", "--json", "--for-face", *words),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd="/",
            env=starting.environment(),
        )
    except OSError as exc:
        raise errors.P2PChatError(f"The echo bot could not be started: {exc.strerror}") from exc
    try:
        out, _ = await child.communicate()
    finally:
        if child.returncode is None:  # cancelled
            with suppress(ProcessLookupError):
                child.terminate()
    try:
        told = codec.decode(out)
    except codec.BadLine as exc:
        raise errors.P2PChatError("The echo bot could not be made", hint="`p2pchat echo` says why.") from exc
    if "error" in told:
        raise codec.error_from(told["error"])
    return told
