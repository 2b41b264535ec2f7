"""A node that lives in the test: answers like docs/api.md says, keeps everything in memory, and makes the events.

    node = FakeNode()
    bob = node.friend("Bob")
    node.says(bob, "hello")                       # a message of theirs, with its events
    await node.call("send", chat=bob, text="hi")  # as a screen does

It is a `Caller` for screens, and with `node.open` an opener for the node client. Nothing here waits for time: `now` is
a clock that each thing said moves on by a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from p2pchat import errors
from p2pchat.api.codec import API_VERSION
from tests.tui.fake_files import FakeFiles
from tests.tui.fake_groups import FakeGroups

Json = dict[str, Any]

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
INVITE = "P2PCHAT:TAAQBRBAESSJD7USS6IZEPRDAYI5QWW3CJ45KNKVYZY4IDHSHITQFPQU" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" * 4
SAFETY_NUMBER = "30463 83243 76764 53147 08656 17959 50903 24356 07526 63958 33415 56473"
SAS = "anchor velvet tulip orbit candy mosquito raven fossil"
STATES = ("saved", "stored", "delivered", "read")


class FakeNode(FakeGroups, FakeFiles):
    """A node with contacts, messages and requests, that can be locked, die and come back."""

    def __init__(
        self, *, passphrase: str | None = None, keep_receiving: bool | None = False, now: datetime = START
    ) -> None:
        super().__init__()
        self.now = now
        self.passphrase = passphrase
        self.locked = passphrase is not None
        self.calls: list[tuple[str, Json]] = []
        self.fail: dict[str, errors.P2PChatError] = {}
        """The next call of that method raises this (once)."""
        self.hold: dict[str, asyncio.Event] = {}
        """A call of that method waits for this before it does anything."""
        self.on_event: Callable[[Json], object] | None = None
        self.people: dict[str, Json] = {}
        self.asking: dict[str, Json] = {}
        self.history: dict[str, list[Json]] = {}
        self.read_upto: dict[str, int] = {}
        self.drafts: dict[str, str] = {}
        self.versions: dict[str, list[Json]] = {}
        self.timers: dict[str, int | None] = {}
        self.added: dict[str, str] = {}
        self.set_for: dict[str, Json] = {}
        """What is set for chats: archived, pinned, muted_until."""
        self.invites: list[Json] = []
        self.offer: Json = {"relay": None, "reachable": False, "notice": "What it means."}
        self.settings: Json = {
            "keep_receiving": keep_receiving,
            "read_receipts": True,
            "typing": True,
            "lan": "auto",
            "port_mapping": True,
            "fetch_up_to": 25,
            "pictures": "verified",
        }
        self.reachable = True
        self.relayed = False
        self.relays = 0
        self.listed_relays: list[Json] = []
        self.told_relays: list[Json] = []
        self.network_rows: list[Json] = []
        self.network_next: list[str] = []
        self.opened = 0
        self.alive = True
        self._end = asyncio.Event()
        self._count = 0

    # --- what a test does with it

    def friend(
        self, name: str, *, state: str = "contact", verified: bool = False, route: str | None = "direct", id: str = ""
    ) -> str:
        """A contact; the id of their chat. `id` may be given, to see two that begin alike."""
        ident = id or self._id(32)
        self.people[ident] = {
            "id": ident,
            "name": name,
            "state": state,
            "verified": verified,
            "route": route,
            "hidden": False,
        }
        self.history[ident] = []
        self.read_upto[ident] = 0
        self._emit("contact", self.people[ident])
        return ident

    def says(self, chat: str, text: str, *, ago: timedelta | None = None) -> Json:
        """They say something; the message object."""
        return self._message(chat, self.people[chat]["name"], text, "received", ago)

    def said(self, chat: str, text: str, state: str = "delivered", *, ago: timedelta | None = None) -> Json:
        """We said something, from wherever; the message object."""
        return self._message(chat, "me", text, state, ago)

    def moves(self, message_id: str, state: str, route: str | None = "direct") -> None:
        """One of our messages gets another state."""
        message = self._find_message(message_id)
        message["state"] = state
        message["route"] = route
        self._emit(
            "state", {"id": message_id, "chat": message["chat"], "state": state, "route": route, "at": self._stamp()}
        )

    def reacts(self, message_id: str, emoji: str, name: str = "me") -> Json:
        """An emoji of that person's under a message, in place of the one before; "" for none."""
        message = self._find_message(message_id)
        others = [each for each in message["reactions"] if each["from"] != name]
        own = [{"emoji": emoji, "from": name, "mine": name == "me"}] if emoji else []
        return self._changed(message, "reaction", reactions=[*others, *own])

    def makes(self, label: str = "", state: str = "open", users: Sequence[tuple[str, str]] = ()) -> str:
        """An invite that was made, and who has used it; its id."""
        self.invites.append(
            {
                "id": self._id(16),
                "kind": "one-time",
                "label": label,
                "state": state,
                "created": self._stamp(),
                "expires": self._stamp(timedelta(days=7)),
                "uses": len(users),
                "used_by": [{"id": ident, "name": name} for ident, name in users],
                "ask": False,
                "hidden": False,
                "invite": INVITE if state == "open" else None,
            }
        )
        return str(self.invites[-1]["id"])

    def knocks(self, name: str, *, known: bool = False, id: str = "") -> str:
        """Somebody asks to become a contact; their id."""
        ident = id or self._id(32)
        self.asking[ident] = {"id": ident, "name": name, "since": self._stamp(), "sas": SAS, "known": known}
        self._emit("request", self.asking[ident])
        return ident

    def lends(self, address: str, state: str = "connected", problem: str = "", contact: str | None = None) -> None:
        """A relay this profile uses, from the third on in reserve; or one that a contact offers."""
        row = {"address": address, "state": state, "since": None, "problem": problem, "contact": contact}
        is_ours = state != "offered"
        self.listed_relays.append({**row, "used": is_ours and len(self.listed_relays) < 2, "kept": is_ours})

    def tells(self, address: str, by: str | None, **more: object) -> None:
        """Somebody has told of a relay: a relay, by its address, or a contact."""
        row = {"address": address, "state": "told", "since": None, "problem": "", "contact": None, "used": False}
        kind = "relay" if (by or "").startswith("/") else "contact"
        known = {"told_by": kind, "source": by, "worked": None, "in_use": False, "stores": True, "kept": False}
        self.told_relays.append({**row, **known, **more})

    def says_of_network(self, about: str, check: str, state: str, detail: str) -> None:
        """A row of the page about the network."""
        row = {"about": about, "check": check, "state": state, "detail": detail, "hint": ""}
        self.network_rows.append(row)

    def comes(self, contact: str, route: str = "direct") -> None:
        """A link with a contact comes up."""
        self._change(contact, route=route)

    def goes(self, contact: str) -> None:
        """A link with a contact goes down."""
        self._change(contact, route=None)

    def warns(self, warning: str) -> None:
        """The node has something to tell."""
        self._emit("node", {"warning": warning})

    def emit(self, event: str, **params: object) -> None:
        """Any event at all."""
        self._emit(event, params)

    def named(self, method: str) -> list[Json]:
        """The arguments of every call of a method."""
        return [params for name, params in self.calls if name == method]

    # --- as a link of the node client

    async def open(self) -> FakeNode:
        """What the node client opens: this node, or NodeError while it is dead."""
        await asyncio.sleep(0)
        self.opened += 1
        if not self.alive:
            raise errors.NodeError("The node could not start", hint="Its log says why.")
        if self._end.is_set():
            self._end = asyncio.Event()
        return self

    @property
    def greeting(self) -> Mapping[str, Any]:
        """What hello answered."""
        state = "locked" if self.locked else "ready"
        return {"version": API_VERSION, "program": "0", "pid": 1, "foreground": False, "state": state}

    def die(self, *, for_good: bool = False) -> None:
        """The node ends; with `for_good` it cannot be started again until `revive`."""
        self.alive = not for_good
        self.on_event = None
        self.locked = self.passphrase is not None
        self._end.set()

    def revive(self) -> None:
        """It can be started again."""
        self.alive = True

    async def closed(self) -> None:
        """Wait for its end."""
        await self._end.wait()

    async def close(self) -> None:
        """The connection ends, the node does not."""
        await asyncio.sleep(0)
        self.on_event = None

    async def call(self, method: str, **params: Any) -> Any:
        """Answer a method as the real node does."""
        self.calls.append((method, params))
        end = self._end
        await asyncio.sleep(0)
        if method in self.hold:
            await self.hold[method].wait()
        if not self.alive or end.is_set():
            raise errors.NodeGone()
        if method in self.fail:
            raise self.fail.pop(method)
        if self.locked and method not in ("unlock", "status", "stop"):
            raise errors.Locked()
        answer: Callable[..., Any] | None = getattr(self, f"_do_{method}", None)
        if answer is None:
            raise errors.UsageError(f"There is no method {method}")
        return answer(**params)

    # --- the methods

    def _do_subscribe(self, events: list[str] | None = None) -> Json:
        return {"events": events or []}

    def _do_unlock(self, passphrase: str) -> Json:
        if self.locked and passphrase != self.passphrase:
            raise errors.WrongPassphrase()
        self.locked = False
        return {"locked": False, "addresses": []}

    def _do_status(self) -> Json:
        return {
            "running": True,
            **self.greeting,
            "name": "Me",
            "has_passphrase": self.passphrase is not None,
            "addresses": ["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW"] if self.reachable else [],
            "keep_receiving": self.settings["keep_receiving"],
            "relays": self.relays,
            "relays_connected": self.relays,
            "could_relay": self.offer["reachable"] and self.offer["relay"] is None,
        }

    def _do_offer(self, answer: bool | None = None) -> Json:
        if answer is not None:
            self.offer["relay"] = answer
        return dict(self.offer)

    def _do_keys(self, rotate: bool = False) -> Json:
        self.says_of_network("here", "key", "good", "the next one is made: 2026-11-21T10:30:00.000Z")
        return {"notice": "A notice."}

    def _do_network(self) -> Json:
        return {
            "rows": [dict(row) for row in self.network_rows],
            "next": list(self.network_next),
            "contacts": [{"name": person["name"], "label": person["name"]} for person in self.people.values()],
        }

    def _do_name(self, name: str = "me") -> Json:
        return {"name": name}

    def _do_settings(self, **changes: bool | str | None) -> Json:
        self.settings.update({name: value for name, value in changes.items() if value is not None})
        return dict(self.settings)

    def _do_lock(self) -> Json:
        if self.passphrase is None:
            raise errors.NotNow("This profile has no passphrase, so there is nothing to lock")
        self.locked = True
        self.die()
        return {"pid": 1}

    def _do_chats(self, limit: int | None = None) -> list[Json]:
        chats = [self._chat(ident) for ident in self.people]
        chats.sort(key=lambda chat: self._activity(chat["id"]), reverse=True)
        return sorted(chats, key=lambda chat: not chat.get("pinned"))[:limit]

    def _do_contacts(self) -> list[Json]:
        return [dict(person) for person in self.people.values()]

    def _do_requests(self) -> list[Json]:
        return [dict(request) for request in self.asking.values()]

    def _do_read(self, chat: str, upto: str) -> Json:
        position = [message["id"] for message in self.history[chat]].index(upto) + 1
        if position > self.read_upto[chat]:
            self.read_upto[chat] = position
            self._tell_unread(chat)
        return {"unread": len(self._unread(chat))}

    def _do_draft(self, chat: str, text: str) -> Json:
        self.drafts[self._find(chat)] = text
        return {}

    def _do_log(
        self,
        chat: str,
        limit: int = 50,
        search: str | None = None,
        before: str | None = None,
        after: str | None = None,
        around: str | None = None,
        since: str | None = None,
    ) -> list[Json]:
        messages = self.history[self._find(chat)]
        ids = [message["id"] for message in messages]
        if search is not None:
            words = search.casefold().split()
            found = [each for each in messages if words and all(word in each["text"].casefold() for word in words)]
        elif before is not None:
            found = messages[: ids.index(before)]
        elif after is not None:
            first = ids.index(after) + 1
            return [dict(each) for each in messages[first : first + limit]]
        elif around is not None:
            middle = ids.index(around)
            first = max(0, min(middle - limit // 2, len(messages) - limit))
            return [dict(each) for each in messages[first : first + limit]]
        elif since is not None:
            return [dict(each) for each in messages[:limit]]
        else:
            found = messages
        return [dict(each) for each in found[-limit:]]

    def _do_messages(
        self, chat: str | None = None, since: str | None = None, position: int | None = None, limit: int | None = None
    ) -> list[Json]:
        histories = self.history.values() if chat is None else [self.history[self._find(chat)]]
        # Ids are counted up, so they tell the order in which messages came.
        found = sorted((each for history in histories for each in history), key=lambda each: str(each["id"]))
        placed = [{**each, "position": int(each["id"][:4], 16)} for each in found]
        if since is not None:
            position = next((each["position"] for each in placed if each["id"] == since), 0)
        if position is None:
            return placed[-limit:] if limit else []
        return [each for each in placed if each["position"] > position][:limit]

    def _do_send(
        self, chat: str, text: str, reply_to: str | None = None, wait: str = "saved", timeout: float = 30
    ) -> Json:
        del timeout
        if len(text.encode()) > 48_000:
            raise errors.TextTooLong()
        ident = self._find(chat)
        if self.people[ident]["state"] == "blocked":
            raise errors.NotNow("This contact is blocked")
        message = self._message(ident, "me", text, "saved", None, reply_to)
        if self.people[ident]["route"] is not None:
            for state in STATES[1:3]:
                self.moves(message["id"], state, self.people[ident]["route"])
        del wait
        return {"id": message["id"], "state": message["state"], "route": message["route"], "stored_at": None}

    def _do_invite(self, reusable: bool = False, ask: bool = False, expires: int = 604_800) -> Json:
        del reusable, ask
        notice = "" if self.reachable and not self.relays else "What can be said about where it works."
        return {
            "id": self._id(16),
            "invite": INVITE,
            "expires_at": self._stamp(timedelta(seconds=expires)),
            "reachable": self.reachable or self.relays > 0,
            "relayed": self.relayed,
            "relays": self.relays,
            "notice": notice,
        }

    def _do_add(self, invite: str, name: str | None = None, wait: str | None = None, timeout: float = 30) -> Json:
        del wait, timeout
        if not invite.strip().upper().startswith("P2PCHAT:"):
            raise errors.BadInvite()
        if invite not in self.added:  # the same invite again is the same contact, as with the real node
            self.added[invite] = self.friend(name or "Inviter", state="waiting", route=None)
        return {**self._brief(self.added[invite]), "anew": False}

    def _do_accept(self, contact: str) -> Json:
        request = self.asking.pop(self._find_request(contact))
        self.friend(request["name"], id=request["id"])
        return self._brief(request["id"])

    def _do_decline(self, contact: str) -> Json:
        return {"id": self.asking.pop(self._find_request(contact))["id"]}

    def _do_block(self, contact: str) -> Json:
        for ident, request in list(self.asking.items()):
            if contact in (ident, request["name"]):
                del self.asking[ident]
                self.friend(request["name"], state="blocked", route=None, id=ident)
                return self._brief(ident)
        ident = self._find(contact)
        self._change(ident, state="blocked", route=None)
        return self._brief(ident)

    def _do_rename(self, contact: str, name: str) -> Json:
        if not name.strip() or len(name) > 64:
            raise errors.BadName()
        ident = self._find(contact)
        self._change(ident, name=name)
        return self._brief(ident)

    def _do_unblock(self, contact: str) -> Json:
        ident = self._find(contact)
        self._change(ident, state="contact")
        return self._brief(ident)

    def _do_note(self, contact: str, text: str | None = None) -> Json:
        ident = self._find(contact)
        if text is not None:
            self._change(ident, note=text)
        return {"id": ident, "name": self.people[ident]["name"], "note": self.people[ident].get("note", "")}

    def _do_forget(self, contact: str, history: bool = False) -> Json:
        ident = self._find(contact)
        name = self.people[ident]["name"]
        if history:
            del self.people[ident]
        else:
            self.people[ident]["state"] = "forgotten"
        self._emit("forgotten", {"id": ident, "history": history})
        return {"id": ident, "name": name, "history": history}

    def _do_clear(self, chat: str) -> Json:
        ident = self._find(chat)
        self.history[ident].clear()
        self.read_upto[ident] = 0
        self._emit("cleared", {"chat": ident})
        return {"id": ident, "name": self.people[ident]["name"]}

    def _set_chat(self, chat: str, **fields: Any) -> Json:
        ident = self._find(chat)
        self.set_for.setdefault(ident, {"archived": False, "pinned": False, "muted_until": None}).update(fields)
        self._tell_unread(ident)
        return {"id": ident, **self.set_for[ident]}

    def _do_pin_chat(self, chat: str, pinned: bool = True) -> Json:
        return self._set_chat(chat, pinned=pinned)

    def _do_archive(self, chat: str, archived: bool = True) -> Json:
        return self._set_chat(chat, archived=archived)

    def _do_mute(self, chat: str, seconds: int | None = None) -> Json:
        until = None if seconds == 0 else self._stamp(timedelta(seconds=seconds or 10**9))
        return self._set_chat(chat, muted_until=until)

    def _do_invites(self, revoke: str | None = None) -> list[Json]:
        for invite in self.invites:
            if invite["id"] == revoke:
                invite |= {"state": "revoked", "invite": None}
        return list(self.invites)

    def _do_hide(self, contact: str, hidden: bool = True) -> Json:
        ident = self._find(contact)
        self._change(ident, hidden=hidden)
        return {**self._brief(ident), "hidden": hidden, "notice": ""}

    def _do_verify(self, contact: str, set: bool = False) -> Json:
        ident = self._find(contact)
        if set:
            self._change(ident, verified=True)
        return {"safety_number": SAFETY_NUMBER, "verified": self.people[ident]["verified"], "sas": SAS}

    def _do_delete(self, id: str, for_both: bool = False, chat: str | None = None) -> Json:
        del chat
        message = self._find_message(id)
        if for_both:
            return self._changed(message, "deleted", deleted=True, text="", quote=None, reactions=[])
        chat = message["chat"]
        position = self.history[chat].index(message)
        del self.history[chat][position]
        if position < self.read_upto[chat]:
            self.read_upto[chat] -= 1
        self._emit("state", {"id": id, "chat": chat, "state": "deleted", "route": None, "at": None})
        return {"id": id}

    def _do_edit(self, id: str, text: str, chat: str | None = None) -> Json:
        del chat
        message = self._find_message(id)
        self.versions.setdefault(id, []).append({"text": message["text"], "at": message["sent_at"]})
        return self._changed(message, "edit", text=text, edited_at=self._stamp())

    def _do_history(self, id: str, chat: str | None = None) -> list[Json]:
        del chat
        return [*self.versions.get(id, []), {"text": self._find_message(id)["text"], "at": self._stamp()}]

    def _do_react(self, id: str, emoji: str, chat: str | None = None) -> Json:
        del chat
        return self.reacts(id, emoji)

    def _do_pin(self, id: str, pinned: bool = True, chat: str | None = None) -> Json:
        del chat
        return self._changed(self._find_message(id), "pin", pinned=pinned)

    def _do_pinned(self, chat: str) -> list[Json]:
        return [dict(each) for each in self.history[chat] if each["pinned"]]

    def _do_locate(self, chat: str, to: str) -> Json:
        if to == "mention":
            return {"id": next((each["id"] for each in self._unread(chat) if each["mentions_me"]), None)}
        if to == "unread":
            return {"id": next((each["id"] for each in self._unread(chat)), None)}
        return {"id": next((each["id"] for each in self.history[chat] if each["sent_at"] >= to), None)}

    def _do_search(self, query: str, limit: int = 50, typing: bool = False, context: int = 160) -> list[Json]:
        del typing, context
        return [
            {**each, "position": 0, "chat_name": self.people[chat]["name"], "snippet": []}
            for chat, history in self.history.items()
            for each in history
            if all(word in each["text"] for word in query.split())
        ][-limit:]

    def _do_timer(self, chat: str, seconds: int | None = None) -> Json:
        ident = self._find(chat)
        if seconds is not None:
            self.timers[ident] = seconds or None
            self._tell_unread(ident)
        return {"chat": ident, "timer": self.timers.get(ident), "by": "me", "at": self._stamp()}

    def _do_typing(self, chat: str, writing: bool = True) -> Json:
        return {"told": writing and self.people[self._find(chat)]["route"] is not None}

    def _do_why(self, id: str) -> Json:
        message = self._find_message(id)
        lies = message["state"] == "stored" and message["route"] == "mailbox"
        reason, following = "It is on its way.", "An answer is due at any moment."
        if lies:
            reason, following = "It is stored at 2 relays until 21 Dec.", "Their node finds it there."
        elif message["state"] in ("delivered", "read"):
            reason, following = f"It was {message['state']}, as their node confirmed.", "Nothing."
        return {
            "id": id,
            "state": message["state"],
            "reason": reason,
            "next": following,
            "relays": 2 if lies else 0,
            "until": "2026-12-21T10:00:00.000Z" if lies else None,
        }

    def _do_relays(self, add: str | None = None, remove: str | None = None, all: bool = False) -> list[Json]:
        self.listed_relays = [row for row in self.listed_relays if row["address"] != remove]
        gone = [row for row in self.told_relays if row["address"] in (add, remove)]
        self.told_relays = [row for row in self.told_relays if row not in gone]
        return [*self._own_relays(add), *(self.told_relays if all else ())]

    def _own_relays(self, add: str | None) -> list[Json]:
        for row in self.listed_relays:
            if add is not None and row["contact"] == add:
                row |= {"state": "connected", "used": True, "kept": True}
                return self.listed_relays
        if add is not None:
            self.lends(add.partition("#")[0])
        return self.listed_relays

    # --- inside

    def _changed(self, message: Json, what: str, **changes: object) -> Json:
        message.update(changes)
        notify = what == "reaction" and message["mine"]
        self._emit("changed", {**message, "what": what, "notify": notify})
        return dict(message)

    def _quote(self, message_id: str) -> Json:
        quoted = self._find_message(message_id)
        kept = {key: quoted[key] for key in ("from", "text", "deleted", "expires_in", "member")}
        return {**kept, "here": True}

    def _id(self, digits: int) -> str:
        self._count += 1
        # The counter comes first, so that short prefixes differ.
        return f"{self._count:04x}".ljust(digits, "0")

    def _stamp(self, more: timedelta = timedelta(0)) -> str:
        return (self.now + more).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _message(
        self,
        chat: str,
        sender: str,
        text: str,
        state: str,
        ago: timedelta | None,
        reply_to: str | None = None,
        **more: Any,
    ) -> Json:
        self.now += timedelta(seconds=1)
        at = self._stamp(-(ago or timedelta(0)))
        mine = sender == "me"
        message: Json = {
            "id": self._id(32),
            "chat": chat,
            "from": sender,
            "sender": None if mine else chat,
            "mine": mine,
            "text": text,
            "kind": "text",
            "sent_at": at,
            "received_at": None if mine else at,
            "state": state,
            "route": None if state == "saved" else "direct",
            "late": False,
            "reply_to": reply_to,
            "quote": None if reply_to is None else self._quote(reply_to),
            "edited_at": None,
            "reactions": [],
            "pinned": False,
            "expires_in": None,
            "expires_at": None,
            "deleted": False,
            "file": None,
            "member": None,
            "mentions_me": False,
            **more,
        }
        self.history[chat].append(message)
        self._emit("message", message)
        if not mine:
            self._tell_unread(chat)
        return message

    def _unread(self, chat: str) -> list[Json]:
        return [each for each in self.history[chat][self.read_upto[chat] :] if each["from"] != "me"]

    def _tell_unread(self, chat: str) -> None:
        unread = self._unread(chat)
        first = unread[0]["id"] if unread else None
        timer = self.timers.get(chat)
        told = {"id": chat, "unread": len(unread), "first_unread": first, "timer": timer, **self.set_for.get(chat, {})}
        self._emit("chat", {**told, "mentions": sum(each["mentions_me"] for each in unread)})

    def _chat(self, ident: str) -> Json:
        unread = self._unread(ident)
        history = self.history[ident]
        return {
            **self.people[ident],
            **self.set_for.get(ident, {}),
            "unread": len(unread),
            "mentions": sum(each["mentions_me"] for each in unread),
            "requests": len(self.asking_to_join.get(ident, ())),
            "first_unread": unread[0]["id"] if unread else None,
            "last": dict(history[-1]) if history else None,
            "draft": self.drafts.get(ident, ""),
            "timer": self.timers.get(ident),
        }

    def _activity(self, ident: str) -> str:
        history = self.history[ident]
        return str(history[-1]["id"]) if history else ident

    def _change(self, contact: str, **changes: object) -> None:
        self.people[contact].update(changes)
        self._emit("contact", self.people[contact])

    def _brief(self, ident: str) -> Json:
        return {name: self.people[ident][name] for name in ("id", "name", "state")}

    def _find(self, named: str) -> str:
        for ident, person in self.people.items():
            if named in (ident, person["name"]):
                return ident
        raise errors.NoSuchContact()

    def _find_request(self, named: str) -> str:
        for ident, request in self.asking.items():
            if named in (ident, request["name"]):
                return ident
        raise errors.NoSuchContact("Nobody of that name asks to become a contact")

    def _find_message(self, ident: str) -> Json:
        for messages in self.history.values():
            for message in messages:
                if message["id"] == ident:
                    return message
        raise errors.NoSuchMessage()

    def _emit(self, event: str, params: Mapping[str, object]) -> None:
        if self.on_event is not None:
            self.on_event({"event": event, **params})
