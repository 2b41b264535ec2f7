"""A contact who is never shown an address: nothing of it reaches them, neither a packet nor a word."""

from __future__ import annotations

import pytest

from p2pchat.core.invite import read_invite
from p2pchat.net.multiaddrs import pack, parse_full
from tests.lab.town import RELAYS, Town
from tests.world.test_seizure import pages

HIDE = "--hide-address"


def memory(pid: int) -> list[bytes]:
    """All that a process has in its memory, whatever came to it and was decrypted there."""
    pieces = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            where, access = line.split()[:2]
            if access.startswith("rw"):
                start, end = (int(one, 16) for one in where.split("-"))
                mem.seek(start)
                pieces.append(mem.read(end - start))
    return pieces


def knows(town: Town, person: str, other: str, address: str) -> set[str]:
    """How somebody could know the address of another: by packets, by what their node says, remembers and keeps.

    `address`: a full address of the other's, whose transport key is looked for as well: it tells who answers there.
    """
    machine, (key, where) = town.lab[other], parse_full(address)
    told = [town.verb(person, *words) for words in (["contacts"], ["log", other], ["doctor"], ["node", "status"])]
    remembered = memory(town.running[person].pid)
    town.off(person)
    folder = town.folder(person)
    kept = pages(folder / "profile.db", (folder / "key").read_bytes())
    marks = pack(where), machine.address.encode(), key
    found = {
        "packets": any(machine.address in pair for pair in town.lab[person].talked()),
        "told": machine.address in repr(told),
        "remembered": any(mark in piece for mark in marks for piece in remembered),
        "kept": any(mark in kept for mark in marks),
    }
    return {how for how, holds in found.items() if holds}


@pytest.mark.parametrize("hides", ["nobody", "carol", "dave"])
def test_only_who_is_not_hidden_is_known(town: Town, hides: str) -> None:
    """Carol invites, Dave joins; either could be dialled by the other."""
    # whatever their nodes were forked from would remember what other tests were told
    town.lab.place.executed |= {"carol", "dave"}
    for relay in RELAYS:
        town.open(relay)
    for person in ("carol", "dave"):
        town.lab.public(person)
    town.settle("carol", "dave")
    addresses = {name: town.verb(name, "node", "status")[0]["addresses"][0] for name in ("carol", "dave")}
    invite = town.invited("carol", *([HIDE] if hides == "carol" else []))
    key, where = parse_full(addresses["carol"])
    _, said = read_invite(invite)
    assert [mark in said for mark in (pack(where), key)] == [hides != "carol"] * 2
    town.verb("dave", "add", invite, "--name", "carol", "--wait", "accepted", *([HIDE] if hides == "dave" else []))
    route = "direct" if hides == "nobody" else "circuit"
    for by, to in (("carol", "dave"), ("dave", "carol")):
        assert town.say(by, to, "hello", "delivered")["route"] == route
    for away, by in (("dave", "carol"), ("carol", "dave")):
        town.off(away)
        town.say(by, away, f"to {away}, who is away", "stored")
        town.on(away)
        town.until_heard(away, by)
    town.agree("carol", "dave")
    for person, other in (("carol", "dave"), ("dave", "carol")):
        known = knows(town, person, other, addresses[other])
        if hides == other:
            assert not known
        elif hides == person:  # may keep what the other one tells, and must not go there
            assert "packets" not in known
        else:  # what is looked for is found where nobody hides
            assert known >= {"packets", "remembered", "kept"}


@pytest.mark.parametrize("hides", [True, False])
def test_mail_of_somebody_hidden_sends_no_packet_to_a_relay_that_only_others_chose(town: Town, hides: bool) -> None:
    """Both use the first relay; the second is Dave's alone, stands in his invite, and is where he collects too."""
    shared, theirs = RELAYS
    town.open(shared)
    for person in ("carol", "dave"):
        town.lab.public(person)
    town.settle("carol", "dave")
    town.open(theirs)
    town.verb("dave", "relays", "add", town.addresses[theirs])
    town.until_connected("dave")
    invite = town.invited("dave")
    town.verb("carol", "add", invite, "--name", "dave", "--wait", "accepted", *([HIDE] if hides else []))
    for by, to in (("carol", "dave"), ("dave", "carol")):
        town.say(by, to, "hello", "delivered")
    for away, by in (("dave", "carol"), ("carol", "dave")):
        town.off(away)
        town.say(by, away, f"to {away}, who is away", "stored")
        town.on(away)
        town.until_heard(away, by)
    town.agree("carol", "dave")
    there = town.lab[theirs].address
    for machine in (town.lab["carol"], town.lab[theirs]):  # counted at both ends
        pairs = [pair for pair in machine.talked() if set(pair) == {town.lab["carol"].address, there}]
        assert bool(pairs) is not hides
    assert any(town.lab["dave"].address in pair for pair in town.lab[theirs].talked())
