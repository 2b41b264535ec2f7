"""The matrix of the lab: kinds of home against what a network does, and what became of the messages in each cell.

A cell is one story. Alice and Bob become contacts, and are linked by the way that their homes allow. Then the network
turns bad, and at this moment both write. The outcome is by which ways all of it came, and after how long.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import product
from ssl import MemoryBIO, SSLWantReadError

from p2pchat.net.transport.websocket import system_tls
from tests.lab.steps import PROXY_PORT, node, proxy, web_relay
from tests.lab.topology import Lab, Nat
from tests.lab.town import Town
from tests.support.prefork import CLOCK
from tests.support.steps import DAY_S, make

PEOPLE = ("alice", "bob")
BY_ADDRESS, BY_NAME = RELAYS = ("relay1", "relay2")
NAME = f"{BY_NAME}.example"
"""The first relay is dialled by its address over raw TCP, the second by this name over wss on port 443."""
EACH = 4
"""Messages that each writes: more than fits on a connection that freezes."""

NATS: Mapping[str, Nat | None] = {"no NAT": None, "cone": Nat.CONE, "symmetric": Nat.SYMMETRIC}
BOTH, ONE = SIDES = ("both", "one")
"""Who has such a home and such a network: both, or Alice alone, while Bob has a public address on an open network."""

ANOTHER_RELAY, ANOTHER_WAY, SLOWLY = 10.0, 30.0, 120.0
"""Seconds in which everything is there where another relay is needed, another transport, or many connections: promises
of the program."""


@dataclass(frozen=True)
class Cell:
    """A field of the matrix, by the names of its row and column."""

    nat: str
    sides: str
    network: str

    def __str__(self) -> str:
        return f"{self.network} {self.nat} {self.sides}".replace(",", "").replace(" ", "-")


@dataclass(frozen=True)
class Outcome:
    """ways: how messages came, the most frequent first. seconds: from the moment when the network turned bad until all
    were there, or `waited` and then from when it was good again.
    """

    ways: tuple[str, ...]
    seconds: float
    waited: bool = False

    def __str__(self) -> str:
        time = f"{self.seconds:.1f} s" if self.seconds < 10 else f"{self.seconds:.0f} s"
        return f"{'waits, then ' if self.waited else ''}{' + '.join(self.ways)} {time}"


@dataclass
class Scene:
    """A cell that is played. lines: whose lines to the internet the network is on. known: who knows which relays.
    words: with which a person's node is started.
    """

    cell: Cell
    town: Town
    known: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(PEOPLE, RELAYS))
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def lab(self) -> Lab:
        return self.town.lab

    @property
    def together(self) -> bool:
        """Whether both are on one local network."""
        return self.cell.network == NO_INTERNET and self.cell.sides == BOTH

    @property
    def affected(self) -> tuple[str, ...]:
        return PEOPLE if self.cell.sides == BOTH else PEOPLE[:1]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(person for person in self.affected if person in self.lab.lines)


# --- what a network does ---------------------------------------------------------------------------------------------


def _nothing(scene: Scene) -> None:
    """Leave the network as it is."""


def _drop_by_address(scene: Scene) -> None:
    """Lose what goes to or comes from the first relay, or the other person."""
    for line in scene.lines:
        scene.lab.part(line, BY_ADDRESS)
    scene.lab.part(*PEOPLE)


def _drop_by_port(scene: Scene) -> None:
    """Lose what goes to any port but that of the web."""
    for line in scene.lines:
        scene.lab.filter(line, "tcp dport != 443 drop", "tcp sport != 443 drop")


def _reset_on_multistream(scene: Scene) -> None:
    """Reset connections with the first words of libp2p, in the first bytes of a packet or of a frame of WebSocket."""
    words = b"/multistream/1.0"  # as many bytes as nft compares
    for line in scene.lines:
        scene.lab.reset(line, *(f"@ih,{8 * before},{8 * len(words)} 0x{words.hex()}" for before in (1, 3)))


def _reset_on_name(scene: Scene) -> None:
    """Reset connections whose TLS begins with the name of the second relay."""
    outgoing, tls = MemoryBIO(), system_tls()
    try:
        tls.wrap_bio(MemoryBIO(), outgoing, server_hostname=NAME).do_handshake()
    except SSLWantReadError:
        before = outgoing.read().index(NAME.encode())
    for line in scene.lines:
        scene.lab.reset(line, f"@ih,{8 * before},{8 * len(NAME)} 0x{NAME.encode().hex()}")


def _freeze(most: str) -> Callable[[Scene], None]:
    def freeze(scene: Scene) -> None:
        for line in scene.lines:
            scene.lab.freeze(line, most)

    return freeze


def _drop_udp(scene: Scene) -> None:
    for line in scene.lines:
        scene.lab.filter(line, "meta l4proto udp drop", "meta l4proto udp drop")


def _only_by_proxy(scene: Scene) -> None:
    """Let nothing through but what goes to a proxy, from the beginning."""
    address = scene.lab.public("proxy").address
    proxy(scene.lab, {NAME: scene.lab[BY_NAME].address})
    for line in scene.lines:
        scene.lab.filter(line, f"ip daddr != {address} drop", f"ip saddr != {address} drop")
        scene.words[line] = ("--proxy", f"socks5://{address}:{PROXY_PORT}")


def _kill_a_relay(scene: Scene) -> None:
    """Kill the relay by which the last message went, if one did."""
    seen_as = scene.lab["alice"].seen_as

    def carried(name: str) -> int:
        return sum(packets for pair, packets in scene.lab[name].talked().items() if seen_as in pair)

    before = Counter({name: carried(name) for name in RELAYS})
    _write(scene)
    _until_heard(scene, ANOTHER_WAY)
    after = Counter({name: carried(name) for name in RELAYS})
    ((busiest, _),) = (after - before).most_common(1) or [(BY_ADDRESS, 0)]
    scene.town.off(busiest, signal.SIGKILL)


MANY = tuple(f"relay{number}" for number in range(1, 21))
MOST_KNOWN = 8
"""Relays that one person can know."""


def _open_many_relays(scene: Scene) -> None:
    """Have twenty relays, of which Alice knows the first and Bob the last."""
    for number, name in enumerate(MANY):
        if name not in RELAYS:
            scene.town.open(name, at=RELAYS[0], port=4002 + number)
    scene.known = {"alice": MANY[:MOST_KNOWN], "bob": MANY[-MOST_KNOWN:]}


def _kill_every_other_relay(scene: Scene) -> None:
    for name in MANY[::2]:
        scene.town.off(name, signal.SIGKILL)


def _cut_off(scene: Scene) -> None:
    """Lose everything that goes over the lines to the internet."""
    for line in scene.lines:
        scene.lab.cut(line)


def _have_the_day_wrong(scene: Scene) -> None:
    """Have the clocks be a day ahead from the beginning."""
    for person in scene.affected:
        scene.lab.place.given[person][CLOCK] = str(DAY_S)


@dataclass(frozen=True)
class Network:
    """What a network does. turn: while they chat. prepare: before their nodes are started. within: seconds in which
    everything arrives. resets: whether it answers with resets to what it sees.
    """

    about: str
    turn: Callable[[Scene], None] = _nothing
    prepare: Callable[[Scene], None] = _nothing
    within: float = ANOTHER_WAY
    resets: bool = False


NO_INTERNET, PROXY = "no internet, but a LAN", "only a SOCKS proxy"
NETWORKS: Mapping[str, Network] = {
    "open": Network("nothing"),
    "addresses dropped": Network(
        "drops what goes to or comes from the first relay, and between the two", _drop_by_address
    ),
    "ports dropped": Network("drops TCP that goes to another port than 443", _drop_by_port),
    "reset on multistream": Network(
        "resets every connection once, then those in which the first words of libp2p are in clear",
        _reset_on_multistream,
        resets=True,
    ),
    "reset on SNI": Network(
        "resets every connection once, then those whose TLS begins with the name of the second relay",
        _reset_on_name,
        resets=True,
    ),
    "frozen after 15 kB": Network(
        "drops what comes on a connection whose answering side has sent so much",
        _freeze("reply bytes > 15000"),
        within=SLOWLY,
    ),
    "frozen after 25 packets": Network("the same, by packets", _freeze("reply packets > 25"), within=SLOWLY),
    "UDP dropped": Network("drops all UDP", _drop_udp),
    PROXY: Network("from the beginning, drops what does not go to a SOCKS proxy", prepare=_only_by_proxy),
    "relay killed": Network(
        "nothing; the relay by which they write is killed, or with a direct link one of the two",
        _kill_a_relay,
        within=ANOTHER_RELAY,
    ),
    "10 of 20 relays killed": Network(
        "nothing; there are twenty relays, Alice knows the first eight of them and Bob the last eight; every other one "
        "of the twenty is killed, so one of the two that each uses",
        _kill_every_other_relay,
        _open_many_relays,
        within=ANOTHER_RELAY,
    ),
    NO_INTERNET: Network(
        "loses everything but what stays on the local network; *both*: on one", _cut_off, within=SLOWLY
    ),
    "clock a day off": Network("nothing; the clocks are a day ahead from the beginning", prepare=_have_the_day_wrong),
}
CELLS = [Cell(*names) for names in product(NATS, SIDES, NETWORKS)]


# --- the story -------------------------------------------------------------------------------------------------------


def play(cell: Cell, lab: Lab) -> Outcome:
    """Play a cell in a lab that is empty; what became of the messages. Fails unless all arrived, once and in order."""
    scene, network = Scene(cell, Town(lab)), NETWORKS[cell.network]
    _build(scene)
    network.prepare(scene)
    _settle(scene)
    network.turn(scene)
    waits = cell.network == NO_INTERNET and not scene.together
    if waits:
        _write(scene)
        scene.town.until("alice", lambda client: client.call("contacts")[0]["route"] not in _best(scene))
        assert not _heard(scene), "there is no way"
    began = time.monotonic()
    if waits:
        for line in scene.lines:
            lab.mend(line)
    else:
        _write(scene)
    _until_heard(scene, network.within)
    seconds = time.monotonic() - began
    ways = Counter(_heard(scene))
    scene.town.agree(*PEOPLE)
    if network.resets:  # where the two are linked directly, relays may be dialled again only after a while
        scene.town.until("alice", lambda _: lab["internet"].broken() > 0)
    return Outcome(tuple(way for way, _ in ways.most_common()), seconds, waits)


def _build(scene: Scene) -> None:
    """Have the relays, and both people's homes."""
    lab, nat = scene.lab, NATS[scene.cell.nat]
    lab.internet()
    for name in RELAYS:
        lab.public(name)
    for person in PEOPLE:
        if nat is None or person not in scene.affected:
            lab.public(person)
        elif person == "bob" and scene.together:
            lab.housemate(person, of="alice", number=3)
        else:
            lab.home(person, nat)
    if nat is None and scene.together:
        lab.switch(*PEOPLE)
    lab.publish({NAME: lab[BY_NAME].address})
    scene.town.running[BY_NAME], scene.town.addresses[BY_NAME] = web_relay(lab, BY_NAME)
    scene.town.open(BY_ADDRESS)
    trusted = str(lab.place.folder / f"{NAME}.pem")
    lab.place.given |= {person: {"SSL_CERT_FILE": trusted} for person in PEOPLE}


def _settle(scene: Scene) -> None:
    """Start the nodes; make the two contacts, who are linked by the best way that there is."""
    town = scene.town
    make(town.lab.place, *PEOPLE)
    for person in PEOPLE:
        town.said[person] = []
        town.running[person] = node(town.lab, person, *scene.words.get(person, ()))
        with town.client(person) as client:
            for name in scene.known[person]:
                client.call("relays", add=town.addresses[name])
        town.until(person, lambda client: _used(client.call("relays")) == ["connected"] * len(RELAYS))
    town.honest = {*scene.known["alice"][: len(RELAYS)]}
    town.befriend("alice", "bob")
    best = _best(scene)
    for person in PEOPLE:
        town.until(person, lambda client: client.call("contacts")[0]["route"] in best)


def _used(relays: list[dict[str, str]]) -> list[str]:
    return [one["state"] for one in relays if one["used"]]


def _best(scene: Scene) -> Collection[str]:
    """The ways by which the two may be linked on a network that does nothing."""
    if scene.together:
        return ("direct", "lan")
    if scene.cell.sides == ONE or (scene.cell.nat in ("no NAT", "cone") and scene.cell.network != PROXY):
        return ("direct", "punched")
    return ("circuit",)


def _write(scene: Scene) -> None:
    """Have both write, at once."""
    with scene.town.client("alice") as alice, scene.town.client("bob") as bob:
        for _ in range(EACH):
            for by, to, client in (("alice", "bob", alice), ("bob", "alice", bob)):
                text = f"{by} says {len(scene.town.said[by])}"
                scene.town.said[by].append(text)
                client.call("send", chat=to, text=text)


def _until_heard(scene: Scene, seconds: float) -> None:
    for person, by in (PEOPLE, PEOPLE[::-1]):
        scene.town.until_heard(person, by, seconds)


def _heard(scene: Scene) -> list[str]:
    """By which ways the last messages came to each, all that were written at once."""
    ways = []
    for person, by in (PEOPLE, PEOPLE[::-1]):
        with scene.town.client(person) as client:
            log = client.call("log", chat=by, limit=1000)
            ways += [one["route"] for one in log if one["text"] in scene.town.said[by][-EACH:]]
    return ways


# --- the table -------------------------------------------------------------------------------------------------------


def page(outcomes: Mapping[Cell, Outcome]) -> str:
    """The page of the matrix, from the outcomes of all cells."""
    columns = list(product(NATS, SIDES))
    rows = [["", *(f"{nat}, {sides}" for nat, sides in columns)], ["---"] * (1 + len(columns))]
    for name in NETWORKS:
        rows.append([name, *(str(outcomes[Cell(nat, sides, name)]) for nat, sides in columns)])
    matrix = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    networks = "\n".join(f"| {name} | {network.about} |" for name, network in NETWORKS.items())
    return PREFACE.format(networks=networks, matrix=matrix)


PREFACE = """# Which way delivered, and after how long

`make lab ALL=1` plays every cell with real processes in network namespaces ([lab](lab.md)) and writes this page; `make
lab` plays those that prove most (`tests/lab/test_matrix.py`). `tests/lab/matrix.py` has the story.

Alice and Bob become contacts and are linked by the best way there is. One of their two relays is dialled by its address
over raw TCP, the other by name over wss on port 443. Then the network turns bad, and at this moment each writes four
messages. A cell passes if all eight arrive, once and in order, and both know it. It says how they came, the most
frequent way first, and when the last of them was there, on a machine that played several cells at once.

*both*: each is behind a router of this kind, and on this network. *one*: Alice is; Bob has a public address on an open
network. A cone keeps the port of the machine inside for all destinations; a symmetric router takes another one for
each.

| the network | what it does |
|---|---|
{networks}

{matrix}
Where Alice alone has no internet, there is no way: the messages wait, Bob's at the relays, and the time is counted from
when her line works again. In every other cell there is one.

About 4 s is the silence after which a link counts as stalled, and relays get what waits; 8 s and more, that a relay's
connection was silent too and was made anew ([reach](reach.md)). Two who lose the internet while they share a cable, and
were not linked over it, wait longest: the relays have to count as gone, and 15 s more pass before a node announces
itself on a local network ([why](decisions/0062-local-network.md)).
"""
