"""Verbs about messages: send tail log read delete why."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.cli.context import STDIN, Context
from p2pchat.cli.options import Arg, Verb, count, duration, opt
from p2pchat.cli.output import MARKS, messages

MAX_TEXT = 48_000
"""Bytes of UTF-8 in one message."""

_PAGE = 1000
_CHAT = Arg("CHAT", "a chat: its id, a unique prefix of it, or the contact's name")
_MESSAGE = Arg("ID", "a message: its id or a unique prefix of it")
_ORDER = ("saved", "stored", "delivered", "read")


def send(context: Context, args: Namespace) -> int:
    """Send a text."""
    if args.text is None and context.config.passphrase_file == STDIN:
        raise errors.UsageError("Text and passphrase cannot both come from stdin", hint="Give the text as an argument.")
    text = _checked(_from_stdin(context) if args.text is None else args.text)
    with context.client() as client:
        try:
            _sent(context, client.call("send", chat=args.chat, text=text, wait=args.wait, timeout=args.timeout))
        except errors.P2PChatError as exc:
            if exc.result:  # saved, if no more: scripts go on with its id
                _sent(context, exc.result)
            raise
    return 0


def _sent(context: Context, result: dict[str, Any]) -> None:
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(result["id"])


def _from_stdin(context: Context) -> str:
    if sys.stdin.isatty():
        context.out.note("Write the message; Ctrl-D on a line of its own sends it.")
    raw = sys.stdin.buffer.read(MAX_TEXT + 2)  # one more than fits, and the newline
    try:
        return raw.removesuffix(b"\n").decode()
    except UnicodeDecodeError as exc:
        if len(raw) > MAX_TEXT + 1:
            raise errors.TextTooLong() from exc
        raise errors.UsageError("The text is not UTF-8") from exc


def _checked(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise errors.UsageError("The text is not UTF-8") from exc
    if size > MAX_TEXT:
        raise errors.TextTooLong()
    if not text:
        raise errors.UsageError("There is no text to send")
    return text


def log(context: Context, args: Namespace) -> int:
    """Show a chat's last messages."""
    with context.client() as client:
        found = client.call("log", chat=args.chat, limit=args.limit, search=args.search)
    if context.out.json:
        for message in found:
            context.out.object(message)
    else:
        messages(context.out, found)
        if not found:
            context.out.note("No messages yet." if args.search is None else "Nothing found.")
    return 0


def tail(context: Context, args: Namespace) -> int:
    """Show messages as they come. An event only says that there is one: it is read from the store, by its position,
    so that nothing is missed or shown twice, whatever ids peers give and whatever is deleted meanwhile.
    """
    with context.client() as client:
        chat = None if args.chat is None else _chat_id(client, args.chat)
        printer = _Printer(context, args.count)
        client.call("subscribe", events=None if args.events else ["message"])
        newest = client.call("messages", limit=1)
        place: int = newest[0]["position"] if newest else 0
        if args.since is not None:
            page = client.call("messages", chat=chat, since=args.since, limit=_PAGE)
            if page:
                place = _read_on(client, chat, printer.page(page), printer)
        for event in client.events() if not printer.done else ():
            if event["event"] == "message":
                if chat in (None, event["chat"]) and not printer.printed(event):
                    place = _read_on(client, chat, place, printer)
            elif event["event"] == "lagged":
                place = _read_on(client, chat, place, printer)
            elif args.events:
                printer.event(event)
            if printer.done:
                break
    return 0


def _read_on(client: Client, chat: str | None, place: int, printer: _Printer) -> int:
    """Print what the store has after `place`; where that ends."""
    while not printer.done and (page := client.call("messages", chat=chat, position=place, limit=_PAGE)):
        place = printer.page(page)
    return place


def _chat_id(client: Client, name: str) -> str:
    """The id of the chat meant, by the rule for C and CHAT."""
    known = client.call("contacts")
    wanted = name.casefold()
    exact = [each for each in known if wanted in (each["id"], str(each["name"]).casefold())]
    found = exact or [each for each in known if wanted and str(each["id"]).startswith(wanted)]
    if not found:
        raise errors.NoSuchContact(f"There is no contact {name}")
    if len(found) > 1:
        candidates = [f"{each['name']} ({each['id']})" for each in found]
        raise errors.AmbiguousName(f"{name} means more than one", candidates=candidates)
    return str(found[0]["id"])


class _Printer:
    """Prints messages, and counts them."""

    def __init__(self, context: Context, limit: int | None) -> None:
        self._out = context.out
        self._left = limit
        self._last_page: frozenset[tuple[str, str, str]] = frozenset()
        self._today = ""
        self._names = 0

    @property
    def done(self) -> bool:
        return self._left == 0

    def page(self, page: list[dict[str, Any]]) -> int:
        """Print some; the position of the last of them."""
        self._last_page = frozenset(map(_key, page))
        for message in page if self._left is None else page[: self._left]:
            shown = {name: value for name, value in message.items() if name != "position"}
            if self._out.json:
                self._out.object(shown)
            else:
                self._names = max(self._names, min(len(shown["from"]), 24))
                self._today = messages(self._out, [shown], today=self._today, names=self._names)
            if self._left is not None:
                self._left -= 1
        return int(page[-1]["position"])

    def printed(self, event: dict[str, Any]) -> bool:
        """Whether the page printed last held the message of this event: then there is no need to ask for it."""
        return _key(event) in self._last_page

    def event(self, event: dict[str, Any]) -> None:
        """Print something else that happened."""
        if self._out.json:
            self._out.object(event)
        elif event["event"] == "state":
            mark = MARKS.get(str(event.get("state")), str(event.get("state")))
            self._out.note(f"{mark}  {event.get('id')}")
        else:
            fields = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event" and value is not None)
            self._out.note(f"{event['event']}: {fields}")


def _key(message: dict[str, Any]) -> tuple[str, str, str]:
    return message["chat"], message["from"], message["id"]


def read(context: Context, args: Namespace) -> int:
    """Note what a person has read."""
    with context.client() as client:
        result = client.call("read", chat=args.chat, upto=args.upto)
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(f"{result['unread']} unread." if result["unread"] else "Nothing is unread.")
    return 0


def delete(context: Context, args: Namespace) -> int:
    """Delete a message here."""
    with context.client() as client:
        result = client.call("delete", id=args.id)
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line("Deleted here. The other side keeps its copy.")
    return 0


def why(context: Context, args: Namespace) -> int:
    """Say why a message is not delivered yet."""
    with context.client() as client:
        result = client.call("why", id=args.id)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(f"{MARKS.get(result['state'], '')} {result['state']}: {result['reason']}".strip())
    if result.get("next"):
        context.out.line(f"Next: {result['next']}")
    return 0


VERBS = (
    Verb(
        "send",
        "send a message",
        send,
        (_CHAT, Arg("TEXT", "the text; without it stdin is sent", required=False)),
        (
            opt("--wait", choices=_ORDER, default="saved", help="the state to wait for (saved)"),
            opt("--timeout", type=duration, default=30.0, metavar="TIME", help="how long to wait (30s)"),
        ),
        "Prints the message's id.  Put -- before a text that begins with a dash.",
    ),
    Verb(
        "tail",
        "show messages as they come",
        tail,
        (Arg("CHAT", "only this chat", required=False),),
        (
            opt("--since", metavar="ID", help="begin with what came after this message"),
            opt("--count", type=count, metavar="N", help="end after so many messages"),
            opt("--events", action="store_true", help="show what else happens too: states, contacts, requests"),
        ),
    ),
    Verb(
        "log",
        "show a chat's last messages",
        log,
        (_CHAT,),
        (
            opt("--limit", type=count, default=50, metavar="N", help="how many (50)"),
            opt("--search", metavar="WORDS", help="only messages with all these words"),
        ),
    ),
    Verb(
        "read",
        "note that a chat was read; the contact is told, unless that is off",
        read,
        (_CHAT, Arg("UPTO", "the last message read, its id or a unique prefix of it; without it all", required=False)),
    ),
    Verb("delete", "delete a message, here only", delete, (_MESSAGE,)),
    Verb("why", "say why a message is not delivered yet, and what happens next", why, (_MESSAGE,)),
)
