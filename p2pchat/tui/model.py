"""What the screen knows, as plain data. Made from what the node answers (`node_client` has cleaned every string in it).

Named tuples: a flood makes thousands, and a frozen dataclass takes four times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from p2pchat.lib.moments import localize, localized

ME = "me"

MAX_PEAKS = 64

NOTES = "00" * 8
"""The id of the chat with oneself."""


DIRECT, GROUP, CHANNEL = "direct", "group", "channel"
NOTICE = "group"
"""The kind of a message that nobody wrote: a sentence of the node's about what was done in a group."""
HISTORY = "history"
"""The route of what was written before we joined, or on an earlier page of a channel."""
"""Kinds of chats. The chat with oneself is told by its id."""


class Author(NamedTuple):
    """Who wrote a message of a group: a member, by id, with the name that is shown for them."""

    id: str
    name: str


class Quote(NamedTuple):
    """How the message begins that another one answers. `here`: it can be gone to; else it is what the sender of the
    answer says. `member`: who wrote it, in a group.
    """

    sender: str
    text: str
    here: bool
    deleted: bool
    file: File | None = None
    member: Author | None = None


class Reaction(NamedTuple):
    """An emoji under a message, from whom."""

    emoji: str
    sender: str
    mine: bool


class File(NamedTuple):
    """A file that was sent as a message. `form`: file, picture or voice. `state`: offered, waiting, moving, here,
    paused, failed or gone. `size` is in bytes, `rate` in bytes a second, `duration` in ms; `width` and `height` are in
    pixels.
    """

    name: str
    size: int
    type: str = ""
    form: str = "file"
    state: str = "here"
    progress: float = 0.0
    """How much of it is there, 0 to 1."""
    rate: float | None = None
    problem: str = ""
    """Why it is paused or failed, in a sentence."""
    path: str | None = None
    """Where one's own file is."""
    width: int = 0
    height: int = 0
    duration: int = 0
    peaks: tuple[int, ...] = ()
    """The wave of a voice note, 0 to 255 each."""
    preview: bool = False
    stored: float | None = None
    """How much of one's own file is at a relay of its recipient, 0 to 1."""
    group: bool = False
    """Whether it was sent to a group."""


class Mentioned(NamedTuple):
    """Somebody who is mentioned. `words`: what stands for them behind the @."""

    words: str
    me: bool


class Message(NamedTuple):
    """A message. `sender` is `me` or the contact's name; `at` is when it was written (ours) or came (others'), in local
    time. `state`: saved, stored, delivered, read, failed (ours), received (others'). `late`: it came after messages of
    ours that it stands before.
    """

    id: str
    chat: str
    sender: str
    text: str
    kind: str
    at: datetime
    state: str
    route: str | None
    late: bool = False
    reply_to: str | None = None
    quote: Quote | None = None
    edited_at: datetime | None = None
    reactions: tuple[Reaction, ...] = ()
    pinned: bool = False
    expires_in: int | None = None
    """Seconds that it stays once it was read, or sent."""
    deleted: bool = False
    """Its sender deleted it for both."""
    file: File | None = None
    """What it is where its kind is `file`; the text is then the caption."""
    member: Author | None = None
    """Who wrote it, in a group; None for one's own."""
    mentions_me: bool = False
    seen: int | None = None
    """How many members have said that they saw one's own message of a group; None where nobody says so."""
    mentions: tuple[Mentioned, ...] = ()
    """Whom its author mentions by their ids."""
    hidden: str | None = None
    """By whom and why it was hidden in a group, as `bob: spam`; it counts as deleted then."""

    @property
    def mine(self) -> bool:
        return self.sender == ME

    @property
    def author(self) -> str:
        """What tells whether two messages of a chat are by the same person. Two members may have one name."""
        return self.sender if self.member is None else self.member.id

    def moved(self, state: str, route: str | None) -> Message:
        """The same message in another state; a route once known stays."""
        return self._replace(state=state, route=route or self.route)


MAILBOX = "mailbox"
"""The route by relays that keep messages until they are fetched."""


class Chat(NamedTuple):
    """A chat. `state`: contact, waiting (they have not answered yet), blocked; forgotten where only the chat is left,
    notes where nobody else is in it, left where one is not in the group any more. `route`: how a message
    would travel now, by which link or by mailbox; None where it would wait here. `label` is the name as shown: two that
    look alike differ in it. `hidden`: our network address is never shown to them.
    """

    id: str
    name: str
    label: str
    state: str
    verified: bool
    route: str | None
    unread: int
    first_unread: str | None
    last: Message | None
    draft: str
    hidden: bool = False
    muted_until: datetime | None = None
    """Until when nobody is called for it."""
    archived: bool = False
    pinned: bool = False
    """It stands above the others."""
    profile_name: str = ""
    """What they call themselves."""
    note: str = ""
    """What the person here has noted about them."""
    timer: int | None = None
    """For how many seconds new messages stay."""
    kind: str = DIRECT
    mentions: int = 0
    """Unread messages of a group that mention the user."""
    requests: int = 0
    """Those who ask to join a group, if the user decides about them."""
    frozen: bool = False
    """The writer of a channel has told readers different things, and nothing more is taken."""

    @property
    def is_group(self) -> bool:
        """Whether it is with members, who have roles: a channel has none."""
        return self.kind == GROUP

    @property
    def is_many(self) -> bool:
        """Whether it is with many, and with no contact: a group or a channel."""
        return self.kind in (GROUP, CHANNEL)

    @property
    def online(self) -> bool:
        """Whether a link is there."""
        return self.route not in (None, MAILBOX)


class Archive(NamedTuple):
    """The line of the list behind which the archived chats are. `names`: theirs, for a person to read. `open`: whether
    they are listed below it.
    """

    chats: int
    unread: int
    names: str
    open: bool

    @property
    def id(self) -> str:
        """An id that no chat has."""
        return "archive"


class AwaitedGroup(NamedTuple):
    """A group that the user has asked to join, and that has not let them in."""

    name: str

    @property
    def id(self) -> str:
        """An id that no chat has."""
        return f"awaited {self.name}"


class Request(NamedTuple):
    """Somebody asks to become a contact. `sas`: eight words to compare. `known`: a contact who wants to begin anew;
    their safety number stays, the eight words are new.
    """

    id: str
    name: str
    since: datetime
    sas: str
    known: bool


def time_of(text: str) -> datetime:
    """Local time of an RFC 3339 timestamp."""
    return localize(datetime.fromisoformat(text))


def message_of(params: Mapping[str, Any]) -> Message:
    """A message object of the API."""
    came = None if params["from"] == ME or params["route"] == HISTORY else params["received_at"]
    at = came or params["sent_at"]
    return Message(
        params["id"],
        params["chat"],
        params["from"],
        localized(params["text"]) if params["kind"] == NOTICE else params["text"],
        params["kind"],
        time_of(at),
        params["state"],
        params["route"],
        params["late"],
        params.get("reply_to"),
        _quote_of(params.get("quote")),
        time_of(params["edited_at"]) if params.get("edited_at") else None,
        tuple(Reaction(each["emoji"], each["from"], bool(each["mine"])) for each in params.get("reactions") or ()),
        bool(params.get("pinned")),
        params.get("expires_in"),
        bool(params.get("deleted")),
        file_of(params.get("file")),
        author_of(params.get("member")),
        bool(params.get("mentions_me")),
        params.get("seen"),
        tuple(Mentioned(str(each["words"]), bool(each["me"])) for each in params.get("mentions") or ()),
        _hidden_by(params.get("hidden")),
    )


def _hidden_by(params: Mapping[str, Any] | None) -> str | None:
    if params is None:
        return None
    by = "you" if params["by"] == ME else str(params["by"])
    return f"{by}: {params['reason']}" if params["reason"] else by


def author_of(params: Mapping[str, Any] | None) -> Author | None:
    """The member object of a message."""
    return None if params is None else Author(str(params["id"]), str(params["name"]))


def file_of(params: Mapping[str, Any] | None) -> File | None:
    """A file object of the API. Its numbers are what a peer says, so they are bounded here."""
    if params is None:
        return None
    return File(
        str(params["name"]),
        max(0, int(params["size"])),
        str(params.get("type") or ""),
        str(params.get("form") or "file"),
        str(params.get("state") or "here"),
        min(1.0, max(0.0, float(params.get("progress") or 0))),
        params.get("rate"),
        str(params.get("problem") or ""),
        params.get("path"),
        max(0, int(params.get("width") or 0)),
        max(0, int(params.get("height") or 0)),
        max(0, int(params.get("duration") or 0)),
        tuple(min(255, max(0, int(each))) for each in (params.get("peaks") or ())[:MAX_PEAKS]),
        bool(params.get("preview")),
        None if params.get("stored") is None else min(1.0, max(0.0, float(params["stored"]))),
        bool(params.get("group")),
    )


def _quote_of(params: Mapping[str, Any] | None) -> Quote | None:
    if params is None:
        return None
    file = file_of(params.get("file"))
    return Quote(
        params["from"] or "",
        params["text"] or "",
        bool(params["here"]),
        bool(params["deleted"]),
        file,
        author_of(params.get("member")),
    )


def chat_of(params: Mapping[str, Any], label: str | None = None) -> Chat:
    """A chat object of the API."""
    last = params.get("last")
    return Chat(
        params["id"],
        params["name"],
        label or params["name"],
        params["state"],
        bool(params.get("verified")),
        params.get("route"),
        int(params.get("unread", 0)),
        params.get("first_unread"),
        None if last is None else message_of(last),
        params.get("draft", ""),
        bool(params.get("hidden")),
        time_of(params["muted_until"]) if params.get("muted_until") else None,
        bool(params.get("archived")),
        bool(params.get("pinned")),
        params.get("profile_name") or "",
        params.get("note") or "",
        params.get("timer"),
        params.get("kind") or DIRECT,
        int(params.get("mentions") or 0),
        int(params.get("requests") or 0),
        bool(params.get("frozen")),
    )


def notes_chat() -> Chat:
    """The chat with oneself, as long as there is nothing in it."""
    nothing = {"verified": False, "route": None}
    return chat_of({"id": NOTES, "name": "Notes to self", "state": "notes", **nothing})


def request_of(params: Mapping[str, Any]) -> Request:
    """A request object of the API."""
    return Request(params["id"], params["name"], time_of(params["since"]), params["sas"], bool(params.get("known")))
