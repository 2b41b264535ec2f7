"""The invites that were made here: who used them, and ending one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.codec import decode, encode
from p2pchat.core.envelope import open_blob, seal_blob
from p2pchat.core.invite import ROLE_RELAY, Invite, blob_key, from_text, sign_closed
from p2pchat.core.mailbox import BOX, Queue, invite_box, invite_put
from p2pchat.core.primitives import sign_public
from p2pchat.engine.contacts import joining
from p2pchat.errors import AmbiguousName, InviteExpired, NoSuchInvite, NotNow
from p2pchat.store import invites as store_invites
from p2pchat.store import prekeys as store_prekeys
from tests.support.asking import events_of, names
from tests.support.mail_worlds import own_queues, their_queues
from tests.support.mailboxes import MailRelay
from tests.support.world import World, run_world, until
from tests.world.test_mailbox_invites import asked, invite_of, is_contact, with_relays


def test_the_list_says_who_used_which(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await world.start("alice"), await world.start("bob"), await world.start("carol")
        once = await alice.call("invite", label="for\x1b bob")
        await trio.sleep(1)
        many = await alice.call("invite", reusable=True, label="club", expires=3600)
        await bob.call("add", invite=once["invite"], wait="accepted")
        await carol.call("add", invite=many["invite"])
        bobs, carols = await alice.id_of("bob"), await alice.id_of("carol")
        newest, oldest = await alice.call("invites")
        assert {key: newest[key] for key in ("id", "kind", "label", "state", "uses", "used_by", "ask", "invite")} == {
            "id": many["id"],
            "kind": "reusable",
            "label": "club",
            "state": "open",
            "uses": 1,
            "used_by": [{"id": carols.hex(), "name": "carol"}],
            "ask": True,
            "invite": many["invite"],
        }
        assert (oldest["kind"], oldest["label"], oldest["state"], oldest["invite"]) == (
            "one-time",
            "for bob",
            "used",
            None,
        )
        joined = {"id": bobs.hex(), "name": "bob", "invite": once["id"], "label": "for bob"}
        assert events_of(alice, "joined") == [{"event": "joined", **joined}]  # carol asks: she has not joined
        assert oldest["used_by"] == [{"id": joined["id"], "name": "bob"}]
        await trio.sleep(2 * 3600)
        assert [one["state"] for one in await alice.call("invites")] == ["expired", "used"]
        await alice.call("forget", contact="bob")
        spent = (await alice.call("invites"))[1]
        assert (spent["uses"], spent["used_by"]) == (1, [])  # that it was used is not forgotten

    run_world(tmp_path, main)


@pytest.mark.parametrize("reusable", [False, True])
def test_one_that_was_revoked_is_no_longer_valid(tmp_path: Path, reusable: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        made = await alice.call("invite", reusable=reusable)
        (shown,) = await alice.call("invites", revoke=made["id"][:6])
        assert (shown["state"], shown["invite"]) == ("revoked", None)
        assert not alice.engine.keeps_running()
        (row,) = await alice.engine.committer.read(store_invites.all)
        assert (row.secret, row.bundle, row.encoded) == (None, None, None)
        one_time = "SELECT count(*) FROM prekeys WHERE kind = ?"
        assert alice.db.query(one_time, (store_prekeys.ONE_TIME,)) == [(0,)]
        await alice.stop()
        alice = await world.start("alice")
        with pytest.raises(InviteExpired, match="was revoked"):
            await bob.call("add", invite=made["invite"])
        assert await names(alice) == await names(bob) == {}
        with pytest.raises(NotNow, match="no longer open"):
            await alice.call("invites", revoke=made["id"])

    run_world(tmp_path, main)


def test_which_one_is_meant(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for _ in range(2):
            await alice.call("invite", label="Club")
        with pytest.raises(AmbiguousName):
            await alice.call("invites", revoke="club")
        for named in ("", "nobody", "zz"):
            with pytest.raises(NoSuchInvite):
                await alice.call("invites", revoke=named)
        first = (await alice.call("invites"))[1]["id"]
        await alice.call("invites", revoke=first)
        assert [one["state"] for one in await alice.call("invites", revoke="club")] == ["revoked", "revoked"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("hide", [False, True])
def test_at_its_relays_a_revoked_one_says_so(tmp_path: Path, hide: bool) -> None:
    """Whoever reads its box is told, whichever relay they ask; a relay that was off is told once it is back, though the
    node started anew in between.
    """

    async def main(world: World) -> None:
        alice, relays = await with_relays(world, "bob", "carol")
        made = await alice.call("invite", reusable=True, hide=hide, expires=7200)
        invite = invite_of(made)
        relays[1].stop()
        assert await own_queues(alice) != []
        await alice.call("invites", revoke=made["id"])
        assert not await own_queues(alice)
        await alice.stop()
        alice = await world.start("alice")
        relays[1].start()
        for name, relay in zip(("bob", "carol"), relays, strict=True):
            node = world.nodes[name]
            relays[relay is relays[0]].cut(node)
            await until(partial(_is_closed, relay, invite), 600)
            with pytest.raises(InviteExpired, match="was revoked"):
                await node.call("add", invite=made["invite"], name="alice")
            assert await names(node) == {}
            assert relay.deposited_by(name) == []
        assert {row.flags for row in await their_queues(alice)} == {BOX}
        await trio.sleep(invite.expires_at - world.now() / 1000 + 3601)
        assert await their_queues(alice) == []
        assert alice.db.query("SELECT count(*) FROM outbox") == [(0,)]

    run_world(tmp_path, main)


async def _is_closed(relay: MailRelay, invite: Invite) -> bool:
    assert invite.writer is not None
    queue = relay.disk.queues[Queue(sign_public(invite_box(invite.secret)), invite.writer, BOX).id]
    (page,) = [decode(open_blob(blob_key(invite.secret), blob), len(blob)) for blob in queue.values()]
    return isinstance(page, list) and page[0] == frames.EXPIRED


def test_who_has_asked_already_does_not_give_up_at_a_closed_box(tmp_path: Path) -> None:
    """What they put at the relay may have been taken before the invite was revoked."""

    async def main(world: World) -> None:
        alice, _ = await with_relays(world, "bob")
        bob = world.nodes["bob"]
        made = await alice.call("invite", reusable=True)
        await asked(bob, made["invite"])
        invite, encoded = invite_of(made), from_text(made["invite"])
        writer_seed = next(row.put_seed for row in await their_queues(alice) if row.flags == BOX)
        page = [frames.EXPIRED, sign_closed(writer_seed, encoded, frames.EXPIRED)]
        blob = seal_blob(blob_key(invite.secret), encode(page), world.entropy.random)
        relay = next(way.peer for way in invite.ways if way.role == ROLE_RELAY)
        await bob.engine.committer.submit(joining.boxed, await bob.id_of("alice"), relay, blob)
        await alice.call("accept", contact="bob")
        await until(lambda: is_contact(bob, "alice"), 60)

    run_world(tmp_path, main)


def test_who_has_a_reusable_invite_cannot_write_into_its_box(tmp_path: Path) -> None:
    """What the secret of an invite gives are the keys to fetch from the box and to deposit in the queue."""

    async def main(world: World) -> None:
        alice, _ = await with_relays(world)
        invite = invite_of(await alice.call("invite", reusable=True))
        assert invite.writer is not None
        boxes = [row for row in await their_queues(alice) if row.flags == BOX]
        assert len(boxes) == 2
        for box in boxes:
            assert sign_public(box.put_seed) == invite.writer
            assert box.fetch == sign_public(invite_box(invite.secret))
            known = (invite_put(invite.secret), invite_box(invite.secret), invite.secret)
            names = {Queue(box.fetch, sign_public(seed), BOX).id for seed in known}
            assert Queue(box.fetch, invite.writer, BOX).id not in names

    run_world(tmp_path, main)
