"""What is known about the network, in sentences: one row for each fact, what to try next, and one word for `status`.

`doctor`, the network page and the status line say the same because they ask this module. It is a function of
`NetworkFacts`. What an observer sees is taken from docs/threat-model.md, and applies to the present situation alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from p2pchat.core.delivery import Route
from p2pchat.engine.methods import mapping_words
from p2pchat.engine.methods.clock_check import MIN_HOURS_APART
from p2pchat.engine.methods.network_facts import ContactFacts, NetworkFacts, RelayFacts
from p2pchat.engine.methods.phrases import age, count, length, named, over
from p2pchat.engine.runtime import withholding
from p2pchat.engine.runtime.clock_hints import format_difference
from p2pchat.lib.times import HOUR_MS, format_duration
from p2pchat.ports import DhtMode, LanMode, Scope
from p2pchat.store.contacts import ContactState

HERE, RELAYS, CONTACTS, SEEN = "here", "relays", "contacts", "seen"
"""What a row is about; the page has a section for each."""
GOOD, NOTE, BAD = "good", "note", "bad"
"""The states of a row: it works; it is so, and could be otherwise; it does not work."""

NO_NETWORK: Final = "no network"
NO_PROXY: Final = "the proxy does not work"


_ONION = "/onion3/"
_TRANSPORT = re.compile("/pt/([a-z0-9_]+)/")
_SET_CLOCK = (
    "Set the clock: links need it to be right within a day. Nothing fails for being too old until it "
    "has been right for an hour."
)
_CARRY = "`p2pchat parcel out` carries messages on a stick meanwhile."
_ADD_RELAY = "Add a relay: it stores what is sent to you while you are offline, and others reach you through it."
_SECOND_RELAY = "Add a second relay, run by somebody else: each holds every message."
_ALONE, _NONE_ANSWERS = "their relay does not answer", "none of their relays answers"
_OF_YOUR_OWN = "Use a relay of your own: `p2pchat relays add`. Then all your contacts leave messages there."


class Row(NamedTuple):
    """One fact. about: its section. check: its name for programs. hint: what to do about it, or ""."""

    about: str
    check: str
    state: str
    detail: str
    hint: str = ""


def rows(facts: NetworkFacts) -> list[Row]:
    """Return everything that can be said, in the order in which it depends on each other."""
    return [row for say in _SAID for row in say(facts)]


def advice(facts: NetworkFacts, said: Sequence[Row]) -> list[str]:
    """Return what to try next, the most important first: what helps against what does not work, then what could be
    better, unless nothing can leave this machine.
    """
    bad = [row.hint for row in said if row.state == BAD and row.hint]
    if facts.cut_off:
        return list(dict.fromkeys(bad))
    notes = [row.hint for row in said if row.state == NOTE and row.hint]
    if facts.net.machine.default_route is False:
        pass
    elif not facts.relays:
        notes.append(_ADD_RELAY)
    elif len(facts.relays) == 1:
        notes.append(_SECOND_RELAY)
    return list(dict.fromkeys([*bad, *notes]))


# --- this machine -----------------------------------------------------------------------------------------------------


def _network(facts: NetworkFacts) -> Iterator[Row]:
    machine = facts.net.machine
    families = " and ".join(machine.families)
    if not machine.connected:
        hint = f"Join a network: a local one is enough for contacts who are on it too. {_CARRY}"
        yield Row(HERE, "network", BAD, "this machine is on no network", hint)
    elif machine.default_route is False:
        detail = f"a local network ({families}) that does not lead to the internet"
        if facts.lan.mode == LanMode.OFF:
            hint = "Look for contacts who are on it too: `p2pchat settings lan auto`."
            yield Row(HERE, "network", NOTE, detail, hint)
        else:
            yield Row(HERE, "network", NOTE, f"{detail}; contacts who are on it too are found", _CARRY)
    elif machine.default_route:
        yield Row(HERE, "network", GOOD, f"{families}, with a route to the internet")
    else:
        yield Row(HERE, "network", GOOD, families)


def _proxy(facts: NetworkFacts) -> Iterator[Row]:
    if facts.proxy is None:
        return
    address = facts.proxy.address
    if facts.proxy.problem:
        detail = f"nothing leaves this machine: the proxy at {address} does not work, {facts.proxy.problem}"
        hint = "Start the proxy, or name another with `p2pchat node --proxy`. Nothing goes past it meanwhile."
        yield Row(HERE, "proxy", BAD, detail, hint)
    else:
        yield Row(HERE, "proxy", GOOD, f"everything leaves through the SOCKS5 proxy at {address}")


def _transports(facts: NetworkFacts) -> Iterator[Row]:
    for health in facts.net.transports:
        name = f"the pluggable transport {health.name}"
        if health.problem:
            hint = (
                f"Check the program that config.toml names under [transports.{health.name}]. Without it, addresses "
                "with this transport are not dialled."
            )
            yield Row(HERE, "transport", BAD, f"{name} does not work: {health.problem}", hint)
        elif health.running:
            yield Row(HERE, "transport", GOOD, f"{name} runs")
        else:
            yield Row(HERE, "transport", GOOD, f"{name} is started when an address needs it")


def _clock(facts: NetworkFacts) -> Iterator[Row]:
    yield Row(HERE, "clock", GOOD if facts.clock_right else BAD, facts.clock, "" if facts.clock_right else _SET_CLOCK)


def _listening(facts: NetworkFacts) -> Iterator[Row]:
    addresses = facts.net.addresses
    if addresses:
        yield Row(HERE, "listening", GOOD, ", ".join(own.address for own in addresses))
    elif facts.proxy is not None:
        yield Row(HERE, "listening", GOOD, "nowhere: with a proxy, others reach this node through relays")
    elif not facts.net.machine.connected:
        yield Row(HERE, "listening", NOTE, "nowhere: there is no network")
    else:
        yield Row(HERE, "listening", BAD, "nowhere", "Is the port in use? Try `p2pchat node --listen`.")


def _reachable(facts: NetworkFacts) -> Iterator[Row]:
    """Say from where others can dial this node: an address is proven to work only by a contact who came by it."""
    scopes = {own.scope for own in facts.net.addresses}
    circuits = len(facts.net.circuits)
    mapped = bool(facts.net.mapping.address)
    proven, ways = facts.reached and (Scope.PUBLIC in scopes or mapped), []
    if proven:
        ways.append("directly (contacts have dialled it from outside)")
    elif Scope.PUBLIC in scopes:
        ways.append("perhaps directly (this machine has a public address, but nobody has come in by it yet)")
    elif mapped:
        ways.append("directly (by the port that the router says it has opened)")
    elif Scope.LOCAL in scopes:
        ways.append("directly from this network only")
    elif scopes:
        ways.append("directly from this machine only")
    if circuits:
        ways.append(f"through {count(circuits, 'relay')}")
    detail = f"others reach this node {' and '.join(ways)}" if ways else "nobody can reach this node"
    if facts.relays and not circuits:
        detail += "; no relay of yours carries anybody to it now"
    good = proven or circuits or mapped
    yield Row(HERE, "reachability", GOOD if good else NOTE, detail)


def _freezing(facts: NetworkFacts) -> Iterator[Row]:
    """Say that this network lets only short connections through to some hosts, if that was seen."""
    if not facts.net.freezing:
        return
    detail = (
        f"this network freezes connections with {count(facts.net.freezing, 'host')} after a few kilobytes, so short "
        "ones are made there, one after the other: mail comes and goes that way, more slowly, and nobody reaches you "
        "through a relay there"
    )
    hint = (
        "Another network, a relay with another provider, or a proxy (`p2pchat node --proxy`) may let longer "
        "connections through."
    )
    yield Row(HERE, "freezing", NOTE, detail, hint)


def _nat(facts: NetworkFacts) -> Iterator[Row]:
    """Say what stands between this machine and the internet, as far as its addresses tell."""
    machine = facts.net.machine
    if facts.proxy is not None or not machine.connected or machine.default_route is False:
        return
    if "IPv4" in machine.public:
        yield Row(HERE, "nat", GOOD, "none: this machine has a public IPv4 address; a firewall may be in the way")
    elif machine.public:
        detail = "for IPv4 only, if at all: this machine has a public IPv6 address; a firewall may be in the way"
        yield Row(HERE, "nat", NOTE, detail)
    else:
        detail = "a router translates addresses (NAT): this machine has private ones only. Of which kind is not known"
        yield Row(HERE, "nat", NOTE, detail)


def _port(facts: NetworkFacts) -> Iterator[Row]:
    """Say whether the router has opened a port for this node, and if not, why."""
    if facts.proxy is None and facts.net.machine.connected:
        state = NOTE if mapping_words.is_in_vain(facts.net.mapping) else GOOD
        yield Row(HERE, "port", state, mapping_words.outcome(facts.net.mapping))


def _key(facts: NetworkFacts) -> Iterator[Row]:
    """Say by which key others know this node, and when that is replaced."""
    if facts.key:
        yield Row(HERE, "key", GOOD, facts.key[0].lower() + facts.key[1:].removesuffix("."))


def _lan(facts: NetworkFacts) -> Iterator[Row]:
    health = facts.lan
    if facts.proxy is not None:
        detail = "contacts are not looked for on this network: everything goes through the proxy"
    elif health.looking:
        found = f"{health.found} found" if health.found else "none found yet"
        detail = f"contacts are looked for on this network, {found}; others on it can tell that p2pchat runs here"
    elif health.mode == LanMode.AUTO and facts.net.machine.connected:
        found = f"; {health.found} found that announced themselves" if health.found else ""
        detail = f"contacts will be looked for on this network if no relay answers{found}"
    elif health.mode == LanMode.OFF:
        detail = "contacts are not looked for on this network. `p2pchat settings lan auto` changes that"
    else:
        detail = "contacts are not looked for: there is no local network"
    yield Row(HERE, "lan", GOOD, detail)


# --- relays -----------------------------------------------------------------------------------------------------------


def _relays(facts: NetworkFacts) -> Iterator[Row]:
    if not facts.relays:
        detail = "none: messages wait here until both sides are online. `p2pchat relays add` adds one"
        yield Row(RELAYS, "relays", NOTE, detail)
    for relay in facts.relays:
        yield _relay(facts, relay)
    if facts.turns:
        detail = f"you fetch from so many relays of your contacts that {facts.turns} take turns, ten minutes each"
        yield Row(RELAYS, "relays", BAD, detail, _OF_YOUR_OWN)


def _relay(facts: NetworkFacts, relay: RelayFacts) -> Row:
    health = relay.health
    said = [f"{relay.address} {health.state}"]
    if health.state == "connected":
        said[0] += f"{over(facts, health.family)} for {age(facts.now, health.since)}"
        said += ["over short connections alone, since this network freezes others"] if health.short else []
        said += [f"answers in {length(health.answer_ms)}"] if health.answer_ms is not None else []
        said += [f"disguised by {relay.disguise}"] if relay.disguise else []
        said += ["others reach you through it"] if relay.circuits else []
    elif health.state == "connecting" and not relay.used:
        said[0] = f"{relay.address} is not asked"
    elif health.problem:
        said[0] += f" for {age(facts.now, health.since)}: {health.problem}"
    said += [f"run by {relay.owner or relay.contact}"] if relay.contact else []
    said += ["unlisted: nobody else is told of it"] if relay.unlisted else []
    if not relay.used:
        said.append("in reserve: used if another one fails")
    elif relay.queues:
        said.append(f"keeps {count(relay.queues, 'queue')} for you{_for_hours(health.longest)}")
    if relay.stored:
        said.append(f"has {count(relay.stored, 'envelope')} of yours that others have not confirmed")
    hint = "Messages at a relay that does not answer wait there; with a second relay, they arrive through that one."
    if any(other.used for other in facts.connected):
        hint = "While a relay does not answer, messages come through your other one. `p2pchat relays add` adds a third."
    hours = health.hours_ahead or 0
    if abs(hours) >= MIN_HOURS_APART:
        way = "ahead of" if hours > 0 else "behind"
        said.append(f"its clock is {format_difference(hours * HOUR_MS)} {way} yours")
    if relay.unwatched:
        said.append(
            f"{relay.unwatched:,} of your contacts' queues there are not watched but only checked from time to time"
        )
        hint = "A relay allows you too few streams: with another one, each holds fewer queues."
    elif health.state == "refused":
        hint = "Ask whoever runs the relay for its line with the present token, and add that: `p2pchat relays add`."
    elif facts.net.hops > 1 and not facts.cut_off:
        hint = (
            "With `hops = 2` in config.toml, a relay is reached only through another one. If none leads to it, add a "
            "relay of another operator that this relay's operator has named: `p2pchat relays add`."
        )
    elif relay.address.startswith(_ONION) and facts.proxy is None:
        hint = "Start Tor, and name it: `p2pchat node --proxy socks5://127.0.0.1:9050`. All goes through it then."
    elif (named := _TRANSPORT.search(relay.address)) and named[1] not in {each.name for each in facts.net.transports}:
        hint = f"Name its program in config.toml, under [transports.{named[1]}]; docs/guide/transports.md says how."
    elif facts.cut_off:
        hint = ""  # what is said of the proxy or the network is what has to be done
    good = health.state == "connected" and not relay.unwatched
    waits = not relay.used and health.state in ("connecting", "connected")
    state = GOOD if good else NOTE if waits else BAD
    return Row(RELAYS, "relay", state, "; ".join(said), "" if state != BAD else hint)


def _for_hours(hours: int | None) -> str:
    return "" if not hours else f", each message for {format_duration(hours * 3600, units=1)} at most"


def _hops(facts: NetworkFacts) -> Iterator[Row]:
    """Say that mailboxes are opened through a second relay, if they are."""
    if facts.net.hops > 1:
        detail = "each mailbox is opened through a second relay (`hops = 2` in config.toml), and otherwise not at all"
        yield Row(RELAYS, "hops", GOOD, detail)


def _others(facts: NetworkFacts) -> Iterator[Row]:
    """Say which relays are known besides ours, and whether they are in use."""
    known, worked, borrowed = facts.others.known, facts.others.worked, len(facts.borrowed)
    lists = "`p2pchat relays --all` lists them"
    if borrowed:
        detail = (
            f"you are reached through {count(borrowed, 'relay')} of others for now, since none of yours answers; "
            f"no message of yours is stored there. {lists}"
        )
        hint = "Add one that works as a relay of your own, so that messages can wait there: `p2pchat relays add`."
        yield Row(RELAYS, "others", NOTE, detail, hint)
    elif known and facts.relays:
        have = "has" if worked == 1 else "have"
        tried = f"{worked} of them {have} worked" if worked else "none of them has answered yet"
        detail = f"{count(known, 'other')} known, to be reached by if none of yours answers; {tried}. {lists}"
        yield Row(RELAYS, "others", GOOD, detail)
    elif facts.relays:
        detail = "no others are known yet: relays and contacts tell of them. If yours are all blocked, nobody gets in"
        yield Row(RELAYS, "others", NOTE, detail)


def _dht(facts: NetworkFacts) -> Iterator[Row]:
    """Say whether somebody keeps records by which people find each other."""
    health = facts.dht
    if health is None:
        return
    where = "your relays" if health.mode == DhtMode.RELAYS else "the public network and your relays"
    if health.mode == DhtMode.OFF:
        detail = "no DHT server is asked where contacts are; `dht` in config.toml changes that"
    elif health.servers:
        many = f"{health.servers} DHT servers of {where} answer"
        detail = f"1 DHT server of {where} answers" if health.servers == 1 else many
    else:
        detail = f"no DHT server of {where} answers"
    good = health.mode != DhtMode.PUBLIC or health.servers > 0
    hint = "Are the addresses in `dht_bootstrap` right? Contacts are found by relays meanwhile."
    yield Row(RELAYS, "dht", GOOD if good else BAD, detail, "" if good else hint)


# --- contacts ---------------------------------------------------------------------------------------------------------


def _contacts(facts: NetworkFacts) -> Iterator[Row]:
    for contact in facts.contacts:
        if contact.no_room:
            detail = withholding.NO_ROOM.format(name=contact.shown)
            hint = f"Read the chat with {contact.shown}, or block them. config.toml sets the limits."
            yield Row(CONTACTS, "storage", BAD, detail, hint)
        yield _contact(facts, contact)


def _contact(facts: NetworkFacts, contact: ContactFacts) -> Row:
    if contact.state == ContactState.WAITING:
        where = f": your request is {contact.asked}" if contact.asked else ": your request has not arrived yet"
        return Row(CONTACTS, "contact", NOTE, f"{contact.shown}: has not accepted yet{where}")
    said = [_path(facts, contact)]
    why = _why_not_better(facts, contact)
    said += [why] if why else []
    said += [_waits(contact)] if contact.waiting.messages or contact.waiting.other else []
    reached = contact.path.route is not None or (contact.route == Route.MAILBOX and not facts.cut_off)
    state = GOOD if reached else BAD
    hint = "A contact's node may be off, or neither side can dial the other; with a relay, messages can wait there."
    if contact.hidden and contact.cannot:
        said.append(f"you hide your address from them, so {contact.cannot}")
        hint = "Messages of contacts you hide from use your own relays only: `p2pchat relays add` one that they use."
    elif facts.cut_off:
        hint = ""
    elif not reached and contact.relays:
        said.insert(1, f"messages wait: {_NONE_ANSWERS if contact.relays > 1 else _ALONE}")
        hint = (
            "What waits is sent once their node or a relay of theirs answers. If no relay of yours does either, try "
            "another network; two relays with different providers fail together less often."
        )
    return Row(CONTACTS, "contact", state, f"{contact.shown}: {'; '.join(said)}", "" if state == GOOD else hint)


def _path(facts: NetworkFacts, contact: ContactFacts) -> str:
    path = contact.path
    if path.route is None:
        if contact.route == Route.MAILBOX and not facts.cut_off:
            return f"no link, through a mailbox at {count(contact.relays, 'relay')} of theirs"
        return "no link"
    age = format_duration(path.seconds, units=1) or "a moment"
    way = {Route.LAN: "direct, on this network", Route.PUNCHED: "direct, through both routers"}.get(
        path.route, str(path.route)
    )
    if path.route == Route.CIRCUIT:
        way = f"circuit through {f'your relay {contact.relay}' if contact.relay else 'a relay of theirs'}"
    elif path.route == Route.DIRECT and facts.proxy is not None:
        way = "direct, by the proxy"
    else:
        way += over(facts, path.family)
    way += ", by short connections" if path.short else ""
    stalled = ", stalled: another link is being made" if path.stalled else ""
    return f"linked, {way}, for {age}{stalled}"


def _why_not_better(facts: NetworkFacts, contact: ContactFacts) -> str:
    """Return why there is no link, or none that is direct; "" if it could not be better."""
    path = contact.path
    if path.route not in (None, Route.CIRCUIT):
        return ""
    if not facts.net.machine.connected:
        return "this machine is on no network"
    if facts.proxy_fails:
        return "the proxy does not work"
    if path.route == Route.CIRCUIT:
        if contact.hidden:
            return "not directly, because you hide your address from them"
        if not path.direct:
            return "not directly, because they gave no address that can be dialled"
        if path.tried is None:
            return "a direct way is being looked for"
        dialled = "address was" if path.direct == 1 else f"{path.direct} addresses were"
        again = f"{'is' if path.direct == 1 else 'are'} tried again within the hour"
        also = "holes through both routers did not open" if path.no_hole else again
        return f"not directly: their {dialled} dialled {_ago(path.tried)} without an answer, and {also}"
    if contact.hidden:
        return "you hide your address from them, so only circuits through your relays are tried"
    if not path.direct and not path.circuits:
        return "no way to their node is known" + ("" if facts.relays else ", and you have no relay")
    kinds = [count(path.direct, "address", "addresses")] if path.direct else []
    kinds += [count(path.circuits, "circuit")] if path.circuits else []
    if path.tried is None:
        return f"{' and '.join(kinds)} of theirs {'is' if path.direct + path.circuits == 1 else 'are'} being dialled"
    return f"{' and '.join(kinds)} of theirs dialled {_ago(path.tried)}, without an answer"


def _ago(seconds: int) -> str:
    return f"{format_duration(seconds, units=1)} ago" if seconds else "just now"


def _waits(contact: ContactFacts) -> str:
    """Say how many messages wait, and for what."""
    waiting = contact.waiting
    if not waiting.messages:
        return "only receipts and the like wait for them"
    parts = []
    if waiting.stored:
        where = f"{_all_of(waiting.stored, waiting.messages)} at relays"
        parts.append(f"{where} until their node fetches {'it' if waiting.stored == 1 else 'them'}")
    if rest := waiting.messages - waiting.stored:
        goal = "their confirmation" if contact.path.route is not None else "a link or a relay"
        parts.append(f"{_all_of(rest, waiting.messages)} here for {goal}")
    return f"{count(waiting.messages, 'message')} waiting to be delivered: {', '.join(parts)}"


def _all_of(some: int, total: int) -> str:
    return f"{some}" if some < total else "all" if total > 1 else "it lies"


# --- what others see --------------------------------------------------------------------------------------------------


def _line(facts: NetworkFacts) -> Iterator[Row]:
    """Say what somebody sees who watches the line of this machine."""
    if facts.proxy is not None:
        where = "the proxy on this machine" if facts.proxy_here else f"the proxy at {facts.proxy.address}"
        whose = "what that proxy sends" if facts.proxy_here else "that you use it, when, and how much you send"
        detail = (
            f"everything goes to {where}. Whoever watches your line sees {whose}; whoever runs the proxy sees whom you "
            "connect to"
        )
    elif not facts.net.machine.connected:
        detail = "nothing leaves this machine, so there is nothing to see"
    else:
        direct = sum(contact.path.route not in (None, Route.CIRCUIT) for contact in facts.contacts)
        ends = [f"{count(direct, 'contact')} linked directly"] if direct else []
        relays = sum(bool(relay.health.family) or relay.circuits for relay in facts.connected) + facts.others.in_use
        ends += [count(relays, "relay")] if relays else []
        away = [contact for contact in facts.contacts if contact.path.route is None and not contact.hidden]
        dials = any(contact.path.direct for contact in away)
        ends += ["whoever else your node dials"] if ends and dials else []
        ends = ends or ["whoever your node dials"]
        detail = (
            f"whoever watches your line sees your network address and that of {' and of '.join(ends)}, that both use "
            "libp2p (of a relay by wss: a web server; of one in disguise: what its transport makes of it), when, how "
            "many envelopes, and which of three sizes each has. "
            "They do not see content, names or who you are"
        )
    yield Row(SEEN, "line", NOTE, detail)


def _operators(facts: NetworkFacts) -> Iterator[Row]:
    """Say what those see who run the relays that are in use now."""
    address = "the proxy's address" if facts.proxy is not None else "your network address"
    if facts.borrowed:
        detail = (
            f"{count(len(facts.borrowed), 'relay')} of others that your node has heard of, used because none of yours "
            f"answers: whoever runs it sees {address}, your transport key, and who is connected to you through it"
        )
        yield Row(SEEN, "operators", NOTE, detail)
    if facts.connected:
        if facts.net.hops > 1:
            detail = (
                f"whoever runs a relay of yours sees {address}, who is connected to you through it, and to which relay "
                "you go through it; or, as the second, which mailboxes are opened there and when, and not by whom. "
                "The first may be one that you did not choose, of which a relay of yours has told. "
                "Both together, or who compares the times, know what one knew"
            )
        else:
            keys = "both your transport keys" if facts.hides else "your transport key"
            detail = (
                f"whoever runs a relay of yours sees {address} and {keys}, which mailboxes you open, when envelopes of "
                "which size arrive and leave, and who is connected to you through it, and can guess over time who "
                "writes to whom; never content, names or identity keys"
            )
        yield Row(SEEN, "operators", NOTE, detail)
        if whose := [relay.owner or relay.contact for relay in facts.connected if relay.contact]:
            detail = f"{named(whose)} can also tell that it is you, because the relay is theirs"
            yield Row(SEEN, "operators", NOTE, detail)
    theirs = facts.others.in_use - len(facts.borrowed)
    if theirs > 0:
        detail = (
            f"{count(theirs, 'relay')} that contacts use {'is' if theirs == 1 else 'are'} connected with your node "
            f"too: whoever runs {'it' if theirs == 1 else 'one'} sees {address}, your transport key, and when you "
            "leave or fetch envelopes there or are linked through it"
        )
        yield Row(SEEN, "operators", NOTE, detail)


def _people(facts: NetworkFacts) -> Iterator[Row]:
    """Say which contacts see the network address."""
    hidden = [contact.shown for contact in facts.contacts if contact.hidden]
    linked = [contact for contact in facts.linked if not contact.hidden]
    if facts.proxy is None:
        whose = "your network"
    else:
        whose = "the proxy's"
        linked = [contact for contact in linked if contact.path.route != Route.CIRCUIT]  # those see their relay alone
    if linked:
        detail = f"{named([contact.shown for contact in linked])} can see {whose} address, and that you are online"
        yield Row(SEEN, "contacts", NOTE, detail)
    if hidden:
        detail = (
            f"{named(hidden)} can see which relays you use, and not your network address; those who run these relays, "
            "and whoever sees when your two keys appear and disappear, can tell that they belong together"
        )
        yield Row(SEEN, "contacts", NOTE, detail)
    if facts.is_relay:
        detail = "contacts who use your node as a relay know your network address, even while they are not linked"
        yield Row(SEEN, "contacts", NOTE, detail)


def _neighbours(facts: NetworkFacts) -> Iterator[Row]:
    if facts.lan.looking and facts.proxy is None:
        detail = (
            "whoever is on this local network can tell that p2pchat runs here, and not who you or your contacts are"
        )
        yield Row(SEEN, "neighbours", NOTE, detail)
    if facts.net.machine.connected and facts.proxy is None and (detail := mapping_words.seen(facts.net.mapping)):
        yield Row(SEEN, "neighbours", NOTE, detail)


_SAID: tuple[Callable[[NetworkFacts], Iterable[Row]], ...] = (
    _network,
    _proxy,
    _transports,
    _clock,
    _listening,
    _reachable,
    _freezing,
    _nat,
    _port,
    _lan,
    _key,
    _relays,
    _hops,
    _others,
    _dht,
    _contacts,
    _line,
    _operators,
    _people,
    _neighbours,
)
"""Who says something, in the order of the rows."""
