"""A kind of content that does not exist: two modules and one row, and it travels, is stored, receipted and deleted."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self, get_type_hints

import pytest

from p2pchat.core import codec, contents
from p2pchat.core.content import Content
from p2pchat.core.contents import Kind, Payload
from p2pchat.core.delivery import Route
from p2pchat.engine.contents import effect_of, visible
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from tests.support.world import World, run_world, until
from tests.world.test_delivery import all_delivered, friends

# --- p2pchat/core/contents/dice.py

_SHAPE = codec.array(codec.uint(6), open_end=True)


@dataclass(frozen=True, slots=True)
class Dice(Payload):
    """A throw that both see."""

    KIND = Kind(77, "dice", visible=True)
    eyes: int

    def encode(self) -> list[object]:
        return [self.eyes]

    @classmethod
    def decode(cls, value: Any) -> Self:
        return cls(_SHAPE(value)[0])

    def text(self) -> str:
        return f"threw a {self.eyes}"


# --- p2pchat/engine/contents/dice.py


def apply(tx: Transaction, contact: Contact, content: Content, payload: Dice, route: Route) -> None:
    """Show it in the chat."""
    visible.insert(tx, contact, content, route)


# ---


@pytest.mark.parametrize("payload", contents.KINDS.values(), ids=lambda payload: payload.__name__)
def test_the_effect_of_a_kind_is_given_its_payload(payload: type[Payload]) -> None:
    effect = effect_of(payload)
    assert payload.KIND.in_session == (effect is not None)
    taken = Payload if payload.KIND.deferred else payload
    assert effect is None or get_type_hints(effect)["payload"] is taken


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in `contents.KINDS`, and the module where it would be."""
    module = ModuleType("p2pchat.engine.contents.dice")
    module.__dict__["apply"] = apply
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(contents.KINDS, 77, Dice)


@pytest.mark.parametrize("away", [False, True])
def test_a_made_up_kind_travels_is_stored_receipted_and_deleted(tmp_path: Path, away: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        if away:
            await bob.stop()

        def throw(tx: Transaction) -> None:
            outbound.send(tx, tx.find("bob"), Dice(4))

        await alice.engine.committer.submit(throw)
        bob = await world.start("bob") if away else bob
        await until(lambda: all_delivered(alice, "bob"), 600)
        for node, chat in ((alice, "bob"), (bob, "alice")):
            shown = (await node.call("log", chat=chat))[-1]
            assert (shown["kind"], shown["text"]) == ("dice", "threw a 4")
            assert [one["id"] for one in await node.call("log", chat=chat, search="threw")] == [shown["id"]]
            await node.call("delete", id=shown["id"])
            assert "threw a 4" not in await node.texts(chat)

    run_world(tmp_path, main)
