"""The verb node, and the command line's only access to node and relay, the heavy modules (imported late).

The profile's lock is taken before anything slow: of two nodes started together, one ends at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from p2pchat import config, errors
from p2pchat.api import codec, finding
from p2pchat.api.client import Client, NoNode
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.locations import Profile, ProfileLock

TAKE_OVER = 10.0
"""Seconds within which a node in the foreground takes over from a lingering one, and within which a node ends."""

FAILED_NODE_SECONDS = 3.0
"""A node that cannot open its profile stays a little, to say so; for so long `salvage` waits for its end."""

_RETRY = 0.05

Announce = Callable[[dict[str, Any]], None]


def node(context: Context, args: Namespace) -> int:
    """Run the profile's node, or show or stop the running one."""
    if args.action == "status":
        return _status(context)
    if args.action == "stop":
        return _stop(context)
    return _detached(context) if args.detached else _foreground(context, args)


def create(profile: Profile, name: str, passphrase: str | None) -> dict[str, Any]:
    """Make a profile. Raises ProfileExists, BadName, DiskFull."""
    from p2pchat.node import create_profile

    return create_profile(profile, name, passphrase)


def salvage(profile: Profile, passphrase: str | None) -> dict[str, Any]:
    """Make a new database of everything readable in a damaged one. Raises ProfileInUse, WrongPassphrase, DiskFull."""
    _refuse_while_open(profile)
    from p2pchat.node import salvage_profile

    deadline = time.monotonic() + FAILED_NODE_SECONDS
    while True:
        try:
            return salvage_profile(profile, passphrase)
        except errors.ProfileInUse:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY)


def _refuse_while_open(profile: Profile) -> None:
    """Raise ProfileInUse if a node has opened the profile: it will not end soon, unlike one that could not open it."""
    with contextlib.suppress(errors.NodeError):
        client = Client.running(profile)
        if client is not None:
            with client:
                if client.greeting.get("state") == "ready":
                    raise errors.ProfileInUse(f"A node has this profile open (process {client.greeting.get('pid')})")


def end(profile: Profile, method: str) -> int | None:
    """End the running node by `stop` or `lock` and wait for it; return its pid, None if there was none."""
    node = finding.find(profile)
    if node is None:
        if not profile.exists():
            raise errors.NoProfile(f"There is no profile in {profile.folder}")
        return None
    try:
        client = Client.running(profile, finding.SOCKET_BACK_SECONDS)
    except errors.NodeSilent:
        client = None
    if client is not None and _asked_to_end(client, method):
        finding.wait_until_free(profile, node.pid, TAKE_OVER)
    elif (still := finding.find(profile)) is not None:
        if method == "lock" and not profile.has_passphrase:
            raise errors.nothing_to_lock()
        finding.terminate(profile, still, TAKE_OVER)
    return node.pid


def _asked_to_end(client: Client, method: str) -> bool:
    """Ask the node to end by `stop` or `lock`; return whether it answered. Raises the error it answers."""
    with client:
        client.socket.settimeout(TAKE_OVER)
        try:
            client.call(method)
        except errors.NodeGone:
            return True
        except errors.NodeSilent:
            return False
        client.wait_for_end(TAKE_OVER)
    return True


# --- in the foreground -----------------------------------------------------------------------------


def _foreground(context: Context, args: Namespace) -> int:
    profile = context.profile
    if not profile.exists():
        raise errors.NoProfile(f"There is no profile in {profile.folder}")
    passphrase = context.passphrase_without_asking() if profile.has_passphrase else context.given_passphrase()
    with _taken_over(profile) as lock:
        if args.proxy is not None:  # not before: what another node runs by stays as it is
            config.keep_proxy(profile.folder, args.proxy)
        if args.lan is not None:
            config.keep_network(profile.folder, lan=args.lan)
        from p2pchat import node

        options = node.Options(
            profile,
            foreground=True,
            listen=tuple(args.listen or ()),
            relays=tuple(args.relay or ()),
            passphrase=passphrase,
            verbose=context.config.verbose,
            proxy=config.proxy_of(os.environ) if args.proxy is None else None,
        )
        node.run(options, lock, _announcer(context))
    return 0


def _announcer(context: Context) -> Announce:
    out = context.out

    def announce(event: dict[str, Any]) -> None:
        if event["event"] == "listening":
            return
        if out.json:
            out.object(event)
        elif event["event"] == "locked":
            out.line("locked")
            out.note("Unlock it with `p2pchat unlock`.")
        else:
            out.line("\n".join(["ready", *event["addresses"]]))

    return announce


def _taken_over(profile: Profile) -> ProfileLock:
    """Return the profile's lock, taken over from a lingering node if needed. Raises ProfileInUse if one is in the
    foreground.
    """
    deadline = time.monotonic() + TAKE_OVER
    while True:
        lock = ProfileLock(profile)
        try:
            lock.acquire()
        except errors.ProfileInUse:
            if time.monotonic() > deadline:
                raise
        else:
            return lock
        try:
            client = Client.running(profile, max(0.0, deadline - time.monotonic()))
        except errors.NodeSilent as exc:
            raise errors.ProfileInUse(exc.message) from exc
        if client is None:  # it has just ended
            continue
        with client:
            if client.greeting.get("foreground"):
                pid = client.greeting.get("pid")
                raise errors.ProfileInUse(f"Another node is running on this profile (pid {pid})")
            with contextlib.suppress(errors.NodeGone):
                client.call("stop")
            client.wait_for_end(max(0.05, deadline - time.monotonic()))


# --- detached --------------------------------------------------------------------------------------


def _detached(context: Context) -> int:
    """Started by `api.starting`: tell the parent on stdout that it listens or why not, then live on without it."""
    if os.fork():
        os._exit(0)  # the one that started us waits for this
    try:
        with ProfileLock(context.profile) as lock:
            from p2pchat import node

            options = node.Options(
                context.profile,
                foreground=False,
                verbose=context.config.verbose,
                proxy=config.proxy_of(os.environ),
            )
            node.run(options, lock, _tell_listening)
    except errors.P2PChatError as exc:
        _tell({"event": "failed", "error": codec.error_object(exc)})
        raise
    return 0


def _tell_listening(event: dict[str, Any]) -> None:
    if event["event"] == "listening":
        tell_parent(event)


def tell_parent(event: dict[str, Any]) -> None:
    """Send a detached process's only message to the one that started it; nobody reads after that, so the pipe is
    closed.
    """
    _tell(event)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _tell(event: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the face may be gone
        os.write(1, json.dumps(event).encode() + b"\n")


# --- status, stop ----------------------------------------------------------------------------------


def _status(context: Context) -> int:
    if not context.profile.exists():
        raise errors.NoProfile(f"There is no profile in {context.profile.folder}")
    try:
        client = Client.running(context.profile, finding.SOCKET_BACK_SECONDS)
    except errors.NodeSilent:
        if context.out.json and (node := finding.find(context.profile)) is not None:
            context.out.object({"running": True, "pid": node.pid, "state": "silent"})
        raise
    if client is None:
        if context.out.json:
            context.out.object({"running": False})
        raise NoNode()
    with client:
        status = client.call("status")
    if context.out.json:
        context.out.object(status)
        return 0
    where = "in the foreground" if status.get("foreground") else "in the background"
    context.out.line(f"{status['state']}, process {status['pid']}, {where}, version {status['program']}")
    if status.get("trouble"):
        context.out.note(f"It reaches nobody: {status['trouble']}. `p2pchat doctor` says more.")
    for address in status.get("addresses") or ():
        context.out.line(address)
    return 0


def _stop(context: Context) -> int:
    pid = end(context.profile, "stop")
    if context.out.json:
        context.out.object({"stopped": pid is not None, "pid": pid})
    else:
        context.out.line("Stopped." if pid else "No node was running.")
    return 0


# --- the relay -------------------------------------------------------------------------------------


def run_relay(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    path: str | None,
    announce: Announce,
    verbose: int,
    *,
    trust_clock: bool = False,
) -> None:
    """Run a relay until a signal ends it. Raises UsageError for its settings, ProfileInUse where one runs already."""
    from p2pchat.relay.config import load

    config = load(flags, environment, path)
    from p2pchat.relay import server

    reload = partial(load, flags, environment, path)
    server.run(config, announce, verbose, reload=reload, trust_clock=trust_clock)


def relay_status(flags: Mapping[str, Any], environment: Mapping[str, str], path: str | None) -> dict[str, Any]:
    """Return the status of the relay of that folder. Raises NoRelay."""
    from p2pchat.relay.config import load
    from p2pchat.relay.folder import Folder

    return Folder(Path(load(flags, environment, path).data).expanduser().absolute()).ask()


def refused_channels(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    path: str | None,
    change: str | None = None,
    channel: str = "",
    remark: str = "",
) -> list[dict[str, str]]:
    """Return the channels that the relay of that folder refuses, after refusing one or allowing it again. Raises
    UsageError for an id that is none.
    """
    from p2pchat.relay.config import load
    from p2pchat.relay.folder import Folder
    from p2pchat.relay.refused_channels import RefusedChannels, parse_id

    config = load(flags, environment, path)
    folder = Folder(Path(config.data).expanduser().absolute())
    listed = RefusedChannels(folder.refused_channels)
    if change is not None:
        listed.change(parse_id(channel), None if change == "allow" else remark)
    found = [{"id": id.hex(), "remark": about} for id, about in listed.listed().items()]
    return [*found, *({"id": text, "remark": "by the settings"} for text in config.refused_channels)]


def relay_example() -> str:
    """Return an example of a relay's configuration."""
    from p2pchat.relay.config import example

    return example()


VERBS = (
    Verb(
        "node",
        "run this profile's node in the foreground, or `node status`, `node stop`",
        node,
        (Arg("ACTION", "status or stop; omit it to run the node", required=False, choices=("status", "stop")),),
        (
            opt(
                "--listen", action="append", metavar="MULTIADDR", help="where to listen, such as /ip4/0.0.0.0/tcp/4001"
            ),
            opt(
                "--relay",
                action="append",
                metavar="MULTIADDR",
                help="a relay to use for this run only, besides the stored ones",
            ),
            opt(
                "--proxy",
                metavar="URL",
                help="dial everything through this SOCKS5 proxy from now on, such as socks5://127.0.0.1:9050; `none` "
                "for no proxy",
            ),
            opt(
                "--lan",
                choices=config.LAN_MODES,
                help="look for contacts on the local network from now on: `on`, `off`, or `auto`, which is while no "
                "relay answers",
            ),
            opt("--detached", action="store_true", help=argparse.SUPPRESS),
        ),
        "It prints `ready` and its addresses once it works. SIGTERM and SIGINT end it.",
        example="p2pchat node --listen /ip4/0.0.0.0/tcp/4001",
    ),
)
