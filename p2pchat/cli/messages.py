"""Verbs about messages: send tail read delete why."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from p2pchat import config, errors
from p2pchat.api import file_words
from p2pchat.api.client import Client
from p2pchat.cli import answers
from p2pchat.cli.context import STDIN, Context
from p2pchat.cli.options import Arg, Verb, count, opt
from p2pchat.cli.outgoing import SEND_OPTIONS, send_files, send_text
from p2pchat.cli.output import MARKS, messages
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.moments import localized

_PAGE = 200
_HISTORY = "history"
"""The route of what was written before we joined, or on an earlier page of a channel."""
CHAT = Arg("CHAT", "a chat: its id, a unique prefix of it, or the name of the contact or group")
_MESSAGE = Arg("ID", "a message: its id or a unique prefix of it")
_CHANGES = {
    "edit": "edited",
    "reaction": "reaction",
    "pin": "pin",
    "deleted": "deleted for both",
    "hide": "hidden",
    "seen": "read by a member",
}
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
"""Seconds between two checks whether the node is back."""


def send(context: Context, args: Namespace) -> int:
    """Run `p2pchat send`: send a text or files, and print their ids."""
    if args.file:
        if args.text_file is not None or (args.text is not None and args.caption is not None):
            raise errors.UsageError("The text under a file is given twice", hint="Give it with --caption.")
        return send_files(context, args, args.file, args.caption or args.text or "", as_is=args.as_is)
    if args.caption is not None or args.as_is:
        raise errors.UsageError("--caption and --as-is are for files", hint="Name the files with --file.")
    return send_text(context, args, "send", chat=args.chat)


def tail(context: Context, args: Namespace) -> int:
    """Show messages as they arrive, across restarts of the node.

    An event only says that there is a message: it is read from the store, by its position, so that nothing is missed or
    shown twice, whatever ids peers give, whatever is deleted meanwhile, and whenever the node ends.
    """
    tailing = _Tail(context, args)
    client = context.client()
    while True:
        with client:
            try:
                tailing.follow(client)
                return 0
            except (errors.NodeGone, errors.NodeSilent):
                context.out.note("The node ended. Waiting until it is back; no message is missed meanwhile.")
        client = _reconnected(context)


def _reconnected(context: Context) -> Client:
    """Return a client of the profile's next node, as soon as there is one that is open; start it if nobody else does.

    Wait for a locked one: only the user, or the passphrase file, can open it.
    """
    backoff, start_node = Backoff(_FIRST_WAIT, _LONGEST_WAIT), False
    while True:
        time.sleep(backoff.pause())
        try:
            client = Client.connect(context.profile, start_node=start_node)
        except errors.VersionMismatch:
            raise
        except errors.NodeError:
            start_node = not context.profile.has_passphrase or _unlocks_alone(context)
            continue
        if client.greeting.get("state") != "locked":
            return client
        if _unlocks_alone(context):
            client.call("unlock", passphrase=context.passphrase())
            return client
        client.close()


def _unlocks_alone(context: Context) -> bool:
    command = config.settings(context.config.profile).passphrase_command
    return context.config.passphrase_file not in (None, STDIN) or bool(command)


class _Tail:
    """What `tail` shows, and how far it has read."""

    def __init__(self, context: Context, args: Namespace) -> None:
        self._args = args
        self._chat: str | None = None
        self._place: int | None = None
        self._printer = _Printer(context, args.count, theirs_only=args.theirs)

    def follow(self, client: Client) -> None:
        """Print messages as they arrive, until enough have. Raises NodeGone."""
        if self._place is None:
            self._begin(client)
        else:
            self._subscribe(client)
            if self._args.events:
                self._printer.event({"event": "lagged"})  # what else happened meanwhile nobody can say
            self._read_on(client)
        for event in client.events() if not self._printer.done else ():
            if event["event"] == "message":
                if self._chat in (None, event["chat"]) and not self._printer.printed(event):
                    self._read_on(client)
            elif event["event"] == "lagged":
                self._read_on(client)
            elif self._args.events:
                self._printer.event(event)
            if self._printer.done:
                break

    def _begin(self, client: Client) -> None:
        if self._args.chat is not None and self._chat is None:
            self._chat = _chat_id(client, self._args.chat)
        self._subscribe(client)
        newest = client.call("messages", limit=1)
        place: int = newest[0]["position"] if newest else 0
        if self._args.since is not None:
            page = client.call("messages", chat=self._chat, since=self._args.since, limit=_PAGE)
            if page:
                self._place = self._printer.page(page)
                self._read_on(client)
                return
        self._place = place

    def _subscribe(self, client: Client) -> None:
        client.call("subscribe", events=None if self._args.events else ["message"])

    def _read_on(self, client: Client) -> None:
        """Print what the store has after our position."""
        while not self._printer.done:
            page = client.call("messages", chat=self._chat, position=self._place, limit=_PAGE)
            if not page:
                return
            self._place = self._printer.page(page)


def _chat_id(client: Client, name: str) -> str:
    """Return the id of a chat, by the node's rule for CHAT. Raises NoSuchContact or AmbiguousName."""
    return str(client.call("timer", chat=name)["chat"])


class _Printer:
    """Prints messages, and counts them."""

    def __init__(self, context: Context, limit: int | None, *, theirs_only: bool = False) -> None:
        self._out = context.out
        self._theirs_only = theirs_only
        self._left = limit
        self._last_page: frozenset[tuple[str, str, str]] = frozenset()
        self._today = ""
        self._names = 0

    @property
    def done(self) -> bool:
        return self._left == 0

    def page(self, page: list[dict[str, Any]]) -> int:
        """Print some messages; return the position of the last one."""
        self._last_page = frozenset(map(_key, page))
        news = [message for message in page if message["route"] != _HISTORY]
        wanted = [message for message in news if not (self._theirs_only and message["mine"])]
        for message in wanted if self._left is None else wanted[: self._left]:
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
        """Return whether the last printed page held the message of this event, which then need not be requested."""
        return _key(event) in self._last_page

    def event(self, event: dict[str, Any]) -> None:
        """Print another event."""
        if self._out.json:
            self._out.object(event)
        elif event["event"] == "state":
            mark = MARKS.get(str(event.get("state")), str(event.get("state")))
            self._out.note(f"{mark}  {event.get('id')}")
        elif event["event"] == "file":
            file = event["file"]
            stands = file_words.progress(file) if file["state"] == "moving" else str(file["state"])
            if file["state"] == "waiting" and file["stored"] is not None:
                stands = file_words.at_relays(file)
            self._out.note(f"{stands}  {event['id']}")
        elif event["event"] == "changed":
            self._out.note(f"{_CHANGES.get(str(event['what']), 'changed')}  {event['id']}")
        else:
            fields = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event" and value is not None)
            self._out.note(f"{event['event']}: {fields}")


def _key(message: dict[str, Any]) -> tuple[str, str, str]:
    return message["chat"], message["from"], message["id"]


def read(context: Context, args: Namespace) -> int:
    """Mark messages as read."""

    def words(result: dict[str, Any]) -> str:
        return f"{result['unread']} unread." if result["unread"] else "Nothing is unread."

    return answers.say(context, words, "read", chat=args.chat, upto=args.upto)


def delete(context: Context, args: Namespace) -> int:
    """Delete a message here, or on both sides."""
    words = "Deleted here. Others keep their copies."
    if args.for_both:
        words = "Deleted here. Others are asked to delete it too; it may already have been read or copied."
    return answers.say(context, words, "delete", id=args.id, for_both=args.for_both)


def why(context: Context, args: Namespace) -> int:
    """Explain why a message is not delivered yet."""

    def words(result: dict[str, Any]) -> str:
        said = f"{MARKS.get(result['state'], '')} {result['state']}: {result['reason']}".strip()
        return localized(f"{said}\nNext: {result['next']}" if result.get("next") else said)

    return answers.say(context, words, "why", id=args.id)


VERBS = (
    Verb(
        "send",
        "send a message, or files",
        send,
        (CHAT, Arg("TEXT", "the text; omit it, or write -, to read it from stdin", required=False)),
        (
            opt(
                "--file",
                action="append",
                many=True,
                metavar="PATH",
                help="send files; put it last, it takes all that follows",
            ),
            opt("--caption", metavar="TEXT", help="a text under the first file"),
            opt("--as-is", action="store_true", help="send pictures byte for byte, with their metadata"),
            *SEND_OPTIONS,
        ),
        "It prints the message's id, or one for each file. Put -- before a text that begins with a dash.\nA file is "
        "read where it is while it is fetched, so leave it as it is until it is delivered. With --wait delivered "
        "it has arrived whole. Of a picture, what it says about place, time and camera is left out, unless --as-is.",
        example="p2pchat send bob 'are you there?' --wait delivered",
    ),
    Verb(
        "tail",
        "show messages as they arrive",
        tail,
        (Arg("CHAT", "only this chat", required=False),),
        (
            opt("--since", "--after", metavar="ID", help="begin with the messages that arrived after this one"),
            opt("--theirs", action="store_true", help="only messages from others, none of your own"),
            opt("--count", type=count, metavar="N", help="end after this many messages"),
            opt("--events", action="store_true", help="also show other events: states, contacts, requests"),
        ),
        "When the node is restarted or replaced, it continues after the last message it showed. What was written "
        "before you joined a group or followed a channel is no news: `p2pchat log` shows it.",
        example="p2pchat tail bob --theirs --count 1",
    ),
    Verb(
        "read",
        "mark a chat as read; the contact is told unless read receipts are off",
        read,
        (
            CHAT,
            Arg("UPTO", "the last message you read: its id or a unique prefix of it; omit it for all", required=False),
        ),
        example="p2pchat read bob",
    ),
    Verb(
        "delete",
        "delete a message, on this device only, or one of yours for both",
        delete,
        (_MESSAGE,),
        (opt("--for-both", action="store_true", help="ask the other side to delete it too"),),
        example="p2pchat delete 0199a3f0 --for-both",
    ),
    Verb(
        "why",
        "explain why a message is not delivered yet and what happens next",
        why,
        (_MESSAGE,),
        example="p2pchat why 01a2b3c4",
    ),
)
