"""The verb relay: the headless relay, and its status."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, opt
from p2pchat.cli.output import cell, qr
from p2pchat.lib.english import counted


def relay(context: Context, args: Namespace) -> int:
    """Run a relay, or show the status of the running one."""
    from p2pchat.cli import serve

    if args.print_config:
        context.out.line(serve.relay_example())
        return 0
    flags = {name: getattr(args, name) for name in ("listen", "data", "metrics")}
    if args.action == "status":
        _status(context, serve.relay_status(flags, os.environ, args.config))
        return 0
    if args.action == "channels":
        _channels(context, args, flags)
        return 0
    if args.change is not None:
        raise errors.UsageError("Only `relay channels` takes that")
    serve.run_relay(
        flags,
        os.environ,
        args.config,
        lambda event: _announce(context, event),
        context.config.verbose,
        trust_clock=args.trust_clock,
    )
    return 0


def _channels(context: Context, args: Namespace, flags: dict[str, Any]) -> None:
    """List the channels that the relay refuses, after refusing one or allowing it again."""
    from p2pchat.cli import serve

    if args.change is not None and args.id is None:
        raise errors.UsageError("ID is missing", hint="Whoever reports a channel gives it: 64 hexadecimal digits.")
    asked = (args.change, args.id or "", args.remark or "")
    rows = serve.refused_channels(flags, os.environ, args.config, *asked)
    if context.out.json:
        for row in rows:
            context.out.object(row)
        return
    if not rows:
        context.out.note("No channel is refused. `p2pchat relay channels refuse ID` refuses one.")
    context.out.table([[cell(row["id"]), cell(row["remark"], "dim")] for row in rows])


def _announce(context: Context, event: dict[str, Any]) -> None:
    out, lines = context.out, event["lines"]
    if out.json:
        out.object(event)
        return
    out.line("\n".join(["ready", *lines]))
    if not lines:
        return
    out.aside("")
    out.aside("To use this relay, run:")
    out.aside(f"  p2pchat relays add {lines[0]}")
    if lines[0].startswith("/onion3/"):
        out.aside("Only those who use Tor (`p2pchat node --proxy`) can reach that address.")
    if not event["public"]:
        out.aside(
            "Only machines on the same network can dial that address. For everyone else, set a "
            "public one as `announce`."
        )
    if event["channels"]:
        out.aside("")
        out.aside(
            f"It mirrors channels of strangers, up to {event['channels'] / 1e6:.0f} MB: what is in public ones can be "
            "read by anybody who has their link. `channels_bytes = 0` in its settings ends that."
        )
    if out.stdout.isatty():
        out.stdout.write(qr(lines[0], out.colour_out) + "\n")
        out.stdout.flush()


def _status(context: Context, status: dict[str, Any]) -> None:
    out = context.out
    if out.json:
        out.object(status)
        return
    well = "well" if status["healthy"] else "FAILING: its disk or its network does not work"
    out.line(f"{well}, process {status['pid']}, version {status['version']}, up {status['seconds'] // 60} min")
    held = f"{status['blobs']} blobs in {status['queues']} queues, {status['bytes'] / 1e6:.1f} MB"
    out.line(f"{held} of {status['most_bytes'] / 1e6:.0f} MB")
    if status["most_file_bytes"]:
        held = f"{status['file_blobs']} of files in {status['file_boxes']} boxes, {status['file_bytes'] / 1e6:.1f} MB"
        out.line(f"{held} of {status['most_file_bytes'] / 1e6:.0f} MB")
    if status["most_log_bytes"]:
        held = f"{status['log_blobs']} in {status['logs']} logs of groups, {status['log_bytes'] / 1e6:.1f} MB"
        out.line(f"{held} of {status['most_log_bytes'] / 1e6:.0f} MB, {status['log_followers']} times followed now")
    if status["feeds"]:
        feeds = f"{counted(status['feed_posts'], 'post')} in {counted(status['feeds'], 'feed')} of channels"
        held = f"{feeds}, {status['feed_bytes'] / 1e6:.1f} MB"
        out.line(f"{held} of {status['most_feed_bytes'] / 1e6:.0f} MB")
    out.line(f"{status['connections']} connections, {status['clients']} clients that watch {status['watched']} queues")
    reach = f"{status['reservations']} clients reachable through it, {status['circuits']} circuits"
    out.line(f"{reach}; {status['circuit_bytes'] / 1e6:.1f} MB relayed in {status['circuits_joined']} so far")
    out.line(f"since its start {status['deposits']} deposits, {_turned_away(status['refused'])}")
    if status["most_file_bytes"]:
        out.line(f"{status['files_deposited']} of files, {_turned_away(status['files_refused'])}")
    if status["most_log_bytes"]:
        out.line(f"{status['logs_appended']} in logs, {_turned_away(status['logs_refused'])}")
    out.line(f"and {status['reserved']} reservations; of these and circuits {_turned_away(status['circuits_refused'])}")
    if status["dht"]:
        known = f"{status['dht_records']} records, {status['dht_servers']} other servers known"
        out.line(f"DHT server: {known}, {status['dht_asked']} requests, {status['dht_refused']} of them refused")
        for address in status["dht"]:
            out.line(f"  {address}")
    if status["clock_held"]:
        step = f"its clock has jumped by {status['clock_step_hours']:+d} hours, so nothing is deleted by it"
        out.line(f"{step} until it has run evenly for a day; if it is right, restart with --trust-clock")
    if status["websocket"] != "/":
        out.line(f"WebSocket only at {status['websocket']}; every other path looks like a web server without pages")
    for line in status["lines"]:
        out.line(line)


def _turned_away(by_reason: dict[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason.items() if count)
    return f"{sum(by_reason.values())} turned away" + (f" ({reasons})" if reasons else "")


VERBS = (
    Verb(
        "relay",
        "run a relay for others, show its state, or refuse channels",
        relay,
        (
            Arg(
                "ACTION", "status or channels; omit it to run the relay", required=False, choices=("status", "channels")
            ),
            Arg("CHANGE", "of channels: refuse or allow", required=False, choices=("refuse", "allow")),
            Arg("ID", "the id of a channel, which its readers can see", required=False),
        ),
        (
            opt(
                "--listen", action="append", metavar="MULTIADDR", help="where to listen (port 4001 on every interface)"
            ),
            opt("--data", metavar="DIR", help="the folder for its key and its store"),
            opt("--config", metavar="FILE", help="a TOML file with its settings (or P2PCHAT_RELAY_CONFIG)"),
            opt("--metrics", metavar="HOST:PORT", help="serve Prometheus metrics and /healthz here (default: off)"),
            opt("--remark", metavar="TEXT", help="why a channel is refused, for yourself"),
            opt("--trust-clock", action="store_true", help="trust this machine's clock although it has jumped"),
            opt("--print-config", action="store_true", help="print an example of this file with every setting"),
        ),
        "It prints `ready`, its addresses and the line to give to friends. SIGTERM and SIGINT end it once "
        "it has\nanswered what it accepted. SIGHUP makes it read the token and the limits again.\n"
        "A channel that is refused is deleted and not mirrored any more, within half a minute.",
        example="p2pchat relay --listen /ip4/0.0.0.0/tcp/4001",
    ),
)
