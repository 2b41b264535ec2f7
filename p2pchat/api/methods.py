"""Every method and event of the node's API, by name: the one table, of the rows in `table`.

Arguments are checked from it (`arguments.check`); `docs/api.md` is printed from it: `python -m p2pchat.api.methods`.
The names, fields and meanings are a promise to scripts and bots; add to them freely, change none without raising
`codec.API_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from p2pchat.api.codec import API_VERSION, MAX_REQUEST
from p2pchat.api.table import channels, chats, events, files, groups, messages, node, people, relays
from p2pchat.api.table.shape import REQUIRED, Event, Method, Param

METHODS: Final[tuple[Method, ...]] = (
    *node.METHODS,
    *people.METHODS,
    *chats.METHODS,
    *messages.METHODS,
    *files.METHODS,
    *groups.METHODS,
    *groups.INVITES,
    *relays.METHODS,
    *channels.METHODS,
)
EVENTS: Final[tuple[Event, ...]] = events.EVENTS

BY_NAME: Final[Mapping[str, Method]] = {method.name: method for method in METHODS}
EVENT_NAMES: Final = tuple(event.name for event in EVENTS if event.name != "lagged")


# --- docs/api.md -----------------------------------------------------------------------------------


def document() -> str:
    """Return the page `docs/api.md`, made from the table of methods and events."""
    lines = [
        "# The node's API",
        "",
        "Generated from `p2pchat/api/table` by `python -m p2pchat.api.methods`; a test keeps them in step.",
        "",
        "JSON-RPC 2.0 over the profile's Unix socket, or over stdin and stdout with `p2pchat rpc`: one JSON object a "
        f"line, UTF-8, at most {MAX_REQUEST:,} bytes a request. Arguments go by name. Calls on one connection start in "
        "order, run concurrently and are answered as they finish; match answers by `id`. Times are RFC 3339 in "
        "UTC, ids lower-case hexadecimal. Ignore unknown fields in answers and events: there will be more.",
        "",
        "An error is `{code, message, data}`: `code` is -32000 minus the exit code of the command line, `message` is "
        "one line, and `data` is `{exit, error, hint}`, sometimes with `candidates`, and with `result` if something "
        "was done in spite of the error: a `send` or `add` that timed out has saved its request. The codes of "
        "JSON-RPC itself (-32700 to -32600) have their usual meaning.",
        "",
        f"This is version {API_VERSION}. `hello` comes first (over `p2pchat rpc` it may be left out). Until the "
        "profile is unlocked, only methods marked *early* are answered.",
        "",
        "## Methods",
    ]
    for method in METHODS:
        lines += ["", f"### {method.name}", "", method.doc + (" *Early.*" if method.early else ""), ""]
        if method.params:
            lines += ["| argument | type | default | |", "|---|---|---|---|"]
            lines += [f"| `{p.name}` | {_type(p)} | {_default(p)} | {p.doc} |" for p in method.params]
            lines += [""]
        lines += [f"Result: {_code(method.result)}"]
    lines += ["", "## Events", "", "| event | params | |", "|---|---|---|"]
    lines += [f"| `{event.name}` | `{event.params}` | {event.doc} |" for event in EVENTS]
    return "\n".join(lines) + "\n"


def _type(param: Param) -> str:
    kind = {"texts": "list of text"}.get(param.kind, param.kind)
    if param.choices:
        kind = ", ".join(f"`{choice}`" for choice in param.choices)
    return kind + (" or null" if param.optional else "")


def _default(param: Param) -> str:
    if param.default is REQUIRED:
        return "required"
    if param.default is None or isinstance(param.default, bool):
        return {None: "null", False: "false", True: "true"}[param.default]
    return str(param.default)


def _code(result: str) -> str:
    shape, semicolon, rest = result.partition("; ")
    return f"`{shape}`{semicolon}{rest}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(document())
