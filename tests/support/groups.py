"""People in one group: who is in it and what was said, as each of them has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.persons import EVENTS, Person

T = TypeVar("T")

GROUP = "friends"
PAIRWISE = 8
"""Members up to which a group uses no logs at relays."""
MOST = 16
"""Who does something at the same time."""


def all_do(persons: Iterable[Person], act: Callable[[Person], T]) -> list[T]:
    """Have all do something at the same time."""
    with ThreadPoolExecutor(MOST) as pool:
        return list(pool.map(act, persons))


def arrive(person: Person) -> None:
    """Start somebody's node, and be told what happens in groups too."""
    person.start()
    person.call("subscribe", events=[*EVENTS, "group", "changed"])


def roster(person: Person) -> dict[str, str]:
    """The members by name, with their roles."""
    answer = person.call("group_members", chat=GROUP)
    assert answer["total"] == len(answer["members"])
    return {member["name"]: member["role"] for member in answer["members"]}


def said(person: Person) -> dict[str, list[str]]:
    """What each said, in the order in which this one has it."""
    found = defaultdict(list)
    for message in person.call("log", chat=GROUP, limit=1000):
        if message["kind"] == "text":
            found[person.name if message["mine"] else message["from"]].append(message["text"])
    return dict(found)


def all_have(persons: Iterable[Person]) -> None:
    """Wait until all have the group."""
    for person in persons:
        person.until(lambda person=person: GROUP in [chat["name"] for chat in person.call("chats")])  # type: ignore[misc]


def all_hear(persons: Sequence[Person], expected: dict[str, list[str]]) -> None:
    """Wait until all have exactly this."""
    count = sum(map(len, expected.values()))
    for person in persons:
        person.until(lambda person=person: sum(map(len, said(person).values())) >= count)  # type: ignore[misc]
        assert said(person) == expected, person.name


def all_agree(persons: Sequence[Person], who: dict[str, str]) -> None:
    """Wait until all have these members."""
    for person in persons:
        person.until(lambda person=person: roster(person) == who)  # type: ignore[misc]
