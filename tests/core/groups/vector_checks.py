"""How the frozen vectors about groups are checked, by the object that each holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from p2pchat.core import primitives as prim
from p2pchat.core.groups import chains, epochs, events, items, messages, welcome
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import LeafKeys
from p2pchat.core.groups.items import PartItem
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.messages import SeenMessage
from p2pchat.core.groups.welcome import JoinKeys
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from tests.support.group_parts import joined
from tests.vectors.making import Vector, shown


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def drawn_again(one: Vector) -> prim.Entropy:
    """Gives out again what was drawn when the vector was made."""
    random, encapsulations = deque(map(unhex, one["random"])), deque(one.get("encapsulations", []))

    def encapsulate(public: bytes) -> tuple[bytes, bytes]:
        ciphertext, secret = map(unhex, encapsulations.popleft())
        return ciphertext, secret

    return prim.Entropy(lambda size: random.popleft(), encapsulate)


def an_epoch(one: Vector) -> None:
    secret = unhex(one["secret"])
    secrets = epochs.derive(secret)
    for name in ("header", "join", "exporter", "topic", "tag"):
        assert getattr(secrets, name).hex() == one[name]
    assert epochs.confirmation(secret).hex() == one["confirm"]
    heads = chains.chain_heads(secret, [MemberId(unhex(member)) for member, _ in one["chains"]])
    assert [[member.hex(), head.key.hex()] for member, head in heads.items()] == one["chains"]
    first = Chain(unhex(one["chains"][0][1]))
    keys = [chains.seek(first, number, lambda _: None).key.hex() for number in range(len(one["keys"]))]
    assert keys == one["keys"]
    assert epochs.advance(secrets.join, unhex(one["core_hash"])).hex() == one["advanced"]


def a_rekey(one: Vector) -> None:
    group, core_hash, exporter = GroupId(unhex(one["group"])), unhex(one["core_hash"]), unhex(one["exporter"])
    everybody = [
        LeafKeys(MemberId(unhex(member)), unhex(private), None if seed is None else prim.KemKey(unhex(seed)))
        for member, private, seed in one["members"]
    ]
    leaves = [keys.leaf for keys in everybody]
    for keys in everybody:
        secret = epochs.open_rekey(unhex(one["rekey"]), group, core_hash, exporter, leaves, keys)
        epochs.check_confirmation(secret, unhex(one["confirm"]))
        assert secret.hex() == one["secret"]
    again = epochs.make_rekey(group, core_hash, exporter, leaves[::-1], drawn_again(one))
    assert again.rekey.hex() == one["rekey"]


def a_message(one: Vector) -> None:
    group, epoch, member = GroupId(unhex(one["group"])), EpochId(unhex(one["epoch"])), MemberId(unhex(one["member"]))
    chain = Chain(unhex(one["chain"]), one.get("from", 0))
    sign, body = unhex(one["sign"]), unhex(one["body"])
    read = messages.read(group, epoch, member, sign, chain, one["number"], body, lambda _: None)
    message = read.message
    assert (message.content.hex(), message.digest.hex()) == (one["content"], one["digest"])
    assert [head.hex() for head in message.log_heads] == one["log_heads"]
    assert messages.encode_record(message).hex() == one["record"]
    assert messages.open_record(unhex(one["record"]), group) == message
    messages.verify_message(message, sign)
    seed, heads = unhex(one["seed"]), [EventId(unhex(head)) for head in one["log_heads"]]
    seen = [SeenMessage(back, MemberId(unhex(who)), number, unhex(head)) for back, who, number, head in one["seen"]]
    assert list(message.seen) == seen
    before = chains.seek(chain, one["number"] - 1, lambda _: None).chain
    random = drawn_again(one).random
    written = messages.write(group, epoch, member, seed, before, heads, seen, message.content, random)
    assert written.body == body


def an_item(one: Vector) -> None:
    epoch, secrets = EpochId(unhex(one["epoch"])), epochs.derive(unhex(one["secret"]))
    sealed = [unhex(item) for item in one["items"]]
    opened = [items.open_item(data, epoch, secrets) for data in sealed]
    parts = [item.part for item in opened if isinstance(item, PartItem)]
    item = items.open_whole(joined(parts)) if parts else opened[0]
    assert not isinstance(item, PartItem)
    assert item.encode().hex() == one["plain"]
    assert [items.item_id(data).hex() for data in sealed] == one["ids"]
    assert list(items.seal_items(item, epoch, secrets, one["smallest"], drawn_again(one).random)) == sealed


def join_keys(one: Vector) -> None:
    group, kem = GroupId(unhex(one["group"])), None if one["kem"] is None else unhex(one["kem"])
    keys = JoinKeys(unhex(one["sign"]), unhex(one["leaf"]), kem, one["name"], unhex(one["proof"]))
    pair = unhex(one["pair"])
    welcome.check_join_keys(group, keys, pair)
    leaf = epochs.Leaf(MemberId(b""), keys.leaf, kem)
    assert welcome.make_join_keys(group, unhex(one["seed"]), leaf, keys.name, pair) == keys


def a_member(one: Vector) -> None:
    group, pair = GroupId(unhex(one["group"])), unhex(one["pair"])
    welcome.check_member(group, unhex(one["sign"]), pair, unhex(one["proof"]))
    assert welcome.prove_member(group, unhex(one["seed"]), pair).hex() == one["proof"]


def a_welcome(one: Vector) -> None:
    whole = unhex(one["whole"])
    made = welcome.open_welcome(whole)
    assert shown([made.group, made.member, made.epoch, made.secret, made.log]) == one["values"]
    assert b"".join(part.data for part in welcome.cut_welcome(made)) == whole


def an_event(one: Vector) -> None:
    event = events.decode_event(unhex(one["raw"]))
    assert (event.id.hex(), event.author_id.hex(), event.seq, int(event.op)) == (
        one["id"],
        one["member"],
        one["seq"],
        one["op"],
    )
    assert events.core_hash(event.core).hex() == one["core_hash"]
    assert [parent.hex() for parent in event.parents] == one["parents"]
    assert event.id.hex() == one.get("with_rekey", event.id.hex())


def a_membership_log(one: Vector) -> None:
    log = MembershipLog(GroupId(events.decode_event(unhex(one["events"][0])).id))
    for raw in reversed(one["events"]):
        log.add(unhex(raw))
    state = log.state
    assert {member.id.hex(): [int(member.role), member.name] for member in state.members.values()} == one["members"]
    assert {key: value for key, value in state.settings.items() if key != "recovery"} == one["settings"]
    assert {member.hex(): until for member, until in state.muted.items()} == one["muted"]
    assert sorted(member.hex() for member in state.suspended) == one["suspended"]
    heads = [
        [head.id.hex(), head.number, sorted(member.hex() for member in head.outsiders)] for head in state.epoch_heads
    ]
    assert heads == one["epochs"]
    assert (None if state.sending is None else state.sending.hex()) == one["sending"]


CHECKS: dict[str, Callable[[Vector], None]] = {
    "event": an_event,
    "membership": a_membership_log,
    "group-epoch": an_epoch,
    "group-rekey": a_rekey,
    "group-message": a_message,
    "group-item": an_item,
    "group-join": join_keys,
    "group-member": a_member,
    "group-welcome": a_welcome,
}
"""All but the first are also refused in some vectors."""
