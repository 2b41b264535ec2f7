"""Epoch secrets: how a group gets one, what is derived from it, and when each of those is deleted.

An event of the membership log that changes who may read makes an epoch. Its secret is either computed by every member
from the epoch before (`advance`: newcomers, who are told it, read nothing older) or new (`make_rekey`: sealed to each
member who is left, so that one who was removed reads nothing newer). docs/protocol/group-messages.md is the
specification.

The secret itself is never kept: `derive` and `chains.branch_keys` give what is needed of it, and it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.codec import array, binary, binary_upto, decode, encode, maybe
from p2pchat.core.ids import EpochId, GroupId, MemberId
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS

SECRET_BYTES = 32
CONFIRM_BYTES = 32
"""All 32 bytes of an HMAC: an author who could find two secrets with one confirmation would split the group."""
MAX_MEMBERS = 5_000
"""Of a group: no rekey is for more."""
MAX_KEM_MEMBERS = 256
"""Up to so many members, a rekey is sealed to the ML-KEM keys of their leaves too."""
ENTRY_BYTES = SECRET_BYTES + prim.TAG_BYTES
MAX_REKEY = 524_288

LINKS_MS = DAY_MS
"""How long the secrets that lead to the next epoch are kept once there is one: an event that was made beside it may be
under way."""
CHAINS_MS = 30 * DAY_MS
"""How long the messages of an epoch that is over can be opened,"""
KEPT_EPOCHS = 8
"""but of no more such epochs that are over for `LINKS_MS`,"""
MAX_EPOCHS = 512
"""and of no more in all: whoever may add members may make many, each of which takes 40 bytes for every member. Those go
first that were sent under for the shortest time, so that a flood of epochs takes none of before.
"""


@dataclass(frozen=True, repr=False)
class EpochSecrets:
    """What is kept of an epoch besides its sender chains; all have 32 bytes.

    header: the key that items are sealed with. join: leads to the next epoch by `advance`. exporter: what the next
    rekey is mixed with. topic: names items and the logs of the epoch.
    """

    header: bytes
    join: bytes
    exporter: bytes
    topic: bytes

    @cached_property
    def tag(self) -> bytes:
        """The first 8 bytes of every item of the epoch."""
        return prim.hmac_sha256(self.topic, b"tag")[:8]


class Leaf(NamedTuple):
    """The public keys of a member that a rekey is sealed to: X25519, and ML-KEM-768 or none."""

    member: MemberId
    key: bytes
    kem: bytes | None = None


@dataclass(frozen=True, slots=True, repr=False)
class LeafKeys:
    """The private halves of one's own leaf. private: 32 bytes. kem: none where the leaf has no ML-KEM key."""

    member: MemberId
    private: bytes
    kem: prim.KemKey | None = None

    @property
    def leaf(self) -> Leaf:
        """The public half."""
        return Leaf(self.member, prim.x25519_public(self.private), None if self.kem is None else self.kem.public)


@dataclass(frozen=True, slots=True, repr=False)
class Rekeyed:
    """The result of `make_rekey`. secret: of the new epoch. rekey: the bytes for its event."""

    secret: bytes
    rekey: bytes


def derive(secret: bytes) -> EpochSecrets:
    """Return what is kept of an epoch's 32-byte secret."""
    return EpochSecrets(
        header=prim.hmac_sha256(secret, b"hdr"),
        join=prim.hmac_sha256(secret, b"join"),
        exporter=prim.hmac_sha256(secret, b"exporter"),
        topic=prim.hmac_sha256(secret, b"topic"),
    )


def confirmation(secret: bytes) -> bytes:
    """Return the 32 bytes by which an event commits to the secret of the epoch that it makes."""
    return prim.hmac_sha256(secret, b"confirm")


def check_confirmation(secret: bytes, confirm: bytes) -> None:
    """Return if `secret` is the one that its event commits to. Raises CannotOpen."""
    if not prim.equal(confirmation(secret), confirm):
        raise CannotOpen


def first_secret(random: prim.Random) -> bytes:
    """Return the secret of a new group's first epoch."""
    return random(SECRET_BYTES)


def advance(join: bytes, core_hash: bytes) -> bytes:
    """Return the secret of the epoch that an event makes of the one before. join: of that one. core_hash: 32 bytes, of
    the event without its confirmation.
    """
    return prim.hkdf(core_hash, "grp adv", SECRET_BYTES, salt=join)


# --- rekey: a secret sealed to each member -----------------------------------------------------------------------


def make_rekey(
    group: GroupId, core_hash: bytes, exporter: bytes, leaves: Iterable[Leaf], entropy: prim.Entropy
) -> Rekeyed:
    """Draw a secret for the epoch of an event and seal it to every leaf. core_hash: 32 bytes, of the event without
    confirmation and rekey. exporter: of the epoch before. A member whose leaf is no valid key gets an entry that does
    not open: nobody can prevent a rekey by a bad key. Raises ValueError for more than `MAX_MEMBERS`.
    """
    ordered = _ordered(leaves)
    delivered = entropy.random(SECRET_BYTES)
    private = entropy.random(prim.KEY_BYTES)
    public = prim.x25519_public(private)
    entries, ciphertexts = bytearray(), bytearray()
    for leaf in ordered:
        with_kem = leaf.kem is not None and len(ordered) <= MAX_KEM_MEMBERS
        try:
            shared, ciphertext = prim.x25519(private, leaf.key), b""
            if leaf.kem is not None and with_kem:
                ciphertext, more = entropy.encapsulate(leaf.kem)
                shared += more
        except CannotOpen:
            entries += entropy.random(ENTRY_BYTES)
            ciphertexts += entropy.random(prim.KEM_CIPHERTEXT) if with_kem else b""
            continue
        ciphertexts += ciphertext
        key = _entry_key(group, core_hash, exporter, leaf, public, shared, ciphertext)
        entries += prim.ShortNonceCipher(key).encrypt(_ONLY_NONCE, delivered, b"")
    rekey = encode([public, bytes(entries), bytes(ciphertexts) or None])
    return Rekeyed(_fresh(delivered, group, core_hash, exporter), rekey)


_ONLY_NONCE = bytes(12)
"""Zeros: the key of an entry seals nothing else."""
_REKEY = array(
    binary(prim.KEY_BYTES),
    binary_upto(MAX_MEMBERS * ENTRY_BYTES),
    maybe(binary_upto(MAX_KEM_MEMBERS * prim.KEM_CIPHERTEXT, 1)),
)


def open_rekey(
    rekey: bytes, group: GroupId, core_hash: bytes, exporter: bytes, leaves: Sequence[Leaf], mine: LeafKeys
) -> bytes:
    """Return the secret that a rekey delivers to us, which the caller compares with the event's confirmation.

    leaves: of the members after the event, whose rekey it is; the other arguments are as for `make_rekey`. Raises
    CannotOpen if the rekey has not exactly one entry for each of them, we are none of them, or ours does not open.
    """
    if len(leaves) > MAX_MEMBERS:
        raise CannotOpen
    ordered = _ordered(leaves)
    members = [leaf.member for leaf in ordered]
    with_kem = [leaf.member for leaf in ordered if leaf.kem is not None] if len(ordered) <= MAX_KEM_MEMBERS else []
    place = bisect_left(members, mine.member)
    leaf = ordered[place] if place < len(ordered) else mine.leaf
    return _open_entry(rekey, group, core_hash, exporter, members, with_kem, leaf, mine)


def open_large_rekey(
    rekey: bytes, group: GroupId, core_hash: bytes, exporter: bytes, members: Sequence[MemberId], mine: LeafKeys
) -> bytes:
    """Return the secret that a rekey for more than `MAX_KEM_MEMBERS` members delivers to us, as `open_rekey`: it needs
    nothing of the leaves of others. members: their ids, in order.
    """
    if not MAX_KEM_MEMBERS < len(members) <= MAX_MEMBERS:
        raise CannotOpen
    return _open_entry(rekey, group, core_hash, exporter, members, (), mine.leaf, mine)


def _open_entry(
    rekey: bytes,
    group: GroupId,
    core_hash: bytes,
    exporter: bytes,
    members: Sequence[MemberId],
    with_kem: Sequence[MemberId],
    leaf: Leaf,
    mine: LeafKeys,
) -> bytes:
    """Open our entry. with_kem: the members to whose ML-KEM keys it was sealed too. leaf: ours."""
    public, entries, ciphertexts = _REKEY(decode(rekey, MAX_REKEY))
    place = bisect_left(members, mine.member)
    if place == len(members) or members[place] != mine.member or len(entries) != len(members) * ENTRY_BYTES:
        raise CannotOpen
    if len(ciphertexts or b"") != len(with_kem) * prim.KEM_CIPHERTEXT:
        raise CannotOpen
    shared, ciphertext = prim.x25519(mine.private, public), b""
    if with_kem and leaf.kem is not None:
        if mine.kem is None:
            raise CannotOpen
        start = with_kem.index(mine.member) * prim.KEM_CIPHERTEXT
        ciphertext = ciphertexts[start : start + prim.KEM_CIPHERTEXT]
        shared += mine.kem.decapsulate(ciphertext)
    key = _entry_key(group, core_hash, exporter, leaf, public, shared, ciphertext)
    entry = entries[place * ENTRY_BYTES : (place + 1) * ENTRY_BYTES]
    delivered = prim.ShortNonceCipher(key).decrypt(_ONLY_NONCE, entry, b"")
    return _fresh(delivered, group, core_hash, exporter)


def _ordered(leaves: Iterable[Leaf]) -> list[Leaf]:
    ordered = sorted(leaves, key=lambda leaf: leaf.member)
    if len(ordered) > MAX_MEMBERS:
        raise ValueError("a group has at most 5,000 members")
    return ordered


def _entry_key(
    group: GroupId, core_hash: bytes, exporter: bytes, leaf: Leaf, public: bytes, shared: bytes, ciphertext: bytes
) -> bytes:
    context = group + core_hash + leaf.member + leaf.key + public + ciphertext
    return prim.hkdf(shared, "grp rekey", prim.KEY_BYTES, salt=exporter, context=context)


def _fresh(delivered: bytes, group: GroupId, core_hash: bytes, exporter: bytes) -> bytes:
    # bound to the event: an author who delivers one value twice makes two secrets all the same
    return prim.hkdf(delivered, "grp fresh", SECRET_BYTES, salt=exporter, context=group + core_hash)


# --- what is deleted when ----------------------------------------------------------------------------------------


class EpochDeletion(Enum):
    """What of an epoch is to be deleted."""

    LINKS = "links"
    """`join` and `exporter`, by which whoever has our leaf could compute the epochs after it."""
    ALL = "all"
    """The whole epoch: its chains, skipped keys and the other secrets."""


class EpochAge(NamedTuple):
    """What `to_delete` has to know of an epoch. over_since: in ms, since when another one is sent under in its place;
    None if that is still to come. has_links: `join` and `exporter` are still kept. used_ms: for how long it was the one
    to send under.
    """

    over_since: int | None
    has_links: bool = True
    used_ms: int = 0


def to_delete(
    epochs: Mapping[EpochId, EpochAge], now: int, *, merged: bool
) -> tuple[tuple[EpochId, EpochDeletion], ...]:
    """Return what is to be deleted by `now`, in ms, of the epochs of one group.

    merged: whether there is one head. While there are several, the event that merges them is yet to come, and may go on
    from an older epoch; `LINKS_MS` becomes `CHAINS_MS`.
    """
    over = sorted(
        ((age.over_since, epoch) for epoch, age in epochs.items() if age.over_since is not None), reverse=True
    )
    links_ms = LINKS_MS if merged else CHAINS_MS
    by_use = sorted(over, key=lambda found: (epochs[found[1]].used_ms, *found), reverse=True)
    surplus = {epoch for _, epoch in by_use[MAX_EPOCHS:]}
    deletions = []
    for newer, (since, epoch) in enumerate(over):
        age = now - since
        if age >= CHAINS_MS or epoch in surplus or (newer >= KEPT_EPOCHS and age >= LINKS_MS):
            deletions.append((epoch, EpochDeletion.ALL))
        elif epochs[epoch].has_links and age >= links_ms:
            deletions.append((epoch, EpochDeletion.LINKS))
    return tuple(deletions)
