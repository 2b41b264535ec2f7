"""Which relays that others told of are kept, and which of them are tried first.

Nobody can tell a relay of a stranger from one that an adversary made a minute ago, and a thousand of those cost
nothing. So relays that have worked keep their places, whatever is told. Of the others, half the places are for what
relays tell and half for what contacts tell; in each half every source has a few places, and of these no network more
than two. Networks are what descriptors claim, so they count among those of one source alone: nobody can take the places
of a network by claiming to be in it. Where all have the same number, the oldest of a day or more makes room for a new
source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from p2pchat.core.descriptors import Descriptor, networks
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.lib.times import DAY_MS

MAX_WORKED = 32
"""Relays that have worked, the latest ones."""
MAX_UNTRIED = 16
"""Relays that have not been tried yet, or have not answered: of those that relays tell of, and of those that contacts
tell of."""
MAX_A_SOURCE = 8
"""Untried relays that one relay or contact has told of."""
MAX_A_NETWORK = 2
"""Untried relays in one network, of those that one relay or contact has told of."""
STAYS_MS = DAY_MS
"""How long an untried relay keeps its place where there is none for a new one."""
MAX_FALLBACKS = 8
"""Relays that are offered for trying at a time."""


@dataclass(frozen=True, slots=True)
class KnownRelay:
    """A relay that is known by its descriptor, `raw` as it was signed. addresses: those that can be dialled, packed.
    told_by: the transport key of the relay that told of it first, or the id of the contact. heard_at: ms; worked_at:
    ms, 0 if it has never answered us.
    """

    descriptor: Descriptor
    raw: bytes
    addresses: tuple[bytes, ...]
    told_by: bytes
    heard_at: int
    worked_at: int = 0

    @property
    def relay(self) -> PeerKey:
        """The transport key of the relay."""
        return self.descriptor.relay

    @property
    def by_relay(self) -> bool:
        """Whether a relay has told of it first, and not a contact."""
        return len(self.told_by) == KEY_BYTES


def make_room(known: Sequence[KnownRelay], new: KnownRelay) -> list[PeerKey] | None:
    """Return the relays that give way to `new`, which has never worked; None if it is not kept.

    known: those in the cache without `new` itself and without the relays that the user chose.
    """
    untried = [row for row in known if not row.worked_at and row.by_relay == new.by_relay]
    untried.sort(key=lambda row: row.heard_at)
    sources = Counter(row.told_by for row in untried)
    gone: list[KnownRelay] = []
    if sources[new.told_by] >= MAX_A_SOURCE:
        gone.append(next(row for row in untried if row.told_by == new.told_by))
    elif len(untried) >= MAX_UNTRIED:
        most, count = sources.most_common(1)[0]
        own = sources[new.told_by]
        if count > own + 1:
            gone.append(next(row for row in untried if row.told_by == most))
        else:
            richer = (row for row in untried if sources[row.told_by] > own or row.told_by == new.told_by)
            oldest = next(richer, None)
            if oldest is None or oldest.heard_at + STAYS_MS > new.heard_at:
                return None
            gone.append(oldest)
    same = [row for row in untried if row.told_by == new.told_by and row not in gone]
    taken = Counter(network for row in same for network in networks(row.descriptor.addresses))
    if any(taken[network] >= MAX_A_NETWORK for network in networks(new.descriptor.addresses)):
        return None
    return [row.relay for row in gone]


def outlived(known: Sequence[KnownRelay]) -> list[PeerKey]:
    """Return the relays that have worked longest ago, beyond the most that are kept."""
    worked = sorted((row for row in known if row.worked_at), key=lambda row: -row.worked_at)
    return [row.relay for row in worked[MAX_WORKED:]]


def fallbacks(known: Sequence[KnownRelay]) -> list[KnownRelay]:
    """Return the relays to try, best first: those that worked, the latest first, then one of each source in turns; of
    what one source has told, and of those that worked, in each network one before any second.
    """
    worked = sorted((row for row in known if row.worked_at), key=lambda row: -row.worked_at)
    turns: Counter[bytes] = Counter()
    ranked: list[tuple[int, int, KnownRelay]] = []
    for row in sorted((row for row in known if not row.worked_at), key=lambda row: -row.heard_at):
        ranked.append((turns[row.told_by], -row.heard_at, row))
        turns[row.told_by] += 1
    ordered = [*worked, *(row for *_, row in sorted(ranked, key=lambda entry: entry[:2]))]
    seen: set[tuple[bytes, str]] = set()
    first: list[KnownRelay] = []
    for row in ordered:
        by = b"" if row.worked_at else row.told_by
        places = {(by, network) for network in networks(row.descriptor.addresses)}
        if not places & seen:
            first.append(row)
            seen |= places
    return [*first, *(row for row in ordered if row not in first)][:MAX_FALLBACKS]
