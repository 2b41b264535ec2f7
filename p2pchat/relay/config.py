"""The relay's settings: flags take precedence over the environment, the environment over the file, the file over the
defaults.

Each setting is a field of `RelayConfig`, with its bounds and the text about it in the example file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from p2pchat import errors
from p2pchat.lib.small_file import read_beginning

MAX_BYTES = 100_000
PREFIX = "P2PCHAT_RELAY_"
KAD = "/ipfs/kad/1.0.0"
"""The name of libp2p's Kademlia in the network of IPFS."""
LISTEN = ("/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001")
SYSTEM_FOLDER = "/var/lib/p2pchat-relay"


class BadSetting(errors.UsageError):
    """The relay's configuration cannot be used."""

    hint = "`p2pchat relay --print-config` shows every setting."


def _number(default: int, least: int, most: int, about: str) -> Any:
    return field(default=default, metadata={"about": about, "least": least, "most": most})


def _flag(about: str) -> Any:
    return field(default=False, metadata={"about": about})


def _text(about: str, default: str = "") -> Any:
    return field(default=default, metadata={"about": about})


def _texts(default: tuple[str, ...], about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class RelayConfig:
    """A relay's settings. Their meaning is in the metadata, which is what `--print-config` prints."""

    data: str = _text(
        "The folder of the relay's key and its store. Without it: systemd's StateDirectory, "
        f"{SYSTEM_FOLDER} for root, p2pchat-relay in your data folder for anybody else."
    )
    listen: tuple[str, ...] = _texts(
        LISTEN,
        "Where to listen. Port 0 picks any free port, and a different one after a restart.",
    )
    announce: tuple[str, ...] = _texts(
        (),
        "The addresses to give to friends if they differ from this machine's: behind a forwarded port, in a "
        "container, or by name. Behind a web server that adds TLS, also /dns/NAME/tcp/443/wss. /onion3/NAME:PORT is "
        "the relay as an onion service, which Tor runs. If there is nothing else here, nobody learns where this "
        "machine is: the relay then listens on 127.0.0.1 only.",
    )
    proxies: tuple[str, ...] = _texts(
        (),
        "IP addresses of web servers that forward WebSocket connections to this relay. Their X-Forwarded-For header is "
        "trusted, so that the limits apply to each of their clients.",
    )
    transport: tuple[str, ...] = _texts(
        (),
        "The server of a pluggable transport, as a program and its arguments, such as /usr/bin/obfs4proxy. The relay "
        "starts it, and `announce` names where it is reached: /ip4/ADDRESS/tcp/PORT/pt/obfs4. The relay completes that "
        "address. If it announces nothing else, it listens on 127.0.0.1 only.",
    )
    transport_listen: str = _text(
        "IP:PORT at which that program listens. Without it: on every interface, at the announced port."
    )
    metrics: str = _text(
        "HOST:PORT for Prometheus at /metrics and for /healthz. Off by default. Use a local address: there is no "
        "password. Nothing there names a peer, a queue or an address."
    )
    token_file: str = _text(
        "A file with a token of 1 to 64 letters, digits and any of . _ ~ -. Everybody who deposits, fetches or is "
        "reachable here needs it. It is the part after the # of the line for friends, and their nodes give it to their "
        "contacts: it keeps strangers away, but it is not a secret. Without a token everybody can use the relay, and "
        "anyone who asks this port learns that it is a relay."
    )
    others: tuple[str, ...] = _texts(
        (),
        "Lines of other relays. This one announces itself to them, asks them for more, and tells its clients of all, "
        "who then know others when they cannot reach this one. They are also first hops to it: through them, clients "
        "reach this relay without showing it where they are. The relay connects to these lines only.",
    )
    proxy: str = _text(
        "The SOCKS5 proxy through which the relays in `others` are reached, such as Tor's socks5://127.0.0.1:9050. "
        "Without one the relay connects to them itself."
    )
    unlisted: bool = _flag(
        "Never tell anybody of this relay: it does not announce itself, and nodes and contacts do not pass on what it "
        "says of itself. Only its line and invites lead here. A relay with a token is always unlisted."
    )
    dht_listen: tuple[str, ...] = _texts(
        (),
        "Where a DHT server listens that keeps records by which people find each other, such as /ip4/0.0.0.0/tcp/4002. "
        "It has a key and a port of its own, and everybody can see what it is. Off by default.",
    )
    dht_announce: tuple[str, ...] = _texts((), "The addresses of that server if they differ from this machine's.")
    dht_peers: tuple[str, ...] = _texts(
        (),
        "Servers to begin with: full addresses, as `relay status` of other relays shows them. Servers find all others "
        "from there. With servers of the IPFS network here, this one becomes part of it.",
    )
    dht_protocol: str = _text("The protocol of that server. Only servers with the same one find each other.", KAD)
    dht_bytes: int = _number(
        64 << 20,
        1 << 20,
        1 << 40,
        "Bytes of records to keep, in memory. When it is full, those that other servers are closer to give way.",
    )
    connections: int = _number(
        8192, 8, 1_000_000, "Connections at the same time. Each takes about 60 kB of memory and one open file."
    )
    connections_per_address: int = _number(
        64, 1, 1_000_000, "Of these, how many from one IPv4 address or one IPv6 /64. People behind one router share it."
    )
    total_bytes: int = _number(
        4 << 30,
        1 << 20,
        1 << 50,
        "Bytes of blobs to store in total; the file is 20 % larger. Above three quarters, every deposit costs its "
        "sender computation. When it is full, blobs of those who hold most are deleted.",
    )
    queue_bytes: int = _number(
        64 << 20, 65_536, 1 << 40, "Bytes one queue may hold. A queue is one contact of one person."
    )
    queue_blobs: int = _number(16_384, 1, 10_000_000, "Blobs one queue may hold.")
    least_free: int = _number(
        64 << 20, 0, 1 << 50, "Bytes that must stay free on the disk; below that, deposits are refused."
    )
    longest_hours: int = _number(
        30 * 24, 1, 10 * 365 * 24, "Hours after which anything is deleted, even if more was asked for."
    )
    address_bytes: int = _number(
        512 << 20, 65_536, 1 << 50, "Bytes that may be deposited in a day from one IPv4 address or one IPv6 /64."
    )
    puts_a_second: int = _number(200, 1, 1_000_000, "Deposits per second that one client may make in the long run,")
    puts_burst: int = _number(10_000, 1, 10_000_000, "and how many at once, when it comes back with a full outbox.")
    files_bytes: int = _number(
        4 << 30,
        0,
        1 << 50,
        "Bytes of blobs of files to store in total, apart from the above: photos, voice notes and other files for "
        "people who are offline. 0: none. Where messages may need the disk, files leave it to them.",
    )
    file_box_bytes: int = _number(
        512 << 20, 65_536, 1 << 40, "Bytes of these that may wait for one person from one contact."
    )
    file_hours: int = _number(7 * 24, 1, 65_535, "Hours after which they are deleted.")
    file_address_bytes: int = _number(
        2 << 30, 65_536, 1 << 50, "Bytes of these that may be deposited in a day from one IPv4 address or one IPv6 /64."
    )
    logs_bytes: int = _number(
        2 << 30,
        0,
        1 << 50,
        "Bytes of blobs of logs to store in total, apart from the above. Groups are carried by "
        "logs, which everybody in one reads and nobody empties. 0: none. Where messages may need the disk, logs leave "
        "it to them.",
    )
    log_bytes: int = _number(
        64 << 20,
        1 << 20,
        1 << 40,
        "Bytes one log may hold. A tenth is kept for the admins of its group, so that nobody who floods it keeps his "
        "own removal out.",
    )
    log_hours: int = _number(14 * 24, 1, 65_535, "Hours after which what is in a log is deleted.")
    log_address_bytes: int = _number(
        512 << 20,
        65_536,
        1 << 50,
        "Bytes that may be put into logs in a day from one IPv4 address or one IPv6 /64.",
    )
    log_bytes_a_second: int = _number(
        32 << 10,
        1024,
        1 << 30,
        "Bytes a second that one log takes in the long run, and 512 times as many at once. Each is sent to everybody "
        "who reads the log. A tenth is kept for admins here too.",
    )
    channels_bytes: int = _number(
        256 << 20,
        0,
        1 << 50,
        "Bytes of channels to mirror in total, apart from the above. What is in a public channel can be read by anyone "
        "who has its link, here too. 0: none.",
    )
    channel_bytes: int = _number(16 << 20, 65_536, 1 << 40, "Bytes of these for one feed of a channel: the newest.")
    channel_posts: int = _number(4_096, 1, 10_000_000, "Posts of one feed.")
    channel_hours: int = _number(30 * 24, 1, 65_535, "Hours after the last sign of its writer until a feed is deleted.")
    channel_address_bytes: int = _number(
        64 << 20, 65_536, 1 << 50, "Bytes of these that may be put in a day from one IPv4 address or one IPv6 /64."
    )
    known_channels_only: bool = _flag("Mirror only the channels that are here already.")
    refused_channels: tuple[str, ...] = _texts(
        (),
        "The ids of channels never to mirror. `p2pchat relay channels` refuses others while the relay runs. Refusing a "
        "channel touches nothing else that is stored.",
    )
    stamp_bits: int = _number(
        18, 0, 40, "The work that a deposit at an invite costs its sender: 2^bits hashes; 18 takes a laptop 0.2 s."
    )
    reservations: int = _number(
        4096,
        0,
        1_000_000,
        "Clients that others may reach through this relay at the same time: each holds a reservation. 0: none.",
    )
    reservations_per_address: int = _number(
        64, 1, 1_000_000, "Of these, how many from one IPv4 address or one IPv6 /64."
    )
    reservation_seconds: int = _number(
        3600, 300, 86_400, "How long a reservation holds; clients renew it after three quarters of that."
    )
    circuits: int = _number(
        256,
        0,
        100_000,
        "Circuits at the same time: encrypted connections between two clients through this relay. Each takes about "
        "20 kB of memory, and up to 512 kB where a reader is slow. 0: none.",
    )
    circuits_per_client: int = _number(16, 1, 1000, "Of these, how many one client may have, whoever began them.")
    circuits_per_address: int = _number(
        32, 1, 100_000, "And how many may be begun from one IPv4 address or one IPv6 /64."
    )
    circuit_bytes: int = _number(
        256 << 20,
        0,
        1 << 50,
        "Bytes one circuit may carry, both ways together, before it is cut. Files use half of them, and none goes by a "
        "circuit with fewer than 16777216. 0: no limit.",
    )
    circuit_seconds: int = _number(0, 0, 31_536_000, "Seconds after which a circuit is cut. 0: no limit.")
    circuit_idle_seconds: int = _number(
        180, 0, 31_536_000, "Seconds without a byte after which a circuit is cut. 0: no limit."
    )


def load(flags: Mapping[str, Any], environment: Mapping[str, str], path: str | None = None) -> RelayConfig:
    """Return the settings from `flags` (None: not given), P2PCHAT_RELAY_… in the environment, and a TOML file. Raises
    BadSetting.
    """
    named = path or environment.get(f"{PREFIX}CONFIG")
    settings = {setting.name: setting for setting in fields(RelayConfig)}
    values: dict[str, Any] = {}
    for name, value in _file(named).items() if named else ():
        if name not in settings:
            raise BadSetting(f"{named} has an unknown setting {name!r}")
        values[name] = _checked(settings[name], value, f"{named}: {name}")
    for name, setting in settings.items():
        text = environment.get(PREFIX + name.upper())
        if text is not None:
            values[name] = _checked(setting, _parsed(setting, text), PREFIX + name.upper())
        if flags.get(name) is not None:
            values[name] = _checked(setting, flags[name], f"--{name}")
    config = RelayConfig(**values)
    return config if config.data else RelayConfig(**{**values, "data": str(_default_folder(environment))})


def example() -> str:
    """Return a TOML file with every setting, its default and its meaning, all commented out."""
    lines = ["# A relay's settings. A line that begins with # shows the default.", ""]
    lines += ["# Environment variables override this file: P2PCHAT_RELAY_ and the name in capitals; lists are"]
    lines += ["# separated by commas. Flags override both.", ""]
    for setting in fields(RelayConfig):
        lines += [*_wrapped(setting.metadata["about"]), f"#{setting.name} = {_toml(setting.default)}", ""]
    return "\n".join(lines)


def _wrapped(about: str) -> list[str]:
    import textwrap

    return textwrap.wrap(about, 100, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    import json

    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _file(path: str) -> dict[str, Any]:
    import tomllib

    try:
        raw = read_beginning(Path(path), MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadSetting(f"{path} is longer than {MAX_BYTES:,} bytes")
        return tomllib.loads(raw.decode())
    except OSError as exc:
        raise BadSetting(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise BadSetting(f"{path} is not TOML: {exc}") from exc


def _parsed(setting: Field[Any], text: str) -> Any:
    if isinstance(setting.default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(setting.default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(setting.default, int):
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
    return text


def _checked(setting: Field[Any], value: Any, where: str) -> Any:
    if isinstance(setting.default, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise BadSetting(f"{where} must be a list of texts")
        return tuple(value)
    if isinstance(setting.default, bool):
        if not isinstance(value, bool):
            raise BadSetting(f"{where} must be true or false")
        return value
    if isinstance(setting.default, str):
        if not isinstance(value, str):
            raise BadSetting(f"{where} must be a text")
        return value
    least, most = setting.metadata["least"], setting.metadata["most"]
    if type(value) is not int or not least <= value <= most:
        raise BadSetting(f"{where} must be a number from {least} to {most}")
    return value


def _default_folder(environment: Mapping[str, str]) -> Path:
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0 and not environment.get("XDG_DATA_HOME"):
        return Path(SYSTEM_FOLDER)
    data = environment.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share") / "p2pchat-relay"
