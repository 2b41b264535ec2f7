"""The pieces of `python -m benchmarks`, each with its baselines, and the functions that measure one number."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from benchmarks import (
    baselines,
    files,
    finding,
    floor,
    group_engines,
    groups,
    groups_relay,
    large,
    members,
    moved,
    pictures,
    relay,
    relayed,
    resumed,
    screen,
)
from benchmarks.figures import cpu_seconds, percentile, resident_mb
from benchmarks.people import Line, Person, Wire, befriend, two_people

ROUND_TRIPS = 300
FLOOD = 10_000
CALLS_UNDER_WAY = 500
IDLE_SECONDS = 15.0
LONELY_CONTACTS = 300
LONELY_AFTER_SECONDS = 100.0


def fsync_ms(samples: int = 200) -> float:
    """The median of an fsync of a small write on the disk the profiles lie on."""
    with tempfile.TemporaryDirectory() as place, (Path(place) / "file").open("wb") as file:
        took = []
        for _ in range(samples):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def import_ms() -> float:
    """A bare interpreter that imports libp2p and trio: what a node cannot be quicker than."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import libp2p, trio"], check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def import_mb() -> float:
    """The memory of that interpreter."""
    code = "import libp2p, trio; print(open('/proc/self/statm').read().split()[1])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(run.stdout) * os.sysconf("SC_PAGESIZE") / 1e6


def ready(alice: Person) -> float:
    """Milliseconds from the command to `ready`."""
    alice.stop()
    alice.start()
    return alice.ready_ms


def idle(alice: Person) -> tuple[float, float]:
    """(MB, percent of a core) of a node with one link and nothing to do."""
    assert alice.process is not None
    pid = alice.process.pid
    time.sleep(3)
    before, began = cpu_seconds(pid), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    used, took = cpu_seconds(pid) - before, time.perf_counter() - began
    return resident_mb(pid), 100 * used / took


def first_contact() -> float:
    """Milliseconds from `add` to the receipt of the first message."""
    with two_people() as (alice, bob), Line(alice) as one, Line(bob) as two:
        invite = one.call("invite")["invite"]
        began = time.perf_counter()
        two.call("add", invite=invite, name="alice")
        two.call("send", chat="alice", text="hello", wait="delivered")
        return (time.perf_counter() - began) * 1000


def round_trips(bob: Person) -> list[float]:
    """Milliseconds from `send` to its receipt on the sender's disk, one at a time, through the API."""
    took = []
    with Line(bob) as client:
        for number in range(ROUND_TRIPS):
            began = time.perf_counter()
            client.call("send", chat="alice", text=f"message {number}", wait="delivered")
            took.append((time.perf_counter() - began) * 1000)
    return took


def flood(bob: Person, count: int = FLOOD) -> float:
    """Messages a second, one way, each with its receipt on the sender's disk."""
    return trio.run(_flood, bob, count)


async def _flood(bob: Person, count: int) -> float:
    calls, events = await Wire.open(bob), await Wire.open(bob)
    await events.post("subscribe", events=["state"])
    await events.lines()
    delivered = 0
    room, more = CALLS_UNDER_WAY, trio.Event()

    async def listen() -> None:
        nonlocal delivered
        while delivered < count:
            for one in await events.lines():
                if one.get("method") == "lagged":
                    raise RuntimeError("this reads too slowly")
                if one.get("method") == "state" and one["params"]["state"] == "delivered":
                    delivered += 1

    async def read_answers() -> None:
        nonlocal room
        read = 0
        while read < count:
            got = await calls.lines()
            read += len(got)
            room += len(got)
            more.set()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        nursery.start_soon(read_answers)
        sent = 0
        while sent < count:
            while not room:
                more = trio.Event()
                await more.wait()
            now = min(room, count - sent)
            room -= now
            packed = [calls.packed("send", chat="alice", text=f"message {sent + one}") for one in range(now)]
            sent += now
            await calls.write(b"".join(packed))
    return count / (time.perf_counter() - began)


class Table:
    """The rows of what was measured, in order: medians of several runs, each beside a baseline of the same minutes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, unit: str, values: Sequence[float], baseline: str, base: float | None) -> None:
        """Add a row. base: what `baseline` came to, for the ratio; None: there is none."""
        value = statistics.median(values)
        row = {"name": name, "value": round(value, 3), "unit": unit, "baseline": baseline}
        ratio = None if not base else round(value / base, 3)
        self.rows.append(row | {"ratio": ratio, "runs": [round(one, 3) for one in values]})


def talks(table: Table, runs: int) -> None:
    """Round trips and floods over a direct link, beside the floor and bare TCP."""
    p50, p99, per_second, echo50, echo99, echoes = [], [], [], [], [], []
    floors: list[floor.Floor] = []
    with two_people() as (alice, bob):
        befriend(alice, bob)
        for _ in range(runs):
            took, raw = round_trips(bob), baselines.echo(ROUND_TRIPS)
            p50.append(percentile(took, 0.5))
            p99.append(percentile(took, 0.99))
            echo50.append(percentile(raw, 0.5))
            echo99.append(percentile(raw, 0.99))
            floors.append(floor.measure())
        for _ in range(runs):
            per_second.append(flood(bob))
            echoes.append(baselines.acked(5 * FLOOD))
    base, base99 = statistics.median(echo50), statistics.median(echo99)
    echoed = f"raw TCP echo under trio: {base:.3f} ms"
    table.add("direct_round_trip_ms_p50", "ms", p50, echoed, base)
    table.add("direct_round_trip_ms_p99", "ms", p99, f"raw TCP echo under trio: {base99:.3f} ms", base99)
    most = statistics.median(echoes)
    acked = f"framed acked messages over raw TCP: {most:.0f}/s"
    table.add("direct_messages_per_s", "1/s", per_second, acked, most)
    table.add("floor_round_trip_ms", "ms", [one.round_trip_ms for one in floors], echoed, base)
    table.add("floor_messages_per_s", "1/s", [one.messages_per_s for one in floors], acked, most)
    least_ms = statistics.median(one.round_trip_ms for one in floors)
    most_per_s = statistics.median(one.messages_per_s for one in floors)
    no_less = f"the floor: {least_ms:.2f} ms"
    table.add("direct_round_trip_floor_ratio", "x", [one / least_ms for one in p50], no_less, None)
    no_more = f"the floor's batches on two cores: {most_per_s:.0f}/s"
    table.add("direct_messages_floor_ratio", "x", [one / most_per_s for one in per_second], no_more, None)
    ratios = [slow / usual for slow, usual in zip(p99, p50, strict=True)]
    table.add("direct_round_trip_p99_p50_ratio", "x", ratios, "its own median", None)


def starts(table: Table, runs: int) -> None:
    """A node's start and idle, and two people who meet."""
    contact = [first_contact() for _ in range(runs)]
    with two_people() as (alice, bob):
        befriend(alice, bob)
        bob.stop()
        readies, imported = [], []
        for _ in range(runs):
            readies.append(ready(alice))
            imported.append(import_ms())
        bob.start()
        idles = [idle(alice)]
    base, memory = statistics.median(imported), import_mb()
    table.add("node_ready_ms", "ms", readies, f"import libp2p, trio: {base:.0f} ms", base)
    table.add("node_idle_mb", "MB", [one[0] for one in idles], f"import libp2p, trio: {memory:.0f} MB", memory)
    table.add("node_idle_cpu_percent", "%", [one[1] for one in idles], "none", None)
    table.add("first_contact_ms", "ms", contact, *_echo())


def by_relays(table: Table, runs: int) -> None:
    """What two people have of relays."""
    away, (echoed, base) = relayed.measure(runs), _echo()
    imported = statistics.median(import_ms() for _ in range(runs))
    least = floor.measure().round_trip_ms
    acked = baselines.acked(5 * FLOOD)
    table.add("relay_first_contact_ms", "ms", away.first_contact_ms, echoed, base)
    table.add("circuit_round_trip_ms_p50", "ms", away.round_trip_ms, echoed, base)
    trips = away.round_trip_ms
    table.add("circuit_round_trip_floor_ratio", "x", [one / least for one in trips], f"the floor: {least:.2f} ms", None)
    ratios = [one / direct for one, direct in zip(trips, away.direct_ms, strict=True)]
    direct = statistics.median(away.direct_ms)
    table.add("circuit_round_trip_direct_ratio", "x", ratios, f"the direct one by turns: {direct:.2f} ms", None)
    pickups = away.offline_pickup_ms
    table.add("offline_pickup_ms", "ms", pickups, f"import libp2p, trio: {imported:.0f} ms", imported)
    seconds = relayed.MESSAGES / acked
    table.add("collect_10k_s", "s", away.collect_s, f"the same over raw TCP, {seconds:.2f} s", seconds)
    table.add("failover_relay_s", "s", away.failover_s, "none", None)


def sends_files(table: Table, runs: int) -> None:
    """A file of 100 MB between two nodes, and between two nets alone, messages meanwhile, a kill, and memory."""
    said = files.measure(runs)
    plain = statistics.median(row["mb_s"] for row in said["plain"])
    bare = f"framed and sealed over raw TCP: {plain:.0f} MB/s"
    for part, prefix in (("", ""), ("net-", "net_")):
        for way in ("direct", "circuit"):
            rows = said[f"{part}{way}"]
            table.add(f"{prefix}file_{way}_mb_s", "MB/s", [row["mb_s"] for row in rows], bare, plain)
        rows = said[f"{part}direct"]
        quiet = statistics.median(row["quiet_ms"] for row in rows)
        alone = f"without a file: {quiet:.2f} ms"
        table.add(f"{prefix}chat_under_file_ms", "ms", [row["under_ms"] for row in rows], alone, quiet)
    kept, least = resumed.measure(runs), floor.measure().round_trip_ms
    message = statistics.median(kept.message_s)
    no_less = f"the floor: {least:.2f} ms (a message after a kill: {1000 * message:.0f} ms)"
    table.add("file_resume_s", "s", kept.resume_s, no_less, least / 1000)
    before = statistics.median(kept.rss_before_mb)
    table.add("file_rss_mb", "MB", kept.rss_mb, f"what it had before: {before:.0f} MB", before)


def moves(table: Table, runs: int) -> None:
    """Two people who have both moved."""
    least = floor.measure().round_trip_ms
    took = [percentile(moved.found_ms(), 0.95) for _ in range(runs)]
    table.add("contact_found_ms_p95", "ms", took, f"the floor: {least:.2f} ms", least)


def at_relays(table: Table, runs: int) -> None:
    """What a relay gives its clients."""
    relays, base = relay.measure(runs), baselines.acked(5 * FLOOD)
    acked = f"framed acked messages over raw TCP: {base:.0f}/s"
    table.add("relay_deposits_per_s", "1/s", [load.per_s for load in relays.few], acked, base)
    alone = statistics.median(load.cpu_us for load in relays.few)
    for load in relays.crowds:
        few = f"{relay.FEW} busy clients: {alone:.0f} us"
        table.add(f"relay_deposits_per_s_{load.clients}", "1/s", [load.per_s], acked, base)
        table.add(f"relay_deposit_cpu_us_{load.clients}", "us", [load.cpu_us], few, alone)
        table.add(f"relay_kb_per_client_{load.clients}", "kB", [load.kb], "none", None)
    table.add("relay_kb_per_client", "kB", [relays.crowds[-1].kb], "none", None)


def groups_at_relays(table: Table, runs: int) -> None:
    """How soon a message reaches all who follow a large group's log at one relay, and one who was away."""
    least = floor.measure().round_trip_ms
    no_less = f"the floor: {least:.2f} ms"
    seen = groups_relay.reach(groups_relay.READERS)
    table.add("group_last_reader_s", "ms", [1000 * took for took in seen.last_s], no_less, least)
    table.add("group_push_cpu_us", "us", [seen.push_us], f"{seen.readers} readers", None)
    collected = [1000 * groups_relay.catch_up() for _ in range(runs)]
    table.add("group_log_10k_s", "ms", collected, no_less, least)


def costs_of_groups(table: Table, runs: int) -> None:
    """What a group of 5,000 costs whoever removes somebody from it, and each member."""
    costs = [groups.measure(groups.SIZES[-1]) for _ in range(runs)]
    least = floor.measure().round_trip_ms
    no_less = f"the floor: {least:.2f} ms"
    table.add("group_rekey_5000_ms", "ms", [one.rekey_ms for one in costs], no_less, least)
    table.add("group_rekey_5000_bytes", "", [float(one.rekey_bytes) for one in costs], "none", None)
    table.add("group_rekeyed_5000_ms", "ms", [one.opened_ms for one in costs], no_less, least)
    table.add("group_message_ms", "ms", [one.write_ms + one.read_ms for one in costs], no_less, least)
    table.add("group_joined_5000_ms", "ms", [one.joined_ms for one in costs], no_less, least)


def groups_of_engines(table: Table, runs: int) -> None:
    """What a group of 5,000, and one of 50, costs whole engines. It is done once, however many runs there are: each
    thing in it is done several times, but for those that take long.
    """
    floors = [floor.measure().round_trip_ms]
    costs = group_engines.measure()
    floors.append(floor.measure().round_trip_ms)
    least = statistics.median(floors)
    no_less = f"the floor: {least:.2f} ms"
    fifty = [sum(took) for took in zip(costs.fifty_ms, costs.fifty_waited_ms, strict=True)]
    table.add("group_saved_ms", "ms", costs.saved_ms, no_less, least)
    table.add("group_50_ms", "ms", fifty, no_less, least)
    table.add("group_remove_kb", "kB", costs.remove_kb, "in each log", None)
    table.add("group_remove_ms", "ms", costs.remove_ms, no_less, least)
    table.add("group_member_ms", "ms", costs.member_ms, no_less, least)
    table.add("group_join_ms", "ms", costs.join_ms, no_less, least)
    table.add("group_catch_up_10k_s", "ms", costs.catch_up_ms, no_less, least)


def crowds(table: Table, runs: int) -> None:
    """How many clients a relay of 512 MiB has."""
    count, _ = relay.clients(relay.MOST)
    table.add("relay_clients_512mb", "", [float(count)], f"measured up to {relay.MOST}", None)


def screens(table: Table, runs: int) -> None:
    """What a person sees of a chat of 100,000 messages."""
    shown = screen.measure(runs)
    base = statistics.median(shown.empty_paint_ms)
    table.add("first_paint_ms", "ms", shown.first_paint_ms, f"an empty Textual app: {base:.0f} ms", base)
    base = statistics.median(shown.empty_mb)
    table.add("tui_idle_mb", "MB", shown.idle_mb, f"an empty Textual app: {base:.0f} MB", base)
    least = statistics.median(shown.floor_ms)
    no_less = f"the floor: {least:.2f} ms"
    table.add("chat_100k_open_ms", "ms", shown.chat_open_ms, no_less, least)
    table.add("search_100k_ms", "ms", shown.search_ms, no_less, least)
    table.add("key_echo_ms_p99", "ms", shown.key_echo_ms_p99, no_less, least)


def lists_members(table: Table, runs: int) -> None:
    """What the screen takes for a group of 5,000: its list of members, a search in it, and its chat."""
    took, least = members.measure(runs), floor.measure().round_trip_ms
    alone = statistics.median(took.empty_ms)
    table.add("member_list_ms", "ms", took.list_ms, f"a group of one: {alone:.0f} ms", alone)
    table.add("member_search_ms", "ms", took.search_ms, f"the floor: {least:.2f} ms", least)
    table.add("group_open_ms", "ms", took.open_ms, f"the floor: {least:.2f} ms", least)


def searches(table: Table, runs: int) -> None:
    """Searching a million messages."""
    found = finding.measure(runs)
    least = statistics.median(found.floor_ms)
    no_less = f"the floor: {least:.2f} ms"
    table.add("search_1m_ms", "ms", found.search_ms, no_less, least)
    table.add("search_1m_prefix_ms", "ms", found.prefix_ms, no_less, least)
    table.add("list_1k_ms", "ms", found.list_ms, no_less, least)
    table.add("list_1k_all_ms", "ms", found.list_all_ms, no_less, least)
    table.add("list_1k_shown_ms", "ms", found.list_shown_ms, no_less, least)


def shows(table: Table, runs: int) -> None:
    """Pictures, each decoded by a process of its own."""
    took, floors = pictures.measure(runs), [floor.measure().round_trip_ms for _ in range(runs)]
    bare, least = statistics.median(took.import_ms), statistics.median(floors)
    table.add("picture_warm_ms", "ms", took.warm_ms, f"the floor: {least:.2f} ms", least)
    table.add("picture_cold_ms", "ms", took.cold_ms, f"importing Pillow: {bare:.0f} ms", bare)
    table.add("picture_prepared_ms", "ms", took.photo_ms, "12 million pixels", None)


def many(table: Table, runs: int) -> None:
    """Thousands of contacts, and hundreds of whom nobody is there, two minutes after the start."""
    table.add("large_ready_cpu_s", "s", [large.ready_cpu_s()], "2,000 contacts, 1,000,000 messages", None)
    with large.started(LONELY_CONTACTS, 20 * LONELY_CONTACTS) as (lonely, _):
        time.sleep(LONELY_AFTER_SECONDS)
        percents = []
        for _ in range(runs):
            idling = large.Idling(lonely)
            time.sleep(IDLE_SECONDS)
            percents.append(idling.percent())
    table.add("idle_300_away_cpu_percent", "%", percents, "nobody is there", None)


def _echo() -> tuple[str, float]:
    base = percentile(baselines.echo(ROUND_TRIPS), 0.5)
    return f"raw TCP echo under trio: {base:.3f} ms", base


@dataclass(frozen=True)
class Piece:
    """A part of the measurement. measure: adds its rows, of so many runs; limit_seconds: then it has failed."""

    measure: Callable[[Table, int], None]
    limit_seconds: float


PIECES: dict[str, Piece] = {
    "talks": Piece(talks, 150),
    "starts": Piece(starts, 180),
    "by-relays": Piece(by_relays, 300),
    "files": Piece(sends_files, 300),
    "moves": Piece(moves, 400),
    "at-relays": Piece(at_relays, 300),
    "groups-at-relays": Piece(groups_at_relays, 300),
    "costs-of-groups": Piece(costs_of_groups, 60),
    "groups-of-engines": Piece(groups_of_engines, 600),
    "screens": Piece(screens, 300),
    "searches": Piece(searches, 200),
    "lists-members": Piece(lists_members, 120),
    "shows": Piece(shows, 60),
    "crowds": Piece(crowds, 400),
    "many": Piece(many, 600),
}
"""What can be measured by itself."""
SHORT = ("talks", "starts", "by-relays", "screens")
"""What is done in a few minutes, with a single run."""
