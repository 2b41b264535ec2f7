"""The groups of the node that lives in the test: see `fakes`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from p2pchat import errors
from p2pchat.api import methods
from p2pchat.tui.commands import COMMANDS
from p2pchat.tui.group_verbs import VERBS
from p2pchat.tui.groups import ROLES

Json = dict[str, Any]

RULES: Json = {
    "name": "",
    "topic": "",
    "description": "",
    "slow_mode": 0,
    "locked": False,
    "invites": "admins",
    "newcomers": 0,
    "history": 0,
    "recovery": None,
}
METHODS = {verb.needs for verb in VERBS} | {command.needs for command in COMMANDS if command.needs} | {"answer_request"}


def offer_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the node have the methods about groups, whether the program has them or not."""
    for name in METHODS - methods.BY_NAME.keys():
        monkeypatch.setitem(methods.BY_NAME, name, None)


def member(number: int, name: str, role: str = "member", *, contact: str | None = None, verified: bool = False) -> Json:
    """A member object; its id begins with the number."""
    ident = f"{number:04x}".ljust(16, "0")
    return {
        "id": ident,
        "name": name,
        "role": role,
        "me": False,
        "contact": contact,
        "verified": verified,
        "muted_until": None,
    }


class FakeGroups(ABC):
    """The methods about groups. The class that inherits it has the chats and messages."""

    people: dict[str, Json]
    history: dict[str, list[Json]]
    read_upto: dict[str, int]

    def __init__(self) -> None:
        self.members: dict[str, list[Json]] = {}
        self.rules: dict[str, Json] = {}
        self.roles: dict[str, str] = {}
        """Ours in each group."""
        self.asking_to_join: dict[str, list[Json]] = {}
        self.done: dict[str, list[Json]] = {}
        self.receipts: dict[str, bool] = {}
        self.reports: dict[str, list[Json]] = {}
        self.adding: list[str] = []
        self.awaited: list[Json] = []

    @abstractmethod
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
        """Return a new message object of a chat, which `history` has now."""

    @abstractmethod
    def _find(self, named: str) -> str:
        """Return the id of a chat. Raises NoSuchContact."""

    @abstractmethod
    def _emit(self, event: str, params: Mapping[str, object]) -> None:
        """Make an event."""

    @abstractmethod
    def _id(self, digits: int) -> str:
        """Return a new id."""

    @abstractmethod
    def _chat(self, ident: str) -> Json:
        """Return a chat object."""

    # --- what a test does with it

    def group(self, name: str, members: Sequence[Json] = (), *, role: str = "owner", **rules: object) -> str:
        """A group that we are in; the id of its chat."""
        ident = self._id(16)
        facts = {"verified": False, "route": None, "hidden": False}
        self.people[ident] = {"id": ident, "name": name, "state": "group", "kind": "group", **facts}
        self.history[ident], self.read_upto[ident] = [], 0
        me = {**member(0xFFFF, "Me", role), "me": True}
        self.members[ident] = [me, *members]
        self.rules[ident] = {**RULES, **rules}
        self.roles[ident], self.asking_to_join[ident], self.done[ident] = role, [], []
        self._emit("group", {"chat": ident})
        return ident

    def writes(self, chat: str, who: Json, text: str, *, ago: timedelta | None = None, **more: Any) -> Json:
        """A member writes something; the message object."""
        by = {"id": who["id"], "name": who["name"]}
        return self._message(chat, who["name"], text, "received", ago, member=by, **more)

    def does(self, chat: str, text: str, op: str = "add", known_by: int | None = None) -> None:
        """Something is done in a group, and is said in a line."""
        by = text.split()[0]
        at = f"2026-11-20T09:{len(self.done[chat]) % 60:02}:00.000Z"
        self.done[chat].append({"id": self._id(64), "at": at, "text": text, "by": by, "op": op, "known_by": known_by})
        self._message(chat, by, text, "received", None, kind="group", member={"id": "0" * 16, "name": by})
        self._emit("group", {"chat": chat})

    def wants_in(self, chat: str, name: str, words: str = "") -> str:
        """Somebody asks to join a group; the id of the request."""
        row = {"id": self._id(16), "name": name, "words": words, "at": "2026-11-20T09:00:00.000Z", "via": "the flyer"}
        self.asking_to_join[chat].append(row)
        self._emit("group", {"chat": chat})
        return str(row["id"])

    def waits_for(self, name: str) -> None:
        """We ask to join a group by an invite."""
        self.awaited.append({"name": name, "at": "2026-11-20T09:00:00.000Z"})

    # --- the methods

    def _do_create_group(self, name: str, contacts: Sequence[str] = (), locked: bool = False) -> Json:
        ident = self.group(name)
        self._do_add_members(ident, contacts)
        return self._chat(ident)

    def _do_add_members(self, chat: str, contacts: Sequence[str]) -> Json:
        for each in contacts:
            person = self.people[self._find(each)]
            rows = self.members[chat]
            rows.append(member(len(rows), person["name"], contact=person["name"], verified=person["verified"]))
        return self._do_group(chat)

    def _do_group(self, chat: str) -> Json:
        ident = self._find(chat)
        rules = self.rules[ident]
        return {
            "chat": ident,
            "name": self.people[ident]["name"],
            "topic": rules["topic"],
            "role": self.roles[ident],
            "members": len(self.members[ident]),
            "settings": rules,
            "adding": self.adding,
            "requests": len(self.asking_to_join[ident]),
            "receipts": self.receipts.get(ident, False),
            "epoch": "The keys are 2 hours old.",
            "problem": "",
        }

    def _do_group_members(self, chat: str, search: str = "", offset: int = 0, limit: int = 100) -> Json:
        words = search.casefold()
        found = [
            each
            for each in self.members[self._find(chat)]
            if words in each["name"].casefold() or words in (each["contact"] or "").casefold()
        ]
        found.sort(key=lambda each: (ROLES.index(each["role"]), each["name"].casefold()))
        return {"total": len(found), "members": found[offset : offset + limit]}

    def _member(self, chat: str, ident: str) -> Json:
        for each in self.members[chat]:
            if each["id"] == ident:
                return each
        raise errors.NoSuchContact("There is no such member")

    def _do_group_receipts(self, chat: str, wanted: bool = True) -> Json:
        self.receipts[chat] = wanted
        return self._do_group(chat)

    def reported(self, chat: str, message: Json, by: str, why: str) -> None:
        """A member reports a message to us, in a line of the chat."""
        who = {"id": "0" * 16, "name": by}
        text = f"{by} reports a message: {why}"
        line = self._message(chat, by, text, "received", None, kind="group", member=who, reply_to=message["id"])
        self.reports.setdefault(chat, []).append(line)

    def _do_group_reports(self, chat: str) -> list[Json]:
        return self.reports.get(chat, [])

    def _do_remove_member(self, chat: str, member: str, ban: bool = False, reason: str = "") -> Json:
        del ban, reason
        gone = self._member(chat, member)
        self.members[chat].remove(gone)
        self.does(chat, f"you removed {gone['name']}.", "remove", 1)
        return self._do_group(chat)

    def _do_set_role(self, chat: str, member: str, role: str) -> Json:
        self._member(chat, member)["role"] = role
        self._emit("group", {"chat": chat})
        return self._do_group(chat)

    def _do_mute_member(self, chat: str, member: str, seconds: int) -> Json:
        self._member(chat, member)["muted_until"] = "2027-11-20T09:00:00.000Z" if seconds else None
        self._emit("group", {"chat": chat})
        return self._do_group(chat)

    def _do_hide_message(self, id: str, reason: str = "", chat: str | None = None) -> Json:
        row = next(each for each in self.history[chat or ""] if each["id"] == id)
        row.update(text="", deleted=True, hidden={"by": "me", "reason": reason})
        self._emit("changed", row)
        return row

    def _do_report_message(self, id: str, reason: str = "", chat: str | None = None) -> Json:
        self.does(chat or "", f"You reported {id[:4]}: {reason}", "report")
        return {"readers": 2}

    def _do_recover_group(self, chat: str, member: str) -> Json:
        self._member(chat, member)
        return self._do_group(chat)

    def _do_keep_group(self, chat: str) -> Json:
        return self._do_group(chat)

    def _do_succeed_group(self, chat: str, name: str) -> Json:
        del chat
        return {"chat": self.group(name), "offered": 1, "missing": 2}

    def _do_leave_group(self, chat: str) -> Json:
        self.people[chat]["state"], self.roles[chat] = "left", ""
        self._emit("group", {"chat": chat})
        return {"chat": chat, "name": self.people[chat]["name"]}

    def _do_set_group(self, chat: str, key: str, value: str) -> Json:
        if key == "name":
            self.people[chat]["name"] = value
        self.rules[chat][key] = value
        self._emit("group", {"chat": chat})
        return self._do_group(chat)

    def _do_group_requests(self, chat: str) -> list[Json]:
        return list(self.asking_to_join[chat])

    def _do_joining(self) -> list[Json]:
        return list(self.awaited)

    def _do_answer_request(self, chat: str, id: str, accept: bool = True) -> Json:
        row = next(each for each in self.asking_to_join[chat] if each["id"] == id)
        self.asking_to_join[chat].remove(row)
        if accept:
            self.members[chat].append(member(len(self.members[chat]), row["name"]))
        self._emit("group", {"chat": chat})
        return {"id": id, "name": row["name"]}

    def _do_group_invite(
        self, chat: str, expires: int = 604_800, uses: int | None = None, ask: bool = False, role: str = "member"
    ) -> Json:
        del chat, expires, uses, ask, role
        return {"id": self._id(16), "text": "P2PCHAT:" + "GROUP234" * 20, "expires": "2026-11-27T09:00:00.000Z"}

    def _do_group_log(self, chat: str, limit: int = 50, before: str | None = None) -> list[Json]:
        rows = self.done[chat]
        ids = [row["id"] for row in rows]
        return rows[: len(rows) if before is None else ids.index(before)][-limit:]
