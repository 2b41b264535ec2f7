"""Relays that lie, fall silent or send nonsense: the stream ends, it is said so, and what we remember stays small."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.ids import RelayName
from p2pchat.core.mailbox import DONE, STAMPED
from p2pchat.net.frames import DEADLINE
from p2pchat.net.mailbox.client import IDLE_SECONDS
from p2pchat.net.mailbox.deposit import MAX_STAMP_BITS, MAX_UNANSWERED
from p2pchat.net.mailbox.fetch import CAREFUL_WANTED, MAX_PAGE_BYTES, MAX_PLACE, MAX_WAITING_BYTES
from p2pchat.net.mailbox.stream import (
    CHECK_SECONDS,
    DOUBT_SECONDS,
    LOST_AFTER_SECONDS,
    MAX_PINGS,
    PING_AFTER_SECONDS,
    PROOF_TIMEOUT,
    STALLED_AFTER_SECONDS,
    STUCK_AFTER,
)
from tests.support.boxes import Keys, blob, run
from tests.support.mails import AT_RELAY, HELLO, RELAY, Liar, Scene, lied_to, own, theirs

BOB = Keys("bob")
HONEST = b"\x55" * 16_384
HOURS_A_DAY = 24

Say = Callable[[Liar], Awaitable[None]]


async def silence(liar: Liar) -> None:
    """Read, and say nothing any more."""
    while await liar.stream.read(65_536):
        pass


# --- what ends a stream at once, and is called by its name ------------------------------------------------------------


async def another_key(liar: Liar) -> None:
    await liar.greet(relay=b"\x01" * 32)


async def another_version(liar: Liar) -> None:
    body = mailbox.encode_hello(HELLO)
    await liar.say((mailbox.HELLO, body[:1] + b"\x02" + body[2:]))


async def a_hello_that_is_none(liar: Liar) -> None:
    await liar.say((mailbox.HELLO, b"hello"))


async def no_hello_first(liar: Liar) -> None:
    await liar.say((mailbox.PONG, b""))


async def unpayable_stamps(liar: Liar) -> None:
    await liar.greet(stamp_bits=41)


async def two_hellos(liar: Liar) -> None:
    await liar.greet()
    await liar.greet()


async def a_frame_that_is_too_long(liar: Liar) -> None:
    await liar.greet()
    await liar.stream.write(b"\x7f\xff\xff\xff" + bytes(65_536))


async def a_blob_of_no_size(liar: Liar) -> None:
    await liar.greet()
    await liar.say((mailbox.BLOB, bytes(10 + 4095)))


async def a_frame_of_the_other_side(liar: Liar) -> None:
    await liar.greet()
    await liar.say((mailbox.PUT, bytes(16 + 4096)))


async def a_type_that_is_unknown(liar: Liar) -> None:
    await liar.greet()
    await liar.say((12, b""))


async def a_pong_for_nothing(liar: Liar) -> None:
    await liar.greet()
    await liar.say((mailbox.PONG, b""))


async def pings_without_end(liar: Liar) -> None:
    await liar.greet()
    await liar.say(*[(mailbox.PING, b"")] * (MAX_PINGS + 2))


async def opened_without_open(liar: Liar) -> None:
    await liar.greet()
    await liar.say((mailbox.OPENED, mailbox.encode_opened(8, DONE)))


async def opened_twice(liar: Liar) -> None:
    await liar.greet()
    opens = await liar.hear_opens()
    await liar.say((mailbox.OPENED, mailbox.encode_opened(opens[0].handle, DONE)))


async def a_code_that_is_unknown(liar: Liar) -> None:
    await liar.greet()
    await liar.say((mailbox.OPENED, mailbox.encode_opened(0, 8)))


async def a_result_for_nothing(liar: Liar) -> None:
    await liar.greet()
    await liar.hear_opens()
    await liar.say((mailbox.RESULTS, mailbox.encode_results([(77, DONE)])))


async def an_end_of_nothing(liar: Liar) -> None:
    await liar.greet()
    await liar.hear_opens()
    await liar.end((await liar.hear_fetch()).number + 1)


async def a_blob_before_it_was_asked_for(liar: Liar) -> None:
    await liar.greet()
    await liar.blob(0, 1)
    await silence(liar)


async def a_blob_of_an_unknown_queue(liar: Liar) -> None:
    await liar.greet()
    await liar.following(BOB)
    await liar.blob(8, 1)


async def padding_that_was_not_asked_for(liar: Liar) -> None:
    await liar.greet()
    await liar.following(BOB)
    await liar.blob(mailbox.NO_HANDLE, 0)


async def a_blob_of_a_queue_that_we_made_up(liar: Liar) -> None:
    await liar.greet()
    ours = await liar.following(BOB)
    await liar.blob((ours + 1) % 8, 1)


async def a_place_twice(liar: Liar) -> None:
    await liar.greet()
    ours = await liar.following(BOB)
    await liar.blob(ours, 5)
    await liar.blob(ours, 5)


async def a_place_that_goes_back(liar: Liar) -> None:
    await liar.greet()
    opens = await liar.hear_opens()
    await liar.hear_fetch()
    ours = next(one.handle for one in opens if one.queue == BOB.queue)
    await liar.blob(ours, 5)
    await liar.blob(ours, 4)


async def a_place_before_the_first(liar: Liar) -> None:
    await liar.greet()
    await liar.blob(await liar.following(BOB), 0)


async def a_place_beyond_all(liar: Liar) -> None:
    await liar.greet()
    await liar.blob(await liar.following(BOB), MAX_PLACE + 1)


async def more_of_nothing(liar: Liar) -> None:
    await liar.greet()
    await liar.hear_opens()
    fetch = await liar.hear_fetch()
    await liar.blob(mailbox.NO_HANDLE, 0)
    await liar.end(fetch.number, more=True)


async def padding_without_end(liar: Liar) -> None:
    await liar.greet()
    await liar.hear_opens()
    await liar.hear_fetch()
    for _ in range(MAX_PAGE_BYTES // 65_536 + 1):
        await liar.blob(mailbox.NO_HANDLE, 0, 65_536)


async def pushes_without_end(liar: Liar) -> None:
    await liar.greet()
    ours = await liar.following(BOB)
    for place in range(1, mailbox.MAX_PUSHED + 2):
        await liar.blob(ours, place)


@pytest.mark.parametrize(
    "script",
    [
        another_key,
        another_version,
        a_hello_that_is_none,
        no_hello_first,
        unpayable_stamps,
        two_hellos,
        a_frame_that_is_too_long,
        a_blob_of_no_size,
        a_frame_of_the_other_side,
        a_type_that_is_unknown,
        a_pong_for_nothing,
        pings_without_end,
        opened_without_open,
        opened_twice,
        a_code_that_is_unknown,
        a_result_for_nothing,
        an_end_of_nothing,
        a_blob_before_it_was_asked_for,
        a_blob_of_an_unknown_queue,
        padding_that_was_not_asked_for,
        a_blob_of_a_queue_that_we_made_up,
        a_place_twice,
        a_place_that_goes_back,
        a_place_before_the_first,
        a_place_beyond_all,
        more_of_nothing,
        padding_without_end,
        pushes_without_end,
    ],
)
def test_a_relay_that_does_not_keep_to_the_protocol_is_left(script: Say) -> None:
    """At once, and not for ever: it is tried again, later and later. An honest relay begins where we are."""

    async def lie(liar: Liar) -> None:
        await script(liar)
        await silence(liar)

    async def honest(liar: Liar) -> None:
        await liar.greet()
        await liar.blob(await liar.following(BOB), MAX_PLACE, len(HONEST))
        while True:
            await liar.hear(mailbox.PING)
            await liar.say((mailbox.PONG, b""))

    async def main() -> None:
        async with lied_to(*[lie] * 8, honest) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await wait_all_tasks_blocked()
            assert scene.health == ("refused", "it does not keep to the protocol")
            assert scene.letters.told in (["up", "down"], ["down"])
            assert len(scene.lines.dialled) == 1
            assert scene.lines.streams[0].closed
            came = scene.letters.came
            await scene.letters.until(lambda: any((MAX_PLACE, HONEST) in blobs for blobs in came.values()))
            assert len(scene.lines.dialled) == 9
            assert 2**5 < scene.lines.dialled[-1] < 2**9
            assert scene.health == ("connected", "")

    run(main)


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deposits", [False, True])
def test_no_hello_is_no_answer(deposits: bool) -> None:
    async def main() -> None:
        async with lied_to(silence) as scene:
            if deposits:
                scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
            else:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(DEADLINE - 0.1)
            assert scene.health == ("connecting", "")
            await trio.sleep(0.2)
            assert scene.health == ("unreachable", "the connection was lost")
            assert scene.letters.lost == ([1] if deposits else [])
            assert scene.letters.told == ["down"]

    run(main)


async def health_after(scene: Scene, least: float, most: float) -> None:
    """The relay is given up after so many seconds."""
    await scene.letters.until_told("up")
    began = trio.current_time()
    await scene.letters.until_told("up", "down")
    assert least <= trio.current_time() - began <= most
    assert scene.health == ("unreachable", "the connection was lost")


def test_one_that_is_silent_after_its_hello_is_left() -> None:
    async def main() -> None:
        async def hello_only(liar: Liar) -> None:
            await liar.greet()
            await silence(liar)

        for deposits in (False, True):
            async with lied_to(hello_only) as scene:
                if deposits:
                    scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
                else:
                    scene.boxes.watch(AT_RELAY, [own(BOB)])
                await health_after(scene, LOST_AFTER_SECONDS, LOST_AFTER_SECONDS + CHECK_SECONDS)
                assert scene.letters.lost == ([1] if deposits else [])

    run(main)


def test_a_connection_that_stalls_is_made_anew_and_asked_for_little() -> None:
    async def opens_and_is_silent(liar: Liar) -> None:
        await liar.greet()
        await liar.hear_opens()
        await silence(liar)

    async def main() -> None:
        async with lied_to(opens_and_is_silent) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await scene.letters.until_told("up")
            scene.lines.streams[0].frozen = True
            await trio.sleep(2 * STALLED_AFTER_SECONDS + PROOF_TIMEOUT + 1)
            assert len(scene.lines.streams) == 2
            wanted = [mailbox.decode_fetch(line.of(mailbox.FETCH)[0].body).want for line in scene.lines.streams]
            assert wanted == [mailbox.MAX_WANTED, CAREFUL_WANTED]
            await trio.sleep(10)  # a relay that is only slow keeps its connection
            assert len(scene.lines.streams) == 2

    run(main)


def test_one_that_answers_no_ping_is_left() -> None:
    async def quiet(liar: Liar) -> None:
        await liar.greet()
        await liar.following(BOB)
        await silence(liar)

    async def main() -> None:
        async with lied_to(quiet) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await health_after(
                scene,
                PING_AFTER_SECONDS + LOST_AFTER_SECONDS,
                PING_AFTER_SECONDS + LOST_AFTER_SECONDS + 2 * CHECK_SECONDS,
            )
            assert scene.lines.disconnected == 1
        async with lied_to(quiet) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(20)
            scene.boxes.network_changed(hidden=True)
            await trio.sleep(20)
            assert scene.health[0] == "connected"
            scene.boxes.network_changed(hidden=False)
            await health_after(scene, DOUBT_SECONDS, DOUBT_SECONDS + CHECK_SECONDS)

    run(main)


def test_one_that_pings_and_answers_nothing_is_left() -> None:
    async def babble(liar: Liar) -> None:
        await liar.greet()
        while True:
            await trio.sleep(10)
            await liar.say((mailbox.PING, b""))

    async def main() -> None:
        async with lied_to(babble) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
            await health_after(scene, STUCK_AFTER, STUCK_AFTER + CHECK_SECONDS)
            assert scene.letters.lost == [1]

    run(main)


def test_pings_are_answered() -> None:
    async def main() -> None:
        async def pinging(liar: Liar) -> None:
            await liar.greet()
            await liar.following(BOB)
            for _ in range(500):
                await trio.sleep(30)
                await liar.say((mailbox.PING, b""))
                await liar.hear(mailbox.PONG)
            done.set()
            await silence(liar)

        done = trio.Event()
        async with lied_to(pinging) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await done.wait()
            assert scene.letters.told == ["up"]

    run(main)


def test_one_that_takes_nothing_is_left() -> None:
    """It never reads, so what we write has nowhere to go."""

    async def deaf(liar: Liar) -> None:
        await liar.greet()
        await trio.sleep_forever()

    async def main() -> None:
        async with lied_to(deaf, room=4096) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob(number)) for number in range(100)])
            await health_after(scene, 1, LOST_AFTER_SECONDS + CHECK_SECONDS)
            assert scene.letters.lost == list(range(100))

    run(main)


# --- what it may do, and what we make of it ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", [mailbox.NOT_ALLOWED, mailbox.TOO_FAST, mailbox.RELAY_FULL])
@pytest.mark.parametrize("at", ["open", "fetch"])
def test_one_that_does_not_let_us_collect_is_asked_again_later(at: str, code: int) -> None:
    async def refuse(liar: Liar) -> None:
        await liar.greet()
        if at == "open":
            await liar.say((mailbox.OPENED, mailbox.encode_opened(0, code)))
        else:
            await liar.hear_opens()
            await liar.end((await liar.hear_fetch()).number, code)
        await silence(liar)

    async def main() -> None:
        async with lied_to(refuse) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await scene.letters.until_told("up", "down")
            assert scene.health == ("refused", "it does not let us collect")
            await trio.sleep(60)
            assert 3 < len(scene.lines.dialled) < 10

    run(main)


def test_stamps_that_cost_too_much_are_not_made() -> None:
    async def dear(liar: Liar) -> None:
        await liar.greet(stamp_bits=MAX_STAMP_BITS + 1)
        await liar.hear_opens()
        put = mailbox.decode_put(await liar.hear(mailbox.PUT))
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(put.number, DONE)])))
        await silence(liar)

    async def main() -> None:
        async with lied_to(dear) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(Keys("invited", STAMPED)), HOURS_A_DAY, [(1, blob(1)), (2, blob(2))])
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(3, blob(3))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 3)
            assert scene.letters.codes == {1: mailbox.BAD_STAMP, 2: mailbox.BAD_STAMP, 3: DONE}

    run(main)


def test_answers_before_a_lie_count_and_the_rest_is_given_back() -> None:
    async def half(liar: Liar) -> None:
        await liar.greet()
        puts = [mailbox.decode_put(await liar.hear(mailbox.PUT)).number for _ in range(10)]
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(number, DONE) for number in puts[:5]])))
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(puts[0], DONE)])))  # a second time
        await silence(liar)

    async def main() -> None:
        async with lied_to(half) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob(number)) for number in range(10)])
            await scene.letters.until_told("up", "down")
            assert scene.letters.codes == dict.fromkeys(range(5), DONE)
            await scene.letters.until(lambda: scene.letters.lost == list(range(5, 10)))
            assert scene.health == ("refused", "it does not keep to the protocol")

    run(main)


def test_nothing_comes_of_an_eight_before_its_turn() -> None:
    async def early(liar: Liar) -> None:
        await liar.greet()
        opens = await liar.hear_opens(16)
        await liar.hear_fetch()
        second = await liar.hear_fetch()
        real = {keys.queue for keys in every}
        handles = [one.handle for one in opens if one.queue in real and (one.handle, 0) in second.queues]
        await liar.blob(handles[0], 1)
        await silence(liar)

    async def main() -> None:
        async with lied_to(early) as scene:
            scene.boxes.watch(AT_RELAY, [own(keys) for keys in every])
            await wait_all_tasks_blocked()
            assert scene.health == ("refused", "it does not keep to the protocol")
            assert scene.letters.came == {}

    every = [Keys(f"friend {number}") for number in range(16)]
    run(main)


def test_no_more_is_under_way_than_it_answers() -> None:
    """It answers nothing: so many bytes of deposits go out."""

    async def main() -> None:
        heard: list[int] = []

        async def mute(liar: Liar) -> None:
            await liar.greet()
            while True:
                heard.append(len(await liar.hear(mailbox.PUT)))

        for size in (4096, 65_536):
            heard.clear()
            async with lied_to(mute) as scene:
                blobs = [(number, blob(number, size)) for number in range(400)]
                scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, blobs)
                await trio.sleep(10)
                assert len(heard) == MAX_UNANSWERED // size

    run(main)


def test_one_that_gets_on_slowly_is_kept() -> None:
    """An answer now and then, which is less than all that are waited for: longer in all than any patience."""

    async def slow(liar: Liar) -> None:
        await liar.greet()
        await liar.hear_opens()
        numbers = [mailbox.decode_put(await liar.hear(mailbox.PUT)).number for _ in range(10)]
        for number in numbers:
            for _ in range(6):
                await trio.sleep(15)
                await liar.say((mailbox.PING, b""))
            await liar.say((mailbox.RESULTS, mailbox.encode_results([(number, DONE)])))
        while True:
            await liar.hear(mailbox.PING)
            await trio.sleep(0.25)
            await liar.say((mailbox.PONG, b""))

    async def main() -> None:
        async with lied_to(slow) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob(number)) for number in range(10)])
            await trio.sleep(1)
            assert scene.boxes.relay_health()[RelayName(RELAY)].answer_ms == 0, "as the first queue was opened"
            await scene.letters.until(lambda: len(scene.letters.codes) == 10)
            assert scene.letters.told == ["up"]
            await trio.sleep(IDLE_SECONDS - 1)  # the last answer counts, not the last call
            assert scene.health == ("connected", "")
            assert scene.boxes.relay_health()[RelayName(RELAY)].answer_ms == 250, "of the last ping"
            await trio.sleep(2)
            assert scene.boxes.relay_health() == {}

    run(main)


def test_one_delete_a_queue_is_under_way_and_one_that_failed_is_made_again() -> None:
    heard: list[int] = []

    async def first(liar: Liar) -> None:
        await liar.greet()
        ours = await liar.following(BOB)
        for place in (1, 2, 3):
            await liar.blob(ours, place)
        number, _, upto = mailbox.decode_delete(await liar.hear(mailbox.DELETE))
        heard.append(upto)
        await trio.sleep(10)
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(number, DONE)])))
        number, _, upto = mailbox.decode_delete(await liar.hear(mailbox.DELETE))
        heard.append(upto)
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(number, mailbox.RELAY_FULL)])))
        with trio.move_on_after(10):
            heard.append(mailbox.decode_delete(await liar.hear(mailbox.DELETE)).upto)

    async def second(liar: Liar) -> None:
        await liar.greet()
        heard.append(-mailbox.decode_delete(await liar.hear(mailbox.DELETE)).upto)
        done.set()
        await silence(liar)

    async def main() -> None:
        async with lied_to(first, second) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await scene.letters.until(lambda: len(scene.letters.came.get(BOB.queue.id, ())) == 3)
            for place in (1, 2, 3):
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, place)
                await trio.sleep(1)
            await done.wait()
            assert heard == [1, 3, -3]

    done = trio.Event()
    run(main)


def test_while_we_do_not_read_silence_is_ours() -> None:
    """It pushes more than there is room for; it is read again when there is, and has not gone in between."""
    sent = 0

    async def push(liar: Liar) -> None:
        nonlocal sent
        await liar.greet()
        ours = await liar.following(BOB)
        following.set()
        await liar.hear_opens()
        put = mailbox.decode_put(await liar.hear(mailbox.PUT))
        for place in range(1, MAX_WAITING_BYTES // 65_536 + 3):  # the last ones are on the way, and stay there
            await liar.blob(ours, place, 65_536)
            sent += 65_536
        await held.wait()
        await trio.sleep(LOST_AFTER_SECONDS - CHECK_SECONDS)
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(put.number, DONE)])))
        await silence(liar)

    async def main() -> None:
        async with lied_to(push) as scene:
            scene.letters.held = held
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await following.wait()
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
            await trio.sleep(2 * STUCK_AFTER)
            assert sent > MAX_WAITING_BYTES
            assert scene.letters.codes == {}
            assert scene.letters.told == ["up"]
            held.set()
            await scene.letters.until(lambda: scene.letters.codes == {1: DONE})
            await scene.letters.until(lambda: len(scene.letters.came[BOB.queue.id]) == MAX_WAITING_BYTES // 65_536 + 2)
            assert scene.letters.told == ["up"]

    following, held = trio.Event(), trio.Event()
    run(main)


def test_what_was_under_way_goes_out_again_on_the_next_stream_of_our_own_wish() -> None:
    """A queue that is watched no more sends something: a new stream begins, and nobody is told."""

    async def first(liar: Liar) -> None:
        await liar.greet()
        ours = await liar.following(BOB)
        following.set()
        await liar.hear(mailbox.PUT)
        await liar.blob(ours, 1)
        await silence(liar)

    async def second(liar: Liar) -> None:
        await liar.greet()
        put = mailbox.decode_put(await liar.hear(mailbox.PUT))
        await liar.say((mailbox.RESULTS, mailbox.encode_results([(put.number, DONE)])))
        await silence(liar)

    async def main() -> None:
        async with lied_to(first, second) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB), own(Keys("carol"))])
            await following.wait()
            scene.boxes.watch(AT_RELAY, [own(Keys("carol"))])
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
            await scene.letters.until(lambda: scene.letters.codes == {1: DONE})
            assert scene.letters.told == ["up"]
            assert scene.letters.came == {}

    following = trio.Event()
    run(main)


def test_a_relay_that_invents_without_end_is_read_as_fast_as_we_work() -> None:
    """Page after page of inventions: no more is held than there is room for, and its end is told."""
    sent = 0

    async def invent(liar: Liar) -> None:
        nonlocal sent
        await liar.greet()
        opens = await liar.hear_opens()
        ours = next(one.handle for one in opens if one.queue == BOB.queue)
        place = 0
        while True:
            fetch = await liar.hear_fetch()
            for _ in range(MAX_PAGE_BYTES // 65_536):
                place, sent = place + 1, sent + 65_536
                await liar.blob(ours, place, 65_536)
            await liar.end(fetch.number, more=True)

    async def main() -> None:
        async with lied_to(invent) as scene:
            held = scene.letters.held = trio.Event()
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(10)
            assert len(scene.letters.batches) == 1
            assert 2 * MAX_PAGE_BYTES <= sent <= 5 * MAX_PAGE_BYTES
            held.set()
            await scene.letters.until(lambda: len(scene.letters.came[BOB.queue.id]) > 1000)

    run(main)
