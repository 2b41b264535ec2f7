"""Messages in a file: everything of the story happens without any network between the two."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core import parcel
from p2pchat.core.envelope import BUCKETS
from p2pchat.errors import P2PChatError, UsageError
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
