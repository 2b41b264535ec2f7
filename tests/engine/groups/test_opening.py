"""What is opened before it is applied counts only if that is what it would be opened with then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.groups import items as core_items
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.ids import ItemId
from p2pchat.engine.groups import carriage, opening, receive
from p2pchat.engine.groups.opening import OpenedItem
from tests.engine.groups.test_receive import CHAT, deliver_together, in_group, many, sealed_by
from tests.support.group_worlds import said
from tests.support.world import World, WorldNode, run_world


def opened_ahead(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note for each item that is opened ahead whether its message is verified with it."""
    noted, open_all = list[bool](), opening.open_all

    def noting(*args: Any) -> dict[ItemId, OpenedItem]:
        opened = open_all(*args)
        noted.extend(item.message is not None for item in opened.values())
        return opened

    monkeypatch.setattr(receive, "open_all", noting)
    return noted


def damaged_by_a_member(node: WorldNode, sealed: bytes) -> bytes:
    """The item of a message whose body does not open, as any member can make it."""
    _, epoch = in_group(node)
    item = core_items.open_item(sealed, epoch.id, carriage.secrets_of(epoch))
    assert isinstance(item, MessageItem)
    return sealed_by(node, MessageItem(item.member, item.number, item.body[:-1] + bytes([item.body[-1] ^ 1])))


def test_messages_that_come_together_are_verified_once_and_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        bob, sealed = await many(world, monkeypatch, 40)
        verified, verify = list[bytes](), prim.verify

        def counting(public: bytes, label: str, data: bytes, signature: bytes) -> None:
            verified.append(signature)
            verify(public, label, data, signature)

        ahead = opened_ahead(monkeypatch)
        monkeypatch.setattr(prim, "verify", counting)
        await deliver_together(bob, [*sealed, *sealed[:7]])
        assert ahead == [True] * 40
        assert len(verified) == len(set(verified)) == 40
        await deliver_together(bob, sealed)
        assert len(verified) == 40, "what is known is not even opened"
        assert await said(bob, CHAT) == [str(number) for number in range(40)]

    run_world(tmp_path, main)


def test_what_cannot_be_opened_ahead_holds_up_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is damaged, one whose number was left out, and one that comes before those that it follows."""

    async def main(world: World) -> None:
        bob, sealed = await many(world, monkeypatch, 8)
        damaged = damaged_by_a_member(bob, sealed[2])
        ahead = opened_ahead(monkeypatch)
        await deliver_together(bob, [sealed[0], damaged, sealed[3], sealed[1], sealed[2], sealed[4], sealed[6]])
        assert ahead == [True, False, False, True, True, False, False]
        assert sorted(await said(bob, CHAT)) == ["0", "1", "2", "3", "4", "6"]
        await deliver_together(bob, [sealed[5], sealed[7]])
        assert await said(bob, CHAT) == [str(number) for number in range(8)]

    run_world(tmp_path, main)


def test_a_chain_or_key_that_has_changed_meanwhile_has_the_message_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        bob, sealed = await many(world, monkeypatch, 4)
        open_all = opening.open_all

        def outdated(*args: Any) -> dict[ItemId, OpenedItem]:
            opened = open_all(*args)
            for place, (id, item) in enumerate(opened.items()):
                assert item.message is not None
                forged = (
                    item.message._replace(before=Chain(bytes(32), item.message.before.next))
                    if place % 2
                    else item.message._replace(sign=bytes(32))
                )
                other = next(one for one in opened.values() if one is not item)
                assert other.message is not None
                opened[id] = item._replace(message=forged._replace(read=other.message.read))
            return opened

        monkeypatch.setattr(receive, "open_all", outdated)
        await deliver_together(bob, sealed)
        assert await said(bob, CHAT) == ["0", "1", "2", "3"]

    run_world(tmp_path, main)
