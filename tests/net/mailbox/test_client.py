"""A mailbox client whose relay does not answer, or not for ever: attempts, addresses, tokens and the end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.ids import PeerKey, RelayName
from p2pchat.core.mailbox import DONE, STAMPED
from p2pchat.net import multiaddrs
from p2pchat.net.allowance import MAX_SHORT_BYTES, MAX_SHORT_PACKETS
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT
from p2pchat.net.mailbox.client import IDLE_SECONDS, RETRY_SECONDS
from p2pchat.net.mailbox.stream import CHECK_SECONDS, LOST_AFTER_SECONDS, PING_AFTER_SECONDS
from tests.support.boxes import LIMITS, Keys, blob, relay, run
from tests.support.deposits import BOB, CAROL, HOURS_A_DAY, collects, fill, numbered, run_for_real
from tests.support.mails import AT_RELAY, RELAY, WHERE, client, own, theirs, unreachable


def test_attempts_are_further_and_further_apart() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(7200)
            times = scene.lines.dialled
            waits = [after - before for before, after in pairwise(times)]
            assert times[0] == 0
            assert all(FIRST_WAIT / 2 * 2**number <= wait for number, wait in enumerate(waits[:8]))
            assert all(LONGEST_WAIT / 2 <= wait <= LONGEST_WAIT for wait in waits[9:])
            assert len({round(wait, 3) for wait in waits}) == len(waits)
            assert scene.health == ("unreachable", "No address answered.")
            assert scene.letters.told == ["down"]
            assert scene.lines.addresses_tried == ["/ip4/10.0.0.9/tcp/4001", "/ip4/10.0.0.9/tcp/4001/ws"]

    run(main)


def test_a_stream_that_was_good_is_made_again_soon_and_one_that_was_not_later(tmp_path: Path) -> None:
    async def main() -> None:
        for seconds, soon in ((60, True), (1, False)):
            async with relay(tmp_path) as here, client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                for number in range(8):
                    await scene.letters.until_told(*["up", "down"] * number, "up")
                    await trio.sleep(seconds)
                    await scene.lines.streams[-1].close()
                waits = [after - before - seconds for before, after in pairwise(scene.lines.dialled)]
                assert (max(waits) <= FIRST_WAIT) == soon

    run(main)


def test_which_addresses_are_dialled() -> None:
    """Where we watch, its own; else as the deposit names them. No nonsense, no circuits, few, and WebSocket besides."""

    async def main() -> None:
        stranger = [f"/ip4/10.0.0.{number}/tcp/4001" for number in range(1, 8)]
        circuit = multiaddrs.circuit(stranger[0], PeerKey(b"\x03" * 32))
        named = replace(AT_RELAY, addresses=(b"\xff", *map(multiaddrs.pack, [circuit, *stranger])))
        async with client(unreachable) as scene:
            scene.boxes.deposit(named, theirs(BOB), HOURS_A_DAY, numbered(1))
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [each + over for each in stranger[:4] for over in ("", "/ws")]
            await trio.sleep(2 * RETRY_SECONDS)
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [WHERE, WHERE + "/ws"]
            await trio.sleep(2 * RETRY_SECONDS)
            scene.boxes.deposit(named, theirs(BOB), HOURS_A_DAY, [(7, blob(7))])
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [WHERE, WHERE + "/ws"]
            assert len(scene.lines.dialled) >= 3

    run(main)


def test_a_call_is_an_attempt_but_not_twice_a_second() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(3600.5)
            before = len(scene.lines.dialled)
            for _ in range(5):
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await wait_all_tasks_blocked()
            assert len(scene.lines.dialled) == before + 1
            await trio.sleep(RETRY_SECONDS + 0.1)
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(1))
            await wait_all_tasks_blocked()
            assert len(scene.lines.dialled) == before + 2

    run(main)


def test_a_deposit_is_given_back_when_the_attempt_failed_and_then_at_once() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.lines.patience = 10
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(1, 2, 3))
            assert scene.boxes.relay_health()[RelayName(RELAY)].state == "connecting"
            await trio.sleep(9)
            assert scene.letters.lost == []
            await trio.sleep(1.01)
            assert scene.letters.lost == [0, 1, 2]
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(7, blob(7))])
            assert scene.letters.lost == [0, 1, 2]  # not in the call itself
            await wait_all_tasks_blocked()
            assert scene.letters.lost == [0, 1, 2, 7]

    run(main)


def test_one_that_is_not_needed_any_more_is_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [])  # nothing was watched: nothing is done
            assert scene.boxes.relay_health() == {}
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(1))
            await trio.sleep(IDLE_SECONDS - 1)
            assert scene.health == ("connected", "")
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(5, blob(5))])
            await trio.sleep(IDLE_SECONDS - 1)
            assert here.mailbox.clients == 1
            await trio.sleep(2)
            assert here.mailbox.clients == 0
            assert scene.boxes.relay_health() == {}
            assert scene.letters.told == ["up", "left"]  # it would answer
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(6, blob(6))])
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE, 5: DONE, 6: DONE})
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(10 * IDLE_SECONDS)
            assert here.mailbox.clients == 1
            scene.boxes.watch(AT_RELAY, [])
            scene.boxes.taken(RelayName(RELAY), BOB.queue.id, scene.letters.last(BOB))
            await trio.sleep(10)
            assert here.store.blobs == 0  # the last delete went out
            assert scene.boxes.relay_health() == {}

    run(main)


@pytest.mark.parametrize("deposits", [False, True])
def test_a_cut_cable_is_noticed(tmp_path: Path, deposits: bool) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(1000)
            assert scene.letters.told == ["up"]  # silence is broken by pings
            scene.lines.streams[0].cut = True
            began = trio.current_time()
            if deposits:
                scene.boxes.deposit(AT_RELAY, theirs(CAROL), HOURS_A_DAY, numbered(1))
            await scene.letters.until_told("up", "down")
            took = trio.current_time() - began
            assert took <= (0 if deposits else PING_AFTER_SECONDS + CHECK_SECONDS) + LOST_AFTER_SECONDS + CHECK_SECONDS
            assert scene.letters.lost == ([0] if deposits else [])
            await scene.letters.until_told("up", "down", "up")
            assert scene.lines.disconnected == 1

    run(main)


def test_tokens(tmp_path: Path) -> None:
    async def main() -> None:
        for token, health in [
            (b"friends only", ("connected", "")),
            (b"wrong", ("refused", "it does not take our token")),
            (b"", ("refused", "it serves only those who have its token")),
        ]:
            limits = replace(LIMITS, token=b"friends only")
            async with relay(tmp_path, limits) as here, client(here.stream, b"friends only") as scene:
                at = replace(AT_RELAY, token=token)
                scene.boxes.deposit(at, theirs(BOB), HOURS_A_DAY, numbered(token.decode()))
                await scene.letters.until(lambda: bool(scene.letters.codes or scene.letters.lost))
                assert scene.health == health
                assert scene.letters.told == (["up"] if token == b"friends only" else ["down"])

    run(main)


def test_secrets_and_addresses_stay_out_of_what_is_shown() -> None:
    shown = repr([replace(AT_RELAY, token=b"friends only"), own(BOB), theirs(BOB)])
    for secret in (b"friends only", BOB.fetch, BOB.put):
        assert repr(secret)[2:-1] not in shown


def test_everything_ends_with_the_nursery(tmp_path: Path) -> None:
    """In the middle of collecting, depositing and a stamp that takes for ever: nothing is told any more."""

    async def main() -> None:
        async with relay(tmp_path, replace(LIMITS, stamp_bits=26)) as here:
            await fill(here, BOB, *range(600))
            async with client(here.stream) as scene:
                scene.letters.held = trio.Event()
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                scene.boxes.deposit(AT_RELAY, theirs(Keys("invited", STAMPED)), HOURS_A_DAY, numbered(1))
                await scene.letters.until(lambda: bool(scene.letters.batches))
            assert all(line.closed for line in scene.lines.streams)
            assert scene.letters.told == ["up"]
            assert scene.letters.lost == []

    run_for_real(main)


def test_over_short_connections_everything_goes_and_comes_and_none_carries_too_much(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.lines.short = scene.letters.takes = True
            await fill(here, BOB, *range(5))
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            scene.boxes.deposit(AT_RELAY, theirs(CAROL), HOURS_A_DAY, numbered(*range(10, 15)))
            await scene.letters.until(lambda: collects(scene, BOB, 5) and len(scene.letters.codes) == 5)
            assert set(scene.letters.codes.values()) == {DONE}
            await fill(here, BOB, *range(5, 15))  # pushed, and more at once than one has room for
            await scene.letters.until(lambda: collects(scene, BOB, 15))
            assert scene.letters.blobs(BOB) == [blob(number) for number in range(15)]
            await trio.sleep(3600)  # it is quiet
            lines = scene.lines.streams
            for line in lines:
                _, packets_in, _, packets_out = line.traffic()
                assert max(packets_in, packets_out) <= MAX_SHORT_PACKETS
                assert all(size + 52 * packets_in <= MAX_SHORT_BYTES for size in line.carried)
            assert sum(at > 3 for at in scene.lines.dialled) <= 3600 / 180  # the relay pings
            assert scene.letters.told == ["up"]

    run(main)


def test_a_blob_that_has_room_on_no_short_connection_is_tried_after_all_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.lines.short = True
            large = (9, blob(9, 65_536))
            scene.boxes.deposit(AT_RELAY, theirs(CAROL), HOURS_A_DAY, [large, *numbered(1, 2, 3)])
            await scene.letters.until(lambda: len(scene.letters.codes) == 4)
            puts = [mailbox.decode_put(put.body).blob for line in scene.lines.streams for put in line.of(mailbox.PUT)]
            assert puts == [blob(1), blob(2), blob(3), blob(9, 65_536)]

    run(main)


def test_a_large_blob_in_one_queue_keeps_nothing_in_another_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.lines.short = scene.letters.takes = True
            await fill(here, BOB, 0, size=16_384)
            await fill(here, CAROL, *range(3))
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await scene.letters.until(lambda: collects(scene, CAROL, 3))
            await fill(here, CAROL, 3)
            await scene.letters.until(lambda: collects(scene, CAROL, 4))
            for line in scene.lines.streams:
                assert line.carried[0] <= MAX_SHORT_BYTES
            scene.lines.short = False  # another network
            scene.boxes.network_changed(hidden=False)
            for line in scene.lines.streams:
                await line.close()
            await scene.letters.until(lambda: collects(scene, BOB, 1))

    run(main)


def test_where_the_handshakes_alone_fill_a_short_connection_one_waits_longer_each_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.lines.short, scene.lines.filled = True, MAX_SHORT_BYTES - 3_000
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(7200)
            assert len(scene.lines.dialled) <= 7200 / LONGEST_WAIT * 2 + 12
            assert scene.health == ("unreachable", "the connection was lost")

    run(main)
