"""The methods about the node itself."""

from __future__ import annotations

from typing import Final

from p2pchat.api.codec import API_VERSION
from p2pchat.api.table.shape import (
    Method,
    Param,
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "hello",
        "Comes first on every connection: the version of the API the client speaks. After another version than the "
        "node's, only `status` and `stop` are answered.",
        "{version, program, pid, foreground, state}; `state` is starting, locked or ready",
        (Param("version", "integer", f"The client's API version; this table is version {API_VERSION}."),),
        early=True,
    ),
    Method(
        "status",
        "How this node does. `could_relay`: a person is to be asked whether it shall be a relay (`offer`).",
        "{running, state, pid, foreground, program, version, keep_receiving, could_relay, …}",
        early=True,
    ),
    Method(
        "settings",
        "What was decided; each that is given is changed first. `keep_receiving`: the node goes on when no face is "
        "there; null until it was answered; a value in config.toml goes before it and cannot be changed here. "
        "`read_receipts`: contacts are told what was read, and by their profile whether they are. `typing`: contacts "
        "see that one writes, and one sees it of them.",
        "{keep_receiving, read_receipts, typing}",
        (
            Param("keep_receiving", "flag", "Go on when no face is there.", default=None),
            Param("read_receipts", "flag", "Tell contacts what was read.", default=None),
            Param("typing", "flag", "Tell contacts when one writes, and be told.", default=None),
        ),
    ),
    Method(
        "name",
        "What contacts see as this profile's name; one that is given becomes it first, and they are told.",
        "{name}",
        (Param("name", "text", "The new name.", default=None),),
    ),
    Method("stop", "The node ends, after its current commit.", "{stopped, pid}", early=True),
    Method(
        "unlock",
        "Opens a locked profile. An unlocked one stays as it is, whatever the passphrase.",
        "{locked, addresses, state}",
        (Param("passphrase", "text", "The profile's passphrase."),),
        early=True,
    ),
    Method("lock", "Forgets the keys by ending the process that holds them.", "{locked, pid}"),
    Method(
        "passphrase",
        "Changes the passphrase, or takes it away. `passphrase`: whether there is one now.",
        "{passphrase}",
        (Param("new", "text", "The new passphrase; null for none.", default=None),),
    ),
    Method(
        "subscribe",
        "Events come as notifications on this connection from now on; a second call replaces the first.",
        "{events}",
        (Param("events", "texts", "Names of events; null means all.", default=None),),
    ),
)
