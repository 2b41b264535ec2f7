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
        "Must come first on every connection, with the version of the API that the client speaks. If that is "
        "not the node's version, the node answers only `status` and `stop`.",
        "{version, program, pid, foreground, proxy, state}; `proxy` is HOST:PORT or empty; `state` is starting, locked "
        "or ready",
        (Param("version", "integer", f"The client's API version; this table is version {API_VERSION}."),),
        early=True,
    ),
    Method(
        "status",
        "Returns its state. `could_relay`: ask the user whether this node should be a relay (`offer`). `trouble`: "
        "what keeps it from everybody, in a few words, such as `no network`; empty if nothing does.",
        "{running, state, pid, foreground, proxy, program, version, keep_receiving, could_relay, trouble, …}",
        early=True,
    ),
    Method(
        "settings",
        "Returns the profile's settings, after changing those that are given. `keep_receiving`: the node "
        "keeps running when no face is connected; null until the user has decided; a value in config.toml "
        "overrides it and cannot be changed here. `read_receipts`: contacts are told what was read; the "
        "profile tells them whether this is on. `typing`: the user and their contacts see when the other is "
        "typing. `lan`: when contacts are looked for on the local network; `auto` is while no relay answers. It is "
        "kept in config.toml; with a proxy it is `off` and cannot be changed. `port_mapping`: the router is asked to "
        "open a port; the same applies. `fetch_up_to`: a contact's file of up to so many megabytes (1,000,000 bytes) "
        "is fetched without asking; 0 for none. `pictures`: whose pictures are decoded and shown, those of verified "
        "contacts, of all contacts, or of nobody.",
        "{keep_receiving, read_receipts, typing, lan, port_mapping, fetch_up_to, pictures}",
        (
            Param("keep_receiving", "flag", "Keep running when no face is connected.", default=None),
            Param("read_receipts", "flag", "Tell contacts what was read.", default=None),
            Param("typing", "flag", "Send and show typing notifications.", default=None),
            Param(
                "lan", "text", "Look for contacts on the local network.", default=None, choices=("auto", "on", "off")
            ),
            Param("port_mapping", "flag", "Ask the router to open a port.", default=None),
            Param("fetch_up_to", "integer", "Megabytes, at most 65,536.", default=None),
            Param(
                "pictures", "text", "Whose pictures are shown.", default=None, choices=("verified", "contacts", "off")
            ),
        ),
    ),
    Method(
        "name",
        "Returns the name that contacts see, after changing it if one is given; contacts are then told.",
        "{name}",
        (Param("name", "text", "The new name.", default=None),),
    ),
    Method("stop", "Ends the node, after its current commit.", "{stopped, pid}", early=True),
    Method(
        "unlock",
        "Opens a locked profile. Does nothing if the profile is unlocked, whatever the passphrase.",
        "{locked, addresses, state}",
        (Param("passphrase", "text", "The profile's passphrase."),),
        early=True,
    ),
    Method("lock", "Forgets the keys by ending the process that holds them.", "{locked, pid}"),
    Method(
        "passphrase",
        "Changes or removes the passphrase. `passphrase`: whether the profile has one now.",
        "{passphrase}",
        (Param("new", "text", "The new passphrase; null for none.", default=None),),
    ),
    Method(
        "subscribe",
        "Subscribes this connection to events, which arrive as notifications. A second call replaces the first.",
        "{events}",
        (Param("events", "texts", "Names of events; null means all.", default=None),),
    ),
)
