"""A node for the tests of the verbs: the real server on the profile's real socket, with answers from a table."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

import trio

from p2pchat import errors
from p2pchat.api import server
from p2pchat.api.codec import API_VERSION, JsonObject
from p2pchat.api.service import EventSource, Then
from p2pchat.engine.runtime.events import EventHub
from p2pchat.locations import Profile, ProfileLock, note_socket, socket_path

Answer = object | Callable[..., object]

ID = "0123456789abcdef"
MESSAGE = {
    "id": "aa" * 16,
    "chat": ID,
    "from": "bob",
    "sender": ID,
    "mine": False,
    "text": "hi",
    "kind": "text",
    "sent_at": "2026-01-02T03:04:05.000Z",
    "received_at": "2026-01-02T03:04:06.000Z",
    "state": "received",
    "route": "direct",
    "late": False,
    "reply_to": None,
    "quote": None,
    "edited_at": None,
    "reactions": [],
    "pinned": False,
    "expires_in": None,
    "expires_at": None,
    "deleted": False,
    "file": None,
}
CHANNEL = {
    "chat": ID,
    "name": "news",
    "id": "cc" * 32,
    "mine": True,
    "writes": True,
    "private": False,
    "posts": 3,
    "missing": 0,
    "withheld": 1,
    "heard": "2026-01-02T03:04:05.000Z",
    "forked": False,
    "problem": "its relays do not hand out the newest 1 posts",
    "mirrors": True,
    "comments": {"name": "talk", "text": "P2PCHAT:ABC", "expires": "2026-01-02T03:04:05.000Z", "chat": None},
}
FILE = {
    **MESSAGE,
    "text": "look",
    "kind": "file",
    "file": {
        "name": "photo.jpg",
        "size": 1_234_567,
        "type": "image/jpeg",
        "form": "picture",
        "state": "moving",
        "progress": 0.25,
        "rate": 100_000,
        "stored": None,
        "problem": "",
        "path": None,
        "width": 640,
        "height": 480,
        "duration": 0,
        "peaks": None,
        "preview": True,
    },
}

GROUP = {
    "chat": ID,
    "name": "friends",
    "topic": "the hut",
    "role": "admin",
    "muted_until": None,
    "members": 3,
    "adding": ["dave"],
    "settings": {
        "description": "",
        "slow_mode": 30,
        "locked": False,
        "newcomers": 0,
        "history": 50,
        "recovery": {"needed": 1, "members": [{"id": "a1" * 8, "name": "alice"}]},
    },
    "receipts": False,
    "epoch": "since 3 hours ago",
    "problem": "",
}
MEMBERS = [
    {
        "id": "a1" * 8,
        "name": "alice",
        "role": "owner",
        "me": True,
        "contact": None,
        "verified": False,
        "muted_until": None,
    },
    {
        "id": "b0" * 8,
        "name": "Bobby",
        "role": "member",
        "me": False,
        "contact": "bob",
        "verified": True,
        "muted_until": None,
    },
    {
        "id": "c0" * 8,
        "name": "carol",
        "role": "observer",
        "me": False,
        "contact": None,
        "verified": False,
        "muted_until": None,
    },
]

ANSWERS: dict[str, Answer] = {
    "status": {"running": True, "state": "ready", "pid": 1, "foreground": True, "program": "0", "addresses": ["/x"]},
    "stop": {"stopped": True, "pid": 1},
    "lock": {"locked": True, "pid": 1},
    "unlock": {"locked": False, "addresses": [], "state": "ready"},
    "passphrase": {"passphrase": True},
    "name": {"name": "alice"},
    "parcel_out": {"file": "/x", "bytes": 16486, "contacts": 1, "messages": 2, "envelopes": 3, "more": True},
    "parcel_in": {
        "file": "/x",
        "entries": 4,
        "from": [{"id": ID, "name": "bob", "messages": 1, "other": 2, "known": 3, "left": 4, "unreadable": 5}],
    },
    "settings": {
        "keep_receiving": None,
        "read_receipts": True,
        "typing": True,
        "lan": "auto",
        "fetch_up_to": 25,
        "pictures": "verified",
    },
    "chats": [
        {
            "id": ID,
            "name": "bob",
            "state": "contact",
            "verified": True,
            "route": "direct",
            "hidden": False,
            "kind": "direct",
            "unread": 2,
            "first_unread": "aa" * 16,
            "last": MESSAGE,
            "draft": "",
            "archived": False,
            "timer": None,
        }
    ],
    "invite": {
        "id": ID,
        "invite": "P2PCHAT:ABC",
        "expires_at": "2026-01-02T03:04:05.000Z",
        "reachable": True,
        "relayed": False,
        "relays": 0,
        "notice": "A notice.",
    },
    "add": {"id": ID, "name": "bob", "state": "contact", "anew": False},
    "create_channel": CHANNEL,
    "channel": CHANNEL,
    "channel_invite": {"text": "P2PCHAT:ABC", "name": "news", "private": False},
    "channel_writers": {
        "writers": [{"name": "bob", "id": "dd" * 32, "posts": 2, "removed": False}],
        "link": None,
    },
    "channel_relays": {"relays": ["/ip4/192.0.2.9/tcp/4001"], "leaving": ["/ip4/192.0.2.8/tcp/4001"]},
    "channel_comments": {"comments": CHANNEL["comments"]},
    "channel_mirror": {"mirrors": True, "relays": ["/ip4/192.0.2.9/tcp/4001"], "problem": ""},
    "channel_report": {"id": "cc" * 32, "name": "news", "link": "P2PCHAT:ABC", "relays": ["/ip4/192.0.2.9/tcp/4001"]},
    "contacts": [
        {
            "id": ID,
            "name": "bob",
            "state": "contact",
            "verified": True,
            "route": "direct",
            "hidden": False,
            "profile_name": "Bobby",
            "note": "met in Lund",
        }
    ],
    "requests": [
        {
            "id": ID,
            "name": "eve",
            "since": "2026-01-02T03:04:05.000Z",
            "sas": "one two three four five six seven eight",
            "known": False,
        }
    ],
    "accept": {"id": ID, "name": "bob", "state": "contact"},
    "decline": {"id": ID},
    "block": {"id": ID, "name": "bob", "state": "blocked"},
    "unblock": {"id": ID, "name": "bob", "state": "contact"},
    "archive": {"id": ID, "archived": True, "pinned": False, "muted_until": None},
    "mute": {"id": ID, "archived": False, "pinned": False, "muted_until": "2026-01-02T03:04:05.000Z"},
    "pin_chat": {"id": ID, "archived": False, "pinned": True, "muted_until": None},
    "clear": {"id": ID, "name": "bob"},
    "forget": {"id": ID, "name": "bob", "history": False},
    "note": {"id": ID, "name": "bob", "note": "met in Lund"},
    "invites": [
        {
            "id": ID,
            "kind": "reusable",
            "label": "for the club",
            "state": "open",
            "created": "2026-01-02T03:04:05.000Z",
            "expires": "2026-01-09T03:04:05.000Z",
            "uses": 2,
            "used_by": [{"id": ID, "name": "bob"}],
            "ask": True,
            "hidden": False,
            "invite": "P2PCHAT:ABC",
        }
    ],
    "rename": {"id": ID, "name": "rob", "state": "contact"},
    "hide": {"id": ID, "name": "bob", "state": "contact", "hidden": True, "notice": ""},
    "verify": {
        "safety_number": " ".join(["12345"] * 12),
        "verified": False,
        "sas": "one two three four five six seven eight",
    },
    "send": {"id": "bb" * 16, "state": "saved", "route": None, "stored_at": None},
    "send_file": {"id": "bb" * 16, "state": "saved", "route": None, "stored_at": None, "warning": ""},
    "files": [FILE],
    "fetch_file": FILE,
    "pause_file": FILE,
    "cancel_file": FILE,
    "save_file": {"path": "/x/photo.jpg", "warning": "This is a program."},
    "reply": {"id": "bb" * 16, "state": "saved", "route": None, "stored_at": None},
    "edit": MESSAGE,
    "history": [{"text": "helo", "at": "2026-01-02T03:04:05.000Z"}, {"text": "hi", "at": "2026-01-02T03:05:05.000Z"}],
    "react": MESSAGE,
    "pin": MESSAGE,
    "pinned": [MESSAGE],
    "timer": {"chat": ID, "timer": 129_600, "by": "bob", "at": "2026-01-02T03:04:05.000Z"},
    "log": [MESSAGE],
    "search": [
        {
            **MESSAGE,
            "position": 7,
            "chat_name": "bob",
            "snippet": [{"text": "…say ", "hit": False}, {"text": "hi", "hit": True}, {"text": " to", "hit": False}],
        }
    ],
    "locate": {"id": None},
    "messages": [],
    "read": {"unread": 2, "first_unread": "aa" * 16},
    "delete": {"id": "aa" * 16},
    "why": {
        "id": "aa" * 16,
        "state": "saved",
        "reason": "No link.",
        "next": "Dialled again.",
        "relays": 0,
        "until": None,
    },
    "create_group": {"id": ID, "name": "friends", "kind": "group"},
    "group": GROUP,
    "group_members": {"total": 3, "members": MEMBERS},
    "add_members": GROUP,
    "remove_member": GROUP,
    "set_role": GROUP,
    "mute_member": GROUP,
    "hide_message": MESSAGE,
    "report_message": {"readers": 2},
    "group_reports": [{**MESSAGE, "reply_to": "ab" * 16}],
    "set_group": GROUP,
    "recover_group": GROUP,
    "keep_group": GROUP,
    "group_receipts": GROUP,
    "succeed_group": {"chat": ID, "offered": 2, "missing": 1},
    "leave_group": {"chat": ID, "name": "friends"},
    "group_requests": [{"id": ID, "name": "eve", "words": "it is me", "at": "2026-01-02T03:04:05.000Z", "via": "1a2b"}],
    "joining": [],
    "answer_request": {"id": ID, "name": "eve"},
    "group_invite": {"id": ID, "text": "P2PCHAT:ABC", "expires": "2026-01-09T03:04:05.000Z"},
    "group_log": [
        {
            "id": ID,
            "at": "2026-01-02T03:04:05.000Z",
            "text": "alice removed dave; 2 of 3 members have seen it.",
            "by": "alice",
            "op": "remove",
            "known_by": 2,
        }
    ],
    "relays": [
        {
            "address": "/ip4/192.0.2.9/tcp/4001/p2p/12D3KooWA",
            "state": "connected",
            "since": "2026-01-02T03:04:05.000Z",
            "problem": "",
            "used": True,
            "kept": True,
            "contact": None,
        }
    ],
    "keys": {"since": None, "next": None, "unheard": False, "invites": False, "relay": False, "notice": "A notice."},
    "offer": {"relay": None, "reachable": True, "notice": "A notice."},
    "doctor": [
        {"check": "store", "ok": True, "state": "good", "detail": "fine", "hint": ""},
        {"check": "nat", "ok": True, "state": "note", "detail": "private", "hint": ""},
        {"check": "clock", "ok": False, "state": "bad", "detail": "odd", "hint": "Set it."},
    ],
}


class FakeNode:
    """Runs in a thread of its own. `answers` may be changed by a test; `calls` is what was asked."""

    def __init__(self, profile: Profile, **greeting: Any) -> None:
        self.answers = dict(ANSWERS)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.greeting: JsonObject = {
            "program": "test",
            "pid": os.getpid(),
            "foreground": True,
            "state": "ready",
            "version": API_VERSION,
            **greeting,
        }
        self.path = socket_path(profile.folder)
        self._profile = profile
        self._lock = ProfileLock(profile)
        self.hub = EventHub()
        self.subscribed = threading.Event()
        self.ended = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), daemon=True)

    def __enter__(self) -> FakeNode:
        self._lock.acquire()
        self._thread.start()
        assert self._listening.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join(30)

    def publish(self, *events: JsonObject) -> None:
        """Tell every subscriber."""

        def publish_all() -> None:
            for event in events:
                self.hub.publish(event)

        trio.from_thread.run_sync(publish_all, trio_token=self._token)

    def end(self) -> None:
        """End like a node that is killed: every connection drops."""
        if not self.ended.is_set():
            trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
            self._thread.join(30)

    def drop(self) -> None:
        """From within an answer: the connection ends before the answer is out."""
        self._scope.cancel()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        made = server.Server(Answers(self))
        with trio.CancelScope() as self._scope:
            listener = server.listen(self.path)
            note_socket(self._profile, self.path)
            self._listening.set()
            await made.serve(listener)
        self.path.unlink(missing_ok=True)
        self._lock.release()
        self.ended.set()

    async def _subscribe(self) -> EventSource:
        await trio.lowlevel.checkpoint()
        source = self.hub.subscribe()
        self.subscribed.set()
        return source

    async def _call(self, method: str, arguments: dict[str, Any]) -> object:
        await trio.lowlevel.checkpoint()
        self.calls.append((method, arguments))
        if method in ("stop", "lock"):
            trio.lowlevel.spawn_system_task(self._end_soon)
        answer = self.answers[method]
        if isinstance(answer, errors.P2PChatError):
            raise answer
        made = answer(**arguments) if callable(answer) else answer
        return await made if inspect.isawaitable(made) else made

    async def _end_soon(self) -> None:
        await trio.sleep(0.01)
        self._scope.cancel()


class Answers:
    """The node as its server asks it."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self.call, self.subscribe = node._call, node._subscribe

    def greeting(self) -> JsonObject:
        return dict(self._node.greeting)

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        return False
