"""A group of real nodes and relays: founded, talked in, cut up, one of it removed. `make soak` takes twelve people."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.support.persons import EVENTS, Person, people, relays
from tests.support.persons import gathered as gathered_people
from tests.support.processes import PATIENCE, Place
from tests.support.sampling import WHOLE

T = TypeVar("T")

NAMES = ["anna", "ben", "cem", "dora", "emil", "fay", "gus", "hana", "ivo", "jin", "kim", "lea"]
COUNT, RELAYS = (12, 3) if WHOLE else (5, 2)
PAIRWISE = 8
"""Members up to which a group uses no logs at relays."""
GROUP = "friends"
GONE = "dora"
ADMINS = ("ben", "cem")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered_people(monkeypatch) as made:
        yield made


def all_do(persons: Iterable[Person], act: Callable[[Person], T]) -> list[T]:
    """Have all do something at the same time."""
    with ThreadPoolExecutor(COUNT) as pool:
        return list(pool.map(act, persons))


def arrive(person: Person) -> None:
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


def settings(person: Person) -> dict[str, Any]:
    group = person.call("group", chat=GROUP)
    return {**group["settings"], "topic": group["topic"], "name": group["name"]}


def test_people_found_a_group_and_nothing_that_happens_splits_it(here: Place) -> None:
    used = relays(here, *(f"relay{number}" for number in range(RELAYS)))
    everybody = people(here, *NAMES[:COUNT])
    founder, others = everybody[0], everybody[1:]
    all_do(everybody, arrive)
    for number, person in enumerate(everybody):  # two each
        person.use(used[number % RELAYS], used[(number + 1) % RELAYS])
    invites = [founder.call("invite")["invite"] for _ in others]
    *known, last = others
    for person, invite in zip(known, invites, strict=False):
        person.call("add", invite=invite, wait="accepted", timeout=PATIENCE)
    for person in known:
        founder.has(person.name)

    # Nobody but the founder knows the others, and nobody knows the last one, who joins by an invite.
    founder.call("create_group", name=GROUP, contacts=[person.name for person in known])
    last.call("add", invite=founder.call("group_invite", chat=GROUP)["text"], wait="accepted", timeout=PATIENCE)
    founder.until(lambda: founder.call("group", chat=GROUP)["members"] == COUNT)
    for name in ADMINS:
        founder.call("set_role", chat=GROUP, member=name, role="admin")
    who = {person.name: "member" for person in others} | {founder.name: "owner"} | dict.fromkeys(ADMINS, "admin")
    for person in everybody:
        person.until(lambda person=person: GROUP in [chat["name"] for chat in person.call("chats")])  # type: ignore[misc]
    all_agree(everybody, who)

    # They talk, and go on when a relay is lost.
    expected = {person.name: [f"{person.name} {number}" for number in range(3)] for person in everybody}
    all_do(everybody, lambda person: person.say(GROUP, *expected[person.name]))
    all_hear(everybody, expected)
    used[0].end(signal.SIGKILL)
    for person in everybody:
        person.say(GROUP, text := f"{person.name} with one relay less", wait="saved")
        expected[person.name].append(text)
    all_hear(everybody, expected)

    # Whoever is removed reads nothing of what follows.
    removed = next(person for person in everybody if person.name == GONE)
    founder.call("remove_member", chat=GROUP, member=GONE)
    staying = [person for person in everybody if person is not removed]
    del who[GONE]
    all_agree(staying, who)
    before = said(removed)
    for person in staying:
        person.say(GROUP, text := f"{person.name} without {GONE}", wait="saved")
        expected[person.name].append(text)
    all_hear(staying, expected)
    assert said(removed) == before
    assert removed.call("group", chat=GROUP)["role"] is None

    # Two admins act while each is alone, and the relays are gone too.
    all_do(everybody, Person.end)
    for relay in used[1:]:
        relay.end()
    ben, cem = (next(person for person in staying if person.name == name) for name in ADMINS)
    arrive(ben)
    ben.call("set_group", chat=GROUP, key="topic", value="the hut")
    ben.call("remove_member", chat=GROUP, member=last.name)
    ben.end()
    arrive(cem)
    cem.call("set_group", chat=GROUP, key="description", value="in May")
    cem.call("set_role", chat=GROUP, member=last.name, role="observer")
    cem.end()
    for relay in used[1:]:
        relay.start()
    del who[last.name]
    left = [person for person in staying if person is not last]
    all_do(left, arrive)
    all_agree(left, who)
    for person in left:
        person.until(lambda person=person: settings(person)["description"] == "in May")  # type: ignore[misc]
    assert {settings(person)["topic"] for person in left} == {"the hut"}
    for person in left:
        person.say(GROUP, text := f"{person.name} together again", wait="saved")
        expected[person.name].append(text)
    all_hear(left, expected)
    if len(left) <= PAIRWISE:
        return  # without logs, what one has is for the founder's contacts alone

    # Nobody is there together: what one leaves at the relays, the next one finds.
    all_do(left, Person.end)
    for person in left:
        arrive(person)
        all_hear([person], expected)
        person.say(GROUP, text := f"{person.name} alone", wait="stored")
        expected[person.name].append(text)
        person.end()
