"""Presence records at a relay: who signs one may put it, the newest counts, and nobody learns more than that."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import trio

from p2pchat.core import ipns, mailbox, presence, record_frames
from p2pchat.core.frames import Frame
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.mailbox import DONE, MALFORMED, NOT_ALLOWED, RELAY_FULL, TO_PUT, TOO_FAST
from p2pchat.core.record_frames import RecordGet, RecordPut
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.relay import records
from p2pchat.relay.mailbox import SWEEP_SECONDS
from p2pchat.relay.store import BYTES_A_RECORD, Quota
from tests.core.people import flipped
from tests.support.boxes import LIMITS, NOW, MailClient, blob, opened, relay, run

END = NOW + DAY_MS


def record(name: int, number: int = 1, end: int = END, sealed: bytes = b"") -> IpnsRecord:
    seed = name.to_bytes(32, "big")
    return ipns.make(seed, number, end, sealed or bytes(1024))


async def put(client: MailClient, what: IpnsRecord, public: bytes | None = None, raw: bytes | None = None) -> int:
    """The code for a record, under its own key or another."""
    body = record_frames.encode_put(RecordPut(77, public or what.public, raw or what.raw))
    await client.send(Frame(mailbox.PUT_RECORD, body))
    return (await client.results([77]))[0]


async def get(client: MailClient, what: IpnsRecord) -> bytes:
    await client.send(Frame(mailbox.GET_RECORD, record_frames.encode_get(RecordGet(78, what.public))))
    answer = await client.answer(mailbox.RECORD)
    assert len(answer.body) == record_frames.ANSWER_BYTES, "whether there is one or not"
    number, found = record_frames.decode_answer(answer.body)
    assert number == 78
    return found


def test_the_newest_record_is_kept_over_a_restart_and_given_to_whoever_asks(tmp_path: Path) -> None:
    async def main() -> None:
        first, second, third = record(1), record(1, 2), record(1, 2, END + HOUR_MS)
        async with relay(tmp_path) as at:
            client = await at.client()
            assert await get(client, first) == b""
            assert [await put(client, one) for one in (first, second, third, third)] == [DONE] * 4
            assert await get(await at.client(), first) == third.raw
        async with relay(tmp_path) as at:
            client = await at.client()
            assert [await put(client, one) for one in (first, second)] == [NOT_ALLOWED] * 2
            assert await get(client, first) == third.raw
            assert (at.store.records, at.store.blobs) == (1, 1)
            assert await get(client, record(2)) == b""

    run(main)


def test_what_is_not_a_valid_record_of_this_key_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            client = await at.client()
            good = record(1)
            assert await put(client, good) == DONE
            for bad, public, raw in (
                (record(2), good.public, None),
                (record(1, 9), None, flipped(record(1, 9).raw, 9)),
                (record(1, 9, NOW), None, None),
                (record(1, 9, NOW + records.MAX_AHEAD_MS + DAY_MS), None, None),
                (record(1, 9), None, b"no record at all"),
            ):
                assert await put(client, bad, public, raw) == MALFORMED
            assert await get(client, good) == good.raw
            assert at.mailbox.counts.refused["malformed"] == 5
            assert (at.mailbox.counts.records_kept, at.mailbox.counts.records_asked) == (1, 1)

    run(main)


def test_a_record_is_gone_when_it_has_ended_and_never_counts_as_an_envelope(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            client = await opened(at, TO_PUT)
            assert await client.put(0, blob(1), hours=300) == [DONE]
            assert await put(client, record(1)) == DONE
            assert (at.store.records, at.store.blobs, at.mailbox.counts.deposits) == (1, 2, 1)
            at.clock[0] = END + HOUR_MS
            await trio.sleep(2 * SWEEP_SECONDS)
            assert await get(client, record(1)) == b""
            assert (at.store.records, at.store.blobs) == (0, 1)

    run(main)


def test_records_have_a_budget_for_each_stream_each_place_and_in_all(tmp_path: Path) -> None:
    async def main() -> None:
        with (
            mock.patch.object(records, "PUTS_A_STREAM", 3),
            mock.patch.object(records, "PLACE_BURST", 5),
        ):
            async with relay(tmp_path, LIMITS, Quota(total_bytes=4 * BYTES_A_RECORD, least_free=0)) as at:
                one, other = await at.client(), await at.client()
                assert [await put(one, record(name)) for name in range(4)] == [DONE, DONE, DONE, TOO_FAST]
                codes = [await put(other, record(name)) for name in (4, 5, 6)]
                assert codes == [DONE, RELAY_FULL, TOO_FAST], "the store holds four, a place may send five at once"
                await trio.sleep(2 / records.PLACE_RATE)
                assert await put(await at.client(), record(0, 2)) == DONE, "one that is there may be replaced"
                assert at.store.records == 4

    run(main)


def test_a_presence_record_fits() -> None:
    slot = presence.slot(bytes(32), 20_000)
    assert len(presence.decoy(slot, 40_000, bytes).raw) <= record_frames.MAX_RECORD_BYTES
