"""The budget of skipped message keys: what a contact with a changed program may make us derive, and who recovers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core import primitives as prim
from p2pchat.core import ratchet
from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import Text
from p2pchat.core.delivery import Route
from p2pchat.core.frames import ENVELOPE, REFUSED, Frame
from p2pchat.core.ids import ContactId, SessionId, first_device
from p2pchat.core.ratchet import MAX_SKIPPED
from p2pchat.core.session import Session
from p2pchat.engine.runtime import skip_budget
from p2pchat.engine.runtime import transaction as turns
from p2pchat.engine.runtime.skip_budget import BURST, MAX_PER_BRIEF_TRANSACTION, REFILL_PER_MINUTE, SkipBudget
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import sessions as store_sessions
from tests.support.meddler import Meddler, flipped
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_renewal import all_delivered, change_session, friends, renewals, session_of

MINUTE = 60_000


def test_a_budget_is_spent_and_fills_up_slowly() -> None:
    budget = SkipBudget()
    assert budget.left(ContactId(b"bob"), 0) == BURST == MAX_SKIPPED
    budget.spend(ContactId(b"bob"), BURST, 0)
    assert (budget.left(ContactId(b"bob"), 0), budget.left(ContactId(b"carol"), 0)) == (0, BURST)
    assert [budget.left(ContactId(b"bob"), at) for at in (59, 60, MINUTE, 10 * MINUTE)] == [
        0,
        1,
        REFILL_PER_MINUTE,
        10 * REFILL_PER_MINUTE,
    ]
    for at in range(60):  # asked often, it fills no slower
        budget.spend(ContactId(b"bob"), 0, at)
    assert budget.left(ContactId(b"bob"), 60) == 1
    assert budget.left(ContactId(b"bob"), 20 * MINUTE) == budget.left(ContactId(b"bob"), 10**9) == BURST


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing() -> None:
    budget = SkipBudget()
    budget.spend(ContactId(b"bob"), BURST, 10 * MINUTE)
    assert budget.left(ContactId(b"bob"), 0) == 0
    budget.spend(ContactId(b"bob"), 0, 0)
    assert budget.left(ContactId(b"bob"), MINUTE) == REFILL_PER_MINUTE


def far_ahead(by: int) -> Callable[[Session], Session]:
    """As if so many messages had been sealed and lost."""

    def change(session: Session) -> Session:
        state = session.ratchet
        chain = state.sending
        assert chain is not None
        for _ in range(by):
            chain = prim.hmac_sha256(chain, b"\x02")
        return replace(session, ratchet=replace(state, sending=chain, sent=state.sent + by))

    return change


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for every time that keys were derived to be put aside: how many."""
    found: list[int] = []
    skip = ratchet._skip

    def counted(state: ratchet.Ratchet, until: int) -> tuple[ratchet.Ratchet, tuple[tuple[int, int, bytes], ...]]:
        after, skipped = skip(state, until)
        if skipped:
            found.append(len(skipped))
        return after, skipped

    monkeypatch.setattr(ratchet, "_skip", counted)
    return found


async def sealed(node: WorldNode, chat: str, text: str, ahead: int) -> bytes:
    """An envelope after `ahead` others that are never sent."""
    await change_session(node, chat, far_ahead(ahead))
    contact = await node.id_of(chat)

    def seal(tx: Transaction) -> bytes:
        session = tx.sessions.sending(first_device(contact))
        assert session is not None
        content = Content(Text(text), new_message_id(tx.now, tx.random), 1, tx.now)
        return tx.sessions.seal(first_device(contact), session, encode_content(content), tx.entropy).envelope

    return await node.engine.committer.submit(seal)


@pytest.mark.parametrize("opens", [True, False])
def test_a_flood_of_skips_ends_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, derived: list[int], opens: bool
) -> None:
    """Whether the body opens or not: the work was done."""
    monkeypatch.setattr(skip_budget, "BURST", 100)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        contact = await bob.id_of("alice")
        derived.clear()
        for number in range(8):
            envelope = await sealed(bob, "alice", f"{number}", 40 if opens else 10 + 4 * number)
            if number == (2 if opens else 0):
                before = await session_of(alice, "bob")
            body = envelope if opens else envelope[:2390] + flipped(envelope[2390:])
            bob.engine.net.send(contact, [Frame(ENVELOPE, body)])
            await trio.sleep(0.1)
        assert derived == ([40, 40] if opens else [10, 25, 44])
        assert await session_of(alice, "bob") == before, "what was refused changed nothing"
        assert len(meddler.of(REFUSED, alice)) == (6 if opens else 8)
        # what skips nothing is read as before
        await alice.call("send", chat="bob", text="still there?", wait="delivered", timeout=60)

    run_world(tmp_path, main)


def test_one_whose_messages_were_lost_again_and_again_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, derived: list[int]
) -> None:
    """The first loss is skipped, the others are refused, which renews the session."""
    monkeypatch.setattr(skip_budget, "BURST", 100)
    monkeypatch.setattr(skip_budget, "REFILL_PER_MINUTE", 5)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        derived.clear()
        for number in range(3):
            await change_session(bob, "alice", far_ahead(80))
            await bob.call("send", chat="alice", text=f"lost before this: 80, {number}")
            await trio.sleep(10)
        assert renewals(alice) == 2
        assert derived == [80]
        await until(lambda: all_delivered(bob, "alice"), 2 * 3600)
        assert [text[-1] for text in await alice.texts("bob")] == ["0", "0", "1", "2"]
        await bob.call("send", chat="alice", text="and on", wait="delivered")

    run_world(tmp_path, main)


def test_what_needs_many_keys_does_not_stop_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="hi", wait="delivered")
        contact = await alice.id_of("bob")
        session_id = alice.engine.link_handler.pairs(contact)[0].session_id
        brief_turns: list[bool] = []
        transaction = alice.engine.committer._transaction

        def watched(batch: list[object], brief: bool) -> Transaction:
            done = transaction(batch, brief)  # type: ignore[arg-type]
            brief_turns.extend(brief for message in done.events if message["event"] == "message")
            return done

        monkeypatch.setattr(alice.engine.committer, "_transaction", watched)
        for text, ahead in (("few", 10), ("many", MAX_PER_BRIEF_TRANSACTION + 1)):
            one = Frame(ENVELOPE, await sealed(bob, "alice", text, ahead))
            await alice.engine.link_handler.received(contact, session_id, Route.DIRECT, [one])
            await trio.sleep(1)
        assert brief_turns == [True, False]
        assert await alice.texts("bob") == ["few", "many"]

    run_world(tmp_path, main)


def test_one_turn_does_not_work_for_all_contacts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, derived: list[int]
) -> None:
    monkeypatch.setattr(turns, "MAX_PER_TRANSACTION", 50)

    async def main(world: World) -> None:
        alice = await world.start("alice")
        others = [await world.start(name) for name in ("bob", "carol", "dave")]
        frames = []
        for other in others:
            await befriend(alice, other)
            await alice.call("send", chat=other.name, text="hi", wait="delivered")
        for other in others:
            contact = await alice.id_of(other.name)
            session_id = alice.engine.link_handler.pairs(contact)[0].session_id
            first = await sealed(other, "alice", "first", 30)
            frames += [(contact, session_id, Route.DIRECT, [Frame(ENVELOPE, first)])]
            second = await sealed(other, "alice", "second", 0)
            frames += [(contact, session_id, Route.DIRECT, [Frame(ENVELOPE, second)])]
        derived.clear()
        in_turns: list[int] = []
        transaction = alice.engine.committer._transaction

        def watched(batch: list[object], brief: bool) -> Transaction:
            before = sum(derived)
            done = transaction(batch, brief)  # type: ignore[arg-type]
            in_turns.append(sum(derived) - before)
            return done

        monkeypatch.setattr(alice.engine.committer, "_transaction", watched)
        for one in frames:
            await alice.engine.link_handler.received(*one)
        await trio.sleep(1)
        assert max(in_turns) == 30
        assert derived == [30, 30, 30]
        for other in others:  # nobody was refused for another's sake
            assert sorted(await alice.texts(other.name)) == ["first", "second"]
        assert [renewals(other) for other in others] == [0, 0, 0]

    run_world(tmp_path, main)


def test_all_sessions_of_a_contact_have_as_many_skipped_keys_as_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each envelope that opens nowhere is tried with all of them: that must not grow with the sessions."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        contact = await alice.id_of("bob")
        monkeypatch.setattr(ratchet, "MAX_SKIPPED", 50)

        def act(tx: Transaction) -> int:
            live = tx.sessions.sending(first_device(contact))
            assert live is not None
            others = [bytes([number]) * len(live.session_id) for number in range(4)]
            for session_id in others:
                tx.sessions.begin(first_device(contact), replace(live, session_id=SessionId(session_id)), tx.now)
            tx.sessions.write()
            tx.sessions.forget()
            known = tx.sessions._load(first_device(contact))
            for session_id in [*others, live.session_id]:
                store_sessions.add_skipped(
                    tx.db, SessionId(session_id), [(0, number, bytes(32)) for number in range(40)], tx.now
                )
                assert len(known.skipped[SessionId(session_id)]) == 40
            tx.sessions._bound_skipped(known, live.session_id)
            assert len(known.skipped[live.session_id]) == 40
            return sum(
                len(store_sessions.skipped(tx.db, SessionId(session_id))) for session_id in [*others, live.session_id]
            )

        assert await alice.engine.committer.submit(act) == 50

    run_world(tmp_path, main)
