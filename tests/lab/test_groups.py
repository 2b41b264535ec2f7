"""Groups of people behind different routers: somebody is away, a relay is killed, a member is removed. P2PCHAT_LAB=all
also plays a group of ten, with logs at relays, in a network that falls into two halves.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.lab.steps import relay
from tests.lab.topology import Lab, bare
from tests.support.groups import GROUP, all_agree, all_do, all_have, all_hear, arrive, roster, said
from tests.support.persons import Person, people
from tests.support.processes import PATIENCE
from tests.support.steps import until

NAMES = ["anna", "ben", "cem", "dora", "emil", "fay", "gus", "hana", "ivo", "jin"]
RELAYS = ["relay1", "relay2"]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """An internet with two relays, and nobody yet."""
    with bare() as lab:
        for variable in ("XDG_RUNTIME_DIR", "TMPDIR"):
            monkeypatch.setenv(variable, lab.place.environment()[variable])
        lab.internet()
        for name in RELAYS:
            lab.public(name)
        yield lab


def gathered(lab: Lab, count: int, addresses: list[str]) -> list[Person]:
    """People, each at home, whose nodes run and use these relays; all are contacts of the first."""
    for name in NAMES[:count]:
        lab.home(name)
    first, *others = everybody = people(lab.place, *NAMES[:count])
    all_do(everybody, arrive)
    all_do(everybody, lambda person: [person.call("relays", add=address) for address in addresses])
    for other in others:
        befriend(first, other)
    return everybody


def befriend(inviter: Person, joiner: Person) -> None:
    joiner.call("add", invite=inviter.call("invite")["invite"], wait="accepted", timeout=PATIENCE)
    inviter.has(joiner.name)


def say(person: Person, text: str, expected: dict[str, list[str]], wait: str = "saved") -> None:
    """Have somebody say this to the group, which is to hear it."""
    person.say(GROUP, text, wait=wait)
    expected[person.name].append(text)


def one_is_away_a_relay_dies_and_another_is_removed(net: Lab) -> None:
    running, addresses = zip(*(relay(net, name) for name in RELAYS), strict=True)
    everybody = anna, ben, cem, dora = gathered(net, 4, list(addresses))
    befriend(ben, cem)  # so that what Cem says reaches Ben without Anna
    anna.call("create_group", name=GROUP, contacts=["ben", "cem", "dora"])
    who = {"anna": "owner", "ben": "member", "cem": "member", "dora": "member"}
    all_have(everybody)
    all_agree(everybody, who)
    expected: dict[str, list[str]] = {name: [] for name in who}
    for person in everybody:
        say(person, f"{person.name} is here", expected)
    all_hear(everybody, expected)

    ben.end(signal.SIGKILL)
    running[0].end(signal.SIGKILL)
    say(dora, "to all", expected)
    all_hear([anna, cem], expected)
    anna.call("remove_member", chat=GROUP, member="dora")
    del who["dora"]
    all_agree([anna, cem], who)
    before = said(dora)
    say(anna, "without dora", expected, "stored")
    say(cem, "only us", expected, "stored")
    all_hear([anna, cem], expected)
    anna.end()

    arrive(ben)
    all_agree([ben], who)
    all_hear([ben], expected)
    relay(net, "relay1")
    arrive(anna)
    say(ben, "I am back", expected)
    all_hear([anna, ben, cem], expected)
    until(lambda: dora.call("group", chat=GROUP)["role"] is None)
    assert said(dora) == before


def two_halves_act_apart_and_agree_when_they_meet(net: Lab) -> None:
    addresses = [relay(net, name)[1] for name in RELAYS]
    everybody = gathered(net, 10, addresses)
    anna, ben, *_, last = everybody
    anna.call("create_group", name=GROUP, contacts=NAMES[1:])
    anna.until(lambda: anna.call("group", chat=GROUP)["members"] == len(everybody))
    anna.call("set_role", chat=GROUP, member="ben", role="admin")
    who = {"anna": "owner", "ben": "admin"} | dict.fromkeys(NAMES[2:], "member")
    all_have(everybody)
    all_agree(everybody, who)
    expected = {person.name: [f"{person.name} is here"] for person in everybody}
    all_do(everybody, lambda person: person.say(GROUP, *expected[person.name]))
    all_hear(everybody, expected)

    # Each half has an admin and a relay.
    halves = everybody[0::2], everybody[1::2]
    lines = [[at, *(person.name for person in half)] for at, half in zip(RELAYS, halves, strict=True)]
    for one in lines[0]:
        for other in lines[1]:
            net.part(one, other)
    anna.call("remove_member", chat=GROUP, member="cem")
    anna.call("set_group", chat=GROUP, key="topic", value="the hut")
    ben.call("remove_member", chat=GROUP, member="dora")
    ben.call("set_group", chat=GROUP, key="description", value="in May")
    sides = []
    for half, gone in zip(halves, ("cem", "dora"), strict=True):
        staying = [person for person in half if person.name != gone]
        all_agree(staying, {name: role for name, role in who.items() if name != gone})
        heard = {name: list(texts) for name, texts in expected.items()}
        for person in staying:
            say(person, f"{person.name} meanwhile", heard)
        all_hear(staying, heard)
        sides.append(staying)
    net.rejoin()
    left = [*sides[0], *sides[1]]
    for person in left:
        expected[person.name].append(f"{person.name} meanwhile")
    who = {name: role for name, role in who.items() if name not in ("cem", "dora")}
    all_agree(left, who)
    for person in left:
        say(person, f"{person.name} together again", expected)
    all_hear(left, expected)
    for person in left:
        group = person.call("group", chat=GROUP)
        assert (group["topic"], group["settings"]["description"]) == ("the hut", "in May"), person.name
    assert roster(last) == who


STORIES = [one_is_away_a_relay_dies_and_another_is_removed]
if os.environ.get("P2PCHAT_LAB") == "all":
    STORIES.append(two_halves_act_apart_and_agree_when_they_meet)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_group_where(story: Callable[[Lab], None], net: Lab) -> None:
    story(net)
