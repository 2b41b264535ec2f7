"""Every method and event of the node's API, by name: the one table.

Arguments are checked from it (`arguments.check`); `docs/api.md` is printed from it: `python -m p2pchat.api.methods`.
The names, fields and meanings are a promise to scripts and bots; add to them freely, change none without raising
`codec.API_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from p2pchat.api.codec import API_VERSION, MAX_REQUEST

REQUIRED: Final = "required"
WAITS: Final = ("saved", "stored", "delivered", "read")


@dataclass(frozen=True)
class Param:
    """One argument. `kind`: text, integer, number, flag, texts; `choices` narrow a text; default None: nullable."""

    name: str
    kind: str
    doc: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        return self.default is None


@dataclass(frozen=True)
class Method:
    """One method. `early`: answered before the profile is unlocked and open."""

    name: str
    doc: str
    result: str
    params: tuple[Param, ...] = ()
    early: bool = False


@dataclass(frozen=True)
class Event:
    """One notification the node sends to those who subscribed."""

    name: str
    doc: str
    params: str


_CONTACT = Param("contact", "text", "A contact: its id, a unique prefix of it, or its name.")
_CHAT = Param("chat", "text", "A chat: its id, a unique prefix of it, or the contact's name.")
_TIMEOUT = Param("timeout", "number", "Seconds to wait at most.", default=30)
_MESSAGE_ID = Param("id", "text", "A message: its id or a unique prefix of it.")

_TIMES = "2026-11-20, 2026-11-20T14:00 (with Z or a zone, else local), 14:00, today, yesterday, 30m, 3h, 7d or 2w ago."

_MESSAGE = (
    "{id, chat, from, sender, mine, text, kind, sent_at, received_at, state, route, late, reply_to, quote, edited_at, "
    "reactions, pinned, expires_in, expires_at, deleted}"
)
_FIELDS = (
    "`mine`: it was written here; else `sender` is the id of the contact who wrote it. `from` is the name to show, and "
    "`me` for what is mine. "
    "`kind` is text, or timer for a line about the chat. `reply_to` is the id of the message that it answers and "
    "`quote` how that begins, {from, text, here, deleted}: where it is not `here`, the text is what the sender of the "
    "answer says. "
    "`reactions` are [{emoji, from, mine}]. `expires_in` are the seconds that it stays once it was read, or sent; "
    "`expires_at` is when that ends, null before. `deleted`: its sender deleted it for both, and its text is empty."
)
_IN_CHAT = Param("chat", "text", "The chat it is in; null for the first message here with that id.", default=None)

METHODS: Final[tuple[Method, ...]] = (
    # The node itself.
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
    # Contacts.
    Method(
        "invite",
        "Makes an invite: an offer to become contacts. `reachable`: it leads here; `relayed`: by a relay too; "
        "`relays`: how many hold it, so that it works while this node is off.",
        "{id, invite, expires_at, reachable, relayed, relays, notice}",
        (
            Param("reusable", "flag", "Many people may use it; each is asked about.", default=False),
            Param("ask", "flag", "Ask before whoever uses a one-time invite becomes a contact.", default=False),
            Param("expires", "integer", "Seconds until it expires.", default=604_800),
            Param("hide", "flag", "Who uses it never learns this node's network address.", default=False),
        ),
    ),
    Method(
        "add",
        "Takes an invite: asks its maker to become contacts. Where its maker is a contact already, they are asked to "
        "begin anew (`anew`); what is there goes on until they accept.",
        "{id, name, state, anew}; `state` is waiting or contact",
        (
            Param("invite", "text", "The text of the invite."),
            Param("name", "text", "What to call the contact.", default=None),
            Param(
                "wait", "text", "Until the inviter has it, or accepted it.", default=None, choices=("sent", "accepted")
            ),
            _TIMEOUT,
            Param("hide", "flag", "Its maker never learns this node's network address.", default=False),
        ),
    ),
    Method(
        "contacts",
        "The contacts. `route` is how a message would travel now: `direct`, `circuit` or another kind of link, "
        "`mailbox` where there is no link but a relay that keeps it for them, null where it would wait here. `hidden`: "
        "they never learn this node's network address.",
        "[{id, name, state, verified, route, hidden}]; `state` is contact, waiting or blocked",
    ),
    Method(
        "requests",
        "Contact requests. `known`: it is somebody in the list already who begins anew, without their "
        "history or on another machine; the safety number stays theirs, the eight words are new.",
        "[{id, name, since, sas, known}]",
    ),
    Method("accept", "Accepts a request.", "{id, name, state}", (_CONTACT,)),
    Method("decline", "Declines a request, without a word to the other side.", "{id}", (_CONTACT,)),
    Method(
        "block",
        "Blocks a contact: nothing of theirs is taken any more, and what was still to be delivered to them has failed. "
        "They are not told. The history stays. `unblock` ends it.",
        "{id, name, state}",
        (_CONTACT,),
    ),
    Method(
        "unblock",
        "Ends a block: messages go both ways again. What they wrote meanwhile comes if their node still has it. One "
        "who had only asked to become a contact is in `requests` again.",
        "{id, name, state}",
        (_CONTACT,),
    ),
    Method(
        "rename",
        "Gives a contact another name, here only.",
        "{id, name, state}",
        (_CONTACT, Param("name", "text", "The new name.")),
    ),
    Method(
        "hide",
        "Never shows a contact this node's network address, from now on; or shows it again. They are told where they "
        "reach this node then: for hidden contacts by its relays only. `notice` says what is missing for that, or is "
        "empty.",
        "{id, name, state, hidden, notice}",
        (_CONTACT, Param("hidden", "flag", "False shows it again.", default=True)),
    ),
    Method(
        "verify",
        "The safety number to compare with a contact.",
        "{safety_number, verified, sas}",
        (_CONTACT, Param("set", "flag", "Note that you compared it and it was the same.", default=False)),
    ),
    # Chats and messages.
    Method(
        "chats",
        "The chats as a list shows them, newest activity first. `unread` counts to 1,000, `first_unread` is the id of "
        "the first such message in the chat's order, `last` its last message or null, `draft` what was begun there, "
        "`timer` for how many seconds messages stay, or null.",
        "[{id, name, state, verified, route, hidden, kind, unread, first_unread, last, draft, "
        "archived, muted_until, timer}]; `state` is "
        "contact, waiting or blocked, `kind` direct",
    ),
    Method(
        "read",
        "A person has read what the contact wrote, up to a message in the order of `log`. What was unread is no more; "
        "the contact is told, if `read_receipts` is on.",
        "{unread, first_unread}",
        (_CHAT, Param("upto", "text", "The last message read (its id); null for all.", default=None)),
    ),
    Method(
        "draft",
        "Keeps what was begun in a chat and not sent yet.",
        "{}",
        (_CHAT, Param("text", "text", 'What was begun; "" forgets it.')),
    ),
    Method(
        "archive",
        "Puts a chat away, or takes it out again. It is only a note for faces, and stays when a message comes.",
        "{id, archived, muted_until}",
        (_CHAT, Param("archived", "flag", "False takes it out again.", default=True)),
    ),
    Method(
        "mute",
        "Faces tell nobody of what comes in a chat, until a time. Nothing else changes, and nobody is told.",
        "{id, archived, muted_until}",
        (_CHAT, Param("seconds", "integer", "How long; null for ever, 0 ends it.", default=None)),
    ),
    Method(
        "send",
        "Sends a text. It is on disk, and will be delivered, when this answers.",
        "{id, state, route, stored_at}",
        (
            _CHAT,
            Param("text", "text", "At most 48,000 bytes of UTF-8, kept byte for byte."),
            Param("reply_to", "text", "The message of the chat that it answers (its id).", default=None),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            _TIMEOUT,
        ),
    ),
    Method(
        "reply",
        "Sends a text that answers a message, into the chat of that one.",
        "{id, state, route, stored_at}",
        (
            _MESSAGE_ID,
            Param("text", "text", "As in `send`."),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            _TIMEOUT,
        ),
    ),
    Method(
        "edit",
        "Gives a text of one's own another wording, for both, within 48 hours. What it said before is kept.",
        _MESSAGE,
        (_MESSAGE_ID, Param("text", "text", "The new text, as in `send`."), _IN_CHAT),
    ),
    Method(
        "history",
        "What a message said before it was edited, the first text first, and at the end what it says now.",
        "[{text, at}]",
        (_MESSAGE_ID, _IN_CHAT),
    ),
    Method(
        "react",
        "Puts an emoji under a message, for both, in place of the one that one put there before.",
        _MESSAGE,
        (_MESSAGE_ID, Param("emoji", "text", 'One emoji; "" takes it away.'), _IN_CHAT),
    ),
    Method(
        "pin",
        "Pins a message to the top of its chat, for both, or takes the pin away.",
        _MESSAGE,
        (_MESSAGE_ID, Param("pinned", "flag", "False takes the pin away.", default=True), _IN_CHAT),
    ),
    Method("pinned", "The pinned messages of a chat, in its order; the last 100.", f"[{_MESSAGE}]", (_CHAT,)),
    Method(
        "timer",
        "How long the messages of a chat stay, in seconds, null for as long as anybody wants, and who set it when. A "
        "new timer is for what is written from now on, by both. It counts from reading, for one's own messages from "
        "sending. It asks the other side's program to delete; it cannot stop a copy.",
        "{chat, timer, by, at}",
        (_CHAT, Param("seconds", "integer", "5 to 31,622,400, or 0 to end it; null only asks.", default=None)),
    ),
    Method(
        "typing",
        "Tells a contact that one is writing: to be called while somebody does, as often as one likes. It goes only "
        "over a link that is there, at most every five seconds, and if the setting `typing` is on.",
        "{told}",
        (_CHAT, Param("writing", "flag", "False: one has stopped.", default=True)),
    ),
    Method(
        "log",
        "A chat's last messages, or those next to one of them, or those of a time, newest last. Where a beginning is "
        "given (`since`, `after`), the first that follow it. `search` and `around` stand alone, and `before` excludes "
        f"`after`. {_FIELDS}",
        f"[{_MESSAGE}]",
        (
            _CHAT,
            Param("limit", "integer", "How many at most.", default=50),
            Param("search", "text", "Only messages with all these words; the last may be a beginning.", default=None),
            Param("before", "text", "Only messages before this one (its id).", default=None),
            Param("after", "text", "Only messages after this one (its id), the first of them.", default=None),
            Param("around", "text", "This message (its id) and those round it.", default=None),
            Param("since", "text", f"Only messages from this time on, or from `unread` on; {_TIMES}", default=None),
            Param("until", "text", "Only messages before this time.", default=None),
        ),
    ),
    Method(
        "search",
        "Messages that match a query, newest last, of one chat or of all. A query has words, `word*` for a beginning "
        'of two letters or more, `"a phrase"`, `from:NAME` (`from:me`), `before:DATE`, `after:DATE` (that day or '
        "later) and `has:link`; all of it has to be true, and anything else is an error (BadQuery). `snippet`: the "
        "text around the first match, in parts; `hit` marks what was looked for. `position` is the place for `before` "
        "and `after`, which lead to more hits, or to the next one with a `limit` of 1.",
        f"[{_MESSAGE[:-1]}, position, chat_name, snippet: [{{text, hit}}]}}]",
        (
            Param("query", "text", "What to look for."),
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param("limit", "integer", "How many at most (200).", default=50),
            Param("before", "integer", "Only hits before this position.", default=None),
            Param("after", "integer", "Only hits after this position, the first of them.", default=None),
            Param("typing", "flag", "The last word may go on, as while a person types.", default=False),
            Param("context", "integer", "Characters of a snippet; 0 for the whole text.", default=160),
        ),
    ),
    Method(
        "locate",
        "Where a jump in a chat leads: the id of the first unread message, or of the first one at a time or later; "
        "null where there is none. `log` with `around` shows it.",
        "{id}",
        (_CHAT, Param("to", "text", f"`unread`, or a time; {_TIMES}")),
    ),
    Method(
        "messages",
        "Messages in the order they came to this profile, to catch up after `lagged`: those after `since` or after "
        "`position`, or the newest. Each has its position in that order, which only rises.",
        f"[{_MESSAGE[:-1]}, position}}]",
        (
            Param("chat", "text", "Only this chat; null for all.", default=None),
            Param(
                "since",
                "text",
                'Only messages that came after this one (its id); "" for all from the first.',
                default=None,
            ),
            Param(
                "position",
                "integer",
                "Only messages after this position; 0 for all from the first. For who keeps the place: a position "
                "means the same for ever, also when its message was deleted.",
                default=None,
            ),
            Param(
                "limit",
                "integer",
                "How many at most (1,000). Without `since`, `position` and this there are none.",
                default=None,
            ),
        ),
    ),
    Method(
        "delete",
        "Deletes a message, here only, or one's own on both sides: the other side's program is asked to.",
        "{id}",
        (_MESSAGE_ID, Param("for_both", "flag", "Delete it on the other side too.", default=False), _IN_CHAT),
    ),
    Method(
        "why",
        "Why a message is not delivered yet, and what happens next. `relays`: at how many it lies, `until` when.",
        "{id, state, reason, next, relays, until}",
        (_MESSAGE_ID,),
    ),
    # Relays.
    Method(
        "relays",
        "The relays this profile uses, best first, and how it stands with them. `state` is connected, connecting, "
        "unreachable or refused; `used`: it is one of the two where envelopes wait for us; `kept`: for longer than "
        "this run; `contact`: whose node it is, or null. At the end those that contacts offer and that are not used, "
        "with the state offered. One may be removed first, and one added, which waits a moment for its answer; its row "
        "says `added`. Of a relay that is in the list already, a token or an address that works is not given up "
        "(NotNow), unless `replace`.",
        "[{address, state, since, problem, used, kept, contact, added}]",
        (
            Param(
                "add",
                "text",
                "The address of a relay, with `#` and its token where it wants one; or a contact who offers to be one.",
                default=None,
            ),
            Param("remove", "text", "The address of one of them.", default=None),
            Param("replace", "flag", "What is added takes the place of the relay's entry.", default=False),
        ),
    ),
    Method(
        "offer",
        "Whether this node is a small relay for its contacts, in `relay`: null until a person answered, here. "
        "`reachable`: a contact has reached it from outside at a public address. `notice` says in words what is so, "
        "what it means, and what it shows.",
        "{relay, reachable, notice}",
        (Param("answer", "flag", "Be one from now on, or no more.", default=None),),
    ),
    Method("doctor", "What works from here and what does not.", "[{check, ok, detail, hint}]"),
)

EVENTS: Final[tuple[Event, ...]] = (
    Event("message", "A message was saved: one's own or another's.", _MESSAGE),
    Event(
        "changed",
        "A message was edited, reacted to, pinned, or deleted for both, in `what`: edit, reaction, pin or deleted. "
        "`notify`: somebody reacted to one's own.",
        f"{_MESSAGE[:-1]}, what, notify}}",
    ),
    Event("typing", "A contact is writing, or has stopped; without another word it counts for 10 s.", "{chat, typing}"),
    Event(
        "state",
        "The state of one's own message changed, or a message was deleted here, or has ended.",
        "{id, chat, state, route, at}",
    ),
    Event(
        "contact",
        "A contact was added or changed, or their link came up or went down: `route` is `mailbox` or null without one. "
        "Of a link that does so again and again, no more than about one a second is told.",
        "{id, name, state, verified, route, hidden}",
    ),
    Event(
        "chat",
        "Something else is unread in a chat: a message came, was read or was deleted; or its timer is another one.",
        "{id, unread, first_unread, timer}",
    ),
    Event("request", "Somebody asks to become a contact, or begins anew.", "{id, name, since, sas, known}"),
    Event("node", "Something a person should know, in `warning`.", "{warning}"),
    Event(
        "lagged",
        "The client read too slowly and events were dropped; read again from the store (`messages {since}`). "
        "Comes to every subscriber, asked for or not.",
        "{}",
    ),
)

BY_NAME: Final[Mapping[str, Method]] = {method.name: method for method in METHODS}
EVENT_NAMES: Final = tuple(event.name for event in EVENTS if event.name != "lagged")


# --- docs/api.md -----------------------------------------------------------------------------------


def document() -> str:
    """Return the page `docs/api.md`, made from the table of methods and events."""
    lines = [
        "# The node's API",
        "",
        "Printed from `p2pchat/api/methods.py` by `python -m p2pchat.api.methods`; a test keeps the two equal.",
        "",
        "JSON-RPC 2.0 over the profile's Unix socket, or over stdin and stdout with `p2pchat rpc`: one JSON object a "
        f"line, UTF-8, at most {MAX_REQUEST:,} bytes a request. Arguments go by name. Calls of one connection start in "
        "order, run at the same time and are answered as they finish; match answers by `id`. Times are RFC 3339 in "
        "UTC, ids lower-case hexadecimal. Ignore fields you do not know in answers and events: more will come.",
        "",
        "An error is `{code, message, data}`: `code` is -32000 minus the exit code of the command line, `message` one "
        "line, `data` is `{exit, error, hint}`, sometimes `candidates`, and `result` where something was done all the "
        "same: a `send` or `add` that waited in vain has saved what it was asked. The codes of JSON-RPC itself "
        "(-32700 to -32600) mean what they mean there.",
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
    return {None: "null", False: "false", True: "true"}.get(param.default, str(param.default))


def _code(result: str) -> str:
    shape, semicolon, rest = result.partition("; ")
    return f"`{shape}`{semicolon}{rest}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(document())
