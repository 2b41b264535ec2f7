"""Messages that disappear: when, with what, and that nothing of them is left in any file or at any relay."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import trio

from p2pchat.core.contents import Text
from p2pchat.core.contents.timer import MAX_TIMER_SECONDS
from p2pchat.core.ids import MessageId, SessionId
from p2pchat.engine.contents import ending
from p2pchat.engine.engine import Engine
from p2pchat.errors import UsageError
from p2pchat.store import deposits as store_deposits
from p2pchat.store import outbox as store_outbox
from p2pchat.store import sessions as store_sessions
from p2pchat.store import timers as store_timers
from p2pchat.store.database import Database, connect
from tests.support.asking import events_of
from tests.support.databases import KEY
from tests.support.mail_worlds import apart
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_conversation import Author, last, log, settled, take
from tests.world.test_delivery import friends, nothing_owed
from tests.world.test_seizure import pages

MARKER = "xylophone"
HOUR = 3600


async def texts(node: WorldNode, chat: str) -> list[str]:
    return [one["text"] for one in await log(node, chat) if one["kind"] == "text"]


async def agreed(world: World, seconds: int) -> tuple[WorldNode, WorldNode]:
    """Two whose messages disappear."""
    alice, bob = await friends(world)
    await alice.call("timer", chat="bob", seconds=seconds)
    await settled(alice, bob)
    return alice, bob


async def read_by(node: WorldNode, chat: str, text: str) -> None:
    """A person reads a chat, once a text is there."""

    async def there() -> bool:
        return text in await texts(node, chat)

    await until(there)
    await node.call("read", chat=chat)


def left_in(*nodes: WorldNode) -> list[str]:
    """The names of those in whose database, every page of it, a word of the marked ones is left."""
    return [node.name for node in nodes if MARKER.encode() in pages(node.folder / "p2pchat.db")]


async def all_ended(*nodes: WorldNode) -> bool:
    return [await node.engine.committer.read(store_timers.next_end) for node in nodes] == [None] * len(nodes)


def test_a_timer_is_agreed_shown_and_ended(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await agreed(world, 60)
        for node, chat, by in ((alice, "bob", "me"), (bob, "alice", "alice")):
            line = await last(node, chat)
            assert (line["kind"], line["text"]) == ("timer", "Messages disappear 1 minute after they are read.")
            assert line["from"] == by
            found = await node.call("timer", chat=chat)
            assert (found["timer"], found["by"]) == (60, by)
            (listed,) = await node.call("chats")
            assert (listed["timer"], listed["unread"]) == (60, 1 if node is bob else 0)
        await bob.call("read", chat="alice")
        await bob.call("send", chat="alice", text="short")
        await settled(bob)
        assert (await last(bob, "alice"))["expires_at"] is not None
        assert ((await last(alice, "bob"))["expires_in"], (await last(alice, "bob"))["expires_at"]) == (60, None)
        await bob.call("timer", chat="alice", seconds=0)
        await settled(bob)
        assert (await alice.call("chats"))[0]["timer"] is None
        await alice.call("send", chat="bob", text="stays")
        await settled(alice, bob)
        await read_by(bob, "alice", "stays")
        await read_by(alice, "bob", "short")
        await trio.sleep(70)
        await bob.call("timer", chat="alice", seconds=0)  # it is off already: no further line below
        await settled(bob)
        for node, chat in ((alice, "bob"), (bob, "alice")):
            assert await texts(node, chat) == ["begin", "stays"]
            assert [one["kind"] for one in await log(node, chat)] == ["text", "timer", "timer", "text"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("seconds", [1, 4, -1, MAX_TIMER_SECONDS + 1])
def test_a_timer_has_bounds(tmp_path: Path, seconds: int) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        with pytest.raises(UsageError):
            await alice.call("timer", chat="bob", seconds=seconds)

    run_world(tmp_path, main)


def test_it_counts_from_sending_here_and_from_reading_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await agreed(world, 600)
        await alice.call("send", chat="bob", text="hello")
        await settled(alice)
        await trio.sleep(590)
        assert await texts(alice, "bob") == ["begin", "hello"]
        await trio.sleep(12)
        assert await texts(alice, "bob") == ["begin"]
        assert await texts(bob, "alice") == ["begin", "hello"]
        await bob.call("read", chat="alice")
        await trio.sleep(590)
        assert await texts(bob, "alice") == ["begin", "hello"]
        await trio.sleep(12)
        assert await texts(bob, "alice") == ["begin"]
        gone = [one for one in bob.heard if one["event"] == "state" and one["state"] == "deleted"]
        assert len(gone) == 1
        await alice.call("send", chat="bob", text="next")
        await settled(alice)
        assert (await last(bob, "alice"))["text"] == "next"  # and nothing counts as missing

    run_world(tmp_path, main)


@pytest.mark.parametrize("by_relay", [False, True])
def test_nothing_of_it_is_left_a_minute_after_its_end(tmp_path: Path, by_relay: bool) -> None:
    """Text, versions, reply and quote, reactions, draft, index: in no page of either database, and at no relay."""

    async def main(world: World) -> None:
        relays: list[MailRelay] = []
        if by_relay:
            alice, bob, relays = await apart(world)
            await alice.call("timer", chat="bob", seconds=2 * HOUR)
            await until(lambda: nothing_owed(alice))
        else:
            alice, bob = await agreed(world, 2 * HOUR)
        sent = await alice.call("send", chat="bob", text=f"{MARKER} one")
        await alice.call("edit", id=sent["id"], text=f"{MARKER} two")
        await read_by(bob, "alice", f"{MARKER} two")
        await bob.call("reply", id=sent["id"], text=f"{MARKER} three")
        await bob.call("react", id=sent["id"], emoji="👍")
        await bob.call("pin", id=sent["id"])
        await bob.call("draft", chat="alice", text=f"{MARKER} four")
        await read_by(alice, "bob", f"{MARKER} three")
        quote = (await last(alice, "bob"))["quote"]
        assert (quote["text"], quote["expires_in"]) == (f"{MARKER} two", 2 * HOUR)
        for node in (alice, bob):  # it is looked up, and stands nowhere else
            assert await node.engine.committer.read(_quotes) == [""]
        for node in (alice, bob):
            await node.engine.committer.read(Database.checkpoint)
        assert left_in(alice, bob) == ["alice", "bob"]
        await trio.sleep(2 * HOUR + 60)
        assert left_in(alice, bob) == []
        assert await all_ended(alice, bob)
        assert [relay.blobs() for relay in relays] == [[] for _ in relays]
        for node, chat in ((alice, "bob"), (bob, "alice")):
            assert not [one for one in await texts(node, chat) if MARKER in one]
            assert await node.call("log", chat=chat, search=MARKER) == []
            assert (await node.call("chats"))[0]["draft"] == ""
            assert await node.engine.committer.read(_rows_about_messages) == 0

    run_world(tmp_path, main)


def test_a_draft_that_was_there_before_the_timer_ends_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("draft", chat="alice", text=f"{MARKER} begun")
        for seconds in (600, 60, 0):
            await alice.call("timer", chat="bob", seconds=seconds)
            await settled(alice, bob)
            assert (await bob.call("chats"))[0]["draft"] == f"{MARKER} begun"
        await bob.crash()
        bob = await world.start("bob")
        await trio.sleep(61)
        assert (await bob.call("chats"))[0]["draft"] == ""
        assert [one["draft"] for one in events_of(bob, "chat") if "draft" in one] == [""]
        await trio.sleep(60)
        assert left_in(bob) == []

    run_world(tmp_path, main)


def _quotes(db: Database) -> list[str]:
    return [quote for (quote,) in db.query("SELECT quote FROM messages WHERE reply_to IS NOT NULL")]


def test_a_quote_that_came_before_its_message_is_gone_once_that_is_here(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        said = author.say(Text(MARKER), expire_s=60)
        await take(alice, "bob", author.say(Text("yes", MARKER), reply_to=said.message_id))
        assert await alice.engine.committer.read(_quotes) == [MARKER]
        await take(alice, "bob", said)
        assert await alice.engine.committer.read(_quotes) == [""]
        assert (await last(alice, "bob"))["quote"]["expires_in"] == 60
        await alice.call("read", chat="bob")
        await trio.sleep(70)
        assert await alice.engine.committer.read(_quotes) == [""]
        assert left_in(alice) == []

    run_world(tmp_path, main)


def test_no_quote_of_what_is_not_here_is_kept_where_messages_disappear(tmp_path: Path) -> None:
    """Only another program sends one: nobody could tell when it ends, and an export would keep it."""

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        author = Author(world)
        here, absent = author.say(Text("here")), author.say(Text(MARKER), expire_s=60)
        await take(alice, "bob", author.say(Text("early", "here"), reply_to=here.message_id), here)
        await take(alice, "bob", author.say(Text("yes", MARKER), reply_to=absent.message_id))
        assert await alice.engine.committer.read(_quotes) == ["here", MARKER]
        await alice.call("timer", chat="bob", seconds=60)
        assert await alice.engine.committer.read(_quotes) == ["here", ""]
        await alice.call("timer", chat="bob", seconds=0)
        await take(alice, "bob", author.say(Text("well", MARKER), reply_to=absent.message_id))
        assert (await last(alice, "bob"))["quote"]["text"] == ""
        await trio.sleep(60)
        assert left_in(alice) == []

    run_world(tmp_path, main)


def _rows_about_messages(db: Database) -> int:
    counts = [db.query(f"SELECT count(*) FROM {table}")[0][0] for table in ("versions", "reactions", "pins", "waiting")]
    return sum(counts)


def test_what_was_not_delivered_by_its_end_is_not_sent_any_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await agreed(world, 60)
        await bob.stop()
        sent = await alice.call("send", chat="bob", text=MARKER)
        await alice.call("edit", id=sent["id"], text=f"{MARKER} again")
        await trio.sleep(70)
        assert await nothing_owed(alice)
        assert left_in(alice) == []
        bob = await world.start("bob")
        await alice.call("send", chat="bob", text="next", wait="delivered", timeout=60)
        assert await texts(bob, "alice") == ["begin", "next"]

    run_world(tmp_path, main)


@pytest.mark.parametrize(("seconds", "deposited"), [(HOUR - 1, 0), (90 * 60, 1), (40 * 24 * HOUR, 30 * 24)])
def test_a_relay_keeps_it_no_longer_than_to_its_end(tmp_path: Path, seconds: int, deposited: int) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world, 1)
        await alice.call("timer", chat="bob", seconds=seconds)
        await until(lambda: nothing_owed(alice))
        await bob.stop()
        relays[0].kept_for.clear()
        sent = await alice.call("send", chat="bob", text="hello")
        await alice.call("react", id=sent["id"], emoji="👍")
        await trio.sleep(60)
        assert relays[0].kept_for == [deposited] * 2 * bool(deposited)
        await alice.stop()
        alice = await world.start("alice")  # and begins with what the outbox says is due
        await trio.sleep(60)
        assert await alice.engine.committer.read(_copies, MessageId(bytes.fromhex(sent["id"]))) == (
            1 if deposited else 0
        )

    run_world(tmp_path, main)


def _copies(db: Database, id: MessageId) -> int:
    """At how many relays a message lies."""
    return sum(len(store_deposits.of(db, row.pk)) for row in store_outbox.for_message(db, id))


def test_a_clock_that_is_set_back_has_no_relay_keep_it_for_longer(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world, 1)
        await alice.call("timer", chat="bob", seconds=2 * HOUR)
        await until(lambda: nothing_owed(alice))
        await bob.stop()
        relays[0].stop()
        await trio.sleep(60)
        relays[0].kept_for.clear()
        await alice.call("send", chat="bob", text="hello")
        alice.skew = -10 * 86_400_000
        relays[0].start()
        await trio.sleep(3 * 60)
        assert set(relays[0].kept_for) == {2}

    run_world(tmp_path, main)


def test_why_says_that_no_relay_keeps_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await apart(world, 1)
        await alice.call("timer", chat="bob", seconds=300)
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="hello")
        found = await alice.call("why", id=sent["id"])
        assert "disappear within an hour" in found["reason"]

    run_world(tmp_path, main)


# --- clocks and restarts ---------------------------------------------------------------------------------------------


def test_it_goes_while_the_program_does_not_run(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await agreed(world, 600)
        await alice.call("send", chat="bob", text=MARKER)
        await settled(alice)
        await alice.stop()
        world.slept += 700_000
        alice = await world.start("alice")
        assert await texts(alice, "bob") == ["begin"]  # at the first look
        await trio.sleep(5)
        assert left_in(alice) == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("days", [-400, -1, 0])
def test_a_clock_that_is_set_back_keeps_nothing(tmp_path: Path, days: int) -> None:
    async def main(world: World) -> None:
        alice, _ = await agreed(world, 600)
        await alice.call("send", chat="bob", text=MARKER)
        await settled(alice)
        alice.skew = days * 86_400_000
        await trio.sleep(620)
        assert await texts(alice, "bob") == ["begin"]

    run_world(tmp_path, main)


def test_a_clock_that_is_set_while_it_runs_ends_nothing_where_another_clock_counts(tmp_path: Path) -> None:
    """The system's monotonic clock counts in sleep too: then the wall clock is not asked while it runs."""

    async def main(world: World) -> None:
        alice, _ = await agreed(world, 600)
        alice.engine.clock_watch._counts_sleep = True
        await alice.call("send", chat="bob", text=MARKER)
        alice.skew = 400 * 86_400_000
        await trio.sleep(590)
        assert MARKER in await texts(alice, "bob")
        await trio.sleep(20)
        assert MARKER not in await texts(alice, "bob")
        await alice.call("send", chat="bob", text="after")  # and a new one has its whole time
        alice.skew = 0
        await trio.sleep(590)
        assert "after" in await texts(alice, "bob")
        await trio.sleep(20)
        assert "after" not in await texts(alice, "bob")

    run_world(tmp_path, main)


def test_a_restart_with_a_clock_set_back_keeps_nothing_for_longer_than_the_program_did_not_run(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await agreed(world, 3 * HOUR)
        await alice.call("send", chat="bob", text=MARKER)
        await trio.sleep(2 * HOUR)
        await alice.stop()
        skewed = -400 * 86_400_000
        alice = await world.start("alice", lambda node: setattr(node, "skew", skewed))
        await trio.sleep(HOUR - 700)  # what was counted is saved every ten minutes
        assert MARKER in await texts(alice, "bob")
        await trio.sleep(1400)
        assert MARKER not in await texts(alice, "bob")

    run_world(tmp_path, main)


def test_what_ended_right_before_a_crash_is_not_left_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob = await agreed(world, 60)
        await alice.call("send", chat="bob", text=MARKER)
        await settled(alice, bob)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "checkpoint", lambda db: True)
            await trio.sleep(70)
            await alice.crash()
        assert left_in(alice) == ["alice"]
        alice = await world.start("alice")
        await trio.sleep(10)
        assert left_in(alice) == []

    run_world(tmp_path, main)


def test_what_ended_while_the_database_is_looked_through_goes_right_after(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await agreed(world, 60)
        await alice.call("send", chat="bob", text=MARKER)
        await settled(alice, bob)
        with closing(connect(alice.folder / "p2pchat.db", KEY, "mode=ro")) as doctor:
            doctor.execute("BEGIN")
            doctor.execute("SELECT count(*) FROM messages").fetchone()
            await trio.sleep(62)
            assert left_in(alice) == ["alice"]
        await trio.sleep(8)
        assert left_in(alice) == []

    run_world(tmp_path, main)


def test_thousands_that_end_at_once_go_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "MAX_ENDED_AT_ONCE", 7)

    async def main(world: World) -> None:
        alice, _ = await agreed(world, 60)
        for number in range(30):
            await alice.call("send", chat="bob", text=f"{MARKER} {number}")
        await trio.sleep(70)
        assert await texts(alice, "bob") == ["begin"]
        assert left_in(alice) == []

    run_world(tmp_path, main)


def test_keys_of_messages_that_never_came_go_a_week_after(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        _, bob = await agreed(world, HOUR)

        def skip(tx: object) -> None:
            (session,) = bob_sessions(bob.engine)
            store_sessions.add_skipped(bob.db, session, [(1_000, 7, bytes(32))], bob.clock())

        await bob.engine.committer.submit(skip)
        await world.sleep_days(6)
        assert await bob.engine.committer.read(_count_skipped) == 1
        await world.sleep_days(2)
        assert await bob.engine.committer.read(_count_skipped) == 0

    run_world(tmp_path, main)


def bob_sessions(engine: Engine) -> list[SessionId]:
    return [SessionId(found) for (found,) in engine.db.query("SELECT session_id FROM sessions LIMIT 1")]


def _count_skipped(db: Database) -> int:
    row = db.query_one("SELECT count(*) FROM skipped_keys")
    return row[0] if row else 0
