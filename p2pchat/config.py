"""The user's configuration: flags, environment and the profile's `config.toml`, each read once and passed
on as values.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from p2pchat import errors
from p2pchat.lib import atomic_file, toml_lines
from p2pchat.lib.small_file import read_beginning

if TYPE_CHECKING:
    from p2pchat.lib.proxy_address import ProxyAddress

FILE = "config.toml"
MAX_BYTES = 100_000
MAX_MIB = 1 << 30
PASSPHRASE_SECONDS = 300.0
"""How long a `passphrase_command` may take: as long as somebody may need to find a key, and not for ever where nobody
sits.
"""
MAX_PASSPHRASE_OUTPUT = 65_536
_KNOWN = (
    *("listen", "keep_receiving", "contact_daily_mib", "contact_unread_mib", "proxy", "lan"),
    *("dht", "dht_bootstrap", "dht_protocol", "passphrase_command", "hops", "port_mapping", "transports"),
)

PROXY_VARIABLE = "P2PCHAT_PROXY"
NO_PROXY = "none"
NO_MAPPING_VARIABLE = "P2PCHAT_NO_PORT_MAPPING"
"""Set to anything, it keeps a node from asking any router for a port, whatever `config.toml` says."""
LAN_MODES = ("auto", "on", "off")
DHT_MODES = ("relays", "public", "off")
KAD = "/ipfs/kad/1.0.0"
MAX_TRANSPORTS = 8
_TRANSPORT = re.compile("[a-z][a-z0-9_]{0,15}")


class BadConfig(errors.ProfileError):
    """The profile's config.toml cannot be used."""

    hint = "Correct it or move it away."


class FaceConfig(NamedTuple):
    """What a face's command line and environment say."""

    profile: Path
    json: bool = False
    passphrase_file: str | None = None
    verbose: int = 0


@dataclass(frozen=True)
class Settings:
    """What `config.toml` says to the node.

    listen: multiaddrs; none means every interface and the port kept in the profile. keep_receiving: go on without a
    face; None where it does not say, which leaves it to the profile. contact_daily_mib, contact_unread_mib: how much
    one contact may have us store in a day, and unread; 0 for as much as they like, None for the engine's default.
    proxy: through which everything is dialled. lan: when contacts are looked for on the local network, one of
    `LAN_MODES`; "auto" is while no relay answers. dht: where records about how people are reached are kept, one of
    `DHT_MODES`. dht_bootstrap: full addresses of servers of the public network, without which "public" is nothing.
    dht_protocol: that of all these servers. passphrase_command: see `passphrase_of`. hops: 2
    if mailboxes at relays are reached through another relay only. port_mapping: the router is asked to open a port.
    transports: pluggable transports, each by its name with the program and its arguments.
    """

    listen: tuple[str, ...] = ()
    keep_receiving: bool | None = None
    contact_daily_mib: int | None = None
    contact_unread_mib: int | None = None
    proxy: ProxyAddress | None = None
    lan: str = LAN_MODES[0]
    dht: str = DHT_MODES[0]
    dht_bootstrap: tuple[str, ...] = ()
    dht_protocol: str = KAD
    passphrase_command: tuple[str, ...] = ()
    hops: int = 1
    port_mapping: bool = True
    transports: tuple[tuple[str, tuple[str, ...]], ...] = ()


def profile_folder(flag: str | None, environment: Mapping[str, str]) -> Path:
    """Return the profile's folder: the flag, else P2PCHAT_PROFILE, else `p2pchat/default` in the user's data folder.

    Raises UsageError if the folder cannot be determined.
    """
    named = flag or environment.get("P2PCHAT_PROFILE")
    if named:
        return _absolute(_expanded(named, environment))
    data = environment.get("XDG_DATA_HOME", "")
    # The XDG rules say: a relative path there is to be ignored.
    base = Path(data) if os.path.isabs(data) else _home(environment) / ".local" / "share"
    return base / "p2pchat" / "default"


def _expanded(named: str, environment: Mapping[str, str]) -> Path:
    if not named.startswith("~"):
        return Path(named)
    user, _, rest = named[1:].partition("/")
    if not user:
        return _home(environment) / rest
    import pwd

    try:
        return Path(pwd.getpwnam(user).pw_dir) / rest
    except (KeyError, ValueError):
        raise errors.UsageError(f"There is no user {user} whose folder {named} could be in", hint=_SAY_WHERE) from None


def _home(environment: Mapping[str, str]) -> Path:
    """Return the home folder: HOME, else the user database's. Raises UsageError if there is none."""
    home = environment.get("HOME", "")
    if not os.path.isabs(home):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not os.path.isabs(home):
        raise errors.UsageError("There is no home folder to keep the profile in", hint=_SAY_WHERE)
    return Path(home)


_SAY_WHERE = "Say where with --profile DIR or P2PCHAT_PROFILE."


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:  # the current folder was deleted
        raise errors.UsageError(f"{path} is relative to a folder that is gone", hint=_SAY_WHERE) from None


def settings(folder: Path) -> Settings:
    """Return the settings in a profile's folder. Raises BadConfig, naming what is wrong."""
    path = folder / FILE
    try:
        raw = read_beginning(path, MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except OSError as exc:
        raise BadConfig(f"{path} cannot be read: {exc.strerror}") from exc
    if len(raw) > MAX_BYTES:
        raise BadConfig(f"{path} is longer than {MAX_BYTES:,} bytes")
    return _settings(path, raw)


def _settings(path: Path, raw: bytes) -> Settings:
    import tomllib

    try:
        table = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as exc:
        raise BadConfig(f"{path} is not TOML: {exc}") from exc
    for key in table:
        if key not in _KNOWN:
            hint = f"It knows {', '.join(_KNOWN[:-1])} and {_KNOWN[-1]}."
            raise BadConfig(f"{path} has an unknown setting {key!r}", hint=hint)
    listen = table.get("listen", [])
    if not isinstance(listen, list) or not all(isinstance(address, str) for address in listen):
        raise BadConfig(f"In {path}, listen must be a list of addresses")
    keep = table.get("keep_receiving")
    if keep is not None and not isinstance(keep, bool):
        raise BadConfig(f"In {path}, keep_receiving must be true or false")
    proxy = _proxy(path, table.get("proxy", ""))
    lan = table.get("lan", LAN_MODES[0])
    if lan not in LAN_MODES:
        raise BadConfig(f'In {path}, lan must be "auto", "on" or "off"')
    hops = table.get("hops", 1)
    if type(hops) is not int or hops not in (1, 2):
        raise BadConfig(f"In {path}, hops must be 1 or 2")
    mapping = table.get("port_mapping", True)
    if not isinstance(mapping, bool):
        raise BadConfig(f"In {path}, port_mapping must be true or false")
    dht, bootstrap, protocol = _dht(path, table)
    command = table.get("passphrase_command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) and word for word in command):
        raise BadConfig(f'In {path}, passphrase_command must be a list of words such as ["pass", "show", "p2pchat"]')
    daily, unread = _mib(path, table, _KNOWN[2]), _mib(path, table, _KNOWN[3])
    transports = _transports(path, table)
    command = tuple(command)
    return Settings(
        tuple(listen), keep, daily, unread, proxy, lan, dht, bootstrap, protocol, command, hops, mapping, transports
    )


def _transports(path: Path, table: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    named = table.get("transports", {})
    hint = 'Write [transports.obfs4] and below it command = ["/usr/bin/obfs4proxy"].'
    if not isinstance(named, dict) or len(named) > MAX_TRANSPORTS:
        raise BadConfig(f"In {path}, transports must be tables, {MAX_TRANSPORTS} at most", hint=hint)
    found = []
    for name, entry in named.items():
        if not _TRANSPORT.fullmatch(name) or not isinstance(entry, dict) or [*entry] != ["command"]:
            raise BadConfig(f"In {path}, transports.{name!r} must have a command, and nothing else", hint=hint)
        words = entry["command"]
        if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
            raise BadConfig(f"In {path}, the command of transports.{name} must be a list of words", hint=hint)
        found.append((name, tuple(words)))
    return tuple(found)


def _dht(path: Path, table: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    mode, bootstrap = table.get("dht", DHT_MODES[0]), table.get("dht_bootstrap", [])
    protocol = table.get("dht_protocol", KAD)
    if mode not in DHT_MODES:
        raise BadConfig(f'In {path}, dht must be "relays", "public" or "off"')
    if not isinstance(bootstrap, list) or not all(isinstance(address, str) for address in bootstrap):
        raise BadConfig(f"In {path}, dht_bootstrap must be a list of addresses")
    if mode == "public" and not bootstrap:
        hint = "Name servers of the IPFS network, such as kubo shows them: /dns/NAME/tcp/4001/p2p/12D3KooW…"
        raise BadConfig(f'In {path}, dht = "public" needs dht_bootstrap', hint=hint)
    if not isinstance(protocol, str) or not protocol.startswith("/"):
        raise BadConfig(f"In {path}, dht_protocol must be a text such as {KAD}")
    return mode, tuple(bootstrap), protocol


def passphrase_of(command: Sequence[str]) -> str:
    """Run a `passphrase_command`, without a shell, and return the first line of what it prints. It may ask the user at
    the terminal, and has `PASSPHRASE_SECONDS`; an interrupt ends it. Raises BadConfig; what it printed is in no error.
    """
    from p2pchat.lib import foreground

    name = f"passphrase_command ({command[0]})"
    try:
        code, written = foreground.output_of(command, PASSPHRASE_SECONDS, MAX_PASSPHRASE_OUTPUT)
        text = written.decode().partition("\n")[0].removesuffix("\r")
    except TimeoutError:
        hint = "Run it by itself to see what it waits for."
        raise BadConfig(f"{name} had not ended after {PASSPHRASE_SECONDS:.0f} seconds", hint=hint) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "what it prints is not UTF-8"
        raise BadConfig(f"{name} cannot be used: {reason}") from None
    if code == -signal.SIGINT:
        raise BadConfig(f"{name} was interrupted")
    if code != 0:
        raise BadConfig(f"{name} failed with exit code {code}", hint="Run it by itself to see why.")
    if not text:
        raise BadConfig(f"{name} printed no passphrase", hint="Its first line has to be the passphrase.")
    return text


def _proxy(path: Path, value: object) -> ProxyAddress | None:
    if not isinstance(value, str):
        raise BadConfig(f"In {path}, proxy must be a text such as socks5://127.0.0.1:9050")
    from p2pchat.lib.proxy_address import ProxyAddress

    try:
        return ProxyAddress.parse(value) if value else None
    except ValueError as exc:
        raise BadConfig(f"In {path}, proxy {exc}") from exc


def proxy_of(environment: Mapping[str, str]) -> ProxyAddress | None:
    """Return the proxy that the environment names. Raises UsageError if it names none, so that nothing goes past it."""
    named = environment.get(PROXY_VARIABLE)
    return _parsed_proxy(PROXY_VARIABLE, named) if named else None


def keep_proxy(folder: Path, text: str) -> None:
    """Write the proxy for this and all later nodes into `config.toml`; `NO_PROXY` for none. The rest of the file stays.

    Raises UsageError if the text names no proxy, BadConfig if the file cannot be changed.
    """
    value = "" if text == NO_PROXY else text
    wanted = replace(settings(folder), proxy=_parsed_proxy("--proxy", value) if value else None)
    _keep(folder, {"proxy": value}, wanted)


def keep_network(folder: Path, *, lan: str | None = None, port_mapping: bool | None = None) -> None:
    """Write those of these that are given for this and all later nodes into `config.toml`: one of `LAN_MODES`, and
    whether the router is asked for a port. The rest of the file stays.

    Raises BadConfig if the file cannot be changed; then none of them is.
    """
    lines: dict[str, str | bool] = {}
    wanted = settings(folder)
    if lan is not None:
        lines["lan"], wanted = lan, replace(wanted, lan=lan)
    if port_mapping is not None:
        lines["port_mapping"], wanted = port_mapping, replace(wanted, port_mapping=port_mapping)
    _keep(folder, lines, wanted)


def _keep(folder: Path, lines: Mapping[str, str | bool], wanted: Settings) -> None:
    path = folder / FILE
    try:
        text = path.read_text() if path.exists() else ""
        for key, value in lines.items():
            text = toml_lines.with_line(text, key, value)
        changed = text.encode()
        if _settings(path, changed) != wanted:
            which = f"The line {' or '.join(lines)} in {path}"
            raise BadConfig(f"{which} is too complex to be changed from here", hint="Edit the file.")
        atomic_file.replace(path.resolve(), changed)
    except OSError as exc:
        raise BadConfig(f"{path} cannot be written: {exc.strerror}") from exc


def _parsed_proxy(what: str, text: str) -> ProxyAddress:
    from p2pchat.lib.proxy_address import ProxyAddress  # the screen's first picture does not wait for it

    try:
        return ProxyAddress.parse(text)
    except ValueError as exc:
        raise errors.UsageError(f"{what} {exc}", hint=f"`--proxy {NO_PROXY}` ends the use of a proxy.") from exc


def _mib(path: Path, table: Mapping[str, Any], key: str) -> int | None:
    value = table.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_MIB):
        raise BadConfig(f"In {path}, {key} must be a whole number of MiB, 0 for no limit")
    return value
