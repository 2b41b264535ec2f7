"""What two people have of relays: real nodes and real relays with the limits they come with, on loopback.

offline_pickup_ms           the command that starts a node, until a message that waited at a relay is in its history
collect_10k_s               a node is ready, until 10,000 messages that waited are there, in order
circuit_round_trip_ms       `send` to its receipt, by a circuit; neither node shows its address
direct_round_trip_ms        the same between two others who have a direct link, by turns with it
relay_first_contact_ms      `add` to the receipt of the first message, by a relay alone
failover_relay_s            the relay that carries the circuit is killed, until the next message has its receipt
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio

from benchmarks.people import THIS, Line, Person, Program, Wire, befriend, people, two_people
from benchmarks.relay import Relay, relay

MESSAGES = 10_000
ROUND_TRIPS = 100
TURNS = 3
"""Of so many round trips each: a machine that is fast now may be slow in a minute."""
PATIENCE = 120.0
CALLS_UNDER_WAY = 500


@contextmanager
def two_with_relays(count: int = 2, program: Program = THIS) -> Iterator[tuple[Person, Person, list[Relay]]]:
    """alice and bob, who use the same relays, not yet contacts."""
    with people("alice", "bob", program=program) as (alice, bob), several(count, program) as relays:
        for person in (alice, bob):
            with Line(person) as client:
                for one in relays:
                    client.call("relays", add=one.address)
                wait_until(lambda: all(row["state"] == "connected" for row in client.call("relays")))
        yield alice, bob, relays


@contextmanager
def several(count: int, program: Program) -> Iterator[list[Relay]]:
    """So many relays."""
    if not count:
        yield []
        return
    with relay("", program) as first, several(count - 1, program) as others:
        yield [first, *others]


def wait_until(true: Callable[[], bool], every_seconds: float = 0.005) -> None:
    """Look now and then whether something is so."""
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            raise TimeoutError("it did not come to that")
        time.sleep(every_seconds)


def meet(alice: Person, bob: Person) -> float:
    """Make them contacts who never learn each other's address; milliseconds from `add` to bob's first receipt."""
    with Line(alice) as one, Line(bob) as two:
        invite = one.call("invite", hide=True)["invite"]
        began = time.perf_counter()
        two.call("add", invite=invite, name="alice", hide=True)
        two.call("send", chat="alice", text="hello", wait="delivered")
        return (time.perf_counter() - began) * 1000


def first_contact() -> float:
    """`relay_first_contact_ms`."""
    with two_with_relays() as (alice, bob, _):
        return meet(alice, bob)


def wait_for_route(bob: Person, route: str) -> None:
    """Wait until messages to bob's contact travel by `route`."""
    with Line(bob) as client:
        wait_until(lambda: client.call("contacts")[0]["route"] == route)


def wait_for_last(alice: Person, text: str) -> None:
    """Wait until this is the newest text of alice's chat with bob, looking rarely."""
    with Line(alice) as client:
        wait_until(lambda: last(client) == text, 0.1)


def round_trips(bob: Person, route: str) -> list[float]:
    """Milliseconds of each of some messages that travel by `route`, from `send` to the receipt."""
    took = []
    wait_for_route(bob, route)
    with Line(bob) as client:
        for number in range(ROUND_TRIPS):
            began = time.perf_counter()
            state = client.call("send", chat="alice", text=f"message {number}", wait="delivered")
            took.append((time.perf_counter() - began) * 1000)
            if state["route"] != route:
                raise RuntimeError(f"a message went {state['route']}")
    return took


def by_turns(bob: Person, other: Person) -> tuple[float, float]:
    """The medians of `circuit_round_trip_ms` and of `direct_round_trip_ms`. other: has a direct link."""
    circuit, direct = [], []
    for _ in range(TURNS):
        circuit += round_trips(bob, "circuit")
        direct += round_trips(other, "direct")
    return statistics.median(circuit), statistics.median(direct)


def offline_pickup(alice: Person, bob: Person, number: int) -> float:
    """`offline_pickup_ms`; bob is off when alice comes back."""
    alice.stop()
    text = f"while you were away {number}"
    with Line(bob) as client:
        client.call("send", chat="alice", text=text, wait="stored")
    bob.stop()
    began = time.perf_counter()
    alice.start()
    with Line(alice) as client:
        wait_until(lambda: last(client) == text)
    took = (time.perf_counter() - began) * 1000
    bob.start()
    return took


def last(client: Line) -> str:
    """The newest text of alice's chat with bob."""
    rows: list[dict[str, Any]] = client.call("log", chat="bob", limit=1)
    return str(rows[0]["text"]) if rows else ""


def collect(alice: Person, bob: Person, run: int) -> float:
    """`collect_10k_s`; alice stays off until all of them are at a relay, and bob is off when she comes back."""
    alice.stop()
    texts = [f"run {run}, waiting {number}" for number in range(MESSAGES)]
    trio.run(deposit, bob, texts)
    bob.stop()
    alice.start()
    began = time.perf_counter()
    with Line(alice) as client:
        wait_until(lambda: last(client) == texts[-1])
        took = time.perf_counter() - began
        rows: list[dict[str, Any]] = []
        while len(page := client.call("messages", since=rows[-1]["id"] if rows else "", limit=1000)):
            rows += page
    waited = [row["text"] for row in rows if row["text"].startswith(f"run {run},")]
    if waited != texts:
        raise RuntimeError(f"{len(waited)} of {MESSAGES} came, or in another order")
    bob.start()
    return took


async def deposit(bob: Person, texts: list[str]) -> None:
    """Send these, and wait until a relay has each of them."""
    calls, events = await Wire.open(bob), await Wire.open(bob)
    await events.post("subscribe", events=["state"])
    await events.lines()
    stored = set[str]()

    async def write() -> None:
        for start in range(0, MESSAGES, CALLS_UNDER_WAY):
            some = texts[start : start + CALLS_UNDER_WAY]
            await calls.write(b"".join(calls.packed("send", chat="alice", text=text) for text in some))
            answers = 0
            while answers < CALLS_UNDER_WAY:
                answers += len(await calls.lines())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        while len(stored) < MESSAGES:
            for one in await events.lines():
                if one.get("method") == "lagged":
                    raise RuntimeError("this reads too slowly")
                if one.get("method") == "state" and one["params"]["state"] == "stored":
                    stored.add(one["params"]["id"])


def failover() -> float:
    """`failover_relay_s`."""
    with two_with_relays() as (alice, bob, relays):
        meet(alice, bob)
        with Line(bob) as client:
            wait_until(lambda: client.call("contacts")[0]["route"] == "circuit")
            carrying = [one for one in relays if one.status()["circuits"]]
            if len(carrying) != 1:
                raise RuntimeError(f"{len(carrying)} relays carry the circuit")
            carrying[0].process.kill()
            began = time.perf_counter()
            client.call("send", chat="alice", text="still there?", wait="delivered", timeout=60)
            return time.perf_counter() - began


@dataclass(frozen=True)
class Relayed:
    """The values of each run."""

    first_contact_ms: list[float]
    round_trip_ms: list[float]
    direct_ms: list[float]
    offline_pickup_ms: list[float]
    collect_s: list[float]
    failover_s: list[float]


def measure(runs: int) -> Relayed:
    """Everything of the table above; of the round trips the medians."""
    with two_with_relays() as (alice, bob, _):
        contacts = [meet(alice, bob)]
        with two_people() as (one, other):
            befriend(one, other)
            trips = [by_turns(bob, other) for _ in range(runs)]
        pickups = [offline_pickup(alice, bob, number) for number in range(runs)]
        collected = [collect(alice, bob, number) for number in range(runs)]
    contacts += [first_contact() for _ in range(runs - 1)]
    circuit, direct = [list(column) for column in zip(*trips, strict=True)]
    return Relayed(contacts, circuit, direct, pickups, collected, [failover() for _ in range(runs)])


def main() -> None:
    """Measure once and print: `python -m benchmarks.relayed`."""
    for name, (value,) in vars(measure(1)).items():
        print(f"{name:20} {value:10.3f}")


if __name__ == "__main__":
    main()
