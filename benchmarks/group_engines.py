"""What a group costs whole engines: `python -m benchmarks.group_engines`.

Engines of `tests.support.world`, with real databases on this machine's disk, the program's own client of logs and the
code of a real relay, all in this process; the other members are scripted (`tests.support.crowd`), with keys of their
own. A network would only add its round trips, and cores of their own would take work from this one.

saved      a message in a group of 5,000, from the call until it is on disk
remove     the same for the removal of a member: the new keys for all others, and everything that follows; `remove_kb`
           are the bytes of its items, which go into each log once
member     a removal at another member: all transactions in which its items come, and what follows from them
join       a newcomer with a whole engine: all of its transactions, the log verified from its beginning
catch_up   10,000 messages that were written while somebody was away: from its start until it has saved them all
fifty      a message in a group of 50 whole engines, from the call until each of the others has saved it: the work of
           all 50, which one core does here; `fifty_waited` is the time in which nobody had anything to do, as where
           pushes of a relay wait for their round
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Text
from p2pchat.core.ids import ChatId, MessageId
from p2pchat.engine.groups import changes
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from tests.support.boxed import full_relay
from tests.support.crowd import Crowd, CrowdAtRelays
from tests.support.group_day import LOGS, group_of
from tests.support.world import World, WorldNode, befriend, run_world, until

MEMBERS, FEW, AWAY = 5_000, 50, 10_000
AT_ONCE = 256
SENT, REMOVED, FIFTY = 20, 5, 5
"""How often each is done."""
PUT_AT_ONCE = 64
TOWN = "town"
DAY_SECONDS = 86_400.0


@dataclass
class EngineCosts:
    """Milliseconds, one for each time it was done; remove_kb: in 1,000 bytes."""

    saved_ms: list[float] = field(default_factory=list)
    remove_ms: list[float] = field(default_factory=list)
    remove_kb: list[float] = field(default_factory=list)
    member_ms: list[float] = field(default_factory=list)
    join_ms: list[float] = field(default_factory=list)
    catch_up_ms: list[float] = field(default_factory=list)
    fifty_ms: list[float] = field(default_factory=list)
    fifty_waited_ms: list[float] = field(default_factory=list)


class Stopwatch:
    """How long each node has worked on its disk: transactions and reads, by name."""

    def __init__(self, world: World) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._run_sync = world.run_sync
        world.run_sync = self._timed  # type: ignore[method-assign]

    def _timed(self, node: WorldNode) -> Callable[..., Awaitable[Any]]:
        inline = self._run_sync(node)

        async def timed(function: Callable[..., Any], *args: object, brief: bool = False) -> Any:
            def work(*given: object) -> Any:
                began = time.perf_counter()
                try:
                    return function(*given)
                finally:
                    self.seconds[node.name] += time.perf_counter() - began

            return await inline(work, *args)

        return timed


async def _large(world: World, folder: Path, costs: EngineCosts) -> None:
    watch, crowd = Stopwatch(world), Crowd(world.entropy)
    world.traffic = _Forgetful()
    relay = await full_relay(world, "tower", folder, logs=LOGS)
    alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
    await alice.call("relays", add=relay.line)
    for other in (bob, carol):
        await befriend(alice, other)
    await alice.call("create_group", name=TOWN, contacts=["bob"])
    await until(partial(_is_in, bob))
    await trio.sleep(60)
    (chat,) = store_groups.chats(alice.db)
    left = MEMBERS - 2
    while left:
        new = crowd.newcomers(min(left, AT_ONCE))
        event, secret = await alice.engine.committer.submit(lambda tx, new=new: changes.add(tx, _row(tx, chat), new))
        left -= len(new)
    log = [row.event for row in await alice.engine.committer.read(store_events.all, chat)]
    crowd.begin(group_of(alice).group_id, log, event.id, secret)
    hand = CrowdAtRelays(world, crowd, "the crowd")
    await world.run_beside(hand.run)
    await until(partial(_agree, alice, bob))
    await trio.sleep(600)
    for number in range(SENT):
        costs.saved_ms.append(await _timed(alice.call("send", chat=TOWN, text=f"hello {number}")))
        await trio.sleep(60)
    for member in crowd.present()[:REMOVED]:
        before = watch.seconds["bob"], _items(alice)
        costs.remove_ms.append(await _timed(alice.call("remove_member", chat=TOWN, member=member.hex())))
        sizes = alice.db.query("SELECT sum(length(item)) FROM group_items WHERE pk > ?", (before[1],))
        costs.remove_kb.append(sizes[0][0] / 1_000)
        await until(partial(_agree, alice, bob))
        await trio.sleep(60)
        costs.member_ms.append(1_000 * (watch.seconds["bob"] - before[0]))
    worked = watch.seconds["carol"]
    await alice.call("add_members", chat=TOWN, contacts=["carol"])
    await until(partial(_is_in, carol))
    await until(partial(_agree, alice, carol))
    costs.join_ms.append(1_000 * (watch.seconds["carol"] - worked))
    await bob.stop()
    await _write(world, crowd, hand, AWAY)
    began = time.perf_counter()
    bob = await world.start("bob")
    await until(partial(_has, bob, "away %", AWAY), DAY_SECONDS)
    costs.catch_up_ms.append(1_000 * (time.perf_counter() - began))


async def _write(world: World, crowd: Crowd, hand: CrowdAtRelays, count: int) -> None:
    """Have scripted members write so many messages, by turns, into the logs."""
    authors, waiting = crowd.present(), list[bytes]()
    for number in range(count):
        payload = Text(f"away {number}, and some words that people write")
        content = encode_content(Content(payload, MessageId(world.entropy.random(16)), number + 1, world.now()))
        sealed = crowd.write(authors[number * 7919 % len(authors)], content)
        assert sealed is not None
        waiting.append(sealed)
        if len(waiting) == PUT_AT_ONCE or number == count - 1:
            put = hand.put
            hand.post(waiting)
            await until(partial(_was_put, hand, put + len(waiting)))
            waiting = []
            await trio.sleep(10)


async def _few(world: World, folder: Path, costs: EngineCosts) -> None:
    world.traffic = _Forgetful()
    relay = await full_relay(world, "tower", folder, logs=LOGS)
    alice, *others = [await world.start(f"person {number}") for number in range(FEW)]
    await alice.call("relays", add=relay.line)
    for other in others:
        await befriend(alice, other)
    await alice.call("create_group", name=TOWN, contacts=[other.name for other in others])
    for other in others:
        await until(partial(_is_in, other))
        await until(partial(_agree, alice, other))
    await alice.stop()
    alice = await world.start(alice.name)  # it has no links now, and those who are reached are so by the log alone
    await trio.sleep(3_600)
    for number in range(FIFTY):
        began, at, text = time.perf_counter(), world.now(), f"round {number}"
        await others[0].call("send", chat=TOWN, text=text)
        readers = (alice, *others[1:])
        for node in readers:
            await until(partial(_has, node, text, 1))
        costs.fifty_ms.append(1_000 * (time.perf_counter() - began))
        sql = "SELECT received_at FROM messages WHERE text = ?"
        costs.fifty_waited_ms.append(max(node.db.query(sql, (text,))[0][0] for node in readers) - at)
        await trio.sleep(600)


class _Forgetful(list[Any]):
    """Keeps nothing of what is appended to it."""

    def append(self, thing: Any) -> None:
        pass


def _row(tx: Transaction, chat: ChatId) -> store_groups.GroupRow:
    row = store_groups.get(tx.db, chat)
    assert row is not None
    return row


def _items(node: WorldNode) -> int:
    return int(node.db.query("SELECT max(pk) FROM group_items")[0][0])


async def _timed(done: Awaitable[object]) -> float:
    began = time.perf_counter()
    await done
    return 1_000 * (time.perf_counter() - began)


async def _is_in(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return bool(store_groups.chats(node.db)) and group_of(node).epoch is not None


async def _agree(one: WorldNode, other: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return group_of(one).epoch == group_of(other).epoch


async def _has(node: WorldNode, text: str, count: int) -> bool:
    await trio.lowlevel.checkpoint()
    return bool(node.db.query("SELECT count(*) >= ? FROM messages WHERE text LIKE ?", (count, text))[0][0])


async def _was_put(hand: CrowdAtRelays, count: int) -> bool:
    await trio.lowlevel.checkpoint()
    return hand.put >= count


def measure() -> EngineCosts:
    """Measure everything once."""
    logging.disable(logging.INFO)
    costs = EngineCosts()
    for what in (_large, _few):
        with tempfile.TemporaryDirectory(prefix="p2pchat-bench-") as place:

            async def main(world: World, what: Any = what, place: str = place) -> None:
                await what(world, Path(place), costs)

            run_world(Path(place), main)
    return costs


def main() -> None:
    """Print a line for each."""
    for name, values in vars(measure()).items():
        print(f"{name:12} median {statistics.median(values):9.2f}  least {min(values):9.2f}  most {max(values):9.2f}")


if __name__ == "__main__":
    main()
