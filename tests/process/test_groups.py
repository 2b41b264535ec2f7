"""A group of real nodes and relays: founded, talked in, cut up, one of it removed. `make soak` takes twelve people."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.groups import GROUP, PAIRWISE, all_agree, all_do, all_have, all_hear, arrive, said
from tests.support.persons import Person, people, relays
from tests.support.persons import gathered as gathered_people
from tests.support.processes import PATIENCE, Place
from tests.support.sampling import WHOLE
from tests.support.steps import until

NAMES = ["anna", "ben", "cem", "dora", "emil", "fay", "gus", "hana", "ivo", "jin", "kim", "lea"]
COUNT, RELAYS = (12, 3) if WHOLE else (5, 2)
GONE = "dora"
ADMINS = ("ben", "cem")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with gathered_people(monkeypatch) as made:
        yield made


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
    all_have(everybody)
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
    until(lambda: removed.call("group", chat=GROUP)["role"] is None)
    assert said(removed) == before

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
    all_do([*left, removed], arrive)
    all_agree(left, who)
    for person in left:
        person.until(lambda person=person: settings(person)["description"] == "in May")  # type: ignore[misc]
    assert {settings(person)["topic"] for person in left} == {"the hut"}
    for person in left:
        person.say(GROUP, text := f"{person.name} together again", wait="saved")
        expected[person.name].append(text)
    all_hear(left, expected)
    assert said(removed) == before
    assert removed.call("group", chat=GROUP)["role"] is None
    removed.end()
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


def test_strangers_go_on_by_the_logs_when_their_founder_and_a_relay_are_gone(here: Place) -> None:
    """Who joined by an invite knows nobody but the founder, and has no relay: all that is left are the group's logs."""
    used = relays(here, "relay0", "relay1")
    founder, *others = everybody = people(here, *NAMES[: PAIRWISE + 1])
    all_do(everybody, arrive)
    founder.use(*used)
    founder.call("create_group", name=GROUP)
    invite = founder.call("group_invite", chat=GROUP)["text"]
    all_do(others, lambda person: person.call("add", invite=invite, wait="accepted", timeout=PATIENCE))
    who = {founder.name: "owner"} | {person.name: "member" for person in others}
    all_have(everybody)
    all_agree(everybody, who)
    expected = {person.name: [f"{person.name} is here"] for person in everybody}
    all_do(everybody, lambda person: person.say(GROUP, *expected[person.name]))
    all_hear(everybody, expected)

    used[0].end(signal.SIGKILL)
    founder.end(signal.SIGKILL)
    away, *staying = others
    away.end()
    for person in staying:
        person.say(GROUP, text := f"{person.name} by the relay that is left")
        expected[person.name].append(text)
    all_hear(staying, expected)
    all_do(staying, Person.end)
    arrive(away)
    all_hear([away], expected)
