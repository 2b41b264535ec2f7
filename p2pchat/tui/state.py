"""What the screen knows now: the chats, the requests, which chat is shown. Events change it; what they changed is told.

Plain data and no widget: what is shown follows from here, and can be tested without a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from p2pchat.tui.labels import labels
from p2pchat.tui.model import (
    NOTES,
    Archive,
    AwaitedGroup,
    Chat,
    File,
    Message,
    Request,
    chat_of,
    file_of,
    message_of,
    notes_chat,
    request_of,
)

DELETED = "deleted"
SAVED = "saved"
SILENT = ("timer", "group")
"""Kinds of messages that nobody wrote: they say what was done in a chat."""


class Moved(NamedTuple):
    """One of our messages is in another state now."""

    chat: str
    id: str
    state: str
    route: str | None


@dataclass(slots=True)
class News:
    """What a batch of events brought. `listed`: the list of chats looks different. `stale`: events were missed, so
    everything has to be read again.
    """

    arrived: list[Message] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    removed: list[Moved] = field(default_factory=list)
    changed: list[Message] = field(default_factory=list)
    """Messages that were edited, reacted to, pinned or deleted for both."""
    files: dict[tuple[str, str], File] = field(default_factory=dict)
    """(chat, id) of messages whose file moved on, with its newest state."""
    touched: set[str] = field(default_factory=set)
    """Chats in which somebody reacted to a message of ours."""
    typing: dict[str, bool] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    joined: list[tuple[str, str]] = field(default_factory=list)
    """(id, name) of those who became contacts by an invite of ours."""
    warnings: list[str] = field(default_factory=list)
    people: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    """Chats whose messages were all deleted."""
    ended_drafts: set[str] = field(default_factory=set)
    """Chats whose draft the node has deleted at its end."""
    groups: set[str] = field(default_factory=set)
    """Chats of groups of which something is another: the name, the members, a rule."""
    channels: set[str] = field(default_factory=set)
    """Chats of channels in which something is wrong, or no longer."""
    renamed: bool = False
    """Somebody may have another name, so two names may look alike now, or no more."""
    listed: bool = False
    stale: bool = False
    lagged: bool = False
    """Nobody knows which events were missed."""

    def incoming(self) -> set[str]:
        """The chats in which somebody else said something, or reacted to what we said."""
        said = {message.chat for message in self.arrived if not message.mine and message.kind not in SILENT}
        return said | self.touched


class State:
    """The chats in order, newest activity first, and the requests."""

    def __init__(self) -> None:
        self.chats: list[Chat] = []
        self.requests: list[Request] = []
        self.awaited: list[AwaitedGroup] = []
        """The groups that the user has asked to join."""
        self.current: str | None = None
        self.archive_open = False
        """Whether the list shows the archived chats."""
        self._unsent: set[str] = set()
        self._since: list[Mapping[str, Any]] | None = None
        """Events that came since the chats were asked for; None where nobody waits for an answer."""
        self._begun = False
        """Only the first chats of the list are known."""

    def before_reading(self) -> None:
        """Note that the chats are read from the node now: its answer may be older than the events that come before."""
        self._since = []

    def not_read(self) -> None:
        """Note that no answer will come: what is known stays, and what is not has to be asked for again."""
        self._since, self._begun = None, False

    def begin(self, chats: Sequence[Mapping[str, Any]]) -> None:
        """Show the first chats of the list; `load` brings all of them."""
        self._begun = True
        self.chats = labels([chat_of(each) for each in chats])
        self._put_away()

    def load(
        self,
        chats: Sequence[Mapping[str, Any]],
        requests: Sequence[Mapping[str, Any]],
        awaited: Sequence[Mapping[str, Any]] = (),
    ) -> News:
        """Everything anew, as the node answered, and what happened since it was asked. Returns that as news: it was
        told before, but it may have been about chats that were not known.
        """
        self._load(chats, requests)
        self.awaited = [AwaitedGroup(each["name"]) for each in awaited]
        since, self._since, self._begun = self._since or (), None, False
        return self.apply(since)

    def _load(self, chats: Sequence[Mapping[str, Any]], requests: Sequence[Mapping[str, Any]]) -> None:
        self.chats = labels([chat_of(each) for each in chats])
        if self.current == NOTES:
            self.begin_notes()
        self._put_away()
        self.requests = [request_of(each) for each in requests]
        if self.chat(self.current) is None:
            self.current = None
        self._unsent.update(
            chat.last.id for chat in self.chats if chat.last and chat.last.mine and chat.last.state == SAVED
        )

    def begin_notes(self) -> None:
        """List the chat with oneself, although there may be nothing in it."""
        if self.chat(NOTES) is None:
            self.chats.append(notes_chat())

    def _put_away(self) -> None:
        """What is archived stands at the end."""
        self.chats.sort(key=lambda chat: chat.archived)

    @property
    def listed(self) -> list[Chat]:
        """The chats of the list: all, or without the archived ones but the one that is on the screen."""
        return [chat for chat in self.chats if not chat.archived or self.archive_open or chat.id == self.current]

    @property
    def archive(self) -> Archive | None:
        """The line for the archived chats; None where there are none."""
        away = [chat for chat in self.chats if chat.archived]
        if not away:
            return None
        names = ", ".join(chat.label for chat in away)
        return Archive(len(away), sum(chat.unread for chat in away), names, self.archive_open)

    def chat(self, ident: str | None) -> Chat | None:
        """The chat of that id, or None."""
        return next((chat for chat in self.chats if chat.id == ident), None)

    @property
    def shown(self) -> Chat | None:
        """The chat on the screen."""
        return self.chat(self.current)

    def named(self, name: str) -> list[Chat]:
        """The chats meant by what a person wrote: that label or name, else those that begin so."""
        wanted = name.strip().casefold()
        for matches in (
            lambda chat: wanted in (chat.label.casefold(), chat.id),
            lambda chat: chat.name.casefold() == wanted,
            lambda chat: bool(wanted) and chat.profile_name.casefold() == wanted,
            lambda chat: bool(wanted) and chat.label.casefold().startswith(wanted),
            lambda chat: bool(wanted) and wanted in chat.note.casefold(),
        ):
            found = [chat for chat in self.chats if matches(chat)]
            if found:
                return found
        return []

    def next_unread(self) -> Chat | None:
        """The next chat with something unread, going round from the one shown."""
        ids = [chat.id for chat in self.chats]
        start = ids.index(self.current) + 1 if self.current in ids else 0
        order = [*self.chats[start:], *self.chats[:start]]
        return next((chat for chat in order if chat.unread and chat.id != self.current), None)

    def neighbour(self, step: int) -> Chat | None:
        """The chat so many places of the list from the one shown, stopping at the ends; the first where none is."""
        chats = self.listed
        if not chats:
            return None
        ids = [chat.id for chat in chats]
        if self.current not in ids:
            return chats[0]
        return chats[max(0, min(len(ids) - 1, ids.index(self.current) + step))]

    def unread(self) -> int:
        """Unread messages of all chats."""
        return sum(chat.unread for chat in self.chats)

    def unsent(self) -> int:
        """Messages of ours that have not left yet: the newest of each chat, and those seen since the start."""
        return len(self._unsent)

    def keep_draft(self, ident: str, text: str) -> None:
        """What the composer holds for a chat."""
        self._change(ident, draft=text)

    def apply(self, events: Iterable[Mapping[str, Any]]) -> News:
        """Take a batch of events over."""
        news = News()
        for event in events:
            if self._since is not None:
                self._since.append(event)
            self._apply(event, news)
        if news.arrived:
            self._to_the_top(news.arrived)
        if news.renamed:
            self.chats = labels(self.chats)
        return news

    # --- inside

    def _apply(self, event: Mapping[str, Any], news: News) -> None:
        kind = event["event"]
        if kind == "message":
            self._message(message_of(event), news)
        elif kind == "state":
            self._state(event, news)
        elif kind == "changed":
            self._changed(event, news)
        elif kind == "file":
            self._file(event, news)
        elif kind == "typing":
            news.typing[event["chat"]] = bool(event["typing"])
        elif kind == "chat":
            known = self._change(
                event["id"],
                unread=int(event["unread"]),
                first_unread=event["first_unread"],
                timer=event.get("timer"),
                mentions=int(event.get("mentions") or 0),
            )
            news.people.add(event["id"])
            news.listed |= known
            if "draft" in event:
                news.ended_drafts.add(event["id"])
            news.stale |= self._is_new(known) or "pinned" in event  # where it stands now, the node knows
        elif kind == "contact":
            self._contact(event, news)
        elif kind == "group":
            self._group(event, news)
        elif kind == "channel":
            news.channels.add(event["chat"])
            news.stale |= not self._begun  # whether it is frozen, the node knows
        elif kind == "joined":
            news.joined.append((event["id"], event["name"]))
        elif kind in ("forgotten", "cleared"):
            news.stale = True
            news.emptied.add(event["chat"] if kind == "cleared" else event["id"])
        elif kind == "request":
            request = request_of(event)
            self.requests = [*(each for each in self.requests if each.id != request.id), request]
            news.asked.append(request)
            news.listed = True
        elif kind == "node":
            if event.get("warning"):
                news.stale |= bool(self.awaited)  # it may say that a group does not let the user in
                news.warnings.append(str(event["warning"]))
        elif kind == "lagged":
            news.stale = news.lagged = True

    def _message(self, message: Message, news: News) -> None:
        news.arrived.append(message)
        if not message.mine:
            news.typing[message.chat] = False
        news.listed = True
        if message.mine and message.state == SAVED:
            self._unsent.add(message.id)
        news.stale |= self._is_new(self._change(message.chat, last=message))

    def _is_new(self, known: bool) -> bool:
        """Return whether a chat has to be asked for: not where all of them are on their way."""
        return not known and not self._begun

    def _changed(self, event: Mapping[str, Any], news: News) -> None:
        message = message_of(event)
        news.changed.append(message)
        if event.get("notify"):
            news.touched.add(message.chat)
        chat = self.chat(message.chat)
        if chat is not None and chat.last is not None and chat.last.id == message.id:
            self._change(chat.id, last=message)
            news.listed = True

    def _file(self, event: Mapping[str, Any], news: News) -> None:
        file = file_of(event["file"])
        if file is None:
            return
        news.files[event["chat"], event["id"]] = file
        chat = self.chat(event["chat"])
        if chat is not None and chat.last is not None and chat.last.id == event["id"]:
            self._change(chat.id, last=chat.last._replace(file=file))

    def _state(self, event: Mapping[str, Any], news: News) -> None:
        moved = Moved(event["chat"], event["id"], event["state"], event["route"])
        chat = self.chat(moved.chat)
        if moved.state != SAVED:
            self._unsent.discard(moved.id)
        if moved.state == DELETED:
            news.removed.append(moved)
            # What is the last one now, only the node knows.
            news.stale |= chat is not None and chat.last is not None and chat.last.id == moved.id
            return
        news.moved.append(moved)
        if chat is not None and chat.last is not None and chat.last.id == moved.id:
            self._change(chat.id, last=chat.last.moved(moved.state, moved.route))
            news.listed = True

    def _contact(self, event: Mapping[str, Any], news: News) -> None:
        news.people.add(event["id"])
        news.renamed = True
        news.listed = True
        if any(request.id == event["id"] for request in self.requests):
            self.requests = [each for each in self.requests if each.id != event["id"]]
        known = self._change(
            event["id"],
            name=event["name"],
            state=event["state"],
            verified=bool(event["verified"]),
            route=event["route"],
            profile_name=event.get("profile_name") or "",
            note=event.get("note") or "",
        )
        if self._is_new(known):
            self.chats = [chat_of(event), *self.chats]

    def _group(self, event: Mapping[str, Any], news: News) -> None:
        """Something about a group is another: its name, or one's own place in it; the node knows what."""
        news.people.add(event["chat"])
        news.groups.add(event["chat"])
        news.stale |= not self._begun  # its name, and whether one is in it still, the node knows

    def _change(self, ident: str, **changes: Any) -> bool:
        for index, chat in enumerate(self.chats):
            if chat.id == ident:
                self.chats[index] = chat._replace(**changes)
                return True
        return False

    def _to_the_top(self, arrived: Sequence[Message]) -> None:
        order = list(dict.fromkeys(message.chat for message in reversed(arrived)))
        first = [chat for ident in order if (chat := self.chat(ident)) is not None and not chat.pinned]
        pinned = [chat for chat in self.chats if chat.pinned]
        others = [chat for chat in self.chats if chat.id not in order and not chat.pinned]
        self.chats = [*pinned, *first, *others]
        self._put_away()
