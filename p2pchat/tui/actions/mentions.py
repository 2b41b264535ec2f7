"""Completion of `@` and the beginning of a name, in a group: the members are searched by the node, a few at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.lib import lookalikes
from p2pchat.lib.mentions import ALL
from p2pchat.tui.commands import Completion
from p2pchat.tui.groups import MEMBER, GroupInfo, Member, member_of, offers
from p2pchat.tui.model import Chat

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp

MAX_OFFERED = 20
"""Members that are offered at once; typing finds others."""

MAX_KEPT = 200
"""Answers that are kept while one chat is on the screen."""

_BEGUN = re.compile(r"(?<![\w@])@([^@\n]{0,60})$")


def begun(line: str) -> str | None:
    """Return the beginning of a name at the end of a line, behind its sign; None if there is none."""
    match = _BEGUN.search(line)
    return None if match is None or match[1].endswith(" ") or match[1].startswith(" ") else match[1]


def ways(line: str, name: str, members: Sequence[Member], *, to_all: bool) -> list[Completion]:
    """Return how a line that ends in the beginning of a name may go on: those whose name begins so first."""
    before, wanted = line[: len(line) - len(name) - 1], name.casefold()
    others = [member for member in members if not member.me]
    labels = lookalikes.labels([(member.name, member.id) for member in others])
    named = sorted(zip(labels, others, strict=True), key=lambda each: not each[0].casefold().startswith(wanted))
    found = [Completion(f"{before}@{label} ", f"@{label}", _says(member)) for label, member in named]
    if to_all and ALL.startswith(wanted):
        found.append(Completion(f"{before}@{ALL} ", f"@{ALL}", "everybody in this group"))
    return found


def _says(member: Member) -> str:
    known = "" if member.contact in (None, member.name) else f"your contact {member.contact}"
    return ", ".join(filter(None, (known, "" if member.role == MEMBER else member.role)))


class MentionActions:
    """Knows the members whose names begin as something that was typed."""

    def __init__(self, app: BaseApp, group: Callable[[], GroupInfo | None]) -> None:
        """group: returns what is known of the group on the screen."""
        self._app = app
        self._group = group
        self._kept: dict[tuple[str, str], list[Member]] = {}
        self._asked: set[tuple[str, str]] = set()

    def ways(self, chat: Chat, line: str) -> list[Completion]:
        """Return the completions that are known; if there may be more, they are asked for, and offered then."""
        name = begun(line)
        if name is None or not offers("group_members"):
            return []
        key = (chat.id, name.casefold())
        if key not in self._kept and not self._is_none(*key):
            self._read(key, name)
        members = self._kept.get(key)
        if members is None:  # until the answer is here, those that were found for what was typed before
            shorter = self._kept.get((chat.id, key[1][:-1]), [])
            members = [each for each in shorter if key[1] in each.name.casefold()]
        group = self._group()
        to_all = group is not None and group.chat == chat.id and group.moderates
        return ways(line, name, members, to_all=to_all)

    def forget(self) -> None:
        """Forget the answers: the members of a group are others."""
        self._kept.clear()

    def _is_none(self, chat: str, name: str) -> bool:
        """Return whether nobody's name begins so, because nobody's name begins as a part of it does."""
        return any(self._kept.get((chat, name[:end])) == [] for end in range(1, len(name)))

    def _read(self, key: tuple[str, str], name: str) -> None:
        if key not in self._asked:
            self._asked.add(key)
            self._app.begin(self._ask(key, name))

    async def _ask(self, key: tuple[str, str], name: str) -> None:
        try:
            answer = await self._app.node.call("group_members", chat=key[0], search=name, offset=0, limit=MAX_OFFERED)
        except errors.P2PChatError:
            return  # the text can be sent without it
        finally:
            self._asked.discard(key)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = [member_of(each) for each in answer["members"]]
        self._app.main.composer.complete_again()
