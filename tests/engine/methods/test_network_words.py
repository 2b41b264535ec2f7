"""What is said of the network in each situation, word by word: a function of values, without a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.engine.methods.network_facts import ContactFacts, NetworkFacts, OtherRelays, RelayFacts
from p2pchat.engine.methods.network_words import BAD, SEEN, advice, rows
from p2pchat.ports import (
    LanHealth,
    LanMode,
    Machine,
    MappingState,
    NetState,
    OwnAddress,
    PathState,
    PortMapping,
    ProxyHealth,
    RelayHealth,
    Scope,
    TransportHealth,
)
from p2pchat.store.contacts import ContactState
from p2pchat.store.outbox import Waiting

NOW = 1_790_000_000_000
PRIVATE = OwnAddress("/ip4/192.168.1.7/tcp/4001", "IPv4", Scope.LOCAL)
PUBLIC = OwnAddress("/ip6/2001:db8::7/tcp/4001", "IPv6", Scope.PUBLIC)
HOME = NetState(Machine(("IPv4",), (), True), (PRIVATE,))
HILL = RelayFacts(
    PeerKey(b"h" * 32),
    "/ip4/203.0.113.5/tcp/4001/p2p/12D3",
    "203.0.113.5:4001",
    RelayHealth("connected", NOW - 7_200_000, answer_ms=45, longest=720, family="IPv4"),
    queues=4,
    stored=3,
    circuits=True,
)
LOST = replace(HILL, health=RelayHealth("unreachable", NOW - 60_000, "no address answered"), circuits=False, stored=0)
ANNA = ContactFacts(
    ContactId(b"a" * 8), "anna", route=Route.DIRECT, path=PathState(Route.DIRECT, family="IPv6", seconds=7200, direct=2)
)
AWAY = ContactFacts(
    ContactId(b"b" * 8), "bob", path=PathState(direct=2, circuits=1, tried=40), waiting=Waiting(3, 2, 1)
)
FACTS = NetworkFacts(NOW, HOME, "2026-09-21T14:13:20.000Z")


def said(facts: NetworkFacts) -> dict[str, str]:
    """The last row of each check, with a cross before what does not work."""
    return {row.check: f"{'✗ ' if row.state == BAD else ''}{row.detail}" for row in rows(facts)}


def told(facts: NetworkFacts) -> list[str]:
    return advice(facts, rows(facts))


def test_at_home_with_a_relay() -> None:
    facts = replace(FACTS, net=replace(HOME, circuits=(HILL.peer,)), relays=(HILL,), contacts=(ANNA,))
    assert said(facts) == {
        "network": "IPv4, with a route to the internet",
        "clock": "2026-09-21T14:13:20.000Z",
        "listening": "/ip4/192.168.1.7/tcp/4001",
        "reachability": "others reach this node directly from this network only and through 1 relay",
        "nat": "a router translates addresses (NAT): this machine has private ones only. Of which kind is not known",
        "port": "the router is not asked to open a port. `p2pchat settings port_mapping yes` changes that",
        "lan": "contacts are not looked for on this network. `p2pchat settings lan auto` changes that",
        "others": "no others are known yet: relays and contacts tell of them. If yours are all blocked, nobody gets in",
        "relay": "/ip4/203.0.113.5/tcp/4001/p2p/12D3 connected over IPv4 for 2 hours; answers in 45 ms; others reach "
        "you through it; keeps 4 queues for you, each message for 4 weeks at most; has 3 envelopes of yours that "
        "others have not confirmed",
        "contact": "anna: linked, direct over IPv6, for 2 hours",
        "line": "whoever watches your line sees your network address and that of 1 contact linked directly and of "
        "1 relay, that both use libp2p (of a relay by wss: a web server; of one in disguise: what its transport makes "
        "of it), when, how many envelopes, and which of three sizes each has. They do not see content, names or who "
        "you are",
        "operators": "whoever runs a relay of yours sees your network address and your transport key, which mailboxes "
        "you open, when envelopes of which size arrive and leave, and who is connected to you through it, and can "
        "guess over time who writes to whom; never content, names or identity keys",
        "contacts": "anna can see your network address, and that you are online",
    }
    assert told(facts) == ["Add a second relay, run by somebody else: each holds every message."]


def test_whether_the_router_opened_a_port_is_one_sentence() -> None:
    sentences = set()
    for state in MappingState:
        opened = state == MappingState.OPEN
        mapping = PortMapping(state, "/ip4/11.0.3.2/tcp/4001", "PCP") if opened else PortMapping(state)
        facts = replace(FACTS, net=replace(HOME, mapping=mapping))
        words = said(facts)
        sentences.add(words["port"])
        assert ("by the port that the router says it has opened" in words["reachability"]) == opened
        assert told(facts) == told(FACTS), "nothing is wrong without one"
        asked = state in ("asking", "open", "silent", "refused", "not public")
        assert ("the router was asked" in words.get("neighbours", "")) == asked
    assert len(sentences) == len(MappingState)
    assert sum("p2pchat settings port_mapping" in words for words in sentences) == 1, "only where that can change it"
    assert "the router has opened a port: others can dial /ip4/11.0.3.2/tcp/4001 (asked by PCP)" in sentences
    assert "port" not in said(replace(FACTS, proxy=ProxyHealth("127.0.0.1:9050", "")))


def test_without_any_network() -> None:
    facts = replace(FACTS, net=NetState(), lan=LanHealth(LanMode.AUTO), relays=(LOST,), contacts=(AWAY,))
    words = said(facts)
    assert words["network"] == "✗ this machine is on no network"
    assert words["listening"] == "nowhere: there is no network"
    assert words["lan"] == "contacts are not looked for: there is no local network"
    assert words["reachability"] == "nobody can reach this node; no relay of yours carries anybody to it now"
    assert words["contact"] == (
        "✗ bob: no link; this machine is on no network; 3 messages waiting to be delivered: 2 at relays until their "
        "node fetches them, 1 here for a link or a relay"
    )
    assert words["line"] == "nothing leaves this machine, so there is nothing to see"
    assert "nat" not in words
    assert "operators" not in words
    (relay,) = [row for row in rows(replace(facts, net=HOME)) if row.check == "relay"]
    assert relay.hint.endswith("with a second relay, they arrive through that one.")
    assert told(facts)[0] == (
        "Join a network: a local one is enough for contacts who are on it too. `p2pchat parcel out` carries messages "
        "on a stick meanwhile."
    )
    assert len(told(facts)) == 1, "nothing is advised that needs a network first"


@pytest.mark.parametrize(
    ("lan", "detail", "hint"),
    [
        (
            LanHealth(LanMode.AUTO, looking=True, found=1),
            "a local network (IPv4) that does not lead to the internet; contacts who are on it too are found",
            "`p2pchat parcel out` carries messages on a stick meanwhile.",
        ),
        (
            LanHealth(LanMode.OFF),
            "a local network (IPv4) that does not lead to the internet",
            "Look for contacts who are on it too: `p2pchat settings lan auto`.",
        ),
    ],
)
def test_on_a_local_network_alone(lan: LanHealth, detail: str, hint: str) -> None:
    near = replace(ANNA, route=Route.LAN, path=PathState(Route.LAN, direct=1))
    facts = replace(FACTS, net=replace(HOME, machine=Machine(("IPv4",), (), False)), lan=lan, contacts=(near,))
    words = said(facts)
    assert words["network"] == detail
    assert told(facts) == [hint], "no relay is advised where none can be reached"
    assert words["contact"] == "anna: linked, direct, on this network, for a moment"
    assert ("neighbours" in words) == lan.looking


@pytest.mark.parametrize("here", [True, False])
def test_behind_a_proxy_that_is_down(here: bool) -> None:
    proxy = ProxyHealth("127.0.0.1:9050" if here else "192.0.2.9:1080", "it does not answer")
    net = replace(HOME, addresses=())
    mailed = replace(AWAY, route=Route.MAILBOX, relays=1)
    facts = replace(FACTS, net=net, proxy=proxy, proxy_here=here, relays=(LOST, LOST), contacts=(mailed,))
    words = said(facts)
    assert words["proxy"].startswith("✗ nothing leaves this machine: the proxy at ")
    assert words["listening"] == "nowhere: with a proxy, others reach this node through relays"
    assert words["contact"].startswith("✗ bob: no link; the proxy does not work; 3 messages waiting")
    assert words["line"] == (
        "everything goes to the proxy on this machine. Whoever watches your line sees what that proxy sends; whoever "
        "runs the proxy sees whom you connect to"
        if here
        else "everything goes to the proxy at 192.0.2.9:1080. Whoever watches your line sees that you use it, "
        "when, and how much you send; whoever runs the proxy sees whom you connect to"
    )
    assert told(facts) == [
        "Start the proxy, or name another with `p2pchat node --proxy`. Nothing goes past it meanwhile."
    ]


def test_behind_a_proxy_that_works_relays_and_contacts_see_its_address() -> None:
    near = replace(ANNA, name="zoe", path=PathState(Route.CIRCUIT), route=Route.CIRCUIT)
    proxied = replace(FACTS, proxy=ProxyHealth("127.0.0.1:9050", ""), relays=(HILL,), contacts=(near, ANNA))
    words = said(proxied)
    assert words["contact"] == "anna: linked, direct, by the proxy, for 2 hours"
    assert "sees the proxy's address and your transport key" in words["operators"]
    assert words["contacts"] == "anna can see the proxy's address, and that you are online", "zoe sees the relay"
    assert "your network address" not in " ".join(row.detail for row in rows(proxied) if row.about == SEEN)


def test_a_hidden_contact() -> None:
    eve = replace(AWAY, name="eve", hidden=True, waiting=Waiting(1, 0, 0), cannot="nothing can be left for you")
    facts = replace(FACTS, relays=(HILL, HILL), contacts=(ANNA, eve), hides=True)
    words = said(facts)
    assert words["contact"] == (
        "✗ eve: no link; you hide your address from them, so only circuits through your relays are tried; 1 message "
        "waiting to be delivered: it lies here for a link or a relay; you hide your address from them, so "
        "nothing can be left for you"
    )
    assert "both your transport keys" in words["operators"]
    assert words["contacts"] == (
        "eve can see which relays you use, and not your network address; those who run these relays, and whoever sees "
        "when your two keys appear and disappear, can tell that they belong together"
    )
    linked = replace(eve, route=Route.CIRCUIT, relay=HILL.place, path=PathState(Route.CIRCUIT, seconds=60), cannot="")
    assert said(replace(facts, contacts=(linked,)))["contact"].startswith(
        "eve: linked, circuit through your relay 203.0.113.5:4001, for 1 minute; not directly, because you hide your "
        "address from them"
    )


@pytest.mark.parametrize(
    ("contact", "words"),
    [
        (
            replace(AWAY, route=Route.MAILBOX, relays=2, waiting=Waiting(0, 0, 2)),
            "no link, through a mailbox at 2 relays of theirs; 2 addresses and 1 circuit of theirs dialled 40 seconds "
            "ago, without an answer; only receipts and the like wait for them",
        ),
        (replace(AWAY, path=PathState(), waiting=Waiting(0, 0, 0)), "no link; no way to their node is known"),
        (
            replace(AWAY, path=PathState(direct=1), waiting=Waiting(2, 2, 0)),
            "no link; 1 address of theirs is being dialled; 2 messages waiting to be delivered: all at relays "
            "until their node fetches them",
        ),
        (
            replace(AWAY, waiting=Waiting(0, 0, 0), route=Route.CIRCUIT, path=PathState(Route.CIRCUIT, seconds=5)),
            "linked, circuit through a relay of theirs, for 5 seconds; not directly, because they gave no address that "
            "can be dialled",
        ),
        (
            replace(
                ANNA, path=PathState(Route.CIRCUIT, seconds=5, direct=2, tried=4, stalled=True), route=Route.CIRCUIT
            ),
            "linked, circuit through a relay of theirs, for 5 seconds, stalled: another link is being made; not "
            "directly: their 2 addresses were dialled 4 seconds ago without an answer, and are tried again within the "
            "hour",
        ),
        (
            replace(
                ANNA,
                path=PathState(Route.CIRCUIT, seconds=5, direct=1, tried=0, no_hole=True),
                route=Route.CIRCUIT,
            ),
            "linked, circuit through a relay of theirs, for 5 seconds; not directly: their address was dialled just "
            "now without an answer, and holes through both routers did not open",
        ),
        (
            replace(AWAY, waiting=Waiting(1, 1, 0), path=PathState(direct=1, tried=0)),
            "no link; 1 address of theirs dialled just now, without an answer; 1 message waiting to be delivered: it "
            "lies at relays until their node fetches it",
        ),
        (replace(ANNA, state=ContactState.WAITING), "has not accepted yet: your request has not arrived yet"),
        (
            replace(ANNA, state=ContactState.WAITING, asked="stored at a relay until 21 Dec"),
            "has not accepted yet: your request is stored at a relay until 21 Dec",
        ),
    ],
)
def test_why_a_path_is_not_a_better_one(contact: ContactFacts, words: str) -> None:
    row = next(row for row in rows(replace(FACTS, relays=(HILL,), contacts=(contact,))) if row.check == "contact")
    assert row.detail == f"{contact.name}: {words}"


@pytest.mark.parametrize(
    ("relay", "words", "hint"),
    [
        (
            LOST,
            "✗ /ip4/203.0.113.5/tcp/4001/p2p/12D3 unreachable for 1 minute: no address answered; keeps 4 queues "
            "for you",
            "messages come through your other one",
        ),
        (
            replace(HILL, health=RelayHealth("refused", NOW, "it does not take our token"), queues=0, stored=0),
            "✗ /ip4/203.0.113.5/tcp/4001/p2p/12D3 refused for a moment: it does not take our token",
            "with the present token",
        ),
        (
            replace(HILL, used=False, queues=0, stored=0, health=RelayHealth("connecting", NOW), contact="anna"),
            "/ip4/203.0.113.5/tcp/4001/p2p/12D3 is not asked; run by anna; in reserve: used if another one fails",
            "",
        ),
        (
            replace(HILL, stored=0, health=replace(HILL.health, hours_ahead=-26), unwatched=7),
            "✗ /ip4/203.0.113.5/tcp/4001/p2p/12D3 connected over IPv4 for 2 hours; answers in 45 ms; others reach you "
            "through it; keeps 4 queues for you, each message for 4 weeks at most; its clock is 1 day behind "
            "yours; 7 of your contacts' queues there are not watched but only checked from time to time",
            "too few streams",
        ),
    ],
)
def test_what_a_relay_does_and_why_not(relay: RelayFacts, words: str, hint: str) -> None:
    facts = replace(FACTS, relays=(relay, HILL))
    row = next(row for row in rows(facts) if row.check == "relay")
    assert f"{'✗ ' if row.state == BAD else ''}{row.detail}" == words
    assert hint in row.hint
    assert not hint or row.hint in told(facts)


def test_without_a_proxy_an_onion_service_is_said_to_need_tor() -> None:
    onion = f"/onion3/{'a' * 56}:4001/p2p/12D3"
    health = RelayHealth("unreachable", NOW - 60_000, "it can be reached through Tor only")
    facts = replace(FACTS, relays=(replace(LOST, address=onion, health=health),))
    assert f"{onion} unreachable for 1 minute: it can be reached through Tor only" in said(facts)["relay"]
    assert any("p2pchat node --proxy" in hint for hint in told(facts))
    with_proxy = replace(facts, proxy=ProxyHealth("127.0.0.1:9050", ""))
    assert not any("p2pchat node --proxy" in hint for hint in told(with_proxy))


def test_what_disguises_a_connection_is_said() -> None:
    runs, fails = TransportHealth("obfs4", running=True), TransportHealth("xor", problem="there is no program xor")
    net = replace(HOME, transports=(runs, fails, TransportHealth("third")))
    facts = replace(FACTS, net=net, relays=(replace(HILL, disguise="obfs4"),))
    details = {row.detail: row.state for row in rows(facts) if row.check == "transport"}
    assert details == {
        "the pluggable transport obfs4 runs": "good",
        "the pluggable transport xor does not work: there is no program xor": "bad",
        "the pluggable transport third is started when an address needs it": "good",
    }
    assert any("[transports.xor]" in hint for hint in told(facts))
    assert "answers in 45 ms; disguised by obfs4" in said(facts)["relay"]
    assert "disguised" not in said(replace(facts, relays=(HILL,)))["relay"]
    address = "/ip4/203.0.113.5/tcp/443/pt/fourth/-/p2p/12D3"
    assert any("[transports.fourth]" in hint for hint in told(replace(facts, relays=(replace(LOST, address=address),))))


def test_a_public_address_works_once_somebody_has_come_by_it() -> None:
    facts = replace(FACTS, net=replace(HOME, addresses=(PUBLIC, PRIVATE), machine=Machine(("IPv6",), ("IPv6",), True)))
    assert said(facts)["reachability"] == (
        "others reach this node perhaps directly (this machine has a public address, but nobody has come in by it yet)"
    )
    assert said(facts)["nat"].startswith("for IPv4 only, if at all")
    assert said(replace(facts, reached=True))["reachability"] == (
        "others reach this node directly (contacts have dialled it from outside)"
    )


def test_with_two_hops_no_relay_sees_who_comes_and_what_is_fetched() -> None:
    assert said(replace(FACTS, net=replace(HOME, hops=2), relays=(HILL,)))["operators"] == (
        "whoever runs a relay of yours sees your network address, who is connected to you through it, and to which "
        "relay you go through it; or, as the second, which mailboxes are opened there and when, and not by whom. The "
        "first may be one that you did not choose, of which a relay of yours has told. Both together, or who compares "
        "the times, know what one knew"
    )


def test_a_relay_of_others_sees_as_much_as_ones_own() -> None:
    words = said(replace(FACTS, net=replace(HOME, circuits=(HILL.peer,)), others=OtherRelays(3, 1, 1)))
    assert words["operators"] == (
        "1 relay of others that your node has heard of, used because none of yours answers: whoever runs it sees your "
        "network address, your transport key, and who is connected to you through it"
    )
    assert "and that of 1 relay, that both" in words["line"]


def test_a_relay_that_is_a_contacts_and_many_contacts() -> None:
    people = tuple(replace(ANNA, name=f"friend {number}") for number in range(5))
    facts = replace(FACTS, relays=(replace(HILL, contact="anna"),), contacts=people, is_relay=True)
    seen = [row.detail for row in rows(facts) if row.about == SEEN]
    assert "anna can also tell that it is you, because the relay is theirs" in seen
    assert "friend 0, friend 1, friend 2 and 2 others can see your network address, and that you are online" in seen
    assert "contacts who use your node as a relay know your network address, even while they are not linked" in seen


def test_a_clock_that_is_wrong_and_too_many_relays_of_contacts() -> None:
    facts = replace(FACTS, clock="12:00: 1 day behind what most of your relays say", clock_right=False, turns=3)
    assert said(facts)["clock"].startswith("✗ ")
    assert said(facts)["relays"].startswith("✗ you fetch from so many relays of your contacts that 3 take turns")
    assert [text[:13] for text in told(facts)[:2]] == ["Set the clock", "Use a relay o"]


def test_a_network_that_freezes_connections_and_what_goes_over_short_ones() -> None:
    short = replace(HILL, health=replace(HILL.health, short=True), circuits=False)
    near = replace(ANNA, path=replace(ANNA.path, short=True))
    facts = replace(FACTS, net=replace(HOME, freezing=2), relays=(short,), contacts=(near,))
    words = said(facts)
    assert words["freezing"].startswith("this network freezes connections with 2 hosts after a few kilobytes, so short")
    assert "; over short connections alone, since this network freezes others; answers in" in words["relay"]
    assert words["contact"] == "anna: linked, direct over IPv6, by short connections, for 2 hours"
    assert told(facts)[0].startswith("Another network, a relay with another provider, or a proxy")
    assert "freezing" not in said(replace(facts, net=HOME))


def test_a_link_through_both_routers() -> None:
    path = PathState(Route.PUNCHED, family="IPv4", seconds=60, direct=1)
    words = said(replace(FACTS, contacts=(replace(ANNA, route=Route.PUNCHED, path=path),)))
    assert words["contact"] == "anna: linked, direct, through both routers over IPv4, for 1 minute"
    assert "that of 1 contact linked directly, that both" in words["line"]


@pytest.mark.parametrize(
    ("others", "circuits", "words"),
    [
        (OtherRelays(), (), "no others are known yet: relays and contacts tell of them. If yours are all blocked, n"),
        (OtherRelays(1), (), "1 other known, to be reached by if none of yours answers; none of them has answered yet"),
        (OtherRelays(9, 2), (), "9 others known, to be reached by if none of yours answers; 2 of them have worked"),
        (OtherRelays(9, 2, 1), (b"o" * 32,), "you are reached through 1 relay of others for now, since none of you"),
    ],
)
def test_what_is_known_of_other_relays(others: OtherRelays, circuits: tuple[PeerKey, ...], words: str) -> None:
    facts = replace(FACTS, net=replace(HOME, circuits=circuits), relays=(LOST, LOST), others=others)
    assert said(facts)["others"].startswith(words)
    assert any("Add one that works" in text for text in told(facts)) == bool(circuits)


def test_relays_of_contacts_that_are_connected_see_who_comes() -> None:
    facts = replace(FACTS, relays=(replace(HILL, unlisted=True),), others=OtherRelays(in_use=2), contacts=(AWAY,))
    seen = [row.detail for row in rows(facts) if row.about == SEEN]
    assert "that of 3 relays and of whoever else your node dials, that both use libp2p" in seen[0]
    assert seen[2] == (
        "2 relays that contacts use are connected with your node too: whoever runs one sees your network address, your "
        "transport key, and when you leave or fetch envelopes there or are linked through it"
    )
    assert "; unlisted: nobody else is told of it; " in said(facts)["relay"]


def test_mailboxes_through_a_second_relay_alone() -> None:
    away = replace(LOST, health=replace(LOST.health, problem="no other relay leads there"))
    facts = replace(FACTS, net=replace(HOME, hops=2), relays=(replace(HILL, circuits=False), away))
    assert said(facts)["hops"].startswith("each mailbox is opened through a second relay (`hops = 2` in config.toml)")
    assert told(facts)[0].startswith("With `hops = 2` in config.toml, a relay is reached only through another one.")


@pytest.mark.parametrize(
    ("relays", "reason"), [(2, "none of their relays answers"), (1, "their relay does not answer")]
)
def test_messages_wait_while_no_relay_of_a_contact_answers(relays: int, reason: str) -> None:
    facts = replace(FACTS, relays=(LOST, LOST), contacts=(replace(AWAY, relays=relays),))
    assert said(facts)["contact"].startswith(f"✗ bob: no link; messages wait: {reason}; 2 addresses and 1 circuit of")
    assert "What waits is sent once their node or a relay of theirs answers." in " ".join(told(facts))


def test_names_that_look_alike_have_digits_of_the_id_everywhere() -> None:
    other = replace(ANNA, id=ContactId(b"o" * 8), label="аnnа ·6f6f", hidden=True, no_room=True)
    theirs = replace(HILL, contact="anna", owner="anna ·6161")
    facts = replace(FACTS, relays=(theirs,), contacts=(replace(ANNA, label="anna ·6161"), other))
    text = " ".join(f"{row.detail} {row.hint}" for row in rows(facts))
    assert text.count("anna ·6161") == 4
    assert text.count("аnnа ·6f6f") == 4
    assert "anna" not in text.replace("anna ·6161", "")


def test_what_happens_to_the_key() -> None:
    assert said(replace(FACTS, key="A key is 2 days old. It stays."))["key"] == "a key is 2 days old. It stays"
    assert "key" not in said(FACTS)


def test_advice_stands_alone() -> None:
    full = replace(AWAY, name="eve", no_room=True)
    assert told(replace(FACTS, relays=(LOST,), contacts=(full,))) == [
        "Messages at a relay that does not answer wait there; with a second relay, they arrive through that one.",
        "Read the chat with eve, or block them. config.toml sets the limits.",
        "A contact's node may be off, or neither side can dial the other; with a relay, messages can wait there.",
        "Add a second relay, run by somebody else: each holds every message.",
    ]
