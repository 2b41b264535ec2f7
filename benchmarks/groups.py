"""What a group costs its members, in one process without store or network: `python -m benchmarks.groups`.

For a group of 5, 50, 500 and 5,000:

write, read      a text of 200 bytes: signed and sealed; opened and verified
item             the bytes of that
rekey            a new secret sealed to all members, as a removal does it: at whoever makes it, and its bytes in items
opened           the same at one member: its own entry, and the branches from which everybody's chain comes
join             the branches alone, which adding somebody costs every member
welcome          the bytes of the welcome of the last one: the log, with an event for each eight who were added
joined           the time in which a newcomer verifies that log
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from p2pchat.core.groups import chains, epochs, events, items, messages, welcome
from p2pchat.core.groups.epochs import Leaf, LeafKeys
from p2pchat.core.groups.events import AddMembers, Found, Newcomer
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.groups.welcome import Welcome
from p2pchat.core.ids import EpochId, EventId, GroupId
from p2pchat.core.primitives import Keys, sign_public, system_entropy

T = TypeVar("T")
SIZES = (5, 50, 500, 5_000)
ADDED_AT_ONCE = 8
MESSAGES = 200
ENTROPY = system_entropy()
GROUP, EPOCH, CORE_HASH, EXPORTER = GroupId(b"g" * 32), EpochId(b"e" * 32), b"c" * 32, b"x" * 32


class GroupCosts(NamedTuple):
    """What was measured with so many members. Times in ms, sizes in bytes."""

    members: int
    write_ms: float
    read_ms: float
    item_bytes: int
    rekey_ms: float
    rekey_bytes: int
    opened_ms: float
    join_ms: float
    welcome_bytes: int
    joined_ms: float


def measure(members: int) -> GroupCosts:
    """Measure a group of `members`."""
    seeds = [ENTROPY.random(32) for _ in range(members)]
    keys = [ENTROPY.keys() for _ in range(members)]
    signs = [sign_public(seed) for seed in seeds]
    leaves = [Leaf(member_id(sign), key[1], key[2].public) for sign, key in zip(signs, keys, strict=True)]
    mine = LeafKeys(leaves[0].member, keys[0][0], keys[0][2])
    rekey_ms, made = _took(lambda: epochs.make_rekey(GROUP, CORE_HASH, EXPORTER, leaves, ENTROPY))
    secrets = epochs.derive(made.secret)
    sealed = items.seal_items(EventItem(made.rekey + bytes(300)), EPOCH, secrets, items.SIZES[0], ENTROPY.random)
    ids = [leaf.member for leaf in leaves]

    def opened() -> None:
        secret = epochs.open_rekey(made.rekey, GROUP, CORE_HASH, EXPORTER, leaves, mine)
        chains.branch_keys(secret)

    opened_ms, _ = _took(opened)
    join_ms, _ = _took(lambda: chains.branch_keys(made.secret))
    heads = chains.chain_heads(made.secret, ids[:1])
    chain, reader = heads[ids[0]], heads[ids[0]]
    writes, reads, item = [], [], b""
    for _ in range(MESSAGES):
        began = time.perf_counter()
        written = messages.write(GROUP, EPOCH, ids[0], seeds[0], chain, (), (), bytes(200), ENTROPY.random)
        message = MessageItem(ids[0], written.message.number, written.body)
        (item,) = items.seal_items(message, EPOCH, secrets, items.SIZES[0], ENTROPY.random)
        writes.append(time.perf_counter() - began)
        chain, began = written.chain, time.perf_counter()
        got = items.open_item(item, EPOCH, secrets)
        assert isinstance(got, MessageItem)
        read = messages.read(GROUP, EPOCH, got.member, signs[0], reader, got.number, got.body, lambda _: None)
        reads.append(time.perf_counter() - began)
        reader = read.found.chain
    log = _log(seeds, signs, keys)
    parts = welcome.cut_welcome(Welcome(GROUP, ids[0], EPOCH, made.secret, log))
    joined_ms, _ = _took(lambda: [events.decode_event(raw) for raw in log])
    return GroupCosts(
        members,
        1000 * statistics.median(writes),
        1000 * statistics.median(reads),
        len(item),
        rekey_ms,
        sum(map(len, sealed)),
        opened_ms,
        join_ms,
        sum(len(part.data) for part in parts),
        joined_ms,
    )


def _log(seeds: list[bytes], signs: list[bytes], keys: list[Keys]) -> tuple[bytes, ...]:
    """The events by which these became members: as bytes, in which who is right is not looked at."""
    founder, leaf, kem = signs[0], keys[0][1], keys[0][2].public
    core = events.encode_core(None, (), 0, founder, Found((), leaf, kem, ""))
    first = events.sign_event(core, bytes(32), None, seeds[0])
    group, newest, made = GroupId(first.id), first, [events.without_rekey(first)]
    for number, start in enumerate(range(1, len(signs), ADDED_AT_ONCE)):
        newcomers = tuple(
            Newcomer(sign, key[1], None, Role.MEMBER, "somebody")
            for sign, key in zip(signs[start : start + ADDED_AT_ONCE], keys[start:], strict=False)
        )
        parent = EventId(newest.id)
        core = events.encode_core(group, (parent,), number + 1, founder, AddMembers(newcomers), parent)
        newest = events.sign_event(core, bytes(32), None, seeds[0])
        made.append(events.without_rekey(newest))
    return tuple(made)


def _took(function: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = function()
    return 1000 * (time.perf_counter() - began), result


def main() -> None:
    """Print a line for each size."""
    head = ("members", "write", "read", "item", "rekey", "in items", "opened", "join", "welcome", "joined")
    print("".join(f"{name:>10}" for name in head))
    for size in SIZES:
        costs = measure(size)
        shown = [f"{value:.3f}" if isinstance(value, float) else f"{value:,}" for value in costs]
        print("".join(f"{value:>10}" for value in shown))


if __name__ == "__main__":
    main()
