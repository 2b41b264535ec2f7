"""The bot itself: connects, reads, calls the author's functions, and reconnects when its node restarts.

An event only says that there is a message; the message is read from the store, by its position, and the bookmark
advances when the function has returned. So nothing is left out after a restart, after `lagged` or after the node's end,
and only the message being handled during a crash can come twice.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from p2pchat import config, errors
from p2pchat.api.client import Client
from p2pchat.bot.bookmark import Bookmark, path_of
from p2pchat.bot.events import (
    FileMessage,
    Group,
    Message,
    Request,
    SentFile,
    State,
    group_of,
    message_of,
    request_of,
    state_of,
)
from p2pchat.bot.rate_limit import RateLimit, TooFast
from p2pchat.bot.shutdown import Ended, Ending
from p2pchat.lib.backoff import Backoff
from p2pchat.locations import Profile
from p2pchat.log import set_up_logging
from p2pchat.sanitize import clean_line

log = logging.getLogger(__name__)

PER_MINUTE = 60
"""The most texts a minute in reply to one chat."""

FIRST_DELAY, LONGEST_DELAY = 0.2, 60.0
"""Seconds between two attempts to reach the node again; doubled each time, and reset after a minute of success."""

_PAGE = 200
_HISTORY = "history"
"""The route of what was written before the profile joined, or on an earlier page of a channel."""
_UNLOCK = "Unlock it with `p2pchat unlock`, or keep `p2pchat node --passphrase-file F` running beside the bot."

M = TypeVar("M", bound=Callable[[Message], object])
FM = TypeVar("FM", bound=Callable[[FileMessage], object])
R = TypeVar("R", bound=Callable[[Request], object])
S = TypeVar("S", bound=Callable[[State], object])
F = TypeVar("F", bound=Callable[[], object])


class Bot:
    """A bot on one profile: `profile`, else that of --profile on the command line, else the same as for every verb.

    name: the name of its bookmark; two bots on one profile need two names. per_minute: the most texts a minute in reply
    to one chat (`rate_limit`). all_in_groups: pass on everything that is written in groups, not only what mentions the
    bot. Its functions run one after the other, in the thread that runs the bot.
    """

    def __init__(
        self,
        profile: str | Path | None = None,
        *,
        name: str = "bot",
        per_minute: int = PER_MINUTE,
        all_in_groups: bool = False,
    ) -> None:
        named, self._verbose = _command_line(sys.argv[1:])
        folder = config.profile_folder(named if profile is None else str(profile), os.environ)
        self.profile = Profile(folder)
        self._bookmark = path_of(self.profile, name)
        self._rate_limit = RateLimit(per_minute, time.monotonic)
        self._all_in_groups = all_in_groups
        self._ending = Ending()
        self._client: Client | None = None
        self._connected_at = datetime.now(UTC)
        self._answering = ""
        self._refused = ""
        self._again = -1
        self._asked: set[tuple[str, str]] = set()
        self._started = False
        self._on_start: Callable[[], object] | None = None
        self._on_message: Callable[[Message], object] | None = None
        self._on_file: Callable[[FileMessage], object] | None = None
        self._on_request: Callable[[Request], object] | None = None
        self._on_state: Callable[[State], object] | None = None

    # --- what it does: decorators, one function each

    def on_start(self, function: F) -> F:
        """Register a function to call once per run, when the bot has reached its node, before anything else."""
        self._on_start = function
        return function

    def on_message(self, function: M) -> M:
        """Register a function to call with each text from somebody else, in the order of arrival; of those in groups,
        with each that mentions the bot (see `all_in_groups`).
        """
        self._on_message = function
        return function

    def on_file(self, function: FM) -> FM:
        """Register a function to call with each file from somebody else, in the order of arrival among the texts. The
        file may still be on its way; `FileMessage.save` waits for it.
        """
        self._on_file = function
        return function

    def on_request(self, function: R) -> R:
        """Register a function to call with each contact request; open ones are repeated at the next start."""
        self._on_request = function
        return function

    def on_state(self, function: S) -> S:
        """Register a function to call when a message's state changes while the bot runs; changes that it missed are not
        repeated.
        """
        self._on_state = function
        return function

    # --- what it says

    def send(self, chat: str, text: str) -> str:
        """Send a text; return its id. The text is saved when this returns, and delivered when the other side is online.

        Within `on_message` it counts for the chat of that message. Raises TooFast, NoSuchContact, AmbiguousName,
        TextTooLong, UsageError, NodeGone (it may or may not be saved).
        """
        self._take_token()
        return str(self.call("send", chat=chat, text=text)["id"])

    def send_file(self, chat: str, path: str | Path, caption: str = "") -> SentFile:
        """Send a file; return the id of its message, which also says what the file may tell. It is read while it is
        fetched, so it has to stay where it is, as it is, until it is delivered. Within a function it counts as a text
        does. Raises what `send` raises, and UsageError if the file cannot be read.
        """
        self._take_token()
        sent = self.call("send_file", chat=chat, path=str(Path(path).absolute()), caption=caption)
        return SentFile(sent["id"], sent.get("warning", ""))

    def call(self, method: str, **params: Any) -> Any:
        """Call any method of docs/api.md; starts a node if none is running. Raises the node's error,
        Locked, NodeGone.
        """
        if self._client is None:
            self._client = self._connected(start_node=True)
        return self._client.call(method, **params)

    def groups(self) -> list[Group]:
        """Return the groups that the bot is in. Raises what `call` raises."""
        found = (self.call("group", chat=chat["id"]) for chat in self.call("chats") if chat["kind"] == "group")
        return [group_of(group, self) for group in found if group["role"] is not None]

    # --- its life

    def run(self) -> None:
        """Run the program until a signal, `stop` or an error, and exit with the exit codes of the verbs.

        An error is one line on stderr. The bot's log goes there too, if logging was not set up otherwise.
        """
        if not logging.getLogger().handlers:
            set_up_logging(self._verbose, sys.stderr)
        try:
            self.work()
        except errors.P2PChatError as exc:
            sys.stderr.write(f"p2pchat: {clean_line(exc.line())}\n")
            sys.exit(exc.exit_code)

    def work(self) -> None:
        """Run as `run` does, but return at the end. To be called in the main thread, because it handles signals.

        Raises NoProfile, Locked, ProfileInUse (another bot of this name is running), NodeError and the like at the
        start; later only errors that do not go away: ProfileError, VersionMismatch.
        """
        if not self.profile.exists():
            raise errors.NoProfile(f"There is no profile in {self.profile.folder}")
        with Bookmark(self._bookmark) as bookmark, self._ending.by_signals():
            try:
                self._live(bookmark)
            except Ended:
                log.info("the bot was told to end")
            finally:
                self._disconnect()

    def stop(self) -> None:
        """End the bot once the running function has returned; to be called from these functions or from
        other threads.
        """
        self._ending.ask()

    # --- inside

    def _take_token(self) -> None:
        if self._answering:
            self._rate_limit.take(self._answering)
            if self._refused == self._answering:
                self._refused = ""

    def _live(self, bookmark: Bookmark) -> None:
        backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
        with self._ending.interruptible():
            self._client = self._client or self._connected(start_node=True)
        while not self._ending.wanted:
            since = time.monotonic()
            try:
                self._serve(bookmark)
            except errors.VersionMismatch:
                raise
            except errors.NodeError as exc:
                log.warning("the node is gone (%s); looking for it", type(exc).__name__)
                self._disconnect()
                if time.monotonic() - since > LONGEST_DELAY:
                    backoff.reset()
                self._reconnect(backoff)

    def _reconnect(self, backoff: Backoff) -> None:
        """Retry until the node answers, starting it if needed."""
        start_node = True
        while True:
            self._ending.wait(seconds=backoff.pause())
            with self._ending.interruptible():
                try:
                    self._client = self._connected(start_node=start_node)
                except errors.Locked:
                    log.warning("the profile is locked; waiting for `p2pchat unlock`")
                    start_node = False  # it would be another one that is locked
                except errors.VersionMismatch:
                    raise
                except errors.NodeError as exc:
                    log.warning("the node is not reached: %s", exc.message)
                else:
                    log.info("the node is back")
                    return

    def _connected(self, *, start_node: bool) -> Client:
        client = Client.connect(self.profile, start_node=start_node)
        if client.greeting.get("state") == "locked":
            client.close()
            raise errors.Locked(hint=_UNLOCK)
        self._connected_at = datetime.now(UTC)
        return client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _serve(self, bookmark: Bookmark) -> None:
        """Serve one connection from its start to its end. Raises NodeError."""
        assert self._client is not None
        if bookmark.position is None:
            # The first run ever: what is here already was not written to a bot.
            newest = self.call("messages", limit=1)
            bookmark.move(newest[0]["position"] if newest else 0)
        self.call("subscribe", events=self._wanted())
        if not self._started:
            self._guarded(self._on_start)
            self._started = True
        self._requests()
        self._messages(bookmark)
        events = self._client.events()
        while not self._ending.wanted:
            if not self._client.pending:
                self._ending.wait(self._client.socket)
            event = next(events)
            kind = event["event"]
            if kind in ("request", "lagged"):
                self._requests()
            if kind == "lagged" or (kind == "message" and not event["mine"]):
                self._messages(bookmark)
            if kind == "state":
                self._guarded(self._on_state, state_of(event))

    def _wanted(self) -> list[str]:
        handlers = {"message": self._on_message or self._on_file, "request": self._on_request, "state": self._on_state}
        return [name for name, handler in handlers.items() if handler is not None]

    def _messages(self, bookmark: Bookmark) -> None:
        """Pass on the messages after the bookmark."""
        by_kind = {"text": self._on_message, "file": self._on_file}
        while any(by_kind.values()) and not self._ending.wanted:
            page = self.call("messages", position=bookmark.position, limit=_PAGE)
            if not page:
                return
            for row in page:
                if self._ending.wanted:
                    return
                function = by_kind.get(row["kind"])
                if function is not None and self._is_for_us(row):
                    self._message(function, row)
                bookmark.move(row["position"])

    def _is_for_us(self, row: dict[str, Any]) -> bool:
        """Return whether a message is passed on. Whoever is in a group can add a bot that they know, and people talk to
        each other there: a bot that answered everything would be a nuisance, and two of them a storm. What was written
        before the bot came is no news.
        """
        if row["mine"] or row.get("deleted") or row.get("route") == _HISTORY:
            return False
        return self._all_in_groups or row.get("member") is None or bool(row.get("mentions_me"))

    def _message(self, function: Callable[..., object], row: dict[str, Any]) -> None:
        message = message_of(row, self)
        # What waited while the bot was away has an end; only what comes while it answers can be answers to it.
        self._answering = message.chat if message.received_at >= self._connected_at else ""
        # Where the node ends in the middle nobody knows what was done: once more then, and not for ever.
        first = self._again != row["position"]
        self._again = row["position"]
        try:
            self._guarded(function, message, again=first)
        finally:
            self._answering = ""

    def _requests(self) -> None:
        """Pass on the requests that were not passed on in this run."""
        if self._on_request is None:
            return
        for row in self.call("requests"):
            key = (row["id"], row["since"])
            if key not in self._asked and not self._ending.wanted:
                self._guarded(self._on_request, request_of(row, self))
                self._asked.add(key)

    def _guarded(self, function: Callable[..., object] | None, *values: object, again: bool = True) -> None:
        """Call one of the author's functions: an exception is logged and ends nothing, except if the node is gone."""
        if function is None:
            return
        try:
            function(*values)
        except errors.NodeGone as exc:
            _log_failure(function, exc)
            if again:
                raise
        except TooFast as exc:
            if self._refused != self._answering:  # once: who floods the bot is not to flood its log
                self._refused = self._answering
                _log_failure(function, exc)
        except Exception as exc:  # noqa: BLE001 - the border to code that is not ours
            _log_failure(function, exc)


def _log_failure(function: Callable[..., object], exc: Exception) -> None:
    """Log type and place of an exception, never its text, which may contain what somebody wrote."""
    place, trace = "", exc.__traceback__
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    log.error("%s failed: %s at %s", getattr(function, "__name__", "a function"), type(exc).__name__, place)


def _command_line(words: Sequence[str]) -> tuple[str | None, int]:
    """Return --profile and the number of -v, as every verb has them; the rest of the line belongs to the program."""
    profile = None
    for index, word in enumerate(words):
        if word == "--profile":
            profile = next(iter(words[index + 1 :]), "")
        elif word.startswith("--profile="):
            profile = word.partition("=")[2]
    if profile == "":
        raise errors.UsageError("--profile needs a folder")
    return profile, sum({"-v": 1, "--verbose": 1, "-vv": 2}.get(word, 0) for word in words)
