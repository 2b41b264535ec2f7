"""How a chat, a route and the connection are said in words, the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from p2pchat.tui.model import CHANNEL, Chat, Message
from p2pchat.tui.text import displayable_line

ONLINE, RELAYED, OFFLINE, WAITING, BLOCKED = "●", "◐", "○", "…", "✗"
NOBODY = "·"
"""Nobody else is in the chat, or not any more."""
MANY, FEED = "#", "»"
"""A group, and a channel."""
MENTIONED = "@"
PINNED, MUTED = "↑", "~"
CLOSED, OPENED = "▸", "▾"
"""Before a line behind which others are, or below which they stand."""
VERIFIED = "✓"
FROZEN = "!"

NOTICES = ("timer", "group")
"""Kinds of messages whose text is a sentence of the node's: what was done in the chat."""

_ROUTES = {
    "direct": "direct",
    "lan": "same network",
    "punched": "direct, through both routers",
    "circuit": "through a relay",
    "mailbox": "by mailbox",
    "parcel": "in a parcel",
    "history": "written earlier, checked",
}


def mark(chat: Chat) -> str:
    """One character for how a contact can be reached, or for a chat that is with many."""
    if chat.state == "blocked":
        return BLOCKED
    if chat.state == "waiting":
        return WAITING
    if chat.state in ("notes", "forgotten", "left"):
        return NOBODY
    if chat.is_many:
        return FEED if chat.kind == CHANNEL else MANY
    if chat.online:
        return RELAYED if chat.route == "circuit" else ONLINE
    return OFFLINE


_ALONE = {"notes": "only you", "forgotten": "forgotten; read only", "left": "you are not in it any more; read only"}


def asking(number: int) -> str:
    """How many ask to join a group, in words; "" if nobody does."""
    return f"{number:,} {'asks' if number == 1 else 'ask'} to join" if number else ""


def awaited(name: str) -> str:
    """What is said of a group that the user has asked to join."""
    return f"Waiting for an admin of {name} to let you in."


def order(chat: Chat, now: datetime) -> str:
    """Signs behind a name: ` ↑` pinned, ` ~` muted."""
    muted = chat.muted_until is not None and now < chat.muted_until
    signs = PINNED if chat.pinned else "", MUTED if muted else ""
    return " ".join(["", *filter(None, signs)])


def presence(chat: Chat) -> str:
    """The same in words."""
    if chat.state == "blocked":
        return "blocked"
    if chat.state == "waiting":
        return "has not accepted yet"
    if chat.state in _ALONE:
        return _ALONE[chat.state]
    if chat.is_many:
        return ", ".join(filter(None, (chat.kind, asking(chat.requests), "frozen" if chat.frozen else "")))
    if chat.route is None:
        return "offline"
    return f"{'online' if chat.online else 'offline'}, {route(chat.route)}"


def preview(chat: Chat) -> str:
    """What the list says below a name: a draft, what was said last, or why nothing was."""
    if chat.state == "waiting":
        return "has not accepted yet"
    if chat.state == "blocked":
        return "blocked"
    if chat.draft.strip():
        return f"draft: {_begun(chat.draft)}"
    if chat.last is None:
        return ""
    words = said(chat.last, group=chat.is_many)
    if chat.is_many and chat.last.kind in NOTICES:
        return words
    if chat.last.mine:
        return f"you: {words}"
    return words if chat.last.member is None else f"{displayable_line(chat.last.member.name)}: {words}"


def said(message: Message, *, group: bool = False) -> str:
    """What a message says, on one line: its text, or what it is."""
    if message.file is not None and not message.deleted:
        from p2pchat.tui import file_words  # the list is drawn first where nobody has sent a file

        return file_words.summary(message.file, message.text)
    is_text = message.kind == "text" and not message.deleted
    return _begun(message.text) if is_text else unsaid(message, group=group)


def unsaid(message: Message, *, group: bool = False) -> str:
    """What is shown of a message that is no text, or is deleted. group: it is one of a group."""
    if message.hidden is not None:
        return displayable_line(f"hidden by {message.hidden}")
    if message.deleted:
        return f"you deleted this for {'all' if group else 'both'}" if message.mine else "deleted by its sender"
    if message.kind in NOTICES:
        return displayable_line(message.text)
    return "a kind of message that this version cannot show"


def _begun(text: str) -> str:
    """The beginning of a text on one line."""
    return displayable_line(" ".join(text[:200].split()))


def route(name: str) -> str:
    """A route in words; an unknown one by its name."""
    return _ROUTES.get(name, name)


def links(chats: Sequence[Chat]) -> list[str]:
    """How many are linked by which route, each with its sign; `nobody online` where none is."""
    counted = Counter(chat.route for chat in chats if chat.route and chat.online and chat.state == "contact")
    if not counted:
        return ["nobody online"]
    return [f"{_sign(name)} {count} {_BY.get(name, name)}" for name, count in counted.most_common()]


_BY = {"direct": "direct", "lan": "same network", "punched": "through routers", "circuit": "by relay"}


def _sign(name: str) -> str:
    return RELAYED if name == "circuit" else ONLINE


def outside(addresses: Sequence[str]) -> bool:
    """Whether one of the node's addresses could be reached from another network."""
    return any(_is_global(address) for address in addresses)


def _is_global(address: str) -> bool:
    parts = address.split("/")
    if len(parts) < 3:
        return False
    if parts[1].startswith("dns"):
        return True
    try:
        return parts[1] in ("ip4", "ip6") and ip_address(parts[2]).is_global
    except ValueError:
        return False


def status_line(
    state: str, trouble: str, chats: Sequence[Chat], unsent: int, facts: Mapping[str, Any]
) -> tuple[list[str], bool]:
    """What the status line says, the most important first, and whether something is wrong."""
    if state == "starting":
        return ["starting…"], False
    if state == "locked":
        return ["locked"], False
    if state == "gone":
        return ["node ended, restarting…", *([trouble] if trouble else [])], True
    said: list[str] = []
    states = {chat.state for chat in chats} - {"notes", "channel"}
    if states - {"forgotten"}:
        said += links(chats)
    else:
        said.append("ready, no contacts" if states else "ready, no contacts yet")
    waiting = sum(chat.state == "waiting" for chat in chats)
    if waiting:
        said.append(f"{waiting} waiting")
    if unsent:
        said.append(f"◷ {unsent} unsent")
    if facts.get("trouble"):
        said.append(displayable_line(facts["trouble"]))
    elif facts.get("relays"):
        said.append(_relays(facts["relays_connected"], facts["relays"]))
    elif "addresses" in facts and not outside(facts["addresses"]):
        said.append("not reachable from outside")
    return said, False


def _relays(connected: int, known: int) -> str:
    if not connected:
        return "no relay answers"
    return "relay connected" if connected == known == 1 else f"relays {connected}/{known}"
