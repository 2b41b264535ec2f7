"""The client of relays' logs: it goes on where it was, whatever the relay or the connection does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core import logs, mailbox
from p2pchat.core.ids import PeerKey
from p2pchat.core.logs import LogRole
from p2pchat.core.mailbox import DONE, NOT_ALLOWED, QUEUE_FULL
from p2pchat.errors import DiskFull
from p2pchat.net.mailbox import deposit
from p2pchat.net.mailbox import logs as log_client
from p2pchat.relay.log_store import log_quota
from tests.net.mailbox.test_pool import Person
from tests.support.boxes import RELAY, Keys, MailClient, PipeStream, Relay, blob, group_log, opened_log, relay, run
from tests.support.deposits import run_for_real
from tests.support.hosts import make, running
from tests.support.mails import (
    AT_RELAY,
    HELLO,
    Letters,
    Liar,
    client,
    lied_to,
    own,
    serving,
    theirs,
    unreachable,
)

SIZE = logs.SMALL_BYTES
GROUP = group_log()
ITEMS = [blob(number, SIZE) for number in range(200)]
BOB = Keys("bob")


async def member(at: Relay) -> MailClient:
    return await opened_log(at, LogRole.APPEND)


def test_what_is_appended_is_read_and_what_comes_later_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[:3]) == [DONE] * 3
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: scene.letters.items(GROUP) == ITEMS[:3])
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[2:5]) == [DONE] * 3
            await scene.letters.until(lambda: scene.letters.items(GROUP) == ITEMS[:5])
            assert len(scene.lines.dialled) == 1, "one stream for everything"
            places = [place for place, _ in scene.letters.of_logs[GROUP.log.id]]
            other = Letters()
            async with client(at.stream, letters=other) as second:
                second.boxes.logs.watch(AT_RELAY, [(GROUP, places[2])])
                await other.until(lambda: other.items(GROUP) == ITEMS[3:5])
                assert other.ended_at == {GROUP.log.id: places[4]}

    run(main)


def test_a_long_log_comes_in_pages_with_one_ahead(tmp_path: Path) -> None:
    large = [blob(number, 65_536) for number in range(30)]

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            await (await member(at)).put(0, *large)
            scene.letters.held = trio.Event()
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: bool(scene.letters.items(GROUP)))
            assert scene.letters.log_batches == [8], "two pages cost one transaction"
            await trio.sleep(20)
            asked = len(scene.lines.streams[0].of(mailbox.READ))
            assert 2 <= asked <= 5, "while the first are not taken, no more than a few are asked for"
            scene.letters.held.set()
            await scene.letters.until(lambda: scene.letters.items(GROUP) == large)

    run(main)


def test_what_comes_of_a_log_while_it_is_taken_is_passed_on_together(tmp_path: Path) -> None:
    other = group_log("another")

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            sender, letters = await member(at), scene.letters
            await sender.open_log(1, LogRole.APPEND, other)
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0), (other, 0)])
            await letters.until(lambda: letters.ended_at.keys() == {GROUP.log.id, other.log.id})
            letters.held = trio.Event()
            letters.log_batches.clear()
            for number in range(5):
                await sender.put(0, ITEMS[number])
                await trio.sleep(5)
            await sender.put(1, ITEMS[100])
            await trio.sleep(5)
            letters.held.set()
            await letters.until(lambda: bool(letters.items(other)))
            assert letters.items(GROUP) == ITEMS[:5]
            assert letters.log_batches == [1, 4, 1]

    run(main)


def test_parts_of_something_long_are_passed_on_together(tmp_path: Path) -> None:
    """Others, which may be messages, at once."""
    large = [blob(number, log_client.LARGE_BYTES) for number in range(5)]

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            sender, letters = await member(at), scene.letters
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await letters.until(lambda: bool(letters.ended_at))
            letters.log_batches.clear()
            for part in large:
                await sender.put(0, part)
            await letters.until(lambda: letters.items(GROUP) == large)
            assert letters.log_batches == [5]
            began = trio.current_time()
            await sender.put(0, ITEMS[0])
            await letters.until(lambda: letters.items(GROUP) == [*large, ITEMS[0]])
            assert trio.current_time() == began

    run(main)


def test_after_a_lost_connection_each_log_goes_on_where_it_was_passed_on(tmp_path: Path) -> None:
    other = group_log("another")

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            sender = await member(at)
            await sender.open_log(1, LogRole.APPEND, other)
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0), (other, 0)])
            await sender.put(0, *ITEMS[:5])
            await sender.put(1, *ITEMS[100:103])
            letters = scene.letters
            await letters.until(lambda: (len(letters.items(GROUP)), len(letters.items(other))) == (5, 3))
            for number in range(5, 40, 5):
                await scene.lines.streams[-1].inner.close()
                await sender.put(0, *ITEMS[number : number + 5])
                await letters.until(lambda: len(letters.items(GROUP)) == number + 5)  # noqa: B023
            await sender.put(1, ITEMS[103])
            await letters.until(lambda: len(letters.items(other)) == 4)
            assert letters.items(GROUP) == ITEMS[:40], "nothing twice, nothing missing"
            assert letters.items(other) == ITEMS[100:104]
            assert letters.told_of_logs[:3] == ["up", "the connection was lost", "up"]

    run(main)


def test_a_change_of_what_is_watched_leaves_the_others_alone(tmp_path: Path) -> None:
    keys = [group_log(f"group {number}") for number in range(12)]

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            sender = await at.client()
            for handle, log in enumerate(keys):
                await sender.open_log(handle, LogRole.APPEND, log)
                await sender.put(handle, ITEMS[handle])
            watch = scene.boxes.logs.watch
            watch(AT_RELAY, [(log, 0) for log in keys[:9]])
            await scene.letters.until(lambda: all(scene.letters.items(log) for log in keys[:9]))
            assert len(scene.lines.streams[0].of(mailbox.OPEN_LOG)) == 16, "a relay does not count them"
            watch(AT_RELAY, [(log, 0) for log in keys[5:]])
            await scene.letters.until(lambda: all(scene.letters.items(log) for log in keys))
            for handle in range(12):
                await sender.put(handle, ITEMS[50 + handle])
            await scene.letters.until(lambda: all(len(scene.letters.items(log)) == 2 for log in keys[5:]))
            assert all(len(scene.letters.items(log)) == 1 for log in keys[:5]), "these are watched no more"
            watch(AT_RELAY, [(keys[0], scene.letters.ended_at[keys[0].log.id])])
            await scene.letters.until(lambda: len(scene.letters.items(keys[0])) == 2)
            assert at.mailbox.followers == 1
            watch(AT_RELAY, [])
            await trio.sleep(log_client.IDLE_SECONDS + 1)
            assert at.mailbox.followers == 0
            assert scene.lines.streams[0].closed

    run(main)


def test_a_stream_whose_handles_are_used_up_makes_way_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_HANDLES", 32)
    keys = [group_log(f"epoch {number}") for number in range(7)]

    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            sender = await at.client()
            for number, log in enumerate(keys):
                await sender.open_log(number, LogRole.APPEND, log)
                await sender.put(number, ITEMS[number])
                scene.boxes.logs.watch(AT_RELAY, [(log, 0) for log in keys[max(0, number - 1) : number + 1]])
                await scene.letters.until(lambda: bool(scene.letters.items(log)))  # noqa: B023
            assert len(scene.lines.streams) < 4

    run(main)


def test_a_log_that_is_let_go_while_it_is_read_and_read_again_is_followed(tmp_path: Path) -> None:
    async def script(liar: Liar) -> None:
        first = await reading(liar)
        await trio.sleep(5)
        await items(liar, first.handle, 5)
        await liar.end(first.number)
        ended = logs.decode_read(await liar.hear(mailbox.READ))
        assert (ended.want, ended.follow) == (0, False), "the relay has begun to push"
        await liar.end(ended.number)
        again = logs.decode_read(await liar.hear(mailbox.READ))
        assert (again.handle, again.after, again.follow) == (first.handle, 0, True)
        await items(liar, first.handle, 5)
        await liar.end(again.number)
        await items(liar, first.handle, 6)
        await liar.hear(mailbox.PING)

    async def main() -> None:
        async with lied_to(script) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await trio.sleep(2)
            scene.boxes.logs.watch(AT_RELAY, [])
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: len(scene.letters.items(GROUP)) == 2)
            assert [place for place, _ in scene.letters.of_logs[GROUP.log.id]] == [5, 6]

    run(main)


def test_a_log_that_a_relay_cannot_read_now_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            await (await member(at)).put(0, *ITEMS[:3])
            assert at.logs is not None

            def fail(*arguments: object) -> None:
                raise DiskFull

            with monkeypatch.context() as patched:
                patched.setattr(at.logs, "fetch", fail)
                scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
                await trio.sleep(10)
            await scene.letters.until(lambda: scene.letters.items(GROUP) == ITEMS[:3])
            assert 2 <= len(scene.lines.streams) <= 8

    run(main)


def test_one_who_was_left_behind_reads_on(tmp_path: Path) -> None:
    large = [blob(number, 65_536) for number in range(40)]

    async def main() -> None:
        async with relay(tmp_path) as at, client(lambda: at.stream(room=20_000)) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: GROUP.log.id in scene.letters.ended_at)
            scene.letters.held = trio.Event()
            sender = await member(at)
            for one in large:
                await sender.put(0, one)
            assert at.mailbox.followers == 0, "it does not read, so it is not waited for"
            scene.letters.held.set()
            await scene.letters.until(lambda: scene.letters.items(GROUP) == large)
            await scene.letters.until(lambda: at.mailbox.followers == 1)

    run(main)


def test_a_relay_that_is_away_is_tried_again_and_appends_return(tmp_path: Path) -> None:
    there: list[Callable[[], PipeStream]] = [unreachable]

    async def main() -> None:
        def lead() -> PipeStream:
            return there[-1]()

        async with relay(tmp_path) as at, client(lead) as scene:
            logs_of = scene.boxes.logs
            assert await logs_of.append(AT_RELAY, GROUP, 24, ITEMS[:1]) is None
            began = trio.current_time()
            for _ in range(50):
                assert await logs_of.append(AT_RELAY, GROUP, 24, ITEMS[:1]) is None
            assert trio.current_time() == began
            assert len(scene.lines.dialled) == 1, "it was just tried"
            logs_of.watch(AT_RELAY, [(GROUP, 0)])
            await trio.sleep(100)
            assert 3 <= len(scene.lines.dialled) <= 12
            there.append(at.stream)
            assert await logs_of.append(AT_RELAY, GROUP, 24, ITEMS[:1]) == [DONE], "a call does not wait for the turn"
            await scene.letters.until(lambda: scene.letters.items(GROUP) == ITEMS[:1])

    run(main)


def test_relays_that_are_not_used_any_more_are_forgotten() -> None:
    """A node that is in many groups after one another meets many relays."""

    async def main() -> None:
        async with client(unreachable) as scene:
            watched = replace(AT_RELAY, peer=PeerKey(bytes([99]) * 32))
            scene.boxes.logs.watch(watched, [(GROUP, 0)])
            for number in range(20):
                other = replace(AT_RELAY, peer=PeerKey(bytes([number]) * 32))
                assert await scene.boxes.logs.append(other, GROUP, 24, ITEMS[:1]) is None
                await trio.sleep(10)
            assert isinstance(scene.boxes.logs, log_client.RelayLogs)
            assert {watched.mailbox, other.mailbox} == scene.boxes.logs._clients.keys()

    run(main)


def test_an_append_that_the_connection_does_not_survive_has_no_outcome(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at, client(at.stream) as scene:
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[:1]) == [DONE]
            scene.lines.streams[0].cut = True

            async def cut() -> None:
                await trio.sleep(5)
                await scene.lines.streams[0].inner.close()

            scene.nursery.start_soon(cut)
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[1:3]) is None
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[1:3]) == [DONE] * 2

    run(main)


def test_admins_append_where_a_member_has_filled_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, logs_quota=log_quota(1 << 20, 100 * SIZE)) as at, client(at.stream) as scene:
            append = scene.boxes.logs.append
            assert await append(AT_RELAY, GROUP, 24, ITEMS[:64]) == [DONE] * 64
            assert await append(AT_RELAY, GROUP, 24, ITEMS[64:94]) == [DONE] * 26 + [QUEUE_FULL] * 4
            assert await append(AT_RELAY, GROUP, 24, ITEMS[90:94], as_admin=True) == [DONE] * 4

    run(main)


def test_a_stamp_is_made_where_the_first_blob_needs_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, logs_quota=log_quota(100 * SIZE, 100 * SIZE)) as at, client(at.stream) as scene:
            append = scene.boxes.logs.append
            await append(AT_RELAY, GROUP, 24, ITEMS[:64])
            await append(AT_RELAY, GROUP, 24, ITEMS[64:80])
            assert await append(AT_RELAY, group_log("new"), 24, ITEMS[80:84]) == [DONE] * 4

    run(main)


def test_a_relay_that_always_wants_a_stamp_cannot_have_us_work_for_it_all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps: list[int] = []

    async def script(liar: Liar) -> None:
        await liar.greet(log_bytes=1 << 20, log_hours=24)
        while True:
            put = mailbox.decode_put(await liar.hear(mailbox.PUT))
            stamps.append(put.stamp)
            await liar.say((mailbox.RESULTS, mailbox.encode_results([(put.number, mailbox.STAMP_NEEDED)])))

    async def main() -> None:
        monkeypatch.setattr(deposit, "DAILY_STAMP_WORK", 3 << HELLO.stamp_bits)
        async with lied_to(script) as scene:
            for _ in range(9):
                assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[:1]) == [mailbox.STAMP_NEEDED]
            assert sum(map(bool, stamps)) == 3
            await trio.sleep(24 * 3600)
            await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[:1])
            assert sum(map(bool, stamps)) == 4

    run(main)


def test_a_relay_without_logs_is_left_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, logs_quota=None) as at, client(at.stream) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: scene.letters.told_of_logs == ["it has no logs"])
            assert await scene.boxes.logs.append(AT_RELAY, GROUP, 24, ITEMS[:1]) is None

    run(main)


def test_over_real_connections_a_log_is_followed_while_messages_and_files_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            alice, bob = Person(1, nursery), Person(2, nursery)
            async with running(alice.host, bob.host), serving(make(8), tmp_path) as served:
                at = served.relay
                bob.boxes.watch(at, [own(BOB)])
                bob.boxes.logs.watch(at, [(GROUP, 0)])
                await bob.letters.until(lambda: GROUP.log.id in bob.letters.ended_at)
                assert served.mailbox.followers == 1
                alice.boxes.deposit(at, theirs(BOB), 24, [(number, blob(number)) for number in range(20)])
                for start in range(0, 192, 64):
                    assert set(await alice.boxes.logs.append(at, GROUP, 24, ITEMS[start : start + 64]) or ()) == {DONE}
                await bob.letters.until(lambda: len(bob.letters.items(GROUP)) == 192)
                assert bob.letters.items(GROUP) == ITEMS[:192]
                await bob.letters.until(lambda: len(bob.letters.blobs(BOB)) == 20)
            nursery.cancel_scope.cancel()

    run_for_real(main)


# --- relays that lie --------------------------------------------------------------------------------------------


async def reading(liar: Liar, **hello: object) -> logs.LogRead:
    """Go on until the client reads; its read."""
    await liar.greet(**{"log_bytes": 1 << 20, "log_hours": 24, **hello})
    for _ in range(8):
        opening = logs.decode_open_log(await liar.hear(mailbox.OPEN_LOG))
        await liar.say((mailbox.OPENED, mailbox.encode_opened(opening.handle, DONE)))
    return logs.decode_read(await liar.hear(mailbox.READ))


async def items(liar: Liar, handle: int, *places: int, size: int = SIZE) -> None:
    said = [(place, blob(place, size)) for place in places]
    await liar.say(*[(mailbox.ITEMS, body) for body in logs.encode_items(handle, said)])


async def _other_handle(liar: Liar) -> None:
    await items(liar, (await reading(liar)).handle ^ 1, 5)


async def _falling(liar: Liar) -> None:
    read = await reading(liar)
    await items(liar, read.handle, 7)
    await items(liar, read.handle, 7)


async def _behind_the_cursor(liar: Liar) -> None:
    await items(liar, (await reading(liar)).handle, 3)


async def _beyond_all(liar: Liar) -> None:
    await items(liar, (await reading(liar)).handle, 1 << 63)


async def _too_many(liar: Liar) -> None:
    read = await reading(liar)
    await items(liar, read.handle, *range(10, 10 + read.want + 1))


async def _too_much(liar: Liar) -> None:
    await items(liar, (await reading(liar)).handle, *range(10, 15), size=65_536)


async def _more_of_nothing(liar: Liar) -> None:
    await liar.end((await reading(liar)).number, more=True)


async def _another_answer(liar: Liar) -> None:
    await liar.end((await reading(liar)).number + 1)


async def _a_result(liar: Liar) -> None:
    await reading(liar)
    await liar.say((mailbox.RESULTS, mailbox.encode_results([(9, DONE)])))


async def _behind_of_nothing(liar: Liar) -> None:
    read = await reading(liar)
    await liar.say((mailbox.BEHIND, logs.encode_handle(read.handle ^ 1)))


async def _a_blob(liar: Liar) -> None:
    await liar.blob((await reading(liar)).handle, 8)


LIES = [
    _other_handle,
    _falling,
    _behind_the_cursor,
    _beyond_all,
    _too_many,
    _too_much,
    _more_of_nothing,
    _another_answer,
    _a_result,
    _behind_of_nothing,
    _a_blob,
]


@pytest.mark.parametrize("lie", LIES)
def test_a_relay_that_lies_is_left(lie: Callable[[Liar], object]) -> None:
    async def script(liar: Liar) -> None:
        await lie(liar)  # type: ignore[misc]
        await liar.hear(mailbox.PING)

    async def main() -> None:
        async with lied_to(script) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 4)])
            await scene.letters.until(lambda: "it does not keep to the protocol" in scene.letters.told_of_logs)
            assert all(place > 4 for place, _ in scene.letters.of_logs.get(GROUP.log.id, []))

    run(main)


def test_what_a_relay_repeats_under_new_places_is_passed_on_as_it_is(tmp_path: Path) -> None:
    """A relay can repeat, leave out and reorder; who reads tells items apart by their hashes, and logs by comparing."""

    async def script(liar: Liar) -> None:
        read = await reading(liar)
        said = [(5, ITEMS[1]), (6, ITEMS[0]), (9, ITEMS[1])]
        await liar.say(*[(mailbox.ITEMS, body) for body in logs.encode_items(read.handle, said)])
        await liar.end(read.number)
        await liar.hear(mailbox.READ)

    async def main() -> None:
        async with lied_to(script) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await scene.letters.until(lambda: len(scene.letters.items(GROUP)) == 3)
            assert scene.letters.items(GROUP) == [ITEMS[1], ITEMS[0], ITEMS[1]]
            assert scene.letters.ended_at == {GROUP.log.id: 9}

    run(main)


def test_a_page_does_not_wait_long_for_the_next_one() -> None:
    async def script(liar: Liar) -> None:
        read = await reading(liar)
        await items(liar, read.handle, 5, 6)
        await liar.end(read.number, more=True)
        await trio.sleep_forever()

    async def main() -> None:
        async with lied_to(script) as scene:
            began = trio.current_time()
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 4)])
            await scene.letters.until(lambda: bool(scene.letters.items(GROUP)))
            assert scene.letters.log_batches == [2]
            assert trio.current_time() - began <= 1

    run(main)


def test_a_relay_that_refuses_a_log_is_not_asked_again(tmp_path: Path) -> None:
    async def script(liar: Liar) -> None:
        await liar.end((await reading(liar)).number, NOT_ALLOWED)
        await liar.hear(mailbox.READ)

    async def main() -> None:
        async with lied_to(script) as scene:
            scene.boxes.logs.watch(AT_RELAY, [(GROUP, 0)])
            await trio.sleep(50)
            assert len(scene.lines.streams) == 1
            assert len(scene.lines.streams[0].of(mailbox.READ)) == 1
            assert scene.letters.of_logs == {}

    run(main)


def test_hello_and_relay_are_what_the_scripts_say() -> None:
    assert (HELLO.relay, HELLO.log_bytes) == (RELAY, 0)
