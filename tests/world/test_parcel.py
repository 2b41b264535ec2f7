"""Messages in a file: everything of the story happens without any network between the two."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
import trio

from p2pchat.core import parcel
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.ids import first_device
from p2pchat.engine.delivery import outbound
from p2pchat.engine.methods import parcel as methods
from p2pchat.engine.receiving import inbound
from p2pchat.engine.receiving.inbound import Taken
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError, UsageError
from p2pchat.store import outbox as store_outbox
from tests.support.world import World, WorldNode, befriend, run_world


async def apart(world: World, *names: str) -> list[WorldNode]:
    """People who know the first of them, and whom nothing connects any more."""
    nodes = [await world.start(name) for name in names]
    for node in nodes[1:]:
        await befriend(nodes[0], node)
    await trio.sleep(120)
    for node in nodes:
        node.host.walled = True
        for stream in list(node.host.streams):
            stream.end()
    await trio.sleep(5)
    return nodes


async def states(node: WorldNode, chat: str) -> list[str]:
    return [row["state"] for row in await node.call("log", chat=chat) if row["from"] == "me"]


def test_messages_go_in_a_file_and_their_receipts_come_back_in_one(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await apart(world, "alice", "bob", "carol")
        there, back, first, again = (str(tmp_path / name) for name in ("there", "back", "first", "again"))
        with pytest.raises(P2PChatError, match="Nothing waits"):
            await carol.call("parcel_out", file=first)
        for number in range(70):  # more than one transaction takes
            await alice.call("send", chat="bob", text=f"{number} " + "x" * (5000 if number % 10 == 0 else 0))
        await alice.call("send", chat="carol", text="not for bob")
        out = await alice.call("parcel_out", file=there)
        assert (out["messages"], out["contacts"], out["more"]) == (71, 2, False)
        assert set(await states(alice, "bob")) == {"saved"}, "what is in a parcel is not sent"

        (came,) = (await bob.call("parcel_in", file=there))["from"]
        assert (came["name"], came["messages"], came["unreadable"]) == ("alice", 70, 0)
        assert [text.split()[0] for text in await bob.texts("alice")] == [str(number) for number in range(70)]
        assert {row["route"] for row in await bob.call("log", chat="alice", limit=5)} == {"parcel"}
        (twice,) = (await bob.call("parcel_in", file=there))["from"]
        assert (twice["messages"], twice["other"], twice["known"]) == (0, 0, came["messages"] + came["other"])
        assert len(await bob.texts("alice")) == 70

        await bob.call("send", chat="alice", text="all here")
        await bob.call("parcel_out", file=back, to=["alice"])
        (came,) = (await alice.call("parcel_in", file=back))["from"]
        assert (came["messages"], came["other"] >= 2) == (1, True)
        assert set(await states(alice, "bob")) == {"delivered"}
        out = await alice.call("parcel_out", file=again)
        assert out["messages"] == 1, "what was receipted goes no more"
        with pytest.raises(UsageError, match="exists"):
            await alice.call("parcel_out", file=again)

    run_world(tmp_path, main)


def test_what_a_parcel_looks_like_says_nothing_about_whose_it_is(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await apart(world, "alice", "bob")
        sizes = []
        for name, texts in (("one", 1), ("two", 1), ("more", 2)):
            for _ in range(texts):
                await alice.call("send", chat="bob", text="hi")
            await alice.call("parcel_out", file=str(tmp_path / name))
            sizes.append((tmp_path / name).stat().st_size)
        assert len(set(sizes)) == 1
        first, second = ((tmp_path / name).read_bytes() for name in ("one", "two"))
        header = parcel.read_header(first[: parcel.HEADER_BYTES])
        tags = [{raw[at : at + parcel.TAG] for at, _ in header.entries()} for raw in (first, second)]
        assert header.counts == (parcel.MIN_SMALL, 0, 0)
        assert not tags[0] & tags[1], "the same message has another tag in another parcel"
        for raw in (first, second):
            for secret in (b"alice", b"bob", alice.host.peer, alice.engine.me.identity, bob.engine.me.identity):
                assert secret not in raw
        assert (tmp_path / "one").stat().st_mode & 0o077 == 0

    run_world(tmp_path, main)


def test_what_is_no_parcel_or_not_for_us_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await apart(world, "alice", "bob", "carol")
        await alice.call("send", chat="bob", text="hi")
        good = tmp_path / "good"
        await alice.call("parcel_out", file=str(good))
        raw = good.read_bytes()
        assert (await carol.call("parcel_in", file=str(good)))["from"] == []

        before = await bob.engine.committer.read(lambda db: db.query("SELECT * FROM sessions"))
        size = parcel.TAG + BUCKETS[0]
        huge = raw[: parcel.HEADER_BYTES - 2] + b"\x80\x00" + raw[parcel.HEADER_BYTES :]
        odd = raw[: parcel.HEADER_BYTES - 6] + b"\0\5" + raw[parcel.HEADER_BYTES - 4 :] + raw[-size:]
        for bad in (b"", b"p2pchat", raw[:-1], raw + b"\0", b"P" + raw[1:], huge, odd, raw[: parcel.HEADER_BYTES]):
            (tmp_path / "bad").write_bytes(bad)
            with pytest.raises(P2PChatError, match=r"not (a parcel|complete)"):
                await bob.call("parcel_in", file=str(tmp_path / "bad"))
        for wrong in (tmp_path, Path("/dev/zero"), tmp_path / "none"):
            with pytest.raises(P2PChatError):
                await bob.call("parcel_in", file=str(wrong))
        with pytest.raises(UsageError, match="absolute"):
            await bob.call("parcel_in", file="parcel")

        # every envelope exchanged: the tag is found, and nothing opens
        header = parcel.read_header(raw[: parcel.HEADER_BYTES])
        damaged = bytearray(raw)
        for at, length in header.entries():
            damaged[at + parcel.TAG : at + parcel.TAG + length] = bytes(length)
        (tmp_path / "damaged").write_bytes(damaged)
        (came,) = (await bob.call("parcel_in", file=str(tmp_path / "damaged")))["from"]
        assert (came["messages"], came["other"]) == (0, 0)
        assert came["unreadable"] > 0
        assert await bob.engine.committer.read(lambda db: db.query("SELECT * FROM sessions")) == before
        (came,) = (await bob.call("parcel_in", file=str(good)))["from"]
        assert (came["messages"], await bob.texts("alice")) == (1, ["hi"])

    run_world(tmp_path, main)


def test_a_pipe_in_place_of_a_parcel_is_not_waited_for(tmp_path: Path) -> None:
    pipe, refused, waited = tmp_path / "pipe", threading.Event(), []
    os.mkfifo(pipe)

    def write_if_waited_for() -> None:
        if not refused.wait(10):
            waited.append(pipe)
            os.close(os.open(pipe, os.O_WRONLY))

    writer = threading.Thread(target=write_if_waited_for)
    writer.start()
    with pytest.raises(methods.NoParcel, match="not a file"):
        methods._open(pipe)
    refused.set()
    writer.join()
    assert waited == []


@pytest.mark.parametrize(
    ("takes", "ends"),
    [
        ((Taken.NO_ROOM,), {"left": 4, "unreadable": 0}),
        ((Taken.UNREADABLE,), {"left": 0, "unreadable": 4}),
        ((Taken.LATER,), {"left": 4, "unreadable": 0}),
        # put off by fewer transactions than `MAX_TRIES`, then by as many: the first is taken, three are left
        ((Taken.LATER, Taken.LATER, Taken.UNREADABLE, Taken.LATER), {"left": 3, "unreadable": 1}),
        # each may be put off so often, not all together
        ((Taken.LATER, Taken.LATER, Taken.UNREADABLE) * 3 + (Taken.LATER,), {"left": 1, "unreadable": 3}),
    ],
)
def test_what_is_left_of_a_parcel_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: tuple[Taken, ...], ends: dict[str, int]
) -> None:
    """takes: what becomes of each try, the last one for ever."""

    def tries() -> Iterator[Taken]:
        yield from takes
        yield from repeat(takes[-1])

    async def main(world: World) -> None:
        alice, bob = await apart(world, "alice", "bob")
        file = str(tmp_path / "parcel")
        for text in "abcd":
            await alice.call("send", chat="bob", text=text)
        assert (await alice.call("parcel_out", file=file))["envelopes"] == 4
        outcomes = tries()
        monkeypatch.setattr(inbound, "mailed", lambda *_: next(outcomes))
        monkeypatch.setattr(methods, "MAX_TRIES", 3)
        (came,) = (await bob.call("parcel_in", file=file))["from"]
        assert came == {**came, **ends, "messages": 0, "other": 0, "known": 0}

    run_world(tmp_path, main)


def test_a_parcel_is_never_larger_than_one_that_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    padding = parcel.MIN_SMALL * (parcel.TAG + BUCKETS[0])
    assert parcel.HEADER_BYTES + 2 * methods.MAX_CONTENT_BYTES + padding <= parcel.MAX_BYTES  # each count is doubled

    async def main(world: World) -> None:
        (alice, *_) = await apart(world, "alice", "bob", "carol")
        entry = parcel.TAG + BUCKETS[0]
        for chat in ("bob", "carol"):
            await alice.call("send", chat=chat, text="hi")
        for room, contacts, more in ((2 * entry, 2, False), (2 * entry - 1, 1, True)):
            monkeypatch.setattr(methods, "MAX_CONTENT_BYTES", room)
            out = await alice.call("parcel_out", file=str(tmp_path / f"{room}"))
            assert (out["contacts"], out["envelopes"], out["more"]) == (contacts, contacts, more)
            assert out["bytes"] == (tmp_path / f"{room}").stat().st_size

    run_world(tmp_path, main)


def test_what_may_be_kept_no_longer_or_is_to_be_sealed_again_is_in_no_parcel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob = await apart(world, "alice", "bob")
        for text in ("over", "over now", "stays a little", "sealed again"):
            await alice.call("send", chat="bob", text=text)
        device = first_device(await alice.id_of("bob"))

        def change(tx: Transaction) -> list[int]:
            rows = store_outbox.for_recipient(tx.db, device, 10, 0)
            for row, left in zip(rows[:3], (-1, 0, 60_000), strict=True):
                store_outbox.update(tx.db, row.pk, keep_until=tx.now + left)
            return [row.pk for row in rows]

        pks = await alice.engine.committer.submit(change)
        out = await alice.call("parcel_out", file=str(tmp_path / "two"))
        assert (out["envelopes"], out["messages"]) == (2, 2)
        await bob.call("parcel_in", file=str(tmp_path / "two"))
        assert await bob.texts("alice") == ["stays a little", "sealed again"]
        monkeypatch.setattr(outbound, "old_to", lambda *_: pks[2])
        out = await alice.call("parcel_out", file=str(tmp_path / "one"))
        assert (out["envelopes"], out["messages"]) == (1, 1)

    run_world(tmp_path, main)
